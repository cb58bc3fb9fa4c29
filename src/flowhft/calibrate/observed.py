"""A recording as the fits see it: its best prices and market orders, made once and handed to all of them."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from flowhft.calibrate.hawkes import Sides, Times, spread_ties
from flowhft.calibrate.order_clock import clock_tick, window_of_pieces
from flowhft.calibrate.sessions import seams_ns, span_ns, without_gaps
from flowhft.calibrate.settings import CalibrationSettings
from flowhft.calibrate.volatility import GRID_STEPS, interval_for, mids_on_grid
from flowhft.errors import DataError
from flowhft.recordings import long_arrays
from flowhft.recordings.book import TopOfBook, top_of_book
from flowhft.recordings.instrument import Instrument
from flowhft.recordings.market_orders import (
    ORDER_WINDOW,
    MarketOrders,
    published_orders,
    taken_together,
    trades_in,
)
from flowhft.recordings.order_size import third_of_median
from flowhft.recordings.ticks import BUY, Recording, require_trades
from flowhft.runs.folder import stream


class Observed(NamedTuple):
    """What a calibration rests on.

    Attributes:
        instrument: what was traded.
        top: best prices.
        mids: on a regular grid of the local clock, ticks, shape (sample,).
        step: between two of them, seconds.
        trades: as they came, dtype `EVENT`, shape (event,).
        whole: market orders, the pieces that a venue tells of one by one taken together.
        third: of the median market order, lots; prints of one side at one time are one order.
        times: when market orders within the order window of each other came, from the first mid on, seconds.
        sides: 1 where a market order bought, 0 where it sold.
        start_ns: exchange time of the first mid.
        seconds: from there to the end.
        order_window: by which orders are taken together, seconds.
        pieces: within how many seconds the venue tells of the pieces of one order; 0: at once.
        resolution: of the clock that orders came by, seconds.
        resting: what became of single orders, dtype `ORDER`; None where the recording does not say.
        seams_ns: local times at which parts that were apart follow each other, shape (seam,).
    """

    instrument: Instrument
    top: TopOfBook
    mids: Float[np.ndarray, " sample"]
    step: float
    trades: Int[np.ndarray, " event"]
    whole: MarketOrders
    third: int
    times: Times
    sides: Sides
    start_ns: int
    seconds: float
    order_window: float
    pieces: float
    resolution: float
    resting: Int[np.ndarray, " change"] | None
    seams_ns: Int[np.ndarray, " seam"]

    @property
    def together(self) -> float:
        """Return within how many seconds nobody can answer, since it is all one order."""
        return min(self.pieces, self.order_window)

    @property
    def spread(self) -> float:
        """Return the mean market spread in ticks, each weighted by how long it stood."""
        weighted = lasted = 0.0
        for start in range(0, len(self.top.message) - 1, long_arrays.PIECE):
            part = TopOfBook(*(values[start : start + long_arrays.PIECE + 1] for values in self.top))
            spread, stood = part.market_spread[:-1], np.diff(part.local_time_ns).astype(np.float64)
            known = np.isfinite(spread)
            weighted += np.sum(spread[known] * stood[known])
            lasted += np.sum(stood[known])
        return float(weighted / max(lasted, 1.0))


def observed(recording: Recording, settings: CalibrationSettings, seed: int) -> Observed:
    """Return what a calibration rests on.

    Args:
        recording: with trades and best prices or depth; the gaps between its sessions, and where the market
            was closed, are closed.
        settings: of the calibration.
        seed: of the times within one tick of a coarse clock.

    Raises:
        DataError: it has no trades, was never open, or has no mids that volatility can be measured on.
    """
    require_trades(recording, "a calibration")
    if not recording.open_spans:
        raise DataError(
            f"`{recording.name}` must be open for some time to be calibrated; received "
            f"{recording.duration:,.0f} s in which the market was closed. Use another recording."
        )
    seams = seams_ns(recording)
    recording = without_gaps(recording)
    top = top_of_book(recording)
    if len(top.local_time_ns) < 2:
        raise DataError(
            f"`volatility` must be measured on mid prices; received {len(top.local_time_ns)}. "
            "Record best prices or depth."
        )
    lasted = float(top.local_time_ns[-1] - top.local_time_ns[0]) * 1e-9
    step = interval_for(lasted, settings.sampling_interval) / GRID_STEPS
    mids = mids_on_grid(top, step)

    start_ns, last_ns = span_ns(recording, top)
    published = published_orders(recording.events, top)
    single = taken_together(published, 0)
    pieces = window_of_pieces(single)
    order_window = max(ORDER_WINDOW, pieces) if settings.order_window is None else settings.order_window
    orders = taken_together(published, round(order_window * 1e9))
    late = orders.time_ns >= start_ns
    # Pieces that the venue tells of one by one are one order for the fill curve too.
    together = round(min(pieces, order_window) * 1e9)
    return Observed(
        recording.instrument,
        top,
        mids,
        step,
        trades_in(recording.events),
        taken_together(published, together) if together else single,
        third_of_median(single.quantity),
        spread_ties(orders.time_ns[late], start_ns, stream(seed, "calibrate", "ties")),
        (orders.side[late] == BUY).astype(np.int64),
        start_ns,
        (last_ns + 1_000_000 - start_ns) * 1e-9,  # a millisecond clock that shows t means [t, t + 1 ms)
        order_window,
        pieces,
        clock_tick(single.time_ns) * 1e-9,
        recording.orders,
        seams,
    )
