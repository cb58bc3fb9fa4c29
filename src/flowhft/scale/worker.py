"""What runs on a worker of a cluster: one process, one core, spans one after the other.

Nothing here imports jax before the worker is told how much of the machine is its own.
"""

import os
import pickle
from typing import Any, NamedTuple

from flowhft import __version__
from flowhft.errors import UsageError
from flowhft.moments import Moments
from flowhft.scale.plan import Task

# One thread: as many workers as cores share a machine.
ONE_THREAD = {
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}


class Order(NamedTuple):
    """A judgement as it is sent to workers.

    Attributes:
        version: of flowhft that sends it.
        device: to judge on, "cpu" or "gpu".
        job: a `flowhft.scale.span.Job`, pickled: to unpickle it imports jax.
    """

    version: str
    device: Any
    job: bytes


class _Ready(NamedTuple):
    """What a worker keeps from one task to the next."""

    order: Order
    job: Any
    scenario: int
    place: Any


_ready: _Ready | None = None


def judge_remotely(order: Order, task: Task) -> Moments:
    """Judge one span on a worker.

    Args:
        order: the judgement.
        task: the span.

    Raises:
        UsageError: the worker runs another version of flowhft, or has no such device.
    """
    global _ready
    if order.version != __version__:
        raise UsageError(
            f"`ray` must name a cluster with flowhft {order.version}; its workers have {__version__}. "
            "Install the same version everywhere."
        )
    if _ready is None:
        for name, value in ONE_THREAD.items():
            os.environ[name] = (
                f"{os.environ[name]} {value}" if name == "XLA_FLAGS" and name in os.environ else value
            )
        from flowhft.devices import prepare

        prepare(order.device, cores=1)
    from flowhft.scale.span import judge_span, prepare_place

    if _ready is None or _ready.order != order:
        job = pickle.loads(order.job)
        _ready = _Ready(order, job, -1, None)
    if _ready.scenario != task.span.scenario:
        place = prepare_place(_ready.job, task.span.scenario)
        _ready = _ready._replace(scenario=task.span.scenario, place=place)
    return judge_span(_ready.job, _ready.place, task)
