"""Evaluation at scale: every cell of the paper's tables, closed forms on the same random numbers.

    python benchmarks/evaluation.py [--paths 20000] [--market paper] [--cells 24] [--json]

Judges white noise, Avellaneda-Stoikov, GLFT and GLFT with drift in the 24 cells at N paths and at 4 N paths a
cell, as `flowhft evaluate` does but for the files. The difference of both times is free of compilation: from
it follow the time of 1,000,000 paths a cell and the rate. Peak memory is the process's own after each. What
sharing the draw of the market is worth is measured in one cell of each kind, with and without in turns.
"""

import argparse
import json
import os
import resource
import statistics
import sys
import time

from flowhft.simulate.devices import prepare

prepare()

from flowhft.metrics.moments import BLOCK, Moments  # noqa: E402
from flowhft.policies.names import find_policy  # noqa: E402
from flowhft.scenarios.presets import paper_test  # noqa: E402
from flowhft.simulate.drive import evaluate_all  # noqa: E402
from flowhft.simulate.evaluate import evaluation_of  # noqa: E402
from flowhft.simulate.job import Job, prepared_scenario  # noqa: E402
from flowhft.simulate.rollout import evaluate_one, evaluate_together  # noqa: E402
from flowhft.simulate.spans import Span  # noqa: E402

NAMES = ("white_noise", "avellaneda_stoikov", "glft", "glft_drift")
TARGET = 1_000_000  # paths a cell


def peak_gib() -> float:
    """Return the peak memory of the process: in bytes on macOS, in KiB elsewhere."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**30 if sys.platform == "darwin" else 2**20)


def judged(scenarios: list, policies: dict, paths: int) -> tuple[float, list]:
    """Return the seconds that a judgement takes, and its rows."""
    began = time.perf_counter()
    job = Job(scenarios, policies, paths, seed=0)
    finished: dict[Span, Moments] = {}
    evaluate_all(job, finished)
    rows = [evaluation_of(job, finished, i, next(iter(policies))).results for i in range(len(scenarios))]
    return time.perf_counter() - began, rows


def sharing(scenario, policies: dict, rounds: int) -> tuple[float, float]:
    """Return seconds per block of paths: all policies on one draw, and each on a draw of its own."""
    index = prepared_scenario(Job([scenario], policies, BLOCK, seed=0), 0)
    many = list(index.policies.values())
    arguments = {"paths": BLOCK, "seed": 0, "scenario": "benchmark"}
    seconds: dict[str, list[float]] = {"shared": [], "apart": []}
    for turn in range(rounds + 1):
        for name in seconds:
            began = time.perf_counter()
            if name == "shared":
                evaluate_together(index.market, many, **arguments)
            else:
                for policy in many:
                    evaluate_one(index.market, policy, **arguments)
            if turn:  # the first compiles
                seconds[name].append(time.perf_counter() - began)
    return statistics.median(seconds["shared"]), statistics.median(seconds["apart"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--paths", type=int, default=20_000)
    parser.add_argument("--market", choices=("paper", "correct"), default="paper")
    parser.add_argument("--cells", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.paths < BLOCK:
        parser.error(f"--paths must be at least {BLOCK}, a block: fewer use programs of another shape")

    scenarios = list(paper_test(options.market).values())[: options.cells]
    suffix = "_as_run" if options.market == "paper" else ""
    names = [name if name == "white_noise" else name + suffix for name in NAMES]
    policies = {name: find_policy(name).in_market for name in names}

    small, _ = judged(scenarios, policies, options.paths)
    small_peak = peak_gib()
    small, _ = judged(scenarios, policies, options.paths)
    large, _ = judged(scenarios, policies, 4 * options.paths)
    large_peak = peak_gib()
    a_path = (large - small) / (3 * options.paths * len(scenarios))  # of all policies
    steps = scenarios[0].steps
    kinds = {}
    for scenario in {s.hurst_exponent == 0.5: s for s in reversed(scenarios)}.values():
        shared, apart = sharing(scenario, policies, options.rounds)
        kinds[scenario.name] = {
            "hurst_exponent": scenario.hurst_exponent,
            "shared_seconds": shared,
            "apart_seconds": apart,
            "ratio": apart / shared,
        }
    result = {
        "cells": len(scenarios),
        "policies": len(policies),
        "paths": options.paths,
        "steps": steps,
        "cores": os.cpu_count(),
        "seconds": small,
        "seconds_of_4_times": large,
        "growth": large / small,
        "million_path_steps_per_second": 1e-6 * len(policies) * steps / a_path,
        "minutes_for_1e6_paths": TARGET * len(scenarios) * a_path / 60.0,
        "peak_gib": small_peak,
        "peak_gib_of_4_times": large_peak,
        "sharing": kinds,
    }
    if options.json:
        print(json.dumps(result))
        return
    size = f"{len(scenarios)} cells x {len(policies)} policies x {steps} steps"
    print(f"{size}, {os.cpu_count()} cores, {options.market}")
    print(f"{options.paths:,} paths a cell   {small:.1f} s   peak {small_peak:.2f} GiB")
    print(f"{4 * options.paths:,} paths a cell   {large:.1f} s   peak {large_peak:.2f} GiB")
    print(f"rate {result['million_path_steps_per_second']:.1f} million path-steps a second")
    print(f"1,000,000 paths a cell: {result['minutes_for_1e6_paths']:.1f} minutes")
    for name, kind in kinds.items():
        print(
            f"{name} (H = {kind['hurst_exponent']:g}), {BLOCK:,} paths: "
            f"{kind['shared_seconds']:.2f} s on one draw, {kind['apart_seconds']:.2f} s on "
            f"{len(policies)} draws, ratio {kind['ratio']:.2f}"
        )


if __name__ == "__main__":
    main()
