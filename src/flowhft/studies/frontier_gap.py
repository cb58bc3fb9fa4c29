"""Where a policy stands against the frontier: what the oracle earns at the same risk."""

import polars as pl

from flowhft.learn.frontier import reached_at

CURVE = "oracle_told"  # told all totals, the hidden drift of jumps included; not the price's memory
SWEPT = (CURVE, "oracle")


def placed(points: pl.DataFrame, curve: str = CURVE) -> pl.DataFrame:
    """Set every policy of a sweep against the frontier of its scenario.

    Args:
        points: `frontier.parquet` of `flowhft frontier`: one row a policy and risk aversion, null where the
            policy is not swept; columns scenario, policy, risk_aversion, pnl and pnl_deviation.
        curve: the swept expert that is the frontier.

    Returns:
        Columns scenario, policy, pnl, pnl_deviation, frontier_pnl (what the frontier earns at that deviation,
        null left of where it begins) and below (frontier_pnl - pnl).
    """
    rows = []
    for _, result in points.group_by("scenario", maintain_order=True):
        frontier = result.filter(
            (pl.col("policy") == curve) & pl.col("risk_aversion").is_not_null()
        ).to_dicts()
        for row in result.filter(pl.col("risk_aversion").is_null()).iter_rows(named=True):
            reached = reached_at(frontier, row["pnl_deviation"])
            offered = reached if reached == reached else None
            rows.append(
                {name: row[name] for name in ("scenario", "policy", "pnl", "pnl_deviation")}
                | {"frontier_pnl": offered, "below": None if offered is None else offered - row["pnl"]}
            )
    numbers = ("pnl", "pnl_deviation", "frontier_pnl", "below")
    schema = {"scenario": pl.String, "policy": pl.String} | dict.fromkeys(numbers, pl.Float64)
    return pl.DataFrame(rows, schema=schema)
