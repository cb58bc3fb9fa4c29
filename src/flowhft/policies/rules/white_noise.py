"""White noise: half-spreads drawn uniformly, blind to everything."""

from typing import NamedTuple

from flowhft.types import Estimates, Numeric, Observation, Quote

# The paper draws from (0, 20) price units at k = 1.5, that is (0, 30 / k).
REACH = 30.0


class Coefficients(NamedTuple):
    """The widest half-spread that is drawn, ticks."""

    widest: Numeric


def coefficients(estimates: Estimates, risk_aversion: Numeric) -> Coefficients:
    """Return a range that covers every distance at which fills happen: (0, 30 / k) ticks.

    Args:
        estimates: only `fill_decay` is used.
        risk_aversion: not used; noise has no preference.

    Source: FlowHFT paper, section on experts: uniform on (0, 20) where k = 1.5.
    """
    return Coefficients(widest=REACH / estimates.fill_decay)


def quote(coefficients: Coefficients, observation: Observation, noise: tuple[Numeric, Numeric]) -> Quote:
    """Return two independent half-spreads, uniform on (0, widest).

    Args:
        coefficients: from `coefficients`.
        observation: not used.
        noise: two independent uniform numbers in [0, 1), for the bid and the ask.
    """
    return Quote(coefficients.widest * noise[0], coefficients.widest * noise[1], 1.0, 1.0)
