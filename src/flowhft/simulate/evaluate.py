"""Evaluate policies in simulated markets: policies x scenarios, paired on the same random numbers."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import polars as pl

from flowhft.errors import require
from flowhft.metrics import moments
from flowhft.metrics.measures import drawdown, equity, inventory_after
from flowhft.metrics.table import CONFIDENCE, METRICS, interval
from flowhft.policies.own import OwnPolicy
from flowhft.scenarios.scenario import Scenario
from flowhft.simulate.checkpoint import Finished, checkpoints
from flowhft.simulate.drive import evaluate_all, total_of
from flowhft.simulate.hosted import as_traced, is_hosted, quotes_at
from flowhft.simulate.job import InMarket, Job
from flowhft.simulate.market.market import build
from flowhft.simulate.rollout import CHUNK, rollout
from flowhft.types import Interval, Observation, Policy, Progress, Quote, Trajectory, no_progress


class ScenarioEvaluation(NamedTuple):
    """What was found in one scenario.

    Attributes:
        results: one row per policy: every metric with its interval, money in the scenario's currency.
        differences: one row per policy but the reference: metric minus the reference's, paired intervals.
    """

    results: list[dict[str, Any]]
    differences: list[dict[str, Any]]


def evaluate_scenario(
    scenario: Scenario,
    policies: Mapping[str, InMarket],
    *,
    paths: int,
    seed: int,
    reference: str,
    like: Sequence[Scenario] = (),
    confidence: float = CONFIDENCE,
    chunk: int = CHUNK,
    progress: Progress = no_progress,
) -> ScenarioEvaluation:
    """Run every policy through the same paths of a scenario.

    Args:
        scenario: where.
        policies: name -> policy in a scenario.
        paths: sessions; path i is the same market for every policy. Memory does not grow with them.
        seed: of the run; the paths are those of its stream "evaluate".
        reference: the policy that differences are taken against; one of `policies`.
        like: scenarios evaluated beside this one, with which it shares compiled programs.
        confidence: of the intervals.
        chunk: paths simulated at once.
        progress: told as paths are evaluated.
    """
    require(reference in policies, "reference", f"be one of {', '.join(policies)}", f"'{reference}'")
    family = [scenario, *(other for other in like if other != scenario)]
    job = Job(family, policies, paths, seed, chunk=chunk)
    finished = checkpoints()
    evaluate_all(job, finished, only=[0], progress=progress)
    return evaluation_of(job, finished, 0, reference, confidence)


def evaluation_of(
    job: Job, finished: Finished, scenario: int, reference: str, confidence: float = CONFIDENCE
) -> ScenarioEvaluation:
    """Return what a finished evaluation found in one of its scenarios.

    Args:
        job: the evaluation.
        finished: its spans (`flowhft.simulate.drive.evaluate_all`).
        scenario: its place in the list.
        reference: the policy that differences are taken against.
        confidence: of the intervals.
    """
    where, result = job.scenarios[scenario], total_of(job, finished, scenario)

    def row(name: str, metrics: dict[str, Interval], **more: Any) -> dict[str, Any]:
        return {
            "scenario": where.name,
            "policy": name,
            **more,
            **columns(metrics, where.tick_value),
            "currency": where.currency,
        }

    return ScenarioEvaluation(
        [row(name, moments.summarise(result, name, confidence), paths=result.paths) for name in job.policies],
        [
            row(name, moments.compare(result, name, reference, confidence), reference=reference)
            for name in job.policies
            if name != reference
        ],
    )


def columns(metrics: dict[str, Interval], tick_value: float) -> dict[str, float]:
    """Lay metrics out as table columns `name`, `name_low`, `name_high`, money in currency.

    Args:
        metrics: from `summarise` or `compare`.
        tick_value: money of one tick x lot.
    """
    row = {}
    for name, result in metrics.items():
        factor = tick_value if METRICS[name].unit.startswith("money") else 1.0
        row[name], row[f"{name}_low"], row[f"{name}_high"] = (factor * value for value in result)
    return row


def equity_table(scenario: Scenario, name: str, trajectory: Trajectory) -> pl.DataFrame:
    """Return the course of a session, averaged over paths: one row per step, money in currency.

    Args:
        scenario: where it was simulated.
        name: of the policy.
        trajectory: arrays of shape (path, step).

    Returns:
        Columns as the report reads them: equity and drawdown with intervals of the mean, inventory as
        the 5 %, 50 % and 95 % quantiles over paths, PnL by cause as running means.
    """
    money = scenario.tick_value
    wealth = equity(trajectory)
    fall = drawdown(wealth)
    inventory = np.quantile(inventory_after(trajectory), (0.05, 0.5, 0.95), axis=0)

    def band(values: np.ndarray) -> list[Interval]:
        return [interval(float(np.mean(v)), v - np.mean(v)) for v in money * values.T]

    def running(values: Any) -> np.ndarray:
        return money * np.cumsum(np.mean(np.asarray(values, np.float64), axis=0))

    worth, lost = band(wealth), band(fall)
    return pl.DataFrame(
        {
            "scenario": scenario.name,
            "policy": name,
            "time": scenario.dt * np.arange(1, scenario.steps + 1),
            "equity": [i.value for i in worth],
            "equity_low": [i.low for i in worth],
            "equity_high": [i.high for i in worth],
            "drawdown": [i.value for i in lost],
            "drawdown_low": [i.low for i in lost],
            "drawdown_high": [i.high for i in lost],
            "inventory_low": inventory[0],
            "inventory_median": inventory[1],
            "inventory_high": inventory[2],
            "spread_pnl": running(trajectory.spread_pnl),
            "inventory_pnl": running(trajectory.inventory_pnl),
            "fee": running(trajectory.fee),
        }
    )


def sessions_of(scenario: Scenario, policy: Policy | OwnPolicy, *, paths: int, seed: int) -> Trajectory:
    """Return whole sessions, the first of those that are evaluated.

    Args:
        scenario: where.
        policy: who quotes.
        paths: how many.
        seed: of the run.
    """
    return rollout(build(scenario), policy, paths=paths, seed=seed, scenario=f"evaluate/{scenario.name}")


@eqx.filter_jit
def _probe(policy: Policy, observations: Observation) -> Any:
    key = jax.random.key(0)
    return jax.vmap(lambda observation: policy.act(policy.init(), observation, key)[0])(observations)


def fingerprint(
    scenario: Scenario,
    name: str,
    policy: Policy | OwnPolicy,
    inventories: Sequence[float],
    shares_left: Sequence[float],
) -> pl.DataFrame:
    """Ask a policy for its quotes at given inventories and times left, in an otherwise average market.

    Args:
        scenario: whose mean intensity and horizon are shown to it.
        name: of the policy.
        policy: asked with the memory of a session's start: what it senses is at its prior.
        inventories: lots.
        shares_left: of the horizon, between 0 and 1.

    Returns:
        Columns policy, inventory (lots), time_left (seconds), half_spread_bid, half_spread_ask (ticks).
    """
    inventory, left = (
        grid.ravel() for grid in np.meshgrid(inventories, np.multiply(shares_left, scenario.horizon))
    )
    zero = np.zeros_like(inventory)
    rate = zero + scenario.mean_intensity
    observation = Observation(
        scenario.horizon - left, left, zero, inventory, zero, zero, zero, rate, rate, zero, zero
    )
    policy = as_traced(policy)
    if is_hosted(policy):
        quote = Quote(*quotes_at(policy, np.stack(observation.scalars, axis=-1)).T)
    else:
        quote = _probe(
            policy, Observation(*(jnp.asarray(values, jnp.float32) for values in observation.scalars))
        )
    return pl.DataFrame(
        {
            "policy": name,
            "inventory": inventory,
            "time_left": left,
            "half_spread_bid": np.asarray(quote.half_spread_bid, np.float64) + zero,
            "half_spread_ask": np.asarray(quote.half_spread_ask, np.float64) + zero,
        }
    )
