"""The clock of files that hold events with both times: what others wrote may need its correction."""

from collections.abc import Iterable

import numpy as np

from flowhft.recordings.checks.clock import Correction, LocalClock, offset_findings
from flowhft.recordings.checks.stamps import StrayTimes
from flowhft.recordings.ticks import DEPTH, SNAPSHOT, TOP, TRADE, Finding

FEEDS = (DEPTH, TRADE, TOP)


class Received:
    """What one pass over the events of a file tells, and what is made of them in the next.

    Args:
        events: with the fields kind, exchange_time_ns and local_time_ns; times of 0 are not known.
        name: of the file, for people.

    Attributes:
        best_prices: whether the venue's best prices stand beside its book.
        findings: what is said of the clock.
        offset_ns: what is added to the local clock at its start.
    """

    def __init__(self, events: Iterable[np.ndarray], name: str) -> None:
        clock, kinds, early = LocalClock(), set(), False
        unknown = passed = 0
        strays = {kind: StrayTimes(name) for kind in FEEDS}
        for piece in events:
            kinds |= set(np.unique(piece["kind"]).tolist())
            shown, local = piece["exchange_time_ns"], piece["local_time_ns"]
            known = (piece["kind"] != SNAPSHOT) & (shown > 0) & (local > 0)
            unknown += int(np.sum((piece["kind"] != SNAPSHOT) & (shown <= 0) & (local > 0)))
            known &= ~_strays(piece, known, strays, passed)
            passed += len(piece)
            latency = (local - shown)[known]
            early |= bool((latency < 0).any())
            clock.feed(latency, local[known])
        self.best_prices = TOP in kinds and DEPTH in kinds
        self.findings = [result for one in strays.values() for result in one.findings()]
        now = clock.correction
        self._sound = not (early or unknown or self.findings or len(now.starts_ns) > 1 or now.offset_ns)
        self._clock = Correction() if self._sound else now
        self._again = {kind: StrayTimes(name) for kind in FEEDS}
        self.offset_ns = self._clock.offset_ns
        if not self._sound:
            self.findings += [*clock.findings(name), *offset_findings(now, now.usual_ns)]
        if unknown:
            message = (
                f"{unknown:,} events carry no time of the venue: their arrival less the median latency of "
            )
            message += f"the others, {now.usual_ns / 1e6:,.3f} ms, stands in for it."
            self.findings.append(Finding("note", message))

    def corrected(self, events: np.ndarray) -> np.ndarray:
        """Return the next events on the corrected clock; what carries no time of arrival keeps none.

        Args:
            events: with the fields of both times and the kind, by local time.
        """
        dated = events["local_time_ns"] > 0
        known = events["exchange_time_ns"] > 0
        early = events["exchange_time_ns"] > events["local_time_ns"]
        if self._sound and known[dated].all() and not early[dated].any():
            return events
        events = events.copy()
        dated_feed = known & dated & (events["kind"] != SNAPSHOT)
        known = known & ~_strays(events, dated_feed, self._again)
        local = self._clock.at(events["local_time_ns"])
        exchange = self._clock.exchange(local, events["exchange_time_ns"], known)
        shown = known & (events["kind"] == SNAPSHOT)  # made when it was asked for, or long before
        exchange[shown] = np.minimum(events["exchange_time_ns"], local)[shown]
        events["local_time_ns"][dated], events["exchange_time_ns"][dated] = local[dated], exchange[dated]
        return events


def _strays(
    events: np.ndarray, known: np.ndarray, strays: dict[int, StrayTimes], first: int = 0
) -> np.ndarray:
    """Return which events carry a time of the venue that cannot be, beside their neighbours of one feed."""
    odd = np.zeros(len(events), bool)
    for kind, result in strays.items():
        own = np.flatnonzero(known & (events["kind"] == kind))
        odd[own] = result.take(first + own, events["local_time_ns"][own], events["exchange_time_ns"][own])
    return odd
