"""Quotes at the touch: join the best prices, or better each by a tick where the spread allows.

Rules that see the order book, to compare others with: what makers call joining and improving. Where no book
is shown, or its spread is not known yet, neither side is quoted.
"""

from typing import NamedTuple

import numpy as np

from flowhft.features.book import NAMES
from flowhft.types import Estimates, Numeric, Observation, Quote

SPREAD = NAMES.index("log_spread")
E = float(np.e)


class Coefficients(NamedTuple):
    """What the quotes need.

    Attributes:
        better: ticks by which a best price is bettered where that leaves two prices apart.
    """

    better: Numeric


def joining(estimates: Estimates, risk_aversion: Numeric) -> Coefficients:
    """Return the coefficients of who joins the best prices; nothing that is told is looked at."""
    return Coefficients(0.0)


def improving(estimates: Estimates, risk_aversion: Numeric) -> Coefficients:
    """Return the coefficients of who betters each best price by a tick; nothing that is told is looked at."""
    return Coefficients(1.0)


def quote(coefficients: Coefficients, observation: Observation, noise: tuple[Numeric, Numeric]) -> Quote:
    """Return half the spread on both sides, less what it is bettered by: in a spread of 3 ticks or more.

    Plain arithmetic: numpy, numba and jax run it alike. Bettered by both sides, a spread of two ticks would
    be crossed at one price.

    Args:
        coefficients: from `joining` or `improving`.
        observation: `book`, with the logarithm of the spread in ticks.
        noise: not used.
    """
    book = observation.book
    if book is None or len(book) <= SPREAD:
        return Quote(np.nan, np.nan, 1.0, 1.0)
    spread = (E ** book[SPREAD] + 0.5) // 1.0
    half_spread = 0.5 * spread - coefficients.better * (spread > 2.5)
    return Quote(half_spread, half_spread, 1.0, 1.0)
