"""The journal of a session: its steps, fills and orders on disk as they happen, a Trajectory in the end.

    JOURNAL/
      journal.json           what the session is: policy, times, size of an order, currency; written first
      parts/00000.*.parquet  rows in the order in which they were written, a part a flush
      steps.parquet          all of them together, once the session is over; likewise
      fills.parquet
      orders.parquet

Parts are written whole or not at all, and that of the steps last: a session that is killed at any moment
leaves whole rows up to its last flush. Nothing that was written is ever written again.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from flowhft.desk.orders import NOT_COUNTED, OrderCounts
from flowhft.desk.risk import REASONS, STATES
from flowhft.desk.steps import HINDERED_ASK, HINDERED_BID, RISK_REASON, RISK_STATE, trajectory_of_columns
from flowhft.errors import DataError, UsageError
from flowhft.runs import tables
from flowhft.runs.folder import read_object, read_table, write_json, write_table
from flowhft.types import Activity, Fill, Observation, Quote, Trajectory

FACTS, PARTS = "journal.json", "parts"
EVERY = 64  # steps between two flushes
TABLES = ("fills", "orders", "steps")  # in the order of writing

# A journal does not know which fills were by hidden executions: the market tells, after the fact.
FILL_UNITS = {name: unit for name, unit in tables.units_of("backtest", "fills").items() if name != "hidden"}
ORDER_UNITS = {
    "step": "decisions since the start",
    "time_ns": "nanoseconds: on our clock when it left, on the venue's when it was done",
    "what": "new, cancel (both sent), refused (by risk, never sent), rejected (by the venue), done",
    "number": "of the order; 0 where it has none",
    "side": "1 bid, -1 ask; 0 where the number says it",
    "price": "ticks, of a new order",
    "lots": "lots of the recording: of a new order; not filled, of one that is done",
    "reason": "why risk refused it",
}
NEW_ORDER, CANCEL, REFUSED, REJECTED_ORDER, DONE = "new", "cancel", "refused", "rejected", "done"

# Beside the columns of a trajectory (`observation.time`, ..., `fee`).
STEP_UNITS = {
    "risk_state": "active, reducing, halted",
    "risk_reason": "why; empty for none",
    "hindered_bid": "why less was sent than the quote asked for, a field of `OrderCounts`; empty for nothing",
    "hindered_ask": "likewise",
}
_HINDERED = {NOT_COUNTED: "", **dict(enumerate(OrderCounts._fields))}
_FILL_TYPES = {name: pl.Float64 if name in ("time", "mid_price") else pl.Int64 for name in FILL_UNITS}
_ORDER_TYPES = {name: pl.String if name in ("what", "reason") else pl.Int64 for name in ORDER_UNITS}
# Named tuples within a trajectory, by field; everything else in it is an array of one number a step.
_NESTED: dict[str, Any] = {"observation": Observation, "quote": Quote, "fill": Fill, "activity": Activity}


class OrderRow(NamedTuple):
    """What happened to an order; units in `ORDER_UNITS`."""

    step: int
    time_ns: int
    what: str
    number: int
    side: int
    price: int
    lots: int
    reason: str


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


class Journal:
    """Writes a session down while it lasts.

    Args:
        folder: new, or empty.
        facts: what the session is, what JSON can hold: see `Journalled`.
        every: steps after which what was noted is written.

    Raises:
        UsageError: the folder holds something.
    """

    def __init__(self, folder: Path, facts: Mapping[str, Any], every: int = EVERY) -> None:
        if folder.is_dir() and any(folder.iterdir()):
            raise UsageError(
                f"the folder of a journal must be new or empty; `{folder}` holds something. A journal is "
                "never written over: choose another folder."
            )
        self.folder, self.every = folder, every
        self._parts = 0
        self._fills: list[tuple] = []
        self._orders: list[tuple] = []
        write_json(folder / FACTS, dict(facts))

    def fill(self, start_ns: int, fill: tuple, mid_price: float) -> None:
        """Note a fill.

        Args:
            start_ns: time of the first decision.
            fill: step, time at the venue, side, price, lots, maker.
            mid_price: just before it, ticks.
        """
        step, time_ns, *rest = fill
        self._fills.append((step, 1e-9 * (time_ns - start_ns), time_ns, *rest, mid_price))

    def order(self, row: OrderRow) -> None:
        """Note what happened to an order."""
        self._orders.append(row)

    def steps(self, columns: np.ndarray) -> None:
        """Write steps that are over, and all that was noted before.

        Args:
            columns: of `flowhft.desk.steps`, shape (column, step).
        """
        words = {
            "risk_state": (RISK_STATE, dict(enumerate(STATES))),
            "risk_reason": (RISK_REASON, REASONS),
            "hindered_bid": (HINDERED_BID, _HINDERED),
            "hindered_ask": (HINDERED_ASK, _HINDERED),
        }
        self._write(
            steps_table(trajectory_of_columns(columns)).with_columns(
                pl.Series(name, [known[int(code)] for code in columns[column]], dtype=pl.String)
                for name, (column, known) in words.items()
            )
        )

    def finish(self) -> None:
        """Write what is left, and put all parts together: the session is over."""
        if self._fills or self._orders:  # learned after the last step
            self._write(pl.DataFrame())
        whole = read_journal(self.folder)
        write_table(self.folder / "fills.parquet", whole.fills, FILL_UNITS)
        write_table(self.folder / "orders.parquet", whole.orders, ORDER_UNITS)
        write_table(self.folder / "steps.parquet", whole.steps, STEP_UNITS)
        shutil.rmtree(self.folder / PARTS, ignore_errors=True)

    def _write(self, steps: pl.DataFrame) -> None:
        fills = pl.DataFrame(self._fills, schema=_FILL_TYPES, orient="row")
        orders = pl.DataFrame(self._orders, schema=_ORDER_TYPES, orient="row")
        units = (FILL_UNITS, ORDER_UNITS, STEP_UNITS)
        for name, table, unit in zip(TABLES, (fills, orders, steps), units, strict=True):
            write_table(self.folder / PARTS / f"{self._parts:06d}.{name}.parquet", table, unit)
        self._parts += 1
        self._fills.clear()
        self._orders.clear()


class Journalled(NamedTuple):
    """A session that was written down.

    Attributes:
        facts: `policy`; `interval` and `horizon`, s; `order_lots`; `currency` and `tick_value`, currency of a
            tick x lot of the instrument; `start_ns`, of the first decision.
        trajectory: arrays of shape (1, step), ticks and lots of one order.
        fills: one row a fill, units in `FILL_UNITS`.
        orders: one row an event of an order, units in `ORDER_UNITS`.
        steps: the trajectory as a table, with the state of risk and the reason.
        finished: whether the session came to its end, and was not killed.
    """

    facts: dict[str, Any]
    trajectory: Trajectory
    fills: pl.DataFrame
    orders: pl.DataFrame
    steps: pl.DataFrame
    finished: bool

    @property
    def counts(self) -> OrderCounts:
        """What was sent, and what was not."""
        hindered = pl.concat([self.steps["hindered_bid"], self.steps["hindered_ask"]])
        counts = {name: int((hindered == name).sum()) for name in OrderCounts._fields}
        what = self.orders["what"] if self.orders.height else pl.Series([], dtype=pl.String)
        for name, code in (("submitted", NEW_ORDER), ("cancelled", CANCEL), ("rejected", REJECTED_ORDER)):
            counts[name] = int((what == code).sum())
        return OrderCounts(**counts)


def is_journal(folder: Path) -> bool:
    """Return whether a folder is that of a journal."""
    return (folder / FACTS).is_file()


def read_journal(folder: Path | str) -> Journalled:
    """Read a journal, of a session that is over or of one that was killed: whole rows up to the last flush.

    Args:
        folder: of the journal.

    Raises:
        DataError: there is none, it has no step, or a file of it is damaged.
    """
    folder = Path(folder)
    if not is_journal(folder):
        raise DataError(
            f"`{folder}` must be the folder of a journal; it has no {FACTS}. Name one that a session wrote."
        )
    facts = read_object(folder / FACTS)
    finished = (folder / "steps.parquet").is_file()  # written last
    if finished:
        fills, orders, steps = (read_table(folder / f"{name}.parquet") for name in TABLES)
    else:
        whole = sorted((folder / PARTS).glob("*.steps.parquet"))
        stems = [path.name.removesuffix(".steps.parquet") for path in whole]
        fills, orders, steps = (
            _together([folder / PARTS / f"{stem}.{name}.parquet" for stem in stems]) for name in TABLES
        )
    if steps.height == 0:
        raise DataError(
            f"`{folder}` must hold a step that is over; it holds none. The session ended before its "
            "first flush."
        )
    return Journalled(facts, trajectory_of(steps), fills, orders, steps, finished)


def _together(paths: list[Path]) -> pl.DataFrame:
    tables = [read_table(path) for path in paths]
    tables = [table for table in tables if table.width]
    return pl.concat(tables) if tables else pl.DataFrame()
