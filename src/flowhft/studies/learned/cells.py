"""Every policy of the line-up in the test cells of one market, on the same random numbers."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from flowhft.metrics import moments
from flowhft.metrics.table import CONFIDENCE
from flowhft.scenarios.scenario import Scenario
from flowhft.simulate.checkpoint import Finished
from flowhft.simulate.drive import total_of
from flowhft.simulate.evaluate import columns
from flowhft.simulate.job import Job
from flowhft.simulate.quoting.lab import in_lab
from flowhft.studies.learned.lineup import Member
from flowhft.studies.learned.wins import COMPARED, UTILITY, oriented
from flowhft.types import Interval


def job_of(
    scenarios: Sequence[Scenario], members: Sequence[Member], paths: int, seed: int, chunk: int
) -> Job:
    """Return the judgement of a line-up: `flowhft.simulate.drive.evaluate_all` does it, in constant memory.

    Args:
        scenarios: where.
        members: who.
        paths: sessions a scenario, the same for every policy.
        seed: of the run; the paths are those of its stream "learned", met by nothing that chooses.
        chunk: paths simulated at once.
    """
    policies = {member.name: partial(in_lab, member.policy) for member in members}
    return Job(list(scenarios), policies, paths, seed, "learned", chunk)


def rows_of(
    job: Job,
    finished: Finished,
    scenario: int,
    market: str,
    members: Sequence[Member],
    rivals: Sequence[str] | None = None,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return what a finished judgement found in one scenario.

    Args:
        job: the judgement.
        finished: its spans.
        scenario: place in the list.
        market: preset.
        members: the line-up.
        rivals: names of those that learned policies are set against; all others by default.

    Returns:
        One row per policy (every metric and the utility with `_low` and `_high`, money in the scenario's
        currency), and one row per learned policy, rival and metric of `wins.COMPARED`: `gain`, `low` and
        `high`, paired, positive where the policy is better.
    """
    where, result = job.scenarios[scenario], total_of(job, finished, scenario)
    start = {"market": market, "scenario": where.name}
    results, margins = [], []
    for member in members:
        utility = moments.score(result, member.name, UTILITY)
        results.append(
            {**start, **member.row, "paths": result.paths}
            | columns(moments.summarise(result, member.name), where.tick_value)
            | _utility(utility, where.tick_value)
        )
    for ours in (member for member in members if member.role == "learned"):
        for rival in (member for member in members if member is not ours):
            if rival.role == "baseline" or (rivals is not None and rival.name not in rivals):
                continue
            paired = moments.compare(result, ours.name, rival.name, CONFIDENCE)
            paired |= {UTILITY: moments.score(result, ours.name, UTILITY, reference=rival.name)}
            for metric in COMPARED:
                factor = 1.0 if metric == "sharpe" else where.tick_value
                gain = oriented(metric, Interval(*(factor * value for value in paired[metric])))
                margins.append(
                    {**start, "policy": ours.name, "rival": rival.name, "metric": metric}
                    | {"gain": gain.value, "low": gain.low, "high": gain.high}
                )
    return results, margins


def _utility(result: Interval, factor: float) -> dict[str, float]:
    return {
        f"{UTILITY}{end}": factor * value for end, value in zip(("", "_low", "_high"), result, strict=True)
    }
