"""From a calibration to a market: adverse selection, time steps, and the scenario that carries them."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from flowhft.calibrate.adverse_selection import HORIZONS, fit_adverse_selection, markout_curve
from flowhft.calibrate.calibrate import calibrate
from flowhft.calibrate.fill_curve import Bursts
from flowhft.calibrate.scenario import natural_dt, price_law, scenario_of
from flowhft.recordings.book import TopOfBook
from flowhft.recordings.formats.read import read_recording
from flowhft.recordings.formats.sample import sample_recording
from flowhft.scenarios.presets import grid_around
from flowhft.scenarios.scenario import MOST_CARRIED
from flowhft.stages.folders.calibrate import left_out_of

SECOND = 1_000_000_000


def tape(impact: float, seed: int = 0, orders: int = 400) -> tuple[Bursts, TopOfBook]:
    """Market orders 2 s apart; 50 ms after each the mid moves by `impact` ticks its way, on top of noise."""
    random = np.random.default_rng(seed)
    times = np.arange(1, orders + 1) * 2 * SECOND
    buy = random.random(orders) < 0.5
    moves_at = np.sort(np.concatenate([times + SECOND // 20, times + SECOND, [0]]))
    move = np.zeros(len(moves_at))
    move[np.searchsorted(moves_at, times + SECOND // 20)] = np.where(buy, impact, -impact)
    move += random.integers(-3, 4, len(move))
    mid = 10_000 + np.cumsum(move).astype(np.int64)
    one = np.ones(len(mid), np.int64)
    top = TopOfBook(moves_at, moves_at, mid - 1, mid + 1, one, one, np.arange(len(mid)))
    reach = np.where(np.arange(orders) % 4 == 0, 1.0, 30.0)  # every fourth stops short of the quote
    return Bursts(times / SECOND, buy, reach), top


@pytest.mark.parametrize("impact", [0.0, 8.0])
def test_adverse_selection_is_recovered_within_its_interval(impact):
    """A 99.9999 % interval: fewer than one false alarm in a million."""
    bursts, top = tape(impact)
    result, warnings = fit_adverse_selection(bursts, top, 0, 20.0, 0.1, confidence=0.999999)
    assert result.low < impact < result.high
    assert result.high - result.low < 4.0
    assert warnings == ()
    # Before the mid has answered nothing is seen, and with the sides swapped the sign turns.
    early, _ = fit_adverse_selection(bursts, top, 0, 20.0, 0.01)
    assert early.value == 0.0
    turned, _ = fit_adverse_selection(bursts._replace(buy=~bursts.buy), top, 0, 20.0, 0.1)
    assert turned.value == pytest.approx(-result.value)


def test_what_a_burst_itself_does_to_the_mid_is_part_of_the_move_against_the_maker():
    """The mid jumps by 5 ticks in the nanosecond of every burst: it is marked from strictly before it."""
    times = np.arange(1, 61) * 2 * SECOND
    buy = np.arange(60) % 2 == 0
    mid = 10_000 + np.concatenate([[0], np.cumsum(np.where(buy, 5, -5))])
    one, at = np.ones(61, np.int64), np.concatenate([[0], times])
    top = TopOfBook(at, at, mid - 1, mid + 1, one, one, np.arange(61))
    bursts = Bursts(times / SECOND, buy, np.full(60, 30.0))
    result, _ = fit_adverse_selection(bursts, top, 0, 20.0, 0.1)
    assert result.value == 5.0
    curve = markout_curve(bursts, top, 0, 20.0)
    assert curve.filter(horizon=0.1)["move"].item() == 5.0


def test_the_markout_curve_holds_the_adverse_selection():
    bursts, top = tape(8.0)
    curve = markout_curve(bursts, top, 0, 20.0)
    at = {row["horizon"]: row for row in curve.iter_rows(named=True)}
    assert set(at) == set(HORIZONS)
    result, _ = fit_adverse_selection(bursts, top, 0, 20.0, 0.1)
    assert at[0.1]["move"] == pytest.approx(result.value)
    assert at[0.1]["standard_error"] == pytest.approx(result.standard_error)
    assert at[0.02]["move"] == 0.0  # the mid answers after 50 ms
    # Later it has no reason to go anywhere: five standard errors, one false alarm in a million a horizon.
    for horizon in (0.2, 1.0, 10.0, 60.0):
        assert abs(at[horizon]["move"] - 8.0) < 5.0 * at[horizon]["standard_error"]
    assert at[60.0]["standard_error"] > at[0.1]["standard_error"]
    # Fills within two horizons share the mid's moves: at 10 s those of 20 s are one observation.
    reached = bursts.reach >= 20.0
    begin, sign = bursts.time[reached], np.where(bursts.buy[reached], 1.0, -1.0)
    begin, sign = (values[begin + 10.0 <= top.exchange_time_ns[-1] * 1e-9] for values in (begin, sign))
    later, before = (
        top.mid_price[np.searchsorted(top.exchange_time_ns, begin * 1e9 + after, side="right") - 1]
        for after in (10 * SECOND, -1)
    )
    apart = sign * (later - before) - at[10.0]["move"]
    blocks = [np.sum(apart[begin // 20.0 == block]) for block in range(50)]
    assert at[10.0]["standard_error"] == pytest.approx(np.sqrt(np.sum(np.square(blocks))) / len(apart))
    assert at[60.0]["bursts"] < at[0.1]["bursts"] == int(np.sum(bursts.reach >= 20.0))


def test_orders_whose_horizon_is_beyond_the_recording_are_left_out():
    bursts, top = tape(8.0)  # an order every 2 s, and the last mid 1 s after the last
    result, _ = fit_adverse_selection(bursts, top, 0, 20.0, 7.0)
    known = np.sum((bursts.reach >= 20.0) & (bursts.time + 7.0 <= bursts.time[-1] + 1.0))
    assert f"at {known} bursts" in result.method


def test_few_orders_leave_it_unknown_and_say_so():
    bursts, top = tape(8.0, orders=20)
    result, warnings = fit_adverse_selection(bursts, top, 0, 20.0, 0.1)
    assert np.isnan(result.value)
    assert "only 15 bursts of market orders reach 20.0 ticks, 20 are needed" in warnings[0]


def test_the_scenario_is_the_calibration():
    result = calibrate(read_recording(sample_recording()))
    value = {name: parameter.value for name, parameter in result.parameters.items()}
    scenario = scenario_of(result, 639_439.5, order_lots=10, maker_fee_bps=1.0)
    assert scenario.dt == natural_dt(result)
    assert scenario.dt * value["market_order_rate"] <= 0.25 < 2.5 * scenario.dt * value["market_order_rate"]
    assert scenario.horizon == pytest.approx(300 * scenario.dt)
    assert scenario.mean_intensity == pytest.approx(
        value["base_intensity"] / (1.0 - value["branching_ratio"]), rel=1e-9
    )
    told, estimated = scenario.estimates(), result.estimates(scenario.horizon)
    # The stationary rate of the fitted process is near the counted one, not equal to it.
    assert told.intensity == pytest.approx(estimated.intensity, rel=0.25)
    assert (told.volatility, told.fill_decay) == (estimated.volatility, estimated.fill_decay)
    assert scenario.tick_value == pytest.approx(0.1 * 0.001 * 10)
    assert scenario.maker_fee == 1e-4
    most = MOST_CARRIED * value["volatility"] * scenario.dt**0.5
    assert scenario.adverse_selection == pytest.approx(min(value["adverse_selection"], most))
    assert scenario_of(result, 1e5, dt=0.5, horizon=10.0).steps == 20

    # Nothing tells this price's memory and jumps from none: the scenario has neither.
    assert not result.facts.has_memory
    assert (scenario.hurst_exponent, scenario.jump_intensity) == (0.5, 0.0)
    parameters = dict(result.parameters)
    for name, number in (
        ("hurst_exponent", 0.6),
        ("jump_intensity", 0.1),
        ("jump_mean", 2.0),
        ("jump_deviation", 30.0),
        ("jump_share", 0.36),
    ):
        parameters[name] = parameters[name]._replace(value=number)
    facts = result.facts._replace(has_memory=True, memory_volatility=10.0, has_jumps=True)
    law = price_law(replace(result, parameters=parameters, facts=facts))
    assert law == pytest.approx(
        {
            "volatility": 8.0,  # what the jumps leave of 10
            "hurst_exponent": 0.6,
            "jump_intensity": 0.1,
            "jump_mean": 2.0,
            "jump_deviation": 30.0,
        }
    )


def test_half_hours_that_no_scenario_is_like_are_counted():
    result = calibrate(read_recording(sample_recording()))
    scenarios = grid_around(scenario_of(result, 639_439.5))
    said = left_out_of(scenarios, result)
    assert [text.split(":")[0] for text in said] == ["adverse_selection"]
    # Means are 1: the grid spans 0.5 to 2. 2.6 is outside by more than two errors, 2.3 and 0.3 are not.
    day = pl.DataFrame(
        {
            "start": [0.0, 1800.0, 3600.0, 5400.0, 7200.0],
            "rate": [2.6, 0.9, 0.6, 0.6, 0.3],
            "rate_error": [0.2, 0.2, 0.2, 0.2, 0.2],
            "volatility": [2.3, 0.6, 0.6, 0.6, 0.9],
            "volatility_error": [0.2, 0.2, 0.2, 0.2, 0.2],
        }
    )
    said = left_out_of(scenarios, replace(result, seasonality=day))[1:]
    assert len(said) == 1
    assert said[0].startswith("rate: 1 of 5 half hours lie outside what the scenarios span, 0.5 to 2 times")
