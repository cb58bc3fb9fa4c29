"""Stylised facts: what a tape shows of prices, orders and fills, each a curve of a few points."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from flowhft.studies.realism.tape import Tape

LAGS = (1, 2, 5, 10, 20, 50)
INTERVALS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0)  # seconds
FEWEST_INTERVALS = 20  # that fit end to end; below it a value says nothing
PROBABILITIES = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
RESPONSE = 0.1  # seconds, or a step if longer: in which the mid answers an order
EDGE = 5.0  # seconds after a fill
FEWEST_ORDERS = 10  # that come so far; below it their mean says nothing
REACHES = (0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0)  # in 1 / k
DISTANCES = (0.5, 0.75, 1.0, 1.5, 2.0, 3.0)  # in 1 / k, where quotes live

Points = Float[np.ndarray, " point"]


@dataclass(frozen=True)
class Fact:
    """One stylised fact.

    Attributes:
        name: what tables call it.
        title: what people read.
        x: what its points are numbered by, with the unit.
        unit: of its values.
        points: (tape, 1 / k in ticks) -> the x of its points.
        values: (tape, x) -> the values; NaN where the tape says nothing.
        logarithmic: whether values span decades.
    """

    name: str
    title: str
    x: str
    unit: str
    points: Callable[[Tape, float], Points]
    values: Callable[[Tape, Points], Points]
    logarithmic: bool = False


def base_of(tape: Tape) -> float:
    """Return the interval at which autocorrelations in time are measured: a second, or a step if longer."""
    return max(1.0, tape.dt)


def _intervals(tape: Tape, distance: float) -> Points:
    """Return the intervals of at least a step that fit often enough, as whole steps."""
    longest = tape.steps * tape.dt / FEWEST_INTERVALS
    steps = [round(interval / tape.dt) for interval in INTERVALS if interval <= longest]
    return np.array(list(dict.fromkeys(step for step in steps if step >= 1))) * tape.dt


def _lags(tape: Tape, distance: float) -> Points:
    return np.array(
        [lag for lag in LAGS if lag * base_of(tape) * FEWEST_INTERVALS <= tape.steps * tape.dt], float
    )


def autocorrelation(values: Float[np.ndarray, " sample"], lags: Points) -> Points:
    """Return the autocorrelation at each lag; NaN where the values do not vary or are too few."""
    centred = values - np.mean(values) if len(values) else values
    variance = float(np.mean(centred**2)) if len(values) else 0.0
    results = [
        float(np.mean(centred[int(lag) :] * centred[: -int(lag)])) / variance
        if variance > 0.0 and len(values) > 2 * lag
        else np.nan
        for lag in lags
    ]
    return np.array(results)


def _moves(tape: Tape, interval: float) -> Float[np.ndarray, " sample"]:
    """Return overlapping moves of the mid over an interval, ticks."""
    steps = max(1, round(interval / tape.dt))
    return tape.mids[steps:] - tape.mids[:-steps]


def _counts(tape: Tape, interval: float) -> Float[np.ndarray, " sample"]:
    """Return the market orders of both sides in intervals laid end to end."""
    bins = int(tape.steps * tape.dt / interval)
    index = (tape.times / interval).astype(np.int64)
    return np.bincount(index[index < bins], minlength=bins).astype(np.float64)


def _variance(tape: Tape, x: Points) -> Points:
    return np.array([np.mean(_moves(tape, interval) ** 2) / interval for interval in x])


def _kurtosis(tape: Tape, x: Points) -> Points:
    results = []
    for interval in x:
        moves = _moves(tape, interval)
        square = float(np.mean(moves**2))
        results.append(float(np.mean(moves**4)) / square**2 if square > 0.0 else np.nan)
    return np.array(results)


def _absolute(tape: Tape, x: Points) -> Points:
    steps = max(1, round(base_of(tape) / tape.dt))
    return autocorrelation(np.abs(np.diff(tape.mids[::steps])), x / base_of(tape))


def _signs(tape: Tape, x: Points) -> Points:
    return autocorrelation(np.where(tape.buys, 1.0, -1.0), x)


def _activity(tape: Tape, x: Points) -> Points:
    return autocorrelation(_counts(tape, base_of(tape)), x / base_of(tape))


def _dispersion(tape: Tape, x: Points) -> Points:
    counted = (_counts(tape, interval) for interval in x)
    return np.array([np.var(c) / np.mean(c) if np.mean(c) > 0.0 else np.nan for c in counted])


def _waits(tape: Tape, x: Points) -> Points:
    waits = np.diff(tape.times)
    return np.quantile(waits, x) if len(waits) >= FEWEST_INTERVALS else np.full(len(x), np.nan)


def _fills(tape: Tape, x: Points) -> Points:
    """Return the rate at which a quote of one side is reached, if it moves with the mid at every step."""
    share = np.array([np.mean(tape.reach >= distance) for distance in x])
    return -np.log1p(-np.minimum(share, 1.0 - 1e-9)) / tape.dt


def _markouts(distance: float) -> Callable[[Tape, Points], Points]:
    def values(tape: Tape, x: Points) -> Points:
        side, step = np.nonzero(tape.reach >= distance)
        results = []
        for horizon in x:
            steps = max(1, round(horizon / tape.dt))
            inside = step + steps <= tape.steps
            move = tape.mids[step[inside] + steps] - tape.mids[step[inside]]
            results.append(float(np.mean(np.where(side[inside] == 1, move, -move))) if len(move) else np.nan)
        return np.array(results)

    return values


def _moves_beyond(tape: Tape, x: Points, seconds: float) -> Points:
    """Return the mean move with an order that comes as far as x, from the start of its step."""
    steps = max(1, round(seconds / tape.dt))
    move = tape.mids[steps:] - tape.mids[:-steps]
    move, reach = np.stack([-move, move]), tape.reach[:, : len(move)]
    reached = (reach >= distance for distance in x)
    return np.array([np.mean(move[r]) if np.sum(r) >= FEWEST_ORDERS else np.nan for r in reached])


def _responses(tape: Tape, x: Points) -> Points:
    return _moves_beyond(tape, x, RESPONSE)


def _edges(tape: Tape, x: Points) -> Points:
    """Return what a fill at each distance has earned some seconds later: the distance less the move."""
    return x - _moves_beyond(tape, x, EDGE)


def facts_at(distance: float) -> tuple[Fact, ...]:
    """Return the stylised facts that markets are compared by.

    Args:
        distance: where a maker earns most, 1 / k, ticks: of the fill curve and of the moves after fills.
    """

    def base_lags(tape: Tape, distance: float) -> Points:
        return _lags(tape, distance) * base_of(tape)

    def of_signs(tape: Tape, distance: float) -> Points:
        return np.array(LAGS, float)

    def of_waits(tape: Tape, distance: float) -> Points:
        return np.array(PROBABILITIES)

    def of_fills(tape: Tape, distance: float) -> Points:
        return np.array(DISTANCES) * distance

    def of_reaches(tape: Tape, distance: float) -> Points:
        return np.array(REACHES) * distance

    in_seconds, variance = "interval, s", "ticks^2 / s"
    return (
        Fact(
            "return_variance", "Variance of returns by horizon", in_seconds, variance, _intervals, _variance
        ),
        Fact(
            "return_kurtosis", "Kurtosis of returns by horizon", in_seconds, "1", _intervals, _kurtosis, True
        ),
        Fact("absolute_returns", "Memory of absolute returns", "lag, s", "1", base_lags, _absolute),
        Fact("trade_signs", "Memory of trade signs", "lag, orders", "1", of_signs, _signs),
        Fact("order_counts", "Memory of order counts", "lag, s", "1", base_lags, _activity),
        Fact(
            "order_dispersion",
            "Variance over mean of order counts",
            in_seconds,
            "1",
            _intervals,
            _dispersion,
            True,
        ),
        Fact("waiting_times", "Waiting times between orders", "probability", "s", of_waits, _waits, True),
        Fact("fill_curve", "Fill curve, per side", "distance, ticks", "1 / s", of_fills, _fills, True),
        Fact(
            "markouts", "Move against a fill at 1 / k", "horizon, s", "ticks", _intervals, _markouts(distance)
        ),
        Fact(
            "responses", "Move with orders that reach so far", "reach, ticks", "ticks", of_reaches, _responses
        ),
        Fact("edges", f"Edge {EDGE:g} s after a fill", "distance, ticks", "ticks", of_fills, _edges),
    )
