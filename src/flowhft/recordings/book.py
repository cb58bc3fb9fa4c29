"""The order book of a recording: rebuilt level by level, and its best prices.

Books come as *absolute* quantities: an event says what a level holds now, 0 that it is gone. A book is
therefore the last quantity of every level since the last snapshot, which makes a rebuild exact and cheap.
"""

from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from numba import njit

from flowhft.errors import require
from flowhft.recordings import long_arrays
from flowhft.recordings.long_arrays import Pile, count_before, pieces, whole_messages
from flowhft.recordings.ticks import BUY, DEPTH, EVENT, SELL, SNAPSHOT, TOP, Recording

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


def _changes(parts: Iterable[TopOfBook]) -> Iterator[TopOfBook]:
    """Keep the rows in which price or quantity of a best level differs from the row before."""
    before: tuple[int, ...] | None = None
    for top in parts:
        if not len(top.message):
            continue
        changed = np.zeros(len(top.message), bool)
        compared = (top.best_bid, top.best_ask, top.bid_quantity, top.ask_quantity)
        for values in compared:
            changed[1:] |= values[1:] != values[:-1]
        changed[0] = before != tuple(int(values[0]) for values in compared)
        before = tuple(int(values[-1]) for values in compared)
        yield TopOfBook(*(values[changed] for values in top))


def _together(parts: Iterable[TopOfBook]) -> TopOfBook:
    """Return best prices that come in parts as one."""
    columns = [Pile(np.int64) for _ in TopOfBook._fields]
    for top in parts:
        for column, values in zip(columns, top, strict=True):
            column.add(values)
    return TopOfBook(*(column.array() for column in columns))


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
def _best_levels(clears, side, level, quantity, ends, book, bound):  # type: ignore[no-untyped-def]
    """Follow both sides over the ranks of all prices; return best rank and quantity at each message's end.

    `book` holds the quantities of bids and asks by rank, `bound` the best ranks of both; they are changed.

    A pointer a side rests on the best level. It jumps to a better level that appears and walks on only when
    its own level goes, so that the work is a few steps an event however many levels there are.
    """
    messages = int(np.sum(ends))
    best = np.empty((2, messages), np.int64)
    size = np.zeros((2, messages), np.int64)
    bids, asks, levels = book[0], book[1], book.shape[1]
    best_bid, best_ask, message = bound[0], bound[1], 0
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
    bound[0], bound[1] = best_bid, best_ask
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


def _levels_of(events: np.ndarray) -> np.ndarray:
    """Return the prices of long events of a book, rising, others between them where those cost little."""
    met = [rank_levels(part["price"])[0] for part in whole_messages(events, DEPTH, SNAPSHOT)]
    met = [prices for prices in met if len(prices)]
    low, high = min(int(prices[0]) for prices in met), max(int(prices[-1]) for prices in met)
    if high - low < DENSE * len(events):
        return np.arange(low, high + 1)
    return np.unique(np.concatenate(met))


def tops_of_messages(events: np.ndarray) -> Iterator[TopOfBook]:
    """Rebuild the book from events and yield its top after every message of depth, in parts."""
    prices, book, bound = np.zeros(0, np.int64), np.zeros((2, 0), np.int64), np.array([-1, 0])
    for part in whole_messages(events, DEPTH, SNAPSHOT):
        if not len(part):
            continue
        if len(events) <= long_arrays.PIECE:
            prices, level = rank_levels(part["price"])
        else:
            prices = prices if len(prices) else _levels_of(events)
            dense = len(prices) == prices[-1] - prices[0] + 1
            level = part["price"] - prices[0] if dense else np.searchsorted(prices, part["price"])
        if not book.shape[1]:
            book, bound = np.zeros((2, len(prices)), np.int64), np.array([-1, len(prices)])
        ends = ends_message(part)
        best, size = _best_levels(
            clears_book(part),
            np.ascontiguousarray(part["side"]),
            level,
            np.ascontiguousarray(part["quantity"]),
            ends,
            book,
            bound,
        )
        last = part[ends]
        yield TopOfBook(
            last["local_time_ns"].copy(),
            last["exchange_time_ns"].copy(),
            prices[best[0]],
            prices[best[1]],
            size[0],
            size[1],
            last["message"].copy(),
        )


def top_of_every_message(events: np.ndarray) -> TopOfBook:
    """Rebuild the book from events and return its top after every message of depth, changed or not."""
    return _together(tops_of_messages(events))


def rebuild(recording: Recording) -> TopOfBook:
    """Return the best bid and ask as the snapshot and the depth updates alone make them.

    Args:
        recording: any recording with depth.

    Returns:
        One row a change, in the order of arrival; empty where the recording has no depth.
    """
    return _together(_changes(tops_of_messages(recording.events)))


def _published(events: np.ndarray) -> Iterator[TopOfBook]:
    """Yield the venue's best prices after each of its messages, from where both are known on, in parts."""
    known = events[:0]  # the last bid and the last ask of the parts before
    for part in whole_messages(events, TOP):
        before = len(known)
        part = np.concatenate([known, part]) if before else part
        # For each event, the latest event of either side up to it; -1 before there is one.
        here = np.arange(len(part))
        bid = np.maximum.accumulate(np.where(part["side"] == BUY, here, -1))
        ask = np.maximum.accumulate(np.where(part["side"] == SELL, here, -1))
        rows = ends_message(part) & (bid >= 0) & (ask >= 0)
        rows[:before] = False
        bids, asks, last = part[bid[rows]], part[ask[rows]], part[rows]
        yield TopOfBook(
            last["local_time_ns"].copy(),
            last["exchange_time_ns"].copy(),
            bids["price"].copy(),
            asks["price"].copy(),
            bids["quantity"].copy(),
            asks["quantity"].copy(),
            last["message"].copy(),
        )
        known = part[[at for at in (*bid[-1:], *ask[-1:]) if at >= 0]]


def tops_of(recording: Recording) -> Iterator[TopOfBook]:
    """Yield what `top_of_book` returns, in parts."""
    events = recording.events
    published = any((part["kind"] == TOP).any() for part in pieces(events))
    return _changes(_published(events) if published else tops_of_messages(events))


def top_of_book(recording: Recording) -> TopOfBook:
    """Return the best bid and ask as the venue published them, or rebuilt where it published none.

    A venue's own feed of best prices is preferred: on Binance it is pushed at every change, whereas
    depth comes in batches of 100 ms or more.

    Args:
        recording: any recording.

    Returns:
        One row a change, in the order of arrival, from the first moment at which both sides are known.
    """
    return _together(tops_of(recording))


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
    stamps, order = top.exchange_time_ns if clock == "exchange" else top.local_time_ns, None
    if np.any(stamps[1:] < stamps[:-1]):  # messages may overtake each other on their way
        order = np.argsort(stamps, kind="stable")
        stamps = stamps[order]
    row = np.searchsorted(stamps, np.asarray(times_ns, np.int64), side="right") - 1
    mids = np.full(np.shape(row), np.nan)
    known = row >= 0
    row = row[known]
    mids[known] = TopOfBook(*(values[row if order is None else order[row]] for values in top)).mid_price
    return mids


def first_mid(recording: Recording) -> float:
    """Return the first mid price that a recording knows, ticks."""
    mids = np.zeros(0)
    for top in tops_of(recording):
        mids = top.mid_price
        if np.isfinite(mids).any():
            break
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
    return standing_book(events[: count_before(events["local_time_ns"], time_ns)])


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
    if len(events) <= long_arrays.PIECE:
        return _opening(events)
    left: np.ndarray = np.zeros(0, EVENT)
    for part in pieces(events):
        left = left_by(left, part)
    return _opening(left)


def left_by(before: np.ndarray, events: np.ndarray) -> np.ndarray:
    """Return few events that leave book and top as many did.

    The last change of depth stands behind the book that it left, which already has it: so a snapshot that
    follows is told from the one that the book is written as, and clears it.

    Args:
        before: from the events before.
        events: that follow them.
    """
    whole = np.concatenate([before, events])
    changes = whole[(whole["kind"] == DEPTH) | (whole["kind"] == SNAPSHOT)]
    last = changes[-1:]
    return np.concatenate([_opening(whole), last[last["kind"] == DEPTH]])


def _opening(events: np.ndarray) -> np.ndarray:
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
