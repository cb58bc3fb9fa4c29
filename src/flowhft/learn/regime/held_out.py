"""Held-out markets: a policy at several risk dials in random scenarios, beside the experts it is to beat.

Simulated like any evaluation and judged by the same metrics, all on the same random numbers. By this the dial
that ships is chosen: no named scenario has a say in it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from flowhft.learn.regime.baselines import EXPERTS, by_utility, makers
from flowhft.learn.regime.family import market_of
from flowhft.metrics.estimators import RISK_WEIGHT
from flowhft.metrics.measures import PathValues
from flowhft.metrics.table import METRICS
from flowhft.policies.policy import Policy
from flowhft.runs import tables
from flowhft.runs.resume import JSON, Finished
from flowhft.scenarios.scenario import Scenario
from flowhft.simulate.many import evaluate_many
from flowhft.simulate.market.market import build
from flowhft.simulate.quoting import closed_form
from flowhft.simulate.quoting.lab import in_lab
from flowhft.types import Progress, no_progress

THREE = ("pnl", "sharpe", "max_drawdown")
UTILITY = "utility"
TABLE_UNITS = tables.units_of("train", "held_out")
Summary = dict[str, float]


def _summary(measures: Mapping[str, PathValues], mean_from: str) -> Summary:
    """Return the three metrics and the utility, their mean estimated from a measure of that mean."""
    pnl = np.asarray(measures["pnl"], np.float64)
    mean, deviation = float(np.mean(measures[mean_from], dtype=np.float64)), float(np.std(pnl, ddof=1))
    return {
        "pnl": mean,
        "sharpe": mean / deviation if deviation else float("nan"),
        "max_drawdown": METRICS["max_drawdown"].estimate(measures)[0],
        UTILITY: mean - RISK_WEIGHT * deviation,
    }


def _evaluated(
    policy: Policy,
    scenario: Scenario,
    like: Sequence[Scenario],
    dials: Sequence[float],
    paths: int,
    seed: int,
) -> list[dict[str, Any]]:
    """Return a row per dial in one scenario: our metrics beside the best expert's, metric by metric."""
    market = market_of(scenario)
    experts = [closed_form(name, scenario) for name in EXPERTS[market]]
    ours = [in_lab(policy.at_dial(dial), scenario) for dial in dials]
    built = build(scenario, like=list(like))
    result = evaluate_many(built, [*experts, *ours], paths=paths, seed=seed, scenario=scenario.name)
    # The mean with every move's expectation in place of the move is the same with less chance in it; it is
    # not known of everybody where the price has a memory or traders are informed.
    known = all(np.isfinite(measures["expected_pnl"]).all() for measures in result)
    summaries = [_summary(measures, "expected_pnl" if known else "pnl") for measures in result]
    experts_summaries, mine = summaries[: len(experts)], summaries[len(experts) :]
    counts = makers(np.array([one["pnl"] for one in experts_summaries]))
    trading = [one for one, does in zip(experts_summaries, counts, strict=True) if does]
    bar = {
        "pnl": max(one["pnl"] for one in trading),
        "sharpe": max(one["sharpe"] for one in trading),
        "max_drawdown": min(one["max_drawdown"] for one in trading),
        UTILITY: max(one[UTILITY] for one in experts_summaries),
    }
    return [
        {"market": market, "scenario": scenario.name, "dial": dial}
        | one
        | {f"bar_{name}": value for name, value in bar.items()}
        for dial, one in zip(dials, mine, strict=True)
    ]


def evaluate_dials(
    policy: Policy,
    family: Sequence[Scenario],
    dials: Sequence[float],
    paths: int,
    seed: int,
    folder: Path | None = None,
    progress: Progress = no_progress,
) -> pl.DataFrame:
    """Judge a policy at several dials in every scenario of a family.

    Args:
        policy: with a regime adapter.
        family: from `flowhft.learn.regime.family.draw_family`.
        dials: risk dials.
        paths: sessions of each scenario, the same for every dial and expert.
        seed: of the run.
        folder: where finished scenarios are kept, from which an interrupted call goes on; None keeps none.
        progress: told after every scenario.

    Returns:
        A row per scenario and dial: market, scenario, dial, pnl, sharpe, max_drawdown, utility, and bar_M:
        metric M of the best expert (`flowhft.learn.regime.baselines`), money in tick x lot.
    """
    rows: list[dict[str, Any]] = []
    finished = Finished(folder, JSON)
    like = {market: [one for one in family if market_of(one) == market] for market in map(market_of, family)}
    for number, scenario in enumerate(family):
        progress(number / len(family), f"{number} of {len(family)} random scenarios")
        rows += finished.get(
            f"{number:04d}",
            lambda where=scenario: _evaluated(policy, where, like[market_of(where)], dials, paths, seed),  # type: ignore[misc]
        )
    return pl.DataFrame(rows)


def held_out_table(rows: pl.DataFrame) -> pl.DataFrame:
    """Return how a policy does against the best expert of each scenario, by market and dial.

    Args:
        rows: from `evaluate_dials`.

    Returns:
        Columns market (`all` for all of them) and those of `TABLE_UNITS`.
    """
    informed = pl.col("market").is_in([name for name in EXPERTS if by_utility(name)])
    better = pl.all_horizontal("better_pnl", "better_sharpe", "better_drawdown")
    rows = rows.with_columns(
        better_pnl=pl.col("pnl") > pl.col("bar_pnl"),
        better_sharpe=pl.col("sharpe") > pl.col("bar_sharpe"),
        better_drawdown=pl.col("max_drawdown") < pl.col("bar_max_drawdown"),
        better_utility=pl.col(UTILITY) > pl.col(f"bar_{UTILITY}"),
    ).with_columns(better_all=better)
    rows = rows.with_columns(won=pl.when(informed).then("better_utility").otherwise("better_all"))

    def ratio(metric: str) -> pl.Expr:
        whole = pl.col(metric).filter(pl.col(f"bar_{metric}") > 0.0)
        return (whole / pl.col(f"bar_{metric}").filter(pl.col(f"bar_{metric}") > 0.0)).median()

    together = pl.concat([rows, rows.with_columns(market=pl.lit("all"))])
    return together.group_by("market", "dial", maintain_order=True).agg(
        scenarios=pl.len().cast(pl.Int64),
        pnl_ratio=ratio("pnl"),
        sharpe_ratio=ratio("sharpe"),
        drawdown_ratio=ratio("max_drawdown"),
        **{name: pl.col(name).mean() for name in TABLE_UNITS if name.startswith("better")},
        won=pl.col("won").mean(),
    )


def choose_dial(table: pl.DataFrame) -> float:
    """Return the dial at which most held-out scenarios are won; of equals the one that risks less."""
    rows = table.filter(pl.col("market") == "all").sort("won", "dial", descending=True)
    return float(rows["dial"][0])
