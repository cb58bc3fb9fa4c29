"""The venue of a replay: hftbacktest's exchange, called through the C functions of its shared library.

The library's own numba classes call the same functions, but through addresses that numba burns into the
code, so that nothing which uses them can be kept on disk and every process compiles for ten seconds. Here
the addresses travel as arguments: compiled once, loaded ever after.
"""

import ctypes
from typing import Any, NamedTuple

import numpy as np
from numba import carray, njit
from numba.core.types import WrapperAddressProtocol, float64, int64

from flowhft.desk.replay.settings import ReplaySettings
from flowhft.errors import MissingExtraError

try:
    import hftbacktest
    from hftbacktest import binding
    from hftbacktest.intrinsic import address_as_void_pointer
    from hftbacktest.types import order_dtype
except ImportError as cause:
    raise MissingExtraError("hftbacktest", "replay") from cause

# hftbacktest's numbers for the state of an order and for its kinds; its `order.py` names them.
NONE, NEW, EXPIRED, FILLED, CANCELED, PARTIALLY_FILLED = 0, 1, 2, 3, 4, 5
MAY_TAKE, POST_ONLY = 0, 1
LIMIT = 0
FAILED = 10  # calls return this or more where they fail, less where all is well

ASSET = 0  # the library can trade several at once; we trade one
NO_WAIT = 0


class Foreign(WrapperAddressProtocol):
    """A C function as a value that compiled code can be given.

    Every whole number is declared with 64 bits, also where C takes a byte: it fills the register or the
    place on the stack that the byte is read from.
    """

    def __init__(self, function: Any, signature: Any) -> None:
        self._address = ctypes.cast(function, ctypes.c_void_p).value or 0
        self._signature = signature

    def __wrapper_address__(self) -> int:
        return self._address

    def signature(self) -> Any:
        """Return the function's numba signature."""
        return self._signature


class Venue(NamedTuple):
    """An exchange with our side of the wire to it: a pointer, and the functions to call with it.

    Attributes:
        pointer: the library's backtest.
        elapse: (pointer, ns) -> code: let time run.
        now: (pointer) -> local time, ns.
        orders: (pointer, asset) -> pointer to our orders as we know them.
        order: (orders, number) -> pointer to an order.
        buy, sell: (pointer, asset, number, price, quantity, time in force, kind, wait) -> code.
        cancel: (pointer, asset, number, wait) -> code.
        forget: (pointer, asset): drop orders that are done.
    """

    pointer: int
    elapse: Any
    now: Any
    orders: Any
    order: Any
    buy: Any
    sell: Any
    cancel: Any
    forget: Any


class OrderState(NamedTuple):
    """What we know of one of our orders.

    Attributes:
        status: one of its states above.
        lots_left: not filled yet.
        exchange_time_ns: of its last change at the venue.
        asked: what is under way for it, `NONE` for nothing.
        price: of its last fill, ticks; of no meaning where there was none.
        maker: whether that fill was made, not taken.
    """

    status: int
    lots_left: int
    exchange_time_ns: int
    asked: int
    price: int
    maker: bool


_SUBMIT = int64(int64, int64, int64, float64, float64, int64, int64, int64)


def open_venue(events: np.ndarray, settings: ReplaySettings, latencies: np.ndarray | None = None) -> Venue:
    """Return a venue at the beginning of a recording, with a tick and a lot of 1. Close it after use.

    Args:
        events: from `exchange_events` or, for the queue of single orders, `order_events`.
        settings: latencies, queue model, partial fills and fees are used.
        latencies: from `order_latencies`, where orders do not always take as long as the settings say.

    Events and latencies must outlive the venue, which reads them where they are.
    """
    asset = (
        hftbacktest.BacktestAsset()
        .data(events)
        .linear_asset(1.0)
        .trading_value_fee_model(1e-4 * settings.maker_fee_bps, 1e-4 * settings.taker_fee_bps)
        .tick_size(1.0)
        .lot_size(1.0)
    )
    if latencies is None:
        asset = asset.constant_order_latency(
            round(settings.order_latency_ms * 1e6), round(settings.response_latency_ms * 1e6)
        )
    else:
        asset = asset.intp_order_latency(latencies)
    name = settings.queue_model.rstrip("23")
    choose = getattr(asset, f"{name}_queue_model{settings.queue_model[len(name) :]}")
    asset = choose(settings.queue_power) if name == "power_prob" else choose()
    asset = asset.partial_fill_exchange() if settings.partial_fills else asset.no_partial_fill_exchange()
    return Venue(
        pointer=hftbacktest.build_hashmap_backtest([asset]),
        elapse=Foreign(binding.hashmapbt_elapse, int64(int64, int64)),
        now=Foreign(binding.hashmapbt_current_timestamp, int64(int64)),
        orders=Foreign(binding.hashmapbt_orders, int64(int64, int64)),
        order=Foreign(binding.orders_get, int64(int64, int64)),
        buy=Foreign(binding.hashmapbt_submit_buy_order, _SUBMIT),
        sell=Foreign(binding.hashmapbt_submit_sell_order, _SUBMIT),
        cancel=Foreign(binding.hashmapbt_cancel, int64(int64, int64, int64, int64)),
        forget=Foreign(binding.hashmapbt_clear_inactive_orders, int64(int64, int64)),
    )


def close_venue(venue: Venue) -> None:
    """Free the venue's memory; it must not be used again."""
    binding.hashmapbt_close(venue.pointer)


@njit
def advance(venue: Venue, time_ns: int) -> int:
    """Let the venue's time run until `time_ns`; return the library's code."""
    return venue.elapse(venue.pointer, max(time_ns - venue.now(venue.pointer), 0))


@njit
def look_up(venue: Venue, number: int) -> OrderState:
    """Return what we know of an order that was sent and not forgotten."""
    address = venue.order(venue.orders(venue.pointer, ASSET), number)
    order = carray(address_as_void_pointer(address), 1, order_dtype)[0]
    return OrderState(
        int(order.status),
        round(order.leaves_qty),
        int(order.exch_timestamp),
        int(order.req),
        int(order.exec_price_tick),
        bool(order.maker),
    )
