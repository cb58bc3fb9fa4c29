"""Fold a flow policy's network: whatever depends on flow time and step size only is worked out once.

The network (adaptive layer norm; x is a chunk of scaled half-spreads, t the flow time, d the step size):

    e = (sin 2 pi t/p, cos 2 pi t/p) for p in `PERIODS`, then the same of d
    c = silu(embed.weight_2 silu(embed.weight_1 e + embed.bias_1) + embed.bias_2)
    h = input.weight_x x + input.weight_features features + input.bias
    for every block: (shift, scale, gate) = modulation_weight c + modulation_bias
        h = h + gate (weight_2 silu(weight_1 (norm(h) (1 + scale) + shift) + bias_1) + bias_2)
    (shift, scale) = output.modulation_weight c + output.modulation_bias
    velocity = output.weight (norm(h) (1 + scale) + shift) + output.bias

A sampler asks at few (t, d), all known beforehand: see `flowhft.policies.plan`. There the shift goes into the
bias behind it (bias_1 + weight_1 shift), and of every modulation four vectors of `width` stay. Matrices are
*not* multiplied by scale and gate: a second copy of them per evaluation would fall out of the processor's
cache and cost more than the two vector products that it saves.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from flowhft.desk.compiled.flow import FLOW, NO_REGIME, Flow
from flowhft.desk.compiled.network import Network
from flowhft.desk.compiled.policy import Frozen, assemble
from flowhft.errors import UsageError, require
from flowhft.features import KINDS as FEATURE_KINDS
from flowhft.features import Sensor
from flowhft.policies.adapter import IDENTITY, Adapter
from flowhft.policies.flow import weight_shapes
from flowhft.policies.plain import embedding, silu
from flowhft.policies.plan import Plan
from flowhft.policies.regime_adapter import RegimeAdapter

Weights = Mapping[str, np.ndarray]


def _check(weights: Weights, feature: int) -> None:
    axes = {"input.weight_x": 2, "block.weight_1": 3}  # these tell the lengths of all axes
    for name, axis in axes.items():
        if name not in weights or np.ndim(weights[name]) != axis:
            shape = np.shape(weights[name]) if name in weights else "nothing"
            raise UsageError(f"`{name}` must be an array of {axis} axes; received {shape}.")
    width, sample = weights["input.weight_x"].shape
    block = weights["block.weight_1"].shape[0]
    for name, shape in weight_shapes(feature, sample, width, block).items():
        received = weights[name].shape if name in weights else "nothing"
        require(received == shape, name, f"have the shape {shape}", received)


def _fold_at(
    weights: Weights, flow_time: float, step_size: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return `modulation`, `output_scale` and `output_bias` of `Network` for one evaluation."""
    inner = silu(weights["embed.weight_1"] @ embedding(flow_time, step_size) + weights["embed.bias_1"])
    condition = silu(weights["embed.weight_2"] @ inner + weights["embed.bias_2"])
    modulation = []
    for block in range(weights["block.weight_1"].shape[0]):
        raw = weights["block.modulation_weight"][block] @ condition + weights["block.modulation_bias"][block]
        shift, scale, gate = np.split(raw, 3)
        bias_1 = weights["block.bias_1"][block] + weights["block.weight_1"][block] @ shift
        modulation.append(np.stack([1.0 + scale, bias_1, gate, gate * weights["block.bias_2"][block]]))
    shift, scale = np.split(
        weights["output.modulation_weight"] @ condition + weights["output.modulation_bias"], 2
    )
    bias = weights["output.bias"] + weights["output.weight"] @ shift
    return np.reshape(modulation, (-1, 4, len(scale))), 1.0 + scale, bias


def folded(
    weights: Weights,
    feature_mean: Float[np.ndarray, " feature"],
    feature_std: Float[np.ndarray, " feature"],
    action_mean: Float[np.ndarray, " answer"],
    action_scale: Float[np.ndarray, " answer"],
    sensor: Sensor,
    feature_kind: int,
    *,
    plan: Plan,
    noise_scale: float,
    execute: int,
    held: bool = False,
) -> Network:
    """Return network, normaliser and sampler of a flow, folded.

    Args:
        weights: by the names and shapes of `weight_shapes`; float32.
        feature_mean: of the features in training, shape (feature,).
        feature_std: of the features in training, shape (feature,), positive.
        action_mean: of what a step of a chunk holds: the half-spreads of bid and ask, ticks.
        action_scale: likewise, positive: answer = mean + scale x network output.
        sensor: scales of the features.
        feature_kind: `features.PAPER`, `features.CONTEXT` or `features.BOOK`.
        plan: the sampler: where the network is asked, and what is done with its answers.
        noise_scale: standard deviation of the sampler's start; 0 samples without chance.
        execute: steps of a chunk that are quoted before the next is sampled.
        held: whether all chunks of a session start from the same noise.

    Raises:
        UsageError: a name, a number or a shape that cannot be.
    """
    require(len(plan.evaluations) >= 1, "plan", "ask the network at least once", "no evaluation")
    _check(weights, len(feature_mean))
    exact = {name: np.asarray(weight, np.float64) for name, weight in weights.items()}
    modulation, output_scale, output_bias = zip(
        *(_fold_at(exact, asked.flow_time, asked.step_size) for asked in plan.evaluations), strict=True
    )
    return Network(
        sensor=sensor,
        feature_kind=feature_kind,
        start=plan.start,
        begin=plan.begin,
        held=int(held),
        steps=np.array([asked[2:] for asked in plan.evaluations]),
        execute=execute,
        noise_scale=noise_scale,
        feature_mean=feature_mean,
        feature_std=feature_std,
        action_mean=action_mean,
        action_scale=action_scale,
        input_sample=weights["input.weight_x"],
        input_features=weights["input.weight_features"],
        input_bias=weights["input.bias"],
        weight_1=weights["block.weight_1"],
        weight_2=weights["block.weight_2"],
        modulation=np.stack(modulation),
        output_weight=weights["output.weight"],
        output_scale=np.stack(output_scale),
        output_bias=np.stack(output_bias),
    )


def fold(
    weights: Weights,
    feature_mean: Float[np.ndarray, " feature"],
    feature_std: Float[np.ndarray, " feature"],
    action_mean: Float[np.ndarray, "2"],
    action_scale: Float[np.ndarray, "2"],
    sensor: Sensor,
    feature_kind: str,
    *,
    adapter: Adapter = IDENTITY,
    regime: RegimeAdapter = NO_REGIME,
    **sampler: Any,
) -> Frozen:
    """Freeze a flow policy: its network, normaliser and sampler.

    Args:
        weights: by the names and shapes of `weight_shapes`; float32.
        feature_mean: see `folded`, and so are the others that are not named here.
        feature_std: of the features in training.
        action_mean: ticks, of the half-spread of bid and ask.
        action_scale: ticks.
        sensor: scales of the features.
        feature_kind: "paper" or "context".
        adapter: what is done to every quote last.
        regime: what works out another adapter before it, step by step.
        **sampler: plan, noise_scale, execute, held.

    Raises:
        UsageError: a name, a number or a shape that cannot be.
    """
    require(
        feature_kind in FEATURE_KINDS, "feature_kind", f"be one of {', '.join(FEATURE_KINDS)}", feature_kind
    )
    scales = (feature_mean, feature_std, action_mean, action_scale)
    network = folded(weights, *scales, sensor, FEATURE_KINDS[feature_kind], **sampler)
    return assemble(FLOW, Flow(network, regime), adapter)
