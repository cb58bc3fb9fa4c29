"""The flow policy: senses, draws a chunk of quotes, executes its first steps, and draws again."""

from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from flowhft import features
from flowhft.adapter import IDENTITY, Adapter
from flowhft.archive import read_archive, require_arrays, write_archive
from flowhft.errors import DataError, UsageError, require
from flowhft.features import Sensor
from flowhft.flow import objectives
from flowhft.flow.network import Network, network_from, weight_shapes, weights_of
from flowhft.flow.normaliser import Normaliser, scale_features, unscale_quotes
from flowhft.flow.settings import NetworkSettings, SamplerSettings
from flowhft.frozen import Frozen, fold
from flowhft.types import Observation, Quote

FORMAT = "flowhft.policy"
VERSION = 1
_WHAT = "a flow policy"


class Memory(NamedTuple):
    """What a flow policy remembers between two decisions of one session.

    Attributes:
        sensed: running estimates of the market.
        chunk: (horizon, side): half-spreads drawn last, ticks.
        cursor: steps of the chunk that were quoted.
    """

    sensed: features.Memory
    chunk: Float[Array, "horizon side"]
    cursor: Int[Array, ""]


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
    objectives.get(objective).label_of(sampler, settings.finest_label)


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
    def label(self) -> int:
        """Return the label with which the sampler asks the network."""
        return objectives.get(self.objective).label_of(self.sampler, self.settings.finest_label)

    def with_sampler(self, sampler: SamplerSettings) -> "FlowPolicy":
        """Return the same policy, its quotes drawn in another way.

        Raises:
            UsageError: the objective does not train such a sampler, or it executes more than a chunk.
        """
        return FlowPolicy(self.network, self.normaliser, self.sensor, self.settings, sampler, self.objective)

    def weights(self) -> dict[str, np.ndarray]:
        """Return the network's arrays by name, float32."""
        return {name: np.asarray(value) for name, value in weights_of(self.network).items()}

    def freeze(self, adapter: Adapter = IDENTITY) -> Frozen:
        """Return the policy as plain arrays for the desk: the same quotes without jax, in microseconds.

        Args:
            adapter: the map that belongs behind it.
        """
        scales = {name: np.asarray(value) for name, value in self.normaliser._asdict().items()}
        return fold(
            self.weights(),
            **scales,
            sensor=self.sensor,
            feature_kind=self.settings.features,
            steps=self.sampler.steps,
            solver=self.sampler.solver,
            label=self.label,
            noise_scale=self.sampler.noise_scale,
            execute=self.sampler.execute,
            adapter=Adapter(*(float(value) for value in adapter)),
        )

    def init(self) -> Memory:
        """Return the memory of a session that has just begun."""
        sensed = features.remember_nothing(self.sensor)
        return Memory(
            sensed=features.Memory(*(jnp.asarray(value, jnp.float32) for value in sensed)),
            chunk=jnp.zeros((self.settings.horizon, 2), jnp.float32),
            cursor=jnp.asarray(
                self.sampler.execute, jnp.int32
            ),  # nothing left to execute: the first step draws
        )

    def draw(self, raw_features: Float[Array, " feature"], key: PRNGKeyArray) -> Float[Array, "horizon side"]:
        """Draw a chunk of half-spreads.

        Args:
            raw_features: as the feature function returns them.
            key: for the sampler's noise.

        Returns:
            Ticks; row h is for h steps from now, columns bid and ask.
        """
        scaled = scale_features(self.normaliser, raw_features)
        draw = objectives.get(self.objective).sample
        chunk = draw(self.network, key, scaled, self.settings.chunk_size, self.sampler)
        return unscale_quotes(self.normaliser, chunk.reshape(self.settings.horizon, 2))

    def act(self, memory: Memory, observation: Observation, key: PRNGKeyArray) -> tuple[Quote, Memory]:
        """Return the quote for this observation and the memory for the next one.

        Args:
            memory: from `init` or the step before.
            observation: of one path.
            key: for the sampler's noise.

        Returns:
            Half-spreads in ticks, and the new memory.
        """
        sensed = features.sense(self.sensor, memory.sensed, observation)
        feature_function = features.FUNCTIONS[self.settings.features]
        raw = jnp.stack(
            [jnp.asarray(x, jnp.float32) for x in feature_function(self.sensor, sensed, observation)]
        )
        if self.sampler.execute == 1:
            chunk, cursor = self.draw(raw, key), jnp.zeros_like(memory.cursor)
        else:
            chunk, cursor = jax.lax.cond(
                memory.cursor >= self.sampler.execute,
                lambda: (self.draw(raw, key), jnp.zeros_like(memory.cursor)),
                lambda: (memory.chunk, memory.cursor),
            )
        quote = Quote(chunk[cursor, 0], chunk[cursor, 1])
        return quote, Memory(features.note_quote(sensed, quote), chunk, cursor + 1)


def save_policy(
    path: Path, policy: FlowPolicy, adapter: Adapter = IDENTITY, training: dict[str, Any] | None = None
) -> None:
    """Write a policy with everything it needs to quote: one .safetensors file, whole or not at all.

    Args:
        path: of the file.
        policy: what to save.
        adapter: the map that belongs behind it.
        training: how it came about, for people and manifests: what JSON can hold.
    """
    normaliser = {
        f"normaliser.{name}": np.asarray(value) for name, value in policy.normaliser._asdict().items()
    }
    header = {
        "format": FORMAT,
        "version": VERSION,
        "settings": policy.settings,
        "sensor": policy.sensor,
        "objective": policy.objective,
        "sampler": policy.sampler,
        "adapter": Adapter(*(float(value) for value in adapter)),
        "training": training or {},
    }
    write_archive(path, policy.weights() | normaliser, header)


def load_policy(path: Path) -> tuple[FlowPolicy, Adapter]:
    """Read a policy and the adapter that belongs behind it.

    Raises:
        DataError: the file is missing, damaged, not a policy, of an unknown version, or its arrays do not fit
            its settings.
    """
    arrays, header = read_archive(path, _WHAT, FORMAT, VERSION)
    try:
        settings = NetworkSettings(**header["settings"])
        sampler = SamplerSettings(**header["sampler"])
        sensor = Sensor(**{name: float(value) for name, value in header["sensor"].items()})
        adapter = Adapter(**{name: float(value) for name, value in header["adapter"].items()})
        objective = header["objective"]
        require_sampler(sampler, settings, objective)
    except (AttributeError, KeyError, TypeError, ValueError, UsageError) as cause:
        raise DataError(
            f"`{path}` must describe {_WHAT}; its header is not one: {cause} "
            "The file was changed: make it again."
        ) from cause
    sides = (2,)
    shapes = weight_shapes(settings) | {
        "normaliser.feature_mean": (settings.feature_count,),
        "normaliser.feature_std": (settings.feature_count,),
        "normaliser.action_mean": sides,
        "normaliser.action_scale": sides,
    }
    require_arrays(path, arrays, shapes, _WHAT)
    normaliser = Normaliser(*(jnp.asarray(arrays.pop(f"normaliser.{name}")) for name in Normaliser._fields))
    return FlowPolicy(network_from(arrays), normaliser, sensor, settings, sampler, objective), adapter


def describe_policy(path: Path) -> dict[str, Any]:
    """Return the header of a policy file: settings, sensor, objective, sampler, adapter, training.

    Raises:
        DataError: the file is missing, damaged, not a policy, or of an unknown version.
    """
    return read_archive(path, _WHAT, FORMAT, VERSION)[1]
