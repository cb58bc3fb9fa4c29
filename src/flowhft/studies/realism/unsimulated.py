"""What a recording has and its simulated market does not: a spread, and a book that foresees the mid."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from flowhft.recordings.book import TopOfBook, mid_at

SPREAD, IMBALANCE = "market_spread", "imbalance"
SPREAD_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
HORIZONS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)  # seconds
STEP = 0.1  # seconds
FEWEST_HORIZONS = 20  # that fit end to end; below it a value says nothing

Points = Float[np.ndarray, " point"]


class Unsimulated(NamedTuple):
    """A fact of a recording alone.

    Attributes:
        name: what tables call it.
        title: what people read.
        axis: what its points are numbered by, with the unit.
        unit: of its values.
        x: of its points.
        values: at them; NaN where the recording says nothing.
        said: about it, in words.
    """

    name: str
    title: str
    axis: str
    unit: str
    x: Points
    values: Points
    said: str


def unsimulated(top: TopOfBook) -> tuple[Unsimulated, ...]:
    """Return the facts of a recording that the simulator has nothing of.

    Args:
        top: best prices of the recording, gaps closed.
    """
    return spread_fact(top), imbalance_fact(top)


def spread_fact(top: TopOfBook) -> Unsimulated:
    """Return quantiles of the spread over time."""
    stood = np.diff(top.local_time_ns).astype(np.float64)
    spread = top.market_spread[:-1]
    known = np.isfinite(spread)
    order = np.argsort(spread[known], kind="stable")
    passed = np.cumsum(stood[known][order])
    x = np.array(SPREAD_QUANTILES)
    values = spread[known][order][np.searchsorted(passed, x * passed[-1])]
    title = "Market spread"
    said = f"{title}: {values[2]:g} ticks in the median; the simulator has no book, only a mid."
    return Unsimulated(SPREAD, title, "quantile over time", "ticks", x, values, said)


def imbalance_fact(top: TopOfBook) -> Unsimulated:
    """Return the share of later moves that the imbalance at the best prices explains, by horizon.

    R^2 of y = slope x, x the imbalance (bid - ask) / (bid + ask) of the lots at a time of the venue's clock,
    y the move of the mid from then on; fitted and judged on the same recording, at once: what a market has,
    not what somebody could earn, who comes later (`flowhft.calibrate.signals`).
    """
    first, last = int(np.min(top.exchange_time_ns)), int(np.max(top.exchange_time_ns))
    order = np.argsort(top.exchange_time_ns, kind="stable")
    times: Int[np.ndarray, " sample"] = np.arange(first, last + 1, round(STEP * 1e9))
    row = order[np.searchsorted(top.exchange_time_ns[order], times, side="right") - 1]
    bid, ask = top.bid_quantity[row].astype(np.float64), top.ask_quantity[row].astype(np.float64)
    both = (bid > 0) & (ask > 0)
    imbalance = np.where(both, (bid - ask) / np.where(both, bid + ask, 1.0), np.nan)
    mids = mid_at(top, times)
    x = np.array([horizon for horizon in HORIZONS if horizon * FEWEST_HORIZONS <= 1e-9 * (last - first)])
    values = np.array([explained(imbalance, mids, round(horizon / STEP)) for horizon in x])
    title = "Moves foreseen by the imbalance"
    said = f"{title}: sizes or moves say nothing; the simulator has no book."
    if np.any(np.isfinite(values)):
        best = int(np.nanargmax(values))
        said = f"{title}: {values[best]:.1%} of the moves over {x[best]:g} s; the simulator has no book."
    return Unsimulated(IMBALANCE, title, "horizon, s", "1", x, values, said)


def explained(signal: Float[np.ndarray, " sample"], mids: Float[np.ndarray, " sample"], steps: int) -> float:
    """Return R^2 of the moves of the mid over so many steps on a signal, through the origin.

    Args:
        signal: at each step, NaN where it is not known.
        mids: likewise, ticks.
        steps: one or more.

    Returns:
        Between 0 and 1; NaN where the signal does not vary or the mid does not move.
    """
    x, y = signal[:-steps], mids[steps:] - mids[:-steps]
    known = np.isfinite(x) & np.isfinite(y)
    x, y = x[known], y[known]
    if len(x) == 0 or np.ptp(x) == 0.0 or not np.any(y):
        return float("nan")
    return float((x @ y) ** 2 / ((x @ x) * (y @ y)))
