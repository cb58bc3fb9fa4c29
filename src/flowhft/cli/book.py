"""`flowhft reproduce book`: makers that see the order book, evaluated on every recording of a folder."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from flowhft.cli.command import Command, Result
from flowhft.cli.terminal import Table
from flowhft.runs.folder import REPORT
from flowhft.studies.book import reproduce
from flowhft.studies.book.findings import counts_of
from flowhft.studies.book.reproduce import PAGE
from flowhft.studies.page import tables_in


@dataclass(frozen=True, kw_only=True)
class ReproduceBook(reproduce.Reproduce, Command):
    """Evaluate makers that see the order book on every recording in a folder, losses as losses.

    For every recording a maker learns from other nights and from what was known before its last 40 % begins,
    and is evaluated there, beside `glft` and staying out: booked whole, capped at what was traded, answered
    by others, and without hidden executions; at several fees; with controls; in parts of the whole day where
    it is long enough. Writes recordings.parquet, evaluated.parquet, refusals.parquet, order-book.md and
    report.html.
    """

    stage = staticmethod(reproduce.run)

    def result(self, folder: Path) -> Result:
        """Return how often the maker is better than the reference, and than staying out."""
        tables = tables_in(folder)
        shown: list[str | Table] = []
        if "evaluated" in tables:
            counts = counts_of(tables["evaluated"])
            rows = [
                [f"{value:.3g}" if isinstance(value, float) else str(value) for value in row]
                for row in counts.iter_rows()
            ]
            shown.append(Table(counts.columns, rows, title="The maker on the unseen parts"))
        refusals = tables.get("refusals", pl.DataFrame())
        if refusals.height:
            refused = [list(map(str, row)) for row in refusals.iter_rows()]
            shown.append(Table(refusals.columns, refused, title="Refused"))
        page = self.docs or folder / PAGE
        return Result(
            summary={
                "folder": folder,
                "report": folder / REPORT,
                "page": page,
                **{name: table.to_dicts() for name, table in tables.items()},
            },
            shown=[*shown, f"The report is {folder / REPORT}, the page {page}"],
        )
