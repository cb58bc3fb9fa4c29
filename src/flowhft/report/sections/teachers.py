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
    scenarios = numbers.counted(teachers["scenario"].n_unique(), "scenario")
    unit = evidence.units.get("demonstrate/teachers", {}).get("score", "")
    intro = f"The teacher of a scenario is the expert with the best score there. Of {scenarios}: {counts}."
    remark = (
        f"Score{f' in {unit}' if unit else ''} of each expert at its best risk aversion γ, ± half of its "
        f"{LEVEL} interval. Deeper blue is nearer to the best of the line; ★ is the teacher; its margin, "
        "paired, is over the next best candidate, which may be the same expert at another risk aversion."
    )
    return join([paragraph(intro), score_map(teachers), note(remark)])


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
    with_margin = "margin" in teachers.columns
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
            spread = element("small", f" ±{error}") if error != numbers.NOTHING else ""
            told = element("small", f"γ {numbers.exact(row['risk_aversion'])}", class_="line")
            star = "★ " if row["chosen"] else ""
            tint = f"background:{look.faint(look.BLUE, 0.45 * (1.0 - missing) ** 2)}"
            cells.append(cell(star, value, spread, told, style=tint, class_="best" if row["chosen"] else ""))
        if with_margin:
            cells.append(cell(_margin(teachers.filter(pl.col("chosen") & (pl.col("scenario") == scenario)))))
        lines.append(cells)
    margin = ["margin"] if with_margin else []
    return table(["scenario", *map(breakable, experts), *margin], lines, class_="map")


def _margin(chosen: pl.DataFrame) -> str:
    row = next(chosen.iter_rows(named=True), {})
    value, half = row.get("margin"), None
    if numbers.known(row.get("margin_low")) and numbers.known(row.get("margin_high")):
        half = (row["margin_high"] - row["margin_low"]) / 2.0
    written, error = numbers.together(value, half)
    return written if error == numbers.NOTHING else f"{written} ±{error}"
