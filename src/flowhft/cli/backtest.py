"""`flowhft backtest`: judge policies on a recording with queues and costs, once or walking forward."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tyro.conf import Positional

from flowhft.cli.calibrate import SCENARIOS
from flowhft.cli.command import Command, Result
from flowhft.cli.evaluate import result_of
from flowhft.cli.folder import begin, identity_of, identity_of_run, policies_of, run_of
from flowhft.cli.select import scores_from
from flowhft.cli.terminal import Terminal
from flowhft.desk.replay.settings import ReplaySettings
from flowhft.errors import UsageError, require
from flowhft.runs.folder import read_json, write_json, write_table
from flowhft.stages.settings import SweepSettings
from flowhft.studies.walk_forward.settings import WalkSettings


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
    """Comma-separated experts (glft, or glft@RISK_AVERSION), .safetensors files, frozen ones among them, run
    folders, or your own (mine=my_policy.py:NAME); label=path names one. `no_quote`, who stays at home, is
    among them whether it is named or not."""
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
    journal: bool = False
    """Write down all that every policy did, its orders too, in a folder of its own: `journal/POLICY` in the
    run folder. `flowhft report` makes a page of each."""
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
            ("journal", "Leave it out: the windows of a walk are not one session."),
        ):
            if getattr(self, name):
                raise UsageError(
                    f"`{name}` must not be given when walking forward; received {getattr(self, name)}. {fix}"
                )

    def _once(self, terminal: Terminal) -> Result:
        """Judge on one calibration, which was made before."""
        from flowhft.calibrate.calibrate import load_calibration
        from flowhft.cli.recording import facts_of, identity_of_recording, read_parts
        from flowhft.scenarios.files import read_scenarios
        from flowhft.stages.backtest import replay, told_in
        from flowhft.stages.judged import in_sample
        from flowhft.stages.policies import lineup

        folder = self.calibration or Path()
        parents = {"calibration": identity_of_run(folder, "calibration", "calibrate")}
        scores = None
        if self.teachers:
            parents["teachers"], scores = scores_from(self.teachers)
        compared = lineup(self.policies, self.reference, frozen=True, risk_aversions=scores)
        with terminal.stage("read the recording"):
            parts = read_parts(self.recording, self.after or 1.0, self.repair)
            judged = parts.unseen or parts.learn
        scenario, calibration = read_scenarios(folder / SCENARIOS)[0], load_calibration(folder)
        told_in(judged, scenario, calibration, self.replay)  # refuses now what cannot be replayed
        parents["recording"] = identity_of_recording(judged)
        called, saved = policies_of(compared.policies)
        run = run_of(self, "backtest", parents | saved, policies=called)
        if work := begin(run, terminal):
            journal = run.folder / "journal"
            shutil.rmtree(journal, ignore_errors=True)  # of an earlier run, or one that was interrupted
            with terminal.stage("replay the recording") as progress:
                found = replay(
                    judged,
                    compared,
                    scenario=scenario,
                    calibration=calibration,
                    settings=self.replay,
                    sweep=self.sweep,
                    seed=self.seed,
                    reference=compared.reference,
                    confidence=self.confidence,
                    journal=journal if self.journal else None,
                    progress=progress,
                )
            warnings = in_sample(read_json(folder / "recording.json"), parts.whole, self.after)
            found.warned(warnings).save(work)
            write_json(work / "recording.json", facts_of(parts))
            run.finish(reference=compared.reference, policies=compared.names)
        return result_of(run.folder, compared.reference)

    def _walk(self, terminal: Terminal) -> Result:
        """Judge window by window; finished ones are kept and not traded again."""
        from flowhft.calibrate.calibrate import CalibrationSettings
        from flowhft.cli.recording import Parts, facts_of, identity_of_recording, paths_in
        from flowhft.recordings.formats.read import read_recording
        from flowhft.simulate.devices import prepare
        from flowhft.stages.judged import Judging, judge
        from flowhft.stages.policies import find_saved
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
        place = work.place_of(recording, self.reference)
        compared = place.lineup
        called, saved = policies_of(compared.policies)
        parents = {"recording": identity_of_recording(recording)} | saved
        if place.adapted:
            adapted = find_saved(self.walk.adapt, "walk.adapt")
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
                refused = [one.record for one in windows if one.record["refused"]]
                found = judge(
                    Judging(
                        recording,
                        walked.replayed,
                        work.replay,
                        compared.reference,
                        contract.currency,
                        money,
                        walked.costs,
                        walked.time,
                    ),
                    seed=self.seed,
                    confidence=self.confidence,
                    learned=ADAPTED if place.adapted else compared.learned,
                    more={"walk": work.walk, "windows": len(windows), "refused": len(refused)},
                )
            units = WINDOW_UNITS | dict.fromkeys(("pnl", "closing_fee"), contract.currency)
            write_table(folder / "windows.parquet", walked.windows, units)
            if refused:
                found = found.warned(
                    [
                        f"{len(refused)} of {len(windows)} windows were not traded: their past cannot be "
                        f"calibrated; the first: {refused[0]['refused']}"
                    ]
                )
            found.save(folder)
            write_json(folder / "recording.json", facts_of(Parts(recording, recording, None)))
            run.finish(reference=compared.reference, policies=place.names)
        return result_of(run.folder, compared.reference)

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
