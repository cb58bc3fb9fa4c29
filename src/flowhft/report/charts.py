"""The kinds of figure that several sections share: tables in, figures out."""

from statistics import NormalDist

import numpy as np
import plotly.graph_objects as go
import polars as pl

from flowhft.metrics.table import CONFIDENCE
from flowhft.report import numbers, theme
from flowhft.report.theme import Style

Styles = dict[str, Style]
LEVEL = numbers.share(CONFIDENCE)
REACH = NormalDist().inv_cdf(
    0.5 + CONFIDENCE / 2.0
)  # standard errors from an estimate to the end of its interval


def _column(table: pl.DataFrame, name: str) -> np.ndarray:
    return table[name].cast(pl.Float64).to_numpy()


def _short(values: np.ndarray) -> np.ndarray:
    """Return values in the precision of a screen, a quarter of the page's weight."""
    return values.astype(np.float32)


def over_time(
    table: pl.DataFrame,
    column: str,
    unit: str,
    styles: Styles,
    title: str,
    height: int = 340,
    step: bool = False,
) -> go.Figure:
    """Draw a column against time, one line a policy, with a band where the table has `_low` and `_high`.

    Args:
        table: rows of one scenario, with `policy` and `time` in seconds.
        column: what to draw.
        unit: of the column.
        styles: of the policies.
        title: of the figure.
        height: pixels.
        step: whether the value holds until the next row, as an inventory does.
    """
    _, unit_of_time = theme.scaled_time(_column(table, "time"))
    longest = float(np.max(_column(table, "time"), initial=0.0))
    plot = theme.blank(f"time, {unit_of_time}", unit, height, title)
    banded = f"{column}_low" in table.columns
    parts = {str(name): rows for (name,), rows in table.group_by("policy", maintain_order=True)}
    lines: list[go.Scatter] = []
    for name, rows in parts.items():
        style = styles[name]
        values = _column(rows, column)
        kept = theme.thinned(values)
        scale = theme.scaled_time(np.array([longest]))[0][0] / longest if longest else 1.0
        time = _short(_column(rows, "time")[kept] * scale)
        if banded:
            low, high = (_column(rows, f"{column}{end}")[kept] for end in ("_low", "_high"))
            if np.isfinite(low).any():
                plot.add_trace(band(time, low, high, name, style.colour))
        shape = "hv" if step else "linear"
        line = {"color": style.colour, "dash": style.dash, "width": style.width, "shape": shape}
        lines.append(
            go.Scatter(x=time, y=_short(values[kept]), mode="lines", name=name, meta=name, line=line)
        )
    plot.add_traces(lines)  # above every band
    plot.update_xaxes(hoverformat=",.4~r")
    return plot


def band(
    x: np.ndarray, low: np.ndarray, high: np.ndarray, name: str, colour: str, opacity: float = 0.13
) -> go.Scatter:
    """Return the band between two curves, for the figure of the policy or quantity that it belongs to."""
    return go.Scatter(
        x=np.concatenate([x, x[::-1]]),
        y=_short(np.concatenate([high, low[::-1]])),
        fill="toself",
        fillcolor=theme.faint(colour, opacity),
        line={"width": 0},
        mode="lines",
        name=name,
        meta=name,
        hoverinfo="skip",
        showlegend=False,
    )


def inventory_bands(rows: pl.DataFrame, name: str, styles: Styles, reach: float) -> go.Figure:
    """Draw the inventory of one policy: median and band over paths, on an axis shared with the others.

    Args:
        rows: of one policy and scenario.
        name: of the policy.
        styles: of the policies.
        reach: end of the axis on both sides, lots.
    """
    times, unit_of_time = theme.scaled_time(_column(rows, "time"))
    kept = theme.thinned(_column(rows, "inventory_median"), 300)
    time, style = _short(times[kept]), styles[name]
    plot = theme.blank(f"time, {unit_of_time}", "inventory, lots", 230, name)
    low, high = (_column(rows, f"inventory_{end}")[kept] for end in ("low", "high"))
    plot.add_trace(band(time, low, high, "band", style.colour, 0.22))
    line = {"color": style.colour, "width": 2}
    median = _short(_column(rows, "inventory_median")[kept])
    plot.add_trace(go.Scatter(x=time, y=median, mode="lines", name="median", line=line))
    plot.update_yaxes(range=[-reach, reach])
    return plot


def attribution(results: pl.DataFrame, currency: str, title: str = "") -> go.Figure:
    """Draw where each policy's PnL comes from: spread earned, inventory held, fees paid, and their sum.

    Args:
        results: rows of one scenario.
        currency: of money.
        title: of the figure.
    """
    names = results["policy"].to_list()[::-1]  # bars are drawn from the bottom up
    plot = theme.blank(currency, "", 110 + 34 * len(names), title)
    causes = (
        ("spread", _column(results, "spread_pnl"), theme.BLUE),
        ("inventory", _column(results, "inventory_pnl"), theme.ORANGE),
        ("fees", -_column(results, "fee"), theme.PURPLE),
    )
    for cause, values, colour in causes:
        plot.add_trace(go.Bar(y=names, x=values[::-1], name=cause, orientation="h", marker={"color": colour}))
    pnl, low, high = (_column(results, f"pnl{end}")[::-1] for end in ("", "_low", "_high"))
    plot.add_trace(
        go.Scatter(
            x=pnl,
            y=names,
            name="PnL",
            mode="markers",
            marker={
                "color": theme.BLACK,
                "symbol": "diamond",
                "size": 9,
                "line": {"color": "white", "width": 1},
            },
            error_x={
                "array": high - pnl,
                "arrayminus": pnl - low,
                "color": theme.BLACK,
                "thickness": 1.4,
                "width": 5,
            },
        )
    )
    plot.update_layout(barmode="relative", bargap=0.35, showlegend=True, hovermode="y unified")
    plot.update_layout(margin={"t": 64 if title else 36})
    plot.update_xaxes(hoverformat=",.4~r", zerolinewidth=2)
    return plot


def points(
    plot: go.Figure,
    table: pl.DataFrame,
    x: str,
    y: str,
    error: str,
    name: str,
    colour: str,
    *,
    line: bool = True,
) -> None:
    """Add points with their intervals to a figure.

    Args:
        plot: to add to.
        table: one row a point.
        x: column of the horizontal axis.
        y: column of the vertical axis.
        error: column of the standard error of y.
        name: what the points are of.
        colour: `#rrggbb`.
        line: whether a line joins them.
    """
    bars = {"array": REACH * _column(table, error), "color": colour, "thickness": 1.2, "width": 3}
    plot.add_trace(
        go.Scatter(
            x=_column(table, x),
            y=_column(table, y),
            error_y=bars,
            mode="lines+markers" if line else "markers",
            name=name,
            meta=name,
            marker={"color": colour, "size": 7},
            line={"color": colour, "width": 1.5},
        )
    )
