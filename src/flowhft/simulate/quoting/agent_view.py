"""What an agent sees of an observation: the state of the paper, in ticks or in the units of the market.

`state` is the state of the FlowHFT paper's PPO: time, cash, inventory, price and the spread quoted last,
and nothing of the regime. `regime` is the same divided by what the scenario tells (a trader's units: half a
spread, a session, a typical move), and behind it the numbers of the regime itself.
"""

from typing import Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from flowhft.errors import UnknownNameError
from flowhft.features import REGIME
from flowhft.policies.actor import IN_TICKS, STATE, state
from flowhft.policies.actor import Units as Told
from flowhft.scenarios.scenario import Scenario
from flowhft.types import Numeric, Observation

View = Literal["state", "regime"]
# View -> the names of its features, in their order.
VIEWS: dict[str, tuple[str, ...]] = {"state": STATE, "regime": STATE + REGIME}


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


def regime_of(scenario: Scenario) -> Float[np.ndarray, " regime"]:
    """Return the numbers of a scenario's regime, dimensionless, in the order of `REGIME`.

    The logarithm of a session's move in half-spreads (volatility), of the market orders a side in a
    session and in a step (demand), the mean move over the session in half-spreads, hidden jump drift
    included (drift), the Hurst exponent less 1/2, the branching ratio, jumps a session and the adverse
    selection in half-spreads. A half-spread is 1 / k.
    """
    unit = 1.0 / scenario.fill_decay
    move = scenario.volatility_ticks * scenario.horizon**scenario.hurst_exponent
    regime = (
        np.log(move / unit),
        np.log(scenario.mean_intensity * scenario.reach * scenario.horizon),
        np.log(scenario.mean_intensity * scenario.reach * scenario.dt),
        (scenario.drift_ticks + hidden_drift(scenario)) * scenario.horizon / unit,
        scenario.hurst_exponent - 0.5,
        scenario.branching_ratio,
        scenario.jump_intensity * scenario.horizon,
        scenario.adverse_selection / unit,
    )
    return np.array(regime, np.float32)


def hidden_drift(scenario: Scenario) -> float:
    """Return the drift that jumps add where they are not compensated, ticks per second."""
    if scenario.jumps_compensated:
        return 0.0
    if scenario.price == "lognormal":
        mean_jump = np.expm1(scenario.jump_mean + 0.5 * scenario.jump_deviation**2) * scenario.initial_price
    else:
        mean_jump = scenario.jump_mean
    return float(scenario.jump_intensity * mean_jump)


def look(told: Told, observation: Observation, previous_spread: Numeric) -> Float[Array, " feature"]:
    """Return what an agent sees, before its scales.

    Args:
        told: of the market, or `IN_TICKS`.
        observation: of one path.
        previous_spread: that the agent quoted last, ticks, full width.

    Returns:
        The features named in `VIEWS`, shape (feature,).
    """
    numbers = jnp.stack(
        [jnp.asarray(number, jnp.float32) for number in state(told, observation, previous_spread)]
    )
    return jnp.concatenate([numbers, jnp.asarray(told.regime, jnp.float32)])
