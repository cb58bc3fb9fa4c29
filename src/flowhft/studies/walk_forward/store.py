"""What a window found, as files: a walk that was interrupted goes on after the last that is whole."""

from pathlib import Path

import numpy as np
import polars as pl

from flowhft.desk.journal import steps_table, trajectory_of
from flowhft.desk.orders import OrderCounts
from flowhft.desk.replay.engine import Replayed
from flowhft.desk.replay.latency import Delays
from flowhft.runs.resume import TABLES, Finished, Form, Tables
from flowhft.studies.walk_forward.trade import Traded

# Delays are facts of the recording: worked out once for a walk, not kept with every window.
UNKNOWN = Delays(*(np.zeros(0) for _ in Delays._fields))


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


def from_tables(result: Tables) -> Traded:
    """Return what `to_tables` was given; delays are left out."""
    replayed = {
        name: Replayed(
            trajectory=trajectory_of(result.tables[f"{name}.steps"]),
            fills=result.tables[f"{name}.fills"],
            orders=OrderCounts(**one["orders"]),
            decision_latency_us=one["decision_latency_us"],
            measured_latency_us=np.array(one["measured_latency_us"], np.float64),
            delays=UNKNOWN,
        )
        for name, one in result.value["replayed"].items()
    }
    return Traded(result.value["record"], replayed, result.tables.get("costs", pl.DataFrame()))


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
