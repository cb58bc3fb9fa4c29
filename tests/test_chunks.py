"""Chunks of quotes: where they begin, how much of them is executed, when they reach the market, and how a
user says so."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from folded_files import save_folded
from program import flowhft

from flowhft.desk.compiled import begin, load_frozen, quote
from flowhft.desk.compiled.chance import normal_pair
from flowhft.desk.compiled.freeze import freeze
from flowhft.errors import UnknownNameError, UsageError
from flowhft.features import Sensor
from flowhft.flow.network import init_network
from flowhft.flow.normaliser import Normaliser
from flowhft.flow.policy import FlowPolicy, as_data, save_policy
from flowhft.flow.sampler import moved_up
from flowhft.policies.names import delay_all, find_policies, find_policy
from flowhft.policies.options import split_list, split_options
from flowhft.policies.regime_adapter import RegimeAdapter, shapes_of
from flowhft.policies.settings import NetworkSettings, SamplerSettings
from flowhft.scenarios.presets import find_scenarios
from flowhft.scenarios.scenario import Scenario
from flowhft.simulate.market.market import build
from flowhft.simulate.quoting import closed_form
from flowhft.simulate.quoting.delayed import Delayed, delayed
from flowhft.simulate.quoting.lab import in_lab
from flowhft.simulate.rollout import evaluate_one, rollout
from flowhft.types import SCALARS, Observation, Quote

SENSOR = Sensor(
    volatility=0.5, rate=20.0, horizon=1.0, half_spread=0.7, inventory=3.0, memory=0.3, burst=0.05
)
SETTINGS = NetworkSettings(features="paper", horizon=4, width=16, blocks=1, finest=8)
MEAN, SCALE = np.array([0.6, 0.7]), np.array([0.2, 0.3])
DEVIATION = 0.5


class GaussianMap(eqx.Module):
    """The exact flow map of chunks whose numbers are N(m + step, DEVIATION^2), m the first scaled feature.

    `step` is the number of the step in its chunk: a chunk that is moved up is another one.
    """

    finest: int = eqx.field(static=True, default=8)

    def condition(self, flow_time, step_size):
        return flow_time, step_size

    def velocity(self, condition, x, features):
        t, length = condition
        mean = features[0] + jnp.repeat(jnp.arange(x.size // 2), 2)
        landing = t + length
        landed = landing * mean + (x - t * mean) * jnp.sqrt(variance(landing) / variance(t))
        return (landed - x) / length


def variance(t):
    return (1.0 - t) ** 2 + t**2 * DEVIATION**2


def policy_of(sampler, network=None, objective="flow_map"):
    count = SETTINGS.feature_count
    normaliser = Normaliser(jnp.full(count, 0.5), jnp.ones(count), *map(jnp.float32, (MEAN, SCALE)))
    network = network or init_network(SETTINGS, 0)
    return FlowPolicy(network, normaliser, SENSOR, SETTINGS, sampler, objective)


def seen(steps=11):
    numbers = np.zeros((len(SCALARS), steps), np.float32)
    observation = Observation(*numbers)
    time = np.arange(steps, dtype=np.float32) * np.float32(0.05)
    return observation._replace(time=time, time_left=1.0 - time)


def quotes_of(policy, observations, keys, memory=None):
    start = policy.init() if memory is None else memory

    def step(memory, now):
        quote, memory = policy.act(memory, *now)
        return memory, quote

    quotes = jax.jit(lambda: jax.lax.scan(step, start, (observations, keys))[1])()
    return np.stack([np.asarray(side) for side in quotes[:2]], axis=-1)


@pytest.mark.parametrize(
    "sampler",
    [
        SamplerSettings(steps=1, noise_scale=0.7, execute=3),
        SamplerSettings(steps=1, noise_scale=0.7, noise="held", execute=1),
        SamplerSettings(steps=2, noise_scale=0.7, noise="held", warm_start=0.4, execute=3),
        SamplerSettings(steps=1, warm_start=0.8, execute=1),
    ],
    ids=["fresh", "held", "held-warm", "still-warm"],
)
def test_a_chunk_begins_where_the_settings_say(sampler):
    """Against the flow of a Gaussian in closed form: x_1 = m + s (x_t - t m) / sqrt((1-t)^2 + t^2 s^2)."""
    observations = seen()
    keys = jax.random.split(jax.random.key(3), len(observations.time))
    size, steps = SETTINGS.chunk_size, np.repeat(np.arange(SETTINGS.horizon), 2)
    expected, chunk, noise, tau = [], np.zeros((SETTINGS.horizon, 2)), None, sampler.warm_start
    for i, left in enumerate(observations.time_left):
        step = i % sampler.execute
        if step == 0:
            if noise is None or sampler.noise == "fresh":
                noise = sampler.noise_scale * np.asarray(jax.random.normal(keys[i], (size,)))
            known = np.concatenate([chunk[sampler.execute :], np.repeat(chunk[-1:], sampler.execute, 0)])
            known = known if i else chunk  # nothing was quoted yet: the mean quote
            mean = left - 0.5 + steps
            start = (1.0 - tau) * noise + tau * known.ravel()
            chunk = mean + DEVIATION * (start - tau * mean) / np.sqrt(variance(tau))
            chunk = np.clip(chunk, -5.0, 5.0).reshape(-1, 2)
        expected.append(MEAN + SCALE * chunk[step])
    quotes = quotes_of(policy_of(sampler, GaussianMap()), observations, keys)
    np.testing.assert_allclose(quotes, expected, atol=2e-5)


def test_a_warm_start_at_the_end_of_the_flow_returns_what_it_knows():
    """Whatever the network: nothing is left of the way."""
    known = jnp.asarray(np.random.default_rng(0).normal(size=(SETTINGS.horizon, 2)), jnp.float32)
    raw, noise = jnp.arange(SETTINGS.feature_count, dtype=jnp.float32), jnp.ones(SETTINGS.chunk_size)
    network = jax.tree.map(lambda leaf: leaf + 0.2, init_network(SETTINGS, 0))
    near, cold = (
        eqx.filter_jit(policy_of(SamplerSettings(steps=1, warm_start=tau), network).carry)(raw, noise, known)
        for tau in (1.0 - 1e-5, 0.0)
    )
    np.testing.assert_allclose(near, known, atol=1e-3)
    assert np.abs(cold - known).max() > 0.1


@pytest.mark.parametrize(
    "sampler",
    [
        SamplerSettings(steps=2, noise_scale=0.7, noise="held", warm_start=0.5, execute=3),
        SamplerSettings(steps=1, warm_start=0.75, execute=1),
        SamplerSettings(steps=3, noise_scale=1.0, noise="held", execute=2),
    ],
    ids=["held-warm", "still-warm", "held"],
)
def test_the_desk_begins_chunks_as_the_lab_does(sampler, tmp_path):
    """From the desk's noise, since its random numbers are others."""
    observations, random = seen(), np.array([7], np.uint64)
    leaves, tree = jax.tree.flatten(init_network(SETTINGS, 0))
    rng = np.random.default_rng(0)
    loud = [leaf + jnp.asarray(rng.normal(0.0, 0.3, leaf.shape), jnp.float32) for leaf in leaves]
    policy = policy_of(sampler, jax.tree.unflatten(tree, loud))
    drawn = [normal_pair(random) for _ in range(SETTINGS.horizon)]
    memory = policy.init()
    memory = memory._replace(drawn=memory.drawn + 1)  # the noise of a first chunk is known
    if sampler.noise_scale > 0.0:
        memory = memory._replace(noise=jnp.float32(sampler.noise_scale) * jnp.ravel(jnp.float32(drawn)))
    keys = jax.random.split(jax.random.key(0), len(observations.time))
    ours = quotes_of(policy, observations, keys, memory)
    save_folded(freeze(as_data(policy)), tmp_path / "frozen.safetensors")
    frozen = load_frozen(tmp_path / "frozen.safetensors")
    remembered = begin(frozen, 7)
    theirs = [
        quote(frozen, remembered, Observation(*(float(column[i]) for column in observations.scalars)))[:2]
        for i in range(len(observations.time))
    ]
    np.testing.assert_allclose(theirs, ours, atol=2e-5)
    assert np.ptp(ours, axis=0).min() > 0.05  # it does move


def test_what_lies_beyond_a_chunk_is_its_last_step():
    chunk = jnp.arange(8.0).reshape(4, 2)
    assert np.array_equal(moved_up(chunk, 1), [[2, 3], [4, 5], [6, 7], [6, 7]])
    assert np.array_equal(moved_up(chunk, 4), [[6, 7]] * 4)


@pytest.mark.parametrize(
    ("objective", "changes", "message"),
    [
        ("flow_matching", {"warm_start": 1.0}, r"`warm_start` must lie in \[0, 1\)"),
        ("flow_matching", {"warm_start": -0.1}, r"`warm_start` must lie in \[0, 1\)"),
        ("flow_matching", {"noise": "hold"}, "`noise` must be one of fresh, held; received 'hold'"),
        ("shortcut", {"steps": 1, "warm_start": 0.3}, "`warm_start` must be 1 less `steps` times"),
        ("shortcut", {"steps": 1, "warm_start": 0.9375}, "`warm_start` must be 1 less `steps` times"),
        ("regression", {"steps": 1, "warm_start": 0.5}, "`warm_start` must be 0.0 for a regression policy"),
        ("minimal_iterative", {"steps": 2, "warm_start": 0.5}, "`warm_start` must be 0.0"),
    ],
)
def test_a_beginning_that_was_not_learned_is_refused(objective, changes, message):
    with pytest.raises(UsageError, match=message):
        policy_of(SamplerSettings(**changes), objective=objective)


def test_a_shortcut_begins_on_its_ladder():
    for steps, tau in ((1, 0.5), (3, 0.25), (1, 0.875)):
        policy = policy_of(SamplerSettings(steps=steps, warm_start=tau), objective="shortcut")
        assert [asked.step_size for asked in policy.plan.evaluations] == [(1.0 - tau) / steps] * steps


# --- the delay of decisions


class Clock(eqx.Module):
    """Quotes as the time says and nothing else."""

    half_spread: jax.Array
    change: jax.Array

    def init(self):
        return ()

    def act(self, memory, observation, key):
        half = self.half_spread + self.change * observation.time
        return Quote(half, half + 0.1 * self.change), memory


CALM = Scenario("calm", dt=0.02, price="additive", volatility=1.2, base_intensity=12.0)


def test_late_quotes_are_those_of_some_steps_ago_around_the_mid_of_now():
    observations = seen()._replace(mid_price=np.linspace(0.0, 3.0, 11, dtype=np.float32))
    clock, keys = Clock(jnp.float32(0.7), jnp.float32(0.5)), jax.random.split(jax.random.key(0), 11)
    prompt = quotes_of(clock, observations, keys)
    late = quotes_of(delayed(clock, 3), observations, keys)
    np.testing.assert_array_equal(late, np.concatenate([prompt[:1], prompt[:1], prompt[:1], prompt[:-3]]))
    assert len(np.unique(prompt[:, 0])) == 11


def test_what_stands_in_the_market_are_the_prices_of_some_steps_ago():
    market, half, steps = build(CALM), 0.7, 3

    def run(change):
        clock = delayed(Clock(jnp.float32(half), jnp.float32(change)), steps, "prices")
        return rollout(market, clock, paths=1_600, seed=2, scenario="delay")

    late = run(0.5)
    time, mid = late.observation.time, late.observation.mid_price
    decided = half + 0.5 * time
    wanted = (mid - decided)[:, :-steps], (mid + decided + 0.05)[:, :-steps]
    standing = mid - late.quote.half_spread_bid, mid + late.quote.half_spread_ask
    for now, then in zip(standing, wanted, strict=True):
        np.testing.assert_allclose(now[:, steps:], then, atol=2e-6)
        np.testing.assert_allclose(now[:, :steps], np.repeat(then[:, :1], steps, axis=1), atol=2e-6)

    # A stale quote is found by those who gain from it. With m ~ N(0, s^2) the move since the decision, a fill
    # earns h + m and comes with probability p(m) = 1 - exp(-A dt min(1, exp(-k (h + m)))).
    steady = run(0.0)
    spread, fills = (
        value[:, steps:].sum(axis=1) for value in (steady.spread_pnl, steady.fill.bid + steady.fill.ask)
    )
    move = np.linspace(-6.0, 6.0, 2001) * CALM.volatility * np.sqrt(steps * CALM.dt)
    reaching = np.minimum(1.0, np.exp(-CALM.fill_decay * (half + move)))
    weight = np.exp(-0.5 * np.linspace(-6.0, 6.0, 2001) ** 2)
    weight *= -np.expm1(-CALM.base_intensity * CALM.dt * reaching)
    earned = np.sum(weight * (half + move)) / weight.sum()
    error = np.std(spread - earned * fills) / (np.mean(fills) * np.sqrt(len(fills)))
    assert abs(spread.sum() / fills.sum() - earned) < 4.5 * error  # by chance once in 100,000 seeds
    assert half - earned > 20.0 * error  # without the delay it would be `half` exactly


def test_a_delay_is_a_whole_number_of_steps_and_none_changes_nothing():
    clock = Clock(jnp.float32(0.7), jnp.float32(0.0))
    assert delayed(clock, 0) is clock
    # Prices that are late are measured from the mid, whatever the policy looks at; quotes are not.
    assert delayed(closed_form("glft", CALM), 2, "prices").sees_price
    assert not delayed(closed_form("glft", CALM), 2).sees_price
    with pytest.raises(UsageError, match="`late` must be quotes or prices; received 'orders'"):
        delayed(clock, 1, "orders")
    with pytest.raises(UsageError, match="`delay` must be 0 steps or more; received -1"):
        delayed(clock, -1)
    with pytest.raises(UsageError, match="`delay` must be at least 1 step"):
        Delayed(clock, 0)


# --- how a user says so


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "flow.safetensors"
    save_policy(path, policy_of(SamplerSettings(steps=2), objective="flow_map"))
    return path


def test_options_behind_a_name_change_how_a_saved_policy_quotes(saved):
    plain, quick, other = find_policies(f"{saved}, {saved}[execute=4, steps=1],slow={saved}[noise_scale=1]")
    assert plain.policy.core.sampler == SamplerSettings(steps=2)
    assert quick.policy.core.sampler == SamplerSettings(steps=1, execute=4)
    assert other.policy.core.sampler == SamplerSettings(steps=2, noise_scale=1.0)
    assert [named.name for named in (plain, quick, other)] == ["flow", "flow[execute=4,steps=1]", "slow"]
    # A run remembers what a label hides: else another sampler would find the results of this one.
    assert other.remembered == "slow[noise_scale=1.0]"
    assert quick.remembered == quick.name
    assert other.path == quick.path == saved


def test_a_run_remembers_a_risk_dial_that_a_label_hides(tmp_path):
    regime = RegimeAdapter(*(np.ones(shape, np.float32) for shape in shapes_of(4).values()))
    save_policy(tmp_path / "wise.safetensors", policy_of(SamplerSettings(steps=1)), regime, dial=(0.1, 1.0))
    path = tmp_path / "wise.safetensors"
    low, high, quick = find_policies(f"{path}@0.2,a={path}@0.3,a@0.4={path}@0.4[steps=2,delay=1]")
    assert [low.remembered, high.remembered] == ["wise@0.2", "a@0.3"]
    assert quick.remembered == "a@0.4@0.4[delay=1,steps=2]"
    assert float(quick.policy.regime.told[0]) == pytest.approx(np.log(0.4))
    assert quick.policy.core.sampler.steps == 2


def test_a_delay_is_an_option_of_every_policy_and_the_desk_has_its_own():
    late, risky = find_policies("glft[delay=2],risky=glft@0.5[delay=0]")
    market = CALM.but(name="a")
    assert in_lab(late, market).delay == 2
    assert (late.name, late.remembered) == ("glft[delay=2]", "glft[delay=2]")
    assert risky.remembered == "risky=glft@0.5[delay=0]"
    assert freeze(risky, market).coefficients.size > 0
    assert not isinstance(in_lab(risky, market), Delayed)
    with pytest.raises(UsageError, match="`delay` must be 0 steps at the desk"):
        freeze(late, market)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("glft[steps=1]", UsageError, "`steps` must stand behind a flow policy"),
        ("glft[delay=-1]", UsageError, "`delay` must be 0 steps or more"),
        ("glft[delay=1.5]", UsageError, "`delay` must be a whole number; received '1.5'"),
        ("glft[delay]", UsageError, "`delay` must be a whole number; received ''"),
        ("glft[delay=1,late=fills]", UsageError, "`late` must be quotes or prices; received 'fills'"),
        ("glft[delay=1,delay=2]", UsageError, "say `delay` once"),
        ("glft[dealy=1]", UnknownNameError, "did you mean 'delay'"),
        ("SAVED[steps=0]", UsageError, "`steps` must be at least 1"),
        ("SAVED[warm_start=x]", UsageError, "`warm_start` must be a number; received 'x'"),
        ("SAVED[execute=5]", UsageError, "`execute` must be at most the horizon of 4 steps"),
        ("SAVED[solver=heun]", UsageError, "`solver` must be euler for a flow_map policy"),
    ],
)
def test_options_that_cannot_be_are_refused(saved, text, error, message):
    with pytest.raises(error, match=message):
        find_policy(text.replace("SAVED", str(saved)))


def test_a_delay_for_all_is_for_those_that_do_not_say_otherwise():
    policies = delay_all(find_policies("glft,now=glft[delay=0],later=oracle[delay=3,late=prices]"), 2)
    assert [(policy.delay, policy.late) for policy in policies] == [
        (2, "quotes"),
        (0, "quotes"),
        (3, "prices"),
    ]
    assert in_lab(policies[2], CALM).late == "prices"
    assert in_lab(delay_all(find_policies("glft"), 2, "prices")[0], CALM).late == "prices"
    assert delay_all(find_policies("glft"), 0)[0].delay == 0


def test_evaluate_judges_what_stands_in_the_market(tmp_path):
    common = ("evaluate", "--scenarios", "T1.LL", "--policies", "glft")
    said = flowhft(
        *common, "--paths", 30, "--delay", 2, "--late", "prices", "--json", "--out", tmp_path / "run"
    )
    (market,) = find_scenarios("T1.LL")
    late = delayed(closed_form("glft", market), 2, "prices")
    alone = evaluate_one(build(market), late, paths=30, seed=0, scenario="evaluate/T1.LL")
    assert said.json["results"][0]["pnl"] == pytest.approx(np.mean(alone["pnl"]), rel=1e-9)
    assert flowhft(*common, "--delay", "-1").code == 2


def test_lists_are_cut_at_commas_outside_brackets():
    assert split_list("a, b[x=1,y=2] ,,c") == ["a", "b[x=1,y=2]", "c"]
    assert split_options("a=b@0.3[delay=2]")[0] == "a=b@0.3"
    for text in ("a[b", "a]b", "a[[b]]"):
        with pytest.raises(UsageError, match="bracket"):
            split_list(text)
