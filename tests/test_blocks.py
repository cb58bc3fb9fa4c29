"""Judging one long path: sessions, paired block bootstrap, and what it covers."""

import numpy as np
import pytest

from flowhft.errors import UsageError
from flowhft.metrics.bootstrap import draw_blocks, evaluate_sessions
from flowhft.metrics.measures import measure
from flowhft.types import Fill, Observation, Quote, Trajectory


def path(gain: np.ndarray) -> Trajectory:
    """A trajectory whose equity grows by `gain`, shape (1, step)."""
    zero = np.zeros((1, len(gain)))
    return Trajectory(Observation(*(zero,) * 11), Quote(zero, zero), Fill(zero, zero), gain[None], zero, zero)


def test_value_is_that_of_the_sessions_as_paths():
    gain = np.random.default_rng(0).normal(0.1, 1.0, 107)
    found = evaluate_sessions({"a": path(gain)}, 25, 5, "a", seed=0, samples=50)
    assert found.sessions == 4  # the last 7 steps are left out
    sessions = gain[:100].reshape(4, 25)
    assert found.results["a"]["pnl"].value == pytest.approx(sessions.sum(1).mean())
    assert found.results["a"]["sharpe"].value == pytest.approx(sessions.sum(1).mean() / sessions.sum(1).std())
    one = measure(path(sessions[0]))["max_drawdown"][0]
    rest = [measure(path(s))["max_drawdown"][0] for s in sessions[1:]]
    assert found.results["a"]["max_drawdown"].value == pytest.approx(np.mean([one, *rest]))


@pytest.mark.slow
def test_intervals_cover_at_about_their_rate_also_for_dependent_gains():
    """90 % intervals over 60 paths of moving averages; blocks of one step cover far too seldom."""
    random = np.random.default_rng(1)
    covered = {10: 0, 1: 0}
    for _ in range(60):
        noise = random.normal(size=404)
        gain = np.convolve(noise, np.ones(5), "valid")[:400] / 5  # mean 0, correlated over 5 steps
        for block in covered:
            low, high = evaluate_sessions({"a": path(gain)}, 50, block, "a", 0, 100, 0.9).results["a"]["pnl"][
                1:
            ]
            covered[block] += low <= 0.0 <= high
    assert 43 <= covered[10] <= 60
    assert covered[1] < 40  # independent steps pretend to know too much


def test_pairing_removes_what_policies_share():
    random = np.random.default_rng(2)
    shared = random.normal(0.0, 10.0, 400)
    a, b = path(shared + random.normal(0.2, 0.1, 400)), path(shared)
    found = evaluate_sessions({"a": a, "b": b}, 50, 10, "b", seed=0, samples=200)
    difference, alone = found.differences["a"]["pnl"], found.results["a"]["pnl"]
    assert difference.low > 0.0
    assert difference.high - difference.low < 0.05 * (alone.high - alone.low)
    assert "b" not in found.differences
    again = evaluate_sessions({"a": a, "b": b}, 50, 10, "b", seed=0, samples=200)
    assert repr(again) == repr(found)  # a metric that is not defined is not equal to itself


def test_a_metric_without_meaning_has_no_interval(recwarn):
    """A policy that never trades has no Sharpe ratio, in no resampled path either."""
    found = evaluate_sessions({"a": path(np.zeros(100))}, 20, 5, "a", seed=0, samples=50).results["a"]
    assert np.isnan(found["sharpe"]).all()
    assert found["pnl"] == (0.0, 0.0, 0.0)
    assert not recwarn.list


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
        evaluate_sessions({"a": path(np.zeros(100))}, sessions, block, reference, seed=0)
    assert words in str(refusal.value)


def test_every_step_of_the_path_can_be_drawn_the_last_ones_too():
    starts = draw_blocks(12, 4, samples=500, seed=0)
    assert starts.shape == (500, 3)
    assert set(starts.ravel().tolist()) == set(range(9))  # 0 .. 8: each but by a chance below 1e-70
    assert np.all(draw_blocks(12, 12, samples=5, seed=0) == 0)
