"""The network of a regime adapter as it is trained: on the features that it sees, equal sides tied."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from flowhft.features import NAMES
from flowhft.learn.regime.law import NODES, Quotes
from flowhft.policies.regime_adapter import OUTPUTS, SEES, TOGETHER, TOLD, RegimeAdapter, adapter_at


def _distinct() -> np.ndarray:
    """Return the matrix (input, seen) of the inputs: features that belong together enter by their mean."""
    alone = [(name,) for name in SEES if not any(name in group for group in TOGETHER)]
    groups = [*alone, *TOGETHER]
    return np.array([[(name in group) / len(group) for name in SEES] for group in groups], np.float32)


INPUTS = _distinct()
LEAST_DEVIATION = 1e-3  # of a feature: one that hardly varies is not blown up


class Weights(NamedTuple):
    """What is trained: as in `RegimeAdapter`, the first matrix of shape (unit, input)."""

    weight_1: Float[Array, "unit input"]
    weight_told: Float[Array, "unit told"]
    bias_1: Float[Array, " unit"]
    weight_2: Float[Array, "unit unit"]
    bias_2: Float[Array, " unit"]
    weight_3: Float[Array, "output unit"]
    bias_3: Float[Array, " output"]


class Scales(NamedTuple):
    """What is fixed before training: means and deviations of what is seen, (seen,), and told, (told,).

    With a deviation of infinity the network cannot see a number.
    """

    mean: Float[Array, " seen"]
    std: Float[Array, " seen"]
    privileged_mean: Float[Array, " told"]
    privileged_std: Float[Array, " told"]


def init_weights(units: int, seed: int) -> Weights:
    """Return an untrained network, whose map is the identity: the last layer is 0.

    Args:
        units: of both hidden layers.
        seed: of the draw.
    """
    random = np.random.default_rng(seed)
    inputs = len(INPUTS) + len(TOLD)
    first = random.standard_normal((units, inputs)).astype(np.float32) / np.float32(inputs**0.5)
    second = random.standard_normal((units, units)).astype(np.float32) / np.float32(units**0.5)
    return Weights(
        weight_1=jnp.asarray(first[:, : len(INPUTS)]),
        weight_told=jnp.asarray(first[:, len(INPUTS) :]),
        bias_1=jnp.zeros(units),
        weight_2=jnp.asarray(second),
        bias_2=jnp.zeros(units),
        weight_3=jnp.zeros((len(OUTPUTS), units)),
        bias_3=jnp.zeros(len(OUTPUTS)),
    )


def fit_scales(seen: Float[np.ndarray, "... seen"], dial: tuple[float, ...], tell_convention: bool) -> Scales:
    """Fit the scales of the inputs.

    Args:
        seen: features along the training paths.
        dial: lowest and highest risk dial.
        tell_convention: whether the network can see in which kind of market it is.
    """
    mean = seen.mean(axis=tuple(range(seen.ndim - 1)), dtype=np.float64)
    std = seen.std(axis=tuple(range(seen.ndim - 1)), dtype=np.float64)
    for group in TOGETHER:  # alike on both sides
        places = [SEES.index(name) for name in group]
        mean[places], std[places] = mean[places].mean(), std[places].mean()
    low, high = np.log(dial)
    privileged_mean = np.array([0.5 * (low + high), *((0.5, 0.5) if tell_convention else (0.0, 0.0))])
    unseen = 0.5 if tell_convention else np.inf
    privileged_std = np.array([(high - low) / 12.0**0.5 or 1.0, unseen, unseen])
    scales = (mean, np.maximum(std, LEAST_DEVIATION), privileged_mean, privileged_std)
    return Scales(*(jnp.asarray(values, jnp.float32) for values in scales))


def narrow(
    weights: Weights, scales: Scales, privileged: Float[Array, " told"], half_spread: Array
) -> RegimeAdapter:
    """Return the network as a regime adapter of the features that it sees, in the order of `SEES`."""
    weight_told = weights.weight_told / scales.privileged_std
    return RegimeAdapter(
        mean=scales.mean,
        std=scales.std,
        weight_1=weights.weight_1 @ jnp.asarray(INPUTS),
        weight_told=weight_told,
        bias_1=weights.bias_1 - weight_told @ scales.privileged_mean,
        weight_2=weights.weight_2,
        bias_2=weights.bias_2,
        weight_3=weights.weight_3,
        bias_3=weights.bias_3,
        told=privileged,
        half_spread=half_spread,
    )


def widen(regime: RegimeAdapter) -> RegimeAdapter:
    """Return the same regime adapter for all features of kind "context": of weight 0 if it sees them not."""
    names = NAMES["context"]
    places = [names.index(name) for name in SEES]
    units = regime.weight_1.shape[0]
    return regime._replace(
        mean=jnp.zeros(len(names)).at[jnp.array(places)].set(regime.mean),
        std=jnp.ones(len(names)).at[jnp.array(places)].set(regime.std),
        weight_1=jnp.zeros((units, len(names))).at[:, jnp.array(places)].set(regime.weight_1),
    )


def quotes_along(regime: RegimeAdapter, seen: Float[Array, "step seen"], base: Quotes | None) -> Quotes:
    """Return what a policy quotes along a path at the inventories `NODES`, ticks.

    Args:
        regime: narrow.
        seen: features before every step.
        base: quotes of the frozen policy within; None for 1 / k on both sides.
    """
    adapter = jax.vmap(adapter_at, in_axes=(None, 0))(regime, seen)
    offsets = jnp.stack([adapter.offset_bid, adapter.offset_ask], axis=-1)[:, None, :]
    lean = adapter.skew[:, None] * jnp.asarray(NODES, jnp.float32)
    within = regime.half_spread if base is None else base
    return adapter.scale[:, None, None] * within + offsets + jnp.stack([lean, -lean], axis=-1)
