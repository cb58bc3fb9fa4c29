"""Adapt: fit the small map behind a trained policy to a market, and keep it in a run folder."""

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from flowhft.errors import UnknownNameError, require
from flowhft.learn.settings import AdaptMethod, AdaptSettings, GradientSettings, GridSettings, StateSettings
from flowhft.runs.folder import write_json, write_table
from flowhft.scenarios.presets import Preset
from flowhft.stages.folder import begin, identity_of, run_of, scenarios_of
from flowhft.stages.stage import Listener, Silent, Stage


@dataclass(frozen=True, kw_only=True)
class Adapt(Stage):
    """Settings of an adaptation."""

    policy: Positional[str]
    """A .safetensors file, a run folder of `flowhft imitate` or `train`, or `flowhft`, the shipped policy."""
    scenarios: str
    """Today's market: comma-separated names or TOML files; the score is the mean over them."""
    only: str = ""
    """Name of the one scenario of them to adapt to, for example the centre of a calibrated grid."""
    market: Preset = "correct"
    """Preset of the named scenarios."""
    method: AdaptMethod = "state"
    """How it is fitted: `state` (all five numbers of the map, a grid and then CMA-ES), `turns` (one after the
    other, without slope), `paper` (the paper's grid of a scale and an offset per side), `printed` (what the
    paper printed for the cell, nothing searched), `gradient` (all five by Adam, through the law of the
    inventory), `last_layer` (the network's output layer by the same, instead of the map)."""
    search: AdaptSettings = AdaptSettings()
    grid: GridSettings = GridSettings()
    state: StateSettings = StateSettings()
    gradient: GradientSettings = GradientSettings()


def run(settings: Adapt, listener: Listener | None = None) -> Path:
    """Search on validation paths, judge the choice on fresh ones, save."""
    listener = listener or Silent()
    from flowhft.simulate.devices import prepare

    prepare()
    from flowhft.learn.adapt.adapt import units_of
    from flowhft.scenarios.presets import find_scenarios
    from flowhft.stages.adapt import adapt, require_method
    from flowhft.stages.policies import find_saved

    named = find_saved(settings.policy)
    require_method(named, settings.method)
    scenarios = find_scenarios(settings.scenarios, settings.market)
    require(len(scenarios) > 0, "scenarios", "name at least one scenario", f"'{settings.scenarios}'")
    if settings.only:
        known = [scenario.name for scenario in scenarios]
        if settings.only not in known:
            raise UnknownNameError("scenario", settings.only, known, "`--only` names one of `--scenarios`.")
        scenarios = [scenario for scenario in scenarios if scenario.name == settings.only]
    words, files = scenarios_of(settings.scenarios)
    parents = {"policy": identity_of(named.path or Path(settings.policy))} | files
    run = run_of(settings, "adapt", parents, scenarios=words, policy=named.remembered)
    if work := begin(run, listener):
        with listener.stage("adapt on validation paths") as progress:
            adaptation = adapt(
                named,
                scenarios,
                method=settings.method,
                search=settings.search,
                grid=settings.grid,
                state=settings.state,
                gradient=settings.gradient,
                seed=settings.seed,
                progress=progress,
            )
        outcome, units = adaptation.found, units_of(settings.search)
        write_table(work / "search.parquet", outcome.search, units)
        adaptation.save(work / "policy.safetensors", adapted_from=parents["policy"])
        result = {
            **outcome.adapter._asdict(),
            "method": settings.method,
            "criterion": settings.search.criterion,
            "inventory_weight": settings.search.inventory_weight,
            "unit": units["score"],
            "scenarios": [scenario.name for scenario in scenarios],
            "candidates": outcome.search.height,
            "validation": outcome.validation,
            "fresh": outcome.fresh,
            "winners_curse": outcome.validation.value - outcome.fresh.value,
            "edges": list(outcome.edges),
        }
        write_json(work / "adapter.json", result)
        run.finish(**result)
    return run.folder
