"""What only time tells about a recording: silences, a local clock that was set, clocks that go apart."""

import numpy as np

from flowhft.recordings.ticks import Finding

SILENCE_NS = 60 * 10**9  # a liquid market says something within it
WINDOW_NS = 10 * 10**9  # the fastest message of this long stands for the way from the venue
JUMP_NS = 200 * 10**6  # networks differ by less from one window to the next for as long as `PERSISTS`
PERSISTS = 3  # windows on either side that must agree: a stall is no jump
WANDER_NS = 10 * 10**6  # what the fastest message of a minute may take more than that of another
MINUTE = 6  # windows
FEWEST_MINUTES = 3


class ObserverState:
    """Looks at the clocks of a recording chunk by chunk; remembers one number a ten seconds."""

    def __init__(self) -> None:
        self.end: int | None = None  # local time of the last event
        self._silences = 0
        self._longest = (0, 0)  # ns, and when it began
        self._window: list[int] = []  # number of each window that held something
        self._fastest: list[int] = []  # the least latency in it

    def feed(self, events: np.ndarray) -> None:
        """Look at the next events, in the order of their arrival; at least one."""
        local = events["local_time_ns"]
        times = local if self.end is None else np.concatenate([[self.end], local])
        waits = np.diff(times)
        if len(waits):
            longest = int(np.argmax(waits))
            self._longest = max(self._longest, (int(waits[longest]), int(times[longest])))
            self._silences += int(np.sum(waits > SILENCE_NS))
        self.end = int(local[-1])
        window = local // WINDOW_NS
        starts = np.flatnonzero(np.concatenate([[True], window[1:] != window[:-1]]))
        least = np.minimum.reduceat(local - events["exchange_time_ns"], starts)
        for number, latency in zip(window[starts].tolist(), least.tolist(), strict=True):
            if self._window and self._window[-1] == number:
                self._fastest[-1] = min(self._fastest[-1], latency)
            else:
                self._window.append(number)
                self._fastest.append(latency)

    def findings(self) -> list[Finding]:
        """Return what was seen."""
        results = []
        if self._silences:
            length, start = self._longest
            results.append(
                Finding(
                    "warning",
                    f"nothing arrived for more than {SILENCE_NS // 10**9} s, {self._silences:,} times; the "
                    f"longest silence lasts {length / 1e9:,.0f} s from local time {start:,} ns: a halt, or a "
                    "hole in the recording.",
                )
            )
        jump, when = self._jump()
        if jump:
            results.append(
                Finding(
                    "warning",
                    f"the local clock seems to have been set by {jump / 1e6:+,.0f} ms near local time "
                    f"{when * WINDOW_NS:,} ns: latencies before and after it cannot be compared.",
                )
            )
        elif (wander := self._wander()) > WANDER_NS:
            results.append(
                Finding(
                    "warning",
                    "the two clocks seem to go apart (or the way was slow for minutes): the fastest message "
                    f"of one minute takes {wander / 1e6:,.0f} ms more than that of another. Latencies are no "
                    "better known than that: set them in a replay (--replay.feed-latency-ms, "
                    "--replay.latency-model constant).",
                )
            )
        return results

    def _wander(self) -> int:
        """Return how far the fastest latencies of minutes lie apart, ns; 0 for fewer than three minutes."""
        minute = np.array(self._window, np.int64) // MINUTE
        starts = np.flatnonzero(np.diff(minute, prepend=-1))
        whole = np.diff(starts, append=len(minute)) == MINUTE  # what says little says nothing of the clocks
        if np.sum(whole) < FEWEST_MINUTES:
            return 0
        return int(np.ptp(np.minimum.reduceat(np.array(self._fastest, np.int64), starts)[whole]))

    def _jump(self) -> tuple[int, int]:
        """Return the largest lasting change of the fastest latency (0: none) and the window where it was."""
        fastest = np.array(self._fastest, np.int64)
        if len(fastest) < 2 * PERSISTS:
            return 0, 0
        spans = np.lib.stride_tricks.sliding_window_view(fastest, PERSISTS)
        before, after = spans[: 1 - PERSISTS - 1], spans[PERSISTS:]
        up = after.min(axis=1) - before.max(axis=1)
        down = after.max(axis=1) - before.min(axis=1)
        change = np.where(up > JUMP_NS, up, np.where(down < -JUMP_NS, down, 0))
        at = int(np.argmax(np.abs(change)))
        return int(change[at]), self._window[at + PERSISTS]
