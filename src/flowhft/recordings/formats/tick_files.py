"""Reads and writes recordings in the tick schema itself: one Parquet file, exact, written chunk by chunk."""

import contextlib
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from flowhft.errors import RecordingError
from flowhft.recordings.checks.rules import (
    LARGEST,
    YEAR_2100_NS,
    Check,
    Keeper,
    not_back,
    not_null,
    outside,
    plus_minus,
)
from flowhft.recordings.closed import closed_facts, closed_from
from flowhft.recordings.described import declared_in, identified
from flowhft.recordings.files import decoding, metadata_of, read_columns, whole_numbers
from flowhft.recordings.formats.received import Received
from flowhft.recordings.instrument import UNITS
from flowhft.recordings.reader import Options, Reader
from flowhft.recordings.source import Chunk, Source, counted_in
from flowhft.recordings.ticks import (
    ADD,
    CHANGE,
    DEPTH,
    EVENT,
    FILL,
    ORDER,
    SNAPSHOT,
    TOP,
    TRADE,
    Closed,
    Finding,
)
from flowhft.runs import foreign
from flowhft.runs.files import to_disk
from flowhft.runs.labels import shown

SUFFIX = ".ticks.parquet"
KEY = "flowhft_recording"  # in the schema metadata: what was traded, as JSON
OFFSET = "clock_offset_ns"
CLOSED = "closed"  # when the market did not trade, or nothing was recorded of it; may be missing
COLUMNS = ORDER.names or ()  # those of an event, and `executed` and `order_id`, which are 0 for events
EVENT_KINDS = (DEPTH, TRADE, TOP, SNAPSHOT)
RULES = (
    *not_null(*COLUMNS),
    Check(
        "kind",
        "be a kind of the tick schema",
        ~pl.col("kind").is_in([*EVENT_KINDS, ADD, CHANGE, FILL]),
        "drop",
    ),
    plus_minus("side"),
    *(
        Check(name, "be ns from 0 to the year 2100", outside(name, 0, YEAR_2100_NS), "drop")
        for name in ("exchange_time_ns", "local_time_ns")
    ),
    *(
        Check(name, "be 0 or more and at most 2^53", outside(name, 0, LARGEST), "drop")
        for name in ("price", "quantity", "executed")
    ),
)
# Without a row of the book the book is right no more: a repair ends the file there.
OF_BOOK = pl.col("kind").is_in([DEPTH, SNAPSHOT]) | pl.col("kind").is_null()
CHECKS = (*(check._replace(broken=OF_BOOK & check.broken, remedy="cut") for check in RULES), *RULES)
IN_ORDER = (not_back("local_time_ns"),)


def _table(chunk: Chunk) -> pl.DataFrame:
    """Return a chunk as one table: its events, then what became of its orders."""
    rows = np.zeros(len(chunk.events), ORDER)
    for name in EVENT.names or ():
        rows[name] = chunk.events[name]
    if chunk.orders is not None:
        rows = np.concatenate([rows, chunk.orders])
    return pl.DataFrame({name: np.ascontiguousarray(rows[name]) for name in COLUMNS})


def write_ticks(source: Source, path: Path) -> int:
    """Write a source in the tick schema, a chunk in memory at a time, and return the number of rows.

    Args:
        source: its chunks are used up.
        path: to write, `NAME.ticks.parquet`.

    Raises:
        RecordingError: the source breaks a rule; nothing is written.
    """
    about = source.instrument.facts | {OFFSET: source.clock_offset_ns}
    rows = 0
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        for number, chunk in enumerate(source.chunks):
            table = _table(chunk)
            with to_disk(path):
                table.write_parquet(Path(folder) / f"{number:09}.parquet", compression="lz4")
            rows += table.height
        if closed := closed_facts(source.closed, source.sessions):
            about[CLOSED] = closed
        whole = Path(folder) / "whole"
        with to_disk(path):
            parts = pl.scan_parquet(sorted(Path(folder).glob("*.parquet")), glob=False)
            parts.sink_parquet(whole, metadata={KEY: json.dumps(about)})
        whole.replace(path)
    return rows


class _About(NamedTuple):
    """What a file is a recording of, what was added to its local clock, ns, and when it was closed."""

    declared: dict[str, Any]
    offset_ns: int
    closed: tuple[Closed, ...]


def _about(path: Path) -> _About:
    """Return what a file says of itself."""
    text = metadata_of(path).get(KEY)
    values: Any = None
    with contextlib.suppress(ValueError):
        values = foreign.json_of(text) if text else None
    fix = f"It stands as JSON under `{KEY}` in the schema metadata: write it with `flowhft data convert`."
    if not isinstance(values, dict) or not set(UNITS) <= set(values):
        raise RecordingError(f"must come with {', '.join(UNITS)}; received {shown(values)}. {fix}", path)
    offset = values.pop(OFFSET, None)
    if not isinstance(offset, int) or isinstance(offset, bool):
        raise RecordingError(f"must come with {OFFSET}, whole ns; received {offset!r}. {fix}", path)
    try:
        closed = closed_from(values.pop(CLOSED, []))
    except ValueError as cause:
        raise RecordingError(f"{cause}. {fix}", path) from cause
    return _About(declared_in(values, path, fix), offset, closed)


def _times(path: Path, rows: int) -> Iterator[np.ndarray]:
    """Yield kinds and times of a file's events, in pieces."""
    for table in read_columns(path, ("kind", "exchange_time_ns", "local_time_ns"), rows):
        table = table.filter(pl.col("kind").is_in(EVENT_KINDS)).drop_nulls()
        events = np.zeros(table.height, EVENT)
        for name in ("kind", "exchange_time_ns", "local_time_ns"):
            events[name] = table[name].to_numpy()
        yield events


def _chunks(path: Path, options: Options, received: Received, findings: list[Finding]) -> Iterator[Chunk]:
    keeper = Keeper(CHECKS, path, options.repair)
    in_order = {kind: Keeper(IN_ORDER, path, options.repair) for kind in ("events", "orders")}
    with_orders = False
    for table in read_columns(path, COLUMNS, options.rows):
        table = keeper.hold(table)
        is_event = table["kind"].is_in(EVENT_KINDS)
        with_orders |= not is_event.all()
        made = []
        for kind, rows, dtype in (
            ("events", table.filter(is_event), EVENT),
            ("orders", table.filter(~is_event), ORDER),
        ):
            rows = in_order[kind].hold(rows)
            array = np.empty(rows.height, dtype)
            for name in dtype.names or ():
                array[name] = rows[name].to_numpy()
            made.append(array)
        yield Chunk(received.corrected(made[0]), received.corrected(made[1]) if with_orders else None)
    findings += [result for one in (keeper, *in_order.values()) for result in one.findings()]


def read_rows(path: Path, options: Options, first: int, rows: int) -> Chunk:
    """Return some rows of a file of events that was read before and breaks no rule.

    Args:
        path: what `write_ticks` wrote.
        options: of reading.
        first: row, from 0.
        rows: how many.

    Raises:
        RecordingError: it is missing or damaged.
    """
    about, offset, _ = _about(path)
    with decoding(path, "Parquet"):
        table = pl.scan_parquet(path).slice(first, rows).collect()
    table = whole_numbers(table, EVENT.names or (), path, first)
    events = np.empty(table.height, EVENT)
    for name in EVENT.names or ():
        events[name] = table[name].to_numpy()
    instrument, _ = identified(path, options.instrument, about, path)
    source = Source(instrument, (path,), iter([Chunk(events)]), clock_offset_ns=offset)
    return next(counted_in(source, about["tick_size"], about["lot_size"]).chunks)


def open_ticks(path: Path, options: Options) -> Source:
    """Open a file in the tick schema.

    Args:
        path: what `write_ticks` wrote.
        options: of reading.

    Raises:
        RecordingError: it is missing, damaged, or breaks a rule.
    """
    about, offset, closed = _about(path)
    instrument, findings = identified(path, options.instrument, about, path)
    received = Received(_times(path, options.rows), path.name)
    findings += received.findings
    source = Source(
        instrument,
        files=(path,),
        chunks=_chunks(path, options, received, findings),
        findings=findings,
        clock_offset_ns=offset + received.offset_ns,
        best_prices=received.best_prices,
        closed=list(closed),
    )
    return counted_in(source, about["tick_size"], about["lot_size"])


TICKS = Reader(
    "ticks",
    f"NAME{SUFFIX}",
    "the tick schema itself, as `flowhft data convert` writes it",
    lambda path: path if path.name.endswith(SUFFIX) else None,
    open_ticks,
)
