"""The network of a flow policy and its sampler as plain arrays, folded (see `flowhft.desk.compiled.fold`)."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32

from flowhft.desk.compiled.exact import require_shape
from flowhft.errors import require
from flowhft.features import ANSWERS, HALF_SPREADS, NAMES, Sensor
from flowhft.features import KINDS as FEATURE_KINDS


class Network(NamedTuple):
    """A flow policy's network and sampler, folded.

    Axes: `feature` what it sees, `width` of its layers, `block`, `answer` of a step (half-spreads of bid and
    ask), `sample` = answers x horizon numbers of a chunk (step by step), `evaluation` one per question that
    the sampler asks the network.

    Attributes:
        sensor: scales of the features.
        feature_kind: `features.PAPER`, `features.CONTEXT` or `features.BOOK`.
        start: the network is first asked at `start` x the sample with which the sampler starts.
        begin: flow time at which a sampler starts from the chunk before; 0 where it starts from noise.
        held: 1 where all chunks of a session start from the same noise, else 0.
        execute: steps of a chunk that are quoted before the next chunk is sampled.
        noise_scale: standard deviation of the sampler's start; 0 samples without chance.
        steps: keep, share, keep_point and share_point of every `flowhft.policies.plan.Evaluation`.
        feature_mean, feature_std: features are standardised by these, then clipped.
        action_mean, action_scale: answer = mean + scale x network output; half-spreads in ticks.
        input_sample, input_features, input_bias: the first layer.
        weight_1, weight_2: the two layers of each block.
        modulation: per evaluation and block four vectors: scale of the block's input, bias of its first
            layer, gate of its output, bias of its second layer.
        output_weight: the last layer.
        output_scale, output_bias: scale of the last layer's input and its bias, per evaluation.
    """

    sensor: Sensor
    feature_kind: int
    start: float
    begin: float
    held: int
    execute: int
    noise_scale: float
    steps: Float32[np.ndarray, "evaluation 4"]
    feature_mean: Float[np.ndarray, " feature"]
    feature_std: Float[np.ndarray, " feature"]
    action_mean: Float[np.ndarray, " answer"]
    action_scale: Float[np.ndarray, " answer"]
    input_sample: Float32[np.ndarray, "width sample"]
    input_features: Float32[np.ndarray, "width feature"]
    input_bias: Float32[np.ndarray, " width"]
    weight_1: Float32[np.ndarray, "block width width"]
    weight_2: Float32[np.ndarray, "block width width"]
    modulation: Float32[np.ndarray, "evaluation block 4 width"]
    output_weight: Float32[np.ndarray, "sample width"]
    output_scale: Float32[np.ndarray, "evaluation width"]
    output_bias: Float32[np.ndarray, "evaluation sample"]


def nothing(*shape: int, dtype: type = np.float32) -> np.ndarray:
    """Return an empty array of this shape: what a policy without such a part has."""
    return np.zeros(shape, dtype)


NO_NETWORK = Network(
    sensor=Sensor(1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0),
    feature_kind=FEATURE_KINDS["paper"],
    start=0.0,
    begin=0.0,
    held=0,
    execute=0,
    noise_scale=0.0,
    steps=nothing(0, 0),
    feature_mean=nothing(0, dtype=np.float64),
    feature_std=nothing(0, dtype=np.float64),
    action_mean=nothing(0, dtype=np.float64),
    action_scale=nothing(0, dtype=np.float64),
    input_sample=nothing(0, 0),
    input_features=nothing(0, 0),
    input_bias=nothing(0),
    weight_1=nothing(0, 0, 0),
    weight_2=nothing(0, 0, 0),
    modulation=nothing(0, 0, 0, 0),
    output_weight=nothing(0, 0),
    output_scale=nothing(0, 0),
    output_bias=nothing(0, 0),
)


def require_network(network: Network, kind: str) -> None:
    """Refuse a network whose shapes do not fit together: compiled code would read beyond its arrays.

    Args:
        network: it.
        kind: of its features.

    Raises:
        UsageError: it names the array or number at fault.
    """
    require(network.noise_scale >= 0.0, "noise_scale", "be 0 or more", network.noise_scale)
    require(network.held in (0, 1), "held", "be 0 or 1", network.held)
    require(0.0 <= network.begin < 1.0, "begin", "lie in [0, 1)", network.begin)
    names = ANSWERS.get(kind, HALF_SPREADS)
    feature, answers = len(NAMES[kind]), len(names)
    width, sample = network.input_sample.shape
    block = network.weight_1.shape[0]
    require(0.0 <= network.start <= 1.0, "start", "lie in [0, 1]", network.start)
    evaluation = len(network.steps)
    require(evaluation >= 1, "steps", "hold at least one evaluation", network.steps.shape)
    require(width >= 1, "input_sample", "have rows", network.input_sample.shape)
    of_a_step = f"have {'two' if answers == 2 else answers} columns a step: {', '.join(names)}"
    require(sample % answers == 0, "input_sample", of_a_step, network.input_sample.shape)
    horizon = sample // answers
    require(1 <= network.execute <= horizon, "execute", f"lie in 1..{horizon}", network.execute)
    shapes: dict[str, tuple[int, ...]] = {
        "feature_mean": (feature,),
        "feature_std": (feature,),
        "action_mean": (answers,),
        "action_scale": (answers,),
        "input_features": (width, feature),
        "input_bias": (width,),
        "weight_1": (block, width, width),
        "weight_2": (block, width, width),
        "steps": (evaluation, 4),
        "modulation": (evaluation, block, 4, width),
        "output_weight": (sample, width),
        "output_scale": (evaluation, width),
        "output_bias": (evaluation, sample),
    }
    for name, shape in shapes.items():
        require_shape(name, getattr(network, name), shape)
    for name in ("feature_std", "action_scale"):
        values = getattr(network, name)
        require(bool(np.all(values > 0.0)), name, "be positive everywhere", values)
    for name, scale in network.sensor._asdict().items():
        require(scale > 0.0, f"sensor.{name}", "be positive", scale)
