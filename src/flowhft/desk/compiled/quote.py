"""Quote with a frozen policy: the same compiled function for every policy, a few microseconds a call.

    memory = begin(frozen, seed)
    while trading:
        wanted = quote(frozen, memory, observation)  # wanted.half_spread_bid, ...

Features, experts and adapter are the very functions that the lab runs, compiled here. As in the lab, where
the adapter wraps a policy from outside, the previous spread that a policy remembers is that of its own
quote, before the adapter.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Int64, UInt64
from numba import njit
from numba.extending import overload

from flowhft import features
from flowhft.desk.compiled.chance import uniform
from flowhft.desk.compiled.compiled import compiled
from flowhft.desk.compiled.packing import (
    ADAPTER,
    COEFFICIENTS,
    EXECUTE,
    FEATURE_KIND,
    KIND,
    SENSOR,
    UNIT,
    Packed,
    Places,
    places_in,
)
from flowhft.desk.compiled.plain import REACH
from flowhft.desk.compiled.policy import AVELLANEDA_STOIKOV, FLOW, GLFT, NO_QUOTE, WHITE_NOISE, Frozen
from flowhft.desk.compiled.regime import regime_adapter, room_for
from flowhft.desk.compiled.sampler import CHUNKS, LAYERS, sample_chunk
from flowhft.features import PAPER
from flowhft.policies import adapter
from flowhft.policies.rules import avellaneda_stoikov, glft, oracle, white_noise
from flowhft.types import Observation, Quote

_made = tuple.__new__  # a named tuple's own constructor is Python, and costs a tenth of a microsecond
_numpy_rules = njit(error_model="numpy")
_places_in = _numpy_rules(places_in)
_sense = _numpy_rules(features.sense)
_pack = _numpy_rules(features.pack)
_unpack: Any = _numpy_rules(features.unpack)  # of an array
_paper_features = _numpy_rules(features.paper_features)
_context_features = _numpy_rules(features.context_features)
_note_quote = _numpy_rules(features.note_quote)
_adapt_quote = _numpy_rules(adapter.adapt_quote)
_compose = _numpy_rules(adapter.compose)
_quote_white_noise = _numpy_rules(white_noise.quote)
_quote_avellaneda_stoikov = _numpy_rules(avellaneda_stoikov.quote)
_quote_glft = _numpy_rules(glft.quote)
_quote_oracle = _numpy_rules(oracle.quote)


class Memory(NamedTuple):
    """What a frozen policy remembers between two quotes; `quote` changes it in place.

    Attributes:
        sensed: the numbers of `features.pack`.
        features: what the policy saw last, not standardised.
        chunk: half-spreads that are being executed, ticks; bid, ask.
        cursor: steps of the chunk that have been quoted, and chunks that have been drawn.
        random: state of the policy's own stream of random numbers.
        vectors: noise and chunk that a sampler keeps, and room for intermediate results.
    """

    sensed: Float[np.ndarray, " packed"]
    features: Float[np.ndarray, " feature"]
    chunk: Float[np.ndarray, "execute 2"]
    cursor: Int64[np.ndarray, "2"]
    random: UInt64[np.ndarray, "1"]
    vectors: Float32[np.ndarray, " vectors"]


@njit
def _store(row: np.ndarray, numbers: tuple) -> None:
    for i in range(len(numbers)):
        row[i] = numbers[i]


@njit
def _room_at(places: Places) -> int:
    """Return where in `Memory.vectors` the room for features begins, and for a regime adapter."""
    return CHUNKS * places.padded_sample + LAYERS * places.padded


@njit(error_model="numpy")
def _standardise(packed: Packed, places: Places, features: np.ndarray, vectors: np.ndarray, out: int) -> None:
    numbers, mean, deviation = packed.numbers, np.uint64(places.mean), np.uint64(places.deviation)
    at_out = np.uint64(out)
    for i in range(np.uint64(features.size)):  # unsigned, so that it becomes vector instructions
        standard = (features[i] - numbers[mean + i]) / numbers[deviation + i]
        standard = REACH if standard > REACH else standard  # not min and max, so that NaN stays NaN
        vectors[at_out + i] = -REACH if standard < -REACH else standard


@njit(error_model="numpy")
def _quote_flow(packed: Packed, places: Places, memory: Memory, seen: Observation) -> Quote:
    numbers, n = packed.numbers, SENSOR
    sensor = features.Sensor(
        numbers[n],
        numbers[n + 1],
        numbers[n + 2],
        numbers[n + 3],
        numbers[n + 4],
        numbers[n + 5],
        numbers[n + 6],
    )
    sensed = _sense(sensor, _unpack(memory.sensed), seen)
    fresh = memory.cursor[0] >= int(numbers[EXECUTE])
    if fresh or numbers[UNIT] > 0.0:  # a regime adapter looks at every step
        if numbers[FEATURE_KIND] == PAPER:
            _store(memory.features, _paper_features(sensor, sensed, seen))
        else:
            _store(memory.features, _context_features(sensor, sensed, seen))
    if fresh:
        _standardise(packed, places, memory.features, memory.vectors, _room_at(places))
        sample_chunk(packed, places, memory.vectors, memory.random, memory.cursor, memory.chunk)
        memory.cursor[0] = 0
        memory.cursor[1] += 1
    step = memory.cursor[0]
    own = Quote(memory.chunk[step, 0], memory.chunk[step, 1], 1.0, 1.0)
    memory.cursor[0] += 1
    _store(memory.sensed, _pack(_note_quote(sensed, own)))
    return own


def begin(frozen: Frozen, seed: int) -> Memory:
    """Return the memory with which a session begins. Python calls it, before a compiled loop.

    Args:
        frozen: the policy.
        seed: of its stream of random numbers, see `flowhft.runs.folder.stream`; without effect where none is
            drawn.
    """
    network = frozen.network
    places = places_in(frozen.packed.numbers)
    feature = network.feature_mean.size
    room = max(feature, room_for(feature, frozen.regime.bias_1.size))
    return Memory(
        sensed=np.array(features.pack(features.remember_nothing(network.sensor))),
        features=np.zeros(feature),
        chunk=np.zeros((network.execute, 2)),
        cursor=np.array([network.execute, 0]),  # a chunk at its end: the first quote samples one
        random=np.array([seed % 2**64], np.uint64),
        vectors=np.zeros(CHUNKS * places.padded_sample + LAYERS * places.padded + room, np.float32),
    )


@compiled
def decide(
    numbers: Float[np.ndarray, " number"],
    weights: Float32[np.ndarray, " weight"],
    sensed: Float[np.ndarray, " packed"],
    seen_features: Float[np.ndarray, " feature"],
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
) -> tuple[float, float]:
    """Return the half-spreads of `quote`: the same with nothing but numbers and flat arrays as arguments.

    A tuple as an argument, or as a result that is more than two numbers, costs Python a microsecond.
    """
    packed, memory = Packed(numbers, weights), Memory(sensed, seen_features, chunk, cursor, random, vectors)
    seen = Observation(
        float(time),
        float(time_left),
        float(mid_price),
        float(inventory),
        float(cash),
        float(arrivals_bid),
        float(arrivals_ask),
        float(intensity_bid),
        float(intensity_ask),
        float(filled_bid),
        float(filled_ask),
    )
    kind = int(numbers[KIND])
    a, c = ADAPTER, COEFFICIENTS
    adapting = adapter.Adapter(numbers[a], numbers[a + 1], numbers[a + 2], numbers[a + 3], numbers[a + 4])
    c0, c1, c2, c3 = numbers[c], numbers[c + 1], numbers[c + 2], numbers[c + 3]
    if kind == FLOW:
        places = _places_in(numbers)
        own = _quote_flow(packed, places, memory, seen)
        if numbers[UNIT] > 0.0:
            now = regime_adapter(packed, places, seen_features, vectors, _room_at(places))
            adapting = _compose(adapting, now)
    elif kind == WHITE_NOISE:
        noise = (uniform(random), uniform(random))
        own = _quote_white_noise(white_noise.Coefficients(c0), seen, noise)
    elif kind == AVELLANEDA_STOIKOV:
        own = _quote_avellaneda_stoikov(avellaneda_stoikov.Coefficients(c0, c1, c2), seen, (0.0, 0.0))
    elif kind == GLFT:
        own = _quote_glft(glft.Coefficients(c0, c1, c2, c3), seen, (0.0, 0.0))
    elif kind == NO_QUOTE:
        own = Quote(math.nan, math.nan, 1.0, 1.0)
    elif math.isfinite(seen.time_left) and math.isfinite(seen.inventory):
        table = numbers[_places_in(numbers).table :].reshape((int(c2) + 2, 2 * int(c3) + 1, 2))
        own = _quote_oracle(oracle.Coefficients(c0, c1, c2, c3, table), seen, (0.0, 0.0))
    else:
        own = Quote(math.nan, math.nan, 1.0, 1.0)  # no row of an oracle's table has this number
    adapted = _adapt_quote(adapting, own, seen)
    return adapted.half_spread_bid, adapted.half_spread_ask


def quote(frozen: Frozen, memory: Memory, observation: Observation) -> Quote:
    """Return the policy's quote for an observation, and change its memory in place.

    Python and compiled loops call it alike.

    Args:
        frozen: the policy.
        memory: from `begin`, of this policy and this session.
        observation: what the market maker sees. Give floats: for every other mix of types numba compiles the
            work once more.

    Returns:
        Half-spreads of bid and ask, ticks.
    """
    return _made(Quote, (*decide(*frozen.packed, *memory, *observation), 1.0, 1.0))


@overload(quote, jit_options={"error_model": "numpy"})
def _quote_in_a_loop(frozen: Frozen, memory: Memory, observation: Observation) -> Callable:
    def compiled_quote(frozen: Frozen, memory: Memory, observation: Observation) -> Quote:
        bid, ask = decide(
            frozen.packed.numbers,
            frozen.packed.weights,
            memory.sensed,
            memory.features,
            memory.chunk,
            memory.cursor,
            memory.random,
            memory.vectors,
            float(observation.time),
            float(observation.time_left),
            float(observation.mid_price),
            float(observation.inventory),
            float(observation.cash),
            float(observation.arrivals_bid),
            float(observation.arrivals_ask),
            float(observation.intensity_bid),
            float(observation.intensity_ask),
            float(observation.filled_bid),
            float(observation.filled_ask),
        )
        return Quote(bid, ask, 1.0, 1.0)

    return compiled_quote
