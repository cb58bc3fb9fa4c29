"""The windows of a walk: what each was calibrated to, and what every policy made of the next."""

import plotly.graph_objects as go
import polars as pl

from flowhft.report import numbers, theme
from flowhft.report.charts import Styles
from flowhft.report.evidence import Evidence
from flowhft.report.markup import (
    Markup,
    cell,
    element,
    figure,
    folded,
    join,
    note,
    paragraph,
    row,
    subtitle,
    table,
)
from flowhft.report.sections.comparison import breakable, key_of
from flowhft.report.theme import Style

# Of a calibration, by column: what people read.
_DRAWN = {"volatility": "volatility, ticks per root second", "fill_decay": "fill decay k, 1 / tick"}


def content(evidence: Evidence, styles: Styles) -> Markup | None:
    """Draw the walk of a backtest, or of every recording of a page."""
    parts: list[object] = []
    for name in ("backtest/windows", "real/windows"):
        windows = evidence.table(name)
        if windows is None:
            continue
        if not parts:
            known = windows["policy"].drop_nulls().unique(maintain_order=True).to_list()
            parts += [
                paragraph(
                    "Calibrated on a window, adapted to it, traded on the next, rolled on: flat at the "
                    "beginning of a window, closed at the best price at its end."
                ),
                key_of(known, styles),
            ]
        if "recording" not in windows.columns:
            parts += walk(windows, styles, evidence.currency)
            continue
        for (recording,), rows in windows.group_by("recording", maintain_order=True):
            parts += [subtitle(str(recording)), *walk(rows, styles, "currency of the recording")]
    return join(parts) if parts else None


def walk(windows: pl.DataFrame, styles: Styles, currency: str) -> list[object]:
    """Return figures and a table of one walk.

    Args:
        windows: one row a window and policy, or a window that was refused.
        styles: of the policies.
        currency: of money.
    """
    refused = windows.filter(pl.col("refused").is_not_null())
    traded = windows.filter(pl.col("policy").is_not_null()).sort("trade_start", maintain_order=True)
    parts: list[object] = []
    if traded.height:
        figures = [figure(_earned(traded, styles, currency), "PnL of every window, one after the other.")]
        figures += [
            figure(_calibrated(traded, column, title), "As it was calibrated before each window.")
            for column, title in _DRAWN.items()
            if column in traded.columns
        ]
        parts += [row(*figures), folded("In numbers", _numbers(traded))]
    if refused.height:
        reasons = refused["refused"].unique(maintain_order=True).to_list()
        total = windows["window"].n_unique()
        parts.append(note(f"{refused.height} of {total} windows were not traded: {' '.join(reasons)}"))
    return parts


def _earned(traded: pl.DataFrame, styles: Styles, currency: str) -> go.Figure:
    _, unit = theme.scaled_time(traded["trade_end"].to_numpy())
    plot = theme.blank(f"time, {unit}", f"PnL so far, {currency}", 340, "PnL")
    for (name,), rows in traded.group_by("policy", maintain_order=True):
        style = styles.get(str(name), Style(theme.GREY, "solid", 1.7))
        times, _ = theme.scaled_time(rows["trade_end"].to_numpy())
        line = {"color": style.colour, "width": style.width, "dash": style.dash}
        marks = {"color": style.colour, "size": 6}
        plot.add_trace(
            go.Scatter(
                x=times,
                y=rows["pnl"].cum_sum().to_numpy(),
                mode="lines+markers",
                name=str(name),
                meta=str(name),
                line=line,
                marker=marks,
            )
        )
    plot.update_yaxes(zerolinewidth=2)
    plot.update_layout(hovermode="closest")
    return plot


def _calibrated(traded: pl.DataFrame, column: str, title: str) -> go.Figure:
    rows = traded.unique("window", maintain_order=True)
    times, unit = theme.scaled_time(rows["trade_start"].to_numpy())
    plot = theme.blank(f"time, {unit}", title, 340, title.partition(",")[0])
    plot.add_trace(
        go.Scatter(
            x=times,
            y=rows[column].to_numpy(),
            mode="lines+markers",
            name=column,
            line={"color": theme.BLUE, "width": 1.5},
            marker={"color": theme.BLUE, "size": 6},
        )
    )
    plot.update_yaxes(rangemode="tozero")
    return plot


def _numbers(traded: pl.DataFrame) -> Markup:
    names = traded["policy"].unique(maintain_order=True).to_list()
    lines = []
    for (window,), rows in traded.group_by("window", maintain_order=True):
        by_policy = {line["policy"]: line for line in rows.iter_rows(named=True)}
        cells = [
            cell(
                numbers.significant(by_policy[name]["pnl"]),
                element("small", f"{by_policy[name]['fills']:g} fills"),
            )
            for name in names
        ]
        lines.append([str(int(str(window)) + 1), numbers.duration(rows["trade_start"][0]), *cells])
    return table(["window", "begins at", *map(breakable, names)], lines, class_="metrics")
