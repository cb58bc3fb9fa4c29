"""Fills: which of a step's market orders reach a quote.

Orders reach a quote independently of each other, each with the probability that the distance from the mid
gives, so of n orders a binomial number do. Both forms use one uniform number.
"""

import jax.numpy as jnp

from flowhft.types import Numeric


def any_reaches(uniform: Numeric, orders: Numeric, reaching: Numeric) -> Numeric:
    """Return 1 if at least one order reaches the quote, else 0: what fills a single lot.

    Args:
        uniform: in [0, 1).
        orders: how many came, n.
        reaching: probability p that one of them reaches the quote, 0 to 1.

    Returns:
        1 with probability 1 - (1 - p)^n.
    """
    # (1 - p)^n by its logarithm; the guard keeps it finite where every order reaches us.
    missed = jnp.exp(orders * jnp.log1p(-jnp.minimum(reaching, 1.0 - 1e-7)))
    return (uniform < 1.0 - missed).astype(jnp.float32)


def how_many_reach(uniform: Numeric, orders: Numeric, reaching: Numeric, terms: int) -> Numeric:
    """Return how many orders reach the quote: a binomial number by inversion.

    It is 1 or more for just the uniform numbers for which `any_reaches` is 1.

    Args:
        uniform: in [0, 1).
        orders: how many came, n.
        reaching: probability p that one of them reaches the quote, 0 to 1.
        terms: n at most.
    """
    # The rarer outcome is counted: the first probability, at least 1 / 2 to the power n, does not underflow.
    mostly = reaching > 0.5
    rare = jnp.minimum(jnp.where(mostly, 1.0 - reaching, reaching), 0.5)
    odds = rare / (1.0 - rare)
    # Large where many orders reach the quote, in both countings.
    level = jnp.where(mostly, uniform, 1.0 - uniform)
    probability = jnp.exp(orders * jnp.log1p(-rare))
    cumulative, count = probability, jnp.zeros_like(uniform)
    for n in range(1, terms + 1):
        count = jnp.where(level >= cumulative, float(n), count)
        probability = probability * jnp.maximum(orders - (n - 1.0), 0.0) * (odds * (1.0 / n))
        cumulative = cumulative + probability
    count = jnp.minimum(count, orders)
    return jnp.where(mostly, orders - count, count)
