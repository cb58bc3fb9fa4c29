"""The one table of metrics: it drives the command line, the report, the docs and the tests.

`flowhft.metrics.measures` turns a trajectory into one number per path and measure; here `summarise` turns
those into estimates with intervals, and `compare` into paired differences; `flowhft.metrics.moments` does
both where there are too many paths to keep. Each metric of the table is an *estimator* over paths
(`flowhft.metrics.estimators`).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from flowhft.errors import require
from flowhft.metrics.criteria import CRITERIA, CRITERION_OF, estimator_of, score, unit_of_score
from flowhft.metrics.estimators import (
    CONFIDENCE,
    DEVIATION,
    MEAN,
    RATIO,
    RISK_WEIGHT,
    ROOT,
    SHARPE,
    SHORTFALL,
    SORTINO,
    TAIL,
    Estimator,
    interval,
)
from flowhft.metrics.measures import PathValues
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
    "measures_in",
    "score",
    "summarise",
    "unit_of_score",
]


@dataclass(frozen=True)
class Metric:
    """A number by which policies are evaluated.

    Attributes:
        name: column name.
        title: what people read.
        unit: "money" is tick x lot inside and the scenario's currency in tables.
        definition: one sentence, complete.
        direction: +1 where more is better, -1 where less is better, 0 where neither is.
        of: the measure it is estimated from, a key of what `measure` returns.
        estimator: the function of means over paths that it is.
        per: further measures that the estimator takes: what a ratio is divided by.
    """

    name: str
    title: str
    unit: str
    definition: str
    direction: int
    of: str
    estimator: Estimator = MEAN
    per: tuple[str, ...] = ()

    @property
    def measures(self) -> tuple[str, ...]:
        """Return the measures that it is estimated from, in the order that its estimator takes them."""
        return (self.of, *self.per)

    @property
    def group(self) -> str:
        """Return the name under which these measures are summed together."""
        return _TOGETHER.join(self.measures)

    def estimate(self, measures: Mapping[str, PathValues]) -> tuple[float, PathValues]:
        """Return its value and the influence of every path on it.

        Args:
            measures: from `measure`, arrays of shape (path,).
        """
        return self.estimator(*(measures[name] for name in self.measures))


_TOGETHER = " and "


def measures_in(group: str) -> tuple[str, ...]:
    """Return the measures of a group, see `Metric.group`."""
    return tuple(group.split(_TOGETHER))


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
            "Mean over standard deviation (that of a sample, n - 1), across paths, of the equity at the "
            "session's end; not annualised.",
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
            "Standard deviation (that of a sample, n - 1) across paths of the equity at the session's end.",
            -1,
            "pnl",
            DEVIATION,
        ),
        Metric(
            "expected_shortfall",
            "Expected shortfall (5 %)",
            "money",
            "Mean equity at the session's end over the worst 5 % of paths, the last of them counted by the "
            "fraction that completes the share: of up to 20 paths, the worst.",
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
            "Mean over paths, steps and sides of the half-spread quoted, in steps with a bid and an ask.",
            0,
            "half_spread",
            RATIO,
            ("quoted",),
        ),
        Metric(
            "pnl_to_map",
            "PnL to MAP",
            "money / lot",
            "Mean PnL over the mean absolute position, the inventory after the fills over paths and steps.",
            +1,
            "pnl",
            RATIO,
            ("absolute_inventory",),
        ),
        Metric(
            "sortino",
            "Sortino (per session)",
            "ratio",
            "Mean over the root of the mean squared loss, across paths, of the equity at the session's end; "
            "a gain counts as no loss. Not annualised; not defined where no path loses.",
            +1,
            "pnl",
            SORTINO,
        ),
        Metric(
            "calmar",
            "Calmar (per session)",
            "ratio",
            "Mean equity at the session's end over the mean max drawdown within a session; not annualised.",
            +1,
            "pnl",
            RATIO,
            ("max_drawdown",),
        ),
        Metric(
            "mean_inventory",
            "Mean inventory",
            "lots",
            "Mean over paths and steps of the inventory after the fills; far from 0 it bets on the price.",
            0,
            "inventory",
        ),
        Metric(
            "effective_spread",
            "Effective half-spread",
            "ticks",
            "What a lot earned at its fill: spread PnL over the lots filled.",
            +1,
            "spread_pnl",
            RATIO,
            ("fills",),
        ),
        Metric(
            "realised_spread",
            "Realised half-spread",
            "ticks",
            "What is left of it at the end of the step of the fill: effective half-spread less adverse "
            "selection.",
            +1,
            "realised_pnl",
            RATIO,
            ("fills",),
        ),
        Metric(
            "adverse_selection",
            "Adverse selection",
            "ticks",
            "Move of the mid against a lot filled, from the decision to the end of the step of the fill.",
            -1,
            "adverse_move",
            RATIO,
            ("fills",),
        ),
        Metric(
            "slippage",
            "Slippage",
            "ticks",
            "By how much a lot filled closer to the mid of the decision than its quote asked: latency, tick "
            "grid and orders left standing; there is none in a simulation.",
            -1,
            "slippage",
            RATIO,
            ("fills",),
        ),
        Metric(
            "turnover",
            "Turnover",
            "money",
            "Mean over paths of the value traded on both sides, at absolute prices.",
            0,
            "turnover",
        ),
        Metric(
            "fill_ratio",
            "Fill ratio",
            "ratio",
            "Lots filled over orders sent; in a simulation every quote of a side and step is an order.",
            0,
            "fills",
            RATIO,
            ("orders",),
        ),
        Metric(
            "order_to_trade",
            "Order-to-trade",
            "ratio",
            "Orders and cancellations sent over lots filled.",
            -1,
            "messages",
            RATIO,
            ("fills",),
        ),
        Metric(
            "quoting_ratio",
            "Quoting ratio",
            "ratio",
            "Mean over paths of the share of time with both a bid and an ask standing.",
            +1,
            "standing",
        ),
        Metric(
            "latency_p50",
            "Latency, median",
            "us",
            "Mean over paths in which orders are sent of the median time from a decision to its orders at "
            "the venue; none passes in a simulation.",
            -1,
            "latency_p50",
            RATIO,
            ("sent",),
        ),
        Metric(
            "latency_p99",
            "Latency, 99 %",
            "us",
            "Mean over paths in which orders are sent of the 99th percentile of the time from a decision to "
            "its orders at the venue.",
            -1,
            "latency_p99",
            RATIO,
            ("sent",),
        ),
    )
}

# Metrics that results of versions before do not have: who reads those leaves them out.
LATER = ("sortino", "calmar")


def columns_needed() -> dict[str, tuple[str, ...]]:
    """Return group of measures -> its columns that the metrics and criteria need, in a fixed order."""
    needed: dict[str, dict[str, None]] = {}
    for group, estimator in [(m.group, m.estimator) for m in METRICS.values()] + [
        (CRITERION_OF, estimator) for estimator in CRITERIA.values()
    ]:
        needed.setdefault(group, {}).update(dict.fromkeys(estimator.columns))
    return {group: tuple(columns) for group, columns in needed.items()}


def summarise(measures: Mapping[str, PathValues], confidence: float = CONFIDENCE) -> dict[str, Interval]:
    """Return every metric of the table with its interval over paths.

    Args:
        measures: from `measure`, possibly concatenated over chunks of paths.
        confidence: of the two-sided interval, between 0 and 1.
    """
    return {name: interval(*metric.estimate(measures), confidence) for name, metric in METRICS.items()}


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
        value, influence = metric.estimate(measures)
        other, other_influence = metric.estimate(reference)
        differences[name] = interval(value - other, influence - other_influence, confidence)
    return differences
