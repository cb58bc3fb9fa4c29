"""Misses: where the best expert is not beaten, by whom, and what the numbers themselves say of why.

A reason is derived, not written, and only said where the numbers bear it out: an expert that all but stays at
home, one that is told the drift (beside the same one without), one that trades less and earns less, one that
risks more; and the settings of the risk dial at which the same cell is won.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from flowhft.learn.regime.baselines import BASELINES, by_utility
from flowhft.metrics.estimators import RISK_WEIGHT
from flowhft.metrics.table import METRICS
from flowhft.policies import rules
from flowhft.report.numbers import count, share, significant
from flowhft.studies.learned.lineup import OURS
from flowhft.studies.learned.wins import EXPERTS, THREE, UTILITY, makers_of

AT_HOME = 0.1  # of our fills: who has fewer hardly trades
COLUMNS = {
    **dict.fromkeys(("market", "scenario", "metric", "rival"), pl.String),
    **dict.fromkeys(("ours", "theirs", "gain", "low", "high"), pl.Float64),
    "reason": pl.String,
}


def misses_of(wins: pl.DataFrame, cells: pl.DataFrame, dial: pl.DataFrame | None) -> pl.DataFrame:
    """Return every cell and metric of the targets in which the best expert is not beaten, and why.

    Args:
        wins: from `flowhft.studies.learned.wins.wins_of`.
        cells: from `flowhft.studies.learned.cells.rows_of`.
        dial: from `flowhft.studies.learned.dial.dial_in`; None where the dial was not turned.

    Returns:
        Columns of `COLUMNS`: gain, low and high as in wins.
    """
    rows = []
    missed = wins.filter((pl.col("policy") == OURS) & (pl.col("against") == EXPERTS) & ~pl.col("better"))
    for row in missed.iter_rows(named=True):
        market, scenario = row["market"], row["scenario"]
        if row["metric"] not in ((UTILITY,) if by_utility(market) else THREE):
            continue
        here = cells.filter((pl.col("market") == market) & (pl.col("scenario") == scenario))
        result = {one["policy"]: one for one in here.iter_rows(named=True)}
        messages = [reason_of(row["metric"], result[OURS], result[row["rival"]], result)]
        if row["low"] is not None and row["low"] < 0.0 < row["high"]:
            messages.append("which may be chance")
        rivals = makers_of({name: result[name]["pnl"] for name in BASELINES if name in result})
        if won := settings_that_win(dial, market, scenario, rivals):
            settings, sessions = ", ".join(f"{setting:g}" for setting in won[0]), count(won[1])
            messages.append(f"all three metrics are better at dial {settings} ({sessions} sessions)")
        rows.append(row | {"reason": "; ".join(messages)})
    return pl.DataFrame([{name: row[name] for name in COLUMNS} for row in rows], schema=COLUMNS)


def reason_of(
    metric: str,
    ours: Mapping[str, Any],
    theirs: Mapping[str, Any],
    results: Mapping[str, Mapping[str, Any]],
) -> str:
    """Say what distinguishes the expert that is not beaten.

    Args:
        metric: in which it is not.
        ours: every metric of our policy.
        theirs: of the expert.
        results: of every policy of the cell.
    """
    plain = rules.get(theirs["rule"]).without_drift if theirs["rule"] else ""
    without_drift = next((one for one in results.values() if plain and one["rule"] == plain), None)
    if theirs["fills"] < AT_HOME * ours["fills"]:
        reason = (
            f"it all but stays at home, {significant(theirs['fills'])} fills a session to our "
            f"{significant(ours['fills'])}"
        )
        if metric != UTILITY:
            return reason
        return (
            f"{reason}; our PnL of {significant(ours['pnl'])} has a standard deviation of "
            f"{significant(ours['pnl_deviation'])}, and utility pays above a Sharpe ratio of {RISK_WEIGHT:g}"
        )
    if without_drift is not None and better_by(metric, theirs, without_drift) > 0.0:
        return (
            f"it is told the drift; without it, it has {significant(without_drift[metric])} "
            f"(`{without_drift['policy']}`)"
        )
    if theirs["fills"] < ours["fills"] and 0.0 < theirs["pnl"] < ours["pnl"]:
        return f"it trades less, and earns {share(theirs['pnl'] / ours['pnl'])} of our PnL"
    if theirs["pnl_deviation"] > ours["pnl_deviation"]:
        return (
            f"it risks more: its PnL has a standard deviation of {significant(theirs['pnl_deviation'])}, "
            f"ours {significant(ours['pnl_deviation'])}"
        )
    return "the numbers give none"


def better_by(metric: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> float:
    """Return by how much one is better than the other, in the metric's unit; NaN where one has no number.

    Args:
        metric: of the three or the utility.
        one: every metric of a policy.
        other: of another.
    """
    if one[metric] is None or other[metric] is None:
        return float("nan")
    down = metric in METRICS and METRICS[metric].direction < 0
    return (other[metric] - one[metric]) if down else (one[metric] - other[metric])


def settings_that_win(
    dial: pl.DataFrame | None, market: str, scenario: str, rivals: Sequence[str]
) -> tuple[list[float], int] | None:
    """Return the settings of the dial that beat every expert that counts in a cell, in all three metrics.

    Args:
        dial: from `flowhft.studies.learned.dial.dial_in`; None for none.
        market: of the cell.
        scenario: the cell.
        rivals: experts that count there.

    Returns:
        The settings and the sessions by which they were judged; None where no setting does, or where the dial
        was not turned beside all of them.
    """
    if dial is None:
        return None
    here = dial.filter((pl.col("market") == market) & (pl.col("scenario") == scenario))
    experts = {row["policy"]: row for row in here.filter(pl.col("dial").is_null()).iter_rows(named=True)}
    if not rivals or not set(rivals) <= set(experts):
        return None
    tried = here.filter((pl.col("policy") == OURS) & pl.col("dial").is_not_null()).sort("dial")
    won = [
        row["dial"]
        for row in tried.iter_rows(named=True)
        if all(better_by(metric, row, experts[name]) > 0.0 for metric in THREE for name in rivals)
    ]
    return (won, tried["paths"][0]) if won else None
