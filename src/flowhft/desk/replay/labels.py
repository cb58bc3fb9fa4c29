"""Labels: would an order have filled, and what would it have earned, for many prices at every decision.

For each decision, side and offset from the side's best price: is the order filled within its life, when, and
where does the mid go after the fill. The orders are counterfactual: they are decided on what had arrived, are
at the venue as late as every order, wait in the queue that a replay has them wait in
(`flowhft.desk.replay.queue`), each alone, and are withdrawn when their life is over. A policy learns from
them which order is worth sending, without being replayed.

Not modelled: any answer of the market, beyond `answered`; that orders of one decision share a trade.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from flowhft.desk.replay.counterfactual import NOBODY, NOT_FILLED, Orders, outcomes
from flowhft.desk.replay.events import exchange_events
from flowhft.desk.replay.latency import ROUNDING_US, arrivals_at_venue, as_received, order_latencies
from flowhft.desk.replay.queue import rule_of
from flowhft.desk.replay.settings import ReplaySettings
from flowhft.desk.replay.tape import tape_at
from flowhft.desk.replay.venue_book import ASK, BID, venue_events
from flowhft.errors import require
from flowhft.recordings.book import mid_at, top_of_book
from flowhft.recordings.ticks import SNAPSHOT, Recording, require_trades
from flowhft.runs.folder import stream
from flowhft.runs.ranges import Positive, check_ranges

OFFSETS = (6, 3, 2, 1, 0, -2, -6, -12)
HORIZONS = (1.0, 5.0, 10.0, 30.0)
SIDES = (BID, ASK)


@dataclass(frozen=True)
class LabelSettings:
    """Which orders are tried, and for how long they are followed."""

    offsets: tuple[int, ...] = OFFSETS
    """Ticks by which an order improves its own side's best price, as it was known at the decision: 0 joins
    it, a negative one lies behind it."""
    lifetime: Positive = 2.0
    """Seconds from a decision to the one that withdraws its orders; both are as late as every order."""
    horizons: tuple[float, ...] = HORIZONS
    """Seconds after a fill at which the mid is looked at."""

    def __post_init__(self) -> None:
        check_ranges(self)
        for name, values in (("offsets", self.offsets), ("horizons", self.horizons)):
            require(len(values) > 0, name, "hold at least one number", values)
            require(len(set(values)) == len(values), name, "hold every number once", values)
        require(min(self.horizons) >= 0.0, "horizons", "all be 0 s or more", self.horizons)


class Labels(NamedTuple):
    """What became of the orders of every decision, by side (bid, ask) and offset.

    Attributes:
        placed: whether there was such an order: it would not have traded at the best prices that were known
            at the decision, and the recording lasts until it is withdrawn.
        price: ticks.
        filled: whether anything of it was filled before it was withdrawn. An order that the venue refused,
            because the market had come to meet it on its way, is placed and not filled.
        filled_lots: of the recording.
        wait: from the order's arrival at the venue to its first fill, seconds; NaN where it was not filled.
        edge: side x (mid a horizon after the first fill, on the venue's clock - price), ticks: what a lot
            earned, before fees; side is 1 of a bid, -1 of an ask. NaN where there was no fill, or where the
            recording ends before the horizon.
        hidden: whether the first fill was by a trade inside the spread, which no displayed order explains.
    """

    placed: Bool[np.ndarray, "step side offset"]
    price: Int[np.ndarray, "step side offset"]
    filled: Bool[np.ndarray, "step side offset"]
    filled_lots: Int[np.ndarray, "step side offset"]
    wait: Float[np.ndarray, "step side offset"]
    edge: Float[np.ndarray, "step side offset horizon"]
    hidden: Bool[np.ndarray, "step side offset"]


def label_orders(
    recording: Recording,
    time_ns: Int[np.ndarray, " step"],
    settings: ReplaySettings,
    labels: LabelSettings,
    seed: int = 0,
) -> Labels:
    """Return what would have become of orders at every decision, side and offset.

    Args:
        recording: with a snapshot of the full book and trades.
        time_ns: of the decisions on the local clock, rising.
        settings: latencies, queue model, how fills are booked and the size of an order are used. A decision
            takes `decision_latency_us`, 100 us where it is not set.
        labels: which orders.
        seed: of the draws which orders are answered.

    Raises:
        DataError: the recording has no snapshot, no trades, or not what the latency model needs.
        UsageError: the queue is one of single orders.
    """
    require_trades(recording, "a label of an order")
    return labels_in(recording, time_ns, settings, labels, seed)


def labels_in(
    recording: Recording,
    time_ns: Int[np.ndarray, " step"],
    settings: ReplaySettings,
    labels: LabelSettings,
    seed: int = 0,
) -> Labels:
    """Return what `label_orders` does, of a part of a recording in which perhaps nobody traded.

    Args:
        recording: the part, with a snapshot of the full book.
        time_ns: as for `label_orders`, like all that follow.
        settings: of the replay.
        labels: which orders.
        seed: of the draws which orders are answered.
    """
    time_ns = np.asarray(time_ns, np.int64)
    require(bool(np.all(np.diff(time_ns) > 0)), "time_ns", "rise", "times that do not")
    rule = rule_of(settings, stream(seed, "labels", "answers"))
    made = exchange_events(recording)
    received = as_received(recording, settings)
    known = tape_at(received, time_ns, settings)
    bid, ask = known.best_bid[:, None], known.best_ask[:, None]
    offsets = np.asarray(labels.offsets, np.int64)
    price = np.stack([bid + offsets, ask - offsets], axis=1)
    placed = np.stack([price[:, BID] < ask, price[:, ASK] > bid], axis=1)
    arrive, leave = _at_venue(recording, time_ns, settings, labels.lifetime)
    first = received.events["local_time_ns"][np.argmax(received.events["kind"] == SNAPSHOT)]
    lasts = (bid < ask)[:, 0] & (time_ns >= first) & (leave <= made["exch_ts"][-1])
    placed &= lasts[:, None, None]
    events = venue_events(made, price[placed])
    side = np.broadcast_to(np.array(SIDES)[:, None], price.shape[1:])
    came = outcomes(
        events,
        rule,
        Orders(
            arrive_ns=arrive,
            leave_ns=leave,
            side=np.broadcast_to(side, price.shape).ravel().astype(np.int64),
            level=np.where(placed, np.searchsorted(events.prices, price), NOBODY).ravel(),
            lots=settings.lots,
        ),
    )
    filled_ns, left = came.filled_ns.reshape(price.shape), came.left.reshape(price.shape)
    filled = filled_ns != NOT_FILLED
    return Labels(
        placed=placed,
        price=price,
        filled=filled,
        filled_lots=np.where(filled, settings.lots - left, 0),
        wait=np.where(filled, 1e-9 * (filled_ns - arrive[:, None, None]), np.nan),
        edge=_edges(recording, filled, filled_ns, price, labels.horizons),
        hidden=came.hidden.reshape(price.shape),
    )


def _at_venue(
    recording: Recording, time_ns: Int[np.ndarray, " step"], settings: ReplaySettings, lifetime: float
) -> tuple[Int[np.ndarray, " step"], Int[np.ndarray, " step"]]:
    """Return when the orders of every decision come to the venue, and their cancellations."""
    latency_us = ROUNDING_US if settings.decision_latency_us is None else settings.decision_latency_us
    latencies = order_latencies(recording, settings)
    constant = round(settings.order_latency_ms * 1e6)
    sent = time_ns + round(latency_us * 1e3)
    arrive, leave = (
        np.maximum.accumulate(arrivals_at_venue(times, latencies, constant))
        for times in (sent, sent + round(lifetime * 1e9))
    )
    return arrive, np.maximum(leave, arrive)


def _edges(
    recording: Recording,
    filled: Bool[np.ndarray, "step side offset"],
    filled_ns: Int[np.ndarray, "step side offset"],
    price: Int[np.ndarray, "step side offset"],
    horizons: tuple[float, ...],
) -> Float[np.ndarray, "step side offset horizon"]:
    """Return what a lot of every filled order earned, ticks."""
    top = top_of_book(recording)
    end = int(np.max(recording.events["exchange_time_ns"]))
    edge = np.full((*filled.shape, len(horizons)), np.nan)
    sign = np.broadcast_to(np.array([1, -1])[:, None], filled.shape)[filled]
    for number, horizon in enumerate(horizons):
        later = filled_ns[filled] + round(horizon * 1e9)
        mid = np.where(later <= end, mid_at(top, later), np.nan)
        edge[..., number][filled] = sign * (mid - price[filled])
    return edge
