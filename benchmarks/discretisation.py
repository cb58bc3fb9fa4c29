"""What a step of time costs: fills at a fixed quote as dt shrinks, with one lot a step and with `refill`.

    python benchmarks/discretisation.py [--paths 20000] [--json]

The market of the paper's cell T1.HH, correct preset, and a quote that stands at 1 / k on both sides. In
continuous time, replaced at once whenever it is filled, it would be filled lambda exp(-1) times a second and
side, lambda being the mean intensity. Without `refill` a step of dt loses the share `Scenario.lost_share` and
a little more, as orders cluster.
"""

import argparse
import json
import math
from dataclasses import dataclass

import numpy as np

from flowhft.simulate.devices import prepare

prepare()

from flowhft.scenarios.presets import find_scenarios  # noqa: E402
from flowhft.simulate.market.market import build  # noqa: E402
from flowhft.simulate.rollout import evaluate_one  # noqa: E402
from flowhft.types import Observation, Quote  # noqa: E402


@dataclass(frozen=True)
class Standing:
    """Quote the same half-spread on both sides, whatever happens."""

    half_spread: float

    def init(self) -> tuple[()]:
        """Remember nothing."""
        return ()

    def act(self, memory: tuple[()], observation: Observation, key: object) -> tuple[Quote, tuple[()]]:
        """Quote."""
        return Quote(self.half_spread, self.half_spread), memory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--paths", type=int, default=20_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()

    (cell,) = find_scenarios("T1.HH")
    limit = cell.mean_intensity * math.exp(-1.0)
    rows = []
    for dt in (0.04, 0.02, 0.01, 0.005, 0.0025):
        row = {
            "dt": dt,
            "orders_a_step": cell.mean_intensity * dt,
            "lost_share": cell.but(dt=dt).lost_share(),
        }
        for name, refill in (("one_lot", False), ("refill", True)):
            market = build(cell.but(dt=dt, refill=refill))
            quote = Standing(1.0 / cell.fill_decay)
            fills = evaluate_one(market, quote, paths=options.paths, seed=0, scenario="discretisation")[
                "fills"
            ]
            per_second = np.asarray(fills, np.float64) / (2.0 * cell.horizon)
            row[name] = float(per_second.mean())
            row[f"{name}_error"] = float(per_second.std() / math.sqrt(options.paths))
        rows.append(row)
    if options.json:
        print(json.dumps({"fills_in_continuous_time": limit, "rows": rows}))
        return
    print(f"fills a second and side at 1 / k; in continuous time {limit:.2f}")
    print(
        f"{'dt':>6} {'orders a step':>14} {'one lot a step':>15} {'lost':>6} {'closed form':>12} "
        f"{'refill':>14}"
    )
    for row in rows:
        print(
            f"{row['dt']:6g} {row['orders_a_step']:14g} {row['one_lot']:8.2f} ± {row['one_lot_error']:.2f} "
            f"{1.0 - row['one_lot'] / limit:7.1%} {row['lost_share']:12.1%} "
            f"{row['refill']:7.2f} ± {row['refill_error']:.2f}"
        )


if __name__ == "__main__":
    main()
