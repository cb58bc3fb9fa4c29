"""The one table of metrics: it drives the command line, the report, the docs and the tests.

`flowhft.measures` turns a trajectory into one number per path and measure; here `summarise` turns those
into estimates with intervals, and `compare` into paired differences; `flowhft.moments` does both where there
are too many paths to keep. Each metric of the table is an *estimator* over paths (`flowhft.estimators`).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from flowhft.errors import UnknownNameError, require
from flowhft.estimators import (
    CONFIDENCE,
    DEVIATION,
    MEAN,
    RISK_WEIGHT,
    ROOT,
    SHARPE,
    SHORTFALL,
    TAIL,
    UTILITY,
    Estimator,
    interval,
)
from flowhft.measures import PathValues
from flowhft.types import Interval

__all__ = [
    "CONFIDENCE",
    "CRITERIA",
    "CRITERION_OF",
    "METRICS",
    "RISK_WEIGHT",
    "TAIL",
    "Metric",
    "columns_needed",
    "compare",
    "estimator_of",
    "interval",
    "score",
    "summarise",
    "unit_of_score",
]


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
        estimator: the function of means over paths that it is.
    """

    name: str
    title: str
    unit: str
    definition: str
    direction: int
    of: str
    estimator: Estimator = MEAN


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("pnl", "PnL", "money", "Mean over paths of the equity at the session's end.", +1, "pnl"),
        Metric(
            "expected_pnl",
            "PnL given fills",
            "money",
            "Mean over paths of spread PnL less fees plus inventory times the expected move of the mid: "
            "the expectation of the PnL with less noise; not defined where fills tell of the coming move.",
            +1,
            "expected_pnl",
        ),
        Metric(
            "sharpe",
            "Sharpe (per session)",
            "ratio",
            "Mean over standard deviation, across paths, of the equity at the session's end; not annualised.",
            +1,
            "pnl",
            SHARPE,
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
            DEVIATION,
        ),
        Metric(
            "expected_shortfall",
            "Expected shortfall (5 %)",
            "money",
            "Mean equity at the session's end over the worst 5 % of paths.",
            +1,
            "pnl",
            SHORTFALL,
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
            ROOT,
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


# What may decide between policies, each an estimator over the equity at the session's end.
CRITERIA: dict[str, Estimator] = {"pnl": MEAN, "sharpe": SHARPE, "utility": UTILITY}
CRITERION_OF = "pnl"  # the measure that they are estimated from


def columns_needed() -> dict[str, tuple[str, ...]]:
    """Return measure -> the columns of it that the metrics and criteria need, in a fixed order."""
    needed: dict[str, dict[str, None]] = {}
    for measure, estimator in [(m.of, m.estimator) for m in METRICS.values()] + [
        (CRITERION_OF, estimator) for estimator in CRITERIA.values()
    ]:
        needed.setdefault(measure, {}).update(dict.fromkeys(estimator.columns))
    return {measure: tuple(columns) for measure, columns in needed.items()}


def estimator_of(criterion: str) -> Estimator:
    """Return the estimator of a selection criterion.

    Raises:
        UnknownNameError: there is no such criterion.
    """
    if criterion not in CRITERIA:
        raise UnknownNameError("criterion", criterion, CRITERIA)
    return CRITERIA[criterion]


def unit_of_score(criterion: str) -> str:
    """Return the unit of a selection criterion."""
    return "ratio" if criterion == "sharpe" else "tick x lot"


def score(measures: Mapping[str, PathValues], criterion: str) -> tuple[float, PathValues]:
    """Return the value of a selection criterion and the influence of every path on it.

    Args:
        measures: from `measure`.
        criterion: "pnl" (mean), "sharpe" (mean over standard deviation) or "utility" (mean less a
            quarter of a standard deviation), over paths, of the equity at the session's end.

    Raises:
        UnknownNameError: there is no such criterion.
    """
    return estimator_of(criterion)(measures[CRITERION_OF])


def summarise(measures: Mapping[str, PathValues], confidence: float = CONFIDENCE) -> dict[str, Interval]:
    """Return every metric of the table with its interval over paths.

    Args:
        measures: from `measure`, possibly concatenated over chunks of paths.
        confidence: of the two-sided interval, between 0 and 1.
    """
    return {
        name: interval(*metric.estimator(measures[metric.of]), confidence) for name, metric in METRICS.items()
    }


def compare(
    measures: Mapping[str, PathValues], reference: Mapping[str, PathValues], confidence: float = CONFIDENCE
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
        value, influence = metric.estimator(measures[metric.of])
        other, other_influence = metric.estimator(reference[metric.of])
        differences[name] = interval(value - other, influence - other_influence, confidence)
    return differences
