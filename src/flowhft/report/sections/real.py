"""Real recordings: what every policy made of every one, and what was refused."""

import polars as pl

from flowhft.report import numbers
from flowhft.report.charts import LEVEL, Styles
from flowhft.report.evidence import Evidence
from flowhft.report.markup import Markup, cell, element, join, note, paragraph, subtitle, table
from flowhft.report.sections.comparison import breakable

_SECTIONS = (("judged", "On the unseen part"), ("walks", "Walking forward"))


def headline(evidence: Evidence) -> list[str]:
    """Return what all policies came to, in sentences; nothing where there are no real recordings."""
    sentences = evidence.table("real/sentences")
    if sentences is None:
        return []
    return [
        _plain(sentences.filter(pl.col("section") == key)["sentence"][0])
        for key, _ in _SECTIONS
        if key in sentences["section"]
    ]


def _plain(sentence: str) -> str:
    """Return a sentence of the Markdown page as text: names without marks."""
    return sentence.replace("`", "")


def content(evidence: Evidence, styles: Styles) -> Markup | None:
    """Write the sentences of the page, a table a judgement, and the refusals."""
    sentences = evidence.table("real/sentences")
    if sentences is None or not headline(evidence):  # other pages have sentences too, of other sections
        return None
    parts: list[object] = [
        paragraph(
            "PnL is per session in the currency of the recording; bold where "
            f"its {LEVEL} interval leaves out zero."
        )
    ]
    for key, title in _SECTIONS:
        said = sentences.filter(pl.col("section") == key)["sentence"].to_list()
        rows = evidence.table(f"real/{key}")
        if said:
            parts += [subtitle(title), element("ul", *(element("li", _plain(text)) for text in said))]
        if rows is not None:
            parts.append(earned(rows))
    refusals = evidence.table("real/refusals")
    if refusals is not None:
        lines = [[row["recording"], row["stage"], row["reason"]] for row in refusals.iter_rows(named=True)]
        parts += [subtitle("Refused"), table(["recording", "stage", "why"], lines, class_="words")]
    parts.append(note("Intervals say how far chance goes within a recording, not how other days would be."))
    return join(parts)


def earned(judged: pl.DataFrame) -> Markup:
    """Return the PnL of every policy on every recording, with its interval.

    Args:
        judged: one row a recording and policy.
    """
    policies = judged["policy"].unique(maintain_order=True).to_list()
    lines = []
    for (recording,), rows in judged.group_by("recording", maintain_order=True):
        known = {row["policy"]: row for row in rows.iter_rows(named=True)}
        cells: list[object] = [str(recording)]
        for policy in policies:
            row = known.get(policy)
            if row is None:
                cells.append(numbers.NOTHING)
                continue
            low, high = row["pnl_low"], row["pnl_high"]
            sure = low is not None and high is not None and (low > 0.0 or high < 0.0)
            spread = element("small", numbers.between(low, high, row["pnl"]))
            cells.append(cell(numbers.significant(row["pnl"]), spread, class_="best" if sure else ""))
        lines.append(cells)
    return table(["", *map(breakable, policies)], lines, class_="metrics")
