"""`flowhft evaluate`: judge policies in simulated markets on the same random numbers."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flowhft.cli.command import Command, Result
from flowhft.cli.terminal import Table
from flowhft.metrics.table import METRICS
from flowhft.report.numbers import with_ends
from flowhft.runs.folder import read_table
from flowhft.stages.folder import summary_of
from flowhft.stages.folders import evaluate
from flowhft.stages.tables import currency_of

SHOWN = (
    "pnl",
    "expected_pnl",
    "sharpe",
    "max_drawdown",
    "spread_pnl",
    "inventory_pnl",
    "fills",
    "rms_inventory",
)
SHOWN_ODD = 8  # names in a warning


@dataclass(frozen=True, kw_only=True)
class Evaluate(evaluate.Evaluate, Command):
    """Judge policies in simulated markets: every policy in every scenario on the same random numbers.

    Writes results.parquet, differences.parquet (paired, against the reference), equity.parquet,
    inventory.parquet, markouts.parquet and fingerprint.parquet (these of the first scenario).
    """

    stage = staticmethod(evaluate.run)

    def result(self, folder: Path) -> Result:
        """Return the metrics of every policy in every scenario."""
        return result_of(folder)


def result_of(folder: Path) -> Result:
    """Return what a finished evaluation or backtest found, read back from its folder."""
    reference = summary_of(folder)["reference"]
    results = read_table(folder / "results.parquet").to_dicts()
    differences = read_table(folder / "differences.parquet").to_dicts()
    by_pair = {(row["scenario"], row["policy"]): row for row in differences}
    shown = [name for name in SHOWN if any(row[name] is not None for row in results)]
    rows, above = [], None
    for row in results:
        paired = by_pair.get((row["scenario"], row["policy"]))
        against = with_ends(paired["pnl"], paired["pnl_low"], paired["pnl_high"]) if paired else "reference"
        where = "" if row["scenario"] == above else row["scenario"]  # a scenario is named once
        rows.append([where, row["policy"], *(row[name] for name in shown), against])
        above = row["scenario"]
    currency = currency_of(row["currency"] for row in results)
    table = Table(
        columns=["scenario", "policy", *map(_heading, shown), f"PnL against {reference}"],
        rows=rows,
        title=f"Per session; money in {'the currency of the scenario' if currency == 'money' else currency}",
    )
    return Result(
        summary={"folder": folder, "reference": reference, "results": results, "differences": differences},
        shown=[table, *_undefined(results), f"Results are in {folder}"],
    )


def _undefined(results: list[dict[str, Any]]) -> list[str]:
    """Return a warning that names whoever's PnL is no number, and where."""
    odd = [f"{row['policy']} in {row['scenario']}" for row in results if row["pnl"] is None]
    if not odd:
        return []
    more = f" and {len(odd) - SHOWN_ODD:,} more" if len(odd) > SHOWN_ODD else ""
    return [
        f"warning: the PnL of {', '.join(odd[:SHOWN_ODD])}{more} is not a number that single precision "
        "carries, nor is any difference to it: n/a. Look at the numbers of the scenario and their units."
    ]


def _heading(name: str) -> str:
    metric = METRICS[name]
    title = metric.title.removesuffix(" (per session)")
    return title if metric.unit in ("ratio", "money") else f"{title} ({metric.unit})"
