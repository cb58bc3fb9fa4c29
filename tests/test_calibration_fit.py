"""A calibration that does not fit what is replayed: refused, or said; what it was made for is the default."""

from dataclasses import replace

import pytest
from program import flowhft

from flowhft.calibrate.answers import answered_share, answers
from flowhft.calibrate.calibrate import (
    Calibration,
    CalibrationSettings,
    calibrate,
    load_calibration,
    save,
)
from flowhft.calibrate.scenario import scenario_of
from flowhft.cli.backtest import booking_table
from flowhft.desk.replay.settings import ReplaySettings
from flowhft.errors import DataError, UsageError
from flowhft.policies import rules
from flowhft.policies.names import Named
from flowhft.policies.policy import Policy
from flowhft.policies.rule import Rule
from flowhft.recordings import Recording, read_recording, sample_recording
from flowhft.recordings.book import first_mid
from flowhft.recordings.instrument import Instrument
from flowhft.recordings.order_size import small_order
from flowhft.recordings.split import window
from flowhft.report.evidence import gather
from flowhft.report.sections import bookings
from flowhft.runs.folder import read_json, write_json
from flowhft.scenarios.presets import find_scenarios
from flowhft.scenarios.scenario import Scenario
from flowhft.stages.backtest import learned_for_others, replay, replayed_market
from flowhft.stages.booked import BOOKINGS, HEADLINE
from flowhft.stages.calibration_fit import order_lots_of, settings_for
from flowhft.stages.settings import SweepSettings


@pytest.fixture(scope="module")
def recording() -> Recording:
    return window(read_recording(sample_recording()), 0.0, 240.0)


@pytest.fixture(scope="module")
def result(recording) -> Calibration:
    return calibrate(recording, CalibrationSettings(bootstrap_samples=100))


@pytest.fixture
def scenario(result, recording) -> Scenario:
    return scenario_of(
        result, first_mid(recording), order_lots=7, inventory_limit=4, maker_fee_bps=1.5, dt=0.5, horizon=20.0
    )


def test_what_a_calibration_was_made_for_are_the_defaults_of_a_replay(recording, scenario, result):
    told = replayed_market(recording, scenario, result, ReplaySettings())
    settings = told.settings
    assert (settings.order_lots, settings.inventory_limit, settings.maker_fee_bps) == (7, 4, 1.5)
    assert (settings.decision_interval, settings.horizon) == (0.5, 20.0)
    assert told.warnings == ()
    # What is said wins, and is said to differ.
    own = ReplaySettings(order_lots=10, inventory_limit=10, maker_fee_bps=0.0)
    told = replayed_market(recording, scenario, result, own)
    assert (told.settings.order_lots, told.settings.inventory_limit, told.settings.maker_fee_bps) == (
        10,
        10,
        0.0,
    )
    assert told.warnings == (
        "calibration: it was made for `order_lots` 7 lots, which policies are told; the replay has 10.",
        "calibration: it was made for `inventory_limit` 4 orders, which policies are told; the replay has "
        "10.",
        "calibration: it was made for `maker_fee_bps` 1.5 bps, which policies are told; the replay has 0.",
    )


def test_without_a_calibration_the_defaults_are_what_they_were(recording):
    (paper,) = find_scenarios("T1.LL")
    asked = ReplaySettings(decision_interval=0.1, horizon=10.0)
    settings = settings_for(asked, paper, None, recording.instrument)
    assert (settings.order_lots, settings.inventory_limit, settings.maker_fee_bps) == (10, 10, 0.0)
    assert (settings.fills, settings.answered) == ("capped", 0.0)
    assert (ReplaySettings().lots, ReplaySettings().limit, ReplaySettings().fee_bps) == (10, 10, 0.0)


def test_orders_and_answers_are_what_the_calibration_measured(recording, result):
    facts = result.facts
    assert facts.order_lots == small_order(recording) not in (1, 10)
    assert (facts.answered, facts.answered_low, facts.answered_high) == answers(recording, confidence=0.95)[0]
    assert facts.answered == answered_share(recording) > 0.0
    scenario = scenario_of(result, first_mid(recording), dt=0.5, horizon=20.0)
    assert order_lots_of(scenario, recording.instrument) == facts.order_lots
    timed = ReplaySettings(decision_interval=0.5, horizon=20.0)
    for market in (scenario, None):
        settings = replayed_market(recording, market, result, timed).settings
        assert (settings.order_lots, settings.answered) == (facts.order_lots, facts.answered)
        assert settings.fills == "capped"
    said = replace(timed, answered=0.0, fills="whole", order_lots=10)
    settings = replayed_market(recording, scenario, result, said).settings
    assert (settings.order_lots, settings.answered, settings.fills) == (10, 0.0, "whole")
    elsewhere = replace(scenario, currency="EUR")  # it does not tell the size of an order
    assert replayed_market(recording, elsewhere, result, timed).settings.order_lots == facts.order_lots


def test_a_calibration_of_before_stands_for_ten_lots_and_no_answers(recording, result, tmp_path):
    save(result, tmp_path)
    assert load_calibration(tmp_path).facts == result.facts
    content = read_json(tmp_path / "calibration.json")
    for name in ("order_lots", "answered", "answered_low", "answered_high"):
        del content["facts"][name]
    write_json(tmp_path / "calibration.json", content)
    settings = replayed_market(recording, None, tmp_path, ReplaySettings(horizon=20.0)).settings
    assert (settings.order_lots, settings.answered) == (10, 0.0)


def test_fills_are_capped_for_glft_too_and_every_booking_stands_beside(recording, result, tmp_path):
    large = ReplaySettings(decision_interval=0.5, horizon=20.0, decision_latency_us=10.0, order_lots=50_000)
    found = replay(
        recording, "glft@0.0001", calibration=result, settings=large, sweep=SweepSettings(bookings=True)
    )
    whole = replay(
        recording, "glft@0.0001", calibration=result, settings=replace(large, fills="whole", answered=0.0)
    )
    assert set(whole.fills["lots"]) == {50_000}
    assert 0 < found.fills["lots"].min() < 50_000
    share = f"{100.0 * result.facts.answered:.3g} %"
    assert f"Fills are capped at what was traded, {share} of the orders" in repr(found)
    assert "Orders are of 50,000 lots, 3" in found.record["booked"]
    assert "booked whole by the first trade, none of the orders" in whole.record["booked"]
    assert found.costs.height == whole.bookings.height == 0
    table = found.bookings.filter(policy="glft@0.0001")
    assert table["booking"].to_list() == list(BOOKINGS)
    filled = dict(zip(table["booking"], table["fills"], strict=True))
    assert filled["whole"] > filled["capped"] >= filled["without hidden"] > 0.0
    for name, one in (("whole", whole), (HEADLINE, found)):
        (row,) = one.results.filter(policy="glft@0.0001").to_dicts()
        (other,) = table.filter(booking=name).to_dicts()
        assert [other[f"pnl{end}"] for end in ("", "_low", "_high")] == pytest.approx(
            [row[f"pnl{end}"] for end in ("", "_low", "_high")]
        )
    found.save(tmp_path)  # the command's table and the report's section say the same
    (shown,) = booking_table(tmp_path)
    assert (list(shown.columns), len(shown.rows)) == (["policy", *BOOKINGS], 2)
    assert shown.rows[0][1].value == table["pnl"][0]
    page = str(bookings.content(gather(tmp_path), {}))
    assert all(name in page for name in BOOKINGS)


def test_bookings_are_refused_where_capped_fills_are_not_known(recording, result):
    taking = ReplaySettings(horizon=20.0, post_only=False, taker_fee_bps=1.0)
    with pytest.raises(UsageError, match=r"`sweep.bookings` must be left out where orders may take"):
        replay(recording, "glft", calibration=result, settings=taking, sweep=SweepSettings(bookings=True))


def test_a_maker_that_learned_with_other_orders_is_warned_of(recording):
    maker = Policy(Rule(rules.get("glft")), training={"interval": 0.5, "order_lots": 8})
    named = [Named("maker", "maker", maker), Named("glft", "glft", Policy(Rule(rules.get("glft"))))]
    same = ReplaySettings(decision_interval=0.5, order_lots=8)
    assert learned_for_others(named, same) == []
    assert learned_for_others(named, replace(same, decision_interval=0.1)) == [
        "`maker` learned with a decision every 0.5 s; the replay has a decision every 0.1 s."
    ]
    assert learned_for_others(named, replace(same, decision_interval=0.1, order_lots=1_000)) == [
        "`maker` learned with a decision every 0.5 s and orders of 8 lots; the replay has a decision every "
        "0.1 s and orders of 1,000 lots."
    ]


@pytest.mark.parametrize("lots", [1, 3, 25_000])
def test_the_order_size_of_a_scenario_is_known_of_inverse_contracts_too(result, lots):
    inverse = Instrument("binance-coinm", "BTCUSD_PERP", "USD", 0.1, 1.0, True, 100.0, "BTC")
    of = replace(result, facts=result.facts._replace(instrument=inverse))
    assert order_lots_of(scenario_of(of, 600_000.5, order_lots=lots), inverse) == lots
    assert order_lots_of(scenario_of(of, 600_000.5), inverse._replace(settlement="ETH")) is None


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"tick_size": 0.01}, "`tick_size` is 0.1 there and 0.01 here"),
        ({"lot_size": 0.01}, "`lot_size` is 0.001 there"),
        ({"currency": "USDC"}, "`currency` is 'USDT' there and 'USDC' here"),
        ({"inverse": True, "settlement": "BTC"}, "`inverse` is False there and True here"),
        ({"contract_value": 10.0}, "`contract_value` is 1.0 there and 10.0 here"),
    ],
)
def test_a_calibration_of_another_instrument_is_refused(recording, scenario, result, change, named):
    other = replace(recording, instrument=recording.instrument._replace(**change))
    with pytest.raises(DataError, match=r"`calibration` must be of the instrument that is replayed") as fault:
        replayed_market(other, scenario, result, ReplaySettings())
    assert named in str(fault.value)


def test_another_market_and_another_price_are_said(recording, scenario, result):
    other = replace(recording, instrument=recording.instrument._replace(symbol="BTCUSDC", venue="elsewhere"))
    (said,) = replayed_market(other, scenario, result, ReplaySettings()).warnings
    assert said == "calibration: it is of binance-usdm BTCUSDT, what is replayed is elsewhere BTCUSDC."
    far = scenario_of(result, 300_000.0, order_lots=7, dt=0.5, horizon=20.0)
    (said,) = replayed_market(recording, far, result, ReplaySettings()).warnings
    assert said.startswith("calibration: its market begins at a mid of 300,000.0 ticks, the replay at 63")


def test_backtest_takes_what_calibrate_was_told_and_says_what_differs(recording, tmp_path):
    run = tmp_path / "run"
    call = ("calibrate", sample_recording(), "--share", "0.6", "--calibration.bootstrap-samples", "100")
    call += ("--order-lots", "20", "--inventory-limit", "5", "--maker-fee-bps", "0.5", "--dt", "0.5")
    assert flowhft(*call, "--horizon", "20", "--out", run).code == 0
    call = ("backtest", sample_recording(), "--after", "0.6", "--calibration", run, "--policies", "glft")
    call += ("--replay.decision-latency-us", "10")
    said = flowhft(*call, "--out", tmp_path / "as_calibrated")
    settings = read_json(tmp_path / "as_calibrated" / "backtest.json")["settings"]
    assert (settings["order_lots"], settings["inventory_limit"], settings["maker_fee_bps"]) == (20, 5, 0.5)
    assert "calibration: " not in said.out
    said = flowhft(*call, "--replay.order-lots", "10", "--out", tmp_path / "other")
    assert "warning: calibration: it was made for `order_lots` 20 lots" in said.out
    said = flowhft(*call, "--instrument.lot-size", "0.0005", "--out", tmp_path / "refused")
    assert said.code == 3
    assert "`lot_size` is 0.001 there and 0.0005 here" in said.err
