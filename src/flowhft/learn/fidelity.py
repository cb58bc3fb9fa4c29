"""Fidelity: how near a policy's sessions are to its teacher's, when it is told what the teacher is told.

The recipe of a faithful imitation: a random family of markets (no test cell among them), one teacher in all
of them, and a policy that is told the regime. What is left between the two is imitation alone: the network,
the objective and the sampler.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from flowhft.flow.policy import FlowPolicy
from flowhft.flow.settings import NetworkSettings
from flowhft.learn import dataset
from flowhft.learn.demonstrate import record
from flowhft.learn.imitate import imitate
from flowhft.learn.lessons import Lesson
from flowhft.learn.recorded import Shown
from flowhft.learn.select import Teacher
from flowhft.learn.settings import TrainingSettings
from flowhft.market.market import build
from flowhft.market.presets import Preset, scenario_in
from flowhft.market.scenario import Scenario
from flowhft.market.sensor import sensor_for
from flowhft.policies import closed_form
from flowhft.policies.source import LearnedSource
from flowhft.rollout import judge_together
from flowhft.runs import stream
from flowhft.types import Progress, no_progress

# Ranges around the paper's test cells, none of which is a member: lowest, highest.
VOLATILITY = (0.01, 0.45)
BASE_INTENSITY = (15.0, 70.0)
HURST = (0.155, 0.845)
DRIFT = (-0.01, 0.04)
NO_MEMORY = 0.35  # share of markets whose price has none, Hurst exponent 0.5 exactly


def random_markets(count: int, market: Preset, seed: int) -> list[Scenario]:
    """Draw markets around the paper's test cells: volatility log-uniform, the rest uniform, jumps as there.

    Args:
        count: how many.
        market: preset that says all that is not drawn.
        seed: of the draw.
    """
    random = np.random.default_rng(stream(seed, "random markets"))
    drawn = []
    for number in range(count):
        hurst = 0.5 if random.uniform() < NO_MEMORY else random.uniform(*HURST)
        drawn.append(
            scenario_in(
                market,
                f"random.{number}",
                hurst_exponent=float(hurst),
                volatility=float(np.exp(random.uniform(*np.log(VOLATILITY)))),
                base_intensity=float(random.uniform(*BASE_INTENSITY)),
                drift=float(random.uniform(*DRIFT)),
            )
        )
    return drawn


def train_told(
    expert: str,
    market: Preset,
    network: NetworkSettings,
    training: TrainingSettings,
    seed: int,
    *,
    scenarios: int = 200,
    paths: int = 40,
    risk_aversion: float | None = None,
    folder: Path | None = None,
    progress: Progress = no_progress,
) -> FlowPolicy:
    """Train a policy to imitate one expert in any market around the test cells, told the regime.

    Args:
        expert: who teaches; what it knows must follow from the regime and the context.
        market: preset.
        network: shape; its features become `told`.
        training: objective and updates.
        seed: of the markets, the sessions and the training.
        scenarios: markets that are demonstrated.
        paths: sessions in each.
        risk_aversion: gamma, 1 / (tick x lot); each scenario's own if none is given.
        folder: of checkpoints; None for none.
        progress: told the share done.
    """
    family = random_markets(scenarios, market, seed)
    shown = []
    for scenario in family:
        gamma = scenario.risk_aversion if risk_aversion is None else risk_aversion
        lesson = Lesson(scenario, expert, gamma, chosen=True, first=0, paths=paths)
        trajectory = record(lesson, stream(seed, "fidelity"), like=family)
        shown.append(Shown(scenario, expert, gamma, trajectory.observation, trajectory.quote))
    sensor = sensor_for(family[0])
    demonstrations = dataset.sensed(shown, sensor, "told")
    policy, _ = imitate(
        demonstrations, sensor, replace(network, features="told"), training, seed, folder, progress
    )
    return policy


def fidelity(
    policies: dict[str, FlowPolicy],
    teachers: Sequence[Teacher],
    *,
    paths: int,
    seed: int,
    progress: Progress = no_progress,
) -> pl.DataFrame:
    """Compare policies with their teachers, scenario by scenario, on the same sessions.

    Args:
        policies: by name; told the scenario if they were trained to be.
        teachers: one a scenario.
        paths: sessions in each.
        seed: of the run.
        progress: told after every scenario.

    Returns:
        One row a scenario and policy: pnl, sharpe and max_drawdown as relative differences from the teacher's
        (0.03 is 3 % more), and the same of what moves least by chance: spread_pnl, and the root mean square
        inventory.
    """
    family = [teacher.scenario for teacher in teachers]
    rows = []
    for index, teacher in enumerate(teachers):
        scenario = teacher.scenario
        quoting = [
            closed_form(teacher.expert, scenario, teacher.risk_aversion),
            *(LearnedSource(policy).in_market(scenario) for policy in policies.values()),
        ]
        measured = judge_together(
            build(scenario, like=family),
            quoting,
            paths=paths,
            seed=seed,
            scenario=f"fidelity/{scenario.name}",
        )
        taught, *learned = (_numbers(measures) for measures in measured)
        for name, found in zip(policies, learned, strict=True):
            differences = {key: value / taught[key] - 1.0 for key, value in found.items()}
            rows.append({"scenario": scenario.name, "policy": name, **differences})
        progress((index + 1) / len(teachers), scenario.name)
    return pl.DataFrame(rows)


def _numbers(measures: dict[str, np.ndarray]) -> dict[str, float]:
    pnl = measures["pnl"]
    return {
        "pnl": float(np.mean(pnl)),
        "sharpe": float(np.mean(pnl) / np.std(pnl, ddof=1)),
        "max_drawdown": float(np.mean(measures["max_drawdown"])),
        "spread_pnl": float(np.mean(measures["spread_pnl"])),
        "inventory": float(np.sqrt(np.mean(measures["mean_square_inventory"]))),
    }
