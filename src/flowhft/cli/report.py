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
    """Run folder of any command, or the journal of a session, over or killed."""

    def run(self, terminal: Terminal) -> Result:
        """Write report.html into the folder."""
        from flowhft.desk.journal import is_journal
        from flowhft.report import build

        if not self.folder.is_dir():
            raise DataError(f"`folder` must be a run folder; `{self.folder}` does not exist.")
        if is_journal(self.folder):
            from flowhft.stages.journalled import EVALUATED, evaluate_journal

            with terminal.stage("judge the journal"):
                evaluate_journal(self.folder).save(self.folder / EVALUATED)
        with terminal.stage("write the report"):
            path = build(self.folder)
        return Result(summary={"report": path}, shown=[f"The report is {path}"])
