"""What a candidate is worth: its score on paths, and the influence of every path on it.

Influences make differences between candidates on the same paths comparable with their chance: the paired
standard error.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from flowhft.metrics.estimators import DEVIATION, RISK_WEIGHT
from flowhft.metrics.measures import PathValues
from flowhft.metrics.table import interval, score, unit_of_score
from flowhft.types import Interval


class Score(NamedTuple):
    """A score with the influence of every path on it, shape (path,)."""

    value: float
    influence: PathValues


def score_of(
    measures: Sequence[Mapping[str, PathValues]],
    criterion: str,
    inventory_weight: float = 0.0,
    controlled: bool = False,
) -> Score:
    """Return the mean score over markets, and the influence of every path on it.

    Args:
        measures: of one policy, a mapping per market, each over as many paths.
        criterion: see `flowhft.metrics.table.score`.
        inventory_weight: taken off the score per lot^2 of the mean squared inventory, in the score's unit.
        controlled: whether means of PnL are taken over the PnL given the fills, where it is defined (see
            `expected_pnl` of `flowhft.metrics.table`): the same expectation with less chance.
    """
    results = [_score(one, criterion, controlled) for one in measures]
    if inventory_weight:
        for nth, (value, influence) in enumerate(results):
            held = measures[nth]["mean_square_inventory"]
            mean = float(np.mean(held))
            results[nth] = (value - inventory_weight * mean, influence - inventory_weight * (held - mean))
    return Score(
        float(np.mean([value for value, _ in results])), np.mean([part for _, part in results], axis=0)
    )


def _score(measures: Mapping[str, PathValues], criterion: str, controlled: bool) -> tuple[float, PathValues]:
    """Return a score and its influence; mean and deviation apart where the mean has a control."""
    expected = measures["expected_pnl"]
    if not controlled or not np.isfinite(expected).all():
        return score(measures, criterion)
    mean = float(np.mean(expected))
    own = expected - mean
    if criterion == "pnl":
        return mean, own
    deviation, of_deviation = DEVIATION(measures["pnl"])
    if criterion == "utility":
        return mean - RISK_WEIGHT * deviation, own - RISK_WEIGHT * of_deviation
    if criterion == "sharpe" and deviation > 0.0:
        value = mean / deviation
        return value, (own - value * of_deviation) / deviation
    return score(measures, criterion)


def gain(better: Score, other: Score) -> Interval:
    """Return by how much one score exceeds another on the same paths, with its paired interval."""
    return interval(better.value - other.value, better.influence - other.influence)


def clearly_better(result: Score, best: Score) -> bool:
    """Return whether a score exceeds another by more than a standard error of their paired difference."""
    error = float(np.std(result.influence - best.influence)) / np.sqrt(len(best.influence))
    return result.value - best.value > error


def unit_of(criterion: str, inventory_weight: float = 0.0) -> str:
    """Return the unit of a score."""
    unit = unit_of_score(criterion)
    return f"{unit}, risk of inventory taken off" if inventory_weight else unit
