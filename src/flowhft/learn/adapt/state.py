"""State-affine search: offsets, scale, inventory skew and its slope in time, by a grid and then CMA-ES.

The grid lies in the plane of skew and width, where the score has its long valley; CMA-ES (N. Hansen, "The
CMA evolution strategy: a tutorial", arXiv:1604.00772) goes on from its best point in all five directions.
Every candidate meets the same paths, so that what evolution follows is not chance from one to the next.
"""

import itertools
from typing import Any

import numpy as np
from cmaes import CMA

from flowhft.learn.adapt.objective import Score, clearly_better
from flowhft.learn.adapt.search import (
    AT_EDGE,
    DIRECTIONS,
    SKEW,
    WIDTH,
    Evaluator,
    Scales,
    Search,
    adapter_at,
    in_lines,
    plain,
    row_of,
    table_of,
)
from flowhft.learn.settings import StateSettings
from flowhft.policies.adapter import IDENTITY, Adapter
from flowhft.types import Progress, no_progress

GRID_SKEW = (-0.5, 0.0, 0.5, 1.0, 2.0)
GRID_WIDTH = (-1.0, -0.5, 0.0, 0.5, 1.0)


def search_state(
    evaluator: Evaluator, scales: Scales, settings: StateSettings, seed: int, progress: Progress = no_progress
) -> Search:
    """Search offsets, scale, skew and slope.

    The mean of the last generation is chosen, or the best candidate of all if that is better by more than a
    standard error of their paired difference (the mean of many is flattered less by the paths that chose);
    no map at all unless one is better than it by as much.

    Args:
        evaluator: judges many adapters at once on the same validation paths.
        scales: in which steps are measured.
        settings: generations, population, first step, bounds.
        seed: of the evolution.
        progress: told before every generation.
    """
    in_groups = in_lines(evaluator, settings.population)
    tried: list[tuple[Adapter, Score]] = []
    rows: list[dict[str, Any]] = []

    def evaluated(turn: int, direction: str, points: list[np.ndarray]) -> list[Score]:
        adapters = [plain(adapter_at(point, scales)) for point in points]
        result = in_groups(adapters)
        tried.extend(zip(adapters, result, strict=True))
        unadapted = tried[0][1]
        rows.extend(row_of(turn, direction, *pair, unadapted) for pair in zip(adapters, result, strict=True))
        return result

    progress(0.0, "a grid of skew and width")
    grid = [np.zeros(5)]
    for skew, width in itertools.product(GRID_SKEW, GRID_WIDTH):
        point = np.zeros(5)
        point[SKEW], point[WIDTH] = skew, width
        if point.any():
            grid.append(point)
    result = evaluated(0, "grid", grid)
    rows[0]["direction"] = "none"
    unadapted = result[0]
    begin = grid[int(np.argmax(_values(result)))]
    reach = np.full(5, settings.bound)
    evolution = CMA(
        mean=begin,
        sigma=settings.step,
        bounds=np.stack([-reach, reach], axis=1),
        seed=seed % 2**32,
        population_size=settings.population,
    )
    for generation in range(settings.generations):
        progress((generation + 1) / (settings.generations + 1), f"generation {generation + 1}")
        points = [evolution.ask() for _ in range(settings.population)]
        values = _values(evaluated(generation + 1, "generation", points))
        evolution.tell([(point, -value) for point, value in zip(points, values, strict=True)])
    mean = np.clip(evolution.mean, -reach, reach)
    evaluated(settings.generations + 1, "mean", [mean])
    chosen, best = tried[-1]
    champion, highest = tried[int(np.argmax(_values([score for _, score in tried])))]
    if clearly_better(highest, best):
        chosen, best = champion, highest
    if not clearly_better(best, unadapted):
        chosen, best = IDENTITY, unadapted
    return Search(chosen, table_of(rows, chosen), best, unadapted, _edges(chosen, scales, settings.bound))


def _values(results: list[Score]) -> np.ndarray:
    """Return scores, one that is not defined as the lowest that there are."""
    values = np.array([one.value for one in results])
    return np.where(np.isfinite(values), values, np.min(values, where=np.isfinite(values), initial=0.0) - 1.0)


def _edges(chosen: Adapter, scales: Scales, bound: float) -> tuple[str, ...]:
    """Return the directions in which a choice lies on the bound."""
    unit = adapter_at(np.ones(5), scales)
    point = {
        "width": (chosen.offset_bid + chosen.offset_ask) / scales.unit,
        "lean": (chosen.offset_bid - chosen.offset_ask) / scales.unit,
        "skew": chosen.skew / unit.skew,
        "slope": chosen.slope / unit.slope,
        "scale": np.log(chosen.scale) / np.log(unit.scale),
    }
    return tuple(name for name in DIRECTIONS if abs(point[name]) >= (1.0 - AT_EDGE) * bound)
