"""The market of a recording, as policies are told it and as it is simulated."""

from dataclasses import replace

from flowhft.calibrate import scenario as market
from flowhft.calibrate.calibrate import Calibration, CalibrationSettings
from flowhft.calibrate.calibrate import calibrate as fitted
from flowhft.desk.replay.settings import ReplaySettings
from flowhft.recordings.book import first_mid
from flowhft.recordings.ticks import Recording
from flowhft.scenarios.scenario import Scenario
from flowhft.stages.signals import scales_in
from flowhft.types import Progress, no_progress

SETTINGS = CalibrationSettings()


def calibrate(
    recording: Recording,
    settings: CalibrationSettings = SETTINGS,
    seed: int = 0,
    progress: Progress = no_progress,
) -> Calibration:
    """Fit a market to a recording, with error bars, and measure the scales of what its book shows.

    Args:
        recording: with trades and a mid price.
        settings: of the estimators.
        seed: of the bootstrap.
        progress: told how far it is.

    Raises:
        DataError: the recording cannot carry a calibration.
    """
    return replace(fitted(recording, settings, seed, progress), book=scales_in(recording))


def scenario_of(
    calibration: Calibration,
    recording: Recording,
    settings: ReplaySettings | None = None,
    *,
    dt: float | None = None,
    horizon: float | None = None,
    order_lots: int | None = None,
) -> Scenario:
    """Return the market that a calibration describes, for our orders and fees.

    See `flowhft.calibrate.scenario.scenario_of` for the model, and for what it leaves out.

    Args:
        calibration: of a recording.
        recording: whose first mid is the market's: that of the calibration, or what is traded next.
        settings: of a replay, whose times, order size, inventory limit and fees the market takes; None for
            the defaults. The order size is that of the calibration where they say none.
        dt: seconds between two decisions, instead of theirs; None with none set suits the rate of orders.
        horizon: length of a session, seconds, likewise; None with none set for 300 decisions.
        order_lots: our order size in lots of the recording, instead of theirs.

    Example:
        >>> import flowhft
        >>> recording = flowhft.read_recording(flowhft.sample_recording())
        >>> flowhft.scenario_of(flowhft.calibrate(recording), recording).steps
        300
    """
    settings = settings or ReplaySettings()
    return market.scenario_of(
        calibration,
        first_mid(recording),
        dt=settings.decision_interval if dt is None else dt,
        horizon=settings.horizon if horizon is None else horizon,
        order_lots=settings.order_lots if order_lots is None else order_lots,
        inventory_limit=settings.limit,
        maker_fee_bps=settings.fee_bps,
    )
