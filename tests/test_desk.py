"""What the desk offers around a frozen policy: its ONNX model, its peer in C, and how long it takes."""

import json

import numpy as np
import pytest
from folded_files import save_folded
from program import flowhft

from flowhft.desk.compiled import begin, fold, freeze_expert, quote, weight_shapes
from flowhft.desk.compiled.export import inputs_of, largest_difference, onnx_model, save_onnx
from flowhft.desk.compiled.latency import untrained
from flowhft.desk.compiled.peer import LAYOUTS, Peer, compiler
from flowhft.errors import UsageError
from flowhft.features import NAMES, sensor_in_units
from flowhft.policies import plain
from flowhft.policies import rules as experts
from flowhft.policies.adapter import Adapter
from flowhft.policies.plan import Evaluation, Plan, euler, heun
from flowhft.policies.regime_adapter import SEES, RegimeAdapter
from flowhft.policies.regime_adapter import shapes_of as regime_shapes
from flowhft.types import Estimates, Observation

HORIZON, WIDTH, BLOCKS = 4, 24, 2
SENSOR = sensor_in_units(half_spread=0.7, dt=0.01, horizon=1.0)
TWO_LOOKS = Plan(
    0.0, 0.0, (Evaluation(0.0, 1.0, 1.0, 0.0, 0.1, 0.9), Evaluation(0.9, 0.1, 0.3, 0.7, 0.0, 0.0))
)


def policy(kind="context", plan=None, noise_scale=0.0, execute=1, **behind):
    """A flow policy at whose weights no part of the network is negligible."""
    random = np.random.default_rng(0)
    feature = len(NAMES[kind])
    weights = {
        name: (random.normal(size=shape) * (0.5 if "bias" in name else shape[-1] ** -0.5)).astype(np.float32)
        for name, shape in weight_shapes(feature, 2 * HORIZON, WIDTH, BLOCKS).items()
    }
    return fold(
        weights,
        random.normal(size=feature) * 0.2,
        random.uniform(0.3, 1.5, feature),
        np.array([1.0, 1.4]),
        np.array([0.5, 0.3]),
        SENSOR,
        kind,
        plan=plan or euler(1),
        noise_scale=noise_scale,
        execute=execute,
        **behind,
    )


def regime():
    random = np.random.default_rng(3)
    shapes = {name: shape for name, shape in regime_shapes(8).items() if shape}
    arrays = {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    arrays["std"] = np.abs(arrays["std"]) + np.float32(0.3)
    arrays["weight_1"] *= np.array([name in SEES for name in NAMES["context"]], np.float32)
    return RegimeAdapter(**arrays, half_spread=0.7)


EXPORTED = {
    "context": (lambda: policy(), {"features"}),
    "paper, adapted": (
        lambda: policy("paper", adapter=Adapter(1.2, 0.1, -0.2, 0.05)),
        {"features", "inventory"},
    ),
    "noisy, chunks": (lambda: policy(plan=heun(2), noise_scale=0.7, execute=3), {"features", "noise"}),
    "two looks, slope": (
        lambda: policy(plan=TWO_LOOKS, noise_scale=1.0, adapter=Adapter(1.0, 0.0, 0.0, 0.1, -0.3)),
        {"features", "noise", "inventory", "time_left"},
    ),
    "senses its market": (lambda: policy(regime=regime()), {"features", "inventory"}),
    "senses its market, adapted": (
        lambda: policy(regime=regime(), adapter=Adapter(1.2, 0.1, -0.05, 0.03, -0.02)),
        {"features", "inventory", "time_left"},
    ),
}


@pytest.mark.parametrize("name", EXPORTED)
def test_an_onnx_model_quotes_like_the_policy(name, tmp_path):
    pytest.importorskip("onnxruntime", reason="needs the extra export")
    make, inputs = EXPORTED[name]
    frozen = make()
    save_onnx(frozen, tmp_path / "policy.onnx")
    assert set(inputs_of(frozen)) == inputs
    assert largest_difference(frozen, tmp_path / "policy.onnx") < 5e-6  # ticks; half-spreads are of order one
    other = policy(adapter=Adapter(1.0, 0.01, 0.0, 0.0)) if name == "context" else policy()
    if set(inputs_of(other)) == inputs:  # the comparison would see another policy
        assert largest_difference(other, tmp_path / "policy.onnx") > 5e-3


def test_a_quote_that_is_no_number_is_a_difference(tmp_path):
    pytest.importorskip("onnxruntime", reason="needs the extra export")
    broken = policy()
    broken.network.output_bias[:] = np.nan  # too late for the compiled policy, which was packed before
    save_onnx(broken, tmp_path / "policy.onnx")
    assert np.isnan(largest_difference(policy(), tmp_path / "policy.onnx"))


def test_a_model_says_what_its_inputs_mean():
    pytest.importorskip("onnx", reason="needs the extra export")
    model = onnx_model(policy(execute=2))
    said = {
        entry.key: json.loads(entry.value) for entry in model.metadata_props if entry.key != "feature_kind"
    }
    assert tuple(said["features"]) == NAMES["context"]
    assert said["sensor"] == SENSOR._asdict()
    assert said["units"]["half_spreads"] == "ticks"
    assert said["execute"] == 2


def test_what_cannot_be_exported_is_refused():
    pytest.importorskip("onnx", reason="needs the extra export")
    expert = experts.get("glft")
    estimates = Estimates(volatility=1.5, drift=0.3, intensity=4.0, fill_decay=1.5, horizon=1.0)
    with pytest.raises(UsageError, match="`policy` must be a flow policy or an agent"):
        onnx_model(freeze_expert(expert, expert.coefficients(estimates, 0.5)))
    with pytest.raises(UsageError, match="`warm_start` must be 0"):
        onnx_model(policy(plan=euler(1, 0.5)))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_peer_in_c_works_out_the_same_quote(layout):
    if compiler() is None:
        pytest.skip("needs a C compiler")
    frozen = policy(plan=heun(1), execute=2)
    memory = begin(frozen, 0)
    quote(frozen, memory, Observation(0.1, 0.9, 1.0, 2.0, 3.0, 1.0, 0.0, 3.0, 4.0))
    network = frozen.network
    features = plain.standardise(memory.features, network.feature_mean, network.feature_std)
    scaled = Peer(network, layout).sample(features)[:4].reshape(2, 2)
    chunk = network.action_mean + network.action_scale * np.clip(scaled, -plain.REACH, plain.REACH)
    np.testing.assert_allclose(chunk, memory.chunk, atol=1e-5)


def test_an_untrained_policy_has_the_shape_asked_for():
    frozen = untrained(32, 2)
    assert frozen.network.input_bias.size == 32
    assert len(frozen.network.steps) == 2


def test_bench_latency_measures_what_is_named(tmp_path):
    save_folded(policy(plan=euler(3)), tmp_path / "small.safetensors")
    result = flowhft("bench", "latency", tmp_path / "small.safetensors", "--calls", 100, "--json").json
    (row,) = result["rows"]
    assert (row["width"], row["evaluations"]) == (WIDTH, 3)
    assert 0.0 < row["p50_us"] <= row["p99_us"] <= row["p999_us"] <= row["max_us"]
    if result["compiler"]:
        assert row["ratio"] == pytest.approx(row["p50_us"] / min(row["c_rows_us"], row["c_columns_us"]))


def test_export_writes_a_model_and_compares_it(tmp_path):
    pytest.importorskip("onnxruntime", reason="needs the extra export")
    save_folded(policy(), tmp_path / "small.safetensors")
    said = flowhft("export", tmp_path / "small.safetensors", "--out", tmp_path / "small.onnx", "--json").json
    assert said["inputs"] == ["features"]
    assert said["bytes"] == (tmp_path / "small.onnx").stat().st_size
    assert said["largest_difference_ticks"] < 5e-6


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("bench", "latency", "--widths", "0"), "`widths` must be whole numbers from 1 up"),
        (("bench", "latency", "--calls", 1), "`calls` must be at least 100"),
        (("bench", "latency", "glft", "--scenario", "T1.HH"), "`policy` must be a flow policy"),
        (("bench", "latency", "glft", "--scenario", "paper-test"), "`scenario` must name one market"),
        (("export", "glft", "--scenario", "T1.HH"), "`policy` must be a flow policy"),
    ],
)
def test_bad_input_is_said(words, message):
    said = flowhft(*words)
    assert said.code == 2
    assert message in said.err
