"""Demonstrations: which expert teaches in which scenario, and what its trajectories show.

There is no second data format: a demonstration is a simulated `Trajectory`, from which the one feature
function makes what the learner sees.
"""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import polars as pl

from flowhft import features
from flowhft.errors import require
from flowhft.features import Sensor
from flowhft.learn.dataset import Demonstrations
from flowhft.learn.settings import TeacherSettings
from flowhft.market.market import build
from flowhft.market.scenario import Scenario
from flowhft.metrics import interval, score, unit_of_score
from flowhft.policies import closed_form
from flowhft.rollout import judge, rollout
from flowhft.types import Observation, Progress, Quote, Trajectory, no_progress

# In units of 1 / k. A quote further away is hardly ever filled (one order in 400 that would reach the mid):
# to the learner all of them mean "not quoted", and how far away they are would only stretch its scales.
FURTHEST = 6.0

UNITS = {
    "pnl": "tick x lot",
    "risk_aversion": "1 / (tick x lot)",
}


def units_of(criterion: str) -> dict[str, str]:
    """Return the unit of every column of the table of teachers, for a criterion."""
    unit = unit_of_score(criterion)
    return UNITS | {"score": unit, "margin": f"{unit}, paired, over the next best"}


class Teacher(NamedTuple):
    """The expert that demonstrates in a scenario, with its risk aversion in 1 / (tick x lot)."""

    scenario: Scenario
    expert: str
    risk_aversion: float


def select_teachers(
    scenarios: Sequence[Scenario],
    settings: TeacherSettings,
    seed: int,
    progress: Progress = no_progress,
) -> tuple[list[Teacher], pl.DataFrame]:
    """Run every candidate in every scenario on the same random numbers and choose the best one there.

    Args:
        scenarios: where.
        settings: candidates, criterion and number of paths.
        seed: of the run; the paths are those of its stream "teachers".
        progress: told after every candidate.

    Returns:
        The teacher of every scenario, and a table with one row per candidate and scenario: its score with
        its interval, and for the chosen one the paired margin over the next best.
    """
    require(len(scenarios) > 0, "scenarios", "hold at least one scenario", 0)
    teachers, rows = [], []
    candidates = [
        (expert, risk)
        for expert, risk in itertools.product(settings.experts, settings.risk_aversions)
        if expert != "white_noise" or risk == settings.risk_aversions[0]  # noise has no preference
    ]
    for i, scenario in enumerate(scenarios):
        market = build(scenario, like=list(scenarios))
        found = []
        for j, (expert, risk) in enumerate(candidates):
            progress(
                (i * len(candidates) + j) / (len(scenarios) * len(candidates)), f"{expert} in {scenario.name}"
            )
            risk_aversion = risk * scenario.fill_decay
            measures = judge(
                market,
                closed_form(expert, scenario, risk_aversion),
                paths=settings.paths,
                seed=seed,
                scenario=f"teachers/{scenario.name}",
            )
            value, influence = score(measures, settings.criterion)
            found.append((value, influence, expert, risk_aversion, measures))
        ranked = sorted(range(len(found)), key=lambda n: (-np.nan_to_num(found[n][0], nan=-np.inf), n))
        best, runner_up = found[ranked[0]], found[ranked[min(1, len(ranked) - 1)]]
        margin = interval(best[0] - runner_up[0], best[1] - runner_up[1])
        teachers.append(Teacher(scenario, best[2], best[3]))
        for candidate in found:
            value, low, high = interval(candidate[0], candidate[1])
            chosen = candidate is best
            rows.append(
                {
                    "scenario": scenario.name,
                    "expert": candidate[2],
                    "risk_aversion": candidate[3],
                    "score": value,
                    "score_low": low,
                    "score_high": high,
                    "pnl": float(np.mean(candidate[4]["pnl"])),
                    "sharpe": score(candidate[4], "sharpe")[0],
                    "max_drawdown": float(np.mean(candidate[4]["max_drawdown"])),
                    "chosen": chosen,
                    "margin": margin.value if chosen else None,
                    "margin_low": margin.low if chosen else None,
                    "margin_high": margin.high if chosen else None,
                }
            )
    return teachers, pl.DataFrame(rows, infer_schema_length=None)


def sensor_for(scenario: Scenario) -> Sensor:
    """Return the scales of a policy that is to sense markets around a scenario.

    Running means reach over a third of a session, bursts over a thirtieth (never less than a step).
    """
    return Sensor(
        volatility=scenario.volatility_ticks,
        rate=scenario.mean_intensity,
        horizon=scenario.horizon,
        half_spread=1.0 / scenario.fill_decay,
        inventory=5.0,
        memory=max(scenario.horizon / 3.0, scenario.dt),
        burst=max(scenario.horizon / 30.0, scenario.dt),
    )


@eqx.filter_jit
def _features_of(sensor: Sensor, kind: str, observation: Observation, quote: Quote) -> jax.Array:
    def one_path(observation: Observation, quote: Quote) -> jax.Array:
        def step(
            memory: features.Memory, now: tuple[Observation, Quote]
        ) -> tuple[features.Memory, jax.Array]:
            observation, quote = now
            memory = features.sense(sensor, memory, observation)
            seen = features.FUNCTIONS[kind](sensor, memory, observation)
            return features.note_quote(memory, quote), jnp.stack([jnp.asarray(x, jnp.float32) for x in seen])

        nothing = features.remember_nothing(sensor)
        start = features.Memory(*(jnp.asarray(value, jnp.float32) for value in nothing))
        return jax.lax.scan(step, start, (observation, quote))[1]

    return jax.vmap(one_path)(observation, quote)


def features_of(sensor: Sensor, kind: str, trajectory: Trajectory) -> np.ndarray:
    """Return what a policy would have sensed along a trajectory.

    Args:
        sensor: the scales.
        kind: "context" or "paper".
        trajectory: arrays of shape (path, step).

    Returns:
        float32 array of shape (path, step, feature), columns as in `flowhft.features.NAMES`.
    """
    observation = Observation(*(jnp.asarray(values, jnp.float32) for values in trajectory.observation))
    quote = Quote(*(jnp.asarray(values, jnp.float32) for values in trajectory.quote))
    return np.asarray(_features_of(sensor, kind, observation, quote))


def demonstrate(
    teachers: Sequence[Teacher],
    sensor: Sensor,
    kind: str,
    paths: int,
    seed: int,
    progress: Progress = no_progress,
) -> Demonstrations:
    """Let every teacher quote in its scenario and keep what a learner would have seen and what it quoted.

    Args:
        teachers: from `select_teachers`.
        sensor: the learner's scales.
        kind: of features, "context" or "paper".
        paths: sessions per scenario.
        seed: of the run; the paths are those of its stream "demonstrations".
        progress: told after every scenario.

    Returns:
        Features and quotes of len(teachers) x paths sessions, half-spreads capped at 6 / k; sessions that are
        shorter than the longest are padded at their end.
    """
    seen, quoted = [], []
    family = [teacher.scenario for teacher in teachers]
    for i, teacher in enumerate(teachers):
        progress(i / len(teachers), f"{teacher.expert} in {teacher.scenario.name}")
        trajectory = rollout(
            build(teacher.scenario, like=family),
            closed_form(teacher.expert, teacher.scenario, teacher.risk_aversion),
            paths=paths,
            seed=seed,
            scenario=f"demonstrations/{teacher.scenario.name}",
        )
        widest = FURTHEST / teacher.scenario.fill_decay
        capped = Quote(*(np.minimum(side, widest) for side in trajectory.quote))
        seen.append(features_of(sensor, kind, trajectory._replace(quote=capped)))
        quoted.append(np.stack(capped, axis=-1))
    longest = max(teacher.scenario.steps for teacher in teachers)

    def padded(parts: list[np.ndarray]) -> np.ndarray:
        return np.concatenate([np.pad(p, [(0, 0), (0, longest - p.shape[1]), (0, 0)]) for p in parts])

    lengths = np.repeat([teacher.scenario.steps for teacher in teachers], paths).astype(np.int32)
    return Demonstrations(padded(seen), padded(quoted), lengths)
