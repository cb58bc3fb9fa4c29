"""Printed against measured: every entry of the paper's tables beside ours, and how well they agree.

The relative error says how near a reproduction comes. Whether an interval covers the printed number says
something else: whether chance alone could explain what is left. The printed number has a sampling error of
its own, which the paper does not give; at the number of trials that it names it is ours times
sqrt(our paths / its trials). With enough paths on both sides no approximation of an unknown simulator is
covered, while its relative error stays what it is.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from flowhft.policies.rules.no_quote import NO_QUOTE
from flowhft.studies.paper import CLOSED_FORMS, METRICS, PPO, ROUNDING, TRIALS, printed_tables

# What a good reproduction of the closed forms reaches: median and 90th percentile of the relative error.
BARS = {"median": 0.02, "ninetieth": 0.05}
AS_PRINTED = {metric: metric for metric in METRICS}


def against_paper(results: pl.DataFrame, measured: Mapping[str, str] = AS_PRINTED) -> pl.DataFrame:
    """Lay our results beside the printed numbers.

    Args:
        results: of the closed forms as run, of PPO if there is one, and of who stays at home: columns
            scenario, policy, paths and `metric`, `metric_low`, `metric_high` for each of the paper's three.
        measured: the paper's metrics to lay out, and the columns that estimate them here.

    Returns:
        One row per scenario, policy and metric:
        printed, ours, low, high: the paper's number (null where it prints none) and ours with its interval;
        relative_error: (ours - printed) / |printed|;
        covered: whether our interval, widened by the rounding of print, holds the printed number;
        explained: the same where the printed number has its own sampling error at the trials it names;
        unexplained: the relative error that rounding and both sampling errors leave over, never negative.
    """
    printed = {
        (row["scenario"], row["policy"], metric): row[metric]
        for row in printed_tables().iter_rows(named=True)
        for metric in METRICS
    }
    ours = {(row["scenario"], row["policy"]): row for row in results.iter_rows(named=True)}
    scenarios = results["scenario"].unique(maintain_order=True).to_list()
    rows = [
        _entry(metric, printed.get((scenario, name, metric)), row, column)
        for scenario in scenarios
        for policy, name in (*CLOSED_FORMS.items(), (PPO, PPO), (NO_QUOTE, NO_QUOTE))
        if (row := ours.get((scenario, policy)))
        for metric, column in measured.items()
    ]
    return pl.DataFrame(rows, schema=_SCHEMA)


_SCHEMA = {
    **dict.fromkeys(("scenario", "policy", "metric"), pl.String),
    **dict.fromkeys(("printed", "ours", "low", "high", "relative_error"), pl.Float64),
    **dict.fromkeys(("covered", "explained"), pl.Boolean),
    "unexplained": pl.Float64,
}


def _entry(metric: str, printed: float | None, row: dict[str, Any], column: str) -> dict[str, Any]:
    """Lay one of our numbers, `column` of a row, beside the printed one that it estimates."""
    value, low, high = (row[f"{column}{end}"] for end in ("", "_low", "_high"))
    entry = {"scenario": row["scenario"], "policy": row["policy"], "metric": metric, "printed": printed}
    entry |= {"ours": value, "low": low, "high": high}
    if printed is None:
        return entry | dict.fromkeys(("relative_error", "covered", "explained", "unexplained"))
    reach = 0.5 * (high - low)
    theirs = 0.5 * (row[f"{metric}_high"] - row[f"{metric}_low"]) * (row["paths"] / TRIALS) ** 0.5
    both = (reach**2 + theirs**2) ** 0.5
    distance = max(0.0, abs(value - printed) - ROUNDING)
    return entry | {
        "relative_error": (value - printed) / abs(printed),
        "covered": distance <= reach,
        "explained": distance <= both,
        "unexplained": max(0.0, distance - both) / abs(printed),
    }


def summary_of(comparison: pl.DataFrame) -> dict[str, Any]:
    """Return how well a set of entries agrees with the paper; entries that it does not print are left out.

    Args:
        comparison: rows of `against_paper`.

    Returns:
        entries; median and ninetieth (percentile) of the absolute relative error; covered and explained as
        shares. NaN where nothing is printed.
    """
    rows = comparison.filter(pl.col("printed").is_not_null())
    if rows.height == 0:
        return {"entries": 0} | dict.fromkeys(("median", "ninetieth", "covered", "explained"), float("nan"))
    errors = rows["relative_error"].abs().to_numpy()
    return {
        "entries": rows.height,
        "median": float(np.median(errors)),
        "ninetieth": float(np.quantile(errors, 0.9)),
        "covered": float(rows["covered"].mean()),  # type: ignore[arg-type]
        "explained": float(rows["explained"].mean()),  # type: ignore[arg-type]
    }


def given_fills(results: pl.DataFrame) -> pl.DataFrame:
    """Lay the PnL given the fills beside the printed PnL: the same expectation with less error of ours.

    Args:
        results: as for `against_paper`, with `expected_pnl` and its interval.

    Returns:
        The PnL entries of `against_paper`, those of closed forms alone, for which the estimate is valid.
    """
    closed = results.filter(pl.col("policy").is_in(list(CLOSED_FORMS)))
    return against_paper(closed, {"pnl": "expected_pnl"}).filter(pl.col("ours").is_finite())


def summary_table(comparison: pl.DataFrame, given: pl.DataFrame) -> pl.DataFrame:
    """Return the summary of the closed forms, of every policy, of every metric and of every table.

    Args:
        comparison: from `against_paper`.
        given: from `given_fills`.

    Returns:
        Columns part ("closed forms", "policy", "metric", "table"), name, and those of `summary_of`; metrics
        and tables count closed forms alone.
    """
    closed = comparison.filter(pl.col("policy") != PPO)
    rows = [{"part": "closed forms", "name": "all"} | summary_of(closed)]
    for part, column, table in (
        ("policy", pl.col("policy"), comparison),
        ("metric", pl.col("metric"), closed),
        ("table", pl.col("scenario").str.head(2), closed),
    ):
        for (name,), entries in table.group_by(column, maintain_order=True):
            rows.append({"part": part, "name": str(name)} | summary_of(entries))
            if name == "pnl":
                rows.append({"part": part, "name": "expected_pnl"} | summary_of(given))
    return pl.DataFrame(rows)


def missed_bars(comparison: pl.DataFrame) -> list[str]:
    """Return a sentence for every bar that the closed forms miss; none where all are reached."""
    result = summary_of(comparison.filter(pl.col("policy") != PPO))
    words = {"median": "median", "ninetieth": "90th percentile"}
    return [
        f"The {words[name]} of the relative error of the closed forms must be at most {100.0 * bar:.0f} %; "
        f"it is {100.0 * result[name]:.2f} %."
        for name, bar in BARS.items()
        if not result[name] <= bar
    ]
