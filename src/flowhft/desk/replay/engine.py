"""The replay: policies quote into a recording, and a venue says which of their orders fill.

At each decision the loop (`flowhft.desk.replay.loop`) shows the policy what the tape shows plus its own
inventory and cash, turns the quote into prices on the tick grid that do not cross the book, and sends what
has changed: limit orders, one bid and one ask at most. The venue, hftbacktest's or the house's own where that
one cannot (`flowhft.desk.replay.house`), knows queues, latencies and the book; everything else is the desk's
(`flowhft.desk.session`).

Not modelled: any answer of the market to our orders, and that what we trade is missing for others.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Literal, NamedTuple

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int

from flowhft.desk.compiled import Frozen
from flowhft.desk.journal import Journal
from flowhft.desk.orders import MAY_TAKE, POST_ONLY, OrderCounts, Rules
from flowhft.desk.replay.events import exchange_events
from flowhft.desk.replay.hidden import VenueTrades, filled_by_hidden, venue_trades
from flowhft.desk.replay.house_wire import close_wire, open_wire
from flowhft.desk.replay.latency import Delays, as_received, charged_latency, delays, order_latencies
from flowhft.desk.replay.makers import Maker, Passage, maker_of
from flowhft.desk.replay.order_events import order_events
from flowhft.desk.replay.queue import rule_of
from flowhft.desk.replay.settings import ReplaySettings
from flowhft.desk.replay.signals import read_signals
from flowhft.desk.replay.tape import OrderFlow, Tape, closed_steps, read_tape
from flowhft.desk.replay.venue import FAILED, close_venue, open_venue
from flowhft.desk.replay.venue_book import VenueEvents, venue_events
from flowhft.desk.risk import limits_of
from flowhft.desk.steps import CANCELLATIONS, LATENCY_US, ORDERS, trajectory_of_columns
from flowhft.errors import DataError, FlowhftError, require
from flowhft.policies.own import OwnPolicy
from flowhft.recordings.book import TopOfBook, mid_at, top_of_book
from flowhft.recordings.ticks import Recording
from flowhft.runs.folder import stream
from flowhft.types import Progress, Trajectory, no_progress

Book = Literal["needed", "shown", "unread"]


class Replayed(NamedTuple):
    """What a policy did in a replay.

    Attributes:
        trajectory: arrays of shape (1, step), in ticks and lots of `order_lots`. A fill belongs to the step
            in which we learned of it. `quote` is what the policy asked for, before tick grid and limits.
        fills: one row a fill, units as of the table `fills` of a backtest.
        orders: counts.
        decision_latency_us: charged in every decision.
        measured_latency_us: what was measured, shape (batch,); empty where the latency was set.
        delays: of market data, orders and answers.
        closed: whether the market was closed in a part of a step, shape (step,); None where it never was.
    """

    trajectory: Trajectory
    fills: pl.DataFrame
    orders: OrderCounts
    decision_latency_us: float
    measured_latency_us: Float[np.ndarray, " sample"]
    delays: Delays
    closed: Bool[np.ndarray, " step"] | None = None


class Market(NamedTuple):
    """What is worked out of a recording once, for all policies.

    Attributes:
        events: of the venue, for hftbacktest.
        latencies: of orders, for hftbacktest; None where they are constant.
        delays: of market data, orders and answers.
        top: best prices as they were received.
        tape: what is known at every decision.
        closed: see `Replayed`.
        trades: of the venue, and which of them were hidden executions; None where single orders tell.
        venue: the same events for the house's own venue; None where single orders tell.
    """

    events: np.ndarray
    latencies: np.ndarray | None
    delays: Delays
    top: TopOfBook
    tape: Tape
    closed: Bool[np.ndarray, " step"] | None = None
    trades: VenueTrades | None = None
    venue: VenueEvents | None = None


def replay(
    recording: Recording,
    policies: Mapping[str, Frozen | OwnPolicy],
    settings: ReplaySettings,
    seed: int = 0,
    progress: Progress = no_progress,
    *,
    flow: OrderFlow | None = None,
    reference: float = 0.0,
    tick_value: float = 1.0,
    journal: Callable[[str], Journal] | None = None,
) -> dict[str, Replayed]:
    """Let policies quote through a recording, each alone, and return what became of it.

    The equity changes in a step by cash change + change of (inventory x mid), split as in `Trajectory`:
    spread_pnl marks the step's fills against the mid of its decision, inventory_pnl is the inventory after
    them times the move of the mid. A position that is open at the end stays marked at the last mid; orders
    that still stand then are forgotten.

    Args:
        recording: with a snapshot of the full book.
        policies: by name: frozen ones, and users' own that plain Python or numba runs.
        settings: of the replay.
        seed: of policies that draw.
        progress: told after each policy.
        flow: how arrivals make the intensities that policies see; None for a constant rate, see `read_tape`.
        reference: of an inverse contract, ticks (`flowhft.recordings.instrument`); 0 for a linear one.
        tick_value: currency of a tick x lot of the recording, for limits of risk in currency.
        journal: (policy) -> where everything that it does is written down; None for nowhere.

    Raises:
        DataError: the recording is too short, has a break or no snapshot, or not what the queue or latency
            model needs.
        UsageError: a policy takes longer to decide than the time between two decisions, is one that jax runs,
            or returns no quote.
        FlowhftError: a network gives no finite half-spreads, or a user's policy raises, which is its cause.
    """
    market = prepare(recording, settings, flow, book_for(policies.values()))
    replayed = {}
    for done, (name, policy) in enumerate(policies.items()):
        progress(done / len(policies), f"replaying {name}")
        random = stream(seed, "replay", name)
        kept = None if journal is None else journal(name)
        replayed[name] = trade(market, name, policy, settings, random, reference, tick_value, kept)
        if kept is not None:
            kept.finish()
    progress(1.0, "replayed")
    return replayed


def book_for(policies: Iterable[Frozen | OwnPolicy]) -> Book:
    """Return whether policies must see the order book of a recording, may, or do not."""
    policies = list(policies)
    if any(isinstance(policy, Frozen) and policy.kind.sees_book for policy in policies):
        return "needed"
    may = (isinstance(policy, OwnPolicy) or policy.kind.may_see_book for policy in policies)
    return "shown" if any(may) else "unread"


def prepare(
    recording: Recording, settings: ReplaySettings, flow: OrderFlow | None = None, book: Book = "unread"
) -> Market:
    """Return what a replay needs of a recording: good for every policy, fee, order size and decision latency.

    Args:
        recording: with a snapshot of the full book.
        settings: the times and latencies, and whether the queue is one of single orders.
        flow: see `replay`.
        book: whether the signals of its order book are read: "needed", "shown" where it has one, or "unread".

    Raises:
        DataError: see `replay`.
    """
    if len(recording.sessions) > 1:
        raise DataError(
            f"`{recording.name}` must be one session without a break to be replayed, or orders would stand "
            f"through it; received {len(recording.sessions)} sessions. Replay each alone, or walk forward "
            "(flowhft backtest --walk-forward)."
        )
    received = as_received(recording, settings)
    top = top_of_book(received)
    tape = read_tape(received, settings, flow)  # says first what a recording lacks
    if book != "unread":
        tape = tape._replace(book=_book_of(received, tape, settings, book == "needed"))
    single = settings.queue_model == "l3_fifo"
    events = (order_events if single else exchange_events)(recording)
    venue = None if single else venue_events(events)
    return Market(
        events=events,
        latencies=order_latencies(recording, settings),
        delays=delays(recording, settings),
        top=top,
        tape=tape,
        closed=closed_steps(recording, tape.time_ns) if recording.closed else None,
        trades=None if venue is None else venue_trades(venue),
        venue=venue,
    )


def _book_of(
    received: Recording, tape: Tape, settings: ReplaySettings, needed: bool
) -> Float[np.ndarray, "step_and_end signal"]:
    """Return the signals of the order book at the decisions of a tape; no columns where it has none."""
    try:
        return read_signals(received, tape.time_ns, settings.order_window)
    except DataError:
        if needed:
            raise
        return tape.book


def trade(
    market: Market,
    name: str,
    policy: Frozen | OwnPolicy,
    settings: ReplaySettings,
    seed: int,
    reference: float = 0.0,
    tick_value: float = 1.0,
    journal: Journal | None = None,
) -> Replayed:
    """Let one policy quote through a market that was prepared with these settings.

    Args:
        market: from `prepare`.
        name: of the policy, for errors.
        policy: a frozen one, or a user's own.
        settings: of the replay.
        seed: of its own stream of random numbers, where it draws.
        reference: see `replay`, and so is `tick_value`.
        tick_value: currency of a tick x lot.
        journal: that everything is written to as it happens; the replay then runs in plain Python, and comes
            to the same.

    Raises:
        UsageError: the policy takes longer to decide than the time between two decisions.
    """
    tape, maker = market.tape, maker_of(name, policy)
    measured = np.zeros(0)
    latency = settings.decision_latency_us
    if latency is None:
        measured = measure_latency(maker, tape, settings.session)
        latency = charged_latency(measured)
        require(
            latency < 1e6 * settings.interval,
            "decision_interval",
            f"exceed the {latency:g} us that the policy {name} takes to decide",
            f"{settings.interval} s",
            "Decide less often or use a smaller policy.",
        )
    rules = rules_of(settings, latency, reference)
    if settings.own_venue and market.venue is not None:
        rule = rule_of(settings, stream(seed, "answers"))
        wire = open_wire(market.venue, rule, settings, market.latencies)
    else:
        wire = open_venue(market.events, settings, market.latencies)
    passage = Passage(
        wire=wire,
        tape=tape,
        rules=rules,
        limits=limits_of(settings.risk, settings.lots, tick_value),
        settings=settings,
        latencies=market.latencies,
        journal=journal,
        mid_before=lambda time_ns: float(mid_at(market.top, np.array([time_ns - 1]))[0]),
    )
    try:
        passed = maker.trade(passage, seed)
    finally:
        (close_wire if settings.own_venue else close_venue)(wire)
    if passed.code >= FAILED:
        raise FlowhftError(
            f"`{name}` must be replayed without an error of the venue; received its error {passed.code} in "
            f"step {passed.step:,}. Report it with the settings of the replay."
        )
    passed.columns[LATENCY_US] = _latency_us(market, settings, latency, passed.columns)
    return Replayed(
        trajectory=trajectory_of_columns(passed.columns),
        fills=_fills_table(passed.fills, market),
        orders=passed.counts,
        decision_latency_us=latency,
        measured_latency_us=measured,
        delays=market.delays,
        closed=market.closed,
    )


def rules_of(settings: ReplaySettings, decision_latency_us: float, reference: float = 0.0) -> Rules:
    """Return the settings as order rules need them.

    Args:
        settings: of the replay.
        decision_latency_us: that every decision takes.
        reference: see `replay`.
    """
    return Rules(
        decision_latency_ns=round(decision_latency_us * 1e3),
        horizon_ns=round(settings.session * 1e9),
        order_lots=settings.lots,
        limit_lots=settings.limit * settings.lots,
        minimum_change=settings.minimum_change,
        time_in_force=POST_ONLY if settings.post_only else MAY_TAKE,
        maker_fee=1e-4 * settings.fee_bps,
        taker_fee=1e-4 * settings.taking_fee_bps,
        order_rate_per_ns=1e-9 * (settings.order_rate or 0.0),
        order_burst=float(settings.order_burst),
        reference=float(reference),
    )


def _latency_us(
    market: Market, settings: ReplaySettings, decision_us: float, columns: Float[np.ndarray, "column step"]
) -> Float[np.ndarray, " step"]:
    """Return the time from each decision to its orders at the venue; NaN where none was sent."""
    order: float | np.ndarray = 1e3 * settings.order_latency_ms
    if market.latencies is not None:
        leaves = market.tape.time_ns[:-1] + 1e3 * decision_us
        took = 1e-3 * (market.latencies["exch_ts"] - market.latencies["req_ts"])
        order = np.interp(leaves, market.latencies["req_ts"], took)
    return np.where(columns[ORDERS] + columns[CANCELLATIONS] > 0.0, decision_us + order, np.nan)


def measure_latency(maker: Maker, tape: Tape, session: float) -> Float[np.ndarray, " batch"]:
    """Return the mean time of a decision in each of several batches, microseconds."""
    return maker.latency(tape, session)


def _fills_table(fills: Int[np.ndarray, "fill column"], market: Market) -> pl.DataFrame:
    """Return the fills with the mid that stood at the venue just before each of them."""
    step, time_ns, side, price, lots, maker = fills.T
    hidden: list | np.ndarray = [None] * len(fills)
    if market.trades is not None:
        hidden = filled_by_hidden(market.trades, time_ns, side, price).astype(np.int64)
    return pl.DataFrame(
        {
            "step": step,
            "time": 1e-9 * (time_ns - market.tape.time_ns[0]),
            "exchange_time_ns": time_ns,
            "side": side,
            "price": price,
            "lots": lots,
            "maker": maker,
            "mid_price": mid_at(market.top, time_ns - 1),
            "hidden": pl.Series(hidden, dtype=pl.Int64),
        }
    )
