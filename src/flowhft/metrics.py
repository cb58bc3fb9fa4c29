"""The one table of metrics: it drives the command line, the report, the docs and the tests.

`flowhft.measures` turns a trajectory into one number per path and measure; here `summarise` turns those
into estimates with intervals, and `compare` into paired differences. Each metric of the table is an
*estimator* over paths together with its *influence* per path: value(paths) and, for every path, the
derivative of the value with respect to that path's weight. The standard error of any metric is
std(influence) / sqrt(paths), and that of a difference between two policies on the same random numbers is
std(influence_a - influence_b) / sqrt(paths): one rule for means, ratios and tails alike (the delta method).
"""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from flowhft.errors import UnknownNameError, require
from flowhft.measures import PathValues
from flowhft.types import Interval

CONFIDENCE = 0.99  # of every interval, unless said otherwise
RISK_WEIGHT = 0.25  # standard deviations that the criterion "utility" takes off the mean
ROUNDING = 1e-12  # relative to the values: a standard deviation below this is that of equal values
TAIL = 0.05  # share of the worst paths in the expected shortfall

# Estimate over paths -> (value, influence of every path)
Estimator = Callable[[PathValues], tuple[float, PathValues]]


def _mean(values: PathValues) -> tuple[float, PathValues]:
    value = float(np.mean(values))
    return value, values - value


def _sharpe(values: PathValues) -> tuple[float, PathValues]:
    """Mean over standard deviation; its influence is z - value (z^2 - 1) / 2 with z standardised."""
    mean, deviation = float(np.mean(values)), float(np.std(values))
    if deviation <= ROUNDING * float(np.max(np.abs(values))):
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


def _utility(values: PathValues) -> tuple[float, PathValues]:
    """Mean less RISK_WEIGHT standard deviations."""
    mean, mean_influence = _mean(values)
    deviation, deviation_influence = _deviation(values)
    return mean - RISK_WEIGHT * deviation, mean_influence - RISK_WEIGHT * deviation_influence


# What may decide between policies, each an estimator over the equity at the session's end.
CRITERIA: dict[str, Estimator] = {"pnl": _mean, "sharpe": _sharpe, "utility": _utility}


def unit_of_score(criterion: str) -> str:
    """Return the unit of a selection criterion."""
    return "ratio" if criterion == "sharpe" else "tick x lot"


def score(measures: dict[str, PathValues], criterion: str) -> tuple[float, PathValues]:
    """Return the value of a selection criterion and the influence of every path on it.

    Args:
        measures: from `measure`.
        criterion: "pnl" (mean), "sharpe" (mean over standard deviation) or "utility" (mean less a
            quarter of a standard deviation), over paths, of the equity at the session's end.

    Raises:
        UnknownNameError: there is no such criterion.
    """
    if criterion not in CRITERIA:
        raise UnknownNameError("criterion", criterion, CRITERIA)
    return CRITERIA[criterion](np.asarray(measures["pnl"], np.float64))


def interval(value: float, influence: PathValues, confidence: float = CONFIDENCE) -> Interval:
    """Return a value with its normal interval: value +- z std(influence) / sqrt(paths).

    Args:
        value: the estimate.
        influence: of every path on it; the difference of two influences for a paired difference.
        confidence: of the two-sided interval, between 0 and 1.
    """
    require(0.0 < confidence < 1.0, "confidence", "lie between 0 and 1", confidence)
    reach = NormalDist().inv_cdf(0.5 + confidence / 2.0)
    if len(influence) < 2:
        return Interval(value, float("nan"), float("nan"))
    error = reach * float(np.std(influence, ddof=1)) / len(influence) ** 0.5
    return Interval(value, value - error, value + error)


def summarise(measures: dict[str, PathValues], confidence: float = CONFIDENCE) -> dict[str, Interval]:
    """Return every metric of the table with its interval over paths.

    Args:
        measures: from `measure`, possibly concatenated over chunks of paths.
        confidence: of the two-sided interval, between 0 and 1.
    """
    return {
        name: interval(*metric.estimator(np.asarray(measures[metric.of], np.float64)), confidence)
        for name, metric in METRICS.items()
    }


def compare(
    measures: dict[str, PathValues], reference: dict[str, PathValues], confidence: float = CONFIDENCE
) -> dict[str, Interval]:
    """Return metric(policy) - metric(reference) with paired intervals.

    Args:
        measures: of the policy, from `measure`.
        reference: of the other one, on the same random numbers: row i of both is path i.
        confidence: of the two-sided interval, between 0 and 1.
    """
    paths, others = f"{len(measures['pnl']):,}", f"{len(reference['pnl']):,}"
    require(paths == others, "reference", f"hold the same {paths} paths", others, "Pair equal paths.")
    differences = {}
    for name, metric in METRICS.items():
        value, influence = metric.estimator(np.asarray(measures[metric.of], np.float64))
        other, other_influence = metric.estimator(np.asarray(reference[metric.of], np.float64))
        differences[name] = interval(value - other, influence - other_influence, confidence)
    return differences
