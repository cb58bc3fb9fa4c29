"""Calibrate a market to a recording: every parameter with its error, every model with its goodness of fit."""

import numpy as np

from flowhft.calibrate.adverse_selection import fit_adverse_selection, markout_curve
from flowhft.calibrate.calibration import Calibration, Facts, load_calibration, save
from flowhft.calibrate.fill_curve import FillCurveFit, bursts_of, fit_fill_curve
from flowhft.calibrate.hawkes import spread_ties
from flowhft.calibrate.hawkes_fit import FASTEST_DECAY, HawkesFit, fit_hawkes
from flowhft.calibrate.hurst import HurstFit, fit_hurst
from flowhft.calibrate.jumps import SHORTEST, JumpFit, fit_jumps
from flowhft.calibrate.order_clock import clock_tick, clock_warnings, window_of_pieces
from flowhft.calibrate.order_fills import fit_order_fills
from flowhft.calibrate.seasonality import fit_seasonality
from flowhft.calibrate.sessions import span_ns, without_gaps
from flowhft.calibrate.settings import CalibrationSettings
from flowhft.calibrate.volatility import GRID_STEPS, NOISE_STEPS, VolatilityFit, fit_volatility, mids_on_grid
from flowhft.errors import DataError
from flowhft.recordings.book import TopOfBook, top_of_book
from flowhft.recordings.market_orders import ORDER_WINDOW, market_orders
from flowhft.recordings.ticks import BUY, Recording, require_trades
from flowhft.runs.folder import stream
from flowhft.types import Progress, no_progress

__all__ = ["Calibration", "CalibrationSettings", "calibrate", "load_calibration", "save"]

SHORTEST_HORIZON = 0.001  # seconds: of the adverse selection where quotes are taken to answer at once


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
        recording: any recording with trades and best prices or depth; the gaps between its sessions are
            closed, see `without_gaps`.
        settings: None for the defaults.
        seed: of the bootstrap and of the times within one tick of a coarse clock.
        progress: told the share done and the stage.

    Raises:
        DataError: the recording cannot carry a parameter without which there is no market; names it, the
            count and what is needed. What a market can do without (memory, jumps, seasonality, adverse
            selection) is NaN instead, with the reason as its diagnostic and in the warnings.
    """
    settings = settings or CalibrationSettings()
    require_trades(recording, "a calibration")
    recording = without_gaps(recording)
    progress(0.0, "best prices")
    top = top_of_book(recording)
    if len(top.local_time_ns) < 2:
        raise DataError(
            f"`volatility` must be measured on mid prices; received {len(top.local_time_ns)}. "
            "Record best prices or depth."
        )
    progress(0.1, "volatility")
    volatility = fit_volatility(top, settings.sampling_interval, settings.confidence)
    progress(0.15, "memory and jumps")
    mids, step = mids_on_grid(top, volatility.interval / GRID_STEPS), volatility.interval / GRID_STEPS
    hurst = fit_hurst(mids[::NOISE_STEPS], NOISE_STEPS * step, settings.confidence)
    jumps = fit_jumps(mids_on_grid(top, SHORTEST), SHORTEST, settings.confidence)

    progress(0.3, "market orders")
    start_ns, last_ns = span_ns(recording, top)
    seconds = (last_ns + 1_000_000 - start_ns) * 1e-9  # a millisecond clock that shows t means [t, t + 1 ms)
    told = market_orders(recording)
    pieces = window_of_pieces(told)
    order_window = max(ORDER_WINDOW, pieces) if settings.order_window is None else settings.order_window
    orders = market_orders(recording, round(order_window * 1e9))
    resolution = clock_tick(told.time_ns) * 1e-9
    late = orders.time_ns >= start_ns
    times = spread_ties(orders.time_ns[late], start_ns, stream(seed, "calibrate", "ties"))
    sides = (orders.side[late] == BUY).astype(np.int64)

    progress(0.35, "fill curve")
    distances = None
    if settings.fit_from is not None and settings.fit_to is not None:
        distances = (settings.fit_from, settings.fit_to)
    # Pieces that the venue tells of one by one are one order here too: nobody can answer within it.
    together = min(pieces, order_window)
    whole = market_orders(recording, round(together * 1e9)) if together > 0.0 else told
    bursts = bursts_of(whole, start_ns, settings.response_latency)
    fill_curve = fit_fill_curve(
        bursts,
        times,
        seconds,
        stream(seed, "calibrate", "bootstrap"),
        settings.bootstrap_samples,
        settings.confidence,
        distances,
    )

    progress(0.55, "fills of real orders")
    order_fills = fit_order_fills(
        recording.orders,
        top,
        fill_curve.table,
        stream(seed, "calibrate", "order fills"),
        settings.bootstrap_samples,
        settings.confidence,
    )

    progress(0.6, "adverse selection")
    distance = 1.0 / fill_curve.curve.fill_decay
    horizon = together + 2.0 * settings.response_latency or SHORTEST_HORIZON
    adverse_selection, few_orders = fit_adverse_selection(
        bursts, top, start_ns, distance, horizon, settings.confidence
    )

    progress(0.7, "Hawkes process")
    # What is faster than orders are taken together, or than the clock ticks, is gone.
    fastest = min(FASTEST_DECAY, 1.0 / max(order_window, resolution, 1.0 / FASTEST_DECAY))
    hawkes = fit_hawkes(times, sides, seconds, settings.confidence, fastest)
    progress(0.9, "seasonality")
    seasonality = fit_seasonality(
        times, mids, step, seconds, stream(seed, "calibrate", "seasonality"), settings.confidence
    )
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
    tick, currency = recording.tick_size, recording.currency
    for name, known, factor, unit in (
        ("volatility_in_currency", "volatility", tick, f"{currency} / sqrt(s)"),
        ("fill_decay_in_currency", "fill_decay", 1.0 / tick, f"1 / {currency}"),
        ("intensity_both_sides", "intensity", 2.0, "1 / s"),
    ):
        parameters[name] = parameters[known].times(factor, name, unit)
    found = (volatility, hurst, jumps, fill_curve, hawkes)
    facts = _facts(
        recording,
        settings.response_latency,
        order_window,
        seconds,
        len(times),
        _time_weighted_spread(top),
        *found,
    )
    progress(1.0, "done")
    return Calibration(
        parameters,
        facts,
        (
            *(*volatility.warnings, *hurst.warnings, *jumps.warnings, *fill_curve.warnings, *few_orders),
            *(*order_fills.warnings, *hawkes.warnings, *seasonality.warnings),
            *clock_warnings(resolution, pieces, order_window, settings.response_latency),
        ),
        signature=volatility.signature,
        structure=hurst.structure,
        jumps=jumps.jumps,
        seasonality=seasonality.profile,
        fill_curve=fill_curve.table,
        order_fills=order_fills.table,
        markout_curve=markout_curve(bursts, top, start_ns, distance),
        hawkes_residuals=hawkes.residuals,
    )


def _facts(
    recording: Recording,
    response_latency: float,
    order_window: float,
    seconds: float,
    orders: int,
    spread: float,
    volatility: VolatilityFit,
    hurst: HurstFit,
    jumps: JumpFit,
    fill_curve: FillCurveFit,
    hawkes: HawkesFit,
) -> Facts:
    """Collect what is known beside the parameters."""
    return Facts(
        venue=recording.venue,
        symbol=recording.symbol,
        currency=recording.currency,
        tick_size=recording.tick_size,
        lot_size=recording.lot_size,
        seconds=seconds,
        market_orders=orders,
        bursts=fill_curve.bursts,
        market_spread=spread,
        sampling_interval=volatility.interval,
        plain_volatility=volatility.plain,
        order_window=order_window,
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
