"""The flow's differential equation to a stated tolerance: how exact fixed steps are, the lab tells by it."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from flowhft.flow.network import VelocityField

MOST_STEPS = 4096


def integrate_adaptively(
    network: VelocityField,
    x: Float[Array, " chunk"],
    features: Float[Array, " feature"],
    begin: float,
    tolerance: float,
) -> Float[Array, " chunk"]:
    """Return x carried by the velocity from flow time `begin` to 1 (Tsitouras 5/4 with step control).

    Only the lab can: how often the network is asked depends on its answers.

    Args:
        network: the velocity field; it is asked with step size 0.
        x: where to begin.
        features: scaled.
        begin: flow time of x.
        tolerance: of the error of one step, relative and absolute.
    """
    import diffrax  # nobody but this solver waits for it

    def velocity(flow_time: Any, x: Array, features: Array) -> Array:
        return network.velocity(network.condition(flow_time, jnp.zeros(())), x, features)

    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(velocity),
        diffrax.Tsit5(),
        t0=begin,
        t1=1.0,
        dt0=None,
        y0=x,
        args=features,
        saveat=diffrax.SaveAt(t1=True),
        stepsize_controller=diffrax.PIDController(rtol=tolerance, atol=tolerance),
        max_steps=MOST_STEPS,
    )
    return solution.ys[0]
