"""The words that every part of flowhft shares: observation, quote, fill, trajectory, estimates.

They are plain named tuples, so that the same value travels through numpy, numba and jax. Unless a
field says otherwise: price distances in ticks, times in seconds, quantities in lots (one lot is one
of our orders), money in tick x lot. Prices and cash are relative to the session's first mid price.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

# A number or an array of any library: float, numpy, numba or jax.
Numeric = Any

# How long work tells what it is doing: (share done, from 0 to 1; what is happening now).
Progress = Callable[[float, str], None]


def no_progress(done: float, now: str) -> None:
    """Ignore progress: the default of every long function."""


class Observation(NamedTuple):
    """What a market maker can see when it decides; nothing here is a parameter of the simulator.

    Attributes:
        time: seconds since the session began.
        time_left: seconds until the session ends.
        mid_price: ticks, relative to the session's first mid price.
        inventory: lots, positive when long.
        cash: tick x lot, for trades priced relative to the session's first mid price.
        arrivals_bid: market sell orders since the last decision (they come for bids), a count.
        arrivals_ask: market buy orders since the last decision (they come for asks), a count.
        intensity_bid: conditional intensity of market sell orders given the past, 1 / second.
        intensity_ask: conditional intensity of market buy orders given the past, 1 / second.
        filled_bid: lots that our bid bought since the last decision.
        filled_ask: lots that our ask sold since the last decision.
        book: what the order book shows, shape (signal,), in the order of `flowhft.features.book.NAMES`; NaN
            where a signal is not known; None or empty where the market has no book.
    """

    time: Numeric
    time_left: Numeric
    mid_price: Numeric
    inventory: Numeric
    cash: Numeric
    arrivals_bid: Numeric
    arrivals_ask: Numeric
    intensity_bid: Numeric
    intensity_ask: Numeric
    filled_bid: Numeric = 0.0
    filled_ask: Numeric = 0.0
    book: Numeric = None

    @property
    def scalars(self) -> tuple[Numeric, ...]:
        """Return what is one number each: all but the book."""
        return self[:-1]


# What is one number each in an observation: all but the book.
SCALARS = Observation._fields[:-1]


class Quote(NamedTuple):
    """A bid and an ask around the mid price.

    A side is not quoted where its half-spread is NaN or its size 0.

    Attributes:
        half_spread_bid: ticks from the mid down to our bid; negative above the mid; NaN: no bid.
        half_spread_ask: ticks from the mid up to our ask; negative below the mid; NaN: no ask.
        size_bid: of our bid, in orders (lots): the market order that reaches it fills it whole.
        size_ask: of our ask, likewise.
    """

    half_spread_bid: Numeric
    half_spread_ask: Numeric
    size_bid: Numeric = 1.0
    size_ask: Numeric = 1.0


class Fill(NamedTuple):
    """What was traded against our quote in one step: lots bought at the bid, lots sold at the ask."""

    bid: Numeric
    ask: Numeric


class Activity(NamedTuple):
    """What we had in the market in one step, and what it took: beyond money, inventory and fills.

    Attributes:
        standing_bid: share of the step in which our bid stood at the venue or was on its way there, 0 to 1.
        standing_ask: the same of our ask.
        orders: that were sent, on both sides; in a simulation every quote of a side and step is one.
        cancellations: that were sent, on both sides; a simulated quote ends with its step by itself.
        turnover: tick x lot traded on both sides at absolute prices.
        latency_us: microseconds from when a decision was due until its orders were at the venue; NaN where
            nothing was sent, None where no time passes (a simulation).
    """

    standing_bid: Numeric
    standing_ask: Numeric
    orders: Numeric
    cancellations: Numeric
    turnover: Numeric
    latency_us: Numeric | None = None


class Trajectory(NamedTuple):
    """What happened: the one result of a rollout, a replay and a live session.

    Every array has shape (path, step), or (step,) for one path. A step begins with an observation
    and a quote, goes on with fills at the quoted prices, and ends when the mid price has moved.
    The change of equity in a step is spread_pnl + inventory_pnl - fee, exactly.

    Attributes:
        observation: what the policy saw, before the step's fills.
        quote: half-spreads around the mid of that observation.
        fill: lots filled in the step.
        spread_pnl: tick x lot earned against the decision mid: sum of half_spread x lots filled.
        inventory_pnl: tick x lot: inventory after the fills times the move of the mid.
        fee: tick x lot paid; negative for a rebate.
        expected_inventory_pnl: tick x lot: inventory after the fills times the expected move of the mid given
            what is known before it; NaN where fills tell something about the move, None where nobody knows
            the expected move (a recording).
        mid_after: ticks, relative to the session's first mid: that at the step's end; None where not kept.
        activity: orders and what they took; None where not kept.
    """

    observation: Observation
    quote: Quote
    fill: Fill
    spread_pnl: Numeric
    inventory_pnl: Numeric
    fee: Numeric
    expected_inventory_pnl: Numeric | None = None
    mid_after: Numeric | None = None
    activity: Activity | None = None


class Estimates(NamedTuple):
    """What an expert is told about a market: numbers, never the market itself.

    Attributes:
        volatility: of mid differences, ticks per root second.
        drift: of the mid, ticks per second.
        intensity: rate A of lambda(delta) = A exp(-k delta), per side, 1 / second.
        fill_decay: k of lambda(delta) = A exp(-k delta), 1 / tick.
        horizon: length of a session, seconds.
        dt: time between two decisions, seconds; 0 where it is short enough to be taken for none.
        highest_intensity: of fills at any distance, 1 / second: all market orders of a side.
        fill_cost: what a fill costs besides, ticks: fees, and the adverse move that is expected.
        inventory_limit: lots beyond which a side is not filled.
        order_size: lots that a quote offers on either side, and a fill trades; only the exact optima look
            at it.
        signals: parts of the drift that the imbalance at the touch foretells: what each is expected to be
            where it is 1, ticks per second, and how fast it fades, 1 / second; none where it says nothing.
    """

    volatility: Numeric
    drift: Numeric
    intensity: Numeric
    fill_decay: Numeric
    horizon: Numeric
    dt: Numeric = 0.0
    highest_intensity: Numeric = float("inf")
    fill_cost: Numeric = 0.0
    inventory_limit: Numeric = float("inf")
    order_size: Numeric = 1.0
    signals: tuple[tuple[Numeric, Numeric], ...] = ()


class Interval(NamedTuple):
    """An estimate with its confidence interval, in the unit of the estimate."""

    value: float
    low: float
    high: float


@runtime_checkable
class Policy(Protocol):
    """Anything that quotes in the lab: explicit memory in, quote and new memory out, for one path."""

    def init(self) -> Any:
        """Return the memory with which a session begins."""

    def act(self, memory: Any, observation: Observation, key: Any) -> tuple[Quote, Any]:
        """Return the quote for this observation and the memory for the next one."""
