"""From noise to a chunk of quotes: where a sampler begins, and how a plan carries it on.

The exact arithmetic, which the desk repeats (D = 2 horizon numbers, scaled half-spreads, step by step, bid
then ask):

    noise   z = noise_scale x standard normal numbers; 0 without any draw where noise_scale is 0.
            `fresh`: drawn for every chunk. `held`: those of a session's first chunk, for all of its chunks.
    known   the chunk before, scaled and clipped to +-REACH (as it was quoted), moved up by the `execute`
            steps that were quoted of it; its last step is repeated where it has ended. All zeros (the mean
            quote of the training data) for a session's first chunk.
    start   x = (1 - tau) z + tau known, tau = warm_start; z itself where tau is 0, and then no chunk is kept.
    steps   `steps` of equal length (1 - tau) / steps, from flow time tau to 1 (a `flowhft.policies.plan.Plan`
            whose `begin` is tau).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from flowhft.flow.network import VelocityField
from flowhft.policies.plan import Plan

# Plans of up to this many evaluations are unrolled: the compiler then sees flow times as constants.
UNROLLED_EVALUATIONS = 8


def follow(
    network: VelocityField, plan: Plan, x: Float[Array, " chunk"], features: Float[Array, " feature"]
) -> Float[Array, " chunk"]:
    """Return x at the end of a plan.

    Args:
        network: asked at every evaluation of the plan.
        plan: the sampler.
        x: what the plan begins with: noise, see `beginning`.
        features: scaled.
    """

    def evaluate(carried: tuple[Array, Array], asked: Array) -> tuple[tuple[Array, Array], None]:
        x, point = carried
        flow_time, step_size, keep, share, keep_point, share_point = asked
        u = network.velocity(network.condition(flow_time, step_size), point, features)
        return (keep * x + share * u, keep_point * x + share_point * u), None

    evaluations = jnp.asarray(plan.evaluations, jnp.float32)
    unroll = min(len(plan.evaluations), UNROLLED_EVALUATIONS)
    return jax.lax.scan(evaluate, (x, plan.start * x), evaluations, unroll=unroll)[0][0]


def moved_up(chunk: Float[Array, "horizon side"], steps: int) -> Float[Array, "horizon side"]:
    """Return what a chunk says from `steps` later on: its last step is repeated where it has ended."""
    horizon = chunk.shape[0]
    return chunk[jnp.minimum(jnp.arange(horizon) + steps, horizon - 1)]


def beginning(
    noise: Float[Array, " chunk"], known: Float[Array, " chunk"], begin: float
) -> Float[Array, " chunk"]:
    """Return (1 - begin) noise + begin known: the sample at flow time `begin` whose quotes are `known`.

    On this straight path networks are trained (see `flowhft.flow.interpolant.between`), so that they know
    what to do from there.

    Args:
        noise: z, already times the noise scale.
        known: a chunk of scaled half-spreads.
        begin: tau, in [0, 1).
    """
    return noise if begin == 0.0 else (1.0 - begin) * noise + begin * known
