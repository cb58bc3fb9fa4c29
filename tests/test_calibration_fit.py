"""A calibration that does not fit what is replayed: refused, or said; what it was made for is the default."""

from dataclasses import replace

import pytest
from program import flowhft

from flowhft.calibrate.calibrate import Calibration, CalibrationSettings, calibrate
from flowhft.calibrate.scenario import scenario_of
from flowhft.desk.replay.settings import ReplaySettings
from flowhft.errors import DataError
from flowhft.recordings import Recording, read_recording, sample_recording
from flowhft.recordings.book import first_mid
from flowhft.recordings.instrument import Instrument
from flowhft.recordings.split import window
from flowhft.runs.folder import read_json
from flowhft.scenarios.presets import find_scenarios
from flowhft.scenarios.scenario import Scenario
from flowhft.stages.backtest import replayed_market
from flowhft.stages.calibration_fit import order_lots_of, settings_for


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
    settings = settings_for(ReplaySettings(decision_interval=0.1, horizon=10.0), paper, recording.instrument)
    assert (settings.order_lots, settings.inventory_limit, settings.maker_fee_bps) == (10, 10, 0.0)
    assert (ReplaySettings().lots, ReplaySettings().limit, ReplaySettings().fee_bps) == (10, 10, 0.0)


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
