"""Fits the Hawkes process to market orders by maximum likelihood: errors, goodness of fit, refusals."""

import math
from typing import NamedTuple

import numpy as np
import polars as pl
from jaxtyping import Float
from scipy.special import expit, logit
from scipy.stats import chi2, kstest

from flowhft.calibrate.hawkes import Hawkes, Sides, Times, curvature, log_likelihood, residuals
from flowhft.calibrate.parameter import Parameter, positive, reach_of
from flowhft.errors import DataError
from flowhft.runs import tables

ORDERS_PER_SIDE = (
    100  # fewer cannot tell four parameters apart: at 100 the branching ratio's error is about 0.15
)
QUANTILES = 199
LARGEST_KS_STATISTIC = 0.05  # above it, where it is also significant, a warning says that the fit is poor
LARGEST_BRANCHING = 0.95
SIGNIFICANCE = 0.01
RESIDUAL_UNITS = tables.units_of("calibrate", "hawkes_residuals")
METHOD = "maximum likelihood"

# Where the search looks: from no offspring to nothing else, from own excitation alone to cross alone.
# A solution on a bound is reported as such.
LOGIT_BOUND = 9.0
FIRST_STEPS = 8  # of the search from each start
MOST_STEPS = 200
SCREENED = 20_000  # orders that the first steps look at
CLOSE = 0.02  # nats per order
FLAT = 1e-10  # nats per order and unit of a parameter
MOST_DAMPED = 1e8
SAME_PLACE = 0.05  # in any of the unconstrained parameters
FASTEST_DECAY = 1e6  # 1 / s; no venue's orders answer each other within a microsecond


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
        messages = []
        if self.ks_statistic > LARGEST_KS_STATISTIC and self.p_value < SIGNIFICANCE:
            messages.append(
                f"Hawkes process: poor fit: rescaled waiting times are {self.ks_statistic:.3f} from the "
                f"exponential (Kolmogorov-Smirnov; {self.ks_statistic_poisson:.3f} for a Poisson process), "
                "more than chance allows. One decay does not hold all time scales; errors are too small."
            )
        # Twice the gain of three parameters more; near the edge of the search this test is conservative.
        if 2.0 * self.log_likelihood_gain * self.orders < chi2.ppf(1.0 - SIGNIFICANCE, 3):
            messages.append("Hawkes process: no better than Poisson: its excitation and decay mean nothing.")
        elif self.at_bounds:
            names = ", ".join(self.at_bounds)
            messages.append(f"Hawkes process: {names} at the edge of what is possible, without an error.")
        if self.process.branching_ratio > LARGEST_BRANCHING:
            messages.append(
                f"Hawkes process: branching ratio {self.process.branching_ratio:.3f}, close to explosion: a "
                "sign of a rate that changes over the recording."
            )
        return tuple(messages)


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


class _Slope(NamedTuple):
    """Log-likelihood per order at a place, with gradient and Hessian in the unconstrained parameters."""

    value: float
    gradient: Float[np.ndarray, "4"]
    hessian: Float[np.ndarray, "4 4"]


def _slope(free: Float[np.ndarray, "4"], times: Times, sides: Sides, seconds: float) -> _Slope:
    process = _from_free(free)
    value, gradient = log_likelihood(process, times, sides, seconds)
    slopes = _log_slopes(free)
    natural = slopes * np.array(process)[:, None]
    weighted = gradient * np.array(process)
    # theta = exp(l): d2 theta = theta (dl dl' + d2 l), and d2 l is -p (1 - p) for either logit.
    bend = slopes.T @ (slopes * weighted[:, None])
    for index in (1, 2):
        chance = float(expit(free[index]))
        bend[index, index] -= chance * (1.0 - chance) * (weighted[1] + weighted[2])
    hessian = natural.T @ curvature(process, times, sides, seconds) @ natural + bend
    return _Slope(value / len(times), weighted @ slopes / len(times), hessian / len(times))


def _climb(
    free: Float[np.ndarray, "4"],
    bounds: Float[np.ndarray, "4 2"],
    steps: int,
    times: Times,
    sides: Sides,
    seconds: float,
) -> tuple[float, Float[np.ndarray, "4"]]:
    """Climb the likelihood by damped Newton steps within bounds; return the height and the place.

    Levenberg and Marquardt: the damping grows until a step gains, and shrinks after one that does. A
    parameter on a bound that it pushes against stays there for the step. Four unknowns do not need a
    library's optimiser, whose threads cost more than all of this.
    """
    here = _slope(free, times, sides, seconds)
    damping = 1e-3
    for _ in range(steps):
        pushed = ((free <= bounds[:, 0]) & (here.gradient < 0.0)) | (
            (free >= bounds[:, 1]) & (here.gradient > 0.0)
        )
        able = np.flatnonzero(~pushed)
        if len(able) == 0 or np.max(np.abs(here.gradient[able])) < FLAT:
            break
        curved = -here.hessian[np.ix_(able, able)]
        scale = np.diag(np.abs(np.diag(curved)) + 1e-9)
        while True:
            trial = free.copy()
            trial[able] += np.clip(np.linalg.solve(curved + damping * scale, here.gradient[able]), -3.0, 3.0)
            trial = np.clip(trial, bounds[:, 0], bounds[:, 1])
            there = _slope(trial, times, sides, seconds)
            if there.value > here.value:
                damping = max(damping / 10.0, 1e-12)
                break
            if damping > MOST_DAMPED:
                return here.value, free
            damping *= 10.0
        free, here = trial, there
    return here.value, free


def _maximise(times: Times, sides: Sides, seconds: float, fastest_decay: float) -> Float[np.ndarray, "4"]:
    """Return the unconstrained parameters of the highest likelihood that several starts find.

    The likelihood has a local maximum for each time scale at which orders cluster, hence starts with
    memories from a hundred mean gaps down to a thousandth. A few steps from each, on the first orders
    where there are very many, tell which are worth the rest of the way: those within `CLOSE` of the best.
    """
    rate = len(times) / (2.0 * seconds)
    bounds = np.array(
        [
            (math.log(rate) - LOGIT_BOUND, math.log(rate) + 1.0),
            (-LOGIT_BOUND, LOGIT_BOUND),
            (-LOGIT_BOUND, LOGIT_BOUND),
            (-math.log(seconds), math.log(max(fastest_decay, 2.0 / seconds))),
        ]
    )
    few = slice(0, SCREENED)
    looked_at = (times[few], sides[few], seconds if len(times) <= SCREENED else float(times[SCREENED]))
    starts = (
        np.array([math.log(rate / 2.0), 0.0, 1.0, np.clip(math.log(rate * speed), *bounds[3])])
        for speed in (0.01, 0.1, 1.0, 10.0, 100.0, 1000.0)
    )
    begun = sorted(
        (_climb(start, bounds, FIRST_STEPS, *looked_at) for start in starts), key=lambda result: -result[0]
    )
    finished: list[tuple[float, Float[np.ndarray, 4]]] = []
    for value, free in begun:
        # A path that has come to where another one ended would end there too.
        known = any(np.max(np.abs(free - end)) < SAME_PLACE for _, end in finished)
        if value >= begun[0][0] - CLOSE and not known:
            finished.append(_climb(free, bounds, MOST_STEPS, times, sides, seconds))
    return max(finished, key=lambda result: result[0])[1]


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
    value, _ = log_likelihood(process, times, sides, seconds)
    hessian = curvature(process, times, sides, seconds)
    rate = len(times) / (2.0 * seconds)
    poisson = Hawkes(rate, 0.0, 0.0, 1.0)
    waits, waits_poisson = residuals(process, times, sides), residuals(poisson, times, sides)
    distance = kstest(waits, "expon")
    probabilities = np.arange(1, QUANTILES + 1) / (QUANTILES + 1.0)
    parameters, at_bounds = _errors(free, hessian, confidence, fastest_decay)
    poisson_distance = float(kstest(waits_poisson, "expon").statistic)
    fits = (
        f"residuals {distance.statistic:.3f} from the exponential (p-value {distance.pvalue:.2g}), "
        f"{poisson_distance:.3f} for a Poisson process"
    )
    for name, result in parameters.items():
        known = math.isfinite(result.standard_error)
        message = fits if known else "at the edge of what is possible, where there is no error"
        parameters[name] = result._replace(diagnostic=message)
    return HawkesFit(
        process,
        parameters,
        (value - len(times) * (math.log(rate) - 1.0)) / len(times),
        float(distance.statistic),
        float(distance.pvalue),
        poisson_distance,
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
