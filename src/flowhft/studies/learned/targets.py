"""Targets: what the shipped policy was to reach, what it reaches, hit or missed."""

from typing import Any, NamedTuple

import polars as pl

from flowhft.studies.learned.lineup import OURS
from flowhft.studies.learned.wins import AGAINST_EULER, AGAINST_TEACHER, EXPERTS, THREE, oriented
from flowhft.studies.paper import printed_tables
from flowhft.types import Interval

CELLS = 24
SURELY_PAPER, CORRECT, PRINTED = 21, 20, 20  # of 24 cells, what was aimed at
NEARLY = 0.01  # relative PnL below the best expert's that a cell of the correct market may have
FAITHFUL, AT_ONCE = 0.03, 0.01  # relative differences
# How a policy of one evaluation came by it, in words.
HOW_LEARNED = {"rectified": "distilled", "flow_map": "flow map", "shortcut": "shortcut"}
FINETUNED, PRINTED_PRETRAINED = "flow_finetuned", "flow_pretrained"


class Target(NamedTuple):
    """A target and what was found of it.

    Attributes:
        section: of the page.
        name: a few words.
        wanted: the whole target, one sentence.
        found: what was counted or measured.
        needed: from where on it is hit.
        of: cells that were counted.
        hit: whether it is reached; None where not all cells that it speaks of were judged.
        misses: what missed it.
    """

    section: str
    name: str
    wanted: str
    found: float
    needed: float
    of: int
    hit: bool | None
    misses: str = ""


def cell_targets(wins: pl.DataFrame, printed: pl.DataFrame) -> list[Target]:
    """Return the targets that the judgement in the test cells decides.

    Args:
        wins: from `flowhft.studies.learned.wins.wins_of`.
        printed: from `against_printed`.
    """
    ours = wins.filter((pl.col("policy") == OURS) & (pl.col("against") == EXPERTS))
    results: list[Target] = []
    for (market,), part in ours.group_by("market", maintain_order=True):
        by_cell = {
            str(cell): {row["metric"]: row for row in rows.iter_rows(named=True)}
            for (cell,), rows in part.group_by("scenario", maintain_order=True)
        }
        results += _IN_MARKET[str(market)](by_cell)
    mine = printed.filter((pl.col("policy") == OURS) & (pl.col("row") == FINETUNED))
    if mine.height:
        good = {
            str(cell): bool(rows["better"].all())
            for (cell,), rows in mine.group_by("scenario", maintain_order=True)
        }
        results.append(
            _counted(
                "cells",
                "the printed Finetuned row",
                f"paper market: all three metrics better than the printed Finetuned row in {PRINTED} of "
                f"{CELLS} cells with one setting of the dial",
                good,
                PRINTED,
            )
        )
    return results


def dial_target(reached: pl.DataFrame) -> list[Target]:
    """Return the target that the risk dial decides.

    Args:
        reached: from `flowhft.studies.learned.dial.printed_reached`.
    """
    if not reached.height:
        return []
    good = {row["scenario"]: row["better"] == len(THREE) for row in reached.iter_rows(named=True)}
    wanted = f"the same with the dial set per cell, in {CELLS} of {CELLS}"
    return [_counted("dial", "the printed Finetuned row, dial per cell", wanted, good, CELLS)]


def imitation_targets(imitation: pl.DataFrame) -> list[Target]:
    """Return the targets that the faithful imitations decide.

    Args:
        imitation: from `flowhft.studies.learned.faithful.faithful_in`, all cells.
    """
    most = max(imitation["steps"].to_list())
    results = []
    if faithful := _near(imitation, "flow_matching", most, AGAINST_TEACHER, FAITHFUL):
        wanted = (
            f"imitation: PnL, Sharpe ratio and drawdown of a flow policy ({most} Euler steps) that is told "
            f"the market within {100 * FAITHFUL:g} % of its teacher's in every cell"
        )
        results.append(_counted("imitation", "imitation", wanted, faithful, CELLS))
    ways = {way: _near(imitation, way, 1, AGAINST_EULER, AT_ONCE) for way in HOW_LEARNED}
    ways = {way: good for way, good in ways.items() if good}
    if ways:
        best = max(ways, key=lambda way: sum(ways[way].values()))
        tried = ", ".join(f"{HOW_LEARNED[way]} ({sum(good.values())})" for way, good in ways.items())
        wanted = (
            f"one evaluation within {100 * AT_ONCE:g} % of {most} Euler steps of flow matching in every "
            f"cell, by the best of: {tried}"
        )
        results.append(_counted("imitation", "one evaluation", wanted, ways[best], CELLS))
    return results


def _near(imitation: pl.DataFrame, objective: str, steps: int, rival: str, within: float) -> dict[str, bool]:
    """Return in which cells a policy is that near to a rival, in all three metrics."""
    rows = imitation.filter(
        (pl.col("objective") == objective) & (pl.col("steps") == steps) & (pl.col("against") == rival)
    )
    return {
        row["scenario"]: all(abs(row[metric]) <= within for metric in THREE)
        for row in rows.iter_rows(named=True)
    }


def surely_apart(rows: pl.DataFrame, within: float) -> int:
    """Return in how many cells a metric differs by more than that beyond its interval.

    Args:
        rows: of one policy against one rival, a row a cell.
        within: relative difference.
    """
    apart = [(pl.col(f"{metric}_low") > within) | (pl.col(f"{metric}_high") < -within) for metric in THREE]
    return rows.filter(pl.any_horizontal(apart)).height


def _paper(cells: dict[str, dict[str, dict[str, Any]]]) -> list[Target]:
    return [
        _counted(
            "cells",
            "paper market",
            f"paper market: PnL, Sharpe ratio and drawdown all better than the best expert's, metric by "
            f"metric, in {CELLS} of {CELLS} cells",
            {cell: all(row[m]["better"] for m in THREE) for cell, row in cells.items()},
            CELLS,
        ),
        _counted(
            "cells",
            "paper market, at 99 %",
            f"the same at 99 %, paired, in at least {SURELY_PAPER}",
            {cell: all(row[m]["surely"] for m in THREE) for cell, row in cells.items()},
            SURELY_PAPER,
        ),
    ]


def _correct(cells: dict[str, dict[str, dict[str, Any]]]) -> list[Target]:
    def nearly(row: dict[str, dict[str, Any]]) -> bool:
        pnl = row["pnl"]
        close = pnl["gain"] >= -NEARLY * abs(pnl["theirs"])
        return close and all(row[metric]["surely"] for metric in ("sharpe", "max_drawdown"))

    better = {cell: all(row[m]["better"] for m in THREE) for cell, row in cells.items()}
    return [
        _counted(
            "cells",
            "correct market",
            f"correct market: all three better in at least {CORRECT} of {CELLS} cells",
            better,
            CORRECT,
        ),
        _counted(
            "cells",
            "correct market, the rest",
            f"in the rest a PnL not more than {100 * NEARLY:g} % below, Sharpe ratio and drawdown better at "
            "99 %",
            {cell: better[cell] or nearly(row) for cell, row in cells.items()},
            CELLS,
        ),
    ]


def _informed(cells: dict[str, dict[str, dict[str, Any]]]) -> list[Target]:
    return [
        _counted(
            "cells",
            "informed market",
            f"informed market: a better utility than every expert's in {CELLS} of {CELLS} cells",
            {cell: row["utility"]["better"] for cell, row in cells.items()},
            CELLS,
        )
    ]


_IN_MARKET = {"paper": _paper, "correct": _correct, "informed": _informed}


def _counted(section: str, name: str, wanted: str, good: dict[str, bool], needed: int) -> Target:
    result = sum(good.values())
    misses = ", ".join(cell for cell, is_good in good.items() if not is_good)
    hit = result >= needed if len(good) == CELLS else None
    return Target(section, name, wanted, result, needed, len(good), hit, misses)


def against_printed(results: pl.DataFrame, policies: list[str]) -> pl.DataFrame:
    """Lay learned policies beside the paper's printed Pretrained and Finetuned rows.

    Args:
        results: of the paper's market (`flowhft.studies.learned.cells.rows_of`).
        policies: which.

    Returns:
        Columns scenario, policy, row (flow_pretrained or flow_finetuned), metric, printed, ours, low, high,
        better (than the number as printed) and surely (its interval, too: the paper prints no error).
    """
    mine = {
        (row["scenario"], row["policy"]): row
        for row in results.filter(pl.col("market") == "paper").iter_rows(named=True)
    }
    rows = []
    for line in printed_tables().iter_rows(named=True):
        if line["policy"] not in (FINETUNED, PRINTED_PRETRAINED):
            continue
        for policy in policies:
            if not (row := mine.get((line["scenario"], policy))):
                continue
            for metric in THREE:
                value = Interval(*(row[f"{metric}{end}"] for end in ("", "_low", "_high")))
                gain = oriented(metric, Interval(*(part - line[metric] for part in value)))
                rows.append(
                    {"scenario": line["scenario"], "policy": policy, "row": line["policy"]}
                    | {"metric": metric, "printed": line[metric], "ours": value.value}
                    | {"low": value.low, "high": value.high}
                    | {"better": gain.value > 0.0, "surely": gain.low > 0.0}
                )
    return pl.DataFrame(rows, schema=_PRINTED_SCHEMA)


_PRINTED_SCHEMA = {
    **dict.fromkeys(("scenario", "policy", "row", "metric"), pl.String),
    **dict.fromkeys(("printed", "ours", "low", "high"), pl.Float64),
    **dict.fromkeys(("better", "surely"), pl.Boolean),
}
TARGET_SCHEMA = {
    **dict.fromkeys(("section", "name", "wanted"), pl.String),
    **dict.fromkeys(("found", "needed"), pl.Float64),
    "of": pl.Int64,
    "hit": pl.Boolean,
    "misses": pl.String,
}


def table_of(targets: list[Target]) -> pl.DataFrame:
    """Return targets as a table, one row each."""
    return pl.DataFrame([target._asdict() for target in targets], schema=TARGET_SCHEMA)
