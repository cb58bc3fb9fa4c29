"""`flowhft reproduce real`: every policy on every recording of a folder, and the page of the results."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from flowhft.cli.command import Command, Result
from flowhft.cli.terminal import Table
from flowhft.runs.folder import REPORT
from flowhft.stages.settings import OF_THIS_RECORDING
from flowhft.studies.page import tables_in
from flowhft.studies.real import reproduce
from flowhft.studies.real.reproduce import PAGE


@dataclass(frozen=True, kw_only=True)
class ReproduceReal(reproduce.Reproduce, Command):
    """Judge every policy on every recording in a folder, and write down what was found, losses as losses.

    Every recording with trades is calibrated on its first part; experts are told that market, a flow policy
    learns from them, the shipped one is adapted; all are judged on the rest, at several fees and latencies;
    then the recording is walked forward. Recordings are done side by side, each stage a run folder that is
    kept. What cannot be calibrated is listed with the reason. Writes recordings.parquet, refusals.parquet,
    parameters.parquet, notes.parquet, judged.parquet, costs.parquet, walks.parquet, windows.parquet,
    sentences.parquet, real-markets.md and report.html.
    """

    stage = staticmethod(reproduce.run)

    def result(self, folder: Path) -> Result:
        """Return the verdict of every policy on every recording."""
        tables = tables_in(folder)
        shown: list[str | Table] = []
        sentences = tables["sentences"]["sentence"].to_list() if "sentences" in tables else []
        refusals = tables.get("refusals", pl.DataFrame())
        if refusals.height:
            rows = [[row["recording"], row["stage"], row["reason"]] for row in refusals.iter_rows(named=True)]
            shown.append(Table(["recording", "stage", "why"], rows, title="Refused"))
        page = self.docs or folder / PAGE
        notes = tables["notes"].iter_rows(named=True) if "notes" in tables else ()
        sentences += [
            f"warning: {row['recording']}: {row['note']}"
            for row in notes
            if row["note"].startswith(OF_THIS_RECORDING)
        ]
        return Result(
            summary={
                "folder": folder,
                "report": folder / REPORT,
                "page": page,
                **{name: table.to_dicts() for name, table in tables.items()},
            },
            shown=[*shown, *sentences, f"The report is {folder / REPORT}, the page {page}"],
        )
