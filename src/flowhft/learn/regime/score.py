"""How good a policy is in a scenario: against the best expert's mean and the calmest expert's risk.

    gain = log(mean / best mean of an expert)                 what it earns more
    calm = c / 2 log(least risk of an expert / risk)          what it risks less, worth c
    score = soft minimum of both; the larger a gain, the less more of it counts

Weighing both by a sum flips abruptly between much risk and much lean; their minimum does not.

Where traders are informed the calmest expert is one that does not trade, whose risk nobody who trades can
undercut. There only utility counts, mean less c standard deviations, against the best utility of an expert.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from flowhft.learn.regime.law import Law

LEAST_RATIO = 0.3  # below it the logarithm goes on as a straight line: a mean may be negative
LEAST_RISK = 1e-6
SMALL = 0.1  # of what a maker without risk would earn: below this a mean is no longer judged by its ratio
ENOUGH = 0.01  # gain at which more counts half as much as at first


def risk_of(laws: Law, swing: float) -> Float[Array, "..."]:
    """Return the logarithm of the risk over paths, the last axis of `laws`.

    A weighted mean of two logarithms: of the variance of the wealth at the end (of its laws given the paths,
    plus that of their means, plus jumps), and of the inventory's quadratic variation, a proxy of drawdowns.

    Args:
        laws: along the paths of a scenario, shape (..., path), at least 2 paths.
        swing: weight of the quadratic variation, 0 to 1.
    """
    within = jnp.mean(laws.square - laws.realised**2 + laws.jumps, axis=-1)
    variance = within + jnp.var(laws.realised, axis=-1, ddof=1)
    both = jnp.maximum(jnp.stack([variance, jnp.mean(laws.swing, axis=-1)]), LEAST_RISK)
    return (1.0 - swing) * jnp.log(both[0]) + swing * jnp.log(both[1])


def gain_of(
    mean: Float[Array, "..."], bar: Float[Array, "..."], scale: Float[Array, "..."]
) -> Float[Array, "..."]:
    """Return log(mean / bar), and a straight line where the ratio is small.

    Args:
        mean: of the policy, money.
        bar: the best expert's, money.
        scale: where the bar is below it, the ratio is 1 + (mean - bar) / scale instead.
    """
    ratio = 1.0 + (mean - bar) / jnp.maximum(bar, scale)
    safe = jnp.maximum(ratio, LEAST_RATIO)
    return jnp.log(safe) + (ratio - safe) / LEAST_RATIO


def softest(one: Float[Array, "..."], other: Float[Array, "..."], softness: float) -> Float[Array, "..."]:
    """Return the soft minimum of two numbers: -s log((exp(-one / s) + exp(-other / s)) / 2).

    Args:
        one: a gain.
        other: another.
        softness: s; the minimum itself as it goes to 0, the mean as it grows.
    """
    return -softness * (jnp.logaddexp(-one / softness, -other / softness) - jnp.log(2.0))


def satisfied(gain: Float[Array, "..."]) -> Float[Array, "..."]:
    """Return a gain that counts less the more there is: x below 0, e log(1 + x / e) above, e = `ENOUGH`.

    To be better everywhere is the aim; what a price with memory lets itself be forecast would otherwise pay
    for losses where it has none.
    """
    return jnp.minimum(gain, 0.0) + ENOUGH * jnp.log1p(jnp.maximum(gain, 0.0) / ENOUGH)


def score_of(
    laws: Law,
    bar_mean: Float[Array, ""],
    bar_risk: Float[Array, ""],
    bar_utility: Float[Array, ""],
    by_utility: Float[Array, ""],
    scale: Float[Array, ""],
    dial: Float[Array, ""],
    softness: float,
    swing: float,
) -> Float[Array, ""]:
    """Return the score of a policy in one scenario.

    Args:
        laws: along its paths, shape (path,).
        bar_mean: see `flowhft.learn.regime.bank.Bank`.
        bar_risk: see `flowhft.learn.regime.bank.Bank`.
        bar_utility: see `flowhft.learn.regime.bank.Bank`.
        by_utility: 1 where only utility counts, else 0.
        scale: see `flowhft.learn.regime.bank.Bank`.
        dial: c.
        softness: see `RegimeSettings`.
        swing: see `RegimeSettings`.
    """
    mean = jnp.mean(laws.mean)
    gain = gain_of(mean, bar_mean, scale)
    calm = 0.5 * dial * (bar_risk - risk_of(laws, swing))
    utility = mean - dial * jnp.exp(0.5 * risk_of(laws, 0.0))
    # Against the income of a maker without risk, since the bar is near 0 where nobody should trade.
    useful = gain_of(utility, bar_utility, scale / SMALL)
    return satisfied(jnp.where(by_utility > 0.0, useful, softest(gain, calm, softness)))
