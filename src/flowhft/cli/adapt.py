"""`flowhft adapt`: fit the small map behind a trained policy to a market, on validation paths."""

from dataclasses import dataclass

from tyro.conf import Positional

from flowhft.cli.command import Command, Result
from flowhft.cli.folder import begin, identity_of, run_of, scenarios_of, summary_of
from flowhft.cli.terminal import Table, Terminal
from flowhft.errors import UnknownNameError, UsageError, require
from flowhft.learn.settings import AdaptSettings
from flowhft.market.presets import Preset
from flowhft.runs import write_json, write_table


@dataclass(frozen=True, kw_only=True)
class Adapt(Command):
    """Fit scale, offset per side and inventory skew behind a trained policy, the policy itself frozen.

    Writes policy.safetensors (the policy with its adapter), search.parquet (every candidate) and
    adapter.json. Everything is chosen on validation paths; what was chosen is judged on fresh ones.
    """

    policy: Positional[str]
    """A .safetensors file or a run folder of `flowhft imitate`."""
    scenarios: str
    """Today's market: comma-separated names or TOML files; the score is the mean over them."""
    only: str = ""
    """Name of the one scenario of them to adapt to, for example the centre of a calibrated grid."""
    market: Preset = "correct"
    """Preset of the named scenarios."""
    search: AdaptSettings = AdaptSettings()

    def run(self, terminal: Terminal) -> Result:
        """Search, judge the choice, save."""
        from flowhft.devices import prepare

        prepare()
        from flowhft.flow.policy import save_policy
        from flowhft.learn.adapt import adapt, units_of
        from flowhft.market.presets import find_scenarios
        from flowhft.metrics import unit_of_score
        from flowhft.policies import find_policy
        from flowhft.policies.source import LearnedSource

        named = find_policy(self.policy)
        if not isinstance(named.source, LearnedSource) or named.path is None:
            raise UsageError(
                f"`policy` must be a saved policy; received '{self.policy}'. Name a .safetensors file."
            )
        scenarios = find_scenarios(self.scenarios, self.market)
        require(len(scenarios) > 0, "scenarios", "name at least one scenario", f"'{self.scenarios}'")
        if self.only:
            known = [scenario.name for scenario in scenarios]
            if self.only not in known:
                raise UnknownNameError("scenario", self.only, known, "`--only` names one of `--scenarios`.")
            scenarios = [scenario for scenario in scenarios if scenario.name == self.only]
        words, files = scenarios_of(self.scenarios)
        parents = {"policy": identity_of(named.path)} | files
        run = run_of(self, "adapt", parents, scenarios=words, policy=named.name)
        if work := begin(run, terminal):
            with terminal.stage("adapt on validation paths") as progress:
                found = adapt(named.source.policy, scenarios, self.search, self.seed, progress)
            write_table(work / "search.parquet", found.search, units_of(self.search.criterion))
            # An adapter that the policy already had is replaced, not chained.
            save_policy(
                work / "policy.safetensors",
                named.source.policy,
                found.adapter,
                {"adapted_from": identity_of(named.path), "scenarios": [s.name for s in scenarios]},
            )
            result = {
                **found.adapter._asdict(),
                "criterion": self.search.criterion,
                "unit": unit_of_score(self.search.criterion),
                "scenarios": [scenario.name for scenario in scenarios],
                "validation": found.validation,
                "fresh": found.fresh,
                "winners_curse": found.validation.value - found.fresh.value,
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
                    columns=["scale", "offset bid (ticks)", "offset ask (ticks)", "skew (ticks / lot)"],
                    rows=[[summary[name] for name in ("scale", "offset_bid", "offset_ask", "skew")]],
                    title="Adapter",
                ),
                Table(
                    columns=["paths", f"gain in {summary['criterion']}", "low", "high"],
                    rows=gains,
                    title=f"Against the policy without an adapter, {summary['unit']}, paired",
                ),
                f"The adapted policy is {run.folder / 'policy.safetensors'}",
            ],
        )
