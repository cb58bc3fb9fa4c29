"""`flowhft resemble`: lay a recording beside the market that was calibrated to it."""

from dataclasses import dataclass
from pathlib import Path

from flowhft.cli.command import Command, Result
from flowhft.cli.terminal import Table
from flowhft.runs.folder import read_json, read_table
from flowhft.stages.folder import summary_of
from flowhft.studies.realism import resemble


@dataclass(frozen=True, kw_only=True)
class Resemble(resemble.Resemble, Command):
    """Lay the stylised facts of a recording beside those of its simulated market, and say where they part.

    Writes resemblance.parquet (every point of every fact), resemblance_verdicts.parquet and recording.json.
    """

    stage = staticmethod(resemble.run)

    def result(self, folder: Path) -> Result:
        """Return what a finished comparison found, read back from its folder."""
        summary = summary_of(folder)
        outcome = read_json(folder / "recording.json").get("findings") or []
        warnings = [f"recording: {one['message']}" for one in outcome if one["severity"] != "note"]
        verdicts = read_table(folder / "resemblance_verdicts.parquet").to_dicts()
        rows = [[one["title"], one["p_value"], "yes" if one["resembles"] else "no"] for one in verdicts]
        return Result(
            summary={"folder": folder, **summary, "verdicts": verdicts, "warnings": warnings},
            shown=[
                Table(
                    columns=["stylised fact", "p-value", "resembles"],
                    rows=rows,
                    title=f"{summary['recording']} against {summary['paths']} simulated tapes",
                ),
                *(f"differs: {one['said']}" for one in verdicts if not one["resembles"]),
                *(f"warning: {text}" for text in warnings),
            ],
        )
