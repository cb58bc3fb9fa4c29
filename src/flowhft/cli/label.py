"""`flowhft label`: what orders at many prices would have come to, for policies to learn from."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from flowhft.cli.command import Command, Result
from flowhft.cli.terminal import Table
from flowhft.runs.folder import read_json, read_table
from flowhft.stages.folders import label


@dataclass(frozen=True, kw_only=True)
class Label(label.Label, Command):
    """Say of orders at many prices, at every decision, whether they would have filled and what they earned.

    Each order is alone at the venue, as late and in the same queue as an order of a backtest, and withdrawn
    when its life is over. Writes labels-*.parquet (one row an order, a file a part), offsets.parquet and
    blocks.parquet (what they come to by distance and over time), card.json.
    """

    stage = staticmethod(label.run)

    def result(self, folder: Path) -> Result:
        """Return what orders at every distance came to, at the last horizon."""
        card, offsets = read_json(folder / "card.json"), read_table(folder / "offsets.parquet")
        columns = ["recording", "offset", "placed", "probability", "edge", "edge_low", "edge_high"]
        horizon = max(card["labels"]["horizons"])
        last = offsets.filter(pl.col("horizon") == horizon).select(*columns, "break_even_bps")
        return Result(
            summary={"folder": folder, "orders": card["orders"], "fills": card["fills"], "card": card},
            shown=[
                Table(
                    columns=["recording", "offset", "orders", "P(fill)", "edge", "low", "high", "bps"],
                    rows=[list(row) for row in last.iter_rows()],
                    title=f"{card['orders']:,} orders, {card['fills']:,} filled; edge {horizon:g} s after a "
                    "fill, ticks a lot, before fees; bps: the fee that would take it",
                ),
                f"Labels: {folder / 'labels-*.parquet'}",
            ],
        )
