"""Frontier: what the exact optimum reaches at every risk aversion, and where policies stand."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from flowhft.errors import require
from flowhft.runs.folder import write_table
from flowhft.runs.resume import JSON, Finished
from flowhft.runs.tables import units_of
from flowhft.scenarios.presets import Preset
from flowhft.scenarios.scenario import Scenario
from flowhft.stages.folder import begin, policies_of, run_of, scenarios_of
from flowhft.stages.stage import Listener, Silent, Stage
from flowhft.stages.tables import currency_of
from flowhft.types import Progress


@dataclass(frozen=True, kw_only=True)
class Frontier(Stage):
    """Settings of a sweep over risk aversions."""

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


def run(settings: Frontier, listener: Listener | None = None) -> Path:
    """Sweep scenario by scenario; finished ones are kept and not done again."""
    listener = listener or Silent()
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

    require(settings.paths >= 2, "paths", "be at least 2", settings.paths)
    require(0.0 < settings.confidence < 1.0, "confidence", "lie between 0 and 1", settings.confidence)
    scenarios = find_scenarios(settings.scenarios, settings.market)
    require(len(scenarios) > 0, "scenarios", "name at least one scenario", f"'{settings.scenarios}'")
    named, files = scenarios_of(settings.scenarios)
    swept = [experts.get(name) for name in settings.swept]
    beside = lineup(settings.policies if settings.policies.strip() else NO_QUOTE)
    origins = {name: origin_of_rule(name) for name in settings.swept} | beside.origins
    result = beside.policies
    called, saved = policies_of(result)
    run = run_of(settings, "frontier", files | saved, scenarios=named, policies=called)
    if work := begin(run, listener):
        points: list[dict[str, Any]] = []
        margins: list[dict[str, Any]] = []
        finished = Finished(work / "parts", JSON)
        with listener.stage("sweep risk aversions") as progress:
            for i, scenario in enumerate(scenarios):

                def on_progress(share: float, now: str, i: int = i) -> None:
                    progress((i + share) / len(scenarios), now)

                def sweep(where: Scenario = scenario, on_progress: Progress = on_progress) -> Any:
                    return frontier(
                        where,
                        swept,
                        [factor * where.risk_aversion for factor in settings.risk_aversions],
                        {policy.name: partial(in_lab, policy) for policy in result},
                        paths=settings.paths,
                        seed=settings.seed,
                        like=alike(where, scenarios),
                        confidence=settings.confidence,
                        progress=on_progress,
                    )

                drawn = finished.get(f"{i:04d}", sweep)
                points += drawn["points"]
                margins += drawn["margins"]
        money = currency_of(scenario.currency for scenario in scenarios)
        curves = with_origins(pl.DataFrame(points, infer_schema_length=None), origins)
        write_table(work / "frontier.parquet", curves, units_of("frontier", "frontier", money=money))
        table = pl.DataFrame(margins, infer_schema_length=None)
        units = units_of("frontier", "margins", money=money)
        write_table(work / "margins.parquet", with_origins(table, origins), units)
        run.finish(scenarios=[s.name for s in scenarios], policies=[policy.name for policy in result])
    return run.folder
