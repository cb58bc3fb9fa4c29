"""What an agent sees of a session: the functions of `agent_view` and `flowhft.features`, for one path.

An agent that learned on `state` or `regime` here is an agent of `flowhft.simulate.quoting.agent`, scale by
scale: what it saw in training is what it sees when `flowhft evaluate` judges it.
"""

from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium.spaces import Box
from jaxtyping import Array, Float

from flowhft import features
from flowhft.features import Memory, Sensor, Units
from flowhft.policies.agent import VIEWS, units_in
from flowhft.rl.gymnasium.settings import EnvSettings
from flowhft.scenarios.scenario import Scenario
from flowhft.scenarios.sensor import sensor_for
from flowhft.simulate.quoting.agent import MOST, Scales, first_spread, scaled
from flowhft.simulate.quoting.agent_view import encode
from flowhft.types import Numeric, Observation, Quote

# Lots by which inventory and cash are divided.
TYPICAL_INVENTORY = 5.0


class Encoder(Protocol):
    """What turns observations into what the agent sees, with a memory of its own; a pytree.

    Attributes:
        units: what the agent knows of the market.
        scales: around the agent: they also turn its actions into half-spreads.
    """

    @property
    def units(self) -> Units: ...  # noqa: D102
    @property
    def scales(self) -> Scales: ...  # noqa: D102

    def init(self) -> Any:
        """Return the memory of a session that has just begun."""

    def see(self, memory: Any, observation: Observation) -> tuple[Float[Array, " feature"], Any]:
        """Return what the agent sees, and the memory after it."""

    def note(self, memory: Any, quote: Quote) -> Any:
        """Return the memory after a quote."""


class Raw(NamedTuple):
    """The state in seconds, ticks and lots; remembers the previous spread."""

    units: Units
    scales: Scales

    def init(self) -> Numeric:
        """Return the spread that counts as quoted last: the risk-neutral one, ticks."""
        return first_spread(self.scales, self.units)

    def see(self, memory: Numeric, observation: Observation) -> tuple[Float[Array, " feature"], Numeric]:
        """Return the features as they are."""
        return encode(self.units, observation, memory), memory

    def note(self, memory: Numeric, quote: Quote) -> Numeric:
        """Return the spread of the quote."""
        return quote.half_spread_bid + quote.half_spread_ask


class Scaled(NamedTuple):
    """The state, or the regime, as the network of an agent of `flowhft.simulate.quoting.agent` sees it."""

    units: Units
    scales: Scales

    def init(self) -> Numeric:
        """Return the spread that counts as quoted last: the risk-neutral one, ticks."""
        return first_spread(self.scales, self.units)

    def see(self, memory: Numeric, observation: Observation) -> tuple[Float[Array, " feature"], Numeric]:
        """Return the scaled features."""
        seen = encode(self.units, observation, memory)
        return scaled(self.scales.mean, self.scales.std, seen), memory

    def note(self, memory: Numeric, quote: Quote) -> Numeric:
        """Return the spread of the quote."""
        return quote.half_spread_bid + quote.half_spread_ask


class Context(NamedTuple):
    """What a policy can sense of its market: running estimates, none of them told."""

    units: Units
    scales: Scales
    sensor: Sensor

    def init(self) -> Memory:
        """Return every running mean at its prior."""
        return jax.tree.map(jnp.float32, features.remember_nothing(self.sensor))

    def see(self, memory: Memory, observation: Observation) -> tuple[Float[Array, " feature"], Memory]:
        """Return the `context` features."""
        memory = features.sense(self.sensor, memory, observation)
        return jnp.stack(features.context_features(self.sensor, memory, observation)), memory

    def note(self, memory: Memory, quote: Quote) -> Memory:
        """Return the memory with the spread of the quote."""
        return features.note_quote(memory, quote)


def scales_for(view: str, largest_offset: float, scenario: Scenario) -> Scales:
    """Return the scales around an agent of a scenario, float32.

    Time goes from -1 to 1; cash is in five lots times a session's move, inventory in five lots, the price in
    a session's move; the previous spread is around 2/k in units of 1/k. A session's move is volatility x
    horizon^H. The numbers behind the state of `regime` stay as they are, of order one.

    Args:
        view: of the agent, a key of `VIEWS`.
        largest_offset: largest action, in units of 1/k.
        scenario: its market.
    """
    known = units_in(view, scenario)
    move = scenario.volatility_ticks * scenario.horizon**scenario.hurst_exponent
    unit = 1.0 / scenario.fill_decay / known.half_spread
    mean = np.zeros(len(VIEWS[view]))
    std = np.ones(len(VIEWS[view]))
    mean[0] = std[0] = 0.5 * scenario.horizon / known.time
    std[1:4] = TYPICAL_INVENTORY * move / known.cash, TYPICAL_INVENTORY, move / known.price
    mean[4], std[4] = 2.0 * unit, unit
    sides = np.ones(2)
    values = (mean, std, unit * sides, unit * sides, -largest_offset * sides, largest_offset * sides)
    return Scales(*(jnp.asarray(value, jnp.float32) for value in values))


def names_in(settings: EnvSettings) -> tuple[str, ...]:
    """Return the names of what an agent sees, in their order."""
    seen = settings.observation
    return (
        features.NAMES["context"] if seen == "context" else VIEWS["regime" if seen == "regime" else "state"]
    )


def space_for(settings: EnvSettings) -> Box:
    """Return the space of one observation; money and prices have no bound of their own."""
    most = MOST if settings.observation in ("state", "regime") else np.inf
    return Box(-most, most, (len(names_in(settings)),), np.float32)


def encoder_for(settings: EnvSettings, scenario: Scenario) -> Encoder:
    """Return how an agent sees.

    Args:
        settings: of the environment.
        scenario: its market.
    """
    seen = settings.observation
    view = "regime" if seen == "regime" else "state"
    known, scales = units_in(view, scenario), scales_for(view, settings.largest_offset, scenario)
    encoder: Encoder
    if seen == "context":
        encoder = Context(known, scales, sensor_for(scenario))
    else:
        encoder = Raw(known, scales) if seen == "raw" else Scaled(known, scales)
    return jax.tree.map(lambda value: jnp.asarray(value, jnp.float32), encoder)
