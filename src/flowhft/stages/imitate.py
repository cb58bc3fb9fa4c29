"""Imitate: train a flow policy on what experts showed."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from flowhft.errors import require
from flowhft.features.sensor import NO_SENSOR, Sensor
from flowhft.flow.objectives import OBJECTIVES, Objective
from flowhft.flow.policy import FlowPolicy, as_data
from flowhft.learn.demonstrations.book import student_of
from flowhft.learn.demonstrations.book_files import is_of_books, read_teaching
from flowhft.learn.demonstrations.dataset import Demonstrations, sensed
from flowhft.learn.demonstrations.dataset_files import Shown, read_episodes, read_shown
from flowhft.learn.demonstrations.episodes import choose
from flowhft.learn.imitation.examine import examination, teachers_in
from flowhft.learn.imitation.fit import kept_row
from flowhft.learn.imitation.imitate import imitate as fitted
from flowhft.learn.settings import DataSettings, TrainingSettings
from flowhft.policies.file import save_policy
from flowhft.policies.flow import Flow
from flowhft.policies.names import Named
from flowhft.policies.plans import PLANS
from flowhft.policies.settings import NetworkSettings
from flowhft.runs.folder import plain
from flowhft.scenarios.sensor import sensor_for
from flowhft.simulate.devices import prepare
from flowhft.types import Progress, no_progress

NETWORK, TRAINING, DATA = NetworkSettings(), TrainingSettings(), DataSettings()


class Imitation(NamedTuple):
    """A policy that was trained, and how that went.

    Attributes:
        policy: it, ready to be evaluated, replayed and adapted.
        flow: the network behind it with its scales and sampler.
        curve: losses and results in closed loop, one row per 100 updates.
        kept: the row of the curve at which it was kept.
        how: settings and seed, as a policy file remembers them.
    """

    policy: Named
    flow: FlowPolicy
    curve: pl.DataFrame
    kept: Mapping[str, Any]
    how: Mapping[str, Any]

    def save(self, path: Path | str, **more: Any) -> None:
        """Write the policy as one .safetensors file, which every command and function takes by its path.

        Args:
            path: of the file.
            **more: what its header says besides, what JSON can hold.
        """
        save_policy(path, replace(self.policy.policy, training={**self.how, **more}))


def imitate(
    demonstrations: Path | str | Sequence[Shown],
    *,
    objective: str | Objective | None = None,
    data: DataSettings = DATA,
    network: NetworkSettings = NETWORK,
    training: TrainingSettings = TRAINING,
    seed: int = 0,
    name: str = "imitated",
    checkpoints: Path | None = None,
    progress: Progress = no_progress,
) -> Imitation:
    """Train a flow policy on demonstrations.

    Args:
        demonstrations: run folder of `flowhft demonstrate` or `flowhft teach`; or what teachers showed,
            scenario by scenario.
        objective: what is learned: a name, or an objective of your own, which its name then stands for in
            this process; None for that of the settings.
        data: which episodes of the folder are learned from.
        network: shape of the network.
        training: updates, batch, how the optimiser moves, when it is examined in closed loop and stops.
        seed: of the split, the initial weights and every batch.
        name: what tables call the policy.
        checkpoints: folder from which an interrupted training resumes; None to keep nothing.
        progress: told the share done.

    Raises:
        UsageError: the demonstrations do not fit the settings.
        DataError: the folder holds no demonstrations, or they are damaged.
    """
    prepare()
    if objective is not None:
        training = replace(training, objective=_known(objective))  # type: ignore[arg-type]
    examined, core_of = None, _itself
    if isinstance(demonstrations, Path | str) and is_of_books(Path(demonstrations)):
        what = "be book for demonstrations of a maker that sees the order book"
        require(
            network.features == "book", "features", what, network.features, "Say --network.features book."
        )
        progress(0.0, "reading the demonstrations")
        maker, seen = read_teaching(Path(demonstrations))
        sensor, core_of = NO_SENSOR, partial(student_of, maker)
    elif isinstance(demonstrations, Path | str):
        episodes, scenarios = read_episodes(Path(demonstrations))
        episodes = choose(episodes, data)
        progress(0.0, "sensing the demonstrations")
        shown = list(read_shown(Path(demonstrations), episodes, scenarios))
        if training.examine_scenarios:
            progress(0.0, "letting the teachers trade, to be compared with")
            examined = examination(
                teachers_in(episodes, scenarios), training.examine_scenarios, training.examine_paths, seed
            )
        sensor, seen = _sensed(shown, network)
    else:
        sensor, seen = _sensed(list(demonstrations), network)
    policy, curve = fitted(seen, sensor, network, training, seed, checkpoints, progress, examined=examined)
    return Imitation(
        Named(name, name, replace(as_data(policy), core=core_of(policy.data()))),
        policy,
        curve,
        curve.row(kept_row(curve, training), named=True),
        {"seed": seed, "settings": plain(training)},
    )


def _sensed(shown: Sequence[Shown], network: NetworkSettings) -> tuple[Sensor, Demonstrations]:
    """Return the scales of a learner and what it senses of what teachers showed in simulated markets."""
    require(len(shown) > 0, "demonstrations", "hold what one teacher showed at least", 0)
    sensor = sensor_for(shown[0].scenario)
    return sensor, sensed(shown, sensor, network.features)


def _itself(flow: Flow) -> Any:
    """Return what quotes with a flow that was trained: itself."""
    return flow


def _known(objective: str | Objective) -> str:
    """Return the name of an objective; one that is not in the tables is put there, with its plan.

    Raises:
        UsageError: another one has its name, or nothing says how it is sampled.
    """
    if isinstance(objective, str):
        return objective
    known = OBJECTIVES.get(objective.name, objective)
    require(known is objective, "objective", "have a name of its own", f"'{objective.name}'", "Rename it.")
    if objective.plan is not None:
        PLANS.setdefault(objective.name, objective.plan)
    fix = "Give it one of `flowhft.policies.plans`, or one like these."
    require(objective.name in PLANS, "plan", "say how a new objective is sampled", objective.plan, fix)
    OBJECTIVES[objective.name] = objective
    return objective.name
