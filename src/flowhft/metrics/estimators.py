"""Estimators: numbers by which policies are evaluated, each a smooth function of means over paths.

What is averaged are *columns*: values per path (a measure, its square, its tail, a second measure that it is
divided by). So one definition
serves the values of all paths at once and sums that were collected as paths went by
(`flowhft.metrics.moments`): the function gives the estimate and its gradient in the means, and the delta
method the standard error,

    influence of a path = gradient . (its columns - their means)
    variance of the estimate = gradient . covariance of the columns . gradient / paths

for means, ratios and tails alike; of a difference between two policies on the same random numbers likewise,
with the covariance between their columns. Standard deviations are those of a sample (n - 1). Intervals have
Student's quantiles; those of a few sessions of a recording are worked out in `flowhft.metrics.sessions`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.special import stdtrit

from flowhft.errors import require
from flowhft.metrics.measures import PathValues
from flowhft.types import Interval

CONFIDENCE = 0.99  # of every interval, unless said otherwise
RISK_WEIGHT = 0.25  # standard deviations that the criterion "utility" takes off the mean
ROUNDING = 1e-12  # relative to the mean: a standard deviation below this is that of equal values
TAIL = 0.05  # share of the worst paths in the expected shortfall
LEAST_IN_TAIL = 5  # paths, from whose spread the standard error of the expected shortfall is estimated

Columns = Float[np.ndarray, " column"]
Gradient = Float[np.ndarray, " column"]
Measures = Sequence[PathValues]  # that one number is estimated from together; most take one alone


class Pilot(NamedTuple):
    """What the columns of a measure are taken relative to, found on the first paths and then kept.

    Attributes:
        centre: the mean of every measure over the first paths; close to that of all, so that squares lose no
            digits.
        quantile: the `TAIL` quantile of the first measure over the first paths: the smallest of its values
            that at least this share of the paths does not exceed; between that and the next where exactly
            this share does not.
    """

    centre: Float[np.ndarray, " measure"]
    quantile: float


def _value(values: Measures, pilot: Pilot) -> PathValues:
    return values[0] - pilot.centre[0]


def _square(values: Measures, pilot: Pilot) -> PathValues:
    return (values[0] - pilot.centre[0]) ** 2


def _tail(values: Measures, pilot: Pilot) -> PathValues:
    return np.minimum(values[0] - pilot.quantile, 0.0) / TAIL


def _second(values: Measures, pilot: Pilot) -> PathValues:
    return values[1] - pilot.centre[1]


def _square_loss(values: Measures, pilot: Pilot) -> PathValues:
    return np.minimum(values[0], 0.0) ** 2


COLUMNS: dict[str, Callable[[Measures, Pilot], PathValues]] = {
    "value": _value,
    "square": _square,
    "tail": _tail,
    "second": _second,
    "square_loss": _square_loss,
}


def find_pilot(values: Measures, columns: tuple[str, ...]) -> Pilot:
    """Return the pilot of measures that are estimated from together.

    Args:
        values: of the first paths, float64, one array a measure.
        columns: that are wanted; the quantile is worked out only for "tail".
    """
    # Only such a quantile maximises the expression that the shortfall is (`_shortfall`). One interpolated
    # between two values has a tail that is too bad, by most where few paths are in it.
    tail = "tail" in columns
    quantile = float(np.quantile(values[0], TAIL, method="averaged_inverted_cdf")) if tail else float("nan")
    return Pilot(np.array([np.mean(of) for of in values]), quantile)


def columns_of(values: Measures, columns: tuple[str, ...], pilot: Pilot) -> Float[np.ndarray, "column path"]:
    """Return the columns of measures, one row each."""
    return np.stack([COLUMNS[name](values, pilot) for name in columns])


@dataclass(frozen=True)
class Estimator:
    """A smooth function of the means of columns.

    Attributes:
        columns: names of the columns that it needs, of `COLUMNS`.
        function: from the pilot, the means of these columns and the number of paths to the estimate and its
            gradient in the means.
    """

    columns: tuple[str, ...]
    function: Callable[[Pilot, Columns, int], tuple[float, Gradient]]

    def __call__(self, *values: PathValues) -> tuple[float, PathValues]:
        """Return the estimate from the values of all paths, and the influence of every path on it.

        Args:
            *values: of one measure, or of each that the estimator takes, shape (path,).
        """
        exact = [np.asarray(of, np.float64) for of in values]
        pilot = find_pilot(exact, self.columns)
        columns = columns_of(exact, self.columns, pilot)
        means = np.mean(columns, axis=1)
        value, gradient = self.function(pilot, means, len(exact[0]))
        return value, gradient @ (columns - means[:, None])


def _spread(means: Columns, paths: int) -> tuple[float, Gradient]:
    """Return the standard deviation that the means of "value" and "square" come to, and its gradient.

    That of a sample, whose square is unbiased: squares about the mean over paths - 1. One path has none.
    """
    if paths < 2:
        return float("nan"), np.full(2, np.nan)
    of_sample = paths / (paths - 1.0)
    value = float(np.sqrt(of_sample * max(means[1] - means[0] ** 2, 0.0)))
    if value == 0.0:
        return 0.0, np.zeros(2)
    return value, of_sample * np.array([-means[0], 0.5]) / value


def _mean(pilot: Pilot, means: Columns, paths: int) -> tuple[float, Gradient]:
    return float(pilot.centre[0] + means[0]), np.ones(1)


def _deviation(pilot: Pilot, means: Columns, paths: int) -> tuple[float, Gradient]:
    return _spread(means, paths)


def _sharpe(pilot: Pilot, means: Columns, paths: int) -> tuple[float, Gradient]:
    """Mean over standard deviation; not defined where all paths end alike, nor for one path."""
    mean = float(pilot.centre[0] + means[0])
    deviation, by_deviation = _spread(means, paths)
    if not deviation > ROUNDING * abs(mean):
        return float("nan"), np.full(2, np.nan)
    value = mean / deviation
    return value, (np.array([1.0, 0.0]) - value * by_deviation) / deviation


def _sortino(pilot: Pilot, means: Columns, paths: int) -> tuple[float, Gradient]:
    """Mean over the root of the mean squared loss; not defined where no path loses.

    Source: F. A. Sortino, R. van der Meer, "Downside risk", Journal of Portfolio Management 17(4), 1991, with
    a target return of 0.
    """
    if not means[1] > 0.0:
        return float("nan"), np.full(2, np.nan)
    loss = float(np.sqrt(means[1]))
    value = float(pilot.centre[0] + means[0]) / loss
    return value, np.array([1.0, -0.5 * value / loss]) / loss


def _root(pilot: Pilot, means: Columns, paths: int) -> tuple[float, Gradient]:
    value = float(np.sqrt(max(pilot.centre[0] + means[0], 0.0)))
    return value, (np.full(1, 0.5 / value) if value > 0.0 else np.zeros(1))


def _shortfall(pilot: Pilot, means: Columns, paths: int) -> tuple[float, Gradient]:
    """Mean of min(x - quantile, 0) / TAIL + quantile: flat in the quantile at its true value.

    At the quantile of the paths themselves it is their mean over the worst `TAIL` of them, the last one
    counted by the fraction that completes the share: with up to 1 / TAIL paths, the worst one. Its chance is
    not estimated from fewer than `LEAST_IN_TAIL` of them.

    Source: R. T. Rockafellar, S. Uryasev, "Optimization of conditional value-at-risk", Journal of Risk 2(3),
    2000.
    """
    known = TAIL * paths >= LEAST_IN_TAIL
    return float(pilot.quantile + means[0]), np.ones(1) if known else np.full(1, np.nan)


def _utility(pilot: Pilot, means: Columns, paths: int) -> tuple[float, Gradient]:
    """Mean less RISK_WEIGHT standard deviations."""
    deviation, gradient = _spread(means, paths)
    return float(pilot.centre[0] + means[0]) - RISK_WEIGHT * deviation, (
        np.array([1.0, 0.0]) - RISK_WEIGHT * gradient
    )


def _ratio(pilot: Pilot, means: Columns, paths: int) -> tuple[float, Gradient]:
    """Mean of the first over the mean of the second measure; not defined where the second is 0."""
    above, below = pilot.centre + means
    if below == 0.0:
        return float("nan"), np.full(2, np.nan)
    value = float(above / below)
    return value, np.array([1.0, -value]) / below


MEAN = Estimator(("value",), _mean)
DEVIATION = Estimator(("value", "square"), _deviation)
SHARPE = Estimator(("value", "square"), _sharpe)
SORTINO = Estimator(("value", "square_loss"), _sortino)
UTILITY = Estimator(("value", "square"), _utility)
ROOT = Estimator(("value",), _root)  # of the mean of squares
SHORTFALL = Estimator(("tail",), _shortfall)
RATIO = Estimator(("value", "second"), _ratio)


def reach_of(paths: float, confidence: float = CONFIDENCE) -> float:
    """Return how many standard errors an interval reaches to either side: Student's quantile.

    Args:
        paths: independent ones that the standard error was found from, 2 or more; t has one degree of freedom
            less. Of many it is the normal quantile.
        confidence: of the two-sided interval, between 0 and 1.

    Source: Student, "The probable error of a mean", Biometrika 6(1), 1908.
    """
    require(0.0 < confidence < 1.0, "confidence", "lie between 0 and 1", confidence)
    return float(stdtrit(paths - 1.0, 0.5 + confidence / 2.0)) if paths >= 2 else float("nan")


def around(value: float, error: float, paths: float, confidence: float = CONFIDENCE) -> Interval:
    """Return a value with Student's interval: value +- t error.

    Args:
        value: the estimate.
        error: its standard error.
        paths: that it was found from.
        confidence: of the two-sided interval, between 0 and 1.
    """
    reach = reach_of(paths, confidence) * error
    return Interval(value, value - reach, value + reach)


def interval(value: float, influence: PathValues, confidence: float = CONFIDENCE) -> Interval:
    """Return a value with Student's interval: value +- t std(influence) / sqrt(paths).

    Args:
        value: the estimate.
        influence: of every path on it; the difference of two influences for a paired difference.
        confidence: of the two-sided interval, between 0 and 1.
    """
    paths = len(influence)
    error = float(np.std(influence, ddof=1)) / paths**0.5 if paths >= 2 else float("nan")
    return around(value, error, paths, confidence)
