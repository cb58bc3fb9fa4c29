"""`flowhft simulate`: run policies in simulated markets and keep every step."""

from dataclasses import dataclass
from pathlib import Path

from flowhft.cli.command import Command, Result
from flowhft.cli.terminal import Table
from flowhft.stages.folder import summary_of
from flowhft.stages.folders import simulate


@dataclass(frozen=True, kw_only=True)
class Simulate(simulate.Simulate, Command):
    """Run policies in simulated markets and keep every step of every session.

    Writes one Parquet table per policy and scenario: what was seen, quoted, filled and earned. With
    --export-ticks also the market orders of every session as recordings that `flowhft calibrate` and
    `flowhft backtest` read, and the scenario in their ticks.
    """

    stage = staticmethod(simulate.run)

    def result(self, folder: Path) -> Result:
        """Return which tables there are."""
        tables = summary_of(folder)["tables"]
        return Result(
            summary={"folder": folder, "tables": tables},
            shown=[
                Table(columns=list(tables[0]), rows=[list(row.values()) for row in tables]),
                f"Tables are in {folder}",
            ],
        )
