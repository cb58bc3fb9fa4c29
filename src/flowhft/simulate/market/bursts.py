"""Bursts of volatility within a session, switched on and off at random."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from flowhft.scenarios.scenario import Scenario
from flowhft.simulate.market.randomness import BURSTS, pair, path_key, uniform
from flowhft.types import Numeric


class Bursts(eqx.Module):
    """Volatility that switches between calm and burst: a two-state process in continuous time, per path.

    Bursts begin at a rate a in calm and end at a rate b. Seen at the start of every step the process is a
    Markov chain; with share = a / (a + b) of the time in bursts and r = exp(-(a + b) dt),

        P(burst | calm before) = share (1 - r)        P(burst | burst before) = share + (1 - share) r

    A path begins in the stationary law. A step keeps the state in which it begins: a switch within a step is
    felt from the next one on.

    Attributes:
        share: of the time in bursts.
        from_calm, from_burst: the two probabilities above.
        factor: on the volatility within a burst.
    """

    share: Numeric
    from_calm: Numeric
    from_burst: Numeric
    factor: Numeric

    def draw(self, key: PRNGKeyArray, steps: int) -> Float[Array, " step"]:
        """Return the standard deviation of every step in units of that of a calm one, shape (step,).

        Args:
            key: of the path.
            steps: of the path.
        """
        words = path_key(key)

        def step(bursting: Float[Array, ""], index: Int[Array, ""]) -> tuple:
            chance = jnp.where(bursting > 0.0, self.from_burst, self.from_calm)
            chance = jnp.where(index == 0, self.share, chance)
            drawn = (uniform(pair(words, BURSTS, index)[0]) < chance).astype(jnp.float32)
            return drawn, jnp.where(drawn > 0.0, self.factor, 1.0)

        return jax.lax.scan(step, jnp.zeros(()), jnp.arange(steps))[1]


def build_bursts(scenario: Scenario) -> Bursts:
    """Build the bursts of a scenario that has them.

    Args:
        scenario: its `burst_intensity` is positive.
    """
    begin, end = scenario.burst_intensity, 1.0 / scenario.burst_duration
    share, left = begin / (begin + end), np.exp(-(begin + end) * scenario.dt)
    parameters = (share, share * (1.0 - left), share + (1.0 - share) * left, scenario.burst_factor)
    return Bursts(*(jnp.asarray(value, jnp.float32) for value in parameters))
