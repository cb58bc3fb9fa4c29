"""What a window found, as files: a walk that was interrupted goes on after the last that is whole."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from flowhft.desk.replay.engine import Replayed
from flowhft.desk.replay.latency import Delays
from flowhft.desk.replay.orders import OrderCounts
from flowhft.errors import DataError
from flowhft.runs.folder import plain, read_json, read_table, write_json, write_table
from flowhft.studies.walk_forward.trade import Traded
from flowhft.types import Activity, Fill, Observation, Quote, Trajectory

# Delays are facts of the recording: worked out once for a walk, not kept with every window.
UNKNOWN = Delays(*(np.zeros(0) for _ in Delays._fields))

# Named tuples within a trajectory, by field; everything else in it is an array of one number a step.
_NESTED: dict[str, Any] = {"observation": Observation, "quote": Quote, "fill": Fill, "activity": Activity}


def steps_table(path: Trajectory) -> pl.DataFrame:
    """Return a trajectory of one path as columns; those within a named tuple have a dot in their name."""
    columns = {}
    for name, values in path._asdict().items():
        inner = values._asdict() if name in _NESTED and values is not None else {"": values}
        for part, array in inner.items():
            if array is not None:
                columns[f"{name}.{part}" if part else name] = np.asarray(array, np.float64)[0]
    return pl.DataFrame(columns)


def trajectory_of(table: pl.DataFrame) -> Trajectory:
    """Return what `steps_table` was made of, arrays of shape (1, step)."""

    def column(name: str) -> Any:
        return table[name].to_numpy()[None, :] if name in table.columns else None

    fields = {}
    for name in Trajectory._fields:
        kind = _NESTED.get(name)
        if kind is None:
            fields[name] = column(name)
        else:
            inner = {part: column(f"{name}.{part}") for part in kind._fields}
            fields[name] = None if all(value is None for value in inner.values()) else kind(**inner)
    return Trajectory(**fields)


class Kept:
    """The windows of a walk that are finished, a folder each.

    Args:
        folder: of all of them.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def _of(self, window: int) -> Path:
        return self.folder / f"{window:05d}"

    def __contains__(self, window: int) -> bool:
        """Return whether a window is finished: its record is written last."""
        return (self._of(window) / "record.json").is_file()

    def keep(self, window: int, traded: Traded) -> None:
        """Write what a window found."""
        folder = self._of(window)
        for name, one in traded.replayed.items():
            write_table(folder / f"{name}.steps.parquet", steps_table(one.trajectory), {})
            write_table(folder / f"{name}.fills.parquet", one.fills, {})
        if traded.costs.height:
            write_table(folder / "costs.parquet", traded.costs, {})
        replayed = {
            name: {
                "orders": one.orders,
                "decision_latency_us": one.decision_latency_us,
                "measured_latency_us": one.measured_latency_us,
            }
            for name, one in traded.replayed.items()
        }
        write_json(folder / "record.json", {"record": plain(traded.record), "replayed": plain(replayed)})

    def read(self, window: int) -> Traded:
        """Return what a finished window found.

        Raises:
            DataError: a file of it is missing or damaged.
        """
        folder = self._of(window)
        found = read_json(folder / "record.json")
        try:
            replayed = {
                name: Replayed(
                    trajectory=trajectory_of(read_table(folder / f"{name}.steps.parquet")),
                    fills=read_table(folder / f"{name}.fills.parquet"),
                    orders=OrderCounts(**one["orders"]),
                    decision_latency_us=one["decision_latency_us"],
                    measured_latency_us=np.array(one["measured_latency_us"], np.float64),
                    delays=UNKNOWN,
                )
                for name, one in found["replayed"].items()
            }
            costs = folder / "costs.parquet"
            return Traded(found["record"], replayed, read_table(costs) if costs.is_file() else pl.DataFrame())
        except (KeyError, TypeError, ValueError, pl.exceptions.PolarsError) as cause:
            raise DataError(
                f"`{folder}` must be what an interrupted walk kept; it is damaged. Delete it: only that "
                "window is traded again."
            ) from cause
