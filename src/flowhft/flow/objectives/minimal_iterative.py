"""The minimal iterative policy: a regression, and a second one that corrects it. A control.

It has what may be the useful part of a flow policy, a second look at a first answer, and leaves out the
rest: there is no differential equation and, at most, little noise.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from flowhft.errors import require
from flowhft.flow.interpolant import (
    Batch,
    Lesson,
    between,
    flat,
    groups_of,
    lesson_error,
    share_out,
    together,
)
from flowhft.flow.network import VelocityField
from flowhft.flow.objectives import regression
from flowhft.flow.settings import SamplerSettings
from flowhft.policies.plan import Evaluation, Plan

DEFAULT_SAMPLER = SamplerSettings(steps=2)
SECOND_TIME = 0.9  # flow time of the second look: its noise has a standard deviation of 0.1
FIRST_SHARE = 2  # one sample in two learns the first look


def plan(sampler: SamplerSettings, finest: int) -> Plan:
    """Return the sampler: a = u(0, 0, 1), then u(0.9 a + 0.1 noise, 0.9, 0.1) is the chunk.

    Raises:
        UsageError: other than two steps, a warm start, or a solver other than Euler's.
    """
    for name, value, only in (
        ("steps", sampler.steps, 2),
        ("solver", sampler.solver, "euler"),
        ("warm_start", sampler.warm_start, 0.0),
    ):
        require(value == only, name, f"be {only} for a minimal_iterative policy, which looks twice", value)
    # x stays the noise until the second answer replaces it.
    first = Evaluation(0.0, 1.0, 1.0, 0.0, 1.0 - SECOND_TIME, SECOND_TIME)
    second = Evaluation(SECOND_TIME, 1.0 - SECOND_TIME, 0.0, 1.0, 0.0, 0.0)
    return Plan(begin=0.0, start=0.0, evaluations=(first, second))


def second_lesson(key: PRNGKeyArray, batch: Batch) -> Lesson:
    """Ask at 0.9 chunk + 0.1 noise, flow time 0.9, for the chunk itself.

    Args:
        key: for the noise.
        batch: demonstrated chunks, a multiple of 8 of them.
    """
    chunk, mask = flat(batch)
    flow_time = jnp.full(groups_of(len(chunk)), SECOND_TIME)
    x = between(jax.random.normal(key, chunk.shape, chunk.dtype), chunk, flow_time)
    return Lesson(x, batch.features, flow_time, 1.0 - flow_time, chunk, mask)


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
    return lesson_error(network, together(regression.lesson(half), second_lesson(key, rest)))
