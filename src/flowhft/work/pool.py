"""Tasks on the cores of this machine: one process a core, each doing one task after the other."""

import multiprocessing
import os
import pickle
import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any

from flowhft import __version__
from flowhft.errors import DataError
from flowhft.types import Progress
from flowhft.work.task import Task, Work
from flowhft.work.worker import Job, do_remotely

LISTEN = 1.0  # seconds between two looks at whether somebody has interrupted


@dataclass(frozen=True)
class PoolExecutor:
    """Does tasks in processes of its own (a `flowhft.work.task.Crew`).

    Processes begin from nothing, so that what this one has computed before cannot disturb them.

    Attributes:
        cores: processes; at least 1.
        prepare: called once in every process (see `flowhft.work.worker.Order`).
        device: to compute on.
    """

    cores: int
    prepare: Callable[..., Any]
    device: str = "cpu"

    def __call__(self, work: Work, tasks: Iterable[Task], progress: Progress) -> Iterator[tuple[Task, Any]]:
        """Yield tasks as they are done, in any order.

        Raises:
            DataError: a process died, for example because it was out of memory.
        """
        job = Job(__version__, self.prepare, self.device, pickle.dumps(work))
        before = set(multiprocessing.active_children())
        pending: dict[Future, Task] = {}
        pool = ProcessPoolExecutor(
            self.cores, mp_context=multiprocessing.get_context("spawn"), initializer=_leave_ending_to_parent
        )
        try:
            pending.update((pool.submit(do_remotely, job, task), task) for task in tasks)
            while pending:
                done, _ = wait(pending, timeout=LISTEN, return_when=FIRST_COMPLETED)
                for future in done:
                    yield pending.pop(future), future.result()
        except BrokenProcessPool as cause:
            raise DataError(
                f"`cores` must be as many processes as memory allows; one of {self.cores} died. What is "
                "finished is kept: run the same command again, with fewer."
            ) from cause
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            if any(not future.done() for future in pending):
                for process in set(multiprocessing.active_children()) - before:
                    process.terminate()


def cores_for(asked: int, tasks: int) -> int:
    """Return how many processes to begin.

    Args:
        asked: by the user; 0 for every core of the machine.
        tasks: that there are.
    """
    return max(1, min(asked or os.cpu_count() or 1, tasks))


def _leave_ending_to_parent() -> None:
    """Ignore Ctrl-C, which a terminal sends to all processes: the one that drives them ends them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
