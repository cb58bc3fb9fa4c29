"""Self- and cross-exciting market orders: a two-sided exponential Hawkes process by maximum likelihood."""

import math
from typing import NamedTuple

import numpy as np
import polars as pl
from jaxtyping import Float, Int
from numba import njit
from scipy.optimize import minimize
from scipy.special import expit, logit
from scipy.stats import chi2, kstest

from flowhft.calibrate.parameter import Parameter, positive, reach_of
from flowhft.errors import DataError

ORDERS_PER_SIDE = (
    100  # fewer cannot tell four parameters apart: at 100 the branching ratio's error is about 0.15
)
QUANTILES = 199
LARGEST_KS_STATISTIC = 0.05  # above it, where it is also significant, a warning says that the fit is poor
LARGEST_BRANCHING = 0.95
SIGNIFICANCE = 0.01
RESIDUAL_UNITS = {"probability": "1", "theoretical": "1", "observed": "1", "poisson": "1"}
METHOD = "maximum likelihood"

# Where the search looks: from no offspring to nothing else, from own excitation alone to cross alone.
# A solution on a bound is reported as such.
LOGIT_BOUND = 9.0
FASTEST_DECAY = 1e6  # 1 / s; no venue's orders answer each other within a microsecond


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


class HawkesFit(NamedTuple):
    """A fitted process and how well it fits.

    Attributes:
        process: the estimates.
        parameters: the same with errors, and `branching_ratio`, by name.
        log_likelihood_gain: over a Poisson process of the same rate, nats per order.
        ks_statistic: largest distance between the distribution of the residuals and the exponential.
        p_value: of that distance; somewhat too large, since the same orders were fitted.
        ks_statistic_poisson: the same distance for the Poisson process.
        residuals: columns `probability`, `theoretical` (exponential quantile), `observed` (quantile of the
            residuals), `poisson` (the same under the Poisson process).
        at_bounds: names of what the likelihood pushed to the edge of the search; their errors are not known.
        orders: both sides.
    """

    process: Hawkes
    parameters: dict[str, Parameter]
    log_likelihood_gain: float
    ks_statistic: float
    p_value: float
    ks_statistic_poisson: float
    residuals: pl.DataFrame
    at_bounds: tuple[str, ...]
    orders: int

    @property
    def warnings(self) -> tuple[str, ...]:
        """Return what is not to be trusted, in plain words."""
        said = []
        if self.ks_statistic > LARGEST_KS_STATISTIC and self.p_value < SIGNIFICANCE:
            said.append(
                f"Hawkes process: poor fit: rescaled waiting times are {self.ks_statistic:.3f} from the "
                f"exponential (Kolmogorov-Smirnov; {self.ks_statistic_poisson:.3f} for a Poisson process), "
                "more than chance allows. One decay does not hold all time scales; errors are too small."
            )
        # Twice the gain of three parameters more; near the edge of the search this test is conservative.
        if 2.0 * self.log_likelihood_gain * self.orders < chi2.ppf(1.0 - SIGNIFICANCE, 3):
            said.append("Hawkes process: no better than Poisson: its excitation and decay mean nothing.")
        elif self.at_bounds:
            names = ", ".join(self.at_bounds)
            said.append(f"Hawkes process: {names} at the edge of what is possible, without an error.")
        if self.process.branching_ratio > LARGEST_BRANCHING:
            said.append(
                f"Hawkes process: branching ratio {self.process.branching_ratio:.3f}, close to explosion: a "
                "sign of a rate that changes over the recording."
            )
        return tuple(said)


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
    resolution = int(np.gcd.reduce(np.diff(times_ns))) if len(times_ns) > 1 else 0
    jitter = np.random.default_rng(seed).random(len(times_ns)) * resolution
    # Sorting moves times within a tick of the clock only; sides keep their places, the venue's order.
    return np.sort((times_ns - start_ns) * 1e-9 + jitter * 1e-9)


@njit(cache=True)
def _likelihood(times, sides, seconds, base, own, other, decay):  # type: ignore[no-untyped-def]
    """Return log-likelihood, gradient and Hessian in (base, own, other, decay), in one pass over the orders.

    For each side, with sums over its past orders: r = sum e^{-b u}, d = dr/db = -sum u e^{-b u} and
    e = d2r/db2 = sum u^2 e^{-b u}, u = t - t_i, all advanced from one order to the next by e^{-b dt}
    (T. Ozaki, "Maximum likelihood estimation of Hawkes' self-exciting point processes", 1979).
    """
    value = -2.0 * base * seconds
    gradient, hessian = np.zeros(4), np.zeros((4, 4))
    r, d, e = np.zeros(2), np.zeros(2), np.zeros(2)
    slope = np.zeros(4)
    compensator, compensator_1, compensator_2 = 0.0, 0.0, 0.0
    last = 0.0
    for event in range(len(times)):
        gap = times[event] - last
        last = times[event]
        fade = math.exp(-decay * gap)
        for side in range(2):
            e[side] = fade * (e[side] - 2.0 * gap * d[side] + gap * gap * r[side])
            d[side] = fade * (d[side] - gap * r[side])
            r[side] = fade * r[side]
        mine, theirs = sides[event], 1 - sides[event]
        intensity = base + own * r[mine] + other * r[theirs]
        value += math.log(intensity)
        slope[0] = 1.0
        slope[1] = r[mine]
        slope[2] = r[theirs]
        slope[3] = own * d[mine] + other * d[theirs]
        for i in range(4):
            gradient[i] += slope[i] / intensity
            for j in range(4):
                hessian[i, j] -= slope[i] * slope[j] / intensity**2
        hessian[1, 3] += d[mine] / intensity
        hessian[2, 3] += d[theirs] / intensity
        hessian[3, 3] += (own * e[mine] + other * e[theirs]) / intensity
        r[mine] += 1.0
        # Integral of the kernel from this order to the end, (1 - e^{-b u}) / b, and its derivatives in b.
        left = seconds - times[event]
        tail = math.exp(-decay * left)
        whole = -math.expm1(-decay * left) / decay
        compensator += whole
        compensator_1 += (left * tail - whole) / decay
        compensator_2 += (2.0 * whole - 2.0 * left * tail - decay * left * left * tail) / decay**2
    value -= (own + other) * compensator
    gradient[0] -= 2.0 * seconds
    gradient[1] -= compensator
    gradient[2] -= compensator
    gradient[3] -= (own + other) * compensator_1
    hessian[1, 3] -= compensator_1
    hessian[2, 3] -= compensator_1
    hessian[3, 3] -= (own + other) * compensator_2
    hessian[3, 1] = hessian[1, 3]
    hessian[3, 2] = hessian[2, 3]
    return value, gradient, hessian


def log_likelihood(
    process: Hawkes, times: Times, sides: Sides, seconds: float
) -> tuple[float, Float[np.ndarray, "4"], Float[np.ndarray, "4 4"]]:
    """Return the exact log-likelihood of the orders with its gradient and Hessian, in O(event).

    Args:
        process: the parameters.
        times: seconds since the start, increasing, shape (event,).
        sides: 0 or 1, shape (event,).
        seconds: length of the recording. Nothing is assumed to have happened before it began.

    Returns:
        Nats; the derivatives are in the order of the fields of `Hawkes`.
    """
    return _likelihood(times, sides, seconds, *process)


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


def _from_free(free: Float[np.ndarray, "4"]) -> Hawkes:
    """Map four unconstrained numbers to a stationary process.

    They are log(base), logit(branching ratio), logit(share of the own side in it) and log(decay).
    """
    base, branching, share, decay = np.exp(free[0]), expit(free[1]), expit(free[2]), np.exp(free[3])
    excitation = branching * decay
    return Hawkes(*map(float, (base, excitation * share, excitation * (1.0 - share), decay)))


def _log_slopes(free: Float[np.ndarray, "4"]) -> Float[np.ndarray, "4 4"]:
    """Return d log(parameter) / d free: rows as in `Hawkes`, columns as in `_from_free`."""
    branching, share = expit(free[1]), expit(free[2])
    return np.array(
        [
            [1.0, 0.0, 0.0, 0.0],
            [0.0, 1.0 - branching, 1.0 - share, 1.0],
            [0.0, 1.0 - branching, -share, 1.0],
            [0.0, 0.0, 0.0, 1.0],
        ]
    )


def _maximise(times: Times, sides: Sides, seconds: float, fastest_decay: float) -> Float[np.ndarray, "4"]:
    """Return the unconstrained parameters of the highest likelihood that several starts find."""
    orders = len(times)
    rate = orders / (2.0 * seconds)
    bounds = [
        (math.log(rate) - LOGIT_BOUND, math.log(rate) + 1.0),
        (-LOGIT_BOUND, LOGIT_BOUND),
        (-LOGIT_BOUND, LOGIT_BOUND),
        (-math.log(seconds), math.log(max(fastest_decay, 2.0 / seconds))),
    ]

    def loss(free: np.ndarray) -> tuple[float, np.ndarray]:
        process = _from_free(free)
        value, gradient, _ = log_likelihood(process, times, sides, seconds)
        return -value / orders, -(gradient * np.array(process)) @ _log_slopes(free) / orders

    # Memories from a hundred mean gaps down to a thousandth: the likelihood has a local maximum for each
    # time scale at which orders cluster.
    starts = [
        np.array([math.log(rate / 2.0), 0.0, 1.0, np.clip(math.log(rate * speed), *bounds[3])])
        for speed in (0.01, 0.1, 1.0, 10.0, 100.0, 1000.0)
    ]
    found = [
        minimize(
            loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-13, "gtol": 1e-8}
        )
        for start in starts
    ]
    return min(found, key=lambda result: result.fun).x


def fit_hawkes(
    times: Times,
    sides: Sides,
    seconds: float,
    confidence: float = 0.95,
    fastest_decay: float = FASTEST_DECAY,
) -> HawkesFit:
    """Fit the two-sided Hawkes process to the market orders of a recording.

    Errors come from the observed information (exact Hessian) by the delta method, and suppose that the
    process is right; where the residuals say that it is not, they are too small.

    Args:
        times: seconds since the recording began, increasing, shape (event,).
        sides: aggressor, 0 or 1, shape (event,).
        seconds: length of the recording.
        confidence: of the intervals.
        fastest_decay: 1 / second; one over the window in which orders were taken together, if they were:
            faster excitation is gone, and only chance pairs of the two sides would be fitted.

    Raises:
        DataError: fewer than `ORDERS_PER_SIDE` orders on a side.
    """
    for side, count in enumerate(np.bincount(sides, minlength=2)):
        if count < ORDERS_PER_SIDE:
            raise DataError(
                f"`decay` and `branching_ratio` must rest on {ORDERS_PER_SIDE} market orders a side; "
                f"received {count:,} {('sell', 'buy')[side]} orders. Use a longer recording."
            )
    free = _maximise(times, sides, seconds, fastest_decay)
    process = _from_free(free)
    value, _, hessian = log_likelihood(process, times, sides, seconds)
    rate = len(times) / (2.0 * seconds)
    poisson = Hawkes(rate, 0.0, 0.0, 1.0)
    waits, waits_poisson = residuals(process, times, sides), residuals(poisson, times, sides)
    distance = kstest(waits, "expon")
    probabilities = np.arange(1, QUANTILES + 1) / (QUANTILES + 1.0)
    parameters, at_bounds = _errors(free, hessian, confidence, fastest_decay)
    return HawkesFit(
        process,
        parameters,
        (value - len(times) * (math.log(rate) - 1.0)) / len(times),
        float(distance.statistic),
        float(distance.pvalue),
        float(kstest(waits_poisson, "expon").statistic),
        pl.DataFrame(
            {
                "probability": probabilities,
                "theoretical": -np.log1p(-probabilities),
                "observed": np.quantile(waits, probabilities),
                "poisson": np.quantile(waits_poisson, probabilities),
            }
        ),
        at_bounds,
        len(times),
    )


def _errors(
    free: Float[np.ndarray, "4"], hessian: Float[np.ndarray, "4 4"], confidence: float, fastest_decay: float
) -> tuple[dict[str, Parameter], tuple[str, ...]]:
    """Return every parameter with its error, and the names of those on the edge of the search."""
    process = _from_free(free)
    edges = {
        "branching_ratio": abs(free[1]) > LOGIT_BOUND - 1e-3,
        "cross_excitation": free[2] > LOGIT_BOUND - 1e-3,
        "self_excitation": free[2] < 1e-3 - LOGIT_BOUND,
        "decay": free[3] > math.log(fastest_decay) - 1e-3,
    }
    slopes = _log_slopes(free)
    natural = slopes * np.array(process)[:, None]
    information = -natural.T @ hessian @ natural
    if free[1] < 1e-3 - LOGIT_BOUND:  # Poisson: nothing excites, so there is neither a share nor a decay
        edges = dict.fromkeys(edges, True)
    share_known = not (edges["cross_excitation"] or edges["self_excitation"])
    inside = np.array([True, not edges["branching_ratio"], share_known, not edges["decay"]])
    covariance = np.zeros((4, 4))
    try:
        covariance[np.ix_(inside, inside)] = np.linalg.inv(information[np.ix_(inside, inside)])
    except np.linalg.LinAlgError:
        covariance[:] = math.nan
    with np.errstate(invalid="ignore"):
        log_errors = np.sqrt(np.diag(slopes @ covariance @ slopes.T))
        branching_error = float(np.sqrt(covariance[1, 1]))
    parameters = {}
    for name, value, log_error in zip(Hawkes._fields, process, log_errors, strict=True):
        error = math.nan if edges.get(name) else value * float(log_error)
        parameters[name] = positive(name, value, error, "1 / s", METHOD, confidence)
    # The interval of the branching ratio is worked out on its logit, so that it stays between 0 and 1.
    branching = process.branching_ratio
    reach = reach_of(confidence) * (math.nan if edges["branching_ratio"] else branching_error)
    low, high = (float(expit(logit(branching) + sign * reach)) for sign in (-1.0, 1.0))
    parameters["branching_ratio"] = Parameter(
        "branching_ratio",
        branching,
        branching * (1.0 - branching) * reach / reach_of(confidence),
        low,
        high,
        "1",
        METHOD,
    )
    return parameters, tuple(name for name, on_edge in edges.items() if on_edge)
