"""What a maker could see of a recording at each of its decisions: read once for all policies.

A replay moves no market, so best bid, best ask, market orders and their intensities at the decision
times are facts of the recording. They are the fold of an observer (`flowhft.desk.observer`) over its events,
by *local* time: nothing on the tape had not arrived.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from numba import njit

from flowhft.desk.compiled.compiled import compiled
from flowhft.desk.levels import Levels, open_levels
from flowhft.desk.observer import (
    KNOWN_NS,
    NEVER,
    SNAPSHOT_NS,
    Counting,
    MarketState,
    ObserverState,
    OrderFlow,
    counting,
    observation_of,
    open_state,
    state_at,
    take_events,
)
from flowhft.desk.replay.events import places_of
from flowhft.desk.replay.settings import ReplaySettings
from flowhft.errors import DataError
from flowhft.recordings.long_arrays import pieces, piled
from flowhft.recordings.market_orders import ORDER_WINDOW
from flowhft.recordings.ticks import DEPTH, SNAPSHOT, TOP, Recording
from flowhft.types import Observation


class Tape(NamedTuple):
    """The market as it is known at each decision, and once more at the end of the last step.

    Attributes:
        time_ns: of the decision on the local clock.
        best_bid, best_ask: ticks.
        arrivals: market orders that arrived since the decision before, by the side of the book that they
            come for: bids, asks.
        intensity: conditional intensity of market orders, by side likewise, 1 / second.
        book: signals of the order book, see `flowhft.types.Observation`; no columns where none were read.
    """

    time_ns: Int[np.ndarray, " step_and_end"]
    best_bid: Int[np.ndarray, " step_and_end"]
    best_ask: Int[np.ndarray, " step_and_end"]
    arrivals: Float[np.ndarray, "step_and_end side"]
    intensity: Float[np.ndarray, "step_and_end side"]
    book: Float[np.ndarray, "step_and_end signal"]

    @property
    def mid_price(self) -> Float[np.ndarray, " step_and_end"]:
        """Return the mid price, ticks; half ticks exist."""
        return 0.5 * (self.best_bid + self.best_ask)


@njit
def market_at(tape: Tape, step: int) -> MarketState:
    """Return the market as it is known at a decision."""
    return MarketState(
        tape.time_ns[step],
        tape.best_bid[step],
        tape.best_ask[step],
        tape.arrivals[step, 0],
        tape.arrivals[step, 1],
        tape.intensity[step, 0],
        tape.intensity[step, 1],
        tape.book[step],
    )


@compiled
def _fold(state: ObserverState, reads: Counting, events: np.ndarray, first: int, tape: Tape) -> None:
    """Let an observer follow events, and write down what it knows at every decision."""
    for step in range(len(tape.time_ns)):
        time_ns = tape.time_ns[step]
        first = take_events(state, reads, events, first, time_ns, False)
        known = state_at(state, reads, time_ns, tape.book[step])
        tape.best_bid[step], tape.best_ask[step] = known.best_bid, known.best_ask
        tape.arrivals[step, 0], tape.arrivals[step, 1] = known.arrivals_bid, known.arrivals_ask
        tape.intensity[step, 0], tape.intensity[step, 1] = known.intensity_bid, known.intensity_ask


def read_tape(recording: Recording, settings: ReplaySettings, flow: OrderFlow | None = None) -> Tape:
    """Return what is known at every decision of a replay.

    The first decision is when both the snapshot and a best bid and ask have arrived; the last step ends
    no later than the recording. While a side of the book is empty, the last prices of both are kept.

    Args:
        recording: with a snapshot.
        settings: the decision interval and the order window are used.
        flow: parameters of the intensities. None counts on a constant rate, which is estimated from the
            orders seen so far, (n + 1) / (t + 1 s) for n orders of a side in t seconds.

    Raises:
        DataError: the recording is shorter than one decision interval, or has no snapshot.
    """
    events = recording.events
    published = bool(np.any(events["kind"] == TOP))
    together = ORDER_WINDOW if settings.order_window is None else settings.order_window
    reads, state = counting(published, flow, together), open_state(None if published else _levels_in(events))
    taken = take_events(state, reads, events, 0, 2**62, True)
    known = min(state.whole[KNOWN_NS], state.whole[SNAPSHOT_NS]) > NEVER
    interval = round(settings.interval * 1e9)
    steps, start = 0, int(max(state.whole[KNOWN_NS], state.whole[SNAPSHOT_NS]))
    if known:
        steps = (int(events["local_time_ns"][-1]) - start) // interval
    if steps < 1:
        raise DataError(
            f"`{recording.name}` must last for a decision interval, {settings.interval} s, after "
            f"its snapshot and first best prices; received {recording.duration:.3f} s in all. "
            "Use a longer recording."
        )
    tape = _empty_tape(start + interval * np.arange(steps + 1))
    _fold(state, reads, events, taken, tape)
    return tape


def tape_at(
    recording: Recording,
    time_ns: Int[np.ndarray, " step"],
    settings: ReplaySettings,
    flow: OrderFlow | None = None,
) -> Tape:
    """Return what is known at times that are given, whether or not decisions could be taken then.

    Args:
        recording: as it was received.
        time_ns: local clock, rising.
        settings: see `read_tape`, and so is `flow`.
        flow: parameters of the intensities.

    Returns:
        Best prices are 0 as long as none are known.
    """
    events = recording.events
    published = bool(np.any(events["kind"] == TOP))
    together = ORDER_WINDOW if settings.order_window is None else settings.order_window
    state, tape = open_state(None if published else _levels_in(events)), _empty_tape(time_ns)
    _fold(state, counting(published, flow, together), events, 0, tape)
    return tape


def _empty_tape(time_ns: Int[np.ndarray, " step"]) -> Tape:
    steps = len(time_ns)
    return Tape(
        time_ns=time_ns,
        best_bid=np.empty(steps, np.int64),
        best_ask=np.empty(steps, np.int64),
        arrivals=np.empty((steps, 2)),
        intensity=np.empty((steps, 2)),
        book=np.empty((steps, 0)),
    )


def closed_steps(
    recording: Recording, time_ns: Int[np.ndarray, " step_and_end"]
) -> Bool[np.ndarray, " step"]:
    """Return whether the market was closed in a step, or in a part of it.

    Args:
        recording: of the tape.
        time_ns: of its decisions and of the end of the last step, on the local clock.
    """
    start, end = (np.array([one[index] for one in recording.closed], np.int64) for index in (0, 1))
    # Those that end before a step are no more than those that have begun before it is over.
    return np.searchsorted(start, time_ns[1:]) > np.searchsorted(end, time_ns[:-1], side="right")


def _levels_in(events: np.ndarray) -> Levels:
    """Return an empty book with room for all levels that these events tell of."""
    book = (part[(part["kind"] == DEPTH) | (part["kind"] == SNAPSHOT)]["price"] for part in pieces(events))
    return open_levels(prices=places_of(piled(book, np.int64)).prices)


@compiled
def observe(
    tape: Tape,
    step: int,
    horizon_ns: int,
    inventory: float,
    cash: float,
    filled_bid: float,
    filled_ask: float,
) -> Observation:
    """Return what a policy sees at a decision of a tape; see `flowhft.desk.observer.observation_of`."""
    first = market_at(tape, 0)
    return observation_of(
        market_at(tape, step),
        first.time_ns,
        0.5 * (first.best_bid + first.best_ask),
        horizon_ns,
        inventory,
        cash,
        filled_bid,
        filled_ask,
    )
