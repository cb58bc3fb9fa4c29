"""Intervals of few sessions: what they cover, of normal and of skewed ones, alone and paired.

The budget of a false alarm is 1 in 1,000 a test: a 99 % interval that covered just 97.5 % would miss more
often than `most_misses` in one of 1,000. Seeds are fixed.
"""

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from flowhft.metrics import estimators, intervals
from flowhft.metrics.estimators import DEVIATION, MEAN, RATIO, ROOT, SHARPE, SHORTFALL, SORTINO
from flowhft.metrics.table import interval

RUNS = 1_000
LEAST = 0.975
SESSIONS = (6, 10, 20)


def most_misses(runs: int) -> int:
    return int(stats.binom.ppf(0.999, runs, 1.0 - LEAST))


def gamma(random: np.random.Generator, count: int) -> np.ndarray:
    """Sessions of a gamma law of shape 2: mean 2, variance 2, skewness 1.41."""
    return random.gamma(2.0, size=count)


def normal(random: np.random.Generator, count: int) -> np.ndarray:
    """Sessions with mean 1 and deviation 1."""
    return random.normal(1.0, 1.0, count)


def misses(of: Callable, law: Callable, truth: float, count: int, runs: int = RUNS) -> int:
    random = np.random.default_rng(count)
    results = (of(law(random, count)) for _ in range(runs))
    return sum(not low <= truth <= high for _, low, high in results)


TAIL_OF_NORMAL = 1.0 - stats.norm.pdf(stats.norm.ppf(0.05)) / 0.05
SQUARE_LOSS = 2.0 * stats.norm.cdf(-1.0) - stats.norm.pdf(1.0)
CASES = {
    "mean": (MEAN, normal, 1.0, lambda x: (x,)),
    "mean of skewed": (MEAN, gamma, 2.0, lambda x: (x,)),
    "deviation": (DEVIATION, normal, 1.0, lambda x: (x,)),
    "sharpe": (SHARPE, normal, 1.0, lambda x: (x,)),
    "root of squares": (ROOT, normal, np.sqrt(2.0), lambda x: (x**2,)),
    "shortfall": (SHORTFALL, normal, TAIL_OF_NORMAL, lambda x: (x,)),
    "ratio": (RATIO, gamma, 0.5, lambda x: (x, np.full(len(x), 4.0))),
}


@pytest.mark.parametrize("count", SESSIONS)
@pytest.mark.parametrize("name", CASES)
def test_intervals_of_few_sessions_cover(name, count):
    estimator, law, truth, values = CASES[name]
    missed = misses(lambda x: intervals.single(estimator, values(x)), law, truth, count)
    assert missed <= most_misses(RUNS), missed / RUNS


def test_the_normal_law_would_not_cover():
    """Negative test of the one above: 2.58 standard errors of six sessions miss five times as often."""

    def naive(x: np.ndarray) -> tuple[float, float, float]:
        reach = 2.576 * float(np.std(x, ddof=1)) / len(x) ** 0.5
        return 0.0, float(np.mean(x)) - reach, float(np.mean(x)) + reach

    assert misses(naive, normal, 1.0, 6) > most_misses(RUNS)
    assert misses(lambda x: intervals.single(DEVIATION, (x,)), normal, 1.0, 6) < misses(
        lambda x: interval(*DEVIATION(x)), normal, 1.0, 6
    )


@pytest.mark.parametrize("count", SESSIONS)
def test_a_sortino_ratio_is_covered_wherever_it_has_an_interval(count):
    """Where no session loses there is none: of six with a Sharpe ratio of 1 that is one time in three."""
    results = []
    random = np.random.default_rng(count)
    for _ in range(RUNS):
        _, low, high = intervals.single(SORTINO, (normal(random, count),))
        if low == low:
            results.append(low <= 1.0 / np.sqrt(SQUARE_LOSS) <= high)
    assert len(results) > 0.5 * RUNS
    assert len(results) - sum(results) <= most_misses(len(results))


PAIRED = {"mean": MEAN, "deviation": DEVIATION, "sharpe": SHARPE}


@pytest.mark.parametrize("shared", [0.0, 0.9])
@pytest.mark.parametrize("name", PAIRED)
def test_paired_differences_of_few_sessions_cover(name, shared):
    random = np.random.default_rng(7)
    truth = {"mean": 0.5, "deviation": -0.5, "sharpe": 1.0 - 0.5 / 1.5}[name]
    missed = 0
    for _ in range(RUNS):
        one, own = random.normal(size=(2, 8))
        other = shared * one + np.sqrt(1.0 - shared**2) * own
        _, low, high = intervals.paired(PAIRED[name], (1.0 + one,), (0.5 + 1.5 * other,))
        missed += not low <= truth <= high
    assert missed <= most_misses(RUNS), missed / RUNS


def test_student_is_exact_where_nothing_is_skewed():
    """Mean +- t s / sqrt(n), by scipy's t, of sessions whose third moment is 0."""
    values = np.array([-3.0, -1.0, 0.0, 0.0, 1.0, 3.0])
    reach = stats.t.ppf(0.995, 5) * stats.sem(values)
    assert intervals.single(MEAN, (values,))[1:] == pytest.approx((-reach, reach), rel=1e-12)
    assert interval(*MEAN(values))[1:] == pytest.approx((-reach, reach), rel=1e-12)


def test_a_skewed_end_is_that_at_which_halls_statistic_is_its_quantile():
    values = gamma(np.random.default_rng(1), 8)
    result, mean, error = intervals.single(MEAN, (values,)), np.mean(values), stats.sem(values)
    a = np.mean((values - mean) ** 3) / np.std(values, ddof=1) ** 3 / np.sqrt(8.0)
    t = (mean - result.high) / error
    assert t + a * t**2 / 3 + a**2 * t**3 / 27 + a / 6 == pytest.approx(-stats.t.ppf(0.995, 7))
    assert result.low == pytest.approx(mean - stats.t.ppf(0.995, 7) * error)  # never nearer than Student's


@pytest.mark.parametrize("estimator", [MEAN, DEVIATION, SHARPE, SORTINO, ROOT, SHORTFALL])
def test_of_many_sessions_it_is_the_interval_of_the_delta_method(estimator):
    values = np.random.default_rng(2).normal(3.0, 2.0, 40_000)
    few, many = intervals.single(estimator, (values,)), interval(*estimator(values))
    width = many.high - many.low
    assert few.value == many.value
    assert few.low == pytest.approx(many.low, abs=0.03 * width)
    assert few.high == pytest.approx(many.high, abs=0.03 * width)


@pytest.mark.parametrize("estimator", [MEAN, DEVIATION, SHARPE, SORTINO, ROOT, SHORTFALL])
@pytest.mark.parametrize(
    "values",
    [[-1.0, 2.0], [5.0] * 3, [1e-9, -1e9, 3.0], [0.0, 0.0, -1.0], [1.0, 1.0 + 1e-9], [np.nan, 1.0, 2.0]],
)
def test_odd_sessions_give_ordered_ends_or_none(estimator, values, recwarn):
    own = np.abs(values) if estimator is ROOT else np.array(values)
    for result in (
        intervals.single(estimator, (own,)),
        intervals.single(estimator, (own,), units=1),
        intervals.paired(estimator, (own,), (own[::-1].copy(),)),
        intervals.paired(estimator, (own,), (np.zeros(len(own)),)),
    ):
        if result.low == result.low:
            assert result.low <= result.value <= result.high
        else:
            assert np.isnan(result.high)
    assert not recwarn.list


def test_units_keep_the_mean_of_the_influences():
    influence = np.array([1.0, -2.0, 4.0, -3.0, 5.0, -5.0, 0.0])
    for units in (2, 3, 7, 9):
        parts = intervals.together(influence, units)
        assert len(parts) == min(units, 7)
        assert np.mean(parts) == pytest.approx(np.mean(influence))


def test_the_expected_shortfall_is_the_maximum_that_defines_it():
    """max over q of q + mean(min(x - q, 0)) / 5 % (Rockafellar and Uryasev, 2000), never below the worst."""
    assert SHORTFALL(np.array([-10.0, 0.0, 1.0, 2.0, 3.0, 4.0]))[0] == -10.0
    random = np.random.default_rng(0)
    for count in (1, 2, 6, 19, 20, 21, 30, 39, 99, 100, 101, 150):
        for values in (random.normal(size=count), np.round(random.normal(size=count))):
            most = max(q + np.mean(np.minimum(values - q, 0.0)) / estimators.TAIL for q in values)
            value = SHORTFALL(values)[0]
            assert value == pytest.approx(most, abs=1e-12)
            assert value >= values.min() - 1e-12
            if count <= 20:
                assert value == pytest.approx(values.min(), abs=1e-12)


def test_deviation_and_sharpe_ratio_are_those_of_a_sample():
    values = np.array([1.0, 2.0, 4.0])
    assert DEVIATION(values)[0] == pytest.approx(np.std(values, ddof=1))
    assert SHARPE(values)[0] == pytest.approx(np.mean(values) / np.std(values, ddof=1))
    assert estimators.UTILITY(values)[0] == pytest.approx(np.mean(values) - 0.25 * np.std(values, ddof=1))
    for estimator in (DEVIATION, SHARPE, estimators.UTILITY):
        assert np.isnan(estimator(values[:1])[0])  # one session has no deviation, which is not one of 0
