"""`flowhft report`: one page out of a run folder."""

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from flowhft.cli.command import Action, Result
from flowhft.cli.terminal import Terminal
from flowhft.errors import DataError


@dataclass(frozen=True, kw_only=True)
class Report(Action):
    """Make one self-contained HTML page out of the tables of a run folder."""

    folder: Positional[Path]
    """Run folder of any command."""

    def run(self, terminal: Terminal) -> Result:
        """Write report.html into the folder."""
        from flowhft.report import build

        if not self.folder.is_dir():
            raise DataError(f"`folder` must be a run folder; `{self.folder}` does not exist.")
        with terminal.stage("write the report"):
            path = build(self.folder)
        return Result(summary={"report": path}, shown=[f"The report is {path}"])
