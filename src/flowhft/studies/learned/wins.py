"""Wins: a policy against the best of a set of rivals, metric by metric, and how often it wins.

The best rival is chosen for each metric and cell by its estimate: nobody has to be best in all. In some sets
only who makes a market counts (`flowhft.learn.regime.baselines`), but for utility, where everybody does.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from flowhft.learn.regime.baselines import BASELINES, makers
from flowhft.metrics.table import METRICS
from flowhft.studies.learned.lineup import CLOSED_FORMS, WRITTEN
from flowhft.types import Interval

THREE = ("pnl", "sharpe", "max_drawdown")
UTILITY = "utility"
COMPARED = (*THREE, UTILITY)

# What a faithful imitation is compared with: its teacher; flow matching, and itself, at the most evaluations.
AGAINST_TEACHER, AGAINST_EULER, AGAINST_ITSELF = "teacher", "flow_matching", "itself"
# Set of rivals -> their names, and whether only those that make a market count. Every other member of a
# line-up is a set of its own.
EXPERTS = "experts"
SETS: dict[str, tuple[tuple[str, ...], bool]] = {
    EXPERTS: (BASELINES, True),
    "experts, those that hardly trade too": (WRITTEN, False),
    "all closed forms": (CLOSED_FORMS, True),
}


def oriented(metric: str, difference: Interval) -> Interval:
    """Return a difference such that more is better.

    Args:
        metric: of `COMPARED`.
        difference: ours minus theirs.
    """
    if metric in METRICS and METRICS[metric].direction < 0:
        return Interval(-difference.value, -difference.high, -difference.low)
    return difference


def makers_of(pnl: Mapping[str, float]) -> list[str]:
    """Return who makes a market, see `flowhft.learn.regime.baselines.makers`.

    Args:
        pnl: of every rival.
    """
    counts = makers(np.array(list(pnl.values()))) if pnl else ()
    return [name for name, does in zip(pnl, counts, strict=True) if does]


def rivals_in(results: Mapping[str, Mapping[str, Any]], names: Sequence[str], trading: bool) -> list[str]:
    """Return who of a set counts in a cell.

    Args:
        results: of the cell, by policy.
        names: of the set.
        trading: whether those that hardly trade are left out.
    """
    present = {name: results[name]["pnl"] for name in names if name in results}
    return makers_of(present) if trading else list(present)


def wins_of(results: pl.DataFrame, margins: pl.DataFrame, only: Sequence[str] | None = None) -> pl.DataFrame:
    """Set every learned policy against every set of rivals, cell by cell and metric by metric.

    Args:
        results: from `flowhft.studies.learned.cells.rows_of`.
        margins: likewise.
        only: sets that policies are set against; all of them by default.

    Returns:
        Columns market, scenario, policy, against (the set), metric, rival (the best there), ours, theirs,
        gain, low, high (paired, against that rival, positive where ours is better), better and surely (at the
        confidence of the intervals, against every rival of the set).
    """
    rows: list[dict[str, Any]] = []
    singles = [
        name
        for name, role in results.select("policy", "role").unique(maintain_order=True).iter_rows()
        if role not in ("expert", "baseline")
    ]
    sets = SETS | {name: ((name,), False) for name in singles}
    sets = {name: of for name, of in sets.items() if only is None or name in only}
    for (market, scenario), result in results.group_by("market", "scenario", maintain_order=True):
        by_policy = {row["policy"]: row for row in result.iter_rows(named=True)}
        here = margins.filter((pl.col("market") == market) & (pl.col("scenario") == scenario))
        paired = {(r["policy"], r["rival"], r["metric"]): r for r in here.iter_rows(named=True)}
        for policy in (name for name, row in by_policy.items() if row["role"] == "learned"):
            for against, (names, trading) in sets.items():
                for metric in COMPARED:
                    counting = rivals_in(by_policy, names, trading and metric != UTILITY)
                    rivals = [name for name in counting if name != policy]
                    if not rivals:
                        continue
                    all_of_them = {rival: paired[policy, rival, metric] for rival in rivals}
                    rival = min(rivals, key=lambda name: _nan_last(all_of_them[name]["gain"]))
                    one = all_of_them[rival]
                    rows.append(
                        {"market": market, "scenario": scenario, "policy": policy, "against": against}
                        | {"metric": metric, "rival": rival}
                        | {"ours": by_policy[policy][metric], "theirs": by_policy[rival][metric]}
                        | {"gain": one["gain"], "low": one["low"], "high": one["high"]}
                        | {"better": all(_above(r["gain"]) for r in all_of_them.values())}
                        | {"surely": all(_above(r["low"]) for r in all_of_them.values())}
                    )
    return pl.DataFrame(rows, infer_schema_length=None)


def _above(value: float | None) -> bool:
    return value is not None and value > 0.0


def _nan_last(value: float | None) -> float:
    return float("inf") if value is None or value != value else value


def counts_of(wins: pl.DataFrame) -> pl.DataFrame:
    """Count the cells in which a policy wins.

    Args:
        wins: from `wins_of`.

    Returns:
        One row per market, policy and set: cells, all_three and all_three_surely (PnL, Sharpe ratio and
        drawdown at once), for each metric M of `COMPARED` M (cells with a better one) and M_surely, and
        M_gain: the median over cells of the gain relative to the rival's size.
    """
    rows = []
    for (market, policy, against), result in wins.group_by(
        "market", "policy", "against", maintain_order=True
    ):
        row: dict[str, Any] = {"market": market, "policy": policy, "against": against}
        row["cells"] = result["scenario"].n_unique()
        three = result.filter(pl.col("metric").is_in(THREE)).group_by("scenario")
        for name, column in (("all_three", "better"), ("all_three_surely", "surely")):
            row[name] = int(three.agg(pl.col(column).all())[column].sum())
        for metric in COMPARED:
            part = result.filter(pl.col("metric") == metric)
            relative = part.select(pl.col("gain") / pl.col("theirs").abs()).to_series()
            row[metric], row[f"{metric}_surely"] = int(part["better"].sum()), int(part["surely"].sum())
            row[f"{metric}_gain"] = relative.median()
        rows.append(row)
    return pl.DataFrame(rows, infer_schema_length=None)
