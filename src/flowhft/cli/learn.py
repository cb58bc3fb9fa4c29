"""`flowhft learn`: a maker that sees the order book, from recordings."""

from dataclasses import dataclass
from pathlib import Path

from flowhft.cli.command import Command, Result
from flowhft.runs.folder import read_table
from flowhft.stages.folder import summary_of
from flowhft.stages.folders import learn


@dataclass(frozen=True, kw_only=True)
class Learn(learn.Learn, Command):
    """Learn a maker that sees the order book from recordings.

    For every decision and price it looks up whether an order would have been filled, and what the fill would
    have earned; fits both to the signals of the book; works out what a position is worth to whoever goes on
    quoting; and quotes a side only where such orders did earn. Writes policy.safetensors, which `backtest`
    takes, and the tables heads, gate and value.
    """

    stage = staticmethod(learn.run)

    def result(self, folder: Path) -> Result:
        """Return what was learned, and which sides are quoted."""
        summary, gate = summary_of(folder), read_table(folder / "gate.parquet")
        lines = [
            f"Learned from {summary['decisions']:,} decisions of {summary['recordings']} recordings; orders "
            f"of {summary['order_lots']:,} lots. The mid moves {summary['unit']:.3g} ticks in a second."
        ]
        for row in gate.iter_rows(named=True):
            if row["fills"] == 0:
                lines.append(f"{row['side']}: no order was worth sending: not quoted")
                continue
            lines.append(
                f"{row['side']}: {row['fills']:,} fills, promised {row['promised']:.3g} of such moves, "
                f"earned {row['edge']:.3g} +- {row['error']:.2g}: {'' if row['quoted'] else 'not '}quoted"
            )
        return Result(
            summary={"folder": folder, **summary},
            shown=[*lines, f"The policy is {folder / 'policy.safetensors'}"],
        )
