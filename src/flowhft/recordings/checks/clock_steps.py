"""How the fastest message of every moment tells that a receiver's clock was set, or that it drifts.

A clock that is set changes the latency of every message at once, and for good: the fastest ones of ten
seconds before and after lie flat, and apart. A slow network or a venue under load does not look like this:
its latencies rise and fall. A clock that drifts changes them along a line.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int

MOMENT_NS = 10**8  # the fastest message of so long is one number
SECOND = 10  # moments
SPAN = 10  # seconds with a message, on either side of a step
AROUND = 3  # seconds in which a step is looked for, on either side of where it was found
EDGE = 3  # and near the beginning and the end
STEP_NS = 50 * 10**6  # a smaller step is left to the network
SURE_NS = 10 * 10**6  # unless messages arrive before they were sent on one side of it only
FLATTER = 4  # the fastest messages on either side vary by less than this part of a step
MINUTE = 60 * SECOND  # moments
FEWEST_MINUTES = 5
DRIFT_NS = 10 * 10**6  # a smaller drift, over all of a stretch, is left to the network
STRAIGHTER = 5  # minutes lie off the line by less than this part of a drift
FASTEST_DRIFT = 1e-3  # seconds a second; quartz is a hundred times better
MOST_MINUTES = 1_000

Moments = Int[np.ndarray, " moment"]


class Line(NamedTuple):
    """The fastest latency along a stretch of time: `level` ns at its first moment, `slope` ns a moment."""

    level: float
    slope: float

    def at(self, moments: Moments) -> np.ndarray:
        """Return the fastest latency so many moments later, ns."""
        return self.level + self.slope * moments


def steps(moment: Moments, fastest: Moments) -> list[int]:
    """Return the moments before which a clock was set, rising.

    Args:
        moment: numbers of the moments in which messages arrived, rising.
        fastest: the least latency in each, ns.
    """
    second, starts = np.unique(moment // SECOND, return_index=True)
    if len(second) < 2 * EDGE:
        return []
    least = np.minimum.reduceat(fastest, starts)
    results: list[tuple[int, float, float]] = _changes(least, SPAN)
    # What arrives before it was sent tells of a clock even within seconds of the beginning and the end.
    for first, part in ((0, least[: 2 * SPAN]), (max(0, len(least) - 2 * SPAN), least[-2 * SPAN :])):
        for place, old, new in _changes(part, EDGE):
            apart = all(abs(first + place - other) >= EDGE for other, *_ in results)
            if apart and min(old, new) < 0 <= max(old, new):
                results.append((first + place, old, new))
    borders = set()
    for place, old, new in results:
        first, last = max(0, place - AROUND), min(len(second) - 1, place + AROUND)
        borders.add(_placed(moment, fastest, int(second[first]), int(second[last]), (old, new)))
    return sorted(borders)


def _changes(least: np.ndarray, span: int) -> list[tuple[int, float, float]]:
    """Return the seconds before which the fastest latency changes for good, and what it was and is.

    Args:
        least: the fastest latency of each second, ns.
        span: seconds on either side that must lie flat, but for a fifth of them.
    """
    if len(least) < 2 * span:
        return []
    spans = np.sort(np.lib.stride_tricks.sliding_window_view(least, span), axis=1)
    before, after = spans[:-span], spans[span:]
    middle, most = span // 2, span - 1 - span // 5
    old, new = before[:, middle], after[:, middle]
    change = np.abs(new - old)
    spread = np.maximum(before[:, most] - before[:, 0], after[:, most] - after[:, 0])
    impossible = (np.minimum(old, new) < 0) & (np.maximum(old, new) >= 0)
    enough = change >= np.where(impossible, SURE_NS, STEP_NS)
    result = np.where(enough & (FLATTER * spread < change), change, 0)
    taken = []
    while len(result) and result.max() > 0:
        index = int(np.argmax(result))
        taken.append((index + span, float(old[index]), float(new[index])))
        result[max(0, index - span) : index + span + 1] = 0
    return taken


def _placed(moment: Moments, fastest: Moments, first: int, last: int, levels: tuple[float, float]) -> int:
    """Return the moment, within some seconds, from which on latencies are those after a step."""
    begin = int(np.searchsorted(moment, first * SECOND))
    end = int(np.searchsorted(moment, (last + 1) * SECOND))
    here = np.clip(fastest[begin:end], min(levels), max(levels))
    old, new = (np.abs(here - level) for level in levels)
    cost = np.concatenate([[0.0], np.cumsum(old)]) + np.append(np.cumsum(new[::-1])[::-1], 0.0)
    best = begin + int(np.argmin(cost))
    return int(moment[min(best, len(moment) - 1)])


def line(moment: Moments, fastest: Moments) -> Line:
    """Return how the fastest latency of a stretch without a step changes: a slope of 0 unless it drifts.

    The level is such that no moment lies below the line, but for what its slope is off (Theil-Sen, of the
    fastest messages of whole minutes).

    Args:
        moment: rising, one or more.
        fastest: the least latency in each, ns.
    """
    level = Line(float(fastest.min()), 0.0)
    minute, starts, counts = np.unique(moment // MINUTE, return_index=True, return_counts=True)
    least = np.minimum.reduceat(fastest, starts).astype(np.float64)
    minute, least = minute[counts * 4 >= MINUTE], least[counts * 4 >= MINUTE]
    if len(minute) < FEWEST_MINUTES:
        return level
    every = 1 + len(minute) // MOST_MINUTES
    x, y = minute[::every] * float(MINUTE), least[::every]
    one, other = np.triu_indices(len(x), 1)
    slope = float(np.median((y[other] - y[one]) / (x[other] - x[one])))
    total = abs(slope) * float(x[-1] - x[0])
    off = y - slope * x
    if total < DRIFT_NS or STRAIGHTER * np.ptp(off) > total or abs(slope) > FASTEST_DRIFT * MOMENT_NS:
        return level
    since = (moment - moment[0]).astype(np.float64)
    return Line(float(np.min(fastest - slope * since)), slope)
