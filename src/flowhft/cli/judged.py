"""What a replay comes to: its course, the fee that it could pay, its latencies, and what to know about it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from flowhft.desk.replay.settings import ReplaySettings

if TYPE_CHECKING:
    from flowhft.cli.recording import Parts
    from flowhft.desk.replay.engine import Replayed


def course_of(name: str, replayed: "Replayed", money: float, time: np.ndarray | None = None) -> pl.DataFrame:
    """Return the course of a replay: equity, drawdown, inventory and PnL by cause after every step.

    Args:
        name: of the policy.
        replayed: what it did.
        money: currency of a tick x lot of one order.
        time: of every step, seconds; by default since the first decision.
    """
    from flowhft.metrics.measures import drawdown, equity, inventory_after

    path = replayed.trajectory
    wealth = equity(path)
    return pl.DataFrame(
        {
            "policy": name,
            "time": np.asarray(path.observation.time)[0] if time is None else time,
            "equity": money * wealth[0],
            "drawdown": money * drawdown(wealth)[0],
            "inventory": inventory_after(path)[0],
            "spread_pnl": money * np.cumsum(path.spread_pnl[0]),
            "inventory_pnl": money * np.cumsum(path.inventory_pnl[0]),
            "fee": money * np.cumsum(path.fee[0]),
        }
    )


def break_even_fee(replayed: "Replayed") -> float | None:
    """Return the maker fee in basis points at which nothing would have been earned; None without fills."""
    path = replayed.trajectory
    traded = 0.0 if path.activity is None else float(np.sum(path.activity.turnover))
    return 1e4 * float(np.sum(path.spread_pnl + path.inventory_pnl)) / traded if traded else None


def in_sample(calibrated_on: Mapping[str, Any], parts: "Parts", after: float) -> list[str]:
    """Return a warning where the judgement looks at what the calibration has learned from."""
    whole = parts.whole
    same = calibrated_on.get("name") == whole.name and calibrated_on.get("events") == len(whole.events)
    learned = float(calibrated_on.get("learn_seconds") or 0.0)
    if not same or after * whole.duration >= learned - 1e-6:
        return []
    return [
        f"The first {learned:.0f} s of this recording were learned from, and the judgement begins at "
        f"{after * whole.duration:.0f} s: it is in sample. Pass --after {learned / whole.duration:.4g}."
    ]


def warnings_about(settings: ReplaySettings, sessions: int) -> list[str]:
    """Return what a reader of the replay must know, in plain words."""
    said = [
        "The recorded market does not answer our orders; larger orders would have moved it.",
        f"The judgement rests on {sessions} sessions of one recording: its intervals say how far chance goes "
        "within it, not how other days would differ.",
    ]
    if settings.maker_fee_bps == 0.0:
        said.append(
            "Fees are set to 0. Compare the break-even fee of each policy with what your venue charges: a "
            "regular maker fee of 1 to 2 basis points is more than any policy here earns unless it says so."
        )
    return said
