"""The replay against a slow replayer, against the library's own books, and against what it must never do."""

import math
import subprocess
import sys
from dataclasses import replace
from typing import get_args

import numpy as np
import polars as pl
import pytest

from flowhft.desk.compiled import Frozen, freeze_expert
from flowhft.desk.journal import FILL_UNITS
from flowhft.desk.replay import engine, latency
from flowhft.desk.replay.engine import OrderCounts, Replayed, replay
from flowhft.desk.replay.events import exchange_events
from flowhft.desk.replay.markout import MARKOUT_UNITS, markout
from flowhft.desk.replay.settings import QueueModel, ReplaySettings
from flowhft.desk.replay.tape import OrderFlow, read_tape
from flowhft.errors import DataError, UsageError
from flowhft.metrics.measures import equity, inventory_after, measure
from flowhft.policies.rules import EXPERTS, glft
from flowhft.recordings import read_recording, sample_recording
from flowhft.recordings.book import rebuild
from flowhft.recordings.instrument import Instrument, worth
from flowhft.recordings.split import window
from flowhft.recordings.ticks import BUY, DEPTH, EVENT, SELL, SNAPSHOT, TOP, TRADE, Recording
from flowhft.types import SCALARS, Estimates

MS = 1_000_000
INSTANT = ReplaySettings(
    order_latency_ms=0.0,
    response_latency_ms=0.0,
    decision_latency_us=0.0,
    order_lots=4,
    inventory_limit=3,
    order_window=0.0,
    fills="whole",  # as hftbacktest, unless a test says otherwise
)


def constant(half_spread: float, skew: float = 0.0) -> Frozen:
    """A policy with half-spreads of `half_spread` +- skew x inventory."""
    return freeze_expert(EXPERTS["glft"], glft.Coefficients(half_spread - skew / 2, skew, 0.0, 0.0))


class Market:
    """A recording that is made by hand: times in milliseconds, one message an event."""

    def __init__(self, bids: dict[int, int], asks: dict[int, int], time: float = 0.0) -> None:
        self.rows: list[tuple] = []
        for side, levels in ((BUY, bids), (SELL, asks)):
            for price, quantity in levels.items():
                self.add(SNAPSHOT, side, time, price, quantity)

    def add(
        self, kind: int, side: int, time: float, price: int, quantity: int, late: float = 0.0
    ) -> "Market":
        made = round(time * MS)
        message = 0 if kind == SNAPSHOT else len(self.rows)
        self.rows.append((kind, side, made, made + round(late * MS), price, quantity, message))
        return self

    def depth(self, *event: float, late: float = 0.0) -> "Market":
        return self.add(DEPTH, *event, late=late)  # type: ignore[arg-type]

    def trade(self, *event: float, late: float = 0.0) -> "Market":
        return self.add(TRADE, *event, late=late)  # type: ignore[arg-type]

    def top(self, *event: float, late: float = 0.0) -> "Market":
        return self.add(TOP, *event, late=late)  # type: ignore[arg-type]

    def until(self, time: float) -> Recording:
        """End the recording with an event that changes nothing."""
        events = np.array([*self.rows, (DEPTH, BUY, time * MS, time * MS, 1, 0, len(self.rows))], EVENT)
        events = events[np.argsort(events["local_time_ns"], kind="stable")]
        return Recording(Instrument("hand-made", "TEST", "USD", 1.0, 1.0), events)


def quiet() -> Market:
    """A book that stands still at 999 / 1001, ten lots a level."""
    return Market({price: 10 for price in range(990, 1000)}, {price: 10 for price in range(1001, 1011)})


def random_market(seed: int, events: int = 400) -> Recording:
    """A lively book that never crosses: levels change, trades eat the best ones, some in one millisecond."""
    random = np.random.default_rng(seed)
    books = {
        BUY: {price: int(random.integers(1, 9)) for price in range(994, 1000)} | {800: 99},
        SELL: {price: int(random.integers(1, 9)) for price in range(1001, 1007)} | {1200: 99},
    }
    market = Market(dict(books[BUY]), dict(books[SELL]))
    time = 0.0
    for _ in range(events):
        time += float(random.integers(0, 25))
        side = BUY if random.random() < 0.5 else SELL
        best_bid, best_ask = max(books[BUY]), min(books[SELL])
        if random.random() < 0.4:
            # An order of the other side eats the best levels of this one.
            quantity = int(random.integers(1, 16))
            while quantity > 0 and len(books[side]) > 1:
                price = max(books[side]) if side == BUY else min(books[side])
                eaten = min(quantity, books[side][price])
                quantity -= eaten
                books[side][price] -= eaten
                market.trade(-side, time, price, eaten)
                market.depth(side, time, price, books[side][price])
                if books[side][price] == 0:
                    del books[side][price]
        else:
            reach = int(random.integers(-2, 5))
            price = max(best_bid - reach, 801) if side == BUY else min(best_ask + reach, 1199)
            if not (price < best_ask if side == BUY else price > best_bid):
                continue
            quantity = int(random.integers(0, 9))
            if quantity:
                books[side][price] = quantity
            else:
                books[side].pop(price, None)
            market.depth(side, time, price, quantity)
    return market.until(time + 1)


def one(recording: Recording, policy: Frozen, settings: ReplaySettings = INSTANT, **more: object) -> Replayed:
    return replay(recording, {"policy": policy}, settings, **more)["policy"]  # type: ignore[arg-type]


def test_equity_is_what_the_library_says(monkeypatch: pytest.MonkeyPatch) -> None:
    balances = []
    close = engine.close_venue

    def close_and_tell(venue: object) -> None:
        from hftbacktest.binding import HashMapMarketDepthBacktest_

        state = HashMapMarketDepthBacktest_(venue.pointer).state_values(0)
        balances.append((state.position, state.balance, state.fee, state.num_trades))
        close(venue)

    monkeypatch.setattr(engine, "close_venue", close_and_tell)
    recording = random_market(5, events=1500)
    settings = ReplaySettings(
        decision_latency_us=300.0, order_lots=4, inventory_limit=3, maker_fee_bps=1.5, fills="whole"
    )
    replayed = one(recording, constant(1.0, 0.5), settings)
    (position, balance, fee, trades), lots = balances[0], settings.order_lots
    trajectory = replayed.trajectory
    tape = read_tape(recording, settings)
    assert trades == len(replayed.fills) > 20
    assert inventory_after(trajectory)[0, -1] == position / lots
    wealth = (balance + position * tape.mid_price[-1] - fee) / lots
    assert equity(trajectory)[0, -1] == pytest.approx(wealth, abs=1e-6)
    assert np.sum(trajectory.fee) == pytest.approx(fee / lots, rel=1e-9)
    # What the policy saw adds up too: cash + inventory x mid is the equity before the step.
    seen = trajectory.observation
    np.testing.assert_allclose(
        (seen.cash + seen.inventory * seen.mid_price)[0, 1:], equity(trajectory)[0, :-1], atol=1e-6
    )
    np.testing.assert_array_equal(seen.inventory[0, 1:], inventory_after(trajectory)[0, :-1])


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("limit", [1, 2])
@pytest.mark.parametrize("partial", [False, True])
def test_inventory_limit_is_never_exceeded(seed: int, limit: int, partial: bool) -> None:
    settings = ReplaySettings(
        decision_interval=0.02,
        order_latency_ms=7.0,
        response_latency_ms=9.0,  # we hear of fills well after the next orders have left
        decision_latency_us=1000.0,
        order_lots=4,
        inventory_limit=limit,
        fills="capped" if partial else "whole",
    )
    replayed = one(random_market(100 + seed, events=800), constant(0.0), settings)
    held = np.cumsum(replayed.fills["side"].to_numpy() * replayed.fills["lots"].to_numpy())
    assert len(held) > 10
    assert np.max(np.abs(held)) <= limit * settings.order_lots
    # And it is reached; where orders are filled by parts, as far as no whole order fits any more.
    assert np.max(np.abs(held)) > limit * settings.order_lots - (settings.order_lots if partial else 1)


@pytest.mark.parametrize("fee_bps", [2.0, -0.5])
def test_fee_has_its_sign_and_size(fee_bps: float) -> None:
    recording = random_market(3)
    free = one(recording, constant(1.0))
    paid = one(recording, constant(1.0), replace(INSTANT, maker_fee_bps=fee_bps))
    value = float(np.sum(free.fills["price"].to_numpy() * free.fills["lots"].to_numpy())) / INSTANT.order_lots
    assert value > 0.0
    assert measure(paid.trajectory)["fee"][0] == pytest.approx(1e-4 * fee_bps * value)
    assert measure(paid.trajectory)["pnl"][0] == pytest.approx(
        measure(free.trajectory)["pnl"][0] - 1e-4 * fee_bps * value
    )


def test_an_inverse_contract_earns_coins() -> None:
    """In coins, lot by lot: V (1/P - 1/Q) for what was bought at P and is worth Q, and fees on V / P."""
    recording, rate, lots = random_market(5, events=1500), 1.5e-4, 4
    settings = ReplaySettings(
        decision_latency_us=300.0, order_lots=lots, inventory_limit=3, maker_fee_bps=1.5, fills="whole"
    )
    start = 995.0
    contract = Instrument("binance-coinm", "BTCUSD_PERP", "USD", 0.1, 1.0, True, 100.0, "BTC")
    reference = contract.reference(start)
    replayed = one(recording, constant(1.0, 0.5), settings, reference=reference)
    side, price, size = (replayed.fills[name].to_numpy() for name in ("side", "price", "lots"))
    assert len(price) > 20
    tape, value = read_tape(recording, settings), 100.0 * size  # of a contract: 100 dollars
    coins = np.sum(side * value * (1.0 / (0.1 * price) - 1.0 / (0.1 * tape.mid_price[-1])))
    money = contract.tick_value(start) * lots
    path = replayed.trajectory
    assert money * np.sum(path.fee) == pytest.approx(rate * np.sum(value / (0.1 * price)), rel=1e-12)
    assert money * np.sum(path.activity.turnover) == pytest.approx(np.sum(value / (0.1 * price)), rel=1e-12)
    assert money * np.sum(path.spread_pnl + path.inventory_pnl) == pytest.approx(coins, rel=1e-9)
    # The spread is against the mid of the decision; a policy sees its equity as cash and inventory.
    seen, held = path.observation, path.observation.inventory[0, 1:]
    at = worth(tape.mid_price[1:-1], reference) - worth(tape.mid_price[0], reference)
    np.testing.assert_allclose(seen.cash[0, 1:] + held * at, equity(path)[0, :-1], atol=1e-6)
    # Prices are such that a linear account would be told from it.
    linear = one(recording, constant(1.0, 0.5), settings).trajectory
    assert np.sum(linear.spread_pnl) != pytest.approx(np.sum(path.spread_pnl), rel=1e-4)


def test_latency_delays_a_fill() -> None:
    # The first decision is at 0 ms; a sell order goes through 998 at 3 ms and again at 60 ms.
    def recording() -> Recording:
        return quiet().trade(SELL, 3, 996, 1).trade(SELL, 60, 996, 1).until(250)

    policy = constant(2.0)
    at = {}
    for wait in (0.0, 5.0, 80.0):
        fills = one(recording(), policy, replace(INSTANT, order_latency_ms=wait)).fills
        at[wait] = fills["exchange_time_ns"].to_list()
    assert at == {0.0: [3 * MS], 5.0: [60 * MS], 80.0: []}
    # Time to decide counts like time on the way.
    fills = one(recording(), policy, replace(INSTANT, decision_latency_us=5_000.0)).fills
    assert fills["exchange_time_ns"].to_list() == [60 * MS]


def test_response_latency_delays_what_we_know() -> None:
    recording = quiet().trade(SELL, 60, 996, 1).until(450)
    for wait, step in ((0.0, 0), (30.0, 0), (50.0, 1), (150.0, 2)):
        replayed = one(recording, constant(2.0), replace(INSTANT, response_latency_ms=wait))
        assert replayed.fills["step"].to_list() == [step]
        assert replayed.fills["exchange_time_ns"].to_list() == [60 * MS]
        np.testing.assert_array_equal(np.flatnonzero(replayed.trajectory.fill.bid[0]), [step])


def test_orders_wait_behind_the_queue() -> None:
    # Ten lots stand at 999 before us: nine eaten is not enough, ten is not either, the next one is ours.
    for eaten, filled in ((9, 0), (10, 0), (11, 1)):
        recording = quiet().trade(SELL, 50, 999, eaten).until(150)
        assert len(one(recording, constant(1.0)).fills) == filled
    # Cancellations ahead move a cautious order only when the level falls below its place.
    recording = quiet().depth(BUY, 40, 999, 3).trade(SELL, 50, 999, 4).until(150)
    assert len(one(recording, constant(1.0)).fills) == 1


def test_a_trade_and_its_mark_on_the_book_count_once() -> None:
    # Six of ten are eaten at 50 ms; the new depth says four, and arrives before the trade does.
    market = quiet().depth(BUY, 50, 999, 4).trade(SELL, 50, 999, 6, late=2).trade(SELL, 70, 999, 3)
    assert len(one(market.until(150), constant(1.0)).fills) == 0
    market = quiet().depth(BUY, 50, 999, 4).trade(SELL, 50, 999, 6, late=2).trade(SELL, 70, 999, 5)
    assert len(one(market.until(150), constant(1.0)).fills) == 1


def test_quotes_that_never_trade_earn_nothing() -> None:
    replayed = one(random_market(1), constant(500.0))
    values = measure(replayed.trajectory)
    assert replayed.orders.submitted > 0
    assert len(replayed.fills) == 0
    assert all(values[name][0] == 0.0 for name in ("pnl", "spread_pnl", "inventory_pnl", "fee", "fills"))


@pytest.mark.parametrize("half_spread", [math.nan, math.inf, 1e300, 2000.0])
def test_a_policy_may_stay_out(half_spread: float) -> None:
    policy = freeze_expert(EXPERTS["no_quote"], ()) if math.isnan(half_spread) else constant(half_spread)
    replayed = one(random_market(1), policy)
    bids_only = half_spread == 2000.0  # an ask at 3,000 is a price, a bid at -1,000 is none
    assert (replayed.orders.submitted > 0) == bids_only
    assert len(replayed.fills) == 0


def test_quotes_never_take() -> None:
    # A bid 50 ticks above the mid stands one tick below the best ask instead.
    replayed = one(quiet().trade(SELL, 50, 1000, 1).until(150), constant(-50.0))
    assert replayed.fills["price"].to_list() == [1000]
    # Where the market comes closer while the order is on its way, the venue rejects it.
    market = quiet().depth(SELL, 2, 1000, 5)
    replayed = one(
        market.until(90), constant(-50.0), replace(INSTANT, order_latency_ms=5.0, decision_interval=0.08)
    )
    assert replayed.orders.rejected == 1  # the bid at 1000; the ask at 1000 may stand
    assert replayed.orders.submitted == 2


def test_working_orders_are_left_alone() -> None:
    recording = quiet().until(1000)
    assert one(recording, constant(2.0)).orders == OrderCounts(2, 0, 0, 0, 0, 0, 0)
    # The mid rises by half a tick, then by two: only the second moves quotes that may be a tick off.
    market = quiet().depth(BUY, 250, 1000, 5).depth(SELL, 550, 1001, 0).depth(SELL, 550, 1002, 0)
    recording = market.depth(BUY, 550, 1001, 5).until(1000)
    always = one(recording, constant(2.0))
    seldom = one(recording, constant(2.0), replace(INSTANT, minimum_change=2))
    assert always.orders.cancelled > seldom.orders.cancelled == 2


def moving() -> Market:
    """A market whose mid rises by a tick every 100 ms, just after each decision, for a second."""
    market = quiet()
    for step in range(10):
        market.depth(SELL, 100 * step + 50, 1001 + step, 0)
        market.depth(BUY, 100 * step + 50, 1000 + step, 10)
        market.depth(SELL, 100 * step + 50, 1011 + step, 10)
    return market


def test_every_quote_that_moves_is_sent_or_counted() -> None:
    recording = moving().until(1000)
    free = one(recording, constant(3.0)).orders
    assert free == OrderCounts(20, 18, 0, 0, 0, 0, 0)  # both sides at ten decisions
    # Four at once, then two and a half a second: the fifth after 400 ms more, the sixth after 400 more.
    rationed = one(recording, constant(3.0), replace(INSTANT, order_rate=2.5, order_burst=4)).orders
    assert rationed == OrderCounts(6, 4, 0, 0, 14, 0, 0)
    # A move of one tick, then one of two ticks from where the order stands.
    calm = one(recording, constant(3.0), replace(INSTANT, minimum_change=2)).orders
    assert calm == OrderCounts(10, 8, 0, 10, 0, 0, 0)
    slow = one(recording, constant(3.0), replace(INSTANT, response_latency_ms=150.0)).orders
    assert slow == OrderCounts(10, 8, 0, 0, 0, 10, 0)
    # The bid is filled once and may not come back, at four decisions.
    full = quiet().trade(SELL, 50, 996, 1).until(550)
    assert one(full, constant(2.0), replace(INSTANT, inventory_limit=1)).orders.limited == 4


def test_orders_that_may_take_pay_for_it() -> None:
    settings = replace(INSTANT, post_only=False, maker_fee_bps=1.0, taker_fee_bps=5.0, inventory_limit=1)
    replayed = one(quiet().until(150), constant(-3.0, 1.0), settings)
    bought = replayed.fills.filter(side=1)
    assert bought["price"].to_list() == [1001]  # the best price, though 1003 was offered
    assert bought["maker"].to_list() == [0]
    traded = float((replayed.fills["price"] * replayed.fills["lots"]).sum()) / settings.order_lots
    assert np.sum(replayed.trajectory.fee) == pytest.approx(5e-4 * traded)
    assert np.sum(replayed.trajectory.spread_pnl) == -len(replayed.fills)


def test_orders_take_longer_where_the_market_data_did() -> None:
    market = quiet()
    for time, late in ((10, 2.0), (20, 2.0), (30, 42.0), (75, 5.0), (90, 2.0)):
        market.depth(BUY, time, 900, time, late=late)
    recording = market.until(250)
    settings = replace(INSTANT, latency_model="recorded", order_latency_ms=1.0, response_latency_ms=3.0)
    rows = latency.order_latencies(recording, settings)
    assert rows is not None
    results = [(row["req_ts"] / MS, row["exch_ts"] / MS, row["resp_ts"] / MS) for row in rows]
    # The fastest message took nothing (the last). At 80 ms an order could not overtake that of 72 ms.
    assert results == [(12, 15, 20), (22, 25, 30), (72, 115, 160), (250, 251, 254)]
    known = latency.delays(recording, settings)
    assert known.order.tolist() == [3_000.0, 3_000.0, 43_000.0, 1_000.0]
    assert known.feed.max() == 42_000.0
    table = latency.latency_table(known, {"it": np.array([5.0, 7.0]), "set": np.zeros(0)})
    assert table["kind"].to_list() == ["feed", "order", "response", "decision"]
    assert table["maximum"].to_list() == [42_000.0, 43_000.0, 45_000.0, 7.0]
    set_ = latency.delays(recording, replace(INSTANT, feed_latency_ms=4.0, order_latency_ms=6.0))
    assert [values.tolist() for values in set_] == [[4_000.0], [6_000.0], [0.0]]


def test_the_feed_may_be_as_late_as_one_says() -> None:
    # What we see at 35 ms was so at 0 ms, and the first order is at the venue at 35 ms.
    recording = quiet().trade(SELL, 3, 996, 1).trade(SELL, 60, 996, 1).depth(SELL, 20, 1001, 0).until(400)
    for late, first in ((0.0, 3 * MS), (35.0, 60 * MS)):
        replayed = one(recording, constant(2.0), replace(INSTANT, feed_latency_ms=late))
        assert replayed.fills["exchange_time_ns"][0] == first
        np.testing.assert_array_equal(replayed.trajectory.observation.mid_price[0, :2], [0.0, 0.5])
    assert recording.events["local_time_ns"][-1] == 400 * MS  # the recording itself is as it was


def test_arrivals_count_market_orders() -> None:
    market = quiet().trade(BUY, 10, 1001, 1).trade(BUY, 10, 1002, 1).trade(BUY, 10, 1003, 1)  # one order
    market.trade(BUY, 20, 1001, 1).trade(SELL, 20, 999, 1)  # two
    market.trade(SELL, 95, 999, 1, late=10)  # learned of in the next step
    seen = one(market.until(350), constant(9.0)).trajectory.observation
    assert seen.arrivals_ask[0].tolist() == [0, 2, 0]
    assert seen.arrivals_bid[0].tolist() == [0, 1, 1]


def test_intensity_is_the_sum_over_past_orders() -> None:
    recording = random_market(2)
    flow = OrderFlow(base_intensity=0.5, self_excitation=1.2, cross_excitation=0.4, decay=7.0)
    tape = read_tape(recording, INSTANT, flow)
    trades = recording.events[recording.events["kind"] == TRADE]  # one order is what comes at one time
    first = np.append(True, (np.diff(trades["exchange_time_ns"]) > 0) | (np.diff(trades["side"]) != 0))
    times, sides = trades["local_time_ns"][first], (trades["side"][first] == BUY).astype(int)
    for step in range(0, len(tape.time_ns), 5):
        past = times <= tape.time_ns[step]
        kernel = np.exp(-flow.decay * 1e-9 * (tape.time_ns[step] - times[past]))
        for side in (0, 1):
            jumps = np.where(sides[past] == side, flow.self_excitation, flow.cross_excitation)
            assert tape.intensity[step, side] == pytest.approx(0.5 + np.sum(kernel * jumps))
    # Without a model: the rate so far, one order in one second beforehand.
    tape = read_tape(recording, INSTANT)
    total = np.sum(times <= tape.time_ns[-1]) + 2
    assert np.sum(tape.intensity[-1]) == pytest.approx(total / (1e-9 * tape.time_ns[-1] + 1.0))


def test_sessions_roll() -> None:
    seen = one(quiet().until(1050), constant(2.0), replace(INSTANT, horizon=0.3)).trajectory.observation
    np.testing.assert_allclose(seen.time[0], 0.1 * np.arange(10), atol=1e-12)
    np.testing.assert_allclose(seen.time_left[0], ([0.3, 0.2, 0.1] * 4)[:10], atol=1e-12)


def test_same_again_and_policies_do_not_disturb_each_other() -> None:
    recording = random_market(4)
    noise = freeze_expert(EXPERTS["white_noise"], (6.0,))
    alone = replay(recording, {"noise": noise}, INSTANT, seed=3)["noise"]
    among = replay(recording, {"glft": constant(1.0), "noise": noise}, INSTANT, seed=3)["noise"]
    other = replay(recording, {"noise": noise}, INSTANT, seed=4)["noise"]
    assert alone.fills.equals(among.fills)
    np.testing.assert_array_equal(
        alone.trajectory.quote.half_spread_bid, among.trajectory.quote.half_spread_bid
    )
    assert not np.array_equal(alone.trajectory.quote.half_spread_bid, other.trajectory.quote.half_spread_bid)


@pytest.mark.parametrize("seed", [0, 1])
def test_nothing_is_seen_before_it_arrives(seed: int) -> None:
    recording = random_market(seed, events=600)
    settings = replace(INSTANT, order_latency_ms=2.0, response_latency_ms=2.0)
    as_run = EXPERTS["glft_as_run"]
    policy = freeze_expert(as_run, as_run.coefficients(Estimates(2.0, 0.0, 1.0, 0.7, 60.0), 0.1))
    middle = recording.events["local_time_ns"][len(recording.events) // 2]
    changed = recording.events.copy()
    later = changed["local_time_ns"] > middle
    changed["quantity"][later & (changed["kind"] == TRADE)] += 50
    changed["price"][later] += 40
    before = one(recording, policy, settings).trajectory
    after = one(replace(recording, events=changed), policy, settings).trajectory
    same = int((middle - recording.events["local_time_ns"][0]) // 100_000_000)  # steps that ended before it
    assert same > 5
    for name, values in zip(SCALARS, before.observation.scalars, strict=True):
        np.testing.assert_array_equal(values[0, : same + 1], getattr(after.observation, name)[0, : same + 1])
    for ours, theirs in ((before.spread_pnl, after.spread_pnl), (before.fill.bid, after.fill.bid)):
        np.testing.assert_array_equal(ours[0, :same], theirs[0, :same])
    assert not np.array_equal(before.observation.mid_price, after.observation.mid_price)


def test_partial_fills_take_what_was_traded() -> None:
    settings = replace(INSTANT, partial_fills=True, order_lots=10)
    # Ten lots ahead; then 4 of ours, then exactly the 6 that are left, and a trade that finds none.
    market = quiet().trade(SELL, 10, 999, 14).trade(SELL, 150, 999, 6).trade(SELL, 160, 999, 5)
    replayed = one(market.until(250), constant(1.0), settings)
    assert replayed.fills["lots"].to_list() == [4, 6]
    np.testing.assert_allclose(replayed.trajectory.fill.bid[0], [0.4, 0.6])
    np.testing.assert_allclose(inventory_after(replayed.trajectory)[0], [0.4, 1.0])
    np.testing.assert_allclose(replayed.trajectory.spread_pnl[0], [0.4, 0.6])
    # Without partial fills, the first of them fills it all.
    assert (
        one(market.until(250), constant(1.0), replace(settings, partial_fills=False)).fills["lots"][0] == 10
    )


@pytest.mark.parametrize("model", [name for name in get_args(QueueModel) if name != "l3_fifo"])
def test_guesses_only_move_orders_forward(model: QueueModel) -> None:
    fills = one(random_market(7), constant(1.0), replace(INSTANT, queue_model=model)).fills
    cautious = one(random_market(7), constant(1.0)).fills
    assert len(fills) >= len(cautious) > 0


def book_after(market: Market) -> dict[tuple[int, float], float]:
    """Return the quantity of every level in the end, as hftbacktest's exchange hears of it."""
    book: dict[tuple[int, float], float] = {}
    for event in exchange_events(market.until(50)):
        side = BUY if event["ev"] & (1 << 29) else SELL
        if event["ev"] & 0xFF == 3:
            book.clear()
        elif event["qty"] > 0:
            book[side, event["px"]] = event["qty"]
        else:
            book.pop((side, event["px"]), None)
    return book


def test_a_published_top_clears_what_it_passes() -> None:
    # The best bid falls to 995 and the best ask to 997 before the depth says so.
    book = book_after(quiet().top(BUY, 20, 995, 7).top(SELL, 20, 997, 3))
    assert book == {(BUY, price): 10 for price in range(990, 995)} | {(BUY, 995): 7, (SELL, 997): 3} | {
        (SELL, price): 10 for price in range(1001, 1011)
    }


def test_a_published_top_clears_what_it_meets_and_no_price_clears_nothing() -> None:
    asks = {(SELL, price): 10 for price in range(1001, 1011)}
    # An ask where bids stood: these are gone, at its own price too.
    book = book_after(quiet().top(SELL, 20, 997, 3))
    assert book == {(BUY, price): 10 for price in range(990, 997)} | {(SELL, 997): 3} | asks
    # A side without a best price says nothing of its levels.
    assert book_after(quiet().top(BUY, 20, 999, 0)) == book_after(quiet())


@pytest.mark.parametrize("seed", range(4))
def test_tops_that_say_what_the_depth_says_change_nothing(seed: int) -> None:
    recording = random_market(seed)
    rows = []
    for local, made, bid, ask, bids, asks, message in zip(*rebuild(recording), strict=True):
        rows += [(TOP, BUY, made, local, bid, bids, message), (TOP, SELL, made, local, ask, asks, message)]
    events = np.concatenate([recording.events, np.array(rows, EVENT)])
    events = events[np.lexsort((events["kind"] == TOP, events["message"], events["local_time_ns"]))]
    plain, both = (one(given, constant(1.0, 0.4)) for given in (recording, replace(recording, events=events)))
    assert plain.fills.equals(both.fills)
    assert len(plain.fills) > 5
    np.testing.assert_array_equal(equity(plain.trajectory), equity(both.trajectory))


def test_a_snapshot_precedes_what_arrived_after_it() -> None:
    # The snapshot was asked for at 30 ms; a change made at 10 ms arrives after it and is part of no snapshot.
    market = Market({999: 10}, {1001: 10}, time=30).depth(BUY, 10, 999, 4, late=25)
    events = exchange_events(market.until(60))
    assert (np.diff(events["exch_ts"]) >= 0).all()
    bids = events[(events["px"] == 999) & (events["qty"] > 0)]
    assert bids["qty"].tolist() == [10, 4]


def test_orders_take_what_the_feed_took_more_than_its_fastest_message() -> None:
    market = quiet()
    for at, late in ((10, 5.0), (30, 8.0), (60, 5.0), (90, 25.0)):
        market.depth(BUY, at, 980, at, late=late)
    settings = replace(INSTANT, latency_model="recorded", order_latency_ms=2.0, response_latency_ms=1.0)
    rows = latency.order_latencies(market.until(200), settings)
    assert rows is not None
    there, back = (rows["exch_ts"] - rows["req_ts"]) / MS, (rows["resp_ts"] - rows["exch_ts"]) / MS
    # The last event of the recording takes no time: everything else is late by what it took.
    np.testing.assert_array_equal(there, [7.0, 10.0, 7.0, 27.0, 2.0])
    np.testing.assert_array_equal(back, [6.0, 9.0, 6.0, 26.0, 1.0])
    recording = market.until(200)
    recording.events["local_time_ns"][-1] += 5 * MS  # now the fastest message takes 5 ms
    rows = latency.order_latencies(recording, settings)
    assert rows is not None
    np.testing.assert_array_equal((rows["exch_ts"] - rows["req_ts"]) / MS, [2.0, 5.0, 2.0, 22.0, 2.0])


def test_recordings_that_cannot_be_replayed() -> None:
    recording = quiet().until(500)
    events = recording.events[recording.events["kind"] != SNAPSHOT]
    with pytest.raises(DataError, match=r"hand-made TEST` must .*snapshot.*; received none"):
        exchange_events(replace(recording, events=events))
    with pytest.raises(DataError, match=r"hand-made TEST` must .*snapshot"):
        one(replace(recording, events=events), constant(1.0))
    with pytest.raises(DataError, match=r"must be one session without a break .*; received 2 sessions"):
        one(replace(recording, sessions=((0, 100 * MS), (200 * MS, 500 * MS))), constant(1.0))
    with pytest.raises(DataError, match=r"must hold single orders .*l3_fifo; received levels only"):
        one(recording, constant(1.0), replace(INSTANT, queue_model="l3_fifo"))
    with pytest.raises(DataError, match=r"must have two clocks .*--replay.latency-model constant"):
        one(recording, constant(1.0), replace(INSTANT, latency_model="recorded"))
    with pytest.raises(DataError, match=r"must last for a decision interval, 0\.1 s.*received 0\.050 s"):
        one(quiet().until(50), constant(1.0))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("decision_interval", 0.0),
        ("horizon", 0.01),
        ("order_latency_ms", -1.0),
        ("response_latency_ms", math.inf),
        ("decision_latency_us", 200_000.0),
        ("queue_model", "lucky"),
        ("queue_power", 0.0),
        ("maker_fee_bps", 20_000.0),
        ("taker_fee_bps", -20_000.0),
        ("feed_latency_ms", -1.0),
        ("latency_model", "lucky"),
        ("order_rate", 0.0),
        ("order_burst", 0),
        ("order_lots", 0),
        ("inventory_limit", 0),
        ("minimum_change", 0),
    ],
)
def test_settings_that_cannot_be(name: str, value: object) -> None:
    with pytest.raises(UsageError, match=f"`{name}` must .*; received"):
        ReplaySettings(**{name: value})  # type: ignore[arg-type]


def test_slow_policies_are_charged_and_too_slow_ones_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = replace(INSTANT, decision_latency_us=None)
    recording = quiet().trade(SELL, 3, 996, 1).trade(SELL, 60, 996, 1).until(250)
    replayed = one(recording, constant(2.0), measured)
    assert replayed.decision_latency_us == 100.0 * math.ceil(np.median(replayed.measured_latency_us) / 100.0)
    assert np.all(replayed.measured_latency_us > 0.0)
    monkeypatch.setattr(engine, "measure_latency", lambda *_: np.full(8, 4_950.0))
    replayed = one(recording, constant(2.0), measured)
    assert replayed.decision_latency_us == 5_000.0
    assert replayed.fills["exchange_time_ns"].to_list() == [60 * MS]
    monkeypatch.setattr(engine, "measure_latency", lambda *_: np.full(8, 150_000.0))
    with pytest.raises(
        UsageError, match=r"`decision_interval` must exceed the 150000 us that the policy policy"
    ):
        one(recording, constant(2.0), measured)
    assert latency.charged_latency(np.array([99.0, 101.0, 7000.0])) == 200.0


def run(code: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_missing_library_names_its_extra() -> None:
    without = "import sys; sys.modules['hftbacktest'] = None; import flowhft.desk.replay.{}"
    assert run(without.format("settings")).returncode == 0  # the command line's help does not need it
    failed = run(without.format("engine"))
    assert "MissingExtraError: `hftbacktest` must be installed" in failed.stderr
    assert "pip install 'flowhft[replay]'" in failed.stderr


def test_the_replay_never_imports_the_lab() -> None:
    modules = "flowhft.desk.replay.engine, flowhft.desk.replay.markout"
    code = f"import sys, {modules}; print({{'jax', 'equinox'}} & set(sys.modules))"
    assert run(code).stdout.strip() == "set()"


def test_markout_by_hand() -> None:
    # We buy at 998 when the mid is 1000; it stands at 999 with the trade and at 997 a second later.
    market = quiet().trade(SELL, 50, 996, 1)
    market.depth(BUY, 50, 999, 0)
    market.depth(SELL, 50, 1000, 5)
    for price in (998, 997, 996, 995):
        market.depth(BUY, 600, price, 0)
    recording = market.until(1500)
    replayed = one(recording, constant(2.0), replace(INSTANT, inventory_limit=1, minimum_change=50))
    assert replayed.fills["price"].to_list() == [998]
    table = markout({"policy": replayed.fills}, recording, horizons=(0.0, 1.0, 10.0))
    assert table.columns == list(MARKOUT_UNITS)
    assert table["capture"].to_list()[:2] == [2.0, 2.0]
    assert table["markout"].to_list()[:2] == [-1.0, -3.0]
    assert table["realised"].to_list()[:2] == [1.0, -1.0]
    assert table["fills"].to_list() == [1, 1, 0]
    assert math.isnan(table["markout"][2])
    assert math.isnan(table["markout_error"][0])  # one fill has no error bar


def test_a_markout_does_not_reach_into_the_next_session() -> None:
    rows = [
        (TOP, side, second * 1000 * MS, second * 1000 * MS, mid + side, 1, second)
        for second, mid in ((0, 1000), (3, 1004), (100, 2000), (103, 2000))
        for side in (BUY, SELL)
    ]
    sessions = ((0, 3000 * MS), (100_000 * MS, 103_000 * MS))
    recording = Recording(
        Instrument("hand-made", "TEST", "USD", 1.0, 1.0), np.array(rows, EVENT), sessions=sessions
    )
    at = np.array([1000, 100_500]) * MS
    fills = pl.DataFrame(
        {"exchange_time_ns": at, "time": 1e-9 * at, "side": 1, "price": 999, "lots": 1, "mid_price": 1000.0}
    )
    table = markout({"x": fills}, recording, horizons=(2.0, 2.5, 99.5))
    assert table["fills"].to_list() == [2, 1, 0]
    assert table["markout"].to_list()[1] == 1000.0  # of the second session alone


def test_markout_error_knows_that_fills_come_in_bursts() -> None:
    random = np.random.default_rng(0)

    # 400 bursts of 5 fills each, one a minute; each burst sees one move of the mid.
    moves = 2 * random.integers(-4, 5, 400)
    start = 60_000 * MS * np.arange(400)
    rows = [(TOP, side, 0, 0, 1000 + side, 1, -1) for side in (BUY, SELL)]
    for burst, move in zip(start.tolist(), moves.tolist(), strict=True):
        for time, mid in ((burst, 1000), (burst + 5_000 * MS, 1000 + move)):
            rows += [(TOP, side, time, time, mid - side, 1, time) for side in (BUY, SELL)]
    end = 60_000 * MS * 400
    rows.append((TRADE, BUY, end, end, 1001, 1, end))
    recording = Recording(Instrument("hand-made", "TEST", "USD", 1.0, 1.0), np.array(rows, EVENT))
    at = (start[:, None] + MS * (1000 + 10 * np.arange(5))).ravel()
    fills = pl.DataFrame(
        {"exchange_time_ns": at, "time": 1e-9 * at, "side": 1, "price": 999, "lots": 1, "mid_price": 1000.0}
    )
    (error,) = markout({"x": fills}, recording, horizons=(10.0,))["markout_error"]
    assert error == pytest.approx(np.std(moves) / np.sqrt(400), rel=0.02)
    assert error > 2.0 * np.std(np.repeat(moves, 5)) / np.sqrt(
        2000
    )  # five fills of a burst are one observation


@pytest.fixture(scope="module")
def sample() -> Recording:
    return window(read_recording(sample_recording()), 170.0, 260.0)


def test_every_fill_of_the_sample_has_a_cause(sample: Recording) -> None:
    coefficients = EXPERTS["glft"].coefficients(Estimates(42.0, 0.0, 0.8, 0.034, 60.0), 0.0034)
    policy = freeze_expert(EXPERTS["glft"], coefficients)
    replayed = one(sample, policy, ReplaySettings())
    trajectory, fills = replayed.trajectory, replayed.fills
    assert fills.columns == [*FILL_UNITS, "hidden"]
    assert trajectory.spread_pnl.shape == (1, 899)
    assert 5 < len(fills) < 200
    assert fills["lots"].sum() == 10 * measure(trajectory)["fills"][0]
    assert measure(trajectory)["max_inventory"][0] <= 10.0
    # At the time of each fill, a trade or a best price of the other side stood at our price or beyond.
    events = sample.events
    for side, price, time in zip(fills["side"], fills["price"], fills["exchange_time_ns"], strict=True):
        now = events[events["exchange_time_ns"] == time]
        other = now[(now["side"] == -side) & (now["kind"] != SNAPSHOT) & (now["quantity"] > 0)]
        assert np.any(side * (other["price"] - price) <= 0)


def test_the_book_of_the_sample_shows_the_published_top(sample: Recording) -> None:
    """Follow the converted events: whenever time moves on, the best bid is what was published."""
    tops = sample.events[(sample.events["kind"] == TOP) & (sample.events["side"] == BUY)]
    tops = tops[np.argsort(tops["exchange_time_ns"], kind="stable")]
    published = dict(zip(tops["exchange_time_ns"].tolist(), tops["price"].tolist(), strict=True))
    events = exchange_events(sample)[:60_000]
    bids: dict[float, float] = {}
    equal = compared = 0
    time = int(events["exch_ts"][0])
    for flags, made, price, quantity in zip(
        events["ev"].tolist(), events["exch_ts"].tolist(), events["px"], events["qty"], strict=True
    ):
        if made != time and time in published and bids:
            compared += 1
            equal += max(bids) == published[time]
        time = made
        if flags & 0xFF in (1, 4) and flags & (1 << 29):
            if quantity > 0:
                bids[price] = quantity
            else:
                bids.pop(price, None)
    assert compared > 500
    assert equal / compared > 0.99  # a depth update of the same millisecond may be older than the top
