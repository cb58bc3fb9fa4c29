"""`flowhft reproduce paper`: the FlowHFT paper's tables against ours, and what its errors were worth."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from flowhft.cli.command import Command, Result
from flowhft.cli.terminal import Table
from flowhft.runs.folder import REPORT
from flowhft.studies import reproduction
from flowhft.studies.page import tables_in
from flowhft.studies.reproduction import PAGE

TABLES = ("comparison", "agreement", "contradictions", "unexplained", "effects", "placing")


@dataclass(frozen=True, kw_only=True)
class ReproducePaper(reproduction.Reproduce, Command):
    """Reproduce Tables 1 to 6 of the FlowHFT paper, and say which printed numbers cannot be right.

    Trains PPO in every cell, judges it and the closed forms as the paper ran them, mends the errors of its
    runs one at a time, and draws the frontier of the oracle. Every stage leaves a finished folder; the same
    command again resumes after the last of them. Writes comparison.parquet (every printed number beside
    ours), agreement.parquet, contradictions.parquet, unexplained.parquet, effects.parquet, placing.parquet,
    reproduction.md and report.html.
    """

    stage = staticmethod(reproduction.run)

    def result(self, folder: Path) -> Result:
        """Return how near the reproduction comes: closed forms together, every policy, metric and table."""
        from flowhft.studies.comparison import missed_bars

        tables = tables_in(folder)
        rows = [
            [
                row["part"] if row["name"] == "all" else row["name"],
                row["entries"],
                *(f"{100.0 * row[name]:.1f} %" for name in ("median", "ninetieth")),
                *(f"{100.0 * row[name]:.0f} %" for name in ("covered", "explained")),
            ]
            for row in tables["agreement"].iter_rows(named=True)
            if row["entries"]
        ]
        failures = tables["contradictions"].filter(pl.col("says") != "").height
        missed = missed_bars(tables["comparison"])
        return Result(
            summary={
                "folder": folder,
                "report": folder / REPORT,
                "page": self.docs or folder / PAGE,
                "missed": missed,
                **{name: tables[name].to_dicts() for name in TABLES},
            },
            shown=[
                Table(
                    columns=["", "numbers", "median error", "90th percentile", "covered", "explained"],
                    rows=rows,
                    title="Ours against the printed numbers",
                ),
                f"Printed numbers that contradict one another or the text: {failures}; entries of closed "
                f"forms beyond rounding and sampling: {tables['unexplained'].height}.",
                *missed,
                f"The report is {folder / REPORT}, the page {self.docs or folder / PAGE}",
            ],
            missed=missed if self.require else (),
        )
