"""GLFT with signals that forecast the price and fade: long-run quotes that lean on what is seen.

The row `glft_signal` sees the imbalance at the touch, and is told what it foretells where the order flow of a
market moves its price (`flowhft.scenarios.order_flow`); elsewhere it quotes as `glft` does.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from flowhft.features.book import NAMES
from flowhft.policies.rules import glft
from flowhft.types import Estimates, Numeric, Observation, Quote

TOUCH = NAMES.index("touch_imbalance")


class Signal(NamedTuple):
    """A part of the drift that reverts to zero: d alpha = -reversion alpha dt + noise.

    Attributes:
        drift: what alpha is expected to be where the signal that is seen is 1, ticks per second.
        reversion: how fast alpha fades, 1 / second; 0 for a drift that stays.
    """

    drift: Numeric
    reversion: Numeric


class Coefficients(NamedTuple):
    """What the quotes need.

    Attributes:
        base: ln(1 + gamma/k) / gamma + c, ticks, where a fill costs c.
        slope: P, ticks per lot: GLFT's skew.
        lean: ticks by which both quotes move up where the signal is 1: the sum of
            drift / (reversion + 2 D P).
    """

    base: Numeric
    slope: Numeric
    lean: Numeric


def flow_slope(estimates: Estimates, risk_aversion: Numeric) -> Numeric:
    """Return D: how many lots a second and side fewer are filled for a tick further from the mid.

    The derivative of A exp(-k delta) at the quote of a maker without inventory; A k / e for small gamma.

    Args:
        estimates: intensity A (1 / second, per side), fill decay k (1 / tick), fill cost c (ticks).
        risk_aversion: gamma, 1 / (tick x lot), positive.
    """
    k = estimates.fill_decay
    at_base = np.exp(-k * estimates.fill_cost - np.log1p(risk_aversion / k) * k / risk_aversion)
    return estimates.intensity * k * at_base


def coefficients(estimates: Estimates, risk_aversion: Numeric, signals: Sequence[Signal]) -> Coefficients:
    """Work out the long-run quotes of a maker who sees a reverting signal.

    The value of q lots in the linear-quadratic approximation is -P q^2 / 2 + q sum_j beta_j alpha_j, since a
    lot gains alpha while it is held, until alpha has faded (rate kappa) or the lot is sold because of what it
    leans (rate 2 D P): beta = 1 / (kappa + 2 D P). Quotes move by beta alpha against P q. A signal of which
    only a mixture is seen counts by its expectation given what is seen (`Signal.drift`).

    Args:
        estimates: as for GLFT; the drift in them is not looked at.
        risk_aversion: gamma, 1 / (tick x lot), positive.
        signals: parts of the drift that the same number shows.

    Source: the linear-quadratic argument of P. Bergault, D. Evangelista, O. Gueant, D. Vieira, "Closed-form
    approximations in multi-asset market making", Applied Mathematical Finance 28(2), 2021, with a linear
    drift as in P. Fodra, M. Labadie, "High-frequency market-making with inventory constraints and directional
    bets", arXiv:1206.4810, 2012, and A. Cartea, Y. Wang, "Market making with alpha signals", International
    Journal of Theoretical and Applied Finance 23(3), 2020. P and the half-spread are GLFT's (2013).
    """
    plain = glft.coefficients(estimates, risk_aversion)
    pull = 2.0 * flow_slope(estimates, risk_aversion) * plain.slope
    lean = sum((signal.drift / (signal.reversion + pull) for signal in signals), start=0.0 * pull)
    return Coefficients(plain.base, plain.slope, lean)


def coefficients_of_imbalance(estimates: Estimates, risk_aversion: Numeric) -> Coefficients:
    """Work out the quotes of a maker who sees the imbalance at the touch: see `coefficients`.

    Args:
        estimates: as for GLFT, with the `signals` that an imbalance of 1 stands for.
        risk_aversion: gamma, 1 / (tick x lot), positive.
    """
    return coefficients(estimates, risk_aversion, [Signal(*pair) for pair in estimates.signals])


def quote(coefficients: Coefficients, observation: Observation, noise: tuple[Numeric, Numeric]) -> Quote:
    """Return base + C / 2 +- (C q - lean x imbalance), the bid with plus.

    Args:
        coefficients: from `coefficients`.
        observation: `inventory` q in lots, and `book`; without one the imbalance counts as 0, and where it is
            not known yet, NaN, neither side is quoted.
        noise: not used.
    """
    book = observation.book
    imbalance = 0.0 if book is None or len(book) <= TOUCH else book[TOUCH]
    skew = coefficients.slope * observation.inventory - coefficients.lean * imbalance
    middle = coefficients.base + 0.5 * coefficients.slope
    return Quote(middle + skew, middle - skew, 1.0, 1.0)
