"""The replay: frozen policies quote into a recording, and hftbacktest says which of their orders fill.

One compiled loop serves every policy. At each decision it shows the policy what the tape shows plus its
own inventory and cash, turns the quote into prices on the tick grid that do not cross the book, and sends
what has changed: post-only limit orders, one bid and one ask at most. The library knows queues, latencies
and the venue's book; the accounting is done here, in whole lots and ticks.

Not modelled: any answer of the market to our orders, and that what we trade is missing for others. Contracts
are taken as linear: of an inverse one, PnL is in tick x lot at fixed prices, not in coins.
"""

from typing import NamedTuple

import numpy as np
import polars as pl
from jaxtyping import Float, Int
from numba import njit

from flowhft.errors import FlowhftError, require
from flowhft.frozen import Frozen, Memory, begin, compiled, quote
from flowhft.recordings.book import TopOfBook, mid_at, top_of_book
from flowhft.recordings.ticks import Recording
from flowhft.replay.events import exchange_events
from flowhft.replay.latency import charged_latency, measure_latency
from flowhft.replay.settings import ReplaySettings
from flowhft.replay.tape import OrderFlow, Tape, observe, read_tape
from flowhft.replay.venue import (
    ASSET,
    CANCELED,
    EXPIRED,
    FAILED,
    FILLED,
    LIMIT,
    NO_WAIT,
    NONE,
    POST_ONLY,
    Venue,
    advance,
    close_venue,
    look_up,
    open_venue,
)
from flowhft.runs import stream
from flowhft.types import Fill, Observation, Progress, Quote, Trajectory, no_progress

BID, ASK = 0, 1
WORKING, LEAVING = 0, 1  # an order that stands or is on its way, and one whose cancellation is under way
ORDER_ID, PRICE, LEFT = 0, 1, 2  # what a slot holds: 0 for no order, ticks, lots
NO_PRICE = -(2**62)
OBSERVED = len(Observation._fields)  # a number of its own: compiled code cannot ask a class for its fields
FARTHEST = 1e9  # ticks from the mid; prices stay whole numbers that 64 bits hold

# With partial fills the library leaves an order on its book that a trade fills to the last lot exactly, and
# stops with an error at the next trade there. An order smaller by this is overfilled instead; lots round.
CRUMB = 1e-6


class Rules(NamedTuple):
    """The settings as the compiled loop needs them: nanoseconds and lots of the recording."""

    decision_latency_ns: int
    horizon_ns: int
    order_lots: int
    limit_lots: int
    minimum_change: int
    fee_rate: float
    quantity: float


class Account(NamedTuple):
    """What the maker owns and has done: arrays of one number, so that compiled functions can change them.

    Attributes:
        inventory: lots of the recording.
        cash: tick x lot, at absolute prices and before fees; a whole number.
        fee: tick x lot paid so far.
        slots: the orders, by side, state (working, leaving) and column (number, price, lots left).
        counts: orders submitted, cancellations sent, orders rejected because they would have crossed.
    """

    inventory: Int[np.ndarray, " 1"]
    cash: Int[np.ndarray, " 1"]
    fee: Float[np.ndarray, " 1"]
    slots: Int[np.ndarray, "side state column"]
    counts: Int[np.ndarray, " 3"]


class OrderCounts(NamedTuple):
    """What was sent: orders, cancellations, and orders that the venue rejected lest they cross."""

    submitted: int
    cancelled: int
    rejected: int


class Replayed(NamedTuple):
    """What a policy did in a replay.

    Attributes:
        trajectory: arrays of shape (1, step), in ticks and lots of `order_lots`. A fill belongs to the step
            in which we learned of it. `quote` is what the policy asked for, before tick grid and limits.
        fills: one row a fill, units in `FILL_UNITS`.
        orders: counts.
        decision_latency_us: charged in every decision.
        measured_latency_us: what was measured, shape (batch,); empty where the latency was set.
    """

    trajectory: Trajectory
    fills: pl.DataFrame
    orders: OrderCounts
    decision_latency_us: float
    measured_latency_us: Float[np.ndarray, " sample"]


FILL_UNITS = {
    "step": "decisions since the start, of the step in which it was learned",
    "time": "seconds since the first decision, when the venue made it",
    "exchange_time_ns": "nanoseconds",
    "side": "1 we bought, -1 we sold",
    "price": "ticks",
    "lots": "lots of the recording",
    "mid_price": "ticks, the last mid at the venue strictly before the fill",
}


@njit
def _collect(venue: Venue, account: Account, rules: Rules, fills: np.ndarray, count: int, step: int) -> int:
    """Learn what became of our orders: book their fills, forget those that are done.

    Fills are written to the rows of `fills` from `count` on: step, exchange time, side, price, lots.

    Returns:
        The new count of fills.
    """
    for side in range(2):
        sign = 1 - 2 * side
        for state in range(2):
            slot = account.slots[side, state]
            if slot[ORDER_ID] == 0:
                continue
            order = look_up(venue, slot[ORDER_ID])
            lots = slot[LEFT] - order.lots_left
            if lots > 0:
                slot[LEFT] -= lots
                account.inventory[0] += sign * lots
                account.cash[0] -= sign * lots * slot[PRICE]
                account.fee[0] += rules.fee_rate * lots * slot[PRICE]
                fills[count, 0] = step
                fills[count, 1] = order.exchange_time_ns
                fills[count, 2] = sign
                fills[count, 3] = slot[PRICE]
                fills[count, 4] = lots
                count += 1
            if order.status == EXPIRED:
                account.counts[2] += 1
            if order.status == FILLED or order.status == CANCELED or order.status == EXPIRED:
                slot[ORDER_ID] = slot[LEFT] = 0
    venue.forget(venue.pointer, ASSET)
    return count


@njit
def _send(venue: Venue, account: Account, rules: Rules, side: int, price: int) -> int:
    """Bring one side's order to a price, or withdraw it where the price is `NO_PRICE`.

    A cancellation and the order that takes its place leave together and arrive in this order, so the venue
    never holds two. Until we hear, though, the first may have been filled: a new order is sent only where the
    limit would hold even then. A side that has not heard of its last request waits.
    """
    sign = 1 - 2 * side
    working, leaving = account.slots[side, WORKING], account.slots[side, LEAVING]
    if working[ORDER_ID] != 0:
        if price != NO_PRICE and abs(price - working[PRICE]) < rules.minimum_change:
            return 0
        if leaving[ORDER_ID] != 0 or look_up(venue, working[ORDER_ID]).asked != NONE:
            return 0
        code = venue.cancel(venue.pointer, ASSET, working[ORDER_ID], NO_WAIT)
        if code >= FAILED:
            return code
        account.counts[1] += 1
        for column in range(len(working)):
            leaving[column], working[column] = working[column], 0
    if price == NO_PRICE or sign * account.inventory[0] + leaving[LEFT] + rules.order_lots > rules.limit_lots:
        return 0
    account.counts[0] += 1
    working[ORDER_ID], working[PRICE], working[LEFT] = account.counts[0], price, rules.order_lots
    send = venue.buy if side == BID else venue.sell
    return send(
        venue.pointer, ASSET, account.counts[0], float(price), rules.quantity, POST_ONLY, LIMIT, NO_WAIT
    )


@njit
def _with_room(fills: np.ndarray) -> np.ndarray:
    """Return the fills in an array of twice the length; np.concatenate would take seconds to compile."""
    longer = np.empty((2 * len(fills), fills.shape[1]), np.int64)
    for row in range(len(fills)):
        for column in range(fills.shape[1]):
            longer[row, column] = fills[row, column]
    return longer


@compiled
def _trade(
    venue: Venue, frozen: Frozen, memory: Memory, tape: Tape, rules: Rules, account: Account
) -> tuple[np.ndarray, np.ndarray, int, int]:
    """Let one policy quote through a recording.

    Returns:
        Columns by step (inventory, cash, half_spread_bid, half_spread_ask, bought, sold, spread_pnl,
        inventory_pnl, fee), fills, the library's error code (0 for none) and the step where it came up.
    """
    steps = len(tape.time_ns) - 1
    columns = np.zeros((9, steps))
    fills: np.ndarray = np.empty((64, 5), np.int64)
    count = 0
    first_mid = 0.5 * (tape.best_bid[0] + tape.best_ask[0])
    unit = float(rules.order_lots)
    venue.elapse(venue.pointer, 0)  # sets the clock to the first event
    code = advance(venue, tape.time_ns[0])
    for step in range(steps):
        if code >= FAILED:
            return columns, fills[:count], code, step
        if count + 8 > len(fills):  # two collections of four orders
            fills = _with_room(fills)
        mid = 0.5 * (tape.best_bid[step] + tape.best_ask[step])
        inventory, cash, fee = account.inventory[0], account.cash[0], account.fee[0]
        before = count
        worth = (cash + inventory * first_mid - fee) / unit
        filled_bid = columns[4, step - 1] if step else 0.0
        filled_ask = columns[5, step - 1] if step else 0.0
        seen = observe(tape, step, rules.horizon_ns, inventory / unit, worth, filled_bid, filled_ask)
        wanted = quote(frozen, memory, seen)

        # A policy that does not know (NaN), or wants to be far away, does not quote.
        bid, ask = NO_PRICE, NO_PRICE
        if -FARTHEST < wanted.half_spread_bid < min(mid, FARTHEST):
            bid = min(int(np.floor(mid - wanted.half_spread_bid)), tape.best_ask[step] - 1)
        if -FARTHEST < wanted.half_spread_ask < FARTHEST:
            ask = max(int(np.ceil(mid + wanted.half_spread_ask)), tape.best_bid[step] + 1)
        if rules.decision_latency_ns > 0:
            code = advance(venue, tape.time_ns[step] + rules.decision_latency_ns)
            count = _collect(venue, account, rules, fills, count, step)
        code = max(code, _send(venue, account, rules, BID, bid), _send(venue, account, rules, ASK, ask))
        code = max(code, advance(venue, tape.time_ns[step + 1]))
        count = _collect(venue, account, rules, fills, count, step)

        bought = sold = 0
        for fill in range(before, count):
            if fills[fill, 2] > 0:
                bought += fills[fill, 4]
            else:
                sold += fills[fill, 4]
        next_mid = 0.5 * (tape.best_bid[step + 1] + tape.best_ask[step + 1])
        columns[0, step] = inventory / unit
        columns[1, step] = worth
        columns[2, step] = wanted.half_spread_bid
        columns[3, step] = wanted.half_spread_ask
        columns[4, step] = bought / unit
        columns[5, step] = sold / unit
        columns[6, step] = (account.cash[0] - cash + (bought - sold) * mid) / unit
        columns[7, step] = account.inventory[0] * (next_mid - mid) / unit
        columns[8, step] = (account.fee[0] - fee) / unit
    return columns, fills[:count], code, steps


def replay(
    recording: Recording,
    policies: dict[str, Frozen],
    settings: ReplaySettings,
    seed: int = 0,
    progress: Progress = no_progress,
    *,
    flow: OrderFlow | None = None,
) -> dict[str, Replayed]:
    """Let policies quote through a recording, each alone, and return what became of it.

    The equity changes in a step by cash change + change of (inventory x mid), split as in `Trajectory`:
    spread_pnl marks the step's fills against the mid of its decision, inventory_pnl is the inventory after
    them times the move of the mid. A position that is open at the end stays marked at the last mid; orders
    that still stand then are forgotten.

    Args:
        recording: with a snapshot of the full book.
        policies: by name.
        settings: of the replay.
        seed: of policies that draw.
        progress: told after each policy.
        flow: how arrivals make the intensities that policies see; None for a constant rate, see `read_tape`.

    Raises:
        DataError: the recording is too short, or has no snapshot.
        UsageError: a policy takes longer to decide than the time between two decisions.
    """
    top = top_of_book(recording)
    tape = read_tape(recording, settings, flow, top)
    events = exchange_events(recording)
    replayed = {}
    for done, (name, frozen) in enumerate(policies.items()):
        progress(done / len(policies), f"replaying {name}")
        replayed[name] = _replay_one(events, tape, top, name, frozen, settings, stream(seed, "replay", name))
    progress(1.0, "replayed")
    return replayed


def _replay_one(
    events: np.ndarray,
    tape: Tape,
    top: TopOfBook,
    name: str,
    frozen: Frozen,
    settings: ReplaySettings,
    seed: int,
) -> Replayed:
    measured = np.zeros(0)
    latency = settings.decision_latency_us
    if latency is None:
        measured = measure_latency(frozen, tape, settings.session)
        latency = charged_latency(measured)
        require(
            latency < 1e6 * settings.interval,
            "decision_interval",
            f"exceed the {latency:g} us that the policy {name} takes to decide",
            f"{settings.interval} s",
            "Decide less often or use a smaller policy.",
        )
    rules = Rules(
        decision_latency_ns=round(latency * 1e3),
        horizon_ns=round(settings.session * 1e9),
        order_lots=settings.order_lots,
        limit_lots=settings.inventory_limit * settings.order_lots,
        minimum_change=settings.minimum_change,
        fee_rate=1e-4 * settings.maker_fee_bps,
        quantity=settings.order_lots - (CRUMB if settings.partial_fills else 0.0),
    )
    account = Account(
        np.zeros(1, np.int64),
        np.zeros(1, np.int64),
        np.zeros(1),
        np.zeros((2, 2, 3), np.int64),
        np.zeros(3, np.int64),
    )
    venue = open_venue(events, settings)
    try:
        columns, fills, code, step = _trade(venue, frozen, begin(frozen, seed), tape, rules, account)
    finally:
        close_venue(venue)
    if code >= FAILED:
        raise FlowhftError(
            f"`{name}` must be replayed without an error of hftbacktest; received its error {code} in step "
            f"{step:,}. Report it with the settings of the replay."
        )
    seen = _observations(tape, rules.horizon_ns, columns)
    path = columns[:, None, :]
    return Replayed(
        trajectory=Trajectory(
            observation=Observation(*seen[:, None, :]),
            quote=Quote(path[2], path[3]),
            fill=Fill(path[4], path[5]),
            spread_pnl=path[6],
            inventory_pnl=path[7],
            fee=path[8],
        ),
        fills=_fills_table(fills, tape, top),
        orders=OrderCounts(*map(int, account.counts)),
        decision_latency_us=latency,
        measured_latency_us=measured,
    )


@compiled
def _observations(tape: Tape, horizon_ns: int, lived: np.ndarray) -> np.ndarray:
    """Return what was observed at every decision, shape (column, step), columns as in `Observation`."""
    steps = lived.shape[1]
    columns = np.empty((OBSERVED, steps))
    for step in range(steps):
        filled_bid = lived[4, step - 1] if step else 0.0
        filled_ask = lived[5, step - 1] if step else 0.0
        seen = observe(tape, step, horizon_ns, lived[0, step], lived[1, step], filled_bid, filled_ask)
        for column, value in enumerate(seen):
            columns[column, step] = value
    return columns


def _fills_table(fills: Int[np.ndarray, "fill 5"], tape: Tape, top: TopOfBook) -> pl.DataFrame:
    """Return the fills with the mid that stood at the venue just before each of them."""
    step, time_ns, side, price, lots = fills.T
    return pl.DataFrame(
        {
            "step": step,
            "time": 1e-9 * (time_ns - tape.time_ns[0]),
            "exchange_time_ns": time_ns,
            "side": side,
            "price": price,
            "lots": lots,
            "mid_price": mid_at(top, time_ns - 1),
        }
    )
