"""What an agent sees of an observation, in jax: the arithmetic is that of `flowhft.features`."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from flowhft.features import LastSpread, Units, state_features
from flowhft.types import Numeric, Observation


def encode(units: Units, observation: Observation, previous_spread: Numeric) -> Float[Array, " feature"]:
    """Return what an agent sees, before its scales.

    Args:
        units: of the market, or `flowhft.features.IN_TICKS`.
        observation: of one path.
        previous_spread: that the agent quoted last, ticks, full width.

    Returns:
        The features named in `flowhft.policies.agent.VIEWS`, shape (feature,).
    """
    seen = state_features(units, LastSpread(previous_spread), observation)
    numbers = jnp.stack([jnp.asarray(number, jnp.float32) for number in seen])
    return jnp.concatenate([numbers, jnp.asarray(units.regime, jnp.float32)])
