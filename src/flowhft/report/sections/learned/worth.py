"""What the PnL of the shipped policy is made of, cell by cell."""

import plotly.graph_objects as go
import polars as pl

from flowhft.report import look, numbers
from flowhft.report.charts import Styles
from flowhft.report.evidence import Evidence
from flowhft.report.markup import Markup, figure, folded, join, note, row, table
from flowhft.report.sections.learned.words import OURS, said, written

_PARTS = (("spread_pnl", "spread income", look.BLUE), ("inventory_pnl", "inventory", look.ORANGE))
_LOST = (
    ("drift_pnl", "lost without drift", look.GREEN, "diamond"),
    ("forecast_pnl", "lost without forecasts", look.PURPLE, "circle"),
)


def content(evidence: Evidence, styles: Styles) -> Markup | None:
    """Write one figure a market: bars by cause, marks for what drift and forecasts were worth."""
    worth = evidence.table("learned/worth")
    if worth is None:
        return None
    parts: list[object] = [
        said(evidence, "worth"),
        note(
            "Lost without drift: PnL less that of the same policy where the same price has no drift, "
            "neither stated nor hidden in jumps. Lost without forecasts: less that of the same policy with "
            "every feature hidden that tells where the price goes. Cells of Tables 1 and 2 have no memory "
            "of the price, those of 3 and 4 revert (H 0.2), those of 5 and 6 trend (H 0.8): what is earned "
            "there by forecasts is a property of fractional noise in a simulator."
        ),
    ]
    panels = [
        _causes(found, f"{market} market")
        for (market,), found in worth.filter(pl.col("policy") == OURS).group_by("market", maintain_order=True)
    ]
    parts.append(row(*panels))
    for (market,), found in worth.group_by("market", maintain_order=True):
        parts.append(folded(f"Every number, {market} market", _table(found)))
    return join(parts)


def _causes(found: pl.DataFrame, title: str) -> Markup:
    names = found["scenario"].to_list()[::-1]
    plot = look.blank("price units a session", "", 130 + 19 * max(len(names), 4), title)
    for column, name, colour in _PARTS:
        values = found[column].to_list()[::-1]
        plot.add_trace(
            go.Bar(y=names, x=values, name=name, orientation="h", marker={"color": look.faint(colour, 0.55)})
        )
    for column, name, colour, symbol in _LOST:
        plot.add_trace(
            go.Scatter(
                y=names,
                x=found[column].to_list()[::-1],
                error_x={
                    "array": (found[f"{column}_high"] - found[column]).to_list()[::-1],
                    "thickness": 1.2,
                    "width": 0,
                    "color": colour,
                },
                mode="markers",
                name=name,
                marker={"color": colour, "symbol": symbol, "size": 8, "line": {"color": "white", "width": 1}},
            )
        )
    plot.update_layout(barmode="relative", bargap=0.3, showlegend=True, hovermode="y unified")
    plot.update_layout(margin={"t": 84, "l": 64})
    plot.update_xaxes(hoverformat=",.4~r", zerolinewidth=2)
    return figure(plot, "")


def _table(found: pl.DataFrame) -> Markup:
    rows = [
        [
            f"{line['scenario']} {line['policy']}",
            *(numbers.significant(line[name]) for name in ("pnl", "spread_pnl", "inventory_pnl")),
            *(written(line, name) for name in ("drift_pnl", "forecast_pnl", "forecast_utility")),
            numbers.significant(line["utility"]),
            f"{numbers.significant(line['expert_utility'])} {line['expert']}",
            f"{numbers.significant(line['oracle_utility'])} (γ "
            f"{numbers.exact(line['oracle_risk_aversion'])})",
            numbers.NOTHING if line["share"] is None else f"{100.0 * line['share']:.0f} %",
        ]
        for line in found.iter_rows(named=True)
    ]
    head = ["", "PnL", "spread", "inventory", "drift", "forecasts", "utility of forecasts", "utility"]
    return table([*head, "best expert", "oracle", "gap closed"], rows)
