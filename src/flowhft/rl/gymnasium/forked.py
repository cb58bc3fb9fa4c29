"""Whether this process was forked from one that had run jax: then it must not, or it would wait for ever.

jax keeps threads, which a fork leaves behind with whatever they had locked. An environment therefore runs
nothing before its first reset, so that one that was only looked at may be forked, as
`gymnasium.vector.AsyncVectorEnv` does; and a process that was forked too late says so.
"""

import os
import sys

from flowhft.errors import UsageError


class _Process:
    """What is known of this process; changed by forks alone."""

    forking = False  # whether jax had run when the process was last forked
    forked = False


def require_own_jax() -> None:
    """Refuse to run jax in a process that was forked from one that had.

    Raises:
        UsageError: it was.
    """
    if _Process.forked:
        raise UsageError(
            "`context` must be 'spawn' or 'forkserver' where jax has run before environments are made in "
            "other processes; received one that was forked after that. Pass it to AsyncVectorEnv, make the "
            "environments first, or take MarketVectorEnv, which is faster."
        )


def _has_run() -> bool:
    bridge = sys.modules.get("jax._src.xla_bridge")  # jax tells it nowhere else
    return bool(getattr(bridge, "_backends", None))


def _before() -> None:
    _Process.forking = _Process.forked or _has_run()


def _in_child() -> None:
    _Process.forked = _Process.forking


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_child=_in_child)
