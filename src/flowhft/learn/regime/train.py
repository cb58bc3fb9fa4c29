"""Train a regime adapter: the gradient goes through the exact law of the inventory, no fill is sampled."""

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
from jax.sharding import AxisType, Mesh, PartitionSpec
from jaxtyping import Array, Float, Int, PRNGKeyArray

from flowhft.errors import UsageError
from flowhft.estimators import RISK_WEIGHT
from flowhft.learn.checkpoint import Curve, read_checkpoint, save_checkpoint
from flowhft.learn.regime.bank import BY_UTILITY, Bank
from flowhft.learn.regime.law import Law, Way, law_along
from flowhft.learn.regime.network import (
    Scales,
    Weights,
    fit_scales,
    init_weights,
    narrow,
    quotes_along,
    widen,
)
from flowhft.learn.regime.score import risk_of, score_of
from flowhft.learn.regime.settings import RegimeSettings
from flowhft.regime import RegimeAdapter
from flowhft.runs import plain, stream
from flowhft.types import Progress, no_progress

ROW = 20  # updates behind a row of the curve
PILOT = 48  # held-out scenarios that are judged for the curve
CURVE_UNITS = {
    "update": "updates",
    "score": "mean over random scenarios: soft minimum of gains",
    "held_out_score": "the same on held-out scenarios, all dials of the table",
    "gradient_norm": "1",
    "seconds": "s",
}
TABLE_UNITS = {
    "dial": "1",
    "scenarios": "scenarios",
    "pnl_ratio": "ratio to the best expert, median",
    "sharpe_ratio": "ratio to the best expert, median",
    "swing_ratio": "ratio to the calmest expert of the root of the quadratic variation, median",
    "better_pnl": "share of scenarios",
    "better_sharpe": "share of scenarios",
    "better_swing": "share of scenarios",
    "better_all": "share of scenarios",
    "better_utility": "share of scenarios",
    "won": "share of scenarios: better in utility among informed traders, in all three elsewhere",
}


class State(NamedTuple):
    """Everything that training carries from one update to the next."""

    update: Int[Array, ""]
    weights: Weights
    optimiser: optax.OptState


class Trained(NamedTuple):
    """What a training left behind.

    Attributes:
        regime: for all features, at the dial chosen, told of a market without premium or informed traders.
        dial: the risk dial that was chosen on the held-out scenarios.
        curve: a row per `ROW` updates, columns of `CURVE_UNITS`.
        table: held-out scenarios by market and dial, columns market and those of `TABLE_UNITS`.
    """

    regime: RegimeAdapter
    dial: float
    curve: pl.DataFrame
    table: pl.DataFrame


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
    told = jnp.stack([jnp.log(dial), scenario.premium, scenario.informed])
    regime = narrow(weights, scales, told, scenario.half_spread)

    def path(seen: Array, base: Array | None, way: Way) -> Law:
        return law_along(way, quotes_along(regime, seen, base))

    return jax.vmap(path)(scenario.seen, scenario.base, scenario.way)


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
        found = jax.value_and_grad(loss)(weights, scales, batch, dials, settings)
        return jax.lax.pmean(found, "scenario")

    value, gradient = jax.shard_map(
        shard,
        mesh=mesh,
        in_specs=(_EVERYWHERE, _EVERYWHERE, _SPREAD, _EVERYWHERE),
        out_specs=_EVERYWHERE,
        check_vma=False,
    )(state.weights, key, bank, scales)
    changes, optimiser = _optimiser(settings).update(gradient, state.optimiser, state.weights)
    weights = optax.apply_updates(state.weights, changes)
    told = jnp.stack([-value, optax.tree.norm(gradient)])
    return State(state.update + 1, weights, optimiser), told


class Judged(NamedTuple):
    """A policy in scenarios, shape (dial, scenario): its mean, logarithms of its risks, and its score."""

    mean: Array
    variance: Array
    swing: Array
    score: Array


@partial(jax.jit, static_argnames="settings")
def judge(
    weights: Weights,
    scales: Scales,
    bank: Bank,
    dials: Float[Array, " dial"],
    settings: RegimeSettings,
) -> Judged:
    """Judge a policy at several dials in all scenarios of a bank that is spread over the devices."""

    def scenario(weights: Weights, scales: Scales, one: Bank, dial: Float[Array, ""]) -> Judged:
        laws = _laws(weights, scales, one, dial)
        bars = one.bar_mean, one.bar_risk, one.bar_utility, one.by_utility, one.scale
        score = score_of(laws, *bars, dial, settings.softness, settings.swing)
        return Judged(jnp.mean(laws.mean), risk_of(laws, 0.0), risk_of(laws, 1.0), score)

    def shard(weights: Weights, scales: Scales, bank: Bank, dials: Array) -> Judged:
        def at(dial: Array) -> Judged:
            return jax.lax.map(lambda one: scenario(weights, scales, one, dial), bank, batch_size=8)

        return jax.lax.map(at, dials)

    return jax.shard_map(
        shard,
        mesh=_devices(),
        in_specs=(_EVERYWHERE, _EVERYWHERE, _SPREAD, _EVERYWHERE),
        out_specs=PartitionSpec(None, "scenario"),
        check_vma=False,
    )(weights, scales, bank, dials)


def held_out_table(judged: Judged, bank: Bank, markets: list[str], dials: tuple[float, ...]) -> pl.DataFrame:
    """Return how a policy does against the best expert of each scenario, by market and dial.

    Better in all means a higher mean, a higher ratio of mean to standard deviation, and less quadratic
    variation of the inventory's wealth than whichever expert is best in each.

    Args:
        judged: from `judge`.
        bank: of the held-out scenarios.
        markets: of each scenario.
        dials: rows of `judged`.
    """
    mean, variance, swing, _ = (np.asarray(values, np.float64) for values in judged)
    bar_mean, bar_sharpe, bar_swing, bar_utility = (
        np.asarray(values, np.float64)[: mean.shape[1]]
        for values in (bank.bar_mean, bank.bar_sharpe, bank.bar_swing, bank.bar_utility)
    )
    deviation = np.exp(0.5 * variance)
    sharpe = mean / deviation
    better = np.stack([mean > bar_mean, sharpe > bar_sharpe, swing < bar_swing])
    better_utility = mean - RISK_WEIGHT * deviation > bar_utility
    names = np.array(markets)[: mean.shape[1]]
    won = np.where(np.isin(names, BY_UTILITY), better_utility, better.all(axis=0))
    rows = []
    for market in (*sorted(set(markets)), "all"):
        where = names == market if market != "all" else names == names
        for n, dial in enumerate(dials):
            shares = better[:, n, where].mean(axis=-1)
            rows.append(
                {
                    "market": market,
                    "dial": dial,
                    "scenarios": int(where.sum()),
                    "pnl_ratio": _median(mean[n, where], bar_mean[where]),
                    "sharpe_ratio": _median(sharpe[n, where], bar_sharpe[where]),
                    "swing_ratio": float(np.median(np.exp(0.5 * (swing[n, where] - bar_swing[where])))),
                    "better_pnl": float(shares[0]),
                    "better_sharpe": float(shares[1]),
                    "better_swing": float(shares[2]),
                    "better_all": float(better[:, n, where].all(axis=0).mean()),
                    "better_utility": float(better_utility[n, where].mean()),
                    "won": float(won[n, where].mean()),
                }
            )
    return pl.DataFrame(rows)


def _median(values: np.ndarray, bars: np.ndarray) -> float:
    """Return the median ratio to a bar, where the bar is positive."""
    good = bars > 0.0
    return float(np.median(values[good] / bars[good])) if good.any() else float("nan")


def choose_dial(table: pl.DataFrame) -> float:
    """Return the dial at which most held-out scenarios are won; of equals the one that risks less."""
    rows = table.filter(pl.col("market") == "all").sort("won", "dial", descending=True)
    return float(rows["dial"][0])


def _fingerprint(bank: Bank, *identity: object) -> str:
    digest = hashlib.sha256(repr(plain(identity)).encode())
    for values in jax.tree.leaves(bank):
        digest.update(np.ascontiguousarray(values).data)
    return digest.hexdigest()[:16]


def train(
    bank: Bank,
    held_out: Bank,
    markets: list[str],
    settings: RegimeSettings,
    seed: int,
    folder: Path | None = None,
    progress: Progress = no_progress,
) -> Trained:
    """Train a regime adapter, and choose its dial on held-out scenarios.

    Update n draws from a key of (seed, n), so that a training resumed from a checkpoint ends bit for bit
    where an uninterrupted one ends (on the same machine).

    Args:
        bank: of the training family.
        held_out: of other random scenarios.
        markets: preset of each held-out scenario.
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
    checkpoint, curve = None, Curve()
    if folder is not None:
        checkpoint = folder / f"training-{_fingerprint(bank, settings, seed)}.safetensors"
        if checkpoint.is_file():
            state, curve = read_checkpoint(checkpoint, state, len(CURVE_UNITS))
    key = jax.random.key(stream(seed, "regime", "training"))
    on_devices = spread(bank)
    pilot = spread(jax.tree.map(lambda values: values[:PILOT], held_out))
    dials = jnp.asarray(settings.settings_shown, jnp.float32)

    done, spent = int(state.update), curve[-1][-1] if curve else 0.0
    began, told = time.perf_counter(), []
    while done < settings.updates:
        state, now = _update(state, key, on_devices, scales, settings)
        told.append(now)
        done += 1
        if done % ROW and done % settings.checkpoint_every and done != settings.updates:
            progress(done / settings.updates, f"update {done:,} of {settings.updates:,}")
            continue
        score, norm = np.mean(np.asarray(told), axis=0).tolist()
        if not np.isfinite([score, norm]).all():
            kept = f"The last checkpoint is `{checkpoint}`. " if checkpoint else ""
            raise UsageError(
                f"`score` must stay finite; received {score:g} within the {len(told)} updates to {done:,}. "
                f"{kept}Lower the learning rate."
            )
        outside = float(np.mean(judge(state.weights, scales, pilot, dials, settings).score))
        curve.append((done, score, outside, norm, spent + time.perf_counter() - began))
        told = []
        if checkpoint is not None and (done % settings.checkpoint_every == 0 or done == settings.updates):
            save_checkpoint(checkpoint, state, curve)
        progress(done / settings.updates, f"update {done:,} of {settings.updates:,}, score {score:.4f}")

    progress(1.0, "judging the held-out scenarios")
    judged = judge(state.weights, scales, spread(held_out), dials, settings)
    table = held_out_table(judged, held_out, markets, settings.settings_shown)
    dial = choose_dial(table)
    told_at = jnp.asarray([np.log(dial), 0.0, 0.0], jnp.float32)
    regime = widen(narrow(state.weights, scales, told_at, jnp.asarray(held_out.half_spread[0])))
    rows = pl.DataFrame(curve, schema=list(CURVE_UNITS), orient="row")
    return Trained(regime, dial, rows.with_columns(pl.col("update").cast(pl.Int64)), table)
