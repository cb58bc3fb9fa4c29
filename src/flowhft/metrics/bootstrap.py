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
from flowhft.metrics.measures import each, measure
from flowhft.metrics.table import CONFIDENCE, METRICS
from flowhft.types import Interval, Trajectory

SAMPLES = 1000
AT_ONCE = 2_000_000  # steps resampled at once: bounds the memory and changes no result
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


def evaluate_sessions(
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
    starts = draw_blocks(used, block_steps, samples, seed)
    whole = np.arange(used)[None, :]
    pieces = np.array_split(starts, -(-samples * used // AT_ONCE))

    def resampled_metrics(path: Trajectory) -> np.ndarray:
        found = []
        for piece in pieces:
            drawn = (piece[:, :, None] + np.arange(block_steps)).reshape(len(piece), -1)[:, :used]
            found.append(_metrics(path, drawn, session_steps))
        return np.concatenate(found)

    values = {
        name: (_metrics(path, whole, session_steps)[0], resampled_metrics(path))
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


def draw_blocks(used: int, block_steps: int, samples: int, seed: int) -> Int[np.ndarray, "sample block"]:
    """Return the first step of every block of every resampled path.

    Laid end to end and cut at `used`, the blocks of a row are a path as long as the one that was lived.

    Args:
        used: steps of the path.
        block_steps: of a block.
        samples: resampled paths.
        seed: of the blocks.

    Raises:
        UsageError: a block is longer than the path.
    """
    require(1 <= block_steps <= used, "block_steps", f"lie between 1 and {used:,} steps", block_steps)
    random = np.random.default_rng(seed)
    return random.integers(0, used - block_steps + 1, (samples, -(-used // block_steps)))


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

    measures = measure(each(cut, path))
    samples = len(rows)
    by_sample = {name: values.reshape(samples, -1) for name, values in measures.items()}
    found = np.full((samples, len(METRICS)), np.nan)
    for place, metric in enumerate(METRICS.values()):
        values = [by_sample[name] for name in metric.measures]
        if all(np.isfinite(of).any() for of in values):  # what nobody kept is undefined in every sample
            found[:, place] = [metric.estimator.value(*sample) for sample in zip(*values, strict=True)]
    return found
