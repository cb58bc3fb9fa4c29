"""What a maker who is told everything knows: totals of the law of the price and of the order flow.

Stated parameters leave out what jumps and bursts add to the volatility, what jumps that are not compensated
add to the drift, what adverse selection costs, and the orders that the maker's own fills excite.
"""

import math

from scipy.optimize import brentq

from flowhft.errors import require
from flowhft.scenarios.order_flow import flow_variance
from flowhft.scenarios.scenario import Scenario
from flowhft.types import Estimates


def total_estimates(scenario: Scenario) -> Estimates:
    """Return the estimates of a maker who is told everything about a market.

    - volatility: root of the variance of a session's move, a second. If additive that is sigma^2
      horizon^(2H - 1), raised by the share of time in bursts, plus the second moment of jumps a second; if
      lognormal S0^2 exp(2 growth) (exp(that variance of returns) - 1). What order flow adds counts.
    - drift: mean move of a session a second, uncompensated jumps included.
    - intensity: where own fills excite, the mean intensity that follows from quoting 1 / k on both sides:
      the solution of lambda = mu + branching ratio x fills a second.
    - fill_cost: the adverse move that is expected at a fill, besides the fee.

    Not in them: that a price with memory can be predicted within a session, that the sides differ in
    one-sided flow (their average is told), and that intensities fluctuate around their mean, which an expert
    sees and an oracle of averages does not use. Exact without bursts; with them approximate if the price has
    memory, whose steps in and out of a burst are taken for ones within it, or is lognormal.

    Args:
        scenario: the market.

    Raises:
        UsageError: own fills at 1 / k would excite the order flow without bounds.
    """
    stated = scenario.estimates()
    relative = scenario.price == "lognormal"
    unit = scenario.initial_price if relative else 1.0
    begin, last = scenario.burst_intensity, scenario.burst_duration
    in_bursts = begin * last / (1.0 + begin * last)
    variance = scenario.volatility**2 * scenario.horizon ** (2.0 * scenario.hurst_exponent - 1.0)
    variance *= 1.0 + in_bursts * (scenario.burst_factor**2 - 1.0)
    mean, deviation = scenario.jump_mean, scenario.jump_deviation
    if relative:
        jump = math.expm1(mean + 0.5 * deviation**2)
        square = math.exp(2.0 * mean + 2.0 * deviation**2) - 2.0 * (jump + 1.0) + 1.0
    else:
        jump, square = mean, mean**2 + deviation**2
    variance += scenario.jump_intensity * square
    if scenario.order_flow is not None:
        variance += flow_variance(scenario)
    drift = scenario.drift + (0.0 if scenario.jumps_compensated else scenario.jump_intensity * jump)
    if relative:
        growth = drift * scenario.horizon
        variance = math.exp(2.0 * growth) * math.expm1(variance * scenario.horizon) / scenario.horizon
        drift = math.expm1(growth) / scenario.horizon
    intensity = _own_intensity(scenario) if scenario.exciter == "own_fills" else scenario.mean_intensity
    return stated._replace(
        volatility=unit * math.sqrt(variance),
        drift=unit * drift,
        intensity=scenario.reach * intensity,
        fill_cost=stated.fill_cost + scenario.adverse_move,
    )


def _own_intensity(scenario: Scenario) -> float:
    """Return the mean intensity in the presence of a maker who quotes 1 / k on both sides, 1 / second."""
    base, share = scenario.mean_intensity, scenario.reach * math.exp(-1.0)
    if scenario.quotes_beyond_mid_clipped:
        share = min(1.0, share)
    if scenario.refill:
        caused = scenario.branching_ratio * share
        require(
            caused < 1.0,
            "reach",
            "be below e / branching ratio where own fills excite and are refilled: no mean intensity exists",
            f"{scenario.reach:g} with a branching ratio of {scenario.branching_ratio:g} "
            f"[scenario '{scenario.name}']",
            "Lower it or the excitation, or set clip_beyond_mid = true.",
        )
        return base / (1.0 - caused)

    def excess(intensity: float) -> float:
        fills = -math.expm1(-intensity * share * scenario.dt) / scenario.dt
        return base + scenario.branching_ratio * fills - intensity

    # One lot a step at most: there are never more than 1 / dt fills a second.
    return float(brentq(excess, base, base + scenario.branching_ratio / scenario.dt))
