"""What an agent sees of an observation, in jax: the arithmetic is that of `flowhft.policies.actor`."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from flowhft.policies.actor import Units, state
from flowhft.types import Numeric, Observation


def look(units: Units, observation: Observation, previous_spread: Numeric) -> Float[Array, " feature"]:
    """Return what an agent sees, before its scales.

    Args:
        units: of the market, or `flowhft.policies.actor.IN_TICKS`.
        observation: of one path.
        previous_spread: that the agent quoted last, ticks, full width.

    Returns:
        The features named in `flowhft.policies.agent.VIEWS`, shape (feature,).
    """
    numbers = jnp.stack(
        [jnp.asarray(number, jnp.float32) for number in state(units, observation, previous_spread)]
    )
    return jnp.concatenate([numbers, jnp.asarray(units.regime, jnp.float32)])
