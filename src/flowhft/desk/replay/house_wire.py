"""The wire to the house's own venue: it answers the calls that hftbacktest answers, so either runs a replay.

A replay knows its venue by a pointer and the addresses of functions (`flowhft.desk.replay.venue.Wire`). Here
the pointer is that of a directory of arrays, of which compiled code makes a `House` again; so neither the
loop nor a session is compiled twice, and what they do is the same to the last instruction.
"""

from functools import cache
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int
from numba import carray, njit
from numba.core.types import float64, int64

from flowhft.desk.compiled.address import address_of
from flowhft.desk.compiled.compiled import compiled
from flowhft.desk.replay.house import (
    END_OF_DATA,
    K_ASKED,
    K_LEFT,
    K_MAKER,
    K_PRICE,
    K_STATUS,
    K_TIME,
    NEVER,
    NOW,
    STANDING,
    House,
    ask,
    forget,
    known_row,
    open_house,
    run_until,
)
from flowhft.desk.replay.queue import QueueRule
from flowhft.desk.replay.settings import ReplaySettings
from flowhft.desk.replay.venue import Wire
from flowhft.desk.replay.venue_book import ASK, BID, VenueBook, VenueEvents, venue_events
from flowhft.errors import MissingExtraError

try:
    from hftbacktest.intrinsic import address_as_void_pointer
    from hftbacktest.types import order_dtype
except ImportError as cause:
    raise MissingExtraError("hftbacktest", "replay") from cause

_UPDATE = np.dtype(order_dtype)  # what a replay reads of an order
# Rows of a directory: arrays of the events, of the book, of the rule, of the house, and orders to be read.
_EVENTS, _BOOK, _RULE, _HOUSE, _ORDERS = 0, 6, 9, 11, 21


class _Open(NamedTuple):
    """A venue in use, whose memory must stay where it is.

    Attributes:
        directory: address and lengths of every array.
        arrays: all of them.
    """

    directory: Int[np.ndarray, "array 3"]
    arrays: tuple[np.ndarray, ...]


_in_use: dict[int, _Open] = {}


@njit
def _whole(directory: np.ndarray, row: int) -> np.ndarray:
    """Return an array of whole numbers from the directory."""
    return carray(address_as_void_pointer(directory[row, 0]), directory[row, 1], np.int64)


@njit
def _small(directory: np.ndarray, row: int) -> np.ndarray:
    """Return an array of whole numbers of a byte."""
    return carray(address_as_void_pointer(directory[row, 0]), directory[row, 1], np.int8)


@njit
def _table(directory: np.ndarray, row: int) -> np.ndarray:
    """Return a table of whole numbers."""
    shape = (directory[row, 1], directory[row, 2])
    return carray(address_as_void_pointer(directory[row, 0]), shape, np.int64)


@njit
def _house_at(pointer: int) -> House:
    """Return the venue of a pointer."""
    of = carray(address_as_void_pointer(pointer), (_ORDERS + 1, 3), np.int64)
    whole = _whole(of, _RULE)
    parts = carray(address_as_void_pointer(of[_RULE + 1, 0]), 2, np.float64)
    places = carray(address_as_void_pointer(of[_HOUSE + 8, 0]), (STANDING, 3), np.float64)
    return House(
        VenueEvents(
            _whole(of, _EVENTS),
            _small(of, _EVENTS + 1),
            _small(of, _EVENTS + 2),
            _whole(of, _EVENTS + 3),
            _whole(of, _EVENTS + 4),
            _whole(of, _EVENTS + 5),
        ),
        VenueBook(_table(of, _BOOK), _whole(of, _BOOK + 1), _whole(of, _BOOK + 2)),
        QueueRule(whole[0], parts[0], whole[1] != 0, whole[2] != 0, parts[1], whole[3]),
        _whole(of, _HOUSE),
        _whole(of, _HOUSE + 1),
        _whole(of, _HOUSE + 2),
        _whole(of, _HOUSE + 3),
        _whole(of, _HOUSE + 4),
        _table(of, _HOUSE + 5),
        _table(of, _HOUSE + 6),
        _table(of, _HOUSE + 7),
        places,
        _table(of, _HOUSE + 9),
    )


def _elapse(pointer: int, duration_ns: int) -> int:
    """Let time run; the first call sets the clock to the first event."""
    house = _house_at(pointer)
    if house.clock[NOW] == NEVER:
        if len(house.events.time_ns) == 0:
            return END_OF_DATA
        house.clock[NOW] = house.events.time_ns[0]
    return run_until(house, house.clock[NOW] + duration_ns)


def _now(pointer: int) -> int:
    return _house_at(pointer).clock[NOW]  # type: ignore[no-any-return]


def _orders(pointer: int, asset: int) -> int:
    return pointer


def _order(pointer: int, number: int) -> int:
    """Write down what we know of an order where hftbacktest's layout is read; return the address."""
    house = _house_at(pointer)
    of = carray(address_as_void_pointer(pointer), (_ORDERS + 1, 3), np.int64)
    written = carray(address_as_void_pointer(of[_ORDERS, 0]), 1, _UPDATE)[0]
    known = house.known[known_row(house, number)]
    written.status, written.req = known[K_STATUS], known[K_ASKED]
    written.leaves_qty, written.exch_timestamp = known[K_LEFT], known[K_TIME]
    written.exec_price_tick, written.maker = known[K_PRICE], known[K_MAKER] != 0
    return of[_ORDERS, 0]  # type: ignore[no-any-return]


def _buy(
    pointer: int, asset: int, number: int, price: float, lots: float, force: int, kind: int, wait: int
) -> int:
    return ask(_house_at(pointer), True, number, BID, round(price), round(lots), force)


def _sell(
    pointer: int, asset: int, number: int, price: float, lots: float, force: int, kind: int, wait: int
) -> int:
    return ask(_house_at(pointer), True, number, ASK, round(price), round(lots), force)


def _cancel(pointer: int, asset: int, number: int, wait: int) -> int:
    return ask(_house_at(pointer), False, number, 0, 0, 0, 0)


def _forget(pointer: int, asset: int) -> int:
    forget(_house_at(pointer))
    return 0


@cache
def _functions() -> dict[str, Any]:
    """Return the compiled functions of the wire; their addresses hold as long as they live."""
    submit = int64(int64, int64, int64, float64, float64, int64, int64, int64)
    return {
        "elapse": compiled(_elapse, int64(int64, int64)),
        "now": compiled(_now, int64(int64)),
        "orders": compiled(_orders, int64(int64, int64)),
        "order": compiled(_order, int64(int64, int64)),
        "buy": compiled(_buy, submit),
        "sell": compiled(_sell, submit),
        "cancel": compiled(_cancel, int64(int64, int64, int64, int64)),
        "forget": compiled(_forget, int64(int64, int64)),
    }


def open_wire(
    events: np.ndarray, rule: QueueRule, settings: ReplaySettings, latencies: np.ndarray | None = None
) -> Wire:
    """Return a wire to the house's own venue at the beginning of a recording. Close it after use.

    Args:
        events: from `flowhft.desk.replay.events.exchange_events`.
        rule: that orders advance and fill by.
        settings: the latencies are used.
        latencies: from `order_latencies`, where orders do not always take as long as the settings say.
    """
    constant = round(settings.order_latency_ms * 1e6), round(settings.response_latency_ms * 1e6)
    house = open_house(venue_events(events), rule, constant, latencies)
    arrays = (
        *house.events,
        *house.book,
        np.array([rule.model, rule.whole, rule.hidden, rule.seed], np.int64),
        np.array([rule.power, rule.answered]),
        *(value for value in house if isinstance(value, np.ndarray)),
        np.zeros(1, _UPDATE),
    )
    directory = np.array([[of.ctypes.data, *of.shape, 0][:3] for of in arrays], np.int64)
    pointer = directory.ctypes.data
    _in_use[pointer] = _Open(directory, arrays)
    return Wire(pointer, **{name: address_of(function) for name, function in _functions().items()})


def close_wire(wire: Wire) -> None:
    """Let go of the venue's memory; it must not be used again."""
    del _in_use[wire.pointer]
