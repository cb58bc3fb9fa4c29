"""How the lab uses the machine: every core as a device of its own, and compiled programs that are kept."""

import contextlib
import os
from pathlib import Path

import jax

CACHE = "FLOWHFT_CACHE"  # environment variable: folder for compiled programs


def cache_folder() -> Path:
    """Return the folder where compiled programs are kept between runs."""
    if CACHE in os.environ:
        return Path(os.environ[CACHE])
    return Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "flowhft"


def prepare() -> None:
    """Let jax use every core and keep what it compiles; call it before the first computation.

    On a machine without an accelerator each core becomes a device, over which rollouts spread their paths:
    for the many small operations of a rollout this is faster than threads within each operation.
    """
    jax.config.update("jax_compilation_cache_dir", str(cache_folder() / "jax"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
    with contextlib.suppress(RuntimeError):  # too late: something was computed before, on one device
        jax.config.update("jax_num_cpu_devices", os.cpu_count() or 1)
