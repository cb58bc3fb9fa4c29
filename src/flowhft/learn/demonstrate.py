"""Demonstrations: what the trajectories of the expert that teaches in a scenario show.

There is no second data format: a demonstration is a simulated `Trajectory`, from which the one feature
function makes what the learner sees.
"""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from flowhft import features
from flowhft.features import Sensor
from flowhft.learn.dataset import Demonstrations
from flowhft.learn.select import Teacher
from flowhft.market.market import build
from flowhft.policies import closed_form
from flowhft.rollout import rollout
from flowhft.types import Observation, Progress, Quote, Trajectory, no_progress

# In units of 1 / k. A quote further away is hardly ever filled (one order in 400 that would reach the mid):
# to the learner all of them mean "not quoted", and how far away they are would only stretch its scales.
FURTHEST = 6.0


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

        nothing = features.remember_nothing(sensor)
        start = features.Memory(*(jnp.asarray(value, jnp.float32) for value in nothing))
        return jax.lax.scan(step, start, (observation, quote))[1]

    return jax.vmap(one_path)(observation, quote)


def features_of(sensor: Sensor, kind: str, trajectory: Trajectory) -> np.ndarray:
    """Return what a policy would have sensed along a trajectory.

    Args:
        sensor: the scales.
        kind: "context" or "paper".
        trajectory: arrays of shape (path, step).

    Returns:
        float32 array of shape (path, step, feature), columns as in `flowhft.features.NAMES`.
    """
    observation = Observation(*(jnp.asarray(values, jnp.float32) for values in trajectory.observation))
    quote = Quote(*(jnp.asarray(values, jnp.float32) for values in trajectory.quote))
    return np.asarray(_features_of(sensor, kind, observation, quote))


def demonstrate(
    teachers: Sequence[Teacher],
    sensor: Sensor,
    kind: str,
    paths: int,
    seed: int,
    progress: Progress = no_progress,
) -> Demonstrations:
    """Let every teacher quote in its scenario and keep what a learner would have seen and what it quoted.

    Args:
        teachers: from `flowhft.learn.select.select_teachers`.
        sensor: the learner's scales.
        kind: of features, "context" or "paper".
        paths: sessions per scenario.
        seed: of the run; the paths are those of its stream "demonstrations".
        progress: told after every scenario.

    Returns:
        Features and quotes of len(teachers) x paths sessions, half-spreads capped at 6 / k; sessions that are
        shorter than the longest are padded at their end.
    """
    seen, quoted = [], []
    family = [teacher.scenario for teacher in teachers]
    for i, teacher in enumerate(teachers):
        progress(i / len(teachers), f"{teacher.expert} in {teacher.scenario.name}")
        trajectory = rollout(
            build(teacher.scenario, like=family),
            closed_form(teacher.expert, teacher.scenario, teacher.risk_aversion),
            paths=paths,
            seed=seed,
            scenario=f"demonstrations/{teacher.scenario.name}",
        )
        widest = FURTHEST / teacher.scenario.fill_decay
        capped = Quote(*(np.minimum(side, widest) for side in trajectory.quote))
        seen.append(features_of(sensor, kind, trajectory._replace(quote=capped)))
        quoted.append(np.stack(capped, axis=-1))
    longest = max(teacher.scenario.steps for teacher in teachers)

    def padded(parts: list[np.ndarray]) -> np.ndarray:
        return np.concatenate([np.pad(p, [(0, 0), (0, longest - p.shape[1]), (0, 0)]) for p in parts])

    lengths = np.repeat([teacher.scenario.steps for teacher in teachers], paths).astype(np.int32)
    return Demonstrations(padded(seen), padded(quoted), lengths)
