"""The open time of a recording, made into one stretch of time to be measured."""

from dataclasses import replace

import numpy as np
from jaxtyping import Int

from flowhft.recordings.book import TopOfBook, opening, top_of_book
from flowhft.recordings.long_arrays import Pile, count_before, pieces, piled
from flowhft.recordings.ticks import EVENT, SNAPSHOT, Recording

REOPENING = (
    10**9
)  # ns after closed time within which the first best prices are those that the market opens at


def without_gaps(recording: Recording) -> Recording:
    """Close the gaps of a recording, between its sessions and where the market was closed, in time and price.

    The move of the mid from the end of one session to the start of the next, over a night, an outage or a
    halt, is no move of the market that is calibrated, and nobody traded in between. What comes later is moved
    to follow at once, and its prices by whole ticks so that the mid goes on where it stood: distances, moves
    and waiting times within the open time stay as they were. Behind closed time the book goes on as it
    stands once the first best prices are there.

    Args:
        recording: of any number of sessions; one without a gap is returned as it is.
    """
    spans, events = recording.open_spans, recording.events
    local = events["local_time_ns"]
    if spans in ((), ((int(local[0]), int(local[-1])),)):
        return recording
    top = top_of_book(recording)
    known = np.isfinite(top.mid_price)
    mids, known_ns = top.mid_price[known], top.local_time_ns[known]
    own_book = {int(local[0]), *(start for start, _ in recording.sessions)}
    standing, taken = events[:0], 0  # the book behind so many events
    whole = Pile(EVENT)
    gap = moved = 0
    last_ns, before = spans[0][0], np.nan
    for number, (start, end) in enumerate(spans):
        if start in own_book:
            first, opens = count_before(local, start), events[:0]
            after = mids[np.searchsorted(known_ns, start) :][:1]
        else:
            start = _reopened(top, start, end)
            first = count_before(local, start, or_at=True)
            standing, taken = opening(piled([standing, events[taken:first]], EVENT)), first
            opens = standing.copy()
            opens["local_time_ns"], opens["message"] = start, -1 - number
            opens["exchange_time_ns"] = events["exchange_time_ns"][first - 1]
            after = mids[: np.searchsorted(known_ns, start, side="right")][-1:]
        gap += start - last_ns
        if len(after) and np.isfinite(before):
            moved += round(float(after[0]) - before)
        for part in (opens, *pieces(events[first : count_before(local, end, or_at=True)])):
            part = part.copy()
            for name in ("exchange_time_ns", "local_time_ns"):
                part[name] -= gap
            part["price"] -= moved
            whole.add(part)
        last_ns, before = end, float(np.append(np.nan, mids)[np.searchsorted(known_ns, end, side="right")])
    return replace(recording, events=whole.array(), sessions=(), closed=(), orders=None)


def seams_ns(recording: Recording) -> Int[np.ndarray, " seam"]:
    """Return the local times at which `without_gaps` has put two parts of a recording together, ns.

    Args:
        recording: as it is given to `without_gaps`; up to what the market takes to reopen.
    """
    lengths = [end - start for start, end in recording.open_spans]
    return int(recording.open_spans[0][0]) + np.cumsum(np.array(lengths[:-1], np.int64))


def _reopened(top: TopOfBook, start_ns: int, end_ns: int) -> int:
    """Return when the market has best prices again that opens at a local time, ns: soon, or at once."""
    row = int(np.searchsorted(top.local_time_ns, start_ns))
    latest = min(start_ns + REOPENING, end_ns)
    there = row < len(top.local_time_ns) and top.local_time_ns[row] <= latest
    return int(top.local_time_ns[row]) if there else start_ns


def span_ns(recording: Recording, top: TopOfBook) -> tuple[int, int]:
    """Return when the mids of a recording begin and when it ends, by the exchange's clock, nanoseconds.

    It lasts as long as the local clock counted from the first mid on: the times of a snapshot say when its
    levels were last touched, and may lie far in the past.

    Args:
        recording: of one session.
        top: its best prices, one row or more.
    """
    events = recording.events
    made = (part["exchange_time_ns"][part["kind"] != SNAPSHOT] for part in pieces(events))
    last = max(int(times.max()) for times in made if len(times))
    return last - int(events["local_time_ns"][-1] - top.local_time_ns[0]), last
