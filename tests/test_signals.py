"""Signals of a book against their definitions, and what they promise: causal, however cut, mirrored."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slow_signals import slow_signals

from flowhft.desk.replay.latency import as_received
from flowhft.desk.replay.settings import ReplaySettings
from flowhft.desk.replay.signals import read_signals
from flowhft.desk.replay.tape import read_tape
from flowhft.desk.signals import STALE_NS, Signals
from flowhft.errors import DataError, UsageError
from flowhft.features.book import FORECASTING, MIRROR, NAMES, SIGN, SIGNALS, mirrored
from flowhft.recordings import read_recording, sample_recording, window
from flowhft.recordings.instrument import Instrument
from flowhft.recordings.ticks import BUY, DEPTH, EVENT, SELL, SNAPSHOT, TOP, TRADE, Recording

SECOND, MS = 10**9, 10**6
START = 1_700_000_000 * SECOND
AT = {name: index for index, name in enumerate(NAMES)}


def recording_of(rows) -> Recording:
    """Rows of (kind, side, local time after `START` in ms, price, lots, message), made 1 ms before."""
    made = []
    for kind, side, ms, price, lots, message in rows:
        local = START + round(ms * MS)
        made.append((kind, side, local - MS, local, price, lots, message))
    events = np.array(made, EVENT)
    return Recording(Instrument("here", "MADE", "USD", 1.0, 1.0), events)


def top(ms, bid, ask, bid_lots, ask_lots, message):
    return [(TOP, BUY, ms, bid, bid_lots, message), (TOP, SELL, ms, ask, ask_lots, message)]


def snapshot(ms, bids, asks, message=1):
    return [
        (SNAPSHOT, side, ms, price, lots, message)
        for side, levels in ((BUY, bids), (SELL, asks))
        for price, lots in levels.items()
    ]


def at(recording: Recording, *ms) -> np.ndarray:
    return read_signals(recording, START + np.round(np.array(ms) * MS).astype(np.int64))


@pytest.fixture(scope="module")
def sample() -> Recording:
    return window(read_recording(sample_recording()), 170.0, 174.0)


@pytest.fixture(scope="module")
def without_tops(sample: Recording) -> Recording:
    return replace(sample, events=sample.events[sample.events["kind"] != TOP])


# What they are


def test_every_signal_has_a_mirror_that_leads_back():
    assert len(set(NAMES)) == len(NAMES)
    assert set(FORECASTING) < set(NAMES)
    np.testing.assert_array_equal(MIRROR[MIRROR], np.arange(len(NAMES)))
    np.testing.assert_array_equal(SIGN * SIGN[MIRROR], np.ones(len(NAMES)))
    x = np.random.default_rng(0).normal(size=(3, len(NAMES)))
    np.testing.assert_array_equal(mirrored(mirrored(x)), x)
    assert mirrored(x)[0, AT["log_bid_size"]] == x[0, AT["log_ask_size"]]
    assert mirrored(x)[0, AT["microprice"]] == -x[0, AT["microprice"]]
    assert all(signal.unit and signal.source for signal in SIGNALS)


@pytest.mark.parametrize("kind", ["published", "from depth"])
def test_signals_are_what_their_definitions_say(sample, without_tops, kind):
    recording = sample if kind == "published" else without_tops
    events = recording.events
    times = np.linspace(int(events["local_time_ns"][0]), int(events["local_time_ns"][-1]), 8).astype(np.int64)
    times = np.sort(
        np.append(times, events["local_time_ns"][[50, 1_500]])
    )  # decisions at the time of an event
    slow = [slow_signals(events, kind == "published", int(time)) for time in times]
    np.testing.assert_allclose(read_signals(recording, times), slow, rtol=1e-9, atol=1e-8)
    assert np.all(np.isfinite(slow[-1]))


def test_numbers_by_hand():
    rows = [
        *snapshot(0, {9_999: 30, 9_998: 7, 9_991: 5, 9_990: 100}, {10_001: 10, 10_002: 3, 10_010: 50}),
        *top(0, 9_999, 10_001, 30, 10, 1),
        (TRADE, BUY, 100, 10_001, 4, 1),
        (TRADE, BUY, 105, 10_001, 5, 2),  # the same market order: 9 lots, a root of 3
        *top(200, 9_999, 10_002, 30, 3, 2),
        (DEPTH, SELL, 200, 10_001, 0, 2),
    ]
    first, last = at(recording_of(rows), 50, 1_200)
    assert first[AT["touch_imbalance"]] == 0.5
    assert first[AT["microprice"]] == 0.5  # (30 * 10,001 + 10 * 9,999) / 40 - 10,000
    # 2 bp of 10,000 are 2 ticks: 37 lots of bids, 13 of asks; 8 ticks behind the best: 42 and 13.
    assert first[AT["imbalance_2bp"]] == pytest.approx(24 / 50)
    assert first[AT["imbalance_8_ticks"]] == pytest.approx(29 / 55)
    assert first[AT["log_bid_depth_2bp"]] == pytest.approx(math.log(37))
    assert np.isnan(first[AT["last_trade"]])
    assert np.isnan(first[AT["activity_2s"]])
    assert last[AT["log_spread"]] == pytest.approx(math.log(3))
    # Ten lots of asks went, at a price now below the best ask: that adds them to the flow.
    assert last[AT["order_flow_imbalance_2s"]] == pytest.approx(10 * math.exp(-0.5))
    assert last[AT["return_2s"]] == pytest.approx(0.5 * math.exp(-0.5))
    volume = 2.0 * math.exp(-1.1 / 2) + 1.0 * math.exp(-1.095 / 2)
    assert last[AT["signed_volume_2s"]] == pytest.approx(volume)
    assert last[AT["last_trade"]] == 0.5
    rate = math.exp(-1.1 / 2) / (2.0 * (1.0 - math.exp(-1.2 / 2)))
    assert last[AT["activity_2s"]] == pytest.approx(math.log1p(rate))
    assert last[AT["volatility_30s"]] == 0.5  # one whole second with a move of half a tick
    # Depth within 2 bp of the mid of 10,000.5: bids from 9,998.4999, asks to 10,002.5001.
    assert last[AT["log_bid_depth_2bp"]] == pytest.approx(math.log(30))
    assert last[AT["log_ask_depth_2bp"]] == pytest.approx(math.log(3))


# What they promise


def test_the_future_changes_nothing_before(sample):
    events = sample.events
    times = np.linspace(*(int(events["local_time_ns"][i]) for i in (0, -1)), 200).astype(np.int64)
    signals = read_signals(sample, times)
    cut = len(times) // 2
    later = events["local_time_ns"] > times[cut]
    changed = events.copy()
    changed["quantity"][later] *= 7
    changed["price"][later & (events["kind"] != SNAPSHOT)] += 3
    changed["side"][later & (events["kind"] == TRADE)] *= -1
    others = read_signals(replace(sample, events=changed), times)
    np.testing.assert_array_equal(others[: cut + 1], signals[: cut + 1])
    told = [AT["log_bid_size"], AT["signed_volume_2s"], AT["return_2s"]]
    assert np.all(others[-1, told] != signals[-1, told])


def test_nothing_is_seen_before_it_has_arrived(sample):
    slow = as_received(sample, ReplaySettings(feed_latency_ms=40.0))
    fast = as_received(sample, ReplaySettings(feed_latency_ms=1.0))
    times = int(sample.events["local_time_ns"][-1]) + np.arange(-2_000, -1_000, 100) * MS
    odd = [AT["touch_imbalance"], AT["order_flow_imbalance_500ms"], AT["last_trade"], AT["imbalance_2bp"]]
    np.testing.assert_allclose(
        read_signals(slow, times + 39 * MS)[:, odd], read_signals(fast, times)[:, odd], rtol=1e-9
    )
    assert np.any(read_signals(slow, times)[:, odd] != read_signals(fast, times)[:, odd])


def whole_messages(events) -> np.ndarray:
    """Places between two messages, where a live session may cut."""
    other = (np.diff(events["message"]) != 0) | (np.diff(events["kind"]) != 0)
    return 1 + np.flatnonzero(other & (np.diff(events["local_time_ns"]) > 0))


@settings(max_examples=8)
@given(data=st.data(), tops=st.booleans())
def test_however_events_are_cut_a_live_session_sees_what_the_recording_says(sample, without_tops, data, tops):
    recording = sample if tops else without_tops
    events = recording.events
    places = whole_messages(events)
    cuts = sorted(data.draw(st.lists(st.sampled_from(places.tolist()), max_size=20, unique=True)))
    asked = data.draw(st.sets(st.integers(0, len(cuts)), max_size=10))
    live, expected, seen = Signals(published=tops), [], []
    for number, (first, stop) in enumerate(zip([0, *cuts], [*cuts, len(events)], strict=True)):
        live.take(events[first:stop])
        if number in asked or stop == len(events):
            time = int(events["local_time_ns"][stop - 1])
            seen.append(live.observe(time))
            expected.append(read_signals(recording, np.array([time]))[0])
    np.testing.assert_array_equal(seen, expected)


@pytest.mark.parametrize("tops", [True, False])
def test_seen_from_the_other_side_signals_are_mirrored(sample, without_tops, tops):
    recording = sample if tops else without_tops
    events = recording.events
    times = np.linspace(*(int(events["local_time_ns"][i]) for i in (0, -1)), 50).astype(np.int64)
    other = events.copy()
    # Around the price in the middle of it all; a band of 2 bp hardly differs there.
    middle = int(np.median(events["price"][events["kind"] == TRADE]))
    other["price"], other["side"] = 2 * middle - events["price"], -events["side"]
    x, y = read_signals(recording, times), read_signals(replace(recording, events=other), times)
    exact = [index for index, name in enumerate(NAMES) if "2bp" not in name]
    np.testing.assert_allclose(mirrored(y)[:, exact], x[:, exact], rtol=1e-9, atol=1e-8)
    np.testing.assert_allclose(mirrored(y), x, rtol=0.1, atol=0.1)
    assert np.nanmax(np.abs(y - x)[:, AT["touch_imbalance"]]) > 0.5


def test_best_prices_are_those_of_the_tape(sample):
    tape = read_tape(sample, ReplaySettings())
    x = read_signals(sample, tape.time_ns)
    np.testing.assert_allclose(np.exp(x[:, AT["log_spread"]]), tape.best_ask - tape.best_bid, rtol=1e-12)
    trades = sample.events[sample.events["kind"] == TRADE]
    last = np.searchsorted(trades["local_time_ns"], tape.time_ns, side="right") - 1
    assert np.sum(last >= 0) > 30
    mid = trades["price"][last] - x[:, AT["last_trade"]]
    np.testing.assert_array_equal(mid[last >= 0], tape.mid_price[last >= 0])


@st.composite
def hostile_markets(draw):
    """Bursts of one time, sides that come and go, crossed books, snapshots, trades of either side."""
    tops, rows, ms = draw(st.booleans()), [], 0.0
    for message in range(draw(st.integers(1, 40))):
        ms += draw(st.sampled_from([0.0, 0.0, 0.001, 3.0, 11.0, 400.0, 1_000.0, 6_000.0]))
        kind = draw(st.sampled_from([SNAPSHOT, DEPTH, DEPTH, TRADE] + [TOP] * 3 * tops))
        near = st.integers(9_990, 10_010)
        if kind == TOP:
            bid = draw(near)
            rows += top(
                ms, bid, bid + draw(st.integers(0, 3)), *draw(st.tuples(*[st.integers(0, 5)] * 2)), message
            )
        elif kind == TRADE:
            rows.append(
                (TRADE, draw(st.sampled_from([BUY, SELL])), ms, draw(near), draw(st.integers(1, 99)), message)
            )
        else:
            least = 1 if kind == SNAPSHOT else 0
            levels = draw(
                st.lists(st.tuples(st.booleans(), near, st.integers(least, 50)), min_size=1, max_size=6)
            )
            for bids, price, lots in levels:
                price = price - 6 if bids else price + 6
                rows.append((kind, BUY if bids else SELL, ms, price, lots, message))
    return tops, rows, draw(st.lists(st.floats(0.0, ms + 7_000.0), min_size=1, max_size=4))


@settings(max_examples=150)
@given(market=hostile_markets())
def test_signals_of_any_market_are_what_their_definitions_say(market):
    tops, rows, asked = market
    events = recording_of(rows).events
    times = np.sort(START + np.round(np.array(asked) * MS).astype(np.int64))
    live, seen, done = Signals(published=tops), [], 0
    for time in times:
        until = int(np.searchsorted(events["local_time_ns"], time, side="right"))
        live.take(events[done:until])
        done = until
        seen.append(live.observe(int(time)))
    slow = [slow_signals(events, tops, int(time)) for time in times]
    np.testing.assert_allclose(seen, slow, rtol=1e-9, atol=1e-8)


# What is not known


def test_before_a_snapshot_depth_is_not_known_and_best_prices_are():
    rows = [
        *top(0, 99, 101, 5, 5, 1),
        (DEPTH, BUY, 10, 98, 70, 1),
        *snapshot(100, {99: 5, 98: 3}, {101: 5}, 2),
    ]
    before, after = at(recording_of(rows), 50, 150)
    assert before[AT["touch_imbalance"]] == 0.0
    assert np.isnan(before[AT["imbalance_8_ticks"]])
    assert after[AT["imbalance_8_ticks"]] == pytest.approx(
        3 / 13
    )  # the 70 lots before it are not in the book


def test_without_best_prices_nothing_is_known_before_the_snapshot():
    rows = [(DEPTH, BUY, 0, 98, 7, 1), (DEPTH, SELL, 0, 101, 7, 1), *snapshot(100, {99: 5}, {101: 5}, 2)]
    before, after = at(recording_of(rows), 50, 150)
    assert np.all(np.isnan(before))
    assert after[AT["touch_imbalance"]] == 0.0


def test_a_second_snapshot_is_the_whole_book():
    rows = [*snapshot(0, {99: 5, 98: 100}, {101: 5}), *snapshot(500, {99: 5}, {101: 9}, 2)]
    first, second = at(recording_of(rows), 400, 600)
    assert first[AT["imbalance_8_ticks"]] == pytest.approx(100 / 110)
    assert second[AT["imbalance_8_ticks"]] == pytest.approx(-4 / 14)
    assert second[AT["order_flow_imbalance_2s"]] == pytest.approx(-4 * math.exp(-0.05))


@pytest.mark.parametrize("fault", ["no bid", "crossed"])
@pytest.mark.parametrize("tops", [True, False])
def test_a_side_that_is_missing_keeps_the_last_for_five_seconds(fault, tops):
    rows = snapshot(0, {99: 5}, {101: 15}) + (top(0, 99, 101, 5, 15, 1) if tops else [])
    if tops:
        rows += top(1_000, 99, 101, 0, 15, 2) if fault == "no bid" else top(1_000, 101, 101, 5, 15, 2)
    else:
        rows += [(DEPTH, BUY, 1_000, *((99, 0) if fault == "no bid" else (101, 5)), 2)]
    back = (
        top(9_000, 98, 101, 5, 5, 3)
        if tops
        else [(DEPTH, BUY, 9_000, 98, 5, 3), (DEPTH, BUY, 9_000, 99, 0, 3), (DEPTH, BUY, 9_000, 101, 0, 3)]
    )
    limit = 1_000 + STALE_NS / MS
    kept, last, gone, here = at(recording_of(rows + back), 1_500, limit, limit + 1, 9_500)
    assert kept[AT["touch_imbalance"]] == -0.5
    assert last[AT["touch_imbalance"]] == -0.5
    assert np.all(np.isnan(gone))
    assert here[AT["log_spread"]] == pytest.approx(math.log(3))
    assert here[AT["return_30s"]] == pytest.approx(-0.5 * math.exp(-0.5 / 30))


def two_sessions(again: int = 60_000) -> Recording:
    one = [*snapshot(0, {99: 5}, {101: 15}), (TRADE, BUY, 100, 101, 9, 1), (DEPTH, BUY, 200, 100, 8, 2)]
    two = [*snapshot(again, {199: 6}, {201: 6}, 3), (TRADE, SELL, again + 100, 199, 4, 2)]
    recording = recording_of(one + two)
    ends = [(START, START + 200 * MS), (START + again * MS, START + (again + 100) * MS)]
    return replace(recording, sessions=tuple(ends))


def test_sessions_do_not_know_of_each_other():
    within, before, first, second = at(two_sessions(), 210, 50_000, 60_050, 60_150)
    assert within[AT["order_flow_imbalance_30s"]] > 7.9
    assert np.all(np.isnan(before))
    assert first[AT["return_30s"]] == 0.0
    assert first[AT["order_flow_imbalance_30s"]] == 0.0
    assert np.isnan(first[AT["last_trade"]])
    assert second[AT["signed_volume_30s"]] == pytest.approx(-2.0 * math.exp(-0.05 / 30))
    joined = at(replace(two_sessions(), sessions=()), 60_050)[0]
    assert joined[AT["return_30s"]] > 90.0  # what would leak


def test_a_live_session_that_lost_its_connection_begins_anew():
    live, events = Signals(published=False), two_sessions().events
    live.take(events[:4])
    live.restart()
    assert np.all(np.isnan(live.observe(START + SECOND)))
    live.take(events[4:])
    time = int(events["local_time_ns"][-1]) + MS
    np.testing.assert_array_equal(live.observe(time), read_signals(two_sessions(), np.array([time]))[0])


# What is refused


def test_what_has_no_book_is_refused():
    trades = recording_of([(TRADE, BUY, ms, 100, 1, ms) for ms in range(10)])
    with pytest.raises(DataError, match="must have a book for signals to be read from"):
        at(trades, 5)


def test_best_prices_without_sizes_are_refused():
    rows = [row for ms in range(150) for row in top(ms, 99 + ms % 3, 101 + ms % 3, 1, 1, ms)]
    with pytest.raises(
        DataError, match="must say how many lots stand at the best prices; received 1 at all 150"
    ):
        at(recording_of(rows), 100)


def test_a_side_that_is_empty_for_long_is_refused():
    rows = [*snapshot(0, {99: 5}, {101: 15}), (DEPTH, SELL, 10, 101, 0, 2), (DEPTH, BUY, 60_000, 98, 1, 3)]
    with pytest.raises(DataError, match="must have bids and asks at most decisions; received 5 of 7"):
        at(recording_of(rows), 1, 2, 10_000, 20_000, 30_000, 40_000, 50_000)


def test_depth_of_another_market_is_refused():
    rows = [*snapshot(0, {99: 5}, {101: 15}), (DEPTH, BUY, 20, 98, 4, 2), *top(1, 9_900, 9_901, 3, 4, 1)]
    rows.sort(key=lambda row: row[2])
    with pytest.raises(DataError, match=r"must be of one market and time; received mids .* after 100% of"):
        at(recording_of(rows), 100)


def test_depth_that_comes_seconds_late_is_refused(sample):
    events = window(read_recording(sample_recording()), 170.0, 260.0).events.copy()
    late = events["kind"] == DEPTH
    events["local_time_ns"][late] += 60 * SECOND
    delayed = replace(sample, events=events[np.argsort(events["local_time_ns"], kind="stable")])
    with pytest.raises(DataError, match=r"must be of one market and time; received mids .* Check that both"):
        read_signals(delayed, events["local_time_ns"][-1:])


def test_times_that_fall_are_refused(sample):
    with pytest.raises(UsageError, match="`time_ns` must never fall"):
        read_signals(sample, np.array([5, 4]))


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "binance_feed_l2/coinm_btcusd_20240808",
        "binance_feed_l2/spot_btcusdt_20240808",
        "lobster_nasdaq_2012/GOOG",
        "lobster_nasdaq_2012/AAPL",
        "bitstamp_l3_2015",
    ],
)
def test_signals_of_real_markets_are_what_their_definitions_say(shared_data, name):
    recording = read_recording(shared_data / name)
    recording = window(recording, 60.0, 66.0 if "binance" in name else 160.0)
    events = recording.events
    published = bool(np.any(events["kind"] == TOP))
    times = np.linspace(*(int(events["local_time_ns"][i]) for i in (0, -1)), 8).astype(np.int64)
    slow = [slow_signals(events, published, int(time)) for time in times]
    np.testing.assert_allclose(read_signals(recording, times), slow, rtol=1e-9, atol=1e-6)
