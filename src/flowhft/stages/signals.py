"""Calibrate the signals of a book: read them from a recording and measure what they say of its mid."""

import polars as pl

from flowhft.calibrate.signals import HORIZONS, decision_times, fit_signals
from flowhft.desk.replay.signals import read_signals
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
    times = decision_times(recording)
    return fit_signals(recording, times, read_signals(recording, times), None, confidence, horizons)
