"""The wire to the house's own venue: it answers the calls that hftbacktest answers, so either runs a replay.

A replay knows its venue by a pointer and the addresses of functions (`flowhft.desk.replay.venue.Wire`). Here
the pointer is that of the venue's state; so neither the loop nor a session is compiled twice, and what they
do is the same to the last instruction.
"""

from functools import cache
from typing import Any

import numpy as np
from numba import carray, njit
from numba.core.types import float64, int64

from flowhft.desk.compiled.address import address_of
from flowhft.desk.compiled.compiled import compiled
from flowhft.desk.replay.house import ask, first_event_ns, forget, known_row, run_until
from flowhft.desk.replay.house_state import (
    END_OF_DATA,
    HOUSE,
    K_ASKED,
    K_LEFT,
    K_MAKER,
    K_PRICE,
    K_STATUS,
    K_TIME,
    NEVER,
)
from flowhft.desk.replay.queue import QueueRule
from flowhft.desk.replay.settings import ReplaySettings
from flowhft.desk.replay.venue import Wire
from flowhft.desk.replay.venue_book import ASK, BID, VenueEvents, open_book
from flowhft.errors import MissingExtraError

try:
    from hftbacktest.intrinsic import address_as_void_pointer
    from hftbacktest.types import order_dtype
except ImportError as cause:
    raise MissingExtraError("hftbacktest", "replay") from cause

_READ = np.dtype(order_dtype)  # what a replay reads of an order
_in_use: dict[int, tuple[np.ndarray, ...]] = {}  # memory that must stay where it is, by pointer


@njit
def _at(pointer: int) -> Any:
    """Return the venue of a pointer."""
    return carray(address_as_void_pointer(pointer), 1, HOUSE)[0]


def _elapse(pointer: int, duration_ns: int) -> int:
    """Let time run; the first call sets the clock to the first event."""
    house = _at(pointer)
    if house.now == NEVER:
        if house.events == 0:
            return END_OF_DATA
        house.now = first_event_ns(house)
    return run_until(house, house.now + duration_ns)


def _now(pointer: int) -> int:
    return _at(pointer).now


def _orders(pointer: int, asset: int) -> int:
    return pointer


def _order(pointer: int, number: int) -> int:
    """Write down what we know of an order where hftbacktest's layout is read; return the address."""
    house = _at(pointer)
    written = carray(address_as_void_pointer(house.read), 1, _READ)[0]
    known = house.knows[known_row(house, number)]
    written.status, written.req = known[K_STATUS], known[K_ASKED]
    written.leaves_qty, written.exch_timestamp = known[K_LEFT], known[K_TIME]
    written.exec_price_tick, written.maker = known[K_PRICE], known[K_MAKER] != 0
    return house.read


def _buy(
    pointer: int, asset: int, number: int, price: float, lots: float, force: int, kind: int, wait: int
) -> int:
    return ask(_at(pointer), True, number, BID, round(price), round(lots), force)


def _sell(
    pointer: int, asset: int, number: int, price: float, lots: float, force: int, kind: int, wait: int
) -> int:
    return ask(_at(pointer), True, number, ASK, round(price), round(lots), force)


def _cancel(pointer: int, asset: int, number: int, wait: int) -> int:
    return ask(_at(pointer), False, number, 0, 0, 0, 0)


def _forget(pointer: int, asset: int) -> int:
    forget(_at(pointer))
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
    market: VenueEvents, rule: QueueRule, settings: ReplaySettings, latencies: np.ndarray | None = None
) -> Wire:
    """Return a wire to the house's own venue at the beginning of a recording. Close it after use.

    Args:
        market: from `flowhft.desk.replay.venue_book.venue_events`.
        rule: that orders advance and fill by.
        settings: the latencies are used.
        latencies: from `order_latencies`, where orders do not always take as long as the settings say.
    """
    book = open_book(len(market.prices))
    house, read = np.zeros(1, HOUSE), np.zeros(1, _READ)
    state = house[0]
    state["now"], state["read"] = NEVER, read.ctypes.data
    state["order_ns"] = round(settings.order_latency_ms * 1e6)
    state["answer_ns"] = round(settings.response_latency_ms * 1e6)
    state["events"], state["levels"] = len(market.time_ns), len(market.prices)
    state["columns"], state["book"] = ([array.ctypes.data for array in arrays] for arrays in (market, book))
    for name, value in rule._asdict().items():
        state[name] = value
    rows: list[np.ndarray] = []
    if latencies is not None:
        rows = [np.ascontiguousarray(latencies[name]) for name in ("req_ts", "exch_ts", "resp_ts")]
        state["rows"] = len(latencies)
        state["leaves"], state["there"], state["back"] = (row.ctypes.data for row in rows)
    pointer = house.ctypes.data
    _in_use[pointer] = (house, read, *market, *book, *rows)
    return Wire(pointer, **{name: address_of(function) for name, function in _functions().items()})


def close_wire(wire: Wire) -> None:
    """Let go of the venue's memory; it must not be used again."""
    del _in_use[wire.pointer]
