"""What all stages have in common: a seed, a folder, and whoever listens while one runs."""

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from flowhft.types import Progress, no_progress


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Settings of what leaves a run folder; its other fields are its own, and are all in the manifest."""

    seed: int = 0
    """Seed of every random stream of the run."""
    out: Path | None = None
    """Folder for the results; the same command again resumes or reuses what is in it."""


class Listener(Protocol):
    """Whoever waits for a stage, and wants to know how it goes: a terminal, a notebook, nobody.

    Attributes:
        where: the folder that holds what is finished so far; set by the first stage that begins.
    """

    where: Path | None

    def stage(self, title: str) -> AbstractContextManager[Progress]:
        """Return a context that lasts as long as something does; yields what is told how far it is."""

    def note(self, text: str) -> None:
        """Take note of something that a person should know: a warning, or that nothing was to be done."""


class Silent:
    """A listener that says nothing, and hands on how far a stage is.

    Args:
        progress: called with the share that is done and what is done now.
    """

    def __init__(self, progress: Progress = no_progress) -> None:
        self.where: Path | None = None
        self.notes: list[str] = []
        self._progress = progress

    @contextlib.contextmanager
    def stage(self, title: str) -> Iterator[Progress]:
        """Yield what hands on how far something is."""
        yield self._progress

    def note(self, text: str) -> None:
        """Remember a note."""
        self.notes.append(text)
