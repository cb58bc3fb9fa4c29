"""Resemblance: stylised facts of the recording beside those of its simulated market."""

import numpy as np
import plotly.graph_objects as go
import polars as pl

from flowhft.report import charts, numbers, theme
from flowhft.report.charts import Styles
from flowhft.report.evidence import Evidence
from flowhft.report.markup import Markup, figure, join, note, paragraph, row, subtitle, table

SHORT_AXIS = 100.0  # largest over smallest value below which a tick a decade is too few


def content(evidence: Evidence, styles: Styles) -> Markup | None:
    """Write which facts the simulator fails at, then every fact as a figure."""
    verdicts = evidence.table("resemble/resemblance_verdicts")
    points = evidence.table("resemble/resemblance")
    if verdicts is None or points is None:
        return None
    failed = verdicts.filter(~pl.col("resembles"))
    lines = [
        [
            one["title"],
            "yes" if one["resembles"] else "no",
            numbers.NOTHING if one["p_value"] is None else numbers.significant(one["p_value"], 2),
            one["said"].removeprefix(f"{one['title']}: ").replace("^2", "²"),
        ]
        for one in verdicts.iter_rows(named=True)
    ]
    figures = [
        figure(fact_figure(rows), "" if rows["simulated"].is_finite().any() else "Not in the simulator.")
        for _, rows in points.group_by("fact", maintain_order=True)
    ]
    return join(
        [
            paragraph(
                f"Of {verdicts.height} stylised facts, the simulated market differs from the recording in "
                f"{failed.height}. What a policy gains from a fact that differs, it may not gain on the "
                "market."
            ),
            table(["stylised fact", "resembles", "p-value", "where"], lines, class_="words"),
            subtitle("Recorded (points) and simulated (band)"),
            *(row(*figures[start : start + 2], small=True) for start in range(0, len(figures), 2)),
            note(
                "A band holds all points of a simulated tape of the same length together with the stated "
                "confidence (global envelope). Facts that were fitted, such as the fill curve, agree more "
                "easily than those that were not."
            ),
        ]
    )


def fact_figure(points: pl.DataFrame) -> go.Figure:
    """Draw one fact: the recorded values over the band in which simulated ones lie.

    Args:
        points: of one fact: x, recorded, simulated, low, high, outside, and words for title and axes.
    """
    first = points.row(0, named=True)
    unit = "" if first["unit"] == "1" else first["unit"].replace("^2", "²")
    plot = theme.blank(first["axis"], unit, 340, first["title"])
    x = points["x"].to_numpy()
    simulated, low, high, recorded = (
        points[name].to_numpy() for name in ("simulated", "low", "high", "recorded")
    )
    if np.any(np.isfinite(simulated)):
        plot.add_trace(charts.band(x, low, high, "simulated", theme.INK, 0.16))
        line = {"color": theme.INK, "dash": "dash", "width": 1.3}
        plot.add_trace(go.Scatter(x=x, y=simulated, mode="lines", name="simulated", line=line))
    colours = np.where(points["outside"].to_numpy(), theme.VERMILION, theme.BLUE).tolist()
    marker = {"color": colours, "size": 8, "symbol": "circle"}
    line = {"color": theme.BLUE, "width": 1.2}
    plot.add_trace(
        go.Scatter(x=x, y=recorded, mode="lines+markers", name="recorded", marker=marker, line=line)
    )
    if first["axis"].startswith(("interval", "horizon", "lag")):
        if np.max(x) < SHORT_AXIS * np.min(x):
            theme.logarithmic(plot, "x")
        else:
            plot.update_xaxes(type="log", dtick=1)
    if first["logarithmic"] and np.all(recorded > 0.0):
        theme.logarithmic(plot)
    return plot
