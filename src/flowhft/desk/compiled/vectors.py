"""Vector arithmetic of small networks, compiled: float32, no allocation, sums in any order; NaN stays NaN.

A network of width 128 is read from the processor's second cache, every weight once a call, so that nothing
but the bytes read should count. `product` therefore keeps a tile of its results in vector registers while it
goes through the columns of the matrix, whose weights lie in the very order in which they are read. It is
written in LLVM's own language, since no loop in Python's makes numba keep a tile in registers; the compiler
turns it into the vector instructions that the processor has.
"""

import math
from typing import Any

import numpy as np
from jaxtyping import Float32
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from flowhft.desk.compiled.packing import HALF_TILE, TILE
from flowhft.policies.plain import EPSILON

ANY_ORDER = {"reassoc", "contract", "arcp", "nsz"}  # without nnan and ninf: a NaN must reach the quote
_ONE, _HALF, _TWO = np.float32(1.0), np.float32(0.5), np.float32(2.0)
_MINUS_LOG2_E = np.float32(-1.0 / math.log(2.0))
# Taylor series of 2^f; on |f| <= 1/2 what is left out is below 6e-9.
_POWER_SERIES = tuple(np.float32(math.log(2.0) ** n / math.factorial(n)) for n in range(8))
_LARGEST_EXPONENT = np.float32(87.0)  # exp of it is still finite in float32
_MANTISSA_BITS, _EXPONENT_BIAS = np.int32(23), np.int32(127)

# Read and written by places: slices of arrays cost reference counts. Places are unsigned in loops, since
# numba asks of every other whether it is negative, and then no loop becomes vector instructions.
Vector = Float32[np.ndarray, " number"]

_LANES = 16
# Sums that are kept apart for each register, a power of two. Four registers are enough for loading to be what
# takes time; with two, additions would wait for one another.
APART, HALF_APART = 1, 4
_FLOAT, _INT = ir.FloatType(), ir.IntType(64)
_VECTOR = ir.VectorType(_FLOAT, _LANES)
_ZEROS = ir.Constant(_VECTOR, [0.0] * _LANES)
_UNDEFINED = ir.Constant(_VECTOR, ir.Undefined)
_FIRST_LANE = ir.Constant(ir.IntType(32), 0)
_ALL_FIRST = ir.Constant(ir.VectorType(ir.IntType(32), _LANES), [0] * _LANES)


def _at(builder: Any, base: Any, index: Any) -> Any:
    """Return the address of the vector that begins at an index."""
    return builder.bitcast(builder.gep(base, [index]), _VECTOR.as_pointer())


def _load(builder: Any, base: Any, index: Any) -> Any:
    loaded = builder.load(_at(builder, base, index))
    loaded.align = 4  # no more than a float's alignment is promised
    return loaded


def _store(builder: Any, value: Any, base: Any, index: Any) -> None:
    stored = builder.store(value, _at(builder, base, index))
    stored.align = 4


def _product(
    typingctx: Any,
    weights: Any,
    matrix: Any,
    x: Any,
    column: Any,
    columns: Any,
    bias: Any,
    first: Any,
    out: Any,
    row: Any,
    rows: Any,
) -> Any:
    """Write weights x + bias. All arrays are float32 of one axis; with each goes where in it to begin.

    Args:
        typingctx: numba's.
        weights: the matrix in the order of `flowhft.desk.compiled.packing.tiled`, from `matrix` on.
        matrix: a place in `weights`.
        x: a number a column, from `column` on.
        column: a place in `x`.
        columns: how many, at least one.
        bias: a number a row, from `first` on.
        first: a place in `bias`.
        out: written, from `row` on; not where x or bias are.
        row: a place in `out`.
        rows: how many, a multiple of `HALF_TILE`.
    """
    index = types.intp
    signature = types.void(weights, index, x, index, index, bias, index, out, index, index)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        def begin(index: int) -> Any:
            array = context.make_array(signature.args[index])(context, builder, arguments[index])
            return builder.gep(array.data, [arguments[index + 1]])

        of_weights, of_x, of_bias, of_out = begin(0), begin(2), begin(5), begin(7)
        columns, rows = arguments[4], arguments[9]

        def number(value: int) -> Any:
            return ir.Constant(_INT, value)

        def tile(row: Any, registers: int, apart: int) -> None:
            """Write the tile that begins with a row: as many registers, and sums kept `apart` for each."""
            lanes = [number(_LANES * register) for register in range(registers)]
            height = number(_LANES * registers)
            at = builder.gep(of_weights, [builder.mul(row, columns)])
            sums = [[cgutils.alloca_once(builder, _VECTOR) for _ in lanes] for _ in range(apart)]
            for index, totals in enumerate(sums):
                for total, lane in zip(totals, lanes, strict=True):
                    begun = _ZEROS if index else _load(builder, of_bias, builder.add(row, lane))
                    builder.store(begun, total)

            def add_column(column: Any, totals: list[Any]) -> None:
                first = builder.load(builder.gep(of_x, [column]))
                one = builder.insert_element(_UNDEFINED, first, _FIRST_LANE)
                everywhere = builder.shuffle_vector(one, _UNDEFINED, _ALL_FIRST)
                beginning = builder.mul(column, height)
                for total, lane in zip(totals, lanes, strict=True):
                    factor = _load(builder, at, builder.add(beginning, lane))
                    term = builder.fmul(factor, everywhere, flags=("contract",))
                    builder.store(builder.fadd(builder.load(total), term, flags=("contract",)), total)

            whole = builder.sub(columns, builder.srem(columns, number(apart)))
            with cgutils.for_range_slice(builder, number(0), whole, number(apart), intp=_INT) as (first, _):
                for index, totals in enumerate(sums):
                    add_column(builder.add(first, number(index)), totals)
            with cgutils.for_range_slice(builder, whole, columns, number(1), intp=_INT) as (column, _):
                add_column(column, sums[0])
            for register, lane in enumerate(lanes):
                added = [builder.load(totals[register]) for totals in sums]
                while len(added) > 1:
                    half = len(added) // 2
                    added = [builder.fadd(a, b) for a, b in zip(added[:half], added[half:], strict=True)]
                _store(builder, added[0], of_out, builder.add(row, lane))

        over = builder.srem(rows, number(TILE))
        full = builder.sub(rows, over)
        with cgutils.for_range_slice(builder, number(0), full, number(TILE), intp=_INT) as (row, _):
            tile(row, TILE // _LANES, APART)
        with builder.if_then(builder.icmp_signed("!=", over, number(0))):
            tile(full, HALF_TILE // _LANES, HALF_APART)
        return context.get_dummy_value()

    return signature, generate


product: Any = intrinsic(_product)  # its first argument is numba's: callers give the others


@njit(fastmath=ANY_ORDER, error_model="numpy")
def rows_product(
    weights: Vector,
    matrix: int,
    x: Vector,
    column: int,
    columns: int,
    bias: Vector,
    first: int,
    out: Vector,
    row: int,
    rows: int,
) -> None:
    """Write weights x + bias like `product`, for a matrix that lies row after row, and any number of rows."""
    for i in range(rows):
        total = np.float32(0.0)
        begin, start = np.uint64(matrix + i * columns), np.uint64(column)
        for j in range(np.uint64(columns)):
            total += weights[begin + j] * x[start + j]
        out[row + i] = total + bias[first + i]


@njit(fastmath=ANY_ORDER, error_model="numpy")
def norm(vectors: Vector, x: int, width: int, weights: Vector, scale: int, out: int, padded: int) -> None:
    """Write x with mean 0 and variance 1, times a scale.

    Args:
        vectors: where x is, and where the result goes.
        x: place of the first number.
        width: how many count for mean and variance.
        weights: where the scale is.
        scale: place of its first number.
        out: place of the first result.
        padded: how many numbers are written.
    """
    per_element = _ONE / np.float32(width)
    at_x, at_scale, at_out = np.uint64(x), np.uint64(scale), np.uint64(out)
    total = np.float32(0.0)
    for i in range(np.uint64(width)):
        total += vectors[at_x + i]
    mean = total * per_element
    squares = np.float32(0.0)
    for i in range(np.uint64(width)):
        squares += (vectors[at_x + i] - mean) * (vectors[at_x + i] - mean)
    factor = _ONE / np.float32(math.sqrt(squares * per_element + np.float32(EPSILON)))
    for i in range(np.uint64(padded)):
        vectors[at_out + i] = (vectors[at_x + i] - mean) * factor * weights[at_scale + i]


@njit(fastmath=ANY_ORDER, error_model="numpy")
def silu(vectors: Vector, begin: int, end: int) -> None:
    """Replace every x from `begin` to before `end` by x / (1 + exp(-x)), to about 1e-7.

    exp(-x) = 2^whole 2^rest with `rest` in (-1/2, 1/2): a short series and an exponent written into the
    float's bits. Unlike a call of the exponential function the loop becomes vector instructions, which
    makes it ten times as fast.
    """
    for i in range(np.uint64(begin), np.uint64(end)):
        x = vectors[i]
        clipped = min(max(x, -_LARGEST_EXPONENT), _LARGEST_EXPONENT)
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
        vectors[i] = x / (_ONE + power * two_to_whole)


@njit(fastmath=ANY_ORDER, error_model="numpy")
def tanh(vectors: Vector, begin: int, end: int) -> None:
    """Replace every x from `begin` to before `end` by tanh x = 2 / (1 + exp(-2 x)) - 1, to about 1e-7.

    The exponential is that of `silu`.
    """
    for i in range(np.uint64(begin), np.uint64(end)):
        x = vectors[i] + vectors[i]
        clipped = min(max(x, -_LARGEST_EXPONENT), _LARGEST_EXPONENT)
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
        # x - x: min and max let go of a NaN
        vectors[i] = _TWO / (_ONE + power * two_to_whole) - _ONE + (x - x)


@njit(fastmath=ANY_ORDER, error_model="numpy")
def add_gated(vectors: Vector, x: int, term: int, weights: Vector, gate: int, bias: int, count: int) -> None:
    """Add gate term + bias, element by element, to the `count` numbers x; the last two lie in `weights`."""
    at_x, at_term, at_gate, at_bias = np.uint64(x), np.uint64(term), np.uint64(gate), np.uint64(bias)
    for i in range(np.uint64(count)):
        vectors[at_x + i] += weights[at_gate + i] * vectors[at_term + i] + weights[at_bias + i]


@njit(fastmath=ANY_ORDER, error_model="numpy")
def squash(vectors: Vector, begin: int, end: int) -> None:
    """Replace every x from `begin` to before `end` by x / sqrt(1 + x^2)."""
    for i in range(np.uint64(begin), np.uint64(end)):
        vectors[i] = vectors[i] / np.float32(math.sqrt(_ONE + vectors[i] * vectors[i]))
