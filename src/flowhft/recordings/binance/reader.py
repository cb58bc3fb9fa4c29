"""Reads Binance sessions: snapshot, depth updates, trades and best prices, each a Parquet file.

    PREFIX_snapshot.parquet   the order book at the start (REST)
    PREFIX_depth.parquet      level updates with the chain of update numbers
    PREFIX_trades.parquet     trades with their aggressor
    PREFIX_bbo.parquet        best bid and ask (bookTicker); may be missing

with PREFIX = MARKET_SYMBOL_DATE, MARKET one of spot, usdm, coinm. Numbers are integers; the scales stand in
each file's schema metadata as `price_scale` and `qty_scale`. One tick is 1 / price_scale, one lot
1 / qty_scale, unless they are said to be others.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from flowhft.errors import RecordingError
from flowhft.recordings.binance.session import session_source
from flowhft.recordings.binance.tables import Tables
from flowhft.recordings.checks.validate import BBO_COLUMNS, DEPTH_COLUMNS, SNAPSHOT_COLUMNS, TRADES_COLUMNS
from flowhft.recordings.described import identified
from flowhft.recordings.files import metadata_of, read_columns, scale_of
from flowhft.recordings.reader import Options, Reader
from flowhft.recordings.source import Source, counted_in
from flowhft.recordings.ticks import Finding

COLUMNS = {
    "snapshot": SNAPSHOT_COLUMNS,
    "depth": DEPTH_COLUMNS,
    "trades": TRADES_COLUMNS,
    "bbo": BBO_COLUMNS,
}
FILE = re.compile(r"(?P<prefix>.+)_(?P<part>snapshot|depth|trades|bbo)\.parquet")
PREFIX = re.compile(r"(spot|usdm|coinm)_([a-z0-9]+(?:_[a-z0-9]+)?)_\d{8}", re.IGNORECASE)


def _units(paths: Sequence[Path]) -> tuple[float, float]:
    """Return what prices and quantities count in, the same in all files."""
    results = []
    for path in paths:
        metadata = metadata_of(path)
        results.append(tuple(scale_of(metadata, name, path) for name in ("price_scale", "qty_scale")))
        if results[-1] != results[0]:
            raise RecordingError(
                f"`price_scale` and `qty_scale` must be those of `{paths[0].name}`, {results[0]}; received "
                f"{results[-1]}. Convert the session with one scale.",
                path,
            )
    return 1.0 / results[0][0], 1.0 / results[0][1]


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
    match = PREFIX.fullmatch(prefix.name)
    if match is None:
        raise RecordingError(
            "the prefix must be MARKET_SYMBOL_DATE with MARKET one of spot, usdm, coinm, as "
            f"usdm_btcusdt_20240718; received {prefix.name}. Rename the files.",
            prefix,
        )
    market = match[1].lower()
    path = {kind: prefix.with_name(f"{prefix.name}_{kind}.parquet") for kind in COLUMNS}
    messages = []
    if not path["bbo"].is_file():
        del path["bbo"]
        messages.append(Finding("note", "no `_bbo` file: best prices are rebuilt from the depth."))
    tick, lot = _units(list(path.values()))
    result = {"venue": f"binance-{market}", "symbol": match[2].upper(), "tick_size": tick, "lot_size": lot}
    instrument, findings = identified(prefix, options.instrument, result, path["depth"])

    def read(kind: str) -> Iterator[pl.DataFrame]:
        return read_columns(path[kind], COLUMNS[kind], options.rows)

    source = session_source([Tables(market, instrument, path, read)], list(path.values()), options.repair)
    source.findings.extend([*messages, *findings])
    return counted_in(source, tick, lot)


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
