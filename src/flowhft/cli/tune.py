"""`flowhft tune`: fit closed forms to each scenario, the fair control of learned policies."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from flowhft.cli.command import Command, Result
from flowhft.cli.terminal import Table
from flowhft.report.numbers import with_ends
from flowhft.runs.folder import read_table
from flowhft.stages.folder import summary_of
from flowhft.stages.folders import tune


@dataclass(frozen=True, kw_only=True)
class Tune(tune.Tune, Command):
    """Choose the risk aversion of experts, and the map behind them, for each scenario on validation paths.

    Writes policy.safetensors (the best of them in every scenario), EXPERT_tuned.safetensors (one expert
    each), tuning.parquet (what was chosen, and its gain on validation and on fresh paths) and
    candidates.parquet (every candidate).
    """

    stage = staticmethod(tune.run)

    def result(self, folder: Path) -> Result:
        """Return what was chosen for every expert and scenario."""
        table = read_table(folder / "tuning.parquet")
        summary = summary_of(folder)
        return Result(
            summary={"folder": folder, **summary, "tuning": table.to_dicts()},
            shown=[
                table_of(table, summary["criterion"]),
                f"The best of them in every scenario is {folder / 'policy.safetensors'}; judge it with "
                f"`flowhft evaluate --policies tuned={folder}`",
            ],
        )


def table_of(table: pl.DataFrame, criterion: str) -> Table:
    """Return what was chosen for people, one row per scenario and expert."""

    def written(row: dict, name: str) -> str:
        value, low, high = (row[f"{name}{end}"] for end in ("", "_low", "_high"))
        return "none" if value is None or low is None else with_ends(value, low, high)

    return Table(
        columns=[
            *("scenario", "expert", "best", "risk aversion", "scale", "offset bid", "offset ask", "skew"),
            f"gain in {criterion}, validation",
            "the same on fresh paths",
        ],
        rows=[
            [
                *(row[name] for name in ("scenario", "expert", "chosen", "risk_aversion", "scale")),
                *(row[name] for name in ("offset_bid", "offset_ask", "skew")),
                *(written(row, name) for name in ("validation", "fresh")),
            ]
            for row in table.iter_rows(named=True)
        ],
        title="Tuned against the same expert at the scenario's own risk aversion, paired",
    )
