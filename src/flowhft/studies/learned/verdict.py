"""The verdict: every target, hit or missed, and every miss with its reason."""

from collections.abc import Iterator, Mapping

import polars as pl

from flowhft.learn.regime.baselines import BASELINES, LEAST_SHARE
from flowhft.metrics.table import CONFIDENCE
from flowhft.report.blocks import Block, Cell, Heading, Sentence, table
from flowhft.report.numbers import plus_minus, share, significant
from flowhft.studies.learned.sentences import WORDS

NARROW = "\u00a0"  # a space at which no line is broken
NOTHING = "–"
VERDICTS = {True: Cell("**hit**", 0.5), False: Cell("**missed**", -0.5), None: Cell("not all cells judged")}
SECTIONS = ("cells", "worth", "unseen")  # whose first sentences say most


def targets_blocks(targets: pl.DataFrame, misses: pl.DataFrame | None) -> Iterator[Block]:
    """Write the targets, and where and why the best expert is not beaten.

    Args:
        targets: from `flowhft.studies.learned.targets.table_of`.
        misses: from `flowhft.studies.learned.misses.misses_of`; None where no cells were judged.
    """
    yield Sentence(
        "The best expert is that of "
        + ", ".join(f"`{name}`" for name in BASELINES)
        + ", metric by metric. One that hardly trades has no drawdown either, which no maker can "
        f"undercut: an expert counts in a cell if it earns at least {share(LEAST_SHARE)} of what the best "
        "of them earns there. In utility all of them count."
    )
    yield table(
        ("target", "found", "needed", "verdict", "misses"),
        [
            (
                row["wanted"],
                f"{row['found']:g} of {row['of']}",
                f"{row['needed']:g}",
                VERDICTS[row["hit"]],
                row["misses"] or NOTHING,
            )
            for row in targets.iter_rows(named=True)
        ],
        ("verdict", "misses"),
    )
    if misses is None or not misses.height:
        return
    yield Heading("Where the best expert is not beaten")
    yield Sentence(
        "Gain: by how much ours is better, negative where theirs is, with half its paired interval at "
        f"{share(CONFIDENCE)}."
    )
    yield table(
        ("cell", "market", "metric", "ours", "theirs", "gain", "by", "reason"),
        [
            (
                row["scenario"],
                row["market"],
                WORDS[row["metric"]],
                significant(row["ours"]),
                significant(row["theirs"]),
                significant(row["gain"])
                if row["low"] is None
                else plus_minus(row["gain"], 0.5 * (row["high"] - row["low"]), NARROW),
                f"`{row['rival']}`",
                row["reason"],
            )
            for row in misses.iter_rows(named=True)
        ],
        ("market", "metric", "by", "reason"),
    )


def headline(tables: Mapping[str, pl.DataFrame]) -> list[str]:
    """Return what matters most, in sentences.

    Args:
        tables: from `flowhft.studies.learned.findings.tables_of`.
    """
    sentences, targets = tables["sentences"], tables.get("targets")
    results = []
    if targets is not None and (evaluated := targets.filter(pl.col("hit").is_not_null())).height:
        results.append(
            f"The shipped policy hits {int(evaluated['hit'].sum())} of {evaluated.height} targets."
        )
    for section in SECTIONS if targets is not None else sentences["section"].unique(maintain_order=True):
        results += sentences.filter(pl.col("section") == section)["sentence"].to_list()[:3]
    return results[:5] or sentences["sentence"].to_list()[:5] or ["Nothing was judged yet."]
