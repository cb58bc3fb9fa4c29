"""Calibration: the parameters of the market with their uncertainty, and how well each model fits."""

import numpy as np
import plotly.graph_objects as go
import polars as pl
from scipy.stats import norm

from flowhft.metrics import CONFIDENCE
from flowhft.report import charts, look, numbers
from flowhft.report.charts import LEVEL, Styles
from flowhft.report.evidence import Evidence
from flowhft.report.markup import Markup, element, facts, figure, join, row, table
from flowhft.report.sections.wording import pairs

_REACH = float(norm.ppf(0.5 + CONFIDENCE / 2.0))
_SIDES = {"bid": look.BLUE, "ask": look.VERMILION, "both": look.INK}


def content(evidence: Evidence, styles: Styles) -> Markup | None:
    """Write the parameters, then the figures that show whether they can be believed."""
    record = evidence.record("calibrate/calibration")
    figures = [
        figure(draw(found), caption)
        for name, draw, caption in _FITS
        if (found := evidence.table(f"calibrate/{name}")) is not None
    ]
    if not record and not figures:
        return None
    parts = []
    if parameters := record.get("parameters"):
        parts.append(parameter_table(parameters))
    if known := record.get("facts"):
        parts.append(facts(pairs(known)))
    if figures:
        parts.append(row(*figures))
    return join(parts)


def parameter_table(parameters: dict[str, dict]) -> Markup:
    """Write parameters with standard error, interval and the method that gave them.

    Args:
        parameters: by name: value, standard_error, low, high, unit, method.
    """
    lines = []
    for name, found in parameters.items():
        value, error = numbers.together(found.get("value"), found.get("standard_error"))
        if error.strip("0.") == "":  # an error that small needs digits of its own
            error = numbers.significant(found.get("standard_error"), 2)
        lines.append(
            [
                name.replace("_", " "),
                join([value, element("small", f"± {error}") if error != numbers.NOTHING else ""]),
                numbers.between(found.get("low"), found.get("high"), found.get("value")),
                found.get("unit", ""),
                found.get("method", ""),
            ]
        )
    head = ["parameter", "value ± standard error", "interval", "unit", "method"]
    return table(head, lines, class_="words")


def fill_curve_figure(curve: pl.DataFrame) -> go.Figure:
    """Draw how often market orders reach a distance, and the exponential that was fitted."""
    plot = look.blank("distance from the mid, ticks", "orders that reach it, 1 / second", 380, "Fill curve")
    for (side,), rows in curve.sort("distance").group_by("side", maintain_order=True):
        colour = _SIDES.get(str(side), look.GREEN)
        seen = rows.filter(pl.col("rate") > 0.0)
        charts.points(
            seen,
            "distance",
            "rate",
            "standard_error",
            plot,
            name=str(side),
            colour=colour,
            reach=_REACH,
            line=False,
        )
        fitted = rows.filter(pl.col("fitted") > 0.0)
        plot.add_trace(
            go.Scatter(
                x=fitted["distance"].to_numpy(),
                y=fitted["fitted"].to_numpy(),
                mode="lines",
                name=f"{side}, fitted",
                line={"color": colour, "width": 1.8, "dash": "dash"},
            )
        )
    # A rate within its own error of zero would draw its bar to the floor of a logarithmic axis.
    seen = curve.filter(pl.col("rate") > 0.0)["rate"].log10()
    if seen.len():
        plot.update_yaxes(range=[float(seen.min()) - 0.4, float(seen.max()) + 0.4])  # type: ignore[arg-type]
    plot.update_yaxes(type="log", dtick=1)
    plot.update_layout(showlegend=True, margin={"t": 64})
    return plot


def residuals_figure(residuals: pl.DataFrame) -> go.Figure:
    """Draw the quantiles of rescaled waiting times against those of the exponential they should follow."""
    plot = look.blank("theoretical quantile", "observed quantile", 380, "Arrivals: Hawkes residuals")
    theory = residuals["theoretical"].to_numpy()
    kept = look.thinned(theory, 400)
    reach = [0.0, float(np.nanmax(theory, initial=1.0))]
    plot.add_trace(
        go.Scatter(
            x=reach, y=reach, mode="lines", name="perfect fit", line={"color": look.GREY, "dash": "dash"}
        )
    )
    marker = {"color": look.BLUE, "size": 5}
    observed = residuals["observed"].to_numpy()
    plot.add_trace(
        go.Scatter(x=theory[kept], y=observed[kept], mode="markers", name="observed", marker=marker)
    )
    return plot


def signature_figure(signature: pl.DataFrame) -> go.Figure:
    """Draw volatility against the interval at which the mid is sampled."""
    plot = look.blank(
        "sampling interval, seconds", "volatility, ticks / √second", 380, "Volatility signature"
    )
    charts.points(
        signature,
        "interval",
        "volatility",
        "standard_error",
        plot,
        name="volatility",
        colour=look.BLUE,
        reach=_REACH,
        line=True,
    )
    plot.update_xaxes(type="log", dtick=1, minor={"ticks": "outside", "ticklen": 3, "tickcolor": look.LINE})
    plot.update_yaxes(rangemode="tozero")
    return plot


_FITS = (
    (
        "fill_curve",
        fill_curve_figure,
        "A straight line on this axis is an exponential: where the points leave the dashed line, quotes would be "
        f"filled more or less often than the simulator believes. Bars are {LEVEL} intervals.",
    ),
    (
        "hawkes_residuals",
        residuals_figure,
        "Points on the dashed line: the model explains when orders arrive. Above it, the longest quiet spells are longer "
        "than the model's.",
    ),
    (
        "signature",
        signature_figure,
        "Flat from some interval on: one volatility describes the price. A rise to the left is noise of the book, one to "
        f"the right is trend. Bars are {LEVEL} intervals.",
    ),
)
