"""Finds single messages whose time of the venue is wrong: it lies against those of the messages around it.

A message that was slow on its way keeps its place among the venue's times, which rise along a feed. One that
carries a wrong time does not: it is ahead of what comes after it, or behind what came before, and its latency
differs from that of both neighbours.
"""

import numpy as np
from jaxtyping import Bool, Int

from flowhft.recordings.checks.clock import STRAY_NS, most_strays
from flowhft.recordings.ticks import Finding

Times = Int[np.ndarray, " row"]


def stray_times(local_ns: Times, told_ns: Times) -> Bool[np.ndarray, " row"]:
    """Return which rows carry a time that cannot be, by more than 50 ms, beside their neighbours.

    Args:
        local_ns: when rows arrived.
        told_ns: when the venue says that it made them; rows of equal times are one message.
    """
    begins = np.ones(len(local_ns), bool)
    begins[1:] = (np.diff(local_ns) != 0) | (np.diff(told_ns) != 0)
    starts = np.flatnonzero(begins)
    odd = np.zeros(len(starts), bool)
    if len(starts) > 2:
        shown, latency = told_ns[starts], local_ns[starts] - told_ns[starts]
        here, before, after = latency[1:-1], latency[:-2], latency[2:]
        ahead = (shown[1:-1] > shown[2:] + STRAY_NS) & (here < np.minimum(before, after) - STRAY_NS)
        behind = (shown[1:-1] < shown[:-2] - STRAY_NS) & (here > np.maximum(before, after) + STRAY_NS)
        odd[1:-1] = ahead | behind
    return odd[np.cumsum(begins) - 1] if len(starts) else odd


class StrayTimes:
    """Counts such messages of a table, chunk by chunk; more than one in a thousand are the clock's.

    Args:
        table: what it is called, for people.
    """

    def __init__(self, table: str) -> None:
        self._table = table
        self._messages = self._strays = 0
        self._first: tuple[int, int] | None = None  # row, and how far it is off, ns

    def take(self, row: Times, local_ns: Times, told_ns: Times) -> Bool[np.ndarray, " row"]:
        """Return which of the next rows carry a wrong time.

        Args:
            row: of the file.
            local_ns: when they arrived.
            told_ns: when the venue says that it made them; of those that say so.
        """
        odd = stray_times(local_ns, told_ns)
        changes = np.flatnonzero(np.diff(told_ns, prepend=-1) != 0)
        self._messages += len(changes)
        count = int(np.sum(odd[changes]))
        if count == 0 or self._strays + count > most_strays(self._messages):
            return np.zeros(len(row), bool)
        self._strays += count
        if self._first is None:
            index = int(np.argmax(odd))
            usual = int(np.median(local_ns - told_ns))
            self._first = int(row[index]), usual - int(local_ns[index] - told_ns[index])
        return odd

    def findings(self) -> list[Finding]:
        """Return what was found."""
        if self._first is None:
            return []
        row, off = self._first
        return [
            Finding(
                "warning",
                f"`{self._table}`: {self._strays:,} messages carry a time of the venue that lies against "
                f"those before and after them (the first is row {row:,}, {off / 1e6:+,.0f} ms): their "
                "arrival, less what a message usually takes, stands in for it.",
            )
        ]
