"""A walk from its first window to its last: planned, traded window by window, kept, joined."""

from collections.abc import Sequence
from dataclasses import replace

from flowhft.calibrate.calibrate import calibrate
from flowhft.calibrate.scenario import STEPS, natural_dt
from flowhft.errors import DataError, UsageError
from flowhft.recordings.order_size import small_order
from flowhft.recordings.ticks import without_closed
from flowhft.recordings.windowed import Windowed
from flowhft.runs.resume import Finished
from flowhft.simulate.spans import Span, Task
from flowhft.stages.settings import LEARN_SHARE, TRADE_SHARE
from flowhft.studies.walk_forward.trade import Traded, WalkWork
from flowhft.studies.walk_forward.windows import Window, plan_windows
from flowhft.types import Progress, no_progress
from flowhft.work.task import Executor, do_here


def sessions_of(recording: Windowed) -> list[tuple[int, int]]:
    """Return first and last local time of every session of a recording, cut where it was closed, ns."""
    return list(without_closed(recording.sessions, recording.closed))


def planned(work: WalkWork, recording: Windowed) -> WalkWork:
    """Return the work with its windows, and with times and order size where none were set.

    The times of decisions and sessions are those of the first market that can be calibrated, an order is a
    third of the median market order before the first window: one pace and one size for the whole walk, so
    that its windows make one path, and none that the future has set.

    Args:
        work: without windows.
        recording: of the walk.

    Raises:
        UsageError: no session is long enough.
        DataError: no window's past can carry a calibration.
    """
    sessions = recording.sessions
    first = 1e-9 * (sessions[0][1] - sessions[0][0])
    learn = LEARN_SHARE * first if work.walk.learn is None else work.walk.learn
    trade = TRADE_SHARE * first if work.walk.trade is None else work.walk.trade
    replay = work.replay
    if replay.decision_interval is None or replay.horizon is None:
        dt = replay.decision_interval or _pace(work, recording, plan_windows(sessions, learn, trade))
        horizon = STEPS * dt if replay.horizon is None else replay.horizon
        if work.walk.trade is None:
            trade = max(1, round(trade / horizon)) * horizon
        replay = replace(replay, decision_interval=dt, horizon=horizon)
    if trade < replay.session:
        raise UsageError(
            f"`walk.trade` must hold a session of {replay.session:g} s; received {trade:g} s. Trade longer "
            "windows, or set shorter sessions (--replay.horizon)."
        )
    windows = plan_windows(sessions, learn, trade, replay.session)
    if replay.order_lots is None:
        replay = replace(replay, order_lots=_order_lots(recording, windows))
    return replace(work, replay=replay, windows=tuple(windows))


def _order_lots(recording: Windowed, windows: Sequence[Window]) -> int:
    """Return the order size that suits what lies before the first window that has market orders before it."""
    for part in windows:
        past = recording.window(part.learn_start_ns, part.learn_end_ns)
        if past.trades:
            return small_order(past)
    return 1


def _pace(work: WalkWork, recording: Windowed, windows: Sequence[Window]) -> float:
    """Return the time between decisions that suits the first market that can be calibrated."""
    reason: Exception | None = None
    for part in windows:
        try:
            past = recording.window(part.learn_start_ns, part.learn_end_ns)
            return natural_dt(calibrate(past, work.calibration, work.seed))
        except DataError as cause:
            reason = cause
    raise DataError(f"no window of the walk can be calibrated; the last one: {reason}") from reason


def walk_forward(
    work: WalkWork,
    finished: Finished[Traded],
    executor: Executor = do_here,
    progress: Progress = no_progress,
) -> list[Traded]:
    """Trade every window that is not finished, keep each as soon as it is, and return all of them.

    Args:
        work: with its windows (see `planned`).
        finished: what an earlier try has finished, by number (`windows_in`), to which this one adds.
        executor: who does it.
        progress: told as windows are traded.

    Raises:
        DataError: every window was refused, or what was kept is damaged.
    """
    count = len(work.windows)
    open_windows = [number for number in range(count) if f"{number:05d}" not in finished]
    done = count - len(open_windows)

    def tell(share: float, now: str) -> None:
        progress((done + share) / count, now)

    tasks = [Task(Span(0, number, number, 1)) for number in open_windows]
    for task, traded in executor(work, tasks, tell):
        finished[f"{task.span.number:05d}"] = traded
        done += 1
        tell(0.0, f"{done} of {count} windows")
    # Read back even what was found just now: a resumed walk cannot differ from one that was not interrupted.
    results = [finished[f"{number:05d}"] for number in range(count)]
    if not any(one.replayed for one in results):
        raise DataError(
            f"no window of the walk could be traded; of the last one: {results[-1].record['refused']} Learn "
            "from longer windows (--walk.learn)."
        )
    return results
