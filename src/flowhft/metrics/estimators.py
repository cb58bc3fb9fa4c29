"""Estimators: numbers by which policies are judged, each a smooth function of means over paths.

What is averaged are *columns*: values per path (a measure, its square, its tail, a second measure that it is
divided by). So one definition
serves the values of all paths at once and sums that were collected as paths went by
(`flowhft.metrics.moments`): the function gives the estimate and its gradient in the means, and the delta
method the standard error,

    influence of a path = gradient . (its columns - their means)
    variance of the estimate = gradient . covariance of the columns . gradient / paths

for means, ratios and tails alike; of a difference between two policies on the same random numbers likewise,
with the covariance between their columns.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from flowhft.errors import require
from flowhft.metrics.measures import PathValues
from flowhft.types import Interval

CONFIDENCE = 0.99  # of every interval, unless said otherwise
RISK_WEIGHT = 0.25  # standard deviations that the criterion "utility" takes off the mean
ROUNDING = 1e-12  # relative to the mean: a standard deviation below this is that of equal values
TAIL = 0.05  # share of the worst paths in the expected shortfall

Columns = Float[np.ndarray, " column"]
Gradient = Float[np.ndarray, " column"]
Measures = Sequence[PathValues]  # that one number is estimated from together; most take one alone


class Pilot(NamedTuple):
    """What the columns of a measure are taken relative to, found on the first paths and then kept.

    Attributes:
        centre: the mean of every measure over the first paths; close to that of all, so that squares lose no
            digits.
        quantile: the `TAIL` quantile of the first measure over the first paths.
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


COLUMNS: dict[str, Callable[[Measures, Pilot], PathValues]] = {
    "value": _value,
    "square": _square,
    "tail": _tail,
    "second": _second,
}


def find_pilot(values: Measures, columns: tuple[str, ...]) -> Pilot:
    """Return the pilot of measures that are estimated from together.

    Args:
        values: of the first paths, float64, one array a measure.
        columns: that are wanted; the quantile is worked out only for "tail".
    """
    quantile = float(np.quantile(values[0], TAIL)) if "tail" in columns else float("nan")
    return Pilot(np.array([np.mean(of) for of in values]), quantile)


def columns_of(values: Measures, columns: tuple[str, ...], pilot: Pilot) -> Float[np.ndarray, "column path"]:
    """Return the columns of measures, one row each."""
    return np.stack([COLUMNS[name](values, pilot) for name in columns])


@dataclass(frozen=True)
class Estimator:
    """A smooth function of the means of columns.

    Attributes:
        columns: names of the columns that it needs, of `COLUMNS`.
        function: from the pilot and the means of these columns to the estimate and its gradient.
    """

    columns: tuple[str, ...]
    function: Callable[[Pilot, Columns], tuple[float, Gradient]]

    def __call__(self, *values: PathValues) -> tuple[float, PathValues]:
        """Return the estimate from the values of all paths, and the influence of every path on it.

        Args:
            *values: of one measure, or of each that the estimator takes, shape (path,).
        """
        value, gradient, columns, means = self._at(values)
        return value, gradient @ (columns - means[:, None])

    def value(self, *values: PathValues) -> float:
        """Return the estimate alone, at half the cost: where values are resampled."""
        return self._at(values)[0]

    def _at(self, values: Measures) -> tuple[float, Gradient, np.ndarray, Columns]:
        exact = [np.asarray(of, np.float64) for of in values]
        pilot = find_pilot(exact, self.columns)
        columns = columns_of(exact, self.columns, pilot)
        means = np.mean(columns, axis=1)
        return *self.function(pilot, means), columns, means


def _spread(means: Columns) -> float:
    """Return the standard deviation that the means of "value" and "square" come to."""
    return float(np.sqrt(max(means[1] - means[0] ** 2, 0.0)))


def _mean(pilot: Pilot, means: Columns) -> tuple[float, Gradient]:
    return float(pilot.centre[0] + means[0]), np.ones(1)


def _deviation(pilot: Pilot, means: Columns) -> tuple[float, Gradient]:
    value = _spread(means)
    if value == 0.0:
        return 0.0, np.zeros(2)
    return value, np.array([-means[0], 0.5]) / value


def _sharpe(pilot: Pilot, means: Columns) -> tuple[float, Gradient]:
    """Mean over standard deviation; not defined where all paths end alike."""
    mean, deviation = float(pilot.centre[0] + means[0]), _spread(means)
    if deviation <= ROUNDING * abs(mean):
        return float("nan"), np.full(2, np.nan)
    value = mean / deviation
    by_deviation = np.array([-means[0], 0.5]) / deviation
    return value, (np.array([1.0, 0.0]) - value * by_deviation) / deviation


def _root(pilot: Pilot, means: Columns) -> tuple[float, Gradient]:
    value = float(np.sqrt(max(pilot.centre[0] + means[0], 0.0)))
    return value, (np.full(1, 0.5 / value) if value > 0.0 else np.zeros(1))


def _shortfall(pilot: Pilot, means: Columns) -> tuple[float, Gradient]:
    """Mean of min(x - quantile, 0) / TAIL + quantile: flat in the quantile at its true value.

    Source: R. T. Rockafellar, S. Uryasev, "Optimization of conditional value-at-risk", Journal of Risk 2(3),
    2000.
    """
    return float(pilot.quantile + means[0]), np.ones(1)


def _utility(pilot: Pilot, means: Columns) -> tuple[float, Gradient]:
    """Mean less RISK_WEIGHT standard deviations."""
    deviation, gradient = _deviation(pilot, means)
    return float(pilot.centre[0] + means[0]) - RISK_WEIGHT * deviation, (
        np.array([1.0, 0.0]) - RISK_WEIGHT * gradient
    )


def _ratio(pilot: Pilot, means: Columns) -> tuple[float, Gradient]:
    """Mean of the first over the mean of the second measure; not defined where the second is 0."""
    above, below = pilot.centre + means
    if below == 0.0:
        return float("nan"), np.full(2, np.nan)
    value = float(above / below)
    return value, np.array([1.0, -value]) / below


MEAN = Estimator(("value",), _mean)
DEVIATION = Estimator(("value", "square"), _deviation)
SHARPE = Estimator(("value", "square"), _sharpe)
UTILITY = Estimator(("value", "square"), _utility)
ROOT = Estimator(("value",), _root)  # of the mean of squares
SHORTFALL = Estimator(("tail",), _shortfall)
RATIO = Estimator(("value", "second"), _ratio)


def around(value: float, error: float, confidence: float = CONFIDENCE) -> Interval:
    """Return a value with its normal interval: value +- z error.

    Args:
        value: the estimate.
        error: its standard error.
        confidence: of the two-sided interval, between 0 and 1.
    """
    require(0.0 < confidence < 1.0, "confidence", "lie between 0 and 1", confidence)
    reach = NormalDist().inv_cdf(0.5 + confidence / 2.0) * error
    return Interval(value, value - reach, value + reach)


def interval(value: float, influence: PathValues, confidence: float = CONFIDENCE) -> Interval:
    """Return a value with its normal interval: value +- z std(influence) / sqrt(paths).

    Args:
        value: the estimate.
        influence: of every path on it; the difference of two influences for a paired difference.
        confidence: of the two-sided interval, between 0 and 1.
    """
    paths = len(influence)
    error = float(np.std(influence, ddof=1)) / paths**0.5 if paths >= 2 else float("nan")
    return around(value, error, confidence)
