"""Memory of the price: the Hurst exponent of the mid's moves, told apart from the noise of the book."""

import math
from typing import NamedTuple

import numpy as np
import polars as pl
from jaxtyping import Float
from scipy.optimize import minimize
from scipy.special import expit, logit
from scipy.stats import t as student

from flowhft.calibrate.parameter import Parameter, refused
from flowhft.features.fractional import autocovariance
from flowhft.runs import tables

FEWEST_MOVES = 300  # the error of H is then about 0.05
FEWEST_CHANGES = 100  # moves that are not 0
MOST_MOVES = 50_000
BLOCKS = 40  # of time, for the error
SMALLEST, LARGEST = 0.02, 0.98
EDGE = 0.005
NO_NOISE = 1e-4  # variance of the noise in that of a move; below it there is none to speak of
STEP = 1e-4  # of the numerical derivatives
SIGNIFICANCE = 0.01  # of memory, for a scenario to have it
DISAGREEMENT = 3.0  # standard errors between the grid and one half as fine, from which on a warning says so
METHOD = "Whittle, fractional moves and noise"
UNIT = "1"

STRUCTURE_UNITS = tables.units_of("calibrate", "structure")

Moves = Float[np.ndarray, " sample"]


class HurstFit(NamedTuple):
    """What the moves of the mid on a regular grid tell about its memory.

    Attributes:
        hurst_exponent: 0.5 without memory; NaN where it is refused.
        volatility: of the fractional part over one second, ticks; a move over h has variance
            volatility^2 h^2H.
        noise: standard deviation of the noise around the mid, ticks.
        structure: mean squared move against interval, measured and fitted; columns `STRUCTURE_UNITS`.
        warnings: why it was refused, or what is not to be trusted.
    """

    hurst_exponent: Parameter
    volatility: float
    noise: float
    structure: pl.DataFrame
    warnings: tuple[str, ...]

    @property
    def significant(self) -> bool:
        """Return whether 0.5, a price without memory, is further off than chance explains."""
        result = self.hurst_exponent
        if not SMALLEST + EDGE < result.value < LARGEST - EDGE:
            return False
        reach = float(student.ppf(1.0 - SIGNIFICANCE / 2.0, BLOCKS - 1)) * result.standard_error
        return abs(result.value - 0.5) > reach


class _Estimate(NamedTuple):
    hurst: float
    share: float  # variance of the noise over that of the fractional part of a move
    variance: float  # of the fractional part of a move
    error: float


def _spectrum(hurst: float, share: float, moves: int) -> Moves:
    """Return the expected periodogram of `moves` moves of unit fractional variance, at inner frequencies."""
    covariance = autocovariance(hurst, moves)
    covariance[0] += 2.0 * share
    covariance[1] -= share
    tapered = (1.0 - np.arange(moves) / moves) * covariance
    return np.maximum(2.0 * _inner(np.fft.rfft(tapered), moves).real - tapered[0], 1e-12)


def _inner(values: np.ndarray, moves: int) -> np.ndarray:
    """Return the values at the frequencies between 0 and the highest: each stands for itself and its twin."""
    return values[1 : (moves + 1) // 2]


def _whittle(moves: Moves) -> _Estimate:
    """Return the estimate of `fit_hurst`, with its error."""
    count = len(moves)
    transform = np.fft.rfft(moves)
    power = np.abs(_inner(transform, count)) ** 2 / count

    def loss(free: np.ndarray) -> float:
        hurst = SMALLEST + (LARGEST - SMALLEST) * float(expit(free[0]))
        expected = _spectrum(hurst, float(free[1]) ** 2, count)
        return float(np.mean(np.log(expected)) + math.log(np.mean(power / expected)))

    starts = [np.array([float(logit(h)), noise]) for h, noise in ((0.5, 0.1), (0.5, 1.0))]
    options = {"xatol": 5e-4, "fatol": 1e-8, "maxiter": 300}
    outcome = min(
        (minimize(loss, start, method="Nelder-Mead", options=options) for start in starts),
        key=lambda result: result.fun,
    )
    hurst = SMALLEST + (LARGEST - SMALLEST) * float(expit(outcome.x[0]))
    share = float(outcome.x[1]) ** 2
    variance = float(np.mean(power / _spectrum(hurst, share, count)))
    return _Estimate(hurst, share, variance, _error(transform, count, hurst, share, variance))


def _error(transform: np.ndarray, count: int, hurst: float, share: float, variance: float) -> float:
    """Return the standard error of H: the larger of the Gaussian one and of a sandwich over blocks of time.

    The score is a sum over moves of x (W x), W the filter with the transfer function d log f / f: its parts
    in blocks of time scatter as the score does, also where volatility changes and moves have heavy tails.
    """
    expected = _spectrum(hurst, share, count)

    def slope_in(hurst_step: float, share_step: float) -> Moves:
        above = _spectrum(hurst + hurst_step, share + share_step, count)
        return (np.log(above) - np.log(expected)) / (hurst_step + share_step)

    slopes = [np.ones(len(expected)), slope_in(STEP, 0.0)]
    if share > NO_NOISE:
        slopes.append(slope_in(0.0, STEP * max(share, 0.01)))
    slope = np.array(slopes)
    inner = np.zeros((len(slopes) + 1, len(transform)), np.complex128)
    inner[0] = transform
    inner[1:, 1 : 1 + len(expected)] = transform[1 : 1 + len(expected)] * slope / (variance * expected)
    inner[0, 0] = 0.0
    moves, *filtered = np.fft.irfft(inner, n=count)
    parts = moves * np.array(filtered)
    block = np.arange(count) * BLOCKS // count
    sums = np.array([np.bincount(block, part - np.mean(part)) for part in parts])
    inverse = np.linalg.inv(2.0 * slope @ slope.T)  # every frequency has a twin
    sandwich = inverse @ (sums @ sums.T) @ inverse * BLOCKS / (BLOCKS - 1)
    return float(np.sqrt(max(sandwich[1, 1], 2.0 * inverse[1, 1])))


def fit_hurst(mids: Moves, step: float, confidence: float = 0.95) -> HurstFit:
    """Estimate the Hurst exponent of mids on a regular grid, with noise around them.

    A move over the step D of the grid is taken as fractional Gaussian noise of variance s^2 D^2H plus the
    difference of two independent noises of variance w^2, the bounce of the book. All three are estimated by
    Whittle's likelihood with the expected periodogram of a finite sample in the place of the spectral
    density, which takes out leakage. Bounce and H below 0.5 both turn moves around: they are told apart by
    the bounce's memory of a single step, so that the grid must be coarser than what the bounce remembers.
    Not modelled: memory of the volatility (the error allows for it), a trend of the day (taken off).

    Args:
        mids: ticks, shape (sample,).
        step: seconds between two samples.
        confidence: of the interval, by Student's t with as many degrees as there are blocks of time less one.

    Returns:
        The fit. With too few moves H is NaN, and a warning says what was there and what is needed.

    Source: P. Whittle, 1953; A. M. Sykulski, S. C. Olhede, A. P. Guillaumin, J. M. Lilly, J. J. Early, "The
    debiased Whittle likelihood", Biometrika 106(2), 2019; noise as A. Gloter, M. Hoffmann, "Estimation of
    the Hurst parameter from discrete noisy data", Annals of Statistics 35(5), 2007.
    """
    mids = mids[: MOST_MOVES + 1]
    moves = np.diff(mids)
    changes = int(np.sum(moves != 0.0))
    if len(moves) < FEWEST_MOVES or changes < FEWEST_CHANGES:
        reason = (
            f"must rest on {FEWEST_MOVES} moves over {step:g} s of which {FEWEST_CHANGES} are not 0; "
            f"received {len(moves):,} of which {changes:,}. Use a longer recording."
        )
        structure = pl.DataFrame(schema=dict.fromkeys(STRUCTURE_UNITS, pl.Float64))
        refusal = refused("hurst_exponent", UNIT, METHOD, reason)
        return HurstFit(refusal, math.nan, math.nan, structure, (f"`hurst_exponent` {reason}",))
    result, coarse = _whittle(moves), _whittle(np.diff(mids[::2]))
    reach = float(student.ppf(0.5 + confidence / 2.0, BLOCKS - 1)) * result.error
    apart = abs(coarse.hurst - result.hurst) / max(coarse.error, 1e-12)
    parameter = Parameter(
        "hurst_exponent",
        result.hurst,
        result.error,
        max(result.hurst - reach, 0.0),
        min(result.hurst + reach, 1.0),
        UNIT,
        f"{METHOD}, every {step:g} s",
        f"every {2.0 * step:g} s: {coarse.hurst:.3f} ± {coarse.error:.3f}; noise is {_share_of(result):.0%} "
        "of a move's variance",
    )
    messages: tuple[str, ...] = ()
    if not SMALLEST + EDGE < result.hurst < LARGEST - EDGE:
        messages = (
            f"hurst_exponent: {result.hurst:.2f} is the edge of what is possible: no fractional price.",
        )
    elif apart > DISAGREEMENT:
        messages = (
            f"hurst_exponent: {result.hurst:.2f} every {step:g} s and {coarse.hurst:.2f} every "
            f"{2.0 * step:g} s: the mid does not scale by one exponent.",
        )
    volatility = math.sqrt(result.variance) / step**result.hurst
    noise = math.sqrt(result.share * result.variance)
    return HurstFit(parameter, volatility, noise, _structure(mids, step, result), messages)


def _share_of(result: _Estimate) -> float:
    """Return the share of the noise in the variance of a move."""
    return 2.0 * result.share / (1.0 + 2.0 * result.share)


def _structure(mids: Moves, step: float, result: _Estimate) -> pl.DataFrame:
    """Return mean squared moves over 1, 2, 4 ... steps beside those of the fit."""
    rows = []
    steps = 1
    while 10 * steps < len(mids):
        measured = float(np.mean((mids[steps:] - mids[:-steps]) ** 2))
        fitted = result.variance * (steps ** (2.0 * result.hurst) + 2.0 * result.share)
        rows.append({"interval": steps * step, "mean_square_move": measured, "fitted": fitted})
        steps *= 2
    return pl.DataFrame(rows, schema=dict.fromkeys(STRUCTURE_UNITS, pl.Float64))
