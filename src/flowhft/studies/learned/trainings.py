"""Small trainings: a classroom of experts in spread training scenarios, and policies that learn in it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np

from flowhft.desk.compiled.freeze import freeze
from flowhft.desk.compiled.latency import measure_latency
from flowhft.features import Sensor
from flowhft.flow.policy import FlowPolicy, as_data
from flowhft.learn.demonstrations.dataset import Demonstrations
from flowhft.learn.demonstrations.demonstrate import record
from flowhft.learn.demonstrations.episodes import Episodes
from flowhft.learn.demonstrations.sensing import features_of
from flowhft.learn.imitation.distil import distil
from flowhft.learn.imitation.imitate import imitate
from flowhft.learn.settings import DistilSettings, TrainingSettings
from flowhft.metrics.measures import PathValues
from flowhft.metrics.table import METRICS, score
from flowhft.policies.settings import NetworkSettings, SamplerSettings
from flowhft.runs.folder import stream
from flowhft.scenarios.presets import Preset, find_scenarios, paper_train
from flowhft.scenarios.scenario import Scenario
from flowhft.scenarios.sensor import sensor_for
from flowhft.simulate.many import evaluate_many
from flowhft.simulate.market.market import build
from flowhft.simulate.quoting import closed_form
from flowhft.simulate.quoting.lab import in_lab
from flowhft.studies.learned.settings import StudySettings
from flowhft.studies.learned.studies import BEST, DISTILLED, FINEST, TEACHERS, Variant
from flowhft.studies.learned.wins import THREE

MARKET: Preset = "paper"
STEP = 0.01  # seconds: one length of session, so that all share their programs
BATCH = 256
LEARNING_RATE = 1e-3
SELECTION_PATHS = 400
TIMED = "objectives"  # the study whose decisions are timed, frozen, on this machine
TIMED_CALLS = 1_000


@dataclass(frozen=True)
class Classroom:
    """Where small trainings take place.

    Attributes:
        scenarios: of the training grid, drawn once; instructors are the first of them.
        best: the expert of most utility in each.
        cells: in which what was learned is judged.
        experts: cell -> expert -> what it comes to there, on the paths that judge the learners.
        trained: what was trained already, by variant and seed: studies share variants.
    """

    scenarios: tuple[Scenario, ...]
    best: tuple[str, ...]
    cells: tuple[Scenario, ...]
    experts: Mapping[str, Mapping[str, dict[str, float]]]
    trained: dict[Any, FlowPolicy] = field(default_factory=dict)


@lru_cache(maxsize=2)
def classroom(settings: StudySettings, seed: int) -> Classroom:
    """Draw the training scenarios, find the best expert of each, and judge experts in the cells.

    Args:
        settings: sizes.
        seed: of the run.
    """
    grid = [scenario for scenario in paper_train(MARKET).values() if scenario.dt == STEP]
    drawn = np.random.default_rng(stream(seed, "studies", "scenarios")).permutation(len(grid))
    scenarios = tuple(grid[i] for i in drawn[: settings.scenarios])
    best = []
    for scenario in scenarios:
        result = _evaluated_experts(scenario, scenarios, SELECTION_PATHS, seed, "selection")
        best.append(max(TEACHERS, key=lambda name: result[name]["utility"]))
    cells = tuple(find_scenarios(settings.cells, MARKET))
    experts = {cell.name: _evaluated_experts(cell, cells, settings.paths, seed, "judge") for cell in cells}
    return Classroom(scenarios, tuple(best), cells, experts)


def _evaluated_experts(
    scenario: Scenario, like: tuple[Scenario, ...], paths: int, seed: int, name: str
) -> dict[str, dict[str, float]]:
    policies = [closed_form(expert, scenario, 1.0) for expert in TEACHERS]
    result = evaluate_many(
        build(scenario, like=list(like)),
        policies,
        paths=paths,
        seed=seed,
        scenario=f"studies/{name}/{scenario.name}",
    )
    return {expert: summary_of(one) for expert, one in zip(TEACHERS, result, strict=True)}


def summary_of(measures: Mapping[str, PathValues]) -> dict[str, float]:
    """Return the paper's three metrics and the utility."""
    return {
        name: METRICS[name].estimator(np.asarray(measures[METRICS[name].of], np.float64))[0] for name in THREE
    } | {"utility": score(measures, "utility")[0]}


def demonstrations_for(
    room: Classroom, variant: Variant, settings: StudySettings, seed: int
) -> tuple[Demonstrations, Sensor]:
    """Let the instructors of a variant demonstrate.

    A small data set is repeated until it has as many sessions as the largest: what is drawn from it is the
    same, and trainings share their compiled programs.

    Args:
        room: with its scenarios.
        variant: whose instructors.
        settings: sizes.
        seed: of the training.
    """
    seen, quoted = [], []
    sensor = sensor_for(room.scenarios[0])
    for scenario, best in list(zip(room.scenarios, room.best, strict=True))[: variant.scenarios]:
        expert = best if variant.teacher == BEST else variant.teacher
        for first in range(0, variant.sessions, settings.sessions):
            episodes = Episodes(scenario, expert, 1.0, chosen=True, first=first, paths=settings.sessions)
            trajectory = record(episodes, seed, like=room.scenarios)
            seen.append(features_of(sensor, variant.features, trajectory))
            quoted.append(np.stack(trajectory.quote[:2], axis=-1).astype(np.float32))
    whole = np.resize(np.arange(len(seen) * settings.sessions), settings.scenarios * settings.sessions)
    return Demonstrations(np.concatenate(seen)[whole], np.concatenate(quoted)[whole]), sensor


def train(room: Classroom, variant: Variant, settings: StudySettings, seed: int, number: int) -> FlowPolicy:
    """Train one policy.

    Args:
        room: with its scenarios.
        variant: how.
        settings: sizes.
        seed: of the run.
        number: of the training: data, initial weights and batches are its own.
    """
    key: tuple[Any, ...] = (
        variant.teacher,
        variant.scenarios,
        variant.sessions,
        variant.features,
        variant.horizon,
    )
    key = (*key, variant.objective, settings, seed, number)
    if key not in room.trained:
        own = stream(seed, "studies", "training", number)
        demonstrations, sensor = demonstrations_for(room, variant, settings, own)
        if variant.objective == DISTILLED:
            flow = train(room, replace(variant, objective="flow_matching"), settings, seed, number)
            many = flow.with_sampler(SamplerSettings(steps=max(settings.evaluations)))
            distilling = DistilSettings(
                updates=settings.distil_updates, batch=BATCH, learning_rate=LEARNING_RATE
            )
            room.trained[key] = distil(many, demonstrations, distilling, own)[0]
            return room.trained[key]
        network = NetworkSettings(
            features=variant.features,  # type: ignore[arg-type]
            horizon=variant.horizon,
            width=settings.width,
            blocks=settings.blocks,
            finest=FINEST,
        )
        training = TrainingSettings(
            objective=variant.objective, updates=settings.updates, batch=BATCH, learning_rate=LEARNING_RATE
        )
        room.trained[key] = imitate(demonstrations, sensor, network, training, own)[0]
    return room.trained[key]


def try_variant(
    room: Classroom, variant: Variant, settings: StudySettings, seed: int
) -> list[dict[str, Any]]:
    """Train a variant from every seed, and judge all of its samplers in the cells.

    Args:
        room: from `classroom`.
        variant: to try.
        settings: sizes.
        seed: of the run.

    Returns:
        One row per seed, sampler and cell: the fields of the variant and of the sampler, `latency_us` (median
        time of a frozen decision on this machine, where it was measured), pnl, sharpe,
        max_drawdown, utility of the policy, and `teacher_M` of the teacher told the cell (of `BEST`: the
        expert of most utility there), on the same paths.
    """
    policies = [train(room, variant, settings, seed, number) for number in range(settings.seeds)]
    asked = [(number, sampler) for sampler in variant.samplers for number in range(settings.seeds)]
    quoting = [as_data(policies[number].with_sampler(sampler)) for number, sampler in asked]
    timed: dict[SamplerSettings, float] = {}
    if variant.study == TIMED:  # of the network alone: whatever its weights are
        for sampler in variant.samplers:
            timed[sampler] = measure_latency(
                freeze(as_data(policies[0].with_sampler(sampler))), TIMED_CALLS
            ).p50_us
    rows = []
    for cell in room.cells:
        result = evaluate_many(
            build(cell, like=list(room.cells)),
            [in_lab(policy, cell) for policy in quoting],
            paths=settings.paths,
            seed=seed,
            scenario=f"studies/judge/{cell.name}",
        )
        experts = room.experts[cell.name]
        teacher = variant.teacher
        if teacher == BEST:
            teacher = max(experts, key=lambda name: experts[name]["utility"])
        for (number, sampler), measures in zip(asked, result, strict=True):
            rows.append(
                _described(variant, sampler)
                | {"seed": number, "scenario": cell.name, "expert": teacher, "paths": settings.paths}
                | {"latency_us": timed.get(sampler)}
                | summary_of(measures)
                | {f"teacher_{name}": value for name, value in experts[teacher].items()}
            )
    return rows


def _described(variant: Variant, sampler: SamplerSettings) -> dict[str, Any]:
    return {
        "study": variant.study,
        "variant": variant.name,
        "teacher": variant.teacher,
        "instructors": variant.scenarios,
        "sessions": variant.sessions,
        "features": variant.features,
        "horizon": variant.horizon,
        "objective": variant.objective,
        "steps": sampler.steps,
        "execute": sampler.execute,
        "noise_scale": sampler.noise_scale,
        "noise": sampler.noise,
    }
