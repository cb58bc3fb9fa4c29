"""`flowhft demo`: the whole line, from a recording to a judged policy and a report."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl

from flowhft.cli.adapt import Adapt
from flowhft.cli.backtest import Backtest
from flowhft.cli.calibrate import SCENARIOS, Calibrate
from flowhft.cli.command import Command, Result
from flowhft.cli.demonstrate import Demonstrate
from flowhft.cli.evaluate import Evaluate
from flowhft.cli.folder import RUNS, identity_of, require_ours, run_of
from flowhft.cli.freeze import Freeze
from flowhft.cli.imitate import Imitate
from flowhft.cli.terminal import Table, Terminal
from flowhft.desk.replay.settings import ReplaySettings
from flowhft.errors import require
from flowhft.learn.settings import AdaptSettings, StateSettings, TeacherSettings, TrainingSettings
from flowhft.policies.settings import NetworkSettings, ObjectiveName
from flowhft.recordings.described import InstrumentSettings
from flowhft.runs.folder import REPORT, read_json, read_table, replacing
from flowhft.stages.settings import MOST_PATHS
from flowhft.types import Interval

EXPERTS = "white_noise,avellaneda_stoikov,glft,glft_drift"
OBJECTIVE: ObjectiveName = "shortcut"
SHIPPED = "flowhft"
REFERENCE = "glft"  # what paired differences are taken against: the strongest closed form without a view


@dataclass(frozen=True, kw_only=True)
class Demo(Command):
    """From a recording of a market to a judged quoting policy, in minutes, with a report to read.

    Calibrates a market on the first part of the recording, lets experts demonstrate in a grid of regimes
    around it, learns from the best of them by flow matching, adapts the shipped policy to the calibrated
    market, and judges all of them: in simulation, and by replaying the part of the recording that nothing
    has seen.

    Every stage leaves a finished folder. The same command again resumes after the last of them.
    """

    recording: Path | None = None
    """Session to learn from: its prefix, any of its files, or a folder; the bundled one if none is given."""
    share: float = 0.6
    """Share of the recording's time to learn from, from its start; the rest stays unseen until the end."""
    repair: bool = False
    """Mend what can be mended in the recording, and say what was done."""
    demonstrations: int = 100
    """Sessions that the best expert demonstrates in each of the regimes."""
    updates: int = 8_000
    """Updates of the training."""
    paths: int = 4_000
    """Sessions of the judgement in simulation, per policy and regime."""
    replay: ReplaySettings = ReplaySettings()
    teachers: TeacherSettings = TeacherSettings(paths=4_000)
    network: NetworkSettings = NetworkSettings(horizon=8, width=64, blocks=2)
    search: AdaptSettings = AdaptSettings(paths=1_000, fresh_paths=4_000)
    state: StateSettings = StateSettings(generations=8)
    instrument: InstrumentSettings = InstrumentSettings()

    def run(self, terminal: Terminal) -> Result:
        """Run stage after stage, each in a folder of its own."""
        from flowhft.cli.recording import identity_of_recording
        from flowhft.recordings.formats.read import read_recording
        from flowhft.recordings.formats.sample import sample_recording
        from flowhft.report.build import render
        from flowhft.report.evidence import gather
        from flowhft.report.verdict import headline

        began = time.monotonic()
        for name, least in (("demonstrations", 2), ("updates", 1), ("paths", 2)):
            value = getattr(self, name)
            require(least <= value <= MOST_PATHS, name, f"lie between {least} and {MOST_PATHS:,}", value)
        require(
            0.0 < self.share < 1.0,
            "share",
            "lie between 0 and 1",
            self.share,
            "Policies are judged on the rest: 0.6 leaves 40 %.",
        )
        recording = self.recording or sample_recording()
        read = read_recording(recording, repair=self.repair, instrument=self.instrument)
        identity = identity_of_recording(read)
        folder = self.out or RUNS / "demo"
        run = run_of(replace(self, out=folder), "demo", {"recording": identity})
        terminal.where = folder
        require_ours(folder)
        work = run.begin()
        run.withdraw()  # from here on, stages change one by one
        common: dict[str, Any] = {"seed": self.seed, "quiet": self.quiet}
        scenarios = str(folder / "calibrate" / SCENARIOS)

        stages: dict[str, str] = {}

        def done(command: Command, *place: str) -> Path:
            """Run a stage in its folder, and return the folder."""
            stage = folder.joinpath(*place)
            replace(command, out=stage).run(terminal)
            stages[" ".join(place)] = identity_of(stage)
            return stage

        calibrated = done(
            Calibrate(
                recording=recording,
                share=self.share,
                order_lots=self.replay.order_lots,
                inventory_limit=self.replay.inventory_limit,
                maker_fee_bps=self.replay.maker_fee_bps,
                repair=self.repair,
                instrument=self.instrument,
                **common,
            ),
            "calibrate",
        )
        demonstrated = done(
            Demonstrate(
                scenarios=scenarios,
                paths=self.demonstrations,
                teachers=self.teachers,
                **common,
            ),
            "demonstrate",
        )
        learned = done(
            Imitate(
                demonstrations=demonstrated,
                network=self.network,
                training=TrainingSettings(
                    objective=OBJECTIVE,
                    updates=self.updates,
                    batch=512,
                    learning_rate=1e-3,
                    checkpoint_every=max(1, self.updates // 4),
                    examine_scenarios=0,  # it is judged below, by more sessions
                ),
                **common,
            ),
            "imitate",
            OBJECTIVE,
        )
        adapted = done(
            Adapt(
                policy=SHIPPED,
                scenarios=scenarios,
                only="centre",
                method="state",
                search=self.search,
                state=self.state,
                **common,
            ),
            "adapt",
        )
        frozen = done(Freeze(policy=str(adapted), **common), "freeze")
        policies = ",".join([EXPERTS, f"{OBJECTIVE}={learned}", SHIPPED, f"adapted={adapted}"])
        simulated = done(
            Evaluate(
                scenarios=scenarios,
                policies=policies,
                teachers=demonstrated,
                paths=self.paths,
                reference=REFERENCE,
                **common,
            ),
            "evaluate",
        )
        replayed = done(
            Backtest(
                recording=recording,
                calibration=calibrated,
                policies=policies,
                after=self.share,
                teachers=demonstrated,
                reference=REFERENCE,
                repair=self.repair,
                instrument=self.instrument,
                replay=self.replay,
                **common,
            ),
            "backtest",
        )
        with terminal.stage("write the report"):
            evidence = gather(folder)
            with replacing(work / REPORT) as temporary:
                temporary.write_text(render(evidence), encoding="utf-8")
        sentences = headline(evidence)
        run.finish(stages=stages, verdict=sentences)
        return self._result(folder, simulated, replayed, frozen, sentences, time.monotonic() - began)

    def _result(
        self,
        folder: Path,
        simulated: Path,
        replayed: Path,
        frozen: Path,
        sentences: Sequence[str],
        seconds: float,
    ) -> Result:
        """Return the table that a person reads first: every policy, in simulation and on the recording."""
        report = folder / REPORT
        inside = read_table(simulated / "results.parquet").filter(pl.col("scenario") == "centre")
        outside = read_table(replayed / "results.parquet")
        by_policy = {row["policy"]: row for row in outside.to_dicts()}
        record = read_json(replayed / "backtest.json")
        currency = inside["currency"][0]
        rows = [
            [
                row["policy"],
                Interval(row["pnl"], row["pnl_low"], row["pnl_high"]),
                row["sharpe"],
                row["max_drawdown"],
                Interval(real["pnl"], real["pnl_low"], real["pnl_high"]),
                real["sharpe"],
                real["max_drawdown"],
                real["fills"],
                record["break_even_fee_bps"][row["policy"]],
            ]
            for row in inside.to_dicts()
            for real in [by_policy[row["policy"]]]
        ]
        return Result(
            summary={
                "folder": folder,
                "report": report,
                "frozen": frozen / "frozen.safetensors",
                "seconds": seconds,
                "verdict": sentences,
                "simulation": inside.to_dicts(),
                "recording": outside.to_dicts(),
                "backtest": record,
            },
            shown=[
                Table(
                    columns=[
                        "policy",
                        f"simulated PnL ({currency})",
                        "Sharpe",
                        "drawdown",
                        f"replayed PnL ({currency})",
                        "Sharpe",
                        "drawdown",
                        "fills",
                        "break-even fee (bps)",
                    ],
                    rows=rows,
                    title=f"Per session of {record['session_seconds']:g} s: in the calibrated market, "
                    f"and on {record['sessions']} unseen sessions of the recording",
                ),
                *sentences,
                f"Done in {seconds:.0f} s. The run folder is {folder}",
                f"The report is {report}",
            ],
        )
