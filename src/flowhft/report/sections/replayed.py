"""The judgement on the recording: the policies trade the part of it that none of them has seen."""

import numpy as np
import plotly.graph_objects as go
import polars as pl
from scipy.stats import norm

from flowhft.metrics import CONFIDENCE
from flowhft.report import charts, look, numbers
from flowhft.report.charts import LEVEL, Styles
from flowhft.report.evidence import Evidence
from flowhft.report.markup import Markup, facts, figure, folded, join, paragraph, row
from flowhft.report.sections.comparison import MAP_NOTE, difference_map, key_of, metrics_table
from flowhft.report.sections.wording import pairs

_REACH = float(norm.ppf(0.5 + CONFIDENCE / 2.0))


def content(evidence: Evidence, styles: Styles) -> Markup | None:
    """Write tables and figures of the backtest."""
    results = evidence.table("backtest/results")
    if results is None:
        return None
    currency, part = evidence.currency, results["scenario"][0]
    parts = [
        paragraph(
            f"{results.height} policies trade the same recording ({part}), each alone, with queue position, latency and "
            f"fees. The {LEVEL} intervals come from a block bootstrap over this one recording."
        ),
        key_of(results["policy"].to_list(), styles),
        metrics_table(results, styles, currency),
    ]
    differences = evidence.table("backtest/differences")
    if differences is not None:
        parts.append(_differences(differences, currency))
    equity = evidence.table("backtest/equity")
    if equity is not None:
        parts.append(_curves(equity, styles, currency))
    parts.append(
        figure(
            charts.attribution(results, currency, "Where the PnL comes from"),
            "Spread is what fills earned against the mid at the decision; inventory is what the mid's moves then made of "
            "the position, adverse selection included; the diamond is what is left after fees.",
        )
    )
    below = []
    markouts = evidence.table("backtest/markouts")
    if markouts is not None:
        below.append(
            figure(
                markout_figure(markouts, styles),
                "How far the mid moved in our favour after a fill: below zero the other side knew more. "
                f"Bars are {LEVEL} intervals.",
            )
        )
    latency = evidence.table("backtest/latency")
    if latency is not None:
        below.append(
            figure(
                latency_figure(latency),
                "From left to right: median, 90th and 99th percentile, and the slowest.",
            )
        )
    if below:
        parts.append(row(*below))
    settings = evidence.record("backtest/backtest")
    if settings:
        parts.append(folded("Settings of the backtest", facts(pairs(settings, without=("warnings",)))))
    return join(parts)


def _differences(differences: pl.DataFrame, currency: str) -> Markup:
    maps = []
    for (_,), rows in differences.group_by("reference", maintain_order=True):
        maps.append(difference_map(rows, "pnl", currency))
    return join([*maps, paragraph(MAP_NOTE, class_="note")])


def _curves(equity: pl.DataFrame, styles: Styles, currency: str) -> Markup:
    return join(
        [
            figure(
                charts.over_time(equity, "equity", currency, styles, "Equity", 400),
                "Cash and inventory at the mid price, fees paid, from the start of the unseen part.",
            ),
            row(
                figure(
                    charts.over_time(equity, "drawdown", currency, styles, "Drawdown"),
                    "How far equity stands below its running maximum; lower is better.",
                ),
                figure(
                    charts.over_time(equity, "inventory", "lots", styles, "Inventory", step=True),
                    "Positive is long: a line that stays away from zero is a bet on the price.",
                ),
            ),
        ]
    )


def markout_figure(markouts: pl.DataFrame, styles: Styles) -> go.Figure:
    """Draw the move of the mid after a fill, in our favour, against the time since the fill."""
    plot = look.blank("time after the fill, seconds", "markout, ticks", 360, "Markouts")
    for (name,), rows in markouts.group_by("policy", maintain_order=True):
        colour = styles[str(name)].colour
        known = rows.filter(pl.col("markout").is_finite() & (pl.col("fills") > 0))
        charts.points(
            known,
            "horizon",
            "markout",
            "standard_error",
            plot,
            name=str(name),
            colour=colour,
            reach=_REACH,
            line=True,
        )
    plot.update_xaxes(type="log", dtick=1, minor={"ticks": "outside", "ticklen": 3, "tickcolor": look.LINE})
    plot.update_yaxes(zerolinewidth=2)
    return plot


def latency_figure(latency: pl.DataFrame) -> go.Figure:
    """Draw percentiles of every latency on a logarithmic axis, one line a kind and policy."""
    plot = look.blank("microseconds", "", 120 + 30 * latency.height, "Latency")
    rows = latency.to_dicts()[::-1]
    names = [" ".join(filter(None, (row["kind"].replace("_", " "), row["policy"]))) for row in rows]
    for row, name in zip(rows, names, strict=True):
        ends = [row["p50"], row["maximum"]]
        plot.add_trace(
            go.Scatter(
                x=ends,
                y=[name] * 2,
                mode="lines",
                line={"color": look.LINE, "width": 3},
                hoverinfo="skip",
                showlegend=False,
            )
        )
    marks = (
        ("p50", "median", "circle"),
        ("p90", "90 %", "diamond"),
        ("p99", "99 %", "square"),
        ("maximum", "slowest", "line-ns"),
    )
    for column, title, symbol in marks:
        marker = {"symbol": symbol, "size": 9, "color": look.BLUE, "line": {"width": 2, "color": look.BLUE}}
        if column == "maximum":
            marker |= {"color": look.VERMILION, "line": {"width": 2.5, "color": look.VERMILION}, "size": 11}
        values = np.array([row[column] for row in rows], np.float64)
        words = [numbers.duration(value * 1e-6) for value in values]
        plot.add_trace(
            go.Scatter(
                x=values,
                y=names,
                mode="markers",
                name=title,
                marker=marker,
                text=words,
                hovertemplate="%{text}",
            )
        )
    plot.update_xaxes(type="log", dtick=1)
    plot.update_layout(showlegend=True, hovermode="y unified", margin={"t": 64})
    return plot
