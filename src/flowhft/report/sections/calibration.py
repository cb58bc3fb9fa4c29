"""Calibration: the parameters of the market with their uncertainty, and how well each model fits."""

import numpy as np
import plotly.graph_objects as go
import polars as pl

from flowhft.report import charts, numbers, theme
from flowhft.report.charts import LEVEL, Styles
from flowhft.report.evidence import Evidence
from flowhft.report.markup import Markup, facts, figure, join, row, subtitle, table
from flowhft.report.sections.wording import pairs

_SIDES = {"bid": theme.BLUE, "ask": theme.VERMILION}
_FACT_UNITS = {
    "market_spread": "ticks",
    "sampling_interval": "s",
    "plain_volatility": "ticks / √s",
    "order_window": "s",
    "response_latency": "s",
    "fitted_from": "ticks",
    "fitted_to": "ticks",
    "likelihood_intensity": "1 / s",
    "likelihood_fill_decay": "1 / tick",
    "hawkes_gain": "nats / order",
}


def content(evidence: Evidence, styles: Styles) -> Markup | None:
    """Write the parameters, then the figures that show whether they can be believed."""
    record = evidence.record("calibrate/calibration")
    figures = [
        figure(draw(result), caption)
        for name, draw, caption in _FITS
        if (result := evidence.table(f"calibrate/{name}")) is not None
    ]
    if not record and not figures:
        return None
    parts = []
    if parameters := record.get("parameters"):
        confidence = evidence.manifest("calibrate").get("config", {}).get("calibration", {}).get("confidence")
        parts.append(
            parameter_table(parameters, f"{numbers.share(confidence)} interval" if confidence else "interval")
        )
    if figures:
        parts.append(row(*figures))
    if known := record.get("facts"):
        shown_above = tuple(evidence.record("recording/recording"))
        parts += [
            subtitle("What was calibrated on, and how well it fits"),
            facts(pairs(known, without=shown_above, units=_FACT_UNITS)),
        ]
    return join(parts)


def parameter_table(parameters: dict[str, dict], interval: str) -> Markup:
    """Write parameters with standard error, interval and the method that gave them.

    Args:
        parameters: by name: value, standard_error, low, high, unit, method, and what says whether it can be
            believed.
        interval: title of the column of intervals.
    """
    lines = []
    for name, result in parameters.items():
        value, _ = numbers.together(result.get("value"), result.get("standard_error"))
        error = numbers.significant(result.get("standard_error"), 2)
        lines.append(
            [
                name.replace("_", " "),
                value,
                f"± {error}" if error != numbers.NOTHING else error,
                numbers.between(result.get("low"), result.get("high"), result.get("value")),
                "" if result.get("unit") == "1" else result.get("unit", "").replace("sqrt(s)", "√s"),
                result.get("method", ""),
                result.get("diagnostic", ""),
            ]
        )
    head = ["parameter", "value", "standard error", interval, "unit", "method", "diagnostic"]
    return table(head, lines, class_="words")


def fill_curve_figure(curve: pl.DataFrame) -> go.Figure:
    """Draw how often market orders reach a distance, and the exponential that was fitted.

    Args:
        curve: one row a side and distance (ticks): rate, its standard error and the fit, 1 / second.
    """
    plot = theme.blank("distance from the mid, ticks", "orders that reach it, 1 / second", 380, "Fill curve")
    seen = curve.filter(pl.col("rate") > 0.0).sort("distance")  # a logarithmic axis has no place for zero
    sides = {str(side): rows for (side,), rows in seen.group_by("side", maintain_order=True)}
    together = next((sides.pop(name) for name in ("mean", "both") if name in sides), None)
    for side, rows in sides.items():
        colour = _SIDES.get(side, theme.GREEN)
        if together is None:
            charts.points(plot, rows, "distance", "rate", "standard_error", side, colour, line=False)
            plot.add_trace(_fit_line(rows, colour))
        else:  # the sides apart are there to be compared; the interval and the fit are of both
            marker = {"color": colour, "size": 4}
            x, y = rows["distance"].to_numpy(), rows["rate"].to_numpy()
            plot.add_trace(go.Scatter(x=x, y=y, mode="markers", name=side, marker=marker))
    if together is not None:
        x, rate, error = (together[name].to_numpy() for name in ("distance", "rate", "standard_error"))
        lower, upper = np.maximum(rate - charts.REACH * error, rate * 1e-3), rate + charts.REACH * error
        plot.add_trace(charts.band(x, lower, upper, "interval", theme.INK))
        line = {"color": theme.INK, "width": 1.8}
        plot.add_trace(go.Scatter(x=x, y=rate, mode="lines", name="mean", line=line))
        plot.add_trace(_fit_line(together, theme.INK))
    if seen.height:
        low, high = np.log10(np.quantile(seen["rate"].to_numpy(), [0.0, 1.0])).tolist()
        plot.update_yaxes(range=[low - 0.4, high + 0.4])  # a bar that reaches zero would stretch it for ever
    if "in_fit" in seen.columns and (fitted := seen.filter("in_fit")["distance"].to_numpy()).size:
        ends = {"line_width": 0, "fillcolor": theme.faint(theme.GREEN, 0.10), "layer": "below"}
        plot.add_vrect(x0=float(fitted.min()), x1=float(fitted.max()), **ends)
    plot.update_yaxes(type="log", dtick=1)
    plot.update_layout(showlegend=True, margin={"t": 64})
    return plot


def _fit_line(rows: pl.DataFrame, colour: str) -> go.Scatter:
    line = {"color": colour, "width": 1.8, "dash": "dash"}
    x, y = rows["distance"].to_numpy(), rows["fitted"].to_numpy()
    return go.Scatter(x=x, y=y, mode="lines", name="fitted", line=line, showlegend=False)


def residuals_figure(residuals: pl.DataFrame) -> go.Figure:
    """Draw the quantiles of rescaled waiting times against those of the exponential they should follow.

    Args:
        residuals: columns theoretical and observed; poisson, if there, without excitation.
    """
    plot = theme.blank("theoretical quantile", "observed quantile", 380, "Arrivals: rescaled waiting times")
    theory = residuals["theoretical"].to_numpy()
    kept = theme.thinned(theory, 400)
    ends = [0.0, float(np.nanmax(theory, initial=1.0))]
    line = {"color": theme.INK, "dash": "dash", "width": 1.2}
    plot.add_trace(go.Scatter(x=ends, y=ends, mode="lines", name="perfect fit", line=line, showlegend=False))
    for column, name, colour in (
        ("poisson", "Poisson", theme.ORANGE),
        ("observed", "Hawkes", theme.BLUE),
    ):
        if column in residuals.columns:
            marker = {"color": colour, "size": 5}
            values = residuals[column].to_numpy()[kept]
            plot.add_trace(go.Scatter(x=theory[kept], y=values, mode="markers", name=name, marker=marker))
    plot.update_layout(showlegend=True, margin={"t": 64})
    return plot


def signature_figure(signature: pl.DataFrame) -> go.Figure:
    """Draw volatility against the interval at which the mid is sampled.

    Args:
        signature: interval (seconds), volatility and its standard error (ticks per root second).
    """
    plot = theme.blank(
        "sampling interval, seconds", "volatility, ticks / √second", 380, "Volatility signature"
    )
    charts.points(plot, signature, "interval", "volatility", "standard_error", "volatility", theme.BLUE)
    plot.update_xaxes(type="log", dtick=1, minor={"ticks": "outside", "ticklen": 3, "tickcolor": theme.LINE})
    plot.update_yaxes(rangemode="tozero")
    return plot


def structure_figure(structure: pl.DataFrame) -> go.Figure:
    """Draw the mean squared move against its interval, measured and as the fractional fit has it.

    Args:
        structure: interval (seconds), mean_square_move and fitted (ticks squared).
    """
    plot = theme.blank("interval, seconds", "mean squared move, ticks²", 380, "Memory of the price")
    x = structure["interval"].to_numpy()
    marker, line = {"color": theme.BLUE, "size": 7}, {"color": theme.INK, "dash": "dash", "width": 1.5}
    measured, fitted = structure["mean_square_move"].to_numpy(), structure["fitted"].to_numpy()
    plot.add_trace(go.Scatter(x=x, y=measured, mode="markers", name="measured", marker=marker))
    plot.add_trace(go.Scatter(x=x, y=fitted, mode="lines", name="fitted", line=line))
    plot.update_xaxes(type="log", dtick=1)
    plot.update_yaxes(type="log", dtick=1)
    plot.update_layout(showlegend=True, margin={"t": 64})
    return plot


def jumps_figure(jumps: pl.DataFrame) -> go.Figure:
    """Draw every jump that was found: when and how large.

    Args:
        jumps: time (seconds), size (ticks), deviations.
    """
    plot = theme.blank("time, seconds", "jump, ticks", 380, "Jumps")
    bars = {"type": "data", "symmetric": False, "arrayminus": jumps["size"].to_numpy(), "array": [0.0]}
    marker = {"color": theme.VERMILION, "size": 7}
    x, y = jumps["time"].to_numpy(), jumps["size"].to_numpy()
    plot.add_trace(go.Scatter(x=x, y=y, mode="markers", name="jump", marker=marker, error_y=bars))
    return plot


def seasonality_figure(profile: pl.DataFrame) -> go.Figure:
    """Draw rate and volatility over the session, each in units of its mean.

    Args:
        profile: start (seconds), rate and volatility with their errors.
    """
    plot = theme.blank("time, hours", "in units of the mean", 380, "Within the session")
    for name, colour in (("rate", theme.BLUE), ("volatility", theme.VERMILION)):
        mean = float(profile[name].fill_nan(None).mean() or 1.0)  # type: ignore[arg-type]
        relative = profile.select(
            (pl.col("start") / 3600.0).alias("start"), *(pl.col(c) / mean for c in (name, f"{name}_error"))
        )
        charts.points(plot, relative, "start", name, f"{name}_error", name, colour)
    plot.update_layout(showlegend=True, margin={"t": 64})
    plot.update_yaxes(rangemode="tozero")
    return plot


def order_fills_figure(rates: pl.DataFrame) -> go.Figure:
    """Draw how often resting orders are executed, and what the fill curve promises.

    Args:
        rates: distance (ticks), rate and promised (1 / second).
    """
    plot = theme.blank("distance from the mid, ticks", "executions, 1 / second", 380, "Fills of real orders")
    x = rates["distance"].to_numpy()
    real, promised = (np.where(rates[c] > 0.0, rates[c], np.nan) for c in ("rate", "promised"))
    marker, line = {"color": theme.BLUE, "size": 6}, {"color": theme.INK, "width": 1.5}
    plot.add_trace(go.Scatter(x=x, y=real, mode="markers", name="resting orders", marker=marker))
    plot.add_trace(go.Scatter(x=x, y=promised, mode="lines", name="fill curve", line=line))
    theme.logarithmic(plot)
    plot.update_layout(showlegend=True, margin={"t": 64})
    return plot


def markout_curve_figure(markouts: pl.DataFrame) -> go.Figure:
    """Draw how far the mid goes against a filled quote, and the distance that the quote earned.

    Args:
        markouts: horizon (seconds), move, standard_error and distance (ticks).
    """
    plot = theme.blank(
        "time since the fill, seconds", "move against the fill, ticks", 380, "Adverse selection"
    )
    charts.points(plot, markouts, "horizon", "move", "standard_error", "move", theme.BLUE)
    x, distance = markouts["horizon"].to_numpy(), markouts["distance"].to_numpy()
    line = {"color": theme.INK, "dash": "dash", "width": 1.2}
    plot.add_trace(go.Scatter(x=x, y=distance, mode="lines", name="quoted distance", line=line))
    plot.update_xaxes(type="log", dtick=1)
    plot.update_yaxes(rangemode="tozero")
    plot.update_layout(showlegend=True, margin={"t": 64})
    return plot


def signals_figure(signals: pl.DataFrame) -> go.Figure:
    """Draw what the best signals of the book are worth on a part that nothing was fitted to, by horizon.

    Args:
        signals: one row a signal and horizon (seconds): r_squared with its interval.
    """
    plot = theme.blank("horizon, seconds", "R² unseen", 380, "What the book foresees of the mid")
    best = signals.group_by("signal").agg(pl.col("r_squared").max()).drop_nulls().sort("r_squared", "signal")
    names = best["signal"].to_list()[: -1 - len(_SIGNAL_COLOURS) : -1]
    for name, colour in zip(names, _SIGNAL_COLOURS, strict=False):
        rows = signals.filter(pl.col("signal") == name, pl.col("r_squared").is_not_null()).sort("horizon")
        x, y, low, high = (
            rows[column].to_numpy() for column in ("horizon", "r_squared", "r_squared_low", "r_squared_high")
        )
        bars = {"type": "data", "symmetric": False, "array": high - y, "arrayminus": y - low, "thickness": 1}
        label, marker = name.replace("_", " "), {"color": colour, "size": 6}
        line = {"color": colour, "width": 1.5}
        plot.add_trace(
            go.Scatter(x=x, y=y, error_y=bars, mode="lines+markers", name=label, marker=marker, line=line)
        )
    plot.update_xaxes(type="log", dtick=1)
    plot.update_layout(showlegend=True, margin={"t": 64})
    return plot


_SIGNAL_COLOURS = (theme.BLUE, theme.VERMILION, theme.GREEN, theme.ORANGE, theme.PURPLE)
_FITS = (
    (
        "fill_curve",
        fill_curve_figure,
        "Dashed: the exponential that was fitted, over the distances on a green ground. Where the rates "
        "leave it, quotes are filled more or less often than the simulator believes. Bars and bands are "
        f"{LEVEL} intervals.",
    ),
    (
        "hawkes_residuals",
        residuals_figure,
        "Points on the dashed line: the model explains when orders arrive. Above it on the right, the "
        "longest quiet spells are longer than the model's.",
    ),
    (
        "signature",
        signature_figure,
        "Flat from some interval on: one volatility describes the price. A rise to the left is noise of "
        f"the book, one to the right is trend. Bars are {LEVEL} intervals.",
    ),
    (
        "structure",
        structure_figure,
        "Straight from some interval on: the price scales by one Hurst exponent, half the slope. A bend at "
        "the left is noise of the book.",
    ),
    (
        "jumps",
        jumps_figure,
        "Moves that the volatility around them cannot explain. Smaller jumps are not seen.",
    ),
    (
        "seasonality",
        seasonality_figure,
        f"The calibrated market takes 1 throughout. Bars are {LEVEL} intervals.",
    ),
    (
        "order_fills",
        order_fills_figure,
        "Points below the line: the queue keeps orders waiting. Above it: orders within the spread are met "
        "by market orders that would else have gone further.",
    ),
    (
        "markout_curve",
        markout_curve_figure,
        "Above the dashed line, a fill of a quote at 1 / k has lost more than it earned. Bars are "
        f"{LEVEL} intervals.",
    ),
    (
        "signals",
        signals_figure,
        "Share of the squared moves of the venue's mid, from 5.1 ms after a decision on, that a signal "
        "explains where it was not fitted: the five best. Bars are intervals. A mid that is foreseen is no "
        "fill that earns.",
    ),
)
