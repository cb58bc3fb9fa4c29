"""How fast recordings are replayed: events of the bundled session per second of wall time, without compiling.

    python benchmarks/replay.py [--json]

`engine alone` is hftbacktest letting the same events pass with nobody trading: the floor that the
policies' ratios refer to. A replay also reads the book and converts the recording, which is included.
"""

import json
import sys
import time
from collections.abc import Callable

import numpy as np

from flowhft.experts import EXPERTS
from flowhft.features import NAMES, Sensor
from flowhft.frozen import Frozen, fold, freeze_expert, weight_shapes
from flowhft.frozen.plan import euler
from flowhft.recordings import read_recording, sample_recording
from flowhft.replay.engine import replay
from flowhft.replay.events import exchange_events
from flowhft.replay.settings import ReplaySettings
from flowhft.replay.venue import advance, close_venue, open_venue
from flowhft.types import Estimates

REPEATS = 5
WIDTH, BLOCKS, HORIZON = 128, 3, 16
ESTIMATES = Estimates(volatility=42.0, drift=0.0, intensity=0.8, fill_decay=0.034, horizon=60.0)


def random_flow(steps: int) -> Frozen:
    """Return a flow policy of random weights, which costs what a trained one costs."""
    random = np.random.default_rng(0)
    features = len(NAMES["context"])
    weights = {
        name: random.normal(0.0, 0.05, shape).astype(np.float32)
        for name, shape in weight_shapes(features, 2 * HORIZON, WIDTH, BLOCKS).items()
    }
    sensor = Sensor(
        volatility=42.0, rate=4.0, horizon=60.0, half_spread=30.0, inventory=3.0, memory=30.0, burst=3.0
    )
    return fold(
        weights,
        np.zeros(features),
        np.ones(features),
        np.full(2, 30.0),
        np.full(2, 10.0),
        sensor,
        "context",
        plan=euler(steps),
        noise_scale=0.0,
        execute=1,
    )


def median_seconds(work: Callable[[], object]) -> float:
    """Return the median wall time of `work`, after one call that compiles."""
    work()
    taken = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return float(np.median(taken))


def main() -> None:
    recording = read_recording(sample_recording())
    settings = ReplaySettings()
    events = exchange_events(recording)

    def pass_by() -> None:
        venue = open_venue(events, settings)
        advance(venue, int(events["exch_ts"][0]))
        advance(venue, int(events["exch_ts"][-1]))
        close_venue(venue)

    glft = freeze_expert(EXPERTS["glft"], EXPERTS["glft"].coefficients(ESTIMATES, 0.1 * ESTIMATES.fill_decay))
    seconds = {"engine alone": median_seconds(pass_by)}
    for name, frozen in {
        "glft": glft,
        f"flow, width {WIDTH}, 1 step": random_flow(1),
        f"flow, width {WIDTH}, 4 steps": random_flow(4),
    }.items():
        seconds[name] = median_seconds(lambda frozen=frozen: replay(recording, {"policy": frozen}, settings))
    count = len(recording.events)
    rows = [
        {
            "policy": name,
            "seconds": taken,
            "events_per_second": count / taken,
            "ratio": taken / seconds["engine alone"],
        }
        for name, taken in seconds.items()
    ]
    if "--json" in sys.argv[1:]:
        print(json.dumps({"recording": recording.name, "events": count, "rows": rows}))
        return
    print(f"{recording.name}: {count:,} events, {recording.duration:.0f} s, a decision every 0.1 s")
    print(f"{'':28}{'seconds':>10}{'events/s':>14}{'x engine':>10}")
    for row in rows:
        print(
            f"{row['policy']:28}{row['seconds']:10.3f}{row['events_per_second']:14,.0f}{row['ratio']:10.2f}"
        )


if __name__ == "__main__":
    main()
