"""`flowhft frontier`: what the exact optimum reaches at every risk aversion, and where policies stand."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from flowhft.cli.command import Command, Result
from flowhft.cli.folder import begin, policies_of, run_of, scenarios_of
from flowhft.cli.terminal import Table, Terminal
from flowhft.errors import require
from flowhft.runs.folder import finite, read_json, read_table, write_json, write_table
from flowhft.runs.tables import units_of
from flowhft.scenarios.presets import Preset
from flowhft.stages.tables import currency_of


@dataclass(frozen=True, kw_only=True)
class Frontier(Command):
    """Sweep the exact optimum over risk aversions, and set other policies beside its curve.

    Writes frontier.parquet (PnL, its deviation and more by policy and risk aversion) and margins.parquet (by
    how much the oracle is better on its own objective, paired).
    """

    scenarios: str
    """Comma-separated names (T1.HH, paper-test, stress: see `flowhft scenarios`) or TOML files."""
    policies: str = "white_noise,avellaneda_stoikov,glft,glft_drift"
    """Comma-separated experts, .safetensors files or run folders, each one point beside the curve.
    `no_quote`, who stays at home, is among them whether it is named or not."""
    market: Preset = "correct"
    """Preset of the named scenarios."""
    swept: tuple[str, ...] = ("oracle",)
    """Experts whose curves are drawn; margins are against the first."""
    risk_aversions: tuple[float, ...] = (1e-4, 1e-3, 1e-2, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
    """Risk aversions of the curves, in units of the scenario's own, which is always one of them."""
    paths: int = 10_000
    """Sessions simulated per policy and scenario."""
    confidence: float = 0.99
    """Of every interval."""

    def run(self, terminal: Terminal) -> Result:
        """Sweep scenario by scenario; finished ones are kept and not simulated again."""
        from flowhft.simulate.devices import prepare

        prepare()
        from flowhft.learn.frontier import frontier
        from flowhft.policies import rules as experts
        from flowhft.policies.origin import origin_of_rule, with_origins
        from flowhft.policies.rules.no_quote import NO_QUOTE
        from flowhft.scenarios.presets import find_scenarios
        from flowhft.simulate.job import alike
        from flowhft.simulate.quoting.lab import in_lab
        from flowhft.stages.policies import lineup

        require(self.paths >= 2, "paths", "be at least 2", self.paths)
        require(0.0 < self.confidence < 1.0, "confidence", "lie between 0 and 1", self.confidence)
        scenarios = find_scenarios(self.scenarios, self.market)
        require(len(scenarios) > 0, "scenarios", "name at least one scenario", f"'{self.scenarios}'")
        named, files = scenarios_of(self.scenarios)
        swept = [experts.get(name) for name in self.swept]
        beside = lineup(self.policies if self.policies.strip() else NO_QUOTE)
        origins = {name: origin_of_rule(name) for name in self.swept} | beside.origins
        found = beside.policies
        called, saved = policies_of(found)
        run = run_of(self, "frontier", files | saved, scenarios=named, policies=called)
        if work := begin(run, terminal):
            points: list[dict[str, Any]] = []
            margins: list[dict[str, Any]] = []
            with terminal.stage("sweep risk aversions") as progress:
                for i, scenario in enumerate(scenarios):
                    part = work / "parts" / f"{i:04d}.json"
                    if not part.is_file():
                        drawn = frontier(
                            scenario,
                            swept,
                            [factor * scenario.risk_aversion for factor in self.risk_aversions],
                            {policy.name: partial(in_lab, policy) for policy in found},
                            paths=self.paths,
                            seed=self.seed,
                            like=alike(scenario, scenarios),
                            confidence=self.confidence,
                            progress=lambda share, now, i=i: progress((i + share) / len(scenarios), now),  # type: ignore[misc]
                        )
                        write_json(part, {name: finite(rows) for name, rows in drawn._asdict().items()})
                    judged = read_json(part)
                    points += judged["points"]
                    margins += judged["margins"]
            money = currency_of(scenario.currency for scenario in scenarios)
            curves = with_origins(pl.DataFrame(points, infer_schema_length=None), origins)
            write_table(work / "frontier.parquet", curves, units_of("frontier", "frontier", money=money))
            table = pl.DataFrame(margins, infer_schema_length=None)
            units = units_of("frontier", "margins", money=money)
            write_table(work / "margins.parquet", with_origins(table, origins), units)
            run.finish(scenarios=[s.name for s in scenarios], policies=[policy.name for policy in found])
        return result_of(run.folder)


def result_of(folder: Path) -> Result:
    """Return what a finished sweep found, read back from its folder."""
    from flowhft.learn.frontier import reached_at

    points = read_table(folder / "frontier.parquet").to_dicts()
    margins = read_table(folder / "margins.parquet").to_dicts()
    curves: dict[str, list[dict[str, Any]]] = {}
    first = next((row["policy"] for row in points if row["risk_aversion"] is not None), "")
    for row in points:
        if row["policy"] == first and row["risk_aversion"] is not None:
            curves.setdefault(row["scenario"], []).append(row)
    by_pair = {(row["scenario"], row["policy"]): row for row in margins}
    rows: list[list[Any]] = []
    for row in points:
        if row["risk_aversion"] is not None:
            continue
        paired = by_pair[row["scenario"], row["policy"]]
        bound = reached_at(curves[row["scenario"]], row["pnl_deviation"])
        told = f"{paired['margin']:+.3g} [{paired['margin_low']:+.3g}, {paired['margin_high']:+.3g}]"
        ratio = row.get("quoting_ratio")
        rows.append([row["scenario"], row["policy"], row["pnl"], row["pnl_deviation"], ratio, bound, told])
    table = Table(
        columns=[
            "scenario",
            "policy",
            "PnL",
            "PnL deviation",
            "quoting ratio",
            f"PnL of {first} at that deviation",
            f"{first} better on its objective by",
        ],
        rows=rows,
    )
    behind = [row for row in margins if row["margin_high"] < 0.0]
    told = (
        f"{first} is at least as good on its own objective in {len(margins) - len(behind)} of {len(margins)}"
    )
    return Result(
        summary={"folder": folder, "frontier": points, "margins": margins, "behind": len(behind)},
        shown=[table, f"{told} comparisons (intervals above zero or across it)", f"Results are in {folder}"],
    )
