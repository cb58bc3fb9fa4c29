"""Adverse selection: where the mid goes after a market order that would have filled a quote."""

import numpy as np
from jaxtyping import Float

from flowhft.calibrate.fill_curve import Bursts
from flowhft.calibrate.parameter import Parameter, signed
from flowhft.recordings.book import TopOfBook, mid_at

FEWEST_BURSTS = 20
BLOCK = 1.0  # second; bursts within one are marked against the same moves and count as one observation


def fit_adverse_selection(
    bursts: Bursts,
    top: TopOfBook,
    start_ns: int,
    distance: float,
    horizon: float,
    confidence: float = 0.95,
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

    Returns:
        `adverse_selection` in ticks, with a standard error that takes the bursts of one second as one
        observation, and warnings. With fewer than 20 bursts the value is NaN, with a warning.
    """
    reaching = bursts.reach >= distance
    times_ns = start_ns + np.round(bursts.time[reaching] * 1e9).astype(np.int64)
    moved = mid_at(top, times_ns + round(horizon * 1e9)) - mid_at(top, times_ns - 1)
    move = np.where(bursts.buy[reaching], moved, -moved)
    known = np.isfinite(move)
    move, times_ns = move[known], times_ns[known]
    method = f"mean move over {horizon:g} s at {len(move)} bursts that reach {distance:.1f} ticks"
    if len(move) < FEWEST_BURSTS:
        unknown = Parameter("adverse_selection", *(float("nan"),) * 4, "ticks", method)
        return unknown, (
            f"adverse_selection: only {len(move)} bursts of market orders reach {distance:.1f} ticks, "
            f"{FEWEST_BURSTS} are needed: the scenarios have none.",
        )
    error = _error(move, times_ns)
    return signed("adverse_selection", float(np.mean(move)), error, "ticks", method, confidence), ()


def _error(move: Float[np.ndarray, " event"], times_ns: np.ndarray) -> float:
    """Return the standard error of the mean, observations clustered by blocks of time."""
    _, block = np.unique(times_ns // round(BLOCK * 1e9), return_inverse=True)
    sums = np.bincount(block, move - np.mean(move))
    return float(np.sqrt(np.sum(sums**2)) / len(move))
