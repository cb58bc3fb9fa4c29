"""Rollout of a market in which order flow moves the price, against today's market of the same rates.

    python benchmarks/order_flow_speed.py [--paths 50000] [--json]

GLFT in `order-flow.tight` and in the same scenario without its order flow, at the same total volatility. They
take turns in one process; the ratio is of the medians.
"""

import argparse
import json
import statistics
import time

from flowhft.simulate.devices import prepare

prepare()

from flowhft.scenarios.presets import order_flow  # noqa: E402
from flowhft.simulate.market.market import build  # noqa: E402
from flowhft.simulate.quoting import closed_form  # noqa: E402
from flowhft.simulate.rollout import evaluate_one  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--paths", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()

    moved = order_flow()["order-flow.tight"]
    today = moved.but(order_flow=None, volatility=moved.total_volatility)
    markets = {
        name: (build(scenario), closed_form("glft", scenario))
        for name, scenario in (("today", today), ("order flow", moved))
    }
    seconds: dict[str, list[float]] = {name: [] for name in markets}
    for seed in range(options.rounds + 1):
        for name, (market, policy) in markets.items():
            began = time.perf_counter()
            evaluate_one(market, policy, paths=options.paths, seed=seed, scenario="benchmark")
            if seed:  # the first compiles
                seconds[name].append(time.perf_counter() - began)
    rate = {
        name: options.paths * moved.steps / statistics.median(taken) / 1e6 for name, taken in seconds.items()
    }
    ratio = rate["order flow"] / rate["today"]
    if options.json:
        print(json.dumps({"million_path_steps_a_second": rate, "ratio": ratio}))
        return
    for name, value in rate.items():
        print(f"{name:12} {value:6.1f} million path-steps a second")
    print(f"ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
