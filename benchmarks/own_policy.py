"""Decisions a second of a user's own policy in the replay, beside a frozen one: the same quotes by each.

    python benchmarks/own_policy.py [--json]

GLFT three times on the bundled recording, a decision every 0.1 s: in plain Python, the same function compiled
by numba, and frozen. Events of the market between two decisions pass in all of them, and cost what they cost
(`venue alone`: the time with nobody trading, per decision). Medians over rounds in which all take turns.
"""

import json
import sys
import time
from collections.abc import Callable
from functools import partial

import numba
import numpy as np

from flowhft.desk.compiled import freeze_expert
from flowhft.desk.replay.engine import prepare, trade
from flowhft.desk.replay.settings import ReplaySettings
from flowhft.desk.replay.venue import advance, close_venue, open_venue
from flowhft.policies.own import own_policy
from flowhft.policies.rules import EXPERTS
from flowhft.recordings import read_recording, sample_recording
from flowhft.types import Estimates, Observation, Quote

ROUNDS = 9
ESTIMATES = Estimates(volatility=42.0, drift=0.0, intensity=0.8, fill_decay=0.034, horizon=60.0)
TOLD = EXPERTS["glft"].coefficients(ESTIMATES, 0.1 * ESTIMATES.fill_decay)
BASE, SLOPE = float(TOLD.base), float(TOLD.slope)


def mine(seen: Observation) -> Quote:
    return Quote(BASE + (0.5 + seen.inventory) * SLOPE, BASE + (0.5 - seen.inventory) * SLOPE, 1.0, 1.0)


def main() -> None:
    settings = ReplaySettings(decision_latency_us=100.0)
    market = prepare(read_recording(sample_recording()), settings)
    decisions = len(market.tape.time_ns) - 1

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
    taken: dict[str, list[float]] = {name: [] for name in works}
    for round_ in range(ROUNDS + 1):
        for name, work in works.items():
            started = time.perf_counter()
            work()
            if round_:
                taken[name].append(time.perf_counter() - started)
    seconds = {name: float(np.median(times)) for name, times in taken.items()}
    rows = [
        {
            "policy": name,
            "decisions_per_second": decisions / value,
            "microseconds_a_decision": 1e6 * value / decisions,
            "of_which_policy": 1e6 * (value - seconds["venue alone"]) / decisions,
        }
        for name, value in seconds.items()
    ]
    if "--json" in sys.argv[1:]:
        print(json.dumps({"decisions": decisions, "rows": rows}))
        return
    print(f"replay of the bundled recording: {decisions:,} decisions")
    print(f"{'':16}{'decisions/s':>14}{'us a decision':>16}{'above the venue':>18}")
    for row in rows:
        print(
            f"{row['policy']:16}{row['decisions_per_second']:14,.0f}{row['microseconds_a_decision']:16.1f}"
            f"{row['of_which_policy']:18.1f}"
        )


if __name__ == "__main__":
    main()
