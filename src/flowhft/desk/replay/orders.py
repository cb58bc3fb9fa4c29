"""Our orders: what stands and what is on its way, how a quote becomes orders, and what became of them.

Every request costs something at a real venue: a place in the queue, a share of the order rate. What is
sent, left alone and held back is counted here, and so is the money, in whole lots and ticks.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numba import njit

from flowhft.desk.replay.venue import (
    CANCELED,
    EXPIRED,
    FAILED,
    FILLED,
    NONE,
    Venue,
    cancel,
    forget_done,
    look_up,
    submit,
)
from flowhft.recordings.instrument import value, worth

BID, ASK = 0, 1
WORKING, LEAVING = 0, 1  # an order that stands or is on its way, and one whose cancellation is under way
ORDER_ID, PRICE, LEFT, LOTS = 0, 1, 2, 3  # what a slot holds: 0 for no order, ticks, lots left, lots sent
NO_PRICE = -(2**62)
_worth, _value = njit(worth), njit(value)
MOST_LOTS = 1e15  # of an order: beyond it no limit lets anything through, and numbers stay whole
FILL_COLUMNS = 6  # step, exchange time, side, price, lots, whether it was made (1) or taken (0)


class Rules(NamedTuple):
    """The settings as the compiled loop needs them: nanoseconds and lots of the recording."""

    decision_latency_ns: int
    horizon_ns: int
    order_lots: int
    limit_lots: int
    minimum_change: int
    time_in_force: int
    maker_fee: float
    taker_fee: float
    crumb: float  # lots that an order is short of its size, see `flowhft.desk.replay.engine`
    order_rate_per_ns: float
    order_burst: float
    reference: float  # of an inverse contract, ticks; 0 for a linear one


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
    """

    submitted: int
    cancelled: int
    rejected: int
    kept: int
    held_back: int
    waited: int
    limited: int


SUBMITTED, CANCELLED, REJECTED, KEPT, HELD_BACK, WAITED, LIMITED = range(len(OrderCounts._fields))


class Account(NamedTuple):
    """What the maker owns and has done: arrays, so that compiled functions can change them.

    Attributes:
        inventory: lots of the recording.
        cash: tick x lot, at absolute prices and before fees (see `flowhft.recordings.instrument`).
        fee: tick x lot paid so far.
        traded: tick x lot of all that was bought and sold.
        budget: new orders that may be sent, and when that was so, ns since the first decision.
        slots: the orders, by side, state (working, leaving) and column (number, price, lots left, lots sent).
        counts: see `OrderCounts`.
    """

    inventory: Int[np.ndarray, " 1"]
    cash: Float[np.ndarray, " 1"]
    fee: Float[np.ndarray, " 1"]
    traded: Float[np.ndarray, " 1"]
    budget: Float[np.ndarray, " 2"]
    slots: Int[np.ndarray, "side state column"]
    counts: Int[np.ndarray, " count"]


def open_account(rules: Rules) -> Account:
    """Return an account of nothing, with a full budget of orders."""
    return Account(
        inventory=np.zeros(1, np.int64),
        cash=np.zeros(1),
        fee=np.zeros(1),
        traded=np.zeros(1),
        budget=np.array([rules.order_burst, 0.0]),
        slots=np.zeros((2, 2, 4), np.int64),
        counts=np.zeros(len(OrderCounts._fields), np.int64),
    )


@njit
def collect(venue: Venue, account: Account, rules: Rules, fills: np.ndarray, count: int, step: int) -> int:
    """Learn what became of our orders: book their fills, forget those that are done.

    Fills are written to the rows of `fills` from `count` on, in the order of `FILL_COLUMNS`.

    Returns:
        The new count of fills.
    """
    done = False
    for side in range(2):
        sign = 1 - 2 * side
        for state in range(2):
            slot = account.slots[side, state]
            if slot[ORDER_ID] == 0:
                continue
            order = look_up(venue, slot[ORDER_ID])
            lots = slot[LEFT] - order.lots_left
            if lots > 0 and order.status != EXPIRED:
                slot[LEFT] -= lots
                account.inventory[0] += sign * lots
                account.cash[0] -= sign * lots * _worth(order.price, rules.reference)
                traded = lots * _value(order.price, rules.reference)
                account.traded[0] += traded
                account.fee[0] += (rules.maker_fee if order.maker else rules.taker_fee) * traded
                fills[count, 0] = step
                fills[count, 1] = order.exchange_time_ns
                fills[count, 2] = sign
                fills[count, 3] = order.price
                fills[count, 4] = lots
                fills[count, 5] = 1 if order.maker else 0
                count += 1
            if order.status == EXPIRED:
                account.counts[REJECTED] += 1
            if order.status == FILLED or order.status == CANCELED or order.status == EXPIRED:
                slot[ORDER_ID] = slot[LEFT] = 0
                done = True
    if done:
        forget_done(venue)
    return count


@njit
def _affordable(account: Account, rules: Rules, now: int) -> bool:
    """Say whether a new order may be sent now: at least one is in the budget, which fills up with time."""
    if rules.order_rate_per_ns == 0.0:
        return True
    earned = rules.order_rate_per_ns * (now - account.budget[1])
    account.budget[0] = min(rules.order_burst, account.budget[0] + earned)
    account.budget[1] = now
    return account.budget[0] >= 1.0


@njit
def lots_of(size: float, rules: Rules) -> int:
    """Return the lots of the recording in a size in orders; 0 where it is none."""
    lots = size * rules.order_lots
    if not lots > 0.0:
        return 0
    return round(min(lots, MOST_LOTS))


@njit
def send(venue: Venue, account: Account, rules: Rules, side: int, price: int, lots: int, now: int) -> int:
    """Bring one side's order to a price and size, or withdraw it where the price is `NO_PRICE`.

    A cancellation and the order that takes its place leave together and arrive in this order, so the venue
    never holds two. Until we hear, though, the first may have been filled: a new order is sent only where the
    limit would hold even then. A side that has not heard of its last request waits. Where the budget is spent
    the old order stays, and is counted; what must go for the limit or by the policy's wish, goes.

    Args:
        venue: that the orders go to.
        account: whose orders they are.
        rules: of the replay.
        side: `BID` or `ASK`.
        price: ticks.
        lots: of the recording, at least one.
        now: ns since the first decision.

    Returns:
        The library's code.
    """
    sign = 1 - 2 * side
    working, leaving = account.slots[side, WORKING], account.slots[side, LEAVING]
    stands = working[ORDER_ID] != 0
    if stands:
        change = abs(price - working[PRICE])
        resized = price != NO_PRICE and lots != working[LOTS]
        if change == 0 and not resized:
            return 0
        if price != NO_PRICE and change < rules.minimum_change and not resized:
            account.counts[KEPT] += 1
            return 0
        if leaving[ORDER_ID] != 0 or look_up(venue, working[ORDER_ID]).asked != NONE:
            account.counts[WAITED] += 1
            return 0
    elif price == NO_PRICE:
        return 0
    # Of the order that is to go all may still fill, and of one that is going already.
    exposed = sign * account.inventory[0] + working[LEFT] + leaving[LEFT]
    fits = exposed + lots <= rules.limit_lots
    if price != NO_PRICE and fits and not _affordable(account, rules, now):
        account.counts[HELD_BACK] += 1
        return 0
    if stands:
        code = cancel(venue, working[ORDER_ID])
        if code >= FAILED:
            return code
        account.counts[CANCELLED] += 1
        for column in range(len(working)):
            leaving[column], working[column] = working[column], 0
    if price == NO_PRICE:
        return 0
    if not fits:
        account.counts[LIMITED] += 1
        return 0
    account.budget[0] -= 1.0
    account.counts[SUBMITTED] += 1
    number = account.counts[SUBMITTED]
    working[ORDER_ID], working[PRICE], working[LEFT], working[LOTS] = number, price, lots, lots
    return submit(venue, side == BID, number, price, lots - rules.crumb, rules.time_in_force)


@njit
def with_room(fills: np.ndarray) -> np.ndarray:
    """Return the fills in an array of twice the length; np.concatenate would take seconds to compile."""
    longer = np.empty((2 * len(fills), fills.shape[1]), np.int64)
    for row in range(len(fills)):
        for column in range(fills.shape[1]):
            longer[row, column] = fills[row, column]
    return longer
