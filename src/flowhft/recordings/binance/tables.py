"""What a Binance session is made of: its tables, what was traded, and the words for its kinds of trades."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import polars as pl

from flowhft.recordings.checks.validate import BBO_CHECKS, DEPTH_CHECKS, SNAPSHOT_CHECKS, TRADES_CHECKS
from flowhft.recordings.instrument import Instrument

CHECKS = {"snapshot": SNAPSHOT_CHECKS, "depth": DEPTH_CHECKS, "trades": TRADES_CHECKS, "bbo": BBO_CHECKS}
MARKET_ORDER = 0  # kind of a trade that an order in the book met
INSURANCE, LIQUIDATED, OTHER = 1, 2, 9
KINDS = {INSURANCE: "insurance fund", LIQUIDATED: "auto-deleveraging", OTHER: "other"}


class Tables(NamedTuple):
    """The tables of a session.

    Attributes:
        market: a key of `CHAINS`: how its depth messages are linked.
        instrument: what was traded.
        path: table, a key of `CHECKS` -> the file it comes from; one that is missing has no key.
        read: yields a table in chunks of whole numbers, in ticks and lots, with the column `ROW`.
    """

    market: str
    instrument: Instrument
    path: Mapping[str, Path]
    read: Callable[[str], Iterator[pl.DataFrame]]
