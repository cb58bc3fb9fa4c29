"""The shipped policy where a market shows its order book: a maker takes its place, in the scales there."""

import json
from dataclasses import replace

import numpy as np
import pytest
from program import flowhft
from test_book_makers import maker

import flowhft as public
from flowhft.calibrate.calibration import load_calibration
from flowhft.desk.compiled import freeze
from flowhft.errors import DataError, UsageError
from flowhft.features.book import NAMES
from flowhft.features.scales import Scales
from flowhft.policies.file import load_policy, save_policy
from flowhft.policies.names import BUNDLED, find_policy
from flowhft.policies.policy import Policy
from flowhft.recordings import read_recording, sample_recording
from flowhft.recordings.split import split
from flowhft.report.verdict import compared, whether_it_earns, why_it_quotes
from flowhft.stages.learn import learn
from flowhft.stages.policies import find_saved
from flowhft.stages.signals import scales_in
from flowhft.types import Interval

SPREAD = NAMES.index("log_spread")


def scales(spread: float, unit: float) -> Scales:
    centre = np.zeros(len(NAMES))
    centre[SPREAD] = np.log(spread)
    return Scales(centre, np.full(len(NAMES), 2.0), unit)


def test_the_maker_of_the_most_alike_market_takes_the_place_of_the_shipped_policy():
    policy = find_policy("flowhft").policy
    for market, name in ((scales(1.0, 40.0), "flowhft_coins"), (scales(12.0, 3.3), "flowhft_shares")):
        there = policy.in_book(market)
        shipped = load_policy(BUNDLED[name]).core
        assert there.kind == "book"
        assert there.core.unit == market.unit
        np.testing.assert_array_equal(there.core.arrays["scale"], market.scale)
        np.testing.assert_array_equal(there.core.arrays["edge"], shipped.arrays["edge"])
        assert freeze(policy, None, market).kind.name == "book"
    assert freeze(policy).kind.name != "book"
    assert policy.in_market(None).kind == "flow"


def test_at_a_dial_with_options_or_to_be_trained_on_it_is_blind():
    for blind in (find_policy("flowhft@0.3"), find_policy("flowhft[steps=1]"), find_saved("flowhft")):
        assert blind.policy.in_book(scales(1.0, 40.0)).kind == "flow"
        assert not blind.policy.seeing
    assert find_policy("flowhft@0.3").seeing == ()
    assert find_policy("flowhft").policy.at_dial(0.3).seeing == ()


def test_a_maker_that_was_made_for_one_market_keeps_its_scales(tmp_path):
    own = maker()
    assert Policy(own).in_book(scales(1.0, 40.0)).core is own
    anywhere = replace(own, like=(0.5, -3.0))
    market = scales(1.0, 40.0)
    assert anywhere.unlike(market) == pytest.approx(abs(-3.0 + np.log(40.0)))
    assert anywhere.in_scales(market).unit == 40.0
    save_policy(tmp_path / "any.safetensors", Policy(anywhere))
    assert load_policy(tmp_path / "any.safetensors").core.like == (0.5, -3.0)


def test_a_maker_for_any_market_pays_the_fee_of_the_one_it_is_in():
    market = public.find_scenarios("T1.LL")[0].but(maker_fee=0.002)
    own = maker()
    assert Policy(replace(own, like=(0.0,))).in_market(market).core.cost == pytest.approx(0.2)
    assert Policy(own).in_market(market).core.cost == own.cost


def test_scales_come_back_from_a_calibration_and_others_do_not(tmp_path):
    recording = read_recording(sample_recording())
    calibration = public.calibrate(recording)
    assert calibration.book is not None
    assert calibration.book.unit == scales_in(recording).unit > 1.0
    from flowhft.calibrate.calibrate import save

    save(calibration, tmp_path)
    again = load_calibration(tmp_path).book
    np.testing.assert_array_equal(again.centre, calibration.book.centre)
    np.testing.assert_array_equal(again.scale, calibration.book.scale)
    path = tmp_path / "calibration.json"
    content = json.loads(path.read_text())

    def changed(**book):
        path.write_text(json.dumps(content | {"book": content["book"] | book}))
        return load_calibration(tmp_path).book

    for wrong in ({"unit": -1.0}, {"unit": "x"}, {"signals": {name: [0.0, 0.0] for name in NAMES}}):
        with pytest.raises(DataError, match="`book`"):
            changed(**wrong)
    assert changed(signals={"another": [0.0, 1.0]}) is None  # of another version: not known here
    path.write_text(json.dumps({key: value for key, value in content.items() if key != "book"}))
    assert load_calibration(tmp_path).book is None


def test_on_a_recording_the_shipped_policy_sees_the_book_and_says_so():
    result = public.backtest(sample_recording(), "glft,join,flowhft", seed=1)
    rows = {row["policy"]: row for row in result.results.iter_rows(named=True)}
    known = result.record["makers"]
    assert set(known) == {"flowhft"}
    assert [gate["side"] for gate in known["flowhft"]["gate"]] == ["bid", "ask"]
    assert len(known["flowhft"]["learned_from"]) > 1
    assert known["flowhft"]["unlike"] < 0.2  # it learned in this very market
    assert rows["glft"]["fills"] > 0.0
    assert rows["join"]["half_spread"] == pytest.approx(
        0.5, abs=0.1
    )  # this book is a tick wide nearly always
    if not any(gate["quoted"] for gate in known["flowhft"]["gate"]):
        assert rows["flowhft"]["fills"] == rows["flowhft"]["pnl"] == 0.0
    (warning,) = (text for text in result.record["warnings"] if "in sample: " in text)
    assert warning.startswith("in sample: flowhft has learned from binance-usdm BTCUSDT at this time")
    sentence = why_it_quotes("flowhft", rows["flowhft"], known["flowhft"])
    assert "saw the order book and quoted in" in sentence
    assert "quotes neither side" in sentence


def test_to_stay_out_is_said_before_it_is_called_better():
    difference = Interval(2.0, 1.0, 3.0)
    sentence = compared("flowhft", "glft", "there", difference, "USDT", stays_out=True)
    assert sentence.startswith("flowhft, which stays out, beats glft there")
    assert compared("flowhft", "glft", "there", difference, "USDT").startswith("flowhft beats glft there")
    out = whether_it_earns("flowhft", "there", Interval(0.0, 0.0, 0.0), "USDT")
    assert out == "None of the orders of flowhft was filled there: it neither earns nor loses."


def test_why_it_quotes_is_what_became_of_its_orders():
    row = {"quoting_ratio": 0.25}
    none = {"fills": 0, "promised": None, "edge": None, "error": None, "quoted": False}
    some = {"fills": 120, "promised": 0.9, "edge": 0.4, "error": 0.1, "quoted": True}
    maker = {"learned_from": {"a": 1, "b": 2}, "gate": [{"side": "bid", **some}, {"side": "ask", **none}]}
    sentence = why_it_quotes("flowhft", row, maker)
    assert "quoted in 25 % of its decisions" in sentence
    assert "On the 2 recordings" in sentence
    assert "120 bids that it would have sent earned 0.400 +- 0.100 moves" in sentence
    assert "no ask was worth sending" in sentence
    assert "it quotes the bid alone" in sentence
    maker["gate"][0] = {"side": "bid", **none}
    assert "no order was worth sending; so while it holds nothing" in why_it_quotes("flowhft", row, maker)
    assert why_it_quotes("flowhft", row, {}) == ""


def test_a_maker_for_any_market_learns_from_all_of_each():
    first, second = split(read_recording(sample_recording()), 0.5)
    with pytest.raises(UsageError, match="`share` must be 1"):
        learn([first, second], anywhere=True)
    from flowhft.studies.book.protocol import COIN

    made = learn([first, second], share=1.0, anywhere=True, settings=COIN)
    assert len(made.examples) == 2
    assert len(made.policy.core.like) == 2
    assert max(made.policy.core.like) < -1.0  # spreads of a tick, moves of many
    assert len(made.policy.training["gate"]) == 2


def test_learning_for_any_market_is_a_flag_of_the_command(tmp_path):
    told = flowhft("learn", sample_recording(), "--anywhere", "--out", tmp_path / "x")
    assert told.code == 2
    assert "share" in told.err
