"""No quote: who stays at home, and what every maker has to beat."""

import math
from typing import NamedTuple

from flowhft.types import Estimates, Numeric, Observation, Quote

NO_QUOTE = "no_quote"  # its row of `flowhft.policies.rules.EXPERTS`


class Coefficients(NamedTuple):
    """What the quotes need: nothing."""


def coefficients(estimates: Estimates, risk_aversion: Numeric) -> Coefficients:
    """Return no coefficients: who does not quote needs to know nothing of the market.

    Args:
        estimates: not used.
        risk_aversion: not used.
    """
    return Coefficients()


def quote(coefficients: Coefficients, observation: Observation, noise: tuple[Numeric, Numeric]) -> Quote:
    """Return NaN on both sides: neither is quoted, whatever is seen.

    Args:
        coefficients: from `coefficients`.
        observation: not used.
        noise: not used.
    """
    return Quote(math.nan, math.nan, 1.0, 1.0)
