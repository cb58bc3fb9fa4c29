"""Evaluate one span of paths: the moments of all policies over it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

from flowhft.metrics.moments import BLOCK, Moments, collect, merge
from flowhft.policies.own import OwnPolicy
from flowhft.scenarios.scenario import Scenario
from flowhft.simulate.market.market import Market, build
from flowhft.simulate.rollout import CHUNK, evaluate_together
from flowhft.simulate.spans import Task
from flowhft.types import Policy, Progress, no_progress

# A policy of the evaluation: how it quotes in a scenario.
InMarket = Callable[[Scenario], Policy | OwnPolicy]


@dataclass(frozen=True)
class Job:
    """An evaluation: what all of its spans have in common.

    Attributes:
        scenarios: where.
        policies: name -> policy in a scenario.
        paths: sessions in every scenario; path i is the same market for every policy.
        seed: of the run.
        stream: first word of the names of the random streams; the second is the scenario's.
        chunk: paths that are simulated at once: bounds the memory and changes no result.
    """

    scenarios: Sequence[Scenario]
    policies: Mapping[str, InMarket]
    paths: int
    seed: int
    stream: str = "evaluate"
    chunk: int = CHUNK

    def prepare(self, scenario: int) -> "Prepared":
        """Return a scenario ready to be simulated (see `prepared_scenario`)."""
        return prepared_scenario(self, scenario)

    def do(self, prepared: "Prepared", task: Task, progress: Progress = no_progress) -> Moments:
        """Evaluate a span (see `evaluate_span`)."""
        return evaluate_span(self, prepared, task, progress)


@dataclass(frozen=True)
class Prepared:
    """A scenario ready to be simulated: its market, and the policies as they quote there."""

    name: str
    market: Market
    policies: dict[str, Policy | OwnPolicy]


def prepared_scenario(job: Job, scenario: int) -> Prepared:
    """Build the market of a scenario and tell the policies about it.

    Args:
        job: the evaluation.
        scenario: its place in the list.
    """
    where = job.scenarios[scenario]
    market = build(where, like=alike(where, job.scenarios))
    return Prepared(where.name, market, {name: policy(where) for name, policy in job.policies.items()})


def alike(scenario: Scenario, scenarios: Sequence[Scenario]) -> list[Scenario]:
    """Return the scenarios that can share a compiled program with this one, itself among them."""
    same = ("price", "exciter", "refill", "steps")
    return [s for s in scenarios if all(getattr(s, name) == getattr(scenario, name) for name in same)]


def evaluate_span(job: Job, prepared: Prepared, task: Task, progress: Progress = no_progress) -> Moments:
    """Simulate all policies on the paths of a span, block by block.

    Args:
        job: the evaluation.
        prepared: from `prepared_scenario`.
        task: the span, and the pilots unless it is the first one.
        progress: told after every block, with the share of the span.
    """
    parts: list[Moments] = []
    pilots, done = task.pilots, 0
    for first, paths in task.span.blocks:
        measures = evaluate_together(
            prepared.market,
            list(prepared.policies.values()),
            paths=paths,
            seed=job.seed,
            scenario=f"{job.stream}/{prepared.name}",
            first=first,
            chunk=job.chunk,
            room=task.span.blocks[0][1] if task.span.number == 0 else BLOCK,
        )
        result = collect(dict(zip(prepared.policies, measures, strict=True)), pilots)
        pilots = result.pilots
        parts.append(result)
        done += paths
        progress(done / task.span.paths, f"{prepared.name}: {first + paths:,} paths")
    return reduce(merge, parts)
