"""Judge one long path: cut into sessions for its metrics, resampled in blocks for their intervals.

A recording is lived through once. Its metrics are those of simulation, each session of the recording taken
as a path; but sessions that follow each other are few and not independent. So the intervals come from a
moving-block bootstrap of the steps: blocks long enough to hold the memory of the series are drawn with
replacement, laid end to end, cut into sessions and measured again. All policies are resampled by the same
blocks, which pairs their differences.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from flowhft.errors import require
from flowhft.measures import measure
from flowhft.metrics import CONFIDENCE, METRICS
from flowhft.types import Fill, Interval, Observation, Quote, Trajectory

SAMPLES = 1000
MOST_DEFINED = 0.95  # share of the resampled paths in which a metric must be defined for an interval


class Sessions(NamedTuple):
    """What was found on one long path.

    Attributes:
        sessions: whole ones in it; steps after the last whole one are left out.
        results: policy -> metric -> value with its interval.
        differences: policy -> metric -> value minus the reference's, paired.
    """

    sessions: int
    results: dict[str, dict[str, Interval]]
    differences: dict[str, dict[str, Interval]]


def judge_sessions(
    trajectories: Mapping[str, Trajectory],
    session_steps: int,
    block_steps: int,
    reference: str,
    seed: int,
    samples: int = SAMPLES,
    confidence: float = CONFIDENCE,
) -> Sessions:
    """Return metrics per session of policies that lived through the same path.

    Args:
        trajectories: by policy, arrays of shape (1, step), all of the same steps.
        session_steps: steps of a session.
        block_steps: steps of a block; longer than the memory of the increments, much shorter than the path.
        reference: the policy that differences are taken against.
        seed: of the blocks.
        samples: resampled paths behind an interval.
        confidence: of the two-sided intervals (percentiles of the resampled values).

    Raises:
        UsageError: the path is shorter than two sessions, or the blocks do not fit.

    Source: H. R. Kuensch, "The jackknife and the bootstrap for general stationary observations", Annals of
    Statistics 17(3), 1989.
    """
    require(reference in trajectories, "reference", f"be one of {', '.join(trajectories)}", f"'{reference}'")
    steps = np.shape(trajectories[reference].fee)[-1]
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

    random = np.random.default_rng(seed)
    starts = random.integers(0, used - block_steps + 1, (samples, -(-used // block_steps)))
    drawn = (starts[:, :, None] + np.arange(block_steps)).reshape(samples, -1)[:, :used]
    whole = np.arange(used)[None, :]

    values = {
        name: (_metrics(path, whole, session_steps)[0], _metrics(path, drawn, session_steps))
        for name, path in trajectories.items()
    }
    tails = (50.0 * (1.0 - confidence), 50.0 * (1.0 + confidence))

    def intervals(value: np.ndarray, resampled: np.ndarray) -> dict[str, Interval]:
        return {
            name: Interval(float(value[i]), *_quantiles(resampled[:, i], tails))
            for i, name in enumerate(METRICS)
        }

    base, base_resampled = values[reference]
    return Sessions(
        sessions=count,
        results={name: intervals(*found) for name, found in values.items()},
        differences={
            name: intervals(value - base, resampled - base_resampled)
            for name, (value, resampled) in values.items()
            if name != reference
        },
    )


def _quantiles(resampled: np.ndarray, tails: tuple[float, float]) -> tuple[float, float]:
    """Return percentiles of resampled values; NaN where a metric is undefined in too many of them."""
    known = resampled[np.isfinite(resampled)]
    if len(known) < MOST_DEFINED * len(resampled):
        return float("nan"), float("nan")
    low, high = np.percentile(known, tails)
    return float(low), float(high)


def _metrics(path: Trajectory, rows: Int[np.ndarray, "sample step"], session_steps: int) -> np.ndarray:
    """Return every metric of resampled paths, shape (sample, metric).

    Args:
        path: arrays of shape (1, step).
        rows: the steps of which each resampled path is made.
        session_steps: steps of a session.
    """

    def cut(values: np.ndarray) -> np.ndarray:
        return np.asarray(values, np.float64)[0][rows].reshape(-1, session_steps)

    measures = measure(
        Trajectory(
            observation=Observation(*(cut(values) for values in path.observation)),
            quote=Quote(*(cut(values) for values in path.quote)),
            fill=Fill(*(cut(values) for values in path.fill)),
            spread_pnl=cut(path.spread_pnl),
            inventory_pnl=cut(path.inventory_pnl),
            fee=cut(path.fee),
        )
    )
    samples = len(rows)
    by_sample = {name: values.reshape(samples, -1) for name, values in measures.items()}
    return np.array(
        [
            [metric.estimator(by_sample[metric.of][sample])[0] for metric in METRICS.values()]
            for sample in range(samples)
        ]
    )
