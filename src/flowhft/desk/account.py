"""The account: what a maker owns, which of its orders stand, what it has done; it is told, and asks nobody.

A venue is read by whoever holds its pointer or its socket (`flowhft.desk.venue`). What it says of our orders
is booked here, and so is what we have requested: money in whole lots and ticks.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numba import njit

from flowhft.desk.compiled.compiled import compiled
from flowhft.desk.orders import (
    ASK,
    BID,
    CANCELED,
    CANCELLED,
    COUNTS,
    EXPIRED,
    FILLED,
    NONE,
    REJECTED,
    SUBMITTED,
    OrderUpdate,
    Request,
    Requests,
    Rules,
)
from flowhft.recordings.instrument import value, worth

WORKING, LEAVING = 0, 1  # an order that stands or is on its way, and one whose cancellation is under way
# What a slot holds: 0 for no order, ticks, lots left, lots sent, whether the venue has yet to answer.
ORDER_ID, PRICE, LEFT, LOTS, UNANSWERED = range(5)
worth_of, value_of = njit(worth), njit(value)


# What the account's arrays hold.
CASH, PAID_FEE, TRADED, BUDGET, BUDGET_TIME = range(5)
INVENTORY, LOTS_BOUGHT, LOTS_SOLD, LAST_NUMBER = range(4)


class Account(NamedTuple):
    """What the maker owns and has done: arrays, so that compiled functions can change them.

    Attributes:
        money: tick x lot: cash at absolute prices and before fees (see `flowhft.recordings.instrument`), fees
            paid, all that was bought and sold; then new orders that may be sent, and when that was so, ns
            since the first decision.
        whole: lots of the instrument: inventory, bought, sold; then the number of the last order.
        slots: the orders, by side, state (working, leaving) and column (`ORDER_ID` and those behind it).
        counts: see `flowhft.desk.orders.OrderCounts`.
    """

    money: Float[np.ndarray, " number"]
    whole: Int[np.ndarray, " number"]
    slots: Int[np.ndarray, "side state column"]
    counts: Int[np.ndarray, " count"]

    @property
    def inventory(self) -> int:
        """Return the lots held, of the instrument."""
        return int(self.whole[INVENTORY])

    @property
    def cash(self) -> float:
        """Return the cash at absolute prices, before fees, tick x lot."""
        return float(self.money[CASH])

    @property
    def fee(self) -> float:
        """Return the fees paid, tick x lot."""
        return float(self.money[PAID_FEE])


def open_account(rules: Rules) -> Account:
    """Return an account of nothing, with a full budget of orders."""
    return Account(
        money=np.array([0.0, 0.0, 0.0, rules.order_burst, 0.0]),
        whole=np.zeros(LAST_NUMBER + 1, np.int64),
        slots=np.zeros((2, 2, UNANSWERED + 1), np.int64),
        counts=np.zeros(COUNTS, np.int64),
    )


@njit
def _note(account: Account, side: int, request: Request) -> None:
    """Remember what leaves on one side."""
    working, leaving = account.slots[side, WORKING], account.slots[side, LEAVING]
    if request.counted >= 0:
        account.counts[request.counted] += 1
    if request.cancel != 0:
        account.counts[CANCELLED] += 1
        for column in range(len(working)):
            leaving[column], working[column] = working[column], 0
    if request.number != 0:
        account.counts[SUBMITTED] += 1
        account.whole[LAST_NUMBER] = max(account.whole[LAST_NUMBER], request.number)
        working[ORDER_ID], working[PRICE] = request.number, request.price
        working[LEFT] = working[LOTS] = request.lots
        working[UNANSWERED] = 1


@njit
def note_requests(account: Account, requests: Requests) -> None:
    """Remember what leaves for the venue: the orders that stand from now on, and what is counted.

    Args:
        account: whose orders they are.
        requests: that the venue is sent.
    """
    _note(account, BID, requests.bid)
    _note(account, ASK, requests.ask)
    account.money[BUDGET], account.money[BUDGET_TIME] = requests.budget, requests.budget_time


class Booked(NamedTuple):
    """What an update came to.

    Attributes:
        sign: 1 where our bid was filled, -1 where our ask was.
        lots: that were filled since the last update.
        done: whether nothing of the order is left at the venue.
    """

    sign: int
    lots: int
    done: bool


@compiled
def book(account: Account, rules: Rules, update: OrderUpdate) -> Booked:
    """Book what a venue says of an order: its fills, and that it is done. Unknown orders are left alone.

    Args:
        account: whose order it is.
        rules: with the fees, and the reference of an inverse contract.
        update: what the venue says, as it stands now; what was said before is not booked twice.
    """
    for side in range(2):
        sign = 1 - 2 * side
        for state in range(2):
            slot = account.slots[side, state]
            if slot[ORDER_ID] == 0 or slot[ORDER_ID] != update.number:
                continue
            slot[UNANSWERED] = 1 if update.asked != NONE else 0
            lots = slot[LEFT] - update.lots_left
            if lots > 0 and update.status != EXPIRED:
                slot[LEFT] -= lots
                account.whole[INVENTORY] += sign * lots
                account.whole[LOTS_BOUGHT + side] += lots
                account.money[CASH] -= sign * lots * worth_of(update.price, rules.reference)
                traded = lots * value_of(update.price, rules.reference)
                account.money[TRADED] += traded
                fee = rules.maker_fee if update.maker else rules.taker_fee
                account.money[PAID_FEE] += fee * traded
            else:
                lots = 0
            if update.status == EXPIRED:
                account.counts[REJECTED] += 1
            done = update.status == FILLED or update.status == CANCELED or update.status == EXPIRED
            if done:
                slot[ORDER_ID] = slot[LEFT] = 0
            return Booked(sign, lots, done)
    return Booked(0, 0, False)
