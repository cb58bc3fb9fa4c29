"""When the exchange of a recording opened: the minutes after it are like no others of its day."""

from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo

from flowhft.recordings.ticks import Recording

# Venue -> its time zone, and when it opens there. One that is not here never closes, as far as is known.
OPENINGS = {"nasdaq": ("America/New_York", time(9, 30))}
DAY_NS = 86_400_000_000_000
AFTER_OPENING = 900.0  # seconds after an opening that makers neither learn from nor quote in


def opening_ns(recording: Recording) -> int | None:
    """Return the local time at which the exchange opened on the recording's first day, ns; None for never.

    Args:
        recording: whose times count from 1970, or from midnight at the exchange.
    """
    if recording.venue not in OPENINGS:
        return None
    zone, opens = OPENINGS[recording.venue]
    first = int(recording.events["local_time_ns"][0])
    since_midnight = ((opens.hour * 60 + opens.minute) * 60 + opens.second) * 1_000_000_000
    if first < DAY_NS:
        return since_midnight
    day = datetime.fromtimestamp(first / 1e9, UTC).astimezone(ZoneInfo(zone)).date()
    midnight = datetime.combine(day, time(0), ZoneInfo(zone))
    return round(midnight.timestamp()) * 1_000_000_000 + since_midnight
