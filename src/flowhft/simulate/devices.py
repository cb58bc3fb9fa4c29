"""How the lab uses the machine: its GPU, or every core as a device; and compiled programs that are kept."""

import contextlib
import os
from pathlib import Path
from typing import Literal

from flowhft.errors import UsageError

CACHE = "FLOWHFT_CACHE"  # environment variable: folder for compiled programs

DeviceName = Literal["auto", "cpu", "gpu"]


def cache_folder() -> Path:
    """Return the folder where compiled programs are kept between runs."""
    if CACHE in os.environ:
        return Path(os.environ[CACHE])
    return Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "flowhft"


def prepare(device: DeviceName = "auto", cores: int | None = None) -> str:
    """Let jax use every core or GPU and keep what it compiles; call it before the first computation.

    On a machine without an accelerator each core becomes a device, over which rollouts spread their paths:
    for the many small operations of a rollout this is faster than threads within each operation. Random
    numbers and results do not depend on how many devices there are.

    Args:
        device: "gpu" or "cpu", or "auto" for a GPU if there is one.
        cores: of the processor that are used; all by default.

    Returns:
        What is used: "cpu" or "gpu".

    Raises:
        UsageError: there is no such device, or jax was told otherwise before.
    """
    import jax  # not above: `flowhft evaluate --help` knows the names of devices without it

    jax.config.update("jax_compilation_cache_dir", str(cache_folder() / "jax"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    with contextlib.suppress(RuntimeError):  # too late: something was computed before, on one device
        jax.config.update("jax_num_cpu_devices", cores or os.cpu_count() or 1)
    if device == "cpu":
        with contextlib.suppress(RuntimeError):
            jax.config.update("jax_platforms", "cpu")
    if device == "gpu" and not _has("gpu"):
        raise UsageError(
            "`device` must be one that jax finds; received gpu, and jax finds "
            f"{', '.join(sorted({d.platform for d in jax.devices()}))} only. Install jax for your GPU "
            "(pip install 'jax[cuda13]' for NVIDIA) or use `--device cpu`."
        )
    used = jax.default_backend()
    if device != "auto" and used != device:
        raise UsageError(
            f"`device` must be chosen before jax computes; received {device}, and jax uses {used}. "
            "Begin a new process."
        )
    return used


def _has(platform: str) -> bool:
    import jax

    try:
        return bool(jax.devices(platform))
    except RuntimeError:
        return False
