"""`flowhft freeze`: a policy told its market, which quotes in microseconds without the lab."""

from dataclasses import dataclass

from tyro.conf import Positional

from flowhft.cli.command import Command, Result
from flowhft.cli.folder import begin, identity_of, run_of, scenarios_of, summary_of
from flowhft.cli.terminal import Terminal
from flowhft.errors import UsageError

FILE = "frozen.safetensors"


@dataclass(frozen=True, kw_only=True)
class Freeze(Command):
    """Tell a policy its market, for the desk: it quotes in microseconds, without jax.

    Writes frozen.safetensors, which every command takes like any other policy, and any program by
    `flowhft.load_frozen`.
    """

    policy: Positional[str]
    """A .safetensors file, a run folder, or an expert (then --scenario says what it is told)."""
    scenario: str = ""
    """Name or TOML file of the one scenario that an expert is told, and in whose units a policy quotes that
    senses its market."""

    def run(self, terminal: Terminal) -> Result:
        """Freeze and save."""
        from flowhft.desk.compiled.freeze import freeze
        from flowhft.policies.file import save_policy
        from flowhft.policies.names import find_policy
        from flowhft.scenarios.presets import find_scenarios

        named = find_policy(self.policy)
        scenarios = find_scenarios(self.scenario) if self.scenario else []
        if len(scenarios) > 1 or (named.told and not scenarios):
            use = "is told" if named.told else "quotes in"
            raise UsageError(
                f"`scenario` must name the one market that {named.name} {use}; received '{self.scenario}'."
            )
        word, files = scenarios_of(self.scenario)
        parents = files | ({"policy": identity_of(named.path)} if named.path else {})
        run = run_of(self, "freeze", parents, scenario=word, policy=named.remembered)
        path = run.folder / FILE
        if work := begin(run, terminal):
            there = scenarios[0] if scenarios else None
            freeze(named, there)  # refuses what the desk cannot quote with
            save_policy(work / FILE, named.as_data().in_market(there))
            run.finish(policy=named.name, bytes=(work / FILE).stat().st_size)
        summary = summary_of(run.folder)
        return Result(
            summary={"folder": run.folder, "path": path, **summary},
            shown=[f"{summary['policy']} is frozen to {path} ({summary['bytes']:,} bytes)"],
        )
