"""Evaluate one long path: cut into sessions for its metrics and for their intervals.

A recording is lived through once. Its metrics are those of simulation, each session of the recording taken
as a path; but sessions that follow each other are few. So the intervals are those of few sessions
(`flowhft.metrics.intervals`): a session is one observation, whatever happens within it, and Student's t knows
how few there are. Sessions that are shorter than the memory of the path are taken together until they are
not. All policies have the same sessions, which pairs their differences.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from flowhft.errors import require
from flowhft.metrics import intervals
from flowhft.metrics.measures import PathValues, drawdown, each, equity, measure
from flowhft.metrics.table import CONFIDENCE, METRICS, Metric
from flowhft.types import Interval, Trajectory


class Sessions(NamedTuple):
    """What was found on one long path.

    Attributes:
        sessions: whole ones in it; steps after the last whole one are left out.
        results: policy -> metric -> value with its interval.
        differences: policy -> metric -> value minus the reference's, paired.
        run_drawdown: policy -> largest fall of equity below its running maximum over the whole path, tick x
            lot, the steps after the last whole session included. It reaches across sessions, and grows with
            them; "max_drawdown" is the mean over sessions.
    """

    sessions: int
    results: dict[str, dict[str, Interval]]
    differences: dict[str, dict[str, Interval]]
    run_drawdown: dict[str, float]


def evaluate_sessions(
    trajectories: Mapping[str, Trajectory],
    session_steps: int,
    block_steps: int,
    reference: str,
    confidence: float = CONFIDENCE,
) -> Sessions:
    """Return metrics per session of policies that lived through the same path.

    Args:
        trajectories: by policy, arrays of shape (1, step), all of the same steps.
        session_steps: steps of a session.
        block_steps: steps after which the path has forgotten: sessions shorter than that are taken together
            for the intervals. Much shorter than the path.
        reference: the policy that differences are taken against.
        confidence: of the two-sided intervals.

    Raises:
        UsageError: the path is shorter than two sessions, or the blocks do not fit.
    """
    require(reference in trajectories, "reference", f"be one of {', '.join(trajectories)}", f"'{reference}'")
    steps = np.shape(trajectories[reference].fee)[-1]
    count, units = sessions_in(steps, session_steps, block_steps)
    measures = measured(
        {
            name: each(lambda values: _cut(values, count, session_steps), path)
            for name, path in trajectories.items()
        }
    )
    base = measures[reference]
    return Sessions(
        sessions=count,
        results={
            name: {
                metric.name: intervals.single(metric.estimator, _of(metric, own), confidence, units)
                if _kept(metric, own)
                else _UNKNOWN
                for metric in METRICS.values()
            }
            for name, own in measures.items()
        },
        differences={
            name: {
                metric.name: intervals.paired(
                    metric.estimator, _of(metric, own), _of(metric, base), confidence, units
                )
                if _kept(metric, own) and _kept(metric, base)
                else _UNKNOWN
                for metric in METRICS.values()
            }
            for name, own in measures.items()
            if name != reference
        },
        run_drawdown={
            name: float(np.max(drawdown(equity(path)), initial=0.0)) for name, path in trajectories.items()
        },
    )


_UNKNOWN = Interval(*(float("nan"),) * 3)


def sessions_in(steps: int, session_steps: int, block_steps: int) -> tuple[int, int]:
    """Return how many whole sessions a path has, and how many of them may be taken for independent.

    Args:
        steps: of the path.
        session_steps: of a session.
        block_steps: after which the path has forgotten.

    Raises:
        UsageError: the path is shorter than two sessions, or than a block.
    """
    count = steps // session_steps
    require(
        count >= 2,
        "horizon",
        "fit at least twice into the recording that is judged",
        f"{session_steps:,} steps a session with {steps:,} steps recorded",
        "Shorten the sessions or judge a longer part.",
    )
    used = count * session_steps
    require(1 <= block_steps <= used, "block_steps", f"lie between 1 and {used:,} steps", block_steps)
    return count, min(count, used // block_steps)


def measured(trajectories: Mapping[str, Trajectory]) -> dict[str, dict[str, PathValues]]:
    """Return the measures of every policy's sessions: the steps of all policies are folded at once.

    Args:
        trajectories: by policy, arrays of shape (session, step), alike in shape.
    """
    alike: dict[str, list[str]] = {}  # those that have kept the same: an array for each field, or none
    for name, path in trajectories.items():
        alike.setdefault(repr(each(lambda values: ..., path)), []).append(name)
    result = {}
    for names in alike.values():
        whole = measure(_stacked([trajectories[name] for name in names]))
        for index, name in enumerate(names):
            result[name] = {key: np.split(values, len(names))[index] for key, values in whole.items()}
    return {name: result[name] for name in trajectories}


def _stacked(parts: Sequence[Any]) -> Any:
    """Return trajectories below one another; what is no array is the same in all."""
    if isinstance(parts[0], tuple):
        return type(parts[0])(*(_stacked(inner) for inner in zip(*parts, strict=True)))
    return np.concatenate(parts) if np.ndim(parts[0]) else parts[0]


def _cut(values: np.ndarray, count: int, session_steps: int) -> np.ndarray:
    """Return the steps of a path by session, shape (session, step)."""
    whole = np.asarray(values, np.float64)[0, : count * session_steps]
    return whole.reshape(count, session_steps)


def _of(metric: Metric, measures: Mapping[str, PathValues]) -> list[PathValues]:
    return [measures[name] for name in metric.measures]


def _kept(metric: Metric, measures: Mapping[str, PathValues]) -> bool:
    """Whether there is anything to estimate a metric from: what nobody kept is NaN throughout."""
    return all(bool(np.isfinite(values).all()) for values in _of(metric, measures))
