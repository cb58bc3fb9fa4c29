"""The size of our orders where one must suit any recording: a third of the median market order."""

import numpy as np
from jaxtyping import Int

from flowhft.recordings.market_orders import market_orders
from flowhft.recordings.ticks import Recording

SHARE = 1.0 / 3.0


def small_order(recording: Recording) -> int:
    """Return a third of the median market order, rounded to a lot, at least one: small beside what fills it.

    Prints of one side at one time are one order, as calibration counts them.

    Args:
        recording: with trades.
    """
    return third_of_median(market_orders(recording).quantity)


def third_of_median(quantity: Int[np.ndarray, " order"]) -> int:
    """Return a third of the median market order, rounded to a lot, at least one; 1 without orders.

    Args:
        quantity: of the market orders, lots.

    Example:
        >>> third_of_median(np.array([3, 30, 3000]))
        10
    """
    return max(1, round(SHARE * float(np.median(quantity)))) if len(quantity) else 1
