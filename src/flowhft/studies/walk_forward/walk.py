"""Walk forward: from a recording to a judged walk in a run folder."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flowhft.runs.folder import write_json, write_table
from flowhft.runs.tables import units_of
from flowhft.stages.folder import begin, identity_of, policies_of, run_of
from flowhft.stages.folders import backtest
from flowhft.stages.folders.backtest import Backtest
from flowhft.stages.stage import Listener, Silent

if TYPE_CHECKING:
    from flowhft.desk.replay.settings import ReplaySettings
    from flowhft.studies.walk_forward.trade import Traded


def run(settings: Backtest, listener: Listener | None = None) -> Path:
    """Judge window by window, or once on one calibration where the settings do not ask for a walk.

    Finished windows are kept and not traded again.

    Args:
        settings: of the stage.
        listener: told how it goes.

    Returns:
        The finished run folder.
    """
    if not settings.walk_forward:
        return backtest.run(settings, listener)
    listener = listener or Silent()
    backtest.check(settings)
    from flowhft.calibrate.calibrate import CalibrationSettings
    from flowhft.recordings.ticks import warnings_in
    from flowhft.simulate.devices import prepare
    from flowhft.stages.backtest import learned_for_others
    from flowhft.stages.booked import bookings_of, order_in_words
    from flowhft.stages.evaluation import Replays, evaluation_of_replays
    from flowhft.stages.policies import find_saved
    from flowhft.stages.recording import facts_of_windows, identity_of_windows, paths_in
    from flowhft.studies.walk_forward.forward import planned, walk_forward
    from flowhft.studies.walk_forward.join import join_windows
    from flowhft.studies.walk_forward.store import windows_in
    from flowhft.studies.walk_forward.trade import ADAPTED, WalkWork

    prepare()
    work = WalkWork(
        paths=tuple(path.resolve() for path in paths_in(settings.recording)),
        repair=settings.repair,
        instrument=settings.instrument,
        policies=settings.policies,
        windows=(),
        walk=settings.walk,
        replay=settings.replay,
        calibration=CalibrationSettings(order_window=settings.replay.order_window),
        sweep=settings.sweep,
        seed=settings.seed,
    )
    if settings.sweep.bookings:
        bookings_of(settings.replay)  # refuses now what cannot be booked in every way
    with listener.stage("read the recording"):
        recording = work.read()
    prepared = work.prepared_for(recording, settings.reference)
    compared = prepared.lineup
    called, saved = policies_of(compared.policies, book=True)
    parents = {"recording": identity_of_windows(recording)} | saved
    if prepared.adapted:
        adapted = find_saved(settings.walk.adapt, "walk.adapt")
        parents["walk.adapt"] = identity_of(adapted.path or Path(settings.walk.adapt))
        walk = replace(settings.walk, adapt=adapted.remembered)
        run = run_of(replace(settings, walk=walk), "backtest", parents, policies=called)
    else:
        run = run_of(settings, "backtest", parents, policies=called)
    if folder := begin(run, listener):
        with listener.stage("plan the walk"):
            work = planned(work, recording)
        with listener.stage("walk forward") as progress, _executor(settings, work) as executor:
            windows = walk_forward(work, windows_in(folder / "windows"), executor, progress)
        with listener.stage("judge the walk"):
            instrument, start = recording.instrument, recording.first_mid()
            money = instrument.tick_value(start) * work.replay.lots
            walked = join_windows(windows, recording, work.replay, money)
            refused = [one.record for one in windows if one.record["refused"]]
            result = evaluation_of_replays(
                Replays(
                    recording,
                    walked.replayed,
                    replayed_by(work.replay, windows),
                    compared.reference,
                    instrument.money,
                    money,
                    walked.costs,
                    prepared.origins,
                    walked.time,
                    order_in_words(instrument, start, work.replay.lots),
                ),
                confidence=settings.confidence,
                learned=ADAPTED if prepared.adapted else compared.learned,
                more={"walk": work.walk, "windows": len(windows), "refused": len(refused)},
            )
        units = units_of("backtest", "windows", money=instrument.money)
        write_table(folder / "windows.parquet", walked.windows, units)
        warnings = [f"recording: {warning}" for warning in warnings_in(recording.findings)]
        if warnings := warnings + learned_for_others(compared.policies, work.replay):
            result = result.warned(warnings)
        if refused:
            result = result.warned(
                [
                    f"{len(refused)} of {len(windows)} windows were not traded: their past cannot be "
                    f"calibrated; the first: {refused[0]['refused']}"
                ]
            )
        result.save(folder)
        write_json(folder / "recording.json", facts_of_windows(recording))
        run.finish(reference=compared.reference, policies=prepared.names)
    return run.folder


def replayed_by(replay: "ReplaySettings", windows: Sequence["Traded"]) -> "ReplaySettings":
    """Return the settings by which a walk was replayed: with the mean share of answered orders.

    Args:
        replay: of the walk; where it leaves the share open every window has its own.
        windows: of the walk, one at least of which was traded.
    """
    shares = [one.record["answered"] for one in windows if one.replayed]
    return replay.answering(sum(shares) / len(shares)).settled()


def _executor(settings: Backtest, work: Any) -> Any:
    """Return who trades the windows, as a context: a cluster, processes of our own, or this process."""
    import contextlib

    from flowhft.simulate.devices import prepare
    from flowhft.work.cluster import cluster
    from flowhft.work.pool import PoolExecutor, cores_for
    from flowhft.work.task import do_here

    if settings.ray:
        return cluster(settings.ray, "cpu", prepare)
    cores = cores_for(settings.cores, len(work.windows))
    return contextlib.nullcontext(PoolExecutor(cores, prepare) if cores > 1 else do_here)
