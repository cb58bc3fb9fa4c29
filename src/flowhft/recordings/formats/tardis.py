"""Reads the CSV files of Tardis.dev: incremental depth with snapshots, trades, and quotes or book tickers.

    EXCHANGE_incremental_book_L2_DATE_SYMBOL.csv[.gz]
    EXCHANGE_trades_DATE_SYMBOL.csv[.gz]
    EXCHANGE_quotes_DATE_SYMBOL.csv[.gz] or EXCHANGE_book_ticker_DATE_SYMBOL.csv[.gz]     may be missing

Tick and lot are those of `grid.py`, the currency that of `venues.py`, unless EXCHANGE_DATE_SYMBOL.toml says
otherwise.

Source: Tardis.dev, "CSV data details", docs.tardis.dev/downloadable-csv-files.
"""

import re
from pathlib import Path

from flowhft.errors import RecordingError
from flowhft.recordings.columns import Column
from flowhft.recordings.described import Guess, identified
from flowhft.recordings.formats.feed import open_feed, raw
from flowhft.recordings.formats.feed_depth import Table
from flowhft.recordings.grid import SAMPLE, Grid
from flowhft.recordings.reader import Options, Reader
from flowhft.recordings.source import Source

FILE = re.compile(
    r"(?P<exchange>[a-z0-9-]+)_(?P<part>incremental_book_L2|trades|quotes|book_ticker)"
    r"_(?P<date>\d{4}-\d{2}-\d{2})_(?P<symbol>[^.]+)\.csv(?:\.gz)?"
)
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


def _unit(files: list[Path], what: str) -> Guess:
    """Return the unit of the first prices or amounts of some files; of the depth, if that has any."""
    grid = Grid(what)
    for path in files:
        chunk, match = next(raw(path, SAMPLE)), FILE.fullmatch(path.name)
        of_book = match is None or match["part"] != "trades"
        for name in (what, f"bid_{what}", f"ask_{what}"):
            if name in chunk.columns:
                grid.feed(chunk[name], of_book)
    return grid.unit(files[0])


def open_tardis(prefix: Path, options: Options) -> Source:
    """Open a session of Tardis files.

    Args:
        prefix: the folder's path with EXCHANGE_DATE_SYMBOL.
        options: of reading.

    Raises:
        RecordingError: a file is missing, damaged, or breaks a rule.
    """
    beside = sorted(prefix.parent.iterdir()) if prefix.parent.is_dir() else []
    parts_of = {path: FILE.fullmatch(path.name) for path in beside if _session_of(path) == prefix}
    tables: dict[str, Table] = {}
    files: list[Path] = []
    for kind, (parts, fields) in PARTS.items():
        for part in parts:
            of = tuple(
                path for path, match in parts_of.items() if match is not None and match["part"] == part
            )
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
    result = {
        "venue": exchange,
        "symbol": symbol,
        "tick_size": lambda: _unit(files, "price"),
        "lot_size": lambda: _unit(files, "amount"),
    }
    instrument, findings = identified(prefix, options.instrument, result, files[0])
    source = open_feed(instrument, tables, tuple(files), options)
    source.findings.extend(findings)
    return source


TARDIS = Reader(
    "tardis",
    "EXCHANGE_{incremental_book_L2,trades,quotes,book_ticker}_DATE_SYMBOL.csv[.gz]",
    "Tardis.dev incremental depth, trades and best prices",
    _session_of,
    open_tardis,
)
