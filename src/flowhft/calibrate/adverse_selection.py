"""Adverse selection: where the mid goes after a market order that would have filled a quote."""

import numpy as np
import polars as pl
from jaxtyping import Float, Int

from flowhft.calibrate.fill_curve import Bursts
from flowhft.calibrate.parameter import Parameter, refused, signed
from flowhft.recordings.book import TopOfBook, mid_at
from flowhft.runs import tables

FEWEST_BURSTS = 20
BLOCK = 1.0  # second; bursts within one are marked against the same moves and count as one observation
HORIZONS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)  # seconds

NO_SEAMS = np.empty(0, np.int64)

MARKOUT_UNITS = tables.units_of("calibrate", "markout_curve")


def fit_adverse_selection(
    bursts: Bursts,
    top: TopOfBook,
    start_ns: int,
    distance: float,
    horizon: float,
    confidence: float = 0.95,
    seams_ns: Int[np.ndarray, " seam"] = NO_SEAMS,
) -> tuple[Parameter, tuple[str, ...]]:
    """Estimate the expected move of the mid against a maker whose quote is filled.

    The mean of side x (mid at t + horizon - mid strictly before t) over the bursts of market orders that
    begin at t and reach a quote at `distance`. Positive: the mid goes where the orders went, against the
    maker. What a half-spread of that distance does not cover of it, every such fill loses.

    Args:
        bursts: market orders that fill a standing quote once, with how far they reached.
        top: of the same recording.
        start_ns: exchange time from which the bursts' times count.
        distance: of the quote, ticks; 1 / k is where a maker without inventory earns most.
        horizon: seconds after the burst begins; `calibrate` takes twice the response latency.
        confidence: of the interval.
        seams_ns: times of `top` over which no mid follows from the one before.

    Returns:
        `adverse_selection` in ticks, with a standard error that takes the bursts of one second as one
        observation, and warnings. With fewer than 20 bursts the value is NaN, with a warning.
    """
    move, times_ns = _inside(top, seams_ns, horizon, *_moves(bursts, top, start_ns, distance, horizon))
    method = f"mean move over {horizon:g} s at {len(move)} bursts that reach {distance:.1f} ticks"
    if len(move) < FEWEST_BURSTS:
        reason = (
            f"only {len(move)} bursts of market orders reach {distance:.1f} ticks, "
            f"{FEWEST_BURSTS} are needed: the scenarios have none."
        )
        unknown = refused("adverse_selection", "ticks", method, reason)
        return unknown, (f"adverse_selection: {reason}",)
    error = _error(move, times_ns, BLOCK)
    result = signed("adverse_selection", float(np.mean(move)), error, "ticks", method, confidence)
    return result._replace(diagnostic=f"{result.value / distance:.2f} of the {distance:.1f} ticks quoted"), ()


def markout_curve(
    bursts: Bursts,
    top: TopOfBook,
    start_ns: int,
    distance: float,
    seams_ns: Int[np.ndarray, " seam"] = NO_SEAMS,
) -> pl.DataFrame:
    """Return how far the mid goes against a filled quote, by the time since the burst that filled it.

    The curve of which `fit_adverse_selection` takes one point: how fast the mid answers, and whether it
    comes back. At a maker's `distance` the fill has earned that distance; where the curve is above it, the
    fill has lost.

    Args:
        bursts: market orders that fill a standing quote once.
        top: of the same recording.
        start_ns: exchange time from which the bursts' times count.
        distance: of the quote, ticks.
        seams_ns: as in `fit_adverse_selection`.

    Returns:
        One row a horizon of `HORIZONS` with two bursts or more, columns of `MARKOUT_UNITS`; bursts whose
        horizon lies beyond the recording are left out, and those within two horizons of each other count as
        one observation.
    """
    rows = []
    for horizon in HORIZONS:
        move, times_ns = _inside(top, seams_ns, horizon, *_moves(bursts, top, start_ns, distance, horizon))
        if len(move) >= 2:
            error = _error(move, times_ns, max(BLOCK, 2.0 * horizon))
            rows.append((horizon, float(np.mean(move)), error, distance, len(move)))
    types = (pl.Float64, pl.Float64, pl.Float64, pl.Float64, pl.Int64)
    return pl.DataFrame(rows, schema=dict(zip(MARKOUT_UNITS, types, strict=True)), orient="row")


def _moves(
    bursts: Bursts, top: TopOfBook, start_ns: int, distance: float, horizon: float
) -> tuple[Float[np.ndarray, " event"], Int[np.ndarray, " event"]]:
    """Return the move against the maker at every burst that reaches the distance, and when it began."""
    reaching = bursts.reach >= distance
    times_ns = start_ns + np.round(bursts.time[reaching] * 1e9).astype(np.int64)
    moved = mid_at(top, times_ns + round(horizon * 1e9)) - mid_at(top, times_ns - 1)
    move = np.where(bursts.buy[reaching], moved, -moved)
    known = np.isfinite(move)
    return move[known], times_ns[known]


def _inside(
    top: TopOfBook,
    seams_ns: Int[np.ndarray, " seam"],
    horizon: float,
    move: Float[np.ndarray, " event"],
    times_ns: Int[np.ndarray, " event"],
) -> tuple[Float[np.ndarray, " event"], Int[np.ndarray, " event"]]:
    """Leave out what had not come to its horizon when the recording or a part of it ended."""
    if len(times_ns) == 0:
        return move, times_ns
    later_ns = times_ns + round(horizon * 1e9)
    inside = later_ns <= int(np.max(top.exchange_time_ns))
    inside &= np.searchsorted(seams_ns, times_ns) == np.searchsorted(seams_ns, later_ns)
    return move[inside], times_ns[inside]


def _error(move: Float[np.ndarray, " event"], times_ns: Int[np.ndarray, " event"], seconds: float) -> float:
    """Return the standard error of the mean, observations clustered by blocks of time."""
    _, block = np.unique(times_ns // round(seconds * 1e9), return_inverse=True)
    sums = np.bincount(block, move - np.mean(move))
    return float(np.sqrt(np.sum(sums**2)) / len(move))
