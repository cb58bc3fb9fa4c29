"""Compute a value once where several others are made from it: a matter of speed on CPUs only."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from flowhft.types import Numeric


def once(function: Callable[..., Any], time: Numeric, *arguments: Any) -> Any:
    """Return `function(*arguments)`, computed once on a CPU however many values are made from it.

    XLA's CPU compiler computes cheap arithmetic again for every array that is made from it: an account of
    sixteen numbers from a step's fills then draws those fills several times, which took half of a rollout.
    The branches of a conditional whose outcome the compiler cannot know are computed apart and kept.
    Elsewhere the function is simply called: accelerators do not repeat themselves, and wait at conditionals.

    Args:
        function: of arrays, without side effects.
        time: a number that is never negative and that the compiler does not know, the same for all paths.
        arguments: of the function.
    """

    def once_only(*arguments: Any) -> Any:
        return function(*arguments)  # jax hashes what it calls, and a vmapped market's method has no hash

    wanted = jax.eval_shape(once_only, *arguments)

    def never(*arguments: Any) -> Any:
        return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), wanted)

    def apart(*arguments: Any) -> Any:
        return jax.lax.cond(jnp.asarray(time) >= 0.0, once_only, never, *arguments)

    return jax.lax.platform_dependent(*arguments, cpu=apart, default=once_only)
