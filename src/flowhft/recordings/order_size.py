"""The size of our orders where one must suit any recording: a third of the median market order."""

import numpy as np

from flowhft.recordings.market_orders import market_orders
from flowhft.recordings.ticks import Recording

SHARE = 1.0 / 3.0


def small_order(recording: Recording) -> int:
    """Return a third of the median market order, rounded to a lot, at least one: small beside what fills it.

    Prints of one side at one time are one order, as calibration counts them.

    Args:
        recording: with trades.
    """
    quantity = market_orders(recording).quantity
    return max(1, round(SHARE * float(np.median(quantity)))) if len(quantity) else 1
