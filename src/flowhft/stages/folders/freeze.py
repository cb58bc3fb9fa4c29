"""Freeze: a policy told its market, which quotes in microseconds without the lab."""

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from flowhft.errors import UsageError
from flowhft.stages.folder import begin, identity_of, run_of, scenarios_of
from flowhft.stages.stage import Listener, Silent, Stage

FILE = "frozen.safetensors"


@dataclass(frozen=True, kw_only=True)
class Freeze(Stage):
    """Settings of a policy that is frozen."""

    policy: Positional[str]
    """A .safetensors file, a run folder, or an expert (then --scenario says what it is told)."""
    scenario: str = ""
    """Name or TOML file of the one scenario that an expert is told, and in whose units a policy quotes that
    senses its market."""


def run(settings: Freeze, listener: Listener | None = None) -> Path:
    """Freeze a policy and save it."""
    listener = listener or Silent()
    from flowhft.desk.compiled.freeze import freeze
    from flowhft.policies.file import save_policy
    from flowhft.policies.names import find_policy
    from flowhft.scenarios.presets import find_scenarios

    named = find_policy(settings.policy)
    scenarios = find_scenarios(settings.scenario) if settings.scenario else []
    if len(scenarios) > 1 or (named.needs_scenario and not scenarios):
        use = "is told" if named.needs_scenario else "quotes in"
        raise UsageError(
            f"`scenario` must name the one market that {named.name} {use}; received '{settings.scenario}'."
        )
    word, files = scenarios_of(settings.scenario)
    parents = files | ({"policy": identity_of(named.path)} if named.path else {})
    run = run_of(settings, "freeze", parents, scenario=word, policy=named.remembered)
    if work := begin(run, listener):
        there = scenarios[0] if scenarios else None
        freeze(named, there)  # refuses what the desk cannot quote with
        save_policy(work / FILE, named.as_data().in_market(there))
        run.finish(policy=named.name, bytes=(work / FILE).stat().st_size)
    return run.folder
