"""Shortcut models: one network that knows how large its step is, and takes 1, 2, 4, ... of them."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from flowhft.errors import require
from flowhft.flow.interpolant import SHARED, Batch, Lesson, between, flat, groups_of, lesson_error, velocities
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


def bootstrap_lesson(ema: VelocityField, key: PRNGKeyArray, batch: Batch) -> Lesson:
    """Ask at x_t for a step of d that lands where two of d/2 land.

    The answer wanted is (u'(x_t, t, d/2) + u'(x', t + d/2, d/2)) / 2, x' = x_t + d/2 u'(x_t, t, d/2), and
    u' the teacher: an average of past networks, without gradient. The label is uniform on 0 .. L - 1,
    d = 2^-label, and t is uniform on the multiples of d. The student is asked at the label of d, the teacher
    at that of d/2; the finest of these is the flow-matching label.

    Args:
        ema: the teacher.
        key: for labels, flow times and noise.
        batch: demonstrated chunks, a multiple of 8 of them.

    Source: K. Frans et al., "One step diffusion via shortcut models", 2025, equation (5). The FlowHFT paper's
    Algorithm 3 asks the student at d/2 instead, which leaves steps of d tied to nothing.
    """
    key_label, key_time, key_noise = jax.random.split(key, 3)
    chunk, mask = flat(batch)
    groups = groups_of(len(chunk))
    label = jax.random.randint(key_label, (groups,), 0, ema.finest_label)
    step_size = 2.0 ** -label.astype(jnp.float32)
    # floor(u / d) d with u uniform: the student starts on its own grid, where its sampler will ask it.
    flow_time = jnp.floor(jax.random.uniform(key_time, (groups,)) / step_size) * step_size
    x = between(jax.random.normal(key_noise, chunk.shape, chunk.dtype), chunk, flow_time)

    half = 0.5 * step_size
    first = velocities(ema, x, batch.features, flow_time, label + 1)
    midway = x + jnp.repeat(half, SHARED)[:, None] * first
    second = velocities(ema, midway, batch.features, flow_time + half, label + 1)
    target = jax.lax.stop_gradient(0.5 * (first + second))
    return Lesson(x, batch.features, flow_time, label, target, mask)


def loss(network: VelocityField, ema: VelocityField, key: PRNGKeyArray, batch: Batch) -> Float[Array, ""]:
    """Return the error on one quarter of the batch that bootstraps and three quarters that match the flow.

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
    bootstrapped = bootstrap_lesson(ema, key_bootstrap, Batch(*(x[:quarter] for x in batch)))
    matched = flow_matching.lesson(key_flow, Batch(*(x[quarter:] for x in batch)), network.finest_label)
    both = Lesson(*(jnp.concatenate(parts) for parts in zip(bootstrapped, matched, strict=True)))
    return lesson_error(network, both)


def sample(
    network: VelocityField,
    key: PRNGKeyArray,
    features: Float[Array, " feature"],
    chunk_size: int,
    sampler: SamplerSettings,
) -> Float[Array, " chunk"]:
    """Draw one scaled chunk in 1, 2, 4, ... steps, each asked at its own size."""
    return integrate(network, key, features, chunk_size, sampler, label_of(sampler, network.finest_label))
