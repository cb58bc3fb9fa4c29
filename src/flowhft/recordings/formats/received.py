"""The clock of files that hold events with both times: what others wrote may need its correction."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from flowhft.recordings.checks.clock import Correction, LocalClock, offset_findings
from flowhft.recordings.ticks import DEPTH, SNAPSHOT, TOP, Finding


class Received(NamedTuple):
    """What one pass over the events of a file tells.

    Attributes:
        clock: what must be added to their local times; None where no message arrives before it was sent.
        best_prices: whether the venue's best prices stand beside its book.
        findings: what is said of the clock.
    """

    clock: Correction | None
    best_prices: bool
    findings: list[Finding]


def survey(events: Iterable[np.ndarray], name: str) -> Received:
    """Go through the events of a file once.

    Args:
        events: with the fields kind, exchange_time_ns and local_time_ns; times of 0 are not known.
        name: of the file, for people.
    """
    clock, kinds, unknown = LocalClock(), set(), 0
    odd = False  # something must be done
    for piece in events:
        kinds |= set(np.unique(piece["kind"]).tolist())
        told, local = piece["exchange_time_ns"], piece["local_time_ns"]
        known = (piece["kind"] != SNAPSHOT) & (told > 0) & (local > 0)
        latency = (local - told)[known]
        odd |= bool((latency < 0).any())
        unknown += int(np.sum((piece["kind"] != SNAPSHOT) & (told <= 0) & (local > 0)))
        clock.feed(latency, local[known])
    best_prices = TOP in kinds and DEPTH in kinds
    if not odd and not unknown and len(clock.correction.starts_ns) == 1 and clock.correction.offset_ns == 0:
        return Received(None, best_prices, [])
    correction = clock.correction
    findings = [*clock.findings(name), *offset_findings(correction, correction.usual_ns)]
    if unknown:
        said = f"{unknown:,} events carry no time of the venue: their arrival less the median latency of the "
        said += f"others, {correction.usual_ns / 1e6:,.3f} ms, stands in for it."
        findings.append(Finding("note", said))
    return Received(correction, best_prices, findings)


def corrected(events: np.ndarray, clock: Correction | None) -> np.ndarray:
    """Return events on the corrected clock; what carries no time keeps none.

    Args:
        events: dtype `EVENT`, by local time.
        clock: as `survey` found it.
    """
    dated = events["local_time_ns"] > 0
    known = events["exchange_time_ns"] > 0
    early = events["exchange_time_ns"] > events["local_time_ns"]
    if clock is None and known[dated].all() and not early[dated].any():
        return events
    events = events.copy()
    clock = Correction() if clock is None else clock
    local = clock.at(events["local_time_ns"])
    exchange = clock.exchange(local, events["exchange_time_ns"], known)
    shown = known & (events["kind"] == SNAPSHOT)  # made when it was asked for, or long before
    exchange[shown] = np.minimum(events["exchange_time_ns"], local)[shown]
    events["local_time_ns"][dated], events["exchange_time_ns"][dated] = local[dated], exchange[dated]
    return events
