"""The risk dial, drawn: PnL against drawdown over its settings, one panel a cell, beside everybody else."""

import math
from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go
import polars as pl

from flowhft.policies.origin import origins_in
from flowhft.policies.rules.no_quote import NO_QUOTE
from flowhft.report import theme
from flowhft.report.blocks import Block, figures
from flowhft.report.numbers import exact
from flowhft.report.theme import Style
from flowhft.studies.learned.lineup import OURS
from flowhft.studies.learned.sentences import HARD, WORDS

PRINTED = "printed Finetuned"
SMALL, LARGE = 240, 380  # heights, pixels


def dial_figures(points: pl.DataFrame, reached: pl.DataFrame | None) -> list[Block]:
    """Draw the hardest cell large, then every cell as a small panel.

    Args:
        points: from `flowhft.studies.learned.dial.dial_in`, all cells.
        reached: from `flowhft.studies.learned.dial.printed_reached`; None for no printed row.
    """
    rows = [] if reached is None else reached.to_dicts()
    printed = {row["scenario"]: row for row in rows}
    styles = theme.styles_of(origins_in([points]), OURS)
    key = [(name, *style) for name, style in styles.items()]
    results: list[Block] = []
    hard = points.filter(pl.col("scenario") == HARD)
    if hard.height:
        two = [
            _panel(hard, styles, x, printed.get(HARD), LARGE, f"PnL against {WORDS[x]}")
            for x in ("max_drawdown", "sharpe")
        ]
        results.append(figures(two, f"{HARD}, the hardest cell.", key=key))
    panels = [
        _panel(here, styles, "max_drawdown", printed.get(str(scenario)), SMALL, str(scenario))
        for (scenario,), here in points.group_by("scenario", maintain_order=True)
    ]
    caption = (
        "PnL against drawdown. One line is one policy at several settings of its dial, or the oracle at "
        "several risk aversions; marks are policies without a dial, the star is the printed Finetuned row. "
        "Up and to the left is better. The oracle does not know of the price's memory."
    )
    return [*results, figures(panels, caption, small=True, key=[] if results else key)]


def _panel(
    points: pl.DataFrame,
    styles: Mapping[str, Style],
    x: str,
    printed: Mapping[str, Any] | None,
    height: int,
    title: str,
) -> go.Figure:
    small = height == SMALL
    plot = theme.blank("" if small else WORDS[x], "" if small else WORDS["pnl"], height, title)
    seen: list[tuple[float, float]] = []
    for (name, rule), result in points.group_by("policy", "rule", maintain_order=True):
        style = styles[str(name)]
        swept = result["dial"].null_count() == 0
        word = "dial" if name == OURS else "γ"
        result = result.sort("dial") if swept else result
        plot.add_trace(
            go.Scatter(
                x=result[x].to_list(),
                y=result["pnl"].to_list(),
                mode="lines+markers" if swept else "markers",
                name=str(name),
                meta=str(name),
                text=[f"{word} {exact(value)}" if value is not None else "" for value in result["dial"]],
                hovertemplate="%{x:.3g}, %{y:.3g} %{text}",
                line={"color": style.colour, "dash": style.dash, "width": style.width},
                marker={
                    "color": style.colour,
                    "size": 5 if swept else 8,
                    "symbol": "circle" if swept else "diamond",
                    "line": {"color": "white", "width": 0 if swept else 1},
                },
            )
        )
        if name == OURS or not (swept or rule == NO_QUOTE):  # who stays at home is far from everybody
            seen += [
                (a, b) for a, b in result.select(x, "pnl").iter_rows() if a is not None and b is not None
            ]
    if printed:
        at = (printed[f"{x}_printed"], printed["pnl_printed"])
        seen.append(at)
        plot.add_trace(
            go.Scatter(
                x=[at[0]],
                y=[at[1]],
                mode="markers",
                name=PRINTED,
                marker={"symbol": "star", "size": 11, "color": theme.INK},
                hovertemplate=f"{PRINTED}: %{{x:.3g}}, %{{y:.3g}}<extra></extra>",
            )
        )
    finite = [(a, b) for a, b in seen if math.isfinite(a) and math.isfinite(b)]
    if finite:
        for axis, values in (("x", [a for a, _ in finite]), ("y", [b for _, b in finite])):
            low, high = min(values), max(values)
            room = 0.12 * max(high - low, 0.05 * abs(high), 1e-6)
            plot.update_layout({f"{axis}axis": {"range": [low - room, high + room]}})
    plot.update_layout(hovermode="closest")
    if small:
        plot.update_layout(margin={"l": 40, "r": 8, "b": 32})
    return plot
