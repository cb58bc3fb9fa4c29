"""The state of the house's own venue: one record in memory, so that a pointer is all that travels.

What is said of it stands in `flowhft.desk.replay.house`.
"""

from typing import Any

import numpy as np
from numba import carray, njit

from flowhft.desk.replay.queue import QueueRule
from flowhft.desk.replay.venue_book import VenueBook, VenueEvents
from flowhft.errors import MissingExtraError

try:
    from hftbacktest.intrinsic import address_as_void_pointer
except ImportError as cause:
    raise MissingExtraError("hftbacktest", "replay") from cause

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

# A request: when it arrives; 1 for a new order, 0 for a cancellation; the order.
R_TIME, R_NEW, R_NUMBER, R_SIDE, R_PRICE, R_LOTS, R_FORCE = range(7)
# An order at the venue, with its last fill.
O_NUMBER, O_SIDE, O_PRICE, O_LEFT, O_FILL_PRICE, O_MAKER = range(6)
# What we know of one: as in `flowhft.desk.orders.OrderUpdate`. An answer is when it arrives, and the same.
K_NUMBER, K_STATUS, K_LEFT, K_TIME, K_ASKED, K_PRICE, K_MAKER = range(7)
REFUSED = -1  # status of an answer that nothing was there to be withdrawn

_WHOLE = np.int64
# The state of a venue: one record, so that a pointer is all that travels, and functions compile quickly.
HOUSE = np.dtype(
    [
        ("now", _WHOLE),  # local time, ns; `NEVER` before it begins
        ("next", _WHOLE),  # event of the market
        ("fault", _WHOLE),  # code of an error; 0 for none
        ("first_request", _WHOLE),  # place in its ring, and how many are under way
        ("requests", _WHOLE),
        ("first_answer", _WHOLE),
        ("answers", _WHOLE),
        ("orders", _WHOLE),  # at the venue
        ("known", _WHOLE),  # of which we know
        ("order_ns", _WHOLE),  # how long a request takes, and an answer, where they always take as long
        ("answer_ns", _WHOLE),
        ("rows", _WHOLE),  # of the latency model, 0 for none; then addresses: when a request leaves, ...
        ("leaves", _WHOLE),
        ("there", _WHOLE),  # ... is at the venue, ...
        ("back", _WHOLE),  # ... and its answer is here
        ("events", _WHOLE),  # of the market, and the addresses of their columns and of all prices
        ("levels", _WHOLE),
        ("columns", _WHOLE, 6),
        ("book", _WHOLE, 3),  # addresses of the arrays of the book
        ("model", _WHOLE),  # the queue rule
        ("whole", _WHOLE),
        ("hidden", _WHOLE),
        ("seed", _WHOLE),
        ("power", np.float64),
        ("answered", np.float64),
        ("read", _WHOLE),  # address of an order as hftbacktest lays it out, to be read
        ("request", _WHOLE, (UNDER_WAY, R_FORCE + 1)),  # ring
        ("answer", _WHOLE, (UNDER_WAY, K_MAKER + 2)),  # ring
        ("order", _WHOLE, (STANDING, O_MAKER + 1)),  # those of a side by price and then by time
        ("place", np.float64, (STANDING, 3)),  # of them, in their queues
        ("knows", _WHOLE, (STANDING, K_MAKER + 1)),
    ],
    align=True,
)


@njit
def whole_at(address: int, length: int) -> np.ndarray:
    """Return the array of whole numbers at an address."""
    return carray(address_as_void_pointer(address), length, np.int64)


@njit
def events_of(house: Any) -> VenueEvents:
    """Return the events of the market."""
    length, at = house.events, house.columns
    kind = carray(address_as_void_pointer(at[1]), length, np.int8)
    side = carray(address_as_void_pointer(at[2]), length, np.int8)
    lots, prices = whole_at(at[4], length), whole_at(at[5], house.levels)
    return VenueEvents(whole_at(at[0], length), kind, side, whole_at(at[3], length), lots, prices)


@njit
def book_of(house: Any) -> VenueBook:
    """Return the book as the events have made it."""
    lots = carray(address_as_void_pointer(house.book[0]), (2, house.levels), np.int64)
    return VenueBook(lots, whole_at(house.book[1], 2), whole_at(house.book[2], 2))


@njit
def rule_of_house(house: Any) -> QueueRule:
    """Return the queue rule."""
    whole, hidden = house.whole != 0, house.hidden != 0
    return QueueRule(house.model, house.power, whole, hidden, house.answered, house.seed)
