"""The targets of the shipped policy: what was aimed at, what was found."""

import polars as pl

from flowhft.report import look, numbers
from flowhft.report.charts import Styles
from flowhft.report.evidence import Evidence
from flowhft.report.markup import Markup, cell, element, join, note, subtitle, table
from flowhft.report.sections.learned.words import TITLES

_VERDICTS = {
    True: ("hit", look.BLUE),
    False: ("missed", look.VERMILION),
    None: ("not all cells judged", look.GREY),
}
_WIDE = "display:block;white-space:normal;max-width:32em"


def content(evidence: Evidence, styles: Styles) -> Markup | None:
    """Write one row a target."""
    targets = evidence.table("learned/targets")
    if targets is None:
        return None
    rows = []
    for row in targets.iter_rows(named=True):
        word, colour = _VERDICTS[row["hit"]]
        rows.append(
            [
                element("span", row["wanted"], style=_WIDE),
                cell(element("b", word), style=f"background:{look.faint(colour, 0.2)};text-align:center"),
                cell(f"{row['found']:g} of {row['of']}", style="white-space:nowrap"),
                f"{row['needed']:g}",
                row["misses"] or "none",
            ]
        )
    remark = (
        "Best expert: metric by metric, of Avellaneda-Stoikov (with the volatility in price units, and raw "
        "with the right sign), GLFT and GLFT-drift as the paper ran them. One that hardly trades has no "
        "drawdown either, which no maker can undercut: an expert counts in a cell if it earns at least "
        "half of what the best of them earns. In utility all of them count."
    )
    shown: list[object] = [
        table(["target", "", "found", "needed", "cells that miss it"], rows, class_="words"),
        note(remark),
    ]
    misses = evidence.table("learned/misses")
    if misses is not None and misses.height:
        shown += [subtitle("Where the best expert is not beaten"), _misses(misses)]
    return join(shown)


def _misses(misses: pl.DataFrame) -> Markup:
    """Write one row a cell and metric, with the reason that the numbers give."""
    rows = [
        [
            row["scenario"],
            row["market"],
            TITLES[row["metric"]],
            numbers.significant(row["ours"]),
            numbers.significant(row["theirs"]),
            element("code", row["rival"]),
            element("span", row["reason"].replace("`", ""), style=_WIDE),
        ]
        for row in misses.iter_rows(named=True)
    ]
    return table(["cell", "market", "metric", "ours", "theirs", "by", "reason"], rows, class_="words")


def headline(evidence: Evidence) -> list[str]:
    """Return the verdict in sentences; nothing where there is none."""
    sentences, targets = evidence.table("learned/sentences"), evidence.table("learned/targets")
    if sentences is None:
        return []
    found = []
    if targets is not None:
        judged = targets.filter(pl.col("hit").is_not_null())
        if judged.height:
            found.append(f"The shipped policy hits {int(judged['hit'].sum())} of {judged.height} targets.")
    sections = (
        ("cells", "worth", "unseen") if targets is not None else sentences["section"].unique().to_list()
    )
    for section in sections:
        found += sentences.filter(pl.col("section") == section)["sentence"].to_list()[:3]
    return found[:5] or sentences["sentence"].to_list()[:5] or ["Nothing was judged yet."]
