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

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numba import njit

from flowhft.desk.orders import CANCELED, EXPIRED, FILLED, NEW, NONE, PARTIALLY_FILLED, POST_ONLY
from flowhft.desk.replay.latency import took_at
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

NEVER = 2**62
UNDER_WAY = 4096  # messages of ours, each way
STANDING = 64  # orders at the venue, and orders known to us
END_OF_DATA, NUMBER_TAKEN, ANSWER_PENDING, UNKNOWN_ORDER, NO_ROOM = (
    1,
    10,
    11,
    12,
    100,
)  # hftbacktest's, and one

# What arrays of whole numbers hold. The clock: ns, the next event, and how many of each there are.
NOW, NEXT, ORDERS, KNOWN, FIRST_REQUEST, REQUESTS, FIRST_ANSWER, ANSWERS, FAULT = range(9)
# A request: when it arrives; 1 for a new order, 0 for a cancellation; the order.
R_TIME, R_NEW, R_NUMBER, R_SIDE, R_PRICE, R_LOTS, R_FORCE = range(7)
# An order at the venue, with its last fill.
O_NUMBER, O_SIDE, O_PRICE, O_LEFT, O_FILL_PRICE, O_MAKER = range(6)
# What we know of one: as in `flowhft.desk.orders.OrderUpdate`. An answer is when it arrives, and the same.
K_NUMBER, K_STATUS, K_LEFT, K_TIME, K_ASKED, K_PRICE, K_MAKER = range(7)
REFUSED = -1  # status of an answer that nothing was there to be withdrawn


class House(NamedTuple):
    """A venue with our side of the wire to it; arrays, so that compiled functions can change them.

    Attributes:
        events: of the market.
        book: as they have made it.
        rule: that orders advance and fill by.
        constant_ns: how long a request and an answer take, where they always take as long.
        leaves, there, back: of the latency model: when a request leaves, is there, and its answer is back;
            empty where they always take as long.
        clock: whole numbers, see `NOW`.
        requests, answers: rings of what is under way.
        orders: at the venue, those of a side by price and then by time.
        places: of them, in their queues.
        known: what we know of our orders.
    """

    events: VenueEvents
    book: VenueBook
    rule: QueueRule
    constant_ns: Int[np.ndarray, "2"]
    leaves: Int[np.ndarray, " row"]
    there: Int[np.ndarray, " row"]
    back: Int[np.ndarray, " row"]
    clock: Int[np.ndarray, " number"]
    requests: Int[np.ndarray, "request column"]
    answers: Int[np.ndarray, "answer column"]
    orders: Int[np.ndarray, "order column"]
    places: Float[np.ndarray, "order 3"]
    known: Int[np.ndarray, "order column"]


def open_house(
    events: VenueEvents, rule: QueueRule, constant_ns: tuple[int, int], latencies: np.ndarray | None = None
) -> House:
    """Return a venue before anything has happened.

    Args:
        events: of the market.
        rule: that orders obey.
        constant_ns: how long a request takes, and an answer.
        latencies: from `flowhft.desk.replay.latency.order_latencies`, where they do not always.
    """
    rows = np.zeros((3, 0), np.int64)
    if latencies is not None:
        rows = np.stack([latencies[name] for name in ("req_ts", "exch_ts", "resp_ts")])
    clock = np.zeros(FAULT + 1, np.int64)
    clock[NOW] = NEVER
    return House(
        events,
        open_book(len(events.prices)),
        rule,
        np.array(constant_ns, np.int64),
        *(np.ascontiguousarray(row) for row in rows),
        clock,
        np.zeros((UNDER_WAY, R_FORCE + 1), np.int64),
        np.zeros((UNDER_WAY, K_MAKER + 2), np.int64),
        np.zeros((STANDING, O_MAKER + 1), np.int64),
        np.zeros((STANDING, 3)),
        np.zeros((STANDING, K_MAKER + 1), np.int64),
    )


@njit
def _answer(house: House, number: int, status: int, left: int, time_ns: int, price: int, maker: int) -> None:
    """Send what became of an order on its way to us."""
    clock, answers = house.clock, house.answers
    if len(house.there) > 0:
        arrives = time_ns + took_at(house.there, house.back, time_ns)
    else:
        arrives = time_ns + house.constant_ns[1]
    if clock[ANSWERS] == UNDER_WAY:
        clock[FAULT] = NO_ROOM
        return
    if clock[ANSWERS] > 0:
        arrives = max(arrives, answers[(clock[FIRST_ANSWER] + clock[ANSWERS] - 1) % UNDER_WAY, 0])
    row = answers[(clock[FIRST_ANSWER] + clock[ANSWERS]) % UNDER_WAY]
    row[0], row[1 + K_NUMBER], row[1 + K_STATUS], row[1 + K_LEFT] = arrives, number, status, left
    row[1 + K_TIME], row[1 + K_PRICE], row[1 + K_MAKER] = time_ns, price, maker
    clock[ANSWERS] += 1


@njit
def known_row(house: House, number: int) -> int:
    """Return where what we know of an order is; -1 where we know nothing."""
    for row in range(house.clock[KNOWN]):
        if house.known[row, K_NUMBER] == number:
            return row
    return -1


@njit
def _learn(house: House) -> None:
    """Take the first answer that is under way."""
    clock = house.clock
    answer = house.answers[clock[FIRST_ANSWER] % UNDER_WAY]
    clock[FIRST_ANSWER] = (clock[FIRST_ANSWER] + 1) % UNDER_WAY
    clock[ANSWERS] -= 1
    row = known_row(house, answer[1 + K_NUMBER])
    if row < 0:
        return
    known, status = house.known[row], answer[1 + K_STATUS]
    if status == REFUSED:
        known[K_ASKED] = NONE
        return
    if status != PARTIALLY_FILLED:
        known[K_ASKED] = NONE
    for column in (K_STATUS, K_LEFT, K_TIME, K_PRICE, K_MAKER):
        known[column] = answer[1 + column]


@njit
def _drop(house: House, index: int) -> None:
    """Take an order from the venue."""
    clock = house.clock
    clock[ORDERS] -= 1
    for row in range(index, clock[ORDERS]):
        house.orders[row] = house.orders[row + 1]
        house.places[row] = house.places[row + 1]


@njit
def _fill(house: House, index: int, lots: int, time_ns: int) -> bool:
    """Fill lots of an order that waited; return whether it is gone."""
    order = house.orders[index]
    order[O_LEFT] -= lots
    order[O_FILL_PRICE], order[O_MAKER] = order[O_PRICE], 1
    status = FILLED if order[O_LEFT] == 0 else PARTIALLY_FILLED
    _answer(house, order[O_NUMBER], status, order[O_LEFT], time_ns, order[O_PRICE], 1)
    if order[O_LEFT] > 0:
        return False
    _drop(house, index)
    return True


@njit
def _trade(house: House, index: int) -> None:
    """Let a trade reach our orders at its price and at better ones."""
    events = house.events
    level, lots, time_ns = events.level[index], events.lots[index], events.time_ns[index]
    if not house.rule.hidden and inside_spread(house.book, level):
        return
    side = ASK if events.side[index] == BID else BID
    sign, traded, room, row = 1 - 2 * side, events.prices[level], lots, 0
    while row < house.clock[ORDERS]:
        order = house.orders[row]
        if order[O_SIDE] != side or sign * (order[O_PRICE] - traded) < 0:
            row += 1
            continue
        reached = reached_by_trade(house.rule, house.places[row], sign, order[O_PRICE], traded, lots)
        if not house.rule.whole:
            reached = min(reached, room)
        filled = filled_of(house.rule, order[O_LEFT], reached)
        room -= filled
        if filled == 0 or not _fill(house, row, filled, time_ns):
            row += 1


@njit
def _meet(house: House, side: int, price: int, lots: int, time_ns: int) -> None:
    """Let the other side's book meet our orders of a side at a price and at better ones."""
    sign, room, row = 1 - 2 * side, lots, 0
    while row < house.clock[ORDERS]:
        order = house.orders[row]
        if order[O_SIDE] != side or sign * (order[O_PRICE] - price) < 0:
            row += 1
            continue
        filled = filled_of(house.rule, order[O_LEFT], room)
        if not house.rule.whole:
            room -= filled
        if filled == 0 or not _fill(house, row, filled, time_ns):
            row += 1


@njit
def _happen(house: House, index: int) -> None:
    """Let an event of the market happen."""
    events, book, rule = house.events, house.book, house.rule
    kind, side, level, lots = events.kind[index], events.side[index], events.level[index], events.lots[index]
    if kind == CLEARED:
        clear_book(book)
    elif kind == CHANGED:
        sign, best, price = 1 - 2 * side, book.best[side], events.prices[level]
        before = set_lots(book, side, level, lots)
        for row in range(house.clock[ORDERS]):
            if house.orders[row, O_SIDE] == side and house.orders[row, O_PRICE] == price:
                level_changed(rule, house.places[row], float(before), float(lots))
        if house.clock[ORDERS] == 0:
            return
        if rule.whole and sign * (book.best[side] - best) > 0:
            _meet(house, 1 - side, events.prices[book.best[side]], lots, events.time_ns[index])
        elif not rule.whole and lots > before:
            _meet(house, 1 - side, price, lots - before, events.time_ns[index])
    elif house.clock[ORDERS] > 0:
        _trade(house, index)


@njit
def _best_price(house: House, side: int) -> int:
    """Return the best price of a side, ticks; one that nothing reaches where there is none."""
    best = house.book.best[side]
    if 0 <= best < len(house.events.prices):
        return house.events.prices[best]
    return -NEVER if side == BID else NEVER


@njit
def _lots_at(house: House, side: int, price: int) -> int:
    """Return what stands at a price."""
    prices = house.events.prices
    level = np.searchsorted(prices, price)
    if level < len(prices) and prices[level] == price:
        return house.book.lots[side, level]
    return 0


@njit
def _enter(house: House, request: Int[np.ndarray, " column"]) -> None:
    """Let a new order come to the venue."""
    number, side, price, lots = request[R_NUMBER], request[R_SIDE], request[R_PRICE], request[R_LOTS]
    clock, time_ns, sign = house.clock, request[R_TIME], 1 - 2 * side
    opposite, touch = _best_price(house, 1 - side), _best_price(house, side)
    if sign * (price - opposite) >= 0:
        if request[R_FORCE] == POST_ONLY:
            _answer(house, number, EXPIRED, lots, time_ns, 0, 0)
        else:
            _answer(house, number, FILLED, 0, time_ns, opposite, 0)
        return
    if clock[ORDERS] == STANDING:
        clock[FAULT] = NO_ROOM
        return
    row = clock[ORDERS]
    while row > 0 and (
        house.orders[row - 1, O_SIDE] == side and sign * (price - house.orders[row - 1, O_PRICE]) > 0
    ):
        house.orders[row] = house.orders[row - 1]
        house.places[row] = house.places[row - 1]
        row -= 1
    order = house.orders[row]
    order[O_NUMBER], order[O_SIDE], order[O_PRICE], order[O_LEFT] = number, side, price, lots
    order[O_FILL_PRICE], order[O_MAKER] = 0, 0
    clock[ORDERS] += 1
    join(house.places[row], float(_lots_at(house, side, price)))
    if abs(touch) != NEVER and sign * (price - touch) > 0:
        improve(house.rule, house.places[row], number, touch, float(_lots_at(house, side, touch)))
    _answer(house, number, NEW, lots, time_ns, 0, 0)


@njit
def _arrive(house: House) -> None:
    """Let the first request that is under way come to the venue."""
    clock = house.clock
    request = house.requests[clock[FIRST_REQUEST]]
    clock[FIRST_REQUEST] = (clock[FIRST_REQUEST] + 1) % UNDER_WAY
    clock[REQUESTS] -= 1
    if request[R_NEW] != 0:
        _enter(house, request)
        return
    number, time_ns = request[R_NUMBER], request[R_TIME]
    for row in range(clock[ORDERS]):
        order = house.orders[row]
        if order[O_NUMBER] == number:
            left, price, maker = order[O_LEFT], order[O_FILL_PRICE], order[O_MAKER]
            _drop(house, row)
            _answer(house, number, CANCELED, left, time_ns, price, maker)
            return
    _answer(house, number, REFUSED, 0, time_ns, 0, 0)


@njit
def run_until(house: House, time_ns: int) -> int:
    """Let the venue's time run; return a code of an error, or 0, or that nothing more will come."""
    clock, events = house.clock, house.events
    while clock[FAULT] == 0:
        answer = house.answers[clock[FIRST_ANSWER], 0] if clock[ANSWERS] > 0 else NEVER
        request = house.requests[clock[FIRST_REQUEST], R_TIME] if clock[REQUESTS] > 0 else NEVER
        event = events.time_ns[clock[NEXT]] if clock[NEXT] < len(events.time_ns) else NEVER
        first = min(answer, request, event)
        if first == NEVER:
            return END_OF_DATA
        if first > time_ns:
            clock[NOW] = time_ns
            return 0
        if answer == first:
            _learn(house)
        elif event == first:
            _happen(house, clock[NEXT])
            clock[NEXT] += 1
        else:
            _arrive(house)
    return clock[FAULT]


@njit
def ask(
    house: House, new: bool, number: int, side: int = 0, price: int = 0, lots: int = 0, force: int = 0
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
    clock, row = house.clock, known_row(house, number)
    if new:
        if row >= 0:
            return NUMBER_TAKEN
        if clock[KNOWN] == STANDING:
            return NO_ROOM
        row = clock[KNOWN]
        clock[KNOWN] += 1
        known = house.known[row]
        known[K_NUMBER], known[K_STATUS], known[K_LEFT], known[K_TIME] = number, NONE, lots, 0
        known[K_ASKED], known[K_PRICE], known[K_MAKER] = NEW, 0, 0
    else:
        if row < 0:
            return UNKNOWN_ORDER
        if house.known[row, K_ASKED] != NONE:
            return ANSWER_PENDING
        house.known[row, K_ASKED] = CANCELED
    if clock[REQUESTS] == UNDER_WAY:
        return NO_ROOM
    now = clock[NOW]
    arrives = now + (took_at(house.leaves, house.there, now) if len(house.leaves) else house.constant_ns[0])
    if clock[REQUESTS] > 0:
        last = (clock[FIRST_REQUEST] + clock[REQUESTS] - 1) % UNDER_WAY
        arrives = max(arrives, house.requests[last, R_TIME])
    request = house.requests[(clock[FIRST_REQUEST] + clock[REQUESTS]) % UNDER_WAY]
    request[R_TIME], request[R_NEW], request[R_NUMBER] = arrives, 1 if new else 0, number
    request[R_SIDE], request[R_PRICE], request[R_LOTS], request[R_FORCE] = side, price, lots, force
    clock[REQUESTS] += 1
    return 0


@njit
def forget(house: House) -> None:
    """Drop what we know of orders that are done."""
    kept = 0
    for row in range(house.clock[KNOWN]):
        status = house.known[row, K_STATUS]
        if status != FILLED and status != CANCELED and status != EXPIRED:
            house.known[kept] = house.known[row]
            kept += 1
    house.clock[KNOWN] = kept
