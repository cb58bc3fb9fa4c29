"""Tables of metrics: their columns, and the unit of each."""

from collections.abc import Iterable
from typing import Any

import polars as pl

from flowhft.metrics.table import METRICS
from flowhft.runs import tables
from flowhft.runs.tables.schema import ENDS


def table_of(rows: list[dict[str, Any]]) -> pl.DataFrame:
    """Return rows of metrics as a table; a metric without a single value is still a column of numbers."""
    numbers = {f"{name}{end}": pl.Float64 for name in METRICS for end in ENDS}
    if not rows:
        return pl.DataFrame(schema={"scenario": pl.String, "policy": pl.String, "reference": pl.String})
    return pl.DataFrame(rows, schema_overrides=numbers, infer_schema_length=None)


def currency_of(currencies: Iterable[str]) -> str:
    """Return the one currency of all rows; where they differ, every row has its own."""
    different = set(currencies)
    return different.pop() if len(different) == 1 else "money"


def units_in(command: str, name: str, currency: str) -> dict[str, str]:
    """Return the units of a table of results, money in this currency.

    Args:
        command: that writes it.
        name: of its file, without the ending.
        currency: of money.
    """
    metrics = {metric.name: metric.unit for metric in METRICS.values()}
    return tables.units_of(command, name, money=currency, metrics=metrics)


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
