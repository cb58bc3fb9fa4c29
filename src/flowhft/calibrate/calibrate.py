"""Calibrate a market to a recording: every parameter with its error, every model with its goodness of fit."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from flowhft.calibrate.adverse_selection import fit_adverse_selection
from flowhft.calibrate.fill_curve import FILL_CURVE_UNITS, bursts_of, fit_fill_curve
from flowhft.calibrate.hawkes import FASTEST_DECAY, RESIDUAL_UNITS, fit_hawkes, spread_ties
from flowhft.calibrate.parameter import Parameter
from flowhft.calibrate.volatility import SIGNATURE_UNITS, fit_volatility
from flowhft.errors import DataError, require
from flowhft.recordings.book import TopOfBook, market_orders, top_of_book
from flowhft.recordings.ticks import BUY, SNAPSHOT, Recording
from flowhft.runs import read_json, read_table, stream, write_json, write_table
from flowhft.types import Estimates, Progress, no_progress

FILE = "calibration.json"
SHORTEST_HORIZON = 0.001  # seconds: of the adverse selection where quotes are taken to answer at once
TABLES = {
    "signature": SIGNATURE_UNITS,
    "fill_curve": FILL_CURVE_UNITS,
    "hawkes_residuals": RESIDUAL_UNITS,
}


@dataclass(frozen=True)
class CalibrationSettings:
    """How a recording is calibrated.

    Attributes:
        sampling_interval: longest interval of the mid moves that volatility is measured on, seconds; short
            recordings use a shorter one, so that it fits 30 times.
        order_window: market orders of one side closer than this are one, seconds: a parent order that was
            split or routed. What its pieces set off within the window is not excitation.
        response_latency: how long a quote stands where it is while orders come, seconds: half the time
            between two decisions plus the way to the venue. A burst of orders within it fills a quote once.
        fit_from: nearest distance of the fill curve's fit, ticks; none = half of where quotes earn most.
        fit_to: furthest distance of the fill curve's fit, ticks; none = three times where quotes earn most.
        bootstrap_samples: how often blocks of time are drawn for the errors of the fill curve.
        confidence: of the intervals.
    """

    sampling_interval: float = 10.0
    order_window: float = 0.01
    response_latency: float = 0.05
    fit_from: float | None = None
    fit_to: float | None = None
    bootstrap_samples: int = 1000
    confidence: float = 0.95

    def __post_init__(self) -> None:
        """Check every field.

        Raises:
            UsageError: naming the field, its rule and its value.
        """
        for name in ("sampling_interval", "order_window", "response_latency"):
            value = getattr(self, name)
            require(math.isfinite(value) and value >= 0.0, name, "be 0 or more", f"{value} s")
        require(
            self.sampling_interval > 0.0, "sampling_interval", "be above 0", f"{self.sampling_interval} s"
        )
        both = (self.fit_from is None) == (self.fit_to is None)
        require(both, "fit_from", "come with `fit_to`", self.fit_from, "Set both or neither.")
        if self.fit_from is not None and self.fit_to is not None:
            order = 0.0 < self.fit_from < self.fit_to
            require(
                order, "fit_from", "lie between 0 and `fit_to`", f"{self.fit_from} and {self.fit_to} ticks"
            )
        require(self.bootstrap_samples >= 100, "bootstrap_samples", "be 100 or more", self.bootstrap_samples)
        require(0.0 < self.confidence < 1.0, "confidence", "lie between 0 and 1", self.confidence)


class Facts(NamedTuple):
    """What was calibrated on, and how well the models fit.

    Attributes:
        venue, symbol, currency: of the recording.
        tick_size: price of a tick, in the currency.
        lot_size: quantity of a lot, in the base asset.
        seconds: from the first mid to the last event.
        market_orders: both sides, orders within the order window taken together.
        bursts: the same with the response latency.
        market_spread: time-weighted mean, ticks.
        sampling_interval: seconds, of the volatility.
        plain_volatility: at that interval, noise included, ticks per root second.
        order_window: seconds.
        response_latency: seconds.
        fitted_from, fitted_to: distances of the fill curve's fit, ticks.
        fill_curve_r_squared: of the logarithm of the rate.
        likelihood_intensity: A by maximum likelihood over the same distances, per side, 1 / second.
        likelihood_fill_decay: k by maximum likelihood, 1 / tick.
        hawkes_gain: log-likelihood over a Poisson process, nats per order.
        hawkes_ks_statistic: Kolmogorov-Smirnov distance of the residuals from the exponential.
        hawkes_p_value: of that distance.
        poisson_ks_statistic: the distance for a Poisson process.
    """

    venue: str
    symbol: str
    currency: str
    tick_size: float
    lot_size: float
    seconds: float
    market_orders: int
    bursts: int
    market_spread: float
    sampling_interval: float
    plain_volatility: float
    order_window: float
    response_latency: float
    fitted_from: float
    fitted_to: float
    fill_curve_r_squared: float
    likelihood_intensity: float
    likelihood_fill_decay: float
    hawkes_gain: float
    hawkes_ks_statistic: float
    hawkes_p_value: float
    poisson_ks_statistic: float


@dataclass(frozen=True)
class Calibration:
    """A calibrated market.

    Attributes:
        parameters: by name. In ticks, seconds and per side: `volatility`, `drift`, `intensity` (A),
            `fill_decay` (k), both also with `_bid` and `_ask`, `market_order_rate`, `reach` (A over that
            rate), `base_intensity`, `self_excitation`, `cross_excitation`, `decay`, `branching_ratio`,
            `adverse_selection` (of quotes at 1 / k, over twice the response latency). For people, in
            currency and for both sides together: `volatility_in_currency`, `fill_decay_in_currency`,
            `intensity_both_sides`.
        facts: about the recording and the fits.
        warnings: where a model fits poorly or an estimate cannot be trusted, in plain words.
        signature: plain volatility against sampling interval.
        fill_curve: empirical and fitted rates against distance.
        hawkes_residuals: quantiles of the rescaled waiting times against those of the exponential.
    """

    parameters: dict[str, Parameter]
    facts: Facts
    warnings: tuple[str, ...]
    signature: pl.DataFrame
    fill_curve: pl.DataFrame
    hawkes_residuals: pl.DataFrame

    def estimates(self, horizon: float) -> Estimates:
        """Return what an expert is told about this market.

        The drift is 0 unless its interval excludes 0: over one recording it is nearly always noise, and an
        expert who is told noise takes a position on it.

        Args:
            horizon: length of a session, seconds.
        """
        require(horizon > 0.0, "horizon", "be above 0", f"{horizon} s")
        drift = self.parameters["drift"]
        return Estimates(
            volatility=self.parameters["volatility"].value,
            drift=0.0 if drift.low <= 0.0 <= drift.high else drift.value,
            intensity=self.parameters["intensity"].value,
            fill_decay=self.parameters["fill_decay"].value,
            horizon=horizon,
        )


def _span_ns(recording: Recording, top: TopOfBook) -> tuple[int, int]:
    """Return the first and last exchange time: from the first mid on, as long as the local clock counted.

    The times of a snapshot say when its levels were last touched, and may lie far in the past.
    """
    events = recording.events
    last = int(np.max(events["exchange_time_ns"][events["kind"] != SNAPSHOT]))
    return last - int(events["local_time_ns"][-1] - top.local_time_ns[0]), last


def _time_weighted_spread(top: TopOfBook) -> float:
    """Return the mean market spread in ticks, each weighted by how long it stood."""
    spread, stood = top.market_spread[:-1], np.diff(top.local_time_ns).astype(np.float64)
    known = np.isfinite(spread)
    return float(np.sum(spread[known] * stood[known]) / max(np.sum(stood[known]), 1.0))


def calibrate(
    recording: Recording,
    settings: CalibrationSettings | None = None,
    seed: int = 0,
    progress: Progress = no_progress,
) -> Calibration:
    """Estimate the parameters of a market from a recording of it.

    The market is the simulator's: a mid with independent moves, and market orders a side whose intensity
    is excited by the orders before them, each reaching a quote at distance delta with probability
    min(1, reach exp(-k delta)), independently of the price. See `fit_volatility`, `fit_hawkes` and
    `fit_fill_curve` for the estimators and what they leave out. Everything is taken as constant over the
    recording: calibrate parts of a day apart where they differ.

    Args:
        recording: any recording with trades and best prices or depth.
        settings: None for the defaults.
        seed: of the bootstrap and of the times within one tick of a coarse clock.
        progress: told the share done and the stage.

    Raises:
        DataError: the recording cannot carry a parameter; names it, the count and what is needed.
    """
    settings = settings or CalibrationSettings()
    progress(0.0, "best prices")
    top = top_of_book(recording)
    if len(top.local_time_ns) < 2:
        raise DataError(
            f"`volatility` must be measured on mid prices; received {len(top.local_time_ns)}. "
            "Record best prices or depth."
        )
    progress(0.1, "volatility")
    volatility = fit_volatility(top, settings.sampling_interval, settings.confidence)

    progress(0.2, "market orders")
    start_ns, last_ns = _span_ns(recording, top)
    seconds = (last_ns + 1_000_000 - start_ns) * 1e-9  # a millisecond clock that shows t means [t, t + 1 ms)
    orders = market_orders(recording, round(settings.order_window * 1e9))
    late = orders.time_ns >= start_ns
    times = spread_ties(orders.time_ns[late], start_ns, stream(seed, "calibrate", "ties"))
    sides = (orders.side[late] == BUY).astype(np.int64)

    progress(0.3, "fill curve")
    distances = None
    if settings.fit_from is not None and settings.fit_to is not None:
        distances = (settings.fit_from, settings.fit_to)
    bursts = bursts_of(market_orders(recording), start_ns, settings.response_latency)
    fill_curve = fit_fill_curve(
        bursts,
        times,
        seconds,
        stream(seed, "calibrate", "bootstrap"),
        settings.bootstrap_samples,
        settings.confidence,
        distances,
    )

    progress(0.55, "adverse selection")
    adverse_selection, few_orders = fit_adverse_selection(
        bursts,
        top,
        start_ns,
        1.0 / fill_curve.curve.fill_decay,
        2.0 * settings.response_latency or SHORTEST_HORIZON,
        settings.confidence,
    )

    progress(0.6, "Hawkes process")
    fastest = 1.0 / settings.order_window if settings.order_window > 0.0 else FASTEST_DECAY
    hawkes = fit_hawkes(times, sides, seconds, settings.confidence, fastest)
    parameters = {
        **{parameter.name: parameter for parameter in (volatility.volatility, volatility.drift)},
        **fill_curve.parameters,
        **hawkes.parameters,
        "adverse_selection": adverse_selection,
    }
    tick, currency = recording.tick_size, recording.currency
    for name, known, factor, unit in (
        ("volatility_in_currency", "volatility", tick, f"{currency} / sqrt(s)"),
        ("fill_decay_in_currency", "fill_decay", 1.0 / tick, f"1 / {currency}"),
        ("intensity_both_sides", "intensity", 2.0, "1 / s"),
    ):
        parameters[name] = parameters[known].times(factor, name, unit)
    facts = Facts(
        venue=recording.venue,
        symbol=recording.symbol,
        currency=currency,
        tick_size=tick,
        lot_size=recording.lot_size,
        seconds=seconds,
        market_orders=len(times),
        bursts=fill_curve.bursts,
        market_spread=_time_weighted_spread(top),
        sampling_interval=volatility.interval,
        plain_volatility=volatility.plain,
        order_window=settings.order_window,
        response_latency=settings.response_latency,
        fitted_from=fill_curve.fitted_from,
        fitted_to=fill_curve.fitted_to,
        fill_curve_r_squared=fill_curve.curve.r_squared,
        likelihood_intensity=fill_curve.likelihood.intensity,
        likelihood_fill_decay=fill_curve.likelihood.fill_decay,
        hawkes_gain=hawkes.log_likelihood_gain,
        hawkes_ks_statistic=hawkes.ks_statistic,
        hawkes_p_value=hawkes.p_value,
        poisson_ks_statistic=hawkes.ks_statistic_poisson,
    )
    progress(1.0, "done")
    warnings = volatility.warnings + fill_curve.warnings + few_orders + hawkes.warnings
    return Calibration(parameters, facts, warnings, volatility.signature, fill_curve.table, hawkes.residuals)


def save(calibration: Calibration, folder: Path) -> None:
    """Write a calibration as `calibration.json` and one Parquet table each for what `TABLES` names.

    Args:
        calibration: what to write.
        folder: is made if it does not exist.
    """
    for name, units in TABLES.items():
        write_table(folder / f"{name}.parquet", getattr(calibration, name), units)
    write_json(
        folder / FILE,
        {
            "parameters": calibration.parameters,
            "facts": calibration.facts,
            "warnings": calibration.warnings,
        },
    )


def load_calibration(folder: Path) -> Calibration:
    """Read what `save` wrote.

    Args:
        folder: that holds `calibration.json` and its tables.

    Raises:
        DataError: a file is missing, damaged or holds something else.
    """
    path = folder / FILE
    content = read_json(path)
    try:
        parameters = {name: Parameter(**_with_nan(fields)) for name, fields in content["parameters"].items()}
        facts = Facts(**_with_nan(content["facts"]))
        warnings = tuple(content["warnings"])
    except (KeyError, TypeError, AttributeError) as cause:
        raise DataError(
            f"`{path}` must be a calibration; {type(cause).__name__}: {cause}. Run `flowhft calibrate` again."
        ) from cause
    tables = {name: read_table(folder / f"{name}.parquet") for name in TABLES}
    return Calibration(parameters, facts, warnings, **tables)


def _with_nan(fields: dict[str, Any]) -> dict[str, Any]:
    """Undo what JSON makes of NaN."""
    return {name: math.nan if value is None else value for name, value in fields.items()}
