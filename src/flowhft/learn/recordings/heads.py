"""Heads: from the signals of a book to the probability of a fill, and to the edge of a fill, for each price.

One pair a price, for both sides: an ask sees the mirror image of what a bid sees, which halves the numbers
and forbids a drift to be learned. The probability is logistic with a ridge, the edge given a fill a ridge
regression on the orders that filled. All recordings are pooled, each in the unit of its own moves; the
strength of the ridges is chosen by folds in time.

Source: Hastie, Tibshirani, Friedman, The Elements of Statistical Learning (2009), eqs. 3.41 and 4.26.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numba import njit

from flowhft.errors import DataError, UsageError
from flowhft.features.scales import by_side, standard
from flowhft.learn.recordings.examples import Examples

FOLDS = 5
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1)  # of a ridge, in units of the information of one intercept
EDGE_STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
FEWEST_FILLS = 50  # at a price, below which nothing is said of its edge: it is never quoted
NEWTON, TOLERANCE = 25, 1e-6
NEVER = -30.0  # logit of a price that is never filled
WORTHLESS = -1e6  # edge of one of which nothing is known, in units


class Heads(NamedTuple):
    """The heads.

    Attributes:
        fill: intercept and weights of the logit, shape (offset, 1 + signal).
        edge: of the edge in units, likewise.
    """

    fill: Float[np.ndarray, "offset weight"]
    edge: Float[np.ndarray, "offset weight"]

    def chance(self, seen: Float[np.ndarray, "*step signal"]) -> Float[np.ndarray, "*step offset"]:
        """Return the probability that an order is filled in time."""
        return 1.0 / (1.0 + np.exp(-(seen @ self.fill[:, 1:].T + self.fill[:, 0])))

    def gain(self, seen: Float[np.ndarray, "*step signal"]) -> Float[np.ndarray, "*step offset"]:
        """Return the edge that is expected of a fill, in units."""
        return seen @ self.edge[:, 1:].T + self.edge[:, 0]


class Fitted(NamedTuple):
    """Heads and what they say of decisions that they were not fitted on.

    Attributes:
        heads: fitted on everything.
        chance: out of fold, of each recording, shape (step, side, offset); 0 where no order could be sent.
        gain: likewise, in units.
        strengths: of the ridges of fill and edge.
    """

    heads: Heads
    chance: tuple[Float[np.ndarray, "step side offset"], ...]
    gain: tuple[Float[np.ndarray, "step side offset"], ...]
    strengths: tuple[float, float]


class _Pool(NamedTuple):
    """All recordings together, a row a decision and side."""

    seen: Float[np.ndarray, "row signal"]
    placed: np.ndarray
    filled: np.ndarray
    edge: Float[np.ndarray, "row offset"]
    fold: Int[np.ndarray, " row"]
    weight: Float[np.ndarray, " row"]


def fit_heads(examples: Sequence[Examples], folds: int = FOLDS) -> Fitted:
    """Fit the heads on recordings, pooled.

    Args:
        examples: of each recording, with the same offsets.
        folds: parts of equal numbers of consecutive decisions that every recording is cut into.

    Raises:
        DataError: no price has enough fills.
    """
    pool = _pooled(examples, folds)
    offsets = pool.placed.shape[1]
    if max(int(pool.filled[:, k].sum()) for k in range(offsets)) < FEWEST_FILLS:
        most = max(int(pool.filled[:, k].sum()) for k in range(offsets))
        raise DataError(
            f"`labels` must hold {FEWEST_FILLS} fills at one price or more to learn from; received {most} in "
            f"{', '.join(one.name for one in examples)}. Use longer recordings, or let orders stand longer."
        )
    fill = _best(pool, STRENGTHS, _fit_fill, _fill_loss, folds)
    edge = _best(pool, EDGE_STRENGTHS, _fit_edge, _edge_loss, folds)
    heads = Heads(fill.whole, edge.whole)
    chance, gain = [], []
    row = 0
    for one in examples:
        steps = len(one.time_ns)
        seen = by_side(standard(one.scales, one.signals))
        fold = pool.fold[row : row + 2 * steps : 2]
        own_chance, own_gain = np.zeros(one.placed.shape), np.zeros(one.placed.shape)
        for out in range(folds):
            inside = fold == out
            there = Heads(fill.parts[out], edge.parts[out])
            own_chance[inside], own_gain[inside] = there.chance(seen[inside]), there.gain(seen[inside])
        chance.append(own_chance * one.placed)
        gain.append(own_gain)
        row += 2 * steps
    return Fitted(heads, tuple(chance), tuple(gain), (fill.strength, edge.strength))


class _Chosen(NamedTuple):
    """Weights for the strength that is best out of fold: fitted on all, and on all but each fold."""

    whole: Float[np.ndarray, "offset weight"]
    parts: list[Float[np.ndarray, "offset weight"]]
    strength: float


def _best(pool: _Pool, strengths: Sequence[float], fit, loss, folds: int) -> _Chosen:  # type: ignore[no-untyped-def]
    """Choose the strength of a ridge by the sum of the losses of all prices out of fold."""
    best: _Chosen | None = None
    least, start = np.inf, None
    for strength in sorted(strengths, reverse=True):
        parts = []
        total = 0.0
        for out in range(folds):
            weights = fit(pool, pool.fold != out, strength, None if start is None else start[out])
            total += loss(pool, pool.fold == out, weights)
            parts.append(weights)
        start = parts
        if best is None or total < least:
            best, least = _Chosen(parts[0], parts, strength), total
    if best is None:
        raise UsageError("`strengths` must name one or more; received none. Leave them as they are.")
    whole = fit(pool, np.ones(len(pool.fold), bool), best.strength, best.whole)
    return best._replace(whole=whole)


def _pooled(examples: Sequence[Examples], folds: int) -> _Pool:
    seen, placed, filled, edge, fold, weight = [], [], [], [], [], []
    for one in examples:
        steps, offsets = len(one.time_ns), one.placed.shape[2]
        seen.append(by_side(standard(one.scales, one.signals)).reshape(2 * steps, -1))
        placed.append(one.placed.reshape(2 * steps, offsets))
        filled.append((one.filled & np.isfinite(one.edge)).reshape(2 * steps, offsets))
        edge.append(one.edge.reshape(2 * steps, offsets) / one.scales.unit)
        fold.append(np.repeat(np.arange(steps) * folds // max(steps, 1), 2))
        weight.append(np.ones(2 * steps))
    return _Pool(*(np.concatenate(part) for part in (seen, placed, filled, edge, fold, weight)))


@njit(cache=True)
def _slopes(seen, rows, filled, weights):  # type: ignore[no-untyped-def]
    """Return gradient and information of a logistic loss over some rows; one thread, the same everywhere."""
    count = len(weights)
    gradient, information, x = np.zeros(count), np.zeros((count, count)), np.ones(count)
    for row in range(len(rows)):
        if not rows[row]:
            continue
        logit = weights[0]
        for i in range(1, count):
            x[i] = seen[row, i - 1]
            logit += weights[i] * x[i]
        p = 1.0 / (1.0 + np.exp(-logit))
        off, certain = p - filled[row], p * (1.0 - p)
        for i in range(count):
            gradient[i] += off * x[i]
            here = certain * x[i]
            for j in range(count):
                information[i, j] += here * x[j]
    return gradient, information


@njit(cache=True)
def _moments(seen, rows, target):  # type: ignore[no-untyped-def]
    """Return the products of a regression over some rows: with the target, and with each other."""
    count = seen.shape[1] + 1
    moments, products, x = np.zeros(count), np.zeros((count, count)), np.ones(count)
    for row in range(len(rows)):
        if not rows[row]:
            continue
        for i in range(1, count):
            x[i] = seen[row, i - 1]
        for i in range(count):
            moments[i] += x[i] * target[row]
            for j in range(count):
                products[i, j] += x[i] * x[j]
    return moments, products


def _fit_fill(
    pool: _Pool, rows: np.ndarray, strength: float, start: np.ndarray | None
) -> Float[np.ndarray, "offset weight"]:
    """Return the logistic weights of every price, by Newton's method."""
    offsets, count = pool.placed.shape[1], pool.seen.shape[1] + 1
    weights = np.zeros((offsets, count))
    for k in range(offsets):
        own = rows & pool.placed[:, k]
        y = pool.filled[own, k].astype(np.float64)
        if y.sum() < FEWEST_FILLS:
            weights[k, 0] = NEVER
            continue
        mean = y.mean()
        ridge = np.full(count, strength * len(y) * mean * (1.0 - mean))
        ridge[0] = 0.0
        w = np.zeros(count)
        w[0] = np.log(mean / (1.0 - mean)) if mean < 1.0 else -NEVER
        if start is not None and start[k, 0] != NEVER:
            w = start[k].copy()
        for _ in range(NEWTON):
            gradient, information = _slopes(pool.seen, own, pool.filled[:, k], w)
            step = np.linalg.solve(information + np.diag(ridge + 1e-9), gradient + ridge * w)
            step *= min(1.0, 4.0 / max(np.abs(step).max(), 1e-12))
            w -= step
            if np.abs(step).max() < TOLERANCE:
                break
        weights[k] = w
    return weights


def _fill_loss(pool: _Pool, rows: np.ndarray, weights: np.ndarray) -> float:
    total = 0.0
    for k in range(pool.placed.shape[1]):
        own = rows & pool.placed[:, k]
        logit = pool.seen[own] @ weights[k, 1:] + weights[k, 0]
        total += float(np.sum(np.logaddexp(0.0, logit) - pool.filled[own, k] * logit))
    return total


def _fit_edge(
    pool: _Pool, rows: np.ndarray, strength: float, start: np.ndarray | None
) -> Float[np.ndarray, "offset weight"]:
    """Return the weights of the ridge regressions of every price, on the orders that filled."""
    offsets, count = pool.placed.shape[1], pool.seen.shape[1] + 1
    weights = np.zeros((offsets, count))
    for k in range(offsets):
        own = rows & pool.filled[:, k]
        y = pool.edge[own, k]
        if len(y) < FEWEST_FILLS:
            weights[k, 0] = WORTHLESS
            continue
        ridge = np.full(count, strength * len(y))
        ridge[0] = 0.0
        moments, products = _moments(pool.seen, own, pool.edge[:, k])
        weights[k] = np.linalg.solve(products + np.diag(ridge + 1e-9), moments)
    return weights


def _edge_loss(pool: _Pool, rows: np.ndarray, weights: np.ndarray) -> float:
    total = 0.0
    for k in range(pool.placed.shape[1]):
        own = rows & pool.filled[:, k]
        if weights[k, 0] != WORTHLESS and np.any(own):
            total += float(np.sum((pool.edge[own, k] - pool.seen[own] @ weights[k, 1:] - weights[k, 0]) ** 2))
    return total
