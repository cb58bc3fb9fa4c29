"""The straight path between noise and quotes, and what a network learns on it."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from flowhft.errors import require
from flowhft.flow.network import VelocityField

# Samples that share one flow time and step size, and so one condition. Conditioning takes most of the
# network's arithmetic; shared, it takes little, and as many flow times as remain are stratified.
SHARED = 8


class Batch(NamedTuple):
    """Demonstrated chunks.

    Attributes:
        features: scaled features at the first step of each chunk.
        chunk: scaled half-spreads, sides bid and ask; or what else a step holds.
        mask: false beyond the session's end, where `chunk` holds nothing.
        noise_scale: standard deviation of the noise at which each sample begins; None for 1.
        noise: where each sample begins, if its chunk belongs to a noise; None to draw it.
    """

    features: Float[Array, "sample feature"]
    chunk: Float[Array, "sample horizon side"]
    mask: Bool[Array, "sample horizon"]
    noise_scale: Float[Array, " sample"] | None = None
    noise: Float[Array, "sample chunk"] | None = None


class Targets(NamedTuple):
    """What a network should answer where: the common form of every objective.

    Attributes:
        x: where the velocity is asked.
        features: scaled.
        flow_time, step_size: shared by the samples of a group.
        target: the answer wanted.
        mask: 1 within the session, 0 beyond its end.
    """

    x: Float[Array, "sample chunk"]
    features: Float[Array, "sample feature"]
    flow_time: Float[Array, " group"]
    step_size: Float[Array, " group"]
    target: Float[Array, "sample chunk"]
    mask: Float[Array, "sample chunk"]


def groups_of(samples: int) -> int:
    """Return how many flow times a batch of this many samples holds."""
    require(samples % SHARED == 0, "batch", f"be a multiple of {SHARED}", samples)
    return samples // SHARED


def flat(batch: Batch) -> tuple[Float[Array, "sample chunk"], Float[Array, "sample chunk"]]:
    """Return chunks and masks of shape (sample, chunk); what lies beyond the session's end becomes 0."""
    mask = jnp.repeat(batch.mask, batch.chunk.shape[2], axis=1)
    chunk = jnp.where(mask, batch.chunk.reshape(mask.shape), 0.0)
    return chunk, mask.astype(chunk.dtype)


def noise_for(key: PRNGKeyArray, batch: Batch) -> Float[Array, "sample chunk"]:
    """Return the noise at which the samples of a batch begin: the batch's own, or else drawn."""
    if batch.noise is not None:
        return batch.noise
    samples, horizon, sides = batch.chunk.shape
    noise = jax.random.normal(key, (samples, horizon * sides), batch.chunk.dtype)
    return noise if batch.noise_scale is None else batch.noise_scale[:, None] * noise


def between(
    noise: Float[Array, "sample chunk"],
    chunk: Float[Array, "sample chunk"],
    flow_time: Float[Array, " group"],
) -> Float[Array, "sample chunk"]:
    """Return (1 - t) noise + t chunk, each sample at the flow time of its group."""
    t = jnp.repeat(flow_time, SHARED)[:, None]
    return (1.0 - t) * noise + t * chunk


def velocities(
    network: VelocityField,
    x: Float[Array, "sample chunk"],
    features: Float[Array, "sample feature"],
    flow_time: Float[Array, " group"],
    step_size: Float[Array, " group"],
) -> Float[Array, "sample chunk"]:
    """Return the velocity of every sample at the flow time and step size of its group."""
    groups = len(flow_time)
    conditions = jax.vmap(network.condition)(flow_time, step_size)
    one_group = jax.vmap(network.velocity, in_axes=(None, 0, 0))
    answer = jax.vmap(one_group)(
        conditions, x.reshape(groups, SHARED, -1), features.reshape(groups, SHARED, -1)
    )
    return answer.reshape(x.shape)


def target_error(network: VelocityField, targets: Targets) -> Float[Array, ""]:
    """Return the mean squared error of the network's answers over what lies within the session."""
    answer = velocities(network, targets.x, targets.features, targets.flow_time, targets.step_size)
    return masked_error(answer, targets.target, targets.mask)


def masked_error(
    answer: Float[Array, "sample chunk"],
    target: Float[Array, "sample chunk"],
    mask: Float[Array, "sample chunk"],
) -> Float[Array, ""]:
    """Return the mean squared difference over what lies within the session."""
    return jnp.sum(mask * (answer - target) ** 2) / jnp.maximum(jnp.sum(mask), 1.0)


def share_out(batch: Batch, first: int) -> tuple[Batch, Batch]:
    """Return the first so many samples of a batch, and the others."""
    return jax.tree.map(lambda x: x[:first], batch), jax.tree.map(lambda x: x[first:], batch)


def together(*sets: Targets) -> Targets:
    """Return several targets as one: every sample weighs the same."""
    return Targets(*(jnp.concatenate(parts) for parts in zip(*sets, strict=True)))
