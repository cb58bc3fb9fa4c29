"""An actor: a small network that quotes, learned by trial and error, as plain data and arithmetic.

    what it sees  ->  (x - mean) / std, clipped  ->  tanh layers  ->  action, clipped  ->  half-spreads

Plain arithmetic on arrays: numpy and jax run it alike, each with its own tanh; the desk compiles the same.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from flowhft.types import Numeric, Observation, Quote

MOST = 10.0  # scaled features are clipped here: what was never seen in training should not saturate
STATE = ("time", "cash", "inventory", "mid_price", "previous_spread")


class Actor(NamedTuple):
    """A multilayer perceptron, tanh between its layers: scaled features in, mean action out.

    Attributes:
        weights: one matrix a layer, shape (in, out).
        biases: one vector a layer, shape (out,).
        log_std: logarithm of the action's standard deviation, with which it explored, shape (side,).
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


class Units(NamedTuple):
    """The units in which an actor sees and quotes, and the numbers of the regime, if it is given any.

    Attributes:
        half_spread: unit of half-spreads, ticks.
        time: unit of time, seconds.
        price: unit of the mid price's way since the session began, ticks.
        cash: unit of cash, tick x lot.
        regime: numbers behind the state, shape (regime,); empty for an actor that is given none.
    """

    half_spread: Numeric
    time: Numeric
    price: Numeric
    cash: Numeric
    regime: Numeric


# Everything stays in ticks, seconds and lots.
IN_TICKS = Units(1.0, 1.0, 1.0, 1.0, np.zeros(0, np.float32))


def state(units: Units, observation: Observation, previous_spread: Numeric) -> tuple[Numeric, ...]:
    """Return the numbers named in `STATE`, in an actor's units; those of the regime come behind them.

    Args:
        units: of the actor.
        observation: of one path.
        previous_spread: that the actor quoted last, ticks, full width.
    """
    return (
        observation.time / units.time,
        observation.cash / units.cash,
        observation.inventory,
        observation.mid_price / units.price,
        previous_spread / units.half_spread,
    )


def look(units: Units, observation: Observation, previous_spread: Numeric) -> Float[np.ndarray, " feature"]:
    """Return what an actor sees, before its scales, in numpy: `state` and the regime, shape (feature,)."""
    return np.concatenate([state(units, observation, previous_spread), units.regime]).astype(np.float32)


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


def first_spread(scales: Scales, units: Units) -> Numeric:
    """Return the spread that counts as quoted last when a session begins: that of the action 0, ticks."""
    return units.half_spread * scales.centre.sum()
