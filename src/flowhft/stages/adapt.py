"""Adapt: fit the small map behind a trained policy to a market, the policy itself frozen."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from flowhft.errors import require
from flowhft.learn.adapt.adapt import Adaptation as Found
from flowhft.learn.adapt.adapt import adapt as fitted
from flowhft.learn.settings import AdaptMethod, AdaptSettings, GradientSettings, GridSettings, StateSettings
from flowhft.policies.file import save_policy
from flowhft.policies.names import Named
from flowhft.scenarios.presets import Preset
from flowhft.scenarios.scenario import Scenario
from flowhft.simulate.devices import prepare
from flowhft.simulate.quoting.lab import unmapped_in_lab
from flowhft.stages.evaluate import scenarios_in
from flowhft.stages.policies import find_saved
from flowhft.types import Progress, no_progress

SEARCH, GRID, STATE, GRADIENT = AdaptSettings(), GridSettings(), StateSettings(), GradientSettings()


class Adaptation(NamedTuple):
    """An adapted policy, and what that was worth.

    Attributes:
        policy: it, ready to be evaluated and replayed.
        found: the chosen map, every candidate, and the gain on the paths that chose and on fresh ones.
    """

    policy: Named
    found: Found

    def save(self, path: Path | str, **more: Any) -> None:
        """Write the policy with its map as one .safetensors file.

        Args:
            path: of the file.
            **more: what its header says besides, what JSON can hold.
        """
        policy = self.policy.as_data()
        save_policy(path, replace(policy, training={**more, **policy.training}))


def adapt(
    policy: Any,
    scenarios: str | Scenario | Sequence[str | Scenario],
    *,
    market: Preset = "correct",
    method: AdaptMethod = "state",
    search: AdaptSettings = SEARCH,
    grid: GridSettings = GRID,
    state: StateSettings = STATE,
    gradient: GradientSettings = GRADIENT,
    seed: int = 0,
    name: str = "adapted",
    progress: Progress = no_progress,
) -> Adaptation:
    """Fit scale, offset per side, inventory skew and its slope behind a trained policy.

    Everything is chosen on validation paths; what was chosen is judged on fresh ones.

    Args:
        policy: `flowhft`, the shipped one, a file, a run folder, or what `imitate` returned in `policy`.
        scenarios: today's market: names, files or scenarios; the score is the mean over them.
        market: preset of the scenarios that are named.
        method: how the map is fitted, see `flowhft adapt --help`.
        search: criterion and paths.
        grid: of the method "paper".
        state: of the method "state".
        gradient: of the methods "gradient" and "last_layer".
        seed: of the run.
        name: what tables call the adapted policy.
        progress: told before every line of candidates.

    Raises:
        UsageError: the method cannot adapt such a policy, or not to such markets.
    """
    prepare()
    named = find_saved(policy)
    require_method(named, method)
    before = named.as_data()
    markets = scenarios_in(scenarios, market)
    result = fitted(
        [unmapped_in_lab(before, scenario) for scenario in markets],
        markets,
        search,
        seed,
        progress,
        method=method,
        grid=grid,
        state=state,
        gradient=gradient,
    )
    # A map that the policy had is replaced, not chained; a network that works out another stays.
    core = before.core if result.refitted is None else result.refitted.data()
    how = {"method": method, "scenarios": [scenario.name for scenario in markets]}
    after = replace(before, core=core, adapter=result.adapter, training=how)
    return Adaptation(Named(name, name, after), result)


def require_method(named: Named, method: AdaptMethod) -> None:
    """Refuse a method that cannot adapt a policy.

    Args:
        named: the policy.
        method: of `adapt`.

    Raises:
        UsageError: it is told the market, and its last layer is to be fitted.
    """
    require(
        not (named.needs_scenario and method == "last_layer"),
        "policy",
        "not be told the market where its last layer is fitted",
        f"'{named.written}'",
        "Use --method state.",
    )
