"""PPO: probe problems with known answers first, then markets, files, resuming and the command."""

import json
from dataclasses import replace
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest
from scipy.optimize import minimize_scalar

from flowhft.cli.main import main
from flowhft.desk.compiled import begin as desk_memory
from flowhft.desk.compiled import freeze, quote
from flowhft.errors import DataError, UnknownNameError, UsageError
from flowhft.policies.agent import VIEWS
from flowhft.policies.agent import Agent as AgentData
from flowhft.policies.agent import units_in as told
from flowhft.policies.file import load_policy, save_policy
from flowhft.policies.members import Members
from flowhft.policies.names import find_policy
from flowhft.rl.advantage import advantages, luck
from flowhft.rl.agents import agent_policy, merged
from flowhft.rl.environment import Episode, Reward, environments_of
from flowhft.rl.ppo import CURVES, begin, evaluate_learner, measure_units, update
from flowhft.rl.settings import PpoSettings
from flowhft.rl.train import CURVE_UNITS, SEED_UNITS, train
from flowhft.runs.archive import read_archive, write_archive
from flowhft.scenarios.presets import paper_test
from flowhft.scenarios.scenario import Scenario
from flowhft.simulate.market.market import build
from flowhft.simulate.quoting.agent import Actor, Scales
from flowhft.simulate.quoting.agent_view import encode
from flowhft.simulate.quoting.lab import in_lab
from flowhft.simulate.rollout import key_for, one_path
from flowhft.types import Observation

# One step, in which at most one lot a side trades, and the price stands still.
ONE_STEP = Scenario("one step", horizon=1.0, dt=1.0, base_intensity=2.0, volatility=1e-6)
SMALL = PpoSettings(
    inventory_penalty=0.0,
    updates=60,
    environments=1024,
    epochs=4,
    minibatches=4,
    seeds=2,
    layers=(16,),
    learning_rate=1e-2,
    validation=4_000,
    checkpoint_every=10,
)


# Advantages


def test_advantages_are_those_of_a_slow_loop():
    random = np.random.default_rng(3)
    rewards, values = random.normal(size=(2, 7, 4))
    discount, trace = 0.9, 0.7
    slow = np.zeros((7, 4))
    for path in range(4):
        for t in range(7):
            for i in range(t, 7):
                following = values[i + 1, path] if i < 6 else 0.0
                surprise = rewards[i, path] + discount * following - values[i, path]
                slow[t, path] += (discount * trace) ** (i - t) * surprise
    np.testing.assert_allclose(advantages(rewards, values, discount, trace), slow, rtol=1e-5, atol=1e-6)


def test_the_baseline_is_what_the_position_held_earns_by_chance():
    random = np.random.default_rng(5)
    positions, moves = random.normal(size=(2, 6, 3))
    slow = np.zeros((6, 3))
    for t in range(6):
        for i in range(t, 6):
            slow[t] += 0.8 ** (i - t) * positions[t] * moves[i]
    np.testing.assert_allclose(luck(positions, moves, 1.0, 0.8), slow, rtol=1e-5, atol=1e-6)


def test_a_trace_of_one_is_the_return_and_of_zero_the_surprise():
    random = np.random.default_rng(4)
    rewards, values = random.normal(size=(2, 5, 3))
    whole = np.cumsum(rewards[::-1], axis=0)[::-1] - values
    np.testing.assert_allclose(advantages(rewards, values, 1.0, 1.0), whole, atol=1e-5)
    surprise = rewards + np.vstack([values[1:], np.zeros((1, 3))]) - values
    np.testing.assert_allclose(advantages(rewards, values, 1.0, 0.0), surprise, atol=1e-5)


# Probe problems: what is wrong with an implementation shows in the first of them that it fails


class ProbeState(NamedTuple):
    time: jax.Array
    signal: jax.Array


class Probe(eqx.Module):
    """Two steps; the agent sees the time and a sign, and how a reward comes about is data."""

    constant: jax.Array  # (step,)
    by_signal: jax.Array  # (step,): times the sign
    by_action: jax.Array  # (step,): times - (action - sign)^2

    @property
    def steps(self):
        return 2

    def draw(self, key, number):
        signal = jax.random.rademacher(key, (), jnp.float32)
        return Episode((), ProbeState(jnp.zeros(()), signal), jnp.zeros(2))

    def encode(self, setting, state):
        return jnp.stack([state.time, state.signal])

    def step(self, setting, state, action, world):
        now = state.time.astype(int)
        reward = self.constant[now] + self.by_signal[now] * state.signal
        reward = reward - self.by_action[now] * (action[0] - state.signal) ** 2
        return state._replace(time=state.time + 1.0), Reward(reward, reward, jnp.zeros(()), jnp.zeros(()))


PROBING = PpoSettings(
    updates=60, environments=256, minibatches=4, layers=(16,), learning_rate=1e-2, discount=0.5, seeds=1
)


@eqx.filter_jit
def learn_from(learner, probe):
    key = jax.random.key(7)
    units = measure_units(learner, (probe,), key, 64)

    def one(n, learner):
        return update(learner, (probe,), units, jax.random.fold_in(key, n), n, PROBING)[0]

    return jax.lax.fori_loop(0, PROBING.updates, one, learner), units


def learn(probe):
    return learn_from(begin(7, 2, 1, PROBING), probe)


def asked(network, units, time, signal):
    from flowhft.simulate.quoting.agent import forward, scaled

    seen = scaled(units.mean, units.std, jnp.array([time, signal], jnp.float32))
    return float(forward(network.weights, network.biases, seen)[0])


def probe(constant=(0.0, 0.0), by_signal=(0.0, 0.0), by_action=(0.0, 0.0)):
    return Probe(*(jnp.array(values, jnp.float32) for values in (constant, by_signal, by_action)))


def test_a_constant_reward_is_the_value_and_a_delayed_one_is_discounted():
    learner, units = learn(probe(constant=(0.0, 3.0)))
    value = {time: asked(learner.critic, units, time, 1.0) * float(units.reward) for time in (0.0, 1.0)}
    assert value[1.0] == pytest.approx(3.0, abs=0.15)
    assert value[0.0] == pytest.approx(0.5 * 3.0, abs=0.15)


def test_a_reward_that_follows_the_observation_is_told_apart():
    learner, units = learn(probe(by_signal=(0.0, 2.0)))
    for signal in (-1.0, 1.0):
        value = asked(learner.critic, units, 1.0, signal) * float(units.reward)
        assert value == pytest.approx(2.0 * signal, abs=0.15)


def test_the_best_action_is_found_and_follows_the_observation():
    learner, units = learn(probe(by_action=(1.0, 1.0)))
    for signal in (-1.0, 1.0):
        for time in (0.0, 1.0):
            assert asked(learner.actor, units, time, signal) == pytest.approx(signal, abs=0.15)
    assert float(learner.actor.log_std[0]) < np.log(PROBING.exploration)


@pytest.mark.slow
def test_curves_count_the_episodes_that_kinds_of_market_share_evenly():
    settings = replace(PROBING, environments=13, updates=2, validation=2)
    result = train((probe(), probe()), (2, 1), settings, 0, "odd")
    assert result.curves["episodes"].to_list() == [12, 24]


def test_what_chooses_an_agent_is_drawn_from_another_stream_than_what_trains_it(monkeypatch):
    asked = []

    def spy(seed, *names):
        asked.append((seed, *names))
        return key_for(seed, *names)

    monkeypatch.setattr("flowhft.rl.train.key_for", spy)
    settings = replace(PROBING, environments=13, updates=2, validation=2)
    train((probe(), probe()), (2, 1), settings, 0, "odd")
    assert len(asked) == len(set(asked)) == 3  # scales, training, validation


# A market with a known best quote


@pytest.fixture(scope="module")
def one_step():
    environments = environments_of([ONE_STEP], "state", 0.0)
    return environments, train(environments, (5, 2), SMALL, 0, "one step")


def agents_of(environments, result, view="state", name="one step"):
    scales = environments[0].scales._replace(mean=result.mean, std=result.std)
    return agent_policy(view, result.actor, scales, name)


@pytest.mark.slow
def test_in_one_step_the_best_quote_is_learned(one_step):
    """The best half-spread maximises delta (1 - exp(-A exp(-k delta) dt)), solved numerically."""
    environments, result = one_step
    k, orders = ONE_STEP.fill_decay, ONE_STEP.base_intensity * ONE_STEP.dt

    def income(delta):
        return delta * -np.expm1(-orders * np.exp(-k * delta))

    best = minimize_scalar(lambda delta: -income(delta), bounds=(0.0, 5.0), method="bounded").x
    agent = in_lab(agents_of(environments, result), ONE_STEP)
    start = Observation(0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 2.0, 2.0)
    quote, _ = agent.act(agent.init(), start, jax.random.key(0))
    for half_spread in (float(side) for side in quote[:2]):
        assert half_spread == pytest.approx(best, rel=0.15)
        assert income(half_spread) > 0.99 * income(best) > 1.01 * 0.99 * income(1.0 / k)
    # What validation says agrees with the closed form: five standard errors.
    kept = result.seeds.filter(pl.col("chosen")).row(0, named=True)
    expected = sum(income(float(side)) for side in quote[:2])
    assert kept["pnl"] == pytest.approx(expected, abs=5.0 * kept["pnl_error"])


def test_curves_and_seeds_are_told(one_step):
    _, result = one_step
    assert result.curves.columns == list(CURVE_UNITS)
    assert result.seeds.columns == list(SEED_UNITS)
    assert result.curves.height == SMALL.seeds * SMALL.updates
    assert result.curves.select(pl.all().is_finite().all()).row(0) == (True,) * len(CURVE_UNITS)
    best = result.seeds.sort("reward", descending=True).row(0, named=True)
    assert best["chosen"]
    assert result.seeds["chosen"].sum() == 1
    mean = result.curves.group_by("update").mean().sort("update")["episode_reward"]
    assert mean[-10:].mean() > mean[:3].mean() + 0.01
    assert result.seeds["pnl"].to_list() == result.seeds["reward"].to_list()  # no penalty here


class Stopped(Exception):
    pass


def test_a_stopped_training_resumes_to_the_same_bits(one_step, tmp_path):
    environments, whole = one_step

    def stop(share, now):
        if share > 0.4:
            raise Stopped

    with pytest.raises(Stopped):
        train(environments, (5, 2), SMALL, 0, "one step", tmp_path, stop)
    shares = []
    resumed = train(
        environments, (5, 2), SMALL, 0, "one step", tmp_path, lambda share, now: shares.append(share)
    )
    assert min(shares) > 0.3
    jax.tree.map(np.testing.assert_array_equal, resumed.actor, whole.actor)
    assert resumed.curves.equals(whole.curves)
    assert resumed.seeds.equals(whole.seeds)
    with pytest.raises(Stopped):  # of another seed: it begins afresh, beside this one
        train(environments, (5, 2), SMALL, 1, "one step", tmp_path, stop)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_loss_that_is_not_finite_is_told(one_step):
    environments, _ = one_step
    broken = (eqx.tree_at(lambda e: e.inventory_penalty, environments[0], jnp.float32(np.nan)),)
    with pytest.raises(UsageError, match=r"must stay finite.*Lower the learning rate"):
        train(broken, (5, 2), SMALL, 0, "one step")


# What an agent sees, and that it does in a rollout what it did in training


def test_what_is_told_of_the_regime():
    scenario = paper_test("paper")["T1.HH"]
    regime = dict(zip(VIEWS["regime"][5:], told("regime", scenario).regime.tolist(), strict=True))
    assert regime["volatility"] == pytest.approx(np.log(25.0 * 1.5), rel=1e-5)
    assert regime["demand"] == pytest.approx(np.log(50.0), rel=1e-5)
    assert regime["drift"] == pytest.approx(1.5 * 20.0 * (np.exp(0.08 + 0.0018) - 1.0), rel=1e-5)
    assert (
        dict(zip(VIEWS["regime"][5:], told("regime", paper_test()["T1.HH"]).regime, strict=True))["drift"]
        == 0
    )
    assert len(told("state", scenario).regime) == 0
    seen = Observation(0.5, 0.5, 3.0, -2.0, 7.0, 0.0, 0.0, 50.0, 50.0)
    assert encode(told("state", scenario), seen, 1.25).tolist() == [0.5, 7.0, -2.0, 3.0, 1.25]
    with pytest.raises(UnknownNameError, match="unknown view"):
        told("stat", scenario)


@pytest.mark.slow
@pytest.mark.parametrize("view", ["state", "regime"])
def test_a_rollout_repeats_what_training_saw(view):
    """The same worlds, played by the training loop and by the rollout: the same money."""
    scenarios = [paper_test("paper")["T1.HH"].but(horizon=0.1), paper_test("paper")["T1.LL"].but(horizon=0.1)]
    count = 1 if view == "state" else 2
    (environment,) = environments_of(scenarios[:count], view, 1.0)
    features = len(VIEWS[view])
    learner = begin(1, features, 2, PpoSettings(layers=(8,)))
    actor = learner.actor._replace(weights=tuple(3.0 * weight for weight in learner.actor.weights))
    units = measure_units(learner, (environment,), jax.random.key(2), 16)
    key = jax.random.key(3)
    reward, gain = eqx.filter_jit(evaluate_learner)(actor, environment, units, key, 2)
    scales = environment.scales._replace(mean=units.mean, std=units.std)
    agents = agent_policy(view, actor, scales)
    for path, path_key in enumerate(jax.random.split(key, 2)):
        scenario = scenarios[path % count]
        market = build(scenario, like=scenarios[:count])
        done = eqx.filter_jit(one_path)(market, in_lab(agents, scenario), market.draw(path_key), key)
        change = np.sum(done.spread_pnl + done.inventory_pnl - done.fee)
        held = np.asarray(done.observation.inventory + done.fill.bid - done.fill.ask)
        assert change == pytest.approx(float(gain[path]), abs=1e-3)
        assert change - np.sum(held**2) * scenario.dt == pytest.approx(float(reward[path]), abs=1e-3)


def test_markets_take_turns_and_share_programs():
    cells = paper_test("paper")
    alike, other = environments_of([cells["T1.HH"], cells["T2.LL"], cells["T3.HH"]], "regime", 1.0)
    assert (alike.count, other.count) == (2, 1)
    drawn = [alike.draw(jax.random.key(0), jnp.asarray(number)).setting[1].price for number in (1, 2, 3)]
    assert drawn == [2.0, 25.0, 2.0]
    same = environments_of([cells["T1.HH"]], "state", 1.0, list(cells.values()))
    again = environments_of([cells["T2.LL"]], "state", 1.0, list(cells.values()))
    assert jax.tree.structure(same) == jax.tree.structure(again)


# Agents in files


def some_agents(view="state", names=("T1.HH", "T1.LL")):
    random = np.random.default_rng(5)
    features = len(VIEWS[view])

    def numbers(*shape):
        return random.normal(size=shape).astype(np.float32)

    def agent(name):
        actor = Actor((numbers(features, 3), numbers(3, 2)), (numbers(3), numbers(2)), numbers(2))
        side = np.ones(2, np.float32)
        scales = Scales(numbers(features), np.ones(features, np.float32), side, side, -2 * side, 3 * side)
        return agent_policy(view, actor, scales, name)

    return merged([agent(name) for name in names or ("",)], {"seed": 5})


def agents_in(policy):
    members = policy.core.policies if isinstance(policy.core, Members) else {"": policy}
    return {name: member.core for name, member in members.items()}


def test_agents_come_back_from_their_file(tmp_path):
    path = tmp_path / "agents.safetensors"
    for agents in (some_agents(), some_agents("regime", ())):
        save_policy(path, agents)
        again = load_policy(path)
        assert dict(again.training) == {"seed": 5}
        for (name, one), (other_name, other) in zip(
            agents_in(again).items(), agents_in(agents).items(), strict=True
        ):
            assert (name, one.view, one.layers) == (other_name, other.view, other.layers)
            assert one.arrays.keys() == other.arrays.keys()
            for key, value in one.arrays.items():
                np.testing.assert_array_equal(value, other.arrays[key])
    quoting = in_lab(again, ONE_STEP)
    assert quoting.act(1.0, Observation(*[0.0] * 9), None)[0].half_spread_bid.shape == ()


def test_agents_of_the_first_format_are_read(tmp_path):
    """Arrays with a leading axis agent, names of scenarios in the header."""
    path = tmp_path / "agents.safetensors"
    agents = some_agents()
    own = [agent.arrays for agent in agents_in(agents).values()]
    arrays = {name: np.stack([one[name] for one in own]) for name in own[0]}
    header = {"format": "flowhft.agents", "version": 1, "view": "state", "layers": [5, 3, 2]}
    header |= {"activation": "tanh", "scenarios": list(agents_in(agents)), "training": {}}
    write_archive(path, arrays, header)
    for name, agent in agents_in(load_policy(path)).items():
        for key, value in agent.arrays.items():
            np.testing.assert_array_equal(value, agents_in(agents)[name].arrays[key])
    write_archive(path, {n: value[:1] for n, value in arrays.items()}, header | {"scenarios": []})
    assert load_policy(path).kind == "agent"
    write_archive(path, arrays, header | {"scenarios": ["a"]})
    with pytest.raises(DataError, match="must have 1 agents"):
        load_policy(path)
    write_archive(path, arrays, header | {"scenarios": ["a", "a"]})
    with pytest.raises(DataError, match="`scenarios` must differ"):
        load_policy(path)


def test_every_scenario_has_its_own_agent():
    agents, cells = some_agents(), paper_test()
    quotes = [
        in_lab(agents, cells[name]).act(1.0, Observation(*[0.1] * 9), None)[0] for name in agents_in(agents)
    ]
    assert float(quotes[0].half_spread_bid) != float(quotes[1].half_spread_bid)
    # Half-spread = centre + scale x action, the action cut to [-2, 3]: between -1 and 4 here.
    assert all(-1.0 <= float(side) <= 4.0 for quote in quotes for side in quote[:2])
    with pytest.raises(UnknownNameError, match=r"unknown scenario 'T1.HL'; did you mean 'T1.(HH|LL)'\?"):
        in_lab(agents, cells["T1.HL"])
    with pytest.raises(UsageError, match="`scenarios` must differ"):
        merged([agents, agents], {})
    with pytest.raises(UsageError, match="must be for one scenario each"):
        merged([agents, some_agents("regime", ())], {})
    with pytest.raises(UsageError, match="`view` must be one of state, regime"):
        AgentData("all", agents_in(agents)["T1.HH"].arrays)


DAMAGE = {
    "another version": (lambda arrays, header: header.update(version=9), "must be of version 2 or 3"),
    "another kind": (lambda arrays, header: header.update(format="flowhft.ppo"), "must hold a policy"),
    "no such kind": (lambda arrays, header: header.update(kind="oracle"), "`kind` must be one of rule, flow"),
    "no layers": (lambda arrays, header: header.pop("layers"), "must describe a policy.*'layers'"),
    "no such view": (lambda arrays, header: header.update(view="all"), "must describe a policy.*'all'"),
    "other sizes": (lambda arrays, header: header.update(layers=[13, 4, 2]), "`weight.0` must have shape"),
    "three actions": (
        lambda arrays, header: header.update(layers=[13, 3, 3]),
        "from 13 features to 2 actions",
    ),
    "other activation": (
        lambda arrays, header: header.update(activation="relu"),
        "tanh between them.*'relu'",
    ),
    "no scale": (lambda arrays, header: arrays["scales.std"].fill(0.0), "`scales.std` must be positive"),
    "not finite": (lambda arrays, header: arrays["bias.0"].fill(np.nan), "`bias.0` must be finite"),
    "too few": (lambda arrays, header: arrays.pop("log_std"), "`log_std` must be among the arrays"),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_file_of_agents_is_told(what, tmp_path):
    damage, message = DAMAGE[what]
    path = tmp_path / "agents.safetensors"
    save_policy(path, some_agents("regime", ()))
    arrays, header = read_archive(path, "agents", {("flowhft.policy", 3)})
    damage(arrays, header)
    write_archive(path, arrays, header)
    with pytest.raises(DataError, match=message):
        load_policy(path)


def test_a_saved_agent_is_found_and_quotes_frozen_as_in_the_lab(tmp_path):
    path = tmp_path / "mine.safetensors"
    save_policy(path, some_agents())
    result = find_policy(str(path))
    assert (result.name, result.needs_scenario, result.family) == ("mine", True, "learned")
    with pytest.raises(UsageError, match="`scenario` must say which of several policies"):
        freeze(result)
    scenario = paper_test()["T1.LL"]
    agent, frozen = in_lab(result, scenario), freeze(result, scenario)
    remembered, memory = agent.init(), desk_memory(frozen, 0)
    for step in range(5):
        seen = Observation(0.1 * step, 1.0, 0.3 * step, step - 2.0, 1.5 * step, 0.0, 1.0, 3.0, 3.0)
        own, remembered = agent.act(remembered, seen, None)
        np.testing.assert_allclose(quote(frozen, memory, seen)[:2], own[:2], rtol=1e-5)


# Settings and the command


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"updates": 0}, "`updates` must be at least 1; received 0"),
        ({"layers": ()}, "`layers` must hold at least one layer"),
        ({"discount": 1.1}, r"`discount` must lie in \[0, 1\]; received 1.1"),
        ({"learning_rate": 0.0}, "`learning_rate` must be positive and finite; received 0.0"),
        ({"inventory_penalty": -1.0}, "`inventory_penalty` must be 0 or more; received -1.0"),
        ({"validation": 1}, "`validation` must be at least 2; received 1"),
    ],
)
def test_impossible_settings_are_refused(changes, message):
    with pytest.raises(UsageError, match=message):
        PpoSettings(**changes)


def test_too_few_episodes_are_refused():
    cells = paper_test("paper")
    two_kinds = environments_of([cells["T1.HH"], cells["T3.HH"]], "regime", 1.0)
    with pytest.raises(UsageError, match="`environments` must give at least 8 steps an update"):
        train(two_kinds, (13, 2), PpoSettings(environments=1), 0, "none")


TINY = [
    *("--ppo.updates", "2", "--ppo.environments", "4", "--ppo.epochs", "1", "--ppo.minibatches", "2"),
    *("--ppo.seeds", "2", "--ppo.layers", "4", "--ppo.validation", "8", "--market", "paper"),
    *("--json", "--quiet"),
]


@pytest.mark.slow  # the study of the paper trains agents in a faster one
def test_the_command_trains_keeps_and_is_judged(tmp_path, monkeypatch, capsys):
    from flowhft.rl import train as training

    monkeypatch.chdir(tmp_path)
    command = ["ppo", "--scenarios", "T1.HH,T1.LL", "--out", "trained", *TINY]
    right, asked_for = training.train, []

    def stop_at_the_second(*arguments):
        asked_for.append(arguments[4])
        if len(asked_for) == 2:
            raise KeyboardInterrupt
        return right(*arguments)

    monkeypatch.setattr(training, "train", stop_at_the_second)
    assert main(command) == 130
    assert main(command) == 0
    assert asked_for == ["T1.HH", "T1.LL", "T1.LL"]  # what was finished is kept
    capsys.readouterr()
    assert main(command) == 0
    assert len(asked_for) == 3
    told_again = json.loads(capsys.readouterr().out)
    assert [row["scenario"] for row in told_again["seeds"]] == ["T1.HH", "T1.HH", "T1.LL", "T1.LL"]
    manifest = json.loads((tmp_path / "trained" / "manifest.json").read_text())
    assert "validation episodes of a stream of their own" in manifest["summary"]["selection"]
    assert pl.read_parquet("trained/curves.parquet").height == 8
    assert list(load_policy(tmp_path / "trained" / "policy.safetensors").core.policies) == ["T1.HH", "T1.LL"]

    assert main(["report", "trained", "--quiet"]) == 0
    page = (tmp_path / "trained" / "report.html").read_text()
    assert "Agents that learned by trial and error" in page
    assert page.count("reward of the agent kept") == 1
    capsys.readouterr()

    judged = ["evaluate", "--scenarios", "T1.HH", "--market", "paper", "--policies", "trained"]
    assert main([*judged, "--paths", "30", "--out", "judged", "--json", "--quiet"]) == 0
    results = json.loads(capsys.readouterr().out)["results"]
    assert [row["policy"] for row in results] == ["trained", "no_quote"]
    judged[2] = "T2.HH"
    assert main([*judged, "--paths", "16", "--out", "other"]) == 2
    assert "unknown scenario 'T2.HH'" in capsys.readouterr().err
    assert list(CURVES) == list(CURVE_UNITS)[3:]
