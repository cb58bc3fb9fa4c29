"""Backtest: judge policies on a recording with queues and costs, and keep the tables in a run folder."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from flowhft.desk.replay.settings import ReplaySettings
from flowhft.errors import UsageError, require
from flowhft.recordings.described import InstrumentSettings
from flowhft.runs.folder import read_object, write_json
from flowhft.stages.folder import begin, identity_of_run, policies_of, run_of
from flowhft.stages.folders.calibrate import SCENARIOS
from flowhft.stages.settings import SweepSettings, WalkSettings
from flowhft.stages.stage import Listener, Silent, Stage
from flowhft.stages.teachers import scores_from


@dataclass(frozen=True, kw_only=True)
class Backtest(Stage):
    """Settings of a replay of a recording, once or walking forward (`flowhft.studies.walk_forward.walk`)."""

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
    instrument: InstrumentSettings = InstrumentSettings()
    replay: ReplaySettings = ReplaySettings()
    walk: WalkSettings = WalkSettings()
    sweep: SweepSettings = SweepSettings()


def run(settings: Backtest, listener: Listener | None = None) -> Path:
    """Read, freeze, replay, judge, on one calibration that was made before."""
    listener = listener or Silent()
    require(not settings.walk_forward, "walk_forward", "be left to `flowhft.studies.walk_forward.walk`", True)
    check(settings)
    from flowhft.calibrate.calibrate import load_calibration
    from flowhft.scenarios.files import read_scenarios
    from flowhft.stages.backtest import replay, replayed_market
    from flowhft.stages.evaluation import in_sample
    from flowhft.stages.policies import lineup
    from flowhft.stages.recording import facts_of, identity_of_recording, read_parts

    folder = settings.calibration or Path()
    parents = {"calibration": identity_of_run(folder, "calibration", "calibrate")}
    scores = None
    if settings.teachers:
        parents["teachers"], scores = scores_from(settings.teachers)
    compared = lineup(settings.policies, settings.reference, frozen=True, risk_aversions=scores)
    with listener.stage("read the recording"):
        parts = read_parts(settings.recording, settings.after or 1.0, settings.repair, settings.instrument)
        evaluated = parts.unseen or parts.learn
    scenario, calibration = read_scenarios(folder / SCENARIOS)[0], load_calibration(folder)
    replayed_market(evaluated, scenario, calibration, settings.replay)  # refuses now what cannot be replayed
    parents["recording"] = identity_of_recording(evaluated)
    called, saved = policies_of(compared.policies, book=True)
    run = run_of(settings, "backtest", parents | saved, policies=called)
    if work := begin(run, listener):
        journal = run.folder / "journal"
        shutil.rmtree(journal, ignore_errors=True)  # of an earlier run, or one that was interrupted
        with listener.stage("replay the recording") as progress:
            result = replay(
                evaluated,
                compared,
                scenario=scenario,
                calibration=calibration,
                settings=settings.replay,
                sweep=settings.sweep,
                seed=settings.seed,
                reference=compared.reference,
                confidence=settings.confidence,
                journal=journal if settings.journal else None,
                progress=progress,
            )
        warnings = in_sample(read_object(folder / "recording.json"), parts.whole, settings.after)
        result.warned(warnings).save(work)
        write_json(work / "recording.json", facts_of(parts))
        run.finish(reference=compared.reference, policies=compared.names)
    return run.folder


def check(settings: Backtest) -> None:
    """Refuse what cannot be before anything is read.

    Args:
        settings: of a backtest or of a walk.

    Raises:
        UsageError: naming the option.
    """
    require(0.0 < settings.confidence < 1.0, "confidence", "lie between 0 and 1", settings.confidence)
    require(
        0.0 <= settings.after < 1.0, "after", "lie in [0, 1)", settings.after, "0.6 judges the last 40 %."
    )
    require(settings.cores >= 0, "cores", "be 0 or more", settings.cores)
    if not settings.walk_forward:
        if settings.calibration is None:
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
        if getattr(settings, name):
            raise UsageError(
                f"`{name}` must not be given when walking forward; received {getattr(settings, name)}. {fix}"
            )
