"""Demonstrations: what experts saw and quoted, and the windows of them that a policy learns from."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from flowhft.errors import require
from flowhft.features import NAMES, Sensor
from flowhft.flow.interpolant import Batch
from flowhft.flow.normaliser import Normaliser, fit_normaliser, scale_features, scale_quotes
from flowhft.learn.demonstrations.dataset_files import Shown
from flowhft.learn.demonstrations.sensing import features_along
from flowhft.scenarios.known import regime_of
from flowhft.types import Quote


class Demonstrations(NamedTuple):
    """Sessions in which experts quoted.

    Attributes:
        features: what the feature function made of the observations, float32, not scaled.
        quotes: half-spreads around the mid price, ticks, float32; sides bid and ask. For features of kind
            `book`, a session is of one side: 1 for the choice that was taken, -1 for the others.
        lengths: steps of each session that hold something; None where all do. Sessions of different
            length are padded at their end to the longest.
        scenarios: number of each session's scenario, in the order in which they first come; None if unknown.
    """

    features: Float[np.ndarray, "path step feature"]
    quotes: Float[np.ndarray, "path step side"]
    lengths: Int[np.ndarray, " path"] | None = None
    scenarios: Int[np.ndarray, " path"] | None = None


class Samples(Protocol):
    """What a network learns from, on the device; leaves are arrays."""

    def draw(self, key: PRNGKeyArray, samples: int, horizon: int) -> Batch:
        """Draw a batch of so many chunks of so many steps, with replacement."""

    @property
    def remedy(self) -> str:
        """What to do where a loss is not finite."""

    def furthest(self, key: PRNGKeyArray, samples: int) -> str:
        """Say which sample of that batch is the furthest from the mean quote."""


class Sessions(NamedTuple):
    """Demonstrations on the device, scaled, ready to cut windows from: `Samples`.

    Attributes:
        features: scaled features.
        quotes: scaled half-spreads.
        lengths: steps of each session that hold something.
    """

    features: Float[Array, "path step feature"]
    quotes: Float[Array, "path step side"]
    lengths: Int[Array, " path"]

    @property
    def remedy(self) -> str:
        """What to do where a loss is not finite."""
        return "Lower the learning rate, or look for outliers among the demonstrated quotes."

    def draw(self, key: PRNGKeyArray, samples: int, horizon: int) -> Batch:
        """Draw windows (see `draw_places`)."""
        return windows(self, *draw_places(self, key, samples), horizon)

    def furthest(self, key: PRNGKeyArray, samples: int) -> str:
        """Say which window of that batch begins the furthest from the mean quote."""
        path, start = draw_places(self, key, samples)
        worst = int(np.argmax(deviations := np.max(np.abs(np.asarray(self.quotes[path, start])), axis=-1)))
        return (
            f"training session {int(path[worst]):,} at step {int(start[worst]):,} is the furthest from the "
            f"mean quote, {deviations[worst]:.1f} standard deviations"
        )


def lengths_of(demonstrations: Demonstrations) -> Int[np.ndarray, " path"]:
    """Return how many steps of each session hold something."""
    if demonstrations.lengths is not None:
        return np.asarray(demonstrations.lengths, np.int32)
    paths, steps = demonstrations.features.shape[:2]
    return np.full(paths, steps, np.int32)


def require_demonstrations(demonstrations: Demonstrations, feature_count: int, answers: int = 2) -> None:
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
        quotes.shape == (*features.shape[:2], answers),
        "demonstrations.quotes",
        f"have shape {(*features.shape[:2], answers)}",
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
        scenarios = None if demonstrations.scenarios is None else demonstrations.scenarios[rows]
        return Demonstrations(
            demonstrations.features[rows], demonstrations.quotes[rows], lengths[rows], scenarios
        )

    return choose(order[count:]), choose(order[:count])


def fit(demonstrations: Demonstrations, scaled: bool = True) -> Normaliser:
    """Fit the normaliser to the steps that hold something.

    Args:
        demonstrations: the training split only.
        scaled: whether quotes are; choices, which are -1 or 1, are not.
    """
    within = np.arange(demonstrations.features.shape[1]) < lengths_of(demonstrations)[:, None]
    fitted = fit_normaliser(demonstrations.features[within], demonstrations.quotes[within])
    if scaled:
        return fitted
    as_they_are = jnp.zeros_like(fitted.action_mean), jnp.ones_like(fitted.action_scale)
    return fitted._replace(action_mean=as_they_are[0], action_scale=as_they_are[1])


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


def draw_places(
    sessions: Sessions, key: PRNGKeyArray, samples: int
) -> tuple[Int[Array, " sample"], Int[Array, " sample"]]:
    """Draw where windows begin: a session uniformly, then a step of it uniformly; both with replacement."""
    key_path, key_start = jax.random.split(key)
    path = jax.random.randint(key_path, (samples,), 0, len(sessions.lengths))
    return path, jax.random.randint(key_start, (samples,), 0, sessions.lengths[path])


def sensed(shown: Sequence[Shown], sensor: Sensor, kind: str) -> Demonstrations:
    """Make demonstrations of what was recorded: the features that a learner of this kind would have had.

    Args:
        shown: by teachers in scenarios, of any number of steps.
        sensor: the learner's scales, one for all of them.
        kind: of features, see `flowhft.features.NAMES`.

    Returns:
        All their sessions in order, the shorter ones padded at their end.
    """
    require(len(shown) > 0, "shown", "hold what one teacher showed at least", 0)
    require(
        kind != "book",
        "features",
        "be context, paper or told for demonstrations in simulated markets, which have no order book",
        kind,
        "`flowhft teach` demonstrates on recordings.",
    )
    shapes = [np.shape(one.quote.half_spread_bid) for one in shown]
    firsts = np.cumsum([0, *(paths for paths, _ in shapes)])
    longest = max(steps for _, steps in shapes)
    features = np.zeros((firsts[-1], longest, len(NAMES[kind])), np.float32)
    quotes = np.zeros((firsts[-1], longest, 2), np.float32)
    # What a policy is told it cannot sense: the same numbers at every step of a scenario.
    sensed_kind = "context" if kind == "told" else kind
    seen = len(NAMES[sensed_kind])
    if kind == "told":
        for one, first, last in zip(shown, firsts, firsts[1:], strict=False):
            features[first:last, :, seen:] = regime_of(one.scenario)
    for steps in sorted({steps for _, steps in shapes}):  # sessions of one length share a program
        alike = [i for i, shape in enumerate(shapes) if shape[1] == steps]
        observation, quote = jax.tree.map(
            lambda *parts: np.concatenate(parts), *((shown[i].observation, shown[i].quote[:2]) for i in alike)
        )
        rows = np.concatenate([np.arange(firsts[i], firsts[i + 1]) for i in alike])
        features[rows, :steps, :seen] = features_along(sensor, sensed_kind, observation, Quote(*quote))
        quotes[rows, :steps] = np.stack(quote, axis=-1)
    names = list(dict.fromkeys(one.scenario.name for one in shown))
    paths = [count for count, _ in shapes]
    return Demonstrations(
        features,
        quotes,
        np.repeat([steps for _, steps in shapes], paths).astype(np.int32),
        np.repeat([names.index(one.scenario.name) for one in shown], paths).astype(np.int32),
    )
