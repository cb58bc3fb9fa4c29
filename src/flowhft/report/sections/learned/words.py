"""What the sections on the shipped policy share."""

import polars as pl

from flowhft.report import numbers
from flowhft.report.evidence import Evidence
from flowhft.report.markup import Markup, listing

OURS = "flowhft"
EXPERTS = "experts"  # the set of rivals that the targets speak of
THREE = ("pnl", "sharpe", "max_drawdown")
COMPARED = (*THREE, "utility")
TITLES = {
    "pnl": "PnL",
    "sharpe": "Sharpe ratio",
    "max_drawdown": "drawdown",
    "utility": "utility",
    "spread_pnl": "spread",
    "inventory_pnl": "inventory",
    "rms_inventory": "RMS inventory, lots",
}


def said(evidence: Evidence, section: str) -> Markup:
    """Return what the numbers of a section say, as a list of sentences."""
    sentences = evidence.table("learned/sentences")
    if sentences is None:
        return Markup("")
    found = sentences.filter(pl.col("section") == section)["sentence"].to_list()
    return listing(found) if found else Markup("")


def written(row: dict[str, float | None], name: str) -> str:
    """Return a number with half its interval, where it has one."""
    value, low, high = (row[f"{name}{end}"] for end in ("", "_low", "_high"))
    if value is None or low is None or high is None:
        return numbers.significant(value)
    return numbers.plus_minus(value, 0.5 * (high - low))
