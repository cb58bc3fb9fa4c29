"""The folded network and its sampler, compiled.

A network of width 128 is read from the processor's cache at nearly the speed at which the cache gives it
out, row by row: every weight is used once a call, so nothing but the bytes read counts. float32, no
allocation, sums in any order (hence `fastmath` where sums run); NaN stays NaN.
"""

import math

import numpy as np
from jaxtyping import Float, Float32, UInt64
from numba import njit

from flowhft.frozen.chance import normal_pair
from flowhft.frozen.plain import EPSILON, REACH
from flowhft.frozen.policy import Network

_ANY_ORDER = {"reassoc", "contract", "arcp", "nsz"}  # without nnan and ninf: a NaN must reach the quote
_ONE, _HALF = np.float32(1.0), np.float32(0.5)
_MINUS_LOG2_E = np.float32(-1.0 / math.log(2.0))
# Taylor series of 2^f; on |f| <= 1/2 what is left out is below 6e-9.
_POWER_SERIES = tuple(np.float32(math.log(2.0) ** n / math.factorial(n)) for n in range(8))
_LARGEST_EXPONENT = np.float32(87.0)  # exp of it is still finite in float32
SCRATCH_ROWS = 7  # vectors of intermediate results, so that a quote allocates nothing
_MANTISSA_BITS, _EXPONENT_BIAS = np.int32(23), np.int32(127)


@njit(fastmath=_ANY_ORDER, error_model="numpy")
def _affine(weight: np.ndarray, x: np.ndarray, bias: np.ndarray, rows: int, out: np.ndarray) -> None:
    """Write weight x + bias, of the first `rows` rows."""
    for row in range(rows):
        total = np.float32(0.0)
        for column in range(x.size):
            total += weight[row, column] * x[column]
        out[row] = total + bias[row]


@njit(fastmath=_ANY_ORDER, error_model="numpy")
def _norm(x: np.ndarray, scale: np.ndarray, out: np.ndarray) -> None:
    """Write x with mean 0 and variance 1, times scale."""
    per_element = _ONE / np.float32(x.size)
    total = np.float32(0.0)
    for i in range(x.size):
        total += x[i]
    mean = total * per_element
    squares = np.float32(0.0)
    for i in range(x.size):
        squares += (x[i] - mean) * (x[i] - mean)
    factor = _ONE / np.float32(math.sqrt(squares * per_element + np.float32(EPSILON)))
    for i in range(x.size):
        out[i] = (x[i] - mean) * factor * scale[i]


@njit(fastmath=_ANY_ORDER, error_model="numpy")
def _silu(x: np.ndarray) -> None:
    """Replace x by x / (1 + exp(-x)), to about 1e-7.

    exp(-x) = 2^whole 2^rest with `rest` in (-1/2, 1/2): a short series and an exponent written into the
    float's bits. Unlike a call of the exponential function the loop becomes vector instructions, which
    makes it ten times as fast.
    """
    for i in range(x.size):
        clipped = min(max(x[i], -_LARGEST_EXPONENT), _LARGEST_EXPONENT)
        exponent = clipped * _MINUS_LOG2_E
        whole = np.floor(exponent + _HALF)
        rest = exponent - whole
        power = _POWER_SERIES[7]
        power = power * rest + _POWER_SERIES[6]
        power = power * rest + _POWER_SERIES[5]
        power = power * rest + _POWER_SERIES[4]
        power = power * rest + _POWER_SERIES[3]
        power = power * rest + _POWER_SERIES[2]
        power = power * rest + _POWER_SERIES[1]
        power = power * rest + _POWER_SERIES[0]
        two_to_whole = np.int32((np.int32(whole) + _EXPONENT_BIAS) << _MANTISSA_BITS).view(np.float32)
        x[i] = x[i] / (_ONE + power * two_to_whole)


# Inlined before compiling: else numba would optimise it here and again in every caller, for seconds.
@njit(fastmath=_ANY_ORDER, error_model="numpy", inline="always")
def _velocity(
    network: Network, scratch: np.ndarray, time: int, x: np.ndarray, at_zero: bool, rows: int, out: np.ndarray
) -> None:
    """Write the first `rows` numbers of the velocity at x and at the sampler's flow time number `time`."""
    width = network.input_bias.size
    base, hidden, inner, outer = (
        scratch[0, :width],
        scratch[1, :width],
        scratch[2, :width],
        scratch[3, :width],
    )
    if at_zero:
        for row in range(width):  # by element: numba takes seconds to compile an assignment of arrays
            hidden[row] = base[row]
    else:
        _affine(network.input_sample, x, base, width, hidden)
    for block in range(network.weight_1.shape[0]):
        _norm(hidden, network.modulation[time, block, 0], inner)
        _affine(network.weight_1[block], inner, network.modulation[time, block, 1], width, outer)
        _silu(outer)
        weight_2 = network.weight_2[block]
        gate, bias_2 = network.modulation[time, block, 2], network.modulation[time, block, 3]
        for row in range(width):
            total = np.float32(0.0)
            for column in range(width):
                total += weight_2[row, column] * outer[column]
            hidden[row] += gate[row] * total + bias_2[row]
    _norm(hidden, network.output_scale[time], inner)
    _affine(network.output_weight, inner, network.output_bias[time], rows, out)


@njit(fastmath=_ANY_ORDER, error_model="numpy")
def sample_chunk(
    network: Network,
    features: Float32[np.ndarray, " feature"],
    scratch: Float32[np.ndarray, "7 longest"],
    random: UInt64[np.ndarray, "1"],
    chunk: Float[np.ndarray, "execute 2"],
) -> None:
    """Sample a chunk of half-spreads and write the steps of it that will be quoted.

    The last evaluation of the network feeds nothing but the final sample, so that only the rows which are
    quoted are worked out there; every earlier one is needed whole. Without noise the first starts at x = 0.

    Args:
        network: folded.
        features: standardised.
        scratch: room for `SCRATCH_ROWS` vectors of the longer of width and sample.
        random: state of the stream of random numbers.
        chunk: written: ticks.
    """
    width, count = network.input_sample.shape
    x, point, velocity = scratch[4, :count], scratch[5, :count], scratch[6, :count]
    chance = network.noise_scale > 0.0
    for i in range(0, count, 2):
        first, second = normal_pair(random) if chance else (0.0, 0.0)
        x[i] = point[i] = network.noise_scale * first
        x[i + 1] = point[i + 1] = network.noise_scale * second
    _affine(network.input_features, features, network.input_bias, width, scratch[0, :width])
    stages = 1 + network.solver  # Heun: the mean of the velocities here and at the end of an Euler step
    evaluations = network.steps * stages
    step_size = np.float32(1.0 / network.steps)
    share = step_size / np.float32(stages)
    for evaluation in range(evaluations):
        step, stage = evaluation // stages, evaluation % stages
        rows = chunk.size if evaluation == evaluations - 1 else count
        _velocity(network, scratch, step + stage, point, evaluation == 0 and not chance, rows, velocity)
        predict = stage < stages - 1
        for i in range(rows):
            ahead = x[i] + step_size * velocity[i]
            x[i] += share * velocity[i]
            point[i] = ahead if predict else x[i]
    for i in range(chunk.size):
        side = i % 2
        scaled = x[i]
        if scaled > REACH:  # comparisons, not min and max, so that NaN stays NaN
            scaled = np.float32(REACH)
        elif scaled < -REACH:
            scaled = np.float32(-REACH)
        chunk[i // 2, side] = network.action_mean[side] + network.action_scale[side] * scaled
