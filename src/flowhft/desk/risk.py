"""Risk limits on the order path: the last thing that a request passes on its way to the venue.

Nothing here has a view of the market or asks the policy. What is asked of the venue is compared with limits
that a person has set (`flowhft.desk.limits`). New orders that would break one are taken out and counted with
the reason; cancellations always pass. The desk is in one of three states:

    active     orders may be sent
    reducing   the position is at a limit: only orders that make it smaller, and what adds to it is withdrawn
    halted     nothing may stand; it stays so until a person says otherwise

By default no limit is set here. The inventory limit of the order rules always stands.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int
from numba import njit

from flowhft.desk.account import (
    CASH,
    INVENTORY,
    LEAVING,
    ORDER_ID,
    PAID_FEE,
    UNANSWERED,
    WORKING,
    Account,
    value_of,
    worth_of,
)
from flowhft.desk.compiled.compiled import compiled
from flowhft.desk.limits import RiskSettings
from flowhft.desk.order_rules import exposed_lots
from flowhft.desk.orders import (
    ASK,
    BID,
    KILLED,
    NOT_COUNTED,
    OVER_DISTANCE,
    OVER_INVENTORY,
    OVER_LOSS,
    OVER_NOTIONAL,
    OVER_RATE,
    Request,
    Requests,
    Rules,
)

ACTIVE, REDUCING, HALTED = range(3)
STATES = ("active", "reducing", "halted")
# Why, by the place in `OrderCounts` where orders that it cost are counted.
REASONS = {
    NOT_COUNTED: "",
    OVER_INVENTORY: "inventory",
    OVER_NOTIONAL: "notional",
    OVER_RATE: "rate",
    OVER_DISTANCE: "distance",
    OVER_LOSS: "loss",
    KILLED: "killed",
}
_UNLIMITED = 2**62
SECOND_NS = 1_000_000_000


class Limits(NamedTuple):
    """The settings as compiled code needs them; what is not set is beyond any number.

    Attributes:
        lots: of the position, of the instrument.
        value: of the position, tick x lot.
        orders: within a second.
        distance: ticks.
        loss: tick x lot.
        any: whether one of them is set.
    """

    lots: int = _UNLIMITED
    value: float = np.inf
    orders: int = 0
    distance: float = np.inf
    loss: float = np.inf
    any: bool = False


NO_LIMITS = Limits()


class Guard(NamedTuple):
    """What risk remembers: arrays, so that compiled functions can change them.

    Attributes:
        state: `ACTIVE`, `REDUCING` or `HALTED`, the reason (a key of `REASONS`), and the place in `sent` of
            the oldest.
        sent: when the last orders were sent, ns since the first decision, as many as a second allows, in a
            ring.
    """

    state: Int[np.ndarray, " 3"]
    sent: Int[np.ndarray, " order"]


def limits_of(settings: RiskSettings, order_lots: int, tick_value: float) -> Limits:
    """Return limits in whole lots, ticks and tick x lot.

    Args:
        settings: in orders and currency.
        order_lots: lots of an order.
        tick_value: currency of a tick x lot of the instrument.
    """
    lots, value, loss = settings.max_inventory, settings.max_notional, settings.max_loss
    return Limits(
        lots=_UNLIMITED if lots is None else int(lots * order_lots),
        value=np.inf if value is None else value / tick_value,
        orders=settings.max_order_rate or 0,
        distance=np.inf if settings.max_distance is None else float(settings.max_distance),
        loss=np.inf if loss is None else loss / tick_value,
        any=settings != RiskSettings(),
    )


def open_guard(limits: Limits) -> Guard:
    """Return the guard of a desk that is active and has sent nothing."""
    long_ago = -2 * SECOND_NS
    return Guard(np.array([ACTIVE, NOT_COUNTED, 0], np.int64), np.full(limits.orders, long_ago))


def halt(guard: Guard) -> None:
    """Withdraw everything at the next decision and send nothing more: the kill switch."""
    guard.state[0], guard.state[1] = HALTED, KILLED


def resume(guard: Guard) -> None:
    """Let a desk that was halted trade again, as far as its limits allow."""
    guard.state[0], guard.state[1] = ACTIVE, NOT_COUNTED


@njit
def _state(limits: Limits, guard: Guard, rules: Rules, account: Account, mid: float) -> tuple[int, int]:
    """Return the state of the desk now, and the reason."""
    if guard.state[0] == HALTED:
        return HALTED, guard.state[1]
    held = account.whole[INVENTORY]
    if limits.loss < np.inf:
        equity = account.money[CASH] + held * worth_of(mid, rules.reference) - account.money[PAID_FEE]
        if equity <= -limits.loss:
            return HALTED, OVER_LOSS
    if abs(held) >= limits.lots:
        return REDUCING, OVER_INVENTORY
    if held != 0 and limits.value < np.inf and abs(held) * value_of(mid, rules.reference) >= limits.value:
        return REDUCING, OVER_NOTIONAL
    return ACTIVE, NOT_COUNTED


@njit
def _why_not(
    limits: Limits, guard: Guard, rules: Rules, account: Account, side: int, request: Request, mid: float,
    now: int, before: int,
) -> int:  # fmt: skip
    """Return the reason why a new order must not be sent; `before` are sent with it already."""
    exposed = exposed_lots(account, side) + request.lots
    if exposed > limits.lots:
        return OVER_INVENTORY
    if limits.value < np.inf and exposed * value_of(mid, rules.reference) > limits.value:
        return OVER_NOTIONAL
    if not abs(request.price - mid) <= limits.distance:
        return OVER_DISTANCE
    if limits.orders > 0:
        if before >= limits.orders:
            return OVER_RATE
        oldest = guard.sent[(guard.state[2] + before) % limits.orders]
        if now - oldest < SECOND_NS:
            return OVER_RATE
    return NOT_COUNTED


@njit
def _checked(
    limits: Limits, guard: Guard, rules: Rules, account: Account, side: int, request: Request, mid: float,
    now: int, before: int, state: int, reason: int,
) -> Request:  # fmt: skip
    """Return what of a side's request may be sent."""
    if state == ACTIVE and request.number == 0:
        return request
    adds = (1 - 2 * side) * account.whole[INVENTORY] > 0
    if state == HALTED or (state == REDUCING and adds):
        working, leaving = account.slots[side, WORKING], account.slots[side, LEAVING]
        withdrawn = request.cancel
        if withdrawn == 0 and leaving[ORDER_ID] == 0 and working[UNANSWERED] == 0:
            withdrawn = working[ORDER_ID]
        refused = reason if request.number != 0 else request.counted
        return Request(withdrawn, 0, 0, 0, refused)
    if request.number == 0:
        return request
    refused = _why_not(limits, guard, rules, account, side, request, mid, now, before)
    if refused == NOT_COUNTED:
        return request
    return Request(request.cancel, 0, 0, 0, refused)


@compiled
def risk(
    limits: Limits, guard: Guard, rules: Rules, account: Account, requests: Requests, mid: float, now: int
) -> tuple[Requests, int, int]:
    """Return what of the requests may be sent, the state of the desk, and the reason; nothing changes.

    Args:
        limits: that a person has set.
        guard: what risk remembers; `note_sent` tells it what was sent.
        rules: with the reference of an inverse contract.
        account: the state before the requests.
        requests: from the order rules.
        mid: ticks.
        now: ns since the first decision.
    """
    state, reason = _state(limits, guard, rules, account, mid)
    bid = _checked(limits, guard, rules, account, BID, requests.bid, mid, now, 0, state, reason)
    before = 1 if bid.number != 0 else 0
    ask = _checked(limits, guard, rules, account, ASK, requests.ask, mid, now, before, state, reason)
    budget = requests.budget  # orders that are not sent cost nothing
    if bid.number != requests.bid.number:
        budget += 1.0
    if ask.number != requests.ask.number:
        budget += 1.0
    return Requests(bid, ask, budget, requests.budget_time), state, reason


@njit
def note_sent(limits: Limits, guard: Guard, requests: Requests, state: int, reason: int, now: int) -> None:
    """Remember what was sent, and the state that it was sent in.

    Args:
        limits: that a person has set.
        guard: that remembers.
        requests: as sent.
        state: from `risk`, and so is the reason.
        reason: why the desk is in this state.
        now: ns since the first decision.
    """
    guard.state[0], guard.state[1] = state, reason
    if limits.orders > 0:
        for number in (requests.bid.number, requests.ask.number):
            if number != 0:
                guard.sent[guard.state[2]] = now
                guard.state[2] = (guard.state[2] + 1) % limits.orders
