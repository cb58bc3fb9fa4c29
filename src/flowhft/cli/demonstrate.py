"""`flowhft demonstrate`: choose the best expert per scenario and keep what it sees and quotes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl

from flowhft.cli.command import Command, Result
from flowhft.cli.folder import begin, identity_of_run, run_of, scenarios_of, summary_of
from flowhft.cli.select import SHOWN_SCENARIOS, select_resumably, table_of_choices, teachers_from
from flowhft.cli.terminal import Table, Terminal
from flowhft.errors import UsageError, require
from flowhft.learn.settings import TeacherSettings
from flowhft.market.presets import Preset
from flowhft.runs import read_table, write_json, write_table

MOST_ROWS = 50_000_000  # of all demonstrations together, which training holds in memory


@dataclass(frozen=True, kw_only=True)
class Demonstrate(Command):
    """Run every expert in every scenario, choose the best one per scenario, and record it as the teacher.

    Writes teachers.parquet (every candidate with its score), choices.parquet (the teacher per scenario, its
    margins and ties), demonstrations.parquet (features and quotes, a row per step) and sensor.json (the
    scales of the features).
    """

    scenarios: str
    """Comma-separated names (T1.HH, paper-test, stress: see `flowhft scenarios`) or TOML files; features
    are scaled by the first."""
    market: Preset = "correct"
    """Preset of the named scenarios."""
    features: Literal["context", "paper"] = "context"
    """What the learner sees."""
    paths: int = 100
    """Sessions that each teacher demonstrates."""
    selection: Path | None = None
    """A select run: its choices teach, instead of those of a selection here."""
    teachers: TeacherSettings = TeacherSettings()

    def run(self, terminal: Terminal) -> Result:
        """Select, then demonstrate."""
        from flowhft.devices import prepare

        prepare()
        from flowhft.learn.dataset import lengths_of, to_table
        from flowhft.learn.demonstrate import demonstrate
        from flowhft.learn.select import tables_of, teachers_of, units_of
        from flowhft.market.presets import find_scenarios
        from flowhft.market.sensor import sensor_for

        require(self.paths >= 1, "paths", "be at least 1", self.paths)
        scenarios = find_scenarios(self.scenarios, self.market)
        require(len(scenarios) > 0, "scenarios", "name at least one scenario", f"'{self.scenarios}'")
        rows = self.paths * sum(scenario.steps for scenario in scenarios)
        require(
            rows <= MOST_ROWS, "paths", f"keep all demonstrations within {MOST_ROWS:,} rows", f"{rows:,} rows"
        )
        named, files = scenarios_of(self.scenarios)
        if self.selection:
            if self.teachers != TeacherSettings():
                raise UsageError(
                    "`teachers` must be left as it is together with `--selection`, which has chosen already. "
                    "Leave one of them out."
                )
            files |= {"selection": identity_of_run(self.selection, "selection", "select")}
            teachers = teachers_from(self.selection, scenarios, self.market)
        run = run_of(self, "demonstrate", files, scenarios=named)
        if work := begin(run, terminal):
            if self.selection:
                candidates, choices = (
                    read_table(self.selection / name) for name in ("selection.parquet", "choices.parquet")
                )
                criterion = summary_of(self.selection)["criterion"]
            else:
                criterion = self.teachers.criterion
                with terminal.stage("choose the best expert per scenario") as progress:
                    found = select_resumably(work, scenarios, self.teachers, self.seed, progress)
                candidates, choices = tables_of(found)
                teachers = teachers_of(choices, scenarios)
            units, names = units_of(criterion), [scenario.name for scenario in scenarios]
            for file, table in (("teachers.parquet", candidates), ("choices.parquet", choices)):
                write_table(work / file, table.filter(pl.col("scenario").is_in(names)), units)
            sensor = sensor_for(scenarios[0])
            with terminal.stage("demonstrate") as progress:
                shown = demonstrate(teachers, sensor, self.features, self.paths, self.seed, progress)
            owners = [t.scenario.name for t in teachers for _ in range(self.paths)]
            write_table(
                work / "demonstrations.parquet",
                to_table(shown, self.features, owners),
                {"half_spread_bid": "ticks", "half_spread_ask": "ticks"},
            )
            write_json(work / "sensor.json", {"features": self.features, "sensor": sensor})
            run.finish(
                pairs=int(lengths_of(shown).sum()), teachers={t.scenario.name: t.expert for t in teachers}
            )
        choices = read_table(run.folder / "choices.parquet")
        summary = summary_of(run.folder)
        table_shown: list[str | Table] = (
            [table_of_choices(choices)] if choices.height <= SHOWN_SCENARIOS else []
        )
        return Result(
            summary={"folder": run.folder, **summary, "chosen": choices.to_dicts()},
            shown=[
                *table_shown,
                f"{summary['pairs']:,} pairs of observation and quote are in {run.folder}",
            ],
        )
