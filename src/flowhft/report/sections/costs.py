"""What costs do: PnL of every policy against the maker fee, one panel a latency, with intervals."""

import plotly.graph_objects as go
import polars as pl

from flowhft.report import numbers, theme
from flowhft.report.charts import LEVEL, Styles
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

_PANELS = 3  # beside one another


def content(evidence: Evidence, styles: Styles) -> Markup | None:
    """Draw the sweep over costs of a backtest, or of every recording of a page."""
    parts: list[object] = []
    single, many = evidence.table("backtest/costs"), evidence.table("real/costs")
    for costs in (single, many):
        if costs is None:
            continue
        names = costs["policy"].unique(maintain_order=True).to_list()
        if not parts:
            parts += [
                paragraph(
                    "The same replay again at other maker fees and latencies: what policies were told stays "
                    "as it was."
                ),
                key_of(names, styles),
            ]
        if "recording" not in costs.columns:
            parts += [panels(costs, styles, evidence.currency), folded("In numbers", numbers_of(costs))]
            continue
        for (recording,), rows in costs.group_by("recording", maintain_order=True):
            parts += [
                subtitle(str(recording)),
                panels(rows, styles, "currency of the recording"),
                folded("In numbers", numbers_of(rows)),
            ]
    if not parts:
        return None
    return join([*parts, note(f"Bars are {LEVEL} intervals over sessions, the same sessions for all.")])


def panels(costs: pl.DataFrame, styles: Styles, currency: str) -> Markup:
    """Return one panel a latency, PnL against the fee; where one fee was asked for, against latency.

    Args:
        costs: rows of one recording: policy, maker_fee_bps, latency_ms, pnl with its interval.
        styles: of the policies.
        currency: of money.
    """
    if costs["maker_fee_bps"].n_unique() == 1:
        fee = costs["maker_fee_bps"][0]
        plot = _panel(costs, "latency_ms", "latency, ms", styles, currency, f"maker fee {fee:g} bps")
        return row(figure(plot, ""))
    drawn = [
        figure(
            _panel(rows, "maker_fee_bps", "maker fee, bps", styles, currency, f"latency {latency:g} ms"), ""
        )
        for (latency,), rows in costs.sort("latency_ms", maintain_order=True).group_by(
            "latency_ms", maintain_order=True
        )
    ]
    return join([row(*drawn[at : at + _PANELS]) for at in range(0, len(drawn), _PANELS)])


def _panel(
    costs: pl.DataFrame, x: str, title_of_x: str, styles: Styles, currency: str, title: str
) -> go.Figure:
    plot = theme.blank(title_of_x, f"PnL a session, {currency}", 340, title)
    for (name,), rows in costs.sort(x, maintain_order=True).group_by("policy", maintain_order=True):
        style = styles.get(str(name), Style(theme.GREY, "solid", 1.7))
        value = rows["pnl"].to_numpy()
        bars = {
            "symmetric": False,
            "array": rows["pnl_high"].to_numpy() - value,
            "arrayminus": value - rows["pnl_low"].to_numpy(),
            "color": style.colour,
            "thickness": 1.2,
            "width": 3,
        }
        plot.add_trace(
            go.Scatter(
                x=rows[x].to_numpy(),
                y=value,
                error_y=bars,
                mode="lines+markers",
                name=str(name),
                meta=str(name),
                marker={"color": style.colour, "size": 7},
                line={"color": style.colour, "width": 1.5, "dash": style.dash},
            )
        )
    plot.update_yaxes(zerolinewidth=2)
    plot.update_layout(hovermode="closest")
    return plot


def numbers_of(costs: pl.DataFrame) -> Markup:
    """Return the sweep as a table, one line a policy and one column a point.

    Args:
        costs: rows of one recording.
    """
    points = costs.select("maker_fee_bps", "latency_ms").unique(maintain_order=True).rows()
    head = ["", *(f"{fee:g} bps, {latency:g} ms" for fee, latency in points)]
    lines = []
    for (name,), rows in costs.group_by("policy", maintain_order=True):
        known = {(line["maker_fee_bps"], line["latency_ms"]): line for line in rows.iter_rows(named=True)}
        cells = []
        for point in points:
            line = known[point]
            interval = numbers.between(line["pnl_low"], line["pnl_high"], line["pnl"])
            cells.append(cell(numbers.significant(line["pnl"]), element("small", interval)))
        lines.append([breakable(str(name)), *cells])
    return table(head, lines, class_="metrics")
