"""Do what is not done yet of an evaluation, here or on a cluster, and add it all up in a fixed order."""

from collections.abc import Iterable, Iterator, Sequence

from flowhft.errors import DataError
from flowhft.metrics.moments import Moments, merge
from flowhft.simulate.checkpoint import Finished
from flowhft.simulate.job import Job
from flowhft.simulate.spans import Span, Task, spans_of
from flowhft.types import Progress, no_progress
from flowhft.work.task import Executor, do_here


def evaluate_all(
    job: Job,
    finished: Finished,
    *,
    executor: Executor = do_here,
    only: Sequence[int] | None = None,
    progress: Progress = no_progress,
) -> None:
    """Evaluate every span that is not finished, and keep each as soon as it is.

    Args:
        job: the evaluation.
        finished: what an earlier try has done, to which this one adds.
        executor: who evaluates; see `flowhft.work.cluster` for another one.
        only: places of the scenarios that are evaluated; all by default.
        progress: told as paths are evaluated.

    Raises:
        DataError: what an earlier try has left is damaged.
    """
    wanted = range(len(job.scenarios)) if only is None else only
    spans = [span for scenario in wanted for span in spans_of(scenario, job.paths)]
    total, done = sum(span.paths for span in spans), 0
    for span in spans:
        if span in finished:
            kept = finished[span].paths  # damage is found before hours of work, not after
            if kept != span.paths:
                raise DataError(
                    f"`finished` must be of this evaluation; received {kept:,} paths where it has "
                    f"{span.paths:,}. Give every evaluation a folder of its own."
                )
            done += span.paths

    def tell(share: float, now: str) -> None:
        progress((done + share * spans[0].paths) / total, now)

    # The first span of a scenario has the pilots of its others. One after the other it comes first anyway.
    rounds = [spans]
    if executor is not do_here:
        rounds = [[s for s in spans if s.number == 0], [s for s in spans if s.number > 0]]
    for part in rounds:
        for task, moments in executor(job, _tasks(job, part, finished), tell):
            finished[task.span] = moments
            done += task.span.paths
            tell(
                0.0, f"{job.scenarios[task.span.scenario].name}: {task.span.first + task.span.paths:,} paths"
            )


def total_of(job: Job, finished: Finished, scenario: int) -> Moments:
    """Add up the finished spans of a scenario, in their order.

    Args:
        job: the evaluation.
        finished: all spans of the scenario among others.
        scenario: its place in the list.
    """
    first, *others = spans_of(scenario, job.paths)
    total = finished[first]
    for span in others:
        total = merge(total, finished[span])
    return total


def _tasks(job: Job, spans: Iterable[Span], finished: Finished) -> Iterator[Task]:
    """Yield what is to be done, each when it is asked for: its pilots are finished by then."""
    for span in spans:
        if span not in finished:
            first = spans_of(span.scenario, job.paths)[0]
            yield Task(span, None if span == first else finished[first].pilots)
