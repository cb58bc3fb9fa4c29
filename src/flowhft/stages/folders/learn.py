"""Learn: a maker that sees the order book, from recordings, kept in a run folder."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from tyro.conf import Positional

from flowhft.desk.replay.settings import ReplaySettings
from flowhft.errors import require
from flowhft.learn.recordings.settings import MakerSettings
from flowhft.recordings.described import InstrumentSettings
from flowhft.runs import tables
from flowhft.runs.folder import write_json, write_table
from flowhft.stages.folder import begin, run_of
from flowhft.stages.stage import Listener, Silent, Stage


@dataclass(frozen=True, kw_only=True)
class Learn(Stage):
    """Settings of what a maker is learned from, and for."""

    recording: Positional[Path]
    """Session prefix, any of its files, or a folder: the market that the maker is for."""
    others: tuple[Path, ...] = ()
    """More recordings of the same kind of market; one of the same day is learned from as far as the clock of
    the first one's part allows, those of other days whole."""
    share: float = 0.6
    """Share of the recording's time to learn from, from its start; the rest is not looked at."""
    anywhere: bool = False
    """Make it for any market like these: all are learned from whole (share 1), none is kept unseen."""
    repair: bool = False
    """Mend what can be mended in the recordings, and say what was done."""
    maker: MakerSettings = MakerSettings()
    replay: ReplaySettings = ReplaySettings()
    instrument: InstrumentSettings = InstrumentSettings()


def run(settings: Learn, listener: Listener | None = None) -> Path:
    """Learn a maker from recordings."""
    listener = listener or Silent()
    from flowhft.features.book import NAMES
    from flowhft.policies.file import save_policy
    from flowhft.recordings.formats.read import read_recording
    from flowhft.stages.learn import learn
    from flowhft.stages.recording import facts_of, identity_of_recording, read_parts

    require(0.0 < settings.share <= 1.0, "share", "lie above 0 and not above 1", settings.share)
    with listener.stage("read the recordings"):
        parts = read_parts(settings.recording, settings.share, settings.repair, settings.instrument)
        others = [read_recording(path, repair=settings.repair) for path in settings.others]
    parents = {"recording": identity_of_recording(parts.whole)}
    parents |= {f"other {i}": identity_of_recording(one) for i, one in enumerate(others, 1)}
    run = run_of(settings, "learn", parents)
    if work := begin(run, listener):
        for warning in parts.whole.warnings:
            listener.note(f"recording: {warning}")
        with listener.stage("learn what orders earn") as progress:
            result = learn(
                [parts.whole, *others],
                share=settings.share,
                anywhere=settings.anywhere,
                settings=settings.maker,
                replay=settings.replay,
                seed=settings.seed,
                progress=progress,
            )
        maker, gates = result.learned.maker, result.learned.gates
        weights = maker.arrays
        heads = pl.DataFrame(
            [
                {"offset": int(offset), "signal": name, "fill": fill, "edge": edge}
                for k, offset in enumerate(weights["offsets"])
                for name, fill, edge in zip(
                    ("intercept", *NAMES),
                    weights["fill"][k].tolist(),
                    weights["edge"][k].tolist(),
                    strict=True,
                )
            ]
        )
        write_table(work / "heads.parquet", heads, tables.units_of("learn", "heads"))
        sides = [{"side": side, **gate._asdict()} for side, gate in zip(("bid", "ask"), gates, strict=True)]
        write_table(work / "gate.parquet", pl.DataFrame(sides), tables.units_of("learn", "gate"))
        held = np.arange(-maker.limit, maker.limit + 1)
        value = pl.DataFrame({"position": held, "value": maker.unit * weights["value"]})
        write_table(work / "value.parquet", value, tables.units_of("learn", "value"))
        write_json(work / "recording.json", facts_of(parts))
        save_policy(work / "policy.safetensors", result.policy)
        run.finish(
            unit=maker.unit,
            order_lots=result.replay.lots,
            decisions=sum(result.examples.values()),
            recordings=len(result.examples),
            rate=result.learned.value.rate * maker.unit,
            bids=gates[0].quoted,
            asks=gates[1].quoted,
        )
    return run.folder
