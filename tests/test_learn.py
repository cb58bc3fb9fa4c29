"""Learning from recordings: what is learned from, what a maker does in a replay, the study that evaluates."""

import json
import math
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from program import flowhft, manifest
from scipy import stats
from test_book_makers import examples, maker

from flowhft.desk.compiled import freeze
from flowhft.desk.journal import Journal
from flowhft.desk.replay.engine import replay
from flowhft.desk.replay.latency import as_received
from flowhft.desk.replay.settings import ReplaySettings
from flowhft.desk.replay.signals import read_signals
from flowhft.desk.replay.tape import read_tape
from flowhft.errors import DataError, UsageError
from flowhft.features.book import NAMES, SIGN
from flowhft.features.scales import second_move
from flowhft.learn.recordings.settings import MakerSettings
from flowhft.learn.recordings.training_set import LATE, Seen, training_set
from flowhft.policies.own import own_policy
from flowhft.policies.policy import Policy
from flowhft.recordings import read_recording, sample_recording
from flowhft.recordings.instrument import Instrument
from flowhft.recordings.opening import opening_ns
from flowhft.recordings.order_size import small_order
from flowhft.recordings.split import window
from flowhft.recordings.ticks import BUY, SELL, TOP, TRADE, Recording, make_events
from flowhft.runs.folder import UNFINISHED
from flowhft.stages.learn import learn
from flowhft.studies.book.controls import constants, flipped, shifted, shuffled
from flowhft.studies.book.findings import tables_of, verdict
from flowhft.studies.book.outcomes import outcomes_on, parts_needed, total

SECOND = 1_000_000_000
HOUR = 3600 * SECOND
COIN = ("--maker.interval", 0.2, "--maker.lifetime", 1, "--maker.edge-horizon", 5, "--maker.block", 10)
RULES = ReplaySettings(decision_interval=0.2, decision_latency_us=100.0, order_lots=8, inventory_limit=3)


@pytest.fixture(scope="module")
def sample() -> Recording:
    return window(read_recording(sample_recording()), 170.0, 230.0)


def eager(**changes) -> Policy:
    """A maker that finds every fill worth having, so that it trades."""
    one = maker(cost=0.0, **changes)
    one.arrays["edge"][:, 0] = 5.0
    return Policy(one)


def test_a_maker_sees_the_signals_of_the_book_at_its_decisions(sample):
    seen = []

    def looks(observation):
        seen.append(np.array(observation.book))
        return math.nan, math.nan

    replay(sample, {"looks": own_policy(looks, "looks")}, RULES)
    received = as_received(sample, RULES)
    tape = read_tape(received, RULES)
    np.testing.assert_array_equal(seen, read_signals(received, tape.time_ns)[:-1])
    assert np.isfinite(np.array(seen)).mean() > 0.9


def test_without_sizes_a_users_policy_sees_no_book_and_a_maker_is_refused(sample):
    events = sample.events.copy()
    events["quantity"][np.isin(events["kind"], (TOP,))] = 1
    unsized = replace(sample, events=events)
    seen = set()

    def looks(observation):
        seen.add(len(observation.book))
        return math.nan, math.nan

    replay(unsized, {"looks": own_policy(looks, "looks")}, RULES)
    assert seen == {0}
    with pytest.raises(DataError, match="must say how many lots"):
        replay(unsized, {"book": freeze(eager())}, RULES)


def test_a_maker_trades_the_same_compiled_and_in_plain_python(sample, tmp_path):
    frozen = freeze(eager())
    fast = replay(sample, {"book": frozen}, RULES)["book"]
    slow = replay(sample, {"book": frozen}, RULES, journal=lambda name: Journal(tmp_path / name, {}))["book"]
    assert fast.fills.height > 10
    assert fast.fills.equals(slow.fills)
    np.testing.assert_array_equal(fast.trajectory.quote, slow.trajectory.quote)


def recording_at(first_ns: int, venue: str) -> Recording:
    side = np.array([BUY, SELL], np.int8)
    price, lots = np.array([100, 101]), np.array([5, 5])
    return Recording(
        Instrument(venue, "X", "USD", 0.01, 1.0), make_events(TOP, side, first_ns, first_ns, price, lots, 1)
    )


def test_an_exchange_opens_and_a_market_of_coins_does_not():
    half_past_nine = (9 * 60 + 30) * 60 * SECOND
    assert opening_ns(recording_at(10 * HOUR, "nasdaq")) == half_past_nine  # counted from midnight
    noon_in_june = 1_340_294_400 * SECOND  # 2012-06-21 16:00 UTC, noon in New York
    assert opening_ns(recording_at(noon_in_june, "nasdaq")) == noon_in_june - HOUR * 5 // 2
    assert opening_ns(recording_at(noon_in_june, "binance-usdm")) is None


def test_an_order_is_a_third_of_the_median_market_order():
    top = recording_at(0, "nasdaq")
    time = SECOND * np.array([1, 1, 2, 3])  # the first two are one order
    trades = make_events(TRADE, BUY, time, time, np.full(4, 101), np.array([40, 50, 30, 9]), np.arange(2, 6))
    recording = replace(top, events=np.concatenate([top.events, trades]))
    assert small_order(recording) == 10
    assert small_order(top) == 1


def seen_of(first_ns: int, seed: int = 0) -> Seen:
    one = examples(2_000, seed)
    one = one._replace(time_ns=one.time_ns + first_ns)
    return Seen(f"recording {seed}", first_ns, int(one.time_ns[-1]), one, known_after=12.0)


def test_nothing_is_learned_from_that_was_not_known_at_the_border():
    evaluated, same_day, other_day = (
        seen_of(10 * HOUR),
        seen_of(10 * HOUR + 60 * SECOND, 1),
        seen_of(40 * HOUR, 2),
    )
    given = training_set(evaluated, [same_day, other_day], 0.6)
    border = evaluated.border_ns(0.6)
    known = border - round((12.0 + LATE) * 1e9)
    assert [len(one.time_ns) for one in given.examples] == [
        int((evaluated.examples.time_ns < known).sum()),
        int((same_day.examples.time_ns < known).sum()),
        2_000,
    ]
    assert given.like == (0,)
    spread = NAMES.index("log_spread")
    assert given.own.scales.centre[spread] == pytest.approx(given.own.signals[:, spread].mean())


def test_scales_are_of_what_was_known_at_the_border():
    evaluated, same_day = seen_of(10 * HOUR), seen_of(10 * HOUR + 60 * SECOND, 1)
    border = evaluated.border_ns(0.6) - round(12.0 * SECOND)

    def spoiled(one: Seen) -> Seen:
        late = one.examples.time_ns >= border
        signals, mid = one.examples.signals.copy(), one.examples.mid_price.copy()
        signals[late] *= 7.0
        mid[late] += 100.0 * np.arange(late.sum())
        return one._replace(examples=one.examples._replace(signals=signals, mid_price=mid))

    clean = training_set(evaluated, [same_day], 0.6)
    other = training_set(spoiled(evaluated), [spoiled(same_day)], 0.6)
    for a, b in zip(clean.examples, other.examples, strict=True):
        assert a.scales.unit == b.scales.unit == pytest.approx(2.0, rel=0.1)
        np.testing.assert_array_equal(a.scales.scale, b.scales.scale)


def test_no_move_is_taken_over_a_gap_in_time():
    time = SECOND * np.array([0, 1, 2, 3, 100, 101, 102])
    mid = np.array([0.0, 1.0, 2.0, 3.0, 900.0, 901.0, np.nan])
    assert second_move(time, mid) == 1.0
    assert second_move(time, np.full(7, np.nan)) == 0.0


def test_without_its_own_day_a_maker_learns_from_others_alone():
    evaluated, same_day, other_day = seen_of(10 * HOUR), seen_of(10 * HOUR, 1), seen_of(40 * HOUR, 2)
    given = training_set(evaluated, [same_day, other_day], 0.6, own_part=False)
    assert [one.name for one in given.examples] == ["made up"]
    assert len(given.examples[0].time_ns) == 2_000
    with pytest.raises(DataError, match=r"`recordings` must hold one of another day than `recording 0`"):
        training_set(evaluated, [same_day], 0.6, own_part=False)


def test_a_maker_is_learned_and_replayed_from_the_command_line(tmp_path):
    told = flowhft("learn", sample_recording(), *COIN, "--out", tmp_path / "maker", "--json").json
    assert told["decisions"] > 1_000
    assert {"policy.safetensors", "heads.parquet", "gate.parquet", "value.parquet", "recording.json"} <= {
        path.name for path in (tmp_path / "maker").iterdir()
    }
    again = flowhft("learn", sample_recording(), *COIN, "--out", tmp_path / "maker")
    assert "already" in again.err
    flowhft("calibrate", sample_recording(), "--share", 0.6, "--out", tmp_path / "calibrate")
    run = flowhft(
        *("backtest", sample_recording(), "--calibration", tmp_path / "calibrate", "--after", 0.6),
        *("--policies", f"glft,maker={tmp_path / 'maker'}", "--replay.decision-interval", 0.2),
        *("--replay.order-lots", told["order_lots"], "--out", tmp_path / "backtest", "--json"),
    )
    rows = {row["policy"]: row for row in run.json["results"]}
    assert set(rows) == {"glft", "maker", "no_quote"}
    assert rows["maker"]["pnl"] >= rows["glft"]["pnl"]  # on this recording it stays out
    told = json.loads((tmp_path / "backtest" / "backtest.json").read_text())["warnings"]
    assert not [text for text in told if "in sample: " in text]  # it learned from what came before
    assert manifest(tmp_path / "backtest")["summary"]["policies"]


def test_what_comes_after_the_border_changes_nothing_that_is_learned():
    whole = window(read_recording(sample_recording()), 100.0, 400.0)
    times = whole.events["local_time_ns"]
    late = times >= int(times[0]) + round(0.6 * int(times[-1] - times[0]))
    events = whole.events.copy()
    events["price"][late] += 500
    events["quantity"][late] *= 9
    settings = MakerSettings(interval=0.2, lifetime=1.0, edge_horizon=5.0, block=10.0)
    one, other = (learn([way], settings=settings) for way in (whole, replace(whole, events=events)))
    assert one.replay.lots == other.replay.lots
    assert str(one.learned.gates) == str(other.learned.gates)
    assert one.learned.maker.unit == other.learned.maker.unit
    for name, values in one.policy.core.arrays.items():
        np.testing.assert_array_equal(values, other.policy.core.arrays[name], err_msg=name)
    assert learn([whole], settings=settings, share=0.4).learned.maker.unit != one.learned.maker.unit


def test_learning_refuses_what_cannot_be(tmp_path):
    for wrong, message in (
        (("--maker.lifetime", 0.1), "lifetime"),
        (("--maker.offsets", "1,1"), "offsets"),
        (("--share", 1.5), "share"),
    ):
        told = flowhft("learn", sample_recording(), *wrong, "--out", tmp_path / "x")
        assert told.code == 2
        assert message in told.err
    with pytest.raises(UsageError, match="`recordings` must name one or more"):
        learn([])
    with pytest.raises(DataError, match="must hold 50 fills"):
        learn(
            [window(read_recording(sample_recording()), 200.0, 230.0)], settings=MakerSettings(interval=0.5)
        )


def test_money_of_blocks_has_students_interval():
    blocks = np.array([1.0, 3.0, -2.0, 5.0])
    value, low, high = total(blocks)
    assert value == 7.0
    half = stats.t.ppf(0.995, 3) * blocks.std(ddof=1) / math.sqrt(4) * 4
    assert (low, high) == pytest.approx((7.0 - half, 7.0 + half))


def test_so_many_parts_show_what_one_does_not():
    """Drawn again and again, that many parts reject zero at 99 % in about 80 % of all cases."""
    random = np.random.default_rng(0)
    shape = random.normal(size=50)
    blocks = 0.1 + (shape - shape.mean()) / shape.std(ddof=1)
    parts = parts_needed(blocks)
    drawn = random.normal(0.1, 1.0, (2_000, round(50 * parts)))
    z = drawn.mean(axis=1) / (drawn.std(axis=1, ddof=1) / math.sqrt(drawn.shape[1]))
    assert np.mean(np.abs(z) > stats.norm.ppf(0.995)) == pytest.approx(0.8, abs=0.04)  # 4.5 deviations
    assert parts_needed(np.zeros(4)) == math.inf


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ((-3.0, -2.0, -1.0, 50), "loses"),
        ((-3.0, -2.0, -1.0, 5), "loses"),
        ((1.0, 2.0, 3.0, 19), "stays out"),
        ((1.0, 2.0, 3.0, 20), "gains"),
        ((-1.0, 2.0, 3.0, 20), "better"),
        ((-3.0, -2.0, 1.0, 20), "worse"),
    ],
)
def test_a_policy_is_better_than_nobody_only_where_it_trades(numbers, expected):
    assert verdict(*numbers) == expected


def test_controls_see_what_they_should():
    one = examples(500)
    blind = constants([one])[0]
    assert np.ptp(blind.signals, axis=0).max() == 0.0
    mixed = shuffled([one], 0)[0]
    np.testing.assert_array_equal(mixed.signals, one.signals)
    assert mixed.filled.sum() == one.filled.sum()
    assert not np.array_equal(mixed.filled, one.filled)
    turned = flipped(maker())
    np.testing.assert_array_equal(turned.arrays["fill"][:, 1:], SIGN * maker().arrays["fill"][:, 1:])
    late = shifted(one.signals, one.time_ns, 50.0)
    spread = NAMES.index("log_spread")
    np.testing.assert_array_equal(late[100:, 0], one.signals[:-100, 0])
    np.testing.assert_array_equal(late[:, spread], one.signals[:, spread])


def test_blocks_and_phases_add_up_to_the_replays(sample):
    frozen = freeze(eager())
    start = int(sample.events["local_time_ns"][0]) + 5 * SECOND
    both = outcomes_on(sample, start, None, {"book": frozen}, RULES, 10.0, phases=2)["book"]
    ends = []
    for phase in range(2):
        part = window(sample, 5.0 + 0.1 * phase)
        path = replay(part, {"book": frozen}, RULES)["book"].trajectory
        ends.append(float((path.spread_pnl + path.inventory_pnl - path.fee).sum()))
    value = sample.instrument.tick_value(1.0) * RULES.lots
    assert len(both.blocks) == 6
    assert both.blocks.sum() == pytest.approx(np.mean(ends) * value, rel=0.05)  # signals have seen more here
    assert math.isfinite(both.promised)
    assert math.isfinite(both.realised)


def test_parts_of_a_day_and_shares_of_a_day_are_taken_together():
    row = {
        "recording": "GOOG",
        "part": "fold",
        "number": 0,
        "protocol": "A",
        "fills_by": "answered",
        "fee_bps": 0.0,
        "policy": "book",
        "blocks": [1.0, 2.0],
        "fills": 10.0,
        "quoted": 0.5,
        "promised": 1.0,
        "realised": 2.0,
        "gate": [True, False],
    }
    glft = row | {"policy": "glft", "blocks": [0.0, -1.0], "promised": None, "gate": []}
    later = [dict(one, number=1, quoted=0.7) for one in (row, glft)]
    rows = [row, glft, *later]
    outcomes = {
        name: {
            "facts": {"recording": name, "kind": "nasdaq"},
            "rows": [dict(one, recording=name, blocks=list(one["blocks"])) for one in rows],
            "refused": [],
        }
        for name in ("GOOG", "AAPL")
    }
    evaluated = tables_of(outcomes)["evaluated"]
    book = {one["recording"]: one for one in evaluated.filter(pl.col("policy") == "book").to_dicts()}
    assert book["GOOG"]["pnl"] == 6.0
    assert book["GOOG"]["less"] == 8.0
    assert book["GOOG"]["quoted"] == pytest.approx(0.6)
    assert book["together"]["pnl"] == 12.0
    assert book["together"]["blocks"] == 4
    assert book["together"]["promised"] == 4.0
    home = {one["recording"]: one for one in evaluated.filter(pl.col("policy") == "no_quote").to_dicts()}
    assert (home["GOOG"]["pnl"], home["GOOG"]["less"]) == (0.0, 2.0)


@pytest.mark.slow
def test_the_study_runs_on_the_bundled_recording_and_goes_on_where_it_was(tmp_path):
    asked = ("reproduce", "book", "--phases", 1, "--cores", 1, "--out", tmp_path / "study", "--json")
    told = flowhft(*asked).json
    rows = pl.DataFrame(told["evaluated"], infer_schema_length=None)
    assert set(rows["policy"]) == {
        *("book", "glft", "avellaneda_stoikov", "no_quote", "constants", "shuffled", "flipped", "shifted")
    }
    assert {row["part"] for row in told["refusals"]} >= {"unseen-B-answered"}  # there is no other night
    assert (tmp_path / "study" / "order-book.md").is_file()
    page = (tmp_path / "study" / "order-book.md").read_text()
    kept = sorted(path.name for path in (tmp_path / "study").glob("*/*.json"))
    assert len(kept) > 10
    again = next((tmp_path / "study").glob("*/unseen-A-whole.json"))
    whole = again.read_bytes()
    again.unlink()  # as if it had been killed while that was done
    for path in (tmp_path / "study").iterdir():
        if path.is_file():
            path.unlink()
    (tmp_path / "study" / UNFINISHED).mkdir()
    assert json.dumps(flowhft(*asked).json["evaluated"]) == json.dumps(told["evaluated"])
    assert (tmp_path / "study" / "order-book.md").read_text() == page
    assert again.read_bytes() == whole
