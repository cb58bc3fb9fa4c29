"""How long a frozen policy takes to decide, on this machine, in turns with a C kernel of the same size."""

import time
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int64

from flowhft.desk.compiled.compiled import compiled
from flowhft.desk.compiled.decide import Memory, Packed
from flowhft.desk.compiled.flow import FLOW
from flowhft.desk.compiled.fold import fold, weight_shapes
from flowhft.desk.compiled.packing import aligned
from flowhft.desk.compiled.peer import LAYOUTS, Peer
from flowhft.desk.compiled.policy import Frozen
from flowhft.desk.compiled.quote import Desk, begin, desk_of, quote
from flowhft.features import NAMES, sensor_in_units
from flowhft.policies.plan import euler
from flowhft.types import Observation

BLOCKS, HORIZON = 3, 16  # of an untrained policy: those of the default one
ROUNDS = 20  # turns, so that a busy moment of the machine meets both; each with the weights at another place
WARM = 20  # calls at a new place that are not timed
BATCH = 50  # quotes of a compiled loop per reading of the clock
COLD_CALLS = 40
OTHER_DATA = 64 * 2**20  # bytes: more than the caches of a core hold


class Latency(NamedTuple):
    """Time of a decision, microseconds.

    Attributes:
        width: units of a hidden layer, of the widest where they differ.
        evaluations: of the network, for one chunk.
        p50_us, p99_us, p999_us, max_us: quantiles of one call from Python, observation to quote.
        cold_us: median of such calls after other data went through the caches.
        loop_us: median of the mean over a batch within a compiled loop.
        c_rows_us, c_rows_p99_us: median and 99th percentile of the network alone in C, its matrices row by
            row; None without a compiler, for an agent, and for a policy with noise or a warm start.
        c_columns_us, c_columns_p99_us: the same with the matrices column by column.
        ratio: p50_us over the median of the faster of the two.
    """

    width: int
    evaluations: int
    p50_us: float
    p99_us: float
    p999_us: float
    max_us: float
    cold_us: float
    loop_us: float
    c_rows_us: float | None = None
    c_rows_p99_us: float | None = None
    c_columns_us: float | None = None
    c_columns_p99_us: float | None = None
    ratio: float | None = None


def untrained(width: int, evaluations: int) -> Frozen:
    """Return a policy of the default shape with random weights: it takes as long as a trained one."""
    random = np.random.default_rng(0)
    feature = len(NAMES["context"])
    weights = {
        name: (random.normal(size=shape) / np.sqrt(shape[-1])).astype(np.float32)
        for name, shape in weight_shapes(feature, 2 * HORIZON, width, BLOCKS).items()
    }
    return fold(
        weights,
        np.zeros(feature),
        np.ones(feature),
        np.ones(2),
        np.ones(2),
        sensor_in_units(half_spread=1.0, dt=0.01, horizon=1.0),
        "context",
        plan=euler(evaluations),
        noise_scale=0.0,
        execute=1,
    )


def _observations(count: int) -> list[Observation]:
    """Return what a market maker might see, one step after the other."""
    random = np.random.default_rng(1)
    mid, counts = np.cumsum(random.normal(0.0, 0.3, count)), random.poisson(0.4, (4, count))
    return [
        Observation(
            0.01 * i,
            1.0 - (0.01 * i) % 1.0,
            float(mid[i]),
            float(i % 7 - 3),
            0.0,
            float(counts[0, i]),
            float(counts[1, i]),
            40.0,
            40.0,
            float(counts[2, i]),
            float(counts[3, i]),
        )
        for i in range(count)
    ]


@compiled
def _quote_batch(desk: Desk, memory: Memory, observation: Observation, calls: int) -> float:
    """Quote again and again; the sum is returned so that no quote is optimised away."""
    total = 0.0
    for _ in range(calls):
        total += quote(desk, memory, observation).half_spread_bid
    return total


def _from_python(frozen: Frozen, memory: Memory, seen: list[Observation]) -> Int64[np.ndarray, " call"]:
    """Return the time of each quote, nanoseconds, the clock's own included."""
    now, taken = time.perf_counter_ns, np.empty(len(seen), np.int64)
    for i, observation in enumerate(seen):
        started = now()
        quote(frozen, memory, observation)
        taken[i] = now() - started
    return taken


def _cold(frozen: Frozen, memory: Memory, observation: Observation) -> Float[np.ndarray, " call"]:
    other, taken = np.ones(OTHER_DATA // 8), []
    for _ in range(COLD_CALLS):
        other += 1.0
        taken.append(_from_python(frozen, memory, [observation])[0])
    return np.array(taken, np.float64)


def _peers(frozen: Frozen) -> list[Peer]:
    if frozen.kind is not FLOW or frozen.network.noise_scale > 0.0 or frozen.network.begin > 0.0:
        return []  # it is another network, or works out more than they do
    try:
        return [Peer(frozen.network, layout) for layout in LAYOUTS]
    except OSError:  # no compiler, or one that cannot: the policy is measured all the same
        return []


def _elsewhere(frozen: Frozen) -> Frozen:
    """Return the policy with its weights at another place in memory: how they share caches is luck."""
    packed = frozen.packed
    return frozen._replace(packed=Packed(packed.numbers.copy(), aligned([packed.weights])))


def measure_latency(frozen: Frozen, calls: int) -> Latency:
    """Measure a policy with a network; a flow policy without noise and warm start beside its peers in C.

    Args:
        frozen: the policy.
        calls: timed calls from Python.
    """
    peers, memory = _peers(frozen), begin(frozen, 0)
    seen = _observations(max(calls // ROUNDS, 2))
    features = np.zeros(memory.features.size, np.float32)
    _from_python(frozen, memory, seen)
    _quote_batch(desk_of(frozen), memory, seen[0], 1)
    quoted: list[np.ndarray] = []
    looped: list[float] = []
    of_peers: list[list[np.ndarray]] = [[] for _ in peers]
    places: list[object] = []  # kept, so that none is used twice
    for _ in range(ROUNDS):
        frozen, memory = _elsewhere(frozen), begin(frozen, 0)
        places.append(frozen)
        _from_python(frozen, memory, seen[:WARM])
        quoted.append(_from_python(frozen, memory, seen))
        for peer, times in zip(peers, of_peers, strict=True):
            places.append(peer.move())
            peer.time(features, WARM)
            times.append(peer.time(features, len(seen)))
        desk = desk_of(frozen)
        for _ in range(4):
            started = time.perf_counter_ns()
            _quote_batch(desk, memory, seen[0], BATCH)
            looped.append((time.perf_counter_ns() - started) / BATCH)
    p50, p99, p999, longest = np.quantile(np.concatenate(quoted), (0.5, 0.99, 0.999, 1.0)) / 1e3
    result = {
        peer.layout: np.quantile(np.concatenate(times), (0.5, 0.99)) / 1e3
        for peer, times in zip(peers, of_peers, strict=True)
    }
    flow = frozen.kind is FLOW
    width = frozen.network.input_bias.size if flow else max(frozen.parts.layers[1:-1], default=0)
    evaluations = len(frozen.network.steps) if flow else 1
    latency = Latency(
        width=width,
        evaluations=evaluations,
        p50_us=float(p50),
        p99_us=float(p99),
        p999_us=float(p999),
        max_us=float(longest),
        cold_us=float(np.median(_cold(frozen, memory, seen[0]))) / 1e3,
        loop_us=float(np.median(looped)) / 1e3,
    )
    if not result:
        return latency
    (rows, rows_p99), (columns, columns_p99) = result["rows"], result["columns"]
    return latency._replace(
        c_rows_us=float(rows),
        c_rows_p99_us=float(rows_p99),
        c_columns_us=float(columns),
        c_columns_p99_us=float(columns_p99),
        ratio=float(p50 / min(rows, columns)),
    )
