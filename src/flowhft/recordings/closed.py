"""Closed time: when a recorded market does not trade, found once and handed down to all that measures.

A halt, a maintenance, a hole in the recording: whatever it is called, rates, volatility and sessions are
those of the time in which the market is open. A calibration leaves closed time out of its exposure, a replay
leaves the sessions that it touches out of its metrics, and a walk begins anew behind it.

Three things tell of it: the venue (LOBSTER's halt messages), that nothing at all arrives, and that nobody
trades. The last two are told from a quiet market by how long its own waits are.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from flowhft.recordings.ticks import SNAPSHOT, TRADE, Closed, Finding

HALT, GAP, SILENCE, NO_TRADES = "halt", "gap", "silence", "no trades"
MESSAGES = {
    HALT: "the venue halted trading",
    GAP: "nothing was recorded",
    SILENCE: "nothing arrived",
    NO_TRADES: "nobody traded",
}
SHORTEST_SILENCE = 30.0  # seconds; stalls of a network or a receiver are shorter
SHORTEST_WITHOUT_TRADES = 60.0
# Times the usual wait, the one in which a moment of time lies on average (sum w^2 / sum w). Of a Poisson
# process that is twice its mean, and one wait in e^40 or e^60 is as long; on whole days of two stocks that
# are quiet at noon the longest is 18 times (messages) and 7 times (trades).
SILENT_WAITS, UNTRADED_WAITS = 20.0, 30.0
FEWEST_WAITS = 50  # below it nothing is usual


def merged_closed(intervals: Iterable[Closed]) -> tuple[Closed, ...]:
    """Return closed intervals in order, those that overlap as one with all of their reasons."""
    results: list[Closed] = []
    for one in sorted(intervals):
        if results and one.start_ns <= results[-1].end_ns:
            why = dict.fromkeys((*results[-1].why.split(", "), *one.why.split(", ")))
            results[-1] = Closed(results[-1].start_ns, max(results[-1].end_ns, one.end_ns), ", ".join(why))
        else:
            results.append(one)
    return tuple(results)


def closed_within(intervals: Iterable[Closed], start_ns: int, end_ns: int) -> tuple[Closed, ...]:
    """Return what lies of closed intervals between two local times, ns."""
    cut = (Closed(max(one.start_ns, start_ns), min(one.end_ns, end_ns), one.why) for one in intervals)
    return tuple(one for one in cut if one.start_ns < one.end_ns)


def halts_told(messages: Iterable[tuple[int, bool]]) -> list[Closed]:
    """Return the halts that messages of a venue tell of.

    Args:
        messages: local time, ns, and whether trading goes on from then on, in order. A market whose first
            word is that it goes on was halted before, one whose last is that it halts stays so to the end.
    """
    results: list[Closed] = []
    halted: int | None = 0
    for time_ns, trades in messages:
        if trades and halted is not None:
            results.append(Closed(halted, time_ns, HALT))
        halted = None if trades else time_ns if halted in (None, 0) else halted
    if halted:
        results.append(Closed(halted, 2**62, HALT))
    return results


class _Waits:
    """The waits between events of one kind: sums of the short ones, and each of the long ones.

    Args:
        shortest: seconds; no shorter wait is ever one of a closed market.
        times: the usual wait, from which on a wait is one.
    """

    def __init__(self, shortest: float, times: float) -> None:
        self._shortest, self._times = shortest, times
        self._count, self._passed, self._squares = 0, 0.0, 0.0
        self._long: list[np.ndarray] = [np.empty((3, 0), np.int64)]

    def feed(self, start: np.ndarray, end: np.ndarray, wait: np.ndarray) -> None:
        """Take waits: when they begin and end on the local clock, and for how long they are, ns."""
        long = wait >= self._shortest * 1e9
        short = wait[~long] * 1e-9
        self._count += len(wait)
        self._passed += float(np.sum(short))
        self._squares += float(np.sum(short**2))
        self._long.append(np.stack([start[long], end[long], wait[long]]).astype(np.int64))

    def bound(self) -> float:
        """Return from how long on a wait is none of an open market, seconds; infinity where nothing is usual.

        What is beyond the bound does not say what is usual, until it lies within it.
        """
        if self._count < FEWEST_WAITS:
            return np.inf
        long = np.sort(np.concatenate(self._long, axis=1)[2] * 1e-9)
        bound = self._shortest
        while True:
            within = long[long < bound]
            passed = self._passed + float(np.sum(within))
            usual = (self._squares + float(np.sum(within**2))) / passed if passed > 0.0 else 0.0
            if self._times * usual <= bound:
                return bound
            bound = self._times * usual

    def closed(self, why: str, others: Iterable[tuple[int, int]] = ()) -> list[Closed]:
        """Return the waits that are none of an open market, and those of `others`, start and end, too."""
        least = self.bound() * 1e9
        results = [(start, end) for start, end, wait in np.concatenate(self._long, axis=1).T if wait >= least]
        results += [(start, end) for start, end in others if end - start >= least]
        return [Closed(int(start), int(end), why) for start, end in results]


class ClosedTime:
    """Finds the closed time of a session, event by event as they arrive.

    A silence is one on both clocks: where the receiver stalls and then gets what the venue made meanwhile,
    the market was open. A session that begins, or ends, long without a trade is closed there too.
    """

    def __init__(self) -> None:
        # Long times in which the venue made nothing, and when it made the latest event. The times of a
        # snapshot say when its levels were last touched, and tell nothing of it.
        self._made: list[np.ndarray] = [np.empty((2, 0), np.int64)]
        self._latest: int | None = None
        self._silences = _Waits(SHORTEST_SILENCE, SILENT_WAITS)
        self._untraded = _Waits(SHORTEST_WITHOUT_TRADES, UNTRADED_WAITS)
        self._begin: int | None = None
        self._end = 0  # local time of the last event
        self._trades: tuple[int, int] | None = None  # local times of the first and of the last

    def feed(self, events: np.ndarray) -> None:
        """Look at the next events, in the order of their arrival; at least one."""
        local, kind = events["local_time_ns"], events["kind"]
        if self._begin is None:
            self._begin = self._end = int(local[0])
        local = np.concatenate([[self._end], local])
        self._end = int(local[-1])
        wait = np.diff(local)
        passed = wait > 0
        self._silences.feed(local[:-1][passed], local[1:][passed], wait[passed])
        made = events["exchange_time_ns"][kind != SNAPSHOT]
        if len(made):
            latest = np.maximum.accumulate(np.concatenate([[self._latest or made[0]], made]))
            long = np.diff(latest) >= SHORTEST_SILENCE * 1e9
            self._made.append(np.stack([latest[:-1][long], latest[1:][long]]))
            self._latest = int(latest[-1])
        times = np.unique(events["local_time_ns"][kind == TRADE])
        if len(times):
            first, last = self._trades or (int(times[0]), int(times[0]))
            times = np.unique(np.concatenate([[last], times]))
            self._untraded.feed(times[:-1], times[1:], np.diff(times))
            self._trades = first, int(times[-1])

    def found(self, shown: Iterable[Closed] = ()) -> tuple[Closed, ...]:
        """Return the closed time, once all events have passed.

        Args:
            shown: by the format itself, on the local clock.
        """
        if self._begin is None:
            return ()
        begin, end = self._begin, self._end
        made = [Closed(int(start), int(stop), "") for start, stop in np.concatenate(self._made, axis=1).T]
        least_ns = self._silences.bound() * 1e9
        silent = [one for one in self._silences.closed(SILENCE) if _within(one, made) >= least_ns]
        closed = merged_closed([*closed_within(shown, begin, end), *silent])
        if self._trades is None:
            return closed
        first, last = self._trades
        untraded = self._untraded.closed(NO_TRADES, [(begin, first), (last, end)])
        least_ns = self._untraded.bound() * 1e9
        # What is left of a wait beside what is known to be closed must itself be none of an open market.
        left = [one for one in untraded if one.end_ns - one.start_ns - _within(one, closed) >= least_ns]
        return merged_closed([*closed, *left])


def _within(one: Closed, others: Iterable[Closed]) -> int:
    """Return how much of an interval lies in others, which lie apart, ns."""
    within = closed_within(others, one.start_ns, one.end_ns)
    return sum(other.end_ns - other.start_ns for other in within)


def closed_findings(closed: tuple[Closed, ...]) -> list[Finding]:
    """Return what is said of closed time, for people: why, how long, and what is done about it."""
    if not closed:
        return []
    longest = max(closed, key=lambda one: one.end_ns - one.start_ns)
    reasons = dict.fromkeys(reason for one in closed for reason in one.why.split(", "))
    seconds = sum(one.end_ns - one.start_ns for one in closed) * 1e-9
    why = " or ".join(MESSAGES.get(reason, reason) for reason in reasons)
    times = "once" if len(closed) == 1 else f"{len(closed):,} times, the longest"
    return [
        Finding(
            "warning",
            f"closed time: {seconds:,.0f} s in which {why}, {times} from local time {longest.start_ns:,} to "
            f"{longest.end_ns:,} ns. Calibrations leave it out, replays leave the sessions that it touches "
            "out of their metrics.",
        )
    ]


def closed_facts(closed: Iterable[Closed], sessions: Sequence[tuple[int, int]] = ()) -> list[list[Any]]:
    """Return closed time and the gaps between sessions as plain lists, for JSON; see `closed_from`.

    Args:
        closed: within the sessions.
        sessions: first and last local time of each, ns.
    """
    gaps = (Closed(end, start, GAP) for (_, end), (start, _) in pairwise(sessions) if end < start)
    return [list(one) for one in merged_closed([*closed, *gaps])]


def closed_from(values: Any) -> tuple[Closed, ...]:
    """Return what `closed_facts` made.

    Raises:
        ValueError: it is something else.
    """
    if not isinstance(values, list):
        raise ValueError(f"closed time must be a list; received {values!r}")
    for one in values:
        known = isinstance(one, list) and len(one) == 3 and [type(part) for part in one] == [int, int, str]
        if not known or one[0] > one[1]:
            raise ValueError(f"closed time must be [start ns, end ns, why]; received {one!r}")
    return tuple(Closed(*one) for one in values)
