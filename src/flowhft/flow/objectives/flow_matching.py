"""Flow matching: the velocity of the straight path from noise to quotes, for any number of steps."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from flowhft.flow.interpolant import Batch, Lesson, between, flat, groups_of, lesson_error
from flowhft.flow.network import VelocityField
from flowhft.flow.sampler import integrate
from flowhft.flow.settings import SamplerSettings

DEFAULT_SAMPLER = SamplerSettings(steps=8)


def label_of(sampler: SamplerSettings, finest_label: int) -> int:
    """Return the label with which this sampler asks: always the finest one."""
    return finest_label


def lesson(key: PRNGKeyArray, batch: Batch, finest_label: int) -> Lesson:
    """Ask at x_t = (1 - t) noise + t chunk for chunk - noise, under the finest label.

    Flow time is uniform on (0, 1), stratified over the batch; noise is independent of the chunk (optimal
    pairing within a batch is biased when quotes depend on features).

    Args:
        key: for flow times and noise.
        batch: demonstrated chunks, a multiple of 8 of them.
        finest_label: the label of plain flow matching.
    """
    key_time, key_noise = jax.random.split(key)
    chunk, mask = flat(batch)
    groups = groups_of(len(chunk))
    flow_time = (jnp.arange(groups) + jax.random.uniform(key_time, (groups,))) / groups
    noise = jax.random.normal(key_noise, chunk.shape, chunk.dtype)
    return Lesson(
        x=between(noise, chunk, flow_time),
        features=batch.features,
        flow_time=flow_time,
        label=jnp.full(groups, finest_label),
        target=chunk - noise,
        mask=mask,
    )


def loss(network: VelocityField, ema: VelocityField, key: PRNGKeyArray, batch: Batch) -> Float[Array, ""]:
    """Return E |v(x_t, features, t, L) - (chunk - noise)|^2, see `lesson`.

    Its minimiser is v = E[chunk - noise | x_t, features], which carries noise to the distribution of the
    demonstrated chunks.

    Args:
        network: the velocity field that learns.
        ema: not used.
        key: for flow times and noise.
        batch: demonstrated chunks, a multiple of 8 of them.

    Source: Y. Lipman et al., "Flow matching for generative modeling", 2023, section 4.1; flow time 0 is
    noise here.
    """
    return lesson_error(network, lesson(key, batch, network.finest_label))


def sample(
    network: VelocityField,
    key: PRNGKeyArray,
    features: Float[Array, " feature"],
    chunk_size: int,
    sampler: SamplerSettings,
) -> Float[Array, " chunk"]:
    """Draw one scaled chunk with any solver in any number of steps."""
    return integrate(network, key, features, chunk_size, sampler, label_of(sampler, network.finest_label))
