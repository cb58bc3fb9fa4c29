"""Every kind of policy is the same thing everywhere: a new kind joins by a row."""

import dataclasses
import itertools
from typing import NamedTuple

import jax
import numpy as np
import pytest
from numba import njit

import flowhft
from flowhft.desk import compiled as desk
from flowhft.desk.compiled.freeze import freeze
from flowhft.errors import FlowhftError
from flowhft.features import sensor_in_units
from flowhft.policies import file
from flowhft.policies.adapter import Adapter
from flowhft.policies.agent import VIEWS, Agent
from flowhft.policies.file import save_policy
from flowhft.policies.flow import NORMALISER, Flow, weight_shapes
from flowhft.policies.members import Members
from flowhft.policies.policy import Policy
from flowhft.policies.reference import Reference
from flowhft.policies.rules import EXPERTS, Expert
from flowhft.policies.settings import NetworkSettings, SamplerSettings
from flowhft.scenarios.presets import find_scenarios
from flowhft.stages.policies import load_policy
from flowhft.testing import CheckError, check, check_policy
from flowhft.types import Estimates, Numeric, Observation, Quote

MARKET = find_scenarios("T1.LL")[0]


class Coefficients(NamedTuple):
    """Of a rule that exists in this test alone."""

    wide: Numeric
    most: Numeric


def toy_coefficients(estimates: Estimates, risk_aversion: Numeric) -> Coefficients:
    return Coefficients(1.0 / estimates.fill_decay, 3.0)


def toy_quote(coefficients: Coefficients, observation: Observation, noise: tuple) -> Quote:
    """Twice as large a bid when short; no ask at all in the last tenth of a session."""
    late = observation.time_left < 0.11
    nothing = 0.0 * coefficients.wide
    short = observation.inventory < 0.0
    return Quote(
        coefficients.wide + 0.1 * observation.inventory,
        coefficients.wide - 0.1 * observation.inventory + late * (nothing + 1.0),
        1.0 + short,
        1.0 - 1.0 * late,
    )


TOY = Expert("toy", "a rule of this test", toy_coefficients, toy_quote)


def a_flow(features: str = "context", **sampler) -> Flow:
    settings = NetworkSettings(features=features, horizon=4, width=8, blocks=1, finest=4)
    random = np.random.default_rng(0)
    shapes = weight_shapes(settings.feature_count, settings.chunk_size, settings.width, settings.blocks)
    weights = {n: 0.3 * random.standard_normal(s).astype(np.float32) for n, s in shapes.items()}
    count, unit = settings.feature_count, np.float32(1.0 / MARKET.fill_decay)
    scales = (np.zeros(count), np.ones(count), np.full(2, unit), np.full(2, 0.3 * unit))
    normaliser = {n: value.astype(np.float32) for n, value in zip(NORMALISER, scales, strict=True)}
    sensor = sensor_in_units(1.0 / MARKET.fill_decay, MARKET.dt, MARKET.horizon)
    chosen = SamplerSettings(**({"steps": 2} | sampler))
    return Flow(weights, normaliser, sensor, settings, chosen, "flow_matching")


def an_agent(view: str, actions: int = 2) -> Agent:
    random = np.random.default_rng(1)
    sizes = (len(VIEWS[view]), 7, 5, actions)
    arrays = {"log_std": np.zeros(actions)}
    for n, (before, after) in enumerate(itertools.pairwise(sizes)):
        arrays |= {f"weight.{n}": 0.4 * random.standard_normal((before, after))}
        arrays |= {f"bias.{n}": 0.1 * random.standard_normal(after)}
    arrays |= {"scales.mean": np.zeros(sizes[0]), "scales.std": np.full(sizes[0], 2.0)}
    arrays |= {f"scales.{n}": np.full(2, v) for n, v in (("centre", 1.0), ("scale", 0.5), ("low", -3.0))}
    arrays |= {"scales.high": np.full(2, 3.0)}
    return Agent(view, {name: value.astype(np.float32) for name, value in arrays.items()})


LAST = Adapter(1.2, 0.1, -0.05, 0.03, -0.02)
KINDS = {
    **{name: name for name in EXPERTS},
    "flow, context": Policy(a_flow()),
    "flow, paper": Policy(a_flow("paper")),
    "flow, told": Policy(a_flow("told")),
    "flow, chunks": Policy(a_flow(execute=3)),
    "flow, from the chunk before": Policy(a_flow(warm_start=0.5, execute=2)),
    "flow, noise": Policy(a_flow(noise_scale=1.0)),
    "flow, adapted": Policy(a_flow(), adapter=LAST),
    "the shipped policy": "flowhft",
    "its control": "flowhft_plain@0.3",
    "agent": Policy(an_agent("state")),
    "agent, told": Policy(an_agent("regime"), adapter=LAST),
    "agent that pulls": Policy(an_agent("state", 4), adapter=LAST),
    "agents, one a scenario": Policy(Members({MARKET.name: Policy(an_agent("state"))})),
    "a file and a row": TOY,
}


@pytest.fixture(autouse=True)
def with_the_toy(monkeypatch):
    monkeypatch.setitem(EXPERTS, TOY.name, TOY)


# Whose parts, code and arithmetic are those of others here.
ALIKE = (
    "flow, paper",
    "flow, told",
    "flow, from the chunk before",
    "flow, noise",
    "agent, told",
    "its control",
)


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=pytest.mark.slow) if kind in ALIKE else kind for kind in KINDS]
)
def test_a_policy_is_the_same_thing_everywhere(kind):
    said = check_policy(KINDS[kind])
    assert any("saved and loaded" in line for line in said)
    assert any("the same quotes in numpy, numba, jax" in line for line in said) == (
        kind not in ("white_noise", "flow, noise")
    )


def test_the_agent_that_pulls_does_so_at_times():
    reference, asked = Reference(KINDS["agent that pulls"]), []
    memory = reference.init()
    for step in range(40):
        seen = Observation(
            0.02 * step, 1 - 0.02 * step, 0.3 * step - 5.0, step - 20.0, 4.0 * step - 70.0, *[1.0] * 4
        )
        quote, memory = reference.act(memory, seen)
        asked.append(quote[:2])
    pulled = np.isnan(asked)
    assert 0 < pulled.sum() < pulled.size
    assert memory > 0.0  # the spread that was meant


def broken(policy: Policy, **arrays) -> Policy:
    """Return a policy whose arrays are other numbers, everywhere the same in each."""
    field = "arrays" if isinstance(policy.core, Agent) else "weights"
    own = dict(getattr(policy.core, field))
    for name, value in arrays.items():
        own[name] = np.full_like(own[name], value)
    return dataclasses.replace(policy, core=dataclasses.replace(policy.core, **{field: own}))


@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
@pytest.mark.parametrize(
    ("kind", "arrays"),
    [
        ("agent that pulls", {"bias.1": 50.0, "weight.2": 3e38}),
        ("flow, context", {"output.weight": 3e38, "output.bias": -3e38, "output.modulation_bias": 3e38}),
    ],
)
def test_a_network_that_gives_no_number_is_an_error_in_lab_and_at_the_desk(kind, arrays):
    policy = broken(KINDS[kind], **arrays)
    with pytest.raises(FlowhftError, match=r"must be finite.* received (NaN|infinity) in path 0 of"):
        flowhft.evaluate({"broken": policy}, [MARKET], paths=30)
    frozen = freeze(policy, MARKET)
    seen = Observation(0.3, 0.7, 1.5, 2.0, -3.0, 1.0, 0.0, 20.0, 30.0)
    with pytest.raises(FlowhftError, match="its network gave others"):
        desk.quote(frozen, desk.begin(frozen, 0), seen)


def mine(observation):
    return 2.0 + 0.1 * observation.inventory, float("nan") if observation.inventory < -2 else 2.0


class Hidden:
    """Remembers beside its memory."""

    seen = 0

    def init(self):
        return ()

    def act(self, memory, observation, key):
        Hidden.seen += 1
        return Quote(float(Hidden.seen), 1.0), memory


class Remembers:
    """Quotes wider after every decision, and by chance."""

    def init(self):
        return 0

    def act(self, memory, observation, key):
        return Quote(1.0 + 0.1 * memory, 1.0 + key.uniform(), 2.0, 0.0), memory + 1


@pytest.mark.parametrize("own", [mine, Remembers, Remembers(), njit(mine), jax.jit(lambda o: (1.0, o.time))])
def test_a_users_own_policy_is_checked_alike(own):
    assert any("same seed, same quotes" in line for line in check_policy(own))


def test_what_does_not_hold_is_told():
    calls = []

    def forgetful(observation):
        calls.append(observation)
        return float(len(calls)), 1.0

    with pytest.raises(CheckError, match=r"python, twice from the same seed: quotes must be the same"):
        check_policy(Hidden)
    with pytest.raises(CheckError, match=r"python, twice from the same seed: quotes must be the same"):
        check_policy(forgetful)


def test_the_check_can_fail(monkeypatch):
    """A desk that is off by a hundredth of a half-spread is found out."""
    right = desk.quote

    def wrong(frozen, memory, observation):
        result = right(frozen, memory, observation)
        return result._replace(half_spread_bid=result.half_spread_bid + 0.01)

    monkeypatch.setattr(check, "quote", wrong)
    with pytest.raises(CheckError, match="numpy against numba: quotes must be the same to"):
        check_policy("glft")


def test_a_policy_that_was_told_its_market_stays_as_it_is_in_every_other(tmp_path):
    """A policy that senses quotes in units of its market; told one, and kept, it quotes in those for good."""
    elsewhere = MARKET.but(name="elsewhere", fill_decay=0.2 * MARKET.fill_decay)
    for given in ("flowhft", "glft", "agents, one a scenario"):
        policy = load_policy(KINDS.get(given, given)).as_data()
        path = tmp_path / "told.safetensors"
        save_policy(path, policy.in_market(MARKET))
        told = file.load_policy(path)
        assert told.settled
        assert not told.needs_scenario
        seen = Observation(0.3, 0.7, 0.5, 2.0, -1.0, 1.0, 0.0, 20.0, 30.0)
        quotes = []
        for market in (MARKET, elsewhere):
            reference = Reference(told.in_market(market))
            quotes.append(reference.act(reference.init(), seen)[0])
        assert quotes[0] == quotes[1]
        own = Reference(policy.in_market(MARKET))
        assert own.act(own.init(), seen)[0] == quotes[0]
