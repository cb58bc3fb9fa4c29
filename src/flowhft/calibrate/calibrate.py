"""Calibrate a market to a recording: every parameter with its error, every model with its goodness of fit."""

from typing import Any

from flowhft.calibrate.adverse_selection import fit_adverse_selection, markout_curve
from flowhft.calibrate.answers import answers_in
from flowhft.calibrate.calibration import Calibration, Facts, load_calibration, save
from flowhft.calibrate.fill_curve import FillCurveFit, bursts_of, fit_fill_curve
from flowhft.calibrate.hawkes_fit import FASTEST_DECAY, HawkesFit, fit_hawkes
from flowhft.calibrate.hurst import HurstFit, fit_hurst
from flowhft.calibrate.jumps import SHORTEST, JumpFit, fit_jumps
from flowhft.calibrate.observed import Observed, observed
from flowhft.calibrate.order_clock import clock_warnings
from flowhft.calibrate.order_fills import fit_order_fills
from flowhft.calibrate.parameter import Parameter
from flowhft.calibrate.seasonality import fit_seasonality
from flowhft.calibrate.settings import CalibrationSettings
from flowhft.calibrate.touch import (
    TOUCH,
    beside_the_touch,
    fills_at_touch,
    fit_touch,
    is_quoted_at_touch,
)
from flowhft.calibrate.volatility import NOISE_STEPS, VolatilityFit, estimate, mids_on_grid
from flowhft.errors import DataError
from flowhft.recordings.instrument import Instrument
from flowhft.recordings.ticks import Recording
from flowhft.runs.folder import stream
from flowhft.types import Progress, no_progress

__all__ = ["Calibration", "CalibrationSettings", "calibrate", "load_calibration", "save"]

SHORTEST_HORIZON = 0.001  # seconds: of the adverse selection where quotes are taken to answer at once


def calibrate(
    recording: Recording,
    settings: CalibrationSettings | None = None,
    seed: int = 0,
    progress: Progress = no_progress,
) -> Calibration:
    """Estimate the parameters of a market from a recording of it.

    The market is the simulator's: a mid with independent moves, and market orders a side whose intensity
    is excited by the orders before them, each reaching a quote at distance delta with probability
    min(1, reach exp(-k delta)), independently of the price. See `volatility.estimate`, `fit_hawkes` and
    `fit_fill_curve` for the estimators and what they leave out. Everything is taken as constant over the
    recording: calibrate parts of a day apart where they differ.

    Args:
        recording: any recording with trades and best prices or depth; the gaps between its sessions and
            where the market was closed are left out, see `without_gaps`. What reading warned of is repeated
            in the warnings.
        settings: None for the defaults.
        seed: of the bootstrap and of the times within one tick of a coarse clock.
        progress: told the share done and the stage.

    Raises:
        DataError: the recording cannot carry a parameter without which there is no market; names it, the
            count and what is needed. What a market can do without (memory, jumps, seasonality, adverse
            selection) is NaN instead, with the reason as its diagnostic and in the warnings.
    """
    settings = settings or CalibrationSettings()
    confidence, samples = settings.confidence, settings.bootstrap_samples
    progress(0.0, "best prices and market orders")
    market = observed(recording, settings, seed)
    top, times = market.top, market.times

    progress(0.1, "volatility")
    volatility = estimate(market.mids, market.step, confidence)
    progress(0.15, "memory and jumps")
    hurst = fit_hurst(market.mids[::NOISE_STEPS], NOISE_STEPS * market.step, confidence)
    jumps = fit_jumps(mids_on_grid(top, SHORTEST), SHORTEST, confidence)

    progress(0.35, "fill curve")
    distances = None
    if settings.fit_from is not None and settings.fit_to is not None:
        distances = (settings.fit_from, settings.fit_to)
    bursts = bursts_of(market.whole, market.start_ns, settings.response_latency)
    drawn = stream(seed, "calibrate", "bootstrap")
    fits = (times, market.seconds, drawn, samples, confidence)
    fills = bursts  # what a quote is filled by at the distance that earns most
    try:
        fill_curve = fit_fill_curve(bursts, *fits, distances)
        distance, at_touch = 1.0 / fill_curve.curve.fill_decay, beside_the_touch(bursts.reach, market.spread)
    except DataError as no_curve:
        if distances is not None or not is_quoted_at_touch(bursts.reach, market.spread):
            raise
        fills = fills_at_touch(top, market.trades, market.start_ns, settings.response_latency)
        try:
            fill_curve, distance, at_touch = fit_touch(bursts, fills, *fits), TOUCH, ()
        except DataError as no_turns:
            raise no_curve from no_turns
    progress(0.55, "fills of real orders")
    drawn = stream(seed, "calibrate", "order fills")
    order_fills = fit_order_fills(market.resting, top, fill_curve.table, drawn, samples, confidence)
    progress(0.6, "adverse selection")
    horizon = market.together + 2.0 * settings.response_latency or SHORTEST_HORIZON
    adverse_selection, few_orders = fit_adverse_selection(
        fills, top, market.start_ns, distance, horizon, confidence, market.seams_ns
    )

    progress(0.7, "Hawkes process")
    # What is faster than orders are taken together, or than the clock ticks, is gone.
    fastest = min(FASTEST_DECAY, 1.0 / max(market.order_window, market.resolution, 1.0 / FASTEST_DECAY))
    hawkes = fit_hawkes(times, market.sides, market.seconds, confidence, fastest)
    progress(0.9, "seasonality")
    drawn = stream(seed, "calibrate", "seasonality")
    seasonality = fit_seasonality(times, market.mids, market.step, market.seconds, drawn, confidence)

    parameters = {
        **{parameter.name: parameter for parameter in (volatility.volatility, volatility.drift)},
        **fill_curve.parameters,
        **hawkes.parameters,
        "adverse_selection": adverse_selection,
        "hurst_exponent": hurst.hurst_exponent,
        **jumps.parameters,
        **seasonality.parameters,
        "order_fill_ratio": order_fills.order_fill_ratio,
    }
    latency = settings.response_latency
    progress(1.0, "done")
    return Calibration(
        parameters | _for_people(parameters, market.instrument),
        _facts(market, latency, volatility, hurst, jumps, fill_curve, hawkes)._replace(
            closed_seconds=max(recording.duration - recording.open_seconds, 0.0),
            **_for_replays(market, confidence),
        ),
        (
            *(f"recording: {warning}" for warning in recording.warnings),
            *(*volatility.warnings, *hurst.warnings, *jumps.warnings, *fill_curve.warnings, *at_touch),
            *few_orders,
            *(*order_fills.warnings, *hawkes.warnings, *seasonality.warnings),
            *clock_warnings(market.resolution, market.pieces, market.order_window, latency),
        ),
        signature=volatility.signature,
        structure=hurst.structure,
        jumps=jumps.jumps,
        seasonality=seasonality.profile,
        fill_curve=fill_curve.table,
        order_fills=order_fills.table,
        markout_curve=markout_curve(fills, top, market.start_ns, distance, market.seams_ns),
        hawkes_residuals=hawkes.residuals,
    )


def _for_replays(market: Observed, confidence: float) -> dict[str, Any]:
    """Return the facts that replays take: the size of our orders, and how many of them are answered."""
    facts: dict[str, Any] = {"order_lots": market.third}
    if found := answers_in(market.top, confidence=confidence):
        facts |= {
            "answered": found.share.value,
            "answered_low": found.share.low,
            "answered_high": found.share.high,
        }
    return facts


def _for_people(parameters: dict[str, Parameter], instrument: Instrument) -> dict[str, Parameter]:
    """Return parameters in the currency, and of both sides together."""
    tick, currency = instrument.tick_size, instrument.currency
    return {
        name: parameters[known].times(factor, name, unit)
        for name, known, factor, unit in (
            ("volatility_in_currency", "volatility", tick, f"{currency} / sqrt(s)"),
            ("fill_decay_in_currency", "fill_decay", 1.0 / tick, f"1 / {currency}"),
            ("intensity_both_sides", "intensity", 2.0, "1 / s"),
        )
    }


def _facts(
    market: Observed,
    response_latency: float,
    volatility: VolatilityFit,
    hurst: HurstFit,
    jumps: JumpFit,
    fill_curve: FillCurveFit,
    hawkes: HawkesFit,
) -> Facts:
    """Collect what is known beside the parameters."""
    return Facts(
        instrument=market.instrument,
        seconds=market.seconds,
        market_orders=len(market.times),
        bursts=fill_curve.bursts,
        market_spread=market.spread,
        sampling_interval=volatility.interval,
        plain_volatility=volatility.plain,
        order_window=market.order_window,
        response_latency=response_latency,
        fitted_from=fill_curve.fitted_from,
        fitted_to=fill_curve.fitted_to,
        fill_curve_r_squared=fill_curve.curve.r_squared,
        likelihood_intensity=fill_curve.likelihood.intensity,
        likelihood_fill_decay=fill_curve.likelihood.fill_decay,
        hawkes_gain=hawkes.log_likelihood_gain,
        hawkes_ks_statistic=hawkes.ks_statistic,
        hawkes_p_value=hawkes.p_value,
        poisson_ks_statistic=hawkes.ks_statistic_poisson,
        has_memory=hurst.significant,
        memory_volatility=hurst.volatility,
        has_jumps=jumps.significant,
    )
