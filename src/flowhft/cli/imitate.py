"""`flowhft imitate`: train a flow policy on demonstrations."""

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from flowhft.cli.command import Command, Result
from flowhft.cli.folder import begin, identity_of_run, run_of, summary_of
from flowhft.cli.terminal import Terminal
from flowhft.learn.settings import DataSettings, TrainingSettings
from flowhft.policies.settings import NetworkSettings
from flowhft.runs.folder import plain, write_table


@dataclass(frozen=True, kw_only=True)
class Imitate(Command):
    """Train a flow policy on the demonstrations of experts.

    Writes policy.safetensors (everything that quoting needs) and curve.parquet; an interrupted training
    resumes from its last checkpoint and ends bit for bit as it would have.
    """

    demonstrations: Positional[Path]
    """Run folder of `flowhft demonstrate`."""
    data: DataSettings = DataSettings()
    network: NetworkSettings = NetworkSettings()
    training: TrainingSettings = TrainingSettings()

    def run(self, terminal: Terminal) -> Result:
        """Train."""
        from flowhft.simulate.devices import prepare

        prepare()
        from flowhft.flow.policy import save_policy
        from flowhft.learn.demonstrations.dataset import sensed
        from flowhft.learn.demonstrations.lessons import choose
        from flowhft.learn.demonstrations.recorded import read_lessons, read_shown
        from flowhft.learn.imitation.examine import examination, teachers_in
        from flowhft.learn.imitation.fit import CURVE_UNITS, kept_row
        from flowhft.learn.imitation.imitate import imitate
        from flowhft.scenarios.sensor import sensor_for

        shown = identity_of_run(self.demonstrations, "demonstrations", "demonstrate")
        run = run_of(self, "imitate", {"demonstrations": shown})
        if work := begin(run, terminal):
            lessons, scenarios = read_lessons(self.demonstrations)
            lessons = choose(lessons, self.data)
            with terminal.stage("sense the demonstrations"):
                shown_there = list(read_shown(self.demonstrations, lessons, scenarios))
                sensor = sensor_for(shown_there[0].scenario)
                demonstrations = sensed(shown_there, sensor, self.network.features)
            examined = None
            if self.training.examine_scenarios:
                with terminal.stage("let the teachers trade, to be compared with"):
                    examined = examination(
                        teachers_in(lessons, scenarios),
                        self.training.examine_scenarios,
                        self.training.examine_paths,
                        self.seed,
                    )
            with terminal.stage(f"train ({self.training.objective})") as progress:
                policy, curve = imitate(
                    demonstrations,
                    sensor,
                    self.network,
                    self.training,
                    self.seed,
                    work / "checkpoints",
                    progress,
                    examined=examined,
                )
            write_table(work / "curve.parquet", curve, CURVE_UNITS)
            training = {"seed": self.seed, "settings": plain(self.training), "parents": run.parents}
            save_policy(work / "policy.safetensors", policy, training=training)
            kept = curve.row(kept_row(curve, self.training), named=True)
            at_the_end = {"ended": int(curve["update"][-1]), "seconds": curve["seconds"][-1]}
            run.finish(objective=self.training.objective, **kept | at_the_end)
        summary = summary_of(run.folder)
        lines = [
            f"{summary['objective']}: {summary['ended']:,} updates in {summary['seconds']:.0f} s; kept at "
            f"update {summary['update']:,}, validation loss {summary['validation_loss']:.4f}"
        ]
        if summary["closed_loop_pnl"] is not None:
            lines.append(
                f"In closed loop: PnL {summary['closed_loop_pnl']:.4g}, of the teachers on the same sessions "
                f"{summary['teacher_pnl']:.4g} (tick x lot)"
            )
        return Result(
            summary={"folder": run.folder, **summary},
            shown=[*lines, f"The policy is {run.folder / 'policy.safetensors'}"],
        )
