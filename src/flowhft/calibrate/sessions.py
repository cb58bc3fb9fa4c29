"""Sessions of a recording with gaps between them, made into one stretch of time to be measured."""

from dataclasses import replace
from itertools import pairwise

import numpy as np

from flowhft.recordings.book import TopOfBook, top_of_book
from flowhft.recordings.ticks import SNAPSHOT, Recording


def without_gaps(recording: Recording) -> Recording:
    """Close the gaps between the sessions of a recording, in time and in price.

    The move of the mid from the end of one session to the start of the next, over a night or an outage, is
    no move of the market that is calibrated, and nothing is known of the orders in between. Later sessions
    are moved to follow at once, and their prices by whole ticks so that the mid goes on where it stood:
    distances, moves and waiting times within the sessions stay as they were.

    Args:
        recording: of any number of sessions; one of a single session is returned as it is.
    """
    sessions = recording.sessions
    if len(sessions) < 2:
        return recording
    events = recording.events.copy()
    local = events["local_time_ns"]
    top = top_of_book(recording)
    known = np.isfinite(top.mid_price)
    times, mids = top.local_time_ns[known], top.mid_price[known]
    for (_, end), (start, _) in pairwise(sessions):
        later = recording.events["local_time_ns"] >= start
        gap = start - end
        for name in ("exchange_time_ns", "local_time_ns"):
            events[name][later] -= gap
        before, after = mids[times < start], mids[times >= start]
        if len(before) and len(after):
            events["price"][later] -= round(float(after[0] - before[-1]))
    order = np.argsort(local, kind="stable")
    return replace(recording, events=events[order], sessions=(), orders=None)


def span_ns(recording: Recording, top: TopOfBook) -> tuple[int, int]:
    """Return when the mids of a recording begin and when it ends, by the exchange's clock, nanoseconds.

    It lasts as long as the local clock counted from the first mid on: the times of a snapshot say when its
    levels were last touched, and may lie far in the past.

    Args:
        recording: of one session.
        top: its best prices, one row or more.
    """
    events = recording.events
    last = int(np.max(events["exchange_time_ns"][events["kind"] != SNAPSHOT]))
    return last - int(events["local_time_ns"][-1] - top.local_time_ns[0]), last
