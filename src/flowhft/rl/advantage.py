"""Generalised advantage estimation over whole episodes, and the luck that can be taken off it."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def advantages(
    rewards: Float[Array, "step path"],
    values: Float[Array, "step path"],
    discount: float,
    trace: float,
) -> Float[Array, "step path"]:
    """Return how much better than expected every action turned out.

    A_t = sum over i >= t of (discount trace)^(i - t) (r_i + discount V_{i+1} - V_i), with V = 0 after the
    last step: sessions end, nothing is cut off.

    Args:
        rewards: of every step.
        values: what the critic expected before the step.
        discount: factor on the future from one step to the next.
        trace: lambda; 0 is one step of temporal difference, 1 is the whole return.

    Source: Schulman et al. (2016), "High-dimensional continuous control using generalized advantage
        estimation", equation 16.
    """

    def step(later: tuple, now: tuple) -> tuple[tuple, Float[Array, " path"]]:
        next_value, next_advantage = later
        reward, value = now
        advantage = reward + discount * next_value - value + discount * trace * next_advantage
        return (value, advantage), advantage

    zero = jnp.zeros_like(values[0])
    return jax.lax.scan(step, (zero, zero), (rewards, values), reverse=True)[1]


def luck(
    positions: Float[Array, "step path"],
    moves: Float[Array, "step path"],
    discount: float,
    trace: float,
) -> Float[Array, "step path"]:
    """Return what the position that is held already earns by the moves to come, weighed as advantages are.

    b_t = q_t sum over i >= t of (discount trace)^(i - t) dS_i. No action can change it: the world is drawn
    before anybody acts. So it may be taken off the advantage, with memory, drift and adverse selection too;
    the gradient keeps its mean and loses most of the noise that a position in a moving price brings.

    Args:
        positions: held before the action of every step.
        moves: of what is held, in every step.
        discount: as for `advantages`.
        trace: likewise.

    Source: Mao et al. (2019), "Variance reduction for reinforcement learning in input-driven
        environments".
    """

    def step(later: Float[Array, " path"], move: Float[Array, " path"]) -> tuple[Array, Array]:
        now = move + discount * trace * later
        return now, now

    return positions * jax.lax.scan(step, jnp.zeros_like(moves[0]), moves, reverse=True)[1]
