"""The one table of metrics: it drives the command line, the report, the docs and the tests.

`measure` turns a trajectory into one number per path and measure, `summarise` turns those into estimates
with intervals, `compare` into paired differences. Each metric of the table is an *estimator* over paths
together with its *influence* per path: value(paths) and, for every path, the derivative of the value with
respect to that path's weight. The standard error of any metric is std(influence) / sqrt(paths), and that
of a difference between two policies on the same random numbers is std(influence_a - influence_b) /
sqrt(paths): one rule for means, ratios and tails alike (the delta method).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.stats import norm

from flowhft.errors import require
from flowhft.types import Interval, Trajectory

CONFIDENCE = 0.99  # of every interval, unless said otherwise
TAIL = 0.05  # share of the worst paths in the expected shortfall

PathValues = Float[np.ndarray, " path"]
# Estimate over paths -> (value, influence of every path)
Estimator = Callable[[PathValues], tuple[float, PathValues]]


def _mean(values: PathValues) -> tuple[float, PathValues]:
    value = float(np.mean(values))
    return value, values - value


def _sharpe(values: PathValues) -> tuple[float, PathValues]:
    """Mean over standard deviation; its influence is z - value (z^2 - 1) / 2 with z standardised."""
    mean, deviation = float(np.mean(values)), float(np.std(values))
    if deviation == 0.0:
        return float("nan"), np.full_like(values, np.nan)
    standard = (values - mean) / deviation
    value = mean / deviation
    return value, standard - 0.5 * value * (standard**2 - 1.0)


def _deviation(values: PathValues) -> tuple[float, PathValues]:
    value = float(np.std(values))
    if value == 0.0:
        return 0.0, np.zeros_like(values)
    return value, ((values - np.mean(values)) ** 2 - value**2) / (2.0 * value)


def _root_mean_square(values: PathValues) -> tuple[float, PathValues]:
    value = float(np.sqrt(np.mean(values)))
    if value == 0.0:
        return 0.0, np.zeros_like(values)
    return value, (values - value**2) / (2.0 * value)


def _shortfall(values: PathValues) -> tuple[float, PathValues]:
    """Mean of the worst `TAIL` of the paths; influence: min(x - quantile, 0) / TAIL + quantile - value."""
    quantile = float(np.quantile(values, TAIL))
    contribution = np.minimum(values - quantile, 0.0) / TAIL + quantile
    value = float(np.mean(contribution))
    return value, contribution - value


@dataclass(frozen=True)
class Metric:
    """A number by which policies are judged.

    Attributes:
        name: column name.
        title: what people read.
        unit: "money" is tick x lot inside and the scenario's currency in tables.
        definition: one sentence, complete.
        direction: +1 where more is better, -1 where less is better, 0 where neither is.
        of: the measure it is estimated from, a key of what `measure` returns.
        estimator: from values per path to the estimate and its influence.
    """

    name: str
    title: str
    unit: str
    definition: str
    direction: int
    of: str
    estimator: Estimator = _mean


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("pnl", "PnL", "money", "Mean over paths of the equity at the session's end.", +1, "pnl"),
        Metric(
            "sharpe",
            "Sharpe (per session)",
            "ratio",
            "Mean over standard deviation, across paths, of the equity at the session's end; not annualised.",
            +1,
            "pnl",
            _sharpe,
        ),
        Metric(
            "max_drawdown",
            "Max drawdown",
            "money",
            "Mean over paths of the largest fall of equity below its running maximum.",
            -1,
            "max_drawdown",
        ),
        Metric(
            "pnl_deviation",
            "PnL deviation",
            "money",
            "Standard deviation across paths of the equity at the session's end.",
            -1,
            "pnl",
            _deviation,
        ),
        Metric(
            "expected_shortfall",
            "Expected shortfall (5 %)",
            "money",
            "Mean equity at the session's end over the worst 5 % of paths.",
            +1,
            "pnl",
            _shortfall,
        ),
        Metric(
            "spread_pnl",
            "Spread PnL",
            "money",
            "Mean over paths of what fills earned against the mid price at the decision.",
            +1,
            "spread_pnl",
        ),
        Metric(
            "inventory_pnl",
            "Inventory PnL",
            "money",
            "Mean over paths of inventory times the move of the mid price, the step of the fill included.",
            +1,
            "inventory_pnl",
        ),
        Metric("fee", "Fees", "money", "Mean over paths of the fees paid; negative is a rebate.", -1, "fee"),
        Metric("fills", "Fills", "lots", "Mean over paths of the lots filled on both sides.", 0, "fills"),
        Metric(
            "rms_inventory",
            "RMS inventory",
            "lots",
            "Root of the mean over paths and steps of the squared inventory after the fills.",
            -1,
            "mean_square_inventory",
            _root_mean_square,
        ),
        Metric(
            "max_inventory",
            "Max inventory",
            "lots",
            "Mean over paths of the largest absolute inventory.",
            -1,
            "max_inventory",
        ),
        Metric(
            "half_spread",
            "Half-spread quoted",
            "ticks",
            "Mean over paths, steps and sides of the half-spread quoted.",
            0,
            "half_spread",
        ),
        Metric(
            "pnl_to_map",
            "PnL to MAP",
            "money / lot",
            "Mean over paths of the PnL divided by the mean absolute inventory (1 lot where it is smaller).",
            +1,
            "pnl_to_map",
        ),
    )
}


def equity(trajectory: Trajectory) -> Float[np.ndarray, "path step"]:
    """Return the equity after every step, tick x lot, summed in float64; 0 before the first step."""
    gain = np.asarray(trajectory.spread_pnl, np.float64) + np.asarray(trajectory.inventory_pnl, np.float64)
    return np.cumsum(gain - np.asarray(trajectory.fee, np.float64), axis=-1)


def drawdown(equity: Float[np.ndarray, "path step"]) -> Float[np.ndarray, "path step"]:
    """Return how far equity stands below its running maximum, which begins at 0; never negative."""
    highest = np.maximum.accumulate(np.maximum(equity, 0.0), axis=-1)
    return highest - equity


def inventory_after(trajectory: Trajectory) -> Float[np.ndarray, "path step"]:
    """Return the inventory after the fills of every step, lots."""
    return np.asarray(trajectory.observation.inventory) + (
        np.asarray(trajectory.fill.bid) - np.asarray(trajectory.fill.ask)
    )


def measure(trajectory: Trajectory) -> dict[str, PathValues]:
    """Return one number per path for every measure: what `Metric.of` names.

    Args:
        trajectory: arrays of shape (path, step).

    Returns:
        Arrays of shape (path,), float64; money in tick x lot.
    """
    wealth = equity(trajectory)
    inventory = inventory_after(trajectory).astype(np.float64)
    pnl = wealth[..., -1]
    total = {
        name: np.sum(np.asarray(getattr(trajectory, name), np.float64), axis=-1)
        for name in ("spread_pnl", "inventory_pnl", "fee")
    }
    lots = np.asarray(trajectory.fill.bid, np.float64) + np.asarray(trajectory.fill.ask, np.float64)
    width = np.asarray(trajectory.quote.half_spread_bid, np.float64) + np.asarray(
        trajectory.quote.half_spread_ask, np.float64
    )
    return {
        "pnl": pnl,
        **total,
        "max_drawdown": np.max(drawdown(wealth), axis=-1),
        "fills": np.sum(lots, axis=-1),
        "mean_square_inventory": np.mean(inventory**2, axis=-1),
        "max_inventory": np.max(np.abs(inventory), axis=-1),
        "half_spread": np.mean(width, axis=-1) / 2.0,
        "pnl_to_map": pnl / np.maximum(np.mean(np.abs(inventory), axis=-1), 1.0),
    }


def _interval(value: float, influence: PathValues, confidence: float) -> Interval:
    reach = float(norm.ppf(0.5 + confidence / 2.0))
    if len(influence) < 2:
        return Interval(value, float("nan"), float("nan"))
    error = reach * float(np.std(influence, ddof=1)) / np.sqrt(len(influence))
    return Interval(value, value - error, value + error)


def summarise(measures: dict[str, PathValues], confidence: float = CONFIDENCE) -> dict[str, Interval]:
    """Return every metric of the table with its interval over paths.

    Args:
        measures: from `measure`, possibly concatenated over chunks of paths.
        confidence: of the two-sided interval, between 0 and 1.
    """
    require(0.0 < confidence < 1.0, "confidence", "lie between 0 and 1", confidence)
    return {
        name: _interval(*metric.estimator(np.asarray(measures[metric.of], np.float64)), confidence)
        for name, metric in METRICS.items()
    }


def compare(
    measures: dict[str, PathValues], reference: dict[str, PathValues], confidence: float = CONFIDENCE
) -> dict[str, Interval]:
    """Return metric(policy) - metric(reference) with paired intervals.

    Args:
        measures, reference: from `measure` on the same random numbers: row i of both is path i.
        confidence: of the two-sided interval, between 0 and 1.
    """
    require(0.0 < confidence < 1.0, "confidence", "lie between 0 and 1", confidence)
    paths, others = len(measures["pnl"]), len(reference["pnl"])
    require(paths == others, "reference", f"hold the same {paths:,} paths", f"{others:,}", "Pair equal paths.")
    differences = {}
    for name, metric in METRICS.items():
        value, influence = metric.estimator(np.asarray(measures[metric.of], np.float64))
        other, other_influence = metric.estimator(np.asarray(reference[metric.of], np.float64))
        differences[name] = _interval(value - other, influence - other_influence, confidence)
    return differences
