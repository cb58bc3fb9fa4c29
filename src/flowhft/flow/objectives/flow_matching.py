"""Flow matching: the velocity of the straight path from noise to quotes, for any number of steps."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from flowhft.flow.interpolant import Batch, Targets, between, flat, groups_of, noise_for, target_error
from flowhft.flow.network import VelocityField
from flowhft.policies.settings import SamplerSettings

DEFAULT_SAMPLER = SamplerSettings(steps=8)


def targets_at(key: PRNGKeyArray, batch: Batch, step_size: float = 0.0) -> Targets:
    """Ask at x_t = (1 - t) noise + t chunk for chunk - noise.

    Flow time is uniform on (0, 1), stratified over the batch; noise is independent of the chunk (optimal
    pairing within a batch is biased when quotes depend on features).

    Args:
        key: for flow times and noise.
        batch: demonstrated chunks, a multiple of 8 of them.
        step_size: with which the network is asked: 0 for the velocity itself.
    """
    key_time, key_noise = jax.random.split(key)
    chunk, mask = flat(batch)
    groups = groups_of(len(chunk))
    flow_time = (jnp.arange(groups) + jax.random.uniform(key_time, (groups,))) / groups
    noise = noise_for(key_noise, batch)
    return Targets(
        x=between(noise, chunk, flow_time),
        features=batch.features,
        flow_time=flow_time,
        step_size=jnp.full(groups, step_size),
        target=chunk - noise,
        mask=mask,
    )


def loss(network: VelocityField, ema: VelocityField, key: PRNGKeyArray, batch: Batch) -> Float[Array, ""]:
    """Return E |u(x_t, features, t, 0) - (chunk - noise)|^2, see `targets_at`.

    Its minimiser is u = E[chunk - noise | x_t, features], which carries noise to the distribution of the
    demonstrated chunks.

    Args:
        network: the velocity field that learns.
        ema: not used.
        key: for flow times and noise.
        batch: demonstrated chunks, a multiple of 8 of them.

    Source: Y. Lipman et al., "Flow matching for generative modeling", 2023, section 4.1; flow time 0 is
    noise here.
    """
    return target_error(network, targets_at(key, batch))
