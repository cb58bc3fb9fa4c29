"""How fast recordings are replayed: events of the bundled session per second of wall time, without compiling.

    python benchmarks/replay.py [--json]

`engine alone` is hftbacktest letting the same events pass with nobody trading. `loop` is the compiled loop:
the events, a decision every 0.1 s, its orders, the account. `replay` is what one call takes, with reading the
top of the book and converting the recording; several policies in one call share these. `flowhft` is the
policy that ships. `x glft` is the speed beside that of the closed form: the median over rounds in which all
take turns.
"""

import json
import sys
import time
from collections.abc import Callable
from functools import partial

import numpy as np

from flowhft.desk.compiled import Frozen, fold, freeze_expert, weight_shapes
from flowhft.desk.compiled.freeze import freeze
from flowhft.desk.replay.engine import prepare, replay, trade
from flowhft.desk.replay.settings import ReplaySettings
from flowhft.desk.replay.venue import advance, close_venue, open_venue
from flowhft.features import NAMES, Sensor
from flowhft.policies.names import find_policy
from flowhft.policies.plan import euler
from flowhft.policies.rules import EXPERTS
from flowhft.recordings import read_recording, sample_recording
from flowhft.scenarios.scenario import Scenario
from flowhft.types import Estimates

ROUNDS = 9
WIDTH, BLOCKS, HORIZON = 128, 3, 16
ESTIMATES = Estimates(volatility=42.0, drift=0.0, intensity=0.8, fill_decay=0.034, horizon=60.0)
MARKET = Scenario(
    name="bundled", horizon=60.0, dt=0.1, price="additive", initial_price=1e5, volatility=42.0,
    base_intensity=0.8, fill_decay=0.034, risk_aversion=0.0034,
)  # fmt: skip


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


def taking_turns(works: dict[str, Callable[[], object]]) -> dict[str, np.ndarray]:
    """Return the wall times of every work, one a round, after a round that compiles."""
    taken: dict[str, list[float]] = {name: [] for name in works}
    for round_ in range(ROUNDS + 1):
        for name, work in works.items():
            started = time.perf_counter()
            work()
            if round_:
                taken[name].append(time.perf_counter() - started)
    return {name: np.array(seconds) for name, seconds in taken.items()}


def main() -> None:
    recording = read_recording(sample_recording())
    settings = ReplaySettings(decision_latency_us=100.0, fills="whole")  # as hftbacktest
    market = prepare(recording, settings)

    def pass_by() -> None:
        venue = open_venue(market.events, settings)
        advance(venue, int(market.events["exch_ts"][0]))
        advance(venue, int(market.events["exch_ts"][-1]))
        close_venue(venue)

    policies = {
        "glft": freeze_expert(
            EXPERTS["glft"], EXPERTS["glft"].coefficients(ESTIMATES, 0.1 * ESTIMATES.fill_decay)
        ),
        "flowhft": freeze(find_policy("flowhft"), MARKET),
        f"flow, width {WIDTH}, 1 step": random_flow(1),
        f"flow, width {WIDTH}, 4 steps": random_flow(4),
    }
    works: dict[str, Callable[[], object]] = {"engine alone": pass_by}
    for name, frozen in policies.items():
        works[f"loop: {name}"] = partial(trade, market, name, frozen, settings, 0)
        works[f"replay: {name}"] = partial(replay, recording, {name: frozen}, settings)
    taken = taking_turns(works)
    count = len(recording.events)
    rows = []
    for name, seconds in taken.items():
        kind = name.split(":")[0]
        glft = taken.get(f"{kind}: glft", seconds)
        rows.append(
            {
                "work": name,
                "seconds": float(np.median(seconds)),
                "events_per_second": count / float(np.median(seconds)),
                "speed_of_glft": float(np.median(glft / seconds)),
            }
        )
    if "--json" in sys.argv[1:]:
        print(json.dumps({"recording": recording.name, "events": count, "rows": rows}))
        return
    print(f"{recording.name}: {count:,} events, {recording.duration:.0f} s, a decision every 0.1 s")
    print(f"{'':32}{'seconds':>10}{'events/s':>14}{'x glft':>10}")
    for row in rows:
        ratio = "" if row["work"] == "engine alone" else f"{row['speed_of_glft']:10.2f}"
        print(f"{row['work']:32}{row['seconds']:10.3f}{row['events_per_second']:14,.0f}{ratio}")


if __name__ == "__main__":
    main()
