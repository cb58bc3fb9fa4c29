"""How fast the likelihood of market orders is: value and gradient, curvature, and a whole fit.

    python benchmarks/hawkes.py [--json]

A plain Python loop over the same recursion, on fewer orders, is the yardstick: `ratio` is how many times as
many orders a second the compiled one takes. Both are timed in turn within one process, the median of their
repeats.
"""

import json
import math
import sys
import time
from collections.abc import Callable

import numpy as np

from flowhft.calibrate.hawkes import Hawkes, curvature, log_likelihood
from flowhft.calibrate.hawkes_fit import fit_hawkes

ORDERS, LOOPED = 1_000_000, 20_000
REPEATS = 5
PROCESS = Hawkes(base_intensity=0.5, self_excitation=1.0, cross_excitation=0.4, decay=2.5)


def orders_of(process: Hawkes, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return times and sides of the first orders of a process, drawn as clusters of descendants."""
    random = np.random.default_rng(0)
    seconds = 1.2 * count / (2.0 * process.rate)
    times = random.uniform(0.0, seconds, random.poisson(2.0 * process.base_intensity * seconds))
    sides = random.integers(0, 2, len(times))
    born = [(times, sides)]
    while len(times):
        parts = []
        for excitation, flip in ((process.self_excitation, 0), (process.cross_excitation, 1)):
            children = random.poisson(excitation / process.decay, len(times))
            wait = random.exponential(1.0 / process.decay, children.sum())
            parts.append((np.repeat(times, children) + wait, np.repeat(sides, children) ^ flip))
        times, sides = (np.concatenate(part) for part in zip(*parts, strict=True))
        born.append((times, sides))
    times, sides = (np.concatenate(part) for part in zip(*born, strict=True))
    order = np.argsort(times)[:count]
    return times[order], sides[order]


def plain(process: Hawkes, times: np.ndarray, sides: np.ndarray, seconds: float) -> tuple[float, list[float]]:
    """Return log-likelihood and gradient by a loop over the orders in plain Python."""
    base, own, other, decay = process
    value, gradient = -2.0 * base * seconds, [-2.0 * seconds, 0.0, 0.0, 0.0]
    sums, slopes, last = [0.0, 0.0], [0.0, 0.0], 0.0
    for now, side in zip(times.tolist(), sides.tolist(), strict=True):
        gap, last = now - last, now
        fade = math.exp(-decay * gap)
        slopes = [fade * (slope - gap * total) for slope, total in zip(slopes, sums, strict=True)]
        sums = [fade * total for total in sums]
        intensity = base + own * sums[side] + other * sums[1 - side]
        value += math.log(intensity)
        gradient[0] += 1.0 / intensity
        gradient[1] += sums[side] / intensity
        gradient[2] += sums[1 - side] / intensity
        gradient[3] += (own * slopes[side] + other * slopes[1 - side]) / intensity
        sums[side] += 1.0
    gap = seconds - last
    fade = math.exp(-decay * gap)
    slope = fade * (sum(slopes) - gap * sum(sums))
    passed = (len(times) - fade * sum(sums)) / decay
    gradient[1] -= passed
    gradient[2] -= passed
    gradient[3] += (own + other) * (passed + slope) / decay
    return value - (own + other) * passed, gradient


def seconds_of(work: Callable[[], object]) -> float:
    """Return the wall time of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    times, sides = orders_of(PROCESS, ORDERS)
    until = float(times[-1])
    few = (times[:LOOPED], sides[:LOOPED], float(times[LOOPED]))
    ours, loops = log_likelihood(PROCESS, *few), plain(PROCESS, *few)
    assert math.isclose(ours[0], loops[0], rel_tol=1e-9)
    assert np.allclose(ours[1], loops[1], rtol=1e-6, atol=1e-6)
    curvature(PROCESS, *few)
    compiled, looped, curved = [], [], []
    for _ in range(REPEATS):
        compiled.append(seconds_of(lambda: log_likelihood(PROCESS, times, sides, until)))
        looped.append(seconds_of(lambda: plain(PROCESS, *few)))
        curved.append(seconds_of(lambda: curvature(PROCESS, times, sides, until)))
    each, loop = float(np.median(compiled)) / ORDERS, float(np.median(looped)) / LOOPED
    result = {
        "orders": ORDERS,
        "likelihood_and_gradient_seconds": float(np.median(compiled)),
        "curvature_seconds": float(np.median(curved)),
        "fit_seconds": seconds_of(lambda: fit_hawkes(times, sides, until)),
        "ratio": loop / each,
    }
    if "--json" in sys.argv:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name:32s} {value:12,.4g}")


if __name__ == "__main__":
    main()
