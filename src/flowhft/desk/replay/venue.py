"""The wire to the venue of a replay: hftbacktest's exchange, by the C functions of its shared library.

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
from flowhft.desk.compiled.compiled import compiled
from flowhft.desk.orders import OrderUpdate, Request, Requests, Rules
from flowhft.desk.replay.settings import ReplaySettings
from flowhft.errors import MissingExtraError

try:
    import hftbacktest
    from hftbacktest import binding
    from hftbacktest.intrinsic import address_as_void_pointer
    from hftbacktest.types import order_dtype
except ImportError as cause:
    raise MissingExtraError("hftbacktest", "replay") from cause

LIMIT = 0  # hftbacktest's number for the kind of all our orders
FAILED = 10  # calls return this or more where they fail, less where all is well

ASSET = 0  # the library can trade several at once; we trade one
NO_WAIT = 0


class Wire(NamedTuple):
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


_elapse = _orders = _order = _forget = function_at(int64(int64, int64))
_now = function_at(int64(int64))
_submit = function_at(int64(int64, int64, int64, float64, float64, int64, int64, int64))
_cancel = function_at(int64(int64, int64, int64, int64))


def _address(function: Any) -> int:
    """Return the address of a C function."""
    return ctypes.cast(function, ctypes.c_void_p).value or 0


def open_venue(events: np.ndarray, settings: ReplaySettings, latencies: np.ndarray | None = None) -> Wire:
    """Return a venue at the beginning of a recording, with a tick and a lot of 1. Close it after use.

    Args:
        events: from `exchange_events` or, for the queue of single orders, `order_events`.
        settings: latencies, queue model and fees are used; fills are whole.
        latencies: from `order_latencies`, where orders do not always take as long as the settings say.

    Events and latencies must outlive the venue, which reads them where they are.
    """
    asset = (
        hftbacktest.BacktestAsset()
        .data(events)
        .linear_asset(1.0)
        .trading_value_fee_model(1e-4 * settings.fee_bps, 1e-4 * settings.taking_fee_bps)
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
    asset = asset.no_partial_fill_exchange()
    return Wire(
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


def close_venue(wire: Wire) -> None:
    """Free the venue's memory; it must not be used again."""
    binding.hashmapbt_close(wire.pointer)


@compiled
def advance(wire: Wire, time_ns: int) -> int:
    """Let the venue's time run until `time_ns`; return the library's code."""
    elapse, now = _elapse(wire.elapse), _now(wire.now)
    return elapse(wire.pointer, max(time_ns - now(wire.pointer), 0))


@compiled
def begin_time(wire: Wire) -> int:
    """Set the venue's clock to its first event; return the library's code."""
    elapse = _elapse(wire.elapse)
    return elapse(wire.pointer, 0)


@njit
def submit(wire: Wire, buys: bool, number: int, price: int, quantity: float, time_in_force: int) -> int:
    """Send a limit order; return the library's code.

    Args:
        wire: to the venue that it goes to.
        buys: whether it is a bid.
        number: that it is known by from now on.
        price: ticks.
        quantity: lots of the recording.
        time_in_force: `POST_ONLY` or `MAY_TAKE`.
    """
    send_order = _submit(wire.buy if buys else wire.sell)
    return send_order(wire.pointer, ASSET, number, float(price), quantity, time_in_force, LIMIT, NO_WAIT)


@njit
def cancel(wire: Wire, number: int) -> int:
    """Send the cancellation of an order; return the library's code."""
    withdraw = _cancel(wire.cancel)
    return withdraw(wire.pointer, ASSET, number, NO_WAIT)


@njit
def forget_done(wire: Wire) -> None:
    """Drop orders that are done."""
    forget = _forget(wire.forget)
    forget(wire.pointer, ASSET)


@njit
def _whole(number: Any) -> int:
    """Return a whole number of whatever width in 64 bits, as updates from Python have them."""
    return np.int64(number)  # type: ignore[return-value]  # compiled code has no other int


@njit
def look_up(wire: Wire, number: int) -> OrderUpdate:
    """Return what we know of an order that was sent and not forgotten."""
    orders, order_of = _orders(wire.orders), _order(wire.order)
    address = order_of(orders(wire.pointer, ASSET), number)
    order = carray(address_as_void_pointer(address), 1, order_dtype)[0]
    return OrderUpdate(
        _whole(number),
        _whole(order.status),
        _whole(round(order.leaves_qty)),
        _whole(order.exch_timestamp),
        _whole(order.req),
        _whole(order.exec_price_tick),
        _whole(1 if order.maker else 0),
    )


@njit
def _send(wire: Wire, request: Request, buys: bool, rules: Rules) -> int:
    """Send a side's request; return the library's code."""
    code = 0
    if request.cancel != 0:
        code = cancel(wire, request.cancel)
    if request.number != 0 and code < FAILED:
        lots = float(request.lots)
        code = max(code, submit(wire, buys, request.number, request.price, lots, rules.time_in_force))
    return code


@compiled
def send(wire: Wire, requests: Requests, rules: Rules) -> int:
    """Send what is requested; return the library's code.

    Args:
        wire: to the venue that it goes to.
        requests: the bid's go first.
        rules: whether orders may take.
    """
    return max(_send(wire, requests.bid, True, rules), _send(wire, requests.ask, False, rules))
