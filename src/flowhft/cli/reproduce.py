"""`flowhft reproduce paper`: the FlowHFT paper's tables against ours, and what its errors were worth."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl

from flowhft.cli.command import Command, Result
from flowhft.cli.evaluate import Evaluate
from flowhft.cli.folder import RUNS, identity_of, identity_of_run, require_ours, run_of, scenarios_of
from flowhft.cli.frontier import Frontier
from flowhft.cli.page import Found, write_page
from flowhft.cli.ppo import Ppo
from flowhft.cli.terminal import Table, Terminal
from flowhft.errors import UsageError, require
from flowhft.rl.settings import PpoSettings
from flowhft.runs.folder import MANIFEST, REPORT, manifest_of, read_json, read_table, write_json
from flowhft.runs.tables import units_of
from flowhft.scenarios.presets import Preset
from flowhft.simulate.devices import DeviceName, prepare

MARKET: Preset = "paper"
PAGE = "reproduction.md"
REFERENCE = "glft_as_run"
EFFECT_PATHS = 50_000  # of each side of an effect, at most: they are paired
FRONTIER_PATHS = 20_000  # of each point of the frontier, at most
TABLES = ("comparison", "agreement", "contradictions", "unexplained", "effects", "placing")


@dataclass(frozen=True, kw_only=True)
class ReproducePaper(Command):
    """Reproduce Tables 1 to 6 of the FlowHFT paper, and say which printed numbers cannot be right.

    Trains PPO in every cell, judges it and the closed forms as the paper ran them, mends the errors of its
    runs one at a time, and draws the frontier of the oracle. Every stage leaves a finished folder; the same
    command again resumes after the last of them. Writes comparison.parquet (every printed number beside
    ours), agreement.parquet, contradictions.parquet, unexplained.parquet, effects.parquet, placing.parquet,
    reproduction.md and report.html.
    """

    paths: int = 200_000
    """Sessions simulated per cell, the same for every policy."""
    cells: str = "paper-test"
    """Comma-separated cells, T1.HH ... T6.LL; all 24 by default."""
    without_ppo: bool = False
    """Leave PPO out: the closed forms alone, in minutes."""
    agents: Path | None = None
    """A finished run of `flowhft ppo` in the market `paper`; by default PPO is trained here, cell by cell."""
    ppo: PpoSettings = PpoSettings()
    device: DeviceName = "auto"
    """Where to simulate: on every core of the processor, or on a GPU; auto takes a GPU if there is one."""
    ray: str = ""
    """Judge on a Ray cluster: its address (host:port), or auto to join the one here or start one."""
    docs: Path | None = None
    """File that the page reproduction.md is copied to."""
    require: bool = False
    """End with exit code 4 if the closed forms miss a median error of 2 % or a 90th percentile of 5 %."""

    def run(self, terminal: Terminal) -> Result:
        """Run stage after stage, each in a folder of its own, and write down what was found."""
        from flowhft.studies.document import document
        from flowhft.studies.effects import EFFECTS

        require(2 <= self.paths <= 1_000_000_000, "paths", "lie between 2 and 1,000,000,000", self.paths)
        if self.agents and self.without_ppo:
            raise UsageError(
                "`agents` must not be given together with `--without-ppo`. Leave one of them out."
            )
        scenarios = self._scenarios()
        agents = {"agents": self._identity_of_agents(self.agents)} if self.agents else {}
        folder = self.out or RUNS / "reproduce-paper"
        require_ours(folder)
        command = replace(self, out=folder, docs=None, require=False, ray="")  # they change no result
        cells = scenarios_of(self.cells)[0]
        run = run_of(command, "reproduce paper", agents, cells=cells, device=prepare(self.device))

        def find(work: Path) -> Found:
            tables = self._found(folder, work, scenarios, terminal)
            settings = self._settings(folder)
            units = {name: units_of("reproduce paper", name) for name in tables}
            page = document(tables, EFFECTS, settings)
            return Found(tables, units, page, {"settings": settings, "stages": _stages(folder)})

        return self._result(folder, write_page(run, PAGE, terminal, find, self.docs))

    def _scenarios(self) -> list[Any]:
        """Return the cells, all of which the paper must print."""
        from flowhft.scenarios.presets import find_scenarios, paper_test

        known = paper_test(MARKET)
        scenarios = find_scenarios(self.cells, MARKET)
        require(len(scenarios) > 0, "cells", "name at least one cell", f"'{self.cells}'")
        for scenario in scenarios:
            require(
                known.get(scenario.name) == scenario,
                "cells",
                "be cells of the paper",
                f"'{scenario.name}'",
                "Name some of T1.HH to T6.LL.",
            )
        return scenarios

    def _identity_of_agents(self, run: Path) -> str:
        """Return what tells agents from others, once it is known that they were trained in this market."""
        identity = identity_of_run(run, "agents", "ppo")
        config = manifest_of(run)["config"]
        for name, wanted in (("market", MARKET), ("observation", Ppo.observation)):
            require(
                config[name] == wanted,
                "agents",
                f"be trained with the {name} {wanted}, as the paper's were",
                f"`{run}`, {name} {config[name]}",
                "Train others.",
            )
        return identity

    def _settings(self, folder: Path) -> dict[str, Any]:
        """Return what the page says about how it was made; nothing about when or where."""
        words = [f"flowhft reproduce paper --paths {self.paths} --seed {self.seed}"]
        words += [f"--cells {self.cells}"] if self.cells != type(self).cells else []
        words += ["--without-ppo"] if self.without_ppo else self._training(folder)
        return {
            "command": " ".join([*words, f"--docs docs/{PAGE}"]),
            "paths": self.paths,
            "effect_paths": min(self.paths, EFFECT_PATHS),
            "frontier_paths": min(self.paths, FRONTIER_PATHS),
            "seed": self.seed,
            "ppo": not self.without_ppo,
        }

    def _training(self, folder: Path) -> list[str]:
        """Return the options that train the same agents again; those of another seed are only named."""
        ran = manifest_of(self.agents or folder / "ppo")
        if self.agents and ran["seed"] != self.seed:
            return [f"--agents {self.agents.name}"]
        usual = asdict(PpoSettings())
        return [
            f"--ppo.{name.replace('_', '-')} {','.join(map(str, value)) if name == 'layers' else value}"
            for name, value in ran["config"]["ppo"].items()
            if value != (list(usual[name]) if name == "layers" else usual[name])
        ]

    def _found(
        self, folder: Path, work: Path, scenarios: list[Any], terminal: Terminal
    ) -> dict[str, pl.DataFrame]:
        """Run the stages and return the tables that they come to."""
        from flowhft.studies.comparison import against_paper, given_fills, summary_table
        from flowhft.studies.contradictions import checks_of
        from flowhft.studies.paper import CLOSED_FORMS, PPO, printed_tables
        from flowhft.studies.reasons import unexplained_entries

        common: dict[str, Any] = {"seed": self.seed, "quiet": self.quiet}
        agents = [] if self.without_ppo else [f"{PPO}={self._agents(folder, terminal, common)}"]
        policies = ",".join([*CLOSED_FORMS, *agents])
        Evaluate(
            scenarios=self.cells,
            policies=policies,
            market=MARKET,
            paths=self.paths,
            reference=REFERENCE,
            device=self.device,
            ray=self.ray,
            out=folder / "evaluate",
            **common,
        ).run(terminal)
        results = read_table(folder / "evaluate" / "results.parquet")
        effects = self._effects(work, scenarios, terminal)
        comparison = against_paper(results)
        checks = checks_of(printed_tables())
        return {
            "comparison": comparison,
            "agreement": summary_table(comparison, given_fills(results)),
            "contradictions": _contradictions(checks),
            "unexplained": unexplained_entries(comparison, checks),
            "effects": pl.DataFrame(effects),
            "placing": self._placing(folder, policies, terminal, common),
        }

    def _agents(self, folder: Path, terminal: Terminal, common: Mapping[str, Any]) -> Path:
        """Return the run folder of the agents: the user's, or one that is trained now."""
        if self.agents:
            return self.agents
        Ppo(scenarios=self.cells, market=MARKET, ppo=self.ppo, out=folder / "ppo", **common).run(terminal)
        return folder / "ppo"

    def _effects(self, work: Path, scenarios: list[Any], terminal: Terminal) -> list[dict[str, Any]]:
        """Mend the errors of the paper's runs one at a time, cell by cell; finished cells are kept."""
        from flowhft.studies.effects import cells_of, effects_in

        rows: list[dict[str, Any]] = []
        cells = cells_of(scenarios)
        with terminal.stage("mend the errors of the runs one at a time") as progress:
            for i, cell in enumerate(cells):
                progress(i / len(cells), cell.name)
                part = work / "effects" / f"{cell.name}.json"
                if not part.is_file():
                    paths = min(self.paths, EFFECT_PATHS)
                    write_json(part, effects_in(cell, paths=paths, seed=self.seed))
                rows += read_json(part)
        return rows

    def _placing(
        self, folder: Path, policies: str, terminal: Terminal, common: Mapping[str, Any]
    ) -> pl.DataFrame:
        """Draw the oracle's frontier in every cell, and set every policy against it."""
        from flowhft.studies.placing import SWEPT, placed

        Frontier(
            scenarios=self.cells,
            policies=policies,
            market=MARKET,
            swept=SWEPT,
            paths=min(self.paths, FRONTIER_PATHS),
            out=folder / "frontier",
            **common,
        ).run(terminal)
        return placed(read_table(folder / "frontier" / "frontier.parquet"))

    def _result(self, folder: Path, tables: Mapping[str, pl.DataFrame]) -> Result:
        """Return how near the reproduction comes: closed forms together, every policy, metric and table."""
        from flowhft.studies.comparison import missed_bars

        rows = [
            [
                row["part"] if row["name"] == "all" else row["name"],
                row["entries"],
                *(f"{100.0 * row[name]:.1f} %" for name in ("median", "ninetieth")),
                *(f"{100.0 * row[name]:.0f} %" for name in ("covered", "explained")),
            ]
            for row in tables["agreement"].iter_rows(named=True)
            if row["entries"]
        ]
        failures = tables["contradictions"].filter(pl.col("says") != "").height
        missed = missed_bars(tables["comparison"])
        return Result(
            summary={
                "folder": folder,
                "report": folder / REPORT,
                "page": self.docs or folder / PAGE,
                "missed": missed,
                **{name: tables[name].to_dicts() for name in TABLES},
            },
            shown=[
                Table(
                    columns=["", "numbers", "median error", "90th percentile", "covered", "explained"],
                    rows=rows,
                    title="Ours against the printed numbers",
                ),
                f"Printed numbers that contradict one another or the text: {failures}; entries of closed "
                f"forms beyond rounding and sampling: {tables['unexplained'].height}.",
                *missed,
                f"The report is {folder / REPORT}, the page {self.docs or folder / PAGE}",
            ],
            missed=missed if self.require else (),
        )


def _stages(folder: Path) -> dict[str, str]:
    """Return the identity of every stage that is there."""
    return {
        stage: identity_of(folder / stage)
        for stage in ("ppo", "evaluate", "frontier")
        if (folder / stage / MANIFEST).is_file()
    }


def _contradictions(checks: Any) -> pl.DataFrame:
    """Return one row per failure of a check, and one without words for a check that holds."""
    nothing = {"scenario": "", "policy": "", "metric": "", "says": ""}
    return pl.DataFrame(
        [
            {"check": check.name, "rule": check.rule, "entries": check.entries} | failure
            for check in checks
            for failure in check.failures or (nothing,)
        ]
    ).rename({"policy": "printed_policy"})
