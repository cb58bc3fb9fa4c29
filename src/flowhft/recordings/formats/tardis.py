"""Reads the CSV files of Tardis.dev: incremental depth with snapshots, trades, and quotes or book tickers.

    EXCHANGE_incremental_book_L2_DATE_SYMBOL.csv[.gz]
    EXCHANGE_trades_DATE_SYMBOL.csv[.gz]
    EXCHANGE_quotes_DATE_SYMBOL.csv[.gz] or EXCHANGE_book_ticker_DATE_SYMBOL.csv[.gz]     may be missing

One tick is the last decimal of the most exact price, one lot that of the most exact amount.

Source: Tardis.dev, "CSV data details", docs.tardis.dev/downloadable-csv-files.
"""

import re
from pathlib import Path

from flowhft.errors import RecordingError
from flowhft.recordings.columns import Column
from flowhft.recordings.files import decimals_of
from flowhft.recordings.formats.feed import Declaration, Table, open_feed, raw
from flowhft.recordings.reader import Options, Reader
from flowhft.recordings.source import Source

FILE = re.compile(
    r"(?P<exchange>[a-z0-9-]+)_(?P<part>incremental_book_L2|trades|quotes|book_ticker)"
    r"_(?P<date>\d{4}-\d{2}-\d{2})_(?P<symbol>[^.]+)\.csv(?:\.gz)?"
)
CURRENCIES = ("USDT", "USDC", "BUSD", "TUSD", "USD", "EUR", "JPY", "BTC", "ETH")
MICROSECONDS = {
    "local_time": Column("local_timestamp", unit="us"),
    "exchange_time": Column("timestamp", unit="us"),
}
TRADED = {"side": Column("side"), "price": Column("price"), "quantity": Column("amount")}
QUOTED = {
    "bid_price": Column("bid_price"),
    "bid_quantity": Column("bid_amount"),
    "ask_price": Column("ask_price"),
    "ask_quantity": Column("ask_amount"),
}
PARTS = {
    "depth": (
        ("incremental_book_L2",),
        {
            **MICROSECONDS,
            **TRADED,
            "side": Column("side", buy="bid", sell="ask"),
            "snapshot": Column("is_snapshot"),
        },
    ),
    "trades": (("trades",), {**MICROSECONDS, **TRADED}),
    "quotes": (("book_ticker", "quotes"), {**MICROSECONDS, **QUOTED}),
}


def _session_of(path: Path) -> Path | None:
    match = FILE.fullmatch(path.name)
    return None if match is None else path.with_name(f"{match['exchange']}_{match['date']}_{match['symbol']}")


def _unit(files: list[Path], names: tuple[str, ...], rows: int) -> float:
    """Return the last decimal of the most exact number in some columns."""
    decimals = 0
    for path in files:
        for chunk in raw(path, rows):
            found = [decimals_of(chunk[name]) for name in names if name in chunk.columns]
            decimals = max(decimals, *found, 0)
    if decimals > 15:
        raise RecordingError(f"must have at most 15 decimals; received {decimals}.", files[0])
    return 1.0 / 10**decimals


def open_tardis(prefix: Path, options: Options) -> Source:
    """Open a session of Tardis files.

    Args:
        prefix: the folder's path with EXCHANGE_DATE_SYMBOL.
        options: of reading.

    Raises:
        RecordingError: a file is missing, damaged, or breaks a rule.
    """
    beside = sorted(prefix.parent.iterdir()) if prefix.parent.is_dir() else []
    found = {path: FILE.fullmatch(path.name) for path in beside if _session_of(path) == prefix}
    tables: dict[str, Table] = {}
    files: list[Path] = []
    for kind, (parts, fields) in PARTS.items():
        for part in parts:
            of = tuple(path for path, match in found.items() if match is not None and match["part"] == part)
            if len(of) > 1:
                raise RecordingError(
                    "must be there once, as .csv or .csv.gz; received both. Keep one.", of[0]
                )
            if of:
                tables[kind] = Table(of, fields)
                files += of
                break
    if "depth" not in tables:
        raise RecordingError(
            f"must have an incremental_book_L2 file ({TARDIS.files}); there is none.", prefix
        )
    exchange, _, symbol = prefix.name.split("_", 2)
    pair = re.sub(r"[^A-Z0-9]", "", symbol.upper().split("_")[0])
    currency = next((name for name in CURRENCIES if pair.endswith(name)), pair[-3:])
    tick_size = _unit(files, ("price", "bid_price", "ask_price"), options.rows)
    lot_size = _unit(files, ("amount", "bid_amount", "ask_amount"), options.rows)
    declared = Declaration(exchange, symbol, currency, tick_size, lot_size, tables)
    return open_feed(declared, tuple(files), options)


TARDIS = Reader(
    "tardis",
    "EXCHANGE_{incremental_book_L2,trades,quotes,book_ticker}_DATE_SYMBOL.csv[.gz]",
    "Tardis.dev incremental depth, trades and best prices",
    _session_of,
    open_tardis,
)
