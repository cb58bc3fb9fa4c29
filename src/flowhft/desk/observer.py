"""The observer: what a maker knows of the market when it decides, event by event as they arrive.

    observer = Observer(published=True)
    while trading:
        observer.take(events)                  # that have arrived since
        market = observer.observe(time_ns)     # best prices, market orders, intensities at a decision

Nothing is known before it has arrived, on the local clock. The tape of a recording
(`flowhft.desk.replay.tape`) is the fold of this: the same compiled steps over all its events, so that what a
session sees live is what a replay of its recording sees, to the last bit.

Events of one message arrive together: what it makes of the best prices is known when all of it is here.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numba import njit

from flowhft.desk.compiled.compiled import compiled
from flowhft.desk.levels import Levels, clear_levels, open_levels, set_level, with_room
from flowhft.recordings.market_orders import ORDER_WINDOW
from flowhft.recordings.ticks import BUY, DEPTH, SNAPSHOT, TOP, TRADE
from flowhft.types import Observation


class OrderFlow(NamedTuple):
    """A Hawkes model of market orders, the same for both sides, that turns arrivals into intensities.

    lambda_s(t) = base_intensity + sum over earlier orders of its own side of self_excitation
    exp(-decay (t - t_i)) and over those of the other side of cross_excitation exp(-decay (t - t_i)).

    Attributes:
        base_intensity: of each side, 1 / second.
        self_excitation: what an order adds to the intensity of its side, 1 / second.
        cross_excitation: what it adds to the other side's, 1 / second.
        decay: how fast that fades, 1 / second.
    """

    base_intensity: float
    self_excitation: float = 0.0
    cross_excitation: float = 0.0
    decay: float = 1.0


_NO_FLOW = OrderFlow(0.0)


class MarketState(NamedTuple):
    """The market as it is known at a decision: a row of the tape.

    Attributes:
        time_ns: of the decision on the local clock.
        best_bid, best_ask: ticks.
        arrivals_bid, arrivals_ask: market orders since the decision before, by the side of the book that they
            come for.
        intensity_bid, intensity_ask: conditional intensity of market orders, likewise, 1 / second.
        book: signals of the order book, see `flowhft.types.Observation`; empty where none are read.
    """

    time_ns: int
    best_bid: int
    best_ask: int
    arrivals_bid: float
    arrivals_ask: float
    intensity_bid: float
    intensity_ask: float
    book: Float[np.ndarray, " signal"]


NO_BOOK = np.zeros(0)


class Counting(NamedTuple):
    """How events are read.

    Attributes:
        published: whether the venue publishes its best prices (`TOP`), which then say what they are; else the
            snapshot and the depth do.
        window_ns: market orders of one side closer than this are one.
        modelled: whether `flow` makes the intensities; else they are a constant rate, estimated from the
            orders seen so far: (n + 1) / (t + 1 s) for n orders of a side, t s after the first decision.
        flow: the model.
    """

    published: bool
    window_ns: int
    modelled: bool
    flow: OrderFlow


def counting(published: bool, flow: OrderFlow | None = None, order_window: float = ORDER_WINDOW) -> Counting:
    """Return how events are read; `order_window` in seconds, no flow for a constant rate."""
    given = _NO_FLOW if flow is None else OrderFlow(*map(float, flow))
    return Counting(published, round(order_window * 1e9), flow is not None, given)


class ObserverState(NamedTuple):
    """What an observer remembers: arrays, so that compiled functions can change them.

    Attributes:
        whole: whole numbers, see `BEST_BID` and those behind it.
        excitation: of the intensity of each side at `EXCITED_NS`, 1 / second.
        levels: of the book, where best prices are not published.
    """

    whole: Int[np.ndarray, " number"]
    excitation: Float[np.ndarray, " side"]
    levels: Levels


# What `Watch.whole` holds. The best prices are those that were known last on both sides.
(
    BEST_BID,
    BEST_ASK,
    KNOWN_NS,  # when best prices were first known; `NEVER` before
    SNAPSHOT_NS,  # when the first snapshot came
    TOP_BID,  # what the venue published last
    TOP_ASK,
    TOP_BID_LOTS,
    TOP_ASK_LOTS,
    PENDING,  # whether a message has changed the book since best prices were looked up
    MESSAGE,
    MESSAGE_KIND,
    MESSAGE_NS,
    TRADE_SIDE,
    TRADE_NS,
    ORDERS_BID,
    ORDERS_ASK,
    SEEN_BID,  # orders at the last decision
    SEEN_ASK,
    BEFORE_BID,  # orders up to the first decision
    BEFORE_ASK,
    START_NS,  # the first decision
    EXCITED_NS,
) = range(22)
NEVER = -(2**62)


def open_state(levels: Levels | None = None) -> ObserverState:
    """Return what is remembered before anything has arrived, with an empty book."""
    whole = np.zeros(EXCITED_NS + 1, np.int64)
    for index in (KNOWN_NS, SNAPSHOT_NS, TRADE_NS, START_NS, EXCITED_NS):
        whole[index] = NEVER
    return ObserverState(whole, np.zeros(2), open_levels() if levels is None else levels)


@njit
def _end_message(state: ObserverState, published: bool) -> None:
    """Look up the best prices where a message has changed the book; while a side is empty, the last stay."""
    whole, levels = state.whole, state.levels
    if whole[PENDING] == 0:
        return
    whole[PENDING] = 0
    if published:
        if whole[TOP_BID_LOTS] <= 0 or whole[TOP_ASK_LOTS] <= 0:
            return
        whole[BEST_BID], whole[BEST_ASK] = whole[TOP_BID], whole[TOP_ASK]
    else:
        if levels.best[0] < 0 or levels.best[1] < 0:
            return
        whole[BEST_BID] = levels.keys[0, levels.best[0]]
        whole[BEST_ASK] = -levels.keys[1, levels.best[1]]
    if whole[KNOWN_NS] == NEVER:
        whole[KNOWN_NS] = whole[MESSAGE_NS]


@njit
def _take_order(state: ObserverState, flow: OrderFlow, side: int, time_ns: int) -> None:
    """Count a market order that comes for bids (0) or asks (1), and let it excite both sides."""
    whole, excitation = state.whole, state.excitation
    whole[ORDERS_BID + side] += 1
    if whole[EXCITED_NS] == NEVER:
        whole[EXCITED_NS] = time_ns
    kept = math.exp(-flow.decay * 1e-9 * (time_ns - whole[EXCITED_NS]))
    to_bid = flow.self_excitation if side == 0 else flow.cross_excitation
    to_ask = flow.cross_excitation if side == 0 else flow.self_excitation
    excitation[0] = kept * excitation[0] + to_bid
    excitation[1] = kept * excitation[1] + to_ask
    whole[EXCITED_NS] = time_ns


@njit
def _take_book(state: ObserverState, published: bool, event: Any) -> None:
    """Let an event of the book, or of its top, change what is known."""
    whole, levels = state.whole, state.levels
    new = event.message != whole[MESSAGE] or event.kind != whole[MESSAGE_KIND]
    if published:
        if event.side == BUY:
            whole[TOP_BID], whole[TOP_BID_LOTS] = event.price, event.quantity
        else:
            whole[TOP_ASK], whole[TOP_ASK_LOTS] = event.price, event.quantity
    else:
        if new and event.kind == SNAPSHOT:
            clear_levels(levels)
        side = 0 if event.side == BUY else 1
        set_level(levels, side, event.price if side == 0 else -event.price, event.quantity)
    whole[PENDING], whole[MESSAGE], whole[MESSAGE_KIND] = 1, event.message, event.kind
    whole[MESSAGE_NS] = event.local_time_ns


@njit
def _is_known(state: ObserverState) -> bool:
    return state.whole[KNOWN_NS] != NEVER and state.whole[SNAPSHOT_NS] != NEVER


@compiled
def take_events(
    state: ObserverState, reads: Counting, events: np.ndarray, first: int, until_ns: int, until_known: bool
) -> int:
    """Take events in the order of their arrival; return the first that was left.

    Args:
        state: that remembers.
        reads: how events are read.
        events: of dtype `flowhft.recordings.ticks.EVENT`.
        first: of the events to take.
        until_ns: local time of the last event to take.
        until_known: stop as soon as a first decision could be taken.
    """
    whole, published = state.whole, reads.published
    for index in range(first, len(events)):
        event = events[index]
        kind = event.kind
        if event.local_time_ns > until_ns:
            return index
        if until_known and index > first and event.local_time_ns > events[index - 1].local_time_ns:
            _end_message(state, published)
            if _is_known(state):
                return index
        if (kind == TOP) if published else kind in (DEPTH, SNAPSHOT):
            if event.message != whole[MESSAGE] or kind != whole[MESSAGE_KIND]:
                _end_message(state, published)
            _take_book(state, published, event)
        if kind == SNAPSHOT and whole[SNAPSHOT_NS] == NEVER:
            whole[SNAPSHOT_NS] = event.local_time_ns
        if kind == TRADE:
            apart = event.exchange_time_ns - whole[TRADE_NS] > reads.window_ns
            if apart or event.side != whole[TRADE_SIDE]:
                _take_order(state, reads.flow, 1 if event.side == BUY else 0, event.local_time_ns)
            whole[TRADE_SIDE], whole[TRADE_NS] = event.side, event.exchange_time_ns
    _end_message(state, published)
    return len(events)


@compiled
def state_at(
    state: ObserverState, reads: Counting, time_ns: int, book: Float[np.ndarray, " signal"]
) -> MarketState:
    """Return what is known at a decision, and count from it on.

    Args:
        state: that has taken all events up to this time.
        reads: how events are read.
        time_ns: of the decision, on the local clock.
        book: signals of the order book at that time.
    """
    whole, excitation, flow = state.whole, state.excitation, reads.flow
    _end_message(state, reads.published)
    first = whole[START_NS] == NEVER
    if first:
        whole[START_NS] = time_ns
        for side in range(2):
            whole[SEEN_BID + side] = whole[BEFORE_BID + side] = whole[ORDERS_BID + side]
    arrivals_bid = float(whole[ORDERS_BID] - whole[SEEN_BID])
    arrivals_ask = float(whole[ORDERS_ASK] - whole[SEEN_ASK])
    whole[SEEN_BID], whole[SEEN_ASK] = whole[ORDERS_BID], whole[ORDERS_ASK]
    if reads.modelled:
        if whole[EXCITED_NS] != NEVER:
            kept = math.exp(-flow.decay * 1e-9 * (time_ns - whole[EXCITED_NS]))
            excitation[0], excitation[1] = kept * excitation[0], kept * excitation[1]
        whole[EXCITED_NS] = time_ns
        bid, ask = flow.base_intensity + excitation[0], flow.base_intensity + excitation[1]
    else:
        elapsed = 1e-9 * (time_ns - whole[START_NS])
        bid = (float(whole[ORDERS_BID] - whole[BEFORE_BID]) + 1.0) / (elapsed + 1.0)
        ask = (float(whole[ORDERS_ASK] - whole[BEFORE_ASK]) + 1.0) / (elapsed + 1.0)
    best_bid, best_ask = whole[BEST_BID], whole[BEST_ASK]
    return MarketState(time_ns, best_bid, best_ask, arrivals_bid, arrivals_ask, bid, ask, book)


@njit
def observation_of(
    market: MarketState,
    start_ns: int,
    first_mid: float,
    horizon_ns: int,
    inventory: float,
    cash: float,
    filled_bid: float,
    filled_ask: float,
) -> Observation:
    """Return what a policy sees at a decision: the market as it is known, and its own inventory and cash.

    Args:
        market: from an observer, or a row of a tape.
        start_ns: local time of the first decision.
        first_mid: mid price then, ticks.
        horizon_ns: length of a rolling session.
        inventory: lots (of the trajectory).
        cash: tick x lot, for trades priced relative to the first mid, after fees.
        filled_bid: lots bought since the last decision.
        filled_ask: lots sold since then.
    """
    elapsed = market.time_ns - start_ns
    mid = 0.5 * (market.best_bid + market.best_ask)
    return Observation(
        1e-9 * elapsed,
        1e-9 * (horizon_ns - elapsed % horizon_ns),
        mid - first_mid,
        inventory,
        cash,
        market.arrivals_bid,
        market.arrivals_ask,
        market.intensity_bid,
        market.intensity_ask,
        filled_bid,
        filled_ask,
        market.book,
    )


class Observer:
    """Follows a market event by event.

    Args:
        published: whether the venue publishes its best prices; else the book is rebuilt from depth.
        flow: parameters of the intensities; None for a constant rate, see `Counting`.
        order_window: market orders of one side closer than this are one, seconds.
    """

    def __init__(
        self, published: bool, flow: OrderFlow | None = None, order_window: float = ORDER_WINDOW
    ) -> None:
        self.reads = counting(published, flow, order_window)
        self.state = open_state()

    @property
    def known(self) -> bool:
        """Whether a snapshot and best prices of both sides have arrived, so that a decision can be taken."""
        return bool(_is_known(self.state))

    def take(self, events: np.ndarray) -> None:
        """Take events that have arrived, in the order of their arrival.

        Args:
            events: of dtype `flowhft.recordings.ticks.EVENT`; whole messages.
        """
        if not self.reads.published:
            levels = with_room(self.state.levels, len(events))
            self.state = self.state._replace(levels=levels)
        take_events(self.state, self.reads, events, 0, 2**62, False)

    def observe(self, time_ns: int) -> MarketState:
        """Return what is known at a decision, after all events up to this local time."""
        return state_at(self.state, self.reads, time_ns, NO_BOOK)

    def step(self, events: np.ndarray, time_ns: int) -> MarketState:
        """Take the events since the last decision, and return what is known at this one."""
        self.take(events)
        return self.observe(time_ns)
