"""The signals of a book (`flowhft.features.book`), event by event as they arrive.

    signals = Signals(published=True)
    while trading:
        signals.take(events)                # that have arrived since
        x = signals.observe(time_ns)        # at a decision, float64 (signal,)

Best prices and their sizes are those that the venue publishes (`TOP`), where it does; what stands behind them
comes from its depth. Where it publishes none, depth gives all. A change of the best prices counts when its
message is whole. Decays run on the local clock, from arrival to arrival: what a signal is at a decision does
not depend on when it was asked for before, nor on how events were cut into calls.

What is not known is NaN: all signals before the first best prices (without `TOP`: before the first snapshot);
depth and bands before the first snapshot; the last trade before there was one; activity in the first second;
volatility until a whole second has passed twice. While a side is empty, or bids reach asks, the last best
prices and sizes stay for `STALE_NS`; then all is NaN until both sides are back. The decayed sums count from
the first event on; over a new snapshot they go on, the change of the best prices being one message like
others. Between two sessions nothing was seen: call `restart`.

Source: R. Cont, A. Kukanov and S. Stoikov, "The price impact of order book events", Journal of Financial
Econometrics 12(1), 2014, for order flow imbalance; the rest is defined in `flowhft.features.book`.
"""

import math
from typing import Any

import numpy as np
from jaxtyping import Float
from numba import njit

from flowhft.desk.compiled.compiled import compiled
from flowhft.desk.levels import (
    clear_levels,
    find_level,
    lots_at,
    set_level,
    with_room,
)
from flowhft.desk.signal_state import (
    ASK_LOTS,
    BAND_LOTS_ASK,
    BAND_LOTS_BID,
    BEGUN_NS,
    BEST_ASK,
    BEST_BID,
    BID_LOTS,
    CLOCK_NS,
    EDGE_BID,
    FLOW,
    KNOWN_NS,
    MESSAGE,
    MESSAGE_KIND,
    MESSAGE_NS,
    MISSING_NS,
    NEVER,
    ORDER_LOTS,
    ORDERS,
    PENDING,
    RETURN,
    SECOND_NS,
    SNAPSHOT_NS,
    TOP_ASK,
    TOP_ASK_LOTS,
    TOP_BID,
    TOP_BID_LOTS,
    TRADE_NS,
    TRADE_PRICE,
    TRADE_SIDE,
    VOLUME,
    SignalState,
    move_on,
    open_signals,
    restart,
    seconds_passed,
    squares_after,
)
from flowhft.features.book import ACTIVITY_DECAYS, BAND, DECAYS, NAMES, NEAR_TICKS, VOLATILITY_DECAYS
from flowhft.recordings.market_orders import ORDER_WINDOW
from flowhft.recordings.ticks import BUY, DEPTH, SNAPSHOT, TOP, TRADE

__all__ = ["STALE_NS", "SignalState", "Signals", "open_signals", "restart", "take_signals", "write_signals"]

STALE_NS = 5 * 10**9  # for which the last best prices stand in while a side is empty
_FLOWS = NAMES.index("order_flow_imbalance_500ms")
_LAST_TRADE = NAMES.index("last_trade")


@njit
def _end_message(state: SignalState) -> None:
    """Look up the best prices where a message has changed the book, and count what has changed."""
    whole, sums, levels = state.whole, state.sums, state.levels
    if whole[PENDING] == 0:
        return
    whole[PENDING] = 0
    if state.published:
        bid, ask = whole[TOP_BID], whole[TOP_ASK]
        bid_lots, ask_lots = whole[TOP_BID_LOTS], whole[TOP_ASK_LOTS]
    else:
        if whole[SNAPSHOT_NS] == NEVER:
            return
        at_bid, at_ask = levels.best[0], levels.best[1]
        bid = ask = bid_lots = ask_lots = 0
        if at_bid >= 0 and at_ask >= 0:
            bid, ask = levels.keys[0, at_bid], -levels.keys[1, at_ask]
            bid_lots, ask_lots = levels.quantities[0, at_bid], levels.quantities[1, at_ask]
    if bid_lots <= 0 or ask_lots <= 0 or bid >= ask:
        if whole[MISSING_NS] == NEVER:
            whole[MISSING_NS] = whole[MESSAGE_NS]
        return
    whole[MISSING_NS] = NEVER
    old_bid, old_ask, old_bid_lots, old_ask_lots = whole[:TOP_BID]
    if whole[KNOWN_NS] == NEVER:
        move_on(state, whole[MESSAGE_NS])
        whole[KNOWN_NS] = whole[MESSAGE_NS]
    elif bid != old_bid or ask != old_ask or bid_lots != old_bid_lots or ask_lots != old_ask_lots:
        move_on(state, whole[MESSAGE_NS])
        flow = 0
        if bid >= old_bid:
            flow += bid_lots
        if bid <= old_bid:
            flow -= old_bid_lots
        if ask <= old_ask:
            flow -= ask_lots
        if ask >= old_ask:
            flow += old_ask_lots
        sums[FLOW] += flow
        sums[RETURN] += 0.5 * (bid + ask - old_bid - old_ask)
    whole[BEST_BID], whole[BEST_ASK], whole[BID_LOTS], whole[ASK_LOTS] = bid, ask, bid_lots, ask_lots


@njit
def _take_book(state: SignalState, event: Any) -> None:
    """Let an event of the book, or of its top, change what is known."""
    whole = state.whole
    new = event.message != whole[MESSAGE] or event.kind != whole[MESSAGE_KIND]
    side = 0 if event.side == BUY else 1
    if event.kind == TOP:
        whole[TOP_BID + side], whole[TOP_BID_LOTS + side] = event.price, event.quantity
    else:
        if event.kind == SNAPSHOT:
            if new or whole[SNAPSHOT_NS] == NEVER:
                clear_levels(state.levels)
                whole[BAND_LOTS_BID] = whole[BAND_LOTS_ASK] = 0
            if whole[SNAPSHOT_NS] == NEVER:
                whole[SNAPSHOT_NS] = event.local_time_ns
        key = event.price if side == 0 else -event.price
        if key >= whole[EDGE_BID + side]:
            whole[BAND_LOTS_BID + side] += event.quantity - lots_at(state.levels, side, key)
        set_level(state.levels, side, key, event.quantity)
    whole[MESSAGE], whole[MESSAGE_KIND] = event.message, event.kind
    if (event.kind == TOP) == state.published:
        whole[PENDING], whole[MESSAGE_NS] = 1, event.local_time_ns


@njit
def _take_trade(state: SignalState, event: Any) -> None:
    """Count a trade; those of one market order count as the root of all its lots."""
    whole, sums = state.whole, state.sums
    move_on(state, event.local_time_ns)
    apart = event.exchange_time_ns - whole[TRADE_NS] > state.window_ns
    if apart or event.side != whole[TRADE_SIDE] or whole[TRADE_NS] == NEVER:
        whole[ORDER_LOTS] = 0
        sums[ORDERS] += 1.0
    before = whole[ORDER_LOTS]
    whole[ORDER_LOTS] = before + event.quantity
    sums[VOLUME] += event.side * (math.sqrt(whole[ORDER_LOTS]) - math.sqrt(before))
    whole[TRADE_SIDE], whole[TRADE_NS] = event.side, event.exchange_time_ns
    whole[TRADE_PRICE] = event.price


@compiled
def take_signals(state: SignalState, events: np.ndarray, first: int, until_ns: int) -> int:
    """Take events in the order of their arrival; return the first that was left.

    Args:
        state: that remembers.
        events: of dtype `flowhft.recordings.ticks.EVENT`; whole messages.
        first: of the events to take.
        until_ns: local time of the last event to take.
    """
    whole = state.whole
    taken = len(events)
    for index in range(first, len(events)):
        event = events[index]
        kind = event.kind
        if event.local_time_ns > until_ns:
            taken = index
            break
        if kind == TRADE:
            if event.local_time_ns > whole[MESSAGE_NS]:
                _end_message(state)
            _take_trade(state, event)
        elif kind in (DEPTH, SNAPSHOT) or (kind == TOP and state.published):
            if event.message != whole[MESSAGE] or kind != whole[MESSAGE_KIND]:
                _end_message(state)
            _take_book(state, event)
    _end_message(state)
    return taken


@njit
def _lots_behind(state: SignalState, side: int, best: int, edge: int) -> tuple[float, float]:
    """Return the lots of a side behind its best price, down to an edge and near it; all prices as keys.

    Those down to the edge are kept as they change; only what it has moved over is added up.
    """
    whole, levels = state.whole, state.levels
    keys, quantities, held = levels.keys[side], levels.quantities[side], levels.held[side]
    last = whole[EDGE_BID + side]
    if edge != last:
        new, old = find_level(keys, held, edge), find_level(keys, held, last)
        moved = 0
        for lots in quantities[min(new, old) : max(new, old)]:
            moved += lots
        whole[BAND_LOTS_BID + side] += moved if edge < last else -moved
        whole[EDGE_BID + side] = edge
    at = levels.best[side]
    stop = at if at >= 0 and keys[at] == best else find_level(keys, held, best)
    near, index = 0, stop - 1
    while index >= 0 and keys[index] >= best - NEAR_TICKS:
        near += quantities[index]
        index -= 1
    behind = whole[BAND_LOTS_BID + side]
    while at >= stop and keys[at] >= edge:
        behind -= quantities[at]  # at the best price, or older than it
        at -= 1
    return float(behind), float(near)


@njit
def _imbalance(bid: float, ask: float) -> float:
    return (bid - ask) / (bid + ask)


@compiled
def write_signals(state: SignalState, time_ns: int, out: Float[np.ndarray, " signal"]) -> None:
    """Write the signals at a decision; what they will be at later ones does not depend on it.

    Args:
        state: that has taken all events up to this time, and none after it.
        time_ns: of the decision, on the local clock.
        out: is filled, in the order of `flowhft.features.book.NAMES`, float64.
    """
    whole, sums = state.whole, state.sums
    out[:] = math.nan
    missing = whole[MISSING_NS] != NEVER and time_ns - whole[MISSING_NS] > STALE_NS
    if whole[KNOWN_NS] == NEVER or missing:
        return
    bid, ask = whole[BEST_BID], whole[BEST_ASK]
    bid_lots, ask_lots = float(whole[BID_LOTS]), float(whole[ASK_LOTS])
    mid = 0.5 * (bid + ask)
    out[0] = _imbalance(bid_lots, ask_lots)
    out[3] = 0.5 * (ask - bid) * out[0]
    elapsed = 1e-9 * (time_ns - whole[CLOCK_NS])
    seen = 1e-9 * (time_ns - whole[BEGUN_NS])
    for index in range(len(DECAYS)):
        kept = math.exp(-elapsed / DECAYS[index])
        for family in range(ORDERS):
            out[_FLOWS + family * len(DECAYS) + index] = kept * sums[family, index]
    at = _LAST_TRADE
    if whole[TRADE_NS] != NEVER:
        out[at] = whole[TRADE_PRICE] - mid
    out[at + 1] = math.log(float(ask - bid))
    if seen >= 1.0:
        for place in range(len(ACTIVITY_DECAYS)):
            index = ACTIVITY_DECAYS[place]
            memory = DECAYS[index]
            orders = sums[ORDERS, index] * math.exp(-elapsed / memory)
            out[at + 2 + place] = math.log1p(orders / (memory * (1.0 - math.exp(-seen / memory))))
    passed, twice = seconds_passed(whole, time_ns // SECOND_NS)
    for index in range(len(VOLATILITY_DECAYS)):
        square, weight = state.squares[index, 0], state.squares[index, 1]
        if passed > 0:
            move = 0.5 * (bid + ask - twice)
            square, weight = squares_after(square, weight, move, passed, VOLATILITY_DECAYS[index])
        if weight > 0.0:
            out[at + 4 + index] = math.sqrt(square / weight)
    out[at + 6], out[at + 7] = math.log(bid_lots), math.log(ask_lots)
    if whole[SNAPSHOT_NS] != NEVER:
        reach = BAND * mid
        bids, near_bids = _lots_behind(state, 0, bid, math.ceil(mid - reach))
        asks, near_asks = _lots_behind(state, 1, -ask, math.ceil(-mid - reach))
        out[1] = _imbalance(bid_lots + bids, ask_lots + asks)
        out[2] = _imbalance(bid_lots + near_bids, ask_lots + near_asks)
        out[at + 8], out[at + 9] = math.log(bid_lots + bids), math.log(ask_lots + asks)


class Signals:
    """Follows the signals of a market event by event.

    Args:
        published: whether the venue publishes its best prices; else depth says what they are.
        order_window: trades of one side closer than this are one market order, seconds.
    """

    def __init__(self, published: bool, order_window: float = ORDER_WINDOW) -> None:
        self.state = open_signals(published, order_window)

    def take(self, events: np.ndarray) -> None:
        """Take events that have arrived, in the order of their arrival.

        Args:
            events: of dtype `flowhft.recordings.ticks.EVENT`; whole messages.
        """
        self.state = self.state._replace(levels=with_room(self.state.levels, len(events)))
        take_signals(self.state, events, 0, 2**62)

    def observe(self, time_ns: int) -> Float[np.ndarray, " signal"]:
        """Return the signals at a decision, after all events up to this local time; NaN: not known.

        Args:
            time_ns: of the decision, on the local clock.
        """
        out = np.empty(len(NAMES))
        write_signals(self.state, time_ns, out)
        return out

    def restart(self) -> None:
        """Forget everything, as after a lost connection: nothing is known of what happened meanwhile."""
        restart(self.state)
