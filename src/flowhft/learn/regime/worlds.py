"""Paths of the price of a scenario, and what is known of every move before it is made.

The law is that of `flowhft.simulate.market.price`, drawn in another way: fractional noise as B = L z with L
the Cholesky factor of its covariance, so that E[B_i | past] = B_i - L_ii z_i, and the jumps apart, so that
they can be replaced by their mean. Everything in float64.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from flowhft.errors import require
from flowhft.scenarios.scenario import Scenario
from flowhft.simulate.market.fractional import covariance


class Worlds(NamedTuple):
    """Paths of one scenario, arrays of shape (path, step), ticks.

    Attributes:
        move: of the mid, jumps and all.
        smooth: the move with the jumps of the step replaced by their mean.
        expected: of either, given the past.
        jump_variance: second moment of the jumps of a step, ticks^2, shape ().
        order_flow: uniform numbers, shape (path, step, side): see `flowhft.simulate.market.world.World`.
    """

    move: Float[np.ndarray, "path step"]
    smooth: Float[np.ndarray, "path step"]
    expected: Float[np.ndarray, "path step"]
    jump_variance: float
    order_flow: Float[np.ndarray, "path step side"]


def draw_worlds(scenario: Scenario, paths: int, random: np.random.Generator) -> Worlds:
    """Draw paths of a scenario.

    Args:
        scenario: a lognormal market without bursts of volatility.
        paths: how many.
        random: source of randomness.
    """
    require(
        scenario.price == "lognormal" and scenario.burst_intensity == 0.0,
        "scenario",
        "have a lognormal price without bursts",
        f"'{scenario.name}'",
    )
    steps, dt = scenario.steps, scenario.dt
    normal = random.standard_normal((paths, steps))
    lags = np.abs(np.subtract.outer(np.arange(steps), np.arange(steps)))
    factor = np.linalg.cholesky(covariance(steps, scenario.hurst_exponent)[lags])
    left = np.diag(factor)  # standard deviation of a step's noise given the past
    noise = normal @ factor.T
    deviation = scenario.volatility * dt**scenario.hurst_exponent
    power = 2.0 * scenario.hurst_exponent
    number = np.arange(steps + 1.0)
    correction = 0.5 * deviation**2 * np.diff(number**power)

    mean, spread, rate = scenario.jump_mean, scenario.jump_deviation, scenario.jump_intensity
    counts = random.poisson(rate * dt, (paths, steps))
    jumps = counts * mean + np.sqrt(counts) * spread * random.standard_normal((paths, steps))
    relative = np.expm1(mean + 0.5 * spread**2)
    trend = scenario.drift - (rate * relative if scenario.jumps_compensated else 0.0)

    diffusion = trend * dt + deviation * noise - correction
    price = scenario.initial_price * np.exp(np.cumsum(diffusion + jumps, axis=1))
    before = np.concatenate([np.full((paths, 1), scenario.initial_price), price[:, :-1]], axis=1)
    jump_gain = rate * dt * relative  # log of E exp(jumps of a step)
    known = trend * dt + deviation * (noise - left * normal) - correction + 0.5 * (deviation * left) ** 2
    second = np.exp(2.0 * mean + 2.0 * spread**2) - 2.0 * (relative + 1.0) + 1.0
    return Worlds(
        move=price - before,
        smooth=before * np.expm1(diffusion + jump_gain),
        expected=before * np.expm1(known + jump_gain),
        jump_variance=float(scenario.initial_price**2 * rate * dt * second),
        order_flow=random.random((paths, steps, 2)),
    )
