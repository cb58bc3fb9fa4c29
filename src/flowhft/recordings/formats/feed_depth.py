"""The depth of a feed while its book is known: from a snapshot on, up to where it can be right no more."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from flowhft.errors import RecordingError
from flowhft.recordings.checks.crossing import Uncrossed
from flowhft.recordings.checks.rules import LEFT
from flowhft.recordings.columns import Column
from flowhft.recordings.files import whole_messages
from flowhft.recordings.formats.depth_messages import DepthMessages
from flowhft.recordings.ticks import DEPTH, SNAPSHOT, Finding, make_events

NEVER = 2**62


class Table(NamedTuple):
    """One table of a feed.

    Attributes:
        files: in the order of time.
        fields: field -> its column; the names of columns of quotes may hold {level}, 1 for the best.
        levels: of quotes, how many a side.
    """

    files: tuple[Path, ...]
    fields: Mapping[str, Column]
    levels: int = 1


class KnownDepth:
    """Walks through the depth of a feed.

    Where a repair can make the book right no more, the depth is left out up to the next snapshot: nothing but
    a snapshot tells which levels of a feed without a chain of numbers are stale.

    Args:
        table: the depth.
        repair: mend what can be mended.

    Attributes:
        gaps: local times between which the book is not known, ns.
    """

    def __init__(self, table: Table, repair: bool) -> None:
        self.gaps: list[tuple[int, int]] = []
        self._table = table
        self._uncrossed = Uncrossed(table.files[0], repair, "quantity")
        # Where the local clock counts whole seconds, it takes both clocks to tell messages apart.
        self._messages = DepthMessages(table.fields.get("local_time", Column("")).unit == "s")
        self._started = "snapshot" not in table.fields
        self._used = False  # whether any message was of use
        self._dropped = 0  # rows before the first snapshot
        self._broken: int | None = None  # local time since which the book is not known

    def walk(self, tables: Iterable[pl.DataFrame]) -> Iterator[tuple[pl.DataFrame, np.ndarray]]:
        """Yield the depth and its events, on the local clock as it is.

        Args:
            tables: of the depth, held to its rules.
        """
        for held in whole_messages(iter(tables), "local_ns"):
            if "snapshot" not in held.columns:
                held = held.with_columns(pl.lit(0).alias("snapshot"))
            left = held[LEFT].to_numpy() if LEFT in held.columns else np.zeros(held.height, bool)
            held = held.drop(LEFT, strict=False)
            while held.height:
                begin = self._begin(held)
                held, left = held.slice(begin), left[begin:]
                if not held.height:
                    break
                local = held["local_ns"].to_numpy()
                stop = int(np.searchsorted(local, local[np.argmax(left)])) if left.any() else held.height
                if stop:
                    part = held.head(stop)
                    message, made = self._messages.take(part)
                    part, events, ended = self._uncrossed.hold(part, _depth_events(part, message, made))
                    if part.height:
                        self._used = True
                        yield part, events
                    stop = stop if ended is None else ended
                if stop == held.height:
                    break
                self._broken = int(local[stop])
                self._uncrossed.begin_again()
                self._messages.begin_again()
                stop = int(np.searchsorted(local, self._broken, side="right"))
                held, left = held.slice(stop), left[stop:]
        if self._broken is not None:
            self.gaps.append((self._broken, NEVER))

    def _begin(self, held: pl.DataFrame) -> int:
        """Return the first row from which the book is known."""
        if self._started and self._broken is None:
            return 0
        shown = held["snapshot"].to_numpy() == 1
        begin = int(np.argmax(shown)) if shown.any() else held.height
        if self._broken is None:
            self._dropped += begin
        elif begin < held.height:
            self.gaps.append((self._broken, int(held["local_ns"][begin])))
        if begin < held.height:
            self._started, self._broken = True, None
        return begin

    def findings(self) -> list[Finding]:
        """Return what was left out or repaired.

        Raises:
            RecordingError: there is no snapshot, or so much is wrong that it is the format.
        """
        if not self._started:
            raise RecordingError("must hold a snapshot of the book; received none.", self._table.files[0])
        if self.gaps and not self._used:
            raise RecordingError(
                "must hold a snapshot that the book can begin with; every one is crossed, or holds a row "
                "that cannot be used. It is the format, not the rows: its sides may be named the wrong way "
                "round.",
                self._table.files[0],
            )
        results = [*self._uncrossed.findings(), *(_gap_finding(gap) for gap in self.gaps)]
        if self._dropped:
            results.append(
                Finding("note", f"{self._dropped:,} rows of depth before the first snapshot are left out.")
            )
        return results


def _depth_events(held: pl.DataFrame, message: np.ndarray, made: np.ndarray) -> np.ndarray:
    """Return the events of depth, on the local clock as it is."""
    events = make_events(
        DEPTH, held["side"].to_numpy(), made, held["local_ns"].to_numpy(), held["price"].to_numpy(),
        held["quantity"].to_numpy(), message,
    )  # fmt: skip
    events["kind"] = np.where(held["snapshot"].to_numpy() == 1, SNAPSHOT, DEPTH)
    return events


def _gap_finding(gap: tuple[int, int]) -> Finding:
    begin, end = gap
    until = (
        "no snapshot follows, and the session ends" if end == NEVER else f"a snapshot follows at {end:,} ns"
    )
    return Finding("warning", f"the book is not known from local time {begin:,} ns on; {until} there.")
