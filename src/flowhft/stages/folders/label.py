"""Label: would orders at many prices have filled, and what would they have earned, at every decision."""

import contextlib
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl
from tyro.conf import Positional

from flowhft.desk.replay.labels import LabelSettings
from flowhft.desk.replay.settings import ReplaySettings
from flowhft.errors import DataError, require
from flowhft.recordings.described import InstrumentSettings
from flowhft.runs.folder import write_json, write_table
from flowhft.runs.ranges import Inside, Positive, check_ranges
from flowhft.stages.folder import begin, run_of
from flowhft.stages.stage import Listener, Silent, Stage


@dataclass(frozen=True, kw_only=True)
class Label(Stage):
    """Settings of the labels of recordings."""

    recording: Positional[Path]
    """Session prefix, any of its files, or a folder; several recordings with commas between."""
    interval: Positive = 0.5
    """Seconds between two decisions."""
    labels: LabelSettings = LabelSettings()
    repair: bool = False
    """Mend what can be mended in a recording."""
    confidence: Inside = 0.99
    """Of every interval."""
    cores: int = 0
    """Processes that label parts side by side; 0 for one a core of the machine."""
    ray: str = ""
    """Label on a Ray cluster: its address (host:port), or auto to join the one here or start one."""
    instrument: InstrumentSettings = InstrumentSettings()
    replay: ReplaySettings = ReplaySettings()

    def __post_init__(self) -> None:
        check_ranges(self)
        require(self.cores >= 0, "cores", "be 0 or more", self.cores)


def run(settings: Label, listener: Listener | None = None) -> Path:
    """Label all recordings, part by part; what is finished of an interrupted run is kept."""
    listener = listener or Silent()
    from flowhft.calibrate.answers import answers
    from flowhft.recordings.windowed import InMemory
    from flowhft.stages.label import (
        BLOCK_UNITS,
        OFFSET_UNITS,
        LabelWork,
        label_recordings,
        offsets_table,
        read_all,
        settled_for,
    )
    from flowhft.stages.recording import facts_of_windows, identity_of_windows, paths_in

    work = LabelWork(
        paths=tuple(path.resolve() for path in paths_in(settings.recording)),
        repair=settings.repair,
        instrument=settings.instrument,
        interval=settings.interval,
        replay=settings.replay,
        labels=settings.labels,
        seed=settings.seed,
    )
    names: list[str] = []
    facts: list[dict[str, Any]] = []
    replays: list[ReplaySettings] = []
    parents: dict[str, str] = {}

    def told(number: int, recording: InMemory) -> None:
        identity = identity_of_windows(recording)
        parents[f"recording {number + 1}"] = identity
        name = recording.instrument.name
        names.append(f"{name}, {number + 1}" if name in names else name)
        answered = None
        with contextlib.suppress(DataError):  # a book that nobody ever improved
            answered = answers(recording.recording, confidence=settings.confidence)
        replays.append(settled_for(settings.replay, recording.recording))
        facts.append(
            {
                "identity": identity,
                **facts_of_windows(recording),
                "answers": answered,
                "order_lots": replays[-1].lots,
                "answered": replays[-1].answered_share,
            }
        )

    with listener.stage("read the recordings"):
        parts = read_all(work, told)
    work = replace(work, replays=tuple(replays))
    run = run_of(settings, "label", parents)
    if folder := begin(run, listener):
        with listener.stage("label orders") as progress, _executor(settings, len(parts)) as executor:
            found = list(label_recordings(work, parts, folder, executor, progress))
        orders = sum(int(one.value["orders"]) for one in found)
        if orders == 0:
            raise DataError(
                "`recording` must hold a book for as long as an order lives, "
                f"{settings.labels.lifetime:g} s; no order could be placed. Use a longer recording with a "
                "snapshot."
            )
        numbered = pl.DataFrame({"recording": range(len(names)), "name": names})
        blocks = pl.concat([one.tables["blocks"] for one in found]).join(numbered, on="recording")
        blocks = blocks.with_columns(recording=pl.col("name")).drop("name")
        write_table(folder / "offsets.parquet", offsets_table(blocks, settings.confidence), OFFSET_UNITS)
        write_table(folder / "blocks.parquet", blocks, BLOCK_UNITS)
        card = {
            "recordings": facts,
            "interval": settings.interval,
            "labels": asdict(settings.labels),
            "replay": asdict(settings.replay)
            | {"fills": replays[0].fills, "order_lots": settings.replay.order_lots},
            "seed": settings.seed,
            "confidence": settings.confidence,
            "orders": orders,
            "fills": int(blocks.filter(pl.col("horizon") == blocks["horizon"][0])["fills"].sum()),
            "block_seconds": [1e-9 * part.block_ns for part in parts if part.number == 0],
            "not_modelled": "answers beyond `answered`; that orders of one decision share a trade",
        }
        write_json(folder / "card.json", card)
        run.finish(orders=orders, fills=card["fills"], recordings=names)
    return run.folder


def ready(device: Any, cores: int = 1) -> None:
    """Make a worker ready: labels need nothing but numba.

    Args:
        device: not used.
        cores: not used.
    """


def _executor(settings: Label, parts: int) -> Any:
    """Return who labels, as a context: a cluster, processes of our own, or this process."""
    from flowhft.work.cluster import cluster
    from flowhft.work.pool import PoolExecutor, cores_for
    from flowhft.work.task import do_here

    if settings.ray:
        return cluster(settings.ray, "cpu", ready)
    cores = cores_for(settings.cores, parts)
    return contextlib.nullcontext(PoolExecutor(cores, ready) if cores > 1 else do_here)
