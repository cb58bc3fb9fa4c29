"""The replay, compiled: a session of which numba runs every step, with the venue of a recording.

Each step is what `flowhft.desk.session` does in plain Python, by the same functions. A policy that numba does
not run is asked by a loop in Python, of which all else is compiled too: `see`, then the policy and `act`.
"""

import numpy as np
from jaxtyping import Int
from numba import njit

from flowhft.desk.account import LEFT, ORDER_ID, UNANSWERED, book
from flowhft.desk.compiled import Desk, Memory, compiled
from flowhft.desk.compiled.decide import NO_FAULT
from flowhft.desk.compiled.quote import ask_desk
from flowhft.desk.orders import NEW, NONE, PARTIALLY_FILLED
from flowhft.desk.replay.tape import Tape, market_at
from flowhft.desk.replay.venue import FAILED, Wire, advance, begin_time, forget_done, look_up, send
from flowhft.desk.steps import Run, begin_step, end_step, requests_for
from flowhft.types import Observation, Quote

FILL_COLUMNS = 6  # step, exchange time, side, price, lots, whether it was made (1) or taken (0)
FILLS_A_STEP = 8  # two collections of four orders


@njit
def with_room(fills: Int[np.ndarray, "fill column"]) -> Int[np.ndarray, "fill column"]:
    """Return the fills in an array of twice the length; np.concatenate would take seconds to compile."""
    longer = np.empty((2 * len(fills), fills.shape[1]), np.int64)
    for row in range(len(fills)):
        for column in range(fills.shape[1]):
            longer[row, column] = fills[row, column]
    return longer


@njit
def _learn(wire: Wire, run: Run, fills: np.ndarray, count: int, step: int) -> int:
    """Book what became of our orders; return the new count of fills, written from row `count` on."""
    account, forget = run.account, False
    for side in range(2):
        for state in range(2):
            number = account.slots[side, state, ORDER_ID]
            if number == 0:
                continue
            update = look_up(wire, number)
            unanswered = account.slots[side, state, UNANSWERED] != 0
            stands = update.status in (NONE, NEW, PARTIALLY_FILLED)
            if (
                stands
                and update.lots_left == account.slots[side, state, LEFT]
                and unanswered == (update.asked != NONE)
            ):
                continue  # no news
            booked = book(account, run.rules, update)
            forget = forget or booked.done
            if booked.lots > 0:
                fills[count, 0] = step
                fills[count, 1] = update.exchange_time_ns
                fills[count, 2] = booked.sign
                fills[count, 3] = update.price
                fills[count, 4] = booked.lots
                fills[count, 5] = update.maker
                count += 1
    if forget:
        forget_done(wire)
    return count


@compiled
def start(wire: Wire, tape: Tape) -> int:
    """Let the venue's time run until the first decision; return the library's code."""
    begin_time(wire)
    return advance(wire, tape.time_ns[0])


@compiled
def see(tape: Tape, run: Run, step: int) -> Observation:
    """Return what the policy sees at a decision, with which a step begins."""
    return begin_step(run, market_at(tape, step), step)


@njit
def _act(
    wire: Wire, tape: Tape, run: Run, fills: np.ndarray, count: int, step: int, wanted: Quote
) -> tuple[int, int]:
    """Bring the orders to a quote and let the step pass; return the library's code and the count of fills."""
    code, latency_ns, market = 0, run.rules.decision_latency_ns, market_at(tape, step)
    if latency_ns > 0:
        code = advance(wire, market.time_ns + latency_ns)
        count = _learn(wire, run, fills, count, step)
    now = market.time_ns + latency_ns - run.start_ns
    code = max(code, send(wire, requests_for(run, market, step, wanted, now), run.rules))
    code = max(code, advance(wire, tape.time_ns[step + 1]))
    count = _learn(wire, run, fills, count, step)
    end_step(run, market_at(tape, step + 1), step)
    return code, count


@compiled
def act(
    wire: Wire, tape: Tape, run: Run, fills: np.ndarray, count: int, step: int, wanted: Quote
) -> tuple[int, int, Observation]:
    """Act and see: all of a loop in Python between two questions to the policy, in one call.

    Args:
        wire: to the venue, and so are the others as `trade_compiled` has them.
        tape: what is known at every decision.
        run: whose step was begun.
        fills: written from row `count` on; with room for `FILLS_A_STEP`.
        count: of fills so far.
        step: number of the step.
        wanted: what the policy quotes.

    Returns:
        The library's code, the new count of fills, and what is seen next; nothing after the last step.
    """
    code, count = _act(wire, tape, run, fills, count, step, wanted)
    if step + 1 < run.columns.shape[1]:
        return code, count, see(tape, run, step + 1)
    return code, count, Observation(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, tape.book[step])


@compiled
def trade_compiled(
    wire: Wire, tape: Tape, run: Run, desk: Desk, memory: Memory
) -> tuple[np.ndarray, int, int, int]:
    """Let a policy that numba runs quote through a recording.

    Args:
        wire: to the venue of the recording.
        tape: what is known at every decision.
        run: in which nothing has happened, with room for all steps.
        desk: the policy.
        memory: of the policy, at the beginning of a session.

    Returns:
        Fills, the library's error code (0 for none), what was wrong with the decision (`NO_FAULT`), and the
        step where either came up.
    """
    steps = run.columns.shape[1]
    fills: np.ndarray = np.empty((64, FILL_COLUMNS), np.int64)
    count = 0
    code = start(wire, tape)
    for step in range(steps):
        if code >= FAILED:
            return fills[:count], code, NO_FAULT, step
        if count + FILLS_A_STEP > len(fills):
            fills = with_room(fills)
        wanted, fault = ask_desk(desk, memory, see(tape, run, step))
        if fault != NO_FAULT:
            return fills[:count], code, fault, step
        code, count = _act(wire, tape, run, fills, count, step, wanted)
    return fills[:count], code, NO_FAULT, steps
