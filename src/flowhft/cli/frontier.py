"""`flowhft frontier`: what the exact optimum reaches at every risk aversion, and where policies stand."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flowhft.cli.command import Command, Result
from flowhft.cli.terminal import Table
from flowhft.report.numbers import with_ends
from flowhft.runs.folder import read_table
from flowhft.stages.folders import frontier


@dataclass(frozen=True, kw_only=True)
class Frontier(frontier.Frontier, Command):
    """Sweep the exact optimum over risk aversions, and set other policies beside its curve.

    Writes frontier.parquet (PnL, its deviation and more by policy and risk aversion) and margins.parquet (by
    how much the oracle is better on its own objective, paired).
    """

    stage = staticmethod(frontier.run)

    def result(self, folder: Path) -> Result:
        """Return what a finished sweep found, read back from its folder."""
        from flowhft.learn.frontier import reached_at

        points = read_table(folder / "frontier.parquet").to_dicts()
        margins = read_table(folder / "margins.parquet").to_dicts()
        curves: dict[str, list[dict[str, Any]]] = {}
        first = next((row["policy"] for row in points if row["risk_aversion"] is not None), "")
        for row in points:
            if row["policy"] == first and row["risk_aversion"] is not None:
                curves.setdefault(row["scenario"], []).append(row)
        by_pair = {(row["scenario"], row["policy"]): row for row in margins}
        rows: list[list[Any]] = []
        for row in points:
            if row["risk_aversion"] is not None:
                continue
            paired = by_pair[row["scenario"], row["policy"]]
            bound = reached_at(curves[row["scenario"]], row["pnl_deviation"])
            margin = with_ends(paired["margin"], paired["margin_low"], paired["margin_high"])
            ratio = row.get("quoting_ratio")
            rows.append(
                [row["scenario"], row["policy"], row["pnl"], row["pnl_deviation"], ratio, bound, margin]
            )
        table = Table(
            columns=[
                "scenario",
                "policy",
                "PnL",
                "PnL deviation",
                "quoting ratio",
                f"PnL of {first} at that deviation",
                f"{first} better on its objective by",
            ],
            rows=rows,
        )
        behind = [row for row in margins if row["margin_high"] is not None and row["margin_high"] < 0.0]
        ahead = len(margins) - len(behind)
        margin = f"{first} is at least as good on its own objective in {ahead} of {len(margins)}"
        return Result(
            summary={"folder": folder, "frontier": points, "margins": margins, "behind": len(behind)},
            shown=[
                table,
                f"{margin} comparisons (intervals above zero or across it)",
                f"Results are in {folder}",
            ],
        )
