"""Reads any feed of depth, trades and quotes whose columns are known: what Tardis and declared files share.

A feed is up to three tables, each of one or more files: incremental depth with snapshots, trades with their
aggressor, and quotes (the visible book, one row a moment). The declaration says which column holds what.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from flowhft.errors import RecordingError
from flowhft.recordings import columns
from flowhft.recordings.checks.clock import LocalClock
from flowhft.recordings.checks.crossing import Uncrossed
from flowhft.recordings.checks.rules import (
    LARGEST,
    Check,
    Keeper,
    clock_not_back,
    epoch_ns,
    not_null,
    outside,
    plus_minus,
    positive,
)
from flowhft.recordings.checks.summary import Agreement, agreement_finding
from flowhft.recordings.columns import Column
from flowhft.recordings.files import ROW, chunks_of, numbers, text_chunks, whole_messages
from flowhft.recordings.instrument import Instrument
from flowhft.recordings.levels import EMPTY, Rows, book_events
from flowhft.recordings.reader import Options
from flowhft.recordings.source import Chunk, Source, merged
from flowhft.recordings.ticks import BUY, DEPTH, SELL, SNAPSHOT, TOP, TRADE, Finding, make_events

MUST_BE_TIMES = (
    "a time as declared (of an hour that comes twice, when clocks go back, nobody can tell which is meant: "
    "write times in UTC or with their offset)"
)
HOUR_NS = 3_600 * 10**9
NEEDED = {
    "depth": ("side", "price", "quantity"),
    "trades": ("side", "price", "quantity"),
    "quotes": ("bid_price", "bid_quantity", "ask_price", "ask_quantity"),
}
OPTIONAL = {"depth": ("snapshot",), "trades": (), "quotes": ()}
TIMES = ("local_time", "exchange_time")  # one of them at least


class Table(NamedTuple):
    """One table of a feed.

    Attributes:
        files: in the order of time.
        fields: field -> its column; the names of columns of quotes may hold {level}, 1 for the best.
        levels: of quotes, how many a side.
    """

    files: tuple[Path, ...]
    fields: Mapping[str, Column]
    levels: int = 1


def raw(path: Path, rows: int) -> Iterator[pl.DataFrame]:
    """Yield a file, Parquet or comma-separated text with a header, in chunks of rows."""
    if path.suffix == ".parquet":
        return chunks_of(path, rows)
    return text_chunks(path, header=True, rows=rows)


def _plain_rules(kind: str) -> list[Check]:
    """Return what every table must keep but for its prices."""
    apart = (pl.col("local_ns") - pl.col("exchange_ns")).abs() > HOUR_NS
    return [
        *not_null("local_ns", "exchange_ns"),
        epoch_ns("local_ns"),
        epoch_ns("exchange_ns"),
        Check("exchange_ns", "be within an hour of `local_ns`", apart, "drop"),
        *([] if kind == "quotes" else [*not_null(*NEEDED[kind]), plus_minus("side"), *positive("price")]),
        *clock_not_back("local_ns", "exchange_ns"),
    ]


def _rules(kind: str, levels: int) -> list[Check]:
    """Return what a table must keep."""
    if kind == "trades":
        return [*_plain_rules(kind), *positive("quantity")]
    if kind == "depth":
        return [
            *_plain_rules(kind),
            Check(
                "quantity", "be 0 (gone) or more and at most 2^53", outside("quantity", 0, LARGEST), "drop"
            ),
        ]
    rules = _plain_rules(kind)
    for level in range(1, levels + 1):
        for name, further in (("bid", -1), ("ask", 1)):
            price, quantity = f"{name}_price_{level}", f"{name}_quantity_{level}"
            there = pl.col(price).is_not_null()
            rules += positive(price, quantity, where=there)
            if level > 1:
                nearer = pl.col(f"{name}_price_{level - 1}")
                beyond = nearer.is_not_null() & (further * (pl.col(price) - nearer) > 0)
                rules.append(
                    Check(
                        price, f"stand further from the mid than level {level - 1}", there & ~beyond, "drop"
                    )
                )
    crossed = pl.col("bid_price_1") >= pl.col("ask_price_1")
    return [*rules, Check("bid_price_1", "stand below `ask_price_1`: the book is crossed", crossed, "drop")]


class _Feed:
    """A feed that is gone through twice: once for the clock, once for the events."""

    def __init__(self, instrument: Instrument, tables: Mapping[str, Table], options: Options) -> None:
        self.declared = tables
        self.sizes = {"price": instrument.tick_size, "quantity": instrument.lot_size}
        self.options = options
        self.findings: list[Finding] = []
        self.offset = 0
        self.end: int | None = None

    def _expressions(self, kind: str, table: Table, chunk: pl.DataFrame, path: Path) -> dict[str, pl.Expr]:
        def at(column: Column) -> Column:
            if column.name not in chunk.columns:
                raise RecordingError(
                    f"must have the column `{column.name}`; received {', '.join(chunk.columns)}. "
                    "Mend the declaration, or convert the file again.",
                    path,
                )
            return column

        times = {name: at(table.fields[name]) for name in TIMES if name in table.fields}
        local = times.get("local_time", times.get("exchange_time"))
        exchange = times.get("exchange_time", local)
        if local is None or exchange is None:
            raise RecordingError(f"`{kind}` must have one of {', '.join(TIMES)}; received none.", path)
        found = {
            "local_ns": columns.time_ns(local, chunk.schema[local.name]),
            "exchange_ns": columns.time_ns(exchange, chunk.schema[exchange.name]),
        }
        if kind == "quotes":
            for level in range(1, table.levels + 1):
                for name in NEEDED[kind]:
                    field = table.fields[name]
                    column = at(field._replace(name=field.name.replace("{level}", str(level))))
                    found[f"{name}_{level}"] = columns.units(column, self.sizes[name.split("_")[1]])
            return found
        found["side"] = columns.side(at(table.fields["side"]))
        for name, size in self.sizes.items():
            found[name] = columns.units(at(table.fields[name]), size)
        if "snapshot" in table.fields:
            found["snapshot"] = columns.flag(at(table.fields["snapshot"]))
        return found

    def _musts(self, names: Iterable[str]) -> dict[str, str]:
        """Return what columns of prices, quantities and times must be, in words."""
        said = {
            name: f"a multiple of {size:g}, the {'tick' if what == 'price' else 'lot'}"
            for name in names
            for what, size in self.sizes.items()
            if what in name
        }
        return said | {name: MUST_BE_TIMES for name in names if name.endswith("_ns")}

    def tables(self, kind: str, quiet: bool) -> Iterator[pl.DataFrame]:
        """Yield a table of the feed as whole numbers that keep its rules, file after file.

        Args:
            kind: of the table.
            quiet: whether what is repaired has been said before.
        """
        table = self.declared.get(kind)
        before: Keeper | None = None
        first = 0  # rows of all files, so that numbers of messages grow
        for path in table.files if table else ():
            keeper = Keeper(_rules(kind, table.levels if table else 1), path, self.options.repair)
            if before is not None:
                keeper.follow(before)
            row = 0
            for chunk in raw(path, self.options.rows):
                found = self._expressions(kind, table, chunk, path)  # type: ignore[arg-type]
                held = numbers(chunk, found, path, row, self._musts(found))
                row += chunk.height
                held = keeper.hold(held).with_columns((pl.col(ROW) + first).alias("number"))
                yield held if self.end is None else held.filter(pl.col("local_ns") <= self.end)
            if not quiet:
                self.findings += keeper.findings()
            first += row
            before = keeper

    def depth(self, quiet: bool) -> Iterator[tuple[pl.DataFrame, np.ndarray]]:
        """Yield the depth and its events, on the local clock as it is, from the first snapshot on."""
        if "depth" not in self.declared:
            return
        table = self.declared["depth"]
        uncrossed = Uncrossed(table.files[0], self.options.repair)
        started, dropped, snapshot, number = "snapshot" not in table.fields, 0, False, -1
        for held in whole_messages(self.tables("depth", quiet), "local_ns"):
            if "snapshot" not in held.columns:
                held = held.with_columns(pl.lit(0).alias("snapshot"))
            if not started:
                at = held["snapshot"].arg_max() or 0
                started = bool(held["snapshot"][at])
                dropped += at if started else held.height
                held = held.slice(at) if started else held.clear()
            if held.height == 0:
                continue
            shown = held["snapshot"].to_numpy() == 1
            local, exchange = held["local_ns"].to_numpy(), held["exchange_ns"].to_numpy()
            # A snapshot is one message, whatever times its rows carry; depth of one time is one message.
            begins = np.ones(held.height, bool)
            begins[1:] = (shown[1:] != shown[:-1]) | (
                ~shown[1:] & ((local[1:] != local[:-1]) | (exchange[1:] != exchange[:-1]))
            )
            begins[0] = not (snapshot and shown[0])
            rows = held["number"].to_numpy()
            message = np.maximum.accumulate(np.where(begins, rows, number))
            snapshot, number = bool(shown[-1]), int(message[-1])
            events = make_events(
                DEPTH, held["side"].to_numpy(), exchange, local,
                held["price"].to_numpy(), held["quantity"].to_numpy(), message,
            )  # fmt: skip
            events["kind"] = np.where(shown, SNAPSHOT, DEPTH)
            kept = uncrossed.hold(held, events)
            events = events[: kept.height]
            yield kept, events
        if not quiet:
            self.findings += uncrossed.findings()
            if uncrossed.ended:
                self.end = int(local[kept.height - 1]) if kept.height else int(local[0])
            if not started:
                raise RecordingError("must hold a snapshot of the book; received none.", table.files[0])
            if dropped:
                self.findings.append(
                    Finding("note", f"{dropped:,} rows of depth before the first snapshot are left out.")
                )

    def survey(self) -> None:
        """Check everything, and learn the clock."""
        clock, rows = LocalClock(), 0
        for kept, _ in self.depth(quiet=False):
            clock.feed(_latency(kept))
            rows += kept.height
        for kind in ("trades", "quotes"):
            for held in self.tables(kind, quiet=False):
                clock.feed(_latency(held))
                rows += held.height
        self.offset = clock.offset_ns
        self.findings += clock.findings(next(iter(self.declared.values())).files[0].name)
        if rows == 0:
            raise RecordingError(
                "must hold rows; received none that keep the rules. Record the session again.",
                next(iter(self.declared.values())).files[0],
            )

    def _times(self, table: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Return exchange and corrected local times; no message was sent after its arrival."""
        local = table["local_ns"].to_numpy() + self.offset
        return np.minimum(table["exchange_ns"].to_numpy(), local), local

    def _trades(self) -> Iterator[np.ndarray]:
        for held in self.tables("trades", quiet=True):
            yield make_events(
                TRADE, held["side"].to_numpy(), *self._times(held), held["price"].to_numpy(),
                held["quantity"].to_numpy(), held["number"].to_numpy(),
            )  # fmt: skip

    def _quotes(self) -> Iterator[np.ndarray]:
        alone = "depth" not in self.declared
        last: pl.DataFrame | None = None
        for held in self.tables("quotes", quiet=True):
            table = held if last is None else pl.concat([last, held])
            if held.height == 0:
                continue
            first, last = last is None, held.tail(1)
            rows = Rows(*self._times(table), table["number"].to_numpy())
            sides = {}
            for side, name in ((BUY, "bid"), (SELL, "ask")):
                levels = range(1, self.declared["quotes"].levels + 1)
                price = table.select(pl.col(f"{name}_price_{level}").fill_null(EMPTY) for level in levels)
                size = table.select(
                    pl.when(pl.col(f"{name}_price_{level}").is_null())
                    .then(0)
                    .otherwise(pl.col(f"{name}_quantity_{level}"))
                    .alias(str(level))
                    for level in levels
                )
                sides[side] = tuple(np.ascontiguousarray(part.to_numpy()) for part in (price, size))
            parts, at = book_events(rows, sides, first)  # type: ignore[arg-type]
            events = np.concatenate(parts)[np.argsort(np.concatenate(at), kind="stable")]
            yield events if alone else events[events["kind"] == TOP]

    def _depth(self) -> Iterator[np.ndarray]:
        for _, events in self.depth(quiet=True):
            events["local_time_ns"] += self.offset
            events["exchange_time_ns"] = np.minimum(events["exchange_time_ns"], events["local_time_ns"])
            yield events

    def chunks(self) -> Iterator[Chunk]:
        """Yield the feed by corrected local time; trades come before the changes that they cause."""
        compare = {"depth", "quotes"} <= set(self.declared)
        agreed = Agreement()
        for events in merged((self._trades(), self._quotes(), self._depth())):
            if compare:
                agreed.feed(events)
            yield Chunk(events)
        if compare:
            self.findings.append(agreement_finding(agreed))
        if self.offset:
            self.findings.append(
                Finding(
                    "note",
                    f"the local clock ran behind the exchange's: {self.offset / 1e6:,.3f} ms were added, so "
                    "that the fastest message takes no time.",
                )
            )
        if not any({"local_time", "exchange_time"} <= set(t.fields) for t in self.declared.values()):
            self.findings.append(Finding("note", "one clock only: latencies read 0 and must be assumed."))
        if "trades" not in self.declared:
            self.findings.append(
                Finding("warning", "no trades: nothing can be calibrated or replayed that needs them.")
            )


def _latency(table: pl.DataFrame) -> np.ndarray:
    """Return local minus exchange time, ns."""
    return (table["local_ns"] - table["exchange_ns"]).to_numpy()


def open_feed(
    instrument: Instrument, tables: Mapping[str, Table], files: tuple[Path, ...], options: Options
) -> Source:
    """Open a feed.

    Args:
        instrument: what it is of.
        tables: by the keys of `NEEDED`.
        files: all that it is read from, for people.
        options: of reading.

    Raises:
        RecordingError: a file is missing, damaged, or breaks a rule.
    """
    feed = _Feed(instrument, tables, options)
    feed.survey()
    return Source(
        instrument,
        files=files,
        chunks=feed.chunks(),
        findings=feed.findings,
        clock_offset_ns=feed.offset,
    )
