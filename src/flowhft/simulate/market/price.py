"""The mid price: a fractional jump-diffusion with exact increments, and bursts of volatility.

    lognormal:  S_{i+1} = S_i exp(mu dt + sigma_i dB_i - (V_{i+1} - V_i) / 2 + J_i)
    additive:   S_{i+1} = S_i + mu dt + sigma_i dB_i + J_i

dB is fractional Gaussian noise of standard deviation dt^H with its full covariance; J_i is the sum of the
jumps of the step; sigma_i is the volatility at the step's start, another one within a burst; V_i is the
variance of the sum of the first i sigma dB given when the bursts were, sigma^2 t_i^2H without them. The
price does not depend on the maker, so a whole path is drawn at once.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float, PRNGKeyArray

from flowhft.scenarios.scenario import Scenario
from flowhft.simulate.market.bursts import Bursts, build_bursts
from flowhft.simulate.market.fractional import fractional_noise, memory_spectrum, spectrum
from flowhft.simulate.market.randomness import PRICE, normal, pair, path_key, uniform
from flowhft.types import Numeric


class Price(eqx.Module):
    """The law of the mid of one market: parameters with the names and units of `Scenario`.

    Attributes:
        trend: drift less the compensator of the jumps.
        deviation: of the diffusion over a step in calm, volatility dt^H.
        growth: expected move per second: of the price, relative, if lognormal; in ticks if additive.
        amplitude: see `spectrum`; None where the price has no memory.
        memory: see `memory_spectrum`; None where it is not needed.
        bursts: of volatility; None where there are none.
        jump_terms: largest number of jumps in a step that is simulated; 0 for a price without jumps.
    """

    dt: Numeric
    initial_price: Numeric
    trend: Numeric
    deviation: Numeric
    hurst_exponent: Numeric
    growth: Numeric
    amplitude: Float[Array, " frequency"] | None
    memory: Complex[Array, " frequency"] | None
    bursts: Bursts | None
    jump_intensity: Numeric
    jump_mean: Numeric
    jump_deviation: Numeric

    steps: int = eqx.field(static=True)
    lognormal: bool = eqx.field(static=True)
    jump_terms: int = eqx.field(static=True)

    def draw(self, key: PRNGKeyArray) -> tuple[Float[Array, " step"], Float[Array, " step"] | None]:
        """Draw one path of the mid.

        Args:
            key: of the path.

        Returns:
            The move of every step, ticks, shape (step,), and the standard deviation of each step's diffusion
            in units of `deviation`, shape (step,), or None where there are no bursts.
        """
        scale = None if self.bursts is None else self.bursts.draw(key, self.steps)
        noise = None if self.amplitude is None else fractional_noise(key, self.amplitude)
        variance = self.variance(scale) if self.lognormal else None
        words = path_key(key)

        def step(before: tuple, now: tuple) -> tuple[tuple, Float[Array, ""]]:
            index, noise, scale, variance = now
            diffusion, jumps = pair(words, PRICE, index)
            gain = self.trend * self.dt
            deviation = self.deviation if scale is None else self.deviation * scale
            count = jnp.zeros(())
            if self.jump_terms:
                count, _ = poisson(uniform(jumps), self.jump_intensity * self.dt, self.jump_terms)
                gain = gain + count * self.jump_mean
            if noise is None:
                # Without memory n jumps and the diffusion add to one Gaussian: variances add.
                if self.jump_terms:
                    deviation = jnp.sqrt(deviation**2 + count * self.jump_deviation**2)
                gain = gain + deviation * normal(diffusion)
            else:
                gain = gain + deviation * noise
                if self.jump_terms:
                    gain = gain + jnp.sqrt(count) * self.jump_deviation * normal(diffusion)
            if not self.lognormal:
                return before, gain
            total, displacement = before
            total = total + gain
            new = self.initial_price * jnp.expm1(total - 0.5 * variance)
            return (total, new), new - displacement

        start = (jnp.zeros(()), jnp.zeros(())) if self.lognormal else ()
        now = (jnp.arange(self.steps), noise, scale, variance)
        return jax.lax.scan(step, start, now)[1], scale

    def variance(self, scale: Float[Array, " step"] | None) -> Float[Array, " step"]:
        """Return the variance of the diffusion from the start to the end of every step, shape (step,).

        Without bursts deviation^2 n^2H. With them, given when they were, the sum over steps i and j of their
        deviations times cov(i - j), so that half of it makes exp(sum) of mean 1 whatever H is: own terms,
        and with memory twice those of a step with the steps before it, a convolution done by FFT.

        Args:
            scale: deviation of every step in units of `deviation`, as `draw` returns it.
        """
        if scale is None:
            passed = jnp.arange(1, self.steps + 1, dtype=jnp.float32)
            return self.deviation**2 * passed ** (2.0 * self.hurst_exponent)
        own = scale * scale
        if self.memory is not None:
            padded = jnp.fft.rfft(scale, n=2 * self.steps)
            before = jnp.fft.irfft(padded * self.memory, n=2 * self.steps)[: self.steps]
            own = own + 2.0 * scale * before
        return self.deviation**2 * jnp.cumsum(own)

    def expected_move(self, time: Numeric, mid_price: Numeric) -> Numeric:
        """Return the expected move of the mid in the coming step, ticks.

        Exact. Without memory (H = 0.5) it is given the present mid, so that a sum of inventory times
        (move - expected move) has mean 0 whatever a policy does with the past. With memory it is the
        expectation at the session's start, and the sum has mean 0 only if inventory and price are
        independent. Jumps that are not compensated count, bursts change nothing.

        Args:
            time: since the session's start, seconds.
            mid_price: relative to the initial price, ticks.
        """
        if not self.lognormal:
            return self.growth * self.dt
        relative = jnp.expm1(self.growth * self.dt)
        if self.amplitude is None:
            return (self.initial_price + mid_price) * relative
        return self.initial_price * jnp.exp(self.growth * time) * relative


def build_price(scenario: Scenario, jump_terms: int) -> Price:
    """Build the price of a scenario.

    Args:
        scenario: its parameters.
        jump_terms: largest number of jumps in a step that is simulated.
    """
    lognormal = scenario.price == "lognormal"
    mean_jump = scenario.jump_mean
    if lognormal:
        mean_jump = np.expm1(scenario.jump_mean + 0.5 * scenario.jump_deviation**2)
    jump_drift = scenario.jump_intensity * mean_jump
    trend = scenario.drift - (jump_drift if scenario.jumps_compensated else 0.0)
    # What decides which random numbers a path uses is the scenario's own: never of those evaluated beside it.
    fractional = scenario.hurst_exponent != 0.5
    bursty = scenario.burst_intensity > 0.0
    amplitude = memory = None
    if fractional:
        amplitude = leaf(spectrum(scenario.steps, scenario.hurst_exponent))
        if bursty and lognormal:
            memory = jnp.asarray(memory_spectrum(scenario.steps, scenario.hurst_exponent), jnp.complex64)
    return Price(
        dt=leaf(scenario.dt),
        initial_price=leaf(scenario.initial_price),
        trend=leaf(trend),
        deviation=leaf(scenario.volatility * scenario.dt**scenario.hurst_exponent),
        hurst_exponent=leaf(scenario.hurst_exponent),
        growth=leaf(trend + jump_drift),
        amplitude=amplitude,
        memory=memory,
        bursts=build_bursts(scenario) if bursty else None,
        jump_intensity=leaf(scenario.jump_intensity),
        jump_mean=leaf(scenario.jump_mean),
        jump_deviation=leaf(scenario.jump_deviation),
        steps=scenario.steps,
        lognormal=lognormal,
        jump_terms=jump_terms,
    )


def leaf(value: float | np.ndarray) -> Array:
    """Return a numeric parameter as the simulation keeps it: single precision."""
    return jnp.asarray(value, jnp.float32)


def poisson(
    uniform: Float[Array, "..."], mean: Float[Array, "..."], terms: int
) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
    """Turn uniform numbers into Poisson counts by inversion, cut off at `terms`.

    Args:
        uniform: in [0, 1).
        mean: of the counts.
        terms: the largest count that can occur; chosen where the tail beyond it is negligible.

    Returns:
        The counts, and what is left of the uniform numbers: where in its count's share of [0, 1) each lies,
        again uniform on [0, 1) and independent of the count.
    """
    probability = jnp.exp(-mean)
    cumulative = probability
    count, below, own = jnp.zeros_like(uniform), jnp.zeros_like(uniform), probability
    for n in range(1, terms + 1):
        probability = probability * (mean * (1.0 / n))
        above = uniform >= cumulative
        count = jnp.where(above, float(n), count)
        below = jnp.where(above, cumulative, below)
        own = jnp.where(above, probability, own)
        cumulative = cumulative + probability
    left = jnp.minimum((uniform - below) / jnp.maximum(own, 1e-30), 1.0)
    # Where the count is cut off, of the tail beyond: 1 would say that none of the many orders reaches us.
    beyond = (uniform - cumulative) / jnp.maximum(1.0 - cumulative, 1e-30)
    return count, jnp.where(uniform >= cumulative, jnp.clip(beyond, 0.0, 1.0), left)
