"""Avellaneda-Stoikov (2008): a reservation price that falls with inventory, until the session's end."""

from typing import NamedTuple

import numpy as np

from flowhft.types import Estimates, Numeric, Observation, Quote


class Coefficients(NamedTuple):
    """What the quotes need.

    Attributes:
        base: ln(1 + gamma/k) / gamma + c, ticks: half-spread of a maker without inventory risk, to whom a
            fill costs c.
        slope: gamma sigma^2, ticks per lot and second: how the price of inventory grows with time left.
        lean: +1; -1 where the inventory's sign is reversed, as the FlowHFT paper ran it.
    """

    base: Numeric
    slope: Numeric
    lean: Numeric


def coefficients(estimates: Estimates, risk_aversion: Numeric) -> Coefficients:
    """Work out the coefficients of the quotes of an exponential-utility market maker.

    Args:
        estimates: volatility in ticks per root second, fill decay in 1 / tick, fill cost in ticks.
        risk_aversion: gamma, 1 / (tick x lot), positive.

    Source: M. Avellaneda, S. Stoikov, "High-frequency trading in a limit order book", Quantitative
    Finance 8(3), 2008, equations (3.17) and (3.18). There fills cost nothing. One that costs c at the
    distance delta earns delta - c, and in delta - c the problem is the same: both sides
    move outwards by c, inwards for a rebate.
    """
    gamma, k = risk_aversion, estimates.fill_decay
    return Coefficients(
        base=np.log1p(gamma / k) / gamma + estimates.fill_cost,
        slope=gamma * estimates.volatility**2,
        lean=1.0,
    )


def coefficients_as_run(estimates: Estimates, risk_aversion: Numeric) -> Coefficients:
    """Return the coefficients with the inventory's sign reversed and no fee, as the FlowHFT paper ran it."""
    return coefficients(estimates._replace(fill_cost=0.0), risk_aversion)._replace(lean=-1.0)


def quote(coefficients: Coefficients, observation: Observation, noise: tuple[Numeric, Numeric]) -> Quote:
    """Return base + (1/2 + q) gamma sigma^2 tau for the bid, base + (1/2 - q) gamma sigma^2 tau for the ask.

    Args:
        coefficients: from `coefficients`.
        observation: `inventory` q in lots and `time_left` tau in seconds are used.
        noise: not used.
    """
    price_of_risk = coefficients.slope * observation.time_left
    skew = coefficients.lean * observation.inventory
    return Quote(
        coefficients.base + (0.5 + skew) * price_of_risk,
        coefficients.base + (0.5 - skew) * price_of_risk,
        1.0,
        1.0,
    )
