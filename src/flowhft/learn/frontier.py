"""The frontier: what the exact optimum reaches at every risk aversion, and where other policies stand.

The oracle is swept over risk aversions; its PnL against its PnL deviation is the curve that no policy with
the same information crosses, but for what its objective (inventory) and the axis (PnL deviation) measure
differently. All policies meet the same paths, so that the oracle's margin over each of them on its own
objective, E[W_T - phi integral of q^2 dt], has a paired interval.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from flowhft.errors import require
from flowhft.metrics.estimators import CONFIDENCE, interval
from flowhft.metrics.measures import PathValues
from flowhft.metrics.table import METRICS, summarise
from flowhft.policies.rule import estimates_for
from flowhft.policies.rules import Expert
from flowhft.policies.rules.oracle import inventory_penalty
from flowhft.scenarios.scenario import Scenario
from flowhft.simulate.market.market import build
from flowhft.simulate.quoting.closed_form import closed_form
from flowhft.simulate.rollout import evaluate_together
from flowhft.types import Interval, Policy, Progress, no_progress

# What a row of the frontier tells of a policy, besides its objective.
SHOWN = ("pnl", "pnl_deviation", "sharpe", "max_drawdown", "rms_inventory", "fills", "quoting_ratio")


class Frontier(NamedTuple):
    """What was found in one scenario.

    Attributes:
        points: one row a policy and risk aversion: `SHOWN` and `objective` with intervals, money in the
            scenario's currency. `risk_aversion` is that of the sweep, null for a policy that is not swept;
            `objective` is taken at it, or at the scenario's own.
        margins: one row a policy that is not swept: the first swept expert's objective at the scenario's own
            risk aversion minus the policy's, with a paired interval.
    """

    points: list[dict[str, Any]]
    margins: list[dict[str, Any]]


def objective_of(measures: Mapping[str, PathValues], scenario: Scenario, penalty: float) -> PathValues:
    """Return W_T - phi integral of q^2 dt of every path, tick x lot.

    W_T is taken given the fills where that is valid (`expected_pnl`): the same mean with less noise.

    Args:
        measures: of a policy, see `flowhft.metrics.measures.measure`.
        scenario: where they are from.
        penalty: phi, tick / (second x lot).
    """
    given = np.asarray(measures["expected_pnl"])
    wealth = given if np.isfinite(given).all() else np.asarray(measures["pnl"])
    return wealth - penalty * scenario.horizon * np.asarray(measures["mean_square_inventory"])


def frontier(
    scenario: Scenario,
    swept: Sequence[Expert],
    risk_aversions: Sequence[float],
    policies: Mapping[str, Callable[[Scenario], Policy]],
    *,
    paths: int,
    seed: int,
    like: Sequence[Scenario] = (),
    confidence: float = CONFIDENCE,
    progress: Progress = no_progress,
) -> Frontier:
    """Judge experts at many risk aversions, and other policies, on the same paths of a scenario.

    Args:
        scenario: where.
        swept: experts, the oracle first.
        risk_aversions: gamma of the sweep, 1 / (tick x lot), positive.
        policies: name -> policy in a scenario, judged once each.
        paths: sessions; path i is the same market for all.
        seed: of the run; the paths are those of its stream "evaluate".
        like: scenarios judged beside this one, with which it shares compiled programs.
        confidence: of the intervals.
        progress: told before the simulation.
    """
    names = [expert.name for expert in swept]
    require(len(names) >= 1, "swept", "name at least one expert", "none")
    require(len(set(names)) == len(names), "swept", "name each expert once", ", ".join(names))
    require(
        len(risk_aversions) >= 1 and all(0.0 < gamma < np.inf for gamma in risk_aversions),
        "risk_aversions",
        "be positive numbers",
        list(risk_aversions),
    )
    own = float(scenario.risk_aversion)
    sweep = [(expert, gamma) for expert in swept for gamma in sorted({*map(float, risk_aversions), own})]
    progress(0.0, f"{len(sweep) + len(policies)} policies in {scenario.name}")
    result = evaluate_together(
        build(scenario, like=list(like) or None),
        [
            *(closed_form(expert, scenario, gamma) for expert, gamma in sweep),
            *(policy(scenario) for policy in policies.values()),
        ],
        paths=paths,
        seed=seed,
        scenario=f"evaluate/{scenario.name}",
    )
    first = estimates_for(swept[0], scenario)
    penalty_own = float(inventory_penalty(first, own))
    points = []
    for (expert, gamma), measures in zip(sweep, result, strict=False):
        penalty = float(inventory_penalty(estimates_for(expert, scenario), gamma))
        if gamma == own and expert is swept[0]:
            best = objective_of(measures, scenario, penalty)
        points.append(_point(scenario, expert.name, gamma, measures, penalty, paths, confidence))
    margins = []
    for name, measures in zip(policies, result[len(sweep) :], strict=True):
        points.append(_point(scenario, name, None, measures, penalty_own, paths, confidence))
        difference = best - objective_of(measures, scenario, penalty_own)
        row = {"scenario": scenario.name, "policy": name, "against": swept[0].name, "risk_aversion": own}
        margin = interval(float(np.mean(difference)), difference - np.mean(difference), confidence)
        margins.append(
            row
            | {"objective": scenario.tick_value * float(np.mean(best)), "paths": paths}
            | _columns("margin", margin, scenario.tick_value)
            | {"currency": scenario.currency}
        )
    return Frontier(points, margins)


def _point(
    scenario: Scenario,
    name: str,
    risk_aversion: float | None,
    measures: Mapping[str, PathValues],
    penalty: float,
    paths: int,
    confidence: float,
) -> dict[str, Any]:
    row: dict[str, Any] = {
        "scenario": scenario.name,
        "policy": name,
        "risk_aversion": risk_aversion,
        "paths": paths,
    }
    summary = summarise(measures, confidence)
    for metric in SHOWN:
        money = METRICS[metric].unit.startswith("money")
        row |= _columns(metric, summary[metric], scenario.tick_value if money else 1.0)
    objective = objective_of(measures, scenario, penalty)
    mean = float(np.mean(objective))
    row |= _columns("objective", interval(mean, objective - mean, confidence), scenario.tick_value)
    return row | {"currency": scenario.currency}


def _columns(name: str, result: Interval, factor: float) -> dict[str, float]:
    return {
        name: factor * result.value,
        f"{name}_low": factor * result.low,
        f"{name}_high": factor * result.high,
    }


def reached_at(
    curve: Sequence[Mapping[str, Any]], deviation: float | None, x: str = "pnl_deviation", y: str = "pnl"
) -> float:
    """Return the PnL that a curve reaches at a PnL deviation, interpolated; NaN below its least deviation.

    Args:
        curve: rows of one swept expert in one scenario.
        deviation: money; None for one that is no number.
        x: column of the horizontal axis.
        y: column of the vertical axis.
    """
    rows = sorted((row[x], row[y]) for row in curve if row[x] is not None and row[y] is not None)
    if not rows or deviation is None or deviation < rows[0][0]:
        return float("nan")
    # More risk than the curve ever takes is worth what the best of it is.
    best = np.maximum.accumulate([value for _, value in rows])
    return float(np.interp(deviation, [at for at, _ in rows], best))
