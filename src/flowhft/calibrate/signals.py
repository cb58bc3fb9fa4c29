"""What the signals of a book say of the mid that follows: slopes, memory, what they are worth unseen.

A decision at local time t meets the market `LATENCY` later. What is forecast is the move of the mid from then
on *on the venue's clock*, so that nothing that had already happened there counts as foresight. A signal that
knows the later local mid but not the later mid of the venue has read a slow feed: it is named `local only`.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int
from scipy.stats import t as student

from flowhft.errors import DataError, require
from flowhft.features.book import FORECASTING, NAMES, SIGNALS
from flowhft.recordings.book import TopOfBook, mid_at, top_of_book
from flowhft.recordings.ticks import Recording
from flowhft.runs import tables

HORIZONS = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0)  # seconds
LATENCY = 0.0051  # seconds from a decision until its orders are at the venue: 5 ms and a decision of 0.1 ms
STEP = 0.1  # seconds between two decisions
MOST_DECISIONS = 100_000  # a longer recording is asked less often
LEARNED = 0.6  # share of the time that is fitted on
BLOCK = 10.0  # seconds, or two horizons: what lies within one is one observation
FEWEST_BLOCKS = 6  # of either part
PENALTIES = 10.0 ** np.arange(-4.0, 1.5, 0.5)  # times the number of decisions
FOLDS = 5  # of the first part, by which a penalty is chosen
LONGEST_MEMORY = 60.0  # seconds
TOGETHER = "together"  # the nine of `FORECASTING` in one regression
SIGNAL_UNITS = tables.units_of("calibrate", "signals")

SKILL, NONE, LOCAL_ONLY = "skill", "none", "local only"
_SCHEMA = {
    name: pl.String if name in ("signal", "verdict", "reason") else pl.Float64
    for name in tables.table_of("calibrate", "signals").names()
}
_ODD = np.array([signal.odd for signal in SIGNALS])
Rows = Bool[np.ndarray, " step"]


class Estimate(NamedTuple):
    """A number with its interval, from blocks of time."""

    value: float
    low: float
    high: float


class _Part(NamedTuple):
    """Decisions of a part of the time whose signals and later mids are known."""

    rows: Rows
    block: Int[np.ndarray, " step"]


Parts = Callable[[Rows], tuple[_Part, _Part]]


def decision_times(recording: Recording, step: float = STEP) -> Int[np.ndarray, " step"]:
    """Return the local times, ns, at which the signals of a recording are asked.

    Args:
        recording: any.
        step: seconds between two of them, longer where there would be more than `MOST_DECISIONS`.
    """
    first, last = (int(recording.events["local_time_ns"][end]) for end in (0, -1))
    apart = max(round(step * 1e9), -(-(last - first) // MOST_DECISIONS))
    return np.arange(first, last + 1, apart)


def fit_signals(
    recording: Recording,
    time_ns: Int[np.ndarray, " step"],
    signals: Float[np.ndarray, "step signal"],
    read_from: str | None = None,
    confidence: float = 0.95,
    horizons: Sequence[float] = HORIZONS,
) -> pl.DataFrame:
    """Measure what each signal says of the move of the mid that follows a decision.

    With y the move of the venue's mid from `LATENCY` after a decision to a horizon later, and x a signal over
    its deviation in the first 60 % of the time (signals that change their sign in the mirror are not centred,
    the others are), y = slope x + noise is fitted there by least squares through the origin. R^2 is judged on
    the rest, against a forecast of zero: 1 - sum (y - slope x)^2 / sum y^2. Decisions whose horizon reaches
    over the border, a gap or closed time are left out. The nine of `FORECASTING` together are fitted by ridge
    regression, the penalty chosen within the first part by five folds of time.

    Intervals are Student's over blocks of time (10 s, or two horizons): the influences of a block on the
    estimate are one observation. Not modelled: that markets of another hour differ.

    Args:
        recording: whose mid is forecast.
        time_ns: of the decisions on the local clock, rising.
        signals: known then, in the order of `NAMES`; NaN: not known.
        read_from: name of the recording that they were read from; None for this one.
        confidence: of the intervals.
        horizons: seconds.

    Returns:
        A row a signal and horizon, and one `together` a horizon, columns of the table `signals` of
        `flowhft calibrate`. A `verdict` is `skill` where the interval of R^2 lies above 0; `local only` where
        that of the mid as it arrives does instead, larger by more than chance; else `none`. It is null where
        it cannot be told, with a `reason`.

    Raises:
        DataError: the signals are another market's.
        UsageError: shapes differ.

    Source: the design is that of R. Cont, A. Kukanov and S. Stoikov (2014), section 3, forward in time; ridge
    regression is A. Hoerl and R. Kennard's, Technometrics 12(1), 1970.
    """
    if read_from is not None and read_from != recording.name:
        raise DataError(
            f"`signals` must be read from the market whose mid is forecast, `{recording.name}`; received "
            f"those of `{read_from}`: by local clocks a fast feed seems to foresee a slow one. "
            "Read them with `flowhft.desk.replay.signals.read_signals` from this recording."
        )
    shape = (len(time_ns), len(NAMES))
    require(signals.shape == shape, "signals", f"be of shape {shape}", signals.shape)
    top = top_of_book(recording)
    memory = [_memory(signals[:, index], time_ns, bool(_ODD[index])) for index in range(len(NAMES))]
    rows: list[dict] = []
    for horizon in horizons:
        rows += _at_horizon(recording, top, time_ns, signals, memory, horizon, confidence)
    return pl.DataFrame([{name: row.get(name) for name in _SCHEMA} for row in rows], schema=_SCHEMA)


def _at_horizon(
    recording: Recording,
    top: TopOfBook,
    time_ns: Int[np.ndarray, " step"],
    signals: Float[np.ndarray, "step signal"],
    memory: Sequence[float],
    horizon: float,
    confidence: float,
) -> list[dict]:
    """Return the rows of one horizon."""
    later = round((LATENCY + horizon) * 1e9)
    arrived = time_ns + round(LATENCY * 1e9)
    move = mid_at(top, time_ns + later) - mid_at(top, arrived)
    local = mid_at(top, time_ns + round(horizon * 1e9), "local") - mid_at(top, time_ns, "local")
    usable = np.isfinite(move) & np.isfinite(local) & _inside(recording, time_ns, later)
    border = time_ns[0] + LEARNED * (time_ns[-1] - time_ns[0])
    block = ((time_ns - time_ns[0]) // round(max(BLOCK, 2.0 * horizon) * 1e9)).astype(np.int64)
    before, after = time_ns + later <= border, time_ns > border

    def parts(known: Rows) -> tuple[_Part, _Part]:
        first, second = known & before, known & after
        return _Part(first, block[first]), _Part(second, block[second])

    rows = []
    for index, name in enumerate(NAMES):
        x = signals[:, index]
        row = {"signal": name, "horizon": horizon, "memory": memory[index]}
        first, second = parts(usable & np.isfinite(x))
        if reason := _refused(first, second, x, horizon):
            row["reason"] = reason
        else:
            row |= _alone(x, move, local, first, second, bool(_ODD[index]), confidence)
        rows.append(row)
    return rows + _jointly(signals, move, local, parts, usable, rows, horizon, confidence)


def _inside(recording: Recording, time_ns: Int[np.ndarray, " step"], later: int) -> Rows:
    """Return whether a decision and what it is judged by lie in one part in which the market was open."""
    inside = np.zeros(len(time_ns), bool)
    for start, end in recording.open_spans:
        inside |= (time_ns >= start) & (time_ns + later <= end)
    return inside


def _refused(first: _Part, second: _Part, x: Float[np.ndarray, " step"], horizon: float) -> str | None:
    """Return why a signal cannot be judged, None where it can."""
    for part, where in ((first, "first"), (second, "last")):
        blocks = len(np.unique(part.block))
        if blocks < FEWEST_BLOCKS:
            return (
                f"{blocks} blocks of {max(BLOCK, 2.0 * horizon):g} s in the {where} part, "
                f"{FEWEST_BLOCKS} are needed."
            )
        if np.ptp(x[part.rows]) == 0.0:
            return f"it does not change in the {where} part."
    return None


def _alone(
    signal: Float[np.ndarray, " step"],
    move: Float[np.ndarray, " step"],
    local: Float[np.ndarray, " step"],
    first: _Part,
    second: _Part,
    odd: bool,
    confidence: float,
) -> dict:
    """Return what one signal says."""
    centre = 0.0 if odd else float(np.mean(signal[first.rows]))
    deviation = float(np.sqrt(np.mean((signal[first.rows] - centre) ** 2)))
    x = (signal - centre) / deviation
    slope = _slope(x[first.rows], move[first.rows], first.block, confidence)
    by_local = _slope(x[first.rows], local[first.rows], first.block, confidence)
    forecasts = slope.value * x[second.rows], by_local.value * x[second.rows]
    judged = _judged(forecasts, (move[second.rows], local[second.rows]), second.block, confidence)
    return {"deviation": deviation} | judged | _named("slope", slope)


def _judged(
    forecasts: tuple[Float[np.ndarray, " step"], Float[np.ndarray, " step"]],
    moves: tuple[Float[np.ndarray, " step"], Float[np.ndarray, " step"]],
    block: Int[np.ndarray, " step"],
    confidence: float,
) -> dict:
    """Return what forecasts are worth; both for the mid of the venue and for that which has arrived."""
    if not np.any(moves[0]) or not np.any(moves[1]):
        return {"reason": "the mid does not move in the last part."}
    (value, influence), (local, local_influence) = (
        _r_squared(forecast, move, block) for forecast, move in zip(forecasts, moves, strict=True)
    )
    judged, by_local = _around(value, influence, confidence), _around(local, local_influence, confidence)
    apart = _around(local - value, local_influence - influence, confidence)
    verdict = NONE
    if judged.low > 0.0:
        verdict = SKILL
    elif by_local.low > 0.0 and apart.low > 0.0:
        verdict = LOCAL_ONLY
    return _named("r_squared", judged) | {"local_r_squared": local, "verdict": verdict}


def _named(name: str, estimate: Estimate) -> dict[str, float]:
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}


def _around(value: float, influence: Float[np.ndarray, " block"], confidence: float) -> Estimate:
    """Return an estimate with Student's interval from the influences of blocks, whose sum is 0."""
    blocks = len(influence)
    error = float(np.sqrt(blocks / (blocks - 1.0) * np.sum(influence**2)))
    reach = float(student.ppf(0.5 + confidence / 2.0, blocks - 1)) * error
    return Estimate(value, value - reach, value + reach)


def _by_block(values: Float[np.ndarray, " step"], block: Int[np.ndarray, " step"]) -> np.ndarray:
    """Return the sums of values over the blocks that hold any; blocks rise."""
    return np.add.reduceat(values, np.flatnonzero(np.append(True, np.diff(block) != 0)))


def _slope(
    x: Float[np.ndarray, " step"], y: Float[np.ndarray, " step"], block: np.ndarray, confidence: float
) -> Estimate:
    """Return the slope of y on x through the origin."""
    square = float(x @ x)
    slope = float(x @ y) / square
    return _around(slope, _by_block(x * (y - slope * x), block) / square, confidence)


def _r_squared(
    forecast: Float[np.ndarray, " step"], y: Float[np.ndarray, " step"], block: Int[np.ndarray, " step"]
) -> tuple[float, Float[np.ndarray, " block"]]:
    """Return 1 - sum (y - forecast)^2 / sum y^2, and the influence of each block on it."""
    square, wrong = float(y @ y), (y - forecast) ** 2
    left = float(np.sum(wrong)) / square
    return 1.0 - left, _by_block(left * y**2 - wrong, block) / square


def _jointly(
    signals: Float[np.ndarray, "step signal"],
    move: Float[np.ndarray, " step"],
    local: Float[np.ndarray, " step"],
    parts: Parts,
    usable: Rows,
    alone: list[dict],
    horizon: float,
    confidence: float,
) -> list[dict]:
    """Return the row of the nine together, and write the weight of each beside what it says alone."""
    places = [NAMES.index(name) for name in FORECASTING]
    row: dict = {"signal": TOGETHER, "horizon": horizon}
    nine = signals[:, places]
    first, second = parts(usable & np.all(np.isfinite(nine), axis=1))
    reasons = (_refused(first, second, nine[:, index], horizon) for index in range(len(places)))
    for name, reason in zip(FORECASTING, reasons, strict=True):
        if reason is not None:
            return [row | {"reason": f"{name}: {reason}"}]
    x = nine / np.sqrt(np.mean(nine[first.rows] ** 2, axis=0))
    penalty = choose_penalty(x[first.rows], move[first.rows], first.block)
    weights = ridge(x[first.rows], move[first.rows], penalty)
    forecasts = x[second.rows] @ weights, x[second.rows] @ ridge(x[first.rows], local[first.rows], penalty)
    judged = _judged(forecasts, (move[second.rows], local[second.rows]), second.block, confidence)
    for place, weight in zip(places, weights, strict=True):
        alone[place]["weight"] = float(weight)
    return [row | judged | {"penalty": penalty}]


def ridge(
    x: Float[np.ndarray, "step signal"], y: Float[np.ndarray, " step"], penalty: float
) -> Float[np.ndarray, " signal"]:
    """Return the weights w that make |y - x w|^2 + penalty n |w|^2 least, n decisions.

    Args:
        x: signals over their deviations.
        y: moves, ticks.
        penalty: 0 or more, of order one where signals have a deviation of one.
    """
    return np.linalg.solve(x.T @ x + penalty * len(y) * np.eye(x.shape[1]), x.T @ y)


def choose_penalty(
    x: Float[np.ndarray, "step signal"], y: Float[np.ndarray, " step"], block: Int[np.ndarray, " step"]
) -> float:
    """Return the penalty that forecasts best over folds of time, fitted without the blocks beside a fold.

    Args:
        x: signals over their deviations.
        y: moves, ticks.
        block: of each decision, rising.
    """
    _, block = np.unique(block, return_inverse=True)
    fold = block * FOLDS // (int(block[-1]) + 1)
    wrong = np.zeros(len(PENALTIES))
    for number in range(FOLDS):
        here = fold == number
        far = (block < block[here].min() - 1) | (block > block[here].max() + 1)
        square, product, decisions = x[far].T @ x[far], x[far].T @ y[far], int(np.sum(far))
        own, with_move = x[here].T @ x[here], x[here].T @ y[here]
        for index, penalty in enumerate(PENALTIES):
            weights = np.linalg.solve(square + penalty * decisions * np.eye(x.shape[1]), product)
            wrong[index] += weights @ own @ weights - 2.0 * weights @ with_move  # less the squared moves
    return float(PENALTIES[np.argmin(wrong)])


def _memory(signal: Float[np.ndarray, " step"], time_ns: Int[np.ndarray, " step"], odd: bool) -> float:
    """Return the lag, seconds, at which a signal's autocorrelation has fallen to 1 / e.

    NaN where it does not within a minute. About 0 for signals that change their sign in the mirror, else
    about the mean; decisions at which a signal is not known count for nothing.
    """
    if len(time_ns) < 3:
        return np.nan
    step = float(time_ns[1] - time_ns[0]) * 1e-9
    known = np.isfinite(signal)
    if not np.any(known):
        return np.nan
    x = np.where(known, signal - (0.0 if odd else np.mean(signal[known])), 0.0)
    most = min(int(LONGEST_MEMORY / step), len(x) // 4)
    room = 1 << int(np.ceil(np.log2(2 * len(x))))
    power = np.abs(np.fft.rfft(x, room)) ** 2
    pairs = np.fft.irfft(np.abs(np.fft.rfft(known.astype(float), room)) ** 2, room)[: most + 1]
    product = np.fft.irfft(power, room)[: most + 1] / np.maximum(np.round(pairs), 1.0)
    if product[0] <= 0.0:
        return np.nan
    curve = product / product[0]
    below = np.flatnonzero(curve < np.exp(-1.0))
    if len(below) == 0:
        return np.nan
    at = int(below[0])
    return step * (at - 1 + (curve[at - 1] - np.exp(-1.0)) / (curve[at - 1] - curve[at]))
