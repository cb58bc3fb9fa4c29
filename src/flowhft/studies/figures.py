"""The relative error of every printed number, drawn."""

from collections.abc import Callable

import numpy as np
import plotly.graph_objects as go
import polars as pl

from flowhft.metrics.table import METRICS
from flowhft.policies.origin import Origin, origin_of_rule
from flowhft.report import theme
from flowhft.report.blocks import Figures, figures
from flowhft.studies.paper import METRICS as PRINTED
from flowhft.studies.paper import PPO

WIDEST = 0.25  # relative error at the edge of the figure; what lies beyond is drawn there


def errors_figure(comparison: pl.DataFrame, titled: Callable[[str], str]) -> Figures:
    """Draw the relative error of every entry: one panel a metric, one line a policy, one point a cell.

    Args:
        comparison: from `flowhft.studies.comparison.against_paper`.
        titled: what people read for a policy.
    """
    printed = comparison.filter(pl.col("printed").is_not_null())
    names = printed["policy"].unique(maintain_order=True).to_list()
    origins = {name: Origin("learned") if name == PPO else origin_of_rule(name) for name in names}
    styles = theme.styles_of(origins)
    panels = []
    for metric in PRINTED:
        first = metric == PRINTED[0]
        plot = theme.blank("relative error, %", "", 90 + 46 * len(names), METRICS[metric].title)
        for index, name in enumerate(names):
            result = printed.filter((pl.col("policy") == name) & (pl.col("metric") == metric))
            errors = np.clip(result["relative_error"].to_numpy(), -WIDEST, WIDEST)
            spread = np.linspace(-0.28, 0.28, len(errors)) if len(errors) > 1 else np.zeros(len(errors))
            colour = styles[name].colour
            plot.add_trace(
                go.Scatter(
                    x=100.0 * errors,
                    y=len(names) - 1 - index + spread,
                    mode="markers",
                    name=titled(name),
                    text=result["scenario"].to_list(),
                    hovertemplate="%{text}: %{x:+.1f} %<extra></extra>",
                    marker={
                        "color": [colour if seen else "rgba(0,0,0,0)" for seen in result["explained"]],
                        "size": 7,
                        "line": {"color": colour, "width": 1.4},
                    },
                )
            )
        plot.update_layout(hovermode="closest", margin={"l": 170 if first else 24})
        plot.update_yaxes(
            tickvals=list(range(len(names))),
            ticktext=[titled(name) if first else "" for name in reversed(names)],
            range=[-0.6, len(names) - 0.4],
            zeroline=False,
        )
        plot.update_xaxes(range=[-100.0 * WIDEST - 1.0, 100.0 * WIDEST + 1.0], zerolinewidth=2)
        panels.append(plot)
    caption = (
        "One point a cell, the six tables from below to above; open where sampling and rounding do not "
        f"explain the difference. What is further off than {100.0 * WIDEST:.0f} % is drawn at the edge."
    )
    return figures(panels, caption, small=True)
