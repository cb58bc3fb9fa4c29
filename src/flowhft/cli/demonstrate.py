"""`flowhft demonstrate`: choose the best expert per scenario and keep what it sees and quotes."""

from dataclasses import dataclass
from pathlib import Path

from flowhft.cli.command import Command, Result
from flowhft.cli.select import SHOWN_SCENARIOS, table_of_choices
from flowhft.cli.terminal import Table
from flowhft.learn.demonstrations.dataset_files import CARD
from flowhft.runs.folder import read_table
from flowhft.stages.folder import summary_of
from flowhft.stages.folders import demonstrate


@dataclass(frozen=True, kw_only=True)
class Demonstrate(demonstrate.Demonstrate, Command):
    """Run every expert in every scenario, choose the best one per scenario, and record it as the teacher.

    Writes teachers.parquet (every candidate with its score), choices.parquet (the teacher per scenario, its
    margins and ties), the data set: shards demonstrations-*.parquet (a row a step: what was seen and quoted),
    lessons.parquet (who taught where) and scenarios.toml, and its card: demonstrations.json and
    demonstrations.md (sizes, shares of the teachers, ranges, hashes). Finished scenarios and shards are kept:
    an interrupted run goes on with the next.
    """

    stage = staticmethod(demonstrate.run)

    def result(self, folder: Path) -> Result:
        """Return who teaches where, and how much there is to learn from."""
        choices = read_table(folder / "choices.parquet")
        summary = summary_of(folder)
        table_shown: list[str | Table] = (
            [table_of_choices(choices)] if choices.height <= SHOWN_SCENARIOS else []
        )
        return Result(
            summary={"folder": folder, **summary, "chosen": choices.to_dicts()},
            shown=[
                *table_shown,
                f"{summary['pairs']:,} pairs of observation and quote are in {folder} "
                f"({summary['bytes'] / 1e6:.1f} MB), described by {Path(CARD).with_suffix('.md')}",
            ],
        )
