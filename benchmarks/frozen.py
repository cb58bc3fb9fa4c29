"""Time of one decision of a flow policy: frozen (compiled) against the same network in plain numpy.

Against plain C, and with more quantiles: `flowhft bench latency`.

    python benchmarks/frozen.py [--json] [--calls N]

One row per width and sampler steps; three blocks, a chunk of sixteen steps, one step executed. `frozen` is
one call of `quote` from Python, all of it: conversion of its arguments, features, network, adapter. `loop` is
the same within a compiled loop, as a replay runs it. `numpy` is the network alone, as a researcher would
write it (`flowhft.policies.plain`), which also works out at every call what freezing folds away. `folded
numpy` leaves that out: the arithmetic of the frozen network, in numpy. All run on one thread, as a decision
does.
"""

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"  # before numpy is loaded

import argparse  # noqa: E402
import json  # noqa: E402
import platform  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402
from numba import njit  # noqa: E402

from flowhft.desk.compiled import Desk, Memory, Network, begin, desk_of, fold, quote, weight_shapes  # noqa: E402
from flowhft.features import NAMES, Sensor  # noqa: E402
from flowhft.policies import plain  # noqa: E402
from flowhft.policies.plan import euler  # noqa: E402
from flowhft.types import Observation  # noqa: E402

WIDTHS = (64, 128, 256)
STEPS = (1, 4)
BLOCKS = 3
HORIZON = 16
FEATURES = len(NAMES["context"])
SENSOR = Sensor(volatility=2.0, rate=5.0, horizon=1.0, half_spread=0.7, inventory=3.0, memory=0.2, burst=0.05)
BATCH = 100  # calls of the compiled loop per reading of the clock


def random_weights(width: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    shapes = weight_shapes(FEATURES, 2 * HORIZON, width, BLOCKS)
    return {
        name: (random.normal(size=shape) / np.sqrt(shape[-1])).astype(np.float32)
        for name, shape in shapes.items()
    }


def folded_numpy(network: Network, features: np.ndarray) -> np.ndarray:
    """Sample a chunk by Euler's method from the folded network, in numpy."""
    x = np.zeros(2 * HORIZON, np.float32)
    base = network.input_features @ features + network.input_bias
    for step, (keep, share, _, _) in enumerate(network.steps):
        h = network.input_sample @ x + base
        for block, (scale, bias_1, gate, bias_2) in enumerate(network.modulation[step]):
            inner = plain.silu(network.weight_1[block] @ (plain.norm(h) * scale) + bias_1)
            h = h + gate * (network.weight_2[block] @ inner) + bias_2
        v = network.output_weight @ (plain.norm(h) * network.output_scale[step]) + network.output_bias[step]
        x = keep * x + share * v
    return np.clip(x, -plain.REACH, plain.REACH).reshape(-1, 2)


@njit
def quote_often(desk: Desk, memory: Memory, observation: Observation, calls: int) -> float:
    total = 0.0
    for _ in range(calls):
        total += quote(desk, memory, observation).half_spread_bid
    return total


def microseconds(call: Callable[[], object], repeats: int, calls: int = 1) -> tuple[float, float]:
    """Return median and 99th percentile of the time of one call."""
    for _ in range(repeats // 10 + 1):
        call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter_ns()
        call()
        times.append((time.perf_counter_ns() - start) / calls)
    return float(np.median(times)) / 1e3, float(np.quantile(times, 0.99)) / 1e3


def measure(width: int, steps: int, calls: int) -> dict[str, float]:
    weights = random_weights(width)
    frozen = fold(
        weights,
        np.zeros(FEATURES),
        np.ones(FEATURES),
        np.ones(2),
        np.ones(2),
        SENSOR,
        "context",
        plan=euler(steps),
        noise_scale=0.0,
        execute=1,
    )
    desk, memory = desk_of(frozen), begin(frozen, 0)
    seen = Observation(0.1, 0.9, 1.0, 2.0, 3.0, 1.0, 0.0, 3.0, 4.0)
    features = np.zeros(FEATURES, np.float32)
    start = np.zeros(2 * HORIZON, np.float32)
    timed = {
        "frozen": microseconds(lambda: quote(frozen, memory, seen), calls),
        "loop": microseconds(lambda: quote_often(desk, memory, seen, BATCH), calls, BATCH),
        "folded_numpy": microseconds(lambda: folded_numpy(frozen.network, features), calls),
        "numpy": microseconds(lambda: plain.sample(weights, features, start, euler(steps)), calls),
    }
    row: dict[str, float] = {"width": width, "steps": steps}
    for name, (median, tail) in timed.items():
        row |= {f"{name}_median_us": median, f"{name}_p99_us": tail}
    row["numpy_over_frozen"] = timed["numpy"][0] / timed["frozen"][0]
    row["folded_numpy_over_frozen"] = timed["folded_numpy"][0] / timed["frozen"][0]
    return row


def table(rows: list[dict[str, float]]) -> str:
    peers = ("frozen", "loop", "folded_numpy", "numpy")
    head = f"{'width':>5} {'steps':>5}" + "".join(
        f" {name.replace('_', ' ') + ' (p99)':>21}" for name in peers
    )
    lines = ["microseconds a decision: median (99th percentile)", head + f" {'numpy / frozen':>15}"]
    for row in rows:
        cells = "".join(
            f" {row[f'{name}_median_us']:>12.1f} ({row[f'{name}_p99_us']:6.1f})" for name in peers
        )
        lines.append(f"{row['width']:>5} {row['steps']:>5}{cells} {row['numpy_over_frozen']:>15.1f}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.add_argument("--calls", type=int, default=1500, help="timed calls per cell")
    arguments = parser.parse_args()
    started = time.perf_counter()
    measure(WIDTHS[0], 1, 1)
    ready = time.perf_counter() - started
    rows = [measure(width, steps, arguments.calls) for width in WIDTHS for steps in STEPS]
    result: dict[str, Any] = {
        "rows": rows,
        "first_call_seconds": ready,
        "machine": platform.processor() or platform.machine(),
    }
    if arguments.json:
        print(json.dumps(result, indent=2))
    else:
        print(table(rows))
        print(f"until the first quote (compiled, or read from the cache): {ready:.1f} s")


if __name__ == "__main__":
    main()
