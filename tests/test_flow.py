"""The flow policy: closed forms for losses and samplers, the policy as a policy, and its file."""

import json
from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lab_policies import loaded
from safetensors import safe_open
from safetensors.numpy import save_file

from flowhft import features
from flowhft.desk.compiled import begin, quote
from flowhft.desk.compiled.freeze import freeze
from flowhft.errors import DataError, UnknownNameError, UsageError
from flowhft.features import Sensor
from flowhft.flow import objectives
from flowhft.flow.interpolant import Batch
from flowhft.flow.network import init_network, weight_shapes, weights_of
from flowhft.flow.normaliser import (
    Normaliser,
    fit_normaliser,
    hide,
    scale_features,
    scale_quotes,
    unscale_quotes,
)
from flowhft.flow.policy import FlowPolicy, as_data, save_policy
from flowhft.policies import plain
from flowhft.policies.adapter import IDENTITY, Adapter, adapt_quote
from flowhft.policies.file import describe_policy, load_policy
from flowhft.policies.plan import heun
from flowhft.policies.settings import NetworkSettings, ObjectiveName, SamplerSettings
from flowhft.types import Observation, Policy, Quote

SENSOR = Sensor(
    volatility=0.5, rate=20.0, horizon=1.0, half_spread=0.7, inventory=3.0, memory=0.3, burst=0.05
)
SMALL = NetworkSettings(horizon=4, width=16, blocks=2, finest=4)


# --- losses


@pytest.mark.slow
@pytest.mark.parametrize("name", objectives.OBJECTIVES)
def test_nothing_beyond_the_sessions_end_can_change_a_loss(name):
    network = _random_network(SMALL)
    key, size, rng = jax.random.key(9), 64, np.random.default_rng(9)
    batch = Batch(
        rng.normal(size=(size, SMALL.feature_count)).astype(np.float32),
        rng.normal(size=(size, SMALL.horizon, 2)).astype(np.float32),
        np.arange(SMALL.horizon) < rng.integers(1, SMALL.horizon + 1, (size, 1)),
    )
    loss = jax.jit(
        jax.value_and_grad(lambda network, batch: objectives.get(name).loss(network, network, key, batch))
    )
    expected, gradient = loss(network, batch)
    for nothing in (1e6, np.nan):
        chunk = np.where(batch.mask[:, :, None], batch.chunk, np.float32(nothing))
        value, other = loss(network, batch._replace(chunk=chunk))
        assert value == expected
        assert all(
            np.array_equal(*pair)
            for pair in zip(jax.tree.leaves(gradient), jax.tree.leaves(other), strict=True)
        )
    assert loss(network, batch._replace(chunk=batch.chunk + np.float32(1.0)))[0] != expected


def test_names_of_objectives_are_those_of_the_settings():
    assert set(get_args(ObjectiveName)) == set(objectives.OBJECTIVES)
    with pytest.raises(UnknownNameError, match="did you mean 'shortcut'"):
        objectives.get("shortcuts")


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: NetworkSettings(finest=3), "finest"),
        (lambda: NetworkSettings(finest=0), "finest"),
        (lambda: NetworkSettings(horizon=0), "horizon"),
        (lambda: NetworkSettings(width=1), "width"),
        (lambda: NetworkSettings(blocks=0), "blocks"),
        (lambda: NetworkSettings(features="all"), "features"),
        (lambda: SamplerSettings(steps=0), "steps"),
        (lambda: SamplerSettings(solver="rk4"), "solver"),
        (lambda: SamplerSettings(solver="adaptive", tolerance=0.0), "tolerance"),
        (lambda: SamplerSettings(noise_scale=-1.0), "noise_scale"),
        (lambda: SamplerSettings(noise_scale=float("nan")), "noise_scale"),
        (lambda: SamplerSettings(execute=0), "execute"),
    ],
)
def test_settings_refuse_what_cannot_be(make, word):
    with pytest.raises(UsageError, match=f"`{word}` must"):
        make()


# --- the network and its normaliser


def _random_network(settings, seed=0):
    leaves, tree = jax.tree.flatten(init_network(settings, seed))
    rng = np.random.default_rng(seed)
    noisy = [leaf + jnp.asarray(rng.normal(0.0, 0.2, leaf.shape), jnp.float32) for leaf in leaves]
    return jax.tree.unflatten(tree, noisy)


def _policy(settings=SMALL, sampler=None, objective="flow_matching", seed=0):
    count = settings.feature_count
    normaliser = Normaliser(
        jnp.linspace(-0.2, 0.3, count),
        jnp.linspace(0.5, 1.5, count),
        jnp.array([0.6, 0.7]),
        jnp.array([0.2, 0.3]),
    )
    sampler = sampler or objectives.get(objective).sampler
    return FlowPolicy(_random_network(settings, seed), normaliser, SENSOR, settings, sampler, objective)


def test_network_agrees_with_its_definition_in_plain_numpy():
    network = _random_network(SMALL)
    weights = {name: np.asarray(value) for name, value in weights_of(network).items()}
    rng = np.random.default_rng(0)
    for step_size in (0.0, 0.3, 1.0):
        x, f, t = rng.normal(size=SMALL.chunk_size), rng.normal(size=SMALL.feature_count), rng.uniform()
        expected = plain.velocity(weights, x, f, t, step_size)
        assert np.allclose(network(jnp.asarray(x), jnp.asarray(f), t, step_size), expected, atol=2e-5)


def test_an_untrained_network_is_still_and_its_blocks_are_the_identity():
    network = init_network(SMALL, 0)
    assert {name: value.shape for name, value in weights_of(network).items()} == weight_shapes(SMALL)
    condition = network.condition(jnp.asarray(0.3), 0.5)
    assert not jnp.any(condition.block)
    assert not jnp.any(condition.output)
    assert not jnp.any(network(jnp.ones(SMALL.chunk_size), jnp.ones(SMALL.feature_count), 0.3, 0.5))


def test_normaliser_centres_scales_and_leaves_constants_alone():
    rng = np.random.default_rng(0)
    values = rng.normal([3.0, -1e3, 0.0], [2.0, 1e-1, 0.0], (50_000, 3)).astype(np.float32)
    quotes = rng.normal([0.5, 0.7], [0.1, 0.3], (50_000, 2)).astype(np.float32)
    normaliser = fit_normaliser(values, quotes)
    assert np.allclose(normaliser.feature_mean, [3.0, -1e3, 0.0], atol=0.05)
    assert np.allclose(normaliser.feature_std, [2.0, 0.1, 1.0], rtol=0.02)
    scaled = scale_quotes(normaliser, jnp.asarray(quotes))
    assert np.allclose(scaled.std(0), 1.0, atol=1e-3)
    assert np.allclose(unscale_quotes(normaliser, scaled), quotes, atol=1e-5)
    far = unscale_quotes(normaliser, jnp.array([9.0, -9.0]))
    assert np.allclose(far, normaliser.action_mean + jnp.array([5.0, -5.0]) * normaliser.action_scale)


def test_a_network_cannot_see_what_is_hidden_from_it():
    rng = np.random.default_rng(0)
    names = ("time_left", "filled_bid_1", "fill_rate_bid", "volatility")
    values, quotes = rng.normal(size=(100, 4)).astype(np.float32), rng.uniform(size=(100, 2))
    open_eyed = fit_normaliser(values, quotes.astype(np.float32))
    blind = hide(open_eyed, names, ("fill",))
    seen = np.asarray(scale_features(blind, jnp.asarray(values)))
    assert np.abs(seen[:, 1:3]).max() < 1e-20
    np.testing.assert_array_equal(seen[:, [0, 3]], scale_features(open_eyed, jnp.asarray(values))[:, [0, 3]])
    np.testing.assert_array_equal(hide(open_eyed, names, ()).feature_std, open_eyed.feature_std)
    with pytest.raises(UsageError, match="`hidden` must be the beginning of a feature's name; received 'x'"):
        hide(open_eyed, names, ("x",))


# --- the policy as a policy


def _observations(steps=24):
    rng = np.random.default_rng(1)
    time = np.arange(steps) * 0.02
    return Observation(
        *(
            column.astype(np.float32)
            for column in (
                time,
                1.0 - time,
                np.cumsum(rng.normal(0.0, 0.07, steps)),
                np.cumsum(rng.integers(-1, 2, steps)),
                np.cumsum(rng.normal(0.0, 0.5, steps)),
                rng.poisson(0.4, steps),
                rng.poisson(0.4, steps),
                np.full(steps, 20.0),
                np.full(steps, 20.0),
                rng.integers(0, 2, steps),
                rng.integers(0, 2, steps),
            )
        )
    )


def _run(policy, observations, key):
    keys = jax.random.split(key, len(observations.time))

    def step(memory, inputs):
        quote, memory = policy.act(memory, *inputs)
        return memory, quote

    quotes = jax.jit(lambda: jax.lax.scan(step, policy.init(), (observations, keys))[1])()
    return np.stack([np.asarray(q) for q in quotes[:2]], axis=-1)


@pytest.mark.parametrize("kind", ["context", "paper"])
@pytest.mark.parametrize("execute", [1, 3])
def test_policy_executes_chunks_drawn_from_what_it_senses(kind, execute):
    settings = NetworkSettings(features=kind, horizon=4, width=16, blocks=1, finest=4)
    policy = _policy(settings, SamplerSettings(steps=2, execute=execute, solver="heun"))
    assert isinstance(policy, Policy)
    seen = _observations()
    weights, n = policy.weights(), Normaliser(*(np.asarray(x) for x in policy.normaliser))
    memory, expected, chunk = features.remember_nothing(SENSOR), [], None
    for i in range(len(seen.time)):
        observation = Observation(*(float(x[i]) for x in seen.scalars))
        memory = features.sense(SENSOR, memory, observation)
        if i % execute == 0:
            raw = np.array(features.FUNCTIONS[kind](SENSOR, memory, observation))
            scaled = plain.standardise(raw, n.feature_mean, n.feature_std)
            start = np.zeros(settings.chunk_size, np.float32)
            sampled = plain.sample(weights, scaled, start, heun(2))
            chunk = sampled * n.action_scale + n.action_mean
        bid, ask = chunk[i % execute]
        memory = memory._replace(previous_spread=bid + ask)
        expected.append((bid, ask))
    assert np.allclose(_run(policy, seen, jax.random.key(0)), expected, atol=1e-4)


def test_quotes_depend_on_the_key_only_where_there_is_noise():
    seen = _observations()
    still, noisy = _policy(), _policy(sampler=SamplerSettings(steps=4, noise_scale=1.0))
    one, two = jax.random.key(1), jax.random.key(2)
    assert np.array_equal(_run(still, seen, one), _run(still, seen, two))
    assert np.array_equal(_run(noisy, seen, one), _run(noisy, seen, one))
    assert not np.allclose(_run(noisy, seen, one), _run(noisy, seen, two), atol=1e-3)


@pytest.mark.parametrize(
    ("objective", "sampler"),
    [
        ("flow_matching", SamplerSettings(steps=4, solver="heun", execute=2)),
        ("shortcut", SamplerSettings(steps=1)),
        ("shortcut", SamplerSettings(steps=2, execute=3)),
        ("flow_map", SamplerSettings(steps=3)),
        ("regression", SamplerSettings(steps=1)),
        ("minimal_iterative", SamplerSettings(steps=2)),
    ],
)
def test_frozen_policy_quotes_the_same(objective, sampler):
    policy, adapter = _policy(sampler=sampler, objective=objective), Adapter(1.1, 0.02, -0.01, 0.05, 0.03)
    seen = _observations()
    ours = _run(policy, seen, jax.random.key(0))
    frozen = freeze(as_data(policy, adapter))
    memory = begin(frozen, 0)
    for i, own in enumerate(ours):
        observation = Observation(*(float(x[i]) for x in seen.scalars))
        expected = adapt_quote(adapter, Quote(*own), observation)
        assert np.allclose(quote(frozen, memory, observation), expected, atol=1e-4)


def test_a_policy_refuses_a_sampler_that_it_cannot_honour():
    policy = _policy(objective="shortcut")
    assert len(policy.with_sampler(SamplerSettings(steps=4)).plan.evaluations) == 4
    with pytest.raises(UsageError, match="`steps` must be a power of two up to 4"):
        policy.with_sampler(SamplerSettings(steps=3))
    with pytest.raises(UsageError, match="`execute` must be at most the horizon of 4 steps"):
        policy.with_sampler(SamplerSettings(steps=1, execute=5))


# --- the file


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "policy.safetensors"
    save_policy(path, _policy(objective="shortcut"), Adapter(1.2, 0.1, -0.1, 0.3, 0.4), {"seed": 7})
    return path


def test_a_policy_comes_back_exactly(saved):
    policy, adapter = loaded(saved)
    original = _policy(objective="shortcut")
    assert adapter == Adapter(1.2, 0.1, -0.1, 0.3, 0.4)
    assert describe_policy(saved)["training"] == {"seed": 7}
    assert jax.tree.structure(policy) == jax.tree.structure(original)  # static fields too
    pairs = zip(jax.tree.leaves(policy), jax.tree.leaves(original), strict=True)
    assert all(a.dtype == b.dtype and bool(jnp.all(a == b)) for a, b in pairs)
    save_policy(saved, original)
    assert load_policy(saved).adapter == IDENTITY
    assert [file.name for file in saved.parent.iterdir()] == [saved.name]


def test_a_missing_policy_is_said_to_be_missing(tmp_path):
    with pytest.raises(DataError, match="there is none"):
        load_policy(tmp_path / "policy.safetensors")


@given(share=st.floats(0.0, 1.0, exclude_max=True))
def test_a_truncated_policy_is_a_data_error(tmp_path_factory, share):
    path = tmp_path_factory.mktemp("cut") / "policy.safetensors"
    save_policy(path, _policy())
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(DataError, match="whole safetensors file"):
        load_policy(path)


def _edit(path, change):
    """Rewrite a policy file with its arrays and header changed in place."""
    with safe_open(path, framework="numpy") as file:
        header, names = json.loads(file.metadata()["flowhft"]), file.keys()
        arrays = {name: file.get_tensor(name) for name in names}
    change(arrays, header)
    save_file(arrays, path, {"flowhft": json.dumps(header)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda a, h: h.update(format="flowhft.frozen"),
            "must hold a policy .* received 'flowhft.frozen'",
        ),
        (lambda a, h: h.update(version=1), "must be of version 2 or 3 .* received 1"),
        (lambda a, h: h.pop("version"), "no readable `flowhft` header"),
        (lambda a, h: h.pop("sensor"), "header is not one: 'sensor'"),
        (lambda a, h: h["sensor"].update(rate=None), "`sensor.rate` must be a finite number; received None"),
        (
            lambda a, h: h["sensor"].update(rate="nan"),
            "`sensor.rate` must be a finite number; received 'nan'",
        ),
        (lambda a, h: h["sensor"].update(rate=-1.0), "`sensor.rate` must be positive"),
        (lambda a, h: h["adapter"].update(scale="nan"), "`adapter.scale` must be a finite number"),
        (lambda a, h: h["adapter"].update(skew="inf"), "`adapter.skew` must be a finite number"),
        (lambda a, h: h["adapter"].update(skew=True), "`adapter.skew` must be a finite number"),
        (
            lambda a, h: h["sampler"].update(noise_scale="nan"),
            "`sampler.noise_scale` must be a finite number",
        ),
        (lambda a, h: h["sampler"].update(execute=1.5), "`sampler.execute` must be a whole number"),
        (lambda a, h: h["settings"].update(width=16.0), "`settings.width` must be a whole number"),
        (lambda a, h: h["sampler"].update(steps=2**40), "`steps` must be at most 4,096"),
        (
            lambda a, h: h.update(regime={"dial": ["nan", 1.0]}),
            "`dial` must be a finite number|among the arrays",
        ),
        (
            lambda a, h: a.update({"normaliser.feature_std": 0 * a["normaliser.feature_std"]}),
            "`normaliser.feature_std` must be positive everywhere",
        ),
        (lambda a, h: h.update(adapter=[1.0, 0.0]), "header is not one"),
        (lambda a, h: h["settings"].update(depth=3), "header is not one: .*depth"),
        (lambda a, h: h["settings"].update(finest=3), "header is not one: `finest` must"),
        (lambda a, h: h["sampler"].update(steps=3), "header is not one: `steps` must be a power of two"),
        (lambda a, h: h.update(objective="shortcuts"), "did you mean 'shortcut'"),
        (lambda a, h: h["feature_names"].reverse(), "the features of .* received others: another order"),
        (lambda a, h: h.update(regime={"sees": ["fortune"]}), "features of the regime adapter .* fortune,"),
        (lambda a, h: h["settings"].update(width=8), "`embed.weight_1` must have shape"),
        (lambda a, h: a.pop("input.bias"), "`input.bias` must be among"),
        (lambda a, h: a.update(more=np.zeros(1, np.float32)), "`more` must not be among"),
        (lambda a, h: a.update({"output.bias": a["output.bias"].astype(np.float64)}), "must hold float32"),
        (lambda a, h: a.update({"output.bias": a["output.bias"] * np.float32("nan")}), "must be finite"),
    ],
)
def test_a_changed_policy_is_refused_with_the_reason(saved, change, message):
    _edit(saved, change)
    with pytest.raises(DataError, match=message):
        load_policy(saved)


def test_files_of_other_kinds_are_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"x": np.zeros(3, np.float32)}, path)
    with pytest.raises(DataError, match="no readable `flowhft` header"):
        load_policy(path)
    path.write_text("not a policy at all")
    with pytest.raises(DataError, match="whole safetensors file"):
        load_policy(path)
