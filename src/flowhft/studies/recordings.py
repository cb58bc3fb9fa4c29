"""The recordings that a study takes: those of a folder, by name."""

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from flowhft.errors import DataError, UnknownNameError
from flowhft.types import Progress


def recordings_to_take(data: Path | None, names: Sequence[str] = ()) -> dict[str, Path]:
    """Return the recordings of a study, by name.

    Args:
        data: folder of recordings, in folders of their own or not; None for the bundled recording.
        names: of those to take; none for all.

    Raises:
        DataError: the folder holds none.
        UnknownNameError: one is named that is not there.
    """
    from flowhft.recordings.formats.sample import sample_recording

    data = data or sample_recording().parent
    if not data.is_dir():
        raise DataError(f"`data` must be a folder of recordings; received {data}. Name another one.")
    result = recordings_in(data)
    if not result:
        raise DataError(f"`data` must hold recordings; {data} and its folders hold none.")
    for name in names:
        if name not in result:
            raise UnknownNameError("recording", name, list(result))
    return {name: path for name, path in result.items() if name in (names or result)}


def recordings_in(data: Path) -> dict[str, Path]:
    """Return every session in a folder and in the folders within, by the name of its files.

    Args:
        data: where to look; hidden folders are left alone.
    """
    from flowhft.recordings.formats.read import sessions_in

    folders = [data, *sorted(path for path in data.rglob("*") if path.is_dir())]
    result = {}
    for folder in folders:
        if any(part.startswith(".") for part in folder.relative_to(data).parts):
            continue
        for session in sessions_in(folder):
            name = session.prefix.name
            result[name if name not in result else f"{folder.name}_{name}"] = session.prefix
    return result


def outcomes_of(
    work: Any, names: Sequence[str], cores: int, ready: Callable[..., Any], progress: Progress
) -> dict[str, Any]:
    """Do the work on recordings, several side by side, and return what came of each by its name.

    Args:
        work: a `flowhft.work.task.Work` whose task n is recording n.
        names: of the recordings.
        cores: processes; 0 for one a core of the machine.
        ready: run first in every process: (device, cores).
        progress: told how far all of it is.
    """
    from flowhft.simulate.spans import Span, Task
    from flowhft.work.pool import PoolExecutor, cores_for
    from flowhft.work.task import do_here

    results: dict[str, Any] = {}
    cores = cores_for(cores, len(names))
    executor = PoolExecutor(cores, ready) if cores > 1 else do_here
    tasks = [Task(Span(0, number, number, 1)) for number in range(len(names))]

    def tell(share: float, now: str) -> None:
        progress((len(results) + share) / len(names), now)

    with contextlib.closing(executor(work, tasks, tell)) as outcomes:  # type: ignore[type-var]
        task: Any
        for task, outcome in outcomes:
            results[names[task.span.number]] = outcome
            tell(0.0, f"{len(results)} of {len(names)} recordings")
    return {name: results[name] for name in names}
