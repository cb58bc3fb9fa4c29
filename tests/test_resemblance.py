"""Resemblance: the envelope test holds its level, facts are what loops count, and failures are named."""

import math
from dataclasses import replace
from itertools import islice

import numpy as np
import polars as pl
import pytest
from program import flowhft
from scipy.stats import binom

from flowhft.errors import DataError
from flowhft.recordings import read_recording, sample_recording
from flowhft.recordings.book import mid_at, top_of_book
from flowhft.recordings.market_orders import market_orders
from flowhft.recordings.split import split
from flowhft.recordings.ticks import BUY, SNAPSHOT, TOP
from flowhft.runs.folder import units_of
from flowhft.scenarios.scenario import Scenario
from flowhft.studies.realism.resemblance import (
    POINT_UNITS,
    VERDICT_UNITS,
    compare,
    envelope,
    load_resemblance,
)
from flowhft.studies.realism.stylised import autocorrelation, facts_at
from flowhft.studies.realism.tape import Tape, recorded_tape, simulated_tapes
from flowhft.studies.realism.unsimulated import IMBALANCE, SPREAD, explained, imbalance_fact

MARKET = Scenario(
    name="market",
    dt=0.5,
    horizon=300.0,
    price="additive",
    volatility=4.0,
    base_intensity=0.4,
    self_excitation=1.0,
    cross_excitation=0.2,
    decay=2.0,
    fill_decay=0.1,
    reach=0.6,
    adverse_selection=2.0,
)
STEPS = 600
FACTS = [fact.name for fact in facts_at(10.0)]


def tapes(scenario, paths, seed):
    return list(simulated_tapes(scenario, STEPS, paths, seed))


@pytest.fixture(scope="module")
def simulated():
    return tapes(MARKET, 99, 0)


class TestEnvelope:
    def test_curves_of_one_law_leave_it_as_often_as_stated(self):
        rng = np.random.default_rng(0)
        curves = np.exp(np.cumsum(rng.standard_normal((300, 100, 8)), axis=2))
        results = [envelope(one[0], one[1:], 0.05) for one in curves]
        p_values = np.array([one.p_value for one in results])
        # Exact: p is uniform on 1/100 .. 1. 300 curves: one false alarm in a thousand.
        for level in (0.01, 0.05, 0.5):
            low, high = binom.ppf([5e-4, 1.0 - 5e-4], 300, level)
            assert low <= np.sum(p_values <= level + 1e-9) <= high
        outside = [
            np.any((one[0] < e.low) | (one[0] > e.high)) for one, e in zip(curves, results, strict=True)
        ]
        assert np.sum(outside) == pytest.approx(15.0, abs=14.0)

    def test_a_curve_that_is_off_at_one_point_is_found_there(self):
        rng = np.random.default_rng(1)
        curves = rng.standard_normal((100, 6))
        curves[0, 3] = 8.0
        result = envelope(curves[0], curves[1:], 0.01)
        assert result.p_value == 0.01
        np.testing.assert_array_equal((curves[0] < result.low) | (curves[0] > result.high), np.arange(6) == 3)


class TestFacts:
    def test_they_are_what_loops_count(self):
        tape = tapes(MARKET, 1, 5)[0]
        facts = {fact.name: fact for fact in facts_at(10.0)}

        def value(name, x):
            return facts[name].values(tape, np.array([x]))[0]

        moves = [tape.mids[i + 4] - tape.mids[i] for i in range(STEPS - 3)]
        assert value("return_variance", 2.0) == pytest.approx(np.mean(np.square(moves)) / 2.0)
        signs = [1.0 if buy else -1.0 for buy in tape.buys]
        mean = sum(signs) / len(signs)
        pairs = [(a - mean) * (b - mean) for a, b in zip(signs[:-2], signs[2:], strict=True)]
        square = np.mean([(a - mean) ** 2 for a in signs])
        assert value("trade_signs", 2.0) == pytest.approx(np.mean(pairs) / square)
        counts = [sum(10.0 * i <= t < 10.0 * (i + 1) for t in tape.times) for i in range(30)]
        assert value("order_dispersion", 10.0) == pytest.approx(np.var(counts) / np.mean(counts))
        reached = [(side, i) for side in (0, 1) for i in range(STEPS) if tape.reach[side, i] >= 10.0]
        assert value("fill_curve", 10.0) == pytest.approx(-2.0 * math.log1p(-len(reached) / (2 * STEPS)))
        answer = [
            (tape.mids[i + 2] - tape.mids[i]) * (1 if side == 1 else -1)
            for side, i in reached
            if i + 2 <= STEPS
        ]
        assert value("markouts", 1.0) == pytest.approx(np.mean(answer))
        moved = [
            (tape.mids[i + 1] - tape.mids[i]) * (1 if side == 1 else -1) for side, i in reached
        ]  # a step, which is longer than a tenth of a second
        assert value("responses", 10.0) == pytest.approx(np.mean(moved))
        after = [
            (tape.mids[i + 10] - tape.mids[i]) * (1 if side == 1 else -1)
            for side, i in reached
            if i + 10 <= STEPS
        ]
        assert value("edges", 10.0) == pytest.approx(10.0 - np.mean(after))
        assert np.isnan(value("edges", 1_000.0))
        assert value("waiting_times", 0.5) == pytest.approx(np.median(np.diff(tape.times)))

    def test_autocorrelation_of_what_does_not_vary_is_unknown(self):
        assert np.isnan(autocorrelation(np.ones(50), np.array([1.0]))[0])
        assert np.isnan(autocorrelation(np.arange(3.0), np.array([5.0]))[0])
        alternating = np.tile([1.0, -1.0], 50)
        assert autocorrelation(alternating, np.array([1.0, 2.0])) == pytest.approx([-1.0, 1.0], abs=0.03)


class TestComparison:
    def test_a_market_resembles_itself(self, simulated):
        # 8 tapes x 11 facts at 1 %, facts of a tape not independent: P(more than 5) is below 1 % for any
        # dependence within a tape (Markov's bound on 88 x 0.01 would say 15 %), and the seeds are fixed.
        failed = [
            row["fact"]
            for tape in tapes(MARKET, 8, 1)
            for row in compare(tape, simulated, 10.0).verdicts.filter(~pl.col("resembles")).to_dicts()
        ]
        assert len(failed) <= 5, failed

    @pytest.mark.parametrize(
        ("changes", "fails", "holds"),
        [
            (
                {"volatility": 6.0, "adverse_selection": 3.0},
                {"return_variance"},
                {"trade_signs", "fill_curve"},
            ),
            ({"self_excitation": 0.2, "cross_excitation": 1.0}, {"trade_signs"}, {"return_variance"}),
            ({"fill_decay": 0.2}, {"fill_curve"}, {"return_variance", "order_counts", "trade_signs"}),
        ],
        ids=["volatility", "excitation", "fills"],
    )
    def test_a_market_that_differs_is_told_where(self, simulated, changes, fails, holds):
        other = next(iter(tapes(MARKET.but(**changes), 1, 2)))
        result = compare(other, simulated, 10.0)
        failed = set(result.verdicts.filter(~pl.col("resembles"))["fact"])
        assert fails <= failed
        assert not holds & failed
        said = " ".join(result.failures)
        for name in fails:
            title = result.verdicts.filter(pl.col("fact") == name)["title"][0]
            assert f"{title}: outside at " in said
            assert result.points.filter((pl.col("fact") == name) & pl.col("outside")).height
        assert "recorded, " in said

    def test_orders_of_the_simulation_are_counted_as_an_observer_would(self):
        alone = next(simulated_tapes(MARKET, STEPS, 1, 0))
        merged = next(simulated_tapes(MARKET, STEPS, 1, 0, order_window=0.1))
        kept = [
            i
            for i in range(len(alone.times))
            if i == 0 or alone.buys[i] != alone.buys[i - 1] or alone.times[i] - alone.times[i - 1] > 0.1
        ]
        np.testing.assert_array_equal(merged.times, alone.times[kept])
        np.testing.assert_array_equal(merged.reach, alone.reach)


class TestBook:
    """What the imbalance foresees, which the simulator does not have."""

    def test_it_is_the_share_that_a_loop_finds(self):
        top = top_of_book(split(read_recording(sample_recording()), 0.2)[0])
        fact = imbalance_fact(top)
        start, seconds = int(top.exchange_time_ns.min()), 1e-9 * np.ptp(top.exchange_time_ns)
        pairs = []
        for k in range(int(seconds * 10) - 9):
            now, later = (start + step * 100_000_000 for step in (k, k + 10))
            mid, mid_later = mid_at(top, np.array([now, later]))
            row = np.flatnonzero(top.exchange_time_ns <= now)[-1]
            bid, ask = int(top.bid_quantity[row]), int(top.ask_quantity[row])
            pairs.append(((bid - ask) / (bid + ask), mid_later - mid))
        x, y = np.array(pairs).T
        slope = np.sum(x * y) / np.sum(x * x)
        share = 1.0 - np.sum((y - slope * x) ** 2) / np.sum(y**2)
        assert fact.values[fact.x.tolist().index(1.0)] == pytest.approx(share, rel=1e-9)

    def test_a_market_whose_share_is_known_has_it(self):
        rng = np.random.default_rng(3)
        signal = rng.normal(size=100_000)
        mids = np.concatenate([[0.0], np.cumsum(0.5 * signal[:-1] + rng.normal(size=99_999))])
        # A step: 0.25 of 1.25; ten steps: the first alone is foreseen, 0.25 of 12.5.
        assert explained(signal, mids, 1) == pytest.approx(0.2, abs=0.01)
        assert explained(signal, mids, 10) == pytest.approx(0.02, abs=0.01)
        assert np.isnan(explained(np.ones(100), mids[:100], 1))

    def test_without_sizes_nothing_is_said(self):
        top = top_of_book(split(read_recording(sample_recording()), 0.2)[0])
        same = np.ones_like(top.bid_quantity)
        fact = imbalance_fact(top._replace(bid_quantity=same, ask_quantity=same))
        assert np.all(np.isnan(fact.values))
        assert "sizes or moves say nothing" in fact.said


class TestRecordedTape:
    def test_it_is_what_a_loop_over_the_recording_counts(self):
        recording, _ = split(read_recording(sample_recording()), 0.1)
        dt = 0.2
        tape = recorded_tape(recording, dt, 0.01, seed=0)
        top, pieces = top_of_book(recording), market_orders(recording)
        # As long as the receiver's clock counted, up to the venue's last event.
        lasted = recording.events["local_time_ns"][-1] - top.local_time_ns[0]
        last = np.max(recording.events["exchange_time_ns"][recording.events["kind"] != SNAPSHOT])
        first = int(last - lasted)
        reach = np.full((2, tape.steps), -np.inf)
        for time_ns, side, worst in zip(pieces.time_ns, pieces.side, pieces.worst_price, strict=True):
            step = (time_ns - first) // round(dt * 1e9)
            if 0 <= step < tape.steps:
                start = np.array([first + step * round(dt * 1e9)])
                away = side * (worst - mid_at(top, start)[0])
                index = int(side == BUY)
                reach[index, step] = max(reach[index, step], away)
        np.testing.assert_allclose(tape.reach, reach)
        orders = market_orders(recording, 10_000_000)
        assert len(tape.times) == np.sum(
            (orders.time_ns >= first) & (orders.time_ns < first + tape.steps * 2e8)
        )

    def test_nights_and_old_snapshots_are_not_lived_through(self):
        whole, _ = split(read_recording(sample_recording()), 0.2)
        tape = recorded_tape(whole, 0.2, 0.01, seed=0)
        one, two = split(whole, 0.5)
        later = two.events.copy()
        for name in ("exchange_time_ns", "local_time_ns"):
            later[name] += 3_600_000_000_000
        spans = [(int(e["local_time_ns"][0]), int(e["local_time_ns"][-1])) for e in (one.events, later)]
        joined = replace(one, events=np.concatenate([one.events, later]), sessions=tuple(spans))
        events = whole.events[whole.events["kind"] != TOP]
        events["exchange_time_ns"][events["kind"] == SNAPSHOT] -= 3_600_000_000_000
        for other in (joined, replace(whole, events=events)):
            again = recorded_tape(other, 0.2, 0.01, seed=0)
            assert abs(again.steps - tape.steps) <= 2
            assert abs(len(again.times) - len(tape.times)) <= 5
            assert np.all(np.isfinite(again.mids))

    def test_short_recordings_are_refused(self):
        recording, _ = split(read_recording(sample_recording()), 0.05)
        with pytest.raises(DataError, match=r"`recording` must last 200 steps of 1 s .* received 2\d\."):
            recorded_tape(recording, 1.0, 0.01, seed=0)


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    shop = tmp_path_factory.mktemp("resemble")
    fast = ("--share", "0.6", "--dt", "0.1", "--calibration.bootstrap-samples", "100")
    said = flowhft("calibrate", sample_recording(), *fast, "--out", shop / "calibrate", "--quiet")
    assert said.code == 0, said.err
    return shop


class TestCommand:
    def test_it_says_where_the_simulation_fails(self, shop):
        arguments = ("resemble", sample_recording(), "--calibration", shop / "calibrate", "--paths", "99")
        said = flowhft(*arguments, "--out", shop / "resemble", "--json", "--quiet").json
        verdicts = {one["fact"]: one for one in said["verdicts"]}
        assert set(verdicts) == {*FACTS, SPREAD, IMBALANCE}
        # Minutes of Bitcoin: heavy tails and informed orders that no Gaussian step carries, and no book.
        for name in ("return_kurtosis", "markouts", "edges", SPREAD, IMBALANCE):
            assert not verdicts[name]["resembles"]
        assert verdicts["fill_curve"]["resembles"]
        assert verdicts[SPREAD]["p_value"] is None
        result = load_resemblance(shop / "resemble")
        assert (
            len(result.failures) == said["failures"] == sum(not one["resembles"] for one in verdicts.values())
        )
        assert units_of(shop / "resemble" / "resemblance.parquet") == POINT_UNITS
        assert units_of(shop / "resemble" / "resemblance_verdicts.parquet") == VERDICT_UNITS
        again = flowhft(*arguments, "--out", shop / "resemble")
        assert again.code == 0
        assert "differs: Market spread: 1 ticks in the median" in again.out
        report = flowhft("report", shop / "resemble", "--quiet")
        assert report.code == 0, report.err
        page = (shop / "resemble" / "report.html").read_text()
        assert "Where the simulation resembles the market" in page
        assert "Kurtosis of returns by horizon" in page

    def test_bad_input_is_refused(self, shop):
        start = ("resemble", sample_recording(), "--calibration")
        few = flowhft(*start, shop / "calibrate", "--paths", "18")
        assert (few.code, "`paths` must be 19 or more; received 18." in few.err) == (2, True)
        other = flowhft(*start, shop / "nowhere")
        assert other.code == 3
        assert "nowhere" in other.err


def test_tapes_do_not_depend_on_how_many_there_are():
    long, short = simulated_tapes(MARKET, STEPS, 40, 4), tapes(MARKET, 2, 4)
    for one, two in zip(islice(long, 2), short, strict=True):
        assert isinstance(one, Tape)
        np.testing.assert_array_equal(one.mids, two.mids)
        np.testing.assert_array_equal(one.times, two.times)
