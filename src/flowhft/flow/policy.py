"""The flow policy: senses, draws a chunk of quotes, executes its first steps, and draws again."""

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from flowhft import features
from flowhft.desk.compiled import Frozen, fold
from flowhft.errors import DataError, UsageError, require
from flowhft.features import Sensor, sensor_in_units
from flowhft.flow import objectives
from flowhft.flow.network import Network, network_from, weight_shapes, weights_of
from flowhft.flow.normaliser import REACH, Normaliser, scale_features, unscale_quotes
from flowhft.flow.sampler import beginning, moved_up
from flowhft.flow.settings import NetworkSettings, SamplerSettings
from flowhft.policies.adapter import IDENTITY, Adapter, compose
from flowhft.policies.plan import Plan
from flowhft.policies.regime_adapter import SEES, TOLD, RegimeAdapter
from flowhft.policies.regime_adapter import shapes_of as regime_shapes
from flowhft.runs.archive import read_archive, require_arrays, write_archive
from flowhft.types import Observation, Quote

FORMAT = "flowhft.policy"
VERSION = 2
_WHAT = "a flow policy"


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


def require_sampler(sampler: SamplerSettings, settings: NetworkSettings, objective: str) -> None:
    """Require a sampler that a network of these settings, trained by this objective, can honour.

    Raises:
        UsageError: more is executed than predicted, or the objective does not train such steps.
        UnknownNameError: no such objective.
    """
    require(
        sampler.execute <= settings.horizon,
        "execute",
        f"be at most the horizon of {settings.horizon} steps",
        sampler.execute,
    )
    objectives.get(objective).require_sampler(sampler, settings.finest)


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
        return objectives.get(self.objective).plan(self.sampler, self.settings.finest)

    def with_sampler(self, sampler: SamplerSettings) -> "FlowPolicy":
        """Return the same policy, its quotes drawn in another way.

        Raises:
            UsageError: the objective does not train such a sampler, or it executes more than a chunk.
        """
        return FlowPolicy(self.network, self.normaliser, self.sensor, self.settings, sampler, self.objective)

    def in_units(self, half_spread: float, dt: float, horizon: float) -> "FlowPolicy":
        """Return the same policy for a market of other units: it senses and quotes in units of them.

        Args:
            half_spread: unit of distance, ticks: 1 / k.
            dt: time between two decisions, seconds.
            horizon: length of a session, seconds.
        """
        factor = half_spread / self.sensor.half_spread
        scales = self.normaliser._replace(
            action_mean=self.normaliser.action_mean * factor,
            action_scale=self.normaliser.action_scale * factor,
        )
        sensor = sensor_in_units(half_spread, dt, horizon)
        return replace(self, normaliser=scales, sensor=sensor)

    def weights(self) -> dict[str, np.ndarray]:
        """Return the network's arrays by name, float32."""
        return {name: np.asarray(value) for name, value in weights_of(self.network).items()}

    def freeze(self, adapter: Adapter | RegimeAdapter = IDENTITY, behind: Adapter = IDENTITY) -> Frozen:
        """Return the policy as plain arrays for the desk: the same quotes without jax, in microseconds.

        Args:
            adapter: the map that belongs behind it, or the network that works it out.
            behind: a map that comes after that.

        Raises:
            UsageError: the sampler is adaptive, which only the lab can be.
        """
        scales = self.normaliser
        return fold(
            self.weights(),
            feature_mean=np.asarray(scales.feature_mean),
            feature_std=np.asarray(scales.feature_std),
            action_mean=np.asarray(scales.action_mean),
            action_scale=np.asarray(scales.action_scale),
            sensor=self.sensor,
            feature_kind=self.settings.features,
            plan=self.plan,
            noise_scale=self.sampler.noise_scale,
            held=self._holds_noise,
            execute=self.sampler.execute,
            **_frozen_adapter(adapter, behind),
        )

    def init(self) -> Memory:
        """Return the memory of a session that has just begun."""
        sensed = features.remember_nothing(self.sensor)
        return Memory(
            sensed=jax.tree.map(jnp.float32, sensed),
            chunk=jnp.zeros((self.settings.horizon, 2), jnp.float32),
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
        return jnp.clip(chunk, -REACH, REACH).reshape(self.settings.horizon, 2)

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
            "Tell it with `flowhft.flow.told.tell`.",
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


def _frozen_adapter(adapter: Adapter | RegimeAdapter, behind: Adapter) -> dict[str, Any]:
    """Return what belongs behind a policy as the desk takes it."""
    if isinstance(adapter, RegimeAdapter):
        own = {"regime": RegimeAdapter(*map(np.asarray, adapter))}
        return own | {"adapter": Adapter(*(float(value) for value in behind))}
    return {"adapter": Adapter(*(float(value) for value in compose(behind, adapter)))}


def save_policy(
    path: Path,
    policy: FlowPolicy,
    adapter: Adapter | RegimeAdapter = IDENTITY,
    training: dict[str, Any] | None = None,
    dial: tuple[float, ...] | None = None,
    behind: Adapter = IDENTITY,
) -> None:
    """Write a policy with everything it needs to quote: one .safetensors file, whole or not at all.

    Args:
        path: of the file.
        policy: what to save.
        adapter: the map that belongs behind it, or the network that works it out.
        training: how it came about, for people and manifests: what JSON can hold.
        dial: of a regime adapter: lowest and highest risk dial that it was trained for.
        behind: of a regime adapter: a map that comes after it, fitted to a market, in its ticks.
    """
    regime = adapter if isinstance(adapter, RegimeAdapter) else None
    normaliser = {
        f"normaliser.{name}": np.asarray(value) for name, value in policy.normaliser._asdict().items()
    }
    header = {
        "format": FORMAT,
        "version": VERSION,
        "settings": policy.settings,
        "feature_names": features.NAMES[policy.settings.features],
        "sensor": policy.sensor,
        "objective": policy.objective,
        "sampler": policy.sampler,
        "adapter": Adapter(*(float(value) for value in (behind if regime else adapter))),
        "regime": {"sees": SEES, "told": TOLD, "dial": dial} if regime else None,
        "training": training or {},
    }
    named = regime._asdict() if regime else {}
    network = {f"regime.{name}": np.asarray(value) for name, value in named.items()}
    write_archive(path, policy.weights() | normaliser | network, header)


def load_policy(path: Path) -> tuple[FlowPolicy, Adapter | RegimeAdapter]:
    """Read a policy and the adapter that belongs behind it, or the network that works it out.

    Raises:
        DataError: the file is missing, damaged, not a policy, of an unknown version, trained on other
            features, or its arrays do not fit its settings.
    """
    arrays, header = read_archive(path, _WHAT, FORMAT, VERSION)
    try:
        settings = NetworkSettings(**header["settings"])
        sampler = SamplerSettings(**header["sampler"])
        sensor = Sensor(**{name: float(value) for name, value in header["sensor"].items()})
        adapter = Adapter(**{name: float(value) for name, value in header["adapter"].items()})
        objective, regime = header["objective"], header.get("regime")
        require_sampler(sampler, settings, objective)
    except (AttributeError, KeyError, TypeError, ValueError, UsageError) as cause:
        raise DataError(
            f"`{path}` must describe {_WHAT}; its header is not one: {cause} "
            "The file was changed: make it again."
        ) from cause
    _require_same_inputs(path, header, settings)
    sides = (2,)
    shapes = weight_shapes(settings) | {
        "normaliser.feature_mean": (settings.feature_count,),
        "normaliser.feature_std": (settings.feature_count,),
        "normaliser.action_mean": sides,
        "normaliser.action_scale": sides,
    }
    if regime:
        units = np.size(arrays.get("regime.bias_1", ()))
        shapes |= {f"regime.{name}": shape for name, shape in regime_shapes(units).items()}
    require_arrays(path, arrays, shapes, _WHAT)
    behind: Adapter | RegimeAdapter = adapter
    if regime:
        behind = RegimeAdapter(*(jnp.asarray(arrays.pop(f"regime.{name}")) for name in RegimeAdapter._fields))
    normaliser = Normaliser(*(jnp.asarray(arrays.pop(f"normaliser.{name}")) for name in Normaliser._fields))
    network = network_from(arrays, settings.finest)
    return FlowPolicy(network, normaliser, sensor, settings, sampler, objective), behind


def _require_same_inputs(path: Path, header: dict[str, Any], settings: NetworkSettings) -> None:
    """Refuse a policy that was trained on other inputs, be they as many as today's."""
    regime = header.get("regime") or {}
    for what, found, known in (
        ("features", header.get("feature_names"), features.NAMES[settings.features]),
        ("features of the regime adapter", regime.get("sees"), SEES),
        ("numbers that the regime adapter is told", regime.get("told"), TOLD),
    ):
        if found is not None and list(found) != list(known):
            changed = sorted({*map(str, found)} ^ {*known}) or ["another order"]
            raise DataError(
                f"the {what} of `{path}` must be those of this version of flowhft; received others: "
                f"{', '.join(changed)}. Train it again, or use the version that trained it."
            )


def map_behind(path: Path) -> Adapter:
    """Return the map that comes after a regime adapter in a policy file; none where there is no such network.

    Raises:
        DataError: as `load_policy`.
    """
    header = describe_policy(path)
    return Adapter(**header["adapter"]) if header.get("regime") else IDENTITY


def describe_policy(path: Path) -> dict[str, Any]:
    """Return the header of a policy file: settings, sensor, objective, sampler, adapter, training.

    Raises:
        DataError: the file is missing, damaged, not a policy, or of an unknown version.
    """
    return read_archive(path, _WHAT, FORMAT, VERSION)[1]
