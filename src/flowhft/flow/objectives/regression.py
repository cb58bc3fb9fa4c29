"""Regression: the mean of what the experts quoted, by the same network asked once. A control."""

import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from flowhft.errors import require
from flowhft.flow.interpolant import Batch, Lesson, flat, groups_of, lesson_error
from flowhft.flow.network import VelocityField
from flowhft.flow.settings import SamplerSettings
from flowhft.policies.plan import Evaluation, Plan

DEFAULT_SAMPLER = SamplerSettings(steps=1)
AT_ONCE = Evaluation(flow_time=0.0, step_size=1.0, keep=0.0, share=1.0, keep_point=0.0, share_point=0.0)


def plan(sampler: SamplerSettings, finest: int) -> Plan:
    """Return the sampler: the network's answer at x = 0, flow time 0 and step size 1.

    Raises:
        UsageError: more than one step, noise, a warm start, or a solver other than Euler's: nothing of them
            was learned.
    """
    for name, value, only in (
        ("steps", sampler.steps, 1),
        ("solver", sampler.solver, "euler"),
        ("noise_scale", sampler.noise_scale, 0.0),
        ("warm_start", sampler.warm_start, 0.0),
    ):
        require(value == only, name, f"be {only} for a regression policy, which answers at once", value)
    return Plan(begin=0.0, start=0.0, evaluations=(AT_ONCE,))


def lesson(batch: Batch) -> Lesson:
    """Ask at x = 0, flow time 0 and step size 1 for the chunk itself.

    Args:
        batch: demonstrated chunks, a multiple of 8 of them.
    """
    chunk, mask = flat(batch)
    groups = groups_of(len(chunk))
    return Lesson(jnp.zeros_like(chunk), batch.features, jnp.zeros(groups), jnp.ones(groups), chunk, mask)


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
    return lesson_error(network, lesson(batch))
