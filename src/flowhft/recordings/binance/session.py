"""A Binance session, whatever files it came from: checked, put on one clock, merged into events.

The tables of a session are a snapshot of the book (REST), depth updates with the chain of their numbers,
trades, and best prices (bookTicker). `binance.py` reads them from Parquet files, `binance_stream.py` from
the lines that came over the wire.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from flowhft.errors import RecordingError
from flowhft.recordings.binance.tables import CHECKS, KINDS, MARKET_ORDER, Tables
from flowhft.recordings.checks.clock import LocalClock
from flowhft.recordings.checks.crossing import Uncrossed
from flowhft.recordings.checks.rules import LARGEST_MS, Keeper, by_size_ns
from flowhft.recordings.checks.summary import Agreement, agreement_finding
from flowhft.recordings.checks.validate import CHAINS, chain_checks
from flowhft.recordings.files import same_scale, whole_messages
from flowhft.recordings.source import Chunk, Source, merged
from flowhft.recordings.ticks import BUY, DEPTH, SELL, SNAPSHOT, TOP, TRADE, Finding, make_events

SUSPECT_LATENCY_NS = 10**9  # a median above it: one message with a wrong time may have moved the clock
THINNED = 100_000  # values of a chunk that a median is taken from, at most twice as many


def _exchange_ns(table: pl.DataFrame) -> np.ndarray:
    """Return the engine's time, else the event's, in ns; 0 where the venue told neither."""
    told = table.select(by_size_ns("txn_ms"), by_size_ns("exch_ms"))
    engine, event = told["txn_ms"].to_numpy(), told["exch_ms"].to_numpy()
    return np.where(engine > 0, engine, event)


def _latency(table: pl.DataFrame) -> np.ndarray:
    """Return local minus exchange time of rows that tell both; ns."""
    exchange = _exchange_ns(table)
    return (table["local_ns"].to_numpy() - exchange)[exchange > 0]


def _times(table: pl.DataFrame, offset: int) -> tuple[np.ndarray, np.ndarray]:
    """Return exchange and corrected local times.

    Where the venue told no time, or one after the arrival, the local one stands in for it: its latency then
    reads 0.
    """
    local = table["local_ns"].to_numpy() + offset
    exchange = _exchange_ns(table)
    return np.where(exchange > 0, np.minimum(exchange, local), local), local


def _depth_events(table: pl.DataFrame, offset: int) -> np.ndarray:
    exchange, local = _times(table, offset)
    return make_events(
        DEPTH,
        table["side"].to_numpy(),
        exchange,
        local,
        table["price"].to_numpy(),
        table["qty"].to_numpy(),
        table["final_id"].to_numpy(),
    )


class Session:
    """A session, gone through twice: once to check and to learn the clock, once for the events.

    What fits into one chunk is kept from the first time.

    Args:
        tables: of the session.
        repair: mend what can be mended.
        closed: whether another session of the same files follows: nothing after the last depth counts.
    """

    def __init__(self, tables: Tables, repair: bool, closed: bool = False) -> None:
        self.path = tables.path
        self.findings: list[Finding] = []
        self.offset = 0
        self._chain, self._read = CHAINS[tables.market], tables.read
        self._repair, self._closed = repair, closed
        self._end: int | None = None  # local time at which a repair has ended the session
        self._kept: dict[str, pl.DataFrame] = {}
        self._keepers: dict[str, Keeper | Uncrossed] = {}

    def tables(self, kind: str) -> Iterator[pl.DataFrame]:
        """Yield a file held to its checks."""
        if kind not in self.path:
            return
        if kind in self._kept:
            yield self._kept[kind]
            return
        keeper = self._keepers[kind] = Keeper(CHECKS[kind], self.path[kind], self._repair)
        chunks = 0
        for table in self._read(kind):
            held = keeper.hold(table)
            chunks += 1
            yield held
        if chunks == 1:
            self._kept[kind] = held

    def linked(self) -> Iterator[pl.DataFrame]:
        """Yield the depth from the snapshot on, without a lost message and without a crossed book."""
        known = int(self.snapshot["last_update_id"][0])
        path = self.path["depth"]
        chain = Keeper(chain_checks(self._chain, known), path, self._repair)
        crossed = Uncrossed(path, self._repair, self.snapshot_events(0, 0))
        if "linked" in self._kept:
            yield self._kept["linked"]
            return
        self._keepers |= {"chain": chain, "crossed": crossed}
        for table in whole_messages(self.tables("depth"), "final_id"):
            same_scale(_thinned(table["price"]), path, self.snapshot["price"], self.path["snapshot"])
            table = chain.hold(table.filter(pl.col("final_id") >= known + self._chain.ahead))
            if table.height == 0:
                continue
            table = crossed.hold(table, _depth_events(table, 0))
            if "depth" in self._kept:  # one chunk, hence one table
                self._kept["linked"] = table
            if table.height:
                yield table

    def snapshot_events(self, exchange: int, local: int) -> np.ndarray:
        """Return the snapshot as events of these times."""
        table = self.snapshot
        return make_events(
            SNAPSHOT,
            table["side"].to_numpy(),
            exchange,
            local,
            table["price"].to_numpy(),
            table["qty"].to_numpy(),
            table["last_update_id"].to_numpy(),
        )

    def survey(self) -> None:
        """Check everything, and learn the clock, the start and the end."""
        self.snapshot = pl.concat(list(self.tables("snapshot")))
        self._keepers["snapshot"].findings()  # raises where a repair has left nothing
        same = (self.snapshot["price"], self.path["snapshot"])
        clock, self.first = LocalClock(), (0, 0)
        self.finer = False  # whether the venue's times are finer than ms
        medians: dict[str, list[pl.Series]] = {"trades": [], "bbo": []}
        last = None
        for table in self.linked():
            self.finer |= bool((table["exch_ms"] > LARGEST_MS).any())
            if last is None:
                self.first = int(table["local_ns"][0]), int(_exchange_ns(table.head(1))[0])
            last = int(table["local_ns"][-1])
            clock.feed(_latency(table))
        self._keepers["depth"].findings()
        if last is None:
            known = int(self.snapshot["last_update_id"][0])
            raise RecordingError(
                f"`final_id` must reach the snapshot's `last_update_id` {known}; none does. The files "
                "belong to different sessions: record them together.",
                self.path["depth"],
            )
        cut = any(self._keepers[name].ended for name in ("chain", "crossed") if name in self._keepers)
        if cut or self._closed:
            self._end = last
        self.other_kinds: dict[int, int] = {}
        for table in self.tables("trades"):
            for kind, count in table.filter(pl.col("kind") != MARKET_ORDER)["kind"].value_counts().rows():
                self.other_kinds[kind] = self.other_kinds.get(kind, 0) + count
            table = self._until(table.filter(pl.col("kind") == MARKET_ORDER))
            clock.feed(_latency(table))
            medians["trades"].append(_thinned(table["price"]))
        self.tops, self.tops_timed = 0, False
        for table in self.tables("bbo"):
            table = self._until(table)
            clock.feed(_latency(table))
            self.tops += table.height
            self.tops_timed |= bool(np.any(_exchange_ns(table) > 0))
            medians["bbo"].append(_thinned(table["bid_px"]))
        self.offset = clock.offset_ns
        self.findings += clock.findings(self.path["depth"].name)
        for name in (*CHECKS, "chain", "crossed"):
            if name in self._keepers:
                self.findings += self._keepers[name].findings()
        for kind, prices in medians.items():
            if prices:
                same_scale(pl.concat(prices), self.path[kind], *same)

    def _until(self, table: pl.DataFrame) -> pl.DataFrame:
        """Return the rows of a table up to where a repair has ended the session."""
        return table if self._end is None else table.filter(pl.col("local_ns") <= self._end)

    def chunks(self) -> Iterator[Chunk]:
        """Yield the session, from its snapshot on, by corrected local time.

        The snapshot answers a request, so that the depth messages that follow *its* update number may have
        arrived before it did. It is stamped with the earlier of the two. What came before is left out, but
        for the last best prices, which stand at the start. Where local times are equal, trades come before
        the changes of the book that they cause.
        """
        start = min(int(self.snapshot["local_ns"][0]), self.first[0]) + self.offset
        exchange = self.first[1] if self.first[1] > 0 else self.first[0] + self.offset
        self.early = {"trades": 0, "bbo": 0}
        agreed = Agreement()
        latencies: list[tuple[np.ndarray, int]] = []
        streams = (
            iter([self.snapshot_events(min(start, exchange), start)]),
            self._trades(start),
            self._tops(start),
            (_depth_events(table, self.offset) for table in self.linked()),
        )
        for events in merged(streams):
            agreed.feed(events)
            latency = events["local_time_ns"] - events["exchange_time_ns"]
            step = 1 + len(latency) // THINNED
            latencies.append((latency[::step], step))
            yield Chunk(events)
        self._facts(agreed, _median(latencies))

    def _trades(self, start: int) -> Iterator[np.ndarray]:
        for table in self.tables("trades"):
            table = self._until(table.filter(pl.col("kind") == MARKET_ORDER))
            late = table.filter(pl.col("local_ns") + self.offset >= start)
            self.early["trades"] += table.height - late.height
            exchange, local = _times(late, self.offset)
            yield make_events(
                TRADE,
                late["aggressor"].to_numpy(),
                exchange,
                local,
                late["price"].to_numpy(),
                late["qty"].to_numpy(),
                late["trade_id"].to_numpy(),
            )

    def _tops(self, start: int) -> Iterator[np.ndarray]:
        before: pl.DataFrame | None = None  # the last best prices before the start
        for table in self.tables("bbo"):
            table = self._until(table)
            late = table.filter(pl.col("local_ns") + self.offset >= start)
            self.early["bbo"] += table.height - late.height
            if late.height < table.height:
                before = table.slice(table.height - late.height - 1, 1)
            if before is not None and late.height:
                late, before = pl.concat([before, late]), None
            yield self._top_events(late, start)
        if before is not None:
            yield self._top_events(before, start)

    def _top_events(self, table: pl.DataFrame, start: int) -> np.ndarray:
        """Return best prices as events, bid and ask of one message side by side."""
        exchange, local = _times(table, self.offset)
        known = _exchange_ns(table) > 0
        local = np.maximum(local, start)
        exchange = np.where(known, exchange, local)
        tops = [
            make_events(
                TOP,
                side,
                exchange,
                local,
                table[f"{name}_px"].to_numpy(),
                table[f"{name}_qty"].to_numpy(),
                table["update_id"].to_numpy(),
            )
            for side, name in ((BUY, "bid"), (SELL, "ask"))
        ]
        return np.stack(tops, axis=1).reshape(-1)

    def _facts(self, agreed: Agreement, usual: float) -> None:
        """Add what a reader of the recording should know, errors apart."""
        facts = self.findings
        if self.offset > 0:
            facts.append(
                Finding(
                    "note" if usual < SUSPECT_LATENCY_NS else "warning",
                    f"the local clock ran behind the exchange's: {self.offset / 1e6:,.3f} ms were added, so "
                    "that the fastest message takes no time. Latencies are relative to that message; their "
                    f"median is {usual / 1e6:,.3f} ms.",
                )
            )
        if self.finer:
            facts.append(
                Finding("note", "the venue's times are taken for us or ns since 1970, by their size.")
            )
        if self.tops and not self.tops_timed:
            facts.append(
                Finding("note", "best prices carry no exchange time: their local time stands in for it.")
            )
        if self.early["trades"] or self.early["bbo"] > 1:
            facts.append(
                Finding(
                    "note",
                    f"{self.early['trades']:,} trades and {max(0, self.early['bbo'] - 1):,} best prices that "
                    "arrived before the book was known are left out.",
                )
            )
        for kind, count in sorted(self.other_kinds.items(), key=lambda item: -item[1]):
            what = KINDS.get(kind, f"kind {kind}")
            facts.append(Finding("note", f"{count:,} trades of no market order ({what}) are left out."))
        if self.tops:
            facts.append(agreement_finding(agreed))


def _thinned(values: pl.Series) -> pl.Series:
    """Return every so many of the values: enough for a median."""
    return values.gather_every(1 + len(values) // THINNED).cast(pl.Int64)


def _median(parts: Sequence[tuple[np.ndarray, int]]) -> float:
    """Return the median of values, each part with how many values one of it stands for."""
    values = np.concatenate([part for part, _ in parts])
    weights = np.concatenate([np.full(len(part), stands) for part, stands in parts])
    order = np.argsort(values)
    reached = np.cumsum(weights[order])
    return float(values[order[np.searchsorted(reached, 0.5 * reached[-1])]])


def session_source(tables: Sequence[Tables], files: Sequence[Path], repair: bool) -> Source:
    """Return sessions that one receiver recorded one after the other as one source.

    Args:
        tables: of each session, one or more, in the order of time.
        files: all that they are read from.
        repair: mend what can be mended.

    Raises:
        RecordingError: something breaks a rule.
    """
    sessions = [Session(one, repair, closed=one is not tables[-1]) for one in tables]
    for session in sessions:
        session.survey()
    offset = max(session.offset for session in sessions)  # one receiver, one clock
    for session in sessions:
        session.offset = offset
    findings: list[Finding] = []
    spans: list[tuple[int, int]] = []
    return Source(
        tables[0].instrument,
        files=tuple(files),
        chunks=_one_after_the_other(sessions, findings, spans),
        findings=findings,
        clock_offset_ns=offset,
        sessions=spans,
    )


def _one_after_the_other(
    sessions: Sequence[Session], findings: list[Finding], spans: list[tuple[int, int]]
) -> Iterator[Chunk]:
    for number, session in enumerate(sessions):
        begin = end = None
        for chunk in session.chunks():
            begin = int(chunk.events["local_time_ns"][0]) if begin is None else begin
            end = int(chunk.events["local_time_ns"][-1])
            yield chunk
        if begin is not None and end is not None:
            spans.append((begin, end))
        of = f"part {number + 1} of {len(sessions)}: " if len(sessions) > 1 else ""
        findings += [Finding(one.severity, of + one.message) for one in session.findings]
