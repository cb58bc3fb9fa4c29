"""`flowhft train`: train the network that adapts a frozen policy to whatever market it senses."""

from dataclasses import dataclass
from pathlib import Path

from flowhft.cli.command import Command, Result
from flowhft.cli.terminal import Table
from flowhft.report.numbers import formatted
from flowhft.runs.folder import read_table
from flowhft.stages.folder import summary_of
from flowhft.stages.folders import train


@dataclass(frozen=True, kw_only=True)
class Train(train.Train, Command):
    """Train a regime adapter behind a frozen flow policy, over a broad random family of markets.

    No named scenario is trained on. Writes policy.safetensors, curve.parquet and held_out.parquet (other
    random scenarios by risk dial, of which the policy's is chosen); an interrupted training resumes from its
    last checkpoint and ends bit for bit as it would have.
    """

    stage = staticmethod(train.run)

    def result(self, folder: Path) -> Result:
        """Return what the policy is worth in held-out markets, by risk dial."""
        summary = summary_of(folder)
        table = read_table(folder / "held_out.parquet")
        columns = [name for name in table.columns if name not in ("scenarios",)]
        return Result(
            summary={"folder": folder, **summary, "held_out": table.to_dicts()},
            shown=[
                Table(
                    columns=[name.replace("_", " ") for name in columns],
                    rows=[list(row) for row in table.select(columns).iter_rows()],
                    title="Held-out random scenarios: against the best expert of each, metric by metric",
                ),
                f"{summary['update']:,} updates in {summary['seconds']:.0f} s; the risk dial that wins most "
                f"held-out scenarios is {formatted(summary['dial'], 'g')}",
                f"The policy is {folder / 'policy.safetensors'}",
            ],
        )
