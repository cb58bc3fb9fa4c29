"""Imitation: train a flow policy on what experts quoted."""

import hashlib
import time
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import polars as pl
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from flowhft.archive import read_archive, write_archive
from flowhft.errors import DataError, require
from flowhft.features import Sensor
from flowhft.flow import objectives
from flowhft.flow.network import Network, init_network
from flowhft.flow.policy import FlowPolicy, require_sampler
from flowhft.flow.settings import NetworkSettings, SamplerSettings
from flowhft.learn import dataset
from flowhft.learn.dataset import Demonstrations, Sessions
from flowhft.learn.settings import TrainingSettings
from flowhft.runs import plain, stream
from flowhft.types import Progress, no_progress

UPDATES_PER_CALL = 100  # updates in one call of the compiled loop, and in one row of the curve
VALIDATION_WINDOWS = 2048
CHECKPOINT_FORMAT = "flowhft.training"
CHECKPOINT_VERSION = 1
_WHAT = "the checkpoint of a training"

CURVE_UNITS = {
    "update": "updates",
    "loss": "scaled half-spread^2",
    "validation_loss": "scaled half-spread^2",
    "gradient_norm": "scaled half-spread^2",
    "seconds": "s",
}


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


def _begin(network_settings: NetworkSettings, settings: TrainingSettings, seed: int) -> State:
    network = init_network(network_settings, seed)
    # The average begins as a copy, not an alias: both are donated to the compiled loop.
    ema = jax.tree.map(jnp.copy, network)
    return State(jnp.asarray(0, jnp.int32), network, ema, _optimiser(settings).init(network))


@partial(jax.jit, static_argnames=("horizon", "settings"), donate_argnames="state")
def _train(
    state: State,
    until: Int[Array, ""],
    key: PRNGKeyArray,
    sessions: Sessions,
    horizon: int,
    settings: TrainingSettings,
) -> tuple[State, Float[Array, " 2"]]:
    """Update until `until` updates are done; return also the mean loss and gradient norm over them.

    The number of updates is data, not shape: one compilation serves every call, so that where a call begins
    and ends cannot change a bit of the result.
    """
    loss = objectives.get(settings.objective).loss
    optimiser = _optimiser(settings)

    def update(_: Array, carry: tuple[State, Array]) -> tuple[State, Array]:
        state, sums = carry
        key_windows, key_loss = jax.random.split(jax.random.fold_in(key, state.update))
        batch = dataset.draw_windows(sessions, key_windows, settings.batch, horizon)
        value, gradient = jax.value_and_grad(loss)(state.network, state.ema, key_loss, batch)
        changes, optimiser_state = optimiser.update(gradient, state.optimiser, state.network)
        network = optax.apply_updates(state.network, changes)
        count = state.update.astype(jnp.float32)
        keep = jnp.minimum(settings.ema, (1.0 + count) / (10.0 + count))
        ema = jax.tree.map(lambda past, new: keep * past + (1.0 - keep) * new, state.ema, network)
        norm = jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(gradient)))
        sums = sums + jnp.stack([value, norm])
        return State(state.update + 1, network, ema, optimiser_state), sums

    updates = until - state.update
    state, sums = jax.lax.fori_loop(0, updates, update, (state, jnp.zeros(2, jnp.float32)))
    return state, sums / updates


@partial(jax.jit, static_argnames=("horizon", "settings"))
def _validate(
    ema: Network, sessions: Sessions, key: PRNGKeyArray, horizon: int, settings: TrainingSettings
) -> Float[Array, ""]:
    """Return the loss of the averaged network on held-out windows: always the same ones, the same noise."""
    key_windows, key_loss = jax.random.split(key)
    batch = dataset.draw_windows(sessions, key_windows, VALIDATION_WINDOWS, horizon)
    return objectives.get(settings.objective).loss(ema, ema, key_loss, batch)


def _named(state: State) -> dict[str, Array]:
    """Return every array of the state by its place in it."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(state)
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in leaves}


def _save(path: Path, state: State, curve: list[tuple[float, ...]]) -> None:
    arrays = {name: np.asarray(value) for name, value in _named(state).items()}
    arrays["curve"] = np.asarray(curve, np.float64)
    write_archive(path, arrays, {"format": CHECKPOINT_FORMAT, "version": CHECKPOINT_VERSION})


def _resume(path: Path, state: State) -> tuple[State, list[tuple[float, ...]]]:
    """Return the state and curve of a checkpoint; `state` says what it must look like.

    Raises:
        DataError: the checkpoint is damaged.
    """
    arrays, _ = read_archive(path, _WHAT, CHECKPOINT_FORMAT, CHECKPOINT_VERSION)
    curve = [tuple(row) for row in arrays.pop("curve", np.zeros((0, len(CURVE_UNITS)))).tolist()]
    expected = {name: (value.shape, value.dtype) for name, value in _named(state).items()}
    found = {name: (value.shape, value.dtype) for name, value in arrays.items()}
    if found != expected:
        raise DataError(
            f"`{path}` must hold {_WHAT} of these settings; its arrays differ. Delete it to begin again."
        )
    leaves = [jnp.asarray(arrays[name]) for name in expected]
    return jax.tree.unflatten(jax.tree.structure(state), leaves), curve


def _fingerprint(demonstrations: Demonstrations, *identity: object) -> str:
    """Return what tells this training from every other: data, settings and seed, hashed."""
    digest = hashlib.sha256(repr(plain(identity)).encode())
    for array in (demonstrations.features, demonstrations.quotes, dataset.lengths_of(demonstrations)):
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:16]


def imitate(
    demonstrations: Demonstrations,
    sensor: Sensor,
    network_settings: NetworkSettings,
    training_settings: TrainingSettings,
    seed: int,
    folder: Path | None = None,
    progress: Progress = no_progress,
    sampler: SamplerSettings | None = None,
) -> tuple[FlowPolicy, pl.DataFrame]:
    """Train a flow policy on demonstrations, and return its running average.

    Whole sessions are held out for the validation loss; the normaliser never sees them. Windows are drawn on
    the device, and many updates run in one compiled loop. Update n draws from a key of (seed, n), so that a
    training resumed from a checkpoint ends bit for bit where an uninterrupted one ends (on the same machine).

    Args:
        demonstrations: what experts saw and quoted.
        sensor: the scales with which the demonstrations' features were made; saved with the policy.
        network_settings: shape of the network.
        training_settings: objective, updates, batch, and how the optimiser moves.
        seed: of the split, the initial weights and every batch.
        folder: where checkpoints go, named after data, settings and seed: the same call resumes, another
            begins afresh beside it. None for no checkpoints.
        progress: told the share done.
        sampler: how the policy draws its quotes; None for what suits the objective.

    Returns:
        The policy, and one row per 100 updates: update, loss, validation_loss (of the running average),
        gradient_norm (before clipping), seconds (training time so far).

    Raises:
        UsageError: the demonstrations do not fit the settings, the sampler does not fit the objective, or the
            loss stopped being finite.
        DataError: the checkpoint is damaged.
    """
    settings = training_settings
    sampler = sampler or objectives.get(settings.objective).sampler
    require_sampler(sampler, network_settings, settings.objective)
    dataset.require_demonstrations(demonstrations, network_settings.feature_count)
    learned, held_out = dataset.split(demonstrations, settings.held_out, stream(seed, "held out"))
    normaliser = dataset.fit(learned)
    training, validation = (dataset.to_device(part, normaliser) for part in (learned, held_out))

    key_training, key_validation = (
        jax.random.key(stream(seed, "imitate", name)) for name in ("training", "validation")
    )
    state = _begin(network_settings, settings, stream(seed, "imitate", "network"))

    checkpoint = None
    curve: list[tuple[float, ...]] = []
    if folder is not None:
        checkpoint = (
            folder / f"training-{_fingerprint(demonstrations, network_settings, settings, seed)}.safetensors"
        )
        if checkpoint.is_file():
            state, curve = _resume(checkpoint, state)

    done, spent = int(state.update), curve[-1][-1] if curve else 0.0
    began = time.perf_counter()
    while done < settings.updates:
        row_ends = done - done % UPDATES_PER_CALL + UPDATES_PER_CALL
        checkpoint_due = done - done % settings.checkpoint_every + settings.checkpoint_every
        done = min(row_ends, checkpoint_due, settings.updates)
        state, means = _train(
            state, jnp.asarray(done, jnp.int32), key_training, training, network_settings.horizon, settings
        )
        validation_loss = _validate(state.ema, validation, key_validation, network_settings.horizon, settings)
        loss, gradient_norm = means.tolist()
        require(
            bool(np.isfinite(loss)),
            "loss",
            "stay finite",
            f"{loss} at update {done:,}",
            "Lower the learning rate, or look for outliers among the demonstrated quotes.",
        )
        seconds = spent + time.perf_counter() - began
        curve.append((done, loss, float(validation_loss), gradient_norm, seconds))
        if checkpoint is not None and (done == checkpoint_due or done == settings.updates):
            _save(checkpoint, state, curve)
        progress(done / settings.updates, f"update {done:,} of {settings.updates:,}, loss {loss:.4f}")

    table = pl.DataFrame(curve, schema=list(CURVE_UNITS), orient="row").with_columns(
        pl.col("update").cast(pl.Int64)
    )
    return FlowPolicy(state.ema, normaliser, sensor, network_settings, sampler, settings.objective), table
