"""Reads Bitstamp's stream of single orders: what was created, changed and deleted, the trades, and snapshots.

    [SYMBOL_]events.parquet            local_ms, exch_ms, order_id, price, volume, action, side
    [SYMBOL_]trades.parquet            local_ms, trade_id, price, volume
    [SYMBOL_]snapshots<LEVELS>.parquet local_ms, bid_px_1, bid_sz_1, ask_px_1, ask_sz_1 and so on

Prices are USD x 100, volumes BTC x 10^8; `volume` is what remains of the order. An order that crosses the
book when it is created is on its way to be matched: it joins the book when it no longer crosses. Bitstamp
stamps `exch_ms` in whole seconds, with the time at which the order was made, whatever the message says of it:
it tells nothing of the time of a change, so that there is one clock, the receiver's.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from flowhft.errors import RecordingError
from flowhft.recordings.bitstamp.book import CREATED, RESTS, STUCK_NS, follow_orders
from flowhft.recordings.book import mid_at, standing_book, top_of_every_message
from flowhft.recordings.checks.rules import (
    LARGEST,
    YEAR_2000_MS,
    YEAR_2100_MS,
    Check,
    Keeper,
    not_back,
    not_null,
    outside,
    plus_minus,
    positive,
)
from flowhft.recordings.checks.summary import TRUSTED_AGREEMENT
from flowhft.recordings.described import Guess, identified
from flowhft.recordings.files import ROW, read_columns, same_scale
from flowhft.recordings.orders import level_events
from flowhft.recordings.reader import Options, Reader
from flowhft.recordings.source import Chunk, Source, counted_in
from flowhft.recordings.ticks import ADD, BUY, FILL, ORDER, SELL, TRADE, Finding, make_events

FILE = re.compile(r"(?:(?P<symbol>[A-Za-z0-9]+)_)?(?P<part>events|trades|snapshots\d+)\.parquet")
EVENTS_COLUMNS = ("local_ms", "order_id", "price", "volume", "action", "side")
TRADES_COLUMNS = ("local_ms", "trade_id", "price", "volume")
UNNAMED = "bitstamp"  # what a session is called whose files carry no symbol
TICK, LOT = 0.01, 1e-8  # USD and BTC that the files count in
MATCH_NS = 5 * 10**9  # a trade and the change of an order that it made arrive within

MILLISECONDS = Check(
    "local_ms",
    "be milliseconds since 1970, in the years 2000 to 2100",
    outside("local_ms", YEAR_2000_MS, YEAR_2100_MS),
    "drop",
)
EVENTS_CHECKS = (
    *not_null(*EVENTS_COLUMNS),
    MILLISECONDS,
    plus_minus("side"),
    *positive("price", "order_id"),
    Check("action", "be 1 (created), 2 (changed) or 3 (deleted)", ~pl.col("action").is_in([1, 2, 3]), "drop"),
    Check("volume", "be 0 (gone) or more and at most 2^53", outside("volume", 0, LARGEST), "drop"),
    not_back("local_ms"),
    Check(
        "order_id",
        "be created once: this is a duplicate",
        (pl.col("action") == CREATED) & pl.struct("order_id", "action").is_first_distinct().not_(),
        "drop",
    ),
)
TRADES_CHECKS = (
    *not_null(*TRADES_COLUMNS),
    MILLISECONDS,
    *positive("price", "volume"),
    Check("trade_id", "be unique", pl.col("trade_id").is_first_distinct().not_(), "drop"),
    not_back("local_ms"),
)


class _Session:
    """The files of a session, in memory: orders that rested before it are known by later messages."""

    def __init__(self, folder: Path, symbol: str, repair: bool) -> None:
        self.findings: list[Finding] = []
        start = f"{symbol}_" if symbol else ""
        self.path = folder / f"{start}events.parquet"
        trades = folder / f"{start}trades.parquet"
        self.events = self._read(self.path, EVENTS_COLUMNS, EVENTS_CHECKS, repair)
        self.trades = self._read(trades, TRADES_COLUMNS, TRADES_CHECKS, repair)
        same_scale(self.trades["price"], trades, self.events["price"], self.path)
        self.files = [self.path, trades]
        result = sorted(
            folder.glob(f"{start}snapshots*.parquet"), key=lambda path: (len(path.name), path.name)
        )
        self.snapshots = None
        if result:
            path = result[-1]
            self.files.append(path)
            levels = int(re.sub(r"\D", "", path.stem.removeprefix(start)) or 0)
            columns = ["local_ms"] + [
                f"{side}_{what}_{level}"
                for level in range(1, levels + 1)
                for side in ("bid", "ask")
                for what in ("px", "sz")
            ]
            checks = (*not_null(*columns), MILLISECONDS, not_back("local_ms"))
            self.snapshots = self._read(path, columns, checks, repair)
            same_scale(self.snapshots["bid_px_1"], path, self.events["price"], self.path)

    def _read(
        self, path: Path, columns: Sequence[str], checks: Sequence[Check], repair: bool
    ) -> pl.DataFrame:
        keeper = Keeper(checks, path, repair)
        table = pl.concat([keeper.hold(table) for table in read_columns(path, columns)])
        self.findings += keeper.findings()
        return table

    def chunk(self) -> Chunk:
        """Return the session as one chunk."""
        table = self.events
        ids, order = np.unique(table["order_id"].to_numpy(), return_inverse=True)
        prices, level = np.unique(table["price"].to_numpy(), return_inverse=True)
        if self.snapshots is not None:
            shown = [self.snapshots.select(f"^{side}_px_.*$").row(0) for side in ("bid", "ask")]
            prices = np.union1d(prices, np.concatenate(shown).astype(np.int64))
            level = np.searchsorted(prices, table["price"].to_numpy())
        time = table["local_ms"].to_numpy() * 1_000_000
        side, volume = table["side"].to_numpy(), table["volume"].to_numpy()
        action = table["action"].to_numpy()

        # Orders that nobody saw created rested before: with what remained when they were first told of.
        _, first = np.unique(order, return_index=True)
        rested = first[(action[first] != CREATED) & (volume[first] > 0)]
        room = len(ids) + 2 * len(prices)  # behind the venue's orders: a lump a side and level
        quantity, state = np.zeros(room, np.int64), np.zeros(room, np.int64)
        slot, since = np.zeros(room, np.int64), np.zeros(room, np.int64)
        total, best = np.zeros((2, len(prices)), np.int64), np.array([-1, len(prices)])
        quantity[order[rested]], state[order[rested]] = volume[rested], RESTS
        own = (side[rested] < 0).astype(np.int64)
        slot[order[rested]] = 2 * level[rested] + own
        np.add.at(total, (own, level[rested]), volume[rested])
        held = [np.flatnonzero(total[number] > 0) for number in (0, 1)]
        best[:] = (held[0].max(initial=-1), held[1].min(initial=len(prices)))

        columns = [np.ascontiguousarray(column) for column in (time, order, level, side, volume, action)]
        size = 3 * len(time) + len(rested) + room
        source, kind, who, left, traded = (np.empty(size, np.int64) for _ in range(5))

        def follow(rows: slice) -> int:
            count, stale, odd = follow_orders(  # type: ignore[call-arg]
                *(column[rows] for column in columns), quantity, state, slot, total, best,
                source, kind, who, left, traded, since,
            )  # fmt: skip
            self.stale += stale
            self.odd += odd
            return count

        self.stale = self.odd = 0
        begin = 0
        if self.snapshots is not None:
            opens = int(self.snapshots["local_ms"][0]) * 1_000_000
            begin = int(np.searchsorted(time, opens, side="right"))
            follow(slice(0, begin))
            self._add_lumps(prices, quantity, state, slot, total, best, len(ids))
        else:
            opens = int(time[0])
        standing = np.flatnonzero(state == RESTS)
        names = np.concatenate([ids, -1 - np.arange(2 * len(prices))])
        opening = self._orders(
            np.full(len(standing), ADD), standing, quantity[standing], 0, opens, 0, names, prices, slot
        )
        rows = slice(begin, None)
        count = follow(rows)
        row = begin + source[:count]
        changes = self._orders(
            kind[:count], who[:count], left[:count], traded[:count], time[row], table[ROW].to_numpy()[row],
            names, prices, slot,
        )  # fmt: skip
        orders = np.concatenate([opening[np.argsort(opening["order_id"], kind="stable")], changes])
        depth = level_events(orders)
        book = standing_book(depth[: len(opening)])
        events = np.concatenate([book, self._trades(changes, depth, opens), depth[len(opening) :]])
        events = events[np.argsort(events["local_time_ns"], kind="stable")]
        self._facts(depth, len(rested))
        return Chunk(events, orders)

    def _add_lumps(
        self, prices: np.ndarray, quantity: np.ndarray, state: np.ndarray, slot: np.ndarray,
        total: np.ndarray, best: np.ndarray, known: int,
    ) -> None:  # fmt: skip
        """Let lumps take up what the first snapshot shows beyond the orders that are known."""
        shown_ = self.snapshots
        if shown_ is None:
            return
        for own, name in enumerate(("bid", "ask")):
            price = np.array(shown_.select(f"^{name}_px_.*$").row(0), np.int64)
            shown = np.array(shown_.select(f"^{name}_sz_.*$").row(0), np.int64)
            level = np.searchsorted(prices, price[price > 0])
            lump = shown[price > 0] - total[own, level]
            at = 2 * level[lump > 0] + own
            quantity[known + at], state[known + at], slot[known + at] = lump[lump > 0], RESTS, at
            total[own, level] += np.maximum(lump, 0)
            held = np.flatnonzero(total[own] > 0)
            best[own] = held.max(initial=-1) if own == 0 else held.min(initial=len(prices))

    def _orders(
        self, kind: np.ndarray, who: np.ndarray, left: np.ndarray, traded: np.ndarray | int,
        time: np.ndarray | int, message: np.ndarray | int, names: np.ndarray, prices: np.ndarray,
        slot: np.ndarray,
    ) -> np.ndarray:  # fmt: skip
        orders = np.empty(len(who), ORDER)
        orders["kind"], orders["quantity"], orders["executed"] = kind, left, traded
        orders["order_id"] = names[who]
        orders["price"] = prices[slot[who] // 2]
        orders["side"] = np.where(slot[who] % 2 == 0, BUY, SELL)
        orders["exchange_time_ns"] = orders["local_time_ns"] = time
        orders["message"] = message
        return orders

    def _trades(self, changes: np.ndarray, depth: np.ndarray, opens: int) -> np.ndarray:
        """Return the trades as events: their side is that of whoever met the order that they changed."""
        trades = self.trades.filter(pl.col("local_ms") * 1_000_000 >= opens)
        time = trades["local_ms"].to_numpy() * 1_000_000
        price, volume = trades["price"].to_numpy(), trades["volume"].to_numpy()
        fills = changes[changes["kind"] == FILL]
        side, made = np.zeros(len(time), np.int64), time.copy()
        taken = np.zeros(len(fills), bool)
        start = np.searchsorted(fills["local_time_ns"], time - MATCH_NS)
        end = np.searchsorted(fills["local_time_ns"], time + MATCH_NS)
        for number in range(len(time)):
            near = slice(start[number], end[number])
            fits = (fills["price"][near] == price[number]) & (fills["executed"][near] == volume[number])
            fits &= ~taken[near]
            if fits.any():
                chosen = start[number] + int(np.argmax(fits))
                taken[chosen] = True
                side[number] = -fills["side"][chosen]
                made[number] = min(time[number], fills["exchange_time_ns"][chosen])
        top = top_of_every_message(depth)
        mid = mid_at(top, made - 1)
        self.by_mid = int(np.sum((side == 0) & np.isfinite(mid)))
        side[:] = np.where(side == 0, np.where(price >= mid, BUY, SELL), side)
        return make_events(TRADE, side, made, time, price, volume, trades["trade_id"].to_numpy())

    def _facts(self, depth: np.ndarray, rested: int) -> None:
        """Add what a reader of the recording should know, and how often the book is that of the snapshots."""
        messages = [
            "the venue stamps whole seconds of the time when an order was made: local time stands in for the "
            "exchange's, so latencies read 0 and must be assumed.",
            f"{rested:,} orders rested before the first event and are known by a later one.",
            f"{self.trades.height - self.by_mid:,} of {self.trades.height:,} trades have the side of the "
            f"order that they changed, {self.by_mid:,} that of the mid price before them.",
        ]
        self.findings += [Finding("note", one) for one in messages]
        if self.stale or self.odd:
            self.findings.append(
                Finding(
                    "warning",
                    f"{self.stale:,} orders were taken out of the book since a later order crossed them for "
                    f"{STUCK_NS // 10**9} s: the message of their end is missing. {self.odd:,} messages are "
                    "about orders that were not there.",
                )
            )
        if self.snapshots is None:
            self.findings.append(
                Finding("warning", "no snapshots: the book begins with what its orders tell.")
            )
            return
        top = top_of_every_message(depth)
        when = self.snapshots["local_ms"].to_numpy()[1:] * 1_000_000
        at = np.searchsorted(top.local_time_ns, when, side="right") - 1
        shown = {name: self.snapshots[name].to_numpy()[1:] for name in self.snapshots.columns}
        equal = np.ones(len(at), bool)
        for side, price, size in (
            ("bid", top.best_bid, top.bid_quantity),
            ("ask", top.best_ask, top.ask_quantity),
        ):
            equal &= shown[f"{side}_sz_1"] == size[at]
            equal &= (shown[f"{side}_px_1"] == price[at]) | (size[at] == 0)
        share = float(equal.mean()) if len(equal) else 1.0
        self.findings.append(
            Finding(
                "note" if share >= TRUSTED_AGREEMENT else "warning",
                f"the book of the orders has the best prices and quantities of {int(equal.sum()):,} of "
                f"{len(equal):,} snapshots ({share:.2%}).",
            )
        )


def open_bitstamp(prefix: Path, options: Options) -> Source:
    """Open a Bitstamp session; it is held in memory as a whole.

    Args:
        prefix: the folder's path with the symbol, or with `bitstamp` where the names have none.
        options: of reading.

    Raises:
        RecordingError: a file is missing, damaged, or breaks a rule.
    """
    named = (prefix.parent / f"{prefix.name}_events.parquet").is_file()
    if not named and prefix.name != UNNAMED:
        raise RecordingError(f"must be a Bitstamp session, {BITSTAMP.files}; received none.", prefix)
    session = _Session(prefix.parent, prefix.name if named else "", options.repair)
    result = {
        "venue": "bitstamp",
        "symbol": prefix.name.upper() if named else Guess("BTCUSD", "the files do not say"),
        "tick_size": TICK,
        "lot_size": LOT,
    }
    instrument, findings = identified(prefix, options.instrument, result, session.path)
    source = Source(
        instrument,
        files=tuple(session.files),
        chunks=_chunks(session),
        findings=session.findings,
    )
    source.findings.extend(findings)
    return counted_in(source, TICK, LOT)


def _chunks(session: _Session) -> Iterator[Chunk]:
    yield session.chunk()


def _session_of(path: Path) -> Path | None:
    match = FILE.fullmatch(path.name)
    if match is None:
        return None
    symbol = match["symbol"]
    if not path.with_name(f"{symbol}_events.parquet" if symbol else "events.parquet").is_file():
        return None  # trades of another venue
    return path.with_name(symbol or UNNAMED)


BITSTAMP = Reader(
    "bitstamp",
    "[SYMBOL_]events.parquet with [SYMBOL_]trades.parquet and [SYMBOL_]snapshots<LEVELS>.parquet",
    "Bitstamp single orders, trades and snapshots",
    _session_of,
    open_bitstamp,
)
