"""Closed-form rollout: flowhft's loop against a plain vectorised numpy loop of the same model.

    python benchmarks/rollout.py [--paths 100000] [--steps 200] [--json]

Both simulate GLFT in the market of the paper's cell T1.HH, correct preset: log-normal price with
compensated jumps, Hawkes arrivals by the full tape, fills, and the same account (PnL, drawdown,
inventory). The peer is float64 numpy, vectorised over paths, one Python loop over steps. They take
turns in one process; the ratio is of the medians. Peak memory is the process's own.
"""

import argparse
import json
import resource
import statistics
import sys
import time

import numpy as np

from flowhft.simulate.devices import prepare

prepare()

from flowhft.policies import rules as experts  # noqa: E402
from flowhft.scenarios.presets import paper_test  # noqa: E402
from flowhft.scenarios.scenario import Scenario  # noqa: E402
from flowhft.simulate.market.market import build  # noqa: E402
from flowhft.simulate.quoting import closed_form  # noqa: E402
from flowhft.simulate.rollout import evaluate_one  # noqa: E402
from flowhft.types import Observation  # noqa: E402


def numpy_rollout(scenario: Scenario, paths: int, random: np.random.Generator) -> dict[str, np.ndarray]:
    """Simulate GLFT in the same model, float64, all paths at once."""
    expert = experts.get("glft")
    c = expert.coefficients(scenario.estimates(), scenario.risk_aversion)
    s, dt = scenario, scenario.dt
    fade = np.exp(-s.decay * dt)
    impulse = (1 - fade) / (s.decay * dt)
    compensator = s.jump_intensity * np.expm1(s.jump_mean + 0.5 * s.jump_deviation**2)
    log_price = np.zeros(paths)
    mid, inventory, cash = np.zeros(paths), np.zeros(paths), np.zeros(paths)
    excitation = np.full((2, paths), s.mean_intensity - s.base_intensity)
    highest, drawdown, square = np.zeros(paths), np.zeros(paths), np.zeros(paths)
    for step in range(s.steps):
        seen = Observation(step * dt, s.horizon - step * dt, mid, inventory, cash, 0, 0, 0, 0)
        quote = expert.quote(c, seen, (0.0, 0.0))
        arrived = random.poisson((s.base_intensity + excitation) * dt)
        half = np.stack(np.broadcast_arrays(quote.half_spread_bid, quote.half_spread_ask))
        reaching = np.minimum(s.reach * np.exp(-s.fill_decay * half), 1.0)
        filled = random.random((2, paths)) < 1.0 - (1.0 - reaching) ** arrived
        excitation = fade * excitation + impulse * (
            s.self_excitation * arrived + s.cross_excitation * arrived[::-1]
        )
        cash += -(mid - half[0]) * filled[0] + (mid + half[1]) * filled[1]
        inventory = inventory + filled[0] - filled[1]
        jumps = random.poisson(s.jump_intensity * dt, paths)
        log_price += (
            (s.drift - compensator) * dt
            - 0.5 * s.volatility**2 * dt
            + s.volatility * np.sqrt(dt) * random.standard_normal(paths)
            + jumps * s.jump_mean
            + np.sqrt(jumps) * s.jump_deviation * random.standard_normal(paths)
        )
        mid = s.initial_price * np.expm1(log_price)
        wealth = cash + inventory * mid
        highest = np.maximum(highest, wealth)
        drawdown = np.maximum(drawdown, highest - wealth)
        square += inventory**2
    return {"pnl": wealth, "max_drawdown": drawdown, "mean_square_inventory": square / s.steps}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--paths", type=int, default=100_000)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()

    scenario = paper_test("correct")["T1.HH"].but(dt=1.0 / options.steps, risk_aversion=0.01)
    market, policy = build(scenario), closed_form("glft", scenario)

    def ours(seed: int) -> dict[str, np.ndarray]:
        return evaluate_one(market, policy, paths=options.paths, seed=seed, scenario="benchmark")

    def peer(seed: int) -> dict[str, np.ndarray]:
        return numpy_rollout(scenario, options.paths, np.random.default_rng(seed))

    ours(0)  # compiles
    # In bytes on macOS, in KiB elsewhere.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**30 if sys.platform == "darwin" else 2**20)
    seconds: dict[str, list[float]] = {"flowhft": [], "numpy": []}
    means: dict[str, float] = {}
    for seed in range(options.rounds):
        for name, run in (("flowhft", ours), ("numpy", peer)):
            began = time.perf_counter()
            outcome = run(seed + 1)
            seconds[name].append(time.perf_counter() - began)
            means[name] = float(np.mean(outcome["pnl"]))
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    result = {
        "paths": options.paths,
        "steps": options.steps,
        "flowhft_seconds": medians["flowhft"],
        "numpy_seconds": medians["numpy"],
        "ratio": medians["numpy"] / medians["flowhft"],
        "flowhft_peak_gib": peak,
        "mean_pnl": means,
    }
    if options.json:
        print(json.dumps(result))
        return
    print(f"{options.paths:,} paths x {options.steps} steps, medians of {options.rounds} rounds")
    print(f"flowhft {medians['flowhft']:.2f} s   numpy {medians['numpy']:.2f} s")
    print(f"ratio {result['ratio']:.2f}; peak memory of flowhft {peak:.2f} GiB")
    print(f"mean PnL {means['flowhft']:.2f} and {means['numpy']:.2f}")


if __name__ == "__main__":
    main()
