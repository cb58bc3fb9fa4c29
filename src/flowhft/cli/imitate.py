"""`flowhft imitate`: train a flow policy on demonstrations."""

from dataclasses import dataclass
from pathlib import Path

from flowhft.cli.command import Command, Result
from flowhft.report.numbers import formatted
from flowhft.stages.folder import summary_of
from flowhft.stages.folders import imitate


@dataclass(frozen=True, kw_only=True)
class Imitate(imitate.Imitate, Command):
    """Train a flow policy on the demonstrations of experts.

    Writes policy.safetensors (everything that quoting needs) and curve.parquet; an interrupted training
    resumes from its last checkpoint and ends bit for bit as it would have.
    """

    stage = staticmethod(imitate.run)

    def result(self, folder: Path) -> Result:
        """Return how the training went."""
        summary = summary_of(folder)
        lines = [
            f"{summary['objective']}: {summary['ended']:,} updates in {summary['seconds']:.0f} s; kept at "
            f"update {summary['update']:,}, validation loss {formatted(summary['validation_loss'], '.4f')}"
        ]
        if summary["closed_loop_pnl"] is not None:
            lines.append(
                f"In closed loop: PnL {formatted(summary['closed_loop_pnl'], '.4g')}, of the teachers "
                f"on the same sessions {formatted(summary['teacher_pnl'], '.4g')} (tick x lot)"
            )
        return Result(
            summary={"folder": folder, **summary},
            shown=[*lines, f"The policy is {folder / 'policy.safetensors'}"],
        )
