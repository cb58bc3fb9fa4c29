"""Shortcut models: one network that knows how large its step is, and takes 1, 2, 4, ... of them."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from flowhft.errors import require
from flowhft.flow.interpolant import Batch, between, flat, groups_of, mean_square, velocities
from flowhft.flow.network import VelocityField
from flowhft.flow.objectives import flow_matching
from flowhft.flow.sampler import integrate
from flowhft.flow.settings import SamplerSettings, is_power_of_two

DEFAULT_SAMPLER = SamplerSettings(steps=1)
BOOTSTRAP_SHARE = 4  # one sample in four bootstraps, the others match the flow


def label_of(sampler: SamplerSettings, finest_label: int) -> int:
    """Return the label with which this sampler asks: log2(steps).

    Raises:
        UsageError: the steps are not on the ladder 1, 2, 4, ..., finest that was trained, or the solver is
            not Euler's (a shortcut is a whole step already: there is no derivative to correct).
    """
    finest = 2**finest_label
    require(
        is_power_of_two(sampler.steps) and sampler.steps <= finest,
        "steps",
        f"be a power of two up to {finest}, the steps that this shortcut policy has learned",
        sampler.steps,
    )
    require(sampler.solver == "euler", "solver", "be euler for a shortcut policy", repr(sampler.solver))
    return sampler.steps.bit_length() - 1


def bootstrap_loss(
    network: VelocityField, ema: VelocityField, key: PRNGKeyArray, batch: Batch
) -> Float[Array, ""]:
    """Return E |u(x_t, t, d) - (u'(x_t, t, d/2) + u'(x', t + d/2, d/2)) / 2|^2.

    Here x' = x_t + d/2 u'(x_t, t, d/2) is where the first half-step lands. A step of d must land where two of
    d/2 land, taken by the teacher u' (an average of past networks, without gradient). The label is uniform on
    0 .. L - 1, d = 2^-label, and t is uniform on the multiples of d. The student is asked at the label of d,
    the teacher at that of d/2; the finest of these is the flow-matching label.

    Args:
        network: the velocity field that learns.
        ema: the teacher.
        key: for labels, flow times and noise.
        batch: demonstrated chunks, a multiple of 8 of them.

    Source: K. Frans et al., "One step diffusion via shortcut models", 2025, equation (5). The FlowHFT paper's
    Algorithm 3 asks the student at d/2 instead, which leaves steps of d tied to nothing.
    """
    key_label, key_time, key_noise = jax.random.split(key, 3)
    chunk, mask = flat(batch)
    groups = groups_of(len(chunk))
    label = jax.random.randint(key_label, (groups,), 0, network.finest_label)
    step_size = 2.0 ** -label.astype(jnp.float32)
    # floor(u / d) d with u uniform: the student starts on its own grid, where its sampler will ask it.
    flow_time = jnp.floor(jax.random.uniform(key_time, (groups,)) / step_size) * step_size
    noise = jax.random.normal(key_noise, chunk.shape, chunk.dtype)
    x = between(noise, chunk, flow_time)

    half = 0.5 * step_size
    first = velocities(ema, x, batch.features, flow_time, label + 1)
    midway = x + jnp.repeat(half, len(x) // groups)[:, None] * first
    second = velocities(ema, midway, batch.features, flow_time + half, label + 1)
    target = jax.lax.stop_gradient(0.5 * (first + second))
    return mean_square(velocities(network, x, batch.features, flow_time, label) - target, mask)


def loss(network: VelocityField, ema: VelocityField, key: PRNGKeyArray, batch: Batch) -> Float[Array, ""]:
    """Return flow matching on three quarters of the batch plus self-consistency on one quarter.

    Args:
        network: the velocity field that learns.
        ema: the teacher of the bootstrap.
        key: for labels, flow times and noise.
        batch: demonstrated chunks, a multiple of 32 of them.
    """
    if network.finest_label == 0:  # a ladder of one rung has nothing to bootstrap
        return flow_matching.loss(network, ema, key, batch)
    key_bootstrap, key_flow = jax.random.split(key)
    quarter = len(batch.features) // BOOTSTRAP_SHARE
    bootstrapped, matched = Batch(*(x[:quarter] for x in batch)), Batch(*(x[quarter:] for x in batch))
    share = 1.0 / BOOTSTRAP_SHARE
    return share * bootstrap_loss(network, ema, key_bootstrap, bootstrapped) + (1.0 - share) * (
        flow_matching.loss(network, ema, key_flow, matched)
    )


def sample(
    network: VelocityField,
    key: PRNGKeyArray,
    features: Float[Array, " feature"],
    chunk_size: int,
    sampler: SamplerSettings,
) -> Float[Array, " chunk"]:
    """Draw one scaled chunk in 1, 2, 4, ... steps, each asked at its own size."""
    return integrate(network, key, features, chunk_size, sampler, label_of(sampler, network.finest_label))
