"""From a recording to what hftbacktest's matching engine reads: the venue's book and trades, as it made them.

Only the venue's side of the market is converted. What *we* see is not taken from the engine's second,
local book but from `flowhft.replay.tape`, which reads it once for all policies; so every event here is
flagged for the exchange alone, and no two clocks need merging.
"""

import numpy as np
from numba import njit

from flowhft.errors import DataError, MissingExtraError
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
NO_SIDE = 0

FLAGS = {  # hftbacktest's kind for ours; a published top arrives as the changes of depth that it implies
    CLEAR: DEPTH_CLEAR_EVENT,
    DEPTH: DEPTH_EVENT,
    TRADE: TRADE_EVENT,
    TOP: DEPTH_EVENT,
    SNAPSHOT: DEPTH_SNAPSHOT_EVENT,
}


def exchange_order(events: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the order in which the venue made events, and when it made each of them.

    Events stand by exchange time; at equal times trades come first, then what they did to the book,
    then by arrival. (A queue that a trade has eaten into must not shrink before that trade is seen, or
    it would shrink twice.) A snapshot stands before everything that arrived after it, and takes the
    earliest of those times: its own is when it was asked for, and changes may carry an earlier one.

    Returns:
        Indices, shape (event,), and exchange times in ns in that order, which never fall.
    """
    time = events["exchange_time_ns"]
    snapshot = events["kind"] == SNAPSHOT
    time = np.where(snapshot, np.minimum.accumulate(time[::-1])[::-1], time)
    rank = np.where(snapshot, 0, np.where(events["kind"] == TRADE, 1, 2))
    order = np.lexsort((rank, time))
    return order, time[order]


@njit(cache=True)
def _changes(
    kind: np.ndarray, side: np.ndarray, level: np.ndarray, quantity: np.ndarray, levels: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Walk through events in exchange order and say what each does to the book.

    Args:
        kind: column of the events.
        side: column of the events.
        level: rank of each event's price among the distinct prices, from 0.
        quantity: column of the events, lots.
        levels: number of distinct prices.

    Returns:
        For every change: the event that it comes from, its level, its side and the new quantity.
    """
    size = 2 * len(kind)  # a level is removed at most once after it was set
    source = np.empty(size, np.int64)
    at = np.empty(size, np.int64)
    on = np.empty(size, np.int64)
    new = np.empty(size, np.int64)
    book = np.zeros((2, levels), np.int64)  # asks, bids
    bound = np.array([levels, -1])  # no ask is below, no bid above
    count = 0
    for i in range(len(kind)):
        if kind[i] == CLEAR:
            book[:] = 0
            bound[0], bound[1] = levels, -1
        own = 1 if side[i] == BUY else 0
        price = level[i]
        if kind[i] == TOP:
            if quantity[i] == 0:
                continue  # no best price is no price: the depth says which levels went
            if bound[own] == price and book[own, price] == quantity[i]:
                continue  # only the other side of the message is news
            # Better levels of this side are gone, and so are those of the other side that it would cross.
            for both in range(2):
                step = -1 if both == 1 else 1
                stop = price if both == own else price + step
                gone = bound[both]
                while (gone - stop) * step < 0:
                    if book[both, gone] > 0:
                        book[both, gone] = 0
                        source[count], at[count], on[count], new[count] = i, gone, 2 * both - 1, 0
                        count += 1
                    gone += step
                bound[both] = gone
        if kind[i] != CLEAR and kind[i] != TRADE:
            book[own, price] = quantity[i]
            if quantity[i] > 0:
                bound[own] = max(bound[own], price) if own == 1 else min(bound[own], price)
        source[count], at[count], on[count], new[count] = i, price, side[i], quantity[i]
        count += 1
    return source[:count], at[:count], on[:count], new[:count]


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
    if not np.any(events["kind"] == SNAPSHOT):
        raise DataError(
            f"`{recording.name}` must hold a snapshot of the full book, or no order has a place in a queue; "
            f"received none in {len(events):,} events. Record one at the start."
        )
    order, time = exchange_order(events)
    events = events[order]
    before = np.concatenate([events[:1], events[:-1]])
    fresh = (before["kind"] != SNAPSHOT) | (before["message"] != events["message"])
    fresh[0] = True
    fresh = np.flatnonzero(fresh & (events["kind"] == SNAPSHOT))
    clear = events[fresh]
    clear["kind"], clear["side"], clear["quantity"] = CLEAR, NO_SIDE, 0
    events, time = np.insert(events, fresh, clear), np.insert(time, fresh, time[fresh])

    prices, level = np.unique(events["price"], return_inverse=True)
    source, at, side, quantity = _changes(
        events["kind"].copy(), events["side"].copy(), level, events["quantity"].copy(), len(prices)
    )
    flags = np.zeros(max(FLAGS) + 1, np.uint64)
    flags[list(FLAGS)] = list(FLAGS.values())
    sides = np.array([SELL_EVENT, 0, BUY_EVENT], np.uint64)
    made = np.zeros(len(source), event_dtype)
    made["ev"] = np.uint64(EXCH_EVENT) | flags[events["kind"][source]] | sides[side + 1]
    made["exch_ts"] = made["local_ts"] = time[source]
    made["px"] = prices[at]
    made["qty"] = quantity
    return made
