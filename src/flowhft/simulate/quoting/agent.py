"""An agent: an actor with the scales around it, as a policy for one path, in jax.

The arithmetic is that of `flowhft.policies.actor`.
"""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from flowhft.features import Units
from flowhft.policies import actor
from flowhft.policies.actor import MOST, SIDES, Actor, Scales, decided, first_spread, quote_of, scaled
from flowhft.simulate.quoting.agent_view import encode
from flowhft.types import Numeric, Observation, Quote

__all__ = ["MOST", "Actor", "Agent", "Scales", "first_spread", "forward", "quote_of", "scaled"]


def forward(
    weights: Sequence[Float[Array, "in out"]],
    biases: Sequence[Float[Array, " out"]],
    features: Float[Array, "... feature"],
) -> Float[Array, "... out"]:
    """Return what a multilayer perceptron makes of scaled features: tanh between its layers, none behind."""
    return actor.forward(tuple(weights), tuple(biases), features, jnp.tanh)


class Agent(eqx.Module):
    """A policy learned by trial and error; deterministic: it quotes the mean of its Gaussian.

    Attributes:
        actor: its network.
        scales: between features, network and half-spreads.
        units: what it knows of the market: its units, and the numbers of the regime, if any.
    """

    actor: Actor
    scales: Scales
    units: Units

    @property
    def always_quotes(self) -> bool:
        """Whether it quotes both sides at all times: it has no numbers that say otherwise."""
        return self.actor.biases[-1].shape[-1] == SIDES

    @property
    def sees_price(self) -> bool:
        """Whether quotes depend on the mid price: they do, it is part of the state."""
        return True

    def init(self) -> Numeric:
        """Return the memory of a session that has just begun: the spread quoted last, ticks."""
        return jnp.asarray(first_spread(self.scales, self.units), jnp.float32)

    def act(self, memory: Numeric, observation: Observation, key: Any) -> tuple[Quote, Numeric]:
        """Return the quote for this observation, and the spread quoted last for the next one."""
        seen = encode(self.units, observation, memory)
        features = scaled(self.scales.mean, self.scales.std, seen)
        output = forward(self.actor.weights, self.actor.biases, features)
        return decided(self.scales, self.units, output, jnp)
