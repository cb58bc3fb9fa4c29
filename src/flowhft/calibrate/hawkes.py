"""Self- and cross-exciting market orders: a two-sided exponential Hawkes process and its likelihood."""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numba import njit

from flowhft.calibrate.order_clock import clock_tick


class Hawkes(NamedTuple):
    """The parameters of the process, equal for both sides.

    A market order of side s at time t arrives with intensity

        lambda_s(t) = base_intensity + self_excitation x sum over own orders t_i < t of exp(-decay (t - t_i))
                                     + cross_excitation x the same sum over orders of the other side

    Attributes:
        base_intensity: 1 / second, per side.
        self_excitation: jump of a side's intensity at its own order, 1 / second.
        cross_excitation: jump of the other side's intensity at that order, 1 / second.
        decay: 1 / second.
    """

    base_intensity: float
    self_excitation: float
    cross_excitation: float
    decay: float

    @property
    def branching_ratio(self) -> float:
        """Return the mean number of orders that one order sets off; below 1 if stationary."""
        return (self.self_excitation + self.cross_excitation) / self.decay

    @property
    def rate(self) -> float:
        """Return the stationary mean rate of one side, 1 / second."""
        return self.base_intensity / (1.0 - self.branching_ratio)


Times = Float[np.ndarray, " event"]
Sides = Int[np.ndarray, " event"]


def spread_ties(times_ns: Int[np.ndarray, " event"], start_ns: int, seed: int) -> Times:
    """Turn the ticks of a coarse clock into times without ties, in seconds since `start_ns`.

    A clock of resolution r that shows t says that the order came within [t, t + r): it is put there uniformly
    at random. Left tied, orders of one millisecond would look like infinitely fast excitation. The resolution
    is the greatest common divisor of all gaps: 1 ms on Binance, 1 ns on NASDAQ.

    Args:
        times_ns: exchange times, never decreasing, shape (event,).
        start_ns: the origin.
        seed: of the draw.

    Returns:
        Times in seconds, increasing, shape (event,).
    """
    jitter = np.random.default_rng(seed).random(len(times_ns)) * clock_tick(times_ns)
    # Sorting moves times within a tick of the clock only; sides keep their places, the venue's order.
    return np.sort((times_ns - start_ns) * 1e-9 + jitter * 1e-9)


@njit(cache=True)
def _score(times, sides, seconds, base, own, other, decay):  # type: ignore[no-untyped-def]
    """Return log-likelihood and gradient in (base, own, other, decay), in one pass over the orders.

    One exponential, one logarithm and one division an order: the sums r and d of `_curvature`, of which
    those at the end also give the compensator, since the kernels' integrals add up to (N - r) / decay.
    """
    value, slope_base, slope_own, slope_other, slope_decay = 0.0, 0.0, 0.0, 0.0, 0.0
    r0, r1, d0, d1 = 0.0, 0.0, 0.0, 0.0
    last = 0.0
    for event in range(len(times)):
        gap = times[event] - last
        last = times[event]
        fade = math.exp(-decay * gap)
        d0 = fade * (d0 - gap * r0)
        d1 = fade * (d1 - gap * r1)
        r0 *= fade
        r1 *= fade
        if sides[event] == 0:
            mine, theirs, mine_slope, theirs_slope = r0, r1, d0, d1
            r0 += 1.0
        else:
            mine, theirs, mine_slope, theirs_slope = r1, r0, d1, d0
            r1 += 1.0
        intensity = base + own * mine + other * theirs
        weight = 1.0 / intensity
        value += math.log(intensity)
        slope_base += weight
        slope_own += weight * mine
        slope_other += weight * theirs
        slope_decay += weight * (own * mine_slope + other * theirs_slope)
    gap = seconds - last
    fade = math.exp(-decay * gap)
    left = fade * (r0 + r1)
    left_slope = fade * (d0 + d1 - gap * (r0 + r1))
    passed = (len(times) - left) / decay
    gradient = np.empty(4)
    gradient[0] = slope_base - 2.0 * seconds
    gradient[1] = slope_own - passed
    gradient[2] = slope_other - passed
    gradient[3] = slope_decay + (own + other) * (passed + left_slope) / decay
    return value - 2.0 * base * seconds - (own + other) * passed, gradient


@njit(cache=True)
def _curvature(times, sides, seconds, base, own, other, decay):  # type: ignore[no-untyped-def]
    """Return the Hessian of the log-likelihood in (base, own, other, decay), in one pass over the orders.

    For each side, with sums over its past orders: r = sum e^{-b u}, d = dr/db = -sum u e^{-b u} and
    e = d2r/db2 = sum u^2 e^{-b u}, u = t - t_i, all advanced from one order to the next by e^{-b dt}
    (T. Ozaki, "Maximum likelihood estimation of Hawkes' self-exciting point processes", 1979).
    """
    r0, r1, d0, d1, e0, e1 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    h00, h01, h02, h03, h11, h12, h13, h22, h23, h33 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    last = 0.0
    for event in range(len(times) + 1):
        now = times[event] if event < len(times) else seconds
        gap = now - last
        last = now
        fade = math.exp(-decay * gap)
        e0 = fade * (e0 - 2.0 * gap * d0 + gap * gap * r0)
        e1 = fade * (e1 - 2.0 * gap * d1 + gap * gap * r1)
        d0 = fade * (d0 - gap * r0)
        d1 = fade * (d1 - gap * r1)
        r0 *= fade
        r1 *= fade
        if event == len(times):
            break
        if sides[event] == 0:
            mine, theirs, mine_1, theirs_1, mine_2, theirs_2 = r0, r1, d0, d1, e0, e1
            r0 += 1.0
        else:
            mine, theirs, mine_1, theirs_1, mine_2, theirs_2 = r1, r0, d1, d0, e1, e0
            r1 += 1.0
        weight = 1.0 / (base + own * mine + other * theirs)
        slope_1, slope_2 = weight * mine, weight * theirs
        slope_3 = weight * (own * mine_1 + other * theirs_1)
        h00 -= weight * weight
        h01 -= weight * slope_1
        h02 -= weight * slope_2
        h03 -= weight * slope_3
        h11 -= slope_1 * slope_1
        h12 -= slope_1 * slope_2
        h13 += weight * mine_1 - slope_1 * slope_3
        h22 -= slope_2 * slope_2
        h23 += weight * theirs_1 - slope_2 * slope_3
        h33 += weight * (own * mine_2 + other * theirs_2) - slope_3 * slope_3
    passed = (len(times) - r0 - r1) / decay
    passed_1 = -(passed + d0 + d1) / decay
    h13 -= passed_1
    h23 -= passed_1
    h33 += (own + other) * (2.0 * passed_1 + e0 + e1) / decay
    return np.array([[h00, h01, h02, h03], [h01, h11, h12, h13], [h02, h12, h22, h23], [h03, h13, h23, h33]])


def log_likelihood(
    process: Hawkes, times: Times, sides: Sides, seconds: float
) -> tuple[float, Float[np.ndarray, "4"]]:
    """Return the exact log-likelihood of the orders with its exact gradient, in O(event).

    Args:
        process: the parameters.
        times: seconds since the start, increasing, shape (event,).
        sides: 0 or 1, shape (event,).
        seconds: length of the recording. Nothing is assumed to have happened before it began.

    Returns:
        Nats, and the derivatives in the order of the fields of `Hawkes`.
    """
    return _score(times, sides, seconds, *process)


def curvature(process: Hawkes, times: Times, sides: Sides, seconds: float) -> Float[np.ndarray, "4 4"]:
    """Return the exact Hessian of `log_likelihood`; its negative is the observed information."""
    return _curvature(times, sides, seconds, *process)


@njit(cache=True)
def _residuals(times, sides, base, own, other, decay):  # type: ignore[no-untyped-def]
    """Return the integrated intensity of a side between its consecutive orders; NaN at its first."""
    residuals = np.empty(len(times))
    r, since = np.zeros(2), np.full(2, np.nan)
    last = 0.0
    for event in range(len(times)):
        gap = times[event] - last
        last = times[event]
        kernel = -math.expm1(-decay * gap) / decay
        fade = math.exp(-decay * gap)
        for side in range(2):
            since[side] += base * gap + (own * r[side] + other * r[1 - side]) * kernel
        r *= fade
        mine = sides[event]
        residuals[event] = since[mine]
        since[mine] = 0.0
        r[mine] += 1.0
    return residuals


def residuals(process: Hawkes, times: Times, sides: Sides) -> Times:
    """Return the residual waiting times of both sides: independent, exponential of mean 1 under the truth.

    Source: F. Papangelou, "Integrability of expected increments of point processes", 1972 (time rescaling);
    Y. Ogata, "Statistical models for earthquake occurrences and residual analysis", JASA 83, 1988.
    """
    waits = _residuals(times, sides, *process)
    return waits[np.isfinite(waits)]
