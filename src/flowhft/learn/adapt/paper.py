"""The paper's fine-tuning: a scale and an offset per side, every pair of a grid in one vmapped rollout.

The paper tunes a * quote + b with b a vector (bid, ask) for each test cell and prints b, not a. Its pairs
are taken as they are by `printed_offsets`; that they lean to the long side in 23 cells of 24 harvests the
hidden drift of its jumps.
"""

import itertools
from collections.abc import Sequence
from importlib import resources
from typing import NamedTuple

import numpy as np
import polars as pl

from flowhft.errors import UnknownNameError, require
from flowhft.learn.adapt.objective import clearly_better
from flowhft.learn.adapt.search import Evaluator, Search, plain, row_of, table_of
from flowhft.learn.settings import GridSettings
from flowhft.policies.adapter import IDENTITY, Adapter
from flowhft.scenarios.scenario import Scenario
from flowhft.types import Progress, no_progress

# 1 / fill_decay of every cell in which an offset was printed, ticks.
PRINTED_UNIT = 1.0 / 1.5


class Offsets(NamedTuple):
    """What is added to the half-spreads of the bid and the ask, ticks."""

    bid: float
    ask: float


def printed_offsets() -> dict[str, Offsets]:
    """Return the offsets of the paper's fine-tuning by test cell, T1.HH to T6.LL, ticks, as printed.

    Source: Yang Li, Zhi Chen, Steve Yang, "FlowHFT: Imitation Learning via Flow Matching Policy for Optimal
    High-Frequency Trading under Diverse Market Conditions", arXiv:2505.05784, 2025, the table of fine-tuning
    intervals. It prints them as intervals [bid, ask]; they are vectors, and a is 1.
    """
    with resources.as_file(resources.files("flowhft.learn.adapt") / "printed_offsets.csv") as path:
        rows = pl.read_csv(path)
    return {f"T{table}.{cell}": Offsets(bid, ask) for table, cell, bid, ask in rows.iter_rows()}


def printed_adapter(scenarios: Sequence[Scenario]) -> Adapter:
    """Return the map that the paper printed for a test cell, in units of the scenario's 1 / k.

    Args:
        scenarios: one, of the name of a test cell.

    Raises:
        UsageError: there are several scenarios.
        UnknownNameError: the paper printed none for a scenario of this name.
    """
    require(
        len(scenarios) == 1,
        "scenarios",
        "be one test cell where the paper's own offsets are taken",
        ", ".join(scenario.name for scenario in scenarios),
        "Name one of T1.HH to T6.LL.",
    )
    (scenario,), printed = scenarios, printed_offsets()
    if scenario.name not in printed:
        raise UnknownNameError(
            "test cell", scenario.name, printed, "The paper printed offsets for T1.HH to T6.LL only."
        )
    factor = 1.0 / (scenario.fill_decay * PRINTED_UNIT)
    bid, ask = printed[scenario.name]
    return IDENTITY._replace(offset_bid=factor * bid, offset_ask=factor * ask)


def take_printed(evaluator: Evaluator, adapter: Adapter) -> Search:
    """Judge the printed map beside the policy without one; nothing is searched."""
    unadapted, printed = evaluator([IDENTITY, adapter])
    chosen = plain(adapter)
    rows = [
        row_of(0, "none", IDENTITY, unadapted, unadapted),
        row_of(1, "printed", chosen, printed, unadapted),
    ]
    return Search(chosen, table_of(rows, chosen), printed, unadapted)


def search_grid(
    evaluator: Evaluator, unit: float, settings: GridSettings, progress: Progress = no_progress
) -> Search:
    """Search scale and offsets on a grid, all of its points judged at once.

    The best point is taken if it is better than no map by more than a standard error of their paired
    difference.

    Args:
        evaluator: judges many adapters at once on the same validation paths.
        unit: half-spread with which offsets are measured, ticks.
        settings: the grid.
        progress: told before the judgement.
    """
    axes = {
        "scale": sorted(settings.scales),
        "offset_bid": sorted(unit * offset for offset in settings.offsets),
        "offset_ask": sorted(unit * offset for offset in settings.offsets),
    }
    points = [Adapter(scale, bid, ask, 0.0) for scale, bid, ask in itertools.product(*axes.values())]
    progress(0.0, f"{len(points):,} points of the grid")
    unadapted, *result = evaluator([IDENTITY, *points])
    nth = int(np.argmax(np.nan_to_num([one.value for one in result], nan=-np.inf)))
    better = clearly_better(result[nth], unadapted)
    chosen, best = (plain(points[nth]), result[nth]) if better else (IDENTITY, unadapted)
    rows = [row_of(0, "none", IDENTITY, unadapted, unadapted)]
    rows += [row_of(1, "grid", *pair, unadapted) for pair in zip(points, result, strict=True)]
    edges = tuple(
        name for name, axis in axes.items() if len(axis) > 1 and getattr(chosen, name) in (axis[0], axis[-1])
    )
    return Search(chosen, table_of(rows, chosen), best, unadapted, edges)
