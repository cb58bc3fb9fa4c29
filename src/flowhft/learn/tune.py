"""Tuning: the fair control of learned policies, a closed form fitted to a market as carefully as they are.

In each scenario an expert's risk aversion is chosen on validation paths, then the adapter behind it
(`flowhft.learn.adapt.coordinate_search`), on the same paths. What was chosen is judged once on fresh paths,
against the expert as it stands.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from flowhft.learn.adapt.coordinate_search import coordinate_search
from flowhft.learn.adapt.objective import Score, gain, score_of
from flowhft.learn.settings import TuneSettings
from flowhft.metrics.table import interval, unit_of_score
from flowhft.policies import rules as experts
from flowhft.policies.adapter import IDENTITY, Adapter
from flowhft.policies.members import Members
from flowhft.policies.policy import Policy
from flowhft.policies.rule import Rule
from flowhft.runs import tables
from flowhft.scenarios.scenario import Scenario
from flowhft.simulate.many import evaluate_many
from flowhft.simulate.market.market import build
from flowhft.simulate.quoting.lab import in_lab
from flowhft.types import Interval, Progress, no_progress
from flowhft.types import Policy as Quoting


class Tuned(NamedTuple):
    """What was chosen for one scenario.

    Attributes:
        expert: name of the closed form.
        risk_aversion: gamma that it quotes with, 1 / (tick x lot).
        adapter: the map behind it.
    """

    expert: str
    risk_aversion: float
    adapter: Adapter


def tuned_policy(tuned: Tuned) -> Policy:
    """Return a tuned expert as a policy."""
    return Policy(Rule(experts.get(tuned.expert), tuned.risk_aversion), adapter=tuned.adapter)


def tuned_policies(chosen: Mapping[str, Tuned], training: Mapping[str, Any]) -> Policy:
    """Return a tuned expert for every scenario, as one policy.

    Args:
        chosen: by scenario.
        training: where and on what they were tuned.
    """
    return Policy(Members({name: tuned_policy(one) for name, one in chosen.items()}), training=training)


def quoting(tuned: Tuned, scenario: Scenario) -> Quoting:
    """Return a tuned expert as it quotes in a scenario."""
    return in_lab(tuned_policy(tuned), scenario)


class Tuning(NamedTuple):
    """What tuning found in one scenario.

    Attributes:
        rows: one row per expert, ready for a table: what was chosen and what it is worth.
        search: one row per candidate, in the order they were tried.
    """

    rows: list[dict[str, Any]]
    search: list[dict[str, Any]]


def units_of(criterion: str) -> dict[str, str]:
    """Return the unit of every column of the tables of a tuning, for a criterion."""
    unit = unit_of_score(criterion)
    return tables.units_of("tune", "tuning", criterion=unit) | tables.units_of(
        "tune", "candidates", criterion=unit
    )


def tune_in(
    scenario: Scenario,
    experts: Sequence[str],
    settings: TuneSettings,
    seed: int,
    *,
    like: Sequence[Scenario] = (),
    progress: Progress = no_progress,
) -> Tuning:
    """Tune every expert to one scenario.

    Args:
        scenario: where.
        experts: names of closed forms.
        settings: criterion, paths, grids.
        seed: of the run; choices are made on paths of its stream "tune/validation" and judged on those of
            "tune/fresh".
        like: scenarios that are tuned beside this one, with which it shares compiled programs.
        progress: told before every line of candidates.

    Returns:
        A row per expert. `chosen` marks the one that is best on validation paths; gains are over the same
        expert at the scenario's own risk aversion, without a map.
    """
    market = build(scenario, like=list(like) or None)

    def scores(candidates: Sequence[Tuned], stage: str, paths: int) -> list[Score]:
        policies = [quoting(candidate, scenario) for candidate in candidates]
        result = evaluate_many(
            market, policies, paths=paths, seed=seed, scenario=f"tune/{stage}/{scenario.name}"
        )
        return [
            score_of([measures], settings.search.criterion, settings.search.inventory_weight)
            for measures in result
        ]

    tuned: list[Tuned] = []
    validated: list[tuple[Score, Score]] = []
    search: list[dict[str, Any]] = []
    for nth, expert in enumerate(experts):

        def on_progress(share: float, now: str, nth: int = nth, expert: str = expert) -> None:
            progress((nth + 0.9 * share) / len(experts), f"{expert} in {scenario.name}, {now}")

        on_progress(0.0, "risk aversion")
        plain, best, gamma, rows = _search_risk_aversion(scenario, expert, settings, scores)

        def line(adapters: Sequence[Adapter], expert: str = expert, gamma: float = gamma) -> list[Score]:
            candidates = [Tuned(expert, gamma, adapter) for adapter in adapters]
            return scores(candidates, "validation", settings.search.paths)

        result = coordinate_search(line, 1.0 / scenario.fill_decay, settings.search, on_progress)
        # The search's differences are to the expert without a map; shifted, to the plain one.
        shift = gain(best, plain).value
        rows += [
            {"direction": row["direction"], "risk_aversion": gamma}
            | {name: row[name] for name in (*Adapter._fields, "score")}
            | {"difference": row["difference"] + shift}
            for row in result.rows.iter_rows(named=True)
            if row["direction"] != "none"
        ]
        search += [{"scenario": scenario.name, "expert": expert, **row} for row in rows]
        tuned.append(Tuned(expert, gamma, result.adapter))
        validated.append((result.best, plain))

    plains = [Tuned(expert, scenario.risk_aversion, IDENTITY) for expert in experts]
    fresh = scores([*tuned, *plains], "fresh", settings.search.fresh_paths)
    order = [after.value for after, _ in validated]
    chosen = int(np.argmax(np.nan_to_num(order, nan=-np.inf)))
    return Tuning(
        [
            _row(scenario, choice, *validated[i], fresh[i], fresh[len(tuned) + i], i == chosen)
            for i, choice in enumerate(tuned)
        ],
        search,
    )


def _search_risk_aversion(
    scenario: Scenario, expert: str, settings: TuneSettings, scores: Any
) -> tuple[Score, Score, float, list[dict[str, Any]]]:
    """Choose the risk aversion of an expert without a map.

    Returns:
        The score of the plain expert, that of the chosen one, its risk aversion, and a row per candidate.
    """
    # As a file keeps it, so that what is judged is what is saved; the scenario's own comes first.
    own, *others = (float(np.float32(risk)) for risk in _risk_aversions(scenario, settings))
    step, evaluated = settings.search.candidates - 1, []
    for start in range(0, len(others), step):
        part = others[start : start + step]
        # The plain expert leads every line and fills it up: one size, so that one program serves all.
        line = [own, *part, *[own] * (step - len(part))]
        result = scores([Tuned(expert, risk, IDENTITY) for risk in line], "validation", settings.search.paths)
        new = list(zip(line, result, strict=True))[: 1 + len(part)]
        evaluated += new if start == 0 else new[1:]
    plain = evaluated[0][1]
    risk, best = max(evaluated, key=lambda pair: np.nan_to_num(pair[1].value, nan=-np.inf))
    rows = [
        {"direction": "risk_aversion", "risk_aversion": gamma, **IDENTITY._asdict()}
        | {"score": result.value, "difference": gain(result, plain).value}
        for gamma, result in evaluated
    ]
    return plain, best, risk, rows


def _risk_aversions(scenario: Scenario, settings: TuneSettings) -> list[float]:
    """Return the risk aversions that are tried, 1 / (tick x lot): the scenario's own, then the grid."""
    return [scenario.risk_aversion, *(risk * scenario.fill_decay for risk in settings.risk_aversions)]


def _row(
    scenario: Scenario,
    choice: Tuned,
    validated: Score,
    plain: Score,
    fresh: Score,
    fresh_plain: Score,
    chosen: bool,
) -> dict[str, Any]:
    validation, again = gain(validated, plain), gain(fresh, fresh_plain)
    return {
        "scenario": scenario.name,
        "expert": choice.expert,
        "risk_aversion": choice.risk_aversion,
        **{name: float(value) for name, value in choice.adapter._asdict().items()},
        "chosen": chosen,
        **_columns("score", interval(*fresh)),
        **_columns("plain_score", interval(*fresh_plain)),
        **_columns("validation", validation),
        **_columns("fresh", again),
        "winners_curse": validation.value - again.value,
    }


def chosen_of(rows: pl.DataFrame, expert: str | None = None) -> dict[str, Tuned]:
    """Return what was chosen for every scenario: the best expert there, or one expert everywhere.

    Args:
        rows: table of all scenarios' `Tuning.rows`.
        expert: its name; the best of each scenario if none is given.
    """
    kept = rows.filter(pl.col("chosen") if expert is None else pl.col("expert") == expert)
    return {
        row["scenario"]: Tuned(
            row["expert"], row["risk_aversion"], Adapter(*(row[name] for name in Adapter._fields))
        )
        for row in kept.iter_rows(named=True)
    }


def _columns(name: str, result: Interval) -> dict[str, float]:
    return {name: result.value, f"{name}_low": result.low, f"{name}_high": result.high}
