"""Resemble: lay a recording beside the market that was calibrated to it, and keep what was found."""

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from flowhft.errors import require
from flowhft.recordings.described import InstrumentSettings
from flowhft.runs.files import entry
from flowhft.runs.folder import manifest_of, read_object, write_json
from flowhft.stages.folder import begin, identity_of_run, run_of
from flowhft.stages.folders.calibrate import SCENARIOS
from flowhft.stages.stage import Listener, Silent, Stage


@dataclass(frozen=True, kw_only=True)
class Resemble(Stage):
    """Settings of a comparison of a recording with its simulated market."""

    recording: Positional[Path]
    """Session prefix (.../usdm_btcusdt_20240718), any of its files, or a folder that holds one session."""
    calibration: Path
    """Run folder of `flowhft calibrate`: the market that is simulated is the centre of its scenarios."""
    share: float | None = None
    """Share of the recording's time to compare with, from its start; by default what was calibrated on."""
    paths: int = 99
    """Simulated tapes, each as long as the recording; 99 make a test at 1 %."""
    repair: bool = False
    """Mend what can be mended in the recording, and say what was done."""
    instrument: InstrumentSettings = InstrumentSettings()


def run(settings: Resemble, listener: Listener | None = None) -> Path:
    """Read, simulate, compare, write."""
    listener = listener or Silent()
    from flowhft.scenarios.files import read_scenarios
    from flowhft.simulate.devices import prepare
    from flowhft.stages.recording import facts_of, identity_of_recording, read_parts

    require(settings.paths >= 19, "paths", "be 19 or more", settings.paths, "99 make a test at 1 %.")
    parents = {"calibration": identity_of_run(settings.calibration, "calibration", "calibrate")}
    scenario = read_scenarios(settings.calibration / SCENARIOS)[0]
    known = settings.calibration / "calibration.json"
    order_window = entry(read_object(known), known, "facts", "order_window", kind=float)
    learned = manifest_of(settings.calibration)["config"].get("share", 1.0)
    with listener.stage("read the recording"):
        share = learned if settings.share is None else settings.share
        parts = read_parts(settings.recording, share, settings.repair, settings.instrument)
    parents["recording"] = identity_of_recording(parts.learn)
    run = run_of(settings, "resemble", parents)
    if work := begin(run, listener):
        prepare()
        from flowhft.studies.realism.resemblance import resemblance, save_resemblance

        with listener.stage("compare with the simulation") as progress:
            result = resemblance(
                parts.learn,
                scenario,
                order_window=order_window,
                paths=settings.paths,
                seed=settings.seed,
                progress=progress,
            )
        save_resemblance(result, work)
        write_json(work / "recording.json", facts_of(parts))
        run.finish(
            recording=parts.learn.name, paths=settings.paths, dt=scenario.dt, failures=len(result.failures)
        )
    return run.folder
