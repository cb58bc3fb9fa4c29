"""The flow policy's network and sampler in plain numpy, from its weights as they were trained.

What a researcher would write: slow, short, and read beside the definition in `flowhft.frozen.fold`. The
compiled policy is tested against it, and timed against it.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

PERIODS = (0.5, 1.0, 2.0, 4.0)  # of the sines and cosines of the flow time, which runs from 0 to 1
REACH = 5.0  # standardised features and final samples are clipped to (-REACH, REACH)
EPSILON = 1e-6  # keeps the layer norm of a constant vector finite


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
    label: int,
) -> Float[np.ndarray, " sample"]:
    """Return the velocity at a flow time.

    Args:
        weights: by name, see `flowhft.frozen.fold.weight_shapes`.
        x: chunk of scaled half-spreads, flat: step by step, bid then ask.
        features: standardised.
        flow_time: 0 noise, 1 data.
        label: l asks for a step of 2^-l.
    """
    embedded = []
    for period in PERIODS:
        angle = 2.0 * np.pi * flow_time / period
        embedded += [np.sin(angle), np.cos(angle)]
    c = silu(weights["embed.weight_1"] @ np.array(embedded, np.float32) + weights["embed.bias_1"])
    c = silu(weights["embed.weight_2"] @ c + weights["embed.bias_2"] + weights["embed.label"][label])
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
    start: Float[np.ndarray, " sample"],
    *,
    steps: int,
    solver: str,
    label: int,
) -> Float[np.ndarray, "horizon 2"]:
    """Return a chunk of scaled half-spreads: `start` carried from flow time 0 to 1, then clipped.

    Args:
        weights: by name.
        features: standardised.
        start: noise_scale x standard normal numbers.
        steps: of equal length, from 0 to 1.
        solver: "euler" or "heun" (the trapezoidal rule with an Euler step as its predictor).
        label: passed at every flow time.
    """
    x, step_size = start, np.float32(1.0 / steps)
    for i in range(steps):
        v = velocity(weights, x, features, i / steps, label)
        if solver == "heun":
            v = 0.5 * (v + velocity(weights, x + step_size * v, features, (i + 1) / steps, label))
        x = x + step_size * v
    return np.clip(x, -REACH, REACH).reshape(-1, 2)
