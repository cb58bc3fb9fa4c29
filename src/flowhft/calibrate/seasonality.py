"""Seasonality: how the rate of market orders and the volatility change over the session."""

import math
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import polars as pl
from jaxtyping import Float
from scipy.stats import chi2

from flowhft.calibrate.parameter import Parameter, refused, resampled
from flowhft.calibrate.volatility import GRID_STEPS, estimate
from flowhft.errors import DataError
from flowhft.runs import tables

PART = 1800.0  # seconds; parts of the session, as long as their volatility can be told to 10 %
FEWEST_PARTS = 4
MINUTE = 60.0  # seconds; counts of minutes tell by how much orders cluster
SAMPLES = 2000
METHOD = "parts of half an hour"

SEASONALITY_UNITS = tables.units_of("calibrate", "seasonality")

Values = Float[np.ndarray, " part"]


class SeasonalityFit(NamedTuple):
    """How far the session is from one rate and one volatility.

    Attributes:
        parameters: `rate_seasonality` and `volatility_seasonality`: standard deviation of the parts' true
            values around their mean, in units of the mean.
        profile: one row a part of the session, columns of `SEASONALITY_UNITS`; rates are per side.
        warnings: why it was refused, or what a constant market leaves out.
    """

    parameters: dict[str, Parameter]
    profile: pl.DataFrame
    warnings: tuple[str, ...]


def fit_seasonality(
    order_times: Float[np.ndarray, " event"],
    mids: Float[np.ndarray, " sample"],
    step: float,
    seconds: float,
    seed: int,
    confidence: float = 0.95,
) -> SeasonalityFit:
    """Estimate rate and volatility in parts of the session, and how much they differ beyond chance.

    The variance between the parts is that of their true values plus that of their errors; the latter is
    taken off. Orders cluster, so the error of a part's rate comes from the counts of its minutes. One
    session cannot tell what comes back every day from what happened on this one.

    Args:
        order_times: of market orders of both sides, seconds since the recording began.
        mids: ticks on a regular grid, shape (sample,); `GRID_STEPS` samples an interval of the volatility.
        step: seconds between two samples.
        seconds: length of the recording.
        seed: of the intervals, drawn from the parts' errors.
        confidence: of the intervals.

    Returns:
        The fit; with fewer than four half hours both are NaN, and a warning says so.
    """
    parts = round(seconds / PART)
    if parts < FEWEST_PARTS:
        reason = (
            f"must rest on {FEWEST_PARTS} half hours; received {seconds / PART:.2f}. Use a longer recording."
        )
        both = {
            name: refused(name, "1", METHOD, reason)
            for name in ("rate_seasonality", "volatility_seasonality")
        }
        profile = pl.DataFrame(schema=dict.fromkeys(SEASONALITY_UNITS, pl.Float64))
        return SeasonalityFit(both, profile, (f"`rate_seasonality` {reason}",))
    length = seconds / parts
    rate, rate_error = _rates(order_times, parts, length)
    volatility, volatility_error = _volatilities(mids, step, parts)
    starts = np.arange(parts) * length
    profile = pl.DataFrame(
        dict(zip(SEASONALITY_UNITS, (starts, rate, rate_error, volatility, volatility_error), strict=True))
    )
    generator = np.random.default_rng(seed)
    parameters, messages = {}, []
    for name, values, errors in (
        ("rate", rate, rate_error),
        ("volatility", volatility, volatility_error),
    ):
        known = np.isfinite(values) & (errors > 0.0)
        if name == "rate":  # a part in which nobody traded is known, by the error that one order would have
            known, errors = np.isfinite(values), np.where(errors > 0.0, errors, 0.5 / length)
        parameter, p_value = _beyond_chance(
            f"{name}_seasonality", values[known], errors[known], generator, confidence
        )
        parameters[parameter.name] = parameter
        if p_value < 1.0 - confidence:
            highest, lowest = float(np.nanmax(values)), float(np.nanmin(values))
            messages.append(
                f"{name}: from {lowest:.3g} to {highest:.3g} over half hours; the market that is calibrated "
                f"takes the mean, and is wrong by {parameter.value:.0%} (root mean square) within the "
                "session."
            )
    return SeasonalityFit(parameters, profile, tuple(messages))


def _rates(times: Float[np.ndarray, " event"], parts: int, length: float) -> tuple[Values, Values]:
    """Return the rate per side of every part, and its error by the scatter of its minutes."""
    minutes = max(2, round(length / MINUTE))
    minute = np.clip((times / length * minutes).astype(np.int64), 0, parts * minutes - 1)
    counts = np.bincount(minute, minlength=parts * minutes).reshape(parts, minutes)
    error = np.sqrt(np.var(counts, axis=1, ddof=1) * minutes)
    return counts.sum(1) / (2.0 * length), error / (2.0 * length)


def _volatilities(mids: Float[np.ndarray, " sample"], step: float, parts: int) -> tuple[Values, Values]:
    """Return the volatility of every part and its error; NaN where the mid stands still."""
    edges = np.linspace(0, len(mids) - 1, parts + 1).astype(np.int64)
    result = np.full((2, parts), np.nan)
    for part, (first, last) in enumerate(pairwise(edges)):
        if last - first > 2 * GRID_STEPS:
            try:
                volatility = estimate(mids[first : last + 1], step).volatility
            except DataError:
                continue
            result[:, part] = volatility.value, volatility.standard_error
    return result[0], result[1]


def _beyond_chance(
    name: str, values: Values, errors: Values, generator: np.random.Generator, confidence: float
) -> tuple[Parameter, float]:
    """Return the relative scatter of the true values, and the p-value of there being none."""
    if len(values) < FEWEST_PARTS:
        reason = f"must rest on {FEWEST_PARTS} parts that can be measured; received {len(values)}."
        return refused(name, "1", METHOD, reason), math.nan

    def scatter(seen: Float[np.ndarray, "*sample part"]) -> Float[np.ndarray, "*sample"]:
        between = np.var(seen, axis=-1, ddof=1) - np.mean(errors**2)
        return np.sqrt(np.maximum(between, 0.0)) / np.mean(seen, axis=-1)

    value = float(scatter(values))
    # True values that scatter as was estimated, each with its error on top.
    mean = float(np.mean(values))
    shape = (SAMPLES, len(values))
    true = mean * (1.0 + value * generator.standard_normal(shape))
    again = scatter(true + errors * generator.standard_normal(shape))
    weight = errors**-2.0
    centre = np.sum(weight * values) / np.sum(weight)
    statistic = float(np.sum(weight * (values - centre) ** 2))
    p_value = float(chi2.sf(statistic, len(values) - 1))
    parameter = resampled(name, value, again, "1", METHOD, confidence)
    return parameter._replace(diagnostic=f"p-value of none: {p_value:.2g}, {len(values)} parts"), p_value
