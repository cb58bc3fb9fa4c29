"""`flowhft imitate`: train a flow policy on demonstrations."""

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from flowhft.cli.command import Command, Result
from flowhft.cli.folder import begin, identity_of_run, run_of, summary_of
from flowhft.cli.terminal import Terminal
from flowhft.learn.settings import DataSettings, TrainingSettings
from flowhft.policies.settings import NetworkSettings
from flowhft.runs.folder import write_table


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
        from flowhft.learn.imitation.fit import CURVE_UNITS
        from flowhft.stages.imitate import imitate

        shown = identity_of_run(self.demonstrations, "demonstrations", "demonstrate")
        run = run_of(self, "imitate", {"demonstrations": shown})
        if work := begin(run, terminal):
            with terminal.stage(f"train ({self.training.objective})") as progress:
                found = imitate(
                    self.demonstrations,
                    data=self.data,
                    network=self.network,
                    training=self.training,
                    seed=self.seed,
                    checkpoints=work / "checkpoints",
                    progress=progress,
                )
            write_table(work / "curve.parquet", found.curve, CURVE_UNITS)
            found.save(work / "policy.safetensors", parents=run.parents)
            at_the_end = {"ended": int(found.curve["update"][-1]), "seconds": found.curve["seconds"][-1]}
            run.finish(objective=self.training.objective, **dict(found.kept) | at_the_end)
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
