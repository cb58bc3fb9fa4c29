"""What an agent sees of an observation: the state of the paper, in ticks or in the units of the market.

`state` is the state of the FlowHFT paper's PPO: time, cash, inventory, price and the spread quoted last,
and nothing of the regime. `regime` is the same divided by what the scenario tells (a trader's units: half a
spread, a session, a typical move), and behind it the numbers of the regime itself.
"""

from typing import Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from flowhft.errors import UnknownNameError
from flowhft.features import REGIME
from flowhft.scenarios.known import regime_of
from flowhft.scenarios.scenario import Scenario
from flowhft.types import Numeric, Observation

View = Literal["state", "regime"]
STATE = ("time", "cash", "inventory", "mid_price", "previous_spread")
# View -> the names of its features, in their order.
VIEWS: dict[str, tuple[str, ...]] = {"state": STATE, "regime": STATE + REGIME}


class Told(NamedTuple):
    """What an agent is told about the market: its units, and the numbers of the regime, if any.

    Attributes:
        half_spread: unit of half-spreads, ticks.
        time: unit of time, seconds.
        price: unit of the mid price's way since the session began, ticks.
        cash: unit of cash, tick x lot.
        regime: numbers behind the state, shape (regime,); empty for an agent that is told nothing.
    """

    half_spread: Numeric
    time: Numeric
    price: Numeric
    cash: Numeric
    regime: Float[Array, " regime"] | np.ndarray


# Told nothing: everything stays in ticks, seconds and lots.
IN_TICKS = Told(1.0, 1.0, 1.0, 1.0, np.zeros(0, np.float32))


def told(view: str, scenario: Scenario) -> Told:
    """Return what an agent of a view is told in a scenario: units, and the numbers of `regime_of` if any.

    Raises:
        UnknownNameError: no such view.
    """
    if view not in VIEWS:
        raise UnknownNameError("view", view, VIEWS)
    if view == "state":
        return IN_TICKS
    unit = 1.0 / scenario.fill_decay
    move = scenario.volatility_ticks * scenario.horizon**scenario.hurst_exponent
    return Told(unit, scenario.horizon, move, move, regime_of(scenario))


def look(told: Told, observation: Observation, previous_spread: Numeric) -> Float[Array, " feature"]:
    """Return what an agent sees, before its scales.

    Args:
        told: of the market, or `IN_TICKS`.
        observation: of one path.
        previous_spread: that the agent quoted last, ticks, full width.

    Returns:
        The features named in `VIEWS`, shape (feature,).
    """
    state = (
        observation.time / told.time,
        observation.cash / told.cash,
        observation.inventory,
        observation.mid_price / told.price,
        previous_spread / told.half_spread,
    )
    numbers = jnp.stack([jnp.asarray(number, jnp.float32) for number in state])
    return jnp.concatenate([numbers, jnp.asarray(told.regime, jnp.float32)])
