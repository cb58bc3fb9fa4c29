"""Training and adaptation: did the network converge, and what was its output then fitted to."""

import numpy as np
import plotly.graph_objects as go
import polars as pl

from flowhft.report import look, numbers
from flowhft.report.charts import LEVEL, Styles
from flowhft.report.evidence import Evidence
from flowhft.report.markup import Markup, facts, figure, join, paragraph, row
from flowhft.report.sections.wording import pairs

_METHOD_COLOURS = (look.VERMILION, look.BLUE, look.GREEN, look.PURPLE, look.ORANGE)


def curves(evidence: Evidence, styles: Styles) -> Markup | None:
    """Write the training curves of every method that was trained."""
    found = {name: curve for name, curve in evidence.curves.items() if curve.height}
    if not found:
        return None
    spent = "; ".join(
        f"{name}: {numbers.count(curve['update'].max())} updates in {numbers.duration(float(curve['seconds'].max()))}"  # type: ignore[arg-type]
        for name, curve in found.items()
    )
    return join(
        [
            paragraph(f"{spent}."),
            row(
                figure(
                    loss_figure(found),
                    "Solid: training loss; dashed: validation loss, on sessions that were not trained on. A dashed line "
                    "that turns up is overfitting.",
                ),
                figure(
                    gradient_figure(found),
                    "Norm of the gradient before clipping: spikes are unstable updates.",
                ),
            ),
        ]
    )


def loss_figure(found: dict[str, pl.DataFrame]) -> go.Figure:
    """Draw loss and validation loss against updates, one colour a method."""
    plot = look.blank("update", "loss", 340, "Loss")
    for (name, curve), colour in zip(found.items(), _METHOD_COLOURS, strict=False):
        for column, dash, title in (
            ("loss", "solid", name),
            ("validation_loss", "dash", f"{name}, validation"),
        ):
            known = curve.filter(pl.col(column).is_finite())
            plot.add_trace(_line(known, column, title, colour, dash))
    plot.update_yaxes(type="log")
    plot.update_layout(showlegend=True, margin={"t": 76})
    return plot


def gradient_figure(found: dict[str, pl.DataFrame]) -> go.Figure:
    """Draw the norm of the gradient against updates, one colour a method."""
    plot = look.blank("update", "gradient norm", 340, "Gradient")
    for (name, curve), colour in zip(found.items(), _METHOD_COLOURS, strict=False):
        plot.add_trace(
            _line(curve.filter(pl.col("gradient_norm").is_finite()), "gradient_norm", name, colour, "solid")
        )
    plot.update_yaxes(type="log")
    plot.update_layout(showlegend=True, margin={"t": 76})
    return plot


def _line(curve: pl.DataFrame, column: str, name: str, colour: str, dash: str) -> go.Scatter:
    values = curve[column].cast(pl.Float64).to_numpy()
    kept = look.thinned(values, 500)
    line = {"color": colour, "dash": dash, "width": 1.8}
    return go.Scatter(x=curve["update"].to_numpy()[kept], y=values[kept], mode="lines", name=name, line=line)


def adaptation(evidence: Evidence, styles: Styles) -> Markup | None:
    """Write what the adapter became, and the search that led to it."""
    adapter, search = evidence.record("adapt/adapter"), evidence.table("adapt/search")
    if not adapter and search is None:
        return None
    parts = [
        paragraph(
            "Behind the trained policy, which stays as it is, stands a small map: scale × half-spread + offset, "
            "leaning with the inventory by the skew. It was chosen on validation sessions, never on the recording's "
            "unseen part."
        )
    ]
    if adapter:
        parts.append(facts(pairs(adapter)))
    if search is not None:
        parts.append(
            figure(
                search_figure(search),
                "Every candidate against the policy without adapter, on the same random numbers: above zero is better. "
                f"Bars are {LEVEL} intervals; the last chosen one was kept.",
            )
        )
    return join(parts)


def search_figure(search: pl.DataFrame) -> go.Figure:
    """Draw the candidates in the order of the search: difference to the start, with intervals."""
    plot = look.blank("candidate, in the order of the search", "difference in score", 360, "Search")
    order = np.arange(1, search.height + 1)
    for chosen, name, colour, size in (
        (False, "tried", look.GREY, 6),
        (True, "chosen in its round", look.VERMILION, 10),
    ):
        mask = (search["chosen"] == chosen).to_numpy()
        value, low, high = (search[f"difference{end}"].to_numpy()[mask] for end in ("", "_low", "_high"))
        words = [
            f"scale {numbers.significant(row['scale'])}, offsets {numbers.significant(row['offset_bid'])} and "
            f"{numbers.significant(row['offset_ask'])} ticks, skew {numbers.significant(row['skew'])} ticks / lot"
            for row in search.filter(pl.Series(mask)).iter_rows(named=True)
        ]
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
