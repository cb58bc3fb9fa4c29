"""Faithful imitation: flow policies and controls that are told the market, beside their teacher.

What is left between the two is imitation alone: the network, the objective and the sampler. One evaluation is
set beside many of them likewise: of flow matching, which is another training or what was distilled, and of
the same network, where nothing but the sampler differs.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flowhft.features import Sensor
from flowhft.flow.policy import FlowPolicy, as_data
from flowhft.learn.demonstrations.dataset import Demonstrations
from flowhft.learn.imitation.distil import distil
from flowhft.learn.imitation.fidelity import privileged_demonstrations, relative_differences
from flowhft.learn.imitation.imitate import imitate
from flowhft.learn.settings import DistilSettings, TrainingSettings
from flowhft.policies.settings import NetworkSettings, ObjectiveName, SamplerSettings
from flowhft.scenarios.presets import Preset
from flowhft.scenarios.scenario import Scenario
from flowhft.simulate.market.market import build
from flowhft.simulate.quoting import closed_form
from flowhft.simulate.quoting.lab import in_lab
from flowhft.simulate.rollout import evaluate_together
from flowhft.studies.learned.settings import StudySettings
from flowhft.studies.learned.studies import DISTILLED, FINEST
from flowhft.studies.learned.wins import AGAINST_EULER, AGAINST_ITSELF, AGAINST_TEACHER, THREE

TEACHER = "glft_as_run"
MARKET: Preset = "paper"
BATCH, LEARNING_RATE = 512, 1e-3
# What imitates the teacher; `rectified` is distilled from the first of them.
OBJECTIVES: tuple[ObjectiveName, ...] = (
    "flow_matching",
    "flow_map",
    "shortcut",
    "regression",
    "minimal_iterative",
)
# They are asked so often: controls allow no other number, and of what was distilled one is the point.
ASKED = {"regression": (1,), "minimal_iterative": (2,), DISTILLED: (1,)}
COMPARED = (*THREE, "spread_pnl", "rms_inventory")


def taught(settings: StudySettings, seed: int) -> tuple[Demonstrations, Sensor]:
    """Let the teacher demonstrate in random markets, none of which is a test cell.

    Args:
        settings: sizes: `imitation_scenarios`, `sessions`.
        seed: of the run.
    """
    return privileged_demonstrations(
        TEACHER, MARKET, seed, scenarios=settings.imitation_scenarios, paths=settings.sessions
    )


def imitate_faithfully(
    objective: ObjectiveName,
    demonstrations: Demonstrations,
    sensor: Sensor,
    settings: StudySettings,
    seed: int,
    folder: Path | None = None,
) -> FlowPolicy:
    """Train one objective to imitate the teacher.

    Args:
        objective: what the network learns.
        demonstrations: from `taught`.
        sensor: likewise.
        settings: sizes: `imitation_updates`, twice `width`.
        seed: of the run.
        folder: of checkpoints: a training that is finished there is read back.
    """
    network = NetworkSettings(
        features="told", width=2 * settings.width, blocks=settings.blocks, finest=FINEST
    )
    training = TrainingSettings(
        objective=objective, updates=settings.imitation_updates, batch=BATCH, learning_rate=LEARNING_RATE
    )
    return imitate(demonstrations, sensor, network, training, seed, folder)[0]


def distil_faithfully(
    policy: FlowPolicy,
    demonstrations: Demonstrations,
    settings: StudySettings,
    seed: int,
    folder: Path | None = None,
) -> FlowPolicy:
    """Distil the most steps of flow matching into one.

    Args:
        policy: of flow matching, from `imitate_faithfully`.
        demonstrations: from `taught`.
        settings: sizes: `distil_updates`.
        seed: of the run.
        folder: of checkpoints.
    """
    many = policy.with_sampler(SamplerSettings(steps=max(settings.evaluations)))
    distilling = DistilSettings(updates=settings.distil_updates, batch=BATCH, learning_rate=LEARNING_RATE)
    return distil(many, demonstrations, distilling, seed, folder)[0]


def faithful_in(
    cell: Scenario,
    cells: Sequence[Scenario],
    policies: Mapping[ObjectiveName, FlowPolicy],
    settings: StudySettings,
    seed: int,
) -> list[dict[str, Any]]:
    """Judge what was trained in one cell, all on the same sessions.

    Args:
        cell: of the paper's market.
        cells: all of them: they share compiled programs.
        policies: objective -> policy that is told the market.
        settings: sizes: `imitation_paths` sessions; `evaluations` a quote, but for `ASKED`.
        seed: of the run.

    Returns:
        One row per policy, number of evaluations and rival: objective, steps, scenario, against, paths; and
        for M of pnl, sharpe, max_drawdown, spread_pnl, rms_inventory the difference relative to the rival's
        (0.03 is 3 % more), with the ends of its paired interval, `M_low` and `M_high`.
    """
    asked = [(o, steps) for o in policies for steps in ASKED.get(o, settings.evaluations)]
    quoting = [
        in_lab(as_data(policies[objective].with_sampler(SamplerSettings(steps=steps))), cell)
        for objective, steps in asked
    ]
    teacher, *learned = evaluate_together(
        build(cell, like=list(cells)),
        [closed_form(TEACHER, cell, cell.risk_aversion), *quoting],
        paths=settings.imitation_paths,
        seed=seed,
        scenario=f"fidelity/{cell.name}",
    )
    result, most = dict(zip(asked, learned, strict=True)), max(settings.evaluations)
    rows = []
    for (objective, steps), measures in result.items():
        rivals = {AGAINST_TEACHER: teacher}
        if objective != "flow_matching" and ("flow_matching", most) in result:
            rivals[AGAINST_EULER] = result["flow_matching", most]
        if steps != most and (objective, most) in result:
            rivals[AGAINST_ITSELF] = result[objective, most]
        for rival, others in rivals.items():
            row: dict[str, Any] = {"objective": objective, "steps": steps, "scenario": cell.name}
            row |= {"against": rival, "paths": settings.imitation_paths}
            for name, difference in relative_differences(measures, others, COMPARED).items():
                row |= {name: difference.value}
                row |= {f"{name}_low": difference.low, f"{name}_high": difference.high}
            rows.append(row)
    return rows
