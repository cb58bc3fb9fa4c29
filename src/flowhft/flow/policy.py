"""The flow policy: senses, draws a chunk of quotes, executes its first steps, and draws again."""

from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from flowhft import features
from flowhft.errors import require
from flowhft.features import Sensor
from flowhft.flow import objectives
from flowhft.flow.network import Network, network_from, weights_of
from flowhft.flow.normaliser import REACH, Normaliser, scale_features, unscale_quotes
from flowhft.flow.sampler import beginning, moved_up
from flowhft.policies import file
from flowhft.policies.adapter import IDENTITY, Adapter, compose
from flowhft.policies.flow import Flow
from flowhft.policies.plan import Plan
from flowhft.policies.plans import plan_of, require_sampler
from flowhft.policies.policy import Policy
from flowhft.policies.regime_adapter import RegimeAdapter
from flowhft.policies.settings import NetworkSettings, SamplerSettings
from flowhft.types import Observation, Quote


class Memory(NamedTuple):
    """What a flow policy remembers between two decisions of one session.

    Attributes:
        sensed: running estimates of the market.
        chunk: (horizon, side): half-spreads drawn last, scaled and clipped; zeros, the mean quote of the
            training data, before the first.
        cursor: steps of the chunk that were quoted.
        drawn: chunks that were drawn so far.
        noise: where it is held, the noise of the session's first chunk; else empty.
    """

    sensed: features.Memory
    chunk: Float[Array, "horizon side"]
    cursor: Int[Array, ""]
    drawn: Int[Array, ""]
    noise: Float[Array, " chunk"]


class FlowPolicy(eqx.Module):
    """A policy that draws chunks of quotes from a velocity network: a `flowhft.types.Policy` for one path.

    Attributes:
        network: the velocity network.
        normaliser: scales of features and half-spreads.
        sensor: the scales against which it senses.
        settings: shape of the network.
        sampler: how a chunk is drawn and how much of it is quoted.
        objective: name of the objective that trained it.
    """

    network: Network
    normaliser: Normaliser
    sensor: Sensor = eqx.field(static=True)
    settings: NetworkSettings = eqx.field(static=True)
    sampler: SamplerSettings = eqx.field(static=True)
    objective: str = eqx.field(static=True)

    def __check_init__(self) -> None:
        """Refuse a sampler that this network cannot honour."""
        require_sampler(self.sampler, self.settings, self.objective)

    @property
    def plan(self) -> Plan:
        """Return the evaluations by which a chunk is drawn.

        Raises:
            UsageError: the adaptive solver, which has no fixed number of them.
        """
        return plan_of(self.objective, self.sampler, self.settings.finest)

    def with_sampler(self, sampler: SamplerSettings) -> "FlowPolicy":
        """Return the same policy, its quotes drawn in another way.

        Raises:
            UsageError: the objective does not train such a sampler, or it executes more than a chunk.
        """
        return FlowPolicy(self.network, self.normaliser, self.sensor, self.settings, sampler, self.objective)

    def weights(self) -> dict[str, np.ndarray]:
        """Return the network's arrays by name, float32."""
        return {name: np.asarray(value) for name, value in weights_of(self.network).items()}

    def data(self) -> Flow:
        """Return the policy as data."""
        scales = {name: np.asarray(value) for name, value in self.normaliser._asdict().items()}
        return Flow(self.weights(), scales, self.sensor, self.settings, self.sampler, self.objective)

    def init(self) -> Memory:
        """Return the memory of a session that has just begun."""
        sensed = features.remember_nothing(self.sensor)
        return Memory(
            sensed=jax.tree.map(jnp.float32, sensed),
            chunk=jnp.zeros((self.settings.horizon, len(self.settings.answers)), jnp.float32),
            # Nothing left to execute: the first step draws.
            cursor=jnp.asarray(self.sampler.execute, jnp.int32),
            drawn=jnp.zeros((), jnp.int32),
            noise=jnp.zeros(self.settings.chunk_size if self._holds_noise else 0, jnp.float32),
        )

    @property
    def _holds_noise(self) -> bool:
        """Whether all chunks of a session begin at the same noise."""
        return self.sampler.noise == "held" and self.sampler.noise_scale > 0.0

    def noise(self, key: PRNGKeyArray) -> Float[Array, " chunk"]:
        """Draw the noise of a chunk: `noise_scale` times standard normal numbers."""
        size, scale = self.settings.chunk_size, self.sampler.noise_scale
        if scale == 0.0:
            return jnp.zeros(size, jnp.float32)
        return scale * jax.random.normal(key, (size,), jnp.float32)

    def carry(
        self,
        raw_features: Float[Array, " feature"],
        noise: Float[Array, " chunk"],
        known: Float[Array, "horizon side"],
    ) -> Float[Array, "horizon side"]:
        """Return the chunk of scaled half-spreads, clipped, to which the sampler carries noise.

        Args:
            raw_features: as the feature function returns them.
            noise: from `noise`.
            known: the chunk from which a warm start begins, scaled; not used without one.
        """
        scaled = scale_features(self.normaliser, raw_features)
        start = beginning(noise, known.ravel(), self.sampler.warm_start)
        chunk = objectives.get(self.objective).carry(self.network, start, scaled, self.sampler)
        return jnp.clip(chunk, -REACH, REACH).reshape(self.settings.horizon, -1)

    def draw(self, raw_features: Float[Array, " feature"], key: PRNGKeyArray) -> Float[Array, "horizon side"]:
        """Draw the first chunk of half-spreads of a session.

        Args:
            raw_features: as the feature function returns them.
            key: for the sampler's noise.

        Returns:
            Ticks; row h is for h steps from now, columns bid and ask.
        """
        chunk = self.carry(raw_features, self.noise(key), self.init().chunk)
        return unscale_quotes(self.normaliser, chunk)

    def _next(self, memory: Memory, raw_features: Float[Array, " feature"], key: PRNGKeyArray) -> Memory:
        """Return the memory with a new chunk in the place of one that was executed."""
        if self._holds_noise:
            noise = jax.lax.cond(memory.drawn == 0, lambda: self.noise(key), lambda: memory.noise)
            memory = memory._replace(noise=noise)
        else:
            noise = self.noise(key)
        chunk = self.carry(raw_features, noise, moved_up(memory.chunk, self.sampler.execute))
        return memory._replace(chunk=chunk, cursor=jnp.zeros_like(memory.cursor), drawn=memory.drawn + 1)

    @property
    def always_quotes(self) -> bool:
        """Whether it quotes both sides at all times."""
        return True

    def act(self, memory: Memory, observation: Observation, key: PRNGKeyArray) -> tuple[Quote, Memory]:
        """Return the quote for this observation and the memory for the next one.

        Args:
            memory: from `init` or the step before.
            observation: of one path.
            key: for the sampler's noise.

        Returns:
            Half-spreads in ticks, and the new memory.
        """
        require(
            self.settings.features in features.FUNCTIONS,
            "policy",
            "be told its market before it quotes there",
            f"one of kind '{self.settings.features}' as it was trained",
            "`flowhft.policies.flow.Flow.knowing` tells it.",
        )
        sensed = features.sense(self.sensor, memory.sensed, observation)
        feature_function = features.FUNCTIONS[self.settings.features]
        raw = jnp.stack(
            [jnp.asarray(x, jnp.float32) for x in feature_function(self.sensor, sensed, observation)]
        )
        if self.sampler.execute == 1:
            memory = self._next(memory, raw, key)
        else:
            memory = jax.lax.cond(
                memory.cursor >= self.sampler.execute,
                lambda: self._next(memory, raw, key),
                lambda: memory,
            )
        quote = Quote(*unscale_quotes(self.normaliser, memory.chunk[memory.cursor]))
        return quote, memory._replace(sensed=features.note_quote(sensed, quote), cursor=memory.cursor + 1)


def flow_policy(flow: Flow) -> FlowPolicy:
    """Return a flow as the lab runs it."""
    scales = Normaliser(*(jnp.asarray(flow.normaliser[name]) for name in Normaliser._fields))
    network = network_from(dict(flow.weights), flow.settings.finest)
    return FlowPolicy(network, scales, flow.sensor, flow.settings, flow.sampler, flow.objective)


def as_data(
    policy: FlowPolicy,
    adapter: Adapter | RegimeAdapter = IDENTITY,
    training: dict[str, Any] | None = None,
    dial: tuple[float, ...] | None = None,
    behind: Adapter = IDENTITY,
) -> Policy:
    """Return a flow policy of the lab as data, with what belongs behind it.

    Args:
        policy: it.
        adapter: the map that belongs behind it, or the network that works it out.
        training: how it came about, for people and manifests: what JSON can hold.
        dial: of a regime adapter: lowest and highest risk dial that it was trained for.
        behind: of a regime adapter: a map that comes after it, fitted to a market, in its ticks.
    """
    if isinstance(adapter, RegimeAdapter):
        regime, last = RegimeAdapter(*map(np.asarray, adapter)), behind
    else:
        regime, last = None, compose(behind, adapter)
    return Policy(policy.data(), regime, Adapter(*map(float, last)), dial, training or {})


def save_policy(path: Path, policy: FlowPolicy, *behind: Any, **more: Any) -> None:
    """Write a flow policy of the lab with what belongs behind it: arguments of `as_data`, one file."""
    file.save_policy(path, as_data(policy, *behind, **more))
