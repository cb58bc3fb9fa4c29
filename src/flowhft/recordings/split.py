"""The parts of a recording: cut out in time, each opened with the book as it stood."""

from dataclasses import replace

from flowhft.errors import require
from flowhft.recordings.book import opening
from flowhft.recordings.closed import closed_within
from flowhft.recordings.long_arrays import count_before, piled
from flowhft.recordings.orders import standing_orders
from flowhft.recordings.ticks import EVENT, ORDER, Recording


def between(recording: Recording, start_ns: int | None, end_ns: int | None) -> Recording:
    """Cut out the events of [start, end) and open them with book and top as they stood at the start.

    Args:
        recording: any recording.
        start_ns: on the local clock; None for its beginning.
        end_ns: likewise, itself not inside; None for its end.

    Raises:
        UsageError: no event lies in it.
    """
    times = recording.events["local_time_ns"]
    first = 0 if start_ns is None else count_before(times, start_ns)
    last = len(times) if end_ns is None else count_before(times, end_ns)
    require(
        first < last, "window", "hold events", "none", f"{recording.name} lasts {recording.duration:.3f} s."
    )
    kept = recording.events[first:last]
    orders = recording.orders
    if orders is not None:
        changed = orders["local_time_ns"]
        until = len(changed) if end_ns is None else count_before(changed, end_ns)
        since = 0 if start_ns is None else count_before(changed, start_ns)
        orders = orders[since:until]
    if first > 0 and start_ns is not None:
        begins = opening(recording.events[:first])
        begins["local_time_ns"] = start_ns
        kept = piled([begins, kept], EVENT)
        if orders is not None and recording.orders is not None:
            standing = standing_orders(recording.orders[:since])
            standing["local_time_ns"] = start_ns
            orders = piled([standing, orders], ORDER)
    begin, end = int(kept["local_time_ns"][0]), int(kept["local_time_ns"][-1])
    sessions = tuple(
        (max(start, begin), min(stop, end))
        for start, stop in recording.sessions
        if stop >= begin and start <= end
    )
    closed = closed_within(recording.closed, begin, end)
    return replace(recording, events=kept, orders=orders, sessions=sessions, closed=closed)


def window(recording: Recording, start_seconds: float, end_seconds: float | None = None) -> Recording:
    """Return a part of a recording that can be calibrated or replayed alone.

    It opens with the full book and the venue's last best prices as they stood at its start, stamped with the
    start on the local clock; after them come exactly the recording's own events.

    Args:
        recording: any recording.
        start_seconds: since the recording's first event, local clock.
        end_seconds: events at or after it are left out; None keeps all.
    """
    origin = int(recording.events["local_time_ns"][0])
    require(start_seconds >= 0.0, "start_seconds", "be 0 or more", start_seconds)
    start = origin + round(start_seconds * 1e9)
    return between(recording, start, None if end_seconds is None else origin + round(end_seconds * 1e9))


def split(recording: Recording, fraction: float) -> tuple[Recording, Recording]:
    """Split a recording in time, for example to calibrate on the first part and to replay the second.

    Every event is in exactly one part; the second opens with the book as `window` describes it.

    Args:
        recording: any recording.
        fraction: share of the local time that the first part takes, above 0 and below 1.

    Example:
        >>> from flowhft.recordings import read_recording, sample_recording
        >>> first, second = split(read_recording(sample_recording()), 0.25)
        >>> round(second.duration / first.duration, 2)
        3.0
    """
    require(0.0 < fraction < 1.0, "fraction", "lie between 0 and 1", fraction)
    times = recording.events["local_time_ns"]
    cut = int(times[0]) + max(1, round(fraction * int(times[-1] - times[0])))
    return between(recording, None, cut), between(recording, cut, None)
