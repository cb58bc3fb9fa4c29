"""`flowhft backtest`: judge policies on a recording with queues and costs, once or walking forward."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import polars as pl
from tyro.conf import Positional

from flowhft.cli.calibrate import SCENARIOS
from flowhft.cli.command import Command, Result
from flowhft.cli.evaluate import course_units, result_of, units_of_metrics
from flowhft.cli.folder import begin, identity_of, identity_of_run, policies_of, run_of
from flowhft.cli.judged import break_even_fee, course_of, in_sample, warnings_about
from flowhft.cli.select import scores_from
from flowhft.cli.terminal import Terminal
from flowhft.desk.replay.settings import ReplaySettings
from flowhft.errors import UsageError, require
from flowhft.runs.folder import read_json, stream, write_json, write_table
from flowhft.studies.walk_forward.settings import SweepSettings, WalkSettings

if TYPE_CHECKING:
    from flowhft.desk.replay.engine import Replayed
    from flowhft.desk.replay.tape import OrderFlow
    from flowhft.recordings.ticks import Recording

BLOCK_SECONDS = 10.0  # of the bootstrap: longer than the memory of order flow, much shorter than a recording
BLOCK_STEPS = 10  # decisions in a block at least, where they are far apart


class Judging(NamedTuple):
    """What is judged: who did what, on which recording, at which settings."""

    recording: "Recording"
    replayed: Mapping[str, "Replayed"]
    settings: ReplaySettings
    reference: str
    currency: str
    money: float
    costs: pl.DataFrame
    time: np.ndarray | None = None


@dataclass(frozen=True, kw_only=True)
class Backtest(Command):
    """Replay a recording, or its unseen part, through hftbacktest: each policy alone on the same events.

    Orders wait in queues, arrive late and pay fees. Metrics are per session of the scenario's horizon, as
    in simulation; intervals come from a block bootstrap of the recording. Writes results.parquet,
    differences.parquet, equity.parquet, inventory.parquet, markouts.parquet, latency.parquet, fills.parquet,
    backtest.json; with a sweep costs.parquet.

    Walking forward, nothing is calibrated before: every window is calibrated on what lies just before it,
    policies are told and adapted, and then they trade it, flat at its beginning and closed at the best price
    at its end. Writes windows.parquet too.
    """

    recording: Positional[Path]
    """Session prefix, any of its files, or a folder; several sessions of one instrument with commas between,
    in the order of their times."""
    calibration: Path | None = None
    """Run folder of `flowhft calibrate`: the market that experts are told, and the sessions' length. Required
    unless walking forward."""
    policies: str
    """Comma-separated experts (glft, or glft@RISK_AVERSION), .safetensors files, frozen ones among them, or
    run folders; label=path names one."""
    walk_forward: bool = False
    """Calibrate on a window, adapt, trade the next, and roll on, instead of one calibration for all."""
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
    cores: int = 0
    """Processes that trade windows side by side; 0 for one a core of the machine."""
    ray: str = ""
    """Trade windows on a Ray cluster: its address (host:port), or auto to join the one here or start one."""
    replay: ReplaySettings = ReplaySettings()
    walk: WalkSettings = WalkSettings()
    sweep: SweepSettings = SweepSettings()

    def run(self, terminal: Terminal) -> Result:
        """Read, freeze, replay, judge; or do so window by window."""
        self._check()
        return self._walk(terminal) if self.walk_forward else self._once(terminal)

    def _check(self) -> None:
        """Refuse what cannot be before anything is read."""
        require(0.0 < self.confidence < 1.0, "confidence", "lie between 0 and 1", self.confidence)
        require(0.0 <= self.after < 1.0, "after", "lie in [0, 1)", self.after, "0.6 judges the last 40 %.")
        require(self.cores >= 0, "cores", "be 0 or more", self.cores)
        if not self.walk_forward:
            if self.calibration is None:
                raise UsageError(
                    "`calibration` must be given unless walking forward; received nothing. Name a run folder "
                    "of `flowhft calibrate`, or pass --walk-forward."
                )
            return
        for name, fix in (
            ("calibration", "Every window is calibrated on what lies before it: leave it out."),
            ("teachers", "Use --walk.teachers."),
            ("after", "Use --walk.learn."),
        ):
            if getattr(self, name):
                raise UsageError(
                    f"`{name}` must not be given when walking forward; received {getattr(self, name)}. {fix}"
                )

    def _reference(self, names: list[str]) -> str:
        reference = self.reference or names[0]
        if reference not in names:
            raise UsageError(f"`reference` must be one of {', '.join(names)}; received '{reference}'.")
        return reference

    def _once(self, terminal: Terminal) -> Result:
        """Judge on one calibration, which was made before."""
        from flowhft.calibrate.calibrate import load_calibration
        from flowhft.cli.recording import facts_of, first_mid, identity_of_recording, read_parts
        from flowhft.desk.compiled.freeze import freeze
        from flowhft.desk.replay.tape import OrderFlow
        from flowhft.policies.names import find_policies, tune
        from flowhft.recordings.instrument import contract_in
        from flowhft.recordings.ticks import require_trades
        from flowhft.scenarios.files import read_scenarios

        calibration = self.calibration or Path()
        parents = {"calibration": identity_of_run(calibration, "calibration", "calibrate")}
        scenario = read_scenarios(calibration / SCENARIOS)[0]
        found = find_policies(self.policies, frozen=True)
        if self.teachers:
            parents["teachers"], scores = scores_from(self.teachers)
            found = tune(found, scores)
        names = [policy.name for policy in found]
        reference = self._reference(names)
        with terminal.stage("read the recording"):
            parts = read_parts(self.recording, self.after or 1.0, self.repair)
            require_trades(parts.whole, "a replay")
            judged = parts.unseen or parts.learn

        known = load_calibration(calibration)
        flow = OrderFlow(*(known.parameters[name].value for name in OrderFlow._fields))
        settings = self.replay.in_scenario(scenario.dt, scenario.horizon)
        settings = settings.counting(known.facts.order_window)
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
            frozen = {policy.name: freeze(policy, scenario) for policy in found}
            contract = contract_in(judged, first_mid(judged))
            replayed, costs = self._replay(judged, frozen, settings, flow, contract.reference, terminal)
            with terminal.stage("judge the replay"):
                money = contract.tick_value * settings.order_lots
                judging = Judging(judged, replayed, settings, reference, contract.currency, money, costs)
                record = self._write(work, judging)
            calibrated_on = read_json(calibration / "recording.json")
            record["warnings"] += in_sample(calibrated_on, parts, self.after)
            learned_names = [policy.name for policy in found if not policy.told]
            learned = learned_names[-1] if learned_names else None
            write_json(
                work / "backtest.json",
                {"settings": settings, "reference": reference, "learned": learned, **record},
            )
            write_json(work / "recording.json", facts_of(parts))
            run.finish(reference=reference, policies=names)
        return result_of(run.folder, reference)

    def _replay(
        self,
        recording: "Recording",
        policies: dict[str, Any],
        settings: ReplaySettings,
        flow: "OrderFlow",
        price: float,
        terminal: Terminal,
    ) -> tuple[dict[str, "Replayed"], pl.DataFrame]:
        from flowhft.desk.replay.engine import replay
        from flowhft.studies.walk_forward.costs import sweep_costs
        from flowhft.studies.walk_forward.trade import slowest

        with terminal.stage("replay the recording") as progress:
            replayed = replay(recording, policies, settings, self.seed, progress, flow=flow, reference=price)
        if not self.sweep.asked:
            return replayed, pl.DataFrame()
        with terminal.stage("replay it at other costs") as progress:
            charged = replace(settings, decision_latency_us=slowest(replayed, settings))
            costs = sweep_costs(
                recording,
                policies,
                charged,
                self.sweep,
                self.seed,
                flow,
                progress=progress,
                reference=price,
            )
        return replayed, costs

    def _walk(self, terminal: Terminal) -> Result:
        """Judge window by window; finished ones are kept and not traded again."""
        from flowhft.calibrate.calibrate import CalibrationSettings
        from flowhft.cli.recording import Parts, facts_of, identity_of_recording, paths_in
        from flowhft.policies.names import find_policy
        from flowhft.recordings.formats.read import read_recording
        from flowhft.simulate.devices import prepare
        from flowhft.studies.walk_forward.forward import planned, walk_forward
        from flowhft.studies.walk_forward.join import WINDOW_UNITS, join_windows
        from flowhft.studies.walk_forward.store import Kept
        from flowhft.studies.walk_forward.trade import ADAPTED, WalkWork, contract_at_start

        prepare()
        with terminal.stage("read the recording"):
            paths = paths_in(self.recording)
            recording = read_recording(list(paths), repair=self.repair)
        work = WalkWork(
            paths=tuple(path.resolve() for path in paths),
            repair=self.repair,
            policies=self.policies,
            windows=(),
            walk=self.walk,
            replay=self.replay,
            calibration=CalibrationSettings(order_window=self.replay.order_window),
            sweep=self.sweep,
            seed=self.seed,
        )
        place = work.place_of(recording)
        names = [policy.name for policy in place.policies] + ([ADAPTED] if place.adapted else [])
        reference = self._reference(names)
        called, saved = policies_of(place.policies)
        parents = {"recording": identity_of_recording(recording)} | saved
        if place.adapted:
            adapted = find_policy(self.walk.adapt)
            parents["walk.adapt"] = identity_of(adapted.path or Path(self.walk.adapt))
            walk = replace(self.walk, adapt=adapted.remembered)
            run = run_of(replace(self, walk=walk), "backtest", parents, policies=called)
        else:
            run = run_of(self, "backtest", parents, policies=called)
        if folder := begin(run, terminal):
            with terminal.stage("plan the walk"):
                work = planned(work, recording)
            with terminal.stage("walk forward") as progress, self._crew(work) as crew:
                windows = walk_forward(work, Kept(folder / "windows"), crew, progress)
            with terminal.stage("judge the walk"):
                contract = contract_at_start(recording)
                money = contract.tick_value * self.replay.order_lots
                walked = join_windows(windows, recording, work.replay, money)
                judging = Judging(
                    recording,
                    walked.replayed,
                    work.replay,
                    reference,
                    contract.currency,
                    money,
                    walked.costs,
                    walked.time,
                )
                record = self._write(folder, judging)
            units = WINDOW_UNITS | dict.fromkeys(("pnl", "closing_fee"), contract.currency)
            write_table(folder / "windows.parquet", walked.windows, units)
            refused = [one.record for one in windows if one.record["refused"]]
            if refused:
                record["warnings"].append(
                    f"{len(refused)} of {len(windows)} windows were not traded: their past cannot be "
                    f"calibrated; the first: {refused[0]['refused']}"
                )
            learned = [policy.name for policy in place.policies if not policy.told]
            write_json(
                folder / "backtest.json",
                {
                    "settings": work.replay,
                    "walk": work.walk,
                    "windows": len(windows),
                    "refused": len(refused),
                    "reference": reference,
                    "learned": ADAPTED if place.adapted else (learned[-1] if learned else None),
                    **record,
                },
            )
            write_json(folder / "recording.json", facts_of(Parts(recording, recording, None)))
            run.finish(reference=reference, policies=names)
        return result_of(run.folder, reference)

    def _crew(self, work: Any) -> Any:
        """Return who trades the windows, as a context: a cluster, processes of our own, or this process."""
        import contextlib

        from flowhft.simulate.devices import prepare
        from flowhft.work.cluster import cluster
        from flowhft.work.pool import PoolCrew, cores_for
        from flowhft.work.task import do_here

        if self.ray:
            return cluster(self.ray, "cpu", prepare)
        cores = cores_for(self.cores, len(work.windows))
        return contextlib.nullcontext(PoolCrew(cores, prepare) if cores > 1 else do_here)

    def _write(self, folder: Path, judging: Judging) -> dict[str, Any]:
        """Write the tables of the judgement, and return what the record says beside them."""
        from flowhft.desk.replay.engine import FILL_UNITS
        from flowhft.desk.replay.latency import LATENCY_UNITS, latency_table
        from flowhft.desk.replay.markout import MARKOUT_UNITS, markout
        from flowhft.metrics.bootstrap import judge_sessions
        from flowhft.metrics.measures import INVENTORY_UNITS, inventory_distribution
        from flowhft.simulate.evaluate import columns

        settings, replayed, reference = judging.settings, judging.replayed, judging.reference
        money, currency = judging.money, judging.currency
        blocks: dict[str, Any] = {
            "session_steps": round(settings.session / settings.interval),
            "block_steps": max(BLOCK_STEPS, round(BLOCK_SECONDS / settings.interval)),
            "reference": reference,
            "seed": stream(self.seed, "backtest", "blocks"),
            "confidence": self.confidence,
        }
        steps = np.shape(next(iter(replayed.values())).trajectory.fee)[-1]
        blocks["block_steps"] = min(blocks["block_steps"], max(1, steps // 2))
        found = judge_sessions({name: one.trajectory for name, one in replayed.items()}, **blocks)
        where = {"scenario": "recording", "currency": currency, "paths": found.sessions}
        units = units_of_metrics(currency)
        results = [
            {"policy": name, **where, **columns(values, money)} for name, values in found.results.items()
        ]
        differences = [
            {"policy": name, "reference": reference, **where, **columns(values, money)}
            for name, values in found.differences.items()
        ]
        write_table(folder / "results.parquet", pl.DataFrame(results, infer_schema_length=None), units)
        write_table(
            folder / "differences.parquet",
            pl.DataFrame(
                differences,
                schema=None if differences else {"scenario": str, "policy": str},
                infer_schema_length=None,
            ),
            units,
        )
        if judging.costs.height:
            self._write_costs(folder, judging, blocks)
        course = pl.concat([course_of(name, r, money, judging.time) for name, r in replayed.items()])
        write_table(folder / "equity.parquet", course, course_units(currency))
        held = [{"policy": name, **inventory_distribution(r.trajectory)} for name, r in replayed.items()]
        write_table(folder / "inventory.parquet", pl.DataFrame(held), INVENTORY_UNITS)
        fills = {name: result.fills for name, result in replayed.items()}
        write_table(folder / "markouts.parquet", markout(fills, judging.recording), MARKOUT_UNITS)
        everything = pl.concat([table.with_columns(policy=pl.lit(name)) for name, table in fills.items()])
        write_table(folder / "fills.parquet", everything, FILL_UNITS)
        measured = {name: result.measured_latency_us for name, result in replayed.items()}
        latency = latency_table(next(iter(replayed.values())).delays, measured)
        write_table(folder / "latency.parquet", latency, LATENCY_UNITS)
        return {
            "sessions": found.sessions,
            "session_seconds": settings.session,
            "block_seconds": blocks["block_steps"] * settings.interval,
            "total_pnl": {
                name: money * float(np.sum(t.spread_pnl + t.inventory_pnl - t.fee))
                for name, t in ((name, result.trajectory) for name, result in replayed.items())
            },
            "break_even_fee_bps": {name: break_even_fee(result) for name, result in replayed.items()},
            "orders": {name: result.orders for name, result in replayed.items()},
            "decision_latency_us": {name: result.decision_latency_us for name, result in replayed.items()},
            "warnings": warnings_about(settings, found.sessions),
        }

    def _write_costs(self, folder: Path, judging: Judging, blocks: dict[str, Any]) -> None:
        """Write what every policy earns at every point of the sweep."""
        from flowhft.studies.walk_forward.costs import COST_UNITS, judge_costs

        table = judge_costs(judging.costs, **blocks)
        money = [name for name in table.columns if name.startswith(("pnl", "difference"))]
        table = table.with_columns(pl.col(money).cast(pl.Float64) * judging.money)
        write_table(folder / "costs.parquet", table, COST_UNITS | dict.fromkeys(money, judging.currency))
