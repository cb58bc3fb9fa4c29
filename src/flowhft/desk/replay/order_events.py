"""From single orders to what hftbacktest's queue of single orders reads.

The library matches an order of ours where the execution of a recorded order shows that it stood before it.
Two things it does not do by itself, and they are added here as an order of the other side that comes and goes
in the same instant: fill an order of ours that was better than every recorded one, and fill one that a hidden
order's execution shows to have been passed by.
"""

import numpy as np
from numba import njit

from flowhft.desk.replay.events import rank_prices
from flowhft.errors import DataError, MissingExtraError
from flowhft.recordings.ticks import ADD, BUY, FILL, ORDER, TRADE, Recording

try:
    from hftbacktest.types import (
        ADD_ORDER_EVENT,
        BUY_EVENT,
        CANCEL_ORDER_EVENT,
        EXCH_EVENT,
        FILL_EVENT,
        MODIFY_ORDER_EVENT,
        SELL_EVENT,
        event_dtype,
    )
except ImportError as cause:
    raise MissingExtraError("hftbacktest", "replay") from cause

HIDDEN = 13  # a kind beside those of the schema: a market order met a hidden one, whose side it has
MOST_EVENTS = 4  # that a change of an order can become

# hftbacktest's numbers, for the compiled loop
_BUY, _SELL = int(EXCH_EVENT | BUY_EVENT), int(EXCH_EVENT | SELL_EVENT)
_ADD, _CANCEL = int(ADD_ORDER_EVENT), int(CANCEL_ORDER_EVENT)
_MODIFY, _FILL = int(MODIFY_ORDER_EVENT), int(FILL_EVENT)


def hidden_executions(recording: Recording) -> np.ndarray:
    """Return the trades that met no order that the recording shows, as rows like those of its orders.

    They are told by the number of their message, where orders and trades carry the same numbers at all.
    """
    trades = recording.events[recording.events["kind"] == TRADE]
    orders = recording.orders if recording.orders is not None else np.zeros(0, ORDER)
    seen = np.isin(trades["message"], orders["message"][orders["kind"] == FILL])
    trades = trades[~seen] if np.any(seen) else trades[:0]
    rows = np.zeros(len(trades), ORDER)
    rows["kind"], rows["side"] = HIDDEN, -trades["side"]
    for name in ("exchange_time_ns", "local_time_ns", "price", "message"):
        rows[name] = trades[name]
    return rows


@njit(cache=True)
def _write(made, count, flag, time, price, quantity, number):  # type: ignore[no-untyped-def]
    """Write one event of the venue and return how many there are now."""
    event = made[count]
    event.ev, event.exch_ts, event.local_ts = flag, time, time
    event.px, event.qty, event.order_id = price, quantity, number
    event.ival, event.fval = 0, 0.0
    return count + 1


@njit(cache=True)
def _next_level(book: np.ndarray, own: int, level: int) -> int:
    """Return the best level from `level` on, away from the mid, that holds anything."""
    step = -1 if own == 1 else 1
    while 0 <= level < book.shape[1] and book[own, level] == 0:
        level += step
    return level


@njit(cache=True)
def _convert(rows, time, prices, level, order, orders, made):  # type: ignore[no-untyped-def]
    """Walk through the changes of orders and write what each is to the venue; return how many were written.

    Args:
        rows: of dtype `ORDER`, hidden executions among them, in order.
        time: exchange times, which never fall.
        prices: distinct ones, rising.
        level: of every row, its price among them.
        order: of every row, its order among the distinct ones.
        orders: number of distinct ones.
        made: room for events.
    """
    book = np.zeros((2, len(prices)), np.int64)  # asks, bids
    held = np.zeros(orders, np.int64)
    best = np.array([len(prices), -1])
    count = 0
    for i in range(len(rows)):
        row = rows[i]
        kind, at, number = row.kind, level[i], order[i] + 1
        own = 1 if row.side == BUY else 0
        flag, against = (_BUY, _SELL) if own == 1 else (_SELL, _BUY)
        away = -1 if own == 1 else 1  # towards worse prices of this side
        if kind in (FILL, HIDDEN):
            # Whoever waited at a better price than the best recorded one was met first.
            reach = prices[at] - away if kind == FILL else prices[at]
            if 0 <= best[own] < len(prices):
                better = prices[best[own]] - away
                reach = max(reach, better) if own == 1 else min(reach, better)
            other = best[1 - own]
            free = not 0 <= other < len(prices) or (prices[other] - reach) * -away > 0
            if free:
                count = _write(made, count, against | _ADD, time[i], reach, 1, orders + 1)
                count = _write(made, count, against | _CANCEL, time[i], reach, 1, orders + 1)
        if kind == HIDDEN:
            continue
        if kind == FILL:
            count = _write(made, count, flag | _FILL, time[i], prices[at], row.executed, number)
        change = row.quantity - held[order[i]]
        held[order[i]] = row.quantity
        book[own, at] += change
        what = _ADD if kind == ADD else _CANCEL if row.quantity == 0 else _MODIFY
        count = _write(made, count, flag | what, time[i], prices[at], row.quantity, number)
        if book[own, at] > 0 and (at - best[own]) * away < 0:
            best[own] = at
        elif book[own, at] == 0 and at == best[own]:
            best[own] = _next_level(book, own, at)
    return count


def order_events(recording: Recording) -> np.ndarray:
    """Return the orders of a recording as hftbacktest's exchange of single orders reads them.

    An order that was never seen to enter stands in a lump at the front of its queue. A level that comes into
    sight only after an order of ours was placed there stands behind this order, which is too kind to us.

    Returns:
        Array of hftbacktest's event type, shape (event,), in the order in which the venue made them.

    Raises:
        DataError: the recording has no single orders.
    """
    if recording.orders is None or len(recording.orders) == 0:
        raise DataError(
            f"`{recording.name}` must hold single orders for the queue model l3_fifo; received levels only. "
            "Use another queue model, for example --replay.queue-model risk_adverse."
        )
    rows = np.concatenate([recording.orders, hidden_executions(recording)])
    rows = rows[np.lexsort((rows["message"], rows["local_time_ns"]))]
    time = np.maximum.accumulate(rows["exchange_time_ns"])
    prices, level = rank_prices(rows["price"])
    numbers, order = np.unique(rows["order_id"], return_inverse=True)
    made = np.empty(MOST_EVENTS * len(rows), event_dtype)  # memory is taken only where it is written
    return made[: _convert(rows, time, prices, level, order, len(numbers), made)]
