"""Imitate: train a flow policy on demonstrations, and keep it in a run folder."""

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from flowhft.learn.settings import DataSettings, TrainingSettings
from flowhft.policies.settings import NetworkSettings
from flowhft.runs.folder import write_table
from flowhft.stages.folder import begin, identity_of_run, run_of
from flowhft.stages.stage import Listener, Silent, Stage


@dataclass(frozen=True, kw_only=True)
class Imitate(Stage):
    """Settings of a training on demonstrations."""

    demonstrations: Positional[Path]
    """Run folder of `flowhft demonstrate` or `flowhft teach`."""
    data: DataSettings = DataSettings()
    network: NetworkSettings = NetworkSettings()
    training: TrainingSettings = TrainingSettings()


def run(settings: Imitate, listener: Listener | None = None) -> Path:
    """Train a flow policy on the demonstrations of experts."""
    listener = listener or Silent()
    from flowhft.simulate.devices import prepare

    prepare()
    from flowhft.learn.imitation.fit import CURVE_UNITS
    from flowhft.stages.imitate import imitate

    shown = identity_of_run(settings.demonstrations, "demonstrations", "demonstrate", "teach")
    run = run_of(settings, "imitate", {"demonstrations": shown})
    if work := begin(run, listener):
        with listener.stage(f"train ({settings.training.objective})") as progress:
            result = imitate(
                settings.demonstrations,
                data=settings.data,
                network=settings.network,
                training=settings.training,
                seed=settings.seed,
                checkpoints=work / "checkpoints",
                progress=progress,
            )
        write_table(work / "curve.parquet", result.curve, CURVE_UNITS)
        result.save(work / "policy.safetensors", parents=run.parents)
        at_the_end = {"ended": int(result.curve["update"][-1]), "seconds": result.curve["seconds"][-1]}
        run.finish(objective=settings.training.objective, **dict(result.kept) | at_the_end)
    return run.folder
