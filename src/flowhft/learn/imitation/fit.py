"""Fit: the loop in which a network learns, be it from demonstrations or from another policy."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import polars as pl
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from flowhft.errors import UsageError
from flowhft.flow import objectives
from flowhft.flow.checkpoint import Checkpoint
from flowhft.flow.network import Network
from flowhft.flow.policy import FlowPolicy
from flowhft.learn.demonstrations.dataset import Samples
from flowhft.learn.imitation.examine import Examination, Standing, examine
from flowhft.learn.settings import TrainingSettings
from flowhft.runs import tables
from flowhft.runs.folder import stream
from flowhft.types import Progress, no_progress

UPDATES_PER_CALL = 100  # updates in one call of the compiled loop, and in one row of the curve
VALIDATION_WINDOWS = 2048
NO_CHECKPOINT = Checkpoint(None)
NOT_EXAMINED = Standing(float("nan"), float("nan"), float("nan"))

CURVE_UNITS = tables.units_of("imitate", "curve")
_NOT_COMPILED = (
    "held_out",
    "checkpoint_every",
    "examine_every",
    "examine_scenarios",
    "examine_paths",
    "patience",
    "stop_by",
)
_DEFAULTS = vars(TrainingSettings())
_ROW_OF = {name: place for place, name in enumerate(CURVE_UNITS)}
_STOPS_BY = {"validation_loss": "validation_loss", "closed_loop": "closed_loop_gap"}


Curve = list[tuple[float, ...]]


class State(NamedTuple):
    """Everything that training carries from one update to the next.

    Attributes:
        update: updates done.
        network: the network that learns.
        ema: its running average, which becomes the policy.
        optimiser: moments of the gradients and the schedule's count.
    """

    update: Int[Array, ""]
    network: Network
    ema: Network
    optimiser: PyTree


class Carried(NamedTuple):
    """What a checkpoint holds: the state, and the best network so far where training may return to it."""

    state: State
    best: Network | None


def _optimiser(settings: TrainingSettings) -> optax.GradientTransformation:
    """AdamW under clipped gradients; the learning rate warms up, then falls along a cosine to 0."""
    schedule = optax.warmup_cosine_decay_schedule(
        init_value=0.0,
        peak_value=settings.learning_rate,
        warmup_steps=min(settings.warmup, settings.updates // 2),
        decay_steps=settings.updates,
    )

    def matrices(network: Network) -> PyTree:
        return jax.tree_util.tree_map_with_path(lambda path, _: "weight" in path[-1].name, network)

    return optax.chain(
        optax.clip_by_global_norm(settings.clip),
        optax.adamw(schedule, weight_decay=settings.weight_decay, mask=matrices),
    )


def _begin(network: Network, settings: TrainingSettings) -> State:
    # Both are copies, no aliases: they are donated to the compiled loop.
    network, ema = (jax.tree.map(jnp.copy, network) for _ in range(2))
    return State(jnp.asarray(0, jnp.int32), network, ema, _optimiser(settings).init(network))


def _compiled(settings: TrainingSettings) -> TrainingSettings:
    """Return the settings with what compiled programs do not depend on at its default: they are shared."""
    return replace(settings, **{name: _DEFAULTS[name] for name in _NOT_COMPILED})


def _keys_of_update(key: PRNGKeyArray, update: Int[Array, ""]) -> PRNGKeyArray:
    """Return the keys of an update: of its windows, of their noise, and of its loss."""
    return jax.random.split(jax.random.fold_in(key, update), 3)


def noise_scales(key: PRNGKeyArray, settings: TrainingSettings) -> Float[Array, " sample"] | None:
    """Draw at how much noise the samples of a batch begin: 1, or for a share of them uniform on (0, 1).

    A chunk has many numbers: noise of full size is never anywhere near 0, which is where a policy that quotes
    without noise begins. Without samples from there the first step of such a policy is an extrapolation.
    """
    if settings.quiet_share == 0.0:
        return None
    key_who, key_scale = jax.random.split(key)
    quiet = jax.random.uniform(key_who, (settings.batch,)) < settings.quiet_share
    return jnp.where(quiet, jax.random.uniform(key_scale, (settings.batch,)), 1.0)


@partial(jax.jit, static_argnames=("horizon", "settings"), donate_argnames="state")
def _train(
    state: State,
    until: Int[Array, ""],
    key: PRNGKeyArray,
    samples: Samples,
    horizon: int,
    settings: TrainingSettings,
) -> tuple[State, Float[Array, " 2"], Float[Array, " 2"]]:
    """Update until `until` updates are done, or until a loss or gradient is not finite.

    The number of updates is data, not shape: one compilation serves every call, so that where a call begins
    and ends cannot change a bit of the result.

    Returns:
        The state, without the update that was not finite; loss and gradient norm summed over the updates; and
        of the last one tried.
    """
    loss = objectives.get(settings.objective).loss
    optimiser = _optimiser(settings)

    def going(carry: tuple[State, Array, Array]) -> Array:
        state, _, last = carry
        return (state.update < until) & jnp.all(jnp.isfinite(last))

    def update(carry: tuple[State, Array, Array]) -> tuple[State, Array, Array]:
        state, sums, _ = carry
        key_windows, key_noise, key_loss = _keys_of_update(key, state.update)
        batch = samples.draw(key_windows, settings.batch, horizon)
        batch = batch._replace(noise_scale=noise_scales(key_noise, settings))
        value, gradient = jax.value_and_grad(loss)(state.network, state.ema, key_loss, batch)
        changes, optimiser_state = optimiser.update(gradient, state.optimiser, state.network)
        network = optax.apply_updates(state.network, changes)
        count = state.update.astype(jnp.float32)
        keep = jnp.minimum(settings.ema, (1.0 + count) / (10.0 + count))
        ema = jax.tree.map(lambda past, new: keep * past + (1.0 - keep) * new, state.ema, network)
        last = jnp.stack([value, jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(gradient)))])
        good = jnp.all(jnp.isfinite(last))
        after = State(state.update + 1, network, ema, optimiser_state)
        state = jax.tree.map(lambda new, old: jnp.where(good, new, old), after, state)
        return state, sums + last, last

    nothing = jnp.zeros(2, jnp.float32)
    return jax.lax.while_loop(going, update, (state, nothing, nothing))


@partial(jax.jit, static_argnames=("horizon", "settings"))
def _validate(
    ema: Network, samples: Samples, key: PRNGKeyArray, horizon: int, settings: TrainingSettings
) -> Float[Array, ""]:
    """Return the loss of the averaged network on held-out windows: always the same ones, the same noise."""
    key_windows, key_loss = jax.random.split(key)
    batch = samples.draw(key_windows, VALIDATION_WINDOWS, horizon)
    return objectives.get(settings.objective).loss(ema, ema, key_loss, batch)


def _is_examination(update: float, settings: TrainingSettings) -> bool:
    """Return whether an examination is due after this many updates."""
    return update % settings.examine_every == 0 or update == settings.updates


def _examinations(curve: Curve, settings: TrainingSettings) -> Sequence[float]:
    """Return what early stopping goes by, examination by examination: smaller is better."""
    column = _ROW_OF[_STOPS_BY[settings.stop_by]]
    return [row[column] for row in curve if _is_examination(row[0], settings)]


def _tired(results: Sequence[float], patience: int) -> bool:
    """Return whether the last `patience` examinations brought nothing better than the best before them."""
    return 0 < patience < len(results) and min(results[-patience:]) >= min(results[:-patience])


def kept_row(curve: pl.DataFrame, settings: TrainingSettings) -> int:
    """Return the row of the learning curve at which the network was kept: the last one, or the best.

    Args:
        curve: from `imitate`.
        settings: with which it was trained.
    """
    if not settings.patience:
        return curve.height - 1
    evaluated = [row for row, update in enumerate(curve["update"]) if _is_examination(update, settings)]
    scores = curve[_STOPS_BY[settings.stop_by]]
    return min(evaluated, key=lambda row: scores[row], default=curve.height - 1)


def _next(done: int, *periods: int) -> int:
    """Return the first multiple of any of these periods after `done`."""
    return min(done - done % period + period for period in periods)


def _not_finite(
    state: State,
    last: Float[Array, " 2"],
    key: PRNGKeyArray,
    samples: Samples,
    settings: TrainingSettings,
    checkpoint: Checkpoint,
) -> UsageError:
    """Say which update went wrong and what was in its batch."""
    update = int(state.update)
    furthest = samples.furthest(_keys_of_update(key, state.update)[0], settings.batch)
    kept = f" The network before it is kept in `{checkpoint.path}`." if checkpoint.path else ""
    loss, norm = last.tolist()
    return UsageError(
        f"`loss` must stay finite; received loss {loss:g}, gradient norm {norm:g} at update {update + 1:,}, "
        f"in whose batch {furthest}.{kept} {samples.remedy}"
    )


def fit(
    network: Network,
    training: Samples,
    validation: Samples,
    horizon: int,
    settings: TrainingSettings,
    seed: int,
    policy_of: Callable[[Network], FlowPolicy],
    checkpoint: Checkpoint = NO_CHECKPOINT,
    progress: Progress = no_progress,
    examined: Examination | None = None,
) -> tuple[FlowPolicy, pl.DataFrame]:
    """Train a network and return the policy of its running average.

    Many updates run in one compiled loop. Update n draws from a key of (seed, n), so that a training resumed
    from a checkpoint ends bit for bit where an uninterrupted one ends (on the same machine).

    Args:
        network: with what it begins.
        training: what it learns from, on the device.
        validation: what only its validation loss is of.
        horizon: steps of a chunk.
        settings: objective, updates, batch, how the optimiser moves, when it is examined and stops.
        seed: of every batch.
        policy_of: makes a policy of a network, to be examined and returned.
        checkpoint: from which training goes on if it is there.
        progress: told the share done.
        examined: sessions in closed loop beside a teacher; None for none.

    Returns:
        The policy, and one row per 100 updates: update, loss, validation_loss (of the running average),
        gradient_norm (before clipping), closed_loop_pnl, teacher_pnl and closed_loop_gap (of the running
        average, where it was examined, else NaN), seconds (training time so far).

    Raises:
        UsageError: the loss stopped being finite.
        DataError: the checkpoint is damaged.
    """
    compiled = _compiled(settings)
    key_training, key_validation = (
        jax.random.key(stream(seed, "imitate", name)) for name in ("training", "validation")
    )
    state = _begin(network, settings)
    # The best network so far, only where training may end early and return to it.
    best = jax.tree.map(jnp.copy, state.ema) if settings.patience else None
    (state, best), rows = checkpoint.resume(Carried(state, best), np.zeros((0, len(CURVE_UNITS))))
    curve: Curve = [tuple(row) for row in rows.reshape(-1, len(CURVE_UNITS)).tolist()]

    done, spent = int(state.update), curve[-1][-1] if curve else 0.0
    began, closed = time.perf_counter(), ""
    while done < settings.updates and not _tired(_examinations(curve, settings), settings.patience):
        before = done
        due = _next(done, UPDATES_PER_CALL, settings.checkpoint_every, settings.examine_every)
        done = min(due, settings.updates)
        state, sums, last = _train(
            state, jnp.asarray(done, jnp.int32), key_training, training, horizon, compiled
        )
        if not bool(jnp.all(jnp.isfinite(last))):
            checkpoint.save(Carried(state, best), curve)
            raise _not_finite(state, last, key_training, training, settings, checkpoint)
        validation_loss = float(_validate(state.ema, validation, key_validation, horizon, compiled))
        loss, gradient_norm = (sums / (done - before)).tolist()
        standing = NOT_EXAMINED
        if examined is not None and _is_examination(done, settings):
            standing = examine(examined, policy_of(state.ema))
            closed = f", closed-loop PnL {standing.pnl:.4g} (teachers {standing.teacher_pnl:.4g})"
        seconds = spent + time.perf_counter() - began
        curve.append((done, loss, validation_loss, gradient_norm, *standing, seconds))
        scores = _examinations(curve, settings)
        examined_now = _is_examination(done, settings)
        if best is not None and examined_now and scores[-1] < min(scores[:-1], default=np.inf):
            best = jax.tree.map(jnp.copy, state.ema)
        ends = done == settings.updates or _tired(scores, settings.patience)
        if done % settings.checkpoint_every == 0 or ends:
            checkpoint.save(Carried(state, best), curve)
        progress(
            done / settings.updates,
            f"update {done:,} of {settings.updates:,}, loss {loss:.4f}, gradient {gradient_norm:.3g}{closed}",
        )

    table = pl.DataFrame(curve, schema=list(CURVE_UNITS), orient="row").with_columns(
        pl.col("update").cast(pl.Int64)
    )
    return policy_of(state.ema if best is None else best), table
