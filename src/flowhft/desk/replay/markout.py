"""Markouts: where the mid price goes after our fills, the cost of trading with those who know more."""

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
from jaxtyping import Float, Int

from flowhft.errors import require
from flowhft.metrics.estimators import RATIO
from flowhft.recordings.ticks import Recording
from flowhft.recordings.windowed import InMemory, Windowed
from flowhft.runs import tables
from flowhft.types import Trajectory

HORIZONS = (0.0, 0.1, 1.0, 10.0, 60.0)  # seconds
STEPS = (1, 2, 5, 10, 20, 50, 100)  # of a simulation

_TYPES = [pl.String, pl.Float64, pl.Int64] + [pl.Float64] * 5
MARKOUT_UNITS = tables.units_of("backtest", "markouts")


def markout(
    fills: Mapping[str, pl.DataFrame], recording: Recording, horizons: Sequence[float] = HORIZONS
) -> pl.DataFrame:
    """Return the mean signed move of the mid after the fills of policies, see `markout_in`."""
    return markout_in(fills, InMemory(recording), horizons)


def markout_in(
    fills: Mapping[str, pl.DataFrame], recording: Windowed, horizons: Sequence[float] = HORIZONS
) -> pl.DataFrame:
    """Return the mean signed move of the mid after the fills of policies, by policy and horizon.

    A markout is side x (mid at the horizon - last mid strictly before the fill), side +1 where we bought:
    negative where the market went against us. At horizon 0 it is what the trade itself did to the mid.
    What a fill was worth at the horizon, the realised half-spread, is capture + markout. All on the
    venue's clock. Fills count alike, whatever their size. A markout never reaches into the next session,
    nor over closed time.

    Args:
        fills: tables of `Replayed.fills` by policy.
        recording: that was replayed.
        horizons: seconds after the fill, each 0 or more.

    Returns:
        One row a policy and horizon, units in `MARKOUT_UNITS`; NaN where there is nothing to average.
    """
    require(min(horizons, default=0.0) >= 0.0, "horizons", "all be 0 s or more", tuple(horizons))
    ends_ns = recording.ends_ns()
    rows = []
    later = [
        table["exchange_time_ns"].to_numpy() + round(horizon * 1e9)
        for table in fills.values()
        for horizon in horizons
    ]
    mids = iter(
        np.split(recording.mids_at(np.concatenate(later)), np.cumsum([len(times) for times in later]))
    )
    for policy, table in fills.items():
        for horizon in horizons:
            filled_ns = table["exchange_time_ns"].to_numpy()
            later_ns = filled_ns + round(horizon * 1e9)
            session = np.minimum(np.searchsorted(ends_ns, filled_ns), len(ends_ns) - 1)
            known = later_ns <= ends_ns[session]
            side = table["side"].to_numpy()[known]
            before = table["mid_price"].to_numpy()[known]
            capture = side * (before - table["price"].to_numpy()[known])
            move = side * (next(mids)[known] - before)
            # Fills within a horizon of each other are marked against the same moves: one block, one vote.
            block = np.floor(table["time"].to_numpy()[known] / max(2.0 * horizon, 1.0)).astype(np.int64)
            total = capture + move
            rows.append(
                (
                    policy,
                    float(horizon),
                    int(np.sum(known)),
                    _mean(capture),
                    _mean(move),
                    _error_of_mean(move, block),
                    _mean(total),
                    _error_of_mean(total, block),
                )
            )
    return pl.DataFrame(rows, schema=dict(zip(MARKOUT_UNITS, _TYPES, strict=True)), orient="row")


def simulated_markout(
    policy: str, sessions: Trajectory, dt: float, steps: Sequence[int] = STEPS
) -> pl.DataFrame:
    """Return the markouts of simulated fills: from the mid of the decision, at steps after it.

    Lots count alike. Numbers are ratios of means over paths, which are independent, with the standard
    errors of such (`flowhft.metrics.estimators`); fills count whose horizon lies within their session.

    Args:
        policy: its name.
        sessions: arrays of shape (path, step).
        dt: seconds in a step.
        steps: until the mid is looked at, each 1 or more; those longer than a session are left out.

    Returns:
        As `markout`.
    """
    mid = np.asarray(sessions.observation.mid_price, np.float64)
    mids = np.concatenate([mid, np.asarray(sessions.mid_after, np.float64)[:, -1:]], axis=1)
    bought, sold = (np.asarray(lots, np.float64) for lots in sessions.fill)
    earned = np.asarray(sessions.spread_pnl, np.float64)
    rows = []
    for ahead in steps:
        known = mid.shape[1] + 1 - ahead
        if known < 1:
            continue
        move = np.sum((bought - sold)[:, :known] * (mids[:, ahead:] - mids[:, :known]), axis=1)
        capture = np.sum(earned[:, :known], axis=1)
        lots = np.sum((bought + sold)[:, :known], axis=1)
        results = [_ratio(values, lots) for values in (capture, move, capture + move)]
        rows.append((policy, dt * ahead, round(float(np.sum(lots))), results[0][0], *results[1], *results[2]))
    return pl.DataFrame(rows, schema=dict(zip(MARKOUT_UNITS, _TYPES, strict=True)), orient="row")


def _ratio(above: Float[np.ndarray, " path"], below: Float[np.ndarray, " path"]) -> tuple[float, float]:
    """Return a ratio of means over paths and its standard error."""
    value, influence = RATIO(above, below)
    return value, float(np.std(influence, ddof=1)) / len(below) ** 0.5 if len(below) > 1 else float("nan")


def _mean(values: Float[np.ndarray, " fill"]) -> float:
    return float(np.mean(values)) if len(values) else float("nan")


def _error_of_mean(values: Float[np.ndarray, " fill"], block: Int[np.ndarray, " fill"]) -> float:
    """Return the standard error of a mean whose values may depend on each other within a block.

    The variance of the sum is the sum over blocks of the squared sum of deviations, times b / (b - 1) for b
    blocks; NaN for fewer than two.
    """
    labels, member = np.unique(block, return_inverse=True)
    if len(labels) < 2:
        return float("nan")
    sums = np.bincount(member, values - np.mean(values))
    return float(np.sqrt(np.sum(sums**2) * len(labels) / (len(labels) - 1)) / len(values))
