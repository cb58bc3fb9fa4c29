"""The sessions of a replay in which the market was open throughout: those that metrics are made of.

A policy lives through closed time as it does at a venue: its orders stand, its position is held, and the
market opens where it opens. No session of its metrics is of such time, or of a part of it; what became of the
position meanwhile is said beside them.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from flowhft.errors import require
from flowhft.metrics.measures import each
from flowhft.types import Trajectory

FEWEST = 2  # sessions


class OpenSessions(NamedTuple):
    """What of a replay counts.

    Attributes:
        steps: that are in its metrics, shape (kept,); None where all are.
        left_out: sessions that closed time touches.
        of: sessions, with those.
    """

    steps: Int[np.ndarray, " kept"] | None = None
    left_out: int = 0
    of: int = 0


def open_sessions(closed: Bool[np.ndarray, " step"] | None, session_steps: int) -> OpenSessions:
    """Return the steps of whole sessions in which the market was never closed.

    Sessions stay where the policy had them, so that the time that was left in each is what it saw.

    Args:
        closed: whether the market was closed in a step; None where it never was.
        session_steps: steps of a session.

    Raises:
        UsageError: fewer than two are left.
    """
    if closed is None or not closed.any():
        return OpenSessions()
    count = len(closed) // session_steps
    touched = closed[: count * session_steps].reshape(count, session_steps).any(axis=1)
    kept = int(np.sum(~touched))
    require(
        kept >= FEWEST,
        "horizon",
        "fit at least twice into the time in which the market is open",
        f"{session_steps:,} steps a session: closed time touches {count - kept:,} of {count:,}",
        "Shorten the sessions with --replay.horizon, judge a longer part, or walk forward "
        "(flowhft backtest --walk-forward).",
    )
    steps = np.flatnonzero(np.repeat(~touched, session_steps))
    return OpenSessions(steps, count - kept, count)


def only(path: Trajectory, steps: Int[np.ndarray, " kept"] | None) -> Trajectory:
    """Return a trajectory of some of its steps; of all where there are none.

    Args:
        path: arrays of shape (1, step).
        steps: which, shape (kept,).
    """
    return path if steps is None else each(lambda values: np.asarray(values)[..., steps], path)


def left_out_pnl(path: Trajectory, steps: Int[np.ndarray, " kept"], session_steps: int) -> float:
    """Return what was earned in the sessions that closed time touches, tick x lot.

    Args:
        path: arrays of shape (1, step).
        steps: that are not in them.
        session_steps: steps of a session; those after the last whole one are in none.
    """
    earned = np.asarray(path.spread_pnl + path.inventory_pnl - path.fee, np.float64)[0]
    whole = len(earned) // session_steps * session_steps
    return float(np.sum(earned[:whole]) - np.sum(earned[steps]))


def said_of_closed(result: OpenSessions, pnl: Mapping[str, float], currency: str) -> str:
    """Return what a reader must know of the sessions that are left out, in plain words.

    Args:
        result: which they are.
        pnl: what every policy earned in them, currency.
        currency: of money.
    """
    earned = ", ".join(f"{name} {value:.4g}" for name, value in pnl.items())
    return (
        f"closed time: it touches {result.left_out:,} of {result.of:,} sessions, which are in no metric. "
        f"In them was earned, {currency}: {earned}."
    )
