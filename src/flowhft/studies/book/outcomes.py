"""Policies on a part of a recording: what each block of time brought, over all phases of the decisions."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from jaxtyping import Float
from scipy import stats

from flowhft.desk.replay.engine import prepare, trade
from flowhft.desk.replay.latency import as_received
from flowhft.desk.replay.settings import ReplaySettings
from flowhft.desk.replay.signals import read_signals
from flowhft.desk.replay.tape import OrderFlow
from flowhft.features.book import NAMES
from flowhft.features.scales import Scales, by_side, standard
from flowhft.learn.recordings.heads import Heads
from flowhft.policies.book import BookMaker
from flowhft.recordings.book import TopOfBook, mid_at, top_of_book
from flowhft.recordings.split import between
from flowhft.recordings.ticks import Recording
from flowhft.studies.book.controls import shifted
from flowhft.types import Interval, Trajectory

PHASES = 5  # of the grid of decisions: results are means over them
CONFIDENCE = 0.99
POWER = 0.8


class Outcome(NamedTuple):
    """What a policy brought on a part of a recording; means over the phases.

    Attributes:
        blocks: money of each block of time, currency, shape (block,).
        fills: in orders.
        quoted: share of the decisions at which a side or both were quoted.
        promised: what the heads promised the orders that stood, currency; NaN where a policy has none.
        realised: what the fills were worth when the horizon of the heads was over, likewise.
    """

    blocks: Float[np.ndarray, " block"]
    fills: float
    quoted: float
    promised: float = math.nan
    realised: float = math.nan


def outcomes_on(
    recording: Recording,
    start_ns: int,
    end_ns: int | None,
    policies: Mapping[str, Any],
    settings: ReplaySettings,
    block_seconds: float,
    flow: OrderFlow | None = None,
    phases: int = PHASES,
    *,
    share: float = 1.0,
    horizon: float = 0.0,
    late: bool = False,
) -> dict[str, Outcome]:
    """Replay policies on a part of a recording, at every phase of the grid of decisions.

    Signals of the book remember what came before the part, as those of whoever has followed the market.

    Args:
        recording: whole.
        start_ns: of the part, local clock.
        end_ns: of the part; None for the recording's end.
        policies: by name, as the desk runs them.
        settings: of the replay.
        block_seconds: length of the blocks.
        flow: how arrivals make the intensities that policies see.
        phases: of the grid.
        share: of the fills that heads promise which falls into a decision's time.
        horizon: of the edge that heads promise, seconds.
        late: whether policies see the book of `controls.SHIFT` before.
    """
    received, top = as_received(recording, settings), top_of_book(recording)
    end = int(recording.events["local_time_ns"][-1]) if end_ns is None else end_ns
    count = max(1, math.ceil((end - start_ns) / (block_seconds * 1e9)))
    blocks = {name: np.zeros(count) for name in policies}
    sums = {name: np.zeros(4) for name in policies}
    for phase in range(phases):
        shift = round(phase * settings.interval * 1e9 / phases)
        part = between(recording, start_ns + shift, end_ns)
        market = prepare(part, settings, flow)
        tape = market.tape
        book = read_signals(received, tape.time_ns, settings.order_window)
        seen = shifted(book, tape.time_ns) if late else book
        market = market._replace(tape=tape._replace(book=seen))
        first = tape.mid_price[0]
        value = part.instrument.tick_value(first)
        reference = part.instrument.reference(first)
        at = np.minimum((tape.time_ns[:-1] - start_ns) // round(block_seconds * 1e9), count - 1)
        for name, policy in policies.items():
            traded = trade(market, name, policy, settings, 0, reference, value)
            path = traded.trajectory
            step = (path.spread_pnl + path.inventory_pnl - path.fee)[0]
            blocks[name] += np.bincount(at, step * (value * settings.lots), count) / phases
            sides = np.isfinite(path.quote.half_spread_bid) | np.isfinite(path.quote.half_spread_ask)
            sums[name] += [
                float((path.fill.bid + path.fill.ask).sum()) / phases,
                float(sides.mean()) / phases,
                share * value * settings.lots * _promised(policy, path, seen[:-1]) / phases,
                value * _realised(traded.fills, top, horizon) / phases,
            ]
    return {name: Outcome(blocks[name], *sums[name].tolist()) for name in policies}


def _promised(policy: Any, path: Trajectory, book: Float[np.ndarray, "step signal"]) -> float:
    """Return what heads promised all orders that a maker wanted, ticks x order; NaN without heads."""
    maker = policy.parts
    if not isinstance(maker, BookMaker):
        return math.nan
    heads = Heads(maker.arrays["fill"], maker.arrays["edge"])
    scales = Scales(maker.arrays["centre"], maker.arrays["scale"], maker.unit)
    sees = by_side(standard(scales, book))
    spread = np.exp(book[:, NAMES.index("log_spread")])
    promised = 0.0
    for side, half_spread in enumerate((path.quote.half_spread_bid[0], path.quote.half_spread_ask[0])):
        rows = np.flatnonzero(np.isfinite(half_spread))
        offset = np.rint(0.5 * spread[rows] - half_spread[rows])
        column = np.argmin(np.abs(offset[:, None] - maker.arrays["offsets"]), axis=1)
        chance, gain = heads.chance(sees[rows, side]), heads.gain(sees[rows, side])
        at = np.arange(len(rows))
        promised += float(np.sum(chance[at, column] * gain[at, column])) * maker.unit
    return promised


def _realised(fills: pl.DataFrame, top: TopOfBook, horizon: float) -> float:
    """Return what fills were worth when a horizon was over, ticks x lot; those at the end are left out."""
    time = fills["exchange_time_ns"].to_numpy() + round(horizon * 1e9)
    worth = fills["side"].to_numpy() * (mid_at(top, time) - fills["price"].to_numpy())
    known = (time <= top.exchange_time_ns[-1]) & np.isfinite(worth)
    return float(np.sum((worth * fills["lots"].to_numpy())[known]))


def total(blocks: Float[np.ndarray, " block"], confidence: float = CONFIDENCE) -> Interval:
    """Return what all blocks brought, with a t-interval over them: as if each were independent.

    Args:
        blocks: money of each; two or more.
        confidence: of the interval.
    """
    count = len(blocks)
    value = float(blocks.sum())
    if count < 2:
        return Interval(value, -math.inf, math.inf)
    half = float(stats.t.ppf(0.5 + 0.5 * confidence, count - 1) * blocks.std(ddof=1) * math.sqrt(count))
    return Interval(value, value - half, value + half)


def parts_needed(
    blocks: Float[np.ndarray, " block"], confidence: float = CONFIDENCE, power: float = POWER
) -> float:
    """Return how many parts like this one would show that the sum is not zero: with this mean and deviation.

    Args:
        blocks: money of each block of the part.
        confidence: of a two-sided test.
        power: with which it is to be shown.

    Source: Cohen, Statistical Power Analysis (1988), ch. 2, by the normal approximation.
    """
    mean, deviation = float(blocks.mean()), float(blocks.std(ddof=1))
    if mean == 0.0 or deviation == 0.0:
        return math.inf
    needed = stats.norm.ppf(0.5 + 0.5 * confidence) + stats.norm.ppf(power)
    return float((needed * deviation / mean) ** 2 / len(blocks))
