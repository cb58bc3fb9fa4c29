"""Reads Binance sessions: snapshot, depth updates, trades and best prices, each a Parquet file.

    PREFIX_snapshot.parquet   the order book at the start (REST)
    PREFIX_depth.parquet      level updates with the chain of update numbers
    PREFIX_trades.parquet     trades with their aggressor
    PREFIX_bbo.parquet        best bid and ask (bookTicker); may be missing

with PREFIX = MARKET_SYMBOL_DATE, MARKET one of spot, usdm, coinm. Numbers are integers; the scales stand in
each file's schema metadata as `price_scale` and `qty_scale`. One tick is 1 / price_scale, one lot
1 / qty_scale.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from flowhft.errors import RecordingError
from flowhft.recordings.crossing import Uncrossed
from flowhft.recordings.files import metadata_of, read_columns, same_scale, scale_of, whole_messages
from flowhft.recordings.following import Agreement, agreement_finding
from flowhft.recordings.reader import Options, Reader
from flowhft.recordings.rules import Keeper
from flowhft.recordings.source import Chunk, Source, merged
from flowhft.recordings.ticks import BUY, DEPTH, SELL, SNAPSHOT, TOP, TRADE, Finding, make_events
from flowhft.recordings.validate import (
    BBO_CHECKS,
    BBO_COLUMNS,
    DEPTH_CHECKS,
    DEPTH_COLUMNS,
    SNAPSHOT_CHECKS,
    SNAPSHOT_COLUMNS,
    TRADES_CHECKS,
    TRADES_COLUMNS,
    chain_checks,
)

PARTS = {
    "snapshot": (SNAPSHOT_COLUMNS, SNAPSHOT_CHECKS),
    "depth": (DEPTH_COLUMNS, DEPTH_CHECKS),
    "trades": (TRADES_COLUMNS, TRADES_CHECKS),
    "bbo": (BBO_COLUMNS, BBO_CHECKS),
}
MARKET_ORDER = 0  # kind of a trade that an order in the book met
KINDS = {1: "insurance fund", 2: "auto-deleveraging", 9: "other"}
# What prices are quoted in: the end of the symbol's first part; longer names before those they end with.
CURRENCIES = ("FDUSD", "USDT", "USDC", "BUSD", "TUSD", "USD", "EUR", "TRY", "BRL", "JPY", "BTC", "ETH", "BNB")
FILE = re.compile(r"(?P<prefix>.+)_(?P<part>snapshot|depth|trades|bbo)\.parquet")
PREFIX = re.compile(r"(spot|usdm|coinm)_([a-z0-9]+(?:_[a-z0-9]+)?)_\d{8}", re.IGNORECASE)
SUSPECT_LATENCY_NS = 10**9  # a median above it: one message with a wrong time may have moved the clock
THINNED = 100_000  # values of a chunk that a median is taken from, at most twice as many


class Names(NamedTuple):
    """What a prefix says: where it was traded, what, and the unit of its prices."""

    venue: str
    symbol: str
    currency: str


def names_of(prefix: Path) -> Names:
    """Return venue, symbol and currency from a prefix such as `usdm_btcusdt_20240718`.

    Raises:
        RecordingError: the prefix is not MARKET_SYMBOL_DATE, or the symbol ends with no currency known.
    """
    match = PREFIX.fullmatch(prefix.name)
    if match is None:
        raise RecordingError(
            "the prefix must be MARKET_SYMBOL_DATE with MARKET one of spot, usdm, coinm, as "
            f"usdm_btcusdt_20240718; received {prefix.name}. Rename the files.",
            prefix,
        )
    symbol = match[2].upper()
    pair = symbol.split("_")[0]
    currency = next((name for name in CURRENCIES if pair.endswith(name)), None)
    if currency is None:
        raise RecordingError(
            f"the symbol must end with one of {', '.join(CURRENCIES)}; received {symbol}. Rename the files.",
            prefix,
        )
    return Names(f"binance-{match[1].lower()}", symbol, currency)


def _scales(paths: Sequence[Path]) -> tuple[int, int]:
    """Return price and quantity scale, the same in all files."""
    found = []
    for path in paths:
        metadata = metadata_of(path)
        found.append(tuple(scale_of(metadata, name, path) for name in ("price_scale", "qty_scale")))
        if found[-1] != found[0]:
            raise RecordingError(
                f"`price_scale` and `qty_scale` must be those of `{paths[0].name}`, {found[0]}; received "
                f"{found[-1]}. Convert the session with one scale.",
                path,
            )
    return found[0][0], found[0][1]


def _exchange_ns(table: pl.DataFrame) -> np.ndarray:
    """Return the engine's time, else the event's, in ns; 0 where the venue told neither."""
    engine, event = table["txn_ms"].to_numpy(), table["exch_ms"].to_numpy()
    return np.where(engine > 0, engine, event) * 1_000_000


def _least_latency(table: pl.DataFrame) -> int:
    """Return the least local minus exchange time, at most 0, of rows that tell both; ns."""
    exchange = _exchange_ns(table)
    return int((table["local_ns"].to_numpy() - exchange)[exchange > 0].min(initial=0))


def _times(table: pl.DataFrame, offset: int) -> tuple[np.ndarray, np.ndarray]:
    """Return exchange and corrected local times.

    Where the venue told no time the local one stands in for it: its latency then reads 0.
    """
    local = table["local_ns"].to_numpy() + offset
    exchange = _exchange_ns(table)
    return np.where(exchange > 0, exchange, local), local


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


class _Session:
    """The files of a session, gone through twice: once to check and to learn the clock, once for the events.

    What fits into one chunk is kept from the first time.
    """

    def __init__(self, prefix: Path, repair: bool, rows: int) -> None:
        self.names = names_of(prefix)
        self.path = {kind: prefix.with_name(f"{prefix.name}_{kind}.parquet") for kind in PARTS}
        self.repair, self.rows = repair, rows
        self.findings: list[Finding] = []
        self.offset = 0
        self.end: int | None = None  # local time at which a repair has ended the session
        self._kept: dict[str, pl.DataFrame] = {}
        self._keepers: dict[str, Keeper | Uncrossed] = {}
        if not self.path["bbo"].is_file():
            del self.path["bbo"]
            self.findings.append(Finding("note", "no `_bbo` file: best prices are rebuilt from the depth."))
        self.scales = _scales(list(self.path.values()))

    def tables(self, kind: str) -> Iterator[pl.DataFrame]:
        """Yield a file held to its checks."""
        if kind not in self.path:
            return
        if kind in self._kept:
            yield self._kept[kind]
            return
        columns, checks = PARTS[kind]
        keeper = self._keepers[kind] = Keeper(checks, self.path[kind], self.repair)
        chunks = 0
        for table in read_columns(self.path[kind], columns, self.rows):
            held = keeper.hold(table)
            chunks += 1
            yield held
        if chunks == 1:
            self._kept[kind] = held

    def linked(self) -> Iterator[pl.DataFrame]:
        """Yield the depth from the snapshot on, without a lost message and without a crossed book."""
        known = int(self.snapshot["last_update_id"][0])
        path = self.path["depth"]
        chain = Keeper(chain_checks(self.names.venue == "binance-spot", known), path, self.repair)
        crossed = Uncrossed(path, self.repair, self.snapshot_events(0, 0))
        if "linked" in self._kept:
            yield self._kept["linked"]
            return
        self._keepers |= {"chain": chain, "crossed": crossed}
        for table in whole_messages(self.tables("depth"), "final_id"):
            same_scale(_thinned(table["price"]), path, self.snapshot["price"], self.path["snapshot"])
            table = chain.hold(table.filter(pl.col("final_id") >= known))
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
        least, self.first = 0, (0, 0)
        medians: dict[str, list[pl.Series]] = {"trades": [], "bbo": []}
        last = None
        for table in self.linked():
            if last is None:
                self.first = int(table["local_ns"][0]), int(_exchange_ns(table.head(1))[0])
            last = int(table["local_ns"][-1])
            least = min(least, _least_latency(table))
        self._keepers["depth"].findings()
        if last is None:
            known = int(self.snapshot["last_update_id"][0])
            raise RecordingError(
                f"`final_id` must reach the snapshot's `last_update_id` {known}; none does. The files "
                "belong to different sessions: record them together.",
                self.path["depth"],
            )
        if any(self._keepers[name].ended for name in ("chain", "crossed") if name in self._keepers):
            self.end = last
        self.other_kinds: dict[int, int] = {}
        for table in self.tables("trades"):
            for kind, count in table.filter(pl.col("kind") != MARKET_ORDER)["kind"].value_counts().rows():
                self.other_kinds[kind] = self.other_kinds.get(kind, 0) + count
            table = self.until(table.filter(pl.col("kind") == MARKET_ORDER))
            least = min(least, _least_latency(table))
            medians["trades"].append(_thinned(table["price"]))
        self.tops, self.tops_timed = 0, False
        for table in self.tables("bbo"):
            table = self.until(table)
            least = min(least, _least_latency(table))
            self.tops += table.height
            self.tops_timed |= bool(np.any(_exchange_ns(table) > 0))
            medians["bbo"].append(_thinned(table["bid_px"]))
        self.offset = -least
        for name in (*PARTS, "chain", "crossed"):
            if name in self._keepers:
                self.findings += self._keepers[name].findings()
        for kind, prices in medians.items():
            if prices:
                same_scale(pl.concat(prices), self.path[kind], *same)

    def until(self, table: pl.DataFrame) -> pl.DataFrame:
        """Return the rows of a table up to where a repair has ended the session."""
        return table if self.end is None else table.filter(pl.col("local_ns") <= self.end)

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
        agreed, latencies = Agreement(), []
        streams = (
            iter([self.snapshot_events(min(start, exchange), start)]),
            self._trades(start),
            self._tops(start),
            (_depth_events(table, self.offset) for table in self.linked()),
        )
        for events in merged(streams):
            agreed.feed(events)
            latency = events["local_time_ns"] - events["exchange_time_ns"]
            latencies.append(latency[:: 1 + len(latency) // THINNED])
            yield Chunk(events)
        self._facts(agreed, float(np.median(np.concatenate(latencies))))

    def _trades(self, start: int) -> Iterator[np.ndarray]:
        for table in self.tables("trades"):
            table = self.until(table.filter(pl.col("kind") == MARKET_ORDER))
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
            table = self.until(table)
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
        if self.names.venue == "binance-coinm":
            facts.append(
                Finding(
                    "warning",
                    "an inverse contract: lots are contracts of a fixed value in USD, settled in the coin.",
                )
            )
        if self.tops:
            facts.append(agreement_finding(agreed))


def _thinned(values: pl.Series) -> pl.Series:
    """Return every so many of the values: enough for a median."""
    return values.gather_every(1 + len(values) // THINNED).cast(pl.Int64)


def open_binance(prefix: Path, options: Options) -> Source:
    """Open a Binance session.

    Exchange times are the matching engine's (`txn_ms`), else the event's (`exch_ms`), else the local time.
    A local clock that runs behind the exchange's is moved forward until the fastest message takes no time,
    which makes latencies relative to that message. Only trades of market orders are kept: insurance fund and
    auto-deleveraging trades meet no order in the book. `message` is the venue's own update or trade number.

    Args:
        prefix: path of the files without `_snapshot.parquet`.
        options: of reading.

    Raises:
        RecordingError: a file is missing, damaged, or breaks a rule.
    """
    session = _Session(prefix, options.repair, options.rows)
    session.survey()
    price_scale, quantity_scale = session.scales
    return Source(
        *session.names,
        1.0 / price_scale,
        1.0 / quantity_scale,
        files=tuple(session.path.values()),
        chunks=session.chunks(),
        findings=session.findings,
        clock_offset_ns=session.offset,
    )


def _session_of(path: Path) -> Path | None:
    match = FILE.fullmatch(path.name)
    return None if match is None else path.with_name(match["prefix"])


BINANCE = Reader(
    "binance",
    "MARKET_SYMBOL_DATE_{snapshot,depth,trades,bbo}.parquet with MARKET one of spot, usdm, coinm",
    "Binance depth updates, snapshot, trades and best prices",
    _session_of,
    open_binance,
)
