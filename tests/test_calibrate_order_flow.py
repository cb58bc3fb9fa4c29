"""The fit of an order flow that moves the price: known parameters come back, what cannot be is refused."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from flowhft.calibrate.calibrate import CalibrationSettings, calibrate
from flowhft.calibrate.flow_statistics import (
    HORIZONS,
    LAGS,
    FlowStatistics,
    side_slope,
    statistics_of,
    two_parts,
)
from flowhft.calibrate.flow_tape import FINEST, STEP, FlowTape, simulated_tape, tape_of
from flowhft.calibrate.observed import observed
from flowhft.calibrate.order_flow import NAMES, fit_order_flow, with_order_flow
from flowhft.calibrate.scenario import scenario_of
from flowhft.errors import DataError
from flowhft.recordings.book import first_mid
from flowhft.recordings.formats.read import read_recording
from flowhft.recordings.formats.sample import sample_recording
from flowhft.scenarios.files import read_scenarios
from flowhft.scenarios.order_flow import OrderFlow
from flowhft.scenarios.scenario import Scenario
from flowhft.simulate.market.market import build
from flowhft.simulate.market.orders import deepest_reach
from flowhft.stages.folders.calibrate import Calibrate, run

TRUE = OrderFlow(
    fast_share=0.5,
    slow_share=0.4,
    fast_time=0.5,
    slow_time=8.0,
    fast_drift=4.0,
    slow_drift=1.0,
    order_slope=0.5,
    order_response=0.6,
    reach_response=1.0,
)
MARKET = Scenario(
    "known",
    horizon=20.0,
    dt=FINEST,
    price="additive",
    volatility=3.0,
    base_intensity=0.8,
    self_excitation=1.0,
    cross_excitation=0.4,
    decay=5.0,
    reach=0.7,
    fill_decay=0.3,
    order_flow=TRUE,
)


@pytest.fixture(scope="module")
def known() -> FlowTape:
    return simulated_tape(MARKET, 12_000.0, seed=11)


@pytest.fixture(scope="module")
def fit(known):
    start = MARKET.but(order_flow=None, adverse_selection=0.1)
    return fit_order_flow(known, start, seed=5, passes=5, seconds=12_000.0)


@pytest.mark.slow
def test_the_tape_is_that_of_the_simulated_market():
    """Two programs of one law: what is measured on both agrees."""
    worlds = jax.jit(jax.vmap(build(MARKET).draw))(jax.random.split(jax.random.key(1), 600))
    count, uniform = (
        np.asarray(values, np.float64) for values in (worlds.flow.arrivals, worlds.flow.uniform)
    )
    mids = np.cumsum(np.asarray(worlds.move, np.float64), axis=1)
    x = np.asarray(worlds.flow.imbalance, np.float64)
    path, step = np.nonzero((count.sum(axis=2) == 1)[:, 1:-1])
    step += 1
    which = count[path, step].argmax(axis=1)
    reach = np.maximum(deepest_reach(MARKET, count, uniform)[path, step, which], 0.0)
    side = 2 * which - 1
    response = side * (mids[path, step + 1] - mids[path, step - 1])
    theirs = FlowTape(
        x[:, ::2].ravel(), mids[:, ::2].ravel(), np.zeros(len(path)), side, reach, response, x[path, step]
    )
    tape = simulated_tape(MARKET, 12_000.0, seed=2)
    alone = np.concatenate([[True], np.diff(tape.time) > 0.01]) & np.concatenate(
        [np.diff(tape.time) > 0.01, [True]]
    )
    ours = tape._replace(**{name: getattr(tape, name)[alone] for name in FlowTape._fields[2:-1]})
    one, other = statistics_of(ours), statistics_of(theirs, (-1.0, -1.0))
    assert len(side) / 600 / 19.9 == pytest.approx(len(ours.side) / 12_000.0, rel=0.03)
    assert one.order_slope == pytest.approx(other.order_slope, abs=0.03)
    assert one.order_response == pytest.approx(other.order_response, abs=0.15)
    assert one.reach_response == pytest.approx(other.reach_response, abs=0.03)
    assert np.std(ours.imbalance) == pytest.approx(np.std(theirs.imbalance), abs=0.05)
    assert np.mean(ours.reach) == pytest.approx(np.mean(theirs.reach), rel=0.03)


def test_known_parameters_come_back(fit):
    found = fit.order_flow
    tolerance = dict(
        fast_share=0.1, slow_share=0.1, fast_time=0.2, slow_time=4.0, fast_drift=1.5, slow_drift=0.5,
        order_slope=0.06, order_response=0.3, reach_response=0.06,
    )  # fmt: skip
    for name, allowed in tolerance.items():
        assert getattr(found, name) == pytest.approx(getattr(TRUE, name), abs=allowed), name
        parameter = fit.parameters[name]
        assert abs(parameter.value - getattr(TRUE, name)) < 5.0 * parameter.standard_error + 0.25 * allowed, (
            name
        )
    assert fit.volatility == pytest.approx(3.0, rel=0.25)  # what is left of a variance 15 times as large
    fitted = with_order_flow(MARKET.but(order_flow=None), fit)
    assert fitted.total_volatility == pytest.approx(MARKET.total_volatility, rel=0.05)
    assert set(fit.parameters) == set(NAMES)
    assert fitted.order_flow == found


def test_what_the_imbalance_foretells_and_orders_move_is_reproduced(fit):
    np.testing.assert_allclose(fit.simulated.r_squared, fit.measured.r_squared, rtol=0.3)
    assert fit.simulated.reach_response == pytest.approx(fit.measured.reach_response, abs=0.03)
    assert next(iter(fit.comparison)) == "horizon"
    assert fit.warnings == ()


def test_what_is_seen_at_once_is_not_what_the_model_needs(fit, known):
    """Without the passes, the slope of orders is diluted by those that other orders set off."""
    at_once = statistics_of(known)
    assert abs(at_once.order_slope - TRUE.order_slope) > 2.0 * abs(
        fit.order_flow.order_slope - TRUE.order_slope
    )


def test_a_market_that_orders_do_not_move_is_told_from_one_that_they_do():
    still = simulated_tape(
        MARKET.but(order_flow=replace(TRUE, order_response=0.0, reach_response=0.0)), 6_000.0, seed=3
    )
    found = statistics_of(still)
    assert abs(found.reach_response) < 0.05
    assert abs(statistics_of(still._replace(response=-still.response)).reach_response) < 0.05


def test_two_parts_of_an_exact_autocorrelation_come_back():
    shares, times = np.array([0.55, 0.35]), np.array([0.5385, 7.959])  # on the grid of times, nearly
    lags, horizons = LAGS[:, None], HORIZONS[:, None]
    exact = FlowStatistics(
        np.exp(-lags / times) @ shares,
        shares * times * -np.expm1(-horizons / times) @ np.array([2.0, 1.0]),
        np.ones(len(HORIZONS)), 0.0, 0.0, 0.0,
    )  # fmt: skip
    found_shares, found_times, left = two_parts(exact, 1_000.0)
    np.testing.assert_allclose(found_shares, shares, atol=0.01)
    np.testing.assert_allclose(found_times, times, rtol=0.01)
    assert left < 1e-3
    one = two_parts(exact._replace(autocorrelation=0.9 * np.exp(-LAGS / 2.0)), 1_000.0)
    assert abs(one[0][0] - 0.55) > 0.1


def test_the_slope_of_sides_is_that_of_two_poisson_processes():
    random = np.random.default_rng(0)
    x = random.standard_normal(40_000)
    side = np.where(random.random(len(x)) < 1.0 / (1.0 + np.exp(-2.0 * 0.4 * x)), 1, -1)
    zeros = np.zeros(len(x))
    tape = FlowTape(x, zeros, zeros, side, zeros, zeros, x)
    every = np.ones(len(x), bool)
    assert side_slope(tape, every) == pytest.approx(0.4, abs=0.02)
    assert side_slope(tape._replace(side=-side), every) == pytest.approx(-0.4, abs=0.02)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda tape: tape._replace(**{n: getattr(tape, n)[:50] for n in FlowTape._fields[2:-1]}),
            "50 market orders",
        ),
        (
            lambda tape: tape._replace(imbalance=np.full_like(tape.imbalance, np.nan)),
            "0 s in which both sides",
        ),
        (lambda tape: tape._replace(imbalance=0.0 * tape.imbalance), "an imbalance that does not change"),
        (lambda tape: tape._replace(reach=0.0 * tape.reach + 1.0), "orders that all reach equally far"),
    ],
)
def test_recordings_that_cannot_carry_it_are_refused(known, change, words):
    refusal = fit_order_flow(change(known), MARKET.but(order_flow=None))
    assert refusal.order_flow is None
    assert words in refusal.warnings[0]
    assert all(np.isnan(parameter.value) for parameter in refusal.parameters.values())
    assert refusal.comparison == {}
    with pytest.raises(DataError, match="Leave `order_flow` off, or use a longer recording"):
        with_order_flow(MARKET.but(order_flow=None), refusal)


def test_on_the_bundled_recording_orders_move_the_mid_by_what_they_reach():
    settings = CalibrationSettings(bootstrap_samples=100)
    tape = tape_of(observed(read_recording(sample_recording()), settings, 0))
    found = statistics_of(tape)
    assert 0.7 < found.reach_response < 1.4
    assert found.order_slope > 0.0
    assert found.move_slope[3] > 0.0
    assert np.nanstd(tape.imbalance) == pytest.approx(1.0)
    assert tape.seconds == pytest.approx(STEP * len(tape.imbalance))


def test_the_command_writes_it_where_asked(tmp_path):
    plain, asked = (
        run(Calibrate(recording=sample_recording(), out=tmp_path / name, order_flow=name == "asked"))
        for name in ("plain", "asked")
    )
    before, after = (read_scenarios(folder / "scenarios.toml") for folder in (plain, asked))
    assert all(scenario.order_flow is None for scenario in before)
    assert all(scenario.order_flow is not None for scenario in after)
    assert not (plain / "order_flow.json").exists()
    assert after[0].adverse_selection == 0.0
    assert (asked / "order_flow.json").read_text().count("r_squared_simulated") == 1
    assert '"reach_response"' in (asked / "calibration.json").read_text()


RECORDINGS = {
    "coinm": "binance_feed_l2/coinm_btcusd_20240808",
    "spot": "binance_feed_l2/spot_btcusdt_20240808",
    "usdm": "binance_feed_l2/usdm_btcusdt_20240718",
    "ether": "binance_feed_l2/usdm_ethusdt_20240718",
    "bitstamp": "bitstamp_l3_2015",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", RECORDINGS)
def test_on_recordings_it_reproduces_what_imbalance_and_reach_say(shared_data, name):
    """Within 30 %: the response by reach everywhere, R^2 of the imbalance on average over 0.2 to 10 s."""
    settings = CalibrationSettings(bootstrap_samples=100)
    recording = read_recording(shared_data / RECORDINGS[name], repair=True)
    centre = scenario_of(calibrate(recording, settings), first_mid(recording), order_lots=10)
    fit = fit_order_flow(tape_of(observed(recording, settings, 0)), centre)
    assert fit.simulated.reach_response == pytest.approx(fit.measured.reach_response, rel=0.3)
    ratio = fit.simulated.r_squared[1:] / fit.measured.r_squared[1:]
    assert np.exp(np.mean(np.abs(np.log(ratio)))) < 1.3
