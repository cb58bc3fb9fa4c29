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
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from flowhft.errors import RecordingError
from flowhft.recordings.book import agreement, rebuild
from flowhft.recordings.files import metadata_of, read_columns, same_scale, scale_of
from flowhft.recordings.ticks import (
    BUY,
    DEPTH,
    SELL,
    SNAPSHOT,
    TOP,
    TRADE,
    Finding,
    Recording,
    make_events,
)
from flowhft.recordings.validate import (
    BBO_CHECKS,
    BBO_COLUMNS,
    CROSSED,
    DEPTH_CHECKS,
    DEPTH_COLUMNS,
    SNAPSHOT_CHECKS,
    SNAPSHOT_COLUMNS,
    TRADES_CHECKS,
    TRADES_COLUMNS,
    Check,
    chain_checks,
    hold,
)

MARKET_ORDER = 0  # kind of a trade that an order in the book met
KINDS = {1: "insurance fund", 2: "auto-deleveraging", 9: "other"}
# What prices are quoted in: the end of the symbol's first part; longer names before those they end with.
CURRENCIES = ("FDUSD", "USDT", "USDC", "BUSD", "TUSD", "USD", "EUR", "TRY", "BRL", "JPY", "BTC", "ETH", "BNB")
PREFIX = re.compile(r"(spot|usdm|coinm)_([a-z0-9]+(?:_[a-z0-9]+)?)_\d{8}", re.IGNORECASE)
SUSPECT_LATENCY_NS = 10**9  # a median above it: one message with a wrong time may have moved the clock
TRUSTED_AGREEMENT = 0.99  # share of messages below which the rebuilt book earns a warning


class Session(NamedTuple):
    """The tables of a session, of whole numbers, and what was found in them."""

    snapshot: pl.DataFrame
    depth: pl.DataFrame
    trades: pl.DataFrame
    bbo: pl.DataFrame


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


def _known_or_local(exchange: np.ndarray, local: np.ndarray) -> np.ndarray:
    """Return the exchange time, or the local time where the venue told none: its latency then reads 0."""
    return np.where(exchange > 0, exchange, local)


def _clock_offset(tables: Sequence[pl.DataFrame]) -> int:
    """Return what the local clock lacks for the fastest message to take no time; 0 if none is too fast."""
    least = 0
    for table in tables:
        exchange = _exchange_ns(table)
        latency = (table["local_ns"].to_numpy() - exchange)[exchange > 0]
        least = min(least, int(latency.min(initial=0)))
    return -least


def _events(session: Session, offset: int) -> np.ndarray:
    """Return the session as events, from its snapshot on, by corrected local time.

    The snapshot answers a request, so that the depth messages that follow *its* update number may have
    arrived before it did. It is stamped with the earlier of the two. What came before is left out, but for
    the last best prices, which stand at the start. Where local times are equal, trades come before the
    changes of the book that they cause.
    """
    snapshot, depth, trades, bbo = session
    depth_local = depth["local_ns"].to_numpy() + offset
    depth_exchange = _known_or_local(_exchange_ns(depth), depth_local)
    start = min(int(snapshot["local_ns"][0]) + offset, int(depth_local[0]))
    trades_local = trades["local_ns"].to_numpy() + offset
    bbo = bbo.slice(max(0, int((bbo["local_ns"] < start - offset).sum()) - 1))
    bbo_local = np.maximum(bbo["local_ns"].to_numpy() + offset, start)
    tops = [
        make_events(
            TOP,
            side,
            _known_or_local(_exchange_ns(bbo), bbo_local),
            bbo_local,
            bbo[f"{name}_px"].to_numpy(),
            bbo[f"{name}_qty"].to_numpy(),
            bbo["update_id"].to_numpy(),
        )
        for side, name in ((BUY, "bid"), (SELL, "ask"))
    ]
    events = np.concatenate(
        [
            make_events(
                SNAPSHOT,
                snapshot["side"].to_numpy(),
                min(start, int(depth_exchange[0])),
                start,
                snapshot["price"].to_numpy(),
                snapshot["qty"].to_numpy(),
                snapshot["last_update_id"].to_numpy(),
            ),
            make_events(
                TRADE,
                trades["aggressor"].to_numpy(),
                _known_or_local(_exchange_ns(trades), trades_local),
                trades_local,
                trades["price"].to_numpy(),
                trades["qty"].to_numpy(),
                trades["trade_id"].to_numpy(),
            ),
            np.stack(tops, axis=1).reshape(-1),  # bid and ask of one message side by side
            make_events(
                DEPTH,
                depth["side"].to_numpy(),
                depth_exchange,
                depth_local,
                depth["price"].to_numpy(),
                depth["qty"].to_numpy(),
                depth["final_id"].to_numpy(),
            ),
        ]
    )
    order = np.argsort(events["local_time_ns"], kind="stable")
    order = order[np.searchsorted(events["local_time_ns"][order], start) :]
    return events[order]


def _until(session: Session) -> Session:
    """End trades and best prices where the depth ends."""
    end = session.depth["local_ns"].max()
    return session._replace(
        trades=session.trades.filter(pl.col("local_ns") <= end),
        bbo=session.bbo.filter(pl.col("local_ns") <= end),
    )


def _crossed_messages(recording: Recording) -> np.ndarray:
    """Return the update numbers after which the rebuilt book is crossed."""
    top = rebuild(recording)
    return top.message[top.market_spread <= 0]


def read_binance(prefix: Path, *, repair: bool = False) -> Recording:
    """Read a Binance session.

    Exchange times are the matching engine's (`txn_ms`), else the event's (`exch_ms`), else the local time.
    A local clock that runs behind the exchange's is moved forward until the fastest message takes no time,
    which makes latencies relative to that message. Only trades of market orders are kept: insurance fund and
    auto-deleveraging trades meet no order in the book. `message` is the venue's own update or trade number.

    Args:
        prefix: path of the files without `_snapshot.parquet`.
        repair: mend what can be mended, and say so in the findings.

    Raises:
        RecordingError: a file is missing, damaged, or breaks a rule.
    """
    names = names_of(prefix)
    path = {kind: prefix.with_name(f"{prefix.name}_{kind}.parquet") for kind in Session._fields}
    findings: list[Finding] = []

    def held(kind: str, columns: Sequence[str], checks: Sequence[Check]) -> pl.DataFrame:
        table, found = hold(read_columns(path[kind], columns), checks, path[kind], repair)
        findings.extend(found)
        return table

    snapshot = held("snapshot", SNAPSHOT_COLUMNS, SNAPSHOT_CHECKS)
    depth = held("depth", DEPTH_COLUMNS, DEPTH_CHECKS)
    trades = held("trades", TRADES_COLUMNS, TRADES_CHECKS)
    if path["bbo"].is_file():
        bbo = held("bbo", BBO_COLUMNS, BBO_CHECKS)
    else:
        bbo = pl.DataFrame(schema=dict.fromkeys(BBO_COLUMNS, pl.Int64))
        del path["bbo"]
        findings.append(Finding("note", "no `_bbo` file: best prices are rebuilt from the depth."))
    price_scale, quantity_scale = _scales(list(path.values()))
    same_scale(depth["price"], path["depth"], snapshot["price"], path["snapshot"])
    market = trades.filter(pl.col("kind") == MARKET_ORDER)
    same_scale(market["price"], path["trades"], snapshot["price"], path["snapshot"])
    same_scale(bbo["bid_px"], path.get("bbo", prefix), snapshot["price"], path["snapshot"])

    known = int(snapshot["last_update_id"][0])
    depth = depth.filter(pl.col("final_id") >= known)
    if depth.height == 0:
        raise RecordingError(
            f"`final_id` must reach the snapshot's `last_update_id` {known}; none does. The files belong to "
            "different sessions: record them together.",
            path["depth"],
        )
    linked, found = hold(depth, chain_checks(names.venue == "binance-spot", known), path["depth"], repair)
    findings += found
    session = Session(snapshot, linked, market, bbo)
    if linked.height < depth.height:
        session = _until(session)

    offset = _clock_offset(session[1:])

    def recording_of(session: Session) -> Recording:
        return Recording(
            *names,
            1.0 / price_scale,
            1.0 / quantity_scale,
            _events(session, offset),
            clock_offset_ns=offset,
            files=tuple(path.values()),
        )

    recording = recording_of(session)
    crossed = _crossed_messages(recording)
    if len(crossed):
        flagged = session.depth.with_columns(pl.col("final_id").is_in(crossed).alias("crossed"))
        kept, found = hold(flagged, CROSSED, path["depth"], repair)
        findings += found
        session = _until(session._replace(depth=kept))
        recording = recording_of(session)
    findings += _facts(recording, session, trades, names)
    return replace(recording, findings=tuple(findings))


def _facts(recording: Recording, session: Session, trades: pl.DataFrame, names: Names) -> list[Finding]:
    """Return what a reader of the recording should know, errors apart."""
    facts = []
    if recording.clock_offset_ns > 0:
        latency = recording.events["local_time_ns"] - recording.events["exchange_time_ns"]
        usual = float(np.median(latency))
        facts.append(
            Finding(
                "note" if usual < SUSPECT_LATENCY_NS else "warning",
                f"the local clock ran behind the exchange's: {recording.clock_offset_ns / 1e6:,.3f} ms were "
                "added, so that the fastest message takes no time. Latencies are relative to that message; "
                f"their median is {usual / 1e6:,.3f} ms.",
            )
        )
    if np.all(_exchange_ns(session.bbo) == 0) and session.bbo.height:
        facts.append(
            Finding("note", "best prices carry no exchange time: their local time stands in for it.")
        )
    start = recording.events["local_time_ns"][0] - recording.clock_offset_ns
    trades_early, tops_early = (
        int((table["local_ns"] < start).sum()) for table in (session.trades, session.bbo)
    )
    if trades_early or tops_early > 1:
        facts.append(
            Finding(
                "note",
                f"{trades_early:,} trades and {max(0, tops_early - 1):,} best prices that arrived before "
                "the book was known are left out.",
            )
        )
    for kind, count in trades.filter(pl.col("kind") != MARKET_ORDER)["kind"].value_counts(sort=True).rows():
        what = KINDS.get(kind, f"kind {kind}")
        facts.append(Finding("note", f"{count:,} trades of no market order ({what}) are left out."))
    if names.venue == "binance-coinm":
        facts.append(
            Finding(
                "warning",
                "an inverse contract: lots are contracts of a fixed value in USD, settled in the coin.",
            )
        )
    if session.bbo.height:
        equal, compared = agreement(recording)
        share = equal / compared if compared else 1.0
        facts.append(
            Finding(
                "note" if share >= TRUSTED_AGREEMENT else "warning",
                f"the rebuilt book has the venue's best prices and quantities after {equal:,} of "
                f"{compared:,} depth messages ({share:.2%}).",
            )
        )
    return facts
