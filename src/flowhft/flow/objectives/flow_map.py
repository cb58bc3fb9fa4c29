"""Flow maps: one network that jumps from any flow time to any later one, learned from how its jumps grow."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from flowhft.flow.interpolant import (
    SHARED,
    Batch,
    between,
    flat,
    groups_of,
    masked_error,
    noise_for,
    share_out,
    target_error,
    velocities,
)
from flowhft.flow.network import VelocityField
from flowhft.flow.objectives import flow_matching
from flowhft.policies.settings import SamplerSettings

DEFAULT_SAMPLER = SamplerSettings(steps=1)
DISTILLED_SHARE = 4  # one sample in four learns jumps, the others match the flow
# Share of the jumps that begin in the noise, at t = 0: those that a sampler of few steps lives on. Drawn
# uniformly alone, the one jump of one evaluation is a corner that is never asked for.
FROM_NOISE = 0.5


def distillation(
    network: VelocityField, ema: VelocityField, key: PRNGKeyArray, batch: Batch
) -> Float[Array, ""]:
    """Return E |d/dr X(t, r, x_t) - u'(X(t, r, x_t), r, 0)|^2: where a jump lands, it moves as the flow does.

    X(t, r, x) = x + (r - t) u(x, t, r - t) is the jump from t to r, and u' the teacher: an average of past
    networks, without gradient. t and r are uniform on the triangle 0 < t < r < 1, but for `FROM_NOISE` of
    them, whose t is 0: every such law with all jumps in it has the same minimum. The derivative is one
    forward-mode product in the one number d = r - t.

    Args:
        network: the velocity field that learns.
        ema: the teacher.
        key: for flow times and noise.
        batch: demonstrated chunks, a multiple of 8 of them.

    Source: N. M. Boffi, M. S. Albergo, E. Vanden-Eijnden, "How to build a consistency model: learning flow
    maps via self-distillation", 2025, Lagrangian self-distillation; there the network teaches itself.
    """
    key_time, key_noise, key_from = jax.random.split(key, 3)
    chunk, mask = flat(batch)
    groups = groups_of(len(chunk))
    both_ends = jnp.sort(jax.random.uniform(key_time, (2, groups)), axis=0)
    from_noise = jax.random.uniform(key_from, (groups,)) < FROM_NOISE
    flow_time = jnp.where(from_noise, 0.0, both_ends[0])
    step_size = both_ends[1] - flow_time
    x = between(noise_for(key_noise, batch), chunk, flow_time)

    def jump(step_size: Float[Array, " group"]) -> Float[Array, "sample chunk"]:
        length = jnp.repeat(step_size, SHARED)[:, None]
        return x + length * velocities(network, x, batch.features, flow_time, step_size)

    landed, movement = jax.jvp(jump, (step_size,), (jnp.ones_like(step_size),))
    landed = jax.lax.stop_gradient(landed)
    wanted = velocities(ema, landed, batch.features, flow_time + step_size, jnp.zeros_like(step_size))
    return masked_error(movement, jax.lax.stop_gradient(wanted), mask)


def loss(network: VelocityField, ema: VelocityField, key: PRNGKeyArray, batch: Batch) -> Float[Array, ""]:
    """Return the error on three quarters of the batch that match the flow and one quarter that learns jumps.

    Args:
        network: the velocity field that learns.
        ema: the teacher of the jumps.
        key: for flow times and noise.
        batch: demonstrated chunks, a multiple of 32 of them.
    """
    key_jump, key_flow = jax.random.split(key)
    quarter, rest = share_out(batch, len(batch.features) // DISTILLED_SHARE)
    distilled = distillation(network, ema, key_jump, quarter)
    matched = target_error(network, flow_matching.targets_at(key_flow, rest))
    return (distilled + (DISTILLED_SHARE - 1) * matched) / DISTILLED_SHARE
