"""Reads any feed of depth, trades and quotes whose columns are known: what Tardis and declared files share.

A feed is up to three tables, each of one or more files: incremental depth with snapshots, trades with their
aggressor, and quotes (the visible book, one row a moment). The declaration says which column holds what.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import polars as pl

from flowhft.errors import RecordingError
from flowhft.recordings import columns
from flowhft.recordings.checks.clock import Correction, Latencies, LocalClock, offset_findings
from flowhft.recordings.checks.rules import Keeper
from flowhft.recordings.checks.stamps import StrayTimes
from flowhft.recordings.checks.summary import Agreement, agreement_finding
from flowhft.recordings.columns import Column
from flowhft.recordings.files import ROW, chunks_of, numbers, text_chunks
from flowhft.recordings.formats.feed_depth import KnownDepth, Table
from flowhft.recordings.formats.feed_rules import NEEDED, TIMES, rules
from flowhft.recordings.instrument import Instrument
from flowhft.recordings.levels import EMPTY, Rows, book_events
from flowhft.recordings.reader import Options
from flowhft.recordings.source import Chunk, Source, merged
from flowhft.recordings.ticks import BUY, SELL, TOP, TRADE, Finding, make_events

MUST_BE_TIMES = (
    "a time as declared (of an hour that comes twice, when clocks go back, nobody can tell which is meant: "
    "write times in UTC or with their offset)"
)


def raw(path: Path, rows: int) -> Iterator[pl.DataFrame]:
    """Yield a file, Parquet or comma-separated text with a header, in chunks of rows."""
    if path.suffix == ".parquet":
        return chunks_of(path, rows)
    return text_chunks(path, header=True, rows=rows)


class _Feed:
    """A feed that is gone through twice: once for the clock, once for the events."""

    def __init__(self, instrument: Instrument, tables: Mapping[str, Table], options: Options) -> None:
        self.declared = tables
        self.sizes = {"price": instrument.tick_size, "quantity": instrument.lot_size}
        self.options = options
        self.findings: list[Finding] = []
        self.clock = Correction()
        self.gaps: list[tuple[int, int]] = []  # local times between which the book is not known
        self.sessions: list[tuple[int, int]] = []

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
        result = {
            "local_ns": columns.time_ns(local, chunk.schema[local.name]),
            "exchange_ns": columns.time_ns(exchange, chunk.schema[exchange.name]),
        }
        if kind == "quotes":
            for level in range(1, table.levels + 1):
                for name in NEEDED[kind]:
                    field = table.fields[name]
                    column = at(field._replace(name=field.name.replace("{level}", str(level))))
                    result[f"{name}_{level}"] = columns.units(column, self.sizes[name.split("_")[1]])
            return result
        result["side"] = columns.side(at(table.fields["side"]))
        for name, size in self.sizes.items():
            result[name] = columns.units(at(table.fields[name]), size)
        if "snapshot" in table.fields:
            result["snapshot"] = columns.flag(at(table.fields["snapshot"]))
        return result

    def _musts(self, names: Iterable[str]) -> dict[str, str]:
        """Return what columns of prices, quantities and times must be, in words."""
        musts = {
            name: f"a multiple of {size:g}, the {'tick' if what == 'price' else 'lot'}"
            for name in names
            for what, size in self.sizes.items()
            if what in name
        }
        return musts | {name: MUST_BE_TIMES for name in names if name.endswith("_ns")}

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
            keeper = Keeper(rules(kind, table.levels if table else 1), path, self.options.repair)
            if before is not None:
                keeper.follow(before)
            row = 0
            strays = StrayTimes(path.name)
            for chunk in raw(path, self.options.rows):
                result = self._expressions(kind, table, chunk, path)  # type: ignore[arg-type]
                held = numbers(chunk, result, path, row, self._musts(result))
                row += chunk.height
                held = keeper.hold(_without_strays(held, strays))
                held = held.with_columns((pl.col(ROW) + first).alias("number"))
                yield held if kind == "depth" else self._known(held)
            if not quiet:
                self.findings += [*strays.findings(), *keeper.findings()]
            first += row
            before = keeper

    def _known(self, held: pl.DataFrame) -> pl.DataFrame:
        """Return the rows of a table that arrived while the book was known."""
        for begin, end in self.gaps:
            held = held.filter((pl.col("local_ns") < begin) | (pl.col("local_ns") >= end))
        return held

    def depth(self, quiet: bool) -> Iterator[tuple[pl.DataFrame, np.ndarray]]:
        """Yield the depth and its events, on the local clock as it is, while the book is known."""
        if "depth" not in self.declared:
            return
        known = KnownDepth(self.declared["depth"], self.options.repair)
        yield from known.walk(self.tables("depth", quiet))
        if not quiet:
            self.gaps = known.gaps
            self.findings += known.findings()

    def _one_clock(self, kind: str) -> bool:
        return len(set(TIMES) & set(self.declared[kind].fields)) < len(TIMES)

    def survey(self) -> None:
        """Check everything, and learn the clock."""
        clock, rows = LocalClock(), 0
        for kind in ("depth", "trades", "quotes"):
            tables = (kept for kept, _ in self.depth(False)) if kind == "depth" else self.tables(kind, False)
            for held in tables:
                rows += held.height
                if not self._one_clock(kind):
                    local = held["local_ns"].to_numpy()
                    clock.feed(local - held["exchange_ns"].to_numpy(), local)
        self.clock = clock.correction
        self.findings += clock.findings(next(iter(self.declared.values())).files[0].name)
        if rows == 0:
            raise RecordingError(
                "must hold rows; received none that keep the rules. Record the session again.",
                next(iter(self.declared.values())).files[0],
            )

    def _times(
        self, kind: str, local_ns: np.ndarray, exchange_ns: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return exchange and corrected local times; no message was sent after its arrival.

        What carries one time only took what other messages of the feed usually take.
        """
        fields, usual = self.declared[kind].fields, self.clock.usual_ns
        if "local_time" not in fields:
            return exchange_ns, exchange_ns + usual
        local = self.clock.at(local_ns)
        if "exchange_time" not in fields:
            return local - usual, local
        return self.clock.exchange(local, exchange_ns, np.ones(len(local), bool)), local

    def _times_of(self, kind: str, table: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        return self._times(kind, table["local_ns"].to_numpy(), table["exchange_ns"].to_numpy())

    def _trades(self) -> Iterator[np.ndarray]:
        for held in self.tables("trades", quiet=True):
            yield make_events(
                TRADE, held["side"].to_numpy(), *self._times_of("trades", held), held["price"].to_numpy(),
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
            rows = Rows(*self._times_of("quotes", table), table["number"].to_numpy())
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
            exchange, local = self._times("depth", events["local_time_ns"], events["exchange_time_ns"])
            events["exchange_time_ns"], events["local_time_ns"] = exchange, local
            yield events

    def chunks(self) -> Iterator[Chunk]:
        """Yield the feed by corrected local time; trades come before the changes that they cause."""
        compare = {"depth", "quotes"} <= set(self.declared)
        agreed, latencies = Agreement(by="time"), Latencies()
        begin = end = None
        for events in merged((self._trades(), self._quotes(), self._depth())):
            if compare:
                agreed.feed(events)
            latencies.feed(events["local_time_ns"] - events["exchange_time_ns"])
            begin = int(events["local_time_ns"][0]) if begin is None else begin
            end = int(events["local_time_ns"][-1])
            yield Chunk(events)
        if self.gaps and begin is not None and end is not None:
            borders = self.clock.at(np.array(self.gaps, np.int64)).reshape(-1).tolist()
            times = [begin, *(time for time in borders if time < end), end]
            self.sessions += list(zip(times[::2], times[1::2], strict=False))
        if compare:
            self.findings.append(agreement_finding(agreed))
        self.findings += offset_findings(self.clock, latencies.median())
        both = [kind for kind in self.declared if not self._one_clock(kind)]
        for kind in self.declared:
            if both and self._one_clock(kind):
                self.findings.append(
                    Finding(
                        "note",
                        f"`{kind}` carry one time only: the other is guessed by the median latency of "
                        f"`{'` and `'.join(both)}`, {self.clock.usual_ns / 1e6:,.3f} ms.",
                    )
                )
        if not any({"local_time", "exchange_time"} <= set(t.fields) for t in self.declared.values()):
            self.findings.append(Finding("note", "one clock only: latencies read 0 and must be assumed."))
        if "trades" not in self.declared:
            self.findings.append(
                Finding("warning", "no trades: nothing can be calibrated or replayed that needs them.")
            )


def _without_strays(table: pl.DataFrame, strays: StrayTimes) -> pl.DataFrame:
    """Return a table; messages whose time of the venue cannot be took as long as others usually do."""
    both = table.select(ROW, "local_ns", "exchange_ns").fill_null(0)
    row, local, shown = (both[name].to_numpy() for name in both.columns)
    known = (shown > 0) & (local > 0)
    odd = np.zeros(table.height, bool)
    odd[known] = strays.take(row[known], local[known], shown[known])
    if not odd.any():
        return table
    usual = int(np.median((local - shown)[known & ~odd]))
    guessed = pl.Series(local - usual)
    return table.with_columns(exchange_ns=pl.when(pl.Series(odd)).then(guessed).otherwise("exchange_ns"))


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
        clock_offset_ns=feed.clock.offset_ns,
        best_prices={"depth", "quotes"} <= set(tables),
        sessions=feed.sessions,
    )
