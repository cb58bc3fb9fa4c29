"""The regime adapter, compiled, on packed arrays: what `regime_adapter.adapter_at` works out."""

import math

import numpy as np
from jaxtyping import Float, Float32
from numba import njit

from flowhft.desk.compiled.decide import Packed
from flowhft.desk.compiled.packing import HALF_SPREAD, HALF_TILE, SEEN, UNIT, Places
from flowhft.desk.compiled.vectors import ANY_ORDER, product, rows_product, squash
from flowhft.policies.adapter import Adapter
from flowhft.policies.regime_adapter import FURTHEST, OUTPUTS, SKEW_UNIT

_OUTPUTS = len(OUTPUTS)
_ONE, _PER_FURTHEST = np.float32(1.0), np.float32(1.0 / FURTHEST**2)


def room_for(seen: int, unit: int) -> int:
    """Return how many float32 numbers of room `regime_adapter` needs: by features seen and hidden units."""
    return seen + 2 * (unit + HALF_TILE) + _OUTPUTS


@njit(fastmath=ANY_ORDER, error_model="numpy")
def regime_adapter(
    packed: Packed,
    places: Places,
    features: Float[np.ndarray, " feature"],
    vectors: Float32[np.ndarray, " vectors"],
    room: int,
) -> Adapter:
    """Return the map of this moment, in ticks.

    Args:
        packed: a policy with a regime adapter.
        places: of its parts.
        features: of kind "context", not standardised.
        vectors: room for intermediate results.
        room: place in it from which on there is room for `room_for` numbers.
    """
    numbers, weights = packed.numbers, packed.weights
    seen, unit = int(numbers[SEEN]), int(numbers[UNIT])
    padded = (unit + HALF_TILE - 1) // HALF_TILE * HALF_TILE
    first = room + seen
    second, output = first + padded, first + 2 * padded
    for i in range(seen):
        value = features[int(numbers[places.columns + i])] - numbers[places.regime_mean + i]
        vectors[room + i] = value / numbers[places.regime_deviation + i]
    for i in range(np.uint64(room), np.uint64(first)):
        vectors[i] /= np.float32(math.sqrt(_ONE + vectors[i] * vectors[i] * _PER_FURTHEST))
    bias_1, bias_2, bias_3 = places.regime_bias_1, places.regime_bias_2, places.regime_bias_3
    product(weights, places.regime_1, vectors, room, seen, weights, bias_1, vectors, first, padded)
    squash(vectors, first, first + padded)
    product(weights, places.regime_2, vectors, first, unit, weights, bias_2, vectors, second, padded)
    squash(vectors, second, second + padded)
    rows_product(
        weights, places.regime_3, vectors, second, padded, weights, bias_3, vectors, output, _OUTPUTS
    )
    width, lean, skew = float(vectors[output]), float(vectors[output + 1]), float(vectors[output + 2])
    half_spread = numbers[HALF_SPREAD]
    return Adapter(
        1.0 + float(vectors[output + 3]),
        half_spread * (width - lean),
        half_spread * (width + lean),
        half_spread * SKEW_UNIT * skew,
        0.0,
    )
