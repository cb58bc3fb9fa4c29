"""Intervals of few sessions: how often they cover, and how long they take beside a bootstrap.

    python benchmarks/intervals.py [--experiments 5000] [--policies 5] [--samples 1000] [--json]

Draws sessions of known laws, normal (mean 1, deviation 1) and gamma of shape 2, and counts how often the 99 %
intervals of `flowhft.metrics.intervals` hold the truth; what has no interval counts for nothing. Then judges
paths of 3,600 steps in 6 sessions, by `flowhft.metrics.sessions` and by the moving-block bootstrap of steps
that did it before: paths laid together of blocks and measured again, 1,000 times.
"""

import argparse
import json
import statistics
import time

import numpy as np

from flowhft.metrics import estimators, intervals
from flowhft.metrics.measures import each, measure
from flowhft.metrics.sessions import evaluate_sessions
from flowhft.metrics.table import METRICS
from flowhft.types import Fill, Observation, Quote, Trajectory

SESSIONS = (6, 10, 20)
LAWS = {
    "normal": lambda random, size: random.normal(1.0, 1.0, size),
    "gamma": lambda random, size: random.gamma(2.0, size=size),
}
MEASURED = {
    "mean": (estimators.MEAN, lambda x: x),
    "pnl_deviation": (estimators.DEVIATION, lambda x: x),
    "sharpe": (estimators.SHARPE, lambda x: x),
    "sortino": (estimators.SORTINO, lambda x: x),
    "root of mean squares": (estimators.ROOT, np.square),
    "expected_shortfall": (estimators.SHORTFALL, lambda x: x),
}
SESSION_STEPS, BLOCK_STEPS = 600, 10


def coverage(experiments: int, seed: int) -> list[dict]:
    """Return how often intervals hold the truth, one row a metric and law."""
    rows = []
    for law, draw in LAWS.items():
        many = draw(np.random.default_rng(seed), 4_000_000)
        for name, (estimator, of) in MEASURED.items():
            truth = estimator(of(many))[0]
            row = {"metric": name, "law": law}
            for count in SESSIONS:
                random = np.random.default_rng([seed, count])
                results = (
                    intervals.single(estimator, (of(draw(random, count)),)) for _ in range(experiments)
                )
                known = [low <= truth <= high for _, low, high in results if low == low]
                row[str(count)] = float(np.mean(known)) if truth == truth and known else None
            rows.append(row)
    return rows


def course(random: np.random.Generator, steps: int) -> Trajectory:
    """Return a path of random gains and fills."""
    zero = np.zeros((1, steps))
    held = random.normal(size=(1, steps))
    fill = Fill(1.0 * (random.random((1, steps)) < 0.2), 1.0 * (random.random((1, steps)) < 0.2))
    observation = Observation(*(zero,) * 11)._replace(inventory=held)
    return Trajectory(observation, Quote(zero + 1.0, zero + 1.0), fill, held, 0.5 * held, zero)


def bootstrapped(paths: dict[str, Trajectory], samples: int) -> dict[str, np.ndarray]:
    """Return every metric of paths resampled by blocks of steps: what percentiles were taken of before."""
    result = {}
    for name, path in paths.items():
        steps = np.shape(path.fee)[-1]
        random = np.random.default_rng(0)
        starts = random.integers(0, steps - BLOCK_STEPS + 1, (samples, -(-steps // BLOCK_STEPS)))
        values = []
        for piece in np.array_split(starts, -(-samples * steps // 2_000_000)):
            rows = (piece[:, :, None] + np.arange(BLOCK_STEPS)).reshape(len(piece), -1)[:, :steps]
            measures = measure(each(lambda array, rows=rows: array[0][rows].reshape(-1, SESSION_STEPS), path))
            by_sample = {key: value.reshape(len(piece), -1) for key, value in measures.items()}
            for i in range(len(piece)):
                values.append(
                    [
                        metric.estimator(*(by_sample[key][i] for key in metric.measures))[0]
                        for metric in METRICS.values()
                        if all(np.isfinite(by_sample[key][i]).all() for key in metric.measures)
                    ]
                )
        result[name] = np.array(values)
    return result


def seconds(work, rounds: int) -> float:
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--experiments", type=int, default=5_000)
    parser.add_argument("--policies", type=int, default=5)
    parser.add_argument("--samples", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = coverage(options.experiments, options.seed)
    random = np.random.default_rng(options.seed)
    paths = {f"policy {i}": course(random, 6 * SESSION_STEPS) for i in range(options.policies)}
    quick = seconds(lambda: evaluate_sessions(paths, SESSION_STEPS, BLOCK_STEPS, "policy 0"), 3)
    slow = seconds(lambda: bootstrapped(paths, options.samples), 1)
    result = {"coverage": rows, "seconds": quick, "bootstrap_seconds": slow, "ratio": slow / quick}
    if options.json:
        print(json.dumps(result))
        return
    print("| metric | sessions are | " + " | ".join(f"{count} sessions" for count in SESSIONS) + " |")
    print("|---|---|" + "---|" * len(SESSIONS))
    for row in rows:
        cells = ("-" if row[str(c)] is None else f"{100.0 * row[str(c)]:.1f} %" for c in SESSIONS)
        print(f"| {row['metric']} | {row['law']} | " + " | ".join(cells) + " |")
    print(f"{options.policies} policies, 6 sessions of {SESSION_STEPS} steps: {quick:.3f} s;", end=" ")
    print(f"the bootstrap {slow:.1f} s, {slow / quick:.0f} times as long")


if __name__ == "__main__":
    main()
