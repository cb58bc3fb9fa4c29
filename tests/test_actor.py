"""Agents at the desk: what is compiled quotes as plain numpy and as the lab, whatever the network's shape."""

import itertools
import json
import math
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from program import flowhft

from flowhft.desk.compiled import begin, desk_of, freeze_actor, load_frozen, quote
from flowhft.desk.compiled.actor import ACTOR
from flowhft.desk.compiled.export import inputs_of, largest_difference, onnx_model, save_onnx
from flowhft.desk.compiled.vectors import tanh
from flowhft.errors import FlowhftError, UsageError
from flowhft.features import IN_TICKS, REGIME, STATE, Units
from flowhft.policies.actor import (
    Actor,
    Scales,
    encode,
    first_spread,
    forward,
    quote_of,
    scaled,
)
from flowhft.policies.adapter import IDENTITY, Adapter, adapt_quote
from flowhft.policies.file import save_policy
from flowhft.rl.agents import agent_policy
from flowhft.simulate.quoting.agent import Agent
from flowhft.types import Observation

LAYERS = {"linear": (), "one": (7,), "two": (64, 64), "odd": (33, 5, 96), "wide": (130, 2)}


def scales_of(feature, random):
    return Scales(
        mean=random.normal(size=feature) * 0.2,
        std=random.uniform(0.5, 2.0, feature),
        centre=np.array([1.2, 0.9]),
        scale=np.array([0.5, 0.4]),
        low=np.array([-1.5, -1.2]),
        high=np.array([1.4, 1.6]),
    )


def agent_of(name, told, seed=0, actions=2):
    random = np.random.default_rng(seed)
    units = Units(0.7, 2.0, 3.0, 4.0, random.normal(size=len(REGIME))) if told else IN_TICKS
    sizes = (len(STATE) + len(units.regime), *LAYERS[name], actions)
    weights = [random.normal(size=shape) / shape[0] ** 0.5 for shape in itertools.pairwise(sizes)]
    actor = Actor(
        tuple(weights), tuple(0.3 * random.normal(size=size) for size in sizes[1:]), np.zeros(actions)
    )
    return jax.tree.map(np.float32, (actor, scales_of(sizes[0], random), units))


def observations(count=30, seed=1):
    random = np.random.default_rng(seed)
    return [
        Observation(
            *map(float, (0.1 * i, 3.0 - 0.1 * i, *random.normal(size=3) * 2.0, *random.uniform(0, 3, 6)))
        )
        for i in range(count)
    ]


def plain_quotes(actor, scales, units, seen, adapter=IDENTITY):
    spread, quoted = first_spread(scales, units), []
    for observation in seen:
        features = scaled(scales.mean, scales.std, encode(units, observation, spread))
        own = quote_of(scales, units, forward(actor.weights, actor.biases, features))
        spread = own.half_spread_bid + own.half_spread_ask
        quoted.append(adapt_quote(adapter, own, observation)[:2])
    return np.array(quoted)


def desk_quotes(frozen, seen):
    memory = begin(frozen, 0)
    return np.array([quote(frozen, memory, observation)[:2] for observation in seen])


@pytest.mark.parametrize("told", [False, True])
@pytest.mark.parametrize("name", LAYERS)
def test_the_desk_quotes_as_plain_numpy_and_as_the_lab(name, told):
    parts, seen = agent_of(name, told), observations()
    expected = plain_quotes(*parts, seen)
    assert np.ptp(expected, axis=0).min() > 0.05  # it does respond to what it sees
    np.testing.assert_allclose(desk_quotes(freeze_actor(*parts), seen), expected, rtol=1e-5)
    agent = Agent(*jax.tree.map(jnp.asarray, parts))
    act, memory, lab = jax.jit(lambda memory, seen: agent.act(memory, seen, None)), agent.init(), []
    for observation in seen:
        own, memory = act(memory, jax.tree.map(jnp.float32, observation))
        lab.append(own[:2])
    np.testing.assert_allclose(desk_quotes(freeze_actor(*parts), seen), np.array(lab), rtol=1e-5)


def test_it_remembers_its_own_spread_not_the_adapted_one():
    parts, seen = agent_of("two", True), observations()
    adapter = Adapter(1.3, 0.2, -0.1, 0.05, -0.02)
    expected = plain_quotes(*parts, seen, adapter)
    np.testing.assert_allclose(desk_quotes(freeze_actor(*parts, adapter), seen), expected, rtol=1e-5)
    forgetful = [desk_quotes(freeze_actor(*parts, adapter), [observation])[0] for observation in seen]
    assert np.abs(np.array(forgetful) - expected)[1:].max() > 1e-3


def test_features_and_actions_are_clipped():
    actor, scales, units = agent_of("two", False)
    far = [seen._replace(cash=1e6 * seen.cash, inventory=50.0 * seen.inventory) for seen in observations()]
    loud = actor._replace(weights=tuple(4.0 * weight for weight in actor.weights))
    expected = plain_quotes(loud, scales, units, far)
    np.testing.assert_allclose(desk_quotes(freeze_actor(loud, scales, units), far), expected, rtol=1e-5)
    edges = (expected / units.half_spread - scales.centre) / scales.scale
    np.testing.assert_allclose(edges.min(axis=0), scales.low, rtol=1e-5)
    np.testing.assert_allclose(edges.max(axis=0), scales.high, rtol=1e-5)


def test_tanh_is_that_of_numpy():
    x = np.linspace(-60.0, 60.0, 20001).astype(np.float32)
    received = np.concatenate([x, [np.nan, np.inf, -np.inf]]).astype(np.float32)
    tanh(received, 0, x.size + 1)
    np.testing.assert_allclose(received[:-3], np.tanh(x.astype(np.float64)), atol=3e-7)
    assert np.isnan(received[-3])


def test_a_file_gives_back_the_agent_bit_for_bit(tmp_path):
    seen = observations()
    for number, name in enumerate(LAYERS):
        actor, scales, units = agent_of(name, bool(number % 2))
        last = Adapter(1.1, 0.1, 0.2, 0.0, 0.0)
        frozen = freeze_actor(actor, scales, units, last)
        save_policy(tmp_path / "agent.safetensors", told_agent(actor, scales, units, last))
        loaded = load_frozen(tmp_path / "agent.safetensors")
        assert (loaded.kind, loaded.adapter) == (ACTOR, frozen.adapter)
        for mine, theirs in zip(loaded.packed, frozen.packed, strict=True):
            np.testing.assert_array_equal(mine, theirs)
        np.testing.assert_array_equal(desk_quotes(loaded, seen), desk_quotes(frozen, seen))
    assert desk_of(frozen).decide == desk_of(loaded).decide
    assert len(ACTOR.decide.compiled.signatures) == 1


def told_agent(actor, scales, units, adapter=IDENTITY):
    """Return an agent as a policy that was told its market already."""
    policy = agent_policy("regime" if len(units.regime) else "state", actor, scales)
    return replace(policy, core=replace(policy.core, units=units), adapter=adapter)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a, s, u: (a._replace(biases=a.biases[:1]), s, u), "`biases` must be one a layer"),
        (lambda a, s, u: (a._replace(weights=(a.weights[0][1:], *a.weights[1:])), s, u), "row for each of 5"),
        (
            lambda a, s, u: (a._replace(weights=(*a.weights[:2], a.weights[2][:, :1])), s, u),
            "end with 2 actions",
        ),
        (
            lambda a, s, u: (a._replace(weights=(a.weights[0], a.weights[1][1:], a.weights[2])), s, u),
            "`weight.1`",
        ),
        (lambda a, s, u: (a, s._replace(std=0.0 * s.std), u), r"`scales\.std` must be positive"),
        (lambda a, s, u: (a, s._replace(low=s.low[:1]), u), r"`scales\.low` must have the shape"),
        (lambda a, s, u: (a, s, u._replace(half_spread=math.nan)), r"`units\.half_spread` must be positive"),
        (lambda a, s, u: (a, s._replace(mean=math.nan * s.mean), u), r"`scales\.mean` must hold no NaN"),
        (
            lambda a, s, u: (a._replace(biases=tuple(math.nan * b for b in a.biases)), s, u),
            r"biases` must hold no",
        ),
        (lambda a, s, u: (a, s, u._replace(regime=np.zeros(3))), "row for each of 8"),
    ],
)
def test_an_agent_that_cannot_be_is_refused(change, message):
    with pytest.raises(UsageError, match=message):
        freeze_actor(*change(*agent_of("two", False)))


def test_an_output_that_is_no_number_is_an_error():
    actor, scales, units = agent_of("linear", False)
    frozen = freeze_actor(actor, scales._replace(high=np.array([np.inf, np.inf])), units)
    frozen.packed.weights[:] = 3e38
    with pytest.raises(FlowhftError, match="must quote finite half-spreads"):
        quote(frozen, begin(frozen, 0), observations(1)[0]._replace(time=50.0, cash=50.0))


@pytest.mark.parametrize(("told", "actions"), [(False, 2), (True, 2), (False, 4)])
def test_an_onnx_model_quotes_like_the_agent(told, actions, tmp_path):
    pytest.importorskip("onnxruntime", reason="needs the extra export")
    parts = agent_of("two", told, actions=actions)
    frozen = freeze_actor(*parts, Adapter(1.2, 0.1, -0.2, 0.05, 0.01))
    save_onnx(frozen, tmp_path / "agent.onnx")
    assert set(inputs_of(frozen)) == {"features", "inventory", "time_left"}
    assert largest_difference(frozen, tmp_path / "agent.onnx") < 5e-6
    other = freeze_actor(*parts, Adapter(1.2, 0.11, -0.2, 0.05, 0.01))
    assert largest_difference(other, tmp_path / "agent.onnx") > 5e-3
    said = {entry.key: entry.value for entry in onnx_model(frozen).metadata_props}
    assert json.loads(said["features"]) == [*STATE, *(REGIME if told else ())]


def test_the_commands_take_agents(tmp_path):
    save_policy(tmp_path / "agent.safetensors", told_agent(*agent_of("odd", False)))
    (row,) = flowhft("bench", "latency", tmp_path / "agent.safetensors", "--calls", 100, "--json").json[
        "rows"
    ]
    assert (row["width"], row["evaluations"], row["ratio"]) == (96, 1, None)
    assert 0.0 < row["p50_us"] <= row["max_us"]
    pytest.importorskip("onnxruntime", reason="needs the extra export")
    said = flowhft("export", tmp_path / "agent.safetensors", "--out", tmp_path / "agent.onnx", "--json").json
    assert said["inputs"] == ["features"]
    assert said["largest_difference_ticks"] < 5e-6
