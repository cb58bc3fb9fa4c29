"""An estimate of one market parameter, with its error and how it was made."""

import math
from typing import NamedTuple

import numpy as np
from scipy.stats import norm


class Parameter(NamedTuple):
    """A market parameter as a recording tells it.

    Attributes:
        name: the glossary's name.
        value: the estimate.
        standard_error: of the estimate, in its unit; NaN where the recording does not identify it.
        low, high: confidence interval, 95 % unless the settings say otherwise.
        unit: of all four numbers.
        method: the estimator, in a few words.
        diagnostic: what says whether the estimate can be believed, or why there is none.
    """

    name: str
    value: float
    standard_error: float
    low: float
    high: float
    unit: str
    method: str
    diagnostic: str = ""

    def times(self, factor: float, name: str, unit: str) -> "Parameter":
        """Return the same estimate in another unit: everything multiplied by a known positive factor."""
        value, error, low, high = (factor * number for number in self[1:5])
        return Parameter(name, value, error, low, high, unit, self.method, self.diagnostic)


def refused(name: str, unit: str, method: str, reason: str) -> Parameter:
    """Return a parameter that the recording cannot carry: NaN, with the reason as its diagnostic.

    Args:
        name: the glossary's name.
        unit: it would have.
        method: that was refused.
        reason: what was there and what is needed.
    """
    return Parameter(name, *(math.nan,) * 4, unit, method, reason)


def reach_of(confidence: float) -> float:
    """Return how many standard errors a two-sided interval reaches: 1.96 at 0.95."""
    return float(norm.ppf(0.5 + confidence / 2.0))


def signed(
    name: str, value: float, standard_error: float, unit: str, method: str, confidence: float
) -> Parameter:
    """Return a parameter that may have either sign: value -+ z standard errors."""
    reach = reach_of(confidence) * standard_error
    return Parameter(name, value, standard_error, value - reach, value + reach, unit, method)


def positive(
    name: str, value: float, standard_error: float, unit: str, method: str, confidence: float
) -> Parameter:
    """Return a positive parameter: its logarithm is taken as normal, so that the interval stays above 0."""
    if value <= 0.0:  # an estimate on its boundary has no error to speak of
        return Parameter(name, value, math.nan, math.nan, math.nan, unit, method)
    stretch = float(np.exp(reach_of(confidence) * standard_error / value))
    return Parameter(name, value, standard_error, value / stretch, value * stretch, unit, method)


def resampled(
    name: str, value: float, samples: np.ndarray, unit: str, method: str, confidence: float
) -> Parameter:
    """Return a parameter whose error is the spread of bootstrap samples, its interval their quantiles."""
    samples = samples[np.isfinite(samples)]
    if len(samples) < 2 or not math.isfinite(value):
        return Parameter(name, float(value), math.nan, math.nan, math.nan, unit, method)
    tail = 0.5 - confidence / 2.0
    low, high = np.quantile(samples, [tail, 1.0 - tail])
    error = float(np.std(samples, ddof=1))
    return Parameter(name, float(value), error, float(low), float(high), unit, method)
