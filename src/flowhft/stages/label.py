"""Label the orders of recordings, part by part: the labels themselves, and what they come to by distance.

Parts are windows of time, each with what follows it for as long as its orders are looked at, and with a lead
before it, so that its book is the recording's. Memory is that of a part; parts are done anywhere.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from flowhft.calibrate.answers import answered_share
from flowhft.desk.replay.labels import Labels, LabelSettings, labels_in
from flowhft.desk.replay.settings import ReplaySettings
from flowhft.errors import DataError, require
from flowhft.metrics.estimators import RATIO, interval
from flowhft.recordings.described import InstrumentSettings
from flowhft.recordings.formats.read import read_recording
from flowhft.recordings.order_size import small_order
from flowhft.recordings.ticks import Recording, without_closed
from flowhft.recordings.windowed import InMemory, Windowed
from flowhft.runs import tables
from flowhft.runs.folder import stream, write_table
from flowhft.runs.resume import TABLES, Finished, Tables
from flowhft.types import Progress, no_progress
from flowhft.work.task import Executor, do_here

LEAD = 2.0  # seconds before a part that are read with it
LONGEST_BLOCK, FEWEST_BLOCKS = (
    600.0,
    20,
)  # seconds of the blocks that intervals are over; blocks of a recording
PART = 1800.0  # seconds of a part, about
SUMS = ("placed", "fills", "hidden", "known", "edge", "share")
ROW_UNITS = tables.units_of("label", "labels")
OFFSET_UNITS = tables.units_of("label", "offsets")
BLOCK_UNITS = tables.units_of("label", "blocks")


class Part(NamedTuple):
    """A part of a recording.

    Attributes:
        recording: its number.
        number: of the part.
        first_ns, last_ns: decisions are from the first to before the last, local time.
        read_ns, end_ns: what is read of the recording, likewise.
        origin_ns: the first decision of the recording, from which all are counted.
        block_ns: length of a block of time.
    """

    recording: int
    number: int
    first_ns: int
    last_ns: int
    read_ns: int
    end_ns: int
    origin_ns: int
    block_ns: int

    @property
    def group(self) -> int:
        """Return the number of its recording, which is read once for all of its parts."""
        return self.recording

    @property
    def key(self) -> str:
        """Return its name among what is finished."""
        return f"{self.recording:03d}-{self.number:05d}"


@dataclass(frozen=True)
class LabelWork:
    """What is done part by part (a `flowhft.work.task.Work`).

    Attributes:
        paths: of the recordings.
        repair: whether to mend them.
        instrument: what is said of them.
        interval: seconds between two decisions.
        replay: latencies, queue, the size of an order and how it fills.
        labels: which orders.
        seed: of the draws which orders are answered.
        replays: by recording, with said what `replay` leaves open (`settled_for`); empty for `replay`.
    """

    paths: tuple[Path, ...]
    repair: bool
    instrument: InstrumentSettings
    interval: float
    replay: ReplaySettings
    labels: LabelSettings
    seed: int
    replays: tuple[ReplaySettings, ...] = ()

    def prepare(self, group: int) -> InMemory:
        """Return a recording, by its number."""
        path = self.paths[group]
        return InMemory(read_recording(path, repair=self.repair, instrument=self.instrument))

    def do(self, prepared: Windowed, task: Part, progress: Progress) -> Tables:
        """Return the labels of a part as a table, and what they come to in blocks of time."""
        step = round(1e9 * self.interval)
        skipped = -(-(task.first_ns - task.origin_ns) // step)
        time_ns = np.arange(task.origin_ns + skipped * step, task.last_ns, step)
        window = prepared.window(task.read_ns, task.end_ns)
        seed = stream(self.seed, "label", task.key)
        replay = self.replays[task.recording] if self.replays else self.replay
        made = labels_in(window, time_ns, replay, self.labels, seed)
        rows = rows_of(made, time_ns, self.labels)
        return Tables(
            {"recording": task.recording, "orders": rows.height},
            {"labels": rows, "blocks": blocks_of(rows, task, self.labels.horizons)},
        )

    def parts(self, recording: Windowed, number: int) -> list[Part]:
        """Return the parts of a recording: they depend on nothing else, so that any machine makes the same.

        Args:
            recording: it.
            number: of it.
        """
        after = round(1e9 * (self.labels.lifetime + max(self.labels.horizons) + LEAD))
        spans = without_closed(recording.sessions, recording.closed)
        seconds = 1e-9 * sum(end - start for start, end in spans)
        block = min(LONGEST_BLOCK, max(seconds / FEWEST_BLOCKS, self.interval))
        block_ns = round(1e9 * block)
        length = block_ns * max(1, round(PART / block))
        made: list[Part] = []
        for start, end in spans:
            for first in range(start, end, length):
                last = min(first + length, end)
                read = max(first - round(1e9 * LEAD), start)
                stop = min(last + after, end) + 1
                made.append(Part(number, len(made), first, last, read, stop, spans[0][0], block_ns))
        return made


def settled_for(replay: ReplaySettings, recording: Recording) -> ReplaySettings:
    """Return the settings of labels with the size of an order and the share of answered ones measured.

    Args:
        replay: what it leaves open is measured: a third of the median market order, and as many answered as
            improvements of the best price were.
        recording: that is labelled.
    """
    lots = small_order(recording) if replay.order_lots is None else replay.order_lots
    share = answered_share(recording) if replay.answered is None else replay.answered
    return replace(replay, order_lots=lots).answering(share).settled()


def rows_of(made: Labels, time_ns: np.ndarray, labels: LabelSettings) -> pl.DataFrame:
    """Return the labels of all orders that were placed, one row an order, units in `ROW_UNITS`.

    Args:
        made: of every decision, side and offset.
        time_ns: of the decisions.
        labels: which orders they are.
    """
    step, side, offset = np.nonzero(made.placed)
    at = (step, side, offset)
    edge = made.edge[at]
    return pl.DataFrame(
        {
            "time_ns": time_ns[step],
            "side": np.where(side == 0, 1, -1).astype(np.int8),
            "offset": np.asarray(labels.offsets, np.int32)[offset],
            "price": made.price[at],
            "filled_lots": made.filled_lots[at],
            "wait": made.wait[at],
            "hidden": made.hidden[at],
            **{f"edge_{horizon:g}": edge[:, number] for number, horizon in enumerate(labels.horizons)},
        }
    )


def blocks_of(rows: pl.DataFrame, part: Part, horizons: Sequence[float]) -> pl.DataFrame:
    """Return sums over orders, by block of time, offset and horizon: `BLOCK_UNITS` tells of them.

    Args:
        rows: of a part.
        part: that they are of.
        horizons: seconds.
    """
    block = (pl.col("time_ns") - part.origin_ns) // part.block_ns
    filled, lots = pl.col("filled_lots") > 0, pl.col("filled_lots").cast(pl.Float64)
    parts = []
    for horizon in horizons:
        edge = pl.col(f"edge_{horizon:g}")
        known = filled & edge.is_finite()
        parts.append(
            rows.group_by(block.alias("block"), "offset")
            .agg(
                placed=pl.len().cast(pl.Float64),
                fills=filled.sum().cast(pl.Float64),
                hidden=pl.col("hidden").sum().cast(pl.Float64),
                known=lots.filter(known).sum(),
                edge=(lots * edge).filter(known).sum(),
                share=(1e4 * lots * edge / pl.col("price")).filter(known).sum(),
            )
            .with_columns(horizon=pl.lit(float(horizon)), recording=pl.lit(part.recording))
        )
    return pl.concat(parts).sort("horizon", "block", "offset")


def offsets_table(blocks: pl.DataFrame, confidence: float) -> pl.DataFrame:
    """Return what the orders at every offset came to, with Student's intervals over blocks of time.

    A ratio of sums over blocks, its interval by the influence of every block; blocks count as independent.

    Args:
        blocks: from `blocks_of`, of all parts.
        confidence: of the intervals.
    """
    rows: list[dict[str, Any]] = []
    for (recording, offset, horizon), own in blocks.group_by(
        "recording", "offset", "horizon", maintain_order=True
    ):
        own = own.group_by("block", maintain_order=True).agg(pl.col(SUMS).sum())
        row: dict[str, Any] = {"recording": recording, "offset": offset, "horizon": horizon}
        row |= {name: float(own[name].sum()) for name in ("placed", "fills", "hidden")}
        for name, above, below in (
            ("probability", "fills", "placed"),
            ("edge", "edge", "known"),
            ("break_even_bps", "share", "known"),
        ):
            found = interval(*RATIO(own[above].to_numpy(), own[below].to_numpy()), confidence)
            row |= dict(zip((name, f"{name}_low", f"{name}_high"), found, strict=True))
        rows.append(row)
    return pl.DataFrame(rows).sort("recording", "horizon", "offset", descending=[False, False, True])


def label_recordings(
    work: LabelWork,
    parts: Sequence[Part],
    folder: Path,
    executor: Executor = do_here,
    progress: Progress = no_progress,
) -> Iterator[Tables]:
    """Label every part that is not finished, write its orders, keep it, and yield all of them in their order.

    Args:
        work: what is done.
        parts: of all recordings.
        folder: that gets `labels-RECORDING-PART.parquet`, one row an order.
        executor: who does it.
        progress: told as parts are done.
    """
    finished: Finished[Tables] = Finished(folder / "parts", TABLES)
    left = [part for part in parts if part.key not in finished]
    done = len(parts) - len(left)

    def tell(share: float, now: str) -> None:
        progress((done + share) / len(parts), now)

    for part, found in executor(work, left, tell):
        path = folder / f"labels-{part.key}.parquet"
        write_table(path, found.tables["labels"], ROW_UNITS)
        blocks = {"blocks": found.tables["blocks"]}
        finished.keep(part.key, Tables(found.value, blocks), [path])
        done += 1
        tell(0.0, f"{done} of {len(parts)} parts")
    for part in parts:
        yield finished[part.key]


def read_all(work: LabelWork, told: Callable[[int, InMemory], None]) -> list[Part]:
    """Read every recording once, refuse what cannot be labelled, and return the parts of all.

    Args:
        work: what will be done.
        told: (number, recording), of each.

    Raises:
        DataError: a recording holds no trades, or no snapshot.
    """
    require(work.interval > 0.0, "interval", "be positive, seconds", work.interval)
    parts: list[Part] = []
    for number in range(len(work.paths)):
        recording = work.prepare(number)
        if recording.trades == 0:
            raise DataError(
                f"`{work.paths[number]}` must hold trades, labels need them; received none in "
                f"{recording.events:,} events. Record the trades too, or use another recording."
            )
        told(number, recording)
        parts += work.parts(recording, number)
    return parts
