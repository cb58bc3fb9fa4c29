"""How far the mid moves against a maker whose quote is filled, on recordings, in units that carry over.

    python benchmarks/adverse_selection.py RECORDING ... [--response-latency 0.05] [--json]

For every recording the calibration's own estimate: the expected move of the mid within twice the response
latency after market orders that reach a quote at 1 / k, where a maker without inventory earns most. Without
units it is said twice: in units of 1 / k, what share of the half-spread a fill gives back, and in standard
deviations of a step of the time between decisions that the calibration would choose. The preset `informed`
takes the median of the first (`flowhft.scenarios.presets.INFORMED`). A recording is a session's prefix, one
of its files, or its folder. Without arguments: the bundled one.
"""

import argparse
import json
import statistics
from pathlib import Path

from flowhft.calibrate.calibrate import CalibrationSettings, calibrate
from flowhft.calibrate.scenario import natural_dt
from flowhft.errors import DataError
from flowhft.recordings.formats.read import read_recording
from flowhft.recordings.formats.sample import sample_recording


def measure(path: Path, settings: CalibrationSettings) -> dict[str, str | float]:
    """Calibrate a recording and return its adverse selection in ticks, in 1 / k and in steps."""
    recording = read_recording(path, repair=True)
    result = calibrate(recording, settings)
    fill_decay, volatility = result.parameters["fill_decay"].value, result.parameters["volatility"].value
    dt = natural_dt(result)
    adverse = result.parameters["adverse_selection"]
    return {
        "recording": path.name,
        "seconds": result.facts.seconds,
        "market_spread": result.facts.market_spread,
        "distance": 1.0 / fill_decay,
        "adverse_selection": adverse.value,
        "standard_error": adverse.standard_error,
        "of_distance": adverse.value * fill_decay,
        "of_distance_error": adverse.standard_error * fill_decay,
        "dt": dt,
        "of_step": adverse.value / (volatility * dt**0.5),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recordings", type=Path, nargs="*")
    parser.add_argument("--response-latency", type=float, default=0.05)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()

    # The bootstrap is for the errors of the fill curve, which are not shown.
    settings = CalibrationSettings(response_latency=options.response_latency, bootstrap_samples=100)
    rows, refused = [], []
    for path in options.recordings or [sample_recording()]:
        try:
            rows.append(measure(path, settings))
        except DataError as cause:
            refused.append({"recording": str(path), "why": str(cause)})
    middle = {
        name: statistics.median(row[name] for row in rows) if rows else None
        for name in ("of_distance", "of_step")
    }
    if options.json:
        print(json.dumps({"recordings": rows, "median": middle, "refused": refused}))
        return
    print(
        f"{'recording':24} {'spread':>7} {'1 / k':>7} {'move':>14} {'in 1 / k':>12} {'dt':>6} {'in steps':>8}"
    )
    for row in rows:
        print(
            f"{row['recording']:24} {row['market_spread']:7.1f} {row['distance']:7.1f} "
            f"{row['adverse_selection']:8.1f} ± {row['standard_error']:3.1f} "
            f"{row['of_distance']:6.2f} ± {row['of_distance_error']:4.2f} "
            f"{row['dt']:6g} {row['of_step']:8.1f}"
        )
    if rows:
        print(f"{'median':55} {middle['of_distance']:6.2f} {middle['of_step']:22.1f}")
    for each in refused:
        print(f"not calibrated: {each['why']}")


if __name__ == "__main__":
    main()
