"""`flowhft adapt`: fit the small map behind a trained policy to a market, on validation paths."""

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from flowhft.cli.command import Command, Result
from flowhft.cli.folder import begin, identity_of, run_of, scenarios_of, summary_of
from flowhft.cli.terminal import Table, Terminal
from flowhft.errors import UnknownNameError, require
from flowhft.learn.settings import AdaptMethod, AdaptSettings, GradientSettings, GridSettings, StateSettings
from flowhft.runs.folder import write_json, write_table
from flowhft.scenarios.presets import Preset


@dataclass(frozen=True, kw_only=True)
class Adapt(Command):
    """Fit scale, offset per side, inventory skew and its slope behind a trained policy, itself frozen.

    Writes policy.safetensors (the policy with its adapter), search.parquet (every candidate) and
    adapter.json. Everything is chosen on validation paths; what was chosen is judged on fresh ones.
    """

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

    def run(self, terminal: Terminal) -> Result:
        """Search, judge the choice, save."""
        from flowhft.simulate.devices import prepare

        prepare()
        from flowhft.learn.adapt.adapt import units_of
        from flowhft.scenarios.presets import find_scenarios
        from flowhft.stages.adapt import adapt, require_method
        from flowhft.stages.policies import find_saved

        named = find_saved(self.policy)
        require_method(named, self.method)
        scenarios = find_scenarios(self.scenarios, self.market)
        require(len(scenarios) > 0, "scenarios", "name at least one scenario", f"'{self.scenarios}'")
        if self.only:
            known = [scenario.name for scenario in scenarios]
            if self.only not in known:
                raise UnknownNameError("scenario", self.only, known, "`--only` names one of `--scenarios`.")
            scenarios = [scenario for scenario in scenarios if scenario.name == self.only]
        words, files = scenarios_of(self.scenarios)
        parents = {"policy": identity_of(named.path or Path(self.policy))} | files
        run = run_of(self, "adapt", parents, scenarios=words, policy=named.remembered)
        if work := begin(run, terminal):
            with terminal.stage("adapt on validation paths") as progress:
                adaptation = adapt(
                    named,
                    scenarios,
                    method=self.method,
                    search=self.search,
                    grid=self.grid,
                    state=self.state,
                    gradient=self.gradient,
                    seed=self.seed,
                    progress=progress,
                )
            found, units = adaptation.found, units_of(self.search)
            write_table(work / "search.parquet", found.search, units)
            adaptation.save(work / "policy.safetensors", adapted_from=parents["policy"])
            result = {
                **found.adapter._asdict(),
                "method": self.method,
                "criterion": self.search.criterion,
                "inventory_weight": self.search.inventory_weight,
                "unit": units["score"],
                "scenarios": [scenario.name for scenario in scenarios],
                "candidates": found.search.height,
                "validation": found.validation,
                "fresh": found.fresh,
                "winners_curse": found.validation.value - found.fresh.value,
                "edges": list(found.edges),
            }
            write_json(work / "adapter.json", result)
            run.finish(**result)
        summary = summary_of(run.folder)
        gains = [
            [stage, *(summary[stage][part] for part in ("value", "low", "high"))]
            for stage in ("validation", "fresh")
        ]
        return Result(
            summary={"folder": run.folder, **summary},
            shown=[
                Table(
                    columns=list(_COLUMNS.values()),
                    rows=[[summary[name] for name in _COLUMNS]],
                    title=f"Adapter, by `{self.method}` of {summary['candidates']} candidates",
                ),
                Table(
                    columns=["paths", f"gain in {summary['criterion']}", "low", "high"],
                    rows=gains,
                    title=f"Against the policy without an adapter, {summary['unit']}, paired",
                ),
                f"Winner's curse (validation less fresh): {summary['winners_curse']:.3g} {summary['unit']}",
                *(f"warning: {_warning(name, self.method)}" for name in summary["edges"]),
                f"The adapted policy is {run.folder / 'policy.safetensors'}",
            ],
        )


_COLUMNS = {
    "scale": "scale",
    "offset_bid": "offset bid (ticks)",
    "offset_ask": "offset ask (ticks)",
    "skew": "skew (ticks / lot)",
    "slope": "slope (ticks / (lot s))",
}
_FIX: dict[AdaptMethod, str] = {
    "turns": "Add --search.rounds, or raise --search.shrink.",
    "paper": "Widen --grid.scales or --grid.offsets.",
    "state": "Raise --state.bound.",
}


def _warning(edge: str, method: AdaptMethod) -> str:
    """Return what to say where a choice lies on the edge of what was searched."""
    if edge == "updates":
        return "the score was still rising when updates ran out. Raise --gradient.updates."
    return f"the chosen `{edge}` lies on the edge of what was searched: more may lie beyond. {_FIX[method]}"
