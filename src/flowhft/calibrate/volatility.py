"""Volatility and drift of the mid price, with the signature that shows at which interval noise ends."""

import math
from typing import NamedTuple

import numpy as np
import polars as pl
from jaxtyping import Float
from scipy.stats import norm

from flowhft.calibrate.parameter import Parameter, positive, signed
from flowhft.errors import DataError
from flowhft.recordings.book import TopOfBook, mid_at
from flowhft.runs import tables

WINDOWS = 30  # the recording holds at least so many intervals end to end: the error is then about 12 %
SHORTEST_INTERVAL = 1.0  # seconds; below it the mid is mostly the bounce of the book
GRID_STEPS = 100  # grid steps an interval; overlapping windows start at each
NOISE_STEPS = 10  # the shorter of the two scales, a tenth of the interval
SIGNATURE_INTERVALS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0)
SIGNATURE_WINDOWS = 10  # fewer intervals end to end than this say nothing

LARGEST_NOISE = 0.1  # share of the plain volatility from which on a warning says so
STEEPEST_SIGNATURE = 1.4  # highest over lowest volatility, from a tenth to three times the interval

SIGNATURE_UNITS = tables.units_of("calibrate", "signature")

Mids = Float[np.ndarray, " sample"]


class VolatilityFit(NamedTuple):
    """What a series of mids tells about volatility and drift.

    Attributes:
        volatility: ticks per root second.
        drift: ticks per second.
        interval: seconds, the longer of the two scales that were used.
        plain: ticks per root second, from the moves over `interval` alone, noise included.
        signature: columns `interval`, `volatility`, `standard_error`: plain volatility against interval.
    """

    volatility: Parameter
    drift: Parameter
    interval: float
    plain: float
    signature: pl.DataFrame

    @property
    def warnings(self) -> tuple[str, ...]:
        """Return what is not to be trusted, in plain words."""
        messages = []
        if abs(self.plain / self.volatility.value - 1.0) > LARGEST_NOISE:
            messages.append(
                f"volatility: moves over {self.interval:g} s alone give {self.plain:.3g} ticks / sqrt(s), "
                f"two scales give {self.volatility.value:.3g}: the mid does not yet diffuse at this interval."
            )
        near = pl.col("interval").is_between(0.099 * self.interval, 3.01 * self.interval)
        around = self.signature.filter(near)["volatility"].to_list()
        if around and max(around) > STEEPEST_SIGNATURE * min(around):
            messages.append(
                f"volatility: from {around[0]:.3g} to {around[-1]:.3g} ticks / sqrt(s) around "
                f"{self.interval:g} s: the mid {'trends' if around[-1] > around[0] else 'reverts'}, and no "
                "one volatility holds at all intervals (see the signature)."
            )
        if self.drift.low <= 0.0 <= self.drift.high:
            messages.append(
                f"drift: {self.drift.value:.3g} ticks / s cannot be told from 0 (standard error "
                f"{self.drift.standard_error:.3g}): experts are told 0."
            )
        return tuple(messages)


def interval_for(seconds: float, longest: float) -> float:
    """Return the sampling interval for a recording: the longest that still fits `WINDOWS` times.

    Raises:
        DataError: the recording is too short for any.
    """
    interval = min(longest, seconds / WINDOWS)
    if interval < min(SHORTEST_INTERVAL, longest):
        raise DataError(
            f"`volatility` must be measured on {WINDOWS} intervals of at least {SHORTEST_INTERVAL:g} s; "
            f"received {seconds:.1f} s of mid prices. Use {WINDOWS * SHORTEST_INTERVAL:.0f} s or more."
        )
    return interval


def mids_on_grid(top: TopOfBook, step: float) -> Mids:
    """Sample the mid price on a regular grid of the local clock.

    Args:
        top: best prices.
        step: seconds between two samples.

    Returns:
        Mids in ticks, shape (sample,); where a side of the book is empty the last mid stands.
    """
    times = np.arange(top.local_time_ns[0], top.local_time_ns[-1] + 1, round(step * 1e9))
    mids = mid_at(top, times, clock="local")
    latest = np.maximum.accumulate(np.where(np.isfinite(mids), np.arange(len(mids)), -1))
    return mids[latest[latest >= 0]]


def mean_square_move(mids: Mids, steps: int) -> float:
    """Return the mean squared move over so many grid steps, over all overlapping windows, without the drift.

    Without it the path is a bridge, whose mean squared move over h is sigma^2 h (1 - h / T).
    """
    moves = mids[steps:] - mids[:-steps] - (mids[-1] - mids[0]) * steps / (len(mids) - 1)
    return float(np.mean(moves**2)) / (1.0 - steps / (len(mids) - 1))


def _variance_error(mids: Mids, step: float, steps: int, noise_steps: int) -> float:
    """Return the standard error of the two-scale variance; see `estimate`."""
    lags = np.arange(1, steps)
    weights = np.minimum(1.0, (steps - lags) / (steps - noise_steps))
    quarticity = float(np.mean((mids[steps:] - mids[:-steps]) ** 4)) / (3.0 * (steps * step) ** 2)
    return float(np.sqrt(2.0 * quarticity * (1.0 + 2.0 * np.sum(weights**2)) / (len(mids) - 1)))


def estimate(mids: Mids, step: float, confidence: float = 0.95) -> VolatilityFit:
    """Estimate volatility and drift from mids on a regular grid.

    The observed mid is taken as a price with independent moves plus noise whose memory is shorter than a
    tenth of the interval h. With D(h) the mean squared move over h, over all windows of h that start on the
    grid and net of the drift, E D(h) = sigma^2 h + 2 omega^2, so that two scales free the estimate of noise:

        sigma^2 = (D(h) - D(h / 10)) / (h - h / 10)

    It is the sum of the autocovariances of the grid's moves with the weights w_l = min(1, (K - l) / (K - K'))
    (K, K' = h, h / 10 in grid steps), a flat-top window. Its error counts the overlap exactly, and follows
    heavy tails and changes of volatility through the quarticity Q = E (move over h)^4 / (3 h^2):

        Var sigma^2 = 2 Q / n x (1 + 2 sum_{l < K} w_l^2),     n moves of the grid

    which is about 1.6 sigma^4 h / T where volatility is constant; one scale without overlap has 2. Not
    modelled: what volatility will be on another day; the interval is for the volatility of this recording.

    Args:
        mids: ticks, shape (sample,); `GRID_STEPS` samples an interval.
        step: seconds between two samples.
        confidence: of the intervals.

    Raises:
        DataError: the mid does not move, or its moves are noise alone.

    Source: L. Zhang, P. Mykland, Y. Ait-Sahalia, "A tale of two time scales", JASA 100, 2005, with the
    smaller scale of Y. Ait-Sahalia, P. Mykland, L. Zhang, "Ultra high frequency volatility estimation with
    dependent microstructure noise", J. Econometrics 160, 2011; quarticity as in O. Barndorff-Nielsen,
    N. Shephard, JRSS B 64, 2002.
    """
    seconds = (len(mids) - 1) * step
    interval = GRID_STEPS * step
    shorter = NOISE_STEPS * step
    long, short = mean_square_move(mids, GRID_STEPS), mean_square_move(mids, NOISE_STEPS)
    variance = (long - short) / (interval - shorter)
    if variance <= 0.0:
        raise DataError(
            f"`volatility` must show in moves over {interval:g} s that exceed those over {shorter:g} s; "
            f"received root mean squares of {np.sqrt(long):.3g} and {np.sqrt(short):.3g} ticks. "
            "The mid stands still or only bounces: use a longer recording."
        )
    value = float(np.sqrt(variance))
    # The delta method takes the error of the variance to that of its root.
    error = _variance_error(mids, step, GRID_STEPS, NOISE_STEPS) / (2.0 * value)
    drift = float(mids[-1] - mids[0]) / seconds
    plain, drift_error = float(np.sqrt(long / interval)), value / math.sqrt(seconds)
    unit, method = "ticks / sqrt(s)", f"two scales, {interval:g} s"
    return VolatilityFit(
        positive("volatility", value, error, unit, method, confidence)._replace(
            diagnostic=f"moves over {interval:g} s alone: {plain:.3g} {unit}, over {shorter:g} s alone: "
            f"{np.sqrt(short / shorter):.3g}"
        ),
        signed("drift", drift, drift_error, "ticks / s", "first and last mid", confidence)._replace(
            diagnostic=f"p-value of none: {2.0 * norm.sf(abs(drift) / drift_error):.2g}"
        ),
        interval,
        plain,
        signature(mids, step),
    )


def signature(mids: Mids, step: float) -> pl.DataFrame:
    """Return plain volatility against sampling interval: level where the price diffuses, bent by noise.

    Args:
        mids: ticks, shape (sample,).
        step: seconds between two samples.

    Returns:
        Columns `interval` (s), `volatility` and `standard_error` (ticks per root second), one row an interval
        that is at least a grid step and fits `SIGNATURE_WINDOWS` times.
    """
    seconds = (len(mids) - 1) * step
    rows = []
    for steps in dict.fromkeys(round(interval / step) for interval in SIGNATURE_INTERVALS):
        if steps < 1 or steps * step * SIGNATURE_WINDOWS > seconds:
            continue
        value = float(np.sqrt(mean_square_move(mids, steps) / (steps * step)))
        error = _variance_error(mids, step, steps, 0) / (2.0 * value) if value > 0.0 else 0.0
        rows.append({"interval": steps * step, "volatility": value, "standard_error": error})
    return pl.DataFrame(rows, schema=dict.fromkeys(SIGNATURE_UNITS, pl.Float64))
