"""Rectified flow: velocities learned most of all where a flow begins, for one evaluation.

On demonstrations this is flow matching with half of its samples in the noise. It is meant for pairs of a
noise and the chunk to which another flow carries it (`flowhft.learn.imitation.distil`): then the paths from
one to the other are straight, or nearly so, and one step of Euler's method ends where many steps of the other
flow do.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from flowhft.flow.interpolant import (
    Batch,
    Targets,
    flat,
    groups_of,
    noise_for,
    share_out,
    target_error,
    together,
)
from flowhft.flow.network import VelocityField
from flowhft.flow.objectives import flow_matching
from flowhft.policies.settings import SamplerSettings

DEFAULT_SAMPLER = SamplerSettings(steps=1)
BEGINNING_SHARE = 2  # one sample in two begins in the noise, where one evaluation asks; the others anywhere


def beginning_targets(key: PRNGKeyArray, batch: Batch) -> Targets:
    """Ask at the noise itself, flow time 0, for chunk - noise.

    Args:
        key: for the noise, where the batch holds none.
        batch: chunks, a multiple of 8 of them.
    """
    chunk, mask = flat(batch)
    now = jnp.zeros(groups_of(len(chunk)))
    noise = noise_for(key, batch)
    return Targets(noise, batch.features, now, now, chunk - noise, mask)


def loss(network: VelocityField, ema: VelocityField, key: PRNGKeyArray, batch: Batch) -> Float[Array, ""]:
    """Return the error of velocities, on half of the batch at flow time 0 and on the rest anywhere.

    Args:
        network: the velocity field that learns.
        ema: not used.
        key: for flow times, and for noise where the batch holds none.
        batch: chunks, a multiple of 16 of them.

    Source: X. Liu, C. Gong, Q. Liu, "Flow straight and fast: learning to generate and transfer data with
    rectified flow", 2023, sections 2.1 and 3.2 (reflow, and its distillation at flow time 0).
    """
    key_first, key_rest = jax.random.split(key)
    half, rest = share_out(batch, len(batch.features) // BEGINNING_SHARE)
    return target_error(
        network, together(beginning_targets(key_first, half), flow_matching.targets_at(key_rest, rest))
    )
