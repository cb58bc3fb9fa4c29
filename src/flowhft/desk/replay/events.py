"""From a recording to what hftbacktest's matching engine reads: the venue's book and trades, as it made them.

Only the venue's side of the market is converted. What *we* see is not taken from the engine's second,
local book but from `flowhft.desk.replay.tape`, which reads it once for all policies; so every event here is
flagged for the exchange alone, and no two clocks need merging.
"""

import numpy as np
from jaxtyping import Int
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

FLAGS = {  # hftbacktest's kind for ours; a published top arrives as the changes of depth that it implies
    CLEAR: DEPTH_CLEAR_EVENT,
    DEPTH: DEPTH_EVENT,
    TRADE: TRADE_EVENT,
    TOP: DEPTH_EVENT,
    SNAPSHOT: DEPTH_SNAPSHOT_EVENT,
}
MOST_DENSE = 1 << 26  # range of prices, ticks, up to which they are ranked by a table of all of them


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
    kind = events["kind"]
    snapshot = kind == SNAPSHOT
    time = np.where(snapshot, np.minimum.accumulate(time[::-1])[::-1], time)
    rank = np.where(snapshot, 0, np.where(kind == TRADE, 1, 2))
    # Both in one number: events are nearly in order already, which one stable sort makes use of.
    order = np.argsort(4 * time + rank, kind="stable")
    return order, time[order]


def rank_prices(price: Int[np.ndarray, " event"]) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct prices in rising order, and of every event which of them it has, from 0."""
    if len(price) == 0:
        return price, price
    low, high = int(price.min()), int(price.max())
    if high - low >= MOST_DENSE:
        return np.unique(price, return_inverse=True)
    there = np.zeros(high - low + 1, np.bool_)
    there[price - low] = True
    distinct = np.flatnonzero(there)
    rank = np.empty(len(there), np.int64)  # memory is taken only where it is written
    rank[distinct] = np.arange(len(distinct))
    return distinct + low, rank[price - low]


@njit(cache=True)
def _convert(
    events: np.ndarray,
    order: np.ndarray,
    time: np.ndarray,
    prices: np.ndarray,
    level: np.ndarray,
    flags: np.ndarray,
    made: np.ndarray,
) -> int:
    """Walk through events in exchange order and write what each does to the book or trades.

    Args:
        events: of a recording.
        order: in which the venue made them.
        time: when, in that order.
        prices: distinct ones, rising.
        level: of every event, its price among them.
        flags: of hftbacktest, by kind and side (ask, none, bid).
        made: room for hftbacktest's events: a level is removed at most once after it was set.

    Returns:
        How many were written.
    """
    book = np.zeros((2, len(prices)), np.int64)  # asks, bids
    bound = np.array([len(prices), -1])  # no ask is below, no bid above
    count = 0
    message = np.int64(0)
    after_snapshot = False
    for i in range(len(order)):
        event = events[order[i]]
        kind, side, quantity, price = event.kind, event.side, event.quantity, level[order[i]]
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
    snapshots = int(np.sum(events["kind"] == SNAPSHOT))
    if snapshots == 0:
        raise DataError(
            f"`{recording.name}` must hold a snapshot of the full book, or no order has a place in a queue; "
            f"received none in {len(events):,} events. Record one at the start."
        )
    order, time = exchange_order(events)
    prices, level = rank_prices(events["price"])
    flags = np.zeros((max(FLAGS) + 1, 3), np.uint64)
    for kind, flag in FLAGS.items():
        flags[kind] = [EXCH_EVENT | flag | SELL_EVENT, EXCH_EVENT | flag, EXCH_EVENT | flag | BUY_EVENT]
    made = np.empty(2 * len(events) + snapshots, event_dtype)  # memory is taken only where it is written
    return made[: _convert(events, order, time, prices, level, flags, made)]
