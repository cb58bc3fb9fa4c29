"""An agent: an actor network with the scales around it, as a policy for one path."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from flowhft.simulate.quoting.agent_view import Told, look
from flowhft.types import Numeric, Observation, Quote

MOST = 10.0  # scaled features are clipped here: what was never seen in training should not saturate


class Actor(NamedTuple):
    """A multilayer perceptron, tanh between its layers: scaled features in, mean action out.

    Attributes:
        weights: one matrix a layer, shape (in, out).
        biases: one vector a layer, shape (out,).
        log_std: logarithm of the action's standard deviation, with which it explored, shape (side,).
    """

    weights: tuple[Float[Array, "in out"], ...]
    biases: tuple[Float[Array, " out"], ...]
    log_std: Float[Array, " side"]


class Scales(NamedTuple):
    """What lies between features, network and half-spreads.

    Half-spread = unit (centre + scale min(max(action, low), high)), with the unit of `Told.half_spread`.

    Attributes:
        mean, std: of the features, shape (feature,): the network sees (feature - mean) / std.
        centre: half-spread of the action 0, in units, shape (side,).
        scale: of an action of 1, in units, shape (side,).
        low, high: actions are cut to this range, shape (side,).
    """

    mean: Float[Array, " feature"]
    std: Float[Array, " feature"]
    centre: Float[Array, " side"]
    scale: Float[Array, " side"]
    low: Float[Array, " side"]
    high: Float[Array, " side"]


def scaled(
    mean: Float[Array, " feature"], std: Float[Array, " feature"], features: Float[Array, "... feature"]
) -> Float[Array, "... feature"]:
    """Return features as the network sees them: standardised, and clipped."""
    return jnp.clip((features - mean) / std, -MOST, MOST)


def forward(
    weights: Sequence[Float[Array, "in out"]],
    biases: Sequence[Float[Array, " out"]],
    features: Float[Array, "... feature"],
) -> Float[Array, "... out"]:
    """Return what a multilayer perceptron makes of scaled features: tanh between its layers, none behind."""
    hidden = features
    for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
        hidden = jnp.tanh(hidden @ weight + bias)
    return hidden @ weights[-1] + biases[-1]


def quote_of(scales: Scales, told: Told, action: Float[Array, " side"]) -> Quote:
    """Return the quote that an action stands for."""
    spreads = scales.centre + scales.scale * jnp.clip(action, scales.low, scales.high)
    return Quote(told.half_spread * spreads[0], told.half_spread * spreads[1])


def first_spread(scales: Scales, told: Told) -> Numeric:
    """Return the spread that counts as quoted last when a session begins: that of the action 0, ticks."""
    return told.half_spread * jnp.sum(scales.centre)


class Agent(eqx.Module):
    """A policy learned by trial and error; deterministic: it quotes the mean of its Gaussian.

    Attributes:
        actor: its network.
        scales: between features, network and half-spreads.
        told: what it knows of the market.
    """

    actor: Actor
    scales: Scales
    told: Told

    @property
    def sees_price(self) -> bool:
        """Whether quotes depend on the mid price: they do, it is part of the state."""
        return True

    def init(self) -> Numeric:
        """Return the memory of a session that has just begun: the spread quoted last, ticks."""
        return jnp.asarray(first_spread(self.scales, self.told), jnp.float32)

    def act(self, memory: Numeric, observation: Observation, key: Any) -> tuple[Quote, Numeric]:
        """Return the quote for this observation, and the spread quoted last for the next one."""
        seen = look(self.told, observation, memory)
        features = scaled(self.scales.mean, self.scales.std, seen)
        quote = quote_of(self.scales, self.told, forward(self.actor.weights, self.actor.biases, features))
        return quote, quote.half_spread_bid + quote.half_spread_ask
