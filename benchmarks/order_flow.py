"""GLFT in the market of a recording with and without an order flow that moves the price, and in its replay.

    python benchmarks/order_flow.py RECORDING ... [--paths 1000] [--json]

For every recording: PnL a second (ticks x orders) and break-even fee (basis points of what is traded) of GLFT
in a replay at no fee, in today's calibrated market and in the one with an order flow; what the imbalance at
the touch foretells (R^2, measured and simulated, geometric mean of the ratio over 0.1 to 10 s); and the
response to a tick of reach. Both markets are calibrated on the recording that is replayed. Without arguments:
the bundled one.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from flowhft.simulate.devices import prepare

prepare()

from flowhft.calibrate.calibrate import CalibrationSettings, calibrate  # noqa: E402
from flowhft.calibrate.flow_tape import tape_of  # noqa: E402
from flowhft.calibrate.observed import observed  # noqa: E402
from flowhft.calibrate.order_flow import fit_order_flow, with_order_flow  # noqa: E402
from flowhft.calibrate.scenario import scenario_of  # noqa: E402
from flowhft.desk.replay.settings import ReplaySettings  # noqa: E402
from flowhft.recordings.book import first_mid  # noqa: E402
from flowhft.recordings.formats.read import read_recording  # noqa: E402
from flowhft.recordings.formats.sample import sample_recording  # noqa: E402
from flowhft.simulate.market.market import build  # noqa: E402
from flowhft.simulate.quoting import closed_form  # noqa: E402
from flowhft.simulate.rollout import rollout  # noqa: E402
from flowhft.stages.backtest import replay  # noqa: E402
from flowhft.types import Trajectory  # noqa: E402


def earned(path: Trajectory, seconds: float) -> tuple[float, float]:
    """Return PnL before fees a second and the break-even fee, of all paths of so many seconds together."""
    pnl = float(np.sum(path.spread_pnl + path.inventory_pnl))
    return pnl / seconds, 1e4 * pnl / float(np.sum(path.activity.turnover))


def measure(path: Path, paths: int) -> dict[str, str | float]:
    """Calibrate, replay and simulate one recording."""
    settings = CalibrationSettings(bootstrap_samples=100)
    recording = read_recording(path, repair=True)
    calibration = calibrate(recording, settings)
    today = scenario_of(calibration, first_mid(recording), order_lots=10)
    fit = fit_order_flow(tape_of(observed(recording, settings, 0)), today)
    replayed = replay(recording, "glft", scenario=today, calibration=calibration, settings=ReplaySettings())
    track = replayed.trajectories["glft"]
    row: dict[str, str | float] = {"recording": path.name}
    columns = {"replay": earned(track, track.spread_pnl.size * today.dt)}
    for name, scenario in (("today", today), ("order_flow", with_order_flow(today, fit))):
        made = rollout(
            build(scenario), closed_form("glft", scenario), paths=paths, seed=1, scenario="benchmark"
        )
        columns[name] = earned(made, paths * scenario.horizon)
    for name, (pnl, fee) in columns.items():
        row |= {f"{name}_pnl": pnl, f"{name}_fee": fee}
    ratio = fit.simulated.r_squared / fit.measured.r_squared
    return row | {
        "r_squared_ratio": float(np.exp(np.mean(np.log(ratio)))),
        "r_squared_worst": float(np.exp(np.max(np.abs(np.log(ratio))))),
        "reach_response": fit.measured.reach_response,
        "reach_response_simulated": fit.simulated.reach_response,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recordings", type=Path, nargs="*")
    parser.add_argument("--paths", type=int, default=1_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = [measure(path, options.paths) for path in options.recordings or [sample_recording()]]
    if options.json:
        print(json.dumps(rows))
        return
    names = ("replay_pnl", "today_pnl", "order_flow_pnl", "replay_fee", "today_fee", "order_flow_fee")
    names += ("r_squared_ratio", "r_squared_worst", "reach_response", "reach_response_simulated")
    print(f"{'recording':24} " + " ".join(f"{name.replace('_', ' '):>15.15}" for name in names))
    for row in rows:
        print(f"{row['recording']:24.24} " + " ".join(f"{row[name]:15.3g}" for name in names))


if __name__ == "__main__":
    main()
