"""From noise to a chunk of quotes: the solvers of the flow's ordinary differential equation."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from flowhft.flow.network import VelocityField
from flowhft.flow.settings import SamplerSettings

# (x, flow_time) -> dx / d flow_time
Velocity = Callable[[Float[Array, " chunk"], Float[Array, ""]], Float[Array, " chunk"]]

# Loops up to this many steps are unrolled: the compiler then sees flow times as constants.
UNROLLED_STEPS = 8


def euler(velocity: Velocity, x: Float[Array, " chunk"], steps: int) -> Float[Array, " chunk"]:
    """Carry x from flow time 0 to 1 in equal steps of first order: one call of `velocity` a step."""

    def step(x: Array, index: Array) -> tuple[Array, None]:
        return x + velocity(x, index / steps) / steps, None

    return jax.lax.scan(step, x, jnp.arange(steps, dtype=jnp.float32), unroll=min(steps, UNROLLED_STEPS))[0]


def heun(velocity: Velocity, x: Float[Array, " chunk"], steps: int) -> Float[Array, " chunk"]:
    """Carry x from flow time 0 to 1 in equal steps of second order: two calls of `velocity` a step."""

    def step(x: Array, index: Array) -> tuple[Array, None]:
        begin = velocity(x, index / steps)
        end = velocity(x + begin / steps, (index + 1.0) / steps)
        return x + (begin + end) / (2.0 * steps), None

    return jax.lax.scan(step, x, jnp.arange(steps, dtype=jnp.float32), unroll=min(steps, UNROLLED_STEPS))[0]


SOLVERS = {"euler": euler, "heun": heun}


def integrate(
    network: VelocityField,
    key: PRNGKeyArray,
    features: Float[Array, " feature"],
    chunk_size: int,
    sampler: SamplerSettings,
    label: int,
) -> Float[Array, " chunk"]:
    """Draw one scaled chunk: x at flow time 1, begun at noise_scale x standard normal noise.

    Args:
        network: the velocity field.
        key: for the noise; not used where `noise_scale` is 0.
        features: scaled.
        chunk_size: D, the numbers in a chunk.
        sampler: steps, solver and noise scale.
        label: with which the network is asked, at every step.
    """
    if sampler.noise_scale == 0.0:
        noise = jnp.zeros(chunk_size, jnp.float32)
    else:
        noise = sampler.noise_scale * jax.random.normal(key, (chunk_size,), jnp.float32)

    def velocity(x: Array, flow_time: Array) -> Array:
        return network.velocity(network.condition(flow_time, jnp.asarray(label)), x, features)

    return SOLVERS[sampler.solver](velocity, noise, sampler.steps)
