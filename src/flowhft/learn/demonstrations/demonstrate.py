"""Demonstrations: the trajectories of the experts that teach, reduced to what was seen and quoted.

There is no second data format: a demonstration is a simulated `Trajectory`. What is kept of it is raw, the
observations and the quotes; features are made of them by the one feature function when they are learned from
(`flowhft.learn.demonstrations.dataset`), so that one data set serves every kind of features.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from flowhft.learn.demonstrations.dataset_files import STEP_UNITS
from flowhft.learn.demonstrations.episodes import Episodes
from flowhft.learn.select import Teacher
from flowhft.scenarios.scenario import Scenario
from flowhft.simulate.job import alike
from flowhft.simulate.market.market import build
from flowhft.simulate.quoting import closed_form
from flowhft.simulate.rollout import rollout
from flowhft.simulate.spans import Span, Task
from flowhft.types import Progress, Quote, Trajectory, no_progress

# In units of 1 / k. A quote further away is hardly ever filled (one order in 400 that would reach the mid):
# to the learner all of them mean "not quoted", and how far away they are would only stretch its scales.
FURTHEST = 6.0

WHOLE = ("inventory", "arrivals_bid", "arrivals_ask", "filled_bid", "filled_ask")


def episodes_of(teachers: Sequence[Teacher], others: Sequence[Teacher], paths: int) -> list[Episodes]:
    """Return the episodes of a data set, scenario by scenario.

    Args:
        teachers: who was chosen where.
        others: who demonstrates besides; one that was chosen there is not taken twice.
        paths: sessions of each.
    """
    beside: dict[str, list[Teacher]] = {}
    for other in others:
        beside.setdefault(other.scenario.name, []).append(other)
    return [
        Episodes(*teacher, chosen=teacher is best, first=0, paths=paths)
        for best in teachers
        for teacher in (best, *(o for o in beside.get(best.scenario.name, ()) if o.expert != best.expert))
    ]


def record(episodes: Episodes, seed: int, like: Sequence[Scenario] = ()) -> Trajectory:
    """Let a teacher quote in its scenario.

    Args:
        episodes: who, where, which sessions.
        seed: of the run; the paths are those of its stream "demonstrations", the same for all teachers.
        like: scenarios of the same data set, with which it shares compiled programs.

    Returns:
        A trajectory, arrays of shape (path, step), half-spreads capped at 6 / k, which stands for a side
        that is not quoted too.
    """
    scenario = episodes.scenario
    trajectory = rollout(
        build(scenario, like=alike(scenario, [scenario, *like])),
        closed_form(episodes.expert, scenario, episodes.risk_aversion),
        paths=episodes.paths,
        seed=seed,
        scenario=f"demonstrations/{scenario.name}",
        first=episodes.first,
    )
    widest = FURTHEST / scenario.fill_decay
    bid, ask, size_bid, size_ask = trajectory.quote
    # fmin: what is not quoted is the furthest too.
    bid, ask = (
        np.where(size > 0.0, np.fmin(side, widest), widest)
        for side, size in ((bid, size_bid), (ask, size_ask))
    )
    return trajectory._replace(quote=Quote(bid, ask, size_bid, size_ask))


def to_table(trajectory: Trajectory, first: int) -> pl.DataFrame:
    """Lay out what a teacher saw and quoted: one row a step, the columns of `STEP_UNITS`.

    Args:
        trajectory: arrays of shape (path, step).
        first: number of the first session in the data set.

    Returns:
        Whole numbers in 16 bits and the rest in single precision: exact, since that is how they were
        simulated. Numbers that ought to be whole and are not, or do not fit, stay in single precision.
    """
    paths, steps = np.shape(trajectory.quote.half_spread_bid)
    seen = trajectory.observation._asdict() | trajectory.quote._asdict()
    columns = {name: np.asarray(seen[name], np.float32).ravel() for name in STEP_UNITS if name in seen}
    return pl.DataFrame(
        {
            "path": np.repeat(np.arange(first, first + paths, dtype=np.int32), steps),
            "step": np.tile(np.arange(steps, dtype=np.int32), paths),
            **{name: _whole(values) if name in WHOLE else values for name, values in columns.items()},
        }
    )


@dataclass(frozen=True)
class Course:
    """The recording of a data set, shard by shard (a `flowhft.work.task.Work`).

    Attributes:
        shards: the episodes of each (`flowhft.learn.demonstrations.episodes.plan`).
        scenarios: of the data set.
        seed: of the run.
    """

    shards: Sequence[Sequence[Episodes]]
    scenarios: Sequence[Scenario]
    seed: int

    def tasks(self) -> list[Task]:
        """Return one task a shard: its number, its first session in the data set, and how many it has."""
        tasks, first = [], 0
        for number, sets in enumerate(self.shards):
            paths = sum(episodes.paths for episodes in sets)
            tasks.append(Task(Span(scenario=number, number=0, first=first, paths=paths)))
            first += paths
        return tasks

    def prepare(self, scenario: int) -> None:
        """Return nothing: episodes have nothing in common but compiled programs."""

    def do(self, prepared: None, task: Task, progress: Progress = no_progress) -> pl.DataFrame:
        """Record the episodes of a shard, one after the other (see `to_table`)."""
        tables, first = [], task.span.first
        for episodes in self.shards[task.span.scenario]:
            done = (first - task.span.first) / task.span.paths
            progress(done, f"{episodes.expert} in {episodes.scenario.name}")
            tables.append(to_table(record(episodes, self.seed, self.scenarios), first))
            first += episodes.paths
        return pl.concat(tables, how="vertical_relaxed")


def _whole(values: np.ndarray) -> np.ndarray:
    small = np.clip(np.nan_to_num(values), -32_768, 32_767).astype(np.int16)
    return small if np.array_equal(small.astype(np.float32), values) else values
