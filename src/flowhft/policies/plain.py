"""The flow policy's network and sampler in plain numpy, from its weights as they were trained.

What a researcher would write: slow, short, and read beside the definition in `flowhft.desk.compiled.fold`.
    The
compiled policy is tested against it, and timed against it.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from flowhft.policies.plan import Plan

PERIODS = (0.5, 1.0, 2.0, 4.0)  # of the sines and cosines of flow time and step size, which lie in [0, 1]
REACH = 5.0  # standardised features and final samples are clipped to (-REACH, REACH)
EPSILON = 1e-6  # keeps the layer norm of a constant vector finite


def embedding(flow_time: float, step_size: float) -> Float[np.ndarray, " embedding"]:
    """Return sin(2 pi t / p) and cos(2 pi t / p) for each period p, in pairs; then those of the step size."""
    angle = 2.0 * np.pi * np.outer([flow_time, step_size], 1.0 / np.array(PERIODS))
    return np.stack([np.sin(angle), np.cos(angle)], axis=-1).ravel()


def silu(x: np.ndarray) -> np.ndarray:
    """Return x / (1 + exp(-x)), written so that nothing overflows."""
    return 0.5 * x * (1.0 + np.tanh(0.5 * x))


def norm(x: Float[np.ndarray, " width"]) -> Float[np.ndarray, " width"]:
    """Return x with mean 0 and variance 1."""
    centred = x - x.mean()
    return centred / np.sqrt((centred**2).mean() + EPSILON)


def standardise(
    features: Float[np.ndarray, " feature"],
    mean: Float[np.ndarray, " feature"],
    std: Float[np.ndarray, " feature"],
) -> Float[np.ndarray, " feature"]:
    """Return (features - mean) / std, clipped, as the network takes them."""
    return np.clip((features - mean) / std, -REACH, REACH).astype(np.float32)


def velocity(
    weights: Mapping[str, np.ndarray],
    x: Float[np.ndarray, " sample"],
    features: Float[np.ndarray, " feature"],
    flow_time: float,
    step_size: float,
) -> Float[np.ndarray, " sample"]:
    """Return the velocity at a flow time, for a step size.

    Args:
        weights: by name, see `flowhft.policies.flow.weight_shapes`.
        x: chunk of scaled half-spreads, flat: step by step, bid then ask.
        features: standardised.
        flow_time: 0 noise, 1 data.
        step_size: how far ahead the velocity is averaged; 0 asks for the velocity itself.
    """
    embedded = embedding(flow_time, step_size).astype(np.float32)
    c = silu(weights["embed.weight_1"] @ embedded + weights["embed.bias_1"])
    c = silu(weights["embed.weight_2"] @ c + weights["embed.bias_2"])
    h = weights["input.weight_x"] @ x + weights["input.weight_features"] @ features + weights["input.bias"]
    for b in range(len(weights["block.weight_1"])):
        modulation = weights["block.modulation_weight"][b] @ c + weights["block.modulation_bias"][b]
        shift, scale, gate = np.split(modulation, 3)
        u = norm(h) * (1.0 + scale) + shift
        u = silu(weights["block.weight_1"][b] @ u + weights["block.bias_1"][b])
        h = h + gate * (weights["block.weight_2"][b] @ u + weights["block.bias_2"][b])
    shift, scale = np.split(weights["output.modulation_weight"] @ c + weights["output.modulation_bias"], 2)
    return weights["output.weight"] @ (norm(h) * (1.0 + scale) + shift) + weights["output.bias"]


def sample(
    weights: Mapping[str, np.ndarray],
    features: Float[np.ndarray, " feature"],
    x: Float[np.ndarray, " sample"],
    plan: Plan,
    answers: int = 2,
) -> Float[np.ndarray, "horizon answer"]:
    """Return a chunk of scaled half-spreads: x carried from where the plan begins to its end, then clipped.

    Args:
        weights: by name.
        features: standardised.
        x: noise_scale x standard normal numbers.
        plan: the sampler.
        answers: numbers that one step of a chunk holds.
    """
    point = plan.start * x
    for asked in plan.evaluations:
        u = velocity(weights, point, features, asked.flow_time, asked.step_size)
        point = asked.keep_point * x + asked.share_point * u
        x = asked.keep * x + asked.share * u
    return np.clip(x, -REACH, REACH).reshape(-1, answers)
