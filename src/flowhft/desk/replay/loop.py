"""The replay, decision by decision: what is seen, what a quote becomes, what a step brought.

`begin_step` and `finish_step` are all of it. A compiled loop calls them for policies that numba runs, a loop
in Python for those that it does not: a policy trades the same by either.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numba import njit

from flowhft.desk.compiled import Desk, Memory, compiled
from flowhft.desk.compiled.decide import NO_FAULT
from flowhft.desk.compiled.quote import ask_desk
from flowhft.desk.replay.orders import (
    ASK,
    BID,
    CANCELLED,
    FILL_COLUMNS,
    NO_PRICE,
    ORDER_ID,
    SUBMITTED,
    WORKING,
    Account,
    Rules,
    collect,
    lots_of,
    send,
    with_room,
)
from flowhft.desk.replay.tape import Tape, observe
from flowhft.desk.replay.venue import FAILED, POST_ONLY, Venue, advance, begin_time
from flowhft.recordings.instrument import worth
from flowhft.types import Observation, Quote

FARTHEST = 1e9  # ticks from the mid; prices stay whole numbers that 64 bits hold
FILLS_A_STEP = 8  # two collections of four orders

# Columns of a run, by step; the last are those of `Activity` but latency, and the sizes quoted.
(
    INVENTORY,
    CASH,
    HALF_SPREAD_BID,
    HALF_SPREAD_ASK,
    BOUGHT,
    SOLD,
    SPREAD_PNL,
    INVENTORY_PNL,
    FEE,
    STANDING_BID,
    STANDING_ASK,
    ORDERS,
    CANCELLATIONS,
    TURNOVER,
    SIZE_BID,
    SIZE_ASK,
) = range(16)
_COLUMNS = SIZE_ASK + 1
# What is remembered of the account while a step lasts.
_INVENTORY, _CASH, _FEE, _TRADED, _SUBMITTED, _CANCELLED = range(6)

_worth = njit(worth)


class Run(NamedTuple):
    """A policy's way through a recording: arrays change, the rest does not.

    Attributes:
        venue: that its orders go to.
        tape: what is known at every decision.
        rules: of the replay.
        account: what the policy owns and has done.
        columns: what happened, shape (column, step), see `INVENTORY` and those behind it.
        before: the account when the step began.
    """

    venue: Venue
    tape: Tape
    rules: Rules
    account: Account
    columns: Float[np.ndarray, "column step"]
    before: Float[np.ndarray, "6"]


def open_run(venue: Venue, tape: Tape, rules: Rules, account: Account) -> Run:
    """Return a run in which nothing has happened."""
    return Run(venue, tape, rules, account, np.zeros((_COLUMNS, len(tape.time_ns) - 1)), np.zeros(6))


@compiled
def start(run: Run) -> int:
    """Let the venue's time run until the first decision; return the library's code."""
    begin_time(run.venue)
    return advance(run.venue, run.tape.time_ns[0])


@compiled
def begin_step(run: Run, step: int) -> Observation:
    """Return what the policy sees at a decision, and remember what it owns."""
    account, before, columns, tape = run.account, run.before, run.columns, run.tape
    first_worth = _worth(0.5 * (tape.best_bid[0] + tape.best_ask[0]), run.rules.reference)
    unit = float(run.rules.order_lots)
    inventory, cash, fee = account.inventory[0], account.cash[0], account.fee[0]
    before[_INVENTORY], before[_CASH], before[_FEE] = inventory, cash, fee
    before[_TRADED] = account.traded[0]
    before[_SUBMITTED], before[_CANCELLED] = account.counts[SUBMITTED], account.counts[CANCELLED]
    columns[INVENTORY, step] = inventory / unit
    columns[CASH, step] = (cash + inventory * first_worth - fee) / unit
    filled_bid = columns[BOUGHT, step - 1] if step else 0.0
    filled_ask = columns[SOLD, step - 1] if step else 0.0
    return observe(
        tape,
        step,
        run.rules.horizon_ns,
        columns[INVENTORY, step],
        columns[CASH, step],
        filled_bid,
        filled_ask,
    )


@compiled
def finish_step(run: Run, fills: np.ndarray, count: int, step: int, wanted: Quote) -> tuple[int, int]:
    """Bring the orders to a quote, and let the step pass.

    Args:
        run: whose step was begun.
        fills: written from row `count` on; with room for `FILLS_A_STEP`.
        count: of fills so far.
        step: number of the step.
        wanted: what the policy quotes.

    Returns:
        The library's code, and the new count of fills.
    """
    venue, tape, rules, account, columns, before = run
    reference, unit, first = rules.reference, float(rules.order_lots), count
    mid = 0.5 * (tape.best_bid[step] + tape.best_ask[step])
    # A policy that does not know (NaN), or wants to be far away, does not quote.
    bid, ask = NO_PRICE, NO_PRICE
    bid_lots, ask_lots = lots_of(wanted.size_bid, rules), lots_of(wanted.size_ask, rules)
    if bid_lots > 0 and -FARTHEST < wanted.half_spread_bid < min(mid, FARTHEST):
        bid = int(np.floor(mid - wanted.half_spread_bid))
    if ask_lots > 0 and -FARTHEST < wanted.half_spread_ask < FARTHEST:
        ask = int(np.ceil(mid + wanted.half_spread_ask))
    if rules.time_in_force == POST_ONLY:
        bid = min(bid, tape.best_ask[step] - 1)
        ask = ask if ask == NO_PRICE else max(ask, tape.best_bid[step] + 1)
    code = 0
    if rules.decision_latency_ns > 0:
        code = advance(venue, tape.time_ns[step] + rules.decision_latency_ns)
        count = collect(venue, account, rules, fills, count, step)
    now = tape.time_ns[step] + rules.decision_latency_ns - tape.time_ns[0]
    code = max(code, send(venue, account, rules, BID, bid, bid_lots, now))
    code = max(code, send(venue, account, rules, ASK, ask, ask_lots, now))
    columns[STANDING_BID, step] = account.slots[BID, WORKING, ORDER_ID] != 0
    columns[STANDING_ASK, step] = account.slots[ASK, WORKING, ORDER_ID] != 0
    columns[ORDERS, step] = account.counts[SUBMITTED] - before[_SUBMITTED]
    columns[CANCELLATIONS, step] = account.counts[CANCELLED] - before[_CANCELLED]
    code = max(code, advance(venue, tape.time_ns[step + 1]))
    count = collect(venue, account, rules, fills, count, step)

    bought = sold = 0
    for fill in range(first, count):
        if fills[fill, 2] > 0:
            bought += fills[fill, 4]
        else:
            sold += fills[fill, 4]
    at_mid = _worth(mid, reference)
    at_next = _worth(0.5 * (tape.best_bid[step + 1] + tape.best_ask[step + 1]), reference)
    columns[HALF_SPREAD_BID, step] = wanted.half_spread_bid
    columns[HALF_SPREAD_ASK, step] = wanted.half_spread_ask
    columns[SIZE_BID, step] = wanted.size_bid
    columns[SIZE_ASK, step] = wanted.size_ask
    columns[BOUGHT, step] = bought / unit
    columns[SOLD, step] = sold / unit
    columns[SPREAD_PNL, step] = (account.cash[0] - before[_CASH] + (bought - sold) * at_mid) / unit
    columns[INVENTORY_PNL, step] = account.inventory[0] * (at_next - at_mid) / unit
    columns[FEE, step] = (account.fee[0] - before[_FEE]) / unit
    columns[TURNOVER, step] = (account.traded[0] - before[_TRADED]) / unit
    return code, count


@compiled
def trade_compiled(run: Run, desk: Desk, memory: Memory) -> tuple[np.ndarray, int, int, int]:
    """Let a policy that numba runs quote through a recording.

    Returns:
        Fills, the library's error code (0 for none), what was wrong with the decision (`NO_FAULT`), and the
        step where either came up.
    """
    steps = run.columns.shape[1]
    fills: np.ndarray = np.empty((64, FILL_COLUMNS), np.int64)
    count = 0
    code = start(run)
    for step in range(steps):
        if code >= FAILED:
            return fills[:count], code, NO_FAULT, step
        if count + FILLS_A_STEP > len(fills):
            fills = with_room(fills)
        wanted, fault = ask_desk(desk, memory, begin_step(run, step))
        if fault != NO_FAULT:
            return fills[:count], code, fault, step
        code, count = finish_step(run, fills, count, step, wanted)
    return fills[:count], code, NO_FAULT, steps
