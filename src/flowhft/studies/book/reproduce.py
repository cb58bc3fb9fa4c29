"""Makers that see the book on every recording of a folder, and the page of the results."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flowhft.errors import require
from flowhft.runs.folder import Run
from flowhft.runs.tables import units_of
from flowhft.stages.folder import RUNS
from flowhft.stages.stage import Listener, Silent, Stage
from flowhft.studies.book.outcomes import PHASES
from flowhft.studies.page import StudyResult, claim, settle, write_page
from flowhft.studies.recordings import outcomes_of, recordings_to_take
from flowhft.types import Progress

NAME = "reproduce book"
PAGE = "order-book.md"


@dataclass(frozen=True, kw_only=True)
class Reproduce(Stage):
    """Settings of the study."""

    data: Path | None = None
    """Folder of recordings, in folders of their own or not; the bundled recording if none is named."""
    recordings: tuple[str, ...] = ()
    """Names of the recordings to take, as the page has them; all by default. Others are not learned from."""
    phases: int = PHASES
    """Phases of the grid of decisions that results are means over."""
    cores: int = 0
    """Processes that work on recordings side by side; 0 for one a core of the machine."""
    docs: Path | None = None
    """File that the page order-book.md is copied to."""


def run(settings: Reproduce, listener: Listener | None = None) -> Path:
    """Do what is not done yet of every recording, and write down what all of them found.

    Args:
        settings: of the study.
        listener: told how it goes.

    Returns:
        The finished run folder.
    """
    from flowhft.studies.book.document import document
    from flowhft.studies.book.findings import tables_of

    listener = listener or Silent()
    require(settings.phases >= 1, "phases", "be at least 1", settings.phases)
    require(settings.cores >= 0, "cores", "be 0 or more", settings.cores)
    prefixes = recordings_to_take(settings.data, settings.recordings)
    folder = settings.out or RUNS / "reproduce-book"
    claim(folder, listener)
    with listener.stage("evaluate on recordings") as progress:
        outcomes = _outcomes(settings, prefixes, folder, progress)
    settle(folder)
    tables = tables_of(outcomes)

    def find(work: Path) -> StudyResult:
        units = {name: units_of(NAME, name) for name in tables}
        return StudyResult(tables, units, document(tables, typed(settings)), {})

    about = {"command": typed(settings), "recordings": list(prefixes)}
    done = {name: _digest(outcome) for name, outcome in outcomes.items()}
    write_page(Run(folder, NAME, about, settings.seed, done), PAGE, listener, find, settings.docs)
    return folder


def _digest(outcome: Mapping[str, Any]) -> str:
    """Return what tells the results of a recording from all others."""
    return hashlib.sha256(json.dumps(outcome, sort_keys=True).encode()).hexdigest()[:16]


def _alone(device: str, cores: int) -> None:
    """Prepare a process of the study: it needs nothing, since nobody simulates."""


def _outcomes(
    settings: Reproduce, prefixes: Mapping[str, Path], folder: Path, progress: Progress
) -> dict[str, Any]:
    """Judge on every recording, several at a time."""
    from flowhft.studies.book.stages import BookWork

    names = tuple(prefixes)
    paths = tuple(path.resolve() for path in prefixes.values())
    work = BookWork(paths, names, folder.resolve(), settings.phases, settings.seed)
    return outcomes_of(work, names, settings.cores, _alone, progress)


def typed(settings: Reproduce) -> str:
    """Return the command that makes the page, without folders that are nobody else's."""
    words = [f"flowhft {NAME}"]
    if settings.data:
        words.append("--data FOLDER")
    if settings.recordings:
        words.append(f"--recordings {','.join(settings.recordings)}")
    if settings.phases != PHASES:
        words.append(f"--phases {settings.phases}")
    return " ".join([*words, f"--seed {settings.seed}", f"--docs docs/{PAGE}"])
