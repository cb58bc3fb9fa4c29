"""A user's own policy in simulated markets: the paths of every other policy, whatever runs it."""

import math
import pickle
import textwrap
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numba
import numpy as np
import pytest

from flowhft.errors import UsageError
from flowhft.metrics.moments import to_bytes
from flowhft.policies.own import OwnPolicy, load_own_policy, own_policy
from flowhft.policies.rules import EXPERTS, glft
from flowhft.scenarios.scenario import Scenario
from flowhft.simulate.evaluate import fingerprint
from flowhft.simulate.job import Job
from flowhft.simulate.market.market import build
from flowhft.simulate.quoting import closed_form
from flowhft.simulate.quoting.closed_form import coefficients_in
from flowhft.simulate.rollout import evaluate_one, evaluate_together, rollout
from flowhft.simulate.spans import Span, Task
from flowhft.types import Observation, Quote, Trajectory

SCENARIO = Scenario("brief", horizon=0.2, base_intensity=60.0, volatility=0.05)
RUN = {"paths": 30, "seed": 5, "scenario": "own"}
GLFT = coefficients_in(EXPERTS["glft"], SCENARIO)
BASE, SLOPE = float(GLFT.base), float(GLFT.slope)


def plain_glft(observation: Observation):
    return (
        BASE + (0.5 + observation.inventory) * SLOPE,
        BASE + (0.5 - observation.inventory) * SLOPE,
    )


def whole_glft(observation: Observation) -> Quote:
    bid, ask = BASE + (0.5 + observation.inventory) * SLOPE, BASE + (0.5 - observation.inventory) * SLOPE
    return Quote(bid, ask, 1.0, 1.0)


class Noisy:
    """Remembers how often it quoted, and draws; it pulls its ask now and then, and its sizes vary."""

    def init(self):
        return 0

    def act(self, memory, observation, key: np.random.Generator):
        ask = math.nan if memory % 5 == 4 else key.uniform(0.0, 2.0)
        return (key.uniform(0.0, 1.0), ask, 1 + memory % 3, 2), memory + 1


class TracedNoisy(eqx.Module):
    """The same idea in jax: an object that remembers."""

    reach: jax.Array

    def init(self):
        return 0

    def act(self, memory, observation, key):
        bid, ask = self.reach * jax.random.uniform(key, (2,))
        return (bid, jnp.where(memory % 5 == 4, jnp.nan, ask)), memory + 1


def same(one: Trajectory, other: Trajectory, **tolerance: float) -> None:
    for left, right in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(left, right, **tolerance)


def expert_and(own: OwnPolicy) -> tuple[Trajectory, Trajectory]:
    market = build(SCENARIO)
    result = rollout(market, closed_form("glft", SCENARIO), **RUN)
    unknown = np.full_like(result.fee, np.nan)  # of a user's policy nobody knows whether it sees the price
    return result._replace(expected_inventory_pnl=unknown), rollout(market, own, **RUN)


@pytest.mark.parametrize("form", [plain_glft, whole_glft, numba.njit(plain_glft), jax.jit(plain_glft)])
def test_the_same_rule_makes_the_same_sessions_whatever_runs_it(form):
    expert, own = expert_and(own_policy(form))
    own = own._replace(expected_inventory_pnl=expert.expected_inventory_pnl)
    same(own, expert, rtol=2e-4, atol=2e-4)
    np.testing.assert_array_equal(own.observation.mid_price, expert.observation.mid_price)
    assert np.sum(own.fill.bid) > 0.0


@pytest.mark.parametrize("form", [plain_glft, whole_glft])
def test_numba_makes_of_a_function_what_python_does_bit_for_bit(form):
    market = build(SCENARIO)
    python, compiled = (rollout(market, own_policy(given), **RUN) for given in (form, numba.njit(form)))
    same(python, compiled, rtol=0.0)
    assert np.sum(python.fill.bid) > 0.0


def test_an_account_is_that_of_the_sessions_and_no_cut_changes_it():
    market, own = build(SCENARIO), own_policy(Noisy)
    whole = rollout(market, own, **RUN)
    assert len(np.unique(whole.quote.half_spread_bid)) > 500  # every path and step draws for itself
    assert set(np.unique(whole.quote.size_bid)) == {1.0, 2.0, 3.0}
    assert np.isnan(whole.quote.half_spread_ask[:, 4::5]).all()
    part = rollout(market, own, **(RUN | {"paths": 5, "first": 17}))
    same(jax.tree.map(lambda values: values[17:22], whole), part, rtol=0.0)
    alone = evaluate_one(market, own, **RUN)
    (cut,) = evaluate_together(market, [own], chunk=16, **RUN)
    expert, beside = evaluate_together(market, [closed_form("glft", SCENARIO), own], **RUN)
    for name, values in alone.items():
        np.testing.assert_array_equal(values, cut[name], err_msg=name)
        np.testing.assert_array_equal(values, beside[name], err_msg=name)
    gain = np.float64(whole.spread_pnl) + whole.inventory_pnl - whole.fee
    np.testing.assert_allclose(alone["pnl"], gain.sum(axis=1), rtol=1e-5, atol=1e-4)
    lots = np.float64(whole.fill.bid) + whole.fill.ask
    np.testing.assert_array_equal(alone["fills"], lots.sum(axis=1))
    assert not np.array_equal(expert["pnl"], beside["pnl"])


def test_an_object_of_jax_is_traced_with_its_memory_and_key():
    own = own_policy(TracedNoisy(jnp.float32(1.5)))
    assert own.runs == "jax"
    result = rollout(build(SCENARIO), own, **RUN)
    assert np.isnan(result.quote.half_spread_ask[:, 4::5]).all()
    assert np.isfinite(np.delete(result.quote.half_spread_ask, slice(4, None, 5), axis=1)).all()
    assert 0.0 <= result.quote.half_spread_bid.min() < result.quote.half_spread_bid.max() <= 1.5
    assert len(np.unique(result.quote.half_spread_bid)) > 500


def fails_late(observation):
    if observation.time > 0.095:
        raise ValueError("no idea")
    return 1.0, 1.0


def infinite_late(observation):
    return (math.inf if observation.time > 0.095 else 1.0), 1.0


def wrong(observation):
    return "wide", 1.0


@pytest.mark.parametrize(
    ("form", "message"),
    [
        (fails_late, r"policy fails_late must .* at step 10 of path 7 it raised ValueError: no idea"),
        (infinite_late, r"`half_spread_bid` of the policy infinite_late .*inf.* \[step 10, path 7\]"),
        (numba.njit(infinite_late), r"`half_spread_bid` of the policy .*inf.* \[step 10, path 7\]"),
        (wrong, r"policy wrong must return a quote.*\[step 0, path 7\]"),
        (jax.jit(lambda observation: (observation.time, 1.0, 1.0)), "must return 2 or 4 numbers; received 3"),
    ],
)
def test_what_a_users_code_does_wrong_comes_out_with_its_name_and_step(form, message):
    with pytest.raises(UsageError, match=message):
        evaluate_one(build(SCENARIO), own_policy(form), **(RUN | {"first": 7}))


@pytest.mark.parametrize("form", [plain_glft, numba.njit(plain_glft), jax.jit(plain_glft)])
def test_a_fingerprint_asks_it_like_any_other(form):
    expert = fingerprint(SCENARIO, "x", closed_form("glft", SCENARIO), [-2.0, 0.0, 3.0], [0.5])
    own = fingerprint(SCENARIO, "x", own_policy(form), [-2.0, 0.0, 3.0], [0.5])
    for name in ("half_spread_bid", "half_spread_ask"):
        np.testing.assert_allclose(own[name], expert[name], rtol=1e-5)


@dataclass(frozen=True)
class Everywhere:
    """A policy that is the same in every market, as a contest takes it."""

    policy: OwnPolicy

    def __call__(self, scenario):
        return self.policy


def test_it_is_judged_span_by_span_and_travels_to_workers_by_its_file(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        textwrap.dedent(
            """
            class Mine:
                def init(self):
                    return 0.5

                def act(self, memory, observation, key):
                    half = memory + key.uniform(0.0, 0.5)
                    return (half, half), 0.5 * half
            """
        )
    )
    own = load_own_policy(file, "Mine", "mine")
    job = Job([SCENARIO], {"mine": Everywhere(own), "glft": lambda s: closed_form("glft", s)}, 40, seed=1)
    task = Task(Span(0, 0, 0, 40))
    here = job.do(job.prepare(0), task)
    sent = pickle.loads(pickle.dumps(Everywhere(own)))
    assert sent.policy.given is not own.given
    there = Job([SCENARIO], {"mine": sent, "glft": job.policies["glft"]}, 40, seed=1, chunk=16)
    assert to_bytes(there.do(there.prepare(0), task)) == to_bytes(here)
    other = Job([SCENARIO], job.policies, 40, seed=2)
    assert to_bytes(other.do(other.prepare(0), task)) != to_bytes(here)


def test_glft_is_the_formula_that_these_tests_write_down():
    seen = Observation(0.0, 0.1, 0.0, 2.0, 0.0, 0.0, 0.0, 1.0, 1.0)
    np.testing.assert_allclose(plain_glft(seen), glft.quote(GLFT, seen, (0.0, 0.0))[:2], rtol=1e-12)
