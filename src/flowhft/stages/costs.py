"""The same replays again: at every maker fee with every latency, and with fills booked in every way."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from flowhft.desk.compiled import Frozen
from flowhft.desk.replay.engine import Replayed, replay
from flowhft.desk.replay.settings import ReplaySettings
from flowhft.desk.replay.tape import OrderFlow
from flowhft.metrics import intervals
from flowhft.metrics.estimators import MEAN
from flowhft.metrics.sessions import sessions_in
from flowhft.policies.own import OwnPolicy
from flowhft.recordings.ticks import Recording
from flowhft.stages.booked import bookings_of
from flowhft.stages.settings import SweepSettings
from flowhft.types import Progress, Trajectory, no_progress

POINT = ("maker_fee_bps", "latency_ms")
BOOKING = ("booking",)


def sweep_costs(
    recording: Recording,
    policies: Mapping[str, Frozen | OwnPolicy],
    settings: ReplaySettings,
    sweep: SweepSettings,
    seed: int,
    flow: OrderFlow | None,
    ended: Callable[[Trajectory], Trajectory] = lambda path: path,
    progress: Progress = no_progress,
    *,
    reference: float = 0.0,
    tick_value: float = 1.0,
) -> pl.DataFrame:
    """Replay every policy at every point of a grid of costs, and with its fills booked in every way.

    A latency is that of orders to the venue and of its answers back. What policies were told of the market
    stays as it was: a closed form does not learn that fees have changed.

    Args:
        recording: what is replayed.
        policies: frozen, by name.
        settings: of the replay, with nothing left open; its decision latency should be set, lest it be
            measured again and again.
        sweep: the grid, and whether fills are booked in every way; nothing where it asks for nothing.
        seed: of the replay.
        flow: how arrivals make intensities.
        ended: what is done to a course before its PnL counts.
        progress: told before every point.
        reference: of an inverse contract, see `replay`.
        tick_value: currency of a tick x lot, see `replay`.

    Returns:
        Columns policy, booking (a name of `flowhft.stages.booked.BOOKINGS`; empty at a point of costs),
        maker_fee_bps, latency_ms, step, pnl (tick x lot), fills (lots).
    """
    if not sweep.asked:
        return pl.DataFrame()
    points = _points(settings, sweep)
    tables = []
    for index, (booking, costly) in enumerate(points):
        fee, latency = costly.fee_bps, costly.order_latency_ms
        progress(index / len(points), booking or f"fee {fee:g} bps, latency {latency:g} ms")
        played = replay(
            recording, dict(policies), costly, seed, flow=flow, reference=reference, tick_value=tick_value
        )
        for name, one in played.items():
            path = ended(one.trajectory)
            tables.append(
                pl.DataFrame(
                    {
                        "policy": name,
                        "booking": booking,
                        "maker_fee_bps": fee,
                        "latency_ms": latency,
                        "step": np.arange(np.shape(path.fee)[-1]),
                        "pnl": (path.spread_pnl + path.inventory_pnl - path.fee)[0].astype(np.float64),
                        "fills": (np.asarray(path.fill.bid) + np.asarray(path.fill.ask))[0].astype(
                            np.float64
                        ),
                    }
                )
            )
    return pl.concat(tables)


def _points(settings: ReplaySettings, sweep: SweepSettings) -> list[tuple[str, ReplaySettings]]:
    """Return what is replayed: settings, with how fills are booked, empty at a point of costs."""
    points: list[tuple[str, ReplaySettings]] = []
    if sweep.fees or sweep.latencies:
        for latency in sweep.latencies or (None,):
            for fee in sweep.fees or (settings.fee_bps,):
                costly = replace(settings, maker_fee_bps=fee)
                if latency is not None:
                    costly = replace(costly, order_latency_ms=latency, response_latency_ms=latency)
                points.append(("", costly))
    if sweep.bookings:
        points += bookings_of(settings).items()
    return points


def parted(swept: pl.DataFrame) -> tuple[tuple[pl.DataFrame, Sequence[str]], ...]:
    """Return the two parts of a sweep, each with the columns that tell its points apart: costs, bookings.

    Args:
        swept: from `sweep_costs`; it may have no rows.
    """
    if not swept.height:
        return (swept, POINT), (swept, BOOKING)
    costs = pl.col("booking") == ""
    return (swept.filter(costs), POINT), (swept.filter(~costs), BOOKING)


def slowest(replayed: Mapping[str, Replayed], settings: ReplaySettings) -> float:
    """Return the longest decision latency that was charged, microseconds: that of all replays of a sweep."""
    if settings.decision_latency_us is not None:
        return settings.decision_latency_us
    return max((one.decision_latency_us for one in replayed.values()), default=0.0)


def evaluate_costs(
    costs: pl.DataFrame,
    session_steps: int,
    block_steps: int,
    reference: str,
    confidence: float,
    by: Sequence[str] = POINT,
) -> pl.DataFrame:
    """Return the PnL of a session by policy and costs, with intervals, and paired differences.

    The intervals are those of few sessions (`flowhft.metrics.intervals`).

    Args:
        costs: from `sweep_costs`; of several windows one behind the other.
        session_steps: steps of a session.
        block_steps: steps after which the path has forgotten (`flowhft.metrics.sessions`).
        reference: policy that differences are taken against, at the same costs.
        confidence: of the intervals.
        by: columns that tell points apart: `POINT` or `BOOKING`.

    Returns:
        One row a policy and point: policy, reference, those columns, fills, pnl and difference
        (tick x lot of one order, with `_low` and `_high`; the difference is null for the reference).
    """
    rows: list[dict[str, Any]] = []
    for point, table in costs.group_by(by, maintain_order=True):
        by_policy = {str(name): part for (name,), part in table.group_by("policy", maintain_order=True)}
        steps = min(part.height for part in by_policy.values())
        sessions, units = sessions_in(steps, session_steps, block_steps)
        used = sessions * session_steps
        earned = {
            name: part["pnl"].to_numpy()[:used].reshape(sessions, session_steps).sum(axis=1)
            for name, part in by_policy.items()
        }
        for name, part in by_policy.items():
            result = intervals.single(MEAN, (earned[name],), confidence, units)
            row = dict(zip(by, point, strict=True)) | {
                "policy": name,
                "reference": reference,
                "fills": float(part["fills"][:used].sum()) / sessions,
                "pnl": result.value,
                "pnl_low": result.low,
                "pnl_high": result.high,
                "difference": None,
                "difference_low": None,
                "difference_high": None,
            }
            if name != reference:
                result = intervals.paired(MEAN, (earned[name],), (earned[reference],), confidence, units)
                row |= {
                    "difference": result.value,
                    "difference_low": result.low,
                    "difference_high": result.high,
                }
            rows.append(row)
    return pl.DataFrame(rows, infer_schema_length=None)
