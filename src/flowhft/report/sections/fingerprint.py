"""The fingerprint of the policies: what each would quote, against inventory and time left."""

import numpy as np
import plotly.graph_objects as go
import polars as pl

from flowhft.report import numbers, theme
from flowhft.report.charts import Styles
from flowhft.report.evidence import LEARNED, Evidence
from flowhft.report.markup import Markup, figure, join, paragraph, row
from flowhft.report.sections.comparison import key_of

_TIMES = 3  # shown: the first, the middle and the last of a session


def content(evidence: Evidence, styles: Styles) -> Markup | None:
    """Write figures of half-spreads against inventory, the bid beside the ask, one row a time left."""
    table = evidence.table("evaluate/fingerprint")
    if table is None:
        return None
    times = sorted(table["time_left"].unique().to_list(), reverse=True)
    shown = times if len(times) <= _TIMES else [times[0], times[len(times) // 2], times[-1]]
    reach = axis_of(table)
    parts = [
        paragraph(
            "Half-spreads are distances from the mid: small is eager, large is reluctant. A policy that "
            "fears its inventory has lines that rise for the bid and fall for the ask. Where the learned "
            "line leaves its teachers' lines, it does something that none of them does. All panels share "
            "one axis: a line that leaves it quotes far from the market (double-click a panel to see all "
            "of it)."
        ),
        key_of(table["policy"].unique(maintain_order=True).to_list(), styles),
    ]
    for time_left in shown:
        here = table.filter(pl.col("time_left") == time_left)
        left = f"{numbers.duration(time_left)} left"
        panels = [
            figure(quotes(here, side, styles, f"{side.capitalize()}, {left}", reach), "")
            for side in ("bid", "ask")
        ]
        parts.append(row(*panels))
    return join(parts)


def axis_of(table: pl.DataFrame) -> tuple[float, float]:
    """Return the ends of an axis on which the policies that matter can be read, ticks.

    These are the learned ones, or all where none was learned; half of them fit in. A closed form far from
    the end of a session may quote a hundred times further than any order comes, and would flatten the rest.
    """
    both = table.with_columns(
        low=pl.min_horizontal("half_spread_bid", "half_spread_ask"),
        high=pl.max_horizontal("half_spread_bid", "half_spread_ask"),
    )
    ends = both.filter(pl.col("low").is_finite() & pl.col("high").is_finite())
    ends = ends.group_by("policy", "family").agg(pl.col("low").min(), pl.col("high").max())
    if ends.is_empty():  # nobody quotes
        return -1.0, 1.0
    learned = ends.filter(pl.col("family").is_in(LEARNED))
    low, high = (
        float(np.nanmedian((learned if learned.height else ends)[end].to_numpy())) for end in ("low", "high")
    )
    margin = 0.3 * max(high - low, 1.0)
    return low - margin, high + margin


def quotes(
    table: pl.DataFrame, side: str, styles: Styles, title: str, reach: tuple[float, float]
) -> go.Figure:
    """Draw the half-spread of one side against inventory, one line a policy.

    Args:
        table: rows of one time left.
        side: "bid" or "ask".
        styles: of the policies.
        title: of the figure.
        reach: ends of the vertical axis, ticks.
    """
    plot = theme.blank("inventory, lots", "half-spread, ticks", 300, title)
    for (name,), rows in table.sort("inventory").group_by("policy", maintain_order=True):
        style = styles[str(name)]
        line = {"color": style.colour, "dash": style.dash, "width": style.width}
        plot.add_trace(
            go.Scatter(
                x=rows["inventory"].to_numpy(),
                y=rows[f"half_spread_{side}"].to_numpy(),
                mode="lines",
                name=str(name),
                meta=str(name),
                line=line,
            )
        )
    plot.update_yaxes(range=list(reach))
    return plot
