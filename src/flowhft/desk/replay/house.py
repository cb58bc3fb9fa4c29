"""The house's own venue: our orders among the events of a recording, one small rule, compiled.

Booked whole it does what hftbacktest's exchange without partial fills does, which is its oracle; beyond that
it knows what hftbacktest does not (`flowhft.desk.replay.queue`): fills capped at what was traded, orders that
lose their priority, hidden executions that do not fill us. Of what comes at one nanosecond, answers reach us
first, then the market moves, then requests arrive; no request and no answer overtakes another. After the last
event the venue's clock stands still unless something of ours is under way, as hftbacktest's does.

Capped, a trade is shared: our better price takes first, and all our orders together no more than it traded;
an order that the other side's book comes to meets no more than has come to a level there, and what remains
keeps its place.
"""

from typing import Any

import numpy as np
from jaxtyping import Int
from numba import njit

from flowhft.desk.orders import CANCELED, EXPIRED, FILLED, NEW, NONE, PARTIALLY_FILLED, POST_ONLY
from flowhft.desk.replay.house_state import (
    ANSWER_PENDING,
    END_OF_DATA,
    K_ASKED,
    K_LEFT,
    K_MAKER,
    K_NUMBER,
    K_PRICE,
    K_STATUS,
    K_TIME,
    NEVER,
    NO_ROOM,
    NUMBER_TAKEN,
    O_FILL_PRICE,
    O_LEFT,
    O_MAKER,
    O_NUMBER,
    O_PRICE,
    O_SIDE,
    R_FORCE,
    R_LOTS,
    R_NEW,
    R_NUMBER,
    R_PRICE,
    R_SIDE,
    R_TIME,
    REFUSED,
    STANDING,
    UNDER_WAY,
    UNKNOWN_ORDER,
    book_of,
    events_of,
    rule_of_house,
    whole_at,
)
from flowhft.desk.replay.latency import count_up_to, took_at
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
    set_lots,
)


@njit
def _answer(house: Any, number: int, status: int, left: int, time_ns: int, price: int, maker: int) -> None:
    """Send what became of an order on its way to us."""
    answers = house.answer
    arrives = time_ns + house.answer_ns
    if house.rows > 0:
        there, back = whole_at(house.there, house.rows), whole_at(house.back, house.rows)
        arrives = time_ns + took_at(there, back, time_ns)
    if house.answers == UNDER_WAY:
        house.fault = NO_ROOM
        return
    if house.answers > 0:
        arrives = max(arrives, answers[(house.first_answer + house.answers - 1) % UNDER_WAY, 0])
    row = answers[(house.first_answer + house.answers) % UNDER_WAY]
    row[0], row[1 + K_NUMBER], row[1 + K_STATUS], row[1 + K_LEFT] = arrives, number, status, left
    row[1 + K_TIME], row[1 + K_PRICE], row[1 + K_MAKER] = time_ns, price, maker
    house.answers += 1


@njit
def known_row(house: Any, number: int) -> int:
    """Return where what we know of an order is; -1 where we know nothing."""
    for row in range(house.known):
        if house.knows[row, K_NUMBER] == number:
            return row
    return -1


@njit
def _learn(house: Any) -> None:
    """Take the first answer that is under way."""
    answer = house.answer[house.first_answer % UNDER_WAY]
    house.first_answer = (house.first_answer + 1) % UNDER_WAY
    house.answers -= 1
    row = known_row(house, answer[1 + K_NUMBER])
    if row < 0:
        return
    known, status = house.knows[row], answer[1 + K_STATUS]
    if status == REFUSED:
        known[K_ASKED] = NONE
        return
    if status != PARTIALLY_FILLED:
        known[K_ASKED] = NONE
    for column in (K_STATUS, K_LEFT, K_TIME, K_PRICE, K_MAKER):
        known[column] = answer[1 + column]


@njit
def _drop(house: Any, index: int) -> None:
    """Take an order from the venue."""
    house.orders -= 1
    for row in range(index, house.orders):
        house.order[row] = house.order[row + 1]
        house.place[row] = house.place[row + 1]


@njit
def _fill(house: Any, index: int, lots: int, time_ns: int) -> bool:
    """Fill lots of an order that waited; return whether it is gone."""
    order = house.order[index]
    order[O_LEFT] -= lots
    order[O_FILL_PRICE], order[O_MAKER] = order[O_PRICE], 1
    status = FILLED if order[O_LEFT] == 0 else PARTIALLY_FILLED
    _answer(house, order[O_NUMBER], status, order[O_LEFT], time_ns, order[O_PRICE], 1)
    if order[O_LEFT] > 0:
        return False
    _drop(house, index)
    return True


@njit
def _trade(house: Any, events: VenueEvents, book: VenueBook, rule: QueueRule, index: int) -> None:
    """Let a trade reach our orders at its price and at better ones."""
    level, lots, time_ns = events.level[index], events.lots[index], events.time_ns[index]
    if not rule.hidden and inside_spread(book, level):
        return
    side = ASK if events.side[index] == BID else BID
    sign, traded, room, row = 1 - 2 * side, events.prices[level], lots, 0
    while row < house.orders:
        order = house.order[row]
        if order[O_SIDE] != side or sign * (order[O_PRICE] - traded) < 0:
            row += 1
            continue
        reached = reached_by_trade(rule, house.place[row], sign, order[O_PRICE], traded, lots)
        if not rule.whole:
            reached = min(reached, room)
        filled = filled_of(rule, order[O_LEFT], reached)
        room -= filled
        if filled == 0 or not _fill(house, row, filled, time_ns):
            row += 1


@njit
def _meet(house: Any, rule: QueueRule, side: int, price: int, lots: int, time_ns: int) -> None:
    """Let the other side's book meet our orders of a side at a price and at better ones."""
    sign, room, row = 1 - 2 * side, lots, 0
    while row < house.orders:
        order = house.order[row]
        if order[O_SIDE] != side or sign * (order[O_PRICE] - price) < 0:
            row += 1
            continue
        filled = filled_of(rule, order[O_LEFT], room)
        if not rule.whole:
            room -= filled
        if filled == 0 or not _fill(house, row, filled, time_ns):
            row += 1


@njit
def _happen(house: Any, events: VenueEvents, book: VenueBook, rule: QueueRule, index: int) -> None:
    """Let an event of the market happen."""
    kind, side, level, lots = events.kind[index], events.side[index], events.level[index], events.lots[index]
    if kind == CLEARED:
        clear_book(book)
    elif kind == CHANGED:
        sign, best, price = 1 - 2 * side, book.best[side], events.prices[level]
        before = set_lots(book, side, level, lots)
        for row in range(house.orders):
            if house.order[row, O_SIDE] == side and house.order[row, O_PRICE] == price:
                level_changed(rule, house.place[row], float(before), float(lots))
        if house.orders == 0:
            return
        if rule.whole and sign * (book.best[side] - best) > 0:
            _meet(house, rule, 1 - side, events.prices[book.best[side]], lots, events.time_ns[index])
        elif not rule.whole and lots > before:
            _meet(house, rule, 1 - side, price, lots - before, events.time_ns[index])
    elif house.orders > 0:
        _trade(house, events, book, rule, index)


@njit
def _best_price(events: VenueEvents, book: VenueBook, side: int) -> int:
    """Return the best price of a side, ticks; one that nothing reaches where there is none."""
    best = book.best[side]
    if 0 <= best < len(events.prices):
        return events.prices[best]
    return -NEVER if side == BID else NEVER


@njit
def _lots_at(events: VenueEvents, book: VenueBook, side: int, price: int) -> int:
    """Return what stands at a price."""
    prices = events.prices
    level = count_up_to(prices, price) - 1
    if level >= 0 and prices[level] == price:
        return book.lots[side, level]
    return 0


@njit
def _enter(
    house: Any, events: VenueEvents, book: VenueBook, rule: QueueRule, request: Int[np.ndarray, " column"]
) -> None:
    """Let a new order come to the venue."""
    number, side, price, lots = request[R_NUMBER], request[R_SIDE], request[R_PRICE], request[R_LOTS]
    time_ns, sign = request[R_TIME], 1 - 2 * side
    opposite, touch = _best_price(events, book, 1 - side), _best_price(events, book, side)
    if sign * (price - opposite) >= 0:
        if request[R_FORCE] == POST_ONLY:
            _answer(house, number, EXPIRED, lots, time_ns, 0, 0)
        else:
            _answer(house, number, FILLED, 0, time_ns, opposite, 0)
        return
    if house.orders == STANDING:
        house.fault = NO_ROOM
        return
    row = house.orders
    while row > 0 and (
        house.order[row - 1, O_SIDE] == side and sign * (price - house.order[row - 1, O_PRICE]) > 0
    ):
        house.order[row] = house.order[row - 1]
        house.place[row] = house.place[row - 1]
        row -= 1
    order = house.order[row]
    order[O_NUMBER], order[O_SIDE], order[O_PRICE], order[O_LEFT] = number, side, price, lots
    order[O_FILL_PRICE], order[O_MAKER] = 0, 0
    house.orders += 1
    join(house.place[row], float(_lots_at(events, book, side, price)))
    if abs(touch) != NEVER and sign * (price - touch) > 0:
        lots_there = float(_lots_at(events, book, side, touch))
        improve(rule, house.place[row], number, touch, lots_there)
    _answer(house, number, NEW, lots, time_ns, 0, 0)


@njit
def _arrive(house: Any, events: VenueEvents, book: VenueBook, rule: QueueRule) -> None:
    """Let the first request that is under way come to the venue."""
    request = house.request[house.first_request]
    house.first_request = (house.first_request + 1) % UNDER_WAY
    house.requests -= 1
    if request[R_NEW] != 0:
        _enter(house, events, book, rule, request)
        return
    number, time_ns = request[R_NUMBER], request[R_TIME]
    for row in range(house.orders):
        order = house.order[row]
        if order[O_NUMBER] == number:
            left, price, maker = order[O_LEFT], order[O_FILL_PRICE], order[O_MAKER]
            _drop(house, row)
            _answer(house, number, CANCELED, left, time_ns, price, maker)
            return
    _answer(house, number, REFUSED, 0, time_ns, 0, 0)


@njit
def first_event_ns(house: Any) -> int:
    """Return when the market begins."""
    return whole_at(house.columns[0], house.events)[0]


@njit
def run_until(house: Any, time_ns: int) -> int:
    """Let the venue's time run; return a code of an error, or 0, or that nothing more will come."""
    events, book, rule = events_of(house), book_of(house), rule_of_house(house)
    while house.fault == 0:
        answer = house.answer[house.first_answer, 0] if house.answers > 0 else NEVER
        request = house.request[house.first_request, R_TIME] if house.requests > 0 else NEVER
        event = events.time_ns[house.next] if house.next < len(events.time_ns) else NEVER
        first = min(answer, request, event)
        if first == NEVER:
            return END_OF_DATA
        if first > time_ns:
            house.now = time_ns
            return 0
        if answer == first:
            _learn(house)
        elif event == first:
            _happen(house, events, book, rule, house.next)
            house.next += 1
        else:
            _arrive(house, events, book, rule)
    return house.fault


@njit
def ask(
    house: Any, new: bool, number: int, side: int = 0, price: int = 0, lots: int = 0, force: int = 0
) -> int:
    """Send a new order, or a cancellation; return a code, 0 where all is well.

    Args:
        house: that it goes to.
        new: whether it is an order.
        number: of the order.
        side: `BID` or `ASK`.
        price: ticks.
        lots: of the order.
        force: `POST_ONLY` or `MAY_TAKE`.
    """
    row = known_row(house, number)
    if new:
        if row >= 0:
            return NUMBER_TAKEN
        if house.known == STANDING:
            return NO_ROOM
        row = house.known
        house.known += 1
        known = house.knows[row]
        known[K_NUMBER], known[K_STATUS], known[K_LEFT], known[K_TIME] = number, NONE, lots, 0
        known[K_ASKED], known[K_PRICE], known[K_MAKER] = NEW, 0, 0
    else:
        if row < 0:
            return UNKNOWN_ORDER
        if house.knows[row, K_ASKED] != NONE:
            return ANSWER_PENDING
        house.knows[row, K_ASKED] = CANCELED
    if house.requests == UNDER_WAY:
        return NO_ROOM
    now = house.now
    arrives = now + house.order_ns
    if house.rows > 0:
        leaves, there = whole_at(house.leaves, house.rows), whole_at(house.there, house.rows)
        arrives = now + took_at(leaves, there, now)
    if house.requests > 0:
        last = (house.first_request + house.requests - 1) % UNDER_WAY
        arrives = max(arrives, house.request[last, R_TIME])
    request = house.request[(house.first_request + house.requests) % UNDER_WAY]
    request[R_TIME], request[R_NEW], request[R_NUMBER] = arrives, 1 if new else 0, number
    request[R_SIDE], request[R_PRICE], request[R_LOTS], request[R_FORCE] = side, price, lots, force
    house.requests += 1
    return 0


@njit
def forget(house: Any) -> None:
    """Drop what we know of orders that are done."""
    kept = 0
    for row in range(house.known):
        status = house.knows[row, K_STATUS]
        if status != FILLED and status != CANCELED and status != EXPIRED:
            house.knows[kept] = house.knows[row]
            kept += 1
    house.known = kept
