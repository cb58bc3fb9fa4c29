"""Delays: of the market data, of our orders and of the answers to them, and of the policy's decisions.

How long a policy takes to decide is measured on this machine (`flowhft.desk.replay.makers`), the only clock
in the replay, outside its loop.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import polars as pl
from jaxtyping import Float, Int
from numba import njit

from flowhft.desk.compiled.compiled import compiled
from flowhft.desk.replay.events import exchange_order
from flowhft.desk.replay.settings import ReplaySettings
from flowhft.errors import DataError
from flowhft.recordings.long_arrays import Pile, pieces, piled
from flowhft.recordings.ticks import EVENT, SNAPSHOT, Recording
from flowhft.runs import tables

ROUNDING_US = 100.0


def charged_latency(measured: Float[np.ndarray, " sample"]) -> float:
    """Return the decision latency that a replay charges, microseconds: the median, rounded up to 100 us.

    Rounding makes replays repeat exactly although clocks jitter, and errs on the side of caution.

    Example:
        >>> charged_latency(np.array([11.0, 12.0, 90.0]))
        100.0
    """
    return float(ROUNDING_US * np.ceil(np.median(measured) / ROUNDING_US))


class Delays(NamedTuple):
    """Delays between us and the venue, microseconds, each of shape (sample,).

    Attributes:
        feed: of every message that is no snapshot; one number where it was set.
        order: of an order that leaves when a message arrives; one number where it is constant.
        response: of its answer, likewise.
    """

    feed: Float[np.ndarray, " sample"]
    order: Float[np.ndarray, " sample"]
    response: Float[np.ndarray, " sample"]


LATENCY_UNITS = tables.units_of("backtest", "latency")

# A row of what hftbacktest interpolates: when an order leaves, when it arrives, when the answer is here.
_ROW = np.dtype(
    [("req_ts", np.int64), ("exch_ts", np.int64), ("resp_ts", np.int64), ("_padding", np.int64)], align=True
)


class Feed(NamedTuple):
    """When market data arrived.

    Attributes:
        arrived: local times, rising, ns.
        took: how long the last message then had taken, ns.
    """

    arrived: Int[np.ndarray, " message"]
    took: Int[np.ndarray, " message"]


def feed_of(parts: Iterable[np.ndarray]) -> Feed:
    """Return when market data arrived.

    Args:
        parts: the events of a recording, in their order, at once or in several.
    """
    arrivals, delays = Pile(np.int64), Pile(np.int64)
    held = held_took = np.zeros(0, np.int64)  # the last message so far: more may come at its time
    for events in parts:
        message = events["kind"] != SNAPSHOT
        arrived = events["local_time_ns"][message]
        if not len(arrived):
            continue
        took = np.concatenate([held_took, arrived - events["exchange_time_ns"][message]])
        arrived = np.concatenate([held, arrived])
        last = np.flatnonzero(arrived[1:] != arrived[:-1])
        arrivals.add(arrived[last])
        delays.add(took[last])
        held, held_took = arrived[-1:], took[-1:]
    arrivals.add(held)
    delays.add(held_took)
    return Feed(arrivals.array(), delays.array())


def order_latencies(recording: Recording, settings: ReplaySettings) -> np.ndarray | None:
    """Return how long orders take in a recording, as hftbacktest interpolates it; None where it is constant.

    With the latency model `recorded`, an order that leaves when a message arrives takes `order_latency_ms`
    and what this message took longer than the fastest of the recording, and so does the answer to it: what
    slows the market data down is taken to slow down orders. No order overtakes another.

    Raises:
        DataError: the recording has one clock only.
    """
    return _latencies(feed_of(pieces(recording.events)), recording.name, settings)


def _latencies(feed: Feed, name: str, settings: ReplaySettings) -> np.ndarray | None:
    if settings.latency_model == "constant":
        return None
    arrived, took = feed
    if len(took) == 0 or np.min(took) == np.max(took):
        raise DataError(
            f"`{name}` must have two clocks for orders to take what the market data took; received "
            "one, by which every message takes equally long. Use --replay.latency-model constant."
        )
    excess = took - np.min(took)
    there = np.maximum.accumulate(arrived + round(settings.order_latency_ms * 1e6) + excess)
    kept = np.append(True, there[1:] > there[:-1])  # the library divides by both differences
    rows = np.zeros(int(np.sum(kept)), _ROW)
    rows["req_ts"], rows["exch_ts"] = arrived[kept], there[kept]
    rows["resp_ts"] = there[kept] + round(settings.response_latency_ms * 1e6) + excess[kept]
    return rows


@njit
def count_up_to(values: Int[np.ndarray, " row"], value: int) -> int:
    """Return how many of rising numbers are no larger than one.

    np.searchsorted would take seconds to compile.

    Args:
        values: rising.
        value: the one.
    """
    low, high = 0, len(values)
    while low < high:
        middle = (low + high) // 2
        if values[middle] <= value:
            low = middle + 1
        else:
            high = middle
    return low


@compiled
def took_at(leaves: Int[np.ndarray, " row"], arrives: Int[np.ndarray, " row"], time_ns: int) -> int:
    """Return how long a message takes that leaves at a time, ns: between rows, in proportion to the time.

    Before the first row it takes what that took, after the last what the last took, as hftbacktest has it.

    Args:
        leaves: when messages left, rising, ns.
        arrives: when they arrived.
        time_ns: when this one leaves.
    """
    row = count_up_to(leaves, time_ns) - 1
    if row < 0:
        return arrives[0] - leaves[0]
    took = arrives[row] - leaves[row]
    if row + 1 == len(leaves):
        return took
    rise = float(arrives[row + 1] - leaves[row + 1] - took) / float(leaves[row + 1] - leaves[row])
    return int(rise * float(time_ns - leaves[row])) + took


def arrivals_at_venue(
    sent_ns: Int[np.ndarray, " order"], latencies: np.ndarray | None, constant_ns: int
) -> Int[np.ndarray, " order"]:
    """Return when orders are at the venue that leave at given times.

    Args:
        sent_ns: local clock.
        latencies: from `order_latencies`; None where an order always takes as long.
        constant_ns: that it then takes.
    """
    if latencies is None:
        return sent_ns + constant_ns
    leaves, there = latencies["req_ts"], latencies["exch_ts"]
    return np.array([time + took_at(leaves, there, int(time)) for time in sent_ns], np.int64)


def delays(recording: Recording, settings: ReplaySettings) -> Delays:
    """Return the delays between us and the venue in a replay; those of decisions are in `Replayed`.

    Args:
        recording: as it was recorded.
        settings: of the replay.
    """
    return delays_of(feed_of(pieces(recording.events)), recording.name, settings)


def delays_of(came: Feed, name: str, settings: ReplaySettings) -> Delays:
    """Return the delays between us and the venue where market data came so.

    Args:
        came: when it did.
        name: of the recording, for messages.
        settings: of the replay.

    Raises:
        DataError: see `order_latencies`.
    """
    rows = _latencies(came, name, settings)
    feed = piled((1e-3 * took for took in pieces(came.took)), np.float64)
    if settings.feed_latency_ms is not None:
        feed = np.array([1e3 * settings.feed_latency_ms])
    if rows is None:
        constant = (settings.order_latency_ms, settings.response_latency_ms)
        return Delays(feed, *(np.array([1e3 * milliseconds]) for milliseconds in constant))
    return Delays(feed, 1e-3 * (rows["exch_ts"] - rows["req_ts"]), 1e-3 * (rows["resp_ts"] - rows["exch_ts"]))


def latency_table(known: Delays, measured: Mapping[str, Float[np.ndarray, " sample"]]) -> pl.DataFrame:
    """Return percentiles of every delay between the market and our orders, units in `LATENCY_UNITS`.

    Args:
        known: of the feed, of orders and of their answers.
        measured: time of a decision by policy, microseconds; empty where it was set.
    """
    rows: list[tuple[str, str | None, np.ndarray]] = [
        (kind, None, values) for kind, values in known._asdict().items()
    ]
    rows += [("decision", name, values) for name, values in measured.items()]
    types = {"kind": pl.String, "policy": pl.String} | dict.fromkeys(LATENCY_UNITS, pl.Float64)
    return pl.DataFrame(
        [
            (kind, policy, *np.percentile(values, (50, 90, 99)).tolist(), float(np.max(values)))
            for kind, policy, values in rows
            if len(values)
        ],
        schema=types,
        orient="row",
    )


def as_received(recording: Recording, settings: ReplaySettings) -> Recording:
    """Return a recording as it would have reached us: with the feed latency of the settings, if one is set.

    Args:
        recording: as it was recorded.
        settings: of the replay.
    """
    if settings.feed_latency_ms is None:
        return recording
    return replace(recording, events=piled(_delayed(recording.events, settings.feed_latency_ms), EVENT))


def _delayed(events: np.ndarray, milliseconds: float) -> Iterator[np.ndarray]:
    """Yield events in the order in which the venue made them, each as long on its way, in parts."""
    for index, time_ns in exchange_order(events):
        part = events[index]
        part["local_time_ns"] = time_ns + round(milliseconds * 1e6)
        yield part
