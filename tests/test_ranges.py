"""Ranges that settings declare in their types, and the sentences by which values outside are refused."""

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import pytest

from flowhft.errors import UsageError
from flowhft.runs.ranges import (
    Count,
    CountOrNone,
    Inside,
    NotNegative,
    Open,
    Positive,
    Range,
    Several,
    Share,
    check_ranges,
)


@dataclass(frozen=True)
class Every:
    """One field of every kind of range."""

    count: Count = 1
    some: CountOrNone = 0
    rate: Positive = 1.0
    weight: NotNegative = 0.0
    share: Share = 0.5
    inside: Inside = 0.5
    decay: Annotated[float, Range(0.0, 1.0, most_open=True)] = 0.0
    paths: Annotated[int, Range(2, 1_000_000)] = 2
    lots: Annotated[int, Range(1, unit="lots")] = 1
    wait: Annotated[float, Range(0.0, unit="ms")] | None = None
    high: Annotated[float, Range(2.0, least_open=True, fix="Raise it.")] = 3.0
    any: Annotated[float, Range()] = 0.0
    kind: Literal["a", "b"] = "a"
    kind_or_none: Literal["a", "b"] | None = None
    layers: Annotated[tuple[Count, ...], Several(2, distinct=True, name="layer")] = (1, 2)
    name: str = "free"
    own: Annotated[Literal["a", "b"], Open()] = "a"

    def __post_init__(self) -> None:
        check_ranges(self)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("count", 0, "`count` must be at least 1; received 0."),
        ("count", True, "`count` must be at least 1; received True."),
        ("some", -1, "`some` must be 0 or more; received -1."),
        ("rate", 0.0, "`rate` must be positive and finite; received 0.0."),
        ("rate", math.inf, "`rate` must be positive and finite; received inf."),
        ("weight", math.nan, "`weight` must be 0 or more; received nan."),
        ("share", 1.1, "`share` must lie in [0, 1]; received 1.1."),
        ("inside", 1.0, "`inside` must lie between 0 and 1; received 1.0."),
        ("decay", 1.0, "`decay` must lie in [0, 1); received 1.0."),
        ("paths", 1, "`paths` must lie between 2 and 1,000,000; received 1."),
        ("paths", 2.5, "`paths` must be a whole number; received 2.5."),
        ("paths", "7", "`paths` must lie between 2 and 1,000,000; received 7."),
        ("lots", 0, "`lots` must be at least 1 lots; received 0."),
        ("wait", -1.0, "`wait` must be 0 ms or more; received -1.0."),
        ("high", 2.0, "`high` must exceed 2; received 2.0. Raise it."),
        ("any", math.nan, "`any` must be finite; received nan."),
        ("kind", "c", "`kind` must be one of a, b; received 'c'."),
        ("kind_or_none", "c", "`kind_or_none` must be one of a, b; received 'c'."),
        ("layers", (1,), "`layers` must hold at least 2 layers; received (1,)."),
        ("layers", (), "`layers` must hold at least 2 layers; received none."),
        ("layers", (2, 2), "`layers` must hold every layer once; received (2, 2)."),
        ("layers", (2, 0), "`layers` must be at least 1; received (2, 0)."),
    ],
)
def test_a_value_outside_its_range_is_refused_by_name(field, value, message):
    with pytest.raises(UsageError) as refused:
        Every(**{field: value})
    assert str(refused.value) == message


def test_the_limits_of_closed_ranges_belong_to_them():
    for given in (
        {"share": 0.0, "wait": 0.0, "paths": 1_000_000},
        {"count": np.int64(3), "rate": np.float32(0.5)},  # numbers of numpy are numbers
        {"share": 1.0, "wait": None, "decay": 0.999, "kind_or_none": "b"},
        {"layers": (3, 1, 2), "own": "mine"},
    ):
        assert {name: getattr(Every(**given), name) for name in given} == given
