"""`flowhft demonstrate`: choose the best expert per scenario and keep what it sees and quotes."""

from dataclasses import dataclass
from typing import Literal

import polars as pl

from flowhft.cli.command import Command, Result
from flowhft.cli.folder import begin, run_of, scenarios_of, summary_of
from flowhft.cli.terminal import Table, Terminal
from flowhft.errors import require
from flowhft.learn.settings import TeacherSettings
from flowhft.runs import read_table, write_json, write_table

MOST_ROWS = 50_000_000  # of all demonstrations together, which training holds in memory


@dataclass(frozen=True, kw_only=True)
class Demonstrate(Command):
    """Run every expert in every scenario, choose the best one per scenario, and record it as the teacher.

    Writes teachers.parquet (every candidate with its score), demonstrations.parquet (features and quotes,
    a row per step) and sensor.json (the scales of the features).
    """

    scenarios: str
    """Comma-separated names (T1.HH ... T6.LL, paper-test, paper-train) or TOML files of scenarios; features
    are scaled by the first."""
    market: Literal["correct", "paper"] = "correct"
    """Preset of the named scenarios."""
    features: Literal["context", "paper"] = "context"
    """What the learner sees."""
    paths: int = 100
    """Sessions that each teacher demonstrates."""
    teachers: TeacherSettings = TeacherSettings()

    def run(self, terminal: Terminal) -> Result:
        """Select, then demonstrate."""
        from flowhft.devices import prepare

        prepare()
        from flowhft.learn.dataset import lengths_of, to_table
        from flowhft.learn.demonstrate import demonstrate, select_teachers, sensor_for, units_of
        from flowhft.market.presets import find_scenarios

        require(self.paths >= 1, "paths", "be at least 1", self.paths)
        scenarios = find_scenarios(self.scenarios, self.market)
        require(len(scenarios) > 0, "scenarios", "name at least one scenario", f"'{self.scenarios}'")
        rows = self.paths * sum(scenario.steps for scenario in scenarios)
        require(
            rows <= MOST_ROWS, "paths", f"keep all demonstrations within {MOST_ROWS:,} rows", f"{rows:,} rows"
        )
        named, files = scenarios_of(self.scenarios)
        run = run_of(self, "demonstrate", files, scenarios=named)
        if work := begin(run, terminal):
            with terminal.stage("choose the best expert per scenario") as progress:
                teachers, table = select_teachers(scenarios, self.teachers, self.seed, progress)
            write_table(work / "teachers.parquet", table, units_of(self.teachers.criterion))
            sensor = sensor_for(scenarios[0])
            with terminal.stage("demonstrate") as progress:
                shown = demonstrate(teachers, sensor, self.features, self.paths, self.seed, progress)
            names = [t.scenario.name for t in teachers for _ in range(self.paths)]
            write_table(
                work / "demonstrations.parquet",
                to_table(shown, self.features, names),
                {"half_spread_bid": "ticks", "half_spread_ask": "ticks"},
            )
            write_json(work / "sensor.json", {"features": self.features, "sensor": sensor})
            run.finish(
                pairs=int(lengths_of(shown).sum()), teachers={t.scenario.name: t.expert for t in teachers}
            )
        chosen = read_table(run.folder / "teachers.parquet").filter(pl.col("chosen"))
        summary = summary_of(run.folder)
        return Result(
            summary={"folder": run.folder, **summary, "chosen": chosen.to_dicts()},
            shown=[
                Table(
                    columns=["scenario", "teacher", "risk aversion", "score", "margin over the next best"],
                    rows=[
                        [
                            row["scenario"],
                            row["expert"],
                            row["risk_aversion"],
                            row["score"],
                            f"{row['margin']:.3g} [{row['margin_low']:.3g}, {row['margin_high']:.3g}]",
                        ]
                        for row in chosen.to_dicts()
                    ],
                ),
                f"{summary['pairs']:,} pairs of observation and quote are in {run.folder}",
            ],
        )
