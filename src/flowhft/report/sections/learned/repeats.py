"""Trained again from other seeds: how many cells every training wins, and which it misses."""

import plotly.graph_objects as go
import polars as pl

from flowhft.report import look, numbers
from flowhft.report.charts import Styles
from flowhft.report.evidence import Evidence
from flowhft.report.markup import Markup, figure, join, note
from flowhft.report.sections.learned.words import OURS, said


def content(evidence: Evidence, styles: Styles) -> Markup | None:
    """Draw the trainings as marks: how many cells each wins, one line a market and network."""
    trainings = evidence.table("learned/trainings")
    if trainings is None:
        return None
    lines, labels = [], []
    for (market, policy), rows in trainings.group_by("market", "policy", maintain_order=True):
        found = rows.group_by("training", maintain_order=True).agg(pl.col("won").cast(pl.Int64).sum())
        lines.append((policy == OURS, found["training"].to_list(), found["won"].to_list()))
        labels.append(f"{market}, {policy}")
    plot = look.blank("cells won", "", 90 + 30 * max(len(lines), 3), "")
    for place, (ours, training, won) in enumerate(reversed(lines)):
        # Trainings that win as many stand one above the other.
        tied = max(won.count(count) for count in won)
        height = [place + 0.7 / max(tied, 4) * won[:i].count(count) for i, count in enumerate(won)]
        plot.add_trace(
            go.Scatter(
                x=won,
                y=height,
                mode="markers",
                text=[f"training {number}" for number in training],
                marker={"color": look.BLUE if ours else look.VERMILION, "size": 9, "opacity": 0.7},
                hovertemplate="%{text}: %{x}<extra></extra>",
            )
        )
    plot.update_yaxes(
        tickvals=list(range(len(lines))), ticktext=labels[::-1], range=[-0.5, len(lines)], zeroline=False
    )
    plot.update_layout(hovermode="closest")
    sizes = " or ".join(numbers.count(size) for size in trainings["paths"].unique(maintain_order=True))
    return join(
        [
            said(evidence, "trainings"),
            figure(plot, ""),
            note(
                f"One mark a training, {sizes} sessions a cell. Won: better than the "
                "best expert in PnL, Sharpe ratio and drawdown at once, among informed traders in utility. "
                "Training 0 is the one named first, the shipped policy unless another was asked for."
            ),
        ]
    )
