"""`flowhft distil`: a flow policy of many steps into one of a single evaluation."""

from dataclasses import dataclass
from pathlib import Path

from flowhft.cli.command import Command, Result
from flowhft.report.numbers import formatted
from flowhft.stages.folder import summary_of
from flowhft.stages.folders import distil


@dataclass(frozen=True, kw_only=True)
class Distil(distil.Distil, Command):
    """Train a policy that quotes in one evaluation of its network what another one works out in many.

    Writes policy.safetensors and curve.parquet; an interrupted training resumes from its last checkpoint and
    ends bit for bit as it would have.
    """

    stage = staticmethod(distil.run)

    def result(self, folder: Path) -> Result:
        """Return how the training went."""
        summary = summary_of(folder)
        lines = [
            f"{summary['update']:,} updates in {summary['seconds']:.0f} s; validation loss "
            f"{formatted(summary['validation_loss'], '.2e')}"
        ]
        if summary["closed_loop_pnl"] is not None:
            lines.append(
                f"In closed loop: PnL {formatted(summary['closed_loop_pnl'], '.4g')} with one evaluation, "
                f"{formatted(summary['teacher_pnl'], '.4g')} on the same sessions as it was (tick x lot)"
            )
        return Result(
            summary={"folder": folder, **summary},
            shown=[*lines, f"The policy is {folder / 'policy.safetensors'}"],
        )
