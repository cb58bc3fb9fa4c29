"""Order rules: from a quote to the prices that are wanted, and from these to what is requested of the venue.

Every request costs something at a real venue: a place in the queue, a share of the order rate. What is asked
for, left alone and held back is decided here from the state of our account alone. Nothing is sent and nothing
changes: whoever holds the venue does both.
"""

import numpy as np
from numba import njit

from flowhft.desk.account import (
    BUDGET,
    BUDGET_TIME,
    INVENTORY,
    LAST_NUMBER,
    LEAVING,
    LEFT,
    LOTS,
    ORDER_ID,
    PRICE,
    UNANSWERED,
    WORKING,
    Account,
)
from flowhft.desk.compiled.compiled import compiled
from flowhft.desk.orders import (
    ASK,
    BID,
    HELD_BACK,
    KEPT,
    LIMITED,
    MOST_LOTS,
    NO_PRICE,
    NOT_COUNTED,
    POST_ONLY,
    WAITED,
    Request,
    Requests,
    Rules,
    Wanted,
)
from flowhft.types import Quote

FARTHEST = 1e9  # ticks from the mid; prices stay whole numbers that 64 bits hold


@njit
def lots_of(size: float, rules: Rules) -> int:
    """Return the lots of the instrument in a size in orders; 0 where it is none."""
    lots = size * rules.order_lots
    if not lots > 0.0:
        return 0
    return round(min(lots, MOST_LOTS))


@compiled
def prices_of(rules: Rules, quote: Quote, best_bid: int, best_ask: int) -> Wanted:
    """Return the prices on the tick grid that a quote asks for, away from the mid where they lie between.

    A side that is not quoted, or farther away than any price, is not wanted. Orders that may only make stay
    off the other side of the book.

    Args:
        rules: the size of an order, and whether it may take.
        quote: half-spreads, ticks; sizes, orders.
        best_bid: of the market, ticks.
        best_ask: likewise.
    """
    mid = 0.5 * (best_bid + best_ask)
    bid, ask = NO_PRICE, NO_PRICE
    bid_lots, ask_lots = lots_of(quote.size_bid, rules), lots_of(quote.size_ask, rules)
    if bid_lots > 0 and -FARTHEST < quote.half_spread_bid < min(mid, FARTHEST):
        bid = int(np.floor(mid - quote.half_spread_bid))
    if ask_lots > 0 and -FARTHEST < quote.half_spread_ask < FARTHEST:
        ask = int(np.ceil(mid + quote.half_spread_ask))
    if rules.time_in_force == POST_ONLY:
        bid = min(bid, best_ask - 1)
        ask = ask if ask == NO_PRICE else max(ask, best_bid + 1)
    return Wanted(bid, bid_lots, ask, ask_lots)


@njit
def exposed_lots(account: Account, side: int) -> int:
    """Return the lots that a side could hold in the end: of an order that goes all may still fill."""
    slots = account.slots[side]
    return (1 - 2 * side) * account.whole[INVENTORY] + slots[WORKING, LEFT] + slots[LEAVING, LEFT]


@njit
def _request(
    rules: Rules,
    account: Account,
    side: int,
    price: int,
    lots: int,
    now: int,
    budget: float,
    filled_up: float,
) -> tuple[Request, float, float]:
    """Decide one side; return with it the budget, and when that was last filled up."""
    working, leaving = account.slots[side, WORKING], account.slots[side, LEAVING]
    stands = working[ORDER_ID] != 0
    if stands:
        change = abs(price - working[PRICE])
        resized = price != NO_PRICE and lots != working[LOTS]
        if change == 0 and not resized:
            return Request(0, 0, 0, 0, NOT_COUNTED), budget, filled_up
        if price != NO_PRICE and change < rules.minimum_change and not resized:
            return Request(0, 0, 0, 0, KEPT), budget, filled_up
        if leaving[ORDER_ID] != 0 or working[UNANSWERED] != 0:
            return Request(0, 0, 0, 0, WAITED), budget, filled_up
    elif price == NO_PRICE:
        return Request(0, 0, 0, 0, NOT_COUNTED), budget, filled_up
    fits = exposed_lots(account, side) + lots <= rules.limit_lots
    if price != NO_PRICE and fits and rules.order_rate_per_ns != 0.0:
        budget = min(rules.order_burst, budget + rules.order_rate_per_ns * (now - filled_up))
        filled_up = float(now)
        if budget < 1.0:
            return Request(0, 0, 0, 0, HELD_BACK), budget, filled_up
    withdrawn = working[ORDER_ID]
    if price == NO_PRICE:
        return Request(withdrawn, 0, 0, 0, NOT_COUNTED), budget, filled_up
    if not fits:
        return Request(withdrawn, 0, 0, 0, LIMITED), budget, filled_up
    return (
        Request(withdrawn, account.whole[LAST_NUMBER] + 1, price, lots, NOT_COUNTED),
        budget - 1.0,
        filled_up,
    )


@compiled
def order_rules(rules: Rules, account: Account, wanted: Wanted, now: int) -> Requests:
    """Return what is to be asked of the venue so that on each side stands what is wanted; nothing changes.

    A cancellation and the order that takes its place leave together and arrive in this order, so the venue
    never holds two. Until we hear, though, the first may have been filled: a new order is asked for only
    where the inventory limit would hold even then. A side that has not heard of its last request waits. Where
    the budget of orders is spent the old order stays; what must go for the limit or by the policy's wish,
    goes.

    Args:
        rules: that orders obey.
        account: the state: orders, inventory, budget, as far as we were told.
        wanted: prices and lots.
        now: ns since the first decision.
    """
    budget, filled_up = account.money[BUDGET], account.money[BUDGET_TIME]
    bid, budget, filled_up = _request(
        rules, account, BID, wanted.bid, wanted.bid_lots, now, budget, filled_up
    )
    ask, budget, filled_up = _request(
        rules, account, ASK, wanted.ask, wanted.ask_lots, now, budget, filled_up
    )
    if bid.number != 0 and ask.number != 0:
        ask = Request(ask.cancel, ask.number + 1, ask.price, ask.lots, ask.counted)
    return Requests(bid, ask, budget, filled_up)
