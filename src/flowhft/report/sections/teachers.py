"""The teachers: which expert is best where, and by how much."""

import polars as pl

from flowhft.report import look, numbers
from flowhft.report.charts import LEVEL, Styles
from flowhft.report.evidence import Evidence
from flowhft.report.markup import Markup, cell, element, join, note, paragraph, table, text
from flowhft.report.sections.comparison import breakable


def content(evidence: Evidence, styles: Styles) -> Markup | None:
    """Write the map of scores, scenario x expert, each expert at its best risk aversion."""
    teachers = evidence.table("demonstrate/teachers")
    if teachers is None:
        return None
    chosen = (
        teachers.filter("chosen").group_by("expert", maintain_order=True).len().sort("len", descending=True)
    )
    counts = ", ".join(f"{name} in {times}" for name, times in chosen.iter_rows())
    scenarios = teachers["scenario"].n_unique()
    intro = (
        f"In each of {scenarios} scenarios the expert with the best score was taken as the teacher: {counts}."
    )
    return join([paragraph(intro), score_map(teachers), note(_NOTE)])


_NOTE = (
    f"Score of each expert at its best risk aversion γ, ± half of its {LEVEL} interval; deeper blue is nearer to the "
    "best of the line, ★ is the teacher that was chosen."
)


def score_map(teachers: pl.DataFrame) -> Markup:
    """Write scores, scenario x expert, tinted by how near they come to the best of their scenario.

    Args:
        teachers: one row a scenario, expert and risk aversion.
    """
    experts = teachers["expert"].unique(maintain_order=True).to_list()
    # The row that was chosen stands for its expert; elsewhere the best score does.
    top = teachers.sort(["chosen", "score"], descending=True, nulls_last=True).unique(
        ["scenario", "expert"], keep="first"
    )
    found = {(row["scenario"], row["expert"]): row for row in top.iter_rows(named=True)}
    lines = []
    for scenario in teachers["scenario"].unique(maintain_order=True).to_list():
        scores = [
            row["score"]
            for (where, _), row in found.items()
            if where == scenario and numbers.known(row["score"])
        ]
        best = max(scores, default=0.0)
        cells = [text(scenario)]
        for expert in experts:
            row = found.get((scenario, expert))
            if row is None or not numbers.known(row["score"]):
                cells.append(cell(numbers.NOTHING))
                continue
            # Share of the best score that is missing; a score below zero misses all of it.
            missing = min(1.0, (best - row["score"]) / abs(best)) if best else float(row["score"] < best)
            half = (row["score_high"] - row["score_low"]) / 2.0 if numbers.known(row["score_high"]) else None
            value, error = numbers.together(row["score"], half)
            spread = f" ±{error}" if error != numbers.NOTHING else ""
            small = element("small", f"{spread} γ {numbers.significant(row['risk_aversion'], 2)}")
            star = "★ " if row["chosen"] else ""
            tint = f"background:{look.faint(look.BLUE, 0.45 * (1.0 - missing) ** 2)}"
            cells.append(cell(star, value, small, style=tint, class_="best" if row["chosen"] else ""))
        lines.append(cells)
    return table(["", *map(breakable, experts)], lines, class_="map")
