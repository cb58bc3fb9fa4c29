"""A file in the tick schema, window by window: a day that does not fit into memory.

It is read once when it is opened, checked like any recording, and of every chunk is kept where it begins and
the book as it stood then. A window is then read from the chunks in which it lies.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from flowhft.errors import require
from flowhft.recordings.book import first_mid, left_by, top_of_book
from flowhft.recordings.described import InstrumentSettings
from flowhft.recordings.files import CHUNK
from flowhft.recordings.formats.read import open_recording
from flowhft.recordings.formats.tick_files import SUFFIX, read_rows
from flowhft.recordings.instrument import Instrument
from flowhft.recordings.reader import Options
from flowhft.recordings.split import between
from flowhft.recordings.ticks import (
    DEPTH,
    EVENT,
    SNAPSHOT,
    TOP,
    TRADE,
    Closed,
    Finding,
    Recording,
    without_closed,
)
from flowhft.recordings.windowed import BEFORE, ends_of


class Piece(NamedTuple):
    """A chunk of the file.

    Attributes:
        first: its first row.
        rows: how many.
        start_ns: local time of its first event.
        end_ns: of its last.
        opens: events that leave book and top as they stood before it, dtype `EVENT`.
    """

    first: int
    rows: int
    start_ns: int
    end_ns: int
    opens: np.ndarray


@dataclass(frozen=True)
class TickFile:
    """A file in the tick schema of which windows are looked at, see `flowhft.recordings.windowed.Windowed`.

    Attributes:
        path: of it.
        options: of reading.
        instrument: what was traded.
        index: its chunks, in their order.
        events: how many.
        trades: how many of them are trades.
        published: whether the venue published best prices.
        sessions: first and last local time of each, ns.
        closed: when the market did not trade within a session.
        clock_offset_ns: what was added to the local clock.
        findings: what reading it brought to light.
    """

    path: Path
    options: Options
    instrument: Instrument
    index: tuple[Piece, ...]
    events: int
    trades: int
    published: bool
    sessions: tuple[tuple[int, int], ...]
    closed: tuple[Closed, ...]
    clock_offset_ns: int
    findings: Sequence[Finding]

    def first_mid(self) -> float:
        """Return the first mid price that it knows, ticks."""
        return self._first_mid

    @cached_property
    def _first_mid(self) -> float:
        result = np.zeros(0, EVENT)
        for events in self._whole_messages():  # until a mid is known
            result = np.concatenate([result, events])
            if np.isfinite(top_of_book(self._of(result)).mid_price).any():
                break
        return first_mid(self._of(result))

    def pieces(self) -> Iterator[np.ndarray]:
        """Yield its events chunk by chunk."""
        for piece in self.index:
            yield self._read(piece)

    def window(self, start_ns: int, end_ns: int) -> Recording:
        """Return its part of [start, end), local time, opened with book and top as they stood then."""
        inside = [piece for piece in self.index if piece.end_ns >= start_ns and piece.start_ns < end_ns]
        parts = [self._read(piece) for piece in inside]
        times = np.concatenate([np.zeros(0, np.int64), *(part["local_time_ns"] for part in parts)])
        (begin, *_), (*_, end) = self.sessions[0], self.sessions[-1]
        require(
            bool(np.any((times >= start_ns) & (times < end_ns))),
            "window",
            "hold events",
            "none",
            f"{self.instrument.name} lasts {(end - begin) * 1e-9:.3f} s.",
        )
        opens = inside[0].opens.copy()
        opens["local_time_ns"] = min(inside[0].start_ns, start_ns) - 1  # before every event and the window
        return between(self._of(np.concatenate([opens, *parts])), start_ns, end_ns)

    def following(self, time_ns: int) -> int | None:
        """Return the local time of the first event at or after a time, ns; None where there is none."""
        for piece in self.index:
            if piece.end_ns >= time_ns:
                times = self._read(piece)["local_time_ns"]
                return int(times[np.searchsorted(times, time_ns)])
        return None

    def mids_at(self, times_ns: Int[np.ndarray, " sample"]) -> Float[np.ndarray, " sample"]:
        """Return the last mid at or before each time on the venue's clock, as `book.mid_at` does.

        Chunk by chunk: messages may overtake each other, so that a later chunk may hold the earlier mid.
        """
        wanted = np.asarray(times_ns, np.int64)
        stamps: np.ndarray = np.full(len(wanted), BEFORE)
        mids: np.ndarray = np.full(len(wanted), np.nan)
        opens = np.zeros(0, EVENT)
        for events in self._whole_messages():
            opens["exchange_time_ns"] = BEFORE  # of what opens a chunk no mid is looked up
            top = top_of_book(self._of(np.concatenate([opens, events])))
            opens = left_by(opens, events)
            order = np.argsort(top.exchange_time_ns, kind="stable")
            if not len(order):
                continue
            at = np.searchsorted(top.exchange_time_ns[order], wanted, side="right") - 1
            row = order[np.maximum(at, 0)]
            later = (at >= 0) & (top.exchange_time_ns[row] >= stamps) & (top.exchange_time_ns[row] > BEFORE)
            stamps = np.where(later, top.exchange_time_ns[row], stamps)
            mids = np.where(later, top.mid_price[row], mids)
        return mids

    def ends_ns(self) -> Int[np.ndarray, " session"]:
        """Return when the venue made the last event of every open part of a session, rising."""
        return ends_of(self.pieces(), without_closed(self.sessions, self.closed))

    def _whole_messages(self) -> Iterator[np.ndarray]:
        """Yield the events that tell of best prices chunk by chunk, none of whose messages is cut."""
        held: np.ndarray = np.zeros(0, EVENT)
        kinds = (TOP,) if self.published else (DEPTH, SNAPSHOT)
        for events in self.pieces():
            held = np.concatenate([held, events[np.isin(events["kind"], kinds)]])
            if len(held):
                last = (held["kind"] == held["kind"][-1]) & (held["message"] == held["message"][-1])
                begins = len(held) - int(np.argmin(np.append(last[::-1], False)))
                yield held[:begins]
                held = held[begins:]
        yield held

    def _of(self, events: np.ndarray) -> Recording:
        """Return events as a recording of this instrument."""
        return Recording(
            self.instrument,
            events,
            clock_offset_ns=self.clock_offset_ns,
            files=(self.path,),
            findings=tuple(self.findings),
            sessions=self.sessions,
            closed=self.closed,
        )

    def _read(self, piece: Piece) -> np.ndarray:
        return read_rows(self.path, self.options, piece.first, piece.rows).events


def tick_file_in(paths: Sequence[Path]) -> Path | None:
    """Return the one file in the tick schema that paths mean; None where they mean anything else.

    Args:
        paths: as a user names a recording.
    """
    path, *more = paths
    return path if not more and path.name.endswith(SUFFIX) and path.is_file() else None


def open_windows(
    path: Path, instrument: InstrumentSettings | None = None, rows: int = CHUNK
) -> TickFile | None:
    """Read a file in the tick schema once, and return it as one of which windows are looked at.

    Args:
        path: of it.
        instrument: what is said of it.
        rows: of the file to hold in memory at a time.

    Returns:
        None where it holds single orders, or where reading changes events (a clock that is corrected, best
        prices that are missing): such a file is looked at whole.

    Raises:
        RecordingError: it is missing, damaged, or breaks a rule.
    """
    options = Options(rows=rows, instrument=instrument or InstrumentSettings())
    source = open_recording(path, rows=rows, instrument=options.instrument)
    index: list[Piece] = []
    opens, events, trades, published = np.zeros(0, EVENT), 0, 0, False
    for chunk in source.chunks:
        if chunk.orders is not None:
            return None
        of = chunk.events
        if not np.array_equal(of, read_rows(path, options, events, len(of)).events):
            return None
        times = of["local_time_ns"]
        index.append(Piece(events, len(of), int(times[0]), int(times[-1]), opens))
        opens = left_by(opens, of)
        events += len(of)
        trades += int(np.count_nonzero(of["kind"] == TRADE))
        published |= bool((of["kind"] == TOP).any())
    sessions = tuple(source.sessions)
    return TickFile(
        path,
        options,
        source.instrument,
        tuple(index),
        events,
        trades,
        published,
        sessions,
        tuple(source.closed),
        source.clock_offset_ns,
        tuple(source.findings),
    )
