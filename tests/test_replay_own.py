"""A user's own policy in the replay: the same trades whoever runs it, and every mistake said by name."""

import math
from dataclasses import replace
from typing import Any

import numba
import numpy as np
import pytest
from test_replay import INSTANT, constant, quiet, random_market

from flowhft.desk.compiled import freeze_expert
from flowhft.desk.replay.engine import Replayed, prepare, replay, trade
from flowhft.desk.replay.loop import trade_compiled
from flowhft.desk.replay.settings import ReplaySettings
from flowhft.desk.steps import requests_for
from flowhft.errors import FlowhftError, UsageError
from flowhft.metrics.measures import measure
from flowhft.policies.own import own_policy
from flowhft.policies.rules import EXPERTS
from flowhft.recordings import read_recording, sample_recording
from flowhft.recordings.split import window
from flowhft.recordings.ticks import BUY, SELL
from flowhft.types import Estimates, Observation, Quote

TOLD = EXPERTS["glft"].coefficients(Estimates(42.0, 0.0, 0.8, 0.034, 60.0), 0.0034)
BASE, SLOPE = float(TOLD.base), float(TOLD.slope)


def glft(observation: Observation) -> Quote:
    return Quote(
        BASE + (0.5 + observation.inventory) * SLOPE, BASE + (0.5 - observation.inventory) * SLOPE, 1.0, 1.0
    )


def glft_pair(observation: Observation) -> tuple[float, float]:
    return BASE + (0.5 + observation.inventory) * SLOPE, BASE + (0.5 - observation.inventory) * SLOPE


class Remembering:
    """The same, as an object that counts its decisions and draws without using it."""

    def init(self) -> int:
        return 0

    def act(self, memory: int, observation: Observation, key: np.random.Generator) -> tuple[Quote, int]:
        key.normal()
        return glft(observation), memory + 1


class Noisy:
    def init(self) -> None: ...

    def act(self, memory: None, observation: Observation, key: np.random.Generator) -> tuple[Any, None]:
        return (key.uniform(0.0, 4.0), key.uniform(0.0, 4.0)), None


@pytest.fixture(scope="module")
def sample() -> Any:
    return window(read_recording(sample_recording()), 170.0, 230.0)


def same(one: Replayed, other: Replayed) -> None:
    assert one.fills.equals(other.fills)
    assert one.orders == other.orders
    for mine, theirs in zip(one.trajectory, other.trajectory, strict=True):
        if mine is not None:
            for values, expected in zip(np.atleast_2d(*mine), np.atleast_2d(*theirs), strict=True):
                np.testing.assert_array_equal(values, expected)


@pytest.mark.parametrize("written", ["python", "pair", "object", "numba", "numba pair"])
def test_a_policy_trades_the_same_whoever_runs_it(written: str, sample: Any) -> None:
    given = {
        "python": glft,
        "pair": glft_pair,
        "object": Remembering,
        "numba": numba.njit(glft),
        "numba pair": numba.njit(glft_pair),
    }[written]
    settings = ReplaySettings(decision_latency_us=100.0)
    both = replay(
        sample, {"frozen": freeze_expert(EXPERTS["glft"], TOLD), "own": own_policy(given)}, settings
    )
    assert len(both["frozen"].fills) > 5
    same(both["own"], both["frozen"])


def test_only_the_users_function_is_compiled() -> None:
    recording = random_market(2)
    replay(recording, {"first": constant(1.0)}, INSTANT)
    before = len(trade_compiled.signatures), len(requests_for.signatures)
    for width in (1.0, 2.0):
        own = own_policy(numba.njit(lambda seen, width=width: (width, width)))
        same(
            replay(recording, {"own": own}, INSTANT)["own"],
            replay(recording, {"own": constant(width)}, INSTANT)["own"],
        )
    assert (len(trade_compiled.signatures), len(requests_for.signatures)) == before


def test_whole_numbers_are_a_quote_and_compile_nothing() -> None:
    recording = random_market(2)
    expected = replay(recording, {"own": constant(2.0)}, INSTANT)["own"]
    before = len(requests_for.signatures)
    for given in (lambda seen: (2, 2), lambda seen: [2, 2.0, 1, 1], numba.njit(lambda seen: (2, 2, 1, 1))):
        same(replay(recording, {"own": own_policy(given)}, INSTANT)["own"], expected)
    assert len(requests_for.signatures) == before


def test_chance_is_the_runs_own() -> None:
    recording = random_market(4)
    own = {"noise": own_policy(Noisy), "other": own_policy(Noisy)}
    first, again = replay(recording, own, INSTANT, seed=3), replay(recording, own, INSTANT, seed=3)
    same(first["noise"], again["noise"])
    alone = replay(recording, {"noise": own_policy(Noisy)}, INSTANT, seed=3)["noise"]
    same(first["noise"], alone)
    other = replay(recording, own, INSTANT, seed=4)["noise"]
    for different in (other, first["other"]):
        assert not np.array_equal(
            first["noise"].trajectory.quote.half_spread_bid, different.trajectory.quote.half_spread_bid
        )


@pytest.mark.parametrize("compiles", [False, True], ids=["python", "numba"])
def test_sizes_are_lots_and_the_trajectory_carries_them(compiles: bool) -> None:
    def mine(observation: Observation) -> Quote:
        return Quote(1.0, 1.0, 2.0, 0.5)

    own = own_policy(numba.njit(mine) if compiles else mine)
    market = quiet().trade(SELL, 50, 998, 1).trade(BUY, 250, 1002, 1).until(450)
    replayed = replay(market, {"own": own}, INSTANT)["own"]
    assert replayed.fills["lots"].to_list() == [8, 2]  # of orders of 4 lots
    path = replayed.trajectory
    np.testing.assert_array_equal(path.fill.bid[0], [2.0, 0.0, 0.0, 0.0])
    np.testing.assert_array_equal(path.fill.ask[0], [0.0, 0.0, 0.5, 0.0])
    np.testing.assert_array_equal(path.quote.size_bid, np.full((1, 4), 2.0))
    np.testing.assert_array_equal(path.quote.size_ask, np.full((1, 4), 0.5))
    # Three lots are the limit: with two held another two do not fit.
    assert replayed.orders.limited == 3
    np.testing.assert_allclose(measure(path)["max_inventory"], 2.0)


def test_a_partial_fill_leaves_the_rest_and_does_not_replace_the_order() -> None:
    own = own_policy(lambda observation: (1.0, math.nan, 2.0, 1.0))
    market = quiet().trade(SELL, 50, 999, 13).trade(SELL, 150, 999, 2).until(350)
    replayed = replay(market, {"own": own}, replace(INSTANT, partial_fills=True))["own"]
    assert replayed.fills["lots"].to_list() == [3, 2]
    assert replayed.orders.submitted == 1


@pytest.mark.parametrize("side", ["bid", "ask"])
@pytest.mark.parametrize("way", ["nan", "size"])
def test_a_side_that_is_not_quoted_any_more_is_withdrawn(side: str, way: str) -> None:
    def mine(observation: Observation) -> Quote:
        quoted = Quote(1.0, 1.0)
        if observation.time < 0.05:
            return quoted
        return quoted._replace(**({f"half_spread_{side}": math.nan} if way == "nan" else {f"size_{side}": 0}))

    replayed = replay(quiet().until(350), {"own": own_policy(mine)}, INSTANT)["own"]
    assert (replayed.orders.submitted, replayed.orders.cancelled) == (2, 1)
    activity = replayed.trajectory.activity
    standing = {"bid": activity.standing_bid[0], "ask": activity.standing_ask[0]}
    np.testing.assert_array_equal(standing.pop(side), [1.0, 0.0, 0.0])
    np.testing.assert_array_equal(next(iter(standing.values())), [1.0, 1.0, 1.0])


def fails(observation: Observation) -> tuple[float, float]:
    if observation.time > 0.25:
        raise ValueError("no more")
    return 1.0, 1.0


def infinite(observation: Observation) -> tuple[float, float]:
    return 1.0, (math.inf if observation.time > 0.25 else 1.0)


def negative(observation: Observation) -> tuple[float, float, float, float]:
    return 1.0, 1.0, 1.0, (-1.0 if observation.time > 0.25 else 1.0)


@pytest.mark.parametrize("compiles", [False, True], ids=["python", "numba"])
@pytest.mark.parametrize(
    ("given", "kind", "message"),
    [
        (
            fails,
            FlowhftError,
            "policy mine must decide without an error; received ValueError: no more in step 3",
        ),
        (infinite, UsageError, "`half_spread_ask` of the policy mine must be finite or NaN.* in step 3"),
        (negative, UsageError, "`size_ask` of the policy mine must be 0 orders or more.* in step 3"),
    ],
)
def test_what_a_policy_does_wrong_is_said_with_its_name_and_step(
    given: Any, kind: type, message: str, compiles: bool
) -> None:
    own = own_policy(numba.njit(given) if compiles else given)
    with pytest.raises(kind, match=message) as raised:
        replay(quiet().until(950), {"mine": own}, INSTANT)
    assert raised.value.__cause__ is not None


def test_an_interrupt_comes_through() -> None:
    def stops(observation: Observation) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        replay(quiet().until(950), {"mine": own_policy(stops)}, INSTANT)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (numba.njit(lambda seen: 1.0), "policy mine must return a quote for an observation of floats"),
        (numba.njit(lambda seen: (1.0, 1.0, 1.0)), "policy mine must return a quote for an observation"),
        (numba.njit(lambda seen: seen.price), "policy mine must return a quote for an observation"),
    ],
)
def test_a_compiled_function_that_is_no_policy_is_refused(given: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        replay(quiet().until(350), {"mine": own_policy(given)}, INSTANT)


def test_a_policy_of_jax_is_refused_in_one_line() -> None:
    import jax

    with pytest.raises(
        UsageError, match="policy mine must be plain Python or numba to be replayed"
    ) as raised:
        replay(quiet().until(350), {"mine": own_policy(jax.jit(glft))}, INSTANT)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("written", ["frozen", "python", "numba"])
def test_an_observation_that_is_no_number_is_an_error_with_its_step(written: str) -> None:
    policy = {
        "frozen": constant(1.0),
        "python": own_policy(glft),
        "numba": own_policy(numba.njit(glft)),
    }[written]
    market = prepare(quiet().until(950), INSTANT)
    market.tape.intensity[4, 1] = math.nan
    message = "`observation` of the policy mine must be finite numbers; received intensity_ask nan in step 4"
    with pytest.raises(UsageError, match=message):
        trade(market, "mine", policy, INSTANT, 0)


@pytest.mark.parametrize("given", [glft, Remembering, numba.njit(glft)])
def test_the_latency_of_a_decision_is_measured(given: Any) -> None:
    settings = replace(INSTANT, decision_latency_us=None, decision_interval=0.5)
    replayed = replay(quiet().until(1950), {"mine": own_policy(given)}, settings)["mine"]
    assert replayed.measured_latency_us.shape == (64,)
    assert np.all(replayed.measured_latency_us > 0.0)
    assert replayed.decision_latency_us >= np.median(replayed.measured_latency_us)
    with pytest.raises(FlowhftError, match="ValueError: no more while its latency was measured"):
        replay(quiet().until(1950), {"mine": own_policy(fails)}, settings)
