"""The venue's book as its events make it: what an order finds when it arrives, and what then reaches it.

It is hftbacktest's book, with its ways where a recording contradicts itself: a new best price on one side
that crosses the other moves the best of the other side behind it, while the levels that it passed stay known,
to those who join them, until the recording says otherwise.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int, Int8
from numba import njit

from flowhft.desk.replay.events import places_of
from flowhft.errors import MissingExtraError
from flowhft.recordings.long_arrays import Pile, pieces

try:
    from hftbacktest.types import BUY_EVENT, DEPTH_CLEAR_EVENT, TRADE_EVENT
except ImportError as cause:
    raise MissingExtraError("hftbacktest", "replay") from cause

CHANGED, TRADED, CLEARED = 0, 1, 2  # kinds of events at the venue
BID, ASK = 0, 1
_KIND = 0xFF  # the bits of hftbacktest's flags that hold the kind


class VenueEvents(NamedTuple):
    """What happened at the venue, in the order in which it did.

    Attributes:
        time_ns: never falling.
        kind: `CHANGED` (a level has a new quantity), `TRADED`, `CLEARED`.
        side: `BID` or `ASK`; of a trade, that of its aggressor: `BID` for a buyer.
        level: place of the price in `prices`.
        lots: of the level or the trade.
        prices: ticks, rising.
    """

    time_ns: Int[np.ndarray, " event"]
    kind: Int8[np.ndarray, " event"]
    side: Int8[np.ndarray, " event"]
    level: Int[np.ndarray, " event"]
    lots: Int[np.ndarray, " event"]
    prices: Int[np.ndarray, " level"]


def venue_events(events: np.ndarray, prices: Int[np.ndarray, " order"] | None = None) -> VenueEvents:
    """Return the events of a venue.

    Args:
        events: from `flowhft.desk.replay.events.exchange_events`.
        prices: more that are to have a place among the levels, ticks.
    """
    places = places_of(events["px"], prices)
    columns = [Pile(dtype) for dtype in (np.int64, np.int8, np.int8, np.int64, np.int64)]
    for part in pieces(events):
        kinds = (part["ev"] & np.uint64(_KIND)).astype(np.int64)
        kind = np.select([kinds == TRADE_EVENT, kinds == DEPTH_CLEAR_EVENT], [TRADED, CLEARED], CHANGED)
        side = np.where(part["ev"] & np.uint64(BUY_EVENT), BID, ASK)
        level = places.of(part["px"].astype(np.int64))
        values = (part["exch_ts"], kind, side, level, part["qty"])
        for column, one in zip(columns, values, strict=True):
            column.add(one)
    time_ns, kind, side, level, lots = (np.ascontiguousarray(column.array()) for column in columns)
    return VenueEvents(time_ns, kind, side, level, lots, places.prices)


class VenueBook(NamedTuple):
    """A book over the places of all prices; arrays, so that compiled functions can change them.

    Attributes:
        lots: what every level holds, by side (bid, ask).
        best: place of the best price of each side; -1 for no bid, the number of places for no ask.
        far: the place farthest from the mid that a side has held anything at since it was last empty.
    """

    lots: Int[np.ndarray, "side level"]
    best: Int[np.ndarray, " side"]
    far: Int[np.ndarray, " side"]


def open_book(levels: int) -> VenueBook:
    """Return an empty book over so many places."""
    return VenueBook(np.zeros((2, levels), np.int64), np.array([-1, levels]), np.array([levels, -1]))


@njit
def clear_book(book: VenueBook) -> None:
    """Empty a book."""
    levels = book.lots.shape[1]
    book.lots[:] = 0
    book.best[BID], book.best[ASK] = -1, levels
    book.far[BID], book.far[ASK] = levels, -1


@njit
def _best_from(book: VenueBook, side: int, level: int) -> int:
    """Return the first level of a side that holds anything, from one on and away from the mid."""
    sign = 1 - 2 * side
    while sign * (level - book.far[side]) >= 0:
        if book.lots[side, level] > 0:
            return level
        level -= sign
    return -1 if side == BID else book.lots.shape[1]


@njit
def set_lots(book: VenueBook, side: int, level: int, lots: int) -> int:
    """Give a level a new quantity; return what it held before."""
    sign, other = 1 - 2 * side, 1 - side
    before = book.lots[side, level]
    book.lots[side, level] = lots
    if lots == 0:
        if level == book.best[side]:
            book.best[side] = _best_from(book, side, level - sign)
            if not 0 <= book.best[side] < book.lots.shape[1]:
                book.far[side] = book.lots.shape[1] if side == BID else -1
        return before
    if sign * (level - book.best[side]) > 0:
        book.best[side] = level
        if sign * (level - book.best[other]) >= 0:
            book.best[other] = _best_from(book, other, level + sign)
    if sign * (level - book.far[side]) < 0:
        book.far[side] = level
    return before


@njit
def inside_spread(book: VenueBook, level: int) -> bool:
    """Return whether a price lies between the best ones: no displayed order explains a trade there."""
    known = book.best[BID] >= 0 and book.best[ASK] < book.lots.shape[1]
    return known and book.best[BID] < level < book.best[ASK]
