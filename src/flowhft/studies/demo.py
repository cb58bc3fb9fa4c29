"""Demo: the whole line, from a recording to a judged policy and a report."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from flowhft.desk.replay.settings import ReplaySettings
from flowhft.errors import DataError, require
from flowhft.learn.settings import AdaptSettings, StateSettings, TeacherSettings, TrainingSettings
from flowhft.policies.settings import NetworkSettings, ObjectiveName
from flowhft.recordings.described import InstrumentSettings
from flowhft.runs.folder import REPORT, replacing
from flowhft.stages.folder import RUNS, identity_of, require_ours, run_of
from flowhft.stages.folders import adapt, backtest, calibrate, demonstrate, evaluate, freeze, imitate, learn
from flowhft.stages.folders.calibrate import SCENARIOS
from flowhft.stages.settings import MOST_PATHS
from flowhft.stages.stage import Listener, Silent, Stage

EXPERTS = "white_noise,avellaneda_stoikov,glft,glft_drift"
OBJECTIVE: ObjectiveName = "shortcut"
SHIPPED = "flowhft"
REFERENCE = "glft"  # what paired differences are taken against: the strongest closed form without a view


@dataclass(frozen=True, kw_only=True)
class Demo(Stage):
    """Settings of the demo: sizes of its stages."""

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


def run(settings: Demo, listener: Listener | None = None) -> Path:
    """Run stage after stage, each in a folder of its own; the same call resumes after the last of them.

    Args:
        settings: of the demo.
        listener: told how it goes.

    Returns:
        The finished run folder, with those of the stages in it.
    """
    listener = listener or Silent()
    from flowhft.recordings.formats.read import read_recording
    from flowhft.recordings.formats.sample import sample_recording
    from flowhft.report.build import render
    from flowhft.report.evidence import gather
    from flowhft.report.verdict import headline
    from flowhft.stages.recording import identity_of_recording
    from flowhft.studies.book.protocol import kind_of

    for name, least in (("demonstrations", 2), ("updates", 1), ("paths", 2)):
        value = getattr(settings, name)
        require(least <= value <= MOST_PATHS, name, f"lie between {least} and {MOST_PATHS:,}", value)
    require(
        0.0 < settings.share < 1.0,
        "share",
        "lie between 0 and 1",
        settings.share,
        "Policies are judged on the rest: 0.6 leaves 40 %.",
    )
    recording = settings.recording or sample_recording()
    read = read_recording(recording, repair=settings.repair, instrument=settings.instrument)
    identity = identity_of_recording(read)
    folder = settings.out or RUNS / "demo"
    run = run_of(replace(settings, out=folder), "demo", {"recording": identity})
    listener.where = folder
    require_ours(folder)
    work = run.begin()
    run.withdraw()  # from here on, stages change one by one
    common: dict[str, Any] = {"seed": settings.seed}
    scenarios = str(folder / "calibrate" / SCENARIOS)

    stages: dict[str, str] = {}

    def done(run_stage: Callable[[Any, Listener], Path], asked: Stage, *index: str) -> Path:
        """Run a stage in its folder, and return the folder."""
        stage = run_stage(replace(asked, out=folder.joinpath(*index)), listener)
        stages[" ".join(index)] = identity_of(stage)
        return stage

    calibrated = done(
        calibrate.run,
        calibrate.Calibrate(
            recording=recording,
            share=settings.share,
            order_lots=settings.replay.order_lots,
            inventory_limit=settings.replay.limit,
            maker_fee_bps=settings.replay.fee_bps,
            repair=settings.repair,
            instrument=settings.instrument,
            **common,
        ),
        "calibrate",
    )
    demonstrated = done(
        demonstrate.run,
        demonstrate.Demonstrate(
            scenarios=scenarios,
            paths=settings.demonstrations,
            teachers=settings.teachers,
            **common,
        ),
        "demonstrate",
    )
    learned = done(
        imitate.run,
        imitate.Imitate(
            demonstrations=demonstrated,
            network=settings.network,
            training=TrainingSettings(
                objective=OBJECTIVE,
                updates=settings.updates,
                batch=512,
                learning_rate=1e-3,
                checkpoint_every=max(1, settings.updates // 4),
                examine_scenarios=0,  # it is judged below, by more sessions
            ),
            **common,
        ),
        "imitate",
        OBJECTIVE,
    )
    adapted = done(
        adapt.run,
        adapt.Adapt(
            policy=SHIPPED,
            scenarios=scenarios,
            only="centre",
            method="state",
            search=settings.search,
            state=settings.state,
            **common,
        ),
        "adapt",
    )
    done(freeze.run, freeze.Freeze(policy=str(adapted), **common), "freeze")
    makers: list[str] = []
    try:
        maker = done(
            learn.run,
            learn.Learn(
                recording=recording,
                share=settings.share,
                maker=kind_of(read.venue).settings,
                replay=settings.replay,
                repair=settings.repair,
                instrument=settings.instrument,
                **common,
            ),
            "learn",
        )
        makers = [f"book={maker}"]
    except DataError as reason:  # too short, or its book tells nothing: the rest goes on without
        listener.note(f"learn: {reason}")
    ours = [f"{OBJECTIVE}={learned}", SHIPPED, f"adapted={adapted}"]
    done(
        evaluate.run,
        evaluate.Evaluate(
            scenarios=scenarios,
            policies=",".join([EXPERTS, *ours]),
            teachers=demonstrated,
            paths=settings.paths,
            reference=REFERENCE,
            **common,
        ),
        "evaluate",
    )
    done(
        backtest.run,
        backtest.Backtest(
            recording=recording,
            calibration=calibrated,
            # The shipped policy comes last, who the verdict is about: on a recording it sees the order book.
            policies=",".join([EXPERTS, ours[0], ours[2], *makers, SHIPPED]),
            after=settings.share,
            teachers=demonstrated,
            reference=REFERENCE,
            repair=settings.repair,
            instrument=settings.instrument,
            replay=settings.replay,
            **common,
        ),
        "backtest",
    )
    with listener.stage("write the report"):
        evidence = gather(folder)
        with replacing(work / REPORT) as temporary:
            temporary.write_text(render(evidence), encoding="utf-8")
    sentences = headline(evidence)
    run.finish(stages=stages, verdict=sentences)
    return folder
