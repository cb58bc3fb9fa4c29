"""Intervals from a few independent sessions: what they cover where the law of large numbers is far off.

A recording has few sessions, often 4 to 20. From so few

- a standard error is itself uncertain: Student's t in the place of the normal law;
- skewness counts: an estimate that rests on squares or on the worst moments is low more often than high, and
  looks sure when it is. The interval reaches as far as both Student's and Hall's transformed t do;
- the spread of squares is hardly known: the standard errors of a deviation, a Sharpe ratio and an expected
  shortfall are at least those that normal sessions would have.

An estimate comes with the influence of every session on it (`flowhft.metrics.estimators`), and a difference
of two estimates with the difference of the influences. For many sessions all of these become the interval of
the delta method.

Source: P. Hall, "On the removal of skewness by transformation", Journal of the Royal Statistical Society B
54(1), 1992, whose transformation is monotone and inverted in closed form. The hull with Student's interval is
ours: from six sessions the third moment is too uncertain to move an end inwards.
"""

from collections.abc import Callable
from math import asinh, exp, sinh, sqrt
from statistics import NormalDist

import numpy as np
from scipy.special import bdtrc, nctdtrit

from flowhft.metrics.estimators import (
    CONFIDENCE,
    DEVIATION,
    ROOT,
    SHARPE,
    SHORTFALL,
    SORTINO,
    TAIL,
    Estimator,
    Measures,
    around,
    reach_of,
)
from flowhft.metrics.measures import PathValues
from flowhft.types import Interval

UNKNOWN = float("nan")
FURTHEST = 300.0  # exponent at which an interval has no end to speak of: a factor of 10^130
LEAST_LOSSES = 20  # of either policy, for an interval of the difference of their Sortino ratios
_NORMAL = NormalDist()
# Standard deviations by which the mean of the worst TAIL of a normal law lies below its mean: 2.06.
_TAIL_DEPTH = _NORMAL.pdf(_NORMAL.inv_cdf(TAIL)) / TAIL


def single(
    estimator: Estimator, values: Measures, confidence: float = CONFIDENCE, units: int | None = None
) -> Interval:
    """Return an estimate from sessions with its interval.

    Args:
        estimator: what is estimated.
        values: of each measure that it takes, shape (path,): the sessions in their order.
        confidence: of the two-sided interval, between 0 and 1.
        units: independent ones, by default as many as sessions: fewer where neighbours share their fate.
    """
    value, influence = estimator(*values)
    if np.isnan(value):
        return Interval(UNKNOWN, UNKNOWN, UNKNOWN)
    units = len(influence) if units is None else units
    scale = SCALES.get(estimator, _plain)
    return scale(value, together(influence, units), values, confidence)


def paired(
    estimator: Estimator,
    values: Measures,
    others: Measures,
    confidence: float = CONFIDENCE,
    units: int | None = None,
) -> Interval:
    """Return the difference of an estimate to another's from the same sessions, with its paired interval.

    Args:
        estimator: what is estimated.
        values: of each measure that it takes, shape (path,).
        others: the same of the other policy, in the same sessions.
        confidence: of the two-sided interval, between 0 and 1.
        units: independent ones, by default as many as sessions.
    """
    (value, influence), (other, other_influence) = estimator(*values), estimator(*others)
    units = len(influence) if units is None else units
    if np.isnan(value - other):
        return Interval(UNKNOWN, UNKNOWN, UNKNOWN)
    if all(map(np.array_equal, values, others)):
        return Interval(0.0, 0.0, 0.0)
    if _constant(others):  # what stays at home
        return Interval(*(end - other for end in single(estimator, values, confidence, units)))
    if _constant(values):
        of_other = single(estimator, others, confidence, units)
        return Interval(value - of_other.value, value - of_other.high, value - of_other.low)
    least = LEAST[estimator](values[0], others[0]) / sqrt(units) if estimator in LEAST else 0.0
    if estimator is SHORTFALL:
        return _about(value - other, _tail_difference(values[0], others[0]), least, units, confidence)
    return _skewed(value - other, together(influence - other_influence, units), confidence, least)


def together(influence: PathValues, units: int) -> PathValues:
    """Return the influence of units of neighbouring sessions, whose mean is the same; as equal as can be."""
    if units >= len(influence):
        return influence
    parts = np.array_split(influence, units)
    return np.array([np.sum(part) for part in parts]) * (units / len(influence))


def _constant(values: Measures) -> bool:
    """Whether all sessions are alike, so that there is no chance in what is estimated from them."""
    return all(float(np.ptp(of)) == 0.0 for of in values)


def _error(influence: PathValues) -> float:
    """Return the standard error of an estimate."""
    count = len(influence)
    return float(np.std(influence, ddof=1)) / sqrt(count) if count >= 2 else UNKNOWN


def _skewed(value: float, influence: PathValues, confidence: float, least: float = 0.0) -> Interval:
    """Return the hull of Student's interval and Hall's, which follows the skewness of the influences.

    Hall's statistic g(t) = t + a t^2 / 3 + a^2 t^3 / 27 + a / 6 with a = skewness / sqrt(n) is about
    Student's; t = (3 / a) (cbrt(1 + a (g - a / 6)) - 1) brings its quantiles back.

    Args:
        value: the estimate.
        influence: of every unit on it.
        confidence: of the interval.
        least: that the standard error is, whatever the influences say.
    """
    count = len(influence)
    deviation = float(np.std(influence, ddof=1)) if count >= 2 else UNKNOWN
    error = float(np.maximum(deviation / sqrt(count), least))  # unknown where either is
    reach = reach_of(count, confidence)
    if not error > 0.0:
        return Interval(value, value - error, value + error)
    skewness = float(np.mean(((influence - np.mean(influence)) / deviation) ** 3)) if deviation > 0.0 else 0.0
    a = skewness / sqrt(count)
    low, high = _untransformed(-reach, a), _untransformed(reach, a)
    return Interval(value, value - max(high, reach) * error, value - min(low, -reach) * error)


def _untransformed(statistic: float, a: float) -> float:
    """Return the t of which Hall's statistic is made."""
    if abs(a) < 1e-6:  # its limit
        return statistic
    return 3.0 / a * (float(np.cbrt(1.0 + a * (statistic - a / 6.0))) - 1.0)


def _plain(value: float, influence: PathValues, values: Measures, confidence: float) -> Interval:
    return _skewed(value, influence, confidence)


def _deviation(value: float, influence: PathValues, values: Measures, confidence: float) -> Interval:
    """Return the interval of a standard deviation: Student's of its logarithm.

    Its relative error is at least that of normal sessions, 1 / sqrt(2 (n - 1)).
    """
    if not value > 0.0:
        return Interval(value, value, value)
    count = len(influence)
    if count < 2:
        return Interval(value, UNKNOWN, UNKNOWN)
    relative = max(_error(influence) / value, sqrt(0.5 / (count - 1)))
    factor = exp(min(reach_of(count, confidence) * relative, FURTHEST))
    return Interval(value, value / factor, value * factor)


def _sharpe(value: float, influence: PathValues, values: Measures, confidence: float) -> Interval:
    """Return the interval of mean / deviation on the scale sqrt(2) asinh(x / sqrt(2)).

    On it the error of normal sessions is 1 / sqrt(n) whatever the ratio (its own is sqrt((1 + x^2 / 2) / n)),
    and that is the least.
    """
    error, count = _error(influence), len(influence)
    if np.isnan(error):
        return Interval(value, UNKNOWN, UNKNOWN)
    scaled = max(error / sqrt(1.0 + 0.5 * value * value), 1.0 / sqrt(count))
    centre, reach = asinh(value / sqrt(2.0)), reach_of(count, confidence) * scaled / sqrt(2.0)
    low, high = max(centre - reach, -FURTHEST), min(centre + reach, FURTHEST)
    return Interval(value, sqrt(2.0) * sinh(low), sqrt(2.0) * sinh(high))


def _sortino(value: float, influence: PathValues, values: Measures, confidence: float) -> Interval:
    """Return the interval of mean / root of the mean squared loss.

    Few sessions have few losses, whose squares say little. Of a normal law it is a function of the Sharpe
    ratio x that rises, x / sqrt((1 + x^2) Phi(-x) - x phi(x)): the interval is what this makes of the Sharpe
    ratio's, and the estimate's own.
    """
    own = _sharpe(value, influence, values, confidence)
    if np.isnan(own.low):
        return own
    sharpe, of_sharpe = SHARPE(values[0])
    ends = _sharpe(sharpe, together(of_sharpe, len(influence)), values, confidence)
    return Interval(value, min(own.low, _normal_sortino(ends.low)), max(own.high, _normal_sortino(ends.high)))


def _normal_sortino(sharpe: float) -> float:
    """Return the Sortino ratio of a normal law with a Sharpe ratio: -1 far below 0, without end far above."""
    if abs(sharpe) > 30.0:
        return float("inf") if sharpe > 0.0 else -1.0
    square = (1.0 + sharpe * sharpe) * _NORMAL.cdf(-sharpe) - sharpe * _NORMAL.pdf(sharpe)
    # Far out the two terms cancel: their asymptotic difference is 2 phi(x) / x^3.
    square = 2.0 * _NORMAL.pdf(sharpe) / sharpe**3 if sharpe > 5.0 else square
    return sharpe / sqrt(square) if square > 0.0 else float("inf")


def _root(value: float, influence: PathValues, values: Measures, confidence: float) -> Interval:
    """Return the interval of a root of a mean of squares: that of the mean, and of its logarithm."""
    if not value > 0.0:
        return Interval(value, value, value)
    if len(influence) < 2:
        return Interval(value, UNKNOWN, UNKNOWN)
    squares = _skewed(value * value, 2.0 * value * influence, confidence)
    factor = exp(min(reach_of(len(influence), confidence) * _error(influence) / value, FURTHEST))
    return Interval(
        value,
        min(sqrt(max(squares.low, 0.0)), value / factor),
        max(sqrt(max(squares.high, 0.0)), value * factor),
    )


def _shortfall(value: float, influence: PathValues, values: Measures, confidence: float) -> Interval:
    """Return the interval of the mean of the worst TAIL of the sessions.

    Few sessions have one or none in the tail: then it is the exact one of mean - 2.06 deviations of a normal
    law (by the noncentral t), the estimate if that lies beyond, and upwards the session that lies above the
    quantile itself whatever the law is. How bad a tail is that nobody has seen is known of no other law.
    """
    error, count = _error(influence), len(influence)
    if error == error:
        return around(value, error, count, confidence)
    if count < 2:
        return Interval(value, UNKNOWN, UNKNOWN)
    own = values[0]
    deviation = float(np.std(own, ddof=1))
    depth, half = _TAIL_DEPTH * sqrt(count), 0.5 * confidence
    near, far = (float(nctdtrit(count - 1.0, depth, 0.5 + side * half)) / sqrt(count) for side in (-1.0, 1.0))
    mean = float(np.mean(own))
    above = next(k for k in range(len(own) + 1) if bdtrc(k, len(own), TAIL) <= 0.5 - half)
    beyond = float(np.sort(own)[min(above, len(own) - 1)])
    return Interval(value, min(value, mean - far * deviation), max(beyond, mean - near * deviation))


def _about(value: float, centre: float, error: float, units: int, confidence: float) -> Interval:
    """Return an estimate with Student's interval about another centre, which holds the estimate too."""
    result = around(centre, error, units, confidence)
    return Interval(value, min(result.low, value), max(result.high, value))


def _tail_difference(one: PathValues, other: PathValues) -> float:
    means, deviations = np.mean(one) - np.mean(other), np.std(one, ddof=1) - np.std(other, ddof=1)
    return float(means - _TAIL_DEPTH * deviations)


def _spreads(one: PathValues, other: PathValues) -> tuple[float, float, float]:
    """Return the deviations of two policies' sessions, and the correlation of the sessions."""
    own, theirs = float(np.std(one, ddof=1)), float(np.std(other, ddof=1))
    if not own * theirs > 0.0:  # so small that squares are none
        return own, theirs, 0.0
    apart = np.mean((one - np.mean(one)) / own * ((other - np.mean(other)) / theirs))
    return own, theirs, float(apart) * len(one) / (len(one) - 1)


def _least_deviation(one: PathValues, other: PathValues) -> float:
    """Return sqrt(n) times the error of a difference of deviations where both are normal."""
    own, theirs, rho = _spreads(one, other)
    both = own**2 + theirs**2 - 2.0 * rho**2 * own * theirs
    return sqrt(max(0.5 * float(both), 0.0))


def _least_sharpe(one: PathValues, other: PathValues) -> float:
    """Return sqrt(n) times the error of a difference of Sharpe ratios where both are normal.

    Source: J. D. Jobson, B. M. Korkie, "Performance hypothesis testing with the Sharpe and Treynor measures",
    Journal of Finance 36(4), 1981, in the form of C. Memmel, "Performance hypothesis testing with the Sharpe
    ratio", Finance Letters 1(1), 2003.
    """
    own, theirs, rho = _spreads(one, other)
    a, b = float(np.mean(one)) / own, float(np.mean(other)) / theirs
    both = 2.0 - 2.0 * rho + 0.5 * (a * a + b * b - 2.0 * a * b * rho * rho)
    return sqrt(max(float(both), 0.0))


def _least_shortfall(one: PathValues, other: PathValues) -> float:
    """Return sqrt(n) times the error of a difference of shortfalls where both are normal."""
    of_means = float(np.var(np.asarray(one) - np.asarray(other), ddof=1))
    return sqrt(of_means + (_TAIL_DEPTH * _least_deviation(one, other)) ** 2)


def _least_sortino(one: PathValues, other: PathValues) -> float:
    """Return 0 where both have losses to estimate from, else that the error is not known."""
    losses = min(np.count_nonzero(np.asarray(values) < 0.0) for values in (one, other))
    return 0.0 if losses >= LEAST_LOSSES else UNKNOWN


# How the interval of an estimate is worked out where it is not that of a mean.
SCALES: dict[Estimator, Callable[[float, PathValues, Measures, float], Interval]] = {
    DEVIATION: _deviation,
    SHARPE: _sharpe,
    SORTINO: _sortino,
    ROOT: _root,
    SHORTFALL: _shortfall,
}
# Estimators whose differences have at least the error of normal sessions: sqrt(n) times it, NaN if unknown.
LEAST: dict[Estimator, Callable[[PathValues, PathValues], float]] = {
    DEVIATION: _least_deviation,
    SHARPE: _least_sharpe,
    SORTINO: _least_sortino,
    SHORTFALL: _least_shortfall,
}
