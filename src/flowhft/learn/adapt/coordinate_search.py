"""Search by turns: one direction after the other, on a grid that shrinks every round."""

from typing import Any

import numpy as np

from flowhft.learn.adapt.objective import Score, clearly_better
from flowhft.learn.adapt.search import Evaluator, Search, plain, row_of, table_of
from flowhft.learn.settings import AdaptSettings
from flowhft.policies.adapter import IDENTITY, Adapter
from flowhft.types import Progress, no_progress


def coordinate_search(
    evaluator: Evaluator, unit: float, settings: AdaptSettings, progress: Progress = no_progress
) -> Search:
    """Search the adapter by turns.

    The directions are the inventory skew, the width (both offsets), the lean (offsets against each other)
    and the scale; the slope stays as it is. Steps begin at a share of the half-spread unit. A candidate
    takes the place of the current map only if it is better by more than a standard error of their paired
    difference: what cannot be told apart from chance is left as it is.

    Args:
        evaluator: judges many adapters at once on the same validation paths; always asked for equally many,
            so that what it compiles for the first line serves all.
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
    best = unadapted = Score(float("-inf"), np.zeros(0))  # until the first line is judged
    incumbent, rows = IDENTITY, list[dict[str, Any]]()
    edges: dict[str, bool] = {}
    for turn in range(settings.rounds):
        for nth, (name, direction) in enumerate(directions):
            share = (turn * len(directions) + nth) / (settings.rounds * len(directions))
            progress(share, f"round {turn + 1}: {name}")
            reach = settings.shrink**turn
            line = [
                (
                    Adapter(*(c + reach * f * d for c, d in zip(incumbent, direction, strict=True))),
                    abs(f) == 1.0,
                )
                for f in grid
            ]
            line = [candidate for candidate in line if candidate[0].scale > 0.0]
            # The present map stands in for candidates that cannot be: the number asked for stays the same.
            stand_ins = [incumbent] * (settings.candidates - len(line))
            result = evaluator([*stand_ins, *(adapter for adapter, _ in line)])
            if not rows:
                best = unadapted = result[0]
                rows.append(row_of(0, "none", IDENTITY, best, unadapted))
            edges[name] = False
            for (candidate, end), evaluated in zip(line, result[len(stand_ins) :], strict=True):
                rows.append(row_of(turn + 1, name, candidate, evaluated, unadapted))
                if clearly_better(evaluated, best):
                    incumbent, best, edges[name] = candidate, evaluated, end
    chosen = plain(incumbent)
    return Search(
        chosen, table_of(rows, chosen), best, unadapted, tuple(name for name, end in edges.items() if end)
    )
