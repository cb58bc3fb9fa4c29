"""Episodes: what one teacher shows in one scenario, and how many of them make a data set.

Episodes are a range of simulated sessions. Nothing here imports jax: they are planned, listed and chosen
at the edge, and recorded (`flowhft.learn.demonstrations.demonstrate`) only where paths are simulated.
"""

from collections.abc import Sequence
from typing import NamedTuple

import polars as pl

from flowhft.errors import UnknownNameError, UsageError
from flowhft.learn.settings import DataSettings
from flowhft.runs import tables
from flowhft.scenarios.scenario import Scenario

# Rows of a shard, about: what a killed run loses at most, and what a worker is given at once.
SHARD_ROWS = 150_000

UNITS = tables.units_of("demonstrate", "lessons")


class Episodes(NamedTuple):
    """The sessions `first` to `first + paths - 1` of a teacher in a scenario.

    Attributes:
        scenario: where.
        expert: who quotes.
        risk_aversion: with which gamma, 1 / (tick x lot).
        chosen: whether this expert was the best one there; others demonstrate to be compared with it.
        first: index of the first session; the same index is the same market for every teacher.
        paths: how many.
    """

    scenario: Scenario
    expert: str
    risk_aversion: float
    chosen: bool
    first: int
    paths: int

    @property
    def rows(self) -> int:
        """Return the number of pairs of observation and quote."""
        return self.paths * self.scenario.steps


def plan(sets: Sequence[Episodes], rows: int = SHARD_ROWS) -> list[list[Episodes]]:
    """Divide episodes among shards, in their order; what is too long for a shard becomes several.

    The plan follows from the episodes alone, so that a resumed run divides them as the first one did.

    Args:
        sets: to be recorded.
        rows: of a shard, at most (a single session may be longer).
    """
    shards: list[list[Episodes]] = []
    room = 0
    for episodes in sets:
        done = 0
        while done < episodes.paths:
            if room < episodes.scenario.steps:
                shards.append([])
                room = max(rows, episodes.scenario.steps)
            paths = min(episodes.paths - done, room // episodes.scenario.steps)
            shards[-1].append(episodes._replace(first=episodes.first + done, paths=paths))
            done += paths
            room -= paths * episodes.scenario.steps
    return shards


def choose(sets: pl.DataFrame, settings: DataSettings) -> pl.DataFrame:
    """Choose what to learn from.

    Args:
        sets: the table of a data set (`flowhft.learn.demonstrations.dataset_files.read_episodes`).
        settings: which scenarios, teachers and sessions.

    Returns:
        The rows that are kept, `paths` cut to the sessions that are.

    Raises:
        UnknownNameError: nothing of a scenario or teacher was recorded.
        UsageError: nothing is left.
    """
    kept = sets
    for kind, column, names in (
        ("scenario", "scenario", settings.scenarios),
        ("teacher", "expert", settings.teachers),
    ):
        known = sets[column].unique().to_list()
        for name in names:
            if name not in known:
                raise UnknownNameError(kind, name, known, "It has no lessons in this data set.")
        if names:
            kept = kept.filter(pl.col(column).is_in(list(names)))
    if not settings.teachers:
        kept = kept.filter(pl.col("chosen"))
    if settings.sessions:
        left = settings.sessions - pl.col("first")
        kept = kept.filter(left > 0).with_columns(paths=pl.min_horizontal("paths", left))
    if kept.is_empty():
        raise UsageError(
            "`teachers` must have lessons in the scenarios that are asked for; received "
            f"{', '.join(settings.teachers)}, without any there. Name others."
        )
    return kept
