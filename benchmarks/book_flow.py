"""A flow policy that imitates a maker of the order book, beside its teacher, on a recording's unseen part.

    python benchmarks/book_flow.py RECORDING MAKER STUDENT [--answered SHARE] [--phases N] [--json]

MAKER is a run folder of `flowhft learn` on that recording, STUDENT one of `flowhft distil` (or `imitate`).
Decisions, order size and limit are the maker's; fills are capped by what was traded, and the share --answered
of orders that improve the touch loses its priority. `same`: of all sides at all decisions of the student's
own way, the share at which the teacher, asked there, does the same; `same price` of those that both quote;
`both out` of those at which either stays out. Money is means over phases of the grid of decisions, with 99 %
intervals of Student's over blocks of five minutes (of ten seconds for coins).

Latency: one decision from Python, all of it, on the observations of that part; `loop` within a compiled loop.
`x glft` is the speed of a whole replay of the bundled recording beside that of the closed form, as in
`benchmarks/replay.py`.
"""

import argparse
import json
import time
from functools import partial
from typing import Any

import numpy as np

from flowhft.calibrate.calibrate import CalibrationSettings, calibrate
from flowhft.desk.compiled import Frozen, begin, freeze, quote
from flowhft.desk.replay.engine import prepare, replay, trade
from flowhft.desk.replay.makers import maker_of
from flowhft.desk.replay.settings import ReplaySettings
from flowhft.desk.replay.tape import OrderFlow, observe
from flowhft.features.book_side import NONE
from flowhft.learn.demonstrations.book import shown_by
from flowhft.policies import rules
from flowhft.policies.names import find_policy
from flowhft.policies.policy import Policy
from flowhft.policies.rule import Rule
from flowhft.recordings import read_recording, sample_recording
from flowhft.recordings.split import between
from flowhft.stages.calibrated import scenario_of
from flowhft.stages.learn import replay_for
from flowhft.stages.teach import maker_in
from flowhft.studies.book.outcomes import outcomes_on, total
from flowhft.studies.book.protocol import SHARE, kind_of
from flowhft.types import Observation

DECISION_US = 100.0
ROUNDS = 9


def agreement(teacher: Frozen, student: Frozen, part: Any, settings: ReplaySettings) -> dict[str, float]:
    """Return where teacher and student do the same, on the way of the student."""
    market = prepare(part, settings, book="needed")
    path = trade(market, "student", student, settings, 0).trajectory
    mid, held = path.observation.mid_price[0], path.observation.inventory[0]
    price = np.stack([mid - path.quote.half_spread_bid[0], mid + path.quote.half_spread_ask[0]], axis=-1)
    last = np.concatenate([np.full((1, 2), np.nan), price[:-1]])
    first = np.zeros(1, np.int64)
    asked = shown_by(teacher, market.tape, first, held[None], last[None])
    answered = _places_at(teacher, market.tape, held, price)
    taught = asked.choice[0]
    out, other = answered == NONE, taught == NONE
    both = ~out & ~other
    return {
        "decisions": len(held),
        "same": float(np.mean(answered == taught)),
        "same_price": float(np.mean(answered[both] == taught[both])) if both.any() else float("nan"),
        "both_quote": float(both.mean()),
        "both_out": float(np.sum(out & other) / max(np.sum(out | other), 1)),
        "same_abstention": float(np.mean(out == other)),
    }


def _places_at(teacher: Frozen, tape: Any, held: np.ndarray, price: np.ndarray) -> np.ndarray:
    """Return the places of prices among the teacher's."""
    first = np.zeros(1, np.int64)
    return shown_by(teacher, tape, first, held[None], price[None]).standing[0]


def latency(frozen: Frozen, tape: Any, calls: int = 20_000) -> dict[str, float]:
    """Return how long a decision takes, microseconds."""
    seen = [
        Observation(*map(float, one[:-1]), np.ascontiguousarray(one.book))
        for one in (observe(tape, step % (len(tape.time_ns) - 1), 60_000_000_000, 0.0, 0.0, 0.0, 0.0)
                    for step in range(2_000))
    ]  # fmt: skip
    memory, taken = begin(frozen, 0), np.empty(calls)
    for one in seen:
        quote(frozen, memory, one)
    now = time.perf_counter_ns
    for i in range(calls):
        one = seen[i % len(seen)]
        started = now()
        quote(frozen, memory, one)
        taken[i] = now() - started
    p50, p99 = np.quantile(taken, (0.5, 0.99)) / 1e3
    loop = float(np.median(maker_of("policy", frozen).latency(tape, 60.0)))
    return {"p50_us": float(p50), "p99_us": float(p99), "loop_us": loop}


def replay_ratio(policies: dict[str, Frozen], glft: Frozen) -> dict[str, float]:
    """Return the speed of a whole replay of the bundled recording, beside that of the closed form."""
    recording, settings = read_recording(sample_recording()), ReplaySettings(decision_latency_us=DECISION_US)
    works = {
        name: partial(replay, recording, {name: one}, settings)
        for name, one in {"glft": glft, **policies}.items()
    }
    taken: dict[str, list[float]] = {name: [] for name in works}
    for round_ in range(ROUNDS + 1):
        for name, work in works.items():
            started = time.perf_counter()
            work()
            if round_:
                taken[name].append(time.perf_counter() - started)
    reference = np.array(taken["glft"])
    return {name: float(np.median(reference / np.array(taken[name]))) for name in policies}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recording")
    parser.add_argument("maker")
    parser.add_argument("student")
    parser.add_argument("--answered", type=float, default=0.0)
    parser.add_argument("--phases", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    recording = read_recording(given.recording)
    maker, _, lots = maker_in(find_policy(given.maker).policy, given.maker)
    kind = kind_of(recording.venue)
    times = recording.events["local_time_ns"]
    border = int(times[0]) + round(SHARE * int(times[-1] - times[0]))
    first = between(recording, None, border)
    general = ReplaySettings(
        decision_latency_us=DECISION_US, fills="capped", answered=given.answered, order_lots=lots
    )
    known = calibrate(first, CalibrationSettings(), 0)
    settings = replay_for(kind.settings, general, first).counting(known.facts.order_window)
    part = between(recording, border, None)
    scenario = scenario_of(known, part, settings)
    policies = {
        "teacher": freeze(Policy(maker)),
        "student": freeze(find_policy(given.student)),
        "glft": freeze(Policy(Rule(rules.get("glft"))), scenario),
        "no_quote": freeze(Policy(Rule(rules.get("no_quote"))), scenario),
    }
    flow = OrderFlow(*(known.parameters[name].value for name in OrderFlow._fields))
    found = outcomes_on(
        recording, border, None, policies, settings, kind.settings.block, flow, given.phases,
        horizon=kind.settings.edge_horizon,
    )  # fmt: skip
    teacher = found["teacher"].blocks
    rows: list[dict[str, Any]] = []
    tape = prepare(part, settings, book="needed").tape
    for name, outcome in found.items():
        row: dict[str, Any] = {
            "policy": name,
            "pnl": total(outcome.blocks),
            "less_teacher": total(outcome.blocks - teacher),
            "less_glft": total(outcome.blocks - found["glft"].blocks),
            "fills": outcome.fills,
            "quoted": outcome.quoted,
            **latency(policies[name], tape),
        }
        rows.append(row)
    ratios = replay_ratio({name: policies[name] for name in ("teacher", "student")}, policies["glft"])
    agreed = agreement(policies["teacher"], policies["student"], part, settings)
    result = {"recording": recording.name, "rows": rows, "agreement": agreed, "speed_of_glft": ratios}
    if given.json:
        print(json.dumps(result))
        return
    print(f"{recording.name}, last {1 - SHARE:.0%}, {recording.instrument.money}, 99 %")
    for row in rows:
        pnl, less, over = row["pnl"], row["less_teacher"], row["less_glft"]
        print(
            f"{row['policy']:9} PnL {pnl.value:9.3g} ({pnl.low:.3g} to {pnl.high:.3g})  less teacher "
            f"{less.value:.3g} ({less.low:.3g} to {less.high:.3g})  less glft {over.value:.3g} "
            f"({over.low:.3g} to {over.high:.3g})  fills {row['fills']:.1f}  quoted {row['quoted']:.0%}  p50 "
            f"{row['p50_us']:.1f} us, p99 {row['p99_us']:.1f}, loop {row['loop_us']:.1f}"
        )
    print("  ".join(f"{name} {value:.3g}" for name, value in agreed.items()))
    print("replay, x glft: " + ", ".join(f"{name} {value:.2f}" for name, value in ratios.items()))


if __name__ == "__main__":
    main()
