"""Windows one behind the other: the course of a walk as one path per policy, which is judged as any other."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from flowhft.desk.orders import OrderCounts
from flowhft.desk.replay.engine import Replayed
from flowhft.desk.replay.latency import delays_of, feed_of
from flowhft.desk.replay.settings import ReplaySettings
from flowhft.recordings.windowed import Windowed
from flowhft.studies.walk_forward.trade import Traded
from flowhft.types import Trajectory


class Walked(NamedTuple):
    """A whole walk.

    Attributes:
        replayed: by policy, its windows one behind the other; inventory is 0 where one begins.
        time: seconds from the recording's first event to the end of every step, shape (step,).
        costs: of all windows, one behind the other (see `flowhft.stages.costs`).
        windows: one row a window and policy, or a window that was refused.
    """

    replayed: dict[str, Replayed]
    time: np.ndarray
    costs: pl.DataFrame
    windows: pl.DataFrame


def join_windows(
    windows: Sequence[Traded], recording: Windowed, settings: ReplaySettings, money: float
) -> Walked:
    """Lay the windows of a walk end to end; those that were refused traded nothing and take no time.

    Args:
        windows: in their order, one at least of which was traded.
        recording: in which they lie.
        settings: of the replay.
        money: currency of a tick x lot of one order.
    """
    traded = [one for one in windows if one.replayed]
    names = list(traded[0].replayed)
    steps = [np.shape(one.replayed[names[0]].trajectory.fee)[-1] for one in traded]
    before = np.concatenate([[0], np.cumsum(steps)])
    known = delays_of(feed_of(recording.pieces()), recording.instrument.name, settings)
    replayed = {}
    for name in names:
        parts = [one.replayed[name] for one in traded]
        replayed[name] = Replayed(
            trajectory=join_paths([part.trajectory for part in parts]),
            fills=pl.concat(
                [
                    part.fills.with_columns(
                        step=pl.col("step") + int(first),
                        time=pl.col("time") + one.record["trade_start"],
                    )
                    for one, part, first in zip(traded, parts, before[:-1], strict=True)
                ]
            ),
            orders=OrderCounts(
                *(sum(counts) for counts in zip(*(part.orders for part in parts), strict=True))
            ),
            decision_latency_us=max(part.decision_latency_us for part in parts),
            measured_latency_us=np.concatenate([part.measured_latency_us for part in parts]),
            delays=known,
        )
    time = np.concatenate(
        [
            one.record["trade_start"] + settings.interval * np.arange(1, count + 1)
            for one, count in zip(traded, steps, strict=True)
        ]
    )
    costs = [one.costs for one in traded if one.costs.height]
    return Walked(
        replayed,
        time,
        pl.concat(costs) if costs else pl.DataFrame(),
        pl.DataFrame([row for one in windows for row in _rows(one, money)], infer_schema_length=None),
    )


def join_paths(paths: Sequence[Trajectory]) -> Trajectory:
    """Return trajectories one behind the other; what one of them has not kept is not in the whole."""

    def of(parts: Sequence[Any]) -> Any:
        if any(part is None for part in parts):
            return None
        if isinstance(parts[0], tuple):
            return type(parts[0])(*(of(inner) for inner in zip(*parts, strict=True)))
        return np.concatenate([np.asarray(part, np.float64) for part in parts], axis=-1)

    return of(list(paths))


def _rows(window: Traded, money: float) -> list[dict[str, Any]]:
    """Return what a table shows of a window: a row for every policy, or one for a window that was refused."""
    record = window.record
    shared = {
        name: record[name]
        for name in ("window", "session", "learn_start", "trade_start", "trade_end", "refused")
    }
    for name, parameter in (record.get("parameters") or {}).items():
        shared[name] = parameter["value"] if isinstance(parameter, dict) else parameter.value
    if not window.replayed:
        return [shared | {"policy": None}]
    rows = []
    for name, one in window.replayed.items():
        path = one.trajectory
        rows.append(
            shared
            | {
                "policy": name,
                "steps": np.shape(path.fee)[-1],
                "pnl": money * float(np.sum(path.spread_pnl + path.inventory_pnl - path.fee)),
                "fills": float(np.sum(path.fill.bid) + np.sum(path.fill.ask)),
                "open_at_end": record["open_at_end"][name],
                "closing_fee": money * record["closing_fee"][name],
            }
        )
    return rows
