"""Windows of a walk: what is learned from, and what is traded next. Decided by the sessions' times alone."""

from collections.abc import Sequence
from typing import NamedTuple

from flowhft.errors import require


class Window(NamedTuple):
    """A part of a recording that is traded, and what was learned from before it began.

    Attributes:
        number: in the walk, from 0.
        session: in which it lies, from 0.
        learn_start_ns, learn_end_ns: what is learned from, [start, end), on the local clock.
        trade_start_ns, trade_end_ns: what is traded, likewise; it never begins before the learning ends.
    """

    number: int
    session: int
    learn_start_ns: int
    learn_end_ns: int
    trade_start_ns: int
    trade_end_ns: int


def plan_windows(
    sessions: Sequence[tuple[int, int]], learn: float, trade: float, least: float = 0.0
) -> list[Window]:
    """Return the windows of a walk, in the order in which they are traded.

    Trading begins as soon as there is enough to learn from without a gap: within a session the `learn`
    seconds just before; in the first seconds of a later session the last ones of the session before it, if
    that was long enough, so that a day opens on what the evening before was like. No window goes over the end
    of a session.

    Args:
        sessions: first and last time of each, ns on the local clock, in order.
        learn: seconds.
        trade: seconds; the last window of a session may be shorter.
        least: seconds; a last window that is shorter is left out.

    Raises:
        UsageError: no session is long enough.

    Example:
        >>> second = 1_000_000_000
        >>> [one.trade_start_ns // second for one in plan_windows([(0, 100 * second)], 40.0, 30.0)]
        [40, 70]
    """
    learn_ns, trade_ns, least_ns = (round(seconds * 1e9) for seconds in (learn, trade, least))
    windows: list[Window] = []
    for session, (start, end) in enumerate(sessions):
        at = start
        before = sessions[session - 1] if session else None
        if before is None or before[1] - before[0] < learn_ns:
            at = start + learn_ns
        while end - at >= max(least_ns, 1):
            inside = before is None or at - start >= learn_ns
            learned = at if inside else before[1]  # type: ignore[index]
            stop = min(at + trade_ns, end)
            windows.append(Window(len(windows), session, learned - learn_ns, learned, at, stop))
            at = stop
    longest = max((end - start for start, end in sessions), default=0) * 1e-9
    require(
        len(windows) > 0,
        "walk.learn",
        f"leave {least:g} s or more of a session to trade",
        f"{learn:g} s, where the longest session has {longest:.3f} s",
        "Learn from less, or trade shorter sessions (--replay.horizon).",
    )
    return windows
