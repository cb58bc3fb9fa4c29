"""Tasks: what is done piece by piece, here or elsewhere, and who does it."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

from flowhft.types import Progress


class Task(Protocol):
    """A piece of work that is done, kept and resumed as a whole; it is sent pickled."""

    @property
    def group(self) -> int:
        """Return the number of its place: what the tasks of a place share is prepared once."""


class Work(Protocol):
    """What is done task by task: an evaluation, the recording of demonstrations, the windows of a walk.

    A worker gets it pickled, prepares what the tasks of a place have in common, and does them.
    """

    def prepare(self, group: int) -> Any:
        """Return what the tasks of a place have in common.

        Args:
            group: `Task.place` of the tasks.
        """

    def do(self, prepared: Any, task: Any, progress: Progress) -> Any:
        """Do a task and return what was found.

        Args:
            prepared: from `prepare`.
            task: what.
            progress: given the share of the task that is done.
        """


# Who does tasks: yields each with what was found, in any order; progress is given the share of a task.
Executor = Callable[[Work, Iterable[Any], Progress], Iterator[tuple[Any, Any]]]


def do_here(work: Work, tasks: Iterable[Any], progress: Progress) -> Iterator[tuple[Any, Any]]:
    """Do tasks one after the other in this process, on all of its devices."""
    number, prepared = -1, None
    for task in tasks:
        if task.group != number:
            number = task.group
            prepared = work.prepare(number)
        yield task, work.do(prepared, task, progress)
