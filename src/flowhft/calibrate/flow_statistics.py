"""What is matched between a recording and the simulated market in which order flow moves the price."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy.optimize import nnls

from flowhft.calibrate.flow_tape import STEP, FlowTape

# Seconds: of the autocorrelation, and of the moves that the imbalance foretells.
LAGS = np.array([0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 7.0, 10.0, 15.0, 20.0])
HORIZONS = np.array([0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0])
TIMES = np.geomspace(0.1, 60.0, 20)  # seconds: the relaxation times that are tried
SLOPES_COUNT = 0.2  # what a relative error of the slopes counts beside one of the autocorrelation
APART = 4.0  # least ratio of the two times: nearer ones say the same and cancel
RIDGE = 0.003  # of the mean square of a column
MOST_SLOPE = 50.0  # of a logistic regression: beyond, the sides are told apart without error


class FlowStatistics(NamedTuple):
    """Statistics of a tape.

    Attributes:
        autocorrelation: of the imbalance at `LAGS`, shape (lag,).
        move_slope: of the move over `HORIZONS` on the imbalance, ticks, shape (horizon,).
        move_variance: of that move, ticks squared, shape (horizon,).
        order_slope: half the slope of the logit of an order's side on the imbalance before it.
        order_response, reach_response: intercept (ticks) and slope of the response on the reach.
    """

    autocorrelation: Float[np.ndarray, " lag"]
    move_slope: Float[np.ndarray, " horizon"]
    move_variance: Float[np.ndarray, " horizon"]
    order_slope: float
    order_response: float
    reach_response: float

    @property
    def r_squared(self) -> Float[np.ndarray, " horizon"]:
        """Return the share of a move's variance that the imbalance foretells, shape (horizon,)."""
        return self.move_slope**2 / np.maximum(self.move_variance, 1e-30)


def statistics_of(tape: FlowTape, without: tuple[float, float] = (0.0, 0.0)) -> FlowStatistics:
    """Return the statistics of a tape.

    Args:
        tape: of a recording or simulated.
        without: a stretch of time that is left out, from and to, seconds.
    """
    times = STEP * np.arange(len(tape.mid))
    x = np.where((times >= without[0]) & (times < without[1]), np.nan, tape.imbalance)
    autocorrelation = np.array([_product(x, x, round(lag / STEP)) for lag in LAGS]) / _product(x, x, 0)
    slopes, variances = [], []
    for horizon in HORIZONS:
        ahead = round(horizon / STEP)
        move = tape.mid[ahead:] - tape.mid[:-ahead]
        seen = x[:-ahead]
        known = np.isfinite(move) & np.isfinite(seen)
        slopes.append(float(np.mean(move[known] * seen[known]) / np.mean(seen[known] ** 2)))
        variances.append(float(np.var(move[known])))
    kept = (tape.time < without[0]) | (tape.time >= without[1])
    intercept, slope = response_line(tape, kept)
    return FlowStatistics(
        autocorrelation, np.array(slopes), np.array(variances), side_slope(tape, kept), intercept, slope
    )


def _product(x: Float[np.ndarray, " sample"], y: Float[np.ndarray, " sample"], lag: int) -> float:
    return float(np.nanmean(x[lag:] * y[: len(y) - lag]))


def side_slope(tape: FlowTape, kept: Bool[np.ndarray, " order"]) -> float:
    """Return b of P(an order buys) = 1 / (1 + exp(-2 b x)) with x the imbalance before it.

    Of two Poisson processes of rates proportional to exp(+b x) and exp(-b x), given when an order comes; the
    maximum of the likelihood by Newton's method.

    Args:
        tape: of orders.
        kept: which of them count.
    """
    signed = (tape.side * tape.order_imbalance)[kept]
    slope = 0.0
    for _ in range(50):
        wrong = 1.0 / (1.0 + np.exp(np.clip(slope * signed, -30.0, 30.0)))
        curvature = float(np.sum(wrong * (1.0 - wrong) * signed**2))
        step = float(np.sum(wrong * signed)) / max(curvature, 1e-12)
        slope = float(np.clip(slope + np.clip(step, -2.0, 2.0), -MOST_SLOPE, MOST_SLOPE))
        if abs(step) < 1e-10:
            break
    return 0.5 * slope


def response_line(tape: FlowTape, kept: Bool[np.ndarray, " order"]) -> tuple[float, float]:
    """Return intercept (ticks) and slope of the response to an order on its reach, by least squares.

    Args:
        tape: of orders.
        kept: which of them count.
    """
    reach, response = tape.reach[kept], tape.response[kept]
    away = reach - np.mean(reach)
    slope = float(np.sum(away * response) / max(float(np.sum(away**2)), 1e-12))
    return float(np.mean(response) - slope * np.mean(reach)), slope


def ridge(
    design: Float[np.ndarray, "row part"], wanted: Float[np.ndarray, " row"]
) -> Float[np.ndarray, " part"]:
    """Return least squares with a slight pull towards 0, which keeps alike columns from cancelling.

    Args:
        design: columns.
        wanted: what they should add to.
    """
    square = design.T @ design
    scale = RIDGE * np.trace(square) / len(square) + 1e-300
    return np.linalg.solve(square + scale * np.eye(len(square)), design.T @ wanted)


def two_parts(
    statistics: FlowStatistics, longest: float
) -> tuple[tuple[float, float], tuple[float, float], float]:
    """Return shares and times of the fast and the slow part of an imbalance, and what the fit leaves.

    For every pair of times shares by non-negative least squares of the autocorrelation on exp(-lag / tau),
    and a drift of each part, of either sign, by that of the slopes of moves on share tau (1 - exp(-h / tau)),
    in units of the slopes: what foretells orders foretells moves in the same form. The pair that leaves
    least of both, one time at least four times the other.

    Args:
        statistics: of the recording.
        longest: seconds: no longer lag or time is looked at.

    Returns:
        (fast, slow) shares, (fast, slow) times in seconds, the root mean square of what is left of the
        autocorrelation.
    """
    used = longest >= LAGS
    lags, target = LAGS[used], np.clip(statistics.autocorrelation[used], -1.0, 1.0)
    slopes = statistics.move_slope
    unit = np.maximum(np.abs(slopes), 0.1 * float(np.max(np.abs(slopes))) + 1e-12)
    best, found = np.inf, ((0.0, 0.0), (float(TIMES[0]), float(TIMES[1])), 0.0)
    tried = [time for time in TIMES if time <= max(longest, 1.0)]
    for index, fast in enumerate(tried):
        for slow in (time for time in tried[index + 1 :] if time >= APART * fast):
            times = np.array([fast, slow])
            design = np.exp(-lags[:, None] / times)
            shares, left = nnls(design, target)
            total = max(float(np.sum(shares)), 1.0)
            if total > 1.0:  # more than all of it: on the edge of what there is
                shares = shares / total
                left = float(np.linalg.norm(design @ shares - target))
            moves = shares * times * -np.expm1(-HORIZONS[:, None] / times) / unit[:, None]
            missed = float(np.sqrt(np.mean((moves @ ridge(moves, slopes / unit) - slopes / unit) ** 2)))
            left /= np.sqrt(len(lags))
            if left + SLOPES_COUNT * missed < best:
                best = left + SLOPES_COUNT * missed
                found = ((float(shares[0]), float(shares[1])), (float(fast), float(slow)), left)
    return found
