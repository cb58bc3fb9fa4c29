"""Tune: fit closed forms to each scenario, the fair control of learned policies."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from flowhft.errors import require
from flowhft.learn.settings import AdaptSettings, TuneSettings
from flowhft.runs.folder import write_table
from flowhft.runs.resume import JSON, Finished
from flowhft.scenarios.presets import Preset
from flowhft.scenarios.scenario import Scenario
from flowhft.stages.folder import begin, run_of, scenarios_of
from flowhft.stages.stage import Listener, Silent, Stage
from flowhft.types import Progress

_DEFAULT = TuneSettings()


@dataclass(frozen=True, kw_only=True)
class Tune(Stage):
    """Settings of experts that are tuned to each scenario."""

    scenarios: str
    """Comma-separated names (T1.HH, paper-test, stress: see `flowhft scenarios`) or TOML files."""
    policies: tuple[str, ...] = ("glft", "avellaneda_stoikov")
    """Experts that are tuned."""
    market: Preset = "correct"
    """Preset of the named scenarios."""
    risk_aversions: tuple[float, ...] = _DEFAULT.risk_aversions
    """Risk aversions that are tried besides the scenario's own, in units of the fill decay k."""
    search: AdaptSettings = AdaptSettings()


def run(settings: Tune, listener: Listener | None = None) -> Path:
    """Tune scenario by scenario; finished ones are kept and not done again."""
    listener = listener or Silent()
    from flowhft.policies import rules as experts
    from flowhft.simulate.devices import prepare

    prepare()
    from flowhft.learn.tune import Tuning, chosen_of, tune_in, tuned_policies, units_of
    from flowhft.policies.file import save_policy
    from flowhft.scenarios.presets import find_scenarios

    require(len(settings.policies) >= 1, "policies", "name at least one expert", "none")
    require(
        len(set(settings.policies)) == len(settings.policies),
        "policies",
        "have different names",
        f"'{','.join(settings.policies)}'",
    )
    for name in settings.policies:
        experts.get(name)
    tuning = TuneSettings(settings.risk_aversions, settings.search)
    scenarios = find_scenarios(settings.scenarios, settings.market)
    require(len(scenarios) > 0, "scenarios", "name at least one scenario", f"'{settings.scenarios}'")
    named, files = scenarios_of(settings.scenarios)
    run = run_of(settings, "tune", files, scenarios=named)
    if work := begin(run, listener):
        rows, tried = [], []
        finished = Finished(work / "parts", JSON)
        with listener.stage("tune on validation paths") as progress:
            for i, scenario in enumerate(scenarios):

                def on_progress(share: float, now: str, i: int = i) -> None:
                    progress((i + share) / len(scenarios), now)

                def find(where: Scenario = scenario, on_progress: Progress = on_progress) -> Tuning:
                    return tune_in(
                        where, settings.policies, tuning, settings.seed, like=scenarios, progress=on_progress
                    )

                result = Tuning(**finished.get(f"{i:04d}", find))
                rows += result.rows
                tried += result.search
        units = units_of(settings.search.criterion)
        table = pl.DataFrame(rows, infer_schema_length=None)
        write_table(work / "tuning.parquet", table, units)
        write_table(work / "candidates.parquet", pl.DataFrame(tried, infer_schema_length=None), units)
        about = {"market": settings.market, "criterion": settings.search.criterion, "seed": settings.seed}
        save_policy(work / "policy.safetensors", tuned_policies(chosen_of(table), about))
        for name in settings.policies:
            own = tuned_policies(chosen_of(table, name), about)
            save_policy(work / f"{name}_tuned.safetensors", own)
        run.finish(
            criterion=settings.search.criterion,
            scenarios=[scenario.name for scenario in scenarios],
            chosen=dict(table.filter("chosen").select("scenario", "expert").iter_rows()),
            mean_winners_curse=float(table["winners_curse"].mean()),  # type: ignore[arg-type]
        )
    return run.folder
