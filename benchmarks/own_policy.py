"""Decisions a second of a user's own policy, in the replay and in simulation: the same quotes by each.

    python benchmarks/own_policy.py [--json]

GLFT three times on the bundled recording, a decision every 0.1 s: in plain Python, the same function compiled
by numba, and frozen. Events of the market between two decisions pass in all of them, and cost what they cost
(`venue alone`: the time with nobody trading, per decision). In simulation the same in a cell of the paper,
the expert in jax instead of frozen. Medians over rounds in which all take turns.
"""

import json
import sys
import time
from collections.abc import Callable
from functools import partial

import numba
import numpy as np

from flowhft.simulate.devices import prepare as prepare_devices

prepare_devices()

from flowhft.desk.compiled import freeze_expert  # noqa: E402
from flowhft.desk.replay.engine import prepare, trade  # noqa: E402
from flowhft.desk.replay.settings import ReplaySettings  # noqa: E402
from flowhft.desk.replay.venue import advance, close_venue, open_venue  # noqa: E402
from flowhft.policies.own import own_policy  # noqa: E402
from flowhft.policies.rules import EXPERTS  # noqa: E402
from flowhft.recordings import read_recording, sample_recording  # noqa: E402
from flowhft.scenarios.presets import find_scenarios  # noqa: E402
from flowhft.simulate.market.market import build  # noqa: E402
from flowhft.simulate.quoting import closed_form  # noqa: E402
from flowhft.simulate.rollout import evaluate_one  # noqa: E402
from flowhft.types import Estimates, Observation, Quote  # noqa: E402

ROUNDS = 9
SIMULATED_ROUNDS = 3
SESSIONS = 1_000
ESTIMATES = Estimates(volatility=42.0, drift=0.0, intensity=0.8, fill_decay=0.034, horizon=60.0)
TOLD = EXPERTS["glft"].coefficients(ESTIMATES, 0.1 * ESTIMATES.fill_decay)
BASE, SLOPE = float(TOLD.base), float(TOLD.slope)


def mine(seen: Observation) -> Quote:
    return Quote(BASE + (0.5 + seen.inventory) * SLOPE, BASE + (0.5 - seen.inventory) * SLOPE, 1.0, 1.0)


def medians(works: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return the median seconds of each work, all taking turns; a first round, which compiles, aside."""
    taken: dict[str, list[float]] = {name: [] for name in works}
    for round_ in range(rounds + 1):
        for name, work in works.items():
            started = time.perf_counter()
            work()
            if round_:
                taken[name].append(time.perf_counter() - started)
    return {name: float(np.median(times)) for name, times in taken.items()}


def replayed() -> tuple[int, dict[str, float]]:
    """Return the decisions of a replay of the bundled recording, and the seconds that each policy takes."""
    settings = ReplaySettings(decision_latency_us=100.0)
    market = prepare(read_recording(sample_recording()), settings)

    def pass_by() -> None:
        venue = open_venue(market.events, settings)
        advance(venue, int(market.events["exch_ts"][0]))
        advance(venue, int(market.events["exch_ts"][-1]))
        close_venue(venue)

    policies = {
        "plain Python": own_policy(mine),
        "numba function": own_policy(numba.njit(mine)),
        "frozen": freeze_expert(EXPERTS["glft"], TOLD),
    }
    works: dict[str, Callable[[], object]] = {"venue alone": pass_by}
    works |= {name: partial(trade, market, name, policy, settings, 0) for name, policy in policies.items()}
    return len(market.tape.time_ns) - 1, medians(works, ROUNDS)


def simulated() -> tuple[int, dict[str, float]]:
    """Return the decisions of sessions of a cell of the paper, and the seconds that each policy takes."""
    cell = find_scenarios("T1.LL")[0]
    market = build(cell)
    policies = {
        "plain Python": own_policy(mine),
        "numba function": own_policy(numba.njit(mine)),
        "expert": closed_form("glft", cell),
    }
    works = {
        name: partial(evaluate_one, market, policy, paths=SESSIONS, seed=0, scenario="bench")
        for name, policy in policies.items()
    }
    return SESSIONS * cell.steps, medians(works, SIMULATED_ROUNDS)


def main() -> None:
    result = {"replay of the bundled recording": replayed(), f"{SESSIONS:,} sessions of T1.LL": simulated()}
    rows = [
        {
            "where": where,
            "decisions": decisions,
            "policy": name,
            "decisions_per_second": decisions / value,
            "microseconds_a_decision": 1e6 * value / decisions,
        }
        for where, (decisions, seconds) in result.items()
        for name, value in seconds.items()
    ]
    if "--json" in sys.argv[1:]:
        print(json.dumps({"rows": rows}))
        return
    for where, (decisions, _) in result.items():
        print(f"{where}: {decisions:,} decisions")
        print(f"{'':16}{'decisions/s':>14}{'us a decision':>16}")
        for row in rows:
            if row["where"] == where:
                print(
                    f"{row['policy']:16}{row['decisions_per_second']:14,.0f}"
                    f"{row['microseconds_a_decision']:16.2f}"
                )


if __name__ == "__main__":
    main()
