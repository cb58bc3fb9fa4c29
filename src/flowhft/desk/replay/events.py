"""From a recording to what hftbacktest's matching engine reads: the venue's book and trades, as it made them.

Only the venue's side of the market is converted. What *we* see is not taken from the engine's second,
local book but from `flowhft.desk.replay.tape`, which reads it once for all policies; so every event here is
flagged for the exchange alone, and no two clocks need merging.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Int
from numba import njit

from flowhft.errors import DataError, MissingExtraError
from flowhft.recordings import long_arrays
from flowhft.recordings.long_arrays import pieces, piled
from flowhft.recordings.ticks import BUY, DEPTH, SNAPSHOT, TOP, TRADE, Recording

try:
    from hftbacktest.types import (
        BUY_EVENT,
        DEPTH_CLEAR_EVENT,
        DEPTH_EVENT,
        DEPTH_SNAPSHOT_EVENT,
        EXCH_EVENT,
        SELL_EVENT,
        TRADE_EVENT,
        event_dtype,
    )
except ImportError as cause:
    raise MissingExtraError("hftbacktest", "replay") from cause

CLEAR = 0  # a kind beside those of the tick schema: the whole book is gone

FLAGS = {  # hftbacktest's kind for ours; a published top arrives as the changes of depth that it implies
    CLEAR: DEPTH_CLEAR_EVENT,
    DEPTH: DEPTH_EVENT,
    TRADE: TRADE_EVENT,
    TOP: DEPTH_EVENT,
    SNAPSHOT: DEPTH_SNAPSHOT_EVENT,
}
MOST_DENSE = 1 << 26  # range of prices, ticks, up to which they are ranked by a table of all of them


class InOrder(NamedTuple):
    """Some of the events of a recording, in the order in which the venue made them.

    Attributes:
        place: of each in the recording.
        time_ns: when it was made, never falling.
    """

    place: Int[np.ndarray, " event"]
    time_ns: Int[np.ndarray, " event"]


def exchange_order(events: np.ndarray) -> Iterator[InOrder]:
    """Yield the order in which the venue made events, and when it made each of them, in parts.

    Events stand by exchange time; at equal times trades come first, then what they did to the book,
    then by arrival. (A queue that a trade has eaten into must not shrink before that trade is seen, or
    it would shrink twice.) A snapshot stands before everything that arrived after it, and takes the
    earliest of those times: its own is when it was asked for, and changes may carry an earlier one.
    """
    earliest = [2**62]  # of what arrived after each piece
    for piece in reversed([*pieces(events)]):
        earliest.append(min(earliest[-1], int(piece["exchange_time_ns"].min())))
    held: np.ndarray = np.zeros(0, np.int64)
    keys, last = held, len(earliest) - 2
    for number, piece in enumerate(pieces(events)):
        after = earliest[-2 - number]
        time, kind = piece["exchange_time_ns"], piece["kind"]
        snapshot = kind == SNAPSHOT
        if snapshot.any():
            since = np.minimum.accumulate(np.append(time, after)[::-1])[::-1][:-1]
            time = np.where(snapshot, since, time)
        # Time and rank in one number: events are nearly in order already, which one stable sort makes use of.
        key = 4 * time
        key += np.where(snapshot, 0, np.where(kind == TRADE, 1, 2))
        place: np.ndarray = number * long_arrays.PIECE + np.arange(len(piece))
        if len(held):
            place, key = np.concatenate([held, place]), np.concatenate([keys, key])
        order = np.argsort(key, kind="stable")
        place, key = place[order], key[order]
        # Nothing that follows comes before these.
        ready = len(key) if number == last else int(np.searchsorted(key, 4 * after, side="right"))
        yield InOrder(place[:ready], key[:ready] >> 2)
        held, keys = place[ready:], key[ready:]


class Places(NamedTuple):
    """Distinct prices, and how the place of a price among them is found.

    Attributes:
        prices: rising.
        place: of every price from the first to the last; empty where they lie too far apart for that.
    """

    prices: Int[np.ndarray, " level"]
    place: Int[np.ndarray, " price"]

    def of(self, price: Int[np.ndarray, " event"]) -> Int[np.ndarray, " event"]:
        """Return the places of prices, from 0."""
        if len(self.place):
            return self.place[price - self.prices[0]]
        return np.searchsorted(self.prices, price)


def places_of(price: np.ndarray, more: Int[np.ndarray, " order"] | None = None) -> Places:
    """Return the distinct ones of some prices.

    Args:
        price: ticks, whole numbers of any type.
        more: that are to have a place too.
    """
    some = [price] if more is None or not len(more) else [price, more]
    some = [column for column in some if len(column)]
    if not some:
        return Places(np.zeros(0, np.int64), np.zeros(0, np.int64))
    low, high = min(int(one.min()) for one in some), max(int(one.max()) for one in some)
    parts = (piece.astype(np.int64, copy=False) for one in some for piece in pieces(one))
    if high - low >= MOST_DENSE:
        return Places(np.unique(np.concatenate([np.unique(part) for part in parts])), np.zeros(0, np.int64))
    there = np.zeros(high - low + 1, np.bool_)
    for part in parts:
        there[part - low] = True
    distinct = np.flatnonzero(there)
    place = np.empty(len(there), np.int64)  # memory is taken only where it is written
    place[distinct] = np.arange(len(distinct))
    return Places(distinct + low, place)


def rank_prices(price: Int[np.ndarray, " event"]) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct prices in rising order, and of every event which of them it has, from 0."""
    if len(price) == 0:
        return price, price
    places = places_of(price)
    return places.prices, places.of(price)


@njit(cache=True)
def _convert(
    events: np.ndarray,
    order: np.ndarray,
    time: np.ndarray,
    prices: np.ndarray,
    level: np.ndarray,
    flags: np.ndarray,
    made: np.ndarray,
    book: np.ndarray,
    state: np.ndarray,
) -> int:
    """Walk through events in exchange order and write what each does to the book or trades.

    Args:
        events: of a recording.
        order: in which the venue made them.
        time: when, in that order.
        prices: distinct ones, rising.
        level: in that order, the place of each price among them.
        flags: of hftbacktest, by kind and side (ask, none, bid).
        made: room for hftbacktest's events: a level is removed at most once after it was set.
        book: what the levels hold, asks and bids, before them; it is changed.
        state: the best level of either, the message before, whether that was a snapshot; it is changed.

    Returns:
        How many were written.
    """
    bound = state[:2]  # no ask is below, no bid above
    count = 0
    message = state[2]
    after_snapshot = state[3] != 0
    for i in range(len(order)):
        event = events[order[i]]
        kind, side, quantity, price = event.kind, event.side, event.quantity, level[i]
        if kind == SNAPSHOT and not (after_snapshot and event.message == message):
            book[:] = 0
            bound[0], bound[1] = len(prices), -1
            count = _write(made, count, flags[CLEAR, 1], time[i], prices[price], 0)
        after_snapshot, message = kind == SNAPSHOT, event.message
        own = 1 if side == BUY else 0
        if kind == TOP:
            if quantity == 0:
                continue  # no best price is no price: the depth says which levels went
            if bound[own] == price and book[own, price] == quantity:
                continue  # only the other side of the message is news
            # Better levels of this side are gone, and so are those of the other side that it would cross.
            for both in range(2):
                step = -1 if both == 1 else 1
                stop = price if both == own else price + step
                gone = bound[both]
                while (gone - stop) * step < 0:
                    if book[both, gone] > 0:
                        book[both, gone] = 0
                        count = _write(made, count, flags[TOP, 2 * both], time[i], prices[gone], 0)
                    gone += step
                bound[both] = gone
        if kind != TRADE:
            book[own, price] = quantity
            if quantity > 0:
                bound[own] = max(bound[own], price) if own == 1 else min(bound[own], price)
        count = _write(made, count, flags[kind, side + 1], time[i], prices[price], quantity)
    state[2], state[3] = message, 1 if after_snapshot else 0
    return count


@njit(cache=True)
def _write(made: np.ndarray, count: int, flag: int, time: int, price: int, quantity: int) -> int:
    """Write one event of the venue and return how many there are now."""
    event = made[count]
    event.ev, event.exch_ts, event.local_ts = flag, time, time
    event.px, event.qty = price, quantity
    event.order_id, event.ival, event.fval = 0, 0, 0.0
    return count + 1


def exchange_events(recording: Recording) -> np.ndarray:
    """Return the events of a recording as hftbacktest's exchange reads them.

    Prices are in ticks and quantities in lots, so that the engine runs with a tick and a lot of 1 and
    every number in it is a whole one. Depth, snapshots and trades become themselves. A published top
    of the book becomes the changes that it implies: venues publish it at once but depth in batches
    (every 60 ms in the bundled recording), and without it the book would lag behind the trades.

    Returns:
        Array of hftbacktest's event type, shape (event,), ordered by exchange time.

    Raises:
        DataError: the recording has no snapshot, so that no queue is known.
    """
    events = recording.events
    if not any((part["kind"] == SNAPSHOT).any() for part in pieces(events)):
        raise DataError(
            f"`{recording.name}` must hold a snapshot of the full book, or no order has a place in a queue; "
            f"received none in {len(events):,} events. Record one at the start."
        )
    return piled(_converted(events), event_dtype)


def _converted(events: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the events of a venue, in parts."""
    places = places_of(events["price"])
    flags = np.zeros((max(FLAGS) + 1, 3), np.uint64)
    for kind, flag in FLAGS.items():
        flags[kind] = [EXCH_EVENT | flag | SELL_EVENT, EXCH_EVENT | flag, EXCH_EVENT | flag | BUY_EVENT]
    book = np.zeros((2, len(places.prices)), np.int64)
    state = np.array([len(places.prices), -1, 0, 0])
    for place, time_ns in exchange_order(events):
        level = places.of(events["price"][place])
        # Every event is one, clears the book before it at most, and a level that holds something goes once.
        room = 3 * len(place) + int(np.count_nonzero(book))
        made = np.empty(room, event_dtype)  # memory is taken only where it is written
        count = _convert(events, place, time_ns, places.prices, level, flags, made, book, state)
        yield made[:count]
