"""Examples: what a maker saw at its decisions, and what became of every order it could have sent."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

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


class Examples(NamedTuple):
    """Decisions of one recording, in their order.

    Attributes:
        name: of the recording.
        time_ns: of each decision, local clock, shape (step,).
        signals: as they are observed, shape (step, signal).
        placed: whether an order could be sent, shape (step, side, offset); bids first.
        filled: whether it was filled in time, likewise.
        edge: of its fill, ticks a lot; NaN where there was none.
        scales: of its market.
    """

    name: str
    time_ns: Int[np.ndarray, " step"]
    signals: Float[np.ndarray, "step signal"]
    placed: Bool[np.ndarray, "step side offset"]
    filled: Bool[np.ndarray, "step side offset"]
    edge: Float[np.ndarray, "step side offset"]
    scales: Scales

    def between(self, start_ns: int | None, end_ns: int | None) -> "Examples":
        """Return the decisions of [start, end); None for its beginning or end."""
        start = 0 if start_ns is None else int(np.searchsorted(self.time_ns, start_ns))
        end = len(self.time_ns) if end_ns is None else int(np.searchsorted(self.time_ns, end_ns))
        return self.rows(slice(start, end))

    def rows(self, rows: slice | np.ndarray) -> "Examples":
        """Return some of the decisions."""
        return self._replace(
            time_ns=self.time_ns[rows],
            signals=self.signals[rows],
            placed=self.placed[rows],
            filled=self.filled[rows],
            edge=self.edge[rows],
        )


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
        time_ns: at equal distances.
        mid_price: then.
        seconds: over which moves are taken.
    """
    apart = max(1, round(seconds * 1e9 / float(time_ns[1] - time_ns[0])))
    moves = mid_price[apart:] - mid_price[:-apart]
    return float(np.sqrt(np.mean(moves**2) / seconds))
