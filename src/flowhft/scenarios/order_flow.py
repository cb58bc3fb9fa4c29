"""Order flow that moves the price, as a scenario says it: imbalance, orders that follow it, impact."""

import math
from dataclasses import dataclass, replace
from typing import Any

from flowhft.errors import require

MOST_SLOPE = 2.0  # of the logarithm of the rate on a standardised imbalance: a deviation is a factor of 7


@dataclass(frozen=True)
class OrderFlow:
    """How the book foretells orders and price, and how orders move the price.

    The imbalance of the sizes at the touch, standardised, is made of a fast and a slow part (z1 and z2, two
    Ornstein-Uhlenbeck processes of variance 1) and of noise that says nothing:

        imbalance = sqrt(fast_share) z1 + sqrt(slow_share) z2 + noise
        lean      = order_slope (sqrt(fast_share) z1 + sqrt(slow_share) z2)
        buys come at base_intensity exp(+lean - variance of lean / 2), sells at exp(-lean - ...)
        dS = (fast_drift sqrt(fast_share) z1 + slow_drift sqrt(slow_share) z2) dt
             + sum over orders of +-(order_response + reach_response R) + volatility dW

    R is how far from the mid an order reaches, ticks, 0 where it would not reach a quote at the mid. The
    order that fills a quote moves the price by what it reached.
    """

    fast_share: float = 0.0
    """Share of the variance of the imbalance that fades fast, 0 to 1."""
    slow_share: float = 0.0
    """Share that fades slowly, 0 to 1; the rest of 1 is noise."""
    fast_time: float = 1.0
    """Seconds in which the fast part fades by a factor of e."""
    slow_time: float = 10.0
    """The same for the slow part."""
    fast_drift: float = 0.0
    """Drift of the mid that a fast part of one deviation of the imbalance brings, ticks per second."""
    slow_drift: float = 0.0
    """The same for the slow part."""
    order_slope: float = 0.0
    """Logarithm of the factor on the orders that buy where those parts are one deviation of the imbalance."""
    order_response: float = 0.0
    """Move of the mid with every market order in its direction, ticks."""
    reach_response: float = 0.0
    """Move of the mid for every tick that a market order reaches, ticks."""
    reach_imbalance: float = 0.0
    """Deviations by which an order that reaches 1 / k pushes the fast part in its direction: the price then
    drifts on."""
    imbalance_deviation: float = 1.0
    """Standard deviation of the imbalance at the touch, (bid - ask) / (bid + ask): what a maker sees is the
    standardised one times this."""

    def __post_init__(self) -> None:
        where = "[`order_flow`]"
        for name, value in vars(self).items():
            require(math.isfinite(value), name, "be finite", f"{value} {where}")
        for name in ("fast_share", "slow_share", "order_response", "reach_response", "reach_imbalance"):
            value = getattr(self, name)
            require(value >= 0.0, name, "not be negative", f"{value} {where}")
        require(
            self.imbalance_deviation > 0.0,
            "imbalance_deviation",
            "be positive",
            f"{self.imbalance_deviation} {where}",
        )
        require(
            self.share <= 1.0 + 1e-9,
            "slow_share",
            "leave the sum of both shares at 1 at most",
            f"{self.slow_share} with fast_share {self.fast_share} {where}",
        )
        require(
            0.0 < self.fast_time < self.slow_time,
            "fast_time",
            "be positive and below `slow_time`",
            f"{self.fast_time} s with {self.slow_time} s {where}",
        )
        require(
            abs(self.order_slope) <= MOST_SLOPE,
            "order_slope",
            f"be at most {MOST_SLOPE:g} in size",
            f"{self.order_slope} {where}",
        )

    def in_ticks(self, factor: float, reach: float | None = None) -> "OrderFlow":
        """Return the same with every move that it brings multiplied.

        Args:
            factor: on drifts and on the response to an order.
            reach: on the response to a tick of reach; None for the same factor.
        """
        return replace(
            self,
            fast_drift=self.fast_drift * factor,
            slow_drift=self.slow_drift * factor,
            order_response=self.order_response * factor,
            reach_response=self.reach_response * (factor if reach is None else reach),
        )

    @property
    def share(self) -> float:
        """Return the share of the variance of the imbalance that says something, 0 to 1."""
        return self.fast_share + self.slow_share

    @property
    def parts(self) -> tuple[tuple[float, float, float], ...]:
        """Return share, time (s) and drift (ticks per second and deviation) of the fast and the slow part."""
        return (
            (self.fast_share, self.fast_time, self.fast_drift),
            (self.slow_share, self.slow_time, self.slow_drift),
        )


def require_order_flow(values: Any, where: str) -> None:
    """Refuse what a market in which order flow moves the price cannot have.

    Args:
        values: the scenario.
        where: for messages.

    Raises:
        UsageError: naming the key.
    """
    for name, must, holds in (
        ("price", "be 'additive'", values.price == "additive"),
        ("exciter", "be 'arrivals'", values.exciter == "arrivals"),
        ("adverse_selection", "be 0", values.adverse_selection == 0.0),
        ("refill", "be false", not values.refill),
    ):
        reason = f"{must} where order flow moves the price"
        require(holds, name, reason, f"{getattr(values, name)} {where}", "Or leave `order_flow` out.")
    for name in ("base_intensity_ask", "self_excitation_ask", "cross_excitation_ask"):
        rule = "be left out where order flow moves the price, whose sides are alike"
        require(getattr(values, name) is None, name, rule, f"{getattr(values, name)} {where}")
    flow = values.order_flow
    gain = 2.0 * values.mean_intensity * flow.order_slope * flow.reach_imbalance * flow.fast_time
    gain *= math.sqrt(flow.fast_share) * values.fill_decay * reach_moments(values)[0]
    require(
        gain < 0.5,
        "reach_imbalance",
        "be so small that orders which push the imbalance do not set themselves off: a gain below 0.5",
        f"{flow.reach_imbalance}, a gain of {gain:.3g} {where}",
        "Lower it or the order slope.",
    )


def reach_moments(scenario: Any) -> tuple[float, float]:
    """Return the first two moments of how far a market order reaches from the mid, ticks and ticks squared.

    P(R >= d) = min(1, reach exp(-k d)) for d > 0.

    Args:
        scenario: its `reach` and `fill_decay`.
    """
    rho, k = scenario.reach, scenario.fill_decay
    if rho <= 1.0:
        return rho / k, 2.0 * rho / k**2
    least = math.log(rho) / k
    return least + 1.0 / k, least**2 + 2.0 * least / k + 2.0 / k**2


def response_at(scenario: Any, distance: float) -> float:
    """Return the expected move of the mid with an order that reaches a quote, ticks.

    order_response + reach_response E[R | R >= distance]; other orders of the step are left out.

    Args:
        scenario: with an order flow.
        distance: of the quote from the mid, ticks, not negative.
    """
    flow, k = scenario.order_flow, scenario.fill_decay
    least = max(math.log(scenario.reach) / k, 0.0)
    return float(flow.order_response + flow.reach_response * (max(distance, least) + 1.0 / k))


def foretold_drifts(scenario: Any) -> tuple[float, float]:
    """Return the drift that comes with a fast and a slow part of one deviation of the imbalance, ticks / s.

    drift + order_slope L_base m1 / (1 - n), by its own drift and by the orders that follow it: see
    `flow_variance` for the letters.

    Args:
        scenario: with an order flow.
    """
    flow = scenario.order_flow
    first = flow.order_response + flow.reach_response * reach_moments(scenario)[0]
    kept = 1.0 - (scenario.self_excitation - scenario.cross_excitation) / scenario.decay
    by_orders = flow.order_slope * 2.0 * scenario.base_intensity * first / kept
    fast, slow = (drift + by_orders for _, _, drift in flow.parts)
    return fast, slow


def signals_of(scenario: Any) -> tuple[tuple[float, float], ...]:
    """Return what an imbalance of 1 at the touch foretells, by part: drift, ticks / s, and fading, 1 / s.

    A maker sees parts and noise together, of variance 1 when standardised; given their sum, each part is
    expected to be its share of it.

    Args:
        scenario: with an order flow.
    """
    flow = scenario.order_flow
    return tuple(
        (share * drift / flow.imbalance_deviation, 1.0 / time)
        for (share, time, _), drift in zip(flow.parts, foretold_drifts(scenario), strict=True)
        if share * drift != 0.0
    )


def flow_variance(scenario: Any) -> float:
    """Return the variance of a session's move that order flow and imbalance add, a second, ticks squared.

    With m1, m2 the moments of a response, L the market orders of both sides a second, n the branching of buys
    less sells, (self - cross excitation) / decay, and a lean small enough to be linear,

        m1^2 L / (1 - n)^2 + L (m2 - m1^2) + sum over parts of 2 tau (1 - tau (1 - exp(-T / tau)) / T) c^2
        c = sqrt(share) (drift + order_slope L_base m1 / (1 - n))

    after T, where L_base are the orders of both sides without excitation: marks on a Hawkes process (Hawkes,
    1971) and integrals of Ornstein-Uhlenbeck processes. Excitation is taken to have faded within T, and what
    orders push the imbalance by is left out.

    Args:
        scenario: with an order flow.
    """
    flow = scenario.order_flow
    mean, square = reach_moments(scenario)
    kappa, eta = flow.order_response, flow.reach_response
    first = kappa + eta * mean
    second = kappa**2 + 2.0 * kappa * eta * mean + eta**2 * square
    kept = 1.0 - (scenario.self_excitation - scenario.cross_excitation) / scenario.decay
    orders = 2.0 * scenario.mean_intensity
    variance = first**2 * orders / kept**2 + orders * (second - first**2)
    for (share, time, _), drift in zip(flow.parts, foretold_drifts(scenario), strict=True):
        rate = math.sqrt(share) * drift
        passed = scenario.horizon / time
        variance += 2.0 * time * (1.0 + math.expm1(-passed) / passed) * rate**2
    return variance
