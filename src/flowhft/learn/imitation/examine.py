"""Closed loop: let a policy trade beside its teachers while it learns, on the same few sessions.

A small loss says that quotes are near the teacher's where the teacher has been. What they earn, and where
they lead, only sessions tell in which the learner trades itself.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from flowhft.errors import require
from flowhft.flow.policy import FlowPolicy, as_data
from flowhft.learn.select import Teacher
from flowhft.runs.folder import stream
from flowhft.scenarios.scenario import Scenario
from flowhft.simulate.market.market import Market, build
from flowhft.simulate.quoting import closed_form, in_lab
from flowhft.simulate.rollout import evaluate_one
from flowhft.types import Policy


class Results(NamedTuple):
    """What sessions came to, one number a scenario, tick x lot.

    Attributes:
        pnl: mean PnL of a session.
        deviation: standard deviation of the PnL over sessions.
        drawdown: mean of the largest drawdown of a session.
    """

    pnl: np.ndarray
    deviation: np.ndarray
    drawdown: np.ndarray


class Examination(NamedTuple):
    """Scenarios in which a policy is examined, and what their teachers came to on the same sessions.

    Attributes:
        teachers: who demonstrated, one a scenario.
        paths: sessions a scenario.
        seed: of the run.
        taught: what the teachers came to.
    """

    teachers: tuple[Teacher, ...]
    paths: int
    seed: int
    taught: Results


class Standing(NamedTuple):
    """Where a policy stands beside its teachers, over the scenarios of an examination.

    Attributes:
        pnl: mean PnL of a session, tick x lot.
        teacher_pnl: the same of the teachers.
        gap: distance from the teachers, see `gap_between`.
    """

    pnl: float
    teacher_pnl: float
    gap: float


def _evaluated(teacher: Teacher, market: Market, policy: Policy, paths: int, seed: int) -> tuple[float, ...]:
    measures = evaluate_one(
        market, policy, paths=paths, seed=seed, scenario=f"examine/{teacher.scenario.name}"
    )
    pnl, drawdown = measures["pnl"], measures["max_drawdown"]
    return float(np.mean(pnl)), float(np.std(pnl, ddof=1)), float(np.mean(drawdown))


def _markets(teachers: Sequence[Teacher]) -> list[Market]:
    family = [teacher.scenario for teacher in teachers]
    return [build(scenario, like=family) for scenario in family]


def teachers_in(episodes: pl.DataFrame, scenarios: Mapping[str, Scenario]) -> list[Teacher]:
    """Return one teacher of every scenario that episodes are from: the chosen one, else the first.

    Args:
        episodes: rows of the table of a data set, see
            `flowhft.learn.demonstrations.dataset_files.read_episodes`.
        scenarios: of the data set, by name.
    """
    first = episodes.sort("chosen", descending=True, maintain_order=True).unique(
        "scenario", keep="first", maintain_order=True
    )
    rows = first.select("scenario", "expert", "risk_aversion").iter_rows()
    return [Teacher(scenarios[name], expert, risk_aversion) for name, expert, risk_aversion in rows]


def examination(
    teachers: Sequence[Teacher], scenarios: int, paths: int, seed: int, instead: FlowPolicy | None = None
) -> Examination:
    """Draw the scenarios of an examination and let their teachers trade there.

    Args:
        teachers: who demonstrated, one a scenario.
        scenarios: how many of them to examine in, drawn at random; all if there are fewer.
        paths: sessions in each, 2 at least.
        seed: of the run; sessions are those of its stream "examine", which nobody demonstrated in.
        instead: a policy that is the teacher everywhere, in the place of those who demonstrated.
    """
    require(len(teachers) >= 1, "teachers", "name at least one teacher", "none")
    drawn = np.random.default_rng(stream(seed, "examine")).permutation(len(teachers))[:scenarios]
    chosen = tuple(teachers[index] for index in sorted(drawn.tolist()))
    return Examination(chosen, paths, seed, _results(chosen, paths, seed, instead))


def _results(teachers: Sequence[Teacher], paths: int, seed: int, policy: FlowPolicy | None = None) -> Results:
    """Let a policy trade the sessions of an examination, or, where there is none, the teachers."""
    data = None if policy is None else as_data(policy)

    def quoting(teacher: Teacher) -> Policy:
        if data is not None:
            return in_lab(data, teacher.scenario)
        return closed_form(teacher.expert, teacher.scenario, teacher.risk_aversion)

    results = [
        _evaluated(teacher, market, quoting(teacher), paths, seed)
        for teacher, market in zip(teachers, _markets(teachers), strict=True)
    ]
    return Results(*np.transpose(results))


def gap_between(result: Results, taught: Results) -> float:
    """Return how far results are from the teachers', 0 where they are the same.

    The root mean square, over scenarios and measures, of the difference of the mean PnL in the teacher's
    standard deviations, of log(deviation / the teacher's) and of log(drawdown / the teacher's).
    """
    tiny = np.finfo(np.float64).tiny  # a policy that never trades has neither deviation nor drawdown
    parts = (
        (result.pnl - taught.pnl) / np.maximum(taught.deviation, tiny),
        np.log(np.maximum(result.deviation, tiny) / np.maximum(taught.deviation, tiny)),
        np.log(np.maximum(result.drawdown, tiny) / np.maximum(taught.drawdown, tiny)),
    )
    return float(np.sqrt(np.mean(np.square(parts))))


def examine(examined: Examination, policy: FlowPolicy) -> Standing:
    """Let a policy trade the sessions of an examination, and compare it with its teachers."""
    result = _results(examined.teachers, examined.paths, examined.seed, policy)
    return Standing(
        float(np.mean(result.pnl)),
        float(np.mean(examined.taught.pnl)),
        gap_between(result, examined.taught),
    )
