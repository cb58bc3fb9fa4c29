"""What runs on a worker of a cluster: one process, one core, tasks one after the other.

Nothing here imports jax before the worker is told how much of the machine is its own.
"""

import os
import pickle
from collections.abc import Callable
from typing import Any, NamedTuple

from flowhft import __version__
from flowhft.errors import UsageError
from flowhft.types import no_progress
from flowhft.work.task import Task

# One thread: as many workers as cores share a machine.
ONE_THREAD = {
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}


class Job(NamedTuple):
    """Work as it is sent to workers.

    Attributes:
        version: of flowhft that sends it.
        prepare: called once in a worker, with the device and the cores that are its own, before anything is
            computed (`flowhft.simulate.devices.prepare`).
        device: to compute on, "cpu" or "gpu".
        work: a `flowhft.work.task.Work`, pickled: to unpickle it imports jax.
    """

    version: str
    prepare: Callable[..., Any]
    device: Any
    work: bytes


class _Ready(NamedTuple):
    """What a worker keeps from one task to the next."""

    job: Job
    work: Any
    number: int
    group: Any


_ready: _Ready | None = None


def do_remotely(job: Job, task: Task) -> Any:
    """Do one task on a worker.

    Args:
        job: the work that it is of.
        task: it.

    Raises:
        UsageError: the worker runs another version of flowhft, or has no such device.
    """
    global _ready
    if job.version != __version__:
        raise UsageError(
            f"`ray` must name a cluster with flowhft {job.version}; its workers have {__version__}. "
            "Install the same version everywhere."
        )
    if _ready is None:
        for name, value in ONE_THREAD.items():
            os.environ[name] = (
                f"{os.environ[name]} {value}" if name == "XLA_FLAGS" and name in os.environ else value
            )
        job.prepare(job.device, cores=1)
    if _ready is None or _ready.job != job:
        _ready = _Ready(job, pickle.loads(job.work), -1, None)
    if _ready.number != task.group:
        prepared = _ready.work.prepare(task.group)
        _ready = _ready._replace(number=task.group, group=prepared)
    return _ready.work.do(_ready.group, task, no_progress)
