"""Quote with a frozen policy: the same compiled function for every policy, a few microseconds a call.

    memory = begin(frozen, seed)
    while trading:
        half_spread_bid, half_spread_ask = quote(frozen, memory, observation)

Features, experts and adapter are the very functions that the lab runs, compiled here. As in the lab, where
the adapter wraps a policy from outside, the previous spread that a policy remembers is that of its own
quote, before the adapter.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Int64, UInt64
from numba import njit

from flowhft import adapter, features
from flowhft.experts import avellaneda_stoikov, glft, oracle, white_noise
from flowhft.features import PAPER
from flowhft.frozen.chance import uniform
from flowhft.frozen.compiled import compiled
from flowhft.frozen.plain import REACH
from flowhft.frozen.policy import AVELLANEDA_STOIKOV, GLFT, ORACLE, WHITE_NOISE, Frozen, Network
from flowhft.frozen.sampler import SCRATCH_ROWS, sample_chunk
from flowhft.types import Observation, Quote

_numpy_rules = njit(error_model="numpy")
_sense = _numpy_rules(features.sense)
_paper_features = _numpy_rules(features.paper_features)
_context_features = _numpy_rules(features.context_features)
_note_quote = _numpy_rules(features.note_quote)
_adapt_quote = _numpy_rules(adapter.adapt_quote)
_quote_white_noise = _numpy_rules(white_noise.quote)
_quote_avellaneda_stoikov = _numpy_rules(avellaneda_stoikov.quote)
_quote_glft = _numpy_rules(glft.quote)
_quote_oracle = _numpy_rules(oracle.quote)


class Memory(NamedTuple):
    """What a frozen policy remembers between two quotes; `quote` changes it in place.

    Attributes:
        sensed: the fields of `features.Memory`.
        chunk: half-spreads that are being executed, ticks; bid, ask.
        cursor: steps of the chunk that have been quoted.
        random: state of the policy's own stream of random numbers.
        features: standardised.
        scratch: room for intermediate results.
    """

    sensed: Float[np.ndarray, "10"]
    chunk: Float[np.ndarray, "execute 2"]
    cursor: Int64[np.ndarray, "1"]
    random: UInt64[np.ndarray, "1"]
    features: Float32[np.ndarray, " feature"]
    scratch: Float32[np.ndarray, "7 longest"]


@njit
def _store(sensed: np.ndarray, value: features.Memory) -> None:
    for i, number in enumerate(value):
        sensed[i] = number


@njit
def _load(m: np.ndarray) -> features.Memory:
    return features.Memory(m[0], m[1], m[2], m[3], m[4], m[5], m[6], m[7], m[8], m[9])


@njit(error_model="numpy")
def _standardise(network: Network, values: tuple, out: np.ndarray) -> None:
    for i, value in enumerate(values):
        standard = (value - network.feature_mean[i]) / network.feature_std[i]
        if standard > REACH:  # comparisons, not min and max, so that NaN stays NaN
            standard = REACH
        elif standard < -REACH:
            standard = -REACH
        out[i] = standard


@njit(error_model="numpy", inline="always")
def _quote_flow(network: Network, memory: Memory, observation: Observation) -> Quote:
    sensed = _sense(network.sensor, _load(memory.sensed), observation)
    if memory.cursor[0] >= network.execute:
        if network.feature_kind == PAPER:
            _standardise(network, _paper_features(network.sensor, sensed, observation), memory.features)
        else:
            _standardise(network, _context_features(network.sensor, sensed, observation), memory.features)
        sample_chunk(network, memory.features, memory.scratch, memory.random, memory.chunk)
        memory.cursor[0] = 0
    step = memory.cursor[0]
    own = Quote(memory.chunk[step, 0], memory.chunk[step, 1])
    memory.cursor[0] += 1
    _store(memory.sensed, _note_quote(sensed, own))
    return own


def begin(frozen: Frozen, seed: int) -> Memory:
    """Return the memory with which a session begins. Python calls it, before a compiled loop.

    Args:
        frozen: the policy.
        seed: of its stream of random numbers, see `flowhft.runs.stream`; without effect where none is drawn.
    """
    network = frozen.network
    width, sample = network.input_sample.shape
    feature = network.feature_mean.size
    return Memory(
        sensed=np.array(features.remember_nothing(network.sensor)),
        chunk=np.zeros((network.execute, 2)),
        cursor=np.array([network.execute]),  # a chunk at its end: the first quote samples one
        random=np.array([seed % 2**64], np.uint64),
        features=np.zeros(feature, np.float32),
        scratch=np.zeros((SCRATCH_ROWS, max(width, sample)), np.float32),
    )


@compiled
def quote(frozen: Frozen, memory: Memory, observation: Observation) -> Quote:
    """Return the policy's quote for an observation, and change its memory in place.

    Args:
        frozen: the policy.
        memory: from `begin`, of this policy and this session.
        observation: what the market maker sees. Give floats: for every other mix of types numba compiles this
            function once more (the work behind it is compiled once).

    Returns:
        Half-spreads of bid and ask, ticks.
    """
    seen = Observation(
        float(observation.time),
        float(observation.time_left),
        float(observation.mid_price),
        float(observation.inventory),
        float(observation.cash),
        float(observation.arrivals_bid),
        float(observation.arrivals_ask),
        float(observation.intensity_bid),
        float(observation.intensity_ask),
    )
    c = frozen.coefficients
    if frozen.kind == WHITE_NOISE:
        noise = (uniform(memory.random), uniform(memory.random))
        own = _quote_white_noise(white_noise.Coefficients(c[0]), seen, noise)
    elif frozen.kind == AVELLANEDA_STOIKOV:
        own = _quote_avellaneda_stoikov(avellaneda_stoikov.Coefficients(c[0], c[1], c[2]), seen, (0.0, 0.0))
    elif frozen.kind == GLFT:
        own = _quote_glft(glft.Coefficients(c[0], c[1], c[2], c[3]), seen, (0.0, 0.0))
    elif frozen.kind == ORACLE:
        if math.isfinite(seen.time_left) and math.isfinite(seen.inventory):
            own = _quote_oracle(oracle.Coefficients(c[0], c[1], c[2], c[3], frozen.table), seen, (0.0, 0.0))
        else:
            own = Quote(math.nan, math.nan)  # no row of a table has this number
    else:
        own = _quote_flow(frozen.network, memory, seen)
    return _adapt_quote(frozen.adapter, own, seen.inventory)
