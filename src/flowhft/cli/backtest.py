"""`flowhft backtest`: judge policies on a recording, with queues, latency and fees."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from tyro.conf import Positional

from flowhft.cli.calibrate import SCENARIOS
from flowhft.cli.command import Command, Result
from flowhft.cli.evaluate import course_units, result_of, units_of_metrics
from flowhft.cli.folder import begin, identity_of_run, policies_of, run_of
from flowhft.cli.select import scores_from
from flowhft.cli.terminal import Terminal
from flowhft.errors import UsageError, require
from flowhft.replay.settings import ReplaySettings
from flowhft.runs import read_json, stream, write_json, write_table

if TYPE_CHECKING:
    from flowhft.cli.recording import Parts
    from flowhft.market.scenario import Scenario
    from flowhft.recordings.ticks import Recording
    from flowhft.replay.engine import Replayed

LATENCY_UNITS = dict.fromkeys(("p50", "p90", "p99", "maximum"), "us")
BLOCK_SECONDS = 10.0  # of the bootstrap: longer than the memory of order flow, much shorter than a recording


@dataclass(frozen=True, kw_only=True)
class Backtest(Command):
    """Replay a recording, or its unseen part, through hftbacktest: each policy alone on the same events.

    Orders wait in queues, arrive late and pay fees. Metrics are per session of the scenario's horizon, as
    in simulation; intervals come from a block bootstrap of the recording. Writes results.parquet,
    differences.parquet, equity.parquet, markouts.parquet, latency.parquet, fills.parquet, backtest.json.
    """

    recording: Positional[Path]
    """Session prefix, any of its files, or a folder that holds one session."""
    calibration: Path
    """Run folder of `flowhft calibrate`: the market that experts are told, and the sessions' length."""
    policies: str
    """Comma-separated experts (glft, or glft@RISK_AVERSION), .safetensors files, frozen ones among them, or
    run folders; label=path names one."""
    after: float = 0.0
    """Share of the recording's time, from its start, that is left out because it was learned from."""
    reference: str = ""
    """Policy that paired differences are taken against; the first one if none is named."""
    teachers: Path | None = None
    """A demonstrate or select run: experts then quote with the risk aversion that was best for them."""
    repair: bool = False
    """Mend what can be mended in the recording, and say what was done."""
    confidence: float = 0.99
    """Of every interval."""
    replay: ReplaySettings = ReplaySettings()

    def run(self, terminal: Terminal) -> Result:
        """Read, freeze, replay, judge."""
        from flowhft.cli.recording import facts_of, identity_of_recording, read_parts
        from flowhft.market.scenario_files import read_scenarios
        from flowhft.policies import find_policies, tune

        parents = {"calibration": identity_of_run(self.calibration, "calibration", "calibrate")}
        scenario = read_scenarios(self.calibration / SCENARIOS)[0]
        found = find_policies(self.policies, frozen=True)
        if self.teachers:
            parents["teachers"], scores = scores_from(self.teachers)
            found = tune(found, scores)
        names = [policy.name for policy in found]
        reference = self.reference or names[0]
        if reference not in names:
            raise UsageError(f"`reference` must be one of {', '.join(names)}; received '{reference}'.")
        require(0.0 < self.confidence < 1.0, "confidence", "lie between 0 and 1", self.confidence)
        require(0.0 <= self.after < 1.0, "after", "lie in [0, 1)", self.after, "0.6 judges the last 40 %.")
        with terminal.stage("read the recording"):
            parts = read_parts(self.recording, self.after or 1.0, self.repair)
            judged = parts.unseen or parts.learn

        settings = self.replay.in_scenario(scenario.dt, scenario.horizon)
        require(
            judged.duration >= 2.0 * settings.session,
            "horizon",
            "fit at least twice into the recording that is judged",
            f"{settings.session:g} s, with {judged.duration:.3g} s to judge",
            "Shorten the sessions with --replay.horizon, or judge a longer part.",
        )
        parents["recording"] = identity_of_recording(judged)
        called, saved = policies_of(found)
        run = run_of(self, "backtest", parents | saved, policies=called)
        if work := begin(run, terminal):
            replayed = self._replay(judged, {p.name: p.frozen(scenario) for p in found}, settings, terminal)
            with terminal.stage("judge the replay"):
                record = self._write(work, scenario, settings, judged, replayed, reference)
            record["warnings"] += in_sample(read_json(self.calibration / "recording.json"), parts, self.after)
            learned_names = [policy.name for policy in found if not policy.source.told]
            write_json(
                work / "backtest.json",
                {
                    "settings": settings,
                    "reference": reference,
                    "learned": learned_names[-1] if learned_names else None,
                    **record,
                },
            )
            write_json(work / "recording.json", facts_of(parts))
            run.finish(reference=reference, policies=names)
        return result_of(run.folder, reference)

    def _replay(
        self, recording: "Recording", policies: dict[str, Any], settings: ReplaySettings, terminal: Terminal
    ) -> dict[str, "Replayed"]:
        from flowhft.calibrate.calibrate import load_calibration
        from flowhft.replay.engine import replay
        from flowhft.replay.tape import OrderFlow

        known = load_calibration(self.calibration).parameters
        flow = OrderFlow(*(known[name].value for name in OrderFlow._fields))
        with terminal.stage("replay the recording") as progress:
            return replay(recording, policies, settings, self.seed, progress, flow=flow)

    def _write(
        self,
        folder: Path,
        scenario: "Scenario",
        settings: ReplaySettings,
        recording: "Recording",
        replayed: Mapping[str, "Replayed"],
        reference: str,
    ) -> dict[str, Any]:
        """Write the tables of the judgement, and return what the record says beside them."""
        from flowhft.blocks import judge_sessions
        from flowhft.evaluate import columns
        from flowhft.replay.engine import FILL_UNITS
        from flowhft.replay.markout import MARKOUT_UNITS, markout

        money = scenario.tick_value
        found = judge_sessions(
            {name: result.trajectory for name, result in replayed.items()},
            session_steps=round(settings.session / settings.interval),
            block_steps=max(1, round(BLOCK_SECONDS / settings.interval)),
            reference=reference,
            seed=stream(self.seed, "backtest", "blocks"),
            confidence=self.confidence,
        )
        where = {"scenario": "recording", "currency": scenario.currency, "paths": found.sessions}
        units = units_of_metrics(scenario.currency)
        results = [
            {"policy": name, **where, **columns(values, money)} for name, values in found.results.items()
        ]
        differences = [
            {"policy": name, "reference": reference, **where, **columns(values, money)}
            for name, values in found.differences.items()
        ]
        write_table(folder / "results.parquet", pl.DataFrame(results), units)
        write_table(
            folder / "differences.parquet",
            pl.DataFrame(differences, schema=None if differences else {"scenario": str, "policy": str}),
            units,
        )
        course = pl.concat([course_of(name, r, money) for name, r in replayed.items()])
        write_table(folder / "equity.parquet", course, course_units(scenario.currency))
        fills = {name: result.fills for name, result in replayed.items()}
        write_table(folder / "markouts.parquet", markout(fills, recording), MARKOUT_UNITS)
        everything = pl.concat([table.with_columns(policy=pl.lit(name)) for name, table in fills.items()])
        write_table(folder / "fills.parquet", everything, FILL_UNITS)
        write_table(folder / "latency.parquet", latencies(recording, settings, replayed), LATENCY_UNITS)
        return {
            "sessions": found.sessions,
            "session_seconds": settings.session,
            "total_pnl": {
                name: money * float(np.sum(t.spread_pnl + t.inventory_pnl - t.fee))
                for name, t in ((name, result.trajectory) for name, result in replayed.items())
            },
            "break_even_fee_bps": {name: break_even_fee(result) for name, result in replayed.items()},
            "orders": {name: result.orders for name, result in replayed.items()},
            "decision_latency_us": {name: result.decision_latency_us for name, result in replayed.items()},
            "warnings": warnings_about(settings, found.sessions),
        }


def course_of(name: str, replayed: "Replayed", money: float) -> pl.DataFrame:
    """Return the course of a replay: equity, drawdown, inventory and PnL by cause after every step."""
    from flowhft.measures import drawdown, equity, inventory_after

    path = replayed.trajectory
    wealth = equity(path)
    return pl.DataFrame(
        {
            "policy": name,
            "time": np.asarray(path.observation.time)[0],
            "equity": money * wealth[0],
            "drawdown": money * drawdown(wealth)[0],
            "inventory": inventory_after(path)[0],
            "spread_pnl": money * np.cumsum(path.spread_pnl[0]),
            "inventory_pnl": money * np.cumsum(path.inventory_pnl[0]),
            "fee": money * np.cumsum(path.fee[0]),
        }
    )


def break_even_fee(replayed: "Replayed") -> float | None:
    """Return the maker fee in basis points at which nothing would have been earned; None without fills."""
    traded = float((replayed.fills["price"] * replayed.fills["lots"]).sum())
    if traded == 0.0:
        return None
    path = replayed.trajectory
    # The trajectory counts lots of one order, the fills lots of the recording.
    lots_per_order = float(replayed.fills["lots"].sum()) / float(
        np.sum(path.fill.bid) + np.sum(path.fill.ask)
    )
    return 1e4 * float(np.sum(path.spread_pnl + path.inventory_pnl)) * lots_per_order / traded


def latencies(
    recording: "Recording", settings: ReplaySettings, replayed: Mapping[str, "Replayed"]
) -> pl.DataFrame:
    """Return percentiles of every delay between the market and our orders, microseconds."""
    from flowhft.recordings.ticks import SNAPSHOT

    events = recording.events[recording.events["kind"] != SNAPSHOT]
    feed = (events["local_time_ns"] - events["exchange_time_ns"]) * 1e-3
    kinds: list[tuple[str, str | None, np.ndarray]] = [
        ("feed", None, feed),
        ("order", None, np.array([1e3 * settings.order_latency_ms])),
        ("response", None, np.array([1e3 * settings.response_latency_ms])),
    ]
    kinds += [
        ("decision", name, result.measured_latency_us)
        for name, result in replayed.items()
        if len(result.measured_latency_us)
    ]
    return pl.DataFrame(
        [
            {
                "kind": kind,
                "policy": policy,
                **dict(zip(("p50", "p90", "p99"), np.percentile(values, (50, 90, 99)).tolist(), strict=True)),
                "maximum": float(np.max(values)),
            }
            for kind, policy, values in kinds
        ],
        infer_schema_length=None,
    )


def in_sample(calibrated_on: Mapping[str, Any], parts: "Parts", after: float) -> list[str]:
    """Return a warning where the judgement looks at what the calibration has learned from."""
    whole = parts.whole
    same = calibrated_on.get("name") == whole.name and calibrated_on.get("events") == len(whole.events)
    learned = float(calibrated_on.get("learn_seconds") or 0.0)
    if not same or after * whole.duration >= learned - 1e-6:
        return []
    return [
        f"The first {learned:.0f} s of this recording were learned from, and the judgement begins at "
        f"{after * whole.duration:.0f} s: it is in sample. Pass --after {learned / whole.duration:.4g}."
    ]


def warnings_about(settings: ReplaySettings, sessions: int) -> list[str]:
    """Return what a reader of the replay must know, in plain words."""
    said = [
        "The recorded market does not answer our orders; larger orders would have moved it.",
        f"The judgement rests on {sessions} sessions of one recording: its intervals say how far chance goes "
        "within it, not how other days would differ.",
    ]
    if settings.maker_fee_bps == 0.0:
        said.append(
            "Fees are set to 0. Compare the break-even fee of each policy with what your venue charges: a "
            "regular maker fee of 1 to 2 basis points is more than any policy here earns unless it says so."
        )
    return said
