"""Regression: the mean of what the experts quoted, by the same network asked once. A control."""

import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from flowhft.flow.interpolant import Batch, Targets, flat, groups_of, target_error
from flowhft.flow.network import VelocityField
from flowhft.policies.settings import SamplerSettings

DEFAULT_SAMPLER = SamplerSettings(steps=1)


def targets_at(batch: Batch) -> Targets:
    """Ask at x = 0, flow time 0 and step size 1 for the chunk itself.

    Args:
        batch: demonstrated chunks, a multiple of 8 of them.
    """
    chunk, mask = flat(batch)
    groups = groups_of(len(chunk))
    return Targets(jnp.zeros_like(chunk), batch.features, jnp.zeros(groups), jnp.ones(groups), chunk, mask)


def loss(network: VelocityField, ema: VelocityField, key: PRNGKeyArray, batch: Batch) -> Float[Array, ""]:
    """Return E |u(0, features, 0, 1) - chunk|^2.

    Its minimiser is E[chunk | features]. Where experts disagree that is a quote between theirs, which none of
    them may have made.

    Args:
        network: the network that learns.
        ema: not used.
        key: not used.
        batch: demonstrated chunks, a multiple of 8 of them.
    """
    return target_error(network, targets_at(batch))
