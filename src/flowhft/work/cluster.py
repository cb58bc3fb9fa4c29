"""Spans as tasks of a Ray cluster: the one that is there, or one on the cores of this machine.

Workers only compute. What is finished is kept by the process that drives them, once, when it arrives: a
worker that dies loses its task, which another one then does, and nothing is counted twice. Random numbers
follow from the paths, so results are those of one machine to the last bit, machines of one kind provided.
"""

import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from flowhft import __version__
from flowhft.errors import DataError, FlowhftError, MissingExtraError
from flowhft.types import Progress
from flowhft.work.task import Task, Work
from flowhft.work.worker import Job, do_remotely

TRIES = 5  # how often a task may be lost with its worker before the judgement is given up
PATIENCE = 3.0  # seconds in which a port must answer
PATIENCE_OF_RAY = 20.0  # seconds in which what answers must prove to be Ray: its own patience has no end
AHEAD = 2  # tasks given out per core, so that none waits
STORE = 256 * 2**20  # bytes for objects in a cluster of our own: moments are small
HERE = "127.0.0.1"
CURRENT = Path("/tmp/ray/ray_current_cluster")  # where `ray start` leaves its address
QUIET: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}


@dataclass(frozen=True)
class RayExecutor:
    """Does tasks on a cluster that this process has joined (a `flowhft.work.task.Crew`).

    Attributes:
        ray: the module.
        prepare: called once in every worker (see `flowhft.work.worker.Order`).
        device: that workers simulate on, "cpu" or "gpu"; a task takes one core, and one GPU if it is "gpu".
    """

    ray: Any
    prepare: Callable[..., Any]
    device: str

    def __call__(self, work: Work, tasks: Iterable[Task], progress: Progress) -> Iterator[tuple[Task, Any]]:
        """Yield tasks as they are done, in any order.

        Raises:
            DataError: workers died again and again, or cannot do what they are asked.
        """
        from ray import cloudpickle

        job = self.ray.put(Job(__version__, self.prepare, self.device, cloudpickle.dumps(work)))
        remote = self.ray.remote(do_remotely).options(
            num_cpus=1, num_gpus=int(self.device == "gpu"), max_retries=TRIES
        )
        window = AHEAD * max(1, int(self.ray.cluster_resources().get("CPU", 1)))
        waiting = iter(tasks)
        pending: dict[Any, Task] = {}
        try:
            while True:
                for task in islice(waiting, window - len(pending)):
                    pending[remote.remote(job, task)] = task
                if not pending:
                    return
                # A time limit lets an interruption through.
                done, _ = self.ray.wait(list(pending), num_returns=1, timeout=1.0)
                for reference in done:
                    yield pending.pop(reference), self._result(reference)
        finally:
            for reference in pending:
                self.ray.cancel(reference, force=True)

    def _result(self, reference: Any) -> Any:
        try:
            return self.ray.get(reference)
        except FlowhftError:
            raise
        except self.ray.exceptions.RayError as cause:
            raise DataError(
                f"`ray` must name a cluster whose workers live and have flowhft {__version__}; received: "
                f"{str(cause).strip().splitlines()[-1]}. Finished spans are kept: run the same command again."
            ) from cause


@contextlib.contextmanager
def cluster(
    address: str, device: str, prepare: Callable[..., Any], cores: int | None = None
) -> Iterator[RayExecutor]:
    """Join a Ray cluster, or start one on this machine that is stopped in the end.

    Args:
        address: host:port of the cluster, or "auto" for the one that runs here, else a new one.
        device: that workers compute on, "cpu" or "gpu".
        prepare: called once in every worker, before anything is computed.
        cores: of a new one; all of the machine by default.

    Raises:
        MissingExtraError: ray is not installed.
        DataError: the address does not answer, or what answers is not Ray.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as cause:
        raise MissingExtraError("ray", "scale") from cause
    if address not in ("auto", "local"):
        _require_answer(address)
    elif address == "auto" and not (("RAY_ADDRESS" in os.environ or CURRENT.exists()) and _is_ray("auto")):
        address = "local"
    ours: dict[str, Any] = {
        "num_cpus": cores or os.cpu_count() or 1,
        "object_store_memory": STORE,
        "include_dashboard": False,
        "_node_ip_address": HERE,
    }
    terminated = signal.getsignal(signal.SIGTERM)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"os\.fork\(\) was called")  # by ray, to begin its own processes
        ray.init(address, **QUIET, **(ours if address == "local" else {}))
    with contextlib.suppress(ValueError):  # ray takes SIGTERM for itself; only the main thread had it before
        signal.signal(signal.SIGTERM, terminated)
    try:
        yield RayExecutor(ray, prepare, device)
    finally:
        ray.shutdown()


def _require_answer(address: str) -> None:
    """Refuse an address at which no cluster answers.

    Raises:
        DataError: none does.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    fix = "Start it (`ray start --head`), mend the address, or use `--ray auto`."
    try:
        socket.create_connection((host, int(port)), timeout=PATIENCE).close()
    except (OSError, ValueError) as cause:
        raise DataError(
            f"`ray` must be an address that answers; received '{address}' ({cause}). {fix}"
        ) from cause
    if not _is_ray(address):
        raise DataError(
            f"`ray` must be the address of a Ray cluster; what answers at '{address}' is none. {fix}"
        )


def _is_ray(address: str) -> bool:
    """Return whether a cluster can be joined: tried in another process, which can be ended if it hangs."""
    code = "import ray, sys; ray.init(sys.argv[1], log_to_driver=False); ray.shutdown()"
    try:
        tried = subprocess.run(
            [sys.executable, "-c", code, address],
            timeout=PATIENCE_OF_RAY,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        return False
    return tried.returncode == 0
