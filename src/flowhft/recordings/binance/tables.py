"""What a Binance session is made of: its tables, what was traded, and the words for its kinds of trades."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import polars as pl

from flowhft.errors import RecordingError
from flowhft.recordings.checks.validate import BBO_CHECKS, DEPTH_CHECKS, SNAPSHOT_CHECKS, TRADES_CHECKS

CHECKS = {"snapshot": SNAPSHOT_CHECKS, "depth": DEPTH_CHECKS, "trades": TRADES_CHECKS, "bbo": BBO_CHECKS}
MARKET_ORDER = 0  # kind of a trade that an order in the book met
INSURANCE, LIQUIDATED, OTHER = 1, 2, 9
KINDS = {INSURANCE: "insurance fund", LIQUIDATED: "auto-deleveraging", OTHER: "other"}
# What prices are quoted in: the end of the symbol's first part; longer names before those they end with.
CURRENCIES = ("FDUSD", "USDT", "USDC", "BUSD", "TUSD", "USD", "EUR", "TRY", "BRL", "JPY", "BTC", "ETH", "BNB")


class Names(NamedTuple):
    """Where it was traded, what, and the unit of its prices."""

    venue: str
    symbol: str
    currency: str


class Tables(NamedTuple):
    """The tables of a session.

    Attributes:
        market: a key of `CHAINS`: how its depth messages are linked.
        names: of what was traded.
        tick_size: price of a tick.
        lot_size: quantity of a lot.
        path: table, a key of `CHECKS` -> the file it comes from; one that is missing has no key.
        read: yields a table in chunks of whole numbers, in ticks and lots, with the column `ROW`.
    """

    market: str
    names: Names
    tick_size: float
    lot_size: float
    path: Mapping[str, Path]
    read: Callable[[str], Iterator[pl.DataFrame]]


def names_of(market: str, symbol: str, path: Path) -> Names:
    """Return venue, symbol and currency of a market, a key of `CHAINS`, and a symbol.

    Raises:
        RecordingError: the symbol ends with no currency known.
    """
    symbol = symbol.upper()
    pair = symbol.split("_")[0]
    currency = next((name for name in CURRENCIES if pair.endswith(name)), None)
    if currency is None:
        raise RecordingError(
            f"the symbol must end with one of {', '.join(CURRENCIES)}; received {symbol}. Rename the files.",
            path,
        )
    return Names(f"binance-{market}", symbol, currency)
