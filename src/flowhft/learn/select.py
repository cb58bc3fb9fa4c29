"""Selection: which expert is best in which scenario, by how much, and where that cannot be told.

Every candidate runs in every scenario on the same random numbers, and the best one by the criterion is
chosen. Its margin on the paths that chose it is biased up (the winner's curse), so all are judged once more
on fresh paths, which have no part in the choice: margins are reported from both, ties from the fresh ones.
"""

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from flowhft.errors import require
from flowhft.learn.settings import TeacherSettings
from flowhft.metrics.measures import PathValues
from flowhft.metrics.table import CRITERIA, CRITERION_OF, METRICS, interval, score, unit_of_score
from flowhft.policies import rules as experts
from flowhft.policies.rules.no_quote import NO_QUOTE
from flowhft.runs import tables
from flowhft.scenarios.scenario import Scenario
from flowhft.simulate.many import evaluate_many
from flowhft.simulate.market.market import build
from flowhft.simulate.quoting import closed_form
from flowhft.types import Interval, Progress, no_progress

# What tells the scenarios of a grid apart; the table of choices carries these, so that it can be drawn.
AXES = ("dt", "drift", "volatility", "hurst_exponent", "jump_intensity", "base_intensity")


class Teacher(NamedTuple):
    """The expert that demonstrates in a scenario, with its risk aversion in 1 / (tick x lot)."""

    scenario: Scenario
    expert: str
    risk_aversion: float


class Selection(NamedTuple):
    """What was found in one scenario.

    Attributes:
        candidates: one row per candidate: its scores on the paths that chose and on fresh ones; and one row
            without a risk aversion: who stays at home, no candidate unless named as one.
        choice: one row: the choice, its margins, its ties, and who wins by the other criteria.
    """

    candidates: list[dict[str, Any]]
    choice: dict[str, Any]


class _Evaluated(NamedTuple):
    """A candidate's score with the influence of every path on it."""

    value: float
    influence: PathValues


def units_of(criterion: str) -> dict[str, str]:
    """Return the unit of every column of the tables of candidates and of choices, for a criterion."""
    unit = unit_of_score(criterion)
    return tables.units_of("select", "selection", criterion=unit) | tables.units_of(
        "select", "choices", criterion=unit
    )


def candidates_in(scenario: Scenario, settings: TeacherSettings) -> list[Teacher]:
    """Return every candidate of a scenario: each expert at each risk aversion, a blind one once."""
    return [
        Teacher(scenario, expert, risk * scenario.fill_decay)
        for expert in settings.experts
        for risk in (settings.risk_aversions[:1] if _is_blind(expert) else settings.risk_aversions)
    ]


def _is_blind(expert: str) -> bool:
    """Whether an expert has no preference, so that risk aversion changes nothing."""
    return experts.get(expert).family == "baseline"


def select_in(
    scenario: Scenario, settings: TeacherSettings, seed: int, like: Sequence[Scenario] = ()
) -> Selection:
    """Run every candidate in one scenario on the same random numbers and choose the best one there.

    Args:
        scenario: where.
        settings: candidates, criterion and number of paths.
        seed: of the run; the choice is made on paths of its stream "teachers", and judged on those of
            "teachers/fresh".
        like: scenarios that are judged beside this one, with which it shares compiled programs.
    """
    market = build(scenario, like=list(like) or None)
    candidates = candidates_in(scenario, settings)
    policies = [closed_form(expert, scenario, risk) for _, expert, risk in candidates]
    result, again = (
        evaluate_many(market, policies, paths=paths, seed=seed, scenario=f"{stream}/{scenario.name}")
        for stream, paths in (("teachers", settings.paths), ("teachers/fresh", settings.fresh_paths))
    )

    def evaluated(measures: list[dict[str, PathValues]], criterion: str) -> list[_Evaluated]:
        return [_evaluate(one, criterion, settings.risk_weight) for one in measures]

    scores, fresh = evaluated(result, settings.criterion), evaluated(again, settings.criterion)
    ranked = _ranked(scores)
    best = ranked[0]
    rows = [
        {
            "scenario": scenario.name,
            "expert": expert,
            "risk_aversion": risk,
            **_columns("score", interval(*scores[i])),
            **_columns("fresh_score", interval(*fresh[i])),
            "pnl": float(np.mean(result[i]["pnl"])),
            "sharpe": score(result[i], "sharpe")[0],
            "max_drawdown": float(np.mean(result[i]["max_drawdown"])),
            "quoting_ratio": METRICS["quoting_ratio"].estimate(result[i])[0],
            "chosen": i == best,
        }
        for i, (_, expert, risk) in enumerate(candidates)
    ]
    if NO_QUOTE not in settings.experts:
        rows.append(_at_home(scenario, settings))
    experts = [candidate.expert for candidate in candidates]
    rivals = _best_of_others(ranked, experts)
    choice: dict[str, Any] = {
        "scenario": scenario.name,
        "expert": experts[best],
        "risk_aversion": candidates[best].risk_aversion,
        **_columns("score", interval(*scores[best])),
        **_columns("fresh_score", interval(*fresh[best])),
    }
    others = (("rival", "margin", rivals[:1]), ("next", "next_margin", ranked[1:2]))
    for who, margin, nearest in others:
        other = nearest[0] if nearest else None
        choice |= {
            f"{who}_expert": None if other is None else experts[other],
            f"{who}_risk_aversion": None if other is None else candidates[other].risk_aversion,
            **_columns(margin, _paired(scores, best, other)),
            **_columns(f"fresh_{margin}", _paired(fresh, best, other)),
        }
    ties = _ties(fresh, best, rivals, experts)
    choice |= {"tie": bool(ties), "ties": ",".join(ties)}
    for criterion in CRITERIA:
        by, by_fresh = evaluated(result, criterion), evaluated(again, criterion)
        order = _ranked(by)
        tied = _ties(by_fresh, order[0], _best_of_others(order, experts), experts)
        choice |= {f"winner_{criterion}": experts[order[0]], f"tie_{criterion}": bool(tied)}
    return Selection(rows, choice | {name: getattr(scenario, name) for name in AXES})


def _at_home(scenario: Scenario, settings: TeacherSettings) -> dict[str, Any]:
    """Return the row of who stays at home, beside which candidates stand: his account is 0 on every path."""
    row: dict[str, Any] = {"scenario": scenario.name, "expert": NO_QUOTE, "risk_aversion": None}
    for name, paths in (("score", settings.paths), ("fresh_score", settings.fresh_paths)):
        nothing = _evaluate({CRITERION_OF: np.zeros(paths)}, settings.criterion, settings.risk_weight)
        row |= _columns(name, interval(*nothing))
    return row | {
        "pnl": 0.0,
        "sharpe": float("nan"),
        "max_drawdown": 0.0,
        "quoting_ratio": 0.0,
        "chosen": False,
    }


def select_teachers(
    scenarios: Sequence[Scenario],
    settings: TeacherSettings,
    seed: int,
    progress: Progress = no_progress,
) -> tuple[list[Teacher], pl.DataFrame, pl.DataFrame]:
    """Choose the best candidate of every scenario (see `select_in`).

    Returns:
        The teacher of every scenario, the table of candidates and the table of choices.
    """
    require(len(scenarios) > 0, "scenarios", "hold at least one scenario", 0)
    results = []
    for i, scenario in enumerate(scenarios):
        progress(i / len(scenarios), scenario.name)
        results.append(select_in(scenario, settings, seed, scenarios))
    candidates, choices = tables_of(results)
    return teachers_of(choices, scenarios), candidates, choices


def tables_of(results: Sequence[Selection]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the table of candidates and the table of choices of many scenarios."""
    rows = list(itertools.chain.from_iterable(selection.candidates for selection in results))
    return (
        pl.DataFrame(rows, infer_schema_length=None),
        pl.DataFrame([selection.choice for selection in results], infer_schema_length=None),
    )


def teachers_of(choices: pl.DataFrame, scenarios: Sequence[Scenario]) -> list[Teacher]:
    """Return the teacher of every scenario from a table of choices.

    Raises:
        UsageError: nothing was chosen in a scenario.
    """
    chosen = {row["scenario"]: row for row in choices.iter_rows(named=True)}
    for scenario in scenarios:
        require(
            scenario.name in chosen,
            "scenarios",
            f"be among the {len(chosen)} of the selection",
            f"'{scenario.name}'",
            "Select there too.",
        )
    rows = [chosen[scenario.name] for scenario in scenarios]
    return [Teacher(s, r["expert"], r["risk_aversion"]) for s, r in zip(scenarios, rows, strict=True)]


def best_of_each(candidates: pl.DataFrame, scenarios: Sequence[Scenario]) -> list[Teacher]:
    """Return every expert in every scenario, with the risk aversion by which it did best there.

    Args:
        candidates: from `tables_of`.
        scenarios: where.
    """
    by_name = {scenario.name: scenario for scenario in scenarios}
    ranked = candidates.sort("score", descending=True, nulls_last=True, maintain_order=True)
    tried = ranked.filter(pl.col("risk_aversion").is_not_null())
    best = tried.unique(["scenario", "expert"], keep="first", maintain_order=True)
    return [
        Teacher(by_name[row["scenario"]], row["expert"], row["risk_aversion"])
        for row in best.iter_rows(named=True)
        if row["scenario"] in by_name
    ]


def at_the_edge(candidates: pl.DataFrame) -> tuple[int, int]:
    """Return in how many scenarios the choice has the lowest risk aversion that was tried, and the highest.

    There, one beyond may be better still. An expert that was tried once does not count.

    Args:
        candidates: from `tables_of`.
    """
    tried = pl.col("risk_aversion")
    chosen = candidates.with_columns(
        lowest=tried.min().over("scenario", "expert"), highest=tried.max().over("scenario", "expert")
    ).filter(pl.col("chosen") & (pl.col("lowest") < pl.col("highest")))
    return int((chosen["risk_aversion"] == chosen["lowest"]).sum()), int(
        (chosen["risk_aversion"] == chosen["highest"]).sum()
    )


def wins_of(choices: pl.DataFrame) -> list[dict[str, Any]]:
    """Return how often every expert wins, one row a criterion and expert, the most frequent first.

    Args:
        choices: from `tables_of`.

    Returns:
        Rows with criterion, expert, `wins` (scenarios), and of these `clear` (every other expert is worse
        beyond chance on fresh paths) and `ties`.
    """
    rows = []
    for criterion in CRITERIA:
        winner, tie = f"winner_{criterion}", f"tie_{criterion}"
        counts = choices.group_by(winner).agg(wins=pl.len(), ties=pl.col(tie).sum())
        for row in counts.sort(["wins", winner], descending=[True, False]).iter_rows(named=True):
            wins, ties = int(row["wins"]), int(row["ties"])
            rows.append(
                {
                    "criterion": criterion,
                    "expert": row[winner],
                    "wins": wins,
                    "clear": wins - ties,
                    "ties": ties,
                }
            )
    return rows


def _evaluate(measures: dict[str, PathValues], criterion: str, risk_weight: float) -> _Evaluated:
    if criterion != "utility":
        return _Evaluated(*score(measures, criterion))
    mean, deviation = (
        _Evaluated(*METRICS[name].estimator(np.asarray(measures["pnl"], np.float64)))
        for name in ("pnl", "pnl_deviation")
    )
    return _Evaluated(
        mean.value - risk_weight * deviation.value, mean.influence - risk_weight * deviation.influence
    )


def _ranked(scores: Sequence[_Evaluated]) -> list[int]:
    """Return positions, the best first; of equal ones the first given; what has no score comes last."""
    return sorted(range(len(scores)), key=lambda i: (-np.nan_to_num(scores[i].value, nan=-np.inf), i))


def _best_of_others(ranked: Sequence[int], experts: Sequence[str]) -> list[int]:
    """Return the best candidate of every expert but the winner's, the best of them first."""
    first = {experts[i]: i for i in reversed(ranked)}
    return [i for i in ranked[1:] if first[experts[i]] == i and experts[i] != experts[ranked[0]]]


def _paired(scores: Sequence[_Evaluated], best: int, other: int | None) -> Interval:
    if other is None:
        return Interval(float("nan"), float("nan"), float("nan"))
    return interval(
        scores[best].value - scores[other].value, scores[best].influence - scores[other].influence
    )


def _ties(fresh: Sequence[_Evaluated], best: int, rivals: Sequence[int], experts: Sequence[str]) -> list[str]:
    """Return the experts whose best candidate is not clearly worse than the choice on fresh paths.

    One without a score (the Sharpe ratio of a maker who is never filled) is worse than a choice that has one;
    where the choice has none either, nothing tells them apart.
    """
    nothing = np.isnan(fresh[best].value)
    return [experts[i] for i in rivals if nothing or _paired(fresh, best, i).low <= 0.0]


def _columns(name: str, result: Interval) -> dict[str, float]:
    return {name: result.value, f"{name}_low": result.low, f"{name}_high": result.high}
