"""Frozen policies: what the desk quotes is what the lab's definition says, whatever is folded or compiled."""

import json
import math
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from folded_files import save_folded
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit
from safetensors.numpy import load_file, save_file

from flowhft import features
from flowhft.desk.compiled import (
    Desk,
    Memory,
    begin,
    compiled,
    desk_of,
    fold,
    freeze_expert,
    load_frozen,
    packing,
    quote,
    vectors,
    weight_shapes,
)
from flowhft.desk.compiled.flow import FLOW
from flowhft.desk.compiled.freeze import freeze
from flowhft.desk.compiled.policy import assemble
from flowhft.errors import DataError, FlowhftError, UsageError
from flowhft.flow.network import network_from
from flowhft.flow.normaliser import Normaliser
from flowhft.flow.policy import FlowPolicy, as_data
from flowhft.policies import adapter as adapters
from flowhft.policies import plain
from flowhft.policies import rules as experts
from flowhft.policies.adapter import IDENTITY, Adapter
from flowhft.policies.file import save_policy
from flowhft.policies.names import find_policy
from flowhft.policies.plan import Evaluation, Plan, euler, heun, long_steps
from flowhft.policies.policy import Policy
from flowhft.policies.regime_adapter import SEES, RegimeAdapter, adapter_at
from flowhft.policies.regime_adapter import shapes_of as regime_shapes
from flowhft.policies.rule import Rule
from flowhft.policies.settings import NetworkSettings, SamplerSettings
from flowhft.simulate.quoting.lab import in_lab
from flowhft.simulate.quoting.regime_adapted import RegimeAdapted
from flowhft.types import SCALARS, Estimates, Observation, Quote

SENSOR = features.Sensor(2.0, 5.0, 1.0, 0.7, 3.0, 0.2, 0.05)
ESTIMATES = Estimates(volatility=1.5, drift=0.3, intensity=4.0, fill_decay=1.5, horizon=1.0)
FEATURES = {kind: len(features.NAMES[kind]) for kind in features.KINDS}
HORIZON, WIDTH, BLOCKS = 4, 24, 2
ACTION_MEAN, ACTION_SCALE = np.array([1.0, 1.4]), np.array([0.5, 0.3])
FLOW_MATCHING = {"plan": euler(1), "noise_scale": 0.0, "execute": 1}


def weights_of(kind, seed=0, loud=1.0):
    """Weights at which no part of the network is negligible: modulations of order one, not adaLN's zeros."""
    random = np.random.default_rng(seed)
    shapes = weight_shapes(FEATURES[kind], 2 * HORIZON, WIDTH, BLOCKS)
    scale = {name: loud * (0.5 if "bias" in name else shape[-1] ** -0.5) for name, shape in shapes.items()}
    return {
        name: (random.normal(size=shape) * scale[name]).astype(np.float32) for name, shape in shapes.items()
    }


def scaling_of(kind, seed=1):
    random = np.random.default_rng(seed)
    return random.normal(size=FEATURES[kind]) * 0.2, random.uniform(0.3, 1.5, FEATURES[kind])


def flow(kind="context", weights=None, adapter=IDENTITY, **sampler):
    return fold(
        weights_of(kind) if weights is None else weights,
        *scaling_of(kind),
        ACTION_MEAN,
        ACTION_SCALE,
        SENSOR,
        kind,
        adapter=adapter,
        **(FLOW_MATCHING | sampler),
    )


def observations(count=12, seed=2):
    random = np.random.default_rng(seed)
    time = np.cumsum(random.uniform(0.005, 0.03, count))
    return [
        Observation(
            time=float(time[i]),
            time_left=float(1.0 - time[i]),
            mid_price=float(random.normal()),
            inventory=float(random.integers(-4, 5)),
            cash=float(random.normal() * 5.0),
            arrivals_bid=float(random.poisson(0.3)),
            arrivals_ask=float(random.poisson(0.3)),
            intensity_bid=float(random.uniform(1.0, 9.0)),
            intensity_ask=float(random.uniform(1.0, 9.0)),
            filled_bid=float(random.poisson(0.2)),
            filled_ask=float(random.poisson(0.2)),
        )
        for i in range(count)
    ]


def repacked(frozen):
    """The policy as it is after its arrays were changed."""
    return assemble(*frozen[:3])


def quotes_of(frozen, seen, seed=0):
    memory = begin(frozen, seed)
    return np.array([quote(frozen, memory, observation)[:2] for observation in seen])


class SplitMix:
    """SplitMix64 in Python's unbounded integers."""

    def __init__(self, seed):
        self.state = seed % 2**64

    def bits(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) % 2**64
        mixed = self.state
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) % 2**64
        return mixed ^ (mixed >> 31)

    def uniform(self):
        return (self.bits() >> 11) / 2**53

    def normal(self, count):
        numbers = []
        for _ in range(count // 2):
            radius, angle = math.sqrt(-2.0 * math.log(1.0 - self.uniform())), 2.0 * math.pi * self.uniform()
            numbers += [radius * math.cos(angle), radius * math.sin(angle)]
        return np.array(numbers)


def plain_quotes(kind, weights, seen, sampler, seed=0):
    """The whole policy in plain Python: unfolded float64 weights, Python features, explicit memory."""
    exact = {name: weight.astype(np.float64) for name, weight in weights.items()}
    chance = SplitMix(seed)
    remembered, chunk, cursor, quoted = features.remember_nothing(SENSOR), None, sampler["execute"], []
    begin, noise, scaled = sampler["plan"].begin, None, np.zeros((HORIZON, 2))
    for observation in seen:
        remembered = features.sense(SENSOR, remembered, observation)
        if cursor == sampler["execute"]:
            raw = np.array(features.FUNCTIONS[kind](SENSOR, remembered, observation))
            if noise is None or not sampler.get("held", False):
                noise = chance.normal(2 * HORIZON) if sampler["noise_scale"] > 0.0 else np.zeros(2 * HORIZON)
            later = np.minimum(np.arange(HORIZON) + sampler["execute"], HORIZON - 1)
            known = scaled[later] if chunk is not None else scaled
            scaled = plain.sample(
                exact,
                plain.standardise(raw, *scaling_of(kind)).astype(np.float64),
                (1.0 - begin) * sampler["noise_scale"] * noise + begin * known.ravel(),
                sampler["plan"],
            )
            chunk, cursor = ACTION_MEAN + ACTION_SCALE * scaled, 0
        quoted.append(chunk[cursor])
        remembered = features.note_quote(remembered, Quote(*chunk[cursor]))
        cursor += 1
    return np.array(quoted)


FIRST, SECOND = Evaluation(0.0, 1.0, 1.0, 0.0, 0.1, 0.9), Evaluation(0.9, 0.1, 0.0, 1.0, 0.0, 0.0)
TWO_LOOKS = Plan(0.0, 0.0, (FIRST, SECOND))
SAMPLERS = {
    name: {"plan": plan, "noise_scale": noise_scale, "execute": execute, "held": "held" in name}
    for name, plan, noise_scale, execute in [
        ("euler", euler(1), 0.0, 1),
        ("one long step", long_steps(1), 0.0, 1),
        ("heun", heun(1), 0.0, 1),
        ("two long steps", long_steps(2), 0.0, 3),
        ("three of heun", heun(3), 0.0, 2),
        ("four long steps, noisy", long_steps(4), 1.0, 1),
        ("five of heun, noisy", heun(5), 0.4, 4),
        ("two looks", TWO_LOOKS, 0.0, 1),
        ("two looks, noisy", TWO_LOOKS, 1.0, 2),
        ("two of euler, held noise", euler(2), 1.0, 1),
        ("warm", long_steps(2, 0.5), 0.0, 3),
        ("warm and noisy", heun(1, 0.25), 0.7, 1),
        ("warm, held noise", euler(2, 0.6), 0.7, 2),
    ]
}


@pytest.mark.parametrize("kind", FEATURES)
@pytest.mark.parametrize("name", SAMPLERS)
def test_the_frozen_policy_is_the_plain_one(kind, name):
    sampler = SAMPLERS[name]
    weights, seen = weights_of(kind), observations()
    expected = plain_quotes(kind, weights, seen, sampler, seed=7)
    received = quotes_of(flow(kind, weights, **sampler), seen, seed=7)
    np.testing.assert_allclose((received - expected) / ACTION_SCALE, 0.0, atol=1e-5)
    assert np.ptp(expected, axis=0).min() > 0.05  # the policy does respond to what it sees


@pytest.mark.parametrize("kind", FEATURES)
def test_saturated_units_clipped_features_and_clipped_samples_agree(kind):
    seen = [seen._replace(inventory=20.0 * seen.inventory) for seen in observations()]
    edges = []
    for seed in range(3):
        weights = weights_of(kind, seed, loud=12.0)
        expected = plain_quotes(kind, weights, seen, FLOW_MATCHING)
        np.testing.assert_allclose(quotes_of(flow(kind, weights), seen), expected, atol=1e-4)
        edges.append((expected - ACTION_MEAN) / ACTION_SCALE)
    assert np.min(edges) == pytest.approx(-plain.REACH)
    assert np.max(edges) == pytest.approx(plain.REACH)


def test_plain_and_frozen_agree_with_the_definition_in_jax():
    weights = weights_of("context", seed=3)
    w = {name: jnp.asarray(weight) for name, weight in weights.items()}
    z = np.random.default_rng(4).normal(size=FEATURES["context"]).astype(np.float32)

    def normed(h):
        return (h - h.mean()) * jax.lax.rsqrt(h.var() + 1e-6)

    def velocity(x, flow_time, step_size):
        angles = [2 * jnp.pi * number / p for number in (flow_time, step_size) for p in (0.5, 1, 2, 4)]
        e = jnp.array([f(angle) for angle in angles for f in (jnp.sin, jnp.cos)])
        c = jax.nn.silu(w["embed.weight_1"] @ e + w["embed.bias_1"])
        c = jax.nn.silu(w["embed.weight_2"] @ c + w["embed.bias_2"])
        h = w["input.weight_x"] @ x + w["input.weight_features"] @ z + w["input.bias"]
        for b in range(BLOCKS):
            modulation = w["block.modulation_weight"][b] @ c + w["block.modulation_bias"][b]
            shift, scale, gate = jnp.split(modulation, 3)
            inner = w["block.weight_1"][b] @ (normed(h) * (1 + scale) + shift) + w["block.bias_1"][b]
            h = h + gate * (w["block.weight_2"][b] @ jax.nn.silu(inner) + w["block.bias_2"][b])
        shift, scale = jnp.split(w["output.modulation_weight"] @ c + w["output.modulation_bias"], 2)
        return w["output.weight"] @ (normed(h) * (1 + scale) + shift) + w["output.bias"]

    with jax.default_matmul_precision("highest"):
        x = jnp.linspace(-1.0, 1.0, 2 * HORIZON)
        for flow_time, step_size in [(0.0, 1.0), (0.3, 0.2), (1.0, 0.0)]:
            mine = plain.velocity(weights, np.asarray(x), z, flow_time, step_size)
            np.testing.assert_allclose(mine, velocity(x, flow_time, step_size), atol=1e-5)
        seen = observations(1)[0]
        raw = features.context_features(
            SENSOR, features.sense(SENSOR, features.remember_nothing(SENSOR), seen), seen
        )
        z = plain.standardise(np.array(raw), *scaling_of("context"))
        half = velocity(jnp.zeros(2 * HORIZON), 0.0, 0.5) / 2
        whole = np.clip(half + velocity(half, 0.5, 0.5) / 2, -5, 5).reshape(HORIZON, 2)
    received = quotes_of(flow(weights=weights, plan=long_steps(2)), [seen])[0]
    np.testing.assert_allclose((received - ACTION_MEAN) / ACTION_SCALE, whole[0], atol=1e-5)


def lab_policy(kind, sampler):
    scaling = (*scaling_of(kind), ACTION_MEAN, ACTION_SCALE)
    return FlowPolicy(
        network=network_from(weights_of(kind), finest=8),
        normaliser=Normaliser(*(jnp.asarray(values, jnp.float32) for values in scaling)),
        sensor=SENSOR,
        settings=NetworkSettings(kind, horizon=HORIZON, width=WIDTH, blocks=BLOCKS, finest=8),
        sampler=sampler,
        objective="flow_matching",
    )


@pytest.mark.parametrize("kind", FEATURES)
@pytest.mark.parametrize(
    "sampler", [SamplerSettings(steps=1), SamplerSettings(steps=2, solver="heun", execute=2, warm_start=0.4)]
)
def test_a_policy_of_the_lab_quotes_the_same_when_frozen(kind, sampler):
    policy = lab_policy(kind, sampler)
    act = jax.jit(lambda memory, observation: policy.act(memory, observation, jax.random.key(0)))
    memory, expected, seen = policy.init(), [], observations()
    for observation in seen:
        own, memory = act(memory, jax.tree.map(jnp.float32, observation))
        expected.append(own[:2])
    difference = quotes_of(freeze(as_data(policy)), seen) - np.array(expected)
    np.testing.assert_allclose(difference / ACTION_SCALE, 0.0, atol=1e-5)


def regime_of(seed, units):
    random = np.random.default_rng(seed)
    arrays = {
        name: random.normal(size=shape) * (0.8 if "bias" in name else shape[-1] ** -0.5)
        for name, shape in regime_shapes(units).items()
        if shape
    }
    arrays["std"] = random.uniform(0.2, 1.0, FEATURES["context"])
    for column, name in enumerate(features.NAMES["context"]):
        if name not in SEES:
            arrays["weight_1"][:, column] = 0.0
    arrays = {name: array.astype(np.float32) for name, array in arrays.items()}
    return RegimeAdapter(**arrays, half_spread=np.float32(0.7))


@pytest.mark.parametrize("units", [5, 64, 70])
@pytest.mark.parametrize("execute", [1, 3])
def test_a_regime_adapter_acts_at_every_step_as_in_numpy(units, execute, tmp_path):
    regime, seen = regime_of(units, units), observations()
    own = quotes_of(flow(execute=execute), seen)
    remembered, expected, maps = features.remember_nothing(SENSOR), [], []
    for observation, quoted in zip(seen, own, strict=True):
        remembered = features.sense(SENSOR, remembered, observation)
        raw = np.array(features.context_features(SENSOR, remembered, observation), np.float32)
        maps.append(adapter_at(regime, raw))
        expected.append(adapters.adapt_quote(maps[-1], Quote(*quoted), observation)[:2])
    frozen = flow(execute=execute, regime=regime)
    np.testing.assert_allclose(quotes_of(frozen, seen), expected, atol=1e-5)
    assert np.ptp(maps, axis=0)[:4].min() > 0.02  # it does respond to the regime
    save_folded(frozen, tmp_path / "policy.safetensors")
    loaded = load_frozen(tmp_path / "policy.safetensors")
    for mine, theirs in zip(loaded.regime, frozen.regime, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    np.testing.assert_array_equal(quotes_of(loaded, seen), quotes_of(frozen, seen))


def test_the_policy_that_senses_its_market_quotes_the_same_when_frozen():
    regime, seen = RegimeAdapter(*map(jnp.asarray, regime_of(1, 8))), observations()
    policy = RegimeAdapted(lab_policy("context", SamplerSettings(steps=1)), regime)
    act = jax.jit(lambda memory, observation: policy.act(memory, observation, jax.random.key(0)))
    memory, expected = policy.init(), []
    for observation in seen:
        own, memory = act(memory, jax.tree.map(jnp.float32, observation))
        expected.append(own[:2])
    received = quotes_of(freeze(as_data(policy.policy, regime)), seen)
    np.testing.assert_allclose(received, expected, atol=1e-5)
    # A map that was fitted to a market comes last.
    behind = Adapter(1.2, 0.1, -0.05, 0.03, -0.02)
    moved = [
        adapters.adapt_quote(behind, Quote(*own), it)[:2] for own, it in zip(expected, seen, strict=True)
    ]
    received = quotes_of(freeze(as_data(policy.policy, regime, behind=behind)), seen)
    np.testing.assert_allclose(received, moved, atol=2e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weight_2": np.zeros((5, 4))}, "`regime.weight_2` must have the shape"),
        ({"weight_1": np.zeros((5, FEATURES["context"]))}, "`regime.weight_1` must see at least one"),
        ({"std": np.zeros(FEATURES["context"])}, "`regime.std` must be positive"),
        ({"half_spread": 0.0}, "`half_spread` must be positive"),
    ],
)
def test_a_regime_adapter_that_cannot_be_is_refused(change, message):
    with pytest.raises(UsageError, match=message):
        flow(regime=regime_of(0, 5)._replace(**change))


def test_a_regime_adapter_needs_a_policy_that_senses_the_regime():
    with pytest.raises(UsageError, match="`regime` must see features of kind"):
        flow("paper", regime=regime_of(0, 5))


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (32, 6), (63, 3), (64, 17), (130, 70)])
def test_products_are_those_of_numpy(rows, columns):
    random = np.random.default_rng(rows)
    matrix = random.normal(size=(rows, columns)).astype(np.float32)
    x, bias = random.normal(size=columns).astype(np.float32), np.zeros(192, np.float32)
    bias[:rows] = random.normal(size=rows)
    out = np.full(200, np.nan, np.float32)
    length = -(-rows // packing.HALF_TILE) * packing.HALF_TILE
    product_of(packing.tiled(matrix), x, bias, out, length)
    exact = matrix.astype(np.float64) @ x + bias[:rows]
    bound = 1e-6 * (np.abs(matrix) @ np.abs(x) + np.abs(bias[:rows]))  # 70 roundings of 6e-8 are the most
    assert (np.abs(out[:rows] - exact) <= 4.0 * bound).all()
    assert (out[rows:length] == 0.0).all()  # padding stays zero
    assert np.isnan(out[length:]).all()  # and nothing is written beyond it


@njit
def product_of(weights, x, bias, out, rows):
    vectors.product(weights, 0, x, 0, x.size, bias, 0, out, 0, rows)


def test_activations_are_exact_to_rounding():
    x = np.linspace(-100.0, 100.0, 20001).astype(np.float32)
    exact = x.astype(np.float64)
    received = np.concatenate([x, [np.nan]]).astype(np.float32)
    vectors.silu(received, 0, received.size)
    # Rounding of the exponent: relative errors grow with -x, where the result vanishes.
    np.testing.assert_allclose(received[:-1], exact / (1.0 + np.exp(-exact)), rtol=5e-7, atol=2e-9)
    assert np.isnan(received[-1])


def without_gate(network):
    network.modulation[:, :, 2] = 1.0


def without_scale(network):
    network.modulation[:, :, 0] = 1.0


def without_shift(network):
    network.modulation[:, :, 1] = weights_of("context")["block.bias_1"]


def with_ungated_bias(network):
    network.modulation[:, :, 3] = weights_of("context")["block.bias_2"]


def with_all_at_flow_time_zero(network):
    network.modulation[:] = network.modulation[:1]


def without_output_scale(network):
    network.output_scale[:] = 1.0


@pytest.mark.parametrize(
    "spoil",
    [
        without_gate,
        without_scale,
        without_shift,
        with_ungated_bias,
        with_all_at_flow_time_zero,
        without_output_scale,
    ],
)
def test_a_wrong_fold_would_be_seen(spoil):
    sampler = FLOW_MATCHING | {"plan": euler(2)}
    frozen, seen = flow(**sampler), observations()
    expected = plain_quotes("context", weights_of("context"), seen, sampler)
    np.testing.assert_allclose(quotes_of(frozen, seen), expected, atol=1e-5)
    spoil(frozen.network)
    assert np.abs(quotes_of(repacked(frozen), seen) - expected).max() > 1e-2


@pytest.mark.parametrize("plan", [euler(1), euler(3), heun(1), heun(3), TWO_LOOKS])
def test_rows_that_are_not_quoted_change_nothing(plan):
    seen = observations(1)[0]
    chunks = []
    for execute in range(1, HORIZON + 1):
        frozen = flow(plan=plan, execute=execute)
        memory = begin(frozen, 0)
        quote(frozen, memory, seen)
        chunks.append(memory.chunk)
    for execute, chunk in enumerate(chunks, start=1):
        np.testing.assert_array_equal(chunk, chunks[-1][:execute])


def test_a_chunk_is_executed_before_the_next_is_sampled():
    frozen, seen = flow(execute=3), observations(5)
    other = [seen[0], *observations(5, seed=9)[1:3], *seen[3:]]
    first, second = quotes_of(frozen, seen), quotes_of(frozen, other)
    np.testing.assert_array_equal(first[:3], second[:3])  # the chunk was fixed by the first observation
    assert np.abs(first[3] - second[3]).min() > 1e-6  # but what was seen meanwhile is remembered


@pytest.mark.parametrize("kind", FEATURES)
def test_compiled_senses_are_the_python_ones(kind):
    frozen = flow(kind)
    memory = begin(frozen, 0)
    remembered = features.remember_nothing(SENSOR)
    for observation in observations(30):
        own = quote(frozen, memory, observation)
        remembered = features.note_quote(features.sense(SENSOR, remembered, observation), own)
        np.testing.assert_allclose(memory.sensed, features.pack(remembered), rtol=1e-12)


bounded = st.floats(-50.0, 50.0)
positive = st.floats(0.01, 50.0)


@pytest.mark.parametrize("name", experts.EXPERTS)
@settings(max_examples=30)
@given(
    observation=st.builds(Observation, positive, positive, *[bounded] * 3, *[positive] * 6, book=st.none()),
    gamma=st.floats(0.01, 2.0),
    seed=st.integers(-(2**63), 2**64),
)
def test_an_expert_quotes_exactly_as_its_own_function(name, observation, gamma, seed):
    expert = experts.get(name)
    coefficients = expert.coefficients(ESTIMATES, gamma)
    frozen = freeze_expert(expert, coefficients)
    memory, chance = begin(frozen, seed), SplitMix(seed)
    for _ in range(2):
        received = quote(frozen, memory, observation)
        noise = (chance.uniform(), chance.uniform())
        np.testing.assert_array_equal(received, expert.quote(coefficients, observation, noise))


def test_the_random_stream_is_splitmix64():
    # The published first outputs for the seed 1234567.
    chance = SplitMix(1234567)
    known = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    assert [chance.bits() for _ in known] == known


def test_noise_has_the_scale_asked_for():
    frozen = flow(noise_scale=1.0)
    for array in frozen.network[-6:]:
        array[:] = 0.0  # no velocity: the sample is its own start
    frozen = repacked(frozen)
    memory = begin(frozen, 11)
    starts = np.array([quote(frozen, memory, observations(1)[0])[:2] for _ in range(4000)])
    starts = (starts - ACTION_MEAN) / ACTION_SCALE
    # Fixed seed; each bound is 4.5 standard errors, a false alarm of about 1e-5 over all seeds.
    np.testing.assert_allclose(starts.mean(axis=0), 0.0, atol=4.5 / math.sqrt(4000))
    np.testing.assert_allclose(starts.var(axis=0), 1.0, atol=4.5 * math.sqrt(2 / 4000))
    assert abs(np.corrcoef(starts.T)[0, 1]) < 4.5 / math.sqrt(4000)


def test_policies_side_by_side_do_not_shift_each_others_numbers():
    expert = experts.get("white_noise")
    frozen, seen = freeze_expert(expert, expert.coefficients(ESTIMATES, 1.0)), observations()
    alone = quotes_of(frozen, seen, seed=5)
    first, second = begin(frozen, 5), begin(frozen, 6)
    together = []
    for observation in seen:
        together.append(quote(frozen, first, observation)[:2])
        assert quote(frozen, second, observation)[:2] != together[-1]
    np.testing.assert_array_equal(together, alone)


@pytest.mark.parametrize("kind", FEATURES)
def test_the_adapter_acts_last_and_is_not_remembered(kind):
    adapter = Adapter(scale=1.3, offset_bid=0.2, offset_ask=-0.1, skew=0.05, slope=-0.02)
    seen = observations()
    own = quotes_of(flow(kind), seen)
    expected = [
        adapters.adapt_quote(adapter, Quote(*row), observation)[:2]
        for row, observation in zip(own, seen, strict=True)
    ]
    np.testing.assert_allclose(quotes_of(flow(kind, adapter=adapter), seen), expected, rtol=1e-14)


@pytest.mark.parametrize("number", [math.nan, math.inf])
@pytest.mark.parametrize("policy", ["paper", "context", "glft", "oracle"])
def test_an_observation_that_is_no_number_is_an_error_of_every_policy(policy, number):
    expert = experts.EXPERTS.get(policy)
    frozen = freeze_expert(expert, expert.coefficients(ESTIMATES, 0.5)) if expert else flow(policy)
    for field in SCALARS:
        seen = observations(1)[0]._replace(**{field: number})
        with pytest.raises(UsageError, match=rf"must be finite numbers; received {field} {number}"):
            quote(frozen, begin(frozen, 0), seen)


def test_a_network_that_gives_no_number_is_an_error():
    frozen = flow()
    frozen.packed.weights[:] = 3e38  # products overflow
    with pytest.raises(FlowhftError, match="policy of kind flow must quote finite half-spreads"):
        quote(frozen, begin(frozen, 0), observations(1)[0])


@pytest.mark.parametrize("name", ["weight_1", "output_bias", "feature_mean", "action_mean"])
def test_nan_among_the_weights_is_refused(name):
    frozen = flow()
    getattr(frozen.network, name)[(0,) * getattr(frozen.network, name).ndim] = math.nan
    with pytest.raises(UsageError, match=f"`{name}` must hold no NaN"):
        repacked(frozen)
    with pytest.raises(UsageError, match=r"`adapter\.skew` must hold no NaN"):
        flow(adapter=Adapter(1.0, 0.0, 0.0, math.nan))


def test_nan_among_an_experts_coefficients_is_refused():
    with pytest.raises(UsageError, match="`slope` must be numbers of glft; received NaN"):
        freeze_expert(experts.get("glft"), (1.0, math.nan, 0.0, 0.0))


def every_policy():
    for name in experts.EXPERTS:
        expert = experts.get(name)
        yield (
            name,
            freeze_expert(expert, expert.coefficients(ESTIMATES, 0.5), Adapter(2, 1, 0, np.float32(0.1))),
        )
    for number, sampler in enumerate(SAMPLERS.values()):
        yield f"flow_{number}", flow("paper" if number % 2 else "context", **sampler)


@compiled
def sum_of_quotes(desk: Desk, memory: Memory, observation: Observation, calls: int) -> float:
    total = 0.0
    for _ in range(calls):
        wanted = quote(desk, memory, observation)
        total += wanted.half_spread_bid - 2.0 * wanted.half_spread_ask
    return total


def test_a_loop_is_compiled_once_for_all_policies_and_every_kind_once(tmp_path):
    seen = observations(1)[0]
    for _, frozen in every_policy():
        for policy in (frozen, pickle.loads(pickle.dumps(frozen))):
            received = sum_of_quotes(desk_of(policy), begin(policy, 2**63 - 1), seen, 2)
            first, second = quotes_of(policy, [seen, seen], 2**63 - 1)
            expected = (first[0] - 2.0 * first[1]) + (second[0] - 2.0 * second[1])
            np.testing.assert_array_equal(received, expected)
        assert len(policy.decide.compiled.signatures) == 1
    assert len(sum_of_quotes.signatures) == 1


def test_only_what_quotes_is_compiled():
    program = """
import sys
from flowhft.desk.compiled import begin, freeze_expert, quote
from flowhft.desk.compiled.flow import FLOW
from flowhft.policies.rules import EXPERTS, glft
from flowhft.types import Observation
frozen = freeze_expert(EXPERTS["glft"], glft.Coefficients(1.0, 0.1, 0.0, 0.0))
quote(frozen, begin(frozen, 0), Observation(*[1.0] * 11))
print(FLOW.decide._compiled is None, frozen.decide._compiled is None)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]


def test_a_fault_within_a_compiled_loop_is_an_error():
    frozen = flow()
    with pytest.raises(FlowhftError, match="finite"):
        sum_of_quotes(desk_of(frozen), begin(frozen, 0), observations(1)[0]._replace(cash=math.nan), 1)


@pytest.mark.parametrize("name", ["glft", "white_noise", "flow"])
def test_whole_numbers_and_arrays_quote_the_same_without_new_compilation(name):
    expert = experts.EXPERTS.get(name)
    frozen = freeze_expert(expert, expert.coefficients(ESTIMATES, 0.5)) if expert else flow()
    seen = Observation(1.0, 2.0, 3.0, -2.0, 5.0, 1.0, 0.0, 4.0, 6.0, 1.0, 0.0)
    expected = quote(frozen, begin(frozen, 3), seen)
    for kind in (int, np.float32, np.int64, lambda value: np.array(value), jnp.float32):
        assert quote(frozen, begin(frozen, 3), Observation(*map(kind, seen.scalars))) == expected
    assert len(frozen.decide.compiled.signatures) == 1


class Toy(NamedTuple):
    base: float
    ladder: np.ndarray
    width: float


def toy_quote(coefficients: Toy, observation: Observation, noise) -> Quote:
    rung = coefficients.ladder[round(abs(observation.inventory)) % coefficients.ladder.size]
    jitter = 1e-3 * noise[0]
    bid = coefficients.base + rung * observation.inventory + jitter * coefficients.width
    ask = math.nan if observation.inventory < -3.0 else coefficients.base - rung
    return Quote(bid, ask, 1.0, 2.0 if observation.inventory > 0.0 else 1.0)


def toy_unpack(numbers) -> Toy:
    return Toy(numbers[0], numbers[1 : numbers.size - 1], numbers[numbers.size - 1])


def toy_coefficients(estimates: Estimates, risk_aversion: float) -> Toy:
    return Toy(estimates.volatility, np.ones(3), risk_aversion)


TOY = experts.Expert("toy", "of a test", toy_coefficients, toy_quote, noisy=True, unpack=toy_unpack)


def test_a_rule_of_one_file_and_one_row_quotes_is_kept_and_needs_no_new_loop(tmp_path, monkeypatch):
    monkeypatch.setitem(experts.EXPERTS, "toy", TOY)
    told = Toy(1.5, np.array([0.3, 0.7, -0.2, 1.1]), 2.0)
    frozen, seen = freeze_expert(TOY, told), observations(40)
    compiled_before = len(sum_of_quotes.signatures)
    path = tmp_path / "toy.safetensors"
    save_policy(path, Policy(Rule(TOY, coefficients=told)))
    for policy in (frozen, load_frozen(path), pickle.loads(pickle.dumps(frozen))):
        memory, chance = begin(policy, 9), SplitMix(9)
        for observation in seen:
            noise = (chance.uniform(), chance.uniform())
            received, expected = quote(policy, memory, observation), toy_quote(told, observation, noise)
            np.testing.assert_allclose(received, expected, rtol=1e-12)
    assert {quote(frozen, memory, one).size_ask for one in seen} == {1.0, 2.0}
    assert any(np.isnan(quote(frozen, memory, one).half_spread_ask) for one in seen)
    flat_rule = freeze_expert(experts.get("glft"), (1.0, 0.2, 0.0, 0.0))
    sum_of_quotes(desk_of(flat_rule), begin(flat_rule, 0), seen[0], 1)
    sum_of_quotes(desk_of(frozen), begin(frozen, 0), seen[0], 1)
    assert len(sum_of_quotes.signatures) == max(compiled_before, 1)


def test_a_file_of_a_rule_that_is_in_no_table_is_refused(tmp_path):
    save_policy(tmp_path / "toy.safetensors", Policy(Rule(TOY, coefficients=Toy(1.0, np.ones(2), 1.0))))
    with pytest.raises(DataError, match="unknown expert 'toy'"):
        load_frozen(tmp_path / "toy.safetensors")


def test_a_rule_must_have_a_name_of_its_own():
    taken = replace(TOY, name="glft")
    with pytest.raises(UsageError, match="`expert` must have a name that no other kind of policy has"):
        freeze_expert(taken, Toy(1.0, np.ones(2), 1.0))
    with pytest.raises(UsageError, match="`expert` must have a name that no other kind of policy has"):
        freeze_expert(replace(TOY, name="flow"), Toy(1.0, np.ones(2), 1.0))


@pytest.mark.parametrize(("name", "frozen"), list(every_policy()))
def test_a_file_gives_back_the_policy_bit_for_bit(name, frozen, tmp_path):
    path = tmp_path / "policy.safetensors"
    save_folded(frozen, path)
    loaded = load_frozen(path)
    assert (loaded.kind, loaded.adapter) == (frozen.kind, frozen.adapter)
    if frozen.kind is FLOW:
        assert loaded.network[:7] == frozen.network[:7]
        pairs = [*zip(loaded.network[7:], frozen.network[7:], strict=True)]
    else:
        pairs = [(loaded.coefficients, frozen.coefficients)]
    for mine, theirs in [*pairs, *zip(loaded.packed, frozen.packed, strict=True)]:
        assert mine.dtype == theirs.dtype
        np.testing.assert_array_equal(mine, theirs)
    np.testing.assert_array_equal(quotes_of(loaded, observations()), quotes_of(frozen, observations()))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "policy.safetensors"
    save_folded(flow(), path)
    return path


@given(share=st.floats(0.0, 1.0, exclude_max=True))
def test_a_truncated_file_is_a_data_error(saved, share):
    content = saved.read_bytes()
    path = saved.with_name("truncated.safetensors")
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(DataError, match="must be a whole safetensors file"):
        load_frozen(path)


def test_a_file_cut_within_its_header_is_a_data_error(saved):
    content = saved.read_bytes()
    path = saved.with_name("cut.safetensors")
    end = 8 + int.from_bytes(content[:8], "little")
    for length in [*range(0, 40), *range(40, end, 37), end - 1, end, end + 1, len(content) - 1]:
        path.write_bytes(content[:length])
        with pytest.raises(DataError):
            load_frozen(path)


@given(position=st.floats(0.0, 1.0, exclude_max=True), byte=st.integers(0, 255))
def test_a_changed_header_byte_is_a_data_error_or_still_a_policy(saved, position, byte):
    content = bytearray(saved.read_bytes())
    end = 8 + int.from_bytes(content[:8], "little")
    content[int(position * end)] = byte
    path = saved.with_name("changed.safetensors")
    path.write_bytes(content)
    try:
        frozen = load_frozen(path)
    except DataError:
        return
    assert quotes_of(frozen, observations(3)).shape == (3, 2)


def rewrite(saved, tmp_path, change):
    """Write the saved policy again with another header (a dict or a text) or other arrays."""
    arrays = load_file(saved)
    content = saved.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["flowhft"])
    header = change(header, arrays) or header
    path = tmp_path / "rewritten.safetensors"
    save_file(arrays, path, {"flowhft": header if isinstance(header, str) else json.dumps(header)})
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda header, arrays: "{", "no readable `flowhft` header"),
        (lambda header, arrays: "[]", "no readable `flowhft` header"),
        (lambda header, arrays: header | {"version": 1}, "must be 2; received 1"),
        (lambda header, arrays: header | {"kind": "ppo"}, "ppo"),
        (lambda header, arrays: header | {"adapter": {"scale": 1.0}}, "adapter|argument"),
        (lambda header, arrays: header | {"network": None}, "fit together"),
        (lambda header, arrays: header["network"].pop("start") is None, "start"),
        (lambda header, arrays: header["network"].update(start=math.nan), "no readable `flowhft` header"),
        (lambda header, arrays: arrays.update(steps=np.zeros((2, 4), np.float32)), "`modulation` must have"),
        (lambda header, arrays: arrays.update(steps=np.zeros((1, 3), np.float32)), "`steps` must have"),
        (lambda header, arrays: header["network"].update(execute=9), "`execute` must lie in 1..4"),
        (lambda header, arrays: header["network"].update(execute=1.5), "integer"),
        (lambda header, arrays: header["network"].update(features="paper"), "`feature_mean` must have"),
        (
            lambda header, arrays: header["network"]["sensor"].update(rate=-1.0),
            "`sensor.rate` must be positive",
        ),
        (lambda header, arrays: arrays.pop("input_bias") is None, "input_bias"),
        (lambda header, arrays: arrays.update(input_bias=np.zeros(WIDTH)), "must be float32"),
        (lambda header, arrays: arrays.update(weight_1=np.zeros((1, 2, 3), np.float32)), "`weight_1`"),
        (lambda header, arrays: arrays.update(weight_1=np.zeros(3, np.float32)), "have 3 axes"),
        (
            lambda header, arrays: arrays.update(feature_std=np.zeros(FEATURES["context"])),
            "be positive everywhere",
        ),
    ],
)
def test_a_file_that_is_not_a_whole_policy_is_a_data_error(saved, tmp_path, change, message):
    with pytest.raises(DataError, match=message):
        load_frozen(rewrite(saved, tmp_path, change))


def test_an_unchanged_rewrite_is_still_a_policy(saved, tmp_path):
    loaded = load_frozen(rewrite(saved, tmp_path, lambda header, arrays: None))
    np.testing.assert_array_equal(quotes_of(loaded, observations()), quotes_of(flow(), observations()))


def test_a_missing_or_foreign_file_is_a_data_error(tmp_path):
    with pytest.raises(DataError, match="there is none"):
        load_frozen(tmp_path / "nothing.safetensors")
    with pytest.raises(DataError):
        load_frozen(tmp_path)
    foreign = tmp_path / "foreign.safetensors"
    save_file({"weights": np.zeros(3, np.float32)}, foreign)
    with pytest.raises(DataError, match="no readable `flowhft` header"):
        load_frozen(foreign)
    foreign.write_text("<html>not found</html>")
    with pytest.raises(DataError, match="safetensors"):
        load_frozen(foreign)


@pytest.mark.parametrize(
    ("sampler", "message"),
    [
        ({"plan": Plan(0.0, 1.0, ())}, "`plan` must ask the network at least once"),
        ({"execute": 0}, "`execute` must lie in 1..4"),
        ({"execute": HORIZON + 1}, "`execute` must lie in 1..4"),
        ({"noise_scale": -1.0}, "`noise_scale` must be 0 or more"),
        ({"noise_scale": math.nan}, "`noise_scale` must be 0 or more"),
    ],
)
def test_a_sampler_that_cannot_be_is_refused(sampler, message):
    with pytest.raises(UsageError, match=message):
        flow(**sampler)


@pytest.mark.parametrize("name", weight_shapes(9, 8, WIDTH, BLOCKS))
def test_weights_that_do_not_fit_are_refused_by_name(name):
    weights = weights_of("context")
    kept = weights.pop(name)
    with pytest.raises(UsageError, match=name):
        flow(weights=weights)
    axes = {"input.weight_x", "block.weight_1"}  # these define the lengths: any shape is one
    with pytest.raises(UsageError, match=r"must have the shape|must be an array" if name in axes else name):
        flow(weights=weights | {name: kept[..., :-1]})


def test_a_rule_that_does_not_say_what_it_takes_is_refused():
    expert = experts.Expert("mine", "", experts.glft.coefficients, lambda *_: Quote(1.0, 1.0))
    with pytest.raises(UsageError, match="`quote` of the expert 'mine' must annotate its first parameter"):
        freeze_expert(expert, (1.0, 2.0, 3.0, 4.0))
    with pytest.raises(UsageError, match="`coefficients` must have the shape"):
        freeze_expert(experts.get("glft"), (1.0,))


INNER = "def inner(x):\n    return x + {}\n"
OUTER = """
from numba import njit
from flowhft.desk.compiled import compiled
from inner import inner
inner = njit(inner)
def outer(x):
    return inner(x)
careful, careless = compiled(outer), njit(cache=True)(outer)
print(int(careful(1.0)), int(careless(1.0)))
"""


def test_the_cache_notices_a_change_in_another_file(tmp_path):
    (tmp_path / "outer.py").write_text(OUTER)
    answers = []
    for added in (10, 20):
        (tmp_path / "inner.py").write_text(INNER.format(added))
        command = [sys.executable, "-B", "-c", "import outer"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        answers.append(done.stdout.split())
    assert answers == [["11", "11"], ["21", "11"]]  # numba's own cache goes on with the old code


def test_the_desk_runs_without_the_lab(saved):
    program = (
        "import sys, flowhft.desk.compiled as f; f.load_frozen(sys.argv[1]); print('jax' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(saved)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"
    assert not list(Path(saved).parent.glob("*.part"))


@pytest.mark.parametrize("name", ["glft", "oracle", "flow"])
def test_a_folded_file_is_still_read(name, tmp_path):
    """It kept coefficients with every policy, and an oracle's table apart from them."""
    expert = experts.EXPERTS.get(name)
    frozen = freeze_expert(expert, expert.coefficients(ESTIMATES, 0.5)) if expert else flow()
    save_folded(frozen, tmp_path / "old.safetensors")
    loaded = load_frozen(tmp_path / "old.safetensors")
    np.testing.assert_array_equal(quotes_of(loaded, observations()), quotes_of(frozen, observations()))


def test_a_folded_file_quotes_at_the_desk_alone(saved):
    with pytest.raises(UsageError, match="`policies` must not be frozen but for a backtest"):
        find_policy(str(saved))
    named = find_policy(str(saved), frozen=True)
    np.testing.assert_array_equal(quotes_of(freeze(named), observations()), quotes_of(flow(), observations()))
    with pytest.raises(UsageError, match="`policies` must not be frozen in the lab"):
        in_lab(named, None)
