"""Calibrate the signals of a book: read them from a recording and measure what they say of its mid."""

from typing import NamedTuple

import numpy as np
import polars as pl
from jaxtyping import Float, Int

from flowhft.calibrate.signals import HORIZONS, decision_times, fit_signals
from flowhft.desk.replay.signals import read_signals
from flowhft.errors import DataError
from flowhft.features.scales import Scales, scales_of, second_move
from flowhft.recordings.book import mid_at, top_of_book
from flowhft.recordings.opening import AFTER_OPENING, opening_ns
from flowhft.recordings.ticks import Recording


def calibrate_signals(
    recording: Recording, confidence: float = 0.95, horizons: tuple[float, ...] = HORIZONS
) -> pl.DataFrame:
    """Return what each signal of a book says of the moves of the mid that follow, and its worth unseen.

    See `flowhft.features.book.SIGNALS` for the signals and `flowhft.calibrate.signals.fit_signals` for how
    they are judged.

    Args:
        recording: with a book, sizes and two clocks or one.
        confidence: of the intervals.
        horizons: of the moves, seconds.

    Returns:
        A row a signal and horizon, columns of the table `signals` of `flowhft calibrate`.

    Raises:
        DataError: the recording has no book, no sizes, or depth of another market.

    Example:
        >>> import flowhft
        >>> recording = flowhft.read_recording(flowhft.sample_recording())
        >>> found = flowhft.calibrate_signals(recording, horizons=(1.0,))
        >>> found.filter(signal="touch_imbalance", horizon=1.0)["verdict"].item()
        'skill'
    """
    times, signals = _read(recording)
    return fit_signals(recording, times, signals, None, confidence, horizons)


class Signals(NamedTuple):
    """What is known of the signals of a recording's book.

    Attributes:
        skill: see `calibrate_signals`; None where the recording has no book that tells anything.
        scales: of its market, the minutes after its exchange's opening left out; None likewise, or where the
            mid never moves.
        reason: why there is nothing; empty else.
    """

    skill: pl.DataFrame | None
    scales: Scales | None
    reason: str = ""


def signals_of(recording: Recording, confidence: float = 0.95) -> Signals:
    """Return what the signals of a recording's book say, and their scales.

    Args:
        recording: what is learned from.
        confidence: of the intervals.
    """
    try:
        times, signals = _read(recording)
    except DataError as reason:
        return Signals(None, None, str(reason))
    scales = _scales(recording, times, signals)
    try:
        return Signals(fit_signals(recording, times, signals, None, confidence), scales)
    except DataError as reason:
        return Signals(None, scales, str(reason))


def scales_in(recording: Recording) -> Scales | None:
    """Return the scales of the signals of a recording's book; None where it has none, or never moves."""
    try:
        return _scales(recording, *_read(recording))
    except DataError:
        return None


def _read(recording: Recording) -> tuple[Int[np.ndarray, " step"], Float[np.ndarray, "step signal"]]:
    """Return times at equal distances and the signals then."""
    times = decision_times(recording)
    return times, read_signals(recording, times)


def _scales(
    recording: Recording, time_ns: Int[np.ndarray, " step"], signals: Float[np.ndarray, "step signal"]
) -> Scales | None:
    """Return the scales of signals that were read at equal distances."""
    opened = opening_ns(recording)
    if opened is not None:
        late = time_ns >= opened + round(AFTER_OPENING * 1e9)
        time_ns, signals = time_ns[late], signals[late]
    if len(time_ns) < 2:
        return None
    unit = second_move(time_ns, mid_at(top_of_book(recording), time_ns, "local"))
    return scales_of(signals, unit) if unit > 0.0 else None
