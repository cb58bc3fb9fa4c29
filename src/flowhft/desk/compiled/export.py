"""A policy with a network as an ONNX model: scales, network, sampler and what is behind it in one graph.

    features (batch, feature)   as `flowhft.features` works them out, not standardised; of an agent what
                                `flowhft.policies.actor.look` sees
    noise (batch, sample)       standard normal numbers; only where the policy draws
    inventory (batch,)          lots; only where what is behind the policy leans with it
    time_left (batch,)          seconds; only where it leans with the time
 -> half_spreads (batch, 2)     ticks, bid and ask: the quote now; NaN for a side that is not quoted
    chunk (batch, execute, 2)   ticks: the policy's own quotes for this step and the next, before the adapter

Memory stays outside: whoever runs the model senses the market with `flowhft.features`, and draws a new chunk
once the last is executed; an agent's is the spread that it quoted last, before the adapter. Half-spreads
agree with those of the compiled policy to float32.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from flowhft import __version__
from flowhft.desk.compiled.actor import ACTOR
from flowhft.desk.compiled.flow import FLOW, NO_REGIME
from flowhft.desk.compiled.policy import Frozen
from flowhft.desk.compiled.quote import begin, quote
from flowhft.errors import MissingExtraError, UsageError, require
from flowhft.features import KINDS, NAMES
from flowhft.policies.actor import MOST, SIDES
from flowhft.policies.plain import EPSILON, REACH
from flowhft.policies.regime_adapter import FURTHEST, SKEW_UNIT, RegimeAdapter
from flowhft.runs.folder import replacing
from flowhft.types import Observation

OPSET, IR = 17, 8  # of 2022: old runtimes read them too
STEPS = 64  # that `largest_difference` compares


class _Graph:
    """Nodes and constants of a graph that is being written."""

    def __init__(self, helper: Any, numpy_helper: Any) -> None:
        self.helper, self.numpy_helper = helper, numpy_helper
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, value: Any, dtype: type = np.float32) -> str:
        """Keep a constant and return its name."""
        name = f"constant_{len(self.constants)}"
        self.constants.append(self.numpy_helper.from_array(np.asarray(value, dtype, order="C"), name))
        return name

    def __call__(self, operator: str, *inputs: Any, result: str = "", **attributes: Any) -> str:
        """Add a node, with arrays and numbers among its inputs as constants, and return its result's name."""
        names = [value if isinstance(value, str) else self.constant(value) for value in inputs]
        result = result or f"value_{len(self.nodes)}"
        self.nodes.append(self.helper.make_node(operator, names, [result], **attributes))
        return result

    def affine(self, x: str, weight: np.ndarray, bias: Any) -> str:
        """Return weight x + bias, for the weight as (row, column)."""
        return self("Add", self("MatMul", x, np.ascontiguousarray(weight.T)), bias)

    def normed(self, x: str, scale: np.ndarray) -> str:
        """Return the layer norm of x, times a scale."""
        centred = self("Sub", x, self("ReduceMean", x, axes=[-1], keepdims=1))
        variance = self("ReduceMean", self("Mul", centred, centred), axes=[-1], keepdims=1)
        deviation = self("Sqrt", self("Add", variance, EPSILON))
        return self("Mul", self("Div", centred, deviation), scale)

    def soft(self, x: str, furthest: float = 1.0) -> str:
        """Return x / sqrt(1 + (x / furthest)^2)."""
        square = self("Div", self("Mul", x, x), furthest**2)
        return self("Div", x, self("Sqrt", self("Add", square, 1.0)))

    def row(self, x: str, column: int) -> str:
        """Return one number of the last axis, which goes."""
        return self("Gather", x, self.constant(column, np.int64), axis=-1)


def _velocity(g: _Graph, frozen: Frozen, base: str, point: str | None, asked: int) -> str:
    network = frozen.network
    hidden = base
    if point is not None:
        hidden = g("Add", base, g("MatMul", point, np.ascontiguousarray(network.input_sample.T)))
    for block, (scale, bias_1, gate, bias_2) in enumerate(network.modulation[asked]):
        inner = g.affine(g.normed(hidden, scale), network.weight_1[block], bias_1)
        inner = g("Mul", inner, g("Sigmoid", inner))
        inner = g("MatMul", inner, np.ascontiguousarray(network.weight_2[block].T))
        hidden = g("Add", hidden, g("Add", g("Mul", inner, gate), bias_2))
    normed = g.normed(hidden, network.output_scale[asked])
    return g.affine(normed, network.output_weight, network.output_bias[asked])


def _sampled(g: _Graph, frozen: Frozen) -> str:
    """Return the scaled sample, clipped, of shape (batch, sample)."""
    network = frozen.network
    scaled = g("Div", g("Sub", "features", network.feature_mean), network.feature_std)
    scaled = g("Clip", scaled, -REACH, REACH)
    base = g.affine(scaled, network.input_features, network.input_bias)
    zero = network.noise_scale == 0.0
    x = None if zero else g("Mul", "noise", network.noise_scale)
    point = None if x is None or network.start == 0.0 else g("Mul", x, network.start)
    for asked, (keep, share, keep_point, share_point) in enumerate(network.steps):
        velocity = _velocity(g, frozen, base, point, asked)
        moved, point = g("Mul", velocity, share), g("Mul", velocity, share_point)
        if x is not None:
            moved, point = g("Add", g("Mul", x, keep), moved), g("Add", g("Mul", x, keep_point), point)
        x = moved
    return g("Clip", x, -REACH, REACH)


def _chunk(g: _Graph, frozen: Frozen) -> str:
    """Return the half-spreads that a flow policy will quote, ticks, shape (batch, execute, 2)."""
    network = frozen.network
    rows = g("Reshape", _sampled(g, frozen), g.constant((0, -1, 2), np.int64))
    first = g("Slice", rows, *(g.constant([value], np.int64) for value in (0, network.execute, 1)))
    return g("Add", g("Mul", first, network.action_scale), network.action_mean, result="chunk")


def _acted(g: _Graph, frozen: Frozen) -> tuple[str, str | None]:
    """Return what an agent means to quote, ticks, shape (batch, 1, 2), and whether it does, (batch, 2)."""
    actor, scales, units = frozen.parts
    hidden = g("Clip", g("Div", g("Sub", "features", scales.mean), scales.std), -MOST, MOST)
    for number, (weight, bias) in enumerate(zip(actor.weights, actor.biases, strict=True)):
        hidden = g.affine(hidden, weight.T, bias)
        hidden = hidden if number == len(actor.weights) - 1 else g("Tanh", hidden)
    wishes = None
    if frozen.parts.layers[-1] > SIDES:
        parts = (g.constant([value], np.int64) for value in (SIDES, 2 * SIDES, 1))
        wishes = g("Slice", hidden, *parts)
        hidden = g("Slice", hidden, *(g.constant([value], np.int64) for value in (0, SIDES, 1)))
    hidden = g("Min", g("Max", hidden, scales.low), scales.high)
    spreads = g("Add", g("Mul", hidden, scales.scale * units.half_spread), scales.centre * units.half_spread)
    return g("Reshape", spreads, g.constant((-1, 1, 2), np.int64), result="chunk"), wishes


def _regime_of(frozen: Frozen) -> RegimeAdapter:
    return frozen.regime if frozen.kind is FLOW else NO_REGIME


def _behind(g: _Graph, frozen: Frozen) -> tuple[Any, Any, Any, Any]:
    """Return scale, offsets of bid and ask, and skew: numbers, or names of values of shape (batch,)."""
    regime, adapter = _regime_of(frozen), frozen.adapter
    skew: Any = adapter.skew
    if adapter.slope != 0.0:
        skew = g("Add", g("Mul", "time_left", adapter.slope), adapter.skew)
    if regime.bias_1.size == 0:
        return adapter.scale, adapter.offset_bid, adapter.offset_ask, skew
    bias = regime.bias_1 + regime.weight_told @ regime.told
    scaled = g.soft(g("Div", g("Sub", "features", regime.mean), regime.std), FURTHEST)
    hidden = g.soft(g.affine(scaled, regime.weight_1, bias))
    hidden = g.soft(g.affine(hidden, regime.weight_2, regime.bias_2))
    output = g.affine(hidden, regime.weight_3, regime.bias_3)
    width, lean = g.row(output, 0), g.row(output, 1)
    unit = adapter.scale * regime.half_spread  # `adapter` comes after the regime's map
    bid = g("Add", g("Mul", g("Sub", width, lean), unit), adapter.offset_bid)
    ask = g("Add", g("Mul", g("Add", width, lean), unit), adapter.offset_ask)
    scale = g("Mul", g("Add", g.row(output, 3), 1.0), adapter.scale)
    return scale, bid, ask, g("Add", g("Mul", g.row(output, 2), unit * SKEW_UNIT), skew)


def inputs_of(frozen: Frozen) -> dict[str, tuple[Any, ...]]:
    """Return the name and shape of every input of a policy's model; the first axis is the batch."""
    adapter, flow = frozen.adapter, frozen.kind is FLOW
    senses = _regime_of(frozen).bias_1.size > 0
    seen = frozen.network.feature_mean.size if flow else frozen.parts.layers[0]
    shapes: dict[str, tuple[Any, ...]] = {"features": ("batch", seen)}
    if flow and frozen.network.noise_scale > 0.0:
        shapes["noise"] = ("batch", frozen.network.output_weight.shape[0])
    if senses or adapter.skew != 0.0 or adapter.slope != 0.0:
        shapes["inventory"] = ("batch",)
    if adapter.slope != 0.0:
        shapes["time_left"] = ("batch",)
    return shapes


def unit_of(frozen: Frozen) -> float:
    """Return the half-spread, ticks, that a policy's network counts in: what errors are measured against."""
    if frozen.kind is FLOW:
        return float(frozen.network.action_scale.max())
    return float(np.max(np.abs(frozen.parts.scales.scale)) * frozen.parts.units.half_spread)


def onnx_model(frozen: Frozen) -> Any:
    """Return a flow policy or an agent as an ONNX model, checked.

    Args:
        frozen: the policy.

    Raises:
        UsageError: a policy without a network, or one with a warm start, which needs the chunk before.
        MissingExtraError: onnx is not installed.
    """
    try:
        import onnx
        from onnx import TensorProto, helper, numpy_helper
    except ImportError:
        raise MissingExtraError("onnx", "export") from None
    if frozen.kind not in (FLOW, ACTOR):
        raise UsageError(
            "`policy` must be a flow policy or an agent to be exported; received an expert: it is arithmetic."
        )
    if frozen.kind is FLOW:
        begin, fix = frozen.network.begin, "Export it with another sampler."
        require(begin == 0.0, "warm_start", "be 0 in an exported policy", begin, fix)
    execute = frozen.network.execute if frozen.kind is FLOW else 1
    g, shapes = _Graph(helper, numpy_helper), inputs_of(frozen)
    chunk, wishes = (_chunk(g, frozen), None) if frozen.kind is FLOW else _acted(g, frozen)
    own = g("Gather", chunk, g.constant(0, np.int64), axis=1)
    scale, offset_bid, offset_ask, skew = _behind(g, frozen)
    lean = g("Mul", "inventory", skew) if "inventory" in shapes else 0.0
    sides = []
    for index, (offset, sign) in enumerate(((offset_bid, "Add"), (offset_ask, "Sub"))):
        moved = g("Add", g("Mul", g.row(own, index), scale), offset)
        sides.append(g("Unsqueeze", g(sign, moved, lean), g.constant([1], np.int64)))
    if wishes is None:
        g("Concat", *sides, result="half_spreads", axis=1)
    else:
        g("Where", g("Less", wishes, 0.0), np.nan, g("Concat", *sides, axis=1), result="half_spreads")

    def described(name: str, shape: tuple[Any, ...]) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    graph = helper.make_graph(
        g.nodes,
        "flowhft policy",
        [described(name, shape) for name, shape in shapes.items()],
        [described("half_spreads", ("batch", 2)), described("chunk", ("batch", execute, 2))],
        g.constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)
    model.producer_name, model.producer_version = "flowhft", __version__
    helper.set_model_props(model, _about(frozen))
    onnx.checker.check_model(model, full_check=True)
    return model


def _about(frozen: Frozen) -> dict[str, str]:
    """Return what whoever runs the model must know."""
    if frozen.kind is ACTOR:
        units = frozen.parts.units
        kind = "regime" if units.regime.size else "state"
        return {
            "features": json.dumps(NAMES[kind]),
            "feature_kind": kind,
            "feature_units": json.dumps({name: float(getattr(units, name)) for name in units._fields[:4]}),
            "units": json.dumps({"half_spreads": "ticks", "inventory": "lots", "time_left": "seconds"}),
            "evaluations": "1",
            "execute": "1",
        }
    network = frozen.network
    kind = next(name for name, number in KINDS.items() if number == network.feature_kind)
    return {
        "features": json.dumps(NAMES[kind]),
        "feature_kind": kind,
        "sensor": json.dumps(network.sensor._asdict()),
        "units": json.dumps({"half_spreads": "ticks", "inventory": "lots", "time_left": "seconds"}),
        "evaluations": json.dumps(len(network.steps)),
        "execute": json.dumps(network.execute),
        "noise_scale": json.dumps(network.noise_scale),
    }


def save_onnx(frozen: Frozen, path: Path) -> None:
    """Write a flow policy as an ONNX model, whole or not at all.

    Args:
        frozen: the policy.
        path: of the file, by custom ending in .onnx.

    Raises:
        UsageError: see `onnx_model`.
    """
    content = onnx_model(frozen).SerializeToString()
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def largest_difference(frozen: Frozen, path: Path, seed: int = 0) -> float | None:
    """Return the largest difference between an ONNX model and the compiled policy, ticks.

    Both quote on a random market, on features that the compiled policy sensed.

    Args:
        frozen: the policy from which the model was made.
        path: of the model.
        seed: of the market.

    Returns:
        The largest of `STEPS` steps; None where onnxruntime is not installed.
    """
    try:
        import onnxruntime
    except ImportError:
        return None
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    random, memory, shapes = np.random.default_rng(seed), begin(frozen, seed), inputs_of(frozen)
    pace, move, horizon = _market_of(frozen)
    worst = time = mid = 0.0
    compared = 0
    while compared < STEPS:
        inventory, time_left = float(random.integers(-9, 10)), horizon * random.uniform()
        counts = map(float, random.poisson(0.5, 4))
        seen = Observation(
            time,
            time_left,
            mid,
            inventory,
            0.0,
            next(counts),
            next(counts),
            1.0,
            1.0,
            next(counts),
            next(counts),
        )
        quoted = quote(frozen, memory, seen)
        time += pace
        mid += move * random.normal()
        if memory.cursor[0] > 1:  # a step of a chunk that was drawn before
            continue
        compared += 1
        given = {"features": memory.features, "inventory": [inventory], "time_left": [time_left]}
        if "noise" in shapes:
            given["noise"] = memory.vectors[: shapes["noise"][1]] / frozen.network.noise_scale
        inputs = {
            name: np.asarray(given[name], np.float32).reshape(1, *shape[1:]) for name, shape in shapes.items()
        }
        received = session.run(["half_spreads"], inputs)[0][0]
        expected = np.array(quoted[:2])
        both_pulled = np.isnan(received) & np.isnan(expected)
        apart = np.where(both_pulled, 0.0, np.abs(received - expected))
        worst = float(np.maximum(worst, np.max(apart)))  # NaN stays NaN
    return worst


def _market_of(frozen: Frozen) -> tuple[float, float, float]:
    """Return seconds a step, ticks a move and seconds a session of a market in the units of a policy."""
    if frozen.kind is FLOW:
        sensor = frozen.network.sensor
        pace = 0.1 * sensor.burst
        return pace, sensor.volatility * pace**0.5, sensor.horizon
    units = frozen.parts.units
    return 0.01 * units.time, 0.1 * units.price, units.time
