"""A recording of which windows are looked at, one after the other: in memory, or in a file that is longer.

Whoever walks through a recording needs its times, what it opens on, its events in pieces, and windows of it
that can be calibrated or replayed alone. `InMemory` cuts them out of a `Recording`;
`flowhft.recordings.formats.tick_windows.TickFile` reads them from a file in the tick schema.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Float, Int

from flowhft.recordings.book import first_mid, mid_at, top_of_book
from flowhft.recordings.instrument import Instrument
from flowhft.recordings.long_arrays import count_before, pieces
from flowhft.recordings.split import between
from flowhft.recordings.ticks import Closed, Finding, Recording

BEFORE = np.iinfo(np.int64).min  # a time before every other


class Windowed(Protocol):
    """A recording, window by window."""

    @property
    def instrument(self) -> Instrument:
        """What was traded where, in which units."""

    @property
    def sessions(self) -> tuple[tuple[int, int], ...]:
        """First and last local time of each part that was recorded without a break, ns, one at least."""

    @property
    def closed(self) -> Sequence[Closed]:
        """When the market did not trade within a session."""

    @property
    def events(self) -> int:
        """How many events it has."""

    @property
    def trades(self) -> int:
        """How many of them are trades."""

    @property
    def clock_offset_ns(self) -> int:
        """What was added to its local clock."""

    @property
    def findings(self) -> Sequence[Finding]:
        """What reading it brought to light."""

    def first_mid(self) -> float:
        """Return the first mid price that it knows, ticks."""

    def pieces(self) -> Iterator[np.ndarray]:
        """Yield its events, dtype `EVENT`, in their order."""

    def window(self, start_ns: int, end_ns: int) -> Recording:
        """Return its part of [start, end), local time, opened as `flowhft.recordings.split.window` does.

        Raises:
            UsageError: no event lies in it.
        """

    def following(self, time_ns: int) -> int | None:
        """Return the local time of the first event at or after a time, ns; None where there is none."""

    def mids_at(self, times_ns: Int[np.ndarray, " sample"]) -> Float[np.ndarray, " sample"]:
        """Return the last mid at or before each time on the venue's clock, as `book.mid_at` does."""

    def ends_ns(self) -> Int[np.ndarray, " session"]:
        """Return when the venue made the last event of every open part of a session, rising."""


@dataclass(frozen=True)
class InMemory:
    """A recording in memory, as one of which windows are looked at.

    Attributes:
        recording: it.
    """

    recording: Recording

    @property
    def instrument(self) -> Instrument:
        """What was traded where, in which units."""
        return self.recording.instrument

    @property
    def sessions(self) -> tuple[tuple[int, int], ...]:
        """First and last local time of each session, ns."""
        times = self.recording.events["local_time_ns"]
        return self.recording.sessions or ((int(times[0]), int(times[-1])),)

    @property
    def closed(self) -> Sequence[Closed]:
        """When the market did not trade within a session."""
        return self.recording.closed

    @property
    def events(self) -> int:
        """How many events it has."""
        return len(self.recording.events)

    @property
    def trades(self) -> int:
        """How many of them are trades."""
        return self.recording.trades

    @property
    def clock_offset_ns(self) -> int:
        """What was added to its local clock."""
        return self.recording.clock_offset_ns

    @property
    def findings(self) -> Sequence[Finding]:
        """What reading it brought to light."""
        return self.recording.findings

    def first_mid(self) -> float:
        """Return the first mid price that it knows, ticks."""
        return first_mid(self.recording)

    def pieces(self) -> Iterator[np.ndarray]:
        """Yield its events a part at a time."""
        yield from pieces(self.recording.events)

    def window(self, start_ns: int, end_ns: int) -> Recording:
        """Return its part of [start, end), local time."""
        return between(self.recording, start_ns, end_ns)

    def following(self, time_ns: int) -> int | None:
        """Return the local time of the first event at or after a time, ns."""
        times = self.recording.events["local_time_ns"]
        at = count_before(times, time_ns)
        return int(times[at]) if at < len(times) else None

    def mids_at(self, times_ns: Int[np.ndarray, " sample"]) -> Float[np.ndarray, " sample"]:
        """Return the last mid at or before each time on the venue's clock."""
        return mid_at(top_of_book(self.recording), times_ns)

    def ends_ns(self) -> Int[np.ndarray, " session"]:
        """Return when the venue made the last event of every session, rising."""
        spans = self.recording.open_spans
        return ends_of(self.pieces(), spans or ((0, int(self.recording.events["local_time_ns"][-1])),))


def ends_of(parts: Iterable[np.ndarray], spans: Sequence[tuple[int, int]]) -> Int[np.ndarray, " session"]:
    """Return when the venue made the last event up to the end of each span, ns, rising.

    Args:
        parts: the events of a recording, in their order.
        spans: first and last local time of each, ns.
    """
    stops = np.array([stop for _, stop in spans], np.int64)
    ends: np.ndarray = np.full(len(stops), BEFORE)
    for events in parts:
        before = np.searchsorted(events["local_time_ns"], stops, side="right")
        latest = np.maximum.accumulate(events["exchange_time_ns"])
        ends = np.where(before > 0, np.maximum(ends, latest[before - 1]), ends)
    return ends
