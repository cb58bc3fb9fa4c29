"""Adaptation: fit the small map behind a policy to today's market, the policy itself frozen.

Everything is selected on validation paths, every candidate on the same random numbers. What was selected
is then judged once on fresh paths, so that the winner's curse (validation minus fresh) is seen.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from flowhft.adapter import IDENTITY, Adapter
from flowhft.learn.settings import AdaptSettings
from flowhft.market.market import build
from flowhft.market.scenario import Scenario
from flowhft.metrics import interval, score, unit_of_score
from flowhft.policies.closed_form import adapted
from flowhft.rollout import judge
from flowhft.types import Interval, Policy, Progress, no_progress

UNITS = {
    "offset_bid": "ticks",
    "offset_ask": "ticks",
    "skew": "ticks / lot",
}


def units_of(criterion: str) -> dict[str, str]:
    """Return the unit of every column of the search, for a criterion."""
    unit = unit_of_score(criterion)
    return UNITS | {"score": unit, "difference": f"{unit}, paired, to the policy without adapter"}


class Adaptation(NamedTuple):
    """What adaptation chose and what it is worth.

    Attributes:
        adapter: the chosen map.
        search: one row per candidate, in the order they were tried.
        validation: paired gain over the unadapted policy on the paths that chose, tick x lot.
        fresh: the same on fresh paths.
    """

    adapter: Adapter
    search: pl.DataFrame
    validation: Interval
    fresh: Interval


def adapt(
    policy: Policy,
    scenarios: Sequence[Scenario],
    settings: AdaptSettings,
    seed: int,
    progress: Progress = no_progress,
) -> Adaptation:
    """Search the adapter by turns, one direction after the other, on a grid that shrinks every round.

    The directions are the inventory skew, the width (both offsets), the lean (offsets against each other)
    and the scale. Steps begin at a share of the policy's own half-spread unit 1 / k. A candidate takes the
    place of the current map only if it is better by more than a standard error of their paired difference:
    what cannot be told apart from chance is left as it is.

    Args:
        policy: frozen; only its quotes are used.
        scenarios: today's market, or several; the score is the mean over them.
        settings: criterion, paths, rounds, grid.
        seed: of the run; paths of its streams "adapt/validation" and "adapt/fresh".
        progress: told after every candidate.
    """
    markets = [build(scenario, like=list(scenarios)) for scenario in scenarios]

    def worth(adapter: Adapter, stage: str, paths: int) -> tuple[float, np.ndarray]:
        """Return the mean score over the scenarios and the influence of every path on it."""
        moved = adapted(policy, adapter)
        scores = [
            score(
                judge(market, moved, paths=paths, seed=seed, scenario=f"adapt/{stage}/{scenario.name}"),
                settings.criterion,
            )
            for market, scenario in zip(markets, scenarios, strict=True)
        ]
        return float(np.mean([value for value, _ in scores])), np.mean([part for _, part in scores], axis=0)

    unit = float(np.mean([1.0 / scenario.fill_decay for scenario in scenarios]))
    directions = (
        ("skew", Adapter(0.0, 0.0, 0.0, 0.3 * unit)),
        ("width", Adapter(0.0, 0.5 * unit, 0.5 * unit, 0.0)),
        ("lean", Adapter(0.0, 0.3 * unit, -0.3 * unit, 0.0)),
        ("scale", Adapter(0.5, 0.0, 0.0, 0.0)),
    )
    grid = np.linspace(-1.0, 1.0, settings.candidates)
    grid = grid[grid != 0.0]
    total = 1 + settings.rounds * len(directions) * len(grid)

    unadapted = best = worth(IDENTITY, "validation", settings.paths)
    incumbent, rows = IDENTITY, [_row(0, "none", IDENTITY, best, unadapted)]
    for turn in range(settings.rounds):
        for name, direction in directions:
            centre = incumbent
            for factor in grid * settings.shrink**turn:
                progress(len(rows) / total, f"round {turn + 1}: {name}")
                candidate = Adapter(*(c + factor * d for c, d in zip(centre, direction, strict=True)))
                if candidate.scale <= 0.0:
                    continue
                found = worth(candidate, "validation", settings.paths)
                rows.append(_row(turn + 1, name, candidate, found, unadapted))
                if _clearly_better(found, best):
                    incumbent, best = candidate, found
    progress(0.95, "judging the choice on fresh paths")
    before, after = (worth(adapter, "fresh", settings.fresh_paths) for adapter in (IDENTITY, incumbent))
    chosen = Adapter(*(float(value) for value in incumbent))
    search = pl.DataFrame(rows, infer_schema_length=None).with_columns(
        chosen=pl.all_horizontal(*(pl.col(name) == value for name, value in chosen._asdict().items()))
    )
    return Adaptation(
        adapter=chosen,
        search=search,
        validation=interval(best[0] - unadapted[0], best[1] - unadapted[1]),
        fresh=interval(after[0] - before[0], after[1] - before[1]),
    )


def _clearly_better(found: tuple[float, np.ndarray], best: tuple[float, np.ndarray]) -> bool:
    """Return whether a score exceeds another by more than a standard error of their paired difference."""
    error = float(np.std(found[1] - best[1])) / np.sqrt(len(best[1]))
    return found[0] - best[0] > error


def _row(
    turn: int,
    direction: str,
    adapter: Adapter,
    found: tuple[float, np.ndarray],
    unadapted: tuple[float, np.ndarray],
) -> dict:
    difference = interval(found[0] - unadapted[0], found[1] - unadapted[1])
    return {
        "round": turn,
        "direction": direction,
        **{name: float(value) for name, value in adapter._asdict().items()},
        "score": found[0],
        "difference": difference.value,
        "difference_low": difference.low,
        "difference_high": difference.high,
    }
