"""Trained again from other seeds: how much of what a policy reaches is the luck of one training."""

from collections.abc import Sequence

import numpy as np
import polars as pl
from scipy.stats import permutation_test

from flowhft.learn.regime.baselines import by_utility
from flowhft.studies.learned.lineup import OURS, PLAIN, Member, saved
from flowhft.studies.learned.wins import EXPERTS, THREE, UTILITY, wins_of

# What is counted in a cell: better than the best expert in all three metrics, in utility; surely: at the
# confidence of the intervals.
COUNTED = ("all_three", "all_three_surely", "useful", "useful_surely")
MOST_ORDERS = 1e6  # of trainings that an exact test goes through


def trained_again(policies: Sequence[str], controls: Sequence[str]) -> dict[str, tuple[str, int, Member]]:
    """Return trainings of the policy and of its control: name in a judgement -> whose, which, and itself.

    Args:
        policies: what `flowhft.policies.names.find_policy` takes, the one that the page is about
            first.
        controls: likewise, of the plain network.
    """
    result = {}
    for whose, places in ((OURS, policies), (PLAIN, controls)):
        for number, where in enumerate(places):
            name = f"{whose}.{number}"
            result[name] = (whose, number, saved(name, where))
    return result


def repeats_in(
    results: pl.DataFrame, margins: pl.DataFrame, names: dict[str, tuple[str, int, Member]]
) -> pl.DataFrame:
    """Return what every training reaches in every cell.

    Args:
        results: from `flowhft.studies.learned.cells.rows_of`.
        margins: likewise, against the experts of the bar.
        names: from `trained_again`.

    Returns:
        Columns market, scenario, policy (whose training), family, rule, role, training (its number), paths,
        the `COUNTED`, and pnl, sharpe, max_drawdown and utility.
    """
    metrics = (*THREE, UTILITY)
    wins = wins_of(results, margins, [EXPERTS])
    values = {(row["market"], row["scenario"], row["policy"]): row for row in results.iter_rows(named=True)}
    rows = []
    for (market, cell, name), part in wins.group_by("market", "scenario", "policy", maintain_order=True):
        by_metric = {row["metric"]: row for row in part.iter_rows(named=True)}
        whose, number, member = names[str(name)]
        evaluated = values[market, cell, name]
        row = {"market": market, "scenario": cell, **member.row, "policy": whose, "training": number}
        row |= {"paths": evaluated["paths"]}
        for ending, column in (("", "better"), ("_surely", "surely")):
            row[f"all_three{ending}"] = all(by_metric[metric][column] for metric in THREE)
            row[f"useful{ending}"] = by_metric[UTILITY][column]
        rows.append(row | {metric: evaluated[metric] for metric in metrics})
    return pl.DataFrame(rows, infer_schema_length=None)


def with_wins(repeats: pl.DataFrame) -> pl.DataFrame:
    """Add what counts as a win in each market, `won` and `won_surely`: all three metrics, or utility.

    Args:
        repeats: from `repeats_in`.
    """
    useful = pl.col("market").map_elements(by_utility, return_dtype=pl.Boolean)
    return repeats.with_columns(
        pl.when(useful).then(pl.col(f"useful{end}")).otherwise(pl.col(f"all_three{end}")).alias(f"won{end}")
        for end in ("", "_surely")
    )


def chance_of(ours: Sequence[int], control: Sequence[int]) -> float:
    """Return the probability that trainings of one kind differ by as much: an exact permutation test.

    The statistic is the difference of the means. Nothing is assumed of its law: counts of cells end at 24.

    Args:
        ours: cells won by each training, at least two.
        control: likewise.
    """

    def apart(one: np.ndarray, other: np.ndarray, axis: int) -> np.ndarray:
        return np.mean(one, axis=axis) - np.mean(other, axis=axis)

    return float(
        permutation_test((ours, control), apart, vectorized=True, n_resamples=MOST_ORDERS, rng=0).pvalue
    )


def repeat_counts(repeats: pl.DataFrame) -> pl.DataFrame:
    """Count the cells that each training wins.

    Args:
        repeats: from `with_wins`.

    Returns:
        One row per market, policy and training: cells, and how many of them for each of `COUNTED` and won.
    """
    keys = ["market", "policy", "training"]
    counted = (pl.col(name).cast(pl.Int64).sum() for name in (*COUNTED, "won", "won_surely"))
    return repeats.group_by(keys, maintain_order=True).agg(pl.len().alias("cells"), *counted)


def often_missed(repeats: pl.DataFrame, column: str) -> list[tuple[str, int]]:
    """Return cells that some training misses, with how many do, the most first.

    Args:
        repeats: of one market and policy.
        column: of `COUNTED`, or won.
    """
    missed = repeats.filter(~pl.col(column)).group_by("scenario", maintain_order=True).len()
    return [(row[0], row[1]) for row in missed.sort("len", descending=True, maintain_order=True).iter_rows()]


def relative_spread(repeats: pl.DataFrame, metric: str) -> float:
    """Return the median over cells of the standard deviation over trainings, relative to their mean.

    Args:
        repeats: of one market and policy, two trainings or more.
        metric: a column.
    """
    cells = repeats.group_by("scenario").agg(
        pl.col(metric).std().alias("deviation"), pl.col(metric).mean().abs().alias("mean")
    )
    result = cells.select((pl.col("deviation") / pl.col("mean")).median()).item()
    return float("nan") if result is None else float(result)
