"""The folded network and its sampler, compiled, on packed arrays."""

import numpy as np
from jaxtyping import Float, Float32, Int64, UInt64
from numba import njit

from flowhft.desk.compiled.chance import normal_pair
from flowhft.desk.compiled.decide import Packed
from flowhft.desk.compiled.packing import (
    ANSWER,
    BEGIN,
    BLOCK,
    EVALUATION,
    EXECUTE,
    FEATURE,
    HELD,
    NOISE_SCALE,
    SAMPLE,
    START,
    WIDTH,
    Places,
)
from flowhft.desk.compiled.vectors import ANY_ORDER, add_gated, norm, product, rows_product, silu
from flowhft.policies.plain import REACH

# Vectors of a chunk and of a layer that `sample_chunk` needs: the first two are remembered, the last is zero.
CHUNKS, LAYERS = 5, 5
_REACH, _ONE = np.float32(REACH), np.float32(1.0)


@njit
def room_at(places: Places) -> int:
    """Return where in a sampler's vectors the room for features begins, and for a regime adapter."""
    return CHUNKS * places.padded_sample + LAYERS * places.padded


@njit(error_model="numpy")
def standardise(packed: Packed, places: Places, features: np.ndarray, vectors: np.ndarray, out: int) -> None:
    """Write features in deviations, clipped, from the place `out` of `vectors` on."""
    numbers, mean, deviation = packed.numbers, np.uint64(places.mean), np.uint64(places.deviation)
    at_out = np.uint64(out)
    for i in range(np.uint64(features.size)):  # unsigned, so that it becomes vector instructions
        standard = (features[i] - numbers[mean + i]) / numbers[deviation + i]
        standard = REACH if standard > REACH else standard  # not min and max, so that NaN stays NaN
        vectors[at_out + i] = -REACH if standard < -REACH else standard


@njit
def _clipped(value: np.float32) -> np.float32:
    if value > _REACH:  # comparisons, not min and max, so that NaN stays NaN
        return _REACH
    if value < -_REACH:
        return -_REACH
    return value


@njit(fastmath=ANY_ORDER, error_model="numpy")
def _velocity(
    packed: Packed,
    places: Places,
    vectors: np.ndarray,
    base: int,
    asked: int,
    x: int,
    at_zero: bool,
    rows: int,
    out: int,
) -> None:
    """Write the first `rows` numbers of the velocity at x for the sampler's evaluation number `asked`.

    `base`, `x` and `out` are places in `vectors`: of the layers, of a chunk, of the result.
    """
    numbers, weights, padded = packed.numbers, packed.weights, places.padded
    width, block = int(numbers[WIDTH]), int(numbers[BLOCK])
    hidden, inner, outer, nothing = base + padded, base + 2 * padded, base + 3 * padded, base + 4 * padded
    if at_zero:
        for i in range(np.uint64(padded)):  # unsigned: see `flowhft.desk.compiled.vectors`
            vectors[np.uint64(hidden) + i] = vectors[np.uint64(base) + i]
    else:
        columns = int(numbers[SAMPLE])
        product(weights, places.input_sample, vectors, x, columns, vectors, base, vectors, hidden, padded)
    matrix = places.blocks
    vector = places.modulation + asked * block * 4 * padded
    for _ in range(block):
        bias_1, gate, bias_2 = vector + padded, vector + 2 * padded, vector + 3 * padded
        norm(vectors, hidden, width, weights, vector, inner, padded)
        product(weights, matrix, vectors, inner, width, weights, bias_1, vectors, outer, padded)
        silu(vectors, outer, outer + padded)
        matrix += width * padded
        product(weights, matrix, vectors, outer, width, vectors, nothing, vectors, inner, padded)
        matrix += width * padded
        add_gated(vectors, hidden, inner, weights, gate, bias_2, padded)
        vector += 4 * padded
    norm(vectors, hidden, width, weights, places.output_scale + asked * padded, inner, padded)
    bias = places.output_bias + asked * places.padded_sample
    rows_product(weights, places.output_weight, vectors, inner, padded, weights, bias, vectors, out, rows)


@njit(fastmath=ANY_ORDER, error_model="numpy")
def sample_chunk(
    packed: Packed,
    places: Places,
    vectors: Float32[np.ndarray, " vectors"],
    random: UInt64[np.ndarray, "1"],
    cursor: Int64[np.ndarray, "2"],
    chunk: Float[np.ndarray, "execute answer"],
) -> None:
    """Sample a chunk of half-spreads, or of other answers, and write the steps of it that will be quoted.

    What is worked out is what `flowhft.flow.sampler` says. The last evaluation of the network feeds nothing
    but the final sample, so that without a warm start only the rows that are quoted are worked out there;
    every earlier one is needed whole. Where the network is first asked at zero, its first product is not
    worked out.

    Args:
        packed: the policy.
        places: of its parts.
        vectors: `CHUNKS` of a padded chunk's length (noise, known chunk, room), `LAYERS` of a layer's (room,
            zeros), then the standardised features.
        random: state of the stream of random numbers.
        cursor: steps of the chunk that were quoted; chunks that were drawn.
        chunk: written: ticks.
    """
    numbers, weights = packed.numbers, packed.weights
    count, length, padded = int(numbers[SAMPLE]), places.padded_sample, places.padded
    execute, begin, answers = int(numbers[EXECUTE]), numbers[BEGIN], int(numbers[ANSWER])
    noise, known, x, point, velocity = 0, length, 2 * length, 3 * length, 4 * length
    base = CHUNKS * length
    chance = numbers[NOISE_SCALE] > 0.0
    if chance and (cursor[1] == 0 or numbers[HELD] == 0.0):
        for i in range(0, count, 2):
            first, second = normal_pair(random)
            vectors[noise + i] = numbers[NOISE_SCALE] * first
            vectors[noise + i + 1] = numbers[NOISE_SCALE] * second
    start = np.float32(numbers[START])
    warm = np.float32(begin)
    for i in range(np.uint64(count)):
        drawn, before = vectors[np.uint64(noise) + i], vectors[np.uint64(known) + i]
        vectors[np.uint64(x) + i] = (_ONE - warm) * drawn + warm * before
        vectors[np.uint64(point) + i] = start * vectors[np.uint64(x) + i]
    at_zero = start == 0.0 or (not chance and begin == 0.0)
    features, feature = base + LAYERS * padded, int(numbers[FEATURE])
    product(weights, 0, vectors, features, feature, weights, places.input_bias, vectors, base, padded)
    evaluations = int(numbers[EVALUATION])
    for asked in range(evaluations):
        rows = answers * execute if begin == 0.0 and asked == evaluations - 1 else count
        _velocity(packed, places, vectors, base, asked, point, asked == 0 and at_zero, rows, velocity)
        step = places.steps + 4 * asked
        keep, share = np.float32(numbers[step]), np.float32(numbers[step + 1])
        keep_point, share_point = np.float32(numbers[step + 2]), np.float32(numbers[step + 3])
        for i in range(rows):
            vectors[point + i] = keep_point * vectors[x + i] + share_point * vectors[velocity + i]
            vectors[x + i] = keep * vectors[x + i] + share * vectors[velocity + i]
    mean, scale = places.action, places.action + answers
    for step in range(execute):
        for i in range(answers):
            own = _clipped(vectors[x + answers * step + i])
            chunk[step, i] = numbers[mean + i] + numbers[scale + i] * own
    if begin > 0.0:  # the next chunk begins from this one, moved up by what will have been quoted
        for i in range(count):
            last = count - answers + i % answers
            vectors[known + i] = _clipped(vectors[x + min(i + answers * execute, last)])
