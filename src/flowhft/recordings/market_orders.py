"""The market orders of a recording, and how far each of them reached from the mid price."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from flowhft.errors import require
from flowhft.recordings.book import Integers, TopOfBook, mid_at, top_of_book
from flowhft.recordings.long_arrays import pieces, piled
from flowhft.recordings.ticks import EVENT, TRADE, Recording

ORDER_WINDOW = 0.01  # second; an order that is split or routed has arrived within it


class MarketOrders(NamedTuple):
    """Market orders ("sweeps"): trades that one aggressor made at one time, taken together.

    Attributes:
        time_ns: exchange time of the first trade, nanoseconds.
        side: the aggressor, `BUY` or `SELL`.
        quantity: lots traded.
        worst_price: the price furthest from where the order began, ticks.
        mid_before: the last mid price strictly before the order, ticks.
        reach: side x (worst_price - mid_before), ticks: a quote resting at a half-spread below this
            was traded through. Negative where a hidden order inside the spread gave a better price.
    """

    time_ns: Integers
    side: Integers
    quantity: Integers
    worst_price: Integers
    mid_before: Float[np.ndarray, " sample"]
    reach: Float[np.ndarray, " sample"]


def market_orders(recording: Recording, merge_window_ns: int = 0) -> MarketOrders:
    """Return the market orders of a recording, each with how far it reached from the mid.

    One market order that meets several resting orders is published as several trades. Consecutive trades
    of one aggressor, each no more than `merge_window_ns` after the one before on the exchange's clock, are
    taken as one. The default of 0 suits both kinds of venue that are read here: an engine stamps all trades
    of one order alike, in nanoseconds (NASDAQ) as in milliseconds (Binance). With a millisecond clock, two
    orders of one side in one millisecond cannot be told apart and count as one.

    The mid before is the last one with a *strictly* smaller exchange time than the order, so that the change
    which the order itself made never counts, whichever of the two arrived first. Orders before the first mid
    are left out.

    Args:
        recording: any recording with trades.
        merge_window_ns: nanoseconds, 0 or more.

    Returns:
        One row an order, in the order of exchange time.
    """
    return taken_together(published_orders(recording.events, top_of_book(recording)), merge_window_ns)


def trades_in(events: np.ndarray) -> np.ndarray:
    """Return the trades among events, dtype `EVENT`, in their order."""
    return piled((part[part["kind"] == TRADE] for part in pieces(events)), EVENT)


def published_orders(events: np.ndarray, top: TopOfBook) -> MarketOrders:
    """Return the market orders of events, trades of one time taken together, before the first mid too.

    Args:
        events: of a recording.
        top: its best prices.

    Returns:
        One row an order, in the order of exchange time; `mid_before` and `reach` are NaN before the first mid
        and where a side of the book was empty.
    """
    trades = trades_in(events)
    trades = trades[np.argsort(trades["exchange_time_ns"], kind="stable")]
    times, side = trades["exchange_time_ns"], trades["side"].astype(np.int64)
    orders = _merged(times, side, trades["quantity"], trades["price"], np.zeros(len(trades)), 0)
    mid_before = mid_at(top, orders.time_ns - 1)
    return orders._replace(mid_before=mid_before, reach=orders.side * (orders.worst_price - mid_before))


def taken_together(orders: MarketOrders, merge_window_ns: int) -> MarketOrders:
    """Return market orders, those of a side that come within a window of the one before as one.

    Args:
        orders: as `published_orders` returns them.
        merge_window_ns: nanoseconds, 0 or more.

    Returns:
        As `market_orders` returns them: those whose mid is known.
    """
    require(merge_window_ns >= 0, "merge_window_ns", "be 0 or more", merge_window_ns)
    if merge_window_ns > 0:
        orders = _merged(*orders[:5], merge_window_ns)
    known = np.isfinite(orders.mid_before)
    return MarketOrders(*(values[known] for values in orders))


def _merged(
    time_ns: Integers,
    side: Integers,
    quantity: Integers,
    price: Integers,
    mid: Float[np.ndarray, " sample"],
    window_ns: int,
) -> MarketOrders:
    """Take together what follows on the same side within a window; the mid is that before the first."""
    begins = np.ones(len(time_ns), bool)
    begins[1:] = (np.diff(time_ns) > window_ns) | (np.diff(side) != 0)
    starts = np.flatnonzero(begins)
    first, mid = side[starts], mid[starts]
    if len(starts):
        quantity = np.add.reduceat(quantity, starts)
        # The worst price is the highest of a buyer and the lowest of a seller: the maximum of side x price.
        worst = first * np.maximum.reduceat(side * price, starts)
    else:
        quantity = worst = np.zeros(0, np.int64)
    return MarketOrders(time_ns[starts], first, quantity, worst, mid, first * (worst - mid))
