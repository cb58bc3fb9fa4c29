"""Who wins where: the map of the chosen expert over a grid of scenarios, and how often each one wins."""

import itertools
import math
from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go
import polars as pl
from plotly.subplots import make_subplots

from flowhft.policies.origin import origin_of_rule
from flowhft.report import numbers, theme
from flowhft.report.charts import LEVEL

# Column of the table of choices -> what people read, from the inner axis of a panel to the panels themselves.
ACROSS = {"base_intensity": "rate", "drift": "drift"}
DOWN = {"hurst_exponent": "H", "volatility": "volatility"}
PANELS_ACROSS = {"jump_intensity": "jumps"}
PANELS_DOWN = {"dt": "dt"}
_AXES = {**ACROSS, **DOWN, **PANELS_ACROSS, **PANELS_DOWN}

_TIE = 0.42  # opacity of a cell that is a tie
_GAP = 0.16  # between the groups of a panel, in cells
# For experts that share a colour elsewhere in the report, where their lines differ in dash.
_SPARE = (theme.ORANGE, theme.PURPLE, theme.VERMILION, "#F0E442", "#7B4F2E")
_CRITERIA = {"pnl": "PnL", "sharpe": "Sharpe ratio", "utility": "utility"}


class _Axis(NamedTuple):
    """One direction of a panel: an inner variable within the groups of an outer one.

    Attributes:
        position_of: (outer value, inner value) -> column of the heat map, gaps counted.
        edges: of the columns.
        centres: of the columns.
        labels: (centre, text) of the inner values, and of the outer ones.
    """

    position_of: dict[tuple[float, float], int]
    edges: list[float]
    centres: list[float]
    inner: list[tuple[float, str]]
    outer: list[tuple[float, str]]


def is_grid(choices: pl.DataFrame) -> bool:
    """Whether the scenarios are a full grid over the axes that the map has, in two directions at least."""
    if not set(_AXES) <= set(choices.columns):
        return False
    sizes = [choices[name].n_unique() for name in _AXES]
    varied = sum(size > 1 for size in sizes)
    return (
        varied >= 2
        and choices.height == math.prod(sizes)
        and choices.height == choices.select(list(_AXES)).unique().height
    )


def colours_of(experts: list[str]) -> dict[str, str]:
    """Return a colour of its own for every expert: that of its lines elsewhere, if it is free."""
    spare, colours = iter(_SPARE), dict[str, str]()
    for name, style in theme.styles_of({name: origin_of_rule(name) for name in experts}).items():
        taken = style.colour in colours.values()
        colours[name] = next(spare, theme.GREY) if taken else style.colour
    return colours


def winners_map(choices: pl.DataFrame, experts: list[str]) -> go.Figure:
    """Draw the expert chosen in every scenario of a grid: a panel per dt and jump rate, a cell per scenario.

    Args:
        choices: one row a scenario, a full grid (see `is_grid`).
        experts: every candidate, in the order in which they are shown.
    """
    colours = colours_of(experts)
    across, down = _axis(choices, *reversed(ACROSS)), _axis(choices, *reversed(DOWN))
    values_across, values_down = (
        sorted(choices[next(iter(axis))].unique().to_list()) for axis in (PANELS_ACROSS, PANELS_DOWN)
    )
    row_height = 21.0 * len(down.inner)
    plot = make_subplots(
        rows=len(values_down),
        cols=len(values_across),
        horizontal_spacing=0.02,
        vertical_spacing=0.13 / max(1, len(values_down) - 1) if len(values_down) > 1 else 0.0,
        shared_xaxes="all",
        shared_yaxes="all",
        subplot_titles=[
            f"dt {numbers.exact(dt)} s, jumps {numbers.exact(jumps)} / s"
            for dt, jumps in itertools.product(values_down, values_across)
        ],
    )
    steps = [colour for name in experts for colour in (colours[name], _mixed(colours[name], _TIE))]
    scale = [[end / len(steps), colour] for i, colour in enumerate(steps) for end in (i, i + 1)]
    for (row, dt), (column, jumps) in itertools.product(
        enumerate(values_down, 1), enumerate(values_across, 1)
    ):
        panel = choices.filter((pl.col("dt") == dt) & (pl.col("jump_intensity") == jumps))
        cells = np.full((len(down.centres), len(across.centres)), np.nan)
        words = np.full(cells.shape, "", object)
        ties: list[tuple[float, float]] = []
        for choice in panel.iter_rows(named=True):
            x = across.position_of[choice["drift"], choice["base_intensity"]]
            y = down.position_of[choice["volatility"], choice["hurst_exponent"]]
            cells[y, x] = 2 * experts.index(choice["expert"]) + bool(choice["tie"])
            words[y, x] = _caption(choice)
            if choice["tie"]:
                ties.append((across.centres[x], down.centres[y]))
        heat = go.Heatmap(
            x=across.edges,
            y=down.edges,
            z=cells,
            text=words,
            hovertemplate="%{text}<extra></extra>",
            hoverongaps=False,
            zmin=0,
            zmax=len(steps),
            colorscale=scale,
            showscale=False,
            xgap=1,
            ygap=1,
        )
        # A colour stands at the middle of its step, so that rounding cannot move it into the next.
        heat.z = cells + 0.5
        plot.add_trace(heat, row=row, col=column)
        mark = {"symbol": "line-ne", "size": 8, "line": {"width": 1.3, "color": theme.INK}}
        at = {"x": [x for x, _ in ties], "y": [y for _, y in ties]}
        plot.add_trace(
            go.Scatter(**at, mode="markers", marker=mark, hoverinfo="skip", showlegend=False),
            row=row,
            col=column,
        )
    _dress(plot, across, down, row_height, len(values_down))
    for name in experts:
        plot.add_trace(_key(name, {"symbol": "square", "size": 13, "color": colours[name]}))
    tie = {"symbol": "line-ne", "size": 9, "line": {"width": 1.5, "color": theme.INK}}
    plot.add_trace(_key("paler, struck through: a tie", tie))
    return plot


def wins_bars(choices: pl.DataFrame, experts: list[str]) -> go.Figure:
    """Draw how often every expert wins by each criterion, ties apart.

    Args:
        choices: one row a scenario.
        experts: every candidate, in the order in which they are shown.
    """
    colours = colours_of(experts)
    criteria = [name for name in _CRITERIA if f"winner_{name}" in choices.columns][::-1]
    plot = theme.blank("scenarios", "", 120 + 38 * len(criteria))
    for name, tie in itertools.product(experts, (False, True)):
        counts = [
            choices.filter((pl.col(f"winner_{c}") == name) & (pl.col(f"tie_{c}") == tie)).height
            for c in criteria
        ]
        if not any(counts):
            continue
        called = f"{name}, tied" if tie else name
        plot.add_trace(
            go.Bar(
                y=[_CRITERIA[c] for c in criteria],
                x=counts,
                name=called,
                orientation="h",
                text=[str(count) if count >= 0.03 * choices.height else "" for count in counts],
                textposition="inside",
                insidetextanchor="middle",
                textangle=0,
                textfont={"color": theme.INK if tie else _legible(colours[name])},
                hovertemplate=f"{called}: %{{x}}<extra></extra>",
                marker={
                    "color": _mixed(colours[name], _TIE) if tie else colours[name],
                    "pattern": {
                        "shape": "/" if tie else "",
                        "fillmode": "overlay",
                        "size": 7,
                        "fgcolor": theme.INK,
                        "fgopacity": 0.5,
                        "solidity": 0.12,
                    },
                    "line": {"width": 0.6, "color": "white"},
                },
            )
        )
    plot.update_layout(barmode="stack", bargap=0.3, showlegend=True, hovermode="closest")
    plot.update_layout(legend={"traceorder": "normal"}, margin={"t": 56, "l": 96})
    plot.update_xaxes(range=[0, choices.height], **({"dtick": 1} if choices.height <= 10 else {}))
    return plot


def caption() -> str:
    """Return what the map shows, in words."""
    return (
        "The expert chosen in every scenario. Within a panel, columns are arrival rates within drifts and "
        "rows Hurst exponents within volatilities; touch a cell for its margins. A tie: on fresh sessions, "
        f"the {LEVEL} interval of the paired difference does not tell another expert from the choice."
    )


def _axis(choices: pl.DataFrame, outer: str, inner: str) -> _Axis:
    index: dict[tuple[float, float], int] = {}
    edges, centres = [0.0], []
    inner_labels, outer_labels = [], []
    for group, value in enumerate(sorted(choices[outer].unique().to_list())):
        if group:
            centres.append(edges[-1] + _GAP / 2)
            edges.append(edges[-1] + _GAP)
        begin = edges[-1]
        for item in sorted(choices[inner].unique().to_list()):
            index[value, item] = len(centres)
            centres.append(edges[-1] + 0.5)
            edges.append(edges[-1] + 1.0)
            inner_labels.append((centres[-1], numbers.exact(item)))
        outer_labels.append(((begin + edges[-1]) / 2, f"{_AXES[outer]} {numbers.exact(value)}"))
    return _Axis(index, edges, centres, inner_labels, outer_labels)


def _dress(plot: go.Figure, across: _Axis, down: _Axis, row_height: float, rows: int) -> None:
    """Label the panels: inner values as ticks, outer values beside them, once per row and column."""
    plot.update_layout(
        template="none",
        height=round(rows * (row_height + 62) + 110),
        margin={"l": 128, "r": 8, "t": 84, "b": 64},
        font={
            "family": "system-ui, -apple-system, 'Segoe UI', Roboto, Arial, sans-serif",
            "size": 12,
            "color": theme.INK,
        },
        legend={"orientation": "h", "y": 1.0, "yref": "container", "yanchor": "top", "x": 0.0},
        paper_bgcolor="white",
        plot_bgcolor="white",
        hovermode="closest",
    )
    plain: dict[str, Any] = {"showgrid": False, "zeroline": False, "ticks": "", "fixedrange": True}
    for axis, update in ((across, plot.update_xaxes), (down, plot.update_yaxes)):
        centres, words = zip(*axis.inner, strict=True)
        update(tickvals=centres, ticktext=words, range=[axis.edges[0], axis.edges[-1]], tickfont={"size": 11})
        update(**plain)
    plot.update_annotations(font={"size": 13})
    for axis_x, axis_y in zip(plot.select_xaxes(row=rows), plot.select_yaxes(row=rows), strict=True):
        for centre, word in across.outer:
            _label(plot, x=centre, y=0.0, text=word, axes=(axis_x, axis_y), below=True)
    for axis_x, axis_y in zip(plot.select_xaxes(col=1), plot.select_yaxes(col=1), strict=True):
        for centre, word in down.outer:
            _label(plot, x=0.0, y=centre, text=word, axes=(axis_x, axis_y), below=False)
    first_x, first_y = (
        next(iter(select(row=rows, col=1))) for select in (plot.select_xaxes, plot.select_yaxes)
    )
    _label(plot, x=0.0, y=0.0, text="rate", axes=(first_x, first_y), below=True, corner=-16)
    _label(plot, x=0.0, y=0.0, text="H", axes=(first_x, first_y), below=False, corner=-2)


def _label(
    plot: go.Figure,
    *,
    x: float,
    y: float,
    text: str,
    axes: tuple[Any, Any],
    below: bool,
    corner: int | None = None,
) -> None:
    """Write the value of an outer variable below or left of a panel; `corner` names an inner variable."""
    names = [axis.plotly_name.replace("axis", "") for axis in axes]
    anchor: dict[str, Any] = {"x": x, "y": y, "xref": names[0], "yref": names[1]}
    if below:
        anchor |= {"yref": f"{names[1]} domain", "y": 0.0, "yanchor": "top", "yshift": -20}
    else:
        anchor |= {"xref": f"{names[0]} domain", "x": 0.0, "xanchor": "right", "xshift": -30}
    if corner is not None:
        anchor |= (
            {"x": 0.0, "xref": f"{names[0]} domain", "xanchor": "right", "yshift": -3, "xshift": -8}
            if below
            else {"y": 1.0, "yref": f"{names[1]} domain", "yanchor": "bottom", "xshift": -6}
        )
    plot.add_annotation(text=text, showarrow=False, font={"size": 11, "color": theme.QUIET}, **anchor)


def _key(name: str, marker: dict[str, Any]) -> go.Scatter:
    return go.Scatter(x=[None], y=[None], mode="markers", name=name, marker=marker, showlegend=True)


def _caption(choice: dict[str, Any]) -> str:
    lines = [
        f"<b>{choice['expert']}</b> at γ {numbers.exact(choice['risk_aversion'])}",
        ", ".join(f"{word} {numbers.exact(choice[name])}" for name, word in _AXES.items()),
    ]
    if numbers.known(choice["fresh_margin"]):
        for words, name in (("margin", "margin"), ("on fresh sessions", "fresh_margin")):
            value, low, high = (choice[f"{name}{end}"] for end in ("", "_low", "_high"))
            written = numbers.together(value, low, high)
            lines.append(f"{words} {written[0]} ({written[1]} to {written[2]}) over {choice['rival_expert']}")
    if choice["tie"]:
        lines.append(f"tied with {choice['ties'].replace(',', ', ')}")
    return "<br>".join(lines)


def _mixed(colour: str, share: float) -> str:
    """Return a colour mixed with white: what an opacity would show, where a colour scale knows none."""
    parts = (round(255 - share * (255 - int(colour[at : at + 2], 16))) for at in (1, 3, 5))
    return f"#{''.join(f'{part:02x}' for part in parts)}"


def _legible(colour: str) -> str:
    """Return the colour of text on a colour: white on a dark one, ink on a light one."""
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return "white" if 0.299 * red + 0.587 * green + 0.114 * blue < 140 else theme.INK
