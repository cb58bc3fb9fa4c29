"""The venue of a replay: hftbacktest's exchange, called through the C functions of its shared library.

The library's own numba classes call the same functions, but through addresses that numba burns into the
code, so that nothing which uses them can be kept on disk and every process compiles for ten seconds. Here
the addresses travel as numbers: compiled once, loaded ever after.
"""

import ctypes
from typing import Any, NamedTuple

import numpy as np
from numba import carray, njit
from numba.core.types import float64, int64

from flowhft.desk.compiled.address import function_at
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


class Venue(NamedTuple):
    """An exchange with our side of the wire to it: a pointer, and the addresses of functions to call with it.

    Every whole number of theirs is declared with 64 bits, also where C takes a byte: it fills the register or
    the place on the stack that the byte is read from.

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
    elapse: int
    now: int
    orders: int
    order: int
    buy: int
    sell: int
    cancel: int
    forget: int


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


_elapse = _orders = _order = _forget = function_at(int64(int64, int64))
_now = function_at(int64(int64))
_submit = function_at(int64(int64, int64, int64, float64, float64, int64, int64, int64))
_cancel = function_at(int64(int64, int64, int64, int64))


def _address(function: Any) -> int:
    """Return the address of a C function."""
    return ctypes.cast(function, ctypes.c_void_p).value or 0


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
        elapse=_address(binding.hashmapbt_elapse),
        now=_address(binding.hashmapbt_current_timestamp),
        orders=_address(binding.hashmapbt_orders),
        order=_address(binding.orders_get),
        buy=_address(binding.hashmapbt_submit_buy_order),
        sell=_address(binding.hashmapbt_submit_sell_order),
        cancel=_address(binding.hashmapbt_cancel),
        forget=_address(binding.hashmapbt_clear_inactive_orders),
    )


def close_venue(venue: Venue) -> None:
    """Free the venue's memory; it must not be used again."""
    binding.hashmapbt_close(venue.pointer)


@njit
def advance(venue: Venue, time_ns: int) -> int:
    """Let the venue's time run until `time_ns`; return the library's code."""
    elapse, now = _elapse(venue.elapse), _now(venue.now)
    return elapse(venue.pointer, max(time_ns - now(venue.pointer), 0))


@njit
def begin_time(venue: Venue) -> int:
    """Set the venue's clock to its first event; return the library's code."""
    elapse = _elapse(venue.elapse)
    return elapse(venue.pointer, 0)


@njit
def submit(venue: Venue, buys: bool, number: int, price: int, quantity: float, time_in_force: int) -> int:
    """Send a limit order; return the library's code.

    Args:
        venue: that it goes to.
        buys: whether it is a bid.
        number: that it is known by from now on.
        price: ticks.
        quantity: lots of the recording.
        time_in_force: `POST_ONLY` or `MAY_TAKE`.
    """
    place = _submit(venue.buy if buys else venue.sell)
    return place(venue.pointer, ASSET, number, float(price), quantity, time_in_force, LIMIT, NO_WAIT)


@njit
def cancel(venue: Venue, number: int) -> int:
    """Send the cancellation of an order; return the library's code."""
    withdraw = _cancel(venue.cancel)
    return withdraw(venue.pointer, ASSET, number, NO_WAIT)


@njit
def forget_done(venue: Venue) -> None:
    """Drop orders that are done."""
    forget = _forget(venue.forget)
    forget(venue.pointer, ASSET)


@njit
def look_up(venue: Venue, number: int) -> OrderState:
    """Return what we know of an order that was sent and not forgotten."""
    orders, order_of = _orders(venue.orders), _order(venue.order)
    address = order_of(orders(venue.pointer, ASSET), number)
    order = carray(address_as_void_pointer(address), 1, order_dtype)[0]
    return OrderState(
        int(order.status),
        round(order.leaves_qty),
        int(order.exch_timestamp),
        int(order.req),
        int(order.exec_price_tick),
        bool(order.maker),
    )
