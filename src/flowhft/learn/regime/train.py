"""Train a regime adapter: the gradient goes through the exact law of the inventory, no fill is sampled."""

import time
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import polars as pl
from jax.sharding import AxisType, Mesh, PartitionSpec
from jaxtyping import Array, Float, Int, PRNGKeyArray

from flowhft.errors import UsageError
from flowhft.flow.checkpoint import Checkpoint
from flowhft.learn.regime.bank import Bank
from flowhft.learn.regime.law import Law, PathLaw, law_along
from flowhft.learn.regime.network import (
    Scales,
    Weights,
    fit_scales,
    init_weights,
    narrow,
    quotes_along,
    widen,
)
from flowhft.learn.regime.score import score_of
from flowhft.learn.regime.settings import RegimeSettings
from flowhft.policies.regime_adapter import RegimeAdapter
from flowhft.runs import tables
from flowhft.runs.folder import stream
from flowhft.types import Progress, no_progress

ROW = 20  # updates behind a row of the curve
CURVE_UNITS = tables.units_of("train", "curve")


class State(NamedTuple):
    """Everything that training carries from one update to the next."""

    update: Int[Array, ""]
    weights: Weights
    optimiser: optax.OptState


class Trained(NamedTuple):
    """What a training left behind.

    Attributes:
        regime: for all features, at the middle of the dial, told of a market without premium or informed
            traders.
        curve: a row per `ROW` updates, columns of `CURVE_UNITS`.
    """

    regime: RegimeAdapter
    curve: pl.DataFrame


_SPREAD, _EVERYWHERE = PartitionSpec("scenario"), PartitionSpec()


def _devices() -> Mesh:
    return jax.make_mesh((jax.device_count(),), ("scenario",), axis_types=(AxisType.Auto,))


def spread(bank: Bank) -> Bank:
    """Return the bank on all devices, each with its share of the scenarios; a surplus is left out."""
    count = len(bank.premium) // jax.device_count() * jax.device_count()
    sharding = jax.sharding.NamedSharding(_devices(), _SPREAD)
    return jax.tree.map(lambda values: jax.device_put(np.asarray(values[:count]), sharding), bank)


def _optimiser(settings: RegimeSettings) -> optax.GradientTransformation:
    schedule = optax.warmup_cosine_decay_schedule(
        0.0, settings.learning_rate, min(settings.warmup, settings.updates // 2), settings.updates
    )
    return optax.chain(optax.clip_by_global_norm(settings.clip), optax.adam(schedule))


def _laws(weights: Weights, scales: Scales, scenario: Bank, dial: Float[Array, ""]) -> Law:
    """Return the laws along the paths of one scenario, shape (path,)."""
    rows_between = jnp.stack([jnp.log(dial), scenario.premium, scenario.informed])
    regime = narrow(weights, scales, rows_between, scenario.half_spread)

    def path(seen: Array, base: Array | None, path_law: PathLaw) -> Law:
        return law_along(path_law, quotes_along(regime, seen, base))

    return jax.vmap(path)(scenario.seen, scenario.base, scenario.path_law)


def _score(
    weights: Weights, scales: Scales, scenario: Bank, dial: Float[Array, ""], settings: RegimeSettings
) -> Float[Array, ""]:
    laws = _laws(weights, scales, scenario, dial)
    bars = scenario.bar_mean, scenario.bar_risk, scenario.bar_utility, scenario.by_utility, scenario.scale
    return score_of(laws, *bars, dial, settings.softness, settings.swing)


def loss(
    weights: Weights,
    scales: Scales,
    scenarios: Bank,
    dials: Float[Array, " scenario"],
    settings: RegimeSettings,
) -> Float[Array, ""]:
    """Return less the mean score of a batch of scenarios, each at a dial of its own."""
    one = partial(_score, settings=settings)
    return -jnp.mean(jax.vmap(one, in_axes=(None, None, 0, 0))(weights, scales, scenarios, dials))


@partial(jax.jit, static_argnames="settings", donate_argnames="state")
def _update(
    state: State, key: PRNGKeyArray, bank: Bank, scales: Scales, settings: RegimeSettings
) -> tuple[State, Float[Array, " 2"]]:
    """Take one update; return also the mean score of its batch and the norm of its gradient."""
    mesh = _devices()
    share = max(settings.batch // mesh.size, 1)
    key = jax.random.fold_in(key, state.update)

    def shard(weights: Weights, key: PRNGKeyArray, bank: Bank, scales: Scales) -> tuple[Array, Weights]:
        key_which, key_dial = jax.random.split(jax.random.fold_in(key, jax.lax.axis_index("scenario")))
        which = jax.random.randint(key_which, (share,), 0, len(bank.premium))
        low, high = np.log(settings.dial)
        dials = jnp.exp(jax.random.uniform(key_dial, (share,), minval=low, maxval=high))
        batch = jax.tree.map(lambda values: values[which], bank)
        result = jax.value_and_grad(loss)(weights, scales, batch, dials, settings)
        return jax.lax.pmean(result, "scenario")

    value, gradient = jax.shard_map(
        shard,
        mesh=mesh,
        in_specs=(_EVERYWHERE, _EVERYWHERE, _SPREAD, _EVERYWHERE),
        out_specs=_EVERYWHERE,
        check_vma=False,
    )(state.weights, key, bank, scales)
    changes, optimiser = _optimiser(settings).update(gradient, state.optimiser, state.weights)
    weights = optax.apply_updates(state.weights, changes)
    rows_between = jnp.stack([-value, optax.tree.norm(gradient)])
    return State(state.update + 1, weights, optimiser), rows_between


@partial(jax.jit, static_argnames="settings")
def pilot_scores(
    weights: Weights,
    scales: Scales,
    bank: Bank,
    dials: Float[Array, " dial"],
    settings: RegimeSettings,
) -> Float[Array, "dial scenario"]:
    """Return the scores at several dials in all scenarios of a bank that is spread over the devices."""

    def shard(weights: Weights, scales: Scales, bank: Bank, dials: Array) -> Array:
        def at(dial: Array) -> Array:
            return jax.lax.map(lambda one: _score(weights, scales, one, dial, settings), bank, batch_size=8)

        return jax.lax.map(at, dials)

    return jax.shard_map(
        shard,
        mesh=_devices(),
        in_specs=(_EVERYWHERE, _EVERYWHERE, _SPREAD, _EVERYWHERE),
        out_specs=PartitionSpec(None, "scenario"),
        check_vma=False,
    )(weights, scales, bank, dials)


def train(
    bank: Bank,
    pilot: Bank,
    settings: RegimeSettings,
    seed: int,
    folder: Path | None = None,
    progress: Progress = no_progress,
) -> Trained:
    """Train a regime adapter.

    Update n draws from a key of (seed, n), so that a training resumed from a checkpoint ends bit for bit
    where an uninterrupted one ends (on the same machine).

    Args:
        bank: of the training family.
        pilot: of a few other random scenarios, which are scored along the way.
        settings: updates, batch, dial.
        seed: of the weights and every batch.
        folder: where checkpoints go, named after bank, settings and seed; None for no checkpoints.
        progress: told the share done.

    Raises:
        UsageError: the score stopped being finite; the last checkpoint is left.
        DataError: the checkpoint is damaged.
    """
    scales = fit_scales(np.asarray(bank.seen), settings.dial, settings.tell_convention)
    weights = init_weights(settings.units, stream(seed, "regime", "network"))
    state = State(jnp.asarray(0, jnp.int32), weights, _optimiser(settings).init(weights))
    checkpoint = Checkpoint(folder, settings, seed, arrays=bank)
    state, saved = checkpoint.resume(state, np.zeros((0, len(CURVE_UNITS))))
    curve = [tuple(row) for row in saved.tolist()]
    key = jax.random.key(stream(seed, "regime", "training"))
    on_devices = spread(bank)
    others = spread(pilot)
    dials = jnp.asarray(settings.settings_shown, jnp.float32)

    done, spent = int(state.update), curve[-1][-1] if curve else 0.0
    began, rows_between = time.perf_counter(), []
    while done < settings.updates:
        state, now = _update(state, key, on_devices, scales, settings)
        rows_between.append(now)
        done += 1
        if done % ROW and done % settings.checkpoint_every and done != settings.updates:
            progress(done / settings.updates, f"update {done:,} of {settings.updates:,}")
            continue
        score, norm = np.mean(np.asarray(rows_between), axis=0).tolist()
        if not np.isfinite([score, norm]).all():
            kept = f"The last checkpoint is `{checkpoint.path}`. " if checkpoint.path else ""
            raise UsageError(
                f"`score` must stay finite; received {score:g} within the {len(rows_between)} updates to "
                f"{done:,}. {kept}Lower the learning rate."
            )
        outside = float(np.mean(pilot_scores(state.weights, scales, others, dials, settings)))
        curve.append((done, score, outside, norm, spent + time.perf_counter() - began))
        rows_between = []
        if done % settings.checkpoint_every == 0 or done == settings.updates:
            checkpoint.save(state, curve)
        progress(done / settings.updates, f"update {done:,} of {settings.updates:,}, score {score:.4f}")

    told_at = jnp.asarray([0.5 * sum(np.log(settings.dial)), 0.0, 0.0], jnp.float32)
    regime = widen(narrow(state.weights, scales, told_at, jnp.asarray(bank.half_spread[0])))
    rows = pl.DataFrame(curve, schema=list(CURVE_UNITS), orient="row")
    return Trained(regime, rows.with_columns(pl.col("update").cast(pl.Int64)))
