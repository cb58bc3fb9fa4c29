"""Train agents: many updates, several seeds side by side, checkpoints, and the choice among seeds."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
from jax.sharding import AxisType, PartitionSpec
from jaxtyping import Array, Int, PRNGKeyArray, PyTree

from flowhft.errors import require
from flowhft.flow.checkpoint import Checkpoint
from flowhft.rl.environment import Environment
from flowhft.rl.ppo import CURVES, Learner, Units, begin, evaluate_learner, measure_units, update
from flowhft.rl.settings import PpoSettings
from flowhft.runs import tables
from flowhft.runs.folder import stream
from flowhft.simulate.quoting.agent import Actor
from flowhft.simulate.rollout import key_for
from flowhft.types import Progress, no_progress

UPDATES_PER_CALL = 5  # updates in one call of the compiled loop: how often progress is told
PILOT_PATHS = 256  # episodes on which the scales are measured

# Columns of the learning curves and of the table of seeds, with their units.
CURVE_UNITS = tables.units_of("ppo", "curves")
SEED_UNITS = tables.units_of("ppo", "seeds")


class Trained(NamedTuple):
    """What a training left behind.

    Attributes:
        actor: the chosen seed's.
        mean, std: of the features.
        curves: a row per seed and update, columns of `CURVE_UNITS`.
        seeds: a row per seed, columns of `SEED_UNITS`.
    """

    actor: Actor
    mean: Array
    std: Array
    curves: pl.DataFrame
    seeds: pl.DataFrame


class State(NamedTuple):
    """Everything that training carries from one update to the next.

    Attributes:
        learners: with a leading axis seed.
        units: scales, the same for all seeds.
    """

    learners: Learner
    units: Units


def _mesh(seeds: int) -> jax.sharding.Mesh:
    """Return the devices over which seeds are spread evenly."""
    devices = jax.devices()
    count = max(n for n in range(1, len(devices) + 1) if seeds % n == 0)
    return jax.make_mesh((count,), ("seed",), axis_types=(AxisType.Auto,), devices=devices[:count])


@eqx.filter_jit
def _measure(learner: Learner, environments: Sequence[Environment], key: PRNGKeyArray) -> Units:
    return measure_units(learner, environments, key, PILOT_PATHS)


def _begin(
    environments: Sequence[Environment], shape: tuple[int, int], settings: PpoSettings, seed: int, name: str
) -> State:
    """Return the state before the first update."""
    learners = [
        begin(stream(seed, "ppo", "weights", name, n), *shape, settings=settings)
        for n in range(settings.seeds)
    ]
    units = _measure(learners[0], environments, key_for(seed, "ppo", "pilot", name))
    return State(jax.tree.map(lambda *leaves: jnp.stack(leaves), *learners), units)


@eqx.filter_jit
def _train(
    state: State,
    done: Int[Array, ""],
    until: Int[Array, ""],
    key: PRNGKeyArray,
    environments: Sequence[Environment],
    mesh: jax.sharding.Mesh,
    settings: PpoSettings,
) -> tuple[State, Array]:
    """Take the updates from `done` to `until`, at most UPDATES_PER_CALL; return also their numbers.

    How many there are is data, not shape: one compilation serves every call, so that where a call begins and
    ends cannot change a bit of the result.
    """
    arrays, rest = eqx.partition(environments, eqx.is_array)

    def shard(
        learners: Learner,
        seeds: Array,
        units: Units,
        arrays: PyTree,
        done: Array,
        until: Array,
        key: PRNGKeyArray,
    ) -> tuple[Learner, Array]:
        def one(number: Array, carry: tuple) -> tuple:
            learners, curve = carry
            now = jax.random.fold_in(key, number)
            learners, numbers = jax.vmap(
                lambda learner, seed: update(
                    learner,
                    eqx.combine(arrays, rest),
                    units,
                    jax.random.fold_in(now, seed),
                    number,
                    settings,
                )
            )(learners, seeds)
            return learners, curve.at[:, number - done].set(numbers)

        curve = jnp.zeros((len(seeds), UPDATES_PER_CALL, len(CURVES)))
        return jax.lax.fori_loop(done, until, one, (learners, curve))

    spread, everywhere = PartitionSpec("seed"), PartitionSpec()
    learners, curve = jax.shard_map(
        shard,
        mesh=mesh,
        in_specs=(spread, spread, everywhere, everywhere, everywhere, everywhere, everywhere),
        out_specs=spread,
        check_vma=False,
    )(state.learners, jnp.arange(settings.seeds), state.units, arrays, done, until, key)
    return State(learners, state.units), curve


@eqx.filter_jit
def _evaluate(
    state: State, environments: Sequence[Environment], key: PRNGKeyArray, paths: int
) -> tuple[Array, Array]:
    """Return reward and gain of every seed's agent on the same episodes, shape (seed, path)."""
    parts = []
    for number, environment in enumerate(environments):
        own = jax.random.fold_in(key, number)
        parts.append(
            jax.lax.map(
                lambda actor, e=environment, k=own: evaluate_learner(actor, e, state.units, k, paths),
                state.learners.actor,
            )
        )
    return tuple(jnp.concatenate(part, axis=1) for part in zip(*parts, strict=True))  # type: ignore[return-value]


def _spread(state: State, mesh: jax.sharding.Mesh) -> State:
    """Put seeds on their devices, so that the first call finds what every later one finds."""
    over, everywhere = (
        jax.sharding.NamedSharding(mesh, spec) for spec in (PartitionSpec("seed"), PartitionSpec())
    )
    return State(
        jax.tree.map(lambda leaf: jax.device_put(leaf, over), state.learners),
        jax.tree.map(lambda leaf: jax.device_put(leaf, everywhere), state.units),
    )


def train(
    environments: Sequence[Environment],
    shape: tuple[int, int],
    settings: PpoSettings,
    seed: int,
    name: str,
    folder: Path | None = None,
    progress: Progress = no_progress,
) -> Trained:
    """Train agents from several seeds, and choose the one that earns the most reward on validation episodes.

    Update n of seed s draws from a key of (seed, name, n, s), so that a training resumed from a checkpoint
    ends bit for bit where an uninterrupted one ends (on the same machine).

    Args:
        environments: where to learn; they share the episodes of an update evenly.
        shape: numbers of features and of actions.
        settings: of the training.
        seed: of the run; streams "ppo/weights", "pilot", "training" and "validation" of `name`.
        name: of the random streams, for example the scenario's.
        folder: of checkpoints, from which the same call resumes; None for none.
        progress: told the share done.

    Returns:
        The chosen agent's network, the scales of the features, the curves, and how the seeds compare.

    Raises:
        UsageError: the loss stopped being finite, or there are fewer samples than minibatches.
        DataError: the checkpoint is damaged.
    """
    samples = settings.environments // len(environments) * sum(e.steps for e in environments)
    require(
        samples >= settings.minibatches,
        "environments",
        f"give at least {settings.minibatches} steps an update, one a minibatch, and an episode to every "
        f"kind of market, {len(environments)} here",
        settings.environments,
    )
    mesh = _mesh(settings.seeds)
    key = key_for(seed, "ppo", "training", name)
    state = _begin(tuple(environments), shape, settings, seed, name)
    learned_in = eqx.filter(tuple(environments), eqx.is_array)
    checkpoint = Checkpoint(folder, "ppo", settings, seed, name, shape, arrays=learned_in)
    state, rows = checkpoint.resume(state, np.zeros((settings.seeds, 0, len(CURVES))))
    state = _spread(state, mesh)

    done = rows.shape[1]
    while done < settings.updates:
        due = done - done % settings.checkpoint_every + settings.checkpoint_every
        until = min(done + UPDATES_PER_CALL, due, settings.updates)
        start, stop = (jnp.asarray(number, jnp.int32) for number in (done, until))
        state, curve = _train(state, start, stop, key, tuple(environments), mesh, settings)
        rows = np.concatenate([rows, np.asarray(curve, np.float64)[:, : until - done]], axis=1)
        done = until
        require(
            bool(np.isfinite(rows[:, -1]).all()),
            "loss",
            "stay finite",
            f"a number that is not, at update {done:,}",
            "Lower the learning rate.",
        )
        if done == due or done == settings.updates:
            checkpoint.save(state, rows)
        now = float(np.mean(rows[:, -1, 0]))
        progress(done / settings.updates, f"{name}: update {done:,}, episode reward {now:.2f}")

    reward, gain = (
        np.asarray(part, np.float64)
        for part in _evaluate(
            state, tuple(environments), key_for(seed, "ppo", "validation", name), settings.validation
        )
    )
    best = int(np.argmax(np.mean(reward, axis=1)))
    actor, units = jax.tree.map(np.asarray, (state.learners.actor, state.units))
    return Trained(
        actor=jax.tree.map(lambda leaf: leaf[best], actor),
        mean=units.mean,
        std=units.std,
        curves=_curves(rows, settings.environments // len(environments) * len(environments)),
        seeds=_seeds(reward, gain, best),
    )


def _curves(rows: np.ndarray, episodes: int) -> pl.DataFrame:
    """Return the learning curves as a table; an update learned from so many episodes."""
    seeds, updates = rows.shape[:2]
    count = np.tile(np.arange(1, updates + 1), seeds)
    return pl.DataFrame(
        {
            "seed": np.repeat(np.arange(seeds), updates),
            "update": count,
            "episodes": count * episodes,
            **{column: rows[:, :, index].ravel() for index, column in enumerate(CURVES)},
        }
    )


def _seeds(reward: np.ndarray, gain: np.ndarray, best: int) -> pl.DataFrame:
    """Return what every seed earned on the validation episodes."""
    error = 1.0 / np.sqrt(reward.shape[1])
    return pl.DataFrame(
        {
            "seed": np.arange(len(reward)),
            "reward": reward.mean(axis=1),
            "reward_error": reward.std(axis=1, ddof=1) * error,
            "pnl": gain.mean(axis=1),
            "pnl_error": gain.std(axis=1, ddof=1) * error,
            "chosen": np.arange(len(reward)) == best,
        }
    )
