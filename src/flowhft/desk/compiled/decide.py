"""A decision, compiled: one function a kind of policy, all of one signature, compiled when first asked for.

Python calls it with flat arrays and numbers, since a tuple as an argument, or as a result that is more than
two numbers, costs a microsecond. Compiled loops call it by its address. The usual quote is two half-spreads
of size 1; every other (a side that is not quoted, another size, a fault) is written to `Memory.state`, and
the half-spreads returned are NaN.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Int64, UInt64
from numba import njit, types

from flowhft.desk.compiled.address import address_of
from flowhft.desk.compiled.compiled import compiled, specialised
from flowhft.types import SCALARS, Observation, Quote

# What may be wrong with a decision.
NO_FAULT, OBSERVATION, OUTPUT, INFINITE, SIZE, RAISED, BOOK = range(7)
FAULT = len(Quote._fields)  # place in `Memory.state`, behind half-spreads and sizes
SENSED = FAULT + 1  # where in it begins what is remembered
NOWHERE = Quote(math.nan, math.nan, 1.0, 1.0)
NO_BOOK = np.zeros(0)  # of a market without one
_COUNT = len(SCALARS)

_FLOATS, _SINGLES = types.Array(types.float64, 1, "C"), types.Array(types.float32, 1, "C")
SIGNATURE = types.UniTuple(types.float64, 2)(
    _FLOATS,
    _SINGLES,
    _FLOATS,
    _FLOATS,
    types.Array(types.float64, 2, "C"),
    types.Array(types.int64, 1, "C"),
    types.Array(types.uint64, 1, "C"),
    _SINGLES,
    *[types.float64] * len(SCALARS),
    _FLOATS,
)


class Packed(NamedTuple):
    """A policy in two flat arrays.

    Attributes:
        numbers: all that is float64, an adapter's numbers first.
        weights: all that is float32.
    """

    numbers: Float[np.ndarray, " number"]
    weights: Float32[np.ndarray, " weight"]


class Memory(NamedTuple):
    """What a frozen policy remembers between two quotes; `quote` changes it in place.

    Attributes:
        state: the last quote that was not two half-spreads of size 1 (half-spreads, ticks, sizes, and what
            was wrong with it, `NO_FAULT` where nothing was); then `sensed`.
        features: what the policy saw last, not standardised.
        chunk: half-spreads that are being executed, ticks; bid, ask.
        cursor: steps of the chunk that have been quoted, and chunks that have been drawn.
        random: state of the policy's own stream of random numbers.
        vectors: noise and chunk that a sampler keeps, and room for intermediate results.
    """

    state: Float[np.ndarray, " number"]
    features: Float[np.ndarray, " feature"]
    chunk: Float[np.ndarray, "execute 2"]
    cursor: Int64[np.ndarray, "2"]
    random: UInt64[np.ndarray, "1"]
    vectors: Float32[np.ndarray, " vectors"]

    @property
    def sensed(self) -> Float[np.ndarray, " packed"]:
        """A flow policy's numbers of `features.pack`; an agent's spread quoted last, ticks."""
        return self.state[SENSED:]


def remember(
    seed: int,
    sensed: Any = (),
    features: int = 0,
    execute: int = 0,
    vectors: int = 0,
) -> Memory:
    """Return the memory of a session that has just begun.

    Args:
        seed: of its stream of random numbers.
        sensed: numbers that are remembered.
        features: how many are seen.
        execute: steps of a chunk.
        vectors: float32 numbers of room.
    """
    return Memory(
        state=np.array([0.0] * SENSED + list(sensed)),
        features=np.zeros(features),
        chunk=np.zeros((execute, 2)),
        cursor=np.array([execute, 0]),  # a chunk at its end: the first quote samples one
        random=np.array([seed % 2**64], np.uint64),
        vectors=np.zeros(vectors, np.float32),
    )


def _quote_of(packed: Packed, memory: Memory, seen: Observation) -> tuple[Quote, int]:
    """Return a kind's quote and what is wrong with it: every kind puts its own in this place."""
    raise NotImplementedError


@njit
def _unknown(seen: Observation) -> bool:
    """Say whether a number of an observation is NaN or infinite."""
    total = 0.0
    for value in seen[:_COUNT]:
        total += value - value
    return total != 0.0


def _decide(
    numbers: Float[np.ndarray, " number"],
    weights: Float32[np.ndarray, " weight"],
    state: Float[np.ndarray, " number"],
    features: Float[np.ndarray, " feature"],
    chunk: Float[np.ndarray, "execute 2"],
    cursor: Int64[np.ndarray, "2"],
    random: UInt64[np.ndarray, "1"],
    vectors: Float32[np.ndarray, " vectors"],
    time: float,
    time_left: float,
    mid_price: float,
    inventory: float,
    cash: float,
    arrivals_bid: float,
    arrivals_ask: float,
    intensity_bid: float,
    intensity_ask: float,
    filled_bid: float,
    filled_ask: float,
    book: Float[np.ndarray, " signal"],
) -> tuple[float, float]:
    """Return the half-spreads of the usual quote; else NaN, and what there is to say in `state`."""
    memory = Memory(state, features, chunk, cursor, random, vectors)
    seen = Observation(
        time, time_left, mid_price, inventory, cash, arrivals_bid, arrivals_ask, intensity_bid, intensity_ask,
        filled_bid, filled_ask, book,
    )  # fmt: skip
    wanted, fault = NOWHERE, OBSERVATION
    if not _unknown(seen):
        wanted, fault = _quote_of(Packed(numbers, weights), memory, seen)
    bid, ask = wanted.half_spread_bid, wanted.half_spread_ask
    usual = wanted.size_bid == 1.0 and wanted.size_ask == 1.0 and bid == bid and ask == ask
    if fault == NO_FAULT and usual:
        return bid, ask
    for index, value in enumerate(wanted):
        state[index] = value
    state[FAULT] = fault
    return math.nan, math.nan


class Decide:
    """A kind's compiled decision.

    Attributes:
        call: (numbers, weights, *memory, *observation) -> half-spreads, ticks; see `Memory.state`.
    """

    def __init__(self, name: str, quote_of: Callable[[], Callable], cache: bool = True) -> None:
        """Keep what is needed to compile it; nothing is compiled yet.

        Args:
            name: that no other decision has.
            quote_of: gives the compiled function that is put for `_quote_of`.
            cache: whether the disk may keep it.
        """
        self._name, self._quote_of, self._cache = name, quote_of, cache
        self._compiled: Any = None
        self.call: Callable[..., tuple[float, float]] = self._first

    def _first(self, *arguments: Any) -> tuple[float, float]:
        return self.compiled(*arguments)

    @property
    def compiled(self) -> Any:
        """Return numba's function, compiled now where it was not yet."""
        if self._compiled is None:
            made = specialised(_decide, f"decide_{self._name}", _quote_of=self._quote_of())
            self._compiled = self.call = compiled(made, SIGNATURE, cache=self._cache)
        return self._compiled

    @property
    def address(self) -> int:
        """Return the address at which compiled loops call it."""
        return address_of(self.compiled)


@njit
def as_floats(quote: Quote) -> Quote:
    """Return a quote of floats, whatever numbers it was made of."""
    return Quote(
        float(quote.half_spread_bid),
        float(quote.half_spread_ask),
        float(quote.size_bid),
        float(quote.size_ask),
    )
