"""What a window found, as files: a walk that was interrupted goes on after the last that is whole."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from flowhft.desk.replay.engine import Replayed
from flowhft.desk.replay.latency import Delays
from flowhft.desk.replay.orders import OrderCounts
from flowhft.runs.resume import TABLES, Finished, Form, Tables
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


def to_tables(traded: Traded) -> Tables:
    """Return what a window found as words, numbers and tables."""
    tables = {"costs": traded.costs} if traded.costs.height else {}
    replayed = {}
    for name, one in traded.replayed.items():
        tables |= {f"{name}.steps": steps_table(one.trajectory), f"{name}.fills": one.fills}
        replayed[name] = {
            "orders": one.orders,
            "decision_latency_us": one.decision_latency_us,
            "measured_latency_us": one.measured_latency_us,
        }
    return Tables({"record": traded.record, "replayed": replayed}, tables)


def from_tables(found: Tables) -> Traded:
    """Return what `to_tables` was given; delays are left out."""
    replayed = {
        name: Replayed(
            trajectory=trajectory_of(found.tables[f"{name}.steps"]),
            fills=found.tables[f"{name}.fills"],
            orders=OrderCounts(**one["orders"]),
            decision_latency_us=one["decision_latency_us"],
            measured_latency_us=np.array(one["measured_latency_us"], np.float64),
            delays=UNKNOWN,
        )
        for name, one in found.value["replayed"].items()
    }
    return Traded(found.value["record"], replayed, found.tables.get("costs", pl.DataFrame()))


def windows_in(folder: Path | None) -> Finished[Traded]:
    """Return the finished windows of a walk, by number.

    Args:
        folder: belongs to the walk; None to keep them in memory alone.
    """
    return Finished(folder, WINDOW)


WINDOW: Form[Traded] = Form(
    TABLES.suffix,
    lambda traded: TABLES.to_bytes(to_tables(traded)),
    lambda content: from_tables(TABLES.from_bytes(content)),
)
