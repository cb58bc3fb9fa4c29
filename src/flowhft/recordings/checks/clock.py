"""How a receiver's clock runs against the venue's: the way in which every reader learns and corrects it."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from flowhft.recordings.checks.clock_steps import MOMENT_NS, Line, line, steps
from flowhft.recordings.ticks import Finding

STRAY_NS = 50 * 10**6  # by which a message must be faster than nearly all others to be no clock
STRAYS = 1_000  # one message in so many may be such
FEWEST = 100  # messages, one of which may be such
KEPT = 4_096  # of the fastest messages, or one in `KEPT_OF` where those are more
KEPT_OF = 200
SLOWEST_NS = 5 * 10**9  # no network takes longer at its fastest: such a clock runs ahead
ZONE_NS = 900 * 10**9  # zones lie multiples of a quarter of an hour apart
NEAR_ZONE_NS = 10 * 10**9
SUSPECT_LATENCY_NS = 10**9  # a median above it is no network's
REMEMBERED = 2_000_000  # latencies that the median is taken from, at most
THINNED = 100_000  # values of a chunk that a median is taken from, at most twice as many

Times = Int[np.ndarray, " message"]


def most_strays(messages: int) -> int:
    """Return how many of so many messages may carry a time that is simply wrong."""
    return max(messages // STRAYS, int(messages >= FEWEST))


def _begins(latency_ns: Times, local_ns: Times) -> Bool[np.ndarray, " message"]:
    """Return where a message begins, in rows of which several may be of one."""
    begins = np.ones(len(latency_ns), bool)
    begins[1:] = (latency_ns[1:] != latency_ns[:-1]) | (local_ns[1:] != local_ns[:-1])
    return begins


class Correction(NamedTuple):
    """What is added to a local clock: along stretches of time, each from its start on.

    Attributes:
        starts_ns: local times at which stretches begin, rising; the first reaches back as far as it may.
        offsets_ns: what is added at the start of each.
        slopes: by how much that grows, ns a ns.
        least_ns: the latency of the fastest message, after it.
        usual_ns: that of the message in the middle, after it.
    """

    starts_ns: tuple[int, ...] = (0,)
    offsets_ns: tuple[int, ...] = (0,)
    slopes: tuple[float, ...] = (0.0,)
    least_ns: int = 0
    usual_ns: int = 0

    @property
    def offset_ns(self) -> int:
        """Return what is added at the start, ns."""
        return self.offsets_ns[0]

    def at(self, local_ns: Times) -> Times:
        """Return corrected local times; they rise where the local times do."""
        local_ns = np.asarray(local_ns, np.int64)
        if len(self.starts_ns) == 1 and self.slopes[0] == 0.0:
            return local_ns + self.offsets_ns[0]
        starts, offsets = np.array(self.starts_ns), np.array(self.offsets_ns)
        slopes = np.array(self.slopes)
        stretch = np.maximum(np.searchsorted(starts, local_ns, side="right") - 1, 0)
        since = local_ns - starts[stretch]
        grown = np.round(slopes[stretch] * since).astype(np.int64)
        reached = starts[1:] + offsets[:-1] + np.round(slopes[:-1] * np.diff(starts)).astype(np.int64)
        floor = np.maximum.accumulate(np.concatenate([[-(2**62)], reached]))
        return np.maximum(local_ns + offsets[stretch] + grown, floor[stretch])

    def exchange(self, local_ns: Times, told_ns: Times, known: Bool[np.ndarray, " message"]) -> Times:
        """Return when the venue made messages.

        Where it did not say so, or says what cannot be (earlier than all others by more than `STRAY_NS`), it
        is the arrival less the usual latency; where it says a time after the arrival, it is the arrival.

        Args:
            local_ns: corrected.
            told_ns: what the venue says.
            known: where it says anything.
        """
        sound = known & (local_ns - told_ns >= self.least_ns - STRAY_NS)
        return np.where(sound, np.minimum(told_ns, local_ns), local_ns - self.usual_ns)


class Latencies:
    """The median of latencies that pass by in chunks, each thinned."""

    def __init__(self) -> None:
        self._parts: list[tuple[np.ndarray, int]] = []

    def feed(self, latency_ns: Times) -> None:
        """Take the next ones."""
        every = 1 + len(latency_ns) // THINNED
        self._parts.append((latency_ns[::every], every))

    def median(self) -> float:
        """Return the median, each value counted as often as it stands for others; 0 without any."""
        if not sum(len(part) for part, _ in self._parts):
            return 0.0
        values = np.concatenate([part for part, _ in self._parts])
        weights = np.concatenate([np.full(len(part), stands) for part, stands in self._parts])
        order = np.argsort(values)
        reached = np.cumsum(weights[order])
        return float(values[order[np.searchsorted(reached, 0.5 * reached[-1])]])


class LocalClock:
    """Learns what must be added to a local clock so that no message arrives before it was sent.

    The fastest messages decide. But one in a thousand may carry a time that is simply wrong: where the
    fastest lie apart from all others by more than 50 ms, they say nothing of the clock. Where the clock was
    set by 50 ms or more, or drifts by 10 ms or more along a line, each stretch is corrected on its own, so
    that the fastest message takes equally long in all of them. A clock that runs ahead cannot be told from a
    slow feed, unless the fastest message seems to take longer than 5 s.
    """

    def __init__(self) -> None:
        self._messages = 0
        self._fastest: np.ndarray = np.empty(0, np.int64)
        self._first_stray = (2**62, 0)  # the least latency, and when it arrived
        self._moments: list[tuple[np.ndarray, np.ndarray]] = []
        self._latencies: list[tuple[np.ndarray, np.ndarray, int]] = []
        self._corrected: Correction | None = None

    def feed(self, latency_ns: Times, local_ns: Times | None = None) -> None:
        """Take the next messages, of those that tell both times.

        Args:
            latency_ns: local minus venue's time.
            local_ns: when they arrived; without it nothing is learned of steps and drift.
        """
        self._corrected = None
        own = latency_ns if local_ns is None else latency_ns[_begins(latency_ns, local_ns)]
        self._messages += len(own)
        kept = max(KEPT, self._messages // KEPT_OF)
        fastest = np.concatenate([self._fastest, own])
        self._fastest = np.partition(fastest, kept)[:kept] if len(fastest) > kept else fastest
        every = 1 + len(latency_ns) // THINNED
        when = np.zeros(len(latency_ns), np.int64) if local_ns is None else local_ns
        self._latencies.append((latency_ns[::every].copy(), when[::every].copy(), every))
        while sum(len(part) for part, *_ in self._latencies) > REMEMBERED:
            self._latencies = [(part[::2].copy(), at[::2].copy(), 2 * of) for part, at, of in self._latencies]
        if local_ns is None or not len(latency_ns):
            return
        least = int(np.argmin(latency_ns))
        self._first_stray = min(self._first_stray, (int(latency_ns[least]), int(local_ns[least])))
        self._moments.append(_least_of(local_ns // MOMENT_NS, latency_ns))

    @property
    def offset_ns(self) -> int:
        """Return what must be added to the local clock at its start, ns."""
        return self.correction.offset_ns

    @property
    def strays(self) -> int:
        """Return how many messages were so far ahead of all others that they are no clock."""
        return int(np.searchsorted(np.sort(self._fastest), self._sound_from))

    @property
    def _sound_from(self) -> int:
        """Return the latency below which a message is no clock, ns."""
        fastest, some = np.sort(self._fastest), most_strays(self._messages)
        return int(fastest[min(some, len(fastest) - 1)]) - STRAY_NS if len(fastest) else 0

    @property
    def correction(self) -> Correction:
        """Return what is added along the time."""
        if self._corrected is None:
            self._corrected = self._learned()
        return self._corrected

    def _learned(self) -> Correction:
        sound = np.sort(self._fastest)[self.strays :]
        if not len(sound):
            return Correction()
        moment, least = (
            _least_of(*(np.concatenate(part) for part in zip(*self._moments, strict=True)))
            if (self._moments)
            else (np.empty(0, np.int64),) * 2
        )
        moment, least = moment[least >= self._sound_from], least[least >= self._sound_from]
        borders = steps(moment, least)
        stretches = np.split(np.arange(len(moment)), np.searchsorted(moment, borders)) if len(moment) else []
        lines = [line(moment[part], least[part]) for part in stretches]
        if len(lines) < 2 and not any(one.slope for one in lines):
            lines, stretches = [Line(float(sound[0]), 0.0)], [np.empty(0, np.int64)]
        ends = [
            level
            for one, part in zip(lines, stretches, strict=True)
            for level in (one.level, one.at(np.array([np.ptp(moment[part]) if len(part) else 0]))[0])
        ]
        target = min((level for level in ends if level >= 0.0), default=0.0)
        target = 0.0 if target > SLOWEST_NS else target
        corrected = Correction(
            starts_ns=tuple(int(moment[part[0]]) * MOMENT_NS if len(part) else 0 for part in stretches),
            offsets_ns=tuple(round(target - one.level) for one in lines),
            slopes=tuple(-one.slope / MOMENT_NS for one in lines),
            least_ns=round(target),
        )
        usual = Latencies()
        usual._parts = [
            (corrected.at(when) - when + latency, every) for latency, when, every in self._latencies
        ]
        return corrected._replace(usual_ns=max(0, round(usual.median())))

    def findings(self, path_name: str) -> list[Finding]:
        """Return what is said of messages that are no clock, and of a clock that was set or drifts.

        Args:
            path_name: of the session, for people.
        """
        results = [*self._said_of_strays(path_name), *self._said_of_steps(path_name)]
        offset = self.correction.offset_ns
        if offset < 0 and len(self.correction.starts_ns) == 1:
            results.append(
                f"`{path_name}`: the fastest message seems to take {-offset / 1e6:,.3f} ms: the local clock "
                "ran ahead of the venue's, and as much is taken away, so that the fastest message takes no "
                "time."
            )
        if abs(offset) > ZONE_NS - NEAR_ZONE_NS and (offset + NEAR_ZONE_NS) % ZONE_NS < 2 * NEAR_ZONE_NS:
            results.append(
                f"`{path_name}`: the two clocks lie {abs(offset) / 3.6e12:,.2f} h apart: one of them is in "
                "another time zone. Latencies are right, dates may not be: say the zone, or convert again."
            )
        return [Finding("warning", one) for one in results]

    def _said_of_strays(self, path_name: str) -> list[str]:
        if not self.strays:
            return []
        latency, when = self._first_stray
        ahead = self.correction.least_ns - self.correction.offset_ns - latency
        where = f" (the furthest arrived at local time {when:,} ns)" if when else ""
        return [
            f"`{path_name}`: {self.strays:,} messages carry a time of the venue up to {ahead / 1e6:,.0f} ms "
            f"ahead of all others{where}: it says nothing of the clocks, and the time of arrival, less the "
            f"usual latency of {self.correction.usual_ns / 1e6:,.3f} ms, stands in for it."
        ]

    def _said_of_steps(self, path_name: str) -> list[str]:
        results, now = [], self.correction
        for number, (start, offset) in enumerate(zip(now.starts_ns, now.offsets_ns, strict=True)):
            if number:
                slope, lasted = now.slopes[number - 1], start - now.starts_ns[number - 1]
                set_by = now.offsets_ns[number - 1] + slope * lasted - offset
                results.append(
                    f"`{path_name}`: the local clock was set by {set_by / 1e6:+,.0f} ms near local time "
                    f"{start:,} ns: what arrived from then on is moved by as much, so that the fastest "
                    f"message takes as long as before; the median is {now.usual_ns / 1e6:,.3f} ms."
                )
        rate = max(now.slopes, key=abs)
        if rate:
            results.append(
                f"`{path_name}`: the local clock drifts by {-rate * 1e6:+,.1f} us a second against the "
                "venue's: local times are moved along that line; the median latency is then "
                f"{now.usual_ns / 1e6:,.3f} ms."
            )
        return results


def offset_findings(correction: Correction, usual_ns: float) -> list[Finding]:
    """Return what is said of a clock that ran behind the venue's, with the median latency after it."""
    offset = correction.offset_ns
    if offset <= 0:
        return []
    return [
        Finding(
            "note" if usual_ns < SUSPECT_LATENCY_NS else "warning",
            f"the local clock ran behind the exchange's: {offset / 1e6:,.3f} ms were added, so that the "
            "fastest message takes no time. Latencies are relative to that message; their median is "
            f"{usual_ns / 1e6:,.3f} ms.",
        )
    ]


def _least_of(moment: Times, latency: Times) -> tuple[Times, Times]:
    """Return moments, rising and each once, and the least latency in each."""
    if np.any(moment[1:] < moment[:-1]):
        order = np.argsort(moment, kind="stable")
        moment, latency = moment[order], latency[order]
    starts = np.flatnonzero(np.diff(moment, prepend=-(2**62)))
    return moment[starts], np.minimum.reduceat(latency, starts) if len(starts) else latency[:0]
