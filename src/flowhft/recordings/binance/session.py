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
from flowhft.recordings.binance.untimed import UpdateTimes
from flowhft.recordings.checks.clock import Correction, Latencies, LocalClock, offset_findings
from flowhft.recordings.checks.crossing import Uncrossed
from flowhft.recordings.checks.rules import LARGEST_MS, LEFT, UNKNOWN, Keeper, by_size_ns
from flowhft.recordings.checks.stamps import StrayTimes
from flowhft.recordings.checks.summary import Agreement, agreement_finding
from flowhft.recordings.checks.validate import CHAINS, VENUE_TIMES, chain_checks
from flowhft.recordings.files import ROW, same_scale, whole_messages
from flowhft.recordings.source import Chunk, Source, merged
from flowhft.recordings.ticks import BUY, DEPTH, SELL, SNAPSHOT, TOP, TRADE, Finding, make_events

THINNED = 100_000  # values of a chunk that a median is taken from, at most twice as many


def _told_ns(table: pl.DataFrame) -> np.ndarray:
    """Return the engine's time, else the event's, in ns; 0 where the venue told neither."""
    times = table.select(by_size_ns("txn_ms").fill_null(0), by_size_ns("exch_ms").fill_null(0))
    engine, event = times["txn_ms"].to_numpy(), times["exch_ms"].to_numpy()
    return np.where(engine > 0, engine, event)


def _feed_clock(clock: LocalClock, table: pl.DataFrame) -> None:
    """Let a clock learn from the rows that tell both times."""
    times, local = _told_ns(table), table["local_ns"].to_numpy()
    known = times > 0
    clock.feed((local - times)[known], local[known])


def _times(table: pl.DataFrame, clock: Correction) -> tuple[np.ndarray, np.ndarray]:
    """Return exchange and corrected local times; see `Correction.exchange`."""
    local, times = clock.at(table["local_ns"].to_numpy()), _told_ns(table)
    return clock.exchange(local, times, times > 0), local


def _depth_events(table: pl.DataFrame, clock: Correction) -> np.ndarray:
    exchange, local = _times(table, clock)
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
        self.clock = Correction()
        self._updates = UpdateTimes()
        self._strays: dict[str, StrayTimes] = {}
        self._ended = False  # a repair has ended the depth
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
        strays = self._strays[kind] = StrayTimes(self.path[kind].name)
        chunks = 0
        for table in self._read(kind):
            held = keeper.hold(_without_strays(table, strays))
            chunks += 1
            yield held
        if chunks == 1:
            self._kept[kind] = held

    def linked(self) -> Iterator[pl.DataFrame]:
        """Yield the depth from the snapshot on, without a lost message and without a crossed book."""
        known = int(self.snapshot["last_update_id"][0])
        path = self.path["depth"]
        if "linked" in self._kept:
            yield self._kept["linked"]
            return
        chain = Keeper(chain_checks(self._chain, known), path, self._repair)
        crossed = Uncrossed(path, self._repair, "qty", self.snapshot_events(0, 0), chained=True)
        self._keepers |= {"chain": chain, "crossed": crossed}
        ended = False
        for table in whole_messages(self.tables("depth"), "final_id"):
            table = table.filter((pl.col("final_id") >= known + self._chain.ahead).fill_null(True))
            if LEFT in table.columns and table[LEFT].any():
                table, ended = _up_to(table, table[LEFT].arg_max() or 0), True
            table = table.drop(LEFT, strict=False)
            same_scale(_thinned(table["price"]), path, self.snapshot["price"], self.path["snapshot"])
            table = chain.hold(table)
            if table.height:
                table, _, stops = crossed.hold(table, _depth_events(table, Correction()))
                ended |= stops is not None
            if "depth" in self._kept:  # one chunk, hence one table
                self._kept["linked"] = table
            if table.height:
                yield table
            if ended or chain.ended:
                self._ended = True
                break

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

    def survey(self, clock: LocalClock) -> None:
        """Check everything, let the clock learn, and find the start and the end."""
        self.snapshot = pl.concat(list(self.tables("snapshot")))
        self._keepers["snapshot"].findings()  # raises where a repair has left nothing
        same = (self.snapshot["price"], self.path["snapshot"])
        self.first = (0, 0)
        self.finer = False  # whether the venue's times are finer than ms
        medians: dict[str, list[pl.Series]] = {"trades": [], "bbo": []}
        first = next(self._read("bbo"), None) if "bbo" in self.path else None
        untimed = first is not None and not np.any(_told_ns(first) > 0)
        last = None
        for table in self.linked():
            self.finer |= bool((table["exch_ms"] > LARGEST_MS).any())
            if last is None:
                self.first = int(table["local_ns"][0]), int(_told_ns(table.head(1))[0])
            last = int(table["local_ns"][-1])
            if untimed:
                self._updates.feed(table["final_id"], _told_ns(table))
            _feed_clock(clock, table)
        self._keepers["depth"].findings()
        if last is None:
            known = int(self.snapshot["last_update_id"][0])
            raise RecordingError(
                f"`final_id` must reach the snapshot's `last_update_id` {known}; none does. The files "
                "belong to different sessions: record them together.",
                self.path["depth"],
            )
        if self._ended or self._closed:
            self._end = last
        self.other_kinds: dict[int, int] = {}
        for table in self.tables("trades"):
            for kind, count in table.filter(pl.col("kind") != MARKET_ORDER)["kind"].value_counts().rows():
                self.other_kinds[kind] = self.other_kinds.get(kind, 0) + count
            table = self._until(table.filter(pl.col("kind") == MARKET_ORDER))
            _feed_clock(clock, table)
            medians["trades"].append(_thinned(table["price"]))
        self.tops, self.tops_timed = 0, False
        for table in self.tables("bbo"):
            table = self._until(table)
            _feed_clock(clock, table)
            self.tops += table.height
            self.tops_timed |= bool(np.any(_told_ns(table) > 0))
            medians["bbo"].append(_thinned(table["bid_px"]))
        for strays in self._strays.values():
            self.findings += strays.findings()
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
        opens = np.array([int(self.snapshot["local_ns"][0]), self.first[0]])
        start, first = int(self.clock.at(opens).min()), int(self.clock.at(opens)[1])
        exchange = self.first[1] if self.first[1] > 0 else first
        self.early = {"trades": 0, "bbo": 0}
        agreed = Agreement()
        latencies = Latencies()
        streams = (
            iter([self.snapshot_events(min(start, exchange), start)]),
            self._trades(start),
            self._tops(start),
            (_depth_events(table, self.clock) for table in self.linked()),
        )
        for events in merged(streams):
            agreed.feed(events)
            latencies.feed(events["local_time_ns"] - events["exchange_time_ns"])
            yield Chunk(events)
        self._facts(agreed, latencies.median())

    def _trades(self, start: int) -> Iterator[np.ndarray]:
        for table in self.tables("trades"):
            table = self._until(table.filter(pl.col("kind") == MARKET_ORDER))
            late = table.filter(self.clock.at(table["local_ns"].to_numpy()) >= start)
            self.early["trades"] += table.height - late.height
            exchange, local = _times(late, self.clock)
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
            late = table.filter(self.clock.at(table["local_ns"].to_numpy()) >= start)
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
        exchange, local = _times(table, self.clock)
        if not self.tops_timed:
            placed = self._updates.placed(table["update_id"].to_numpy(), exchange)
            exchange = np.minimum(placed, local)
        local = np.maximum(local, start)
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
        facts += offset_findings(self.clock, usual)
        if self.finer:
            facts.append(
                Finding("note", "the venue's times are taken for us or ns since 1970, by their size.")
            )
        if self.tops and not self.tops_timed:
            facts.append(
                Finding(
                    "note",
                    "best prices carry no exchange time: their arrival less the median latency of the other "
                    f"messages, {self.clock.usual_ns / 1e6:,.3f} ms, stands in for it, between the times of "
                    "the depth messages before and after their update number.",
                )
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


def _without_strays(table: pl.DataFrame, strays: StrayTimes) -> pl.DataFrame:
    """Return a table, the venue's times taken away from messages that carry one that cannot be."""
    if "exch_ms" not in table.columns:
        return table
    times, local = _told_ns(table), table["local_ns"].fill_null(0).to_numpy()
    known = times > 0
    odd = np.zeros(table.height, bool)
    odd[known] = strays.take(table[ROW].to_numpy()[known], local[known], times[known])
    if not odd.any():
        return table
    return table.with_columns(
        pl.when(pl.Series(odd)).then(UNKNOWN).otherwise(pl.col(name)).alias(name) for name in VENUE_TIMES
    )


def _up_to(table: pl.DataFrame, row: int) -> pl.DataFrame:
    """Return the whole messages before the one that a row belongs to."""
    number = table["final_id"].to_list()
    of = number[row] if number[row] is not None else number[max(row - 1, 0)]
    while row and number[row - 1] == of:
        row -= 1
    return table.head(row)


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
    clock = LocalClock()  # one receiver, one clock
    for session in sessions:
        session.survey(clock)
    for session in sessions:
        session.clock = clock.correction
    sessions[0].findings = [*clock.findings(sessions[0].path["depth"].name), *sessions[0].findings]
    findings: list[Finding] = []
    spans: list[tuple[int, int]] = []
    return Source(
        tables[0].instrument,
        files=tuple(files),
        chunks=_one_after_the_other(sessions, findings, spans),
        findings=findings,
        clock_offset_ns=clock.offset_ns,
        best_prices=any(session.tops for session in sessions),
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
