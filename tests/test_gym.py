"""The Gymnasium environments: the official checker, the dynamics of `rollout`, seeds, errors, the export."""

import importlib
import itertools
import sys
import warnings
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers.vector import DictInfoToList, RecordEpisodeStatistics

import flowhft.rl.gymnasium.sessions
from flowhft.errors import DataError, MissingExtraError, UnknownNameError, UsageError
from flowhft.learn.demonstrations.sensing import features_of
from flowhft.policies.file import load_policy, save_policy
from flowhft.policies.names import find_policy
from flowhft.rl.gymnasium import MarketEnv, MarketVectorEnv
from flowhft.rl.gymnasium.actor import actor_from, agents_from
from flowhft.rl.gymnasium.sessions import stream_of
from flowhft.scenarios.files import scenarios_to_toml
from flowhft.scenarios.presets import find_scenarios
from flowhft.scenarios.scenario import Scenario
from flowhft.scenarios.sensor import sensor_for
from flowhft.simulate.market.market import build
from flowhft.simulate.quoting import closed_form
from flowhft.simulate.quoting.lab import in_lab
from flowhft.simulate.rollout import rollout
from flowhft.types import Trajectory

SESSIONS = 3
SHORT = dict(horizon=0.2)  # twenty steps
# Float32 arithmetic, fused in another way: an ulp or two of prices and cash of order 10.
CLOSE = dict(rtol=1e-6, atol=1e-5)


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    """Return a busy cell with jumps and excitation, cut short."""
    return find_scenarios("T1.LH", "paper")[0].but(name="short", jump_intensity=2.0, **SHORT)


@pytest.fixture(scope="module")
def expert(scenario: Scenario) -> Trajectory:
    """Return two rounds of sessions of an expert that skews, from the stream of the environments."""
    policy = closed_form("glft", scenario, 0.1)
    return rollout(build(scenario), policy, paths=2 * SESSIONS, seed=7, scenario=stream_of(scenario))


def quotes(expert: Trajectory, path: slice | int, step: int) -> np.ndarray:
    return np.stack([side[path, step] for side in expert.quote[:2]], axis=-1)


def weights(
    features: int = 5, hidden: tuple[int, ...] = (8, 8), seed: int = 0, actions: int = 2
) -> dict[str, np.ndarray]:
    """Return the state of a policy as Stable-Baselines3 names it, matrices (out, in)."""
    random = np.random.default_rng(seed)
    sizes = (features, *hidden)
    state = {"log_std": np.zeros(actions, np.float32)}
    for n, (before, after) in enumerate(itertools.pairwise(sizes)):
        state[f"mlp_extractor.policy_net.{2 * n}.weight"] = random.normal(size=(after, before))
        state[f"mlp_extractor.policy_net.{2 * n}.bias"] = random.normal(size=after)
        state[f"mlp_extractor.value_net.{2 * n}.weight"] = random.normal(size=(after, before))
    state["action_net.weight"] = 2.0 * random.normal(size=(actions, hidden[-1]))  # at times beyond the reach
    state["action_net.bias"] = random.normal(size=actions)
    return state


def perceptron(state: dict[str, np.ndarray], seen: np.ndarray) -> np.ndarray:
    """Work out the mean action, slowly and in float64."""
    hidden = seen.astype(float)
    for n in (0, 2):
        name = f"mlp_extractor.policy_net.{n}"
        hidden = np.tanh(state[f"{name}.weight"] @ hidden + state[f"{name}.bias"])
    return state["action_net.weight"] @ hidden + state["action_net.bias"]


@pytest.mark.parametrize("observation", ["state", "raw"])
def test_the_official_checker_finds_nothing_but_the_range_of_actions(observation, scenario):
    env = gymnasium.make("flowhft/Market-v0", scenario=scenario, observation=observation)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check_env(env.unwrapped)
    # Actions are in units of 1/k on purpose, and money has no bound unless it is scaled.
    expected = ("symmetric and normalized", "infinity") if observation == "raw" else ("symmetric",)
    left = [str(one.message) for one in caught if not any(word in str(one.message) for word in expected)]
    assert left == []


def test_a_session_is_the_rollout_of_the_same_quotes(scenario, expert):
    env = MarketEnv(
        scenario, observation="raw", action="half_spread", largest_offset=50.0, inventory_penalty=0.0
    )
    for path in (0, 1):
        seen, info = env.reset(seed=7) if path == 0 else env.reset()
        before = 0.0
        for step in range(scenario.steps):
            now = expert.observation
            state = [now.time, now.cash, now.inventory, now.mid_price]
            np.testing.assert_allclose(seen[:4], [part[path, step] for part in state], **CLOSE)
            seen, reward, terminated, truncated, info = env.step(quotes(expert, path, step))
            assert (info["fill_bid"], info["fill_ask"]) == tuple(side[path, step] for side in expert.fill)
            for cause in ("spread_pnl", "inventory_pnl", "fee"):
                np.testing.assert_allclose(info[cause], getattr(expert, cause)[path, step], **CLOSE)
            assert info["equity"] == pytest.approx(before + reward, abs=1e-4)
            assert info["equity"] == pytest.approx(
                info["cash"] + info["inventory"] * info["mid_price"], abs=1e-2
            )
            assert (terminated, truncated) == (step == scenario.steps - 1, False)
            before = info["equity"]
    assert np.abs(expert.observation.inventory).max() >= 2  # there was something to see
    assert expert.fill.bid.sum() > 5


def test_many_sessions_are_the_same_rollout_and_begin_anew_in_the_step_in_which_they_end(scenario, expert):
    env = MarketVectorEnv(
        scenario,
        num_envs=SESSIONS,
        observation="raw",
        action="half_spread",
        largest_offset=50.0,
        inventory_penalty=3.0,
    )
    assert env.metadata["autoreset_mode"] == AutoresetMode.SAME_STEP
    first, _ = env.reset(seed=7)
    for rounds in range(2):
        paths = slice(rounds * SESSIONS, (rounds + 1) * SESSIONS)
        for step in range(scenario.steps):
            seen, reward, terminated, truncated, info = env.step(quotes(expert, paths, step))
            ended = step == scenario.steps - 1
            last = info["final_info"] if ended else info
            gain = expert.spread_pnl + expert.inventory_pnl - expert.fee
            np.testing.assert_allclose(last["fill_ask"], expert.fill.ask[paths, step])
            risk = 3.0 * last["inventory"] ** 2 * scenario.dt
            np.testing.assert_allclose(reward, gain[paths, step] - risk, **CLOSE)
            assert (terminated == ended).all()
            assert not truncated.any()
        final = np.stack(info["final_obs"])
        np.testing.assert_allclose(final[:, 0], scenario.horizon, rtol=1e-4)
        np.testing.assert_allclose(final[:, 3], last["mid_price"], **CLOSE)
        np.testing.assert_allclose(last["equity"], gain[paths].sum(axis=1), rtol=1e-4, atol=1e-3)
        np.testing.assert_array_equal(seen, first)  # flat, at the first price, at the session's start
        np.testing.assert_array_equal(info["equity"], 0.0)


def test_one_program_serves_every_step_session_and_scenario(scenario):
    steps, starts = flowhft.rl.gymnasium.sessions._step, flowhft.rl.gymnasium.sessions._begin
    sizes = []
    for changes in ({}, {}, dict(volatility=0.3, drift=1.0, fill_decay=2.0)):
        env = MarketVectorEnv(scenario.but(**changes), num_envs=SESSIONS, largest_offset=2.0 + len(changes))
        env.reset(seed=len(sizes))
        for _ in range(2 * scenario.steps + 1):
            env.step(np.zeros((SESSIONS, 2)))
        sizes.append((steps._cache_size(), starts._cache_size()))
    assert sizes[0] == sizes[1] == sizes[2]


def test_seeds_paths_and_what_an_agent_is_judged_on(scenario):
    def session(env: MarketEnv, **how) -> np.ndarray:
        env.reset(**how)
        return np.array([env.step(np.zeros(2))[4]["mid_price"] for _ in range(scenario.steps)])

    env, other = MarketEnv(scenario), MarketEnv(scenario)
    first, second = session(env, seed=3), session(env)
    np.testing.assert_array_equal(first, session(other, seed=3))
    np.testing.assert_array_equal(second, session(other, options={"path": 1}))
    np.testing.assert_array_equal(first, session(env, seed=3, options={"path": 0}))
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, session(env, seed=4))
    assert not np.array_equal(session(MarketEnv(scenario)), session(MarketEnv(scenario)))  # no seed: random
    # Judging with the same seed meets other sessions.
    judged = rollout(
        build(scenario), closed_form("glft", scenario), paths=1, seed=3, scenario=scenario.name
    ).observation.mid_price[0]
    assert not np.allclose(first[:-1], judged[1:])


def test_what_is_seen(scenario):
    k, move = scenario.fill_decay, scenario.volatility_ticks * scenario.horizon**0.5
    action = np.array([0.5, -0.25], np.float32)
    seen = {}
    for kind in ("raw", "state", "regime"):
        env = MarketEnv(scenario, observation=kind)
        start, _ = env.reset(seed=11)
        rows = [start] + [env.step(action)[0] for _ in range(scenario.steps)]
        assert all(env.observation_space.contains(row) for row in rows)
        seen[kind] = np.array(rows)
    raw = seen["raw"]
    np.testing.assert_allclose(raw[0], [0.0, 0.0, 0.0, 0.0, 2.0 / k], rtol=1e-6)
    np.testing.assert_allclose(raw[1:, 4], (2.0 + action.sum()) / k, rtol=1e-6)
    scale = np.array([scenario.horizon / 2, 5.0 * move, 5.0, move, 1.0 / k])
    centre = np.array([scenario.horizon / 2, 0.0, 0.0, 0.0, 2.0 / k])
    np.testing.assert_allclose(seen["state"], np.clip((raw - centre) / scale, -10, 10), atol=1e-5)
    # The regime's state is the same number in other units, and what is told stays.
    np.testing.assert_allclose(seen["regime"][:, :5], seen["state"], atol=1e-5)
    assert np.ptp(seen["regime"][:, 5:], axis=0).max() == 0.0


def test_what_is_sensed_is_what_a_flow_policy_senses_on_the_same_path(scenario, expert):
    env = MarketEnv(scenario, observation="context", action="half_spread", largest_offset=50.0)
    sensed = features_of(sensor_for(scenario), "context", expert)[0]
    seen, _ = env.reset(seed=7)
    for step in range(scenario.steps):
        np.testing.assert_allclose(seen, sensed[step], atol=1e-4)
        seen, *_ = env.step(quotes(expert, 0, step))
    assert np.ptp(sensed, axis=0).min() > 0.1  # every feature moved


def test_the_wrappers_of_gymnasium_understand_it(scenario):
    env = DictInfoToList(RecordEpisodeStatistics(MarketVectorEnv(scenario, num_envs=SESSIONS)))
    env.reset(seed=0)
    total = np.zeros(SESSIONS)
    for _ in range(scenario.steps):
        _, reward, _, _, infos = env.step(np.zeros((SESSIONS, 2), np.float32))
        total += reward
    assert [info["episode"]["l"] for info in infos] == [scenario.steps] * SESSIONS
    np.testing.assert_allclose([info["episode"]["r"] for info in infos], total, rtol=1e-5)
    assert infos[1]["final_obs"].shape == (5,)
    vector = gymnasium.make_vec("flowhft/Market-v0", num_envs=2, scenario=scenario)
    assert vector.unwrapped.num_envs == 2


def test_what_is_told_belongs_to_the_caller(scenario):
    env = MarketVectorEnv(scenario, num_envs=SESSIONS)
    env.reset(seed=0)
    seen, reward, _, _, info = env.step(np.zeros((SESSIONS, 2)))
    kept = seen.copy(), info["equity"].copy()
    seen += 100.0
    reward += 100.0
    info["equity"] += 100.0
    again, *_, after = env.step(np.zeros((SESSIONS, 2)))
    assert (again < 100.0).all()
    gain = after["spread_pnl"] + after["inventory_pnl"] - after["fee"]
    np.testing.assert_allclose(after["equity"], kept[1] + gain, rtol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (dict(scenario="T9.XX"), UnknownNameError, "unknown scenario 'T9.XX'"),
        (dict(scenario="paper-test"), UsageError, "`scenario` must name one scenario"),
        (dict(scenario="none.toml"), DataError, "none.toml"),
        (dict(observation="all"), UsageError, "`observation` must be one of state, regime, context, raw"),
        (dict(action="prices"), UsageError, "`action` must be one of offset, half_spread"),
        (dict(largest_offset=0.0), UsageError, "`largest_offset` must be positive and finite"),
        (dict(inventory_penalty=-1.0), UsageError, "`inventory_penalty` must be 0 or more"),
        (dict(render_mode="human"), UsageError, "`render_mode` must be None"),
        (dict(num_envs=0), UsageError, "`num_envs` must be at least 1"),
    ],
)
def test_an_environment_that_cannot_be(arguments, error, words):
    make = MarketVectorEnv if "num_envs" in arguments else MarketEnv
    with pytest.raises(error, match=words):
        make(**arguments)


@pytest.mark.parametrize("make", [MarketEnv, MarketVectorEnv])
def test_misuse(make, scenario):
    env = make(scenario) if make is MarketEnv else make(scenario, num_envs=SESSIONS)
    zero = np.zeros(env.action_space.shape, np.float32)
    with pytest.raises(UsageError, match=r"`step` must follow a reset.*Call reset\(\)"):
        env.step(zero)
    with pytest.raises(UnknownNameError, match="unknown option of reset 'pth'; did you mean 'path'"):
        env.reset(options={"pth": 1})
    with pytest.raises(UsageError, match="`path` must be a whole number from 0 to 2147483647; received -1"):
        env.reset(options={"path": -1})
    with pytest.raises(UsageError, match=r"`path` must be .* to 2147483647; received 2147483648"):
        env.reset(options={"path": 2**31})
    env.reset(seed=0)
    with pytest.raises(UsageError, match=r"`action` must have shape .*\(bid, ask\); received \(3,\)"):
        env.step(np.zeros(3))
    with pytest.raises(UsageError, match="`action` must be numbers"):
        env.step("bid")
    for wrong, word in ((np.nan, "nan"), (np.inf, "inf"), (5.5, "5.5")):
        with pytest.raises(
            UsageError, match=f"`action` must lie between -5 and 5; received {word}.*ClipAction"
        ):
            env.step(zero + wrong)
    for _ in range(scenario.steps):  # nothing of the above was a step
        *_, terminated, _, _ = env.step(zero)
    assert np.all(terminated)
    if make is MarketEnv:
        with pytest.raises(UsageError, match="`step` must follow a reset"):
            env.step(zero)
    else:
        with pytest.raises(UsageError, match="`reset_mask` must not be given"):
            env.reset(options={"reset_mask": np.ones(SESSIONS, bool)})
    env.close()
    env.close()
    for use in (env.reset, lambda: env.step(zero)):
        with pytest.raises(UsageError, match="`env` must be open"):
            use()


def test_a_scenario_from_a_file(scenario, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(scenarios_to_toml([scenario]))
    assert MarketEnv(path).scenario == MarketEnv(str(path)).scenario == scenario


@pytest.mark.parametrize(
    ("module", "missing"),
    [("rl.gymnasium", "gymnasium"), ("rl.gymnasium.stable_baselines", "stable_baselines3")],
)
def test_a_missing_extra_is_named(module, missing, monkeypatch):
    for name in [name for name in sys.modules if name.startswith(f"flowhft.{module}")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingExtraError, match=rf"`{missing}` must be installed.*flowhft\[rl\]"):
        importlib.import_module(f"flowhft.{module}")


@pytest.mark.parametrize("observation", ["state", "regime"])
def test_exported_weights_quote_as_they_did_in_the_environment(observation, scenario, tmp_path):
    env = MarketEnv(scenario, observation=observation)
    state = weights(env.observation_space.shape[0])
    file = tmp_path / "policy.safetensors"
    save_policy(file, agents_from(state, env, training={"steps": 1}))
    assert list(load_policy(file).core.policies) == [scenario.name]
    agent = in_lab(find_policy(str(file)), scenario)
    judged = rollout(build(scenario), agent, paths=1, seed=5, scenario=stream_of(scenario))
    seen, _ = env.reset(seed=5)
    cut = 0
    for step in range(scenario.steps):
        action = np.clip(perceptron(state, seen), -5.0, 5.0)
        cut += (np.abs(action) == 5.0).any()
        half = (1.0 + action) / scenario.fill_decay
        np.testing.assert_allclose(half, quotes(judged, 0, step), rtol=1e-3, atol=1e-3)
        seen, *_, info = env.step(action)
        assert (info["fill_bid"], info["fill_ask"]) == tuple(side[0, step] for side in judged.fill)
    assert 0 < cut < scenario.steps  # both within the action space and cut to it


def test_agents_that_cannot_be_exported(scenario):
    env = MarketEnv(scenario)
    with pytest.raises(UsageError, match="`observation` must be state or regime for an export"):
        agents_from(weights(), MarketEnv(scenario, observation="raw"))
    with pytest.raises(UsageError, match="`action` must be offset for an export"):
        agents_from(weights(), MarketEnv(scenario, action="half_spread"))
    with pytest.raises(UsageError, match="`weights` must lead from 5 features to 2 actions"):
        agents_from(weights(features=4), env)
    with pytest.raises(UsageError, match=r"`weights` must hold 'action_net\.weight'.*MlpPolicy"):
        actor_from({})
    wrong = weights() | {"mlp_extractor.policy_net.2.weight": np.zeros((8, 7))}
    with pytest.raises(UsageError, match="`weights` must fit from layer to layer"):
        actor_from(wrong)
    everywhere = agents_from(weights(), env, everywhere=True)
    everywhere.in_market(scenario.but(name="elsewhere"))
    with pytest.raises(UnknownNameError, match="elsewhere"):
        agents_from(weights(), env).in_market(scenario.but(name="elsewhere"))


def test_stable_baselines_predicts_what_its_export_quotes(scenario, tmp_path: Path):
    pytest.importorskip("stable_baselines3", reason="needs stable_baselines3 (extra rl), which is large")
    import jax
    import torch
    from stable_baselines3 import A2C, PPO
    from stable_baselines3.common.env_checker import check_env as check_for_stable_baselines
    from stable_baselines3.common.vec_env import VecNormalize

    from flowhft.rl.gymnasium.stable_baselines import StableBaselinesEnv, export
    from flowhft.types import Observation

    torch.set_num_threads(1)  # so small a network is slower on more
    check_for_stable_baselines(MarketEnv(scenario))
    vector = StableBaselinesEnv(MarketVectorEnv(scenario, num_envs=4))
    how = dict(n_steps=scenario.steps, seed=0, device="cpu", policy_kwargs={"log_std_init": 1.0})
    model = PPO("MlpPolicy", VecNormalize(vector, norm_obs=False), batch_size=80, learning_rate=0.02, **how)
    model.learn(8 * scenario.steps)
    assert [info["l"] for info in model.ep_info_buffer] == [scenario.steps] * 8
    file = tmp_path / "new" / "policy.safetensors"
    export(model, file)
    agents = load_policy(file)
    assert agents.training["algorithm"] == "PPO"
    agent = in_lab(agents, scenario)
    random = np.random.default_rng(0)
    reached = 0
    for _ in range(20):
        time, cash, inventory, mid = random.normal(size=4) * [0.1, 50.0, 10.0, 3.0]
        previous = random.uniform(0.0, 3.0)
        observation = Observation(time, scenario.horizon - time, mid, inventory, cash, 0.0, 0.0, 1.0, 1.0)
        seen = (np.array([time, cash, inventory, mid, previous]) - agents.scales.mean[0]) / agents.scales.std[
            0
        ]
        action, _ = model.predict(np.clip(seen, -10, 10).astype(np.float32), deterministic=True)
        quote, _ = agent.act(np.float32(previous), observation, jax.random.key(0))
        np.testing.assert_allclose(np.array(quote[:2]), (1.0 + action) / scenario.fill_decay, atol=1e-4)
        reached += np.abs(action).max() > 0.1
    assert reached > 0
    single = A2C("MlpPolicy", MarketEnv(scenario), device="cpu")
    with pytest.raises(UsageError, match=r"`activation_fn` must be torch.nn.Tanh.*received ReLU"):
        export(
            PPO(
                "MlpPolicy",
                vector,
                batch_size=80,
                **how | {"policy_kwargs": {"activation_fn": torch.nn.ReLU}},
            ),
            file,
        )
    export(single, file)
    with pytest.raises(UsageError, match="`VecNormalize` must leave observations alone"):
        export(PPO("MlpPolicy", VecNormalize(vector), batch_size=80, **how), file)


# --- pulling a side ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["offset", "half_spread"])
def test_an_agent_that_may_pull_passes_the_official_checker(action, scenario):
    env = gymnasium.make("flowhft/Market-v0", scenario=scenario, action=action, may_pull=True)
    assert env.action_space.shape == (4,)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check_env(env.unwrapped)
    left = [str(one.message) for one in caught if "symmetric" not in str(one.message)]
    assert left == []


def test_whoever_pulls_nothing_is_in_the_environment_of_those_who_may_not(scenario):
    random = np.random.default_rng(0)
    plain, free = (
        MarketVectorEnv(scenario, num_envs=SESSIONS, may_pull=pull, observation="raw")
        for pull in (False, True)
    )
    np.testing.assert_array_equal(plain.reset(seed=3)[0], free.reset(seed=3)[0])
    for _ in range(5):
        pair = random.uniform(-1.0, 1.0, (SESSIONS, 2)).astype(np.float32)
        one = plain.step(pair)
        other = free.step(np.concatenate([pair, random.uniform(0.0, 1.0, pair.shape)], axis=1))
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])


@pytest.mark.parametrize("observation", ["state", "regime", "context", "raw"])
def test_a_side_that_is_pulled_does_not_trade_and_leaves_no_hole_in_what_is_seen(observation, scenario):
    env = MarketVectorEnv(scenario, num_envs=SESSIONS, may_pull=True, observation=observation)
    env.reset(seed=3)
    eager = np.tile(np.float32([-2.0, -2.0, -0.1, 1.0]), (SESSIONS, 1))  # beyond the mid, but no bid
    sold = 0.0
    for _ in range(5):
        seen, reward, _, _, info = env.step(eager)
        assert np.isfinite(seen).all()
        assert np.isfinite(reward).all()
        assert not info["quoted_bid"].any()
        assert info["quoted_ask"].all()
        np.testing.assert_array_equal(info["half_spread_bid"], info["half_spread_ask"])  # as it was meant
        assert not info["fill_bid"].any()
        sold += info["fill_ask"].sum()
    assert sold > 0.0
    for wrong, word in (
        ([0.0, 0.0, 1.5, 0.0], "between -1 and 1; received 1.5"),
        ([9.0, 0, 0, 0], "-5 and 5"),
    ):
        with pytest.raises(UsageError, match=word):
            env.step(np.tile(np.float32(wrong), (SESSIONS, 1)))
    with pytest.raises(UsageError, match=r"last axis \(bid, ask, quote bid, quote ask\)"):
        env.step(eager[:, :2])


def test_an_agent_that_may_pull_is_exported_as_one_that_does(scenario, tmp_path):
    """The policy trades in the lab what its network's mean actions trade in the environment."""
    env = MarketVectorEnv(scenario, num_envs=SESSIONS, may_pull=True, observation="state")
    state, (seen, _) = weights(actions=4), env.reset(seed=3)
    state["action_net.bias"][2:] -= perceptron(state, seen[0])[2:] - 0.05  # now and then below 0
    path = tmp_path / "agent.safetensors"
    save_policy(path, agents_from(state, env))
    agent = in_lab(load_policy(path), scenario)
    steps = []
    count = scenario.steps - 1  # the last step tells of the session that begins then
    for _ in range(count):
        action = np.stack([perceptron(state, one) for one in seen])
        low, high = env.single_action_space.low, env.single_action_space.high
        seen, _, _, _, info = env.step(np.clip(action, low, high).astype(np.float32))
        steps.append(info)
    lived = rollout(build(scenario), agent, paths=SESSIONS, seed=3, scenario=stream_of(scenario))
    for side in ("bid", "ask"):
        quoted = np.stack([info[f"quoted_{side}"] for info in steps], axis=1)
        assert 0.0 < quoted.mean() < 1.0
        sides = getattr(lived.quote, f"half_spread_{side}")[:, :count]
        np.testing.assert_array_equal(~np.isnan(sides), quoted == 1.0)
        meant = np.stack([info[f"half_spread_{side}"] for info in steps], axis=1)
        np.testing.assert_allclose(sides[quoted == 1.0], meant[quoted == 1.0], rtol=1e-4)
        filled = np.stack([info[f"fill_{side}"] for info in steps], axis=1)
        np.testing.assert_array_equal(getattr(lived.fill, side)[:, :count], filled)
