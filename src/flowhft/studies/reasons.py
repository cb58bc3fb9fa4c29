"""Why a printed number is not ours: the reasons that the numbers themselves give.

The list of entries that no sampling error explains is derived from the comparison, and so is what is said of
each: that it contradicts another printed number, that it shares a shift with its whole group, or nothing.
"""

from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
import polars as pl

from flowhft.metrics.table import CONFIDENCE
from flowhft.report.numbers import share
from flowhft.studies.contradictions import Check
from flowhft.studies.paper import CLOSED_FORMS, METRICS, PPO, ROUNDING

LEAST = 0.01  # unexplained relative error from which an entry is listed
FALSE_ALARM = 0.01  # chance that any entry at all lies beyond what is called chance
SHIFTED = 0.9  # share of a group that errs to the same side, from which it is called a shift
LEAST_GROUP = 8  # entries
WORDS = {"pnl": "PnL", "sharpe": "Sharpe ratio", "max_drawdown": "drawdown"}
_TABLES = {
    "T1": "1 and 2",
    "T2": "1 and 2",
    "T3": "3 and 4",
    "T4": "3 and 4",
    "T5": "5 and 6",
    "T6": "5 and 6",
}
CHANCE = "chance: so far off lies one of as many entries as there are"
UNKNOWN = "none known; another parametrisation may fit it better"


def unexplained_entries(
    comparison: pl.DataFrame, checks: Sequence[Check], least: float = LEAST
) -> pl.DataFrame:
    """Return the entries that rounding and both sampling errors leave unexplained, worst first, with reasons.

    Args:
        comparison: from `flowhft.studies.comparison.against_paper`.
        checks: from `flowhft.studies.contradictions.checks_of`.
        least: unexplained relative error from which an entry is listed.

    Returns:
        The rows of the comparison with a column `reason`. PPO is left out: the paper gives no settings of its
        training, and another training is another policy. GLFT-drift where it prints what GLFT prints and
        does what GLFT does is left out: it is the same entry again.
    """
    result = comparison.filter((pl.col("unexplained") > least) & (pl.col("policy") != PPO)).sort(
        "unexplained", descending=True
    )
    twins = {_place(row): (row["printed"], row["ours"]) for row in _rows(comparison, "glft_as_run")}
    kept = [
        row | {"reason": reason_of(row, comparison, checks)}
        for row in result.iter_rows(named=True)
        if row["policy"] != "glft_drift_as_run" or twins.get(_place(row)) != (row["printed"], row["ours"])
    ]
    return pl.DataFrame(kept, schema={**comparison.schema, "reason": pl.String})


def _rows(comparison: pl.DataFrame, policy: str) -> list[dict[str, Any]]:
    return comparison.filter(pl.col("policy") == policy).to_dicts()


def _place(row: dict[str, Any]) -> tuple[str, str]:
    return row["scenario"], row["metric"]


def reason_of(row: dict[str, Any], comparison: pl.DataFrame, checks: Sequence[Check]) -> str:
    """Return why an entry is not ours, as far as the numbers tell.

    Args:
        row: of the comparison.
        comparison: all of it.
        checks: contradictions among the printed numbers.
    """
    for check in checks:
        for failure in check.failures:
            if (failure["scenario"], failure["policy"]) != (row["scenario"], CLOSED_FORMS[row["policy"]]):
                continue
            if failure["metric"] in ("", row["metric"]):
                return f"contradicts another printed number: {failure['says']}"
            if row["metric"] in METRICS:
                return f"same row as a contradiction: its {WORDS[failure['metric']]} cannot be right"
    shift = _shift_of(row, comparison)
    if shift:
        return shift
    entries = comparison.filter(pl.col("relative_error").is_not_null()).height
    law = NormalDist()
    most = law.inv_cdf(1.0 - 0.5 * FALSE_ALARM / entries) / law.inv_cdf(0.5 + 0.5 * CONFIDENCE)
    distance = abs(row["ours"] - row["printed"]) - ROUNDING
    reach = distance - row["unexplained"] * abs(row["printed"])
    return CHANCE if distance <= most * reach else UNKNOWN


def _shift_of(row: dict[str, Any], comparison: pl.DataFrame) -> str:
    """Return in words the shift that an entry has in common with its pair of tables; empty for none."""
    tables = _TABLES[row["scenario"][:2]]
    group = comparison.filter(
        pl.col("scenario").str.head(2).replace_strict(_TABLES, default="").eq(tables)
        & (pl.col("metric") == row["metric"])
        & (pl.col("policy") != PPO)
        & pl.col("relative_error").is_not_null()
    )["relative_error"]
    errors = group.to_numpy()
    same = float(np.mean((errors > 0.0) == (row["relative_error"] > 0.0)))
    if len(errors) < LEAST_GROUP or same < SHIFTED:
        return ""
    return (
        f"a shift of its group: {share(round(same, 2))} of the {WORDS[row['metric']]}s of Tables {tables} "
        f"differ to the same side, by {100.0 * float(np.median(errors)):+.1f} % in the median"
    )
