"""Gueant-Lehalle-Fernandez-Tapia (2013): long-run optimum of exponential utility, with or without drift."""

from typing import NamedTuple

import numpy as np

from flowhft.types import Estimates, Numeric, Observation, Quote


class Coefficients(NamedTuple):
    """What the quotes need.

    Attributes:
        base: ln(1 + gamma/k) / gamma + c, ticks, where a fill costs c.
        slope: C = sqrt(sigma^2 gamma / (2 k A exp(-k c)) (1 + gamma/k)^(1 + k/gamma)), ticks per lot; where
            `follows_intensity` is 1, C x sqrt(A), to be divided by the root of the current intensity.
        lean: mu / (gamma sigma^2), lots: the inventory that the drift makes worth holding.
        follows_intensity: 0 for a fixed A; 1 where A is the current intensity of the quote's side.
    """

    base: Numeric
    slope: Numeric
    lean: Numeric
    follows_intensity: Numeric


def coefficients_with_drift(estimates: Estimates, risk_aversion: Numeric) -> Coefficients:
    """Work out the coefficients of the asymptotic quotes of a maker who knows the drift.

    Args:
        estimates: volatility (ticks per root second), drift (ticks per second), intensity A (1 / second,
            per side), fill decay k (1 / tick), fill cost c (ticks).
        risk_aversion: gamma, 1 / (tick x lot), positive.

    Source: O. Gueant, C.-A. Lehalle, J. Fernandez-Tapia, "Dealing with the inventory risk", Mathematics
    and Financial Economics 7(4), 2013, asymptotic quotes of sections 4 and 5 (with trend). There fills cost
    nothing. One that costs c at the distance delta earns delta - c and comes at the rate A exp(-k c) exp(-k
    (delta - c)): the problem without cost, in delta - c and with A exp(-k c) in the place of A, as in the
    tables of the oracles (`linear_equation`).
    """
    gamma, k = risk_aversion, estimates.fill_decay
    # (1 + gamma/k)^(1 + k/gamma), accurate also where gamma is far below k and the limit is e.
    power = np.exp((1.0 + k / gamma) * np.log1p(gamma / k))
    variance = estimates.volatility**2
    intensity = estimates.intensity * np.exp(-k * estimates.fill_cost)
    return Coefficients(
        base=np.log1p(gamma / k) / gamma + estimates.fill_cost,
        slope=np.sqrt(variance * gamma / (2.0 * k * intensity) * power),
        lean=estimates.drift / (gamma * variance),
        follows_intensity=0.0,
    )


def coefficients(estimates: Estimates, risk_aversion: Numeric) -> Coefficients:
    """Return the coefficients of a maker without a view on the drift; else as `coefficients_with_drift`."""
    return coefficients_with_drift(estimates, risk_aversion)._replace(lean=0.0 * estimates.drift)


def coefficients_as_run(estimates: Estimates, risk_aversion: Numeric) -> Coefficients:
    """Return plain GLFT as the FlowHFT paper ran it: A under the root is the current intensity."""
    return coefficients_with_drift_as_run(estimates._replace(drift=0.0 * estimates.drift), risk_aversion)


def coefficients_with_drift_as_run(estimates: Estimates, risk_aversion: Numeric) -> Coefficients:
    """Return GLFT with drift as the FlowHFT paper ran it: no fee, A under the root the current intensity."""
    shown = estimates._replace(intensity=1.0, fill_cost=0.0)
    per_root_intensity = coefficients_with_drift(shown, risk_aversion)
    return per_root_intensity._replace(follows_intensity=1.0)


def quote(coefficients: Coefficients, observation: Observation, noise: tuple[Numeric, Numeric]) -> Quote:
    """Return base + (1/2 + q - lean) C for the bid and base + (1/2 - q + lean) C for the ask.

    Args:
        coefficients: from one of the `coefficients` functions.
        observation: `inventory` q in lots; the intensities where the coefficients follow them.
        noise: not used.
    """
    follow, fixed = coefficients.follows_intensity, 1.0 - coefficients.follows_intensity
    slope_bid = coefficients.slope * (fixed + follow * observation.intensity_bid) ** -0.5
    slope_ask = coefficients.slope * (fixed + follow * observation.intensity_ask) ** -0.5
    skew = observation.inventory - coefficients.lean
    return Quote(
        coefficients.base + (0.5 + skew) * slope_bid,
        coefficients.base + (0.5 - skew) * slope_ask,
        1.0,
        1.0,
    )
