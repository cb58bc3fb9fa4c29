"""`flowhft reproduce learned`: the shipped policy in every cell, why it earns what it does, ablations."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from flowhft.cli.command import Command, Result
from flowhft.cli.terminal import Table
from flowhft.runs.folder import REPORT
from flowhft.studies.learned import reproduce
from flowhft.studies.learned.reproduce import PAGE
from flowhft.studies.page import tables_in


@dataclass(frozen=True, kw_only=True)
class ReproduceLearned(reproduce.Reproduce, Command):
    """Measure what the shipped policy is worth, and what every choice in learning it was worth.

    Judges it in the test cells of every market beside experts, tuned experts, PPO and the oracle; splits its
    gain into drift, forecasts and market making; draws its risk dial; repeats the paper's ablations and
    compares objectives, observations and chunks in small trainings of several seeds; and tries markets never
    seen. Each section is a finished folder; the page tells of those that are there. Writes cells.parquet,
    wins.parquet, counts.parquet, printed.parquet, targets.parquet, misses.parquet, trainings.parquet,
    worth.parquet, dial.parquet, dial_printed.parquet, imitation.parquet, studies.parquet,
    study_summaries.parquet, unseen.parquet, sentences.parquet, results.md and report.html.
    """

    stage = staticmethod(reproduce.run)

    def result(self, folder: Path) -> Result:
        """Return the targets and the sentences of the page."""
        tables = tables_in(folder)
        targets = tables.get("targets", pl.DataFrame())
        rows = [
            [row["name"], f"{row['found']:g} of {row['of']}", f"{row['needed']:g}", _verdict(row["hit"])]
            for row in targets.iter_rows(named=True)
        ]
        missed = [
            f"Target missed: {row['wanted']}; found {row['found']:g}."
            for row in targets.iter_rows(named=True)
            if row["hit"] is False
        ]
        page = self.docs or folder / PAGE
        sentences = tables["sentences"]["sentence"].to_list() if "sentences" in tables else []
        return Result(
            summary={
                "folder": folder,
                "report": folder / REPORT,
                "page": page,
                "missed": missed,
                **{name: table.to_dicts() for name, table in tables.items()},
            },
            shown=[
                *([Table(["target", "found", "needed", ""], rows, title="Targets")] if rows else []),
                *sentences,
                f"The report is {folder / REPORT}, the page {page}",
            ],
            missed=missed if self.require else (),
        )


def _verdict(hit: bool | None) -> str:
    return "not all cells judged" if hit is None else "hit" if hit else "missed"
