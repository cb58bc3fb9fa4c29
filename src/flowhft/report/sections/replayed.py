"""The judgement on the recording: the policies trade the part of it that none of them has seen."""

from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl

from flowhft.report import charts, numbers, theme
from flowhft.report.charts import LEVEL, Styles
from flowhft.report.evidence import Evidence
from flowhft.report.markup import Markup, facts, figure, folded, join, note, paragraph, row, subtitle, table
from flowhft.report.sections.comparison import MAP_NOTE, breakable, key_of, metric_map, metrics_table
from flowhft.report.sections.wording import pairs

_PER_POLICY = {
    "total_pnl": "PnL, {}",
    "run_drawdown": "largest drawdown, {}",
    "break_even_fee_bps": "break-even maker fee, bps",
    "orders": "orders",
    "decision_latency_us": "decision latency charged, µs",
}
_MAPPED = ("pnl", "sharpe", "max_drawdown")


def content(evidence: Evidence, styles: Styles) -> Markup | None:
    """Write tables and figures of the backtest."""
    results = evidence.table("backtest/results")
    if results is None:
        return None
    currency = evidence.currency
    settings = evidence.record("backtest/backtest")
    parts = [
        paragraph(
            f"{results.height} policies on the same part of the recording, each trading alone, with "
            f"queue position, latency and fees. {_sessions(settings)}The {LEVEL} intervals are Student's "
            f"over the sessions of this one recording. {settings.get('booked', '')}"
        ),
        key_of(results["policy"].to_list(), styles),
        metrics_table(results, styles, currency),
    ]
    differences = evidence.table("backtest/differences")
    if differences is not None:
        parts += [
            metric_map(rows, _MAPPED, currency)
            for _, rows in differences.group_by("reference", maintain_order=True)
        ]
        parts.append(note(MAP_NOTE))
    equity = evidence.table("backtest/equity")
    if equity is not None:
        parts.append(_curves(equity, styles, currency))
    parts.append(
        figure(
            charts.attribution(results, currency, "Where the PnL comes from"),
            "Spread is what fills earned against the mid at the decision; inventory is what the mid's "
            "moves then made of the position, adverse selection included; the diamond is what is left "
            "after fees.",
        )
    )
    markouts = evidence.table("backtest/markouts")
    if markouts is not None:
        parts.append(_markouts(markouts, styles))
    latency = evidence.table("backtest/latency")
    if latency is not None:
        caption = (
            "Median, 90th and 99th percentile and the slowest, from left to right, on a logarithmic axis."
        )
        parts.append(figure(latency_figure(latency), caption))
    if whole := whole_part(settings, currency):
        parts += [subtitle("Over the whole part"), whole]
    known = dict(pairs(settings, without=("warnings", "booked", "makers", *_PER_POLICY)))
    if known:
        parts.append(folded("Settings of the backtest", facts(known.items())))
    return join(parts)


def _sessions(settings: dict[str, Any]) -> str:
    if not settings.get("sessions") or not settings.get("session_seconds"):
        return ""
    count, length = (
        numbers.counted(settings["sessions"], "session"),
        numbers.duration(settings["session_seconds"]),
    )
    return f"Metrics are of {count} of {length}, one after the other. "


def whole_part(settings: dict[str, Any], currency: str) -> Markup | None:
    """Write what each policy did over the whole part: PnL, largest drawdown, the fee it could pay, orders.

    Args:
        settings: what the backtest wrote down; objects by policy.
        currency: of money.
    """
    columns = {
        title.format(currency): settings[key] for key, title in _PER_POLICY.items() if settings.get(key)
    }
    if not columns:
        return None
    lines = []
    for policy in next(iter(columns.values())):
        cells = (result.get(policy) for result in columns.values())
        lines.append([breakable(policy), *map(_written, cells)])
    return table(["", *columns], lines)


def _written(value: Any) -> str:
    if isinstance(value, dict):
        counted = [f"{numbers.count(number)} {name}" for name, number in value.items() if number]
        return ", ".join(counted).replace("_", " ") or "none"
    return numbers.significant(value)


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


def _markouts(markouts: pl.DataFrame, styles: Styles) -> Markup:
    figures = [
        figure(
            markout_figure(markouts, "markout", styles, "Markout"),
            "How far the mid moved in our favour after a fill: below zero, the other side knew more. "
            f"Bars are {LEVEL} intervals.",
        )
    ]
    if "realised" in markouts.columns:
        figures.append(
            figure(
                markout_figure(markouts, "realised", styles, "Realised half-spread"),
                "What a fill was worth once the mid had moved: the distance at which it was filled plus "
                "the markout. Below zero, trading lost money.",
            )
        )
    return row(*figures)


def markout_figure(markouts: pl.DataFrame, column: str, styles: Styles, title: str) -> go.Figure:
    """Draw what a fill was worth against the time since the fill, one line a policy.

    Args:
        markouts: one row a policy and horizon; `column` with its standard error `column`_error.
        column: "markout" or "realised".
        styles: of the policies.
        title: of the figure.
    """
    plot = theme.blank("time after the fill", "ticks a fill", 340, title)
    horizons = sorted(markouts["horizon"].unique().to_list())
    position_of = {horizon: float(position) for position, horizon in enumerate(horizons)}
    names = markouts["policy"].unique(maintain_order=True).to_list()
    known = markouts.filter(pl.col(column).is_finite() & (pl.col("fills") > 0))
    for (name,), rows in known.group_by("policy", maintain_order=True):
        # Side by side within a horizon, so that no interval hides another.
        shift = 0.5 * (names.index(name) + 0.5) / len(names) - 0.25
        at = rows.with_columns(
            at=pl.col("horizon").replace_strict(position_of, return_dtype=pl.Float64) + shift
        )
        charts.points(plot, at, "at", column, f"{column}_error", str(name), styles[str(name)].colour)
    plot.update_xaxes(
        tickvals=list(position_of.values()), ticktext=[numbers.duration(horizon) for horizon in horizons]
    )
    plot.update_yaxes(zerolinewidth=2)
    plot.update_layout(hovermode="closest")
    return plot


def latency_figure(latency: pl.DataFrame) -> go.Figure:
    """Draw percentiles of every latency on a logarithmic axis, one line a kind and policy.

    Args:
        latency: microseconds: p50, p90, p99, maximum.
    """
    plot = theme.blank("", "", 130 + 26 * latency.height, "Latency")
    entries = latency.to_dicts()[::-1]  # drawn from the bottom up
    names = [", ".join(filter(None, (entry["kind"].replace("_", " "), entry["policy"]))) for entry in entries]
    for entry, name in zip(entries, names, strict=True):
        line = {"color": theme.LINE, "width": 3}
        ends = [entry["p50"], entry["maximum"]]
        plot.add_trace(
            go.Scatter(x=ends, y=[name] * 2, mode="lines", line=line, hoverinfo="skip", showlegend=False)
        )
    for column, title, symbol, colour in (
        ("p50", "median", "circle", theme.BLUE),
        ("p90", "90 %", "diamond", theme.SKY),
        ("p99", "99 %", "square", theme.ORANGE),
        ("maximum", "slowest", "line-ns", theme.VERMILION),
    ):
        marker = {"symbol": symbol, "size": 9, "color": colour, "line": {"width": 2, "color": colour}}
        values = np.array([entry[column] for entry in entries], np.float64)
        words = [numbers.duration(value * 1e-6) for value in values]
        over = "%{text}"
        plot.add_trace(
            go.Scatter(
                x=values, y=names, mode="markers", name=title, marker=marker, text=words, hovertemplate=over
            )
        )
    decades = 10.0 ** np.arange(-2, 9)
    plot.update_xaxes(
        type="log", tickvals=decades, ticktext=[numbers.duration(value * 1e-6) for value in decades]
    )
    plot.update_layout(showlegend=True, hovermode="y unified", margin={"t": 64})
    return plot
