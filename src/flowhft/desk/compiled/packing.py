"""Pack a flow policy into two flat arrays, in the order in which compiled code reads them.

A call from Python costs time for every array that it passes, and more for a tuple around them: the many
arrays of a policy would cost more than the network behind them. Packed, two are passed.

`numbers` (float64) begins with the `HEADER`, then follow what `Places` names. `weights` (float32) holds every
matrix by tiles of `TILE` outputs, the last of `HALF_TILE` where that is enough: for each tile, column after
column (see `flowhft.desk.compiled.vectors.product`). Vectors are padded with zeros to a multiple of
`HALF_TILE`: padded units stay zero throughout a network.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32

from flowhft.desk.compiled.decide import Packed
from flowhft.desk.compiled.network import Network
from flowhft.features import Sensor
from flowhft.policies.adapter import Adapter
from flowhft.policies.regime_adapter import OUTPUTS, RegimeAdapter

_OUTPUTS = len(OUTPUTS)
TILE = 64  # numbers of a tile: four vector registers of the widest kind
HALF_TILE = TILE // 2  # all vectors are padded to a multiple of it
ALIGNMENT = 64  # bytes: a cache line, and the widest vector register

# The header: one number a place, the adapter's first.
(
    FEATURE_KIND,
    FEATURE,
    WIDTH,
    SAMPLE,
    BLOCK,
    EVALUATION,
    EXECUTE,
    NOISE_SCALE,
    HELD,
    BEGIN,
    START,
    SEEN,
    UNIT,
    HALF_SPREAD,
    ANSWER,
    SENSOR,
) = range(len(Adapter._fields), len(Adapter._fields) + 16)
HEADER = SENSOR + len(Sensor._fields)


class Places(NamedTuple):
    """Where the parts of a packed policy begin.

    Attributes:
        padded: width of a padded layer.
        padded_sample: length of a padded chunk.
        mean, deviation: of the features, in `numbers`.
        action: means, then scales, of what a step of a chunk holds (two half-spreads), in `numbers`.
        steps: four numbers an evaluation, in `numbers`.
        columns, regime_mean, regime_deviation: the features that the regime adapter sees, in `numbers`.
        input_features, input_sample, input_bias: first layer, in `weights`, like all that follows.
        blocks: two matrices a block.
        modulation: four vectors a block and evaluation.
        output_weight: rows, padded, not tiled.
        output_scale, output_bias: a vector each an evaluation.
        regime_1, regime_bias_1, regime_2, regime_bias_2, regime_3, regime_bias_3: layers of the regime
            adapter; the last one by rows.
        end: length of `weights`.
    """

    padded: int
    padded_sample: int
    mean: int
    deviation: int
    action: int
    steps: int
    columns: int
    regime_mean: int
    regime_deviation: int
    input_features: int
    input_sample: int
    input_bias: int
    blocks: int
    modulation: int
    output_weight: int
    output_scale: int
    output_bias: int
    regime_1: int
    regime_bias_1: int
    regime_2: int
    regime_bias_2: int
    regime_3: int
    regime_bias_3: int
    end: int


def places_in(numbers: Float[np.ndarray, " number"]) -> Places:
    """Return where the parts are, from the header alone. Plain arithmetic: Python and numba run it alike."""
    feature, width, sample = int(numbers[FEATURE]), int(numbers[WIDTH]), int(numbers[SAMPLE])
    block, evaluation = int(numbers[BLOCK]), int(numbers[EVALUATION])
    seen, unit = int(numbers[SEEN]), int(numbers[UNIT])
    padded = (width + HALF_TILE - 1) // HALF_TILE * HALF_TILE
    padded_sample = (sample + HALF_TILE - 1) // HALF_TILE * HALF_TILE
    padded_unit = (unit + HALF_TILE - 1) // HALF_TILE * HALF_TILE
    mean = HEADER
    deviation = mean + feature
    action = deviation + feature
    steps = action + 2 * int(numbers[ANSWER])
    columns = steps + 4 * evaluation
    regime_mean = columns + seen
    regime_deviation = regime_mean + seen
    input_sample = feature * padded
    input_bias = input_sample + sample * padded
    blocks = input_bias + padded
    modulation = blocks + 2 * block * width * padded
    output_weight = modulation + 4 * evaluation * block * padded
    output_scale = output_weight + sample * padded
    output_bias = output_scale + evaluation * padded
    regime_1 = output_bias + evaluation * padded_sample
    regime_bias_1 = regime_1 + seen * padded_unit
    regime_2 = regime_bias_1 + padded_unit
    regime_bias_2 = regime_2 + unit * padded_unit
    regime_3 = regime_bias_2 + padded_unit
    regime_bias_3 = regime_3 + _OUTPUTS * padded_unit
    return Places(
        padded,
        padded_sample,
        mean,
        deviation,
        action,
        steps,
        columns,
        regime_mean,
        regime_deviation,
        0,
        input_sample,
        input_bias,
        blocks,
        modulation,
        output_weight,
        output_scale,
        output_bias,
        regime_1,
        regime_bias_1,
        regime_2,
        regime_bias_2,
        regime_3,
        regime_bias_3,
        regime_bias_3 + HALF_TILE,
    )


def pad(array: np.ndarray) -> np.ndarray:
    """Return the array with its last axis padded by zeros to a multiple of `HALF_TILE`."""
    missing = -array.shape[-1] % HALF_TILE
    return np.pad(array, [(0, 0)] * (array.ndim - 1) + [(0, missing)])


def tiled(matrix: Float32[np.ndarray, "row column"]) -> Float32[np.ndarray, " weight"]:
    """Return a matrix tile by tile, each column after column, its rows padded: see `HALF_TILE`."""
    columns = pad(matrix.T)
    rows = range(0, columns.shape[1], TILE)
    return np.concatenate([columns[:, :0].ravel(), *(columns[:, row : row + TILE].ravel() for row in rows)])


def aligned(parts: list[np.ndarray]) -> Float32[np.ndarray, " weight"]:
    """Return all parts one after the other, beginning at the start of a cache line."""
    size = sum(part.size for part in parts)
    room = np.zeros(size + ALIGNMENT // 4, np.float32)
    begin = -room.ctypes.data % ALIGNMENT // 4
    whole = room[begin : begin + size]
    np.concatenate([part.ravel() for part in parts], out=whole)
    return whole


def pack(network: Network, regime: RegimeAdapter, adapter: Adapter) -> Packed:
    """Pack a flow policy that was checked."""
    width, sample = network.input_sample.shape
    seen = np.flatnonzero(np.any(regime.weight_1 != 0.0, axis=0))
    header = np.zeros(HEADER)
    header[FEATURE_KIND] = network.feature_kind
    header[FEATURE] = network.feature_mean.size
    header[WIDTH], header[SAMPLE] = width, sample
    header[BLOCK], header[EVALUATION] = network.weight_1.shape[0], network.steps.shape[0]
    header[EXECUTE], header[NOISE_SCALE], header[HELD] = network.execute, network.noise_scale, network.held
    header[BEGIN], header[START] = network.begin, network.start
    header[ANSWER] = network.action_mean.size
    header[SEEN], header[UNIT], header[HALF_SPREAD] = seen.size, regime.bias_1.size, regime.half_spread
    header[: len(adapter)] = adapter
    header[SENSOR:HEADER] = network.sensor
    numbers = [
        header,
        network.feature_mean,
        network.feature_std,
        network.action_mean,
        network.action_scale,
        network.steps,
        seen,
        regime.mean[seen],
        regime.std[seen],
    ]
    bias = regime.bias_1 + regime.weight_told @ regime.told
    weights = [
        tiled(network.input_features),
        tiled(network.input_sample),
        pad(network.input_bias),
        *(tiled(matrix) for pair in zip(network.weight_1, network.weight_2, strict=True) for matrix in pair),
        pad(network.modulation),
        pad(network.output_weight),
        pad(network.output_scale),
        pad(network.output_bias),
        tiled(regime.weight_1[:, seen]),
        pad(bias),
        tiled(regime.weight_2),
        pad(regime.bias_2),
        pad(regime.weight_3),
        pad(regime.bias_3),
    ]
    return Packed(np.concatenate([part.ravel() for part in numbers], dtype=np.float64), aligned(weights))
