"""What signals say of the mid that follows: laws of made-up markets, what is refused, real markets."""

import numpy as np
import polars as pl
import pytest
from scipy.stats import binom

from flowhft.calibrate.signals import (
    FEWEST_BLOCKS,
    HORIZONS,
    LATENCY,
    LOCAL_ONLY,
    NONE,
    PENALTIES,
    SIGNAL_UNITS,
    SKILL,
    TOGETHER,
    choose_penalty,
    decision_times,
    fit_signals,
    ridge,
)
from flowhft.errors import DataError, UsageError
from flowhft.features.book import FORECASTING, NAMES
from flowhft.recordings import read_recording, sample_recording
from flowhft.recordings.instrument import Instrument
from flowhft.recordings.ticks import BUY, EVENT, SELL, TOP, Recording
from flowhft.runs.folder import read_table, units_of
from flowhft.stages.folders.calibrate import save_signals
from flowhft.stages.signals import calibrate_signals

SECOND = 10**9
START = 1_700_000_000 * SECOND
STEP_NS = SECOND // 10


def market(moves: np.ndarray, delay_ns: int = 0) -> Recording:
    """Best prices that move so many ticks in each tenth of a second, in its middle, seen after a delay."""
    made = START + STEP_NS * np.arange(len(moves) + 1)
    made[1:] -= STEP_NS // 2
    bid = 10_000_000 + np.concatenate([[0], np.cumsum(np.round(moves).astype(np.int64))])
    events = np.zeros(2 * len(made), EVENT)
    for place, (side, price) in enumerate(((BUY, bid), (SELL, bid + 1))):
        of = events[place::2]
        of["kind"], of["side"], of["price"], of["quantity"] = TOP, side, price, 1 + np.arange(len(made)) % 7
        of["exchange_time_ns"], of["local_time_ns"], of["message"] = (
            made,
            made + delay_ns,
            np.arange(len(made)),
        )
    return Recording(Instrument("here", "MADE", "USD", 1.0, 1.0), events)


def reverting(random: np.random.Generator, steps: int, kept: float, count: int) -> np.ndarray:
    """Signals with a variance of 1 that forget 1 - `kept` of themselves in a step, shape (step, count)."""
    x = random.normal(size=(steps, count))
    for step in range(1, steps):
        x[step] = kept * x[step - 1] + np.sqrt(1.0 - kept**2) * x[step]
    return x


def times_of(steps: int) -> np.ndarray:
    return START + STEP_NS * np.arange(steps)


def of(table: pl.DataFrame, signal: str, horizon: float = 1.0) -> dict:
    return table.filter(pl.col("signal") == signal, pl.col("horizon") == horizon).row(0, named=True)


# Laws


def test_slopes_and_skill_are_those_of_a_market_that_is_known():
    random, steps, kept, slope = np.random.default_rng(1), 15_000, 0.9, 30.0
    x = reverting(random, steps, kept, len(NAMES))
    moves = slope * x[:, 0] + 100.0 * random.normal(size=steps)
    table = fit_signals(market(moves), times_of(steps), 5.0 * x, horizons=(0.1, 1.0))
    # Over n steps the slope is the sum of kept^k; the forecast explains its share of the move's variance.
    for horizon, n in ((0.1, 1), (1.0, 10)):
        whole = slope * (1.0 - kept**n) / (1.0 - kept)
        row = of(table, NAMES[0], horizon)
        deviation = row["deviation"] / 5.0
        reach = np.arange(-n + 1, n)
        signal = slope**2 * np.sum((n - np.abs(reach)) * kept ** np.abs(reach))
        assert row["slope_low"] < whole * deviation < row["slope_high"]
        assert row["slope"] == pytest.approx(whole, rel=0.1)
        assert row["r_squared"] == pytest.approx(whole**2 / (signal + n * 100.0**2), abs=0.02)
        assert row["r_squared_low"] < whole**2 / (signal + n * 100.0**2) < row["r_squared_high"]
        assert (row["verdict"], row["reason"]) == (SKILL, None)
        assert row["deviation"] == pytest.approx(5.0, rel=0.1)
        assert row["memory"] == pytest.approx(0.1 / -np.log(kept), rel=0.15)
    others = table.filter(~pl.col("signal").is_in([NAMES[0], TOGETHER]))
    assert (others["verdict"] == SKILL).mean() < 0.1


def test_intervals_of_slopes_cover_as_often_as_stated():
    random, steps, seen = np.random.default_rng(2), 4_000, []
    slopes = np.linspace(-20.0, 20.0, len(NAMES))
    for _ in range(12):
        x = reverting(random, steps, 0.9, len(NAMES))
        table = fit_signals(
            market(x @ slopes + 100.0 * random.normal(size=steps)), times_of(steps), x, horizons=(1.0,)
        )
        row = table.filter(pl.col("signal") != TOGETHER)
        # Slopes are per deviation in the first part.
        whole = slopes * row["deviation"].to_numpy() * (1.0 - 0.9**10) / 0.1
        seen.append((row["slope_low"].to_numpy() < whole) & (whole < row["slope_high"].to_numpy()))
    covered, count = int(np.sum(seen)), np.size(seen)
    assert binom.ppf(1e-4, count, 0.93) <= covered <= binom.ppf(1.0 - 1e-4, count, 0.97)


def test_nine_together_know_what_each_knows_alone():
    random, steps = np.random.default_rng(3), 12_000
    x = reverting(random, steps, 0.9, len(NAMES))
    places = [NAMES.index(name) for name in FORECASTING]
    moves = x[:, places] @ np.full(9, 15.0) + 100.0 * random.normal(size=steps)
    table = fit_signals(market(moves), times_of(steps), x, horizons=(0.1,))
    share = 9 * 15.0**2 / (9 * 15.0**2 + 100.0**2)
    together = of(table, TOGETHER, 0.1)
    assert together["r_squared"] == pytest.approx(share, abs=0.03)
    assert together["r_squared"] > 4 * max(of(table, name, 0.1)["r_squared"] for name in FORECASTING)
    assert [of(table, name, 0.1)["weight"] for name in FORECASTING] == pytest.approx([15.0] * 9, abs=5.0)
    assert together["penalty"] in PENALTIES
    assert of(table, "log_spread", 0.1)["weight"] is None


def test_ridge_is_least_squares_without_a_penalty_and_nothing_with_a_large_one():
    random = np.random.default_rng(4)
    x, y = random.normal(size=(500, 4)), random.normal(size=500)
    np.testing.assert_allclose(ridge(x, y, 0.0), np.linalg.lstsq(x, y)[0], rtol=1e-9)
    np.testing.assert_allclose(ridge(x, y, 1e9), x.T @ y / (500 * 1e9), rtol=1e-6)
    w = ridge(x, y, 0.3)
    for other in w + 1e-3 * random.normal(size=(20, 4)):
        assert np.sum((y - x @ other) ** 2) + 150 * other @ other > np.sum((y - x @ w) ** 2) + 150 * w @ w


def test_the_penalty_is_large_for_noise_and_small_for_what_is_sure():
    random, block = np.random.default_rng(5), np.arange(600) // 20
    noise, sure = [], []
    for _ in range(15):
        x, left = random.normal(size=(600, 9)), random.normal(size=600)
        noise.append(choose_penalty(x, left, block))
        sure.append(choose_penalty(x, 5.0 * x @ np.ones(9) + left, block))
    assert np.median(noise) >= 1.0
    assert max(sure) <= 0.01


# What would deceive


def test_what_a_slow_feed_seems_to_foresee_is_named():
    random, steps = np.random.default_rng(6), 8_000
    moves = 100.0 * random.normal(size=steps)
    recording = market(moves, delay_ns=2 * STEP_NS)
    x = random.normal(size=(steps, len(NAMES)))
    # What the venue's mid did in the two tenths of a second before: known to a faster feed, not to this one.
    x[:, 0] = np.concatenate([[0.0, 0.0], moves[:-2] + moves[1:-1]])
    row = of(fit_signals(recording, times_of(steps), x, horizons=(0.1,)), NAMES[0], 0.1)
    assert row["local_r_squared"] > 0.3
    assert abs(row["r_squared"]) < 0.02
    assert row["verdict"] == LOCAL_ONLY
    at_once = of(fit_signals(market(moves), times_of(steps), x, horizons=(0.1,)), NAMES[0], 0.1)
    assert at_once["verdict"] == NONE


def test_a_move_that_is_over_before_an_order_arrives_is_no_skill():
    random, steps = np.random.default_rng(7), 8_000
    moves = 100.0 * random.normal(size=steps)
    x = random.normal(size=(steps, len(NAMES)))
    x[:-1, 0] = moves[:-1]  # comes 50 ms after the decision: an order that takes 5.1 ms is there before it
    assert (
        of(fit_signals(market(moves), times_of(steps), x, horizons=(0.1,)), NAMES[0], 0.1)["r_squared"] > 0.9
    )
    early = times_of(steps) + STEP_NS // 2 - round(0.5e9 * LATENCY)  # 2.55 ms before the move
    row = of(fit_signals(market(moves), early, x, horizons=(0.1,)), NAMES[0], 0.1)
    assert row["local_r_squared"] > 0.9
    assert abs(row["r_squared"]) < 0.02
    assert row["verdict"] == LOCAL_ONLY


def test_signals_of_another_market_are_refused():
    x = np.zeros((100, len(NAMES)))
    with pytest.raises(
        DataError, match="`signals` must be read from the market whose mid is forecast, `here MADE`"
    ):
        fit_signals(market(np.ones(100)), times_of(100), x, read_from="there MADE")


def test_signals_of_another_shape_are_refused():
    with pytest.raises(UsageError, match="`signals` must be of shape"):
        fit_signals(market(np.ones(100)), times_of(100), np.zeros((100, 3)))


# What cannot be told


def test_too_few_blocks_and_constant_signals_have_reasons():
    random, steps = np.random.default_rng(8), 4_000
    x, moves = random.normal(size=(steps, len(NAMES))), 10.0 * random.normal(size=steps)
    x[:, 1], x[:, 2] = 3.0, np.nan
    table = fit_signals(market(moves), times_of(steps), x, horizons=(1.0, 10.0))
    assert of(table, NAMES[0])["reason"] is None
    assert of(table, NAMES[1])["reason"] == "it does not change in the first part."
    assert of(table, NAMES[1])["verdict"] is None
    assert of(table, NAMES[2])["reason"] == f"0 blocks of 10 s in the first part, {FEWEST_BLOCKS} are needed."
    assert of(table, TOGETHER)["reason"].startswith("imbalance_2bp: it does not change")
    short = fit_signals(market(moves[:900]), times_of(900), x[:900], horizons=(1.0,))
    assert of(short, NAMES[0])["reason"] == f"4 blocks of 10 s in the last part, {FEWEST_BLOCKS} are needed."


def test_a_mid_that_stands_still_has_a_reason():
    x = np.random.default_rng(9).normal(size=(3_000, len(NAMES)))
    row = of(fit_signals(market(np.zeros(3_000)), times_of(3_000), x, horizons=(1.0,)), NAMES[0])
    assert row["reason"] == "the mid does not move in the last part."


def test_moves_over_a_gap_count_for_nothing():
    random, steps = np.random.default_rng(10), 6_000
    x, moves = random.normal(size=(steps, len(NAMES))), 10.0 * random.normal(size=steps)
    moves[595::600] = 1e6  # before every minute's end, when nothing is recorded
    recording = market(moves)
    ends = [(START + k * 60 * SECOND, START + k * 60 * SECOND + 59 * SECOND) for k in range(10)]
    apart = Recording(recording.instrument, recording.events, sessions=tuple(ends))
    slope = of(fit_signals(apart, times_of(steps), x, horizons=(0.5,)), NAMES[0], 0.5)
    assert abs(slope["slope_high"] - slope["slope_low"]) < 10.0
    leaking = of(fit_signals(recording, times_of(steps), x, horizons=(0.5,)), NAMES[0], 0.5)
    assert abs(leaking["slope_high"] - leaking["slope_low"]) > 1_000.0


# Real markets


def test_the_bundled_market_is_foreseen_by_its_imbalance(tmp_path):
    recording = read_recording(sample_recording())
    assert save_signals(recording, 0.95, tmp_path).reason == ""
    table = read_table(tmp_path / "signals.parquet")
    assert units_of(tmp_path / "signals.parquet") == SIGNAL_UNITS
    assert table.height == len(HORIZONS) * (len(NAMES) + 1)
    row = of(table, "touch_imbalance")
    assert 0.12 < row["r_squared"] < 0.17  # 0.150 by an independent study
    assert row["verdict"] == SKILL
    backwards = calibrate_signals(recording, horizons=(1.0,))
    assert of(backwards, "touch_imbalance") == row


def test_a_recording_without_sizes_has_no_signals_and_a_warning(tmp_path):
    recording = market(np.random.default_rng(11).normal(size=300) * 5)
    recording.events["quantity"] = 1
    warning = save_signals(recording, 0.95, tmp_path).reason
    assert warning.startswith("`here MADE` must say how many lots stand at the best prices")
    assert not (tmp_path / "signals.parquet").exists()


def test_decisions_are_asked_less_often_of_a_long_recording():
    recording = market(np.zeros(10))
    assert len(decision_times(recording)) == 10
    recording.events["local_time_ns"][-1] = START + 86_400 * SECOND
    assert 90_000 < len(decision_times(recording)) <= 100_001


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "study"),
    [
        ("spot_btcusdt_20240808", 0.135),
        ("coinm_btcusd_20240808", 0.113),
        ("usdm_ethusdt_20240718", 0.084),
        ("usdm_btcusdt_20240808", 0.024),
        ("usdm_btcusdt_20230404", -0.061),
    ],
)
def test_the_imbalance_of_real_markets_is_worth_what_an_independent_study_found(shared_data, name, study):
    recording = read_recording(shared_data / "binance_feed_l2" / name)
    row = of(calibrate_signals(recording, horizons=(1.0,)), "touch_imbalance")
    assert row["r_squared"] == pytest.approx(study, abs=0.01)
    assert row["verdict"] == (SKILL if study > 0.05 else NONE)
