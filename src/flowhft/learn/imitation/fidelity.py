"""Fidelity: how near a policy's sessions are to its teacher's, when it is told what the teacher is told.

The recipe of a faithful imitation: a random family of markets (no test cell among them), one teacher in all
of them, and a policy that is told the regime. What is left between the two is imitation alone: the network,
the objective and the sampler.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from flowhft.features import Sensor
from flowhft.learn.demonstrations import dataset
from flowhft.learn.demonstrations.dataset import Demonstrations
from flowhft.learn.demonstrations.dataset_files import Shown
from flowhft.learn.demonstrations.demonstrate import record
from flowhft.learn.demonstrations.episodes import Episodes
from flowhft.metrics.estimators import CONFIDENCE, interval
from flowhft.metrics.measures import PathValues
from flowhft.metrics.table import METRICS
from flowhft.runs.folder import stream
from flowhft.scenarios.presets import Preset, scenario_in
from flowhft.scenarios.scenario import Scenario
from flowhft.scenarios.sensor import sensor_for
from flowhft.types import Interval

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


def privileged_demonstrations(
    expert: str,
    market: Preset,
    seed: int,
    *,
    scenarios: int = 200,
    paths: int = 40,
    risk_aversion: float | None = None,
) -> tuple[Demonstrations, Sensor]:
    """Let one expert demonstrate in any market around the test cells, to a policy that is told the regime.

    Args:
        expert: who teaches; what it knows must follow from the regime and the context.
        market: preset.
        seed: of the markets and the sessions.
        scenarios: markets that are demonstrated.
        paths: sessions in each.
        risk_aversion: gamma, 1 / (tick x lot); each scenario's own if none is given.

    Returns:
        The demonstrations, with features of kind `told`, and the scales that they were made with.
    """
    family = random_markets(scenarios, market, seed)
    shown = []
    for scenario in family:
        gamma = scenario.risk_aversion if risk_aversion is None else risk_aversion
        episodes = Episodes(scenario, expert, gamma, chosen=True, first=0, paths=paths)
        trajectory = record(episodes, stream(seed, "fidelity"), like=family)
        shown.append(Shown(scenario, expert, gamma, trajectory.observation, trajectory.quote))
    sensor = sensor_for(family[0])
    return dataset.sensed(shown, sensor, "told"), sensor


def relative_differences(
    measures: Mapping[str, PathValues],
    reference: Mapping[str, PathValues],
    names: Sequence[str],
    confidence: float = CONFIDENCE,
) -> dict[str, Interval]:
    """Return metric(policy) / metric(reference) - 1 with paired intervals, 0.03 is 3 % more.

    Args:
        measures: of the policy, from `flowhft.metrics.measures.measure`.
        reference: of the other one, on the same random numbers.
        names: of the metrics.
        confidence: of the two-sided interval, between 0 and 1.
    """
    result = {}
    for name in names:
        value, influence = METRICS[name].estimate(measures)
        other, other_influence = METRICS[name].estimate(reference)
        ratio = value / other
        result[name] = interval(ratio - 1.0, (influence - ratio * other_influence) / other, confidence)
    return result
