"""An actor: a small network that quotes, learned by trial and error, as plain data and arithmetic.

    what it sees  ->  (x - mean) / std, clipped  ->  tanh layers  ->  action, clipped  ->  half-spreads

Plain arithmetic on arrays: numpy and jax run it alike, each with its own tanh; the desk compiles the same.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from flowhft.features import LastSpread, Units, state_features
from flowhft.types import Numeric, Observation, Quote

MOST = 10.0  # scaled features are clipped here: what was never seen in training should not saturate
SIDES = 2


class Actor(NamedTuple):
    """A multilayer perceptron, tanh between its layers: scaled features in, mean action out.

    The action is a number a side, or two: the last two then say whether each side is quoted.

    Attributes:
        weights: one matrix a layer, shape (in, out).
        biases: one vector a layer, shape (out,).
        log_std: logarithm of the action's standard deviation, with which it explored, shape (action,).
    """

    weights: tuple[Numeric, ...]
    biases: tuple[Numeric, ...]
    log_std: Numeric


class Scales(NamedTuple):
    """What lies between features, network and half-spreads.

    Half-spread = unit (centre + scale min(max(action, low), high)), with the unit of `Units.half_spread`.

    Attributes:
        mean, std: of the features, shape (feature,): the network sees (feature - mean) / std.
        centre: half-spread of the action 0, in units, shape (side,).
        scale: of an action of 1, in units, shape (side,).
        low, high: actions are cut to this range, shape (side,).
    """

    mean: Numeric
    std: Numeric
    centre: Numeric
    scale: Numeric
    low: Numeric
    high: Numeric


def encode(units: Units, observation: Observation, previous_spread: Numeric) -> Float[np.ndarray, " feature"]:
    """Return what an actor sees, before its scales, in numpy: the state and the regime, shape (feature,)."""
    seen = state_features(units, LastSpread(previous_spread), observation)
    return np.concatenate([seen, units.regime]).astype(np.float32)


def scaled(mean: Numeric, std: Numeric, features: Numeric) -> Numeric:
    """Return features as the network sees them, standardised and clipped, shape (..., feature)."""
    return ((features - mean) / std).clip(-MOST, MOST)


def forward(
    weights: tuple[Numeric, ...],
    biases: tuple[Numeric, ...],
    features: Numeric,
    tanh: Callable[[Any], Any] = np.tanh,
) -> Numeric:
    """Return what the network makes of scaled features: tanh between its layers, none behind.

    Args:
        weights: one matrix a layer, shape (in, out).
        biases: one vector a layer, shape (out,).
        features: scaled, shape (..., in).
        tanh: of the library whose arrays these are.

    Returns:
        Shape (..., out).
    """
    hidden = features
    for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
        hidden = tanh(hidden @ weight + bias)
    return hidden @ weights[-1] + biases[-1]


def quote_of(scales: Scales, units: Units, action: Numeric) -> Quote:
    """Return the quote that an action, shape (side,), stands for."""
    spreads = scales.centre + scales.scale * action.clip(scales.low, scales.high)
    return Quote(units.half_spread * spreads[0], units.half_spread * spreads[1])


def pulled(meant: Quote, wishes: Numeric, library: Any = np) -> Quote:
    """Return a quote without the sides that the agent pulls: those whose own number is below 0.

    Args:
        meant: half-spreads, ticks.
        wishes: whether each side is to be quoted, shape (side,).
        library: of the arrays: numpy, or jax.numpy.

    Returns:
        NaN for a side that is pulled; infinity, which no policy may quote, where the network gave no number.
    """

    def side(half_spread: Numeric, wish: Numeric) -> Numeric:
        known = library.isfinite(half_spread) & library.isfinite(wish)
        return library.where(known, library.where(wish < 0.0, np.nan, half_spread), np.inf)

    return meant._replace(
        half_spread_bid=side(meant.half_spread_bid, wishes[0]),
        half_spread_ask=side(meant.half_spread_ask, wishes[1]),
    )


def decided(scales: Scales, units: Units, output: Numeric, library: Any = np) -> tuple[Quote, Numeric]:
    """Return the quote that a network's output stands for, and the spread that the agent remembers.

    An output of four numbers says in the last two whether each side is quoted (`pulled`); the spread that is
    remembered is the one that was meant, ticks.
    """
    meant = quote_of(scales, units, output[:SIDES])
    quote = meant if len(output) == SIDES else pulled(meant, output[SIDES:], library)
    return quote, meant.half_spread_bid + meant.half_spread_ask


def first_spread(scales: Scales, units: Units) -> Numeric:
    """Return the spread that counts as quoted last when a session begins: that of the action 0, ticks."""
    return units.half_spread * scales.centre.sum()
