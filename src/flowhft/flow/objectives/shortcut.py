"""Shortcut models: one network that knows how large its step is, and takes 1, 2, 4, ... of them."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from flowhft.flow.interpolant import (
    SHARED,
    Batch,
    Targets,
    between,
    flat,
    groups_of,
    noise_for,
    share_out,
    target_error,
    together,
    velocities,
)
from flowhft.flow.network import VelocityField
from flowhft.flow.objectives import flow_matching
from flowhft.policies.settings import SamplerSettings

DEFAULT_SAMPLER = SamplerSettings(steps=1)
BOOTSTRAP_SHARE = 4  # one sample in four bootstraps, the others match the flow


def bootstrap_targets(ema: VelocityField, key: PRNGKeyArray, batch: Batch) -> Targets:
    """Ask at x_t for a step of d that lands where two of d/2 land.

    The answer wanted is (u'(x_t, t, d/2) + u'(x', t + d/2, d/2)) / 2, x' = x_t + d/2 u'(x_t, t, d/2), and
    u' the teacher: an average of past networks, without gradient. d is 1, 1/2, ..., 2/finest, each as often
    as the others, and t is uniform on the multiples of d below 1. The student is asked at d, the teacher at
    d/2; the finest of these, 1/finest, stands for the velocity itself.

    Args:
        ema: the teacher.
        key: for step sizes, flow times and noise.
        batch: demonstrated chunks, a multiple of 8 of them.

    Source: K. Frans et al., "One step diffusion via shortcut models", 2025, equation (5). The FlowHFT paper's
    Algorithm 3 asks the student at d/2 instead, which leaves steps of d tied to nothing.
    """
    key_size, key_time, key_noise = jax.random.split(key, 3)
    chunk, mask = flat(batch)
    groups = groups_of(len(chunk))
    halvings = jax.random.randint(key_size, (groups,), 0, ema.finest.bit_length() - 1)
    step_size = 2.0 ** -halvings.astype(jnp.float32)
    # floor(u / d) d with u uniform: the student starts on its own grid, where its sampler will ask it.
    flow_time = jnp.floor(jax.random.uniform(key_time, (groups,)) / step_size) * step_size
    x = between(noise_for(key_noise, batch), chunk, flow_time)

    half = 0.5 * step_size
    first = velocities(ema, x, batch.features, flow_time, half)
    midway = x + jnp.repeat(half, SHARED)[:, None] * first
    second = velocities(ema, midway, batch.features, flow_time + half, half)
    target = jax.lax.stop_gradient(0.5 * (first + second))
    return Targets(x, batch.features, flow_time, step_size, target, mask)


def loss(network: VelocityField, ema: VelocityField, key: PRNGKeyArray, batch: Batch) -> Float[Array, ""]:
    """Return the error on one quarter of the batch that bootstraps and three quarters that match the flow.

    Args:
        network: the velocity field that learns.
        ema: the teacher of the bootstrap.
        key: for step sizes, flow times and noise.
        batch: demonstrated chunks, a multiple of 32 of them.
    """
    finest_step = 1.0 / network.finest
    if network.finest == 1:  # a ladder of one rung has nothing to bootstrap
        return target_error(network, flow_matching.targets_at(key, batch, finest_step))
    key_bootstrap, key_flow = jax.random.split(key)
    quarter, rest = share_out(batch, len(batch.features) // BOOTSTRAP_SHARE)
    bootstrapped = bootstrap_targets(ema, key_bootstrap, quarter)
    matched = flow_matching.targets_at(key_flow, rest, finest_step)
    return target_error(network, together(bootstrapped, matched))
