"""What a policy would have sensed along trajectories: the one feature function over what was recorded."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from flowhft import features
from flowhft.features import Sensor
from flowhft.types import Observation, Quote, Trajectory

# Sessions of one call: the last of many is filled up, so that they share one compiled program.
SESSIONS = 4_096


@eqx.filter_jit
def _features_of(sensor: Sensor, kind: str, observation: Observation, quote: Quote) -> jax.Array:
    def one_path(observation: Observation, quote: Quote) -> jax.Array:
        def step(
            memory: features.Memory, now: tuple[Observation, Quote]
        ) -> tuple[features.Memory, jax.Array]:
            observation, quote = now
            memory = features.sense(sensor, memory, observation)
            seen = features.FUNCTIONS[kind](sensor, memory, observation)
            return features.note_quote(memory, quote), jnp.stack([jnp.asarray(x, jnp.float32) for x in seen])

        start = jax.tree.map(jnp.float32, features.remember_nothing(sensor))
        return jax.lax.scan(step, start, (observation, quote))[1]

    return jax.vmap(one_path)(observation, quote)


def features_along(
    sensor: Sensor, kind: str, observation: Observation, quote: Quote, most: int | None = None
) -> Float[np.ndarray, "path step feature"]:
    """Return what a policy would have sensed of these observations, had it given these quotes.

    Args:
        sensor: the scales.
        kind: of features, see `flowhft.features.NAMES`.
        observation: arrays of shape (path, step).
        quote: arrays of shape (path, step), ticks.
        most: sessions worked on at once, `SESSIONS` by default: bounds the memory and changes no result.

    Returns:
        float32, columns as in `flowhft.features.NAMES`.
    """
    paths, steps = np.shape(observation.time)
    size = min(most or SESSIONS, paths)
    result = np.empty((paths, steps, len(features.NAMES[kind])), np.float32)
    for first in range(0, paths, size):
        rows = np.minimum(
            np.arange(first, first + size), paths - 1
        )  # the last session fills up the last call

        def part(values: np.ndarray, rows: np.ndarray = rows) -> jax.Array:
            return jnp.asarray(np.broadcast_to(values, (paths, steps))[rows], jnp.float32)

        seen = _features_of(sensor, kind, *jax.tree.map(part, (observation, quote)))
        result[first : first + size] = np.asarray(seen)[: paths - first]
    return result


def features_of(sensor: Sensor, kind: str, trajectory: Trajectory) -> Float[np.ndarray, "path step feature"]:
    """Return what a policy would have sensed along a trajectory (see `features_along`).

    Args:
        sensor: the scales.
        kind: of features, see `flowhft.features.NAMES`.
        trajectory: arrays of shape (path, step).
    """
    return features_along(sensor, kind, trajectory.observation, trajectory.quote)
