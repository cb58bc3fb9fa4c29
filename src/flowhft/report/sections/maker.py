"""A maker that learned from recordings: which sides it quotes and why, and what it looks at."""

import numpy as np
import plotly.graph_objects as go
import polars as pl

from flowhft.report import numbers, theme
from flowhft.report.charts import Styles
from flowhft.report.evidence import Evidence
from flowhft.report.markup import Markup, figure, folded, join, note, paragraph, row, table

_SHOWN = 8  # signals that weigh most


def content(evidence: Evidence, styles: Styles) -> Markup | None:
    """Say what the gate decided, draw the values of positions and the weights of the heads."""
    gate, heads = evidence.table("learn/gate"), evidence.table("learn/heads")
    value = evidence.table("learn/value")
    if gate is None or heads is None or value is None:
        return None
    quoted = [line["side"] for line in gate.iter_rows(named=True) if line["quoted"]]
    verdict = {
        0: "It quotes neither side while it holds nothing: where it learned, staying out is better.",
        1: f"It quotes the {quoted[0] if quoted else ''}s; the other side only takes a position back.",
        2: "It quotes both sides.",
    }[len(quoted)]
    return join(
        [
            paragraph(
                "For every decision and price it was looked up what would have become of an order there. "
                "Heads forecast from the signals of the book whether it fills, and what a fill earns; values "
                "of positions say what a fill is worth beyond; and the gate counts what orders did earn "
                f"which heads chose that had not seen them, less the fee. {verdict}"
            ),
            _gate(gate),
            row(figure(_values(value), ""), figure(_weights(heads, "edge", "edge of a fill"), "")),
            row(figure(_weights(heads, "fill", "probability of a fill"), "")),
            note(
                "Weights are for signals in standard deviations, of the bid's head; the ask has the same for "
                "the mirror image of the book. Edges are in moves: deviations of the mid's move in a second."
            ),
            folded("All prices", _prices(heads)),
        ]
    )


def _gate(gate: pl.DataFrame) -> Markup:
    lines = [
        [
            line["side"],
            numbers.count(line["fills"]),
            numbers.significant(line["promised"]),
            numbers.significant(line["edge"]),
            numbers.significant(line["error"]),
            "quoted" if line["quoted"] else "takes a position back only",
        ]
        for line in gate.iter_rows(named=True)
    ]
    head = ["side", "fills", "promised, moves", "earned", "standard error", ""]
    return table(head, lines, class_="metrics")


def _values(value: pl.DataFrame) -> go.Figure:
    """Draw what a position is worth."""
    plot = theme.blank("position, orders", "ticks x order", 320, "What a position is worth")
    plot.add_trace(
        go.Scatter(
            x=value["position"].to_numpy(),
            y=value["value"].to_numpy(),
            mode="lines+markers",
            line={"color": theme.BLACK, "width": 1.5},
        )
    )
    plot.update_layout(hovermode="closest")
    return plot


def _weights(heads: pl.DataFrame, name: str, title: str) -> go.Figure:
    """Draw the weights of the signals that count most, one row a price."""
    own = heads.filter(pl.col("signal") != "intercept")
    largest = own.group_by("signal").agg(pl.col(name).abs().max()).sort(name, descending=True)
    signals = largest["signal"].to_list()[:_SHOWN]
    offsets = own["offset"].unique(maintain_order=True).to_list()
    weights = np.array(
        [
            [
                own.filter((pl.col("offset") == offset) & (pl.col("signal") == signal))[name][0]
                for signal in signals
            ]
            for offset in offsets
        ]
    )
    most = float(np.abs(weights).max()) or 1.0
    plot = theme.blank("", "offset, ticks better than the touch", 360, f"What forecasts the {title}")
    plot.add_trace(
        go.Heatmap(
            x=signals,
            y=[f"{offset:+d}" if offset else "joins" for offset in offsets],
            z=weights,
            zmin=-most,
            zmax=most,
            colorscale="RdBu",
        )
    )
    plot.update_layout(hovermode="closest")
    return plot


def _prices(heads: pl.DataFrame) -> Markup:
    """Return a line a price: what an order there comes to when nothing in the book is out of the ordinary."""
    own = heads.filter(pl.col("signal") == "intercept")
    lines = [
        [
            f"{line['offset']:+d}" if line["offset"] else "joins",
            f"{100.0 / (1.0 + np.exp(-line['fill'])):.3g} %",
            numbers.significant(line["edge"]) if line["edge"] > -1e5 else "too few fills: never quoted",
        ]
        for line in own.iter_rows(named=True)
    ]
    return table(["offset, ticks", "fills in time", "edge of a fill"], lines, class_="metrics")
