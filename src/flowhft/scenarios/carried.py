"""What the simulation carries: numbers of single precision, sessions of so many steps, prices that can be.

A scenario may be impossible in two ways that no single rule of a key sees: a number that a float32, or the
square of one, cannot hold, and numbers that are each sound and together are not, as a volatility in ticks
where a relative one is wanted. Both would come out as NaN after all the work, or as a number that means
nothing.
"""

import math
from collections.abc import Mapping
from typing import Any

from flowhft.errors import require

# A float32 reaches from 1.2e-38 to 3.4e38; squares of money and ratios of two keys must fit.
LEAST, MOST = 1e-12, 1e12
# Decisions of a session. Time is dt added up in single precision: with more steps it is off by over 1 %.
MOST_STEPS = 1_000_000
STEP_BYTES = 20  # of a step of a path while it is simulated
# What a log-normal price may move over a session: a standard deviation of e^2, seven times up or down, and a
# trend of e^5. The wildest scenario of flowhft moves a tenth of the first.
MOST_LOG_DEVIATION, MOST_LOG_TREND = 2.0, 5.0
MOST_FEE = 1.0  # of the traded value
LEAST_HURST = 1e-6
# Keys whose numbers enter the simulation as they are; `tick_value` is a factor on its results, in float64.
CARRIED = (
    "horizon", "dt", "initial_price", "drift", "volatility", "jump_intensity", "jump_mean", "jump_deviation",
    "burst_intensity", "burst_duration", "burst_factor", "base_intensity", "base_intensity_ask",
    "self_excitation", "self_excitation_ask", "cross_excitation", "cross_excitation_ask", "decay",
    "fill_decay", "reach", "adverse_selection", "risk_aversion",
)  # fmt: skip
IN_TICKS = 'A price in ticks is said by price = "additive".'


def require_carried(values: Mapping[str, Any], where: str) -> None:
    """Refuse a number that single precision does not carry.

    Args:
        values: the keys of a scenario; those that are None are passed over.
        where: for messages.

    Raises:
        UsageError: naming the key.
    """
    for name in CARRIED:
        value = values[name]
        require(
            value is None or value == 0.0 or LEAST <= abs(value) <= MOST,
            name,
            f"be 0 or lie between {LEAST:g} and {MOST:g} in size, so that single precision carries it and "
            "what is made of it",
            f"{value} {where}",
            "Is it in ticks and seconds?",
        )
    hurst, money = values["hurst_exponent"], values["tick_value"]
    near = f"lie between {LEAST_HURST:g} and 1 - {LEAST_HURST:g}, so that single precision tells it from them"
    require(LEAST_HURST <= hurst <= 1.0 - LEAST_HURST, "hurst_exponent", near, f"{hurst} {where}")
    require(
        MOST**-3 <= money <= MOST**3,
        "tick_value",
        f"lie between {MOST**-3:g} and {MOST**3:g}",
        f"{money} {where}",
    )
    require(
        abs(values["maker_fee"]) <= MOST_FEE,
        "maker_fee",
        "be a share of the traded value, at most 1 in size",
        f"{values['maker_fee']} {where}",
        "A basis point is 0.0001.",
    )


def require_steps(horizon: float, dt: float, where: str) -> None:
    """Refuse a session of more steps than are simulated.

    Args:
        horizon: seconds.
        dt: seconds.
        where: for messages.

    Raises:
        UsageError: naming `horizon`.
    """
    steps = horizon / dt
    require(
        steps <= MOST_STEPS * (1.0 + 1e-6),
        "horizon",
        f"be at most {MOST_STEPS:,} steps of dt",
        f"{steps:,.4g} steps, horizon {horizon:g} s with dt {dt:g} s, of which every path would take "
        f"{_bytes(STEP_BYTES * steps)} of memory {where}",
        "Lower the horizon or raise dt: both are in seconds.",
    )


def require_price(values: Mapping[str, Any], where: str) -> None:
    """Refuse a price that moves over a session as no price does.

    A log-normal price is at exp of a Gaussian, so that 25 ticks, given as a relative volatility, are a factor
    of 7e10; an additive one may move as it likes, and only what experts make of it must be a number.

    Args:
        values: the keys of a scenario.
        where: for messages.

    Raises:
        UsageError: naming the key.
    """
    horizon, power = values["horizon"], values["hurst_exponent"]
    burst = max(1.0, values["burst_factor"]) if values["burst_intensity"] > 0.0 else 1.0
    move = values["volatility"] * horizon**power * burst
    if values["price"] == "lognormal":
        jumps = values["jump_intensity"] * horizon
        mean, spread = abs(values["jump_mean"]), values["jump_deviation"]
        for name, size, most, of in (
            ("volatility", move, MOST_LOG_DEVIATION, "deviation of its log over a session"),
            ("drift", abs(values["drift"]) * horizon, MOST_LOG_TREND, "trend of its log over a session"),
            ("jump_mean", mean, MOST_LOG_TREND, "jump of its log"),
            ("jump_deviation", spread, MOST_LOG_DEVIATION, "deviation of a jump of its log"),
            ("jump_intensity", jumps * (mean + spread), MOST_LOG_TREND, "sum of the jumps of its log"),
        ):
            require(
                size <= most,
                name,
                f"give a log-normal price a {of} of at most {most:g}",
                f"{values[name]:g}, which gives {size:.3g} {where}",
                f"It is relative to the price. {IN_TICKS}",
            )
        move *= values["initial_price"]
    lean = values["risk_aversion"] * move * move
    require(
        lean <= MOST,
        "risk_aversion",
        f"give a lot a skew, gamma sigma^2 horizon^2H, of at most {MOST:g} ticks",
        f"{values['risk_aversion']:g}, which gives {lean:.3g} {where}",
        "Is it in 1 / (tick x lot), and the volatility in the unit of `price`?",
    )


def _bytes(number: float) -> str:
    """Return a size in memory for people.

    Example:
        >>> _bytes(2e10)
        '20 GB'
    """
    for size, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB")):
        if number >= size:
            return f"{number / size:,.3g} {unit}" if math.isfinite(number) else "all"
    return f"{number:.3g} bytes"
