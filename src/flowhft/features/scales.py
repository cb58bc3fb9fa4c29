"""Scales of the signals of an order book: what makes those of one market comparable with those of others.

A policy that learned on several markets, or is brought into a new one, sees signals in the deviations that
they have there, and counts money in moves of the mid.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from flowhft.features.book import MIRROR, NAMES, SIGN

ODD = SIGN < 0.0  # signals that change their sign with the side
FURTHEST = 5.0  # deviations that a signal counts for at most


class Scales(NamedTuple):
    """What makes signals of one market comparable with those of others.

    Attributes:
        centre: taken off each signal, shape (signal,); 0 for those that change their sign with the side, so
            that a book and its mirror image stay mirror images.
        scale: what it is divided by then, positive, likewise.
        unit: deviation of the move of the mid in a second, ticks: the unit of edges.
    """

    centre: Float[np.ndarray, " signal"]
    scale: Float[np.ndarray, " signal"]
    unit: float

    @property
    def width(self) -> float:
        """Return the mean logarithm of the spread in units: which kind of market it is."""
        return float(self.centre[NAMES.index("log_spread")]) - math.log(self.unit)


def scales_of(signals: Float[np.ndarray, "step signal"], unit: float) -> Scales:
    """Return the scales of a market.

    Args:
        signals: that were observed in it.
        unit: deviation of the move of its mid in a second, ticks.
    """
    centre, scale = np.zeros(len(NAMES)), np.ones(len(NAMES))
    for i in range(len(NAMES)):
        seen = np.concatenate([signals[:, i], SIGN[i] * signals[:, MIRROR[i]]])
        seen = seen[np.isfinite(seen)]
        if len(seen):
            centre[i] = 0.0 if ODD[i] and MIRROR[i] == i else float(seen.mean())
            spread = float(np.sqrt(np.mean((seen - centre[i]) ** 2)))
            scale[i] = spread if spread > 0.0 else 1.0
    return Scales(centre, scale, unit)


def standard(scales: Scales, signals: Float[np.ndarray, "*step signal"]) -> Float[np.ndarray, "*step signal"]:
    """Return signals in deviations; one that is not known counts as its mean, far ones as `FURTHEST`."""
    values = (signals - scales.centre) / scales.scale
    return np.clip(np.nan_to_num(values, nan=0.0, posinf=FURTHEST, neginf=-FURTHEST), -FURTHEST, FURTHEST)


def by_side(standardised: Float[np.ndarray, "step signal"]) -> Float[np.ndarray, "step side signal"]:
    """Return what a bid sees, and what an ask sees: the mirror image, so that one head serves both."""
    return np.stack([standardised, SIGN * standardised[..., MIRROR]], axis=1)


def second_move(
    time_ns: Int[np.ndarray, " step"], mid_price: Float[np.ndarray, " step"], seconds: float = 1.0
) -> float:
    """Return the deviation of the move of a mid in a second, ticks.

    Args:
        time_ns: at equal distances, with gaps or not: no move is taken over a gap.
        mid_price: then; NaN where there was none.
        seconds: over which moves are taken.

    Returns:
        It; 0 where no move is known.
    """
    step = int(np.diff(time_ns).min())
    apart = max(1, round(seconds * 1e9 / step))
    moves = mid_price[apart:] - mid_price[:-apart]
    moves = moves[np.isfinite(moves) & (time_ns[apart:] - time_ns[:-apart] < (apart + 1) * step)]
    return float(np.sqrt(np.mean(moves**2) / seconds)) if len(moves) else 0.0
