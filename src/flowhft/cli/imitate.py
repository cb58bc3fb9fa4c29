"""`flowhft imitate`: train a flow policy on demonstrations."""

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from flowhft.cli.command import Command, Result
from flowhft.cli.folder import begin, identity_of_run, run_of, summary_of
from flowhft.cli.terminal import Terminal
from flowhft.errors import DataError, UsageError
from flowhft.flow.settings import NetworkSettings
from flowhft.learn.settings import TrainingSettings
from flowhft.runs import plain, read_json, read_table, write_table


@dataclass(frozen=True, kw_only=True)
class Imitate(Command):
    """Train a flow policy on the demonstrations of experts.

    Writes policy.safetensors (everything that quoting needs) and curve.parquet; an interrupted training
    resumes from its last checkpoint and ends bit for bit as it would have.
    """

    demonstrations: Positional[Path]
    """Run folder of `flowhft demonstrate`."""
    network: NetworkSettings = NetworkSettings()
    training: TrainingSettings = TrainingSettings()

    def run(self, terminal: Terminal) -> Result:
        """Train."""
        from flowhft.devices import prepare

        prepare()
        from dataclasses import replace

        from flowhft.features import Sensor
        from flowhft.flow.policy import save_policy
        from flowhft.learn.dataset import from_table
        from flowhft.learn.imitate import CURVE_UNITS, imitate

        shown = identity_of_run(self.demonstrations, "demonstrations", "demonstrate")
        run = run_of(self, "imitate", {"demonstrations": shown})
        if work := begin(run, terminal):
            path = self.demonstrations / "sensor.json"
            scales = read_json(path)
            try:
                network = replace(self.network, features=scales["features"])
                sensor = Sensor(**scales["sensor"])
            except (KeyError, TypeError, UsageError) as cause:
                raise DataError(
                    f"`{path}` must hold the scales of a demonstration; {cause}. The file was changed: "
                    "demonstrate again."
                ) from cause
            table = read_table(self.demonstrations / "demonstrations.parquet")
            with terminal.stage(f"train ({self.training.objective})") as progress:
                policy, curve = imitate(
                    from_table(table, scales["features"]),
                    sensor,
                    network,
                    self.training,
                    self.seed,
                    work / "checkpoints",
                    progress,
                )
            write_table(work / "curve.parquet", curve, CURVE_UNITS)
            training = {"seed": self.seed, "settings": plain(self.training), "parents": run.parents}
            save_policy(work / "policy.safetensors", policy, training=training)
            last = curve.row(-1, named=True)
            run.finish(objective=self.training.objective, **last)
        summary = summary_of(run.folder)
        return Result(
            summary={"folder": run.folder, **summary},
            shown=[
                f"{summary['objective']}: {summary['update']:,} updates in {summary['seconds']:.0f} s, "
                f"validation loss {summary['validation_loss']:.4f}",
                f"The policy is {run.folder / 'policy.safetensors'}",
            ],
        )
