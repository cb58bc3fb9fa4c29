"""Adaptation: fit the small map behind a policy to today's market, the policy itself frozen.

Everything is selected on validation paths, every candidate on the same random numbers. What was selected
is then judged once on fresh paths, so that the winner's curse (validation minus fresh) is seen.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from flowhft.adapter import IDENTITY, Adapter
from flowhft.learn.contest import contest
from flowhft.learn.settings import AdaptSettings
from flowhft.market.market import build
from flowhft.market.scenario import Scenario
from flowhft.measures import PathValues
from flowhft.metrics import interval, score, unit_of_score
from flowhft.policies.closed_form import adapted
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
        validation: paired gain over the unadapted policy on the paths that chose, in the criterion's unit.
        fresh: the same on fresh paths.
    """

    adapter: Adapter
    search: pl.DataFrame
    validation: Interval
    fresh: Interval


class Worth(NamedTuple):
    """A score with the influence of every path on it, shape (path,)."""

    value: float
    influence: PathValues


class Search(NamedTuple):
    """What a search for an adapter found on validation paths.

    Attributes:
        adapter: the chosen map.
        rows: one row per candidate, in the order they were tried.
        best: score of the chosen map.
        unadapted: score of the policy without a map.
    """

    adapter: Adapter
    rows: pl.DataFrame
    best: Worth
    unadapted: Worth


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
    what cannot be told apart from chance is left as it is. The candidates of a line are judged at once, each
    path drawn once.

    Args:
        policy: frozen; only its quotes are used.
        scenarios: today's market, or several; the score is the mean over them.
        settings: criterion, paths, rounds, grid.
        seed: of the run; paths of its streams "adapt/validation" and "adapt/fresh".
        progress: told before every line of candidates.
    """
    markets = [build(scenario, like=list(scenarios)) for scenario in scenarios]

    def worth(adapters: Sequence[Adapter], stage: str, paths: int) -> list[Worth]:
        moved = [adapted(policy, adapter) for adapter in adapters]
        found = [
            contest(market, moved, paths=paths, seed=seed, scenario=f"adapt/{stage}/{scenario.name}")
            for market, scenario in zip(markets, scenarios, strict=True)
        ]
        return [worth_of(measures, settings.criterion) for measures in zip(*found, strict=True)]

    unit = float(np.mean([1.0 / scenario.fill_decay for scenario in scenarios]))
    found = search_adapter(
        lambda adapters: worth(adapters, "validation", settings.paths), unit, settings, progress
    )
    progress(0.95, "judging the choice on fresh paths")
    before, after = worth([IDENTITY, found.adapter], "fresh", settings.fresh_paths)
    return Adaptation(
        adapter=found.adapter,
        search=found.rows,
        validation=gain(found.best, found.unadapted),
        fresh=gain(after, before),
    )


def worth_of(measures: Sequence[Mapping[str, PathValues]], criterion: str) -> Worth:
    """Return the mean score over markets, and the influence of every path on it.

    Args:
        measures: of one policy, a mapping per market, each over as many paths.
        criterion: see `flowhft.metrics.score`.
    """
    scores = [score(one, criterion) for one in measures]
    return Worth(
        float(np.mean([value for value, _ in scores])), np.mean([part for _, part in scores], axis=0)
    )


def gain(better: Worth, other: Worth) -> Interval:
    """Return by how much one score exceeds another on the same paths, with its paired interval."""
    return interval(better.value - other.value, better.influence - other.influence)


def search_adapter(
    worth: Callable[[Sequence[Adapter]], list[Worth]],
    unit: float,
    settings: AdaptSettings,
    progress: Progress = no_progress,
) -> Search:
    """Search the adapter by turns, one direction after the other (see `adapt`).

    Args:
        worth: judges many adapters at once on the same validation paths; always asked for equally many, so
            that what it compiles for the first line serves all.
        unit: half-spread with which steps are measured, ticks.
        settings: rounds and grid.
        progress: told before every line.
    """
    directions = (
        ("skew", Adapter(0.0, 0.0, 0.0, 0.3 * unit)),
        ("width", Adapter(0.0, 0.5 * unit, 0.5 * unit, 0.0)),
        ("lean", Adapter(0.0, 0.3 * unit, -0.3 * unit, 0.0)),
        ("scale", Adapter(0.5, 0.0, 0.0, 0.0)),
    )
    grid = np.linspace(-1.0, 1.0, settings.candidates)
    grid = grid[grid != 0.0]
    best = unadapted = Worth(float("-inf"), np.zeros(0))  # until the first line is judged
    incumbent, rows = IDENTITY, list[dict[str, Any]]()
    for turn in range(settings.rounds):
        for nth, (name, direction) in enumerate(directions):
            share = (turn * len(directions) + nth) / (settings.rounds * len(directions))
            progress(share, f"round {turn + 1}: {name}")
            line = [
                Adapter(*(c + factor * d for c, d in zip(incumbent, direction, strict=True)))
                for factor in grid * settings.shrink**turn
            ]
            line = [candidate for candidate in line if candidate.scale > 0.0]
            # The present map stands in for candidates that cannot be: the number asked for stays the same.
            stand_ins = [incumbent] * (settings.candidates - len(line))
            found = worth([*stand_ins, *line])
            if not rows:
                best = unadapted = found[0]
                rows.append(_row(0, "none", IDENTITY, best, unadapted))
            for candidate, judged in zip(line, found[len(stand_ins) :], strict=True):
                rows.append(_row(turn + 1, name, candidate, judged, unadapted))
                if _clearly_better(judged, best):
                    incumbent, best = candidate, judged
    chosen = Adapter(*(float(value) for value in incumbent))
    table = pl.DataFrame(rows, infer_schema_length=None).with_columns(
        chosen=pl.all_horizontal(*(pl.col(name) == value for name, value in chosen._asdict().items()))
    )
    return Search(chosen, table, best, unadapted)


def _clearly_better(found: Worth, best: Worth) -> bool:
    """Return whether a score exceeds another by more than a standard error of their paired difference."""
    error = float(np.std(found.influence - best.influence)) / np.sqrt(len(best.influence))
    return found.value - best.value > error


def _row(turn: int, direction: str, adapter: Adapter, found: Worth, unadapted: Worth) -> dict[str, Any]:
    difference = gain(found, unadapted)
    return {
        "round": turn,
        "direction": direction,
        **{name: float(value) for name, value in adapter._asdict().items()},
        "score": found.value,
        "difference": difference.value,
        "difference_low": difference.low,
        "difference_high": difference.high,
    }
