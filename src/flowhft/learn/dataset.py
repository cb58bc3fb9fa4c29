"""Demonstrations: what experts saw and quoted, and the windows of them that a policy learns from."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
from jaxtyping import Array, Float, Int, PRNGKeyArray

from flowhft import features
from flowhft.errors import DataError, require
from flowhft.flow.interpolant import Batch
from flowhft.flow.normaliser import Normaliser, fit_normaliser, scale_features, scale_quotes


class Demonstrations(NamedTuple):
    """Sessions in which experts quoted.

    Attributes:
        features: what the feature function made of the observations, float32, not scaled.
        quotes: half-spreads around the mid price, ticks, float32; sides bid and ask.
        lengths: steps of each session that hold something; None where all do. Sessions of different
            length are padded at their end to the longest.
    """

    features: Float[np.ndarray, "path step feature"]
    quotes: Float[np.ndarray, "path step side"]
    lengths: Int[np.ndarray, " path"] | None = None


class Sessions(NamedTuple):
    """Demonstrations on the device, scaled, ready to cut windows from.

    Attributes:
        features: scaled features.
        quotes: scaled half-spreads.
        lengths: steps of each session that hold something.
    """

    features: Float[Array, "path step feature"]
    quotes: Float[Array, "path step side"]
    lengths: Int[Array, " path"]


def lengths_of(demonstrations: Demonstrations) -> Int[np.ndarray, " path"]:
    """Return how many steps of each session hold something."""
    if demonstrations.lengths is not None:
        return np.asarray(demonstrations.lengths, np.int32)
    paths, steps = demonstrations.features.shape[:2]
    return np.full(paths, steps, np.int32)


def require_demonstrations(demonstrations: Demonstrations, feature_count: int) -> None:
    """Require arrays that fit each other and hold finite numbers within every session.

    Raises:
        UsageError: naming the array at fault.
    """
    features, quotes = demonstrations.features, demonstrations.quotes
    require(
        features.ndim == 3 and features.shape[2] == feature_count,
        "demonstrations.features",
        f"have shape (path, step, {feature_count})",
        features.shape,
        "Demonstrate and imitate with the same kind of features.",
    )
    require(
        quotes.shape == (*features.shape[:2], 2),
        "demonstrations.quotes",
        f"have shape {(*features.shape[:2], 2)}",
        quotes.shape,
    )
    paths, steps = features.shape[:2]
    require(paths >= 2, "demonstrations", "hold at least 2 sessions, one of them held out", paths)
    lengths = lengths_of(demonstrations)
    require(
        lengths.shape == (paths,) and lengths.min() >= 1 and lengths.max() <= steps,
        "demonstrations.lengths",
        f"hold one number from 1 to {steps} for each of {paths:,} sessions",
        lengths,
    )
    within = np.arange(steps) < lengths[:, None]
    for name, values in (("features", features), ("quotes", quotes)):
        bad = np.argwhere(within & ~np.isfinite(values).all(axis=-1))
        require(
            len(bad) == 0,
            f"demonstrations.{name}",
            "be finite",
            f"NaN or infinity at (path, step) {tuple(bad[0].tolist()) if len(bad) else ''}",
            "Leave that session out, or find why its expert failed.",
        )


def split(
    demonstrations: Demonstrations, held_out: float, seed: int
) -> tuple[Demonstrations, Demonstrations]:
    """Split whole sessions, drawn at random, into those to learn from and those held out.

    Args:
        demonstrations: at least two sessions.
        held_out: share of the sessions to hold out; at least one is, and at least one is not.
        seed: of the draw.
    """
    paths = len(demonstrations.features)
    count = min(max(round(held_out * paths), 1), paths - 1)
    order = np.random.default_rng(seed).permutation(paths)
    lengths = lengths_of(demonstrations)

    def choose(rows: np.ndarray) -> Demonstrations:
        rows = np.sort(rows)
        return Demonstrations(demonstrations.features[rows], demonstrations.quotes[rows], lengths[rows])

    return choose(order[count:]), choose(order[:count])


def fit(demonstrations: Demonstrations) -> Normaliser:
    """Fit the normaliser to the steps that hold something. Give it the training split only."""
    within = np.arange(demonstrations.features.shape[1]) < lengths_of(demonstrations)[:, None]
    return fit_normaliser(demonstrations.features[within], demonstrations.quotes[within])


def to_device(demonstrations: Demonstrations, normaliser: Normaliser) -> Sessions:
    """Return the demonstrations scaled and on the device; padding is scaled too, and never read."""
    return Sessions(
        scale_features(normaliser, jnp.asarray(demonstrations.features, jnp.float32)),
        scale_quotes(normaliser, jnp.asarray(demonstrations.quotes, jnp.float32)),
        jnp.asarray(lengths_of(demonstrations)),
    )


def windows(
    sessions: Sessions, path: Int[Array, " sample"], start: Int[Array, " sample"], horizon: int
) -> Batch:
    """Cut chunks out of sessions: the features at `start` and the quotes of `horizon` steps from there.

    Steps beyond a session's end are masked. Chunks exist only while they are learned from, so the data set
    stays as small as the demonstrations.
    """
    step = start[:, None] + jnp.arange(horizon)
    inside = step < sessions.lengths[path][:, None]
    last = sessions.quotes.shape[1] - 1
    return Batch(
        features=sessions.features[path, start],
        chunk=sessions.quotes[path[:, None], jnp.minimum(step, last)],
        mask=inside,
    )


def draw_windows(sessions: Sessions, key: PRNGKeyArray, samples: int, horizon: int) -> Batch:
    """Draw windows: a session uniformly, then a step of it uniformly; both with replacement."""
    key_path, key_start = jax.random.split(key)
    path = jax.random.randint(key_path, (samples,), 0, len(sessions.lengths))
    start = jax.random.randint(key_start, (samples,), 0, sessions.lengths[path])
    return windows(sessions, path, start, horizon)


def to_table(demonstrations: Demonstrations, kind: str, scenarios: list[str]) -> pl.DataFrame:
    """Lay demonstrations out as a table: one row per step, features by name.

    Args:
        demonstrations: sessions; what pads the shorter ones is left out.
        kind: of features, "context" or "paper".
        scenarios: name of the scenario of every session.
    """
    lengths = lengths_of(demonstrations)
    within = np.arange(demonstrations.features.shape[1]) < lengths[:, None]
    columns = dict(zip(features.NAMES[kind], demonstrations.features[within].T, strict=True))
    quotes = demonstrations.quotes[within]
    return pl.DataFrame(
        {
            "path": np.repeat(np.arange(len(lengths), dtype=np.int32), lengths),
            "scenario": pl.Series(np.repeat(scenarios, lengths), dtype=pl.Categorical),
            **columns,
            "half_spread_bid": quotes[:, 0],
            "half_spread_ask": quotes[:, 1],
        }
    )


def from_table(table: pl.DataFrame, kind: str) -> Demonstrations:
    """Read demonstrations back from the table of `to_table`, or from one like it.

    Sessions may differ in length.

    Args:
        table: with a column `path`, the features of this kind by name, half_spread_bid and half_spread_ask.
        kind: of features, "context" or "paper".

    Raises:
        DataError: a column is missing.
    """
    needed = ["path", *features.NAMES[kind], "half_spread_bid", "half_spread_ask"]
    missing = [name for name in needed if name not in table.columns]
    if missing:
        raise DataError(
            f"demonstrations must have the columns {', '.join(needed)}; {', '.join(missing)} missing."
        )
    _, lengths = np.unique(table["path"].to_numpy(), return_counts=True)
    rows = table.sort("path", maintain_order=True).select(needed[1:]).to_numpy().astype(np.float32)
    padded = np.zeros((len(lengths), lengths.max(), rows.shape[1]), np.float32)
    within = np.arange(lengths.max()) < lengths[:, None]
    padded[within] = rows
    return Demonstrations(padded[..., :-2], padded[..., -2:], lengths.astype(np.int32))
