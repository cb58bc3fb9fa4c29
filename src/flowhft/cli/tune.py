"""`flowhft tune`: fit closed forms to each scenario, the fair control of learned policies."""

from dataclasses import dataclass

import polars as pl

from flowhft.cli.command import Command, Result
from flowhft.cli.folder import begin, kept, run_of, scenarios_of, summary_of
from flowhft.cli.terminal import Table, Terminal
from flowhft.errors import require
from flowhft.learn.settings import AdaptSettings, TuneSettings
from flowhft.runs.folder import read_table, write_table
from flowhft.scenarios.presets import Preset
from flowhft.scenarios.scenario import Scenario
from flowhft.types import Progress

_DEFAULT = TuneSettings()


@dataclass(frozen=True, kw_only=True)
class Tune(Command):
    """Choose the risk aversion of experts, and the map behind them, for each scenario on validation paths.

    Writes policy.safetensors (the best of them in every scenario), EXPERT_tuned.safetensors (one expert
    each), tuning.parquet (what was chosen, and its gain on validation and on fresh paths) and
    candidates.parquet (every candidate).
    """

    scenarios: str
    """Comma-separated names (T1.HH, paper-test, stress: see `flowhft scenarios`) or TOML files."""
    policies: tuple[str, ...] = ("glft", "avellaneda_stoikov")
    """Experts that are tuned."""
    market: Preset = "correct"
    """Preset of the named scenarios."""
    risk_aversions: tuple[float, ...] = _DEFAULT.risk_aversions
    """Risk aversions that are tried besides the scenario's own, in units of the fill decay k."""
    search: AdaptSettings = AdaptSettings()

    def run(self, terminal: Terminal) -> Result:
        """Tune scenario by scenario; finished ones are kept and not tuned again."""
        from flowhft.policies import rules as experts
        from flowhft.simulate.devices import prepare

        prepare()
        from flowhft.learn.tune import Tuning, chosen_of, tune_in, tuned_policies, units_of
        from flowhft.policies.file import save_policy
        from flowhft.scenarios.presets import find_scenarios

        require(len(self.policies) >= 1, "policies", "name at least one expert", "none")
        require(
            len(set(self.policies)) == len(self.policies),
            "policies",
            "have different names",
            f"'{','.join(self.policies)}'",
        )
        for name in self.policies:
            experts.get(name)
        settings = TuneSettings(self.risk_aversions, self.search)
        scenarios = find_scenarios(self.scenarios, self.market)
        require(len(scenarios) > 0, "scenarios", "name at least one scenario", f"'{self.scenarios}'")
        named, files = scenarios_of(self.scenarios)
        run = run_of(self, "tune", files, scenarios=named)
        if work := begin(run, terminal):
            rows, tried = [], []
            with terminal.stage("tune on validation paths") as progress:
                for i, scenario in enumerate(scenarios):

                    def told(share: float, now: str, i: int = i) -> None:
                        progress((i + share) / len(scenarios), now)

                    def find(where: Scenario = scenario, told: Progress = told) -> Tuning:
                        return tune_in(
                            where, self.policies, settings, self.seed, like=scenarios, progress=told
                        )

                    found = kept(work / "parts" / f"{i:04d}.json", Tuning, find)
                    rows += found.rows
                    tried += found.search
            units = units_of(self.search.criterion)
            table = pl.DataFrame(rows, infer_schema_length=None)
            write_table(work / "tuning.parquet", table, units)
            write_table(work / "candidates.parquet", pl.DataFrame(tried, infer_schema_length=None), units)
            about = {"market": self.market, "criterion": self.search.criterion, "seed": self.seed}
            save_policy(work / "policy.safetensors", tuned_policies(chosen_of(table), about))
            for name in self.policies:
                own = tuned_policies(chosen_of(table, name), about)
                save_policy(work / f"{name}_tuned.safetensors", own)
            run.finish(
                criterion=self.search.criterion,
                scenarios=[scenario.name for scenario in scenarios],
                chosen=dict(table.filter("chosen").select("scenario", "expert").iter_rows()),
                mean_winners_curse=float(table["winners_curse"].mean()),  # type: ignore[arg-type]
            )
        table = read_table(run.folder / "tuning.parquet")
        summary = summary_of(run.folder)
        return Result(
            summary={"folder": run.folder, **summary, "tuning": table.to_dicts()},
            shown=[
                table_of(table, summary["criterion"]),
                f"The best of them in every scenario is {run.folder / 'policy.safetensors'}; judge it with "
                f"`flowhft evaluate --policies tuned={run.folder}`",
            ],
        )


def table_of(table: pl.DataFrame, criterion: str) -> Table:
    """Return what was chosen for people, one row per scenario and expert."""

    def written(row: dict, name: str) -> str:
        value, low, high = (row[f"{name}{end}"] for end in ("", "_low", "_high"))
        return "none" if value is None or low is None else f"{value:+.3g} [{low:+.3g}, {high:+.3g}]"

    return Table(
        columns=[
            *("scenario", "expert", "best", "risk aversion", "scale", "offset bid", "offset ask", "skew"),
            f"gain in {criterion}, validation",
            "the same on fresh paths",
        ],
        rows=[
            [
                *(row[name] for name in ("scenario", "expert", "chosen", "risk_aversion", "scale")),
                *(row[name] for name in ("offset_bid", "offset_ask", "skew")),
                *(written(row, name) for name in ("validation", "fresh")),
            ]
            for row in table.iter_rows(named=True)
        ],
        title="Tuned against the same expert at the scenario's own risk aversion, paired",
    )
