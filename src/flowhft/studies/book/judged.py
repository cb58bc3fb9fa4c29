"""Policies on a part of a recording: what each block of time brought, over all phases of the decisions."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import stats

from flowhft.desk.replay.engine import book_for, prepare, trade
from flowhft.desk.replay.settings import ReplaySettings
from flowhft.desk.replay.tape import OrderFlow
from flowhft.recordings.split import between
from flowhft.recordings.ticks import Recording
from flowhft.types import Interval

PHASES = 5  # of the grid of decisions: results are means over them
CONFIDENCE = 0.99
POWER = 0.8


class Outcome(NamedTuple):
    """What a policy brought on a part of a recording; means over the phases.

    Attributes:
        blocks: money of each block of time, currency, shape (block,).
        fills: in orders.
        quoted: share of the decisions at which a side or both were quoted.
    """

    blocks: Float[np.ndarray, " block"]
    fills: float
    quoted: float


def judge(
    recording: Recording,
    start_ns: int,
    end_ns: int | None,
    policies: Mapping[str, Any],
    settings: ReplaySettings,
    block_seconds: float,
    flow: OrderFlow | None = None,
    phases: int = PHASES,
) -> dict[str, Outcome]:
    """Replay policies on a part of a recording, at every phase of the grid of decisions.

    Args:
        recording: whole.
        start_ns: of the part, local clock.
        end_ns: of the part; None for the recording's end.
        policies: by name, as the desk runs them.
        settings: of the replay.
        block_seconds: length of the blocks.
        flow: how arrivals make the intensities that policies see.
        phases: of the grid.
    """
    end = int(recording.events["local_time_ns"][-1]) if end_ns is None else end_ns
    count = max(1, math.ceil((end - start_ns) / (block_seconds * 1e9)))
    blocks = {name: np.zeros(count) for name in policies}
    fills, quoted = dict.fromkeys(policies, 0.0), dict.fromkeys(policies, 0.0)
    for phase in range(phases):
        shift = round(phase * settings.interval * 1e9 / phases)
        part = between(recording, start_ns + shift, end_ns)
        market = prepare(part, settings, flow, book_for(policies.values()))
        first = market.tape.mid_price[0]
        money = part.instrument.tick_value(first) * settings.lots
        reference = part.instrument.reference(first)
        at = np.minimum((market.tape.time_ns[:-1] - start_ns) // round(block_seconds * 1e9), count - 1)
        for name, policy in policies.items():
            path = trade(
                market, name, policy, settings, 0, reference, part.instrument.tick_value(first)
            ).trajectory
            step = (path.spread_pnl + path.inventory_pnl - path.fee)[0]
            blocks[name] += np.bincount(at, step * money, count) / phases
            fills[name] += float((path.fill.bid + path.fill.ask).sum()) / phases
            sides = np.isfinite(path.quote.half_spread_bid) | np.isfinite(path.quote.half_spread_ask)
            quoted[name] += float(sides.mean()) / phases
    return {name: Outcome(blocks[name], fills[name], quoted[name]) for name in policies}


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


def without(settings: ReplaySettings, **changes: Any) -> ReplaySettings:
    """Return settings with some changed."""
    return replace(settings, **changes)
