"""Agents at the desk: an actor (`flowhft.policies.actor`) with its scales and units, compiled."""

import itertools
import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from flowhft.desk.compiled.decide import NO_FAULT, NOWHERE, OUTPUT, SENSED, Decide, Memory, Packed, remember
from flowhft.desk.compiled.exact import refuse_nan, require_shape
from flowhft.desk.compiled.kind import Kind
from flowhft.desk.compiled.packing import HALF_TILE, aligned, pad, tiled
from flowhft.desk.compiled.vectors import product, tanh
from flowhft.errors import require
from flowhft.features import STATE, LastSpread, Units, state_features
from flowhft.policies.actor import MOST, SIDES, Actor, Scales, first_spread
from flowhft.policies.adapter import Adapter, adapt_quote
from flowhft.policies.agent import ACTIONS
from flowhft.types import Observation, Quote

_STATE, _SIDES = len(STATE), SIDES
# Places in the numbers: the adapter, layers, units, sizes of the layers; then what `_packed` says.
_LAYERS = len(Adapter._fields)
_UNITS = _LAYERS + 1
_SIZES = _UNITS + 4
_numpy_rules = njit(error_model="numpy")
_state, _adapt_quote = _numpy_rules(state_features), _numpy_rules(adapt_quote)


class Acting(NamedTuple):
    """An agent that quotes.

    Attributes:
        actor: its network.
        scales: between features, network and half-spreads.
        units: in which it sees and quotes, and the numbers of the regime that it is given.
    """

    actor: Actor
    scales: Scales
    units: Units

    @property
    def layers(self) -> tuple[int, ...]:
        """Return the sizes of the layers, from features to actions."""
        return (self.actor.weights[0].shape[0], *(weight.shape[1] for weight in self.actor.weights))


@njit
def _padded(count: int) -> int:
    return (count + HALF_TILE - 1) // HALF_TILE * HALF_TILE


@njit(error_model="numpy")
def _own_quote(packed: Packed, memory: Memory, seen: Observation) -> tuple[Quote, float, float]:
    """Return the quote that was meant, and whether each side is quoted: a number that is not below 0."""
    n, weights, vectors = packed.numbers, packed.weights, memory.vectors
    layers, feature = int(n[_LAYERS]), int(n[_SIZES])
    regime = _SIZES + layers + 1
    mean = regime + feature - _STATE
    deviation = mean + feature
    sides = deviation + feature
    units = Units(n[_UNITS], n[_UNITS + 1], n[_UNITS + 2], n[_UNITS + 3], n[regime:mean])
    for i, value in enumerate(_state(units, LastSpread(memory.state[SENSED]), seen)):
        memory.features[i] = value
    for i in range(_STATE, feature):
        memory.features[i] = n[regime + i - _STATE]
    for i in range(feature):
        value = (memory.features[i] - n[mean + i]) / n[deviation + i]
        value = MOST if value > MOST else value  # not min and max, so that NaN stays NaN
        vectors[i] = -MOST if value < -MOST else value
    half = vectors.size // 2
    here, there, offset = 0, half, 0
    for layer in range(layers):
        columns, rows = int(n[_SIZES + layer]), _padded(int(n[_SIZES + layer + 1]))
        bias = offset + columns * rows
        product(weights, offset, vectors, here, columns, weights, bias, vectors, there, rows)
        if layer < layers - 1:
            tanh(vectors, there, there + rows)
        here, there, offset = there, here, bias + rows
    bid, ask = float(vectors[here]), float(vectors[here + 1])
    low, high = sides + 2 * _SIDES, sides + 3 * _SIDES
    bid = n[high] if bid > n[high] else (n[low] if bid < n[low] else bid)
    ask = n[high + 1] if ask > n[high + 1] else (n[low + 1] if ask < n[low + 1] else ask)
    own = Quote(
        units.half_spread * (n[sides] + n[sides + _SIDES] * bid),
        units.half_spread * (n[sides + 1] + n[sides + _SIDES + 1] * ask),
        1.0,
        1.0,
    )
    memory.state[SENSED] = own.half_spread_bid + own.half_spread_ask
    if int(n[_SIZES + layers]) == _SIDES:
        return own, 0.0, 0.0
    return own, float(vectors[here + _SIDES]), float(vectors[here + _SIDES + 1])


def _quote(packed: Packed, memory: Memory, seen: Observation) -> tuple[Quote, int]:
    n = packed.numbers
    own, wish_bid, wish_ask = _own_quote(packed, memory, seen)
    wanted = _adapt_quote(Adapter(n[0], n[1], n[2], n[3], n[4]), own, seen)
    bid, ask = wanted.half_spread_bid, wanted.half_spread_ask
    if not (np.isfinite(bid) and np.isfinite(ask) and np.isfinite(wish_bid) and np.isfinite(wish_ask)):
        return NOWHERE, OUTPUT
    return Quote(math.nan if wish_bid < 0.0 else bid, math.nan if wish_ask < 0.0 else ask, 1.0, 1.0), NO_FAULT


def _singles(values: Any) -> np.ndarray:
    return np.array(values, np.float32, order="C")


def _checked(parts: Acting) -> Acting:
    """Refuse arrays that do not fit together: compiled code would read beyond them."""
    actor, scales, units = parts
    given = Acting(
        Actor(
            tuple(map(_singles, actor.weights)), tuple(map(_singles, actor.biases)), _singles(actor.log_std)
        ),
        Scales(*map(_singles, scales)),
        units._replace(
            half_spread=float(units.half_spread),
            time=float(units.time),
            price=float(units.price),
            cash=float(units.cash),
            regime=_singles(units.regime),
        ),
    )
    weights, biases = given.actor.weights, given.actor.biases
    require(len(weights) >= 1 and len(weights) == len(biases), "biases", "be one a layer", len(biases))
    for number, weight in enumerate(weights):
        require(weight.ndim == 2 and weight.size > 0, f"weight.{number}", "be a matrix", weight.shape)
    layers = given.layers
    feature = _STATE + given.units.regime.size
    require(layers[0] == feature, "weight.0", f"have a row for each of {feature} features", weights[0].shape)
    rule = "end with 2 actions, or 4 where sides may be pulled"
    require(layers[-1] in ACTIONS, "weights", rule, layers)
    for number, shape in enumerate(itertools.pairwise(layers)):
        require_shape(f"weight.{number}", weights[number], shape)
        require_shape(f"bias.{number}", biases[number], shape[1:])
    for name, value in given.scales._asdict().items():
        require_shape(f"scales.{name}", value, (feature if name in ("mean", "std") else SIDES,))
    require(bool(np.all(given.scales.std > 0.0)), "scales.std", "be positive everywhere", scales.std)
    for name, unit in zip(Units._fields[:4], given.units[:4], strict=True):
        require(0.0 < unit < np.inf, f"units.{name}", "be positive and finite", unit)
    refuse_nan(given)
    return given


def _packed(parts: Acting, adapter: Adapter) -> Packed:
    actor, scales, units = parts
    numbers = [
        adapter,
        [len(actor.weights)],
        units[:4],
        parts.layers,
        units.regime,
        scales.mean,
        scales.std,
        scales.centre,
        scales.scale,
        scales.low,
        scales.high,
    ]
    weights = [
        array
        for weight, bias in zip(actor.weights, actor.biases, strict=True)
        for array in (tiled(weight.T), pad(bias))
    ]
    return Packed(np.concatenate([np.asarray(part, np.float64) for part in numbers]), aligned(weights))


def _memory(parts: Acting, packed: Packed, seed: int) -> Memory:
    widest = -(-max(parts.layers) // HALF_TILE) * HALF_TILE
    first = float(first_spread(parts.scales, parts.units))
    return remember(seed, [first], parts.layers[0], vectors=2 * widest)


def _actor() -> Kind:
    """Return the one kind of this file, as another process finds it."""
    return ACTOR


ACTOR = Kind(
    name="actor",
    decide=Decide("actor", lambda: _numpy_rules(_quote)),
    checked=_checked,
    pack=_packed,
    memory=_memory,
    again=(_actor, ()),
)
