"""Tables of metrics: their columns, and the unit of each."""

from collections.abc import Iterable
from typing import Any

import polars as pl

from flowhft.metrics.table import METRICS

_ENDS = ("", "_low", "_high")


def table_of(rows: list[dict[str, Any]]) -> pl.DataFrame:
    """Return rows of metrics as a table; a metric without a single value is still a column of numbers."""
    numbers = {f"{name}{end}": pl.Float64 for name in METRICS for end in _ENDS}
    if not rows:
        return pl.DataFrame(schema={"scenario": pl.String, "policy": pl.String, "reference": pl.String})
    return pl.DataFrame(rows, schema_overrides=numbers, infer_schema_length=None)


def currency_of(currencies: Iterable[str]) -> str:
    """Return the one currency of all rows; where they differ, every row has its own."""
    different = set(currencies)
    return different.pop() if len(different) == 1 else "money"


def course_units(currency: str) -> dict[str, str]:
    """Return the unit of every column of the course of a session."""
    money = ("equity", "drawdown", "spread_pnl", "inventory_pnl", "fee")
    units = {f"{name}{end}": currency for name in money for end in _ENDS}
    inventory = ("inventory", "inventory_low", "inventory_median", "inventory_high")
    return units | dict.fromkeys(inventory, "lots") | {"time": "s"}


def units_of_metrics(currency: str) -> dict[str, str]:
    """Return the unit of every metric, money in this currency."""
    return {m.name: m.unit.replace("money", currency) for m in METRICS.values()}


def shown(results: pl.DataFrame, metrics: Iterable[str]) -> str:
    """Return a table of results as text for people: PnL with its interval, and some metrics beside it.

    Args:
        results: one row a scenario and policy.
        metrics: beside the PnL, those that have a value anywhere.
    """
    results = results.fill_nan(None)
    kept = [name for name in metrics if results[name].is_not_null().any()]
    head = ["scenario", "policy", "PnL", "from", "to", *kept]
    lines = [head]
    for row in results.iter_rows(named=True):
        numbers = (row[name] for name in ("pnl", "pnl_low", "pnl_high", *kept))
        lines.append([row["scenario"], row["policy"], *("" if x is None else f"{x:.4g}" for x in numbers)])
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    return "\n".join(
        "  ".join(
            word.ljust(width) if i < 2 else word.rjust(width)
            for i, (word, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
