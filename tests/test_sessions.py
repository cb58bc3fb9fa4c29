"""Judging one long path: sessions, their few-sample intervals and pairing, the drawdown of the whole run."""

import numpy as np
import pytest

from flowhft.errors import UsageError
from flowhft.metrics import bootstrap, intervals
from flowhft.metrics.measures import measure
from flowhft.metrics.sessions import evaluate_sessions, sessions_in
from flowhft.metrics.table import METRICS
from flowhft.types import Fill, Interval, Observation, Quote, Trajectory


def path(gain: np.ndarray, bought: np.ndarray | None = None) -> Trajectory:
    """A trajectory whose equity grows by `gain`, shape (1, step), and which buys now and then."""
    zero = np.zeros((1, len(gain)))
    bids = zero if bought is None else bought[None]
    return Trajectory(Observation(*(zero,) * 11), Quote(zero, zero), Fill(bids, zero), gain[None], zero, zero)


def test_value_is_that_of_the_sessions_as_paths():
    gain = np.random.default_rng(0).normal(-0.1, 1.0, 107)
    result = evaluate_sessions({"a": path(gain)}, 25, 5, "a")
    assert result.sessions == 4  # the last 7 steps are left out
    sessions = gain[:100].reshape(4, 25)
    totals = sessions.sum(1)
    assert result.results["a"]["pnl"].value == pytest.approx(totals.mean())
    assert result.results["a"]["pnl_deviation"].value == pytest.approx(totals.std(ddof=1))
    assert result.results["a"]["sharpe"].value == pytest.approx(totals.mean() / totals.std(ddof=1))
    assert result.results["a"]["expected_shortfall"].value == pytest.approx(totals.min())
    falls = [measure(path(s))["max_drawdown"][0] for s in sessions]
    assert result.results["a"]["max_drawdown"].value == pytest.approx(np.mean(falls))
    assert result.results["a"]["calmar"].value == pytest.approx(totals.mean() / np.mean(falls))
    loss = np.sqrt(np.mean(np.minimum(totals, 0.0) ** 2))
    assert result.results["a"]["sortino"].value == pytest.approx(totals.mean() / loss)


def test_it_is_what_measuring_every_session_alone_finds_to_the_last_digit():
    """The slow form: sessions one by one, each a trajectory of its own, and the same intervals of them."""
    random = np.random.default_rng(4)
    paths = {
        name: path(random.normal(0.1, 1.0, 6 * 40), 1.0 * (random.random(6 * 40) < 0.3))
        for name in ("a", "b")
    }
    result = evaluate_sessions(paths, 40, 10, "b")
    alone = {}
    for name, whole in paths.items():
        gain, bought = whole.spread_pnl[0].reshape(6, 40), whole.fill.bid[0].reshape(6, 40)
        each = [measure(path(*session)) for session in zip(gain, bought, strict=True)]
        alone[name] = {key: np.array([one[key][0] for one in each]) for key in each[0]}
    for metric in METRICS.values():
        own, other = ([alone[name][key] for key in metric.measures] for name in ("a", "b"))
        single = intervals.single(metric.estimator, own)
        paired = intervals.paired(metric.estimator, own, other)
        np.testing.assert_array_equal(result.results["a"][metric.name], single, metric.name)
        np.testing.assert_array_equal(result.differences["a"][metric.name], paired, metric.name)
    assert np.isfinite(result.differences["a"]["half_spread"]).all()


def test_sessions_shorter_than_the_memory_are_taken_together():
    """90 % intervals over 100 paths whose sessions come in like fours: alone they are too sure."""
    assert sessions_in(407, 50, 10) == (8, 8)
    assert sessions_in(407, 50, 100) == (8, 4)
    random = np.random.default_rng(1)
    covered = {5: 0, 20: 0}
    for _ in range(100):
        gain = np.repeat(random.normal(size=10), 20) + random.normal(0.0, 0.1, 200)
        for block in covered:
            _, low, high = evaluate_sessions({"a": path(gain)}, 5, block, "a", 0.9).results["a"]["pnl"]
            covered[block] += low <= 0.0 <= high
    assert covered[20] >= 80  # 90 +- 3
    assert covered[5] < 70


def test_pairing_removes_what_policies_share():
    random = np.random.default_rng(2)
    shared = random.normal(0.0, 10.0, 400)
    a, b = path(shared + random.normal(0.2, 0.1, 400)), path(shared)
    result = evaluate_sessions({"a": a, "b": b}, 50, 10, "b")
    difference, alone = result.differences["a"]["pnl"], result.results["a"]["pnl"]
    assert difference.low > 0.0
    assert difference.high - difference.low < 0.05 * (alone.high - alone.low)
    assert "b" not in result.differences
    again = evaluate_sessions({"a": a, "b": b}, 50, 10, "b")
    assert repr(again) == repr(result)  # a metric that is not defined is not equal to itself
    itself = evaluate_sessions({"a": a, "b": a}, 50, 10, "b").differences["a"]
    for name in ("pnl", "sharpe", "pnl_deviation", "max_drawdown", "expected_shortfall"):
        assert itself[name] == (0.0, 0.0, 0.0), name


def test_against_who_stays_at_home_a_difference_is_the_policy_itself(recwarn):
    """The other one has no chance in it: no deviation, no drawdown, and no Sharpe ratio to compare with."""
    gain = np.random.default_rng(3).normal(0.2, 1.0, 200)
    result = evaluate_sessions({"a": path(gain), "home": path(np.zeros(200))}, 20, 5, "home")
    for name in ("pnl", "pnl_deviation", "max_drawdown", "expected_shortfall"):
        assert result.differences["a"][name] == result.results["a"][name], name
    assert np.isnan(result.differences["a"]["sharpe"]).all()
    turned = evaluate_sessions({"home": path(np.zeros(200)), "a": path(gain)}, 20, 5, "a").differences["home"]
    of_policy = result.results["a"]["pnl_deviation"]
    assert turned["pnl_deviation"] == Interval(-of_policy.value, -of_policy.high, -of_policy.low)
    assert not recwarn.list


def test_a_metric_without_meaning_has_no_interval(recwarn):
    """A policy that never trades has no Sharpe ratio, and one that never loses no Sortino ratio."""
    result = evaluate_sessions({"a": path(np.zeros(100))}, 20, 5, "a").results["a"]
    for name in ("sharpe", "sortino", "calmar", "expected_pnl", "adverse_selection"):
        assert np.isnan(result[name]).all(), name
    assert result["pnl"] == result["pnl_deviation"] == (0.0, 0.0, 0.0)
    assert not recwarn.list


def test_the_drawdown_of_the_whole_run_reaches_across_sessions():
    gain = np.array([1.0, 1.0, -1.0, -1.0, -1.0, 0.5, -2.0, 0.0, -3.0])  # the last step is of no session
    result = evaluate_sessions({"a": path(gain)}, 2, 2, "a")
    assert result.results["a"]["max_drawdown"].value == np.mean([0.0, 2.0, 1.0, 2.0])
    assert result.run_drawdown == {"a": 7.5}  # from 2 down to -5.5


@pytest.mark.parametrize(
    ("sessions", "block", "reference", "words"),
    [
        (
            60,
            10,
            "a",
            "`horizon` must fit at least twice into the recording that is judged; received 60 steps",
        ),
        (20, 500, "a", "`block_steps` must lie between 1 and 100 steps; received 500"),
        (20, 10, "c", "`reference` must be one of a; received 'c'"),
    ],
)
def test_what_does_not_fit_is_refused(sessions, block, reference, words):
    with pytest.raises(UsageError) as refusal:
        evaluate_sessions({"a": path(np.zeros(100))}, sessions, block, reference)
    assert words in str(refusal.value)


def test_the_name_of_before_works_with_a_notice():
    paths = {"a": path(np.random.default_rng(0).normal(size=100))}
    with pytest.warns(DeprecationWarning, match=r"flowhft\.metrics\.sessions"):
        before = bootstrap.evaluate_sessions(paths, 20, 5, "a", seed=0, samples=50)
    assert repr(before) == repr(evaluate_sessions(paths, 20, 5, "a"))
