"""Snapshots that carry no time (0): they stand where the first event after them does."""

from collections.abc import Iterator

import numpy as np

from flowhft.recordings.checks.rules import YEAR_2000_NS
from flowhft.recordings.ticks import EVENT, SNAPSHOT


class Undated:
    """Holds back snapshots without a time until a dated event tells where they stand.

    hftbacktest's `create_last_snapshot` makes such; they may be a file of their own, before the market's.
    Times that count from midnight are left alone.
    """

    def __init__(self) -> None:
        self._held = np.empty(0, EVENT)

    def settled(self, events: np.ndarray) -> np.ndarray:
        """Take the next events and return those whose time is known.

        Args:
            events: of a session, by local time.
        """
        if not len(events):
            return events
        local = events["local_time_ns"]
        undated = (local == 0) & (events["kind"] == SNAPSHOT)
        first = int(np.argmin(undated)) if not undated.all() else len(events)
        if first == 0 and not len(self._held):
            return events
        if len(self._held) or first:
            events = np.concatenate([self._held, events])
            first += len(self._held)
        self._held = np.empty(0, EVENT)
        if first == len(events):
            self._held = events
            return events[:0]
        if events["local_time_ns"][first] < YEAR_2000_NS:
            return events
        events = events.copy()
        dated = events[first]
        events["local_time_ns"][:first] = dated["local_time_ns"]
        events["exchange_time_ns"][:first] = min(dated["exchange_time_ns"], dated["local_time_ns"])
        return events

    @property
    def waits(self) -> bool:
        """Return whether snapshots are held back."""
        return len(self._held) > 0

    def rest(self) -> Iterator[np.ndarray]:
        """Yield what is held back when nothing follows."""
        if len(self._held):
            yield self._held
            self._held = np.empty(0, EVENT)
