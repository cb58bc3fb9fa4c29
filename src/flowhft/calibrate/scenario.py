"""From a calibration to a simulated market: the centre of the scenarios that a policy learns in."""

import math
from typing import Any

from flowhft.calibrate.calibrate import Calibration
from flowhft.errors import require
from flowhft.scenarios.scenario import MOST_CARRIED, Scenario

DECISIONS_PER_ORDER = 4.0  # decisions per market order of one side, at least
STEPS = 300
LEAST_DIFFUSION = 0.1  # share of the variance that jumps leave to the volatility
RISK_AVERSION = 0.1  # in units of the fill decay, until a better one is selected


def natural_dt(calibration: Calibration) -> float:
    """Return a time between decisions that suits the market: 1, 2 or 5 x 10^n seconds.

    The largest such time at which four decisions or more fall on one market order of a side: then two fills
    of a side within a step are rare, and the simulator, which fills one lot a side and step, loses little.
    """
    wanted = 1.0 / (DECISIONS_PER_ORDER * calibration.parameters["market_order_rate"].value)
    power = 10.0 ** math.floor(math.log10(wanted))
    return max(step * power for step in (1.0, 2.0, 5.0) if step * power <= wanted * (1.0 + 1e-9))


def scenario_of(
    calibration: Calibration,
    initial_price: float,
    *,
    dt: float | None = None,
    horizon: float | None = None,
    order_lots: int | None = None,
    inventory_limit: float = 10.0,
    maker_fee_bps: float = 0.0,
) -> Scenario:
    """Return the market that a calibration describes.

    An additive price without drift (one recording cannot tell a drift from none), with memory and with
    jumps only where the recording tells them from none (`Facts.has_memory`, `Facts.has_jumps`): what jumps
    carry of the variance is then taken off the volatility, and with memory the volatility is that of the
    fractional price over one second. Market orders by the fitted Hawkes process, each reaching a quote with
    probability min(1, reach exp(-k delta)), and tilted towards the coming move so that the mid moves
    against fills by the measured adverse selection. A Gaussian step carries at most 1.5 of its standard
    deviations of it; where more was measured, the scenario is kinder than the recording.

    Args:
        calibration: of a recording.
        initial_price: mid price at the start, ticks.
        dt: seconds between two decisions; None for `natural_dt`.
        horizon: length of a session, seconds; None for 300 decisions.
        order_lots: our order size in lots of the recording: one lot of the scenario; None for that of the
            calibration.
        inventory_limit: orders.
        maker_fee_bps: basis points of the traded value.
    """
    order_lots = calibration.facts.order_lots if order_lots is None else order_lots
    require(order_lots >= 1, "order_lots", "be at least 1", order_lots)
    values = {name: parameter.value for name, parameter in calibration.parameters.items()}
    instrument = calibration.facts.instrument
    dt = natural_dt(calibration) if dt is None else dt
    law = price_law(calibration)
    measured = values["adverse_selection"]
    most = MOST_CARRIED * law["volatility"] * dt ** law["hurst_exponent"]
    carried = min(max(measured, 0.0), most) if math.isfinite(measured) else 0.0
    return Scenario(
        name="centre",
        horizon=STEPS * dt if horizon is None else horizon,
        dt=dt,
        price="additive",
        initial_price=initial_price,
        **law,
        base_intensity=values["base_intensity"],
        self_excitation=values["self_excitation"],
        cross_excitation=values["cross_excitation"],
        decay=values["decay"],
        reach=values["reach"],
        fill_decay=values["fill_decay"],
        adverse_selection=carried,
        maker_fee=1e-4 * maker_fee_bps,
        inventory_limit=inventory_limit,
        risk_aversion=RISK_AVERSION * values["fill_decay"],
        currency=instrument.money,
        tick_value=instrument.tick_value(initial_price) * order_lots,
    )


def price_law(calibration: Calibration) -> dict[str, Any]:
    """Return the keys of a scenario that describe how its price moves.

    Args:
        calibration: of a recording.

    Returns:
        `volatility`, `hurst_exponent`, `jump_intensity`, `jump_mean`, `jump_deviation`; an exponent of 0.5
        and jumps of intensity 0 unless the recording tells memory or jumps from none.
    """
    facts = calibration.facts
    values = {name: parameter.value for name, parameter in calibration.parameters.items()}
    volatility, hurst = values["volatility"], 0.5
    if facts.has_memory:
        volatility, hurst = facts.memory_volatility, values["hurst_exponent"]
    jumps = dict.fromkeys(("jump_intensity", "jump_mean", "jump_deviation"), 0.0)
    if facts.has_jumps:
        jumps = {name: values[name] for name in jumps}
        volatility *= math.sqrt(max(1.0 - values["jump_share"], LEAST_DIFFUSION))
    return {"volatility": volatility, "hurst_exponent": hurst, **jumps}
