"""`flowhft select`: which expert is best in which scenario, by how much, and where that cannot be told."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from flowhft.cli.command import Command, Result
from flowhft.cli.terminal import Table
from flowhft.report.numbers import with_ends
from flowhft.runs.folder import read_table
from flowhft.stages.folder import summary_of
from flowhft.stages.folders import select

SHOWN_SCENARIOS = 30  # more do not fit a terminal: the report and choices.parquet have them all


@dataclass(frozen=True, kw_only=True)
class Select(select.Select, Command):
    """Run every expert at every risk aversion in every scenario, and choose the best one per scenario.

    Writes selection.parquet (every candidate in every scenario), choices.parquet (the choice per scenario,
    its margins and its ties) and selection.json (who wins how often). Margins are measured on the paths that
    chose, which flatter the choice, and on fresh ones; a tie is what fresh paths cannot tell apart.
    """

    stage = staticmethod(select.run)

    def result(self, folder: Path) -> Result:
        """Return the choices, and who wins how often."""
        choices = read_table(folder / "choices.parquet")
        summary = summary_of(folder)
        shown: list[str | Table] = []
        if choices.height <= SHOWN_SCENARIOS:
            shown.append(table_of_choices(choices))
        return Result(
            summary={"folder": folder, **summary, "choices": choices.to_dicts()},
            shown=[
                *shown,
                table_of_wins(summary["wins"], summary["criterion"]),
                f"{summary['ties']} of {choices.height} choices are ties: fresh paths do not tell another "
                "expert from the choice",
                f"The selection is in {folder}; draw who wins where with `flowhft report {folder}`",
            ],
        )


def table_of_choices(choices: pl.DataFrame) -> Table:
    """Return the choices for people, one row per scenario."""

    def over(row: dict[str, Any], margin: str) -> str:
        value, low, high = (row[f"{margin}{end}"] for end in ("", "_low", "_high"))
        return "none" if value is None or low is None else with_ends(value, low, high, ".3g")

    return Table(
        columns=[
            "scenario",
            "choice",
            "risk aversion",
            "fresh score",
            "margin over the best other expert",
            "the same on fresh paths",
            "ties with",
        ],
        rows=[
            [
                row["scenario"],
                row["expert"],
                row["risk_aversion"],
                row["fresh_score"],
                over(row, "margin"),
                over(row, "fresh_margin"),
                row["ties"].replace(",", ", ") or "none",
            ]
            for row in choices.iter_rows(named=True)
        ],
    )


def table_of_wins(wins: list[dict[str, Any]], criterion: str) -> Table:
    """Return who wins how often for people, by the criterion that chose first."""
    order = sorted(wins, key=lambda row: row["criterion"] != criterion)
    return Table(
        columns=["criterion", "expert", "wins", "clear", "ties"],
        rows=[[row[name] for name in ("criterion", "expert", "wins", "clear", "ties")] for row in order],
        title="Who wins in how many scenarios",
    )
