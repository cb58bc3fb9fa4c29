"""The replay against a slow replayer, fill by fill, on a few hundred small random markets."""

import itertools
import math
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, get_args

import numpy as np
import pytest
from slow_replay import Slow

from flowhft.desk.compiled import Frozen, freeze_expert
from flowhft.desk.replay.engine import OrderCounts, replay
from flowhft.desk.replay.settings import Fills, QueueModel, ReplaySettings
from flowhft.policies.rules import EXPERTS, Expert, glft
from flowhft.recordings import read_recording
from flowhft.recordings.instrument import Instrument
from flowhft.recordings.split import window
from flowhft.recordings.ticks import (
    ADD,
    BUY,
    CHANGE,
    DEPTH,
    EVENT,
    FILL,
    ORDER,
    SELL,
    SNAPSHOT,
    TRADE,
    Recording,
)
from flowhft.runs.folder import stream
from flowhft.types import Observation, Quote

MS = 1_000_000
LEVEL_MODELS = [name for name in get_args(QueueModel) if name != "l3_fifo"]
BASE = ReplaySettings(
    decision_interval=0.05,
    order_latency_ms=0.0,
    response_latency_ms=0.0,
    decision_latency_us=0.0,
    order_lots=4,
    inventory_limit=3,
    fills="whole",  # as hftbacktest, unless a test says otherwise
    minimum_change=2,
    maker_fee_bps=0.5,
    taker_fee_bps=4.0,
)
LATE = replace(BASE, order_latency_ms=7.0, response_latency_ms=11.0, decision_latency_us=1500.0)


def constant(half_spread: float, skew: float) -> Frozen:
    """A policy with half-spreads of `half_spread` +- skew x inventory."""
    return freeze_expert(EXPERTS["glft"], glft.Coefficients(half_spread - skew / 2, skew, 0.0, 0.0))


class Sized(NamedTuple):
    half_spread: float
    skew: float


def sized(coefficients: Sized, observation: Observation, noise: tuple) -> Quote:
    """Half-spreads as those of `constant`; more to shed a position, nothing to add to a large one."""
    held = observation.inventory
    lean = coefficients.skew * held
    bid = math.nan if held >= 2.0 else coefficients.half_spread + lean
    size_bid = 2.0 if held < 0.0 else (0.6 if held > 0.0 else 1.0)
    size_ask = 0.0 if held <= -2.0 else (1.7 if held > 0.0 else (0.5 if held < 0.0 else 1.0))
    return Quote(bid, coefficients.half_spread - lean, size_bid, size_ask)


def sizes(held: float) -> tuple[float, float]:
    """The same for the slow replayer, written another way."""
    if held == 0.0:
        return 1.0, 1.0
    if held > 0.0:
        return (math.nan if held >= 2.0 else 0.6), 1.7
    return 2.0, (math.nan if held <= -2.0 else 0.5)


SIZED = Expert("sized", "of a test", lambda estimates, gamma: Sized(1.0, gamma), sized)


class Market:
    """A random market that never crosses: levels or single orders change, market orders eat the best ones.

    With an even seed prices stay where they are and levels change by parts, so that an order waits and its
    place in the queue decides; with an odd one the book moves, also across prices of ours. Exchange times are
    whole milliseconds and often equal; messages take up to 20 ms and never overtake.
    """

    def __init__(self, seed: int, changes: int, singles: bool = False, wide: bool = False) -> None:
        self.random = np.random.default_rng(seed)
        self.wide = wide  # levels begin two ticks farther from the mid, and some trades lie between them
        self.events: list[tuple] = []
        self.orders: list[tuple] = []
        self.queues: dict[int, dict[int, list[list[int]]]] = {BUY: {}, SELL: {}}
        self.singles, self.numbers = singles, 0
        self.restless = 0.1 * (seed % 2)
        self.time, self.arrives = 0, 5 * MS
        for side in (BUY, SELL):
            far = 800 if side == BUY else 1200
            for price in (*range(1000 - (3 if wide else 1) * side, 1000 - 6 * side, -side), far):
                for _ in range(int(self.random.integers(1, 4)) if singles else 1):
                    self._join(side, price, 99 if price == far else self._some(40), SNAPSHOT)
        for message in range(1, changes + 1):
            self.time += int(self.random.integers(0, 25)) * MS
            self.arrives = max(self.arrives, self.time + int(self.random.integers(0, 20)) * MS)
            self.message = message
            side = BUY if self.random.random() < 0.5 else SELL
            if self.random.random() < 0.4:
                self._sweep(side)
            else:
                self._change(side)

    message = 0
    centre = 1000  # what prices gather around

    def _some(self, most: int) -> int:
        return int(self.random.integers(1, most))

    def _event(self, kind: int, side: int, price: int, quantity: int) -> None:
        number = 0 if kind == SNAPSHOT else self.message
        self.events.append((kind, side, self.time, self.arrives, price, quantity, number))

    def _order(self, kind: int, side: int, price: int, left: int, executed: int, number: int) -> None:
        self.orders.append((kind, side, self.time, self.arrives, price, left, executed, number, self.message))

    def _level(self, side: int, price: int, kind: int = DEPTH) -> None:
        queue = self.queues[side].get(price, [])
        self._event(kind, side, price, sum(left for _, left in queue))
        if not queue:
            self.queues[side].pop(price, None)

    def _join(self, side: int, price: int, lots: int, kind: int = DEPTH) -> None:
        self.numbers += 1
        self.queues[side].setdefault(price, []).append([self.numbers, lots])
        self._order(ADD, side, price, lots, 0, self.numbers)
        self._level(side, price, kind)

    def _best(self, side: int) -> int:
        return max(self.queues[side]) if side == BUY else min(self.queues[side])

    def _sweep(self, side: int) -> None:
        """An order of the other side eats the best levels of this one; some meets what nobody saw."""
        if (self.singles or self.wide) and self.random.random() < 0.2:
            inside = self._best(side) + side * int(self.random.integers(1 if self.wide else 0, 2))
            if side * (self._best(-side) - inside) > 0:
                self._event(TRADE, -side, inside, self._some(5))
                return
        wanted = self._some(40 if self.random.random() < 2.0 * self.restless else 9)
        while wanted > 0 and len(self.queues[side]) > 1:
            price = self._best(side)
            queue = self.queues[side][price]
            number, left = queue[0]
            eaten = min(wanted, left)
            if not self.restless and eaten == sum(lots for _, lots in queue):
                return
            wanted -= eaten
            self._event(TRADE, -side, price, eaten)
            self._order(FILL, side, price, left - eaten, eaten, number)
            queue[0][1] -= eaten
            if left == eaten:
                queue.pop(0)
            self._level(side, price)

    def _change(self, side: int) -> None:
        if self.random.random() < self.restless:
            self.centre += int(self.random.integers(-2, 3))
        price = self.centre - side * int(self.random.integers(3 if self.wide else 1, 7 if self.wide else 5))
        if side * (self._best(-side) - price) <= 0:
            return
        queue = self.queues[side].get(price, [])
        if self.singles:
            if not queue or self.random.random() < 0.5:
                self._join(side, price, self._some(9))
                return
            i = int(self.random.integers(len(queue)))
            number, left = queue[i]
            queue[i][1] = int(self.random.integers(0 if self.restless or len(queue) > 1 else 1, left + 1))
            self._order(CHANGE, side, price, queue[i][1], 0, number)
            if queue[i][1] == 0:
                queue.pop(i)
        else:
            held = queue[0][1] if queue else 0
            quantity = max(held + int(self.random.integers(-20, 22)), 0 if self.restless else 1)
            self.queues[side][price] = [[0, quantity]] if quantity else []
        if not queue and not self.queues[side].get(price) and self.singles:
            self.queues[side].pop(price, None)
        self._level(side, price)

    def recording(self) -> Recording:
        self.time, self.message = max(self.time, self.arrives) + MS, self.message + 1
        self.arrives = self.time
        self._event(DEPTH, BUY, 700, 0)
        return Recording(
            Instrument("random", "TEST", "USD", 1.0, 1.0),
            np.array(self.events, EVENT),
            orders=np.array(self.orders, ORDER) if self.singles else None,
        )


TAPES = 16
CHANGES = 120


def market(seed: int, settings: ReplaySettings, half_spread: float) -> tuple:
    """Return a random recording, settings, half-spread and skew: the arguments of `agree`."""
    settings = replace(settings, queue_power=(0.6, 3.0)[seed // 2 % 2])
    half_spread += (0.5, 1.0, 1.0, 0.0)[seed % 4]
    recording = Market(seed, CHANGES, settings.queue_model == "l3_fifo").recording()
    return recording, settings, half_spread, 0.25 * (seed % 3)


def compare(settings: ReplaySettings, half_spread: float = 0.5, *, varied: bool = False) -> int:
    """Replay random markets both ways; return the number of fills."""
    return sum(agree(*market(seed, settings, half_spread), varied=varied) for seed in range(TAPES))


def agree(
    recording: Recording, settings: ReplaySettings, half_spread: float, skew: float, *, varied: bool = False
) -> int:
    """Replay a recording both ways, compare all that comes out, and return the number of fills."""
    policy = freeze_expert(SIZED, Sized(half_spread, skew)) if varied else constant(half_spread, skew)
    ours = replay(recording, {"it": policy}, settings)["it"]
    answers = stream(stream(0, "replay", "it"), "answers")
    more: dict = {"sizes": sizes} if varied else {}
    slow = Slow(recording, settings, half_spread, skew, seed=answers, **more).run()
    columns = ("exchange_time_ns", "side", "price", "lots", "maker")
    assert list(ours.fills.select(columns).iter_rows()) == slow["fills"]
    assert ours.orders == OrderCounts(**slow["counts"])
    path = ours.trajectory
    inventory, *money = slow["steps"]
    np.testing.assert_array_equal(path.observation.inventory[0], inventory)
    for values, theirs in zip((path.spread_pnl, path.inventory_pnl, path.fee), money, strict=True):
        np.testing.assert_allclose(values[0], theirs, atol=1e-9)
    return len(slow["fills"])


@pytest.mark.parametrize("late", [False, True], ids=["instant", "late"])
@pytest.mark.parametrize("fills", ["whole", "capped"])
@pytest.mark.parametrize("model", LEVEL_MODELS)
def test_every_queue_of_levels(model: QueueModel, fills: Fills, late: bool) -> None:
    assert compare(replace(LATE if late else BASE, queue_model=model, fills=fills)) > 5 * TAPES


@pytest.mark.parametrize("fills", ["whole", "capped"])
@pytest.mark.parametrize("more", [{"answered": 1.0}, {"answered": 0.4}, {"hidden": False}], ids=str)
def test_a_replay_that_does_not_flatter(fills: Fills, more: dict) -> None:
    """Orders that improve the touch lose their priority; hidden executions do not count."""
    settings = replace(LATE, fills=fills, **more)
    markets = [Market(seed, CHANGES, wide=True).recording() for seed in range(TAPES)]
    assert sum(agree(market, settings, 0.5, 0.25) for market in markets) > 4 * TAPES
    flattered = [replay(market, {"it": constant(0.5, 0.25)}, LATE)["it"] for market in markets]
    sober = [replay(market, {"it": constant(0.5, 0.25)}, settings)["it"] for market in markets]
    lots = [sum(int(one.fills["lots"].sum()) for one in those) for those in (sober, flattered)]
    assert lots[0] < lots[1]


def test_the_markets_tell_the_queues_apart() -> None:
    """By the slow replayer alone: a wrong formula would show."""
    filled = {
        model: [
            Slow(*market(seed, replace(BASE, queue_model=model, fills=fills), 0.5)).run()["fills"]
            for fills in get_args(Fills)
            for seed in range(TAPES)
        ]
        for model in LEVEL_MODELS
    }
    for one, other in itertools.combinations(LEVEL_MODELS, 2):
        assert filled[one] != filled[other], (one, other)


@pytest.mark.parametrize("late", [False, True], ids=["instant", "late"])
@pytest.mark.parametrize("fills", ["whole", "capped"])
def test_sizes_and_sides_that_are_not_quoted(fills: Fills, late: bool) -> None:
    assert compare(replace(LATE if late else BASE, fills=fills), varied=True) > 4 * TAPES


@pytest.mark.parametrize("limit", [1, 2])
def test_sizes_under_a_tight_limit_and_a_budget(limit: int) -> None:
    hygiene = replace(LATE, order_rate=12.0, order_burst=3, inventory_limit=limit, queue_model="l3_fifo")
    assert compare(hygiene, varied=True) > TAPES


@pytest.mark.parametrize("late", [False, True], ids=["instant", "late"])
def test_the_queue_of_single_orders(late: bool) -> None:
    assert compare(replace(LATE if late else BASE, queue_model="l3_fifo")) > 5 * TAPES


@pytest.mark.parametrize("model", ["risk_adverse", "l3_fifo"])
def test_orders_that_may_take(model: QueueModel) -> None:
    assert compare(replace(LATE, queue_model=model, post_only=False), half_spread=-1.5) > 5 * TAPES


@pytest.mark.parametrize("model", ["risk_adverse", "l3_fifo"])
def test_order_hygiene(model: QueueModel) -> None:
    hygiene = replace(LATE, minimum_change=3, order_rate=12.0, order_burst=3, inventory_limit=2)
    assert compare(replace(hygiene, queue_model=model)) > 2 * TAPES


@pytest.mark.parametrize("model", ["risk_adverse", "l3_fifo"])
def test_answers_that_come_after_the_next_decision(model: QueueModel) -> None:
    """A cancelled order may fill until the venue says that it is gone: it counts against the limit."""
    slow = replace(LATE, order_latency_ms=40.0, response_latency_ms=45.0, inventory_limit=1)
    slow = replace(slow, order_rate=8.0, order_burst=1, queue_model=model)
    assert compare(slow) > 2 * TAPES


@pytest.mark.parametrize("feed", [None, 0.0, 30.0])
def test_delays_by_the_recordings_clocks(feed: float | None) -> None:
    settings = replace(LATE, latency_model="recorded", order_latency_ms=2.0, feed_latency_ms=feed)
    assert compare(settings) > 3 * TAPES


@pytest.mark.parametrize(
    ("path", "seconds", "lots"),
    [("lobster_nasdaq_2012/GOOG_messages.parquet", 300.0, 100), ("bitstamp_l3_2015", 3600.0, 10_000_000)],
    ids=["lobster", "bitstamp"],
)
def test_single_orders_of_a_real_session(shared_data: Path, path: str, seconds: float, lots: int) -> None:
    part = window(read_recording(shared_data / path), 3600.0, 3600.0 + seconds)
    settings = ReplaySettings(
        decision_interval=1.0,
        decision_latency_us=100.0,
        order_latency_ms=1.0,
        order_lots=lots,
        queue_model="l3_fifo",
    )
    assert agree(part, settings, half_spread=3.0, skew=0.5) > 10
