"""Criteria: what may decide between policies, each an estimator over the equity at the session's end."""

from collections.abc import Mapping

from flowhft.errors import UnknownNameError
from flowhft.metrics.estimators import MEAN, SHARPE, UTILITY, Estimator
from flowhft.metrics.measures import PathValues

CRITERIA: dict[str, Estimator] = {"pnl": MEAN, "sharpe": SHARPE, "utility": UTILITY}
CRITERION_OF = "pnl"  # the measure that they are estimated from


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
