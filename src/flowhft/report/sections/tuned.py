"""The tuned controls: what was chosen for each expert and scenario, and what it gains on fresh sessions."""

from typing import Any

from flowhft.report import numbers
from flowhft.report.charts import LEVEL, Styles
from flowhft.report.evidence import Evidence
from flowhft.report.markup import Markup, cell, join, note, paragraph, table, text


def content(evidence: Evidence, styles: Styles) -> Markup | None:
    """Write a line per scenario and expert: the choice, and its gain on both kinds of sessions."""
    tuning = evidence.table("tune/tuning")
    if tuning is None:
        return None
    unit = evidence.units.get("tune/tuning", {}).get("score", "")
    lines = [
        [
            text(row["scenario"]),
            cell("★ " if row["chosen"] else "", row["expert"], class_="best" if row["chosen"] else ""),
            *(numbers.exact(row[name]) for name in ("risk_aversion", "scale")),
            *(numbers.significant(row[name]) for name in ("offset_bid", "offset_ask", "skew")),
            *(_gain(row, name) for name in ("validation", "fresh")),
        ]
        for row in tuning.iter_rows(named=True)
    ]
    head = [
        *("scenario", "expert", "γ", "scale", "offset bid, ticks", "offset ask, ticks", "skew, ticks / lot"),
        *("gain on validation sessions", "gain on fresh sessions"),
    ]
    intro = (
        "For each scenario, the risk aversion γ of every expert was chosen on validation sessions, then a "
        "small map behind it: scale × half-spread + offset, leaning with the inventory by the skew. A "
        "learned policy that does not beat this control was not worth its training."
    )
    remark = (
        f"Gains{f', {unit}' if unit else ''}, paired, ± half of their {LEVEL} interval, over the same expert "
        "at the scenario's own risk aversion and without a map. ★ is the best of a scenario on validation "
        "sessions, which flatter whatever they chose; fresh sessions do not."
    )
    return join([paragraph(intro), table(head, lines), note(remark)])


def _gain(row: dict[str, Any], name: str) -> str:
    value, low, high = (row[f"{name}{end}"] for end in ("", "_low", "_high"))
    half = (high - low) / 2.0 if numbers.known(low) and numbers.known(high) else None
    written, error = numbers.together(value, half)
    return written if error == numbers.NOTHING else f"{written} ±{error}"
