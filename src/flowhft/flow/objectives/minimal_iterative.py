"""The minimal iterative policy: a regression, and a second one that corrects it. A control.

It has what may be the useful part of a flow policy, a second look at a first answer, and leaves out the
rest: there is no differential equation and, at most, little noise.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from flowhft.flow.interpolant import (
    Batch,
    Targets,
    between,
    flat,
    groups_of,
    share_out,
    target_error,
    together,
)
from flowhft.flow.network import VelocityField
from flowhft.flow.objectives import regression
from flowhft.policies.plans import SECOND_TIME
from flowhft.policies.settings import SamplerSettings

DEFAULT_SAMPLER = SamplerSettings(steps=2)
FIRST_SHARE = 2  # one sample in two learns the first look


def second_targets(key: PRNGKeyArray, batch: Batch) -> Targets:
    """Ask at 0.9 chunk + 0.1 noise, flow time 0.9, for the chunk itself.

    Args:
        key: for the noise.
        batch: demonstrated chunks, a multiple of 8 of them.
    """
    chunk, mask = flat(batch)
    flow_time = jnp.full(groups_of(len(chunk)), SECOND_TIME)
    x = between(jax.random.normal(key, chunk.shape, chunk.dtype), chunk, flow_time)
    return Targets(x, batch.features, flow_time, 1.0 - flow_time, chunk, mask)


def loss(network: VelocityField, ema: VelocityField, key: PRNGKeyArray, batch: Batch) -> Float[Array, ""]:
    """Return the error of a first look on half of the batch and of a second look on the other half.

    Args:
        network: the network that learns.
        ema: not used.
        key: for the noise of the second look.
        batch: demonstrated chunks, a multiple of 16 of them.

    Source: the two-step "minimal iterative policy" of C. Pan et al., "Much ado about noising: dispelling the
    myths of generative robotic control", 2025, with its 0.9.
    """
    half, rest = share_out(batch, len(batch.features) // FIRST_SHARE)
    return target_error(network, together(regression.targets_at(half), second_targets(key, rest)))
