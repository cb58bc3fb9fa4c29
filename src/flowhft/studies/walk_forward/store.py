"""What a window found, as files: a walk that was interrupted goes on after the last that is whole."""

from pathlib import Path

import numpy as np
import polars as pl

from flowhft.desk.journal import steps_table, trajectory_of
from flowhft.desk.orders import OrderCounts
from flowhft.desk.replay.engine import Replayed
from flowhft.desk.replay.latency import Delays
from flowhft.errors import DataError
from flowhft.runs.folder import plain, read_json, read_table, write_json, write_table
from flowhft.studies.walk_forward.trade import Traded

# Delays are facts of the recording: worked out once for a walk, not kept with every window.
UNKNOWN = Delays(*(np.zeros(0) for _ in Delays._fields))


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
