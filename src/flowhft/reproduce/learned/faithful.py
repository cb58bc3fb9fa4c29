"""Faithful imitation: flow policies and controls that are told the market, beside their teacher.

What is left between the two is imitation alone: the network, the objective and the sampler.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flowhft.flow.settings import NetworkSettings, ObjectiveName, SamplerSettings
from flowhft.learn.fidelity import fidelity, train_told
from flowhft.learn.select import Teacher
from flowhft.learn.settings import TrainingSettings
from flowhft.market.presets import Preset
from flowhft.market.scenario import Scenario
from flowhft.reproduce.learned.settings import StudySettings
from flowhft.reproduce.learned.studies import FINEST

TEACHER = "glft_as_run"
MARKET: Preset = "paper"
BATCH, LEARNING_RATE = 512, 1e-3
OBJECTIVES: tuple[ObjectiveName, ...] = (
    "flow_matching",
    "flow_map",
    "shortcut",
    "regression",
    "minimal_iterative",
)
CONTROLS = {"regression": (1,), "minimal_iterative": (2,)}  # they allow no other number of evaluations


def faithful_in(
    objective: ObjectiveName,
    cells: Sequence[Scenario],
    settings: StudySettings,
    *,
    paths: int,
    seed: int,
    folder: Path | None = None,
) -> list[dict[str, Any]]:
    """Train one objective to imitate the teacher in random markets, and judge it in the cells.

    Args:
        objective: what the network learns.
        cells: of the paper's market; none of the random markets is one of them.
        settings: sizes: `imitation_updates`, `imitation_scenarios`, `sessions`, twice `width`.
        paths: sessions a cell.
        seed: of the run.
        folder: of checkpoints.

    Returns:
        One row per number of evaluations and cell: objective, steps, scenario, and pnl, sharpe, max_drawdown,
        spread_pnl, inventory relative to the teacher's on the same sessions (0.03 is 3 % more).
    """
    network = NetworkSettings(width=2 * settings.width, blocks=settings.blocks, finest=FINEST)
    training = TrainingSettings(
        objective=objective, updates=settings.imitation_updates, batch=BATCH, learning_rate=LEARNING_RATE
    )
    policy = train_told(
        TEACHER,
        MARKET,
        network,
        training,
        seed,
        scenarios=settings.imitation_scenarios,
        paths=settings.sessions,
        folder=folder,
    )
    numbers = CONTROLS.get(objective, settings.evaluations)
    asked = {str(steps): policy.with_sampler(SamplerSettings(steps=steps)) for steps in numbers}
    teachers = [Teacher(cell, TEACHER, cell.risk_aversion) for cell in cells]
    table = fidelity(asked, teachers, paths=paths, seed=seed)
    return [
        {"objective": objective, "steps": int(row.pop("policy")), "paths": paths, **row}
        for row in table.to_dicts()
    ]
