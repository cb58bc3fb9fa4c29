"""The risk dial: PnL against drawdown over its settings, one panel a cell, beside experts and the oracle."""

import math

import plotly.graph_objects as go
import polars as pl

from flowhft.report import look, numbers
from flowhft.report.charts import Styles
from flowhft.report.evidence import Evidence
from flowhft.report.look import Style
from flowhft.report.markup import Markup, cell, figure, folded, join, note, row, subtitle, table
from flowhft.report.sections.comparison import key_of
from flowhft.report.sections.learned.words import OURS, THREE, TITLES, said

_HARD = "T1.LL"  # never reached by one setting: shown large
_PRINTED = "printed Finetuned"
_SMALL, _LARGE = 240, 380  # heights, pixels


def content(evidence: Evidence, styles: Styles) -> Markup | None:
    """Write the hardest cell large, then every cell as a small panel."""
    points = evidence.table("learned/dial")
    if points is None:
        return None
    reached = evidence.table("learned/dial_printed")
    printed = (
        {line["scenario"]: line for line in reached.iter_rows(named=True)} if reached is not None else {}
    )
    names = points["policy"].unique(maintain_order=True).to_list()
    parts: list[object] = [
        said(evidence, "dial"),
        note(
            "One line is one policy at several settings of its dial, or the oracle at several risk "
            "aversions; marks are policies without a dial, the star is the printed Finetuned row. Up and "
            "to the left is better. The oracle does not know of the price's memory."
        ),
        key_of(names, styles),
    ]
    hard = points.filter(pl.col("scenario") == _HARD)
    if hard.height:
        parts += [
            subtitle(f"{_HARD}: PnL, drawdown and Sharpe ratio"),
            row(
                _panel(hard, styles, "max_drawdown", printed.get(_HARD), _LARGE, "PnL against drawdown"),
                _panel(hard, styles, "sharpe", printed.get(_HARD), _LARGE, "PnL against Sharpe ratio"),
            ),
        ]
    panels = [
        _panel(found, styles, "max_drawdown", printed.get(str(scenario)), _SMALL, str(scenario))
        for (scenario,), found in points.group_by("scenario", maintain_order=True)
    ]
    parts.append(subtitle("Every cell: PnL against drawdown"))
    parts += [row(*panels[i : i + 4], small=True) for i in range(0, len(panels), 4)]
    if reached is not None:
        parts.append(folded("At the setting that beats most of the printed row", _reached(reached)))
    return join(parts)


def _panel(
    points: pl.DataFrame, styles: Styles, x: str, printed: dict[str, float] | None, height: int, title: str
) -> Markup:
    small = height == _SMALL
    plot = look.blank("" if small else TITLES[x], "" if small else "PnL", height, title)
    seen: list[tuple[float, float]] = []
    for (name,), found in points.group_by("policy", maintain_order=True):
        style = styles.get(str(name), Style(look.GREY, "solid", 1.7))
        swept = found["dial"].null_count() == 0
        word = "dial" if name == OURS else "γ"
        found = found.sort("dial") if swept else found
        plot.add_trace(
            go.Scatter(
                x=found[x].to_list(),
                y=found["pnl"].to_list(),
                mode="lines+markers" if swept else "markers",
                name=str(name),
                meta=str(name),
                text=[
                    f"{word} {numbers.exact(value)}" if value is not None else "" for value in found["dial"]
                ],
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
        if name == OURS or not swept:
            seen += [(a, b) for a, b in found.select(x, "pnl").iter_rows() if a is not None and b is not None]
    if printed:
        at = (printed[f"{x}_printed"], printed["pnl_printed"])
        seen.append(at)
        plot.add_trace(
            go.Scatter(
                x=[at[0]],
                y=[at[1]],
                mode="markers",
                name=_PRINTED,
                marker={"symbol": "star", "size": 11, "color": look.INK},
                hovertemplate="printed Finetuned: %{x:.3g}, %{y:.3g}<extra></extra>",
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
    return figure(plot, "")


def _reached(reached: pl.DataFrame) -> Markup:
    rows = []
    for line in reached.iter_rows(named=True):
        cells: list[object] = [line["scenario"], numbers.exact(line["dial"]), f"{line['better']} of 3"]
        for metric in THREE:
            direction = -1.0 if metric == "max_drawdown" else 1.0
            better = direction * (line[metric] - line[f"{metric}_printed"]) > 0.0
            tint = look.faint(look.BLUE if better else look.VERMILION, 0.25)
            text = f"{numbers.significant(line[metric])} | {line[f'{metric}_printed']:.2f}"
            cells.append(cell(text, style=f"background:{tint}"))
        rows.append(cells)
    return table(["cell", "dial", "better in", *(TITLES[m] for m in THREE)], rows, class_="map")
