"""What every search for an adapter shares: the judge of candidates, the rows it leaves, edges, the result."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from flowhft.learn.adapt.objective import Score, gain
from flowhft.policies.adapter import IDENTITY, Adapter
from flowhft.types import Numeric

# Judges many adapters at once, all of them on the same paths.
Evaluator = Callable[[Sequence[Adapter]], list[Score]]

# A choice this close to a bound, as a share of what was searched, lies on the edge.
AT_EDGE = 0.01


class Search(NamedTuple):
    """What a search for an adapter found on validation paths.

    Attributes:
        adapter: the chosen map.
        rows: one row per candidate, in the order they were tried.
        best: score of the chosen map.
        unadapted: score of the policy without a map.
        edges: what of the choice lies on the edge of what was searched, by name: more might be gained beyond.
    """

    adapter: Adapter
    rows: pl.DataFrame
    best: Score
    unadapted: Score
    edges: tuple[str, ...] = ()


class Scales(NamedTuple):
    """What a number of a point means in an adapter: a point is (width, lean, skew, slope, scale).

    Attributes:
        unit: half-spread unit 1 / k, ticks.
        horizon: of a session, seconds.
    """

    unit: float
    horizon: float


WIDTH, LEAN, SKEW, SLOPE, SCALE = range(5)
DIRECTIONS = ("width", "lean", "skew", "slope", "scale")


def adapter_at(point: Numeric, scales: Scales, exp: Any = np.exp) -> Adapter:
    """Return the adapter at a point whose numbers matter about equally; 0 is the identity.

    Width and lean are half a half-spread unit, skew (per lot) and slope (per lot and session) three tenths
    of it, and scale is exp(0.3 x number), which stays positive.

    Args:
        point: width, lean, skew, slope, scale.
        scales: of the market.
        exp: of the library of the point's numbers.
    """
    width, lean = 0.5 * scales.unit * point[WIDTH], 0.5 * scales.unit * point[LEAN]
    return Adapter(
        scale=exp(0.3 * point[SCALE]),
        offset_bid=width + lean,
        offset_ask=width - lean,
        skew=0.3 * scales.unit * point[SKEW],
        slope=0.3 * scales.unit / scales.horizon * point[SLOPE],
    )


def row_of(turn: int, direction: str, adapter: Adapter, result: Score, unadapted: Score) -> dict[str, Any]:
    """Return a candidate as a row of the search table.

    Args:
        turn: round or generation in which it was tried; 0 for the policy without a map.
        direction: how it came about.
        adapter: the candidate.
        result: its score.
        unadapted: the score of the policy without a map.
    """
    difference = gain(result, unadapted)
    return {
        "round": turn,
        "direction": direction,
        **{name: float(value) for name, value in adapter._asdict().items()},
        "score": result.value,
        "difference": difference.value,
        "difference_low": difference.low,
        "difference_high": difference.high,
    }


def table_of(rows: Sequence[Mapping[str, Any]], chosen: Adapter) -> pl.DataFrame:
    """Return the search table, the rows of the chosen adapter marked."""
    return pl.DataFrame(list(rows), infer_schema_length=None).with_columns(
        chosen=pl.all_horizontal(*(pl.col(name) == value for name, value in chosen._asdict().items()))
    )


def plain(adapter: Adapter) -> Adapter:
    """Return an adapter of floats."""
    return Adapter(*(float(value) for value in adapter))


def in_lines(evaluator: Evaluator, size: int) -> Evaluator:
    """Return a judge that asks another for equally many candidates every time: one program serves all.

    Args:
        evaluator: the other.
        size: candidates of a call; the policy without a map fills up the last.
    """

    def evaluated(adapters: Sequence[Adapter]) -> list[Score]:
        results: list[Score] = []
        for start in range(0, len(adapters), size):
            part = list(adapters[start : start + size])
            results += evaluator([*part, *[IDENTITY] * (size - len(part))])[: len(part)]
        return results

    return evaluated
