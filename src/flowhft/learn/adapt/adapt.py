"""Adapt a policy: search by a method on validation paths, judge the choice once on fresh ones.

Every candidate meets the same random numbers. What was chosen is then judged on paths that nothing was chosen
on, so that the winner's curse (validation minus fresh) is seen.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from flowhft.errors import UsageError
from flowhft.flow.policy import FlowPolicy
from flowhft.learn.adapt.coordinate_search import coordinate_search
from flowhft.learn.adapt.gradient import search_by_gradient
from flowhft.learn.adapt.last_layer import refit_last_layer
from flowhft.learn.adapt.notes import Record, record_paths, require_known_law
from flowhft.learn.adapt.objective import Score, gain, score_of, unit_of
from flowhft.learn.adapt.paper import printed_adapter, search_grid, take_printed
from flowhft.learn.adapt.search import Scales
from flowhft.learn.adapt.state import search_state
from flowhft.learn.settings import AdaptMethod, AdaptSettings, GradientSettings, GridSettings, StateSettings
from flowhft.policies.adapter import IDENTITY, Adapter
from flowhft.runs import tables
from flowhft.runs.folder import stream
from flowhft.scenarios.scenario import Scenario
from flowhft.simulate.many import evaluate_many
from flowhft.simulate.market.market import build
from flowhft.simulate.quoting.closed_form import adapted
from flowhft.types import Interval, Policy, Progress, no_progress

# Judges many adapters on that many paths of a stage.
StageEvaluator = Callable[[Sequence[Adapter], str, int], list[Score]]

GRID, STATE, GRADIENT = GridSettings(), StateSettings(), GradientSettings()


def units_of(settings: AdaptSettings) -> dict[str, str]:
    """Return the unit of every column of the search."""
    unit = unit_of(settings.criterion, settings.inventory_weight)
    return tables.units_of("adapt", "search", criterion=unit)


class Adaptation(NamedTuple):
    """What adaptation chose and what it is worth.

    Attributes:
        refitted: the policy with another output layer, where that was fitted; else None: it is as it was.
        adapter: the chosen map behind it.
        search: one row per candidate, in the order they were tried.
        validation: paired gain over the unadapted policy on the paths that chose, in the criterion's unit.
        fresh: the same on fresh paths.
        edges: what of the choice lies on the edge of what was searched.
    """

    refitted: FlowPolicy | None
    adapter: Adapter
    search: pl.DataFrame
    validation: Interval
    fresh: Interval
    edges: tuple[str, ...] = ()


def adapt(
    policies: Sequence[Policy],
    scenarios: Sequence[Scenario],
    settings: AdaptSettings,
    seed: int,
    progress: Progress = no_progress,
    *,
    method: AdaptMethod = "turns",
    grid: GridSettings = GRID,
    state: StateSettings = STATE,
    gradient: GradientSettings = GRADIENT,
) -> Adaptation:
    """Search the adapter behind a policy, or its last layer, and judge the choice on fresh paths.

    Args:
        policies: the frozen policy in each of the scenarios: the same in all of them, unless it is told
            something of where it is.
        scenarios: today's market, or several; the score is the mean over them.
        settings: criterion, paths, and the search by turns.
        seed: of the run; paths of its streams "adapt/validation" and "adapt/fresh".
        progress: told before every line of candidates.
        method: how candidates are found.
        grid: of the method "paper".
        state: of the method "state".
        gradient: of the methods "gradient" and "last_layer", whose choice is made on paths of the stream
            "adapt/second".

    Raises:
        UsageError: the method cannot adapt such a policy, or not to such markets.
    """
    scores = evaluator_of(policies, scenarios, settings, seed)
    if method == "last_layer":
        return _adapt_last_layer(policies, scenarios, settings, seed, progress, gradient)
    unit = float(np.mean([1.0 / scenario.fill_decay for scenario in scenarios]))
    horizon = float(np.mean([scenario.horizon for scenario in scenarios]))

    def validate(adapters: Sequence[Adapter]) -> list[Score]:
        return scores(adapters, "validation", settings.paths)

    scales = Scales(unit, horizon)
    if method == "turns":
        result = coordinate_search(validate, unit, settings, progress)
    elif method == "paper":
        result = search_grid(validate, unit, grid, progress)
    elif method == "printed":
        result = take_printed(validate, printed_adapter(scenarios))
    elif method == "state":
        result = search_state(validate, scales, state, stream(seed, "adapt/evolution"), progress)
    else:
        records = records_of(policies, scenarios, gradient.paths, seed)
        result = search_by_gradient(
            lambda adapters: scores(adapters, "second", settings.paths),
            records,
            scales,
            settings,
            gradient,
            progress,
        )
    progress(0.95, "judging the choice on fresh paths")
    before, after = scores([IDENTITY, result.adapter], "fresh", settings.fresh_paths)
    return Adaptation(
        refitted=None,
        adapter=result.adapter,
        search=result.rows,
        validation=gain(result.best, result.unadapted),
        fresh=gain(after, before),
        edges=result.edges,
    )


def evaluator_of(
    policies: Sequence[Policy], scenarios: Sequence[Scenario], settings: AdaptSettings, seed: int
) -> StageEvaluator:
    """Return what judges many adapters behind a policy on the paths of a stage of adaptation.

    Args:
        policies: the frozen one, in each of the scenarios.
        scenarios: markets; the score is the mean over them.
        settings: criterion.
        seed: of the run; path i of a stage is the same for every adapter.
    """
    evaluated = policies_evaluator(scenarios, settings, seed)

    def scores(adapters: Sequence[Adapter], stage: str, paths: int) -> list[Score]:
        return evaluated(
            [[adapted(policy, adapter) for adapter in adapters] for policy in policies], stage, paths
        )

    return scores


def policies_evaluator(
    scenarios: Sequence[Scenario], settings: AdaptSettings, seed: int
) -> Callable[[Sequence[Sequence[Policy]], str, int], list[Score]]:
    """Return what judges candidates on the paths of a stage; it is asked for those of each scenario."""
    markets = [build(scenario, like=list(scenarios)) for scenario in scenarios]

    def scores(candidates: Sequence[Sequence[Policy]], stage: str, paths: int) -> list[Score]:
        results = [
            evaluate_many(market, there, paths=paths, seed=seed, scenario=f"adapt/{stage}/{scenario.name}")
            for market, there, scenario in zip(markets, candidates, scenarios, strict=True)
        ]
        return [
            score_of(measures, settings.criterion, settings.inventory_weight, controlled=True)
            for measures in zip(*results, strict=True)
        ]

    return scores


def _adapt_last_layer(
    policies: Sequence[Policy],
    scenarios: Sequence[Scenario],
    settings: AdaptSettings,
    seed: int,
    progress: Progress,
    gradient: GradientSettings,
) -> Adaptation:
    policy = policies[0]
    if not isinstance(policy, FlowPolicy) or any(other is not policy for other in policies):
        raise UsageError(
            "`policy` must be a flow policy, the same in all scenarios, for its last layer to be fitted; "
            f"received {type(policy).__name__}. Use --method state."
        )
    evaluated = policies_evaluator(scenarios, settings, seed)
    records = records_of(policies, scenarios, gradient.paths, seed)
    result = refit_last_layer(
        lambda tried: evaluated([tried] * len(scenarios), "second", settings.paths),
        policy,
        records,
        settings,
        gradient,
        progress,
    )
    progress(0.95, "judging the choice on fresh paths")
    before, after = evaluated([[policy, result.policy]] * len(scenarios), "fresh", settings.fresh_paths)
    return Adaptation(
        refitted=result.policy,
        adapter=IDENTITY,
        search=result.rows,
        validation=gain(result.best, result.before),
        fresh=gain(after, before),
        edges=result.edges,
    )


def records_of(
    policies: Sequence[Policy], scenarios: Sequence[Scenario], paths: int, seed: int
) -> list[Record]:
    """Return what the gradient needs along the first validation paths, one record a market.

    Args:
        policies: the frozen one, in each of the scenarios.
        scenarios: markets.
        paths: how many in each.
        seed: of the run.

    Raises:
        UsageError: in one of the markets a step may fill several lots a side.
    """
    for scenario in scenarios:
        require_known_law(scenario)
    return [
        record_paths(
            build(scenario, like=list(scenarios)),
            policy,
            paths=paths,
            seed=seed,
            scenario=f"adapt/validation/{scenario.name}",
        )
        for policy, scenario in zip(policies, scenarios, strict=True)
    ]
