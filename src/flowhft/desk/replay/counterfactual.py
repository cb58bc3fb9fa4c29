"""Orders that were never sent: which of them would have filled, in one pass over the venue's events.

Each is alone at the venue: it neither shares trades with the others nor stands in their way. The pass keeps
the orders in flight in lists by side and level, so that an event costs what it touches.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from numba import njit

from flowhft.desk.compiled.compiled import compiled
from flowhft.desk.replay.queue import (
    QueueRule,
    filled_of,
    improve,
    join,
    level_changed,
    reached_by_trade,
)
from flowhft.desk.replay.venue_book import (
    ASK,
    BID,
    CHANGED,
    CLEARED,
    VenueBook,
    VenueEvents,
    clear_book,
    inside_spread,
    open_book,
    set_lots,
)

NOBODY = -1  # no order
NOT_FILLED = -(2**62)  # time of the fill of an order that has none


class Orders(NamedTuple):
    """Orders by decision: those of a decision arrive together, and are withdrawn together.

    Attributes:
        arrive_ns: when they are at the venue, by decision, never falling.
        leave_ns: when their cancellations are.
        side: `BID` or `ASK`, by order; orders of a decision follow each other, as many for each.
        level: place of their price in the prices of the events; `NOBODY` for an order that is not placed.
        lots: of every order.
    """

    arrive_ns: Int[np.ndarray, " step"]
    leave_ns: Int[np.ndarray, " step"]
    side: Int[np.ndarray, " order"]
    level: Int[np.ndarray, " order"]
    lots: int


class Outcome(NamedTuple):
    """What became of orders: arrays that the pass writes.

    Attributes:
        filled_ns: when the first lots were filled at the venue; `NOT_FILLED` for none.
        left: lots that were not.
        hidden: whether a trade inside the spread filled the first.
        refused: whether an order would have traded on arrival, and so did not stand.
    """

    filled_ns: Int[np.ndarray, " order"]
    left: Int[np.ndarray, " order"]
    hidden: Bool[np.ndarray, " order"]
    refused: Bool[np.ndarray, " order"]


class _Flight(NamedTuple):
    """Orders that stand, in lists by side and level.

    Attributes:
        first: order of each list, `NOBODY` for an empty one.
        following: order in its list.
        previous: likewise.
        bound: by side, a level such that none stands at a better one.
        standing: how many do, by side.
        place: of every order in its queue.
    """

    first: Int[np.ndarray, "side level"]
    following: Int[np.ndarray, " order"]
    previous: Int[np.ndarray, " order"]
    bound: Int[np.ndarray, " side"]
    standing: Int[np.ndarray, " side"]
    place: Float[np.ndarray, "order 3"]


def _open_flight(orders: int, levels: int) -> _Flight:
    return _Flight(
        first=np.full((2, levels), NOBODY),
        following=np.full(orders, NOBODY),
        previous=np.full(orders, NOBODY),
        bound=np.array([-1, levels]),
        standing=np.zeros(2, np.int64),
        place=np.zeros((orders, 3)),
    )


@njit
def _stand(flight: _Flight, order: int, side: int, level: int) -> None:
    """Put an order at the head of its list."""
    sign, head = 1 - 2 * side, flight.first[side, level]
    flight.first[side, level], flight.following[order], flight.previous[order] = order, head, NOBODY
    if head != NOBODY:
        flight.previous[head] = order
    flight.standing[side] += 1
    if sign * (level - flight.bound[side]) > 0:
        flight.bound[side] = level


@njit
def _remove(flight: _Flight, order: int, side: int, level: int) -> None:
    """Take an order out of its list."""
    before, after = flight.previous[order], flight.following[order]
    if before == NOBODY:
        flight.first[side, level] = after
    else:
        flight.following[before] = after
    if after != NOBODY:
        flight.previous[after] = before
    flight.standing[side] -= 1


@njit
def _tighten(flight: _Flight, side: int) -> None:
    """Move the bound of a side to the best level at which an order stands."""
    sign = 1 - 2 * side
    if flight.standing[side] == 0:
        flight.bound[side] = -1 if side == BID else flight.first.shape[1]
        return
    while flight.first[side, flight.bound[side]] == NOBODY:
        flight.bound[side] -= sign


@njit
def _fill(flight: _Flight, rule: QueueRule, made: Outcome, order: int, reached: int, time_ns: int) -> int:
    """Fill an order with what reached it; return the lots that it leaves."""
    lots = filled_of(rule, made.left[order], reached)
    if lots > 0:
        made.left[order] -= lots
        if made.filled_ns[order] == NOT_FILLED:
            made.filled_ns[order] = time_ns
    return made.left[order]


@njit
def _trade(
    flight: _Flight, rule: QueueRule, made: Outcome, events: VenueEvents, index: int, hidden: bool
) -> None:
    """Let a trade reach the orders at its price and at better ones."""
    side = ASK if events.side[index] == BID else BID
    sign, level, time_ns = 1 - 2 * side, events.level[index], events.time_ns[index]
    traded, lots = events.prices[level], events.lots[index]
    _tighten(flight, side)
    at = flight.bound[side]
    while flight.standing[side] > 0 and sign * (at - level) >= 0:
        order = flight.first[side, at]
        while order != NOBODY:
            after = flight.following[order]
            reached = reached_by_trade(rule, flight.place[order], sign, events.prices[at], traded, lots)
            fresh = made.filled_ns[order] == NOT_FILLED
            left = _fill(flight, rule, made, order, reached, time_ns)
            if fresh and made.filled_ns[order] != NOT_FILLED:
                made.hidden[order] = hidden
            if left == 0:
                _remove(flight, order, side, at)
            order = after
        at -= sign


@njit
def _meet(
    flight: _Flight, rule: QueueRule, made: Outcome, side: int, level: int, lots: int, time_ns: int
) -> None:
    """Let the other side's book meet the orders of a side at a level and at better ones."""
    sign = 1 - 2 * side
    _tighten(flight, side)
    at = flight.bound[side]
    while flight.standing[side] > 0 and sign * (at - level) >= 0:
        order = flight.first[side, at]
        while order != NOBODY:
            after = flight.following[order]
            if _fill(flight, rule, made, order, lots, time_ns) == 0:
                _remove(flight, order, side, at)
            order = after
        at -= sign


@njit
def _arrive(
    flight: _Flight, rule: QueueRule, made: Outcome, book: VenueBook, events: VenueEvents, orders: Orders,
    step: int, each: int,
) -> None:  # fmt: skip
    """Let the orders of a decision come to the venue."""
    for order in range(step * each, (step + 1) * each):
        side, level = orders.side[order], orders.level[order]
        if level == NOBODY:
            continue
        sign = 1 - 2 * side
        if sign * (level - book.best[1 - side]) >= 0:
            made.refused[order] = True
            continue
        join(flight.place[order], float(book.lots[side, level]))
        best = book.best[side]
        if 0 <= best < book.lots.shape[1] and sign * (level - best) > 0:
            lots = float(book.lots[side, best])
            improve(rule, flight.place[order], order, events.prices[best], lots)
        _stand(flight, order, side, level)


@njit
def _withdraw(flight: _Flight, made: Outcome, orders: Orders, step: int, each: int) -> None:
    """Let the cancellations of a decision's orders come to the venue."""
    for order in range(step * each, (step + 1) * each):
        if orders.level[order] != NOBODY and not made.refused[order] and made.left[order] > 0:
            _remove(flight, order, orders.side[order], orders.level[order])


@compiled
def _pass(
    events: VenueEvents, rule: QueueRule, orders: Orders, book: VenueBook, flight: _Flight, made: Outcome
) -> None:
    """Go through the events; what comes at the time of an event comes after it."""
    steps = len(orders.arrive_ns)
    each = len(orders.level) // max(steps, 1)
    arrived = left = 0
    for index in range(len(events.time_ns)):
        time_ns = events.time_ns[index]
        while True:
            comes = arrived < steps and orders.arrive_ns[arrived] < time_ns
            goes = left < arrived and orders.leave_ns[left] < time_ns
            if comes and not (goes and orders.leave_ns[left] < orders.arrive_ns[arrived]):
                _arrive(flight, rule, made, book, events, orders, arrived, each)
                arrived += 1
            elif goes:
                _withdraw(flight, made, orders, left, each)
                left += 1
            else:
                break
        kind, side, level, lots = (
            events.kind[index],
            events.side[index],
            events.level[index],
            events.lots[index],
        )
        if kind == CLEARED:
            clear_book(book)
        elif kind == CHANGED:
            sign, best = 1 - 2 * side, book.best[side]
            before = set_lots(book, side, level, lots)
            order = flight.first[side, level]
            while order != NOBODY:
                level_changed(rule, flight.place[order], float(before), float(lots))
                order = flight.following[order]
            if rule.whole:
                if sign * (book.best[side] - best) > 0:
                    _meet(flight, rule, made, 1 - side, book.best[side], lots, time_ns)
            elif lots > before:
                _meet(flight, rule, made, 1 - side, level, lots - before, time_ns)
        else:
            hidden = inside_spread(book, level)
            if rule.hidden or not hidden:
                _trade(flight, rule, made, events, index, hidden)


def outcomes(events: VenueEvents, rule: QueueRule, orders: Orders) -> Outcome:
    """Return what would have become of orders.

    Args:
        events: of the venue, with a place for the price of every order.
        rule: that orders advance and fill by.
        orders: that are to be tried.
    """
    count, levels = len(orders.level), len(events.prices)
    made = Outcome(
        filled_ns=np.full(count, NOT_FILLED),
        left=np.full(count, orders.lots),
        hidden=np.zeros(count, bool),
        refused=np.zeros(count, bool),
    )
    _pass(events, rule, orders, open_book(levels), _open_flight(count, levels), made)
    return made
