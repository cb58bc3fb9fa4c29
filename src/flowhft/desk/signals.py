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
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numba import njit

from flowhft.desk.compiled.compiled import compiled
from flowhft.desk.levels import Levels, clear_levels, open_levels, set_level, with_room
from flowhft.features.book import ACTIVITY_DECAYS, BAND, DECAYS, NAMES, NEAR_TICKS, VOLATILITY_DECAYS
from flowhft.recordings.market_orders import ORDER_WINDOW
from flowhft.recordings.ticks import BUY, DEPTH, SNAPSHOT, TOP, TRADE

STALE_NS = 5 * 10**9  # for which the last best prices stand in while a side is empty
SECOND_NS = 10**9
NEVER = -(2**62)


class SignalState(NamedTuple):
    """What is remembered of a market: arrays, so that compiled functions can change them.

    Attributes:
        published: whether the venue publishes its best prices.
        window_ns: trades of one side closer than this on the venue's clock are one market order.
        whole: whole numbers, see `BEST_BID` and those behind it.
        sums: decayed sums at `CLOCK_NS`, a row each of `FLOW`, `VOLUME`, `RETURN` and `ORDERS`.
        squares: of the moves over whole seconds, ticks^2, and the weight of them; a row a decay.
        levels: of the book.
    """

    published: bool
    window_ns: int
    whole: Int[np.ndarray, " number"]
    sums: Float[np.ndarray, "family decay"]
    squares: Float[np.ndarray, "decay 2"]
    levels: Levels


# What `SignalState.whole` holds. The best prices are those that were known last on both sides.
(
    BEST_BID,
    BEST_ASK,
    BID_LOTS,
    ASK_LOTS,
    TOP_BID,  # what the venue published last
    TOP_ASK,
    TOP_BID_LOTS,
    TOP_ASK_LOTS,
    PENDING,  # whether a message has changed the book since best prices were looked up
    MESSAGE,
    MESSAGE_KIND,
    MESSAGE_NS,
    TRADE_SIDE,
    TRADE_PRICE,
    ORDER_LOTS,  # traded so far by the market order of the last trade
    SECOND_MID,  # twice the mid at `SECOND`
    KNOWN_NS,  # when best prices were first known; `NEVER` before, as all below
    SNAPSHOT_NS,  # when the first snapshot came
    MISSING_NS,  # since when a side is empty
    BEGUN_NS,  # the first event that counts
    CLOCK_NS,  # of the sums
    TRADE_NS,  # of the last trade, on the venue's clock
    SECOND,  # the last whole second of which the mid is known, since 1970
) = range(23)
FLOW, VOLUME, RETURN, ORDERS = range(4)
_FLOWS = NAMES.index("order_flow_imbalance_500ms")
_LAST_TRADE = NAMES.index("last_trade")


def open_signals(
    published: bool, order_window: float = ORDER_WINDOW, levels: Levels | None = None
) -> SignalState:
    """Return what is remembered before anything has arrived, with an empty book.

    Args:
        published: whether the venue publishes its best prices; else depth says what they are.
        order_window: trades of one side closer than this are one market order, seconds.
        levels: with room for those that will come; None for room that `Signals` widens.
    """
    state = SignalState(
        published,
        round(order_window * 1e9),
        np.zeros(SECOND + 1, np.int64),
        np.zeros((ORDERS + 1, len(DECAYS))),
        np.zeros((len(VOLATILITY_DECAYS), 2)),
        open_levels() if levels is None else levels,
    )
    restart(state)
    return state


@compiled
def restart(state: SignalState) -> None:
    """Forget everything: between two sessions of a recording, or two connections, nothing was seen."""
    state.whole[:KNOWN_NS] = 0
    state.whole[KNOWN_NS:] = NEVER
    state.sums[:] = 0.0
    state.squares[:] = 0.0
    clear_levels(state.levels)


@njit
def _passed(whole: np.ndarray, until: int) -> tuple[int, int]:
    """Return how many whole seconds have passed since the last one with a mid, and twice the mid then."""
    if whole[SECOND] == NEVER:
        first = -(-whole[KNOWN_NS] // SECOND_NS)
        return until - first, whole[BEST_BID] + whole[BEST_ASK]
    return until - whole[SECOND], whole[SECOND_MID]


@njit
def _squared(square: float, weight: float, move: float, passed: int, memory: float) -> tuple[float, float]:
    """Return the decayed sum of squared moves and its weight some seconds later: one move, then none."""
    last, kept = math.exp(-(passed - 1) / memory), math.exp(-passed / memory)
    return kept * square + last * move * move, kept * weight + (1.0 - kept) / (1.0 - math.exp(-1.0 / memory))


@njit
def _move_on(state: SignalState, time_ns: int) -> None:
    """Let time pass up to an arrival: sums decay, whole seconds that are over get their mid."""
    whole, sums, squares = state.whole, state.sums, state.squares
    if whole[CLOCK_NS] == NEVER:
        whole[CLOCK_NS] = whole[BEGUN_NS] = time_ns
    elapsed = time_ns - whole[CLOCK_NS]
    if elapsed <= 0:
        return
    until = (time_ns - 1) // SECOND_NS  # what arrives at a whole second counts for it
    if whole[KNOWN_NS] != NEVER:
        passed, twice = _passed(whole, until)
        if passed > 0:
            move = 0.5 * (whole[BEST_BID] + whole[BEST_ASK] - twice)
            for index in range(len(VOLATILITY_DECAYS)):
                squares[index, 0], squares[index, 1] = _squared(
                    squares[index, 0], squares[index, 1], move, passed, VOLATILITY_DECAYS[index]
                )
        if passed > 0 or (passed == 0 and whole[SECOND] == NEVER):
            whole[SECOND], whole[SECOND_MID] = until, whole[BEST_BID] + whole[BEST_ASK]
    for index in range(len(DECAYS)):
        kept = math.exp(-1e-9 * elapsed / DECAYS[index])
        for family in range(sums.shape[0]):
            sums[family, index] *= kept
    whole[CLOCK_NS] = time_ns


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
        _move_on(state, whole[MESSAGE_NS])
        whole[KNOWN_NS] = whole[MESSAGE_NS]
    elif bid != old_bid or ask != old_ask or bid_lots != old_bid_lots or ask_lots != old_ask_lots:
        _move_on(state, whole[MESSAGE_NS])
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
            if whole[SNAPSHOT_NS] == NEVER:
                whole[SNAPSHOT_NS] = event.local_time_ns
        set_level(state.levels, side, event.price if side == 0 else -event.price, event.quantity)
    whole[MESSAGE], whole[MESSAGE_KIND] = event.message, event.kind
    if (event.kind == TOP) == state.published:
        whole[PENDING], whole[MESSAGE_NS] = 1, event.local_time_ns


@njit
def _take_trade(state: SignalState, event: Any) -> None:
    """Count a trade; those of one market order count as the root of all its lots."""
    whole, sums = state.whole, state.sums
    _move_on(state, event.local_time_ns)
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
def _found(keys: np.ndarray, held: int, key: float) -> int:
    """Return the first of the levels whose key is not below."""
    low, high = 0, held
    while low < high:
        middle = (low + high) // 2
        if keys[middle] < key:
            low = middle + 1
        else:
            high = middle
    return low


@njit
def _lots_behind(levels: Levels, side: int, best: int, edge: float) -> float:
    """Return the lots of a side from an edge up to its best price, that price left out; all as keys."""
    keys, quantities = levels.keys[side], levels.quantities[side]
    first, stop = _found(keys, levels.held[side], edge), _found(keys, levels.held[side], float(best))
    lots = 0
    for held in quantities[first:stop]:  # a walk over a slice runs on several levels at once
        lots += held
    return float(lots)


@njit
def _imbalance(bid: float, ask: float) -> float:
    return (bid - ask) / (bid + ask)


@compiled
def write_signals(state: SignalState, time_ns: int, out: Float[np.ndarray, " signal"]) -> None:
    """Write the signals at a decision; nothing that is remembered changes.

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
    passed, twice = _passed(whole, time_ns // SECOND_NS)
    for index in range(len(VOLATILITY_DECAYS)):
        square, weight = state.squares[index, 0], state.squares[index, 1]
        if passed > 0:
            move = 0.5 * (bid + ask - twice)
            square, weight = _squared(square, weight, move, passed, VOLATILITY_DECAYS[index])
        if weight > 0.0:
            out[at + 4 + index] = math.sqrt(square / weight)
    out[at + 6], out[at + 7] = math.log(bid_lots), math.log(ask_lots)
    if whole[SNAPSHOT_NS] != NEVER:
        reach = BAND * mid
        bids = bid_lots + _lots_behind(state.levels, 0, bid, mid - reach)
        asks = ask_lots + _lots_behind(state.levels, 1, -ask, -mid - reach)
        out[1] = _imbalance(bids, asks)
        out[at + 8], out[at + 9] = math.log(bids), math.log(asks)
        near_bids = bid_lots + _lots_behind(state.levels, 0, bid, float(bid - NEAR_TICKS))
        near_asks = ask_lots + _lots_behind(state.levels, 1, -ask, float(-ask - NEAR_TICKS))
        out[2] = _imbalance(near_bids, near_asks)


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
