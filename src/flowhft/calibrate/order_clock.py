"""How finely a recording tells when market orders came: the tick of its clock, the pieces of one order."""

from itertools import pairwise

import numpy as np
from jaxtyping import Int

from flowhft.recordings.market_orders import ORDER_WINDOW, MarketOrders

PIECES_WITHIN = (ORDER_WINDOW, 0.02, 0.05, 0.1, 0.2)  # seconds; where pieces are looked for
FEWEST_IN_BAND = 10  # successive orders between two of these; fewer say nothing
MOST_OPPOSITE = 0.05  # share of them on opposite sides; orders of their own have 10 % and more
FEWEST_PIECES = 30
LEAST_SHARE = 0.1  # of all orders that must be pieces


def clock_tick(times_ns: Int[np.ndarray, " event"]) -> int:
    """Return the resolution of a clock, ns: the greatest common divisor of all gaps; 0 where there is none.

    Args:
        times_ns: what it showed, never decreasing, shape (event,).
    """
    return int(np.gcd.reduce(np.diff(times_ns))) if len(times_ns) > 1 else 0


def window_of_pieces(orders: MarketOrders) -> float:
    """Return within how many seconds a venue tells of the pieces of one order; 0 where it stamps them alike.

    An engine that is slow, or that is seen by the receiver's clock alone, tells one after another of the
    resting orders that a market order meets: tens of milliseconds apart, and all on one side. Orders of
    their own that follow as closely come on both sides. The window is the longest of `PIECES_WITHIN` up to
    which nearly all successive orders are on one side, if they are many.

    Args:
        orders: market orders in the order of time, not taken together.
    """
    gaps, opposite = np.diff(orders.time_ns) * 1e-9, np.diff(orders.side) != 0
    window, pieces = 0.0, 0
    for shorter, longer in pairwise(PIECES_WITHIN):
        band = (gaps > shorter) & (gaps <= longer)
        if np.sum(band) < FEWEST_IN_BAND:
            continue
        if np.mean(opposite[band]) > MOST_OPPOSITE:
            break
        window, pieces = longer, pieces + int(np.sum(band))
    return window if pieces >= max(FEWEST_PIECES, LEAST_SHARE * len(orders.time_ns)) else 0.0


def clock_warnings(
    tick: float, pieces: float, order_window: float, response_latency: float
) -> tuple[str, ...]:
    """Return what the clock of a recording takes from its market orders, in plain words.

    Args:
        tick: of the clock, seconds.
        pieces: seconds, see `window_of_pieces`.
        order_window: seconds, that was used.
        response_latency: seconds, that was used.
    """
    messages = []
    if pieces > order_window:
        messages.append(
            f"market orders: successive ones within {pieces:g} s are on one side, as if the venue told of "
            f"the pieces of one order one by one; with an order_window of {order_window:g} s each counts as "
            f"an order. Set it to {pieces:g}."
        )
    elif pieces > 0.0:
        messages.append(
            "market orders: the venue tells of the pieces of one order one by one; those within "
            f"{pieces:g} s on one side are taken together."
        )
    if tick > max(order_window, response_latency):
        messages.append(
            f"market orders: the clock ticks every {tick:g} s; successive ones of one side within a tick "
            "count as one, their distances are from a mid up to a tick old, and how they cluster within it "
            "is not seen."
        )
    return tuple(messages)
