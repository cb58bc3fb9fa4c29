"""The market orders of simulated sessions, whoever quotes: when the fills of any quote are known beforehand.

In the simulator a quote at half-spread d fills where at least one of a step's n orders of that side reaches
it, which one uniform number u decides: u < 1 - (1 - p(d))^n, p(d) = min(1, reach exp(-k d)). That is the same
as an order that reaches exactly as far as the M at which both sides are equal,

    1 - (1 - p(M))^n = u,

and fills every quote with d <= M: M is the deepest of the n reaches, and does not depend on who quotes. So a
simulated session *is* a tape of market orders, and a replay of it meets the same fills, but for the tick
grid, the queue at the quote's own price, and latency.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from flowhft.errors import require
from flowhft.scenarios.scenario import Scenario
from flowhft.types import Numeric

RAREST = 1e-12  # probability of the longest reach that is told apart


class Orders(NamedTuple):
    """The market orders of simulated sessions, whoever quotes: arrays, the first axis the path.

    Attributes:
        mid_price: ticks, relative to the session's first, at every step's start and at the end, (step + 1).
        arrivals: market orders of a step that came for bids, for asks, (step, side).
        uniform: what is left of the uniform number that decides how far the deepest of them reaches, from 0
            (infinitely far) to 1, (step, side).
    """

    mid_price: Numeric
    arrivals: Numeric
    uniform: Numeric


def deepest_reach(
    scenario: Scenario, count: Float[np.ndarray, "*shape"], uniform: Float[np.ndarray, "*shape"]
) -> Float[np.ndarray, "*shape"]:
    """Return how far from the mid the deepest of a step's orders reaches, ticks; -inf where none came.

    A quote at a half-spread up to this is filled in the simulator, one beyond is not.

    Args:
        scenario: whose fills they are.
        count: of the orders.
        uniform: see `Orders`.
    """
    with np.errstate(divide="ignore"):
        share = -np.expm1(np.log1p(-np.minimum(uniform, 1.0)) / np.maximum(count, 1.0))
    reach = np.log(scenario.reach / np.maximum(share, RAREST)) / scenario.fill_decay
    return np.where(count > 0, reach, -np.inf)


def require_free_orders(scenario: Scenario) -> None:
    """Refuse a scenario whose market orders depend on who quotes: there are none to be told beforehand.

    Args:
        scenario: any.

    Raises:
        UsageError: own fills excite.
    """
    require(
        scenario.exciter == "arrivals",
        "exciter",
        "be 'arrivals' for an export: the market orders must not depend on who quotes",
        f"'{scenario.exciter}' [scenario '{scenario.name}']",
    )
