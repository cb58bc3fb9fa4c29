"""The teachers: which expert is best where, and by how much."""

from typing import Any

import polars as pl

from flowhft.report import numbers, theme
from flowhft.report.charts import LEVEL, Styles
from flowhft.report.evidence import Evidence
from flowhft.report.markup import Markup, cell, element, figure, folded, join, note, paragraph, table, text
from flowhft.report.sections.comparison import breakable
from flowhft.report.sections.winners import caption, is_grid, winners_map, wins_bars

_LONG = 30  # scenarios beyond which the table opens on demand only


def content(evidence: Evidence, styles: Styles) -> Markup | None:
    """Write who wins where, and the map of scores, scenario x expert, each at its best risk aversion."""
    source = next((s for s in ("demonstrate/teachers", "select/selection") if _has(evidence, s)), None)
    if source is None:
        return None
    teachers = evidence.tables[source]
    choices = evidence.table("demonstrate/choices")
    chosen = (
        teachers.filter("chosen").group_by("expert", maintain_order=True).len().sort("len", descending=True)
    )
    counts = ", ".join(f"{name} in {times}" for name, times in chosen.iter_rows())
    scenarios = numbers.counted(teachers["scenario"].n_unique(), "scenario")
    unit = evidence.units.get(source, {}).get("score", "")
    intro = f"The teacher of a scenario is the expert with the best score there. Of {scenarios}: {counts}."
    remark = (
        f"Score{f' in {unit}' if unit else ''} of each expert at its best risk aversion γ, ± half of its "
        f"{LEVEL} interval, and the share of the time with both sides quoted. Deeper blue is nearer to the "
        "best of the line; ★ is the teacher. Who stays at home is no candidate unless named as one."
    )
    parts: list[Markup] = [paragraph(intro)]
    if choices is not None:
        candidates = teachers.drop_nulls("risk_aversion")["expert"].unique(maintain_order=True).to_list()
        parts += _who_wins(choices, candidates)
        remark += (
            " Margins, paired, are over the best candidate of another expert: on the sessions that chose, "
            "which flatter the choice, and on fresh ones, which do not."
        )
    scores = [score_map(teachers, choices), note(remark)]
    parts += [folded("Every scenario", *scores)] if teachers["scenario"].n_unique() > _LONG else scores
    return join(parts)


def _has(evidence: Evidence, table: str) -> bool:
    return evidence.table(table) is not None


def _who_wins(choices: pl.DataFrame, experts: list[str]) -> list[Markup]:
    """Write how often who wins, and over a grid of scenarios where."""
    ties = choices.filter("tie").height
    parts = [
        paragraph(
            f"In {ties} of {choices.height} it is a tie: on fresh sessions, another expert cannot be told "
            "from the choice."
        )
    ]
    if choices.height > 1:
        words = (
            "In how many scenarios each expert is the best candidate, by each criterion; hatched where it is "
            "a tie."
        )
        parts.append(figure(wins_bars(choices, experts), words))
    if is_grid(choices):
        parts.append(figure(winners_map(choices, experts), caption()))
    return parts


def score_map(teachers: pl.DataFrame, choices: pl.DataFrame | None = None) -> Markup:
    """Write scores, scenario x expert, tinted by how near they come to the best of their scenario.

    Args:
        teachers: one row a scenario, expert and risk aversion.
        choices: one row a scenario, with the margins of its choice, if there are.
    """
    experts = teachers["expert"].unique(maintain_order=True).to_list()
    # The row that was chosen stands for its expert; elsewhere the best score does.
    top = teachers.sort(["chosen", "score"], descending=True, nulls_last=True).unique(
        ["scenario", "expert"], keep="first"
    )
    result = {(row["scenario"], row["expert"]): row for row in top.iter_rows(named=True)}
    margins = {} if choices is None else {row["scenario"]: row for row in choices.iter_rows(named=True)}
    lines = []
    for scenario in teachers["scenario"].unique(maintain_order=True).to_list():
        scores = [
            row["score"]
            for (where, _), row in result.items()
            if where == scenario and numbers.known(row["score"]) and row["risk_aversion"] is not None
        ]
        best = max(scores, default=0.0)
        cells = [text(scenario)]
        for expert in experts:
            row = result.get((scenario, expert))
            if row is None or not numbers.known(row["score"]):
                cells.append(cell(numbers.NOTHING))
                continue
            # Share of the best score that is missing; a score below zero misses all of it.
            missing = min(1.0, (best - row["score"]) / abs(best)) if best else float(row["score"] < best)
            half = (row["score_high"] - row["score_low"]) / 2.0 if numbers.known(row["score_high"]) else None
            value, error = numbers.together(row["score"], half)
            spread = element("small", f" ±{error}") if error != numbers.NOTHING else ""
            line = element("small", _caption(row), class_="line")
            star = "★ " if row["chosen"] else ""
            tint = f"background:{theme.faint(theme.BLUE, 0.45 * (1.0 - missing) ** 2)}"
            cells.append(cell(star, value, spread, line, style=tint, class_="best" if row["chosen"] else ""))
        if choices is not None:
            row = margins.get(scenario, {})
            cells += [cell(_margin(row, "margin")), cell(_margin(row, "fresh_margin"))]
            cells.append(cell(row.get("ties", "").replace(",", ", ") or "none"))
        lines.append(cells)
    more = [] if choices is None else ["margin", "on fresh sessions", "ties with"]
    return table(["scenario", *map(breakable, experts), *more], lines, class_="map")


def _caption(row: dict[str, Any]) -> str:
    """Return what stands below a score: the risk aversion, and how much of the time quotes stood."""
    gamma, quoting = row["risk_aversion"], row.get("quoting_ratio")
    words = [] if gamma is None else [f"γ {numbers.exact(gamma)}"]
    words += [] if quoting is None else [f"quotes {numbers.share(round(quoting, 2))}"]
    return ", ".join(words)


def _margin(choice: dict[str, Any], name: str) -> str:
    value, half = choice.get(name), None
    if numbers.known(choice.get(f"{name}_low")) and numbers.known(choice.get(f"{name}_high")):
        half = (choice[f"{name}_high"] - choice[f"{name}_low"]) / 2.0
    written, error = numbers.together(value, half)
    return written if error == numbers.NOTHING else f"{written} ±{error}"
