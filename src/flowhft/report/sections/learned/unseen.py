"""Markets never seen: what learned policies, experts and the oracle come to there."""

from typing import Any

from flowhft.report import look
from flowhft.report.charts import LEVEL, Styles
from flowhft.report.evidence import Evidence
from flowhft.report.markup import Markup, cell, join, note, subtitle, table
from flowhft.report.sections.learned.words import THREE, TITLES, said, written


def content(evidence: Evidence, styles: Styles) -> Markup | None:
    """Write one table a market; learned policies are tinted where they beat the best expert or not."""
    unseen = evidence.table("learned/unseen")
    if unseen is None:
        return None
    parts: list[object] = [said(evidence, "unseen")]
    for (market,), found in unseen.group_by("market", maintain_order=True):
        rows = [
            [
                f"{line['scenario']} {line['policy']}",
                *(_number(line, metric) for metric in THREE),
                *(written(line, name) for name in ("spread_pnl", "inventory_pnl", "rms_inventory")),
            ]
            for line in found.iter_rows(named=True)
        ]
        head = ["", *(TITLES[name] for name in (*THREE, "spread_pnl", "inventory_pnl", "rms_inventory"))]
        parts += [subtitle(f"{str(market).capitalize()} market"), table(head, rows, class_="map")]
    parts.append(
        note(
            f"Blue: a learned policy is better than the best expert at {LEVEL}, orange: worse, paired. "
            "Storms have 20 times as many jumps as the paper's, bursts five times the volatility for a "
            "sixth of the time, H 0.1 and 0.9 more memory than any market of the training."
        )
    )
    return join(parts)


def _number(line: dict[str, Any], metric: str) -> Markup:
    low, high = line.get(f"{metric}_gain_low"), line.get(f"{metric}_gain_high")
    colour = (
        ""
        if low is None or high is None
        else look.BLUE
        if low > 0.0
        else look.VERMILION
        if high < 0.0
        else ""
    )
    style = f"background:{look.faint(colour, 0.25)}" if colour else ""
    return cell(written(line, metric), style=style)
