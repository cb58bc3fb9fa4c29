"""What a maker could see of a recording at each of its decisions: read once for all policies.

A replay moves no market, so best bid, best ask, market orders and their intensities at the decision
times are facts of the recording. They are taken by *local* time: nothing on the tape had not arrived.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numba import njit

from flowhft.desk.replay.settings import ReplaySettings
from flowhft.errors import DataError
from flowhft.recordings.book import TopOfBook, top_of_book
from flowhft.recordings.market_orders import ORDER_WINDOW
from flowhft.recordings.ticks import BUY, SNAPSHOT, TRADE, Recording
from flowhft.types import Observation


class OrderFlow(NamedTuple):
    """A Hawkes model of market orders, the same for both sides, that turns arrivals into intensities.

    lambda_s(t) = base_intensity + sum over earlier orders of its own side of self_excitation
    exp(-decay (t - t_i)) and over those of the other side of cross_excitation exp(-decay (t - t_i)).

    Attributes:
        base_intensity: of each side, 1 / second.
        self_excitation: what an order adds to the intensity of its side, 1 / second.
        cross_excitation: what it adds to the other side's, 1 / second.
        decay: how fast that fades, 1 / second.
    """

    base_intensity: float
    self_excitation: float = 0.0
    cross_excitation: float = 0.0
    decay: float = 1.0


class Tape(NamedTuple):
    """The market as it is known at each decision, and once more at the end of the last step.

    Attributes:
        time_ns: of the decision on the local clock.
        best_bid, best_ask: ticks.
        arrivals: market orders that arrived since the decision before, by the side of the book that they
            come for: bids, asks.
        intensity: conditional intensity of market orders, by side likewise, 1 / second.
    """

    time_ns: Int[np.ndarray, " step_and_end"]
    best_bid: Int[np.ndarray, " step_and_end"]
    best_ask: Int[np.ndarray, " step_and_end"]
    arrivals: Float[np.ndarray, "step_and_end side"]
    intensity: Float[np.ndarray, "step_and_end side"]

    @property
    def mid_price(self) -> Float[np.ndarray, " step_and_end"]:
        """Return the mid price, ticks; half ticks exist."""
        return 0.5 * (self.best_bid + self.best_ask)


def market_order_arrivals(
    recording: Recording, window: float = 0.0
) -> tuple[Int[np.ndarray, " event"], Int[np.ndarray, " event"]]:
    """Return when market orders were learned of (local ns, their first trade) and which side they came for.

    A market order is a run of trades of one aggressor, each no more than `window` seconds after the one
    before on the exchange's clock: the venue reports a trade for every order that it meets, and what
    counts as one order must be what it was in the calibration. The side is 0 for those that come for
    bids, 1 for asks.
    """
    trades = recording.events[recording.events["kind"] == TRADE]
    side, time = trades["side"], trades["exchange_time_ns"]
    first = np.ones(len(trades), np.bool_)
    first[1:] = (side[1:] != side[:-1]) | (np.diff(time) > round(window * 1e9))
    return trades["local_time_ns"][first], (side[first] == BUY).astype(np.int64)


@njit(cache=True)
def _intensity(
    decision_ns: np.ndarray, order_ns: np.ndarray, order_side: np.ndarray, flow: OrderFlow
) -> Float[np.ndarray, "step_and_end side"]:
    """Return the intensities at decision times after every order up to them, by the exact recursion."""
    intensity = np.empty((len(decision_ns), 2))
    bid = ask = 0.0  # excitation of each side at `time`
    time = min(decision_ns[0], order_ns[0]) if len(order_ns) else decision_ns[0]
    i = 0
    for step in range(len(decision_ns)):
        while i < len(order_ns) and order_ns[i] <= decision_ns[step]:
            kept = math.exp(-flow.decay * 1e-9 * (order_ns[i] - time))
            to_bid = flow.self_excitation if order_side[i] == 0 else flow.cross_excitation
            to_ask = flow.cross_excitation if order_side[i] == 0 else flow.self_excitation
            bid, ask = kept * bid + to_bid, kept * ask + to_ask
            time = order_ns[i]
            i += 1
        kept = math.exp(-flow.decay * 1e-9 * (decision_ns[step] - time))
        bid, ask = kept * bid, kept * ask
        time = decision_ns[step]
        intensity[step, 0] = flow.base_intensity + bid
        intensity[step, 1] = flow.base_intensity + ask
    return intensity


def read_tape(
    recording: Recording,
    settings: ReplaySettings,
    flow: OrderFlow | None = None,
    top: TopOfBook | None = None,
) -> Tape:
    """Return what is known at every decision of a replay.

    The first decision is when both the snapshot and a best bid and ask have arrived; the last step ends
    no later than the recording. While a side of the book is empty, the last prices of both are kept.

    Args:
        recording: with a snapshot.
        settings: the decision interval and the order window are used.
        flow: parameters of the intensities. None counts on a constant rate, which is estimated from the
            orders seen so far, (n + 1) / (t + 1 s) for n orders of a side in t seconds.
        top: top of the book of the recording, where the caller has it already.

    Raises:
        DataError: the recording is shorter than one decision interval, or has no snapshot.
    """
    top = top_of_book(recording) if top is None else top
    top = TopOfBook(*(column[np.isfinite(top.mid_price)] for column in top))
    events = recording.events
    snapshot = np.flatnonzero(events["kind"] == SNAPSHOT)
    interval = round(settings.interval * 1e9)
    steps = 0
    if len(snapshot) and len(top.local_time_ns):
        start = max(events["local_time_ns"][snapshot[0]], top.local_time_ns[0])
        steps = int(events["local_time_ns"][-1] - start) // interval
    if steps < 1:
        raise DataError(
            f"`{recording.name}` must last for a decision interval, {settings.interval} s, after "
            f"its snapshot and first best prices; received {recording.duration:.3f} s in all. "
            "Use a longer recording."
        )
    time = start + interval * np.arange(steps + 1)
    row = np.searchsorted(top.local_time_ns, time, side="right") - 1

    together = ORDER_WINDOW if settings.order_window is None else settings.order_window
    order_ns, order_side = market_order_arrivals(recording, together)
    counted = np.stack(
        [np.searchsorted(order_ns[order_side == side], time, side="right") for side in (0, 1)], axis=1
    ).astype(np.float64)
    before = np.stack([np.searchsorted(order_ns[order_side == side], start, side="right") for side in (0, 1)])
    if flow is None:
        elapsed = 1e-9 * (time - start)[:, None]
        intensity = (counted - before + 1.0) / (elapsed + 1.0)
    else:
        intensity = _intensity(time, order_ns, order_side, flow)
    return Tape(
        time_ns=time,
        best_bid=top.best_bid[row],
        best_ask=top.best_ask[row],
        arrivals=np.diff(counted, axis=0, prepend=before[None]),
        intensity=intensity,
    )


@njit(cache=True)
def observe(
    tape: Tape,
    step: int,
    horizon_ns: int,
    inventory: float,
    cash: float,
    filled_bid: float,
    filled_ask: float,
) -> Observation:
    """Return what a policy sees at a decision: the tape at that step, and its own inventory and cash.

    Args:
        tape: from `read_tape`.
        step: of the decision, from 0.
        horizon_ns: length of a rolling session.
        inventory: lots (of the trajectory).
        cash: tick x lot, for trades priced relative to the first mid, after fees.
        filled_bid: lots bought since the last decision.
        filled_ask: lots sold since then.
    """
    elapsed = tape.time_ns[step] - tape.time_ns[0]
    mid = 0.5 * (tape.best_bid[step] + tape.best_ask[step])
    return Observation(
        1e-9 * elapsed,
        1e-9 * (horizon_ns - elapsed % horizon_ns),
        mid - 0.5 * (tape.best_bid[0] + tape.best_ask[0]),
        inventory,
        cash,
        tape.arrivals[step, 0],
        tape.arrivals[step, 1],
        tape.intensity[step, 0],
        tape.intensity[step, 1],
        filled_bid,
        filled_ask,
    )
