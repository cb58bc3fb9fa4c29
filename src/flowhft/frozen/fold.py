"""Fold a flow policy's network: whatever depends on flow time and label only is worked out once.

The network (adaptive layer norm; x is a chunk of scaled half-spreads, t the flow time, l the label):

    e = (sin 2 pi t/p, cos 2 pi t/p) for p in `PERIODS`
    c = silu(embed.weight_2 silu(embed.weight_1 e + embed.bias_1) + embed.bias_2 + embed.label[l])
    h = input.weight_x x + input.weight_features features + input.bias
    for every block: (shift, scale, gate) = modulation_weight c + modulation_bias
        h = h + gate (weight_2 silu(weight_1 (norm(h) (1 + scale) + shift) + bias_1) + bias_2)
    (shift, scale) = output.modulation_weight c + output.modulation_bias
    velocity = output.weight (norm(h) (1 + scale) + shift) + output.bias

A sampler asks at few flow times, all known beforehand. There the shift goes into the bias behind it
(bias_1 + weight_1 shift), and of every modulation four vectors of `width` stay. Matrices are *not* multiplied
by scale and gate: a second copy of them per flow time would fall out of the processor's cache and cost more
than the two vector products that it saves.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from flowhft.adapter import IDENTITY, Adapter
from flowhft.errors import UsageError, require
from flowhft.features import KINDS as FEATURE_KINDS
from flowhft.features import Sensor
from flowhft.frozen.plain import PERIODS, silu
from flowhft.frozen.policy import FLOW, SOLVERS, Frozen, Network, assemble

Weights = Mapping[str, np.ndarray]


def weight_shapes(
    feature: int, sample: int, width: int, block: int, label: int
) -> dict[str, tuple[int, ...]]:
    """Return the name and shape of every weight of a network, by the lengths of its axes."""
    embedding = 2 * len(PERIODS)
    return {
        "embed.weight_1": (width, embedding),
        "embed.bias_1": (width,),
        "embed.weight_2": (width, width),
        "embed.bias_2": (width,),
        "embed.label": (label, width),
        "input.weight_x": (width, sample),
        "input.weight_features": (width, feature),
        "input.bias": (width,),
        "block.modulation_weight": (block, 3 * width, width),
        "block.modulation_bias": (block, 3 * width),
        "block.weight_1": (block, width, width),
        "block.bias_1": (block, width),
        "block.weight_2": (block, width, width),
        "block.bias_2": (block, width),
        "output.modulation_weight": (2 * width, width),
        "output.modulation_bias": (2 * width,),
        "output.weight": (sample, width),
        "output.bias": (sample,),
    }


def _check(weights: Weights, feature: int) -> None:
    axes = {"input.weight_x": 2, "block.weight_1": 3, "embed.label": 2}  # these tell the lengths of all axes
    for name, axis in axes.items():
        if name not in weights or np.ndim(weights[name]) != axis:
            shape = np.shape(weights[name]) if name in weights else "nothing"
            raise UsageError(f"`{name}` must be an array of {axis} axes; received {shape}.")
    width, sample = weights["input.weight_x"].shape
    block, label = weights["block.weight_1"].shape[0], weights["embed.label"].shape[0]
    for name, shape in weight_shapes(feature, sample, width, block, label).items():
        received = weights[name].shape if name in weights else "nothing"
        require(received == shape, name, f"have the shape {shape}", received)


def _fold_at(weights: Weights, flow_time: float, label: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return `modulation`, `output_scale` and `output_bias` of `Network` at one flow time."""
    angle = 2.0 * np.pi * flow_time / np.array(PERIODS)
    embedded = np.stack([np.sin(angle), np.cos(angle)], axis=-1).ravel()
    inner = silu(weights["embed.weight_1"] @ embedded + weights["embed.bias_1"])
    condition = silu(
        weights["embed.weight_2"] @ inner + weights["embed.bias_2"] + weights["embed.label"][label]
    )
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


def fold(
    weights: Weights,
    feature_mean: Float[np.ndarray, " feature"],
    feature_std: Float[np.ndarray, " feature"],
    action_mean: Float[np.ndarray, "2"],
    action_scale: Float[np.ndarray, "2"],
    sensor: Sensor,
    feature_kind: str,
    *,
    steps: int,
    solver: str,
    label: int,
    noise_scale: float,
    execute: int,
    adapter: Adapter = IDENTITY,
) -> Frozen:
    """Freeze a flow policy: its network, normaliser and sampler.

    Args:
        weights: by the names and shapes of `weight_shapes`; float32.
        feature_mean: of the features in training, shape (feature,).
        feature_std: of the features in training, shape (feature,), positive.
        action_mean: ticks, of the half-spread of bid and ask.
        action_scale: ticks, positive: half-spread = mean + scale x network output.
        sensor: scales of the features.
        feature_kind: "paper" or "context".
        steps: of the sampler.
        solver: "euler" or "heun".
        label: passed at every flow time: the finest one for flow matching, log2(steps) for a shortcut.
        noise_scale: standard deviation of the sampler's start; 0 samples without chance.
        execute: steps of a chunk that are quoted before the next is sampled.
        adapter: what is done to every quote last.

    Raises:
        UsageError: a name, a number or a shape that cannot be.
    """
    require(
        feature_kind in FEATURE_KINDS, "feature_kind", f"be one of {', '.join(FEATURE_KINDS)}", feature_kind
    )
    require(solver in SOLVERS, "solver", f"be one of {', '.join(SOLVERS)}", solver)
    require(steps >= 1, "steps", "be at least 1", steps)
    _check(weights, len(feature_mean))
    labels = weights["embed.label"].shape[0]
    require(0 <= label < labels, "label", f"lie in 0..{labels - 1}", label)
    exact = {name: np.asarray(weight, np.float64) for name, weight in weights.items()}
    flow_times = [step / steps for step in range(steps + SOLVERS[solver])]
    modulation, output_scale, output_bias = zip(
        *(_fold_at(exact, flow_time, label) for flow_time in flow_times), strict=True
    )
    network = Network(
        sensor=sensor,
        feature_kind=FEATURE_KINDS[feature_kind],
        steps=steps,
        solver=SOLVERS[solver],
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
    return assemble(FLOW, (), adapter, network)
