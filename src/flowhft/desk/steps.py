"""A step of a session: what is seen, what a quote becomes, what the step brought.

`begin_step`, `requests_for` and `end_step` are all of it, with nothing of a venue in them. The compiled
replay (`flowhft.desk.replay.loop`) and a session in plain Python (`flowhft.desk.session`) call them alike, so
that a policy trades the same by either.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from flowhft.desk.account import (
    CASH,
    INVENTORY,
    LOTS_BOUGHT,
    LOTS_SOLD,
    ORDER_ID,
    PAID_FEE,
    TRADED,
    WORKING,
    Account,
    note_requests,
    open_account,
    worth_of,
)
from flowhft.desk.compiled.compiled import compiled
from flowhft.desk.observer import MarketState, observation_of
from flowhft.desk.order_rules import order_rules, prices_of
from flowhft.desk.orders import ASK, BID, CANCELLED, NOT_COUNTED, SUBMITTED, Requests, Rules
from flowhft.desk.risk import ACTIVE, NO_LIMITS, Guard, Limits, note_sent, open_guard, risk
from flowhft.types import SCALARS, Activity, Fill, Observation, Quote, Trajectory

OBSERVED = len(SCALARS)
# Columns of a step: what was observed, as in `Observation`, then these.
(
    HALF_SPREAD_BID,
    HALF_SPREAD_ASK,
    SIZE_BID,
    SIZE_ASK,
    BOUGHT,
    SOLD,
    SPREAD_PNL,
    INVENTORY_PNL,
    FEE,
    MID_AFTER,
    STANDING_BID,
    STANDING_ASK,
    ORDERS,
    CANCELLATIONS,
    TURNOVER,
    LATENCY_US,
    RISK_STATE,
    RISK_REASON,
    HINDERED_BID,
    HINDERED_ASK,
) = range(OBSERVED, OBSERVED + 20)
COLUMNS = HINDERED_ASK + 1
# What is remembered from the beginning of a step to its end, and of the step before.
_CASH, _FEE, _TRADED, _BOUGHT, _SOLD, _SUBMITTED, _CANCELLED, _LAST_BOUGHT, _LAST_SOLD, _MID = range(10)


class Run(NamedTuple):
    """A policy's way through a session: arrays change, the rest does not.

    Attributes:
        rules: that orders obey.
        limits: that risk holds them to.
        account: what the policy owns and has done.
        guard: what risk remembers.
        start_ns: local time of the first decision.
        first_mid: mid price then, ticks.
        columns: what happened, shape (column, step), see `HALF_SPREAD_BID` and those around it.
        before: what is remembered while a step lasts.
    """

    rules: Rules
    limits: Limits
    account: Account
    guard: Guard
    start_ns: int
    first_mid: float
    columns: Float[np.ndarray, "column step"]
    before: Float[np.ndarray, " number"]


def open_run(
    rules: Rules,
    market: MarketState,
    steps: int,
    limits: Limits = NO_LIMITS,
    account: Account | None = None,
    guard: Guard | None = None,
) -> Run:
    """Return a run in which nothing has happened.

    Args:
        rules: that orders obey.
        market: at the first decision.
        steps: that there is room for.
        limits: of risk.
        account: that it begins with; None for one of nothing.
        guard: likewise; None for one that is active.
    """
    return Run(
        rules=rules,
        limits=limits,
        account=open_account(rules) if account is None else account,
        guard=open_guard(limits) if guard is None else guard,
        start_ns=int(market.time_ns),
        first_mid=0.5 * (market.best_bid + market.best_ask),
        columns=np.zeros((COLUMNS, steps)),
        before=np.zeros(_MID + 1),
    )


@compiled
def begin_step(run: Run, market: MarketState, index: int) -> Observation:
    """Return what the policy sees at a decision, and remember what it owns.

    Args:
        run: whose step begins.
        market: as it is known now.
        index: of the step among the columns.
    """
    rules, account, before, columns = run.rules, run.account, run.before, run.columns
    unit = float(rules.order_lots)
    inventory, cash, fee = account.whole[INVENTORY], account.money[CASH], account.money[PAID_FEE]
    before[_CASH], before[_FEE], before[_TRADED] = cash, fee, account.money[TRADED]
    before[_BOUGHT], before[_SOLD] = account.whole[LOTS_BOUGHT], account.whole[LOTS_SOLD]
    before[_SUBMITTED], before[_CANCELLED] = account.counts[SUBMITTED], account.counts[CANCELLED]
    before[_MID] = 0.5 * (market.best_bid + market.best_ask)
    seen = observation_of(
        market,
        run.start_ns,
        run.first_mid,
        rules.horizon_ns,
        inventory / unit,
        (cash + inventory * worth_of(run.first_mid, rules.reference) - fee) / unit,
        before[_LAST_BOUGHT],
        before[_LAST_SOLD],
    )
    for column, number in enumerate(seen[:OBSERVED]):
        columns[column, index] = number
    return seen


@compiled
def requests_for(run: Run, market: MarketState, index: int, wanted: Quote, now: int) -> Requests:
    """Return what a quote asks of the venue, by the order rules and within the limits; the account is told.

    Args:
        run: whose step was begun.
        market: as it was known when the step began.
        index: of the step among the columns.
        wanted: what the policy quotes; NaN and size 0 are no quote.
        now: when the requests leave, ns since the first decision.
    """
    rules, limits, account, guard, columns = run.rules, run.limits, run.account, run.guard, run.columns
    prices = prices_of(rules, wanted, market.best_bid, market.best_ask)
    allowed = order_rules(rules, account, prices, now)
    state, reason = ACTIVE, NOT_COUNTED
    if limits.any or guard.state[0] != ACTIVE:  # else there is nothing to hold them to
        allowed, state, reason = risk(limits, guard, rules, account, allowed, run.before[_MID], now)
        note_sent(limits, guard, allowed, state, reason, now)
    note_requests(account, allowed)
    columns[HALF_SPREAD_BID, index] = wanted.half_spread_bid
    columns[HALF_SPREAD_ASK, index] = wanted.half_spread_ask
    columns[SIZE_BID, index] = wanted.size_bid
    columns[SIZE_ASK, index] = wanted.size_ask
    columns[STANDING_BID, index] = account.slots[BID, WORKING, ORDER_ID] != 0
    columns[STANDING_ASK, index] = account.slots[ASK, WORKING, ORDER_ID] != 0
    columns[ORDERS, index] = account.counts[SUBMITTED] - run.before[_SUBMITTED]
    columns[CANCELLATIONS, index] = account.counts[CANCELLED] - run.before[_CANCELLED]
    columns[LATENCY_US, index] = np.nan
    columns[RISK_STATE, index] = state
    columns[RISK_REASON, index] = reason
    columns[HINDERED_BID, index], columns[HINDERED_ASK, index] = allowed.bid.counted, allowed.ask.counted
    return allowed


@compiled
def end_step(run: Run, market: MarketState, index: int) -> None:
    """Write down what a step brought.

    Args:
        run: whose step ends.
        market: as it is known now, at the next decision.
        index: of the step among the columns.
    """
    rules, account, before, columns = run.rules, run.account, run.before, run.columns
    unit, reference = float(rules.order_lots), rules.reference
    bought = account.whole[LOTS_BOUGHT] - int(before[_BOUGHT])
    sold = account.whole[LOTS_SOLD] - int(before[_SOLD])
    at_mid = worth_of(before[_MID], reference)
    after = 0.5 * (market.best_bid + market.best_ask)
    at_next = worth_of(after, reference)
    columns[BOUGHT, index] = before[_LAST_BOUGHT] = bought / unit
    columns[SOLD, index] = before[_LAST_SOLD] = sold / unit
    columns[SPREAD_PNL, index] = (account.money[CASH] - before[_CASH] + (bought - sold) * at_mid) / unit
    columns[INVENTORY_PNL, index] = account.whole[INVENTORY] * (at_next - at_mid) / unit
    columns[FEE, index] = (account.money[PAID_FEE] - before[_FEE]) / unit
    columns[TURNOVER, index] = (account.money[TRADED] - before[_TRADED]) / unit
    columns[MID_AFTER, index] = after - run.first_mid


def trajectory_of_columns(columns: Float[np.ndarray, "column step"]) -> Trajectory:
    """Return the steps of a run as a trajectory, arrays of shape (1, step)."""
    path = columns[:, None, :]
    return Trajectory(
        observation=Observation(*path[:OBSERVED]),
        quote=Quote(path[HALF_SPREAD_BID], path[HALF_SPREAD_ASK], path[SIZE_BID], path[SIZE_ASK]),
        fill=Fill(path[BOUGHT], path[SOLD]),
        spread_pnl=path[SPREAD_PNL],
        inventory_pnl=path[INVENTORY_PNL],
        fee=path[FEE],
        mid_after=path[MID_AFTER],
        activity=Activity(
            standing_bid=path[STANDING_BID],
            standing_ask=path[STANDING_ASK],
            orders=path[ORDERS],
            cancellations=path[CANCELLATIONS],
            turnover=path[TURNOVER],
            latency_us=path[LATENCY_US],
        ),
    )
