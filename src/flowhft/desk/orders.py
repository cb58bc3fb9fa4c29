"""The words of the order path: what is wanted, requested of a venue, heard from it, and counted.

A quote becomes *wanted* prices, order rules make *requests* of them, risk lets these through or not, a venue
takes them and tells *updates* of our orders. All are plain numbers that numba runs, so that a compiled replay
and a session in plain Python share every function between them.
"""

from typing import NamedTuple

BID, ASK = 0, 1
NO_PRICE = -(2**62)  # of a side that is not to be quoted
MOST_LOTS = 1e15  # of an order: beyond it no limit lets anything through, and numbers stay whole

# The state of an order as a venue tells of it, in hftbacktest's numbers.
NONE, NEW, EXPIRED, FILLED, CANCELED, PARTIALLY_FILLED = 0, 1, 2, 3, 4, 5
MAY_TAKE, POST_ONLY = 0, 1


class Rules(NamedTuple):
    """What orders obey, as compiled code needs it: nanoseconds, and lots of the instrument."""

    decision_latency_ns: int
    horizon_ns: int
    order_lots: int
    limit_lots: int
    minimum_change: int
    time_in_force: int
    maker_fee: float
    taker_fee: float
    order_rate_per_ns: float
    order_burst: float
    reference: float  # of an inverse contract, ticks; 0 for a linear one


class Wanted(NamedTuple):
    """What is to stand on each side: a price in ticks, `NO_PRICE` for no order, and lots."""

    bid: int
    bid_lots: int
    ask: int
    ask_lots: int


class Request(NamedTuple):
    """What is asked of the venue on one side: the cancellation leaves first, then the new order.

    Attributes:
        cancel: number of the order to withdraw; 0 for none.
        number: of the new order; 0 for none.
        price: of the new order, ticks.
        lots: of the new order.
        counted: place in `OrderCounts` of a reason why less was asked than wanted; `NOT_COUNTED` for none.
    """

    cancel: int
    number: int
    price: int
    lots: int
    counted: int


class Requests(NamedTuple):
    """What a decision asks of the venue.

    Attributes:
        bid, ask: one request a side, the bid's first.
        budget: new orders that may still be sent after these.
        budget_time: when the budget was last filled up, ns since the first decision.
    """

    bid: Request
    ask: Request
    budget: float
    budget_time: float


class OrderUpdate(NamedTuple):
    """What a venue says of one of our orders.

    Attributes:
        number: of the order.
        status: one of the states above.
        lots_left: not filled yet.
        exchange_time_ns: of its last change at the venue.
        asked: what is under way for it, `NONE` for nothing.
        price: of its last fill, ticks; of no meaning where there was none.
        maker: whether that fill was made (1), not taken (0).
    """

    number: int
    status: int
    lots_left: int
    exchange_time_ns: int
    asked: int
    price: int
    maker: int


class OrderCounts(NamedTuple):
    """What was sent, and what was not.

    Attributes:
        submitted: new orders.
        cancelled: cancellations sent.
        rejected: orders that the venue refused lest they trade on arrival.
        kept: quotes of the same size that moved by less than the minimum change, so that the order stayed.
        held_back: quotes that moved while the order budget was spent, so that the order stayed.
        waited: quotes that moved while the venue had not answered the side's last request.
        limited: quotes that were not sent because the inventory limit could have been exceeded.
        over_inventory, over_notional, over_rate, over_distance, over_loss, killed: new orders that risk
            refused, by its reason (`flowhft.desk.risk`).
    """

    submitted: int
    cancelled: int
    rejected: int
    kept: int
    held_back: int
    waited: int
    limited: int
    over_inventory: int = 0
    over_notional: int = 0
    over_rate: int = 0
    over_distance: int = 0
    over_loss: int = 0
    killed: int = 0


(
    SUBMITTED,
    CANCELLED,
    REJECTED,
    KEPT,
    HELD_BACK,
    WAITED,
    LIMITED,
    OVER_INVENTORY,
    OVER_NOTIONAL,
    OVER_RATE,
    OVER_DISTANCE,
    OVER_LOSS,
    KILLED,
) = range(len(OrderCounts._fields))
COUNTS = KILLED + 1
NOT_COUNTED = -1
