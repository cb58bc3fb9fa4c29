"""Training and adaptation: did the network converge, and what was its output then fitted to."""

import itertools
from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl

from flowhft.report import numbers, theme
from flowhft.report.charts import LEVEL, Styles
from flowhft.report.evidence import Evidence
from flowhft.report.markup import Markup, facts, figure, join, paragraph, row
from flowhft.report.sections.wording import pairs

_METHOD_COLOURS = (theme.BLUE, theme.GREEN, theme.SKY, theme.INK, theme.GREY)


def curves(evidence: Evidence, styles: Styles) -> Markup | None:
    """Write the training curves of every method that was trained."""
    result = {name: curve for name, curve in evidence.curves.items() if curve.height}
    if not result:
        return None
    spent = "; ".join(
        f"{name}: {numbers.count(curve['update'][-1])} updates in {numbers.duration(curve['seconds'][-1])}"
        for name, curve in result.items()
    )
    return join(
        [
            paragraph(f"{spent}."),
            row(
                figure(
                    loss_figure(result, styles),
                    "Solid: training loss; dashed: validation loss, on sessions that were not trained on. "
                    "A dashed line that turns up is overfitting.",
                ),
                figure(
                    gradient_figure(result, styles),
                    "Norm of the gradient before clipping: spikes are unstable updates.",
                ),
            ),
        ]
    )


def _colours(methods: list[str], styles: Styles) -> list[str]:
    """Return a colour a method: that of the policy of the same name, where one was judged."""
    spare = itertools.cycle(_METHOD_COLOURS)
    return [styles[name].colour if name in styles else next(spare) for name in methods]


def loss_figure(results: dict[str, pl.DataFrame], styles: Styles) -> go.Figure:
    """Draw loss and validation loss against updates, one colour a method."""
    plot = theme.blank("update", "loss", 340, "Loss")
    for (name, curve), colour in zip(results.items(), _colours(list(results), styles), strict=True):
        for column, dash, title in (
            ("loss", "solid", name),
            ("validation_loss", "dash", f"{name}, validation"),
        ):
            known = curve.filter(pl.col(column).is_finite())
            plot.add_trace(_line(known, column, title, colour, dash, dash == "solid"))
    theme.logarithmic(plot)
    plot.update_layout(showlegend=True, margin={"t": 64})
    return plot


def gradient_figure(results: dict[str, pl.DataFrame], styles: Styles) -> go.Figure:
    """Draw the norm of the gradient against updates, one colour a method."""
    plot = theme.blank("update", "gradient norm", 340, "Gradient")
    for (name, curve), colour in zip(results.items(), _colours(list(results), styles), strict=True):
        plot.add_trace(
            _line(
                curve.filter(pl.col("gradient_norm").is_finite()),
                "gradient_norm",
                name,
                colour,
                "solid",
                True,
            )
        )
    theme.logarithmic(plot)
    plot.update_layout(showlegend=True, margin={"t": 64})
    return plot


def _line(curve: pl.DataFrame, column: str, name: str, colour: str, dash: str, in_legend: bool) -> go.Scatter:
    values = curve[column].cast(pl.Float64).to_numpy()
    kept = theme.thinned(values, 500)
    line = {"color": colour, "dash": dash, "width": 1.8}
    return go.Scatter(
        x=curve["update"].to_numpy()[kept],
        y=values[kept],
        mode="lines",
        name=name,
        line=line,
        showlegend=in_legend,
    )


def adaptation(evidence: Evidence, styles: Styles) -> Markup | None:
    """Write what the adapter became, and the search that led to it."""
    adapter, search = evidence.record("adapt/adapter"), evidence.table("adapt/search")
    if not adapter and search is None:
        return None
    parts = [
        paragraph(
            "Behind the trained policy, which stays as it is, stands a small map: scale × half-spread + "
            "offset, leaning with the inventory by the skew, which has a slope in the time left. It was "
            "chosen on simulated validation sessions, never on the recording's unseen part."
        )
    ]
    if adapter:
        known = {_ADAPTER.get(name, name): value for name, value in adapter.items()}
        parts.append(facts(pairs(known)))
    if search is not None:
        parts.append(
            figure(
                search_figure(search),
                "Every candidate against the policy without adapter, on the same random numbers: above "
                f"zero is better. Bars are {LEVEL} intervals; the best of many is flattered by chance, so "
                "that its gain on fresh sessions is the honest one.",
            )
        )
    return join(parts)


# What keys of the adapter's file are called, where their own name does not say enough.
_ADAPTER = {
    "offset_bid": "offset_bid_ticks",
    "offset_ask": "offset_ask_ticks",
    "skew": "skew, ticks / lot",
    "slope": "slope, ticks / (lot s)",
    "validation": "gain on validation sessions, tick × lot",
    "fresh": "gain on fresh sessions, tick × lot",
    "winners_curse": "lost from validation to fresh, tick × lot",
}


def search_figure(search: pl.DataFrame) -> go.Figure:
    """Draw the candidates in the order of the search: difference to the start, with intervals."""
    plot = theme.blank("candidate, in the order of the search", "difference in score", 360, "Search")
    order = np.arange(1, search.height + 1)
    for chosen, name, colour, size in (
        (False, "tried", theme.GREY, 6),
        (True, "chosen", theme.VERMILION, 10),
    ):
        mask = (search["chosen"] == chosen).to_numpy()
        value, low, high = (search[f"difference{end}"].to_numpy()[mask] for end in ("", "_low", "_high"))
        words = [_written(row) for row in search.filter(pl.Series(mask)).iter_rows(named=True)]
        plot.add_trace(
            go.Scatter(
                x=order[mask],
                y=value,
                mode="markers",
                name=name,
                text=words,
                hovertemplate="%{y:,.3~r}<br>%{text}<extra></extra>",
                marker={"color": colour, "size": size},
                error_y={
                    "array": high - value,
                    "arrayminus": value - low,
                    "color": colour,
                    "thickness": 1,
                    "width": 0,
                },
            )
        )
    rounds = search["round"].to_numpy()
    for start in np.flatnonzero(np.diff(rounds)) + 1.5:
        plot.add_vline(x=float(start), line={"color": "#b6bcc4", "width": 1, "dash": "dot"})
    plot.update_layout(showlegend=True, hovermode="closest", margin={"t": 64})
    plot.update_yaxes(zerolinewidth=2)
    return plot


def _written(candidate: dict[str, Any]) -> str:
    scale, bid, ask, skew, slope = (
        numbers.significant(candidate.get(name, 0.0))
        for name in ("scale", "offset_bid", "offset_ask", "skew", "slope")
    )
    return (
        f"scale {scale}, offsets {bid} and {ask} ticks, skew {skew} ticks / lot, "
        f"slope {slope} ticks / (lot s)"
    )
