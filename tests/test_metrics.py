"""Metrics against slow oracles, closed forms and the laws that their intervals must keep.

False alarms: every simulation has a fixed seed, so a test that passes once always passes. Bands are wide
enough that a correct implementation would leave one under fewer than one seed in 10,000.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from flowhft.errors import UsageError
from flowhft.metrics import estimators
from flowhft.metrics import table as metrics
from flowhft.metrics.measures import (
    begin_tally,
    drawdown,
    equity,
    inventory_after,
    known_percentiles,
    measure,
    measures_of,
    tally_step,
)
from flowhft.metrics.table import METRICS, compare, score, summarise
from flowhft.types import Activity, Fill, Observation, Quote, Trajectory


def trade(seed: int, paths: int, steps: int, fee_rate: float = 0.1) -> tuple[Trajectory, np.ndarray]:
    """Return trajectories of a maker who quotes at random, and the wealth that its own books show.

    The books are kept the other way round than the trajectory: cash and inventory, marked to the market.
    """
    rng = np.random.default_rng(seed)
    mid = np.concatenate([np.zeros((paths, 1)), rng.normal(0.0, 2.0, (paths, steps)).cumsum(axis=1)], axis=1)
    bid, ask = rng.uniform(-1.0, 5.0, (2, paths, steps))
    bought, sold = rng.integers(0, 3, (2, paths, steps))
    cash, inventory = np.zeros(paths), np.zeros(paths)
    held, wealth = np.zeros((paths, steps)), np.zeros((paths, steps))
    for i in range(steps):
        held[:, i] = inventory
        cash = cash - bought[:, i] * (mid[:, i] - bid[:, i]) + sold[:, i] * (mid[:, i] + ask[:, i])
        cash = cash - fee_rate * (bought[:, i] + sold[:, i])
        inventory = inventory + bought[:, i] - sold[:, i]
        wealth[:, i] = cash + inventory * mid[:, i + 1]
    zero = np.zeros((paths, steps))
    trajectory = Trajectory(
        observation=Observation(zero, zero, mid[:, :-1], held, zero, zero, zero, zero, zero, zero, zero),
        quote=Quote(bid, ask, np.ones_like(bid), np.ones_like(ask)),
        fill=Fill(bought, sold),
        spread_pnl=bought * bid + sold * ask,
        inventory_pnl=(held + bought - sold) * np.diff(mid, axis=1),
        fee=fee_rate * (bought + sold),
        expected_inventory_pnl=rng.normal(0.0, 0.1, (paths, steps)),
        mid_after=mid[:, 1:],
        activity=Activity(
            *rng.integers(0, 2, (2, paths, steps)).astype(float),
            *rng.integers(0, 3, (2, paths, steps)).astype(float),
            turnover=bought * (100.0 + mid[:, :-1] - bid) + sold * (100.0 + mid[:, :-1] + ask),
            latency_us=rng.uniform(1.0, 9.0, (paths, steps)),
        ),
    )
    return trajectory, wealth


def traded(trajectory: Trajectory, path: int) -> dict[str, float]:
    """Return the measures of the trade by a loop over the fills of one path: price by price, lot by lot."""
    quote, fill, activity = trajectory.quote, trajectory.fill, trajectory.activity
    steps = len(fill.bid[path])
    edge = against = lost = 0.0
    for i in range(steps):
        mid, after = trajectory.observation.mid_price[path, i], trajectory.mid_after[path, i]
        for side, half_spread, lots in (
            (+1, quote.half_spread_bid, fill.bid),
            (-1, quote.half_spread_ask, fill.ask),
        ):
            price = mid - side * half_spread[path, i]
            for _ in range(int(lots[path, i])):
                edge += side * (mid - price)
                against += side * (mid - after)
                lost += half_spread[path, i]
    sent = sum(activity.orders[path])
    return {
        "adverse_move": against,
        "realised_pnl": edge - against,
        "slippage": lost - sum(trajectory.spread_pnl[path]),
        "standing": sum(
            activity.standing_bid[path, i] == activity.standing_ask[path, i] == 1.0 for i in range(steps)
        )
        / steps,
        "orders": sent,
        "messages": sent + sum(activity.cancellations[path]),
        "turnover": sum(activity.turnover[path]),
        "latency_p50": np.percentile(activity.latency_us[path], 50),
        "latency_p99": np.percentile(activity.latency_us[path], 99),
        "sent": 1.0,
    }


def sample(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Return skewed values of mean 2: a bounded loss, a long right tail."""
    return rng.gamma(4.0, 1.0, shape) - 2.0


# --- measures against a slow oracle -----------------------------------------------------------------------


@given(seed=st.integers(0, 2**32 - 1), paths=st.integers(1, 4), steps=st.integers(1, 12))
def test_equity_is_cash_plus_inventory_at_the_mid(seed, paths, steps):
    trajectory, wealth = trade(seed, paths, steps)
    np.testing.assert_allclose(equity(trajectory), wealth, atol=1e-9)
    np.testing.assert_allclose(measure(trajectory)["pnl"], wealth[:, -1], atol=1e-9)


@given(seed=st.integers(0, 2**32 - 1), steps=st.integers(1, 12))
def test_measures_are_what_a_loop_over_one_path_finds(seed, steps):
    trajectory, wealth = trade(seed, paths=2, steps=steps)
    result = measure(trajectory)
    for path in range(2):
        curve = [0.0, *wealth[path]]
        held = [float(q) for q in inventory_after(trajectory)[path]]
        widths = [
            (trajectory.quote.half_spread_bid[path, i] + trajectory.quote.half_spread_ask[path, i]) / 2
            for i in range(steps)
        ]
        pnl = wealth[path, -1]
        expected = {
            "pnl": pnl,
            "expected_pnl": sum(trajectory.spread_pnl[path])
            - sum(trajectory.fee[path])
            + sum(trajectory.expected_inventory_pnl[path]),
            "spread_pnl": sum(trajectory.spread_pnl[path]),
            "inventory_pnl": sum(trajectory.inventory_pnl[path]),
            "fee": sum(trajectory.fee[path]),
            "max_drawdown": max(curve[i] - curve[j] for i in range(steps + 1) for j in range(i, steps + 1)),
            "fills": sum(trajectory.fill.bid[path]) + sum(trajectory.fill.ask[path]),
            "mean_square_inventory": sum(q * q for q in held) / steps,
            "max_inventory": max(abs(q) for q in held),
            "half_spread": sum(widths) / steps,
            "quoted": 1.0,
            "absolute_inventory": sum(abs(q) for q in held) / steps,
            "inventory": sum(held) / steps,
            **traded(trajectory, path),
        }
        assert expected.keys() == result.keys()
        for name, value in expected.items():
            assert result[name][path] == pytest.approx(value, abs=1e-9), name


def test_drawdown_counts_a_first_loss_and_never_a_gain():
    curve = np.array([[-3.0, 1.0, 4.0, 2.0, 5.0], [1.0, 2.0, 3.0, 4.0, 5.0]])
    np.testing.assert_array_equal(drawdown(curve), [[3.0, 0.0, 0.0, 2.0, 0.0], [0.0] * 5])


def test_every_metric_is_estimated_from_something_measured():
    measured = measure(trade(0, 3, 5)[0])
    assert {metric.of for metric in METRICS.values()} <= measured.keys()
    assert summarise(measured).keys() == METRICS.keys()


def test_paths_can_be_measured_in_chunks():
    trajectory, _ = trade(1, 10, 7)
    whole = measure(trajectory)
    parts = [
        measure(jax.tree.map(lambda x, rows=rows: x[rows], trajectory))
        for rows in (slice(0, 3), slice(3, 10))
    ]
    for name, values in whole.items():
        np.testing.assert_array_equal(values, np.concatenate([part[name] for part in parts]))


def test_a_compiled_tally_in_single_precision_keeps_the_cents():
    """100,000 steps in float32 under jit: compensated sums stay exact where plain ones drift."""
    steps = 100_000
    rng = np.random.default_rng(0)
    gain = rng.normal(0.1, 3.0, steps).astype(np.float32)
    move = rng.normal(0.0, 300.0, steps).astype(np.float32)

    @jax.jit
    def run(gain, move):
        def step(carry, now):
            tally, naive = carry
            zero = jnp.float32(0.0)
            one = Trajectory(
                Observation(*(zero,) * 11), Quote(zero, zero), Fill(zero, zero), now[0], now[1], zero
            )
            return (tally_step(tally, one), naive + now[0] + now[1]), None

        zero = jnp.float32(0.0)
        return jax.lax.scan(step, (begin_tally(zero), zero), (gain, move))[0]

    tally, naive = run(gain, move)
    exact = float(np.sum(gain, dtype=np.float64) + np.sum(move, dtype=np.float64))
    scale = float(np.max(np.abs(np.cumsum(move, dtype=np.float64))))
    assert abs(measures_of(tally)["pnl"] - exact) < 3e-7 * scale
    assert abs(float(naive) - exact) > 20 * 3e-7 * scale


# --- estimators and their intervals -----------------------------------------------------------------------

ESTIMATORS = {
    "mean": estimators.MEAN,
    "sharpe": estimators.SHARPE,
    "deviation": estimators.DEVIATION,
    "root_mean_square": lambda values: estimators.ROOT(values**2),
    "shortfall": estimators.SHORTFALL,
    "utility": estimators.UTILITY,
}


@pytest.mark.parametrize("name", ESTIMATORS)
def test_influence_is_what_leaving_a_path_out_changes(name):
    """The jackknife: (n - 1) (value - value without path i), for smooth estimators, to order 1 / n."""
    values = sample(np.random.default_rng(3), 2_000)
    value, influence = ESTIMATORS[name](values)
    without = np.array([ESTIMATORS[name](np.delete(values, i))[0] for i in range(300)])
    jackknife = (len(values) - 1) * (value - without)
    assert abs(np.mean(influence)) < 1e-9
    np.testing.assert_allclose(jackknife, influence[:300], atol=0.05 * np.std(influence))
    assert np.corrcoef(jackknife, influence[:300])[0, 1] > 0.999


@pytest.mark.parametrize(
    ("name", "truth"),
    [
        # of the gamma distribution of `sample`: mean 2, variance 4, second moment 8
        ("mean", 2.0),
        ("sharpe", 1.0),
        ("deviation", 2.0),
        ("root_mean_square", np.sqrt(8.0)),
        ("shortfall", None),
        ("utility", 2.0 - 0.25 * 2.0),
    ],
)
def test_intervals_cover_the_truth_as_often_as_they_say(name, truth):
    """1,000 experiments of 1,000 paths at 90 %: 900 +- 9.5 cover; 865 to 935 allows 3.7 of these."""
    if truth is None:  # mean of the worst 5 %, from a sample a thousand times larger
        worst = np.sort(sample(np.random.default_rng(99), 1_000_000))[:50_000]
        truth = float(np.mean(worst))
    rng = np.random.default_rng(4)
    covered = 0
    for values in sample(rng, 1_000, 1_000):
        _, low, high = metrics.interval(*ESTIMATORS[name](values), confidence=0.9)
        covered += low <= truth <= high
    assert 865 <= covered <= 935


def test_a_sharpe_ratio_without_the_noise_of_its_denominator_would_not_cover():
    """Negative test of the coverage test: the popular standard error 1 / sqrt(n) at a Sharpe ratio of 2."""
    rng = np.random.default_rng(5)
    right = naive = 0
    for values in rng.normal(2.0, 1.0, (1_000, 1_000)):
        value, influence = estimators.SHARPE(values)
        _, low, high = metrics.interval(value, influence, confidence=0.9)
        right += low <= 2.0 <= high
        naive += abs(value - 2.0) <= norm.ppf(0.95) / np.sqrt(len(values))
    assert 865 <= right <= 935
    assert naive < 700  # by theory 658: the variance is 1 + 2^2 / 2 = 3 times that


def test_the_delta_method_agrees_with_the_bootstrap():
    rng = np.random.default_rng(6)
    values = sample(rng, 1_500)
    for name, estimator in ESTIMATORS.items():
        redrawn = [estimator(values[rng.integers(0, len(values), len(values))])[0] for _ in range(2_000)]
        error = np.std(estimator(values)[1]) / np.sqrt(len(values))
        assert error == pytest.approx(np.std(redrawn), rel=0.12), name


def test_the_expected_shortfall_is_the_mean_of_the_worst_paths():
    values = sample(np.random.default_rng(7), 400)
    value, _ = estimators.SHORTFALL(values)
    assert value == pytest.approx(np.mean(np.sort(values)[:20]), abs=1e-12)


def test_paired_differences_are_sharper_on_common_numbers_and_zero_against_oneself():
    rng = np.random.default_rng(8)
    market = rng.normal(0.0, 10.0, 4_000)
    ours, theirs = trade(9, 4_000, 3)[0], trade(9, 4_000, 3)[0]
    base = measure(ours)
    better = {name: np.array(values) for name, values in base.items()}
    base["pnl"], better["pnl"] = market + 1.0, market + 1.5 + rng.normal(0.0, 0.5, 4_000)
    paired = compare(better, base)["pnl"]
    apart = np.hypot(
        *(summary["pnl"].high - summary["pnl"].value for summary in (summarise(base), summarise(better)))
    )
    assert paired.low < 0.5 < paired.high
    assert paired.high - paired.value < apart / 20.0  # 0.5 against 10 x sqrt(2)
    assert paired.low > 0.0 > 0.5 - apart  # told apart only because they are paired
    itself = compare(measure(ours), measure(theirs))
    assert all(tuple(difference) == (0.0, 0.0, 0.0) for difference in itself.values())


def test_paired_intervals_of_ratios_cover_too():
    """Two Sharpe ratios on common numbers: of 500 experiments at 90 %, 450 +- 6.7 cover; 425 to 475."""
    rng = np.random.default_rng(10)
    covered = 0
    for _ in range(500):
        market, own = rng.normal(0.0, 1.0, (2, 800))
        ours = estimators.SHARPE(1.0 + market)
        theirs = estimators.SHARPE(1.5 + market + own)
        _, low, high = metrics.interval(ours[0] - theirs[0], ours[1] - theirs[1], confidence=0.9)
        covered += low <= 1.0 - 1.5 / np.sqrt(2.0) <= high
    assert 425 <= covered <= 475


@given(seed=st.integers(0, 2**32 - 1), factor=st.floats(0.1, 100.0))
def test_money_and_prices_scale_and_ratios_do_not(seed, factor):
    trajectory, _ = trade(seed, 30, 4)
    larger = trajectory._replace(
        observation=trajectory.observation._replace(mid_price=factor * trajectory.observation.mid_price),
        quote=Quote(*(factor * half_spread for half_spread in trajectory.quote[:2])),
        mid_after=factor * trajectory.mid_after,
        activity=trajectory.activity._replace(turnover=factor * trajectory.activity.turnover),
        spread_pnl=factor * trajectory.spread_pnl,
        inventory_pnl=factor * trajectory.inventory_pnl,
        fee=factor * trajectory.fee,
        expected_inventory_pnl=factor * trajectory.expected_inventory_pnl,
    )
    before, after = summarise(measure(trajectory)), summarise(measure(larger))
    for name, metric in METRICS.items():
        scale = factor if metric.unit.startswith(("money", "ticks")) else 1.0
        np.testing.assert_allclose(after[name], np.multiply(before[name], scale), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("constant", [0.0, 0.1, 1234.5])
def test_paths_that_all_end_alike_have_no_sharpe_ratio(constant):
    measured = {**measure(trade(0, 7, 3)[0]), "pnl": np.full(7, constant)}
    result = summarise(measured)
    assert np.isnan(result["sharpe"].value)
    assert result["pnl_deviation"].value == pytest.approx(0.0, abs=1e-9)
    assert result["pnl"].value == pytest.approx(constant)


def test_one_path_has_a_value_and_no_interval():
    result = summarise(measure(trade(0, 1, 5)[0]))["pnl"]
    assert np.isfinite(result.value)
    assert np.isnan(result.low)
    assert np.isnan(result.high)


def test_what_cannot_be_compared_or_chosen_is_refused():
    ours, theirs = measure(trade(0, 4, 3)[0]), measure(trade(0, 5, 3)[0])
    with pytest.raises(
        UsageError, match=r"`reference` must hold the same 4 paths; received 5\. Pair equal paths\."
    ):
        compare(ours, theirs)
    with pytest.raises(UsageError, match=r"`confidence` must lie between 0 and 1; received 1\.0\."):
        summarise(ours, 1.0)
    with pytest.raises(UsageError, match=r"unknown criterion 'sharp'; did you mean 'sharpe'\?"):
        score(ours, "sharp")


def test_percentiles_of_what_is_known_are_numpys():
    random = np.random.default_rng(3)
    values = random.normal(size=(200, 7))
    values[random.random(values.shape) < 0.5] = np.nan
    values[:3], values[3, 1:] = np.nan, np.nan
    percentiles = (0.0, 12.5, 50.0, 99.0, 100.0)
    for percentile, result in zip(percentiles, known_percentiles(values, percentiles), strict=True):
        known = np.isfinite(values).any(axis=-1)
        np.testing.assert_allclose(
            result[known], np.nanpercentile(values[known], percentile, axis=-1), rtol=1e-13
        )
        assert np.isnan(result[~known]).all()
