"""The order book of a recording: rebuilt level by level, and its best prices.

Books come as *absolute* quantities: an event says what a level holds now, 0 that it is gone. A book is
therefore the last quantity of every level since the last snapshot, which makes a rebuild exact and cheap.
"""

from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from numba import njit

from flowhft.errors import require
from flowhft.recordings.ticks import BUY, DEPTH, SELL, SNAPSHOT, TOP, Recording

DENSE = 4  # ticks of range an event up to which empty prices in between cost less than finding those met
MARKED = 32  # the same, up to which they are found in a table of the range; of a wider one they are sorted

Integers = Int[np.ndarray, " sample"]


class TopOfBook(NamedTuple):
    """The best bid and ask, one row a change, in the order of arrival.

    Attributes:
        local_time_ns: when it was received, corrected local clock.
        exchange_time_ns: when the venue's engine made it.
        best_bid: ticks; means nothing where `bid_quantity` is 0.
        best_ask: ticks; means nothing where `ask_quantity` is 0.
        bid_quantity: lots at the best bid, 0 where there is no bid.
        ask_quantity: lots at the best ask, 0 where there is no ask.
        message: the message that brought the change.
    """

    local_time_ns: Integers
    exchange_time_ns: Integers
    best_bid: Integers
    best_ask: Integers
    bid_quantity: Integers
    ask_quantity: Integers
    message: Integers

    @property
    def mid_price(self) -> Float[np.ndarray, " sample"]:
        """Return (best_bid + best_ask) / 2 in ticks (half ticks exist); NaN where a side is empty."""
        both = (self.bid_quantity > 0) & (self.ask_quantity > 0)
        return np.where(both, 0.5 * (self.best_bid + self.best_ask), np.nan)

    @property
    def market_spread(self) -> Float[np.ndarray, " sample"]:
        """Return best_ask - best_bid in ticks; NaN where a side is empty."""
        both = (self.bid_quantity > 0) & (self.ask_quantity > 0)
        return np.where(both, (self.best_ask - self.best_bid).astype(np.float64), np.nan)


def _changes(top: TopOfBook) -> TopOfBook:
    """Keep the rows in which price or quantity of a best level differs from the row before."""
    changed = np.ones(len(top.message), bool)
    changed[1:] = False
    for values in (top.best_bid, top.best_ask, top.bid_quantity, top.ask_quantity):
        changed[1:] |= values[1:] != values[:-1]
    return TopOfBook(*(values[changed] for values in top))


def ends_message(events: np.ndarray) -> Bool[np.ndarray, " event"]:
    """Whether an event is the last of its message, in events of a book or of its top."""
    ends = np.ones(len(events), bool)
    ends[:-1] = (events["message"][1:] != events["message"][:-1]) | (
        events["kind"][1:] != events["kind"][:-1]
    )
    return ends


def clears_book(events: np.ndarray) -> Bool[np.ndarray, " event"]:
    """Whether an event is the first of a snapshot."""
    ends = ends_message(events)
    first = np.ones(len(events), bool)
    first[1:] = ends[:-1]
    return first & (events["kind"] == SNAPSHOT)


@njit(cache=True)
def _best_levels(clears, side, level, quantity, ends, levels):  # type: ignore[no-untyped-def]
    """Follow both sides over the ranks of all prices; return best rank and quantity at each message's end.

    A pointer a side rests on the best level. It jumps to a better level that appears and walks on only when
    its own level goes, so that the work is a few steps an event however many levels there are.
    """
    messages = int(np.sum(ends))
    best = np.empty((2, messages), np.int64)
    size = np.zeros((2, messages), np.int64)
    bids, asks = np.zeros(levels, np.int64), np.zeros(levels, np.int64)
    best_bid, best_ask, message = -1, levels, 0
    for event in range(len(level)):
        if clears[event]:
            bids[:] = 0
            asks[:] = 0
            best_bid, best_ask = -1, levels
        here = level[event]
        if side[event] > 0:
            bids[here] = quantity[event]
            if quantity[event] > 0:
                best_bid = max(best_bid, here)
            elif here == best_bid:
                while best_bid >= 0 and bids[best_bid] <= 0:
                    best_bid -= 1
        else:
            asks[here] = quantity[event]
            if quantity[event] > 0:
                best_ask = min(best_ask, here)
            elif here == best_ask:
                while best_ask < levels and asks[best_ask] <= 0:
                    best_ask += 1
        if ends[event]:
            best[0, message], best[1, message] = max(best_bid, 0), min(best_ask, levels - 1)
            if best_bid >= 0:
                size[0, message] = bids[best_bid]
            if best_ask < levels:
                size[1, message] = asks[best_ask]
            message += 1
    return best, size


def rank_levels(price: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return prices and the place of each event's price among them: of a narrow range all, else those met."""
    if len(price):
        low, high = int(price.min()), int(price.max())
        if high - low < DENSE * len(price):
            return np.arange(low, high + 1), price - low
        if high - low < MARKED * len(price):
            place = price - low
            met = np.zeros(high - low + 1, bool)
            met[place] = True
            places = np.flatnonzero(met)
            rank = np.empty(len(met), np.int32)  # of which only the places met are written and read
            rank[places] = np.arange(len(places), dtype=np.int32)
            return places + low, rank[place].astype(np.int64)
    prices, level = np.unique(price, return_inverse=True)
    return prices, level.astype(np.int64)


def top_of_every_message(events: np.ndarray) -> TopOfBook:
    """Rebuild the book from events and return its top after every message of depth, changed or not."""
    kinds = events["kind"]
    events = events[(kinds == DEPTH) | (kinds == SNAPSHOT)]
    prices, level = rank_levels(events["price"])
    ends = ends_message(events)
    best, size = _best_levels(
        clears_book(events),
        np.ascontiguousarray(events["side"]),
        level,
        np.ascontiguousarray(events["quantity"]),
        ends,
        len(prices),
    )
    last = events[ends]
    return TopOfBook(
        last["local_time_ns"].copy(),
        last["exchange_time_ns"].copy(),
        prices[best[0]],
        prices[best[1]],
        size[0],
        size[1],
        last["message"].copy(),
    )


def rebuild(recording: Recording) -> TopOfBook:
    """Return the best bid and ask as the snapshot and the depth updates alone make them.

    Args:
        recording: any recording with depth.

    Returns:
        One row a change, in the order of arrival; empty where the recording has no depth.
    """
    return _changes(top_of_every_message(recording.events))


def top_of_book(recording: Recording) -> TopOfBook:
    """Return the best bid and ask as the venue published them, or rebuilt where it published none.

    A venue's own feed of best prices is preferred: on Binance it is pushed at every change, whereas
    depth comes in batches of 100 ms or more.

    Args:
        recording: any recording.

    Returns:
        One row a change, in the order of arrival, from the first moment at which both sides are known.
    """
    events = recording.events[recording.events["kind"] == TOP]
    if len(events) == 0:
        return rebuild(recording)
    # For each event, the latest event of either side up to it; -1 before there is one.
    here = np.arange(len(events))
    bid = np.maximum.accumulate(np.where(events["side"] == BUY, here, -1))
    ask = np.maximum.accumulate(np.where(events["side"] == SELL, here, -1))
    rows = ends_message(events) & (bid >= 0) & (ask >= 0)
    bids, asks, last = events[bid[rows]], events[ask[rows]], events[rows]
    return _changes(
        TopOfBook(
            last["local_time_ns"].copy(),
            last["exchange_time_ns"].copy(),
            bids["price"].copy(),
            asks["price"].copy(),
            bids["quantity"].copy(),
            asks["quantity"].copy(),
            last["message"].copy(),
        )
    )


def mid_at(
    top: TopOfBook, times_ns: Integers, clock: Literal["exchange", "local"] = "exchange"
) -> Float[np.ndarray, " sample"]:
    """Return the last mid price at or before each time.

    Args:
        top: best prices.
        times_ns: shape (sample,), nanoseconds on the clock chosen, in any order.
        clock: "exchange" for what was so at the venue, "local" for what had been received.

    Returns:
        Mids in ticks, shape (sample,); NaN before the first mid and where a side was empty.
    """
    require(clock in ("exchange", "local"), "clock", "be 'exchange' or 'local'", repr(clock))
    stamps = top.exchange_time_ns if clock == "exchange" else top.local_time_ns
    mids = top.mid_price
    if np.any(np.diff(stamps) < 0):  # messages may overtake each other on their way
        order = np.argsort(stamps, kind="stable")
        stamps, mids = stamps[order], mids[order]
    position = np.searchsorted(stamps, np.asarray(times_ns, np.int64), side="right")
    return np.concatenate([[np.nan], mids])[position]


def first_mid(recording: Recording) -> float:
    """Return the first mid price that a recording knows, ticks."""
    mids = top_of_book(recording).mid_price
    return float(mids[np.isfinite(mids)][0])


def book_at(recording: Recording, time_ns: int) -> np.ndarray:
    """Return the full book as it stood just before a local time.

    Args:
        recording: any recording with depth.
        time_ns: corrected local clock, nanoseconds; events at this very time are not in the book.

    Returns:
        What `standing_book` returns.
    """
    events = recording.events
    return standing_book(events[: np.searchsorted(events["local_time_ns"], time_ns)])


def standing_book(events: np.ndarray) -> np.ndarray:
    """Return the full book as events leave it.

    Returns:
        One `SNAPSHOT` event a level, dtype `EVENT`: bids from the best down, then asks from the best up.
        Their times and message are those of the last change before; empty where there was none.
    """
    changes = events[(events["kind"] == DEPTH) | (events["kind"] == SNAPSHOT)]
    cleared = np.flatnonzero(clears_book(changes))
    changes = changes[cleared[-1] :] if len(cleared) else changes
    levels = [_standing(changes, BUY)[::-1], _standing(changes, SELL)]
    book = np.concatenate(levels)
    if len(book):
        for name in ("exchange_time_ns", "local_time_ns", "message"):
            book[name] = changes[name][-1]
    book["kind"] = SNAPSHOT
    return book


def opening(events: np.ndarray) -> np.ndarray:
    """Return the standing book and the venue's last best prices: what events that follow begin from.

    Returns:
        `standing_book`, then the last top of each side, dtype `EVENT`.
    """
    tops = events[events["kind"] == TOP]
    return np.concatenate([standing_book(events), *(tops[tops["side"] == side][-1:] for side in (BUY, SELL))])


def _standing(changes: np.ndarray, side: int) -> np.ndarray:
    """Return the levels of one side that hold something, by rising price, from changes of both."""
    own = np.flatnonzero(changes["side"] == side)
    prices, level = rank_levels(changes["price"][own])
    latest: np.ndarray = np.full(len(prices), -1)
    latest[level] = own  # of one level's changes the last one stays
    latest = latest[latest >= 0]
    return changes[latest[changes["quantity"][latest] > 0]]
