"""Jumps of the mid: moves that the volatility around them cannot explain, how often and how large."""

import math
from typing import NamedTuple

import numpy as np
import polars as pl
from jaxtyping import Bool, Float
from scipy.special import gamma
from scipy.stats import chi2, norm
from scipy.stats import t as student

from flowhft.calibrate.parameter import Parameter, refused, signed
from flowhft.runs import tables

SHORTEST = 1.0  # second; below it the mid is mostly the bounce of the book
LENGTHS = (1, 2, 5, 10, 20, 30, 60)  # in the shortest; the first at which the mid moves is taken
MOST_STILL = 0.05  # share of moves of 0: many of them make bipower variation, a product of neighbours, small
FEWEST_MOVES = 200
FEWEST_JUMPS = 5  # from which on their size is estimated
SMALLEST_WINDOW = 30  # moves around a move whose bipower variation says what is usual there
FALSE_ALARM = 0.01  # chance that a recording without jumps shows one
SIGNIFICANCE = 0.01  # of the jumps' share in the variance, for a scenario to have them
BIPOWER_FREEDOM = 2.0 / 2.6  # chi-squared degrees a move: bipower variation has variance 2.6 sigma^4 / n
METHOD = "moves beyond bipower variation"

JUMP_UNITS = tables.units_of("calibrate", "jumps")

Moves = Float[np.ndarray, " sample"]


class JumpFit(NamedTuple):
    """The jumps of a recording.

    Attributes:
        parameters: `jump_intensity` (1 / second), `jump_mean` and `jump_deviation` (ticks), `jump_share` of
            the variance.
        jumps: one row a jump, columns of `JUMP_UNITS`; `deviations` is the size in standard deviations of
            the moves around.
        p_value: of a variance without jumps, by the ratio of bipower to realised variance.
        warnings: why they were refused, or what is not to be trusted.
    """

    parameters: dict[str, Parameter]
    jumps: pl.DataFrame
    p_value: float
    warnings: tuple[str, ...]

    @property
    def significant(self) -> bool:
        """Return whether there are enough, and their share in the variance is no chance."""
        return len(self.jumps) >= FEWEST_JUMPS and self.p_value < SIGNIFICANCE


def usual_deviation(moves: Moves) -> Moves:
    """Return what a move's standard deviation is without jumps, by the bipower variation around it.

    pi / 2 times the mean product of neighbouring absolute moves over a window centred on the move; products
    that the move itself enters are left out, so that a jump does not hide itself.

    Args:
        moves: ticks, shape (sample,).
    """
    size = np.abs(moves)
    products = 0.5 * np.pi * size[1:] * size[:-1]
    half = window_of(len(moves)) // 2
    total = np.concatenate([[0.0], np.cumsum(products)])
    here = np.arange(len(moves))
    first, last = np.maximum(here - half, 0), np.minimum(here + half, len(products))
    own_first, own_last = np.maximum(here - 1, 0), np.minimum(here + 1, len(products))
    sums = total[last] - total[first] - (total[own_last] - total[own_first])
    counts = (last - first) - (own_last - own_first)
    return np.sqrt(np.maximum(sums / np.maximum(counts, 1), 0.0))


def window_of(moves: int) -> int:
    """Return how many moves around a move say what is usual there: twice the root of their number."""
    return max(SMALLEST_WINDOW, 2 * round(math.sqrt(moves)))


def threshold(moves: int) -> float:
    """Return from how many usual deviations on a move is a jump.

    With this bound a recording without jumps shows one with the chance `FALSE_ALARM`: Student's t for the
    error of the deviation itself, Sidak's correction for the number of moves.

    Args:
        moves: how many are looked at.
    """
    each = -math.expm1(math.log1p(-FALSE_ALARM) / moves)
    return float(student.isf(each / 2.0, BIPOWER_FREEDOM * window_of(moves)))


def no_jumps_p_value(moves: Moves) -> float:
    """Return the p-value of a variance without jumps: the ratio test of bipower and realised variance.

    Source: O. Barndorff-Nielsen, N. Shephard, "Econometrics of testing for jumps in financial economics
    using bipower variation", J. Financial Econometrics 4(1), 2006, with tripower quarticity; X. Huang,
    G. Tauchen, "The relative contribution of jumps to total price variance", ibid. 3(4), 2005.
    """
    size = np.abs(moves)
    count = len(moves)
    realised = float(np.sum(moves**2))
    bipower = 0.5 * math.pi * float(np.sum(size[1:] * size[:-1])) * count / (count - 1)
    third = 2.0 ** (2.0 / 3.0) * gamma(7.0 / 6.0) / gamma(0.5)
    quarticity = float(
        count * count / (count - 2) * third**-3 * np.sum((size[2:] * size[1:-1] * size[:-2]) ** (4.0 / 3.0))
    )
    if realised <= 0.0 or bipower <= 0.0:
        return math.nan
    spread = (math.pi**2 / 4.0 + math.pi - 5.0) / count * max(1.0, quarticity / bipower**2)
    return float(norm.sf((1.0 - bipower / realised) / math.sqrt(spread)))


def fit_jumps(mids: Moves, step: float = SHORTEST, confidence: float = 0.95) -> JumpFit:
    """Find the jumps of the mid and estimate how often they come and how large they are.

    A move over the interval of the grid is a jump if it exceeds `threshold` times the usual deviation around
    it. Smaller jumps are not seen and stay in the volatility: the parameters are those of *visible* jumps.
    The intensity is their number over the time, with the exact Poisson interval; mean and deviation are
    those of their sizes, less the diffusion that comes on top. A burst of orders within an interval of the
    grid counts as a jump too, since the simulator takes a step of its price at once.

    Args:
        mids: ticks on a regular grid, shape (sample,).
        step: seconds between two samples; moves are looked at over the first of `LENGTHS` steps of which few
            are 0.
        confidence: of the intervals.

    Returns:
        The fit; parameters that the recording cannot carry are NaN, and a warning says why.

    Source: S. Lee, P. Mykland, "Jumps in financial markets", Review of Financial Studies 21(6), 2008; with a
    window on both sides of a move, and the error of the deviation in the bound.
    """
    seen: list[tuple[float, int, float]] = []
    for length in LENGTHS:
        interval = length * step
        moves = np.diff(mids[::length])
        still = float(np.mean(moves == 0.0)) if len(moves) else 1.0
        if len(moves) < FEWEST_MOVES:
            return _refused(*(seen or [(interval, len(moves), still)])[-1])
        seen.append((interval, len(moves), still))
        if still <= MOST_STILL:
            break
    else:
        return _refused(*seen[-1])
    usual = usual_deviation(moves)
    bound = threshold(len(moves))
    with np.errstate(divide="ignore", invalid="ignore"):
        deviations = np.where(usual > 0.0, moves / usual, 0.0)
    jumped = np.abs(deviations) > bound
    table = pl.DataFrame(
        {
            "time": (np.flatnonzero(jumped) + 1.0) * interval,
            "size": moves[jumped],
            "deviations": deviations[jumped],
        }
    )
    p_value = no_jumps_p_value(moves)
    parameters = _parameters(moves, usual, jumped, interval, bound, p_value, confidence)
    messages: tuple[str, ...] = ()
    if 0 < len(table) < FEWEST_JUMPS:
        messages = (
            f"`jump_mean` and `jump_deviation` must rest on {FEWEST_JUMPS} jumps; received {len(table)} in "
            f"{len(moves) * interval:,.0f} s. Use a longer recording.",
        )
    return JumpFit(parameters, table, p_value, messages)


def _refused(interval: float, moves: int, still: float) -> JumpFit:
    reason = (
        f"must rest on {FEWEST_MOVES} moves of which {MOST_STILL:.0%} at most are 0; received {moves:,} over "
        f"{interval:g} s, of which {still:.0%} are 0. Use a longer recording."
    )
    units = {"jump_intensity": "1 / s", "jump_mean": "ticks", "jump_deviation": "ticks", "jump_share": "1"}
    parameters = {name: refused(name, unit, METHOD, reason) for name, unit in units.items()}
    jumps = pl.DataFrame(schema=dict.fromkeys(JUMP_UNITS, pl.Float64))
    return JumpFit(parameters, jumps, math.nan, (f"`jump_intensity` {reason}",))


def _parameters(
    moves: Moves,
    usual: Moves,
    jumped: Bool[np.ndarray, " sample"],
    interval: float,
    bound: float,
    p_value: float,
    confidence: float,
) -> dict[str, Parameter]:
    """Return the parameters of the jumps that were found."""
    seconds, count, tail = len(moves) * interval, int(np.sum(jumped)), 0.5 - confidence / 2.0
    low = 0.5 * float(chi2.ppf(tail, 2 * count)) / seconds if count else 0.0
    high = 0.5 * float(chi2.ppf(1.0 - tail, 2 * count + 2)) / seconds
    method = f"{METHOD}, every {interval:g} s"
    seen = f"beyond {bound:.2f} usual deviations, {bound * float(np.median(usual)):.3g} ticks in the median"
    sizes = moves[jumped]
    result = {
        "jump_intensity": Parameter(
            *("jump_intensity", count / seconds, math.sqrt(count) / seconds, low, high, "1 / s", method),
            f"{count} {seen}; expected without jumps: {FALSE_ALARM:g}",
        )
    }
    share = float(np.sum(np.maximum(sizes**2 - usual[jumped] ** 2, 0.0)) / np.sum(moves**2))
    scatter = np.sqrt(np.sum(sizes**4)) / np.sum(moves**2) if count else 0.0
    reach = float(norm.ppf(1.0 - tail)) * float(scatter)
    message = f"p-value of a variance without jumps: {p_value:.2g}"
    result["jump_share"] = Parameter(
        *("jump_share", share, float(scatter), max(share - reach, 0.0), min(share + reach, 1.0), "1", method),
        message,
    )
    if count == 0:  # none was seen: what smaller ones carry is not known
        result["jump_share"] = Parameter(
            "jump_share", 0.0, *(math.nan,) * 3, "1", method, f"no jump; {message}"
        )
    if count < FEWEST_JUMPS:
        reason = f"must rest on {FEWEST_JUMPS} jumps; received {count}. Use a longer recording."
        for name in ("jump_mean", "jump_deviation"):
            result[name] = refused(name, "ticks", method, reason)
        return result
    within = float(np.var(sizes, ddof=1))
    error = math.sqrt(within / count)
    result["jump_mean"] = signed("jump_mean", float(np.mean(sizes)), error, "ticks", method, confidence)
    # The variance of what is seen is that of the jumps and of the diffusion of the same interval.
    diffusion = float(np.mean(usual[jumped] ** 2))
    deviation, lowest, highest = (
        math.sqrt(max(within * factor - diffusion, 0.0))
        for factor in (
            1.0,
            (count - 1) / float(chi2.ppf(1.0 - tail, count - 1)),
            (count - 1) / float(chi2.ppf(tail, count - 1)),
        )
    )
    result["jump_deviation"] = Parameter(
        *("jump_deviation", deviation, math.sqrt(within / (2.0 * (count - 1))), lowest, highest),
        *("ticks", method, f"{count} sizes, taken as Gaussian"),
    )
    return result
