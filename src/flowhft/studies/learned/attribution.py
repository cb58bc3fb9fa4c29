"""Where the gain of a policy comes from: the drift, forecasts of the price, or making a market.

Three questions, each answered on the same random numbers. *Drift*: the same policy where the same price has
none (no stated drift, jumps compensated); what is lost was the drift's. *Forecasts*: the same policy with
every feature hidden that tells where the price goes; what is lost was earned by predicting. *The gap*:
utility (mean less a quarter of a standard deviation) between the best expert and the oracle at its best risk
aversion. The oracle is told everything but the memory of the price, so that with memory a policy that
predicts may close more than all of the gap.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from flowhft.features import NAMES
from flowhft.flow.normaliser import Normaliser
from flowhft.learn.regime.baselines import BASELINES
from flowhft.metrics.measures import PathValues
from flowhft.metrics.table import METRICS, compare, interval, score
from flowhft.policies.regime_adapter import RegimeAdapter
from flowhft.scenarios.scenario import Scenario
from flowhft.simulate.market.market import build
from flowhft.simulate.quoting import closed_form
from flowhft.simulate.quoting.lab import in_lab
from flowhft.simulate.rollout import evaluate_together
from flowhft.studies.learned.lineup import ORACLE, Member, closed_forms
from flowhft.types import Interval, Policy

# Features that tell where the price goes, by how their names begin.
DIRECTION = ("forecast", "persistence", "trend", "move")
HIDDEN = 1e30  # standard deviation of a feature that is hidden: whatever it is, it reads as its mean
RISK_AVERSIONS = (1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0)  # of the oracle, 1 / (tick x lot)


def blinded(policy: Policy, kind: str = "context") -> Policy:
    """Return a learned policy that does not see where the price goes.

    Args:
        policy: with features of this kind.
        kind: "context"; policies of other kinds are returned as they are.
    """
    hidden = np.array([name.startswith(DIRECTION) for name in NAMES[kind]])

    def hide(node: Any) -> Any:
        name = "feature_std" if isinstance(node, Normaliser) else "std"
        if not isinstance(node, Normaliser | RegimeAdapter):
            return node
        std = getattr(node, name)
        if np.shape(std) != hidden.shape:
            return node
        return node._replace(**{name: jnp.where(hidden, HIDDEN, std)})

    return jax.tree.map(hide, policy, is_leaf=lambda node: isinstance(node, Normaliser | RegimeAdapter))


def without_drift(scenario: Scenario) -> Scenario:
    """Return the same market with a price that does not drift, neither stated nor hidden in jumps."""
    return scenario.but(drift=0.0, jumps_compensated=True)


def attributed_in(
    scenario: Scenario,
    market: str,
    members: Sequence[Member],
    *,
    paths: int,
    seed: int,
    like: Sequence[Scenario] = (),
) -> list[dict[str, Any]]:
    """Split what learned policies and the best experts earn in one cell.

    Args:
        scenario: the cell.
        market: its preset.
        members: learned policies.
        paths: sessions of each side of every comparison.
        seed: of the run; the paths are those of its stream "worth".
        like: scenarios judged beside this one.

    Returns:
        One row per learned policy, and one for the best expert by utility: market, scenario, policy, pnl,
        spread_pnl, inventory_pnl, utility; drift_pnl (what the drift was worth), forecast_pnl and
        forecast_utility (what forecasts were worth), each with `_low` and `_high`; expert (the best by
        utility), expert_utility, oracle_utility, oracle_risk_aversion; share of the gap between these closed.
    """
    experts = closed_forms(BASELINES)
    everyone = [*members, *experts]
    quoting = [in_lab(member.policy, scenario) for member in everyone]
    blind = [blinded(policy) for policy in quoting[: len(members)]]
    oracles = [closed_form(ORACLE, scenario, gamma) for gamma in RISK_AVERSIONS]
    stream = f"worth/{scenario.name}"
    family = list(like) or [scenario]
    result = evaluate_together(
        build(scenario, like=family), [*quoting, *blind, *oracles], paths=paths, seed=seed, scenario=stream
    )
    still = without_drift(scenario)
    calm = evaluate_together(
        build(still, like=[without_drift(one) for one in family]),
        quoting,
        paths=paths,
        seed=seed,
        scenario=stream,
    )
    money = scenario.tick_value
    utilities = [money * score(one, "utility")[0] for one in result]
    first_expert, first_oracle = len(members), 2 * len(members) + len(experts)
    best = max(range(first_expert, len(everyone)), key=lambda i: utilities[i])
    bound = max(range(first_oracle, len(result)), key=lambda i: utilities[i])
    rows = []
    for i in [*range(len(members)), best]:
        forecast = result[len(everyone) + i] if i < len(members) else result[i]
        row: dict[str, Any] = {"market": market, "scenario": scenario.name, **everyone[i].row}
        row |= {"hurst_exponent": scenario.hurst_exponent, "paths": paths}
        for name in ("pnl", "spread_pnl", "inventory_pnl"):
            row[name] = money * METRICS[name].estimator(np.asarray(result[i][name], np.float64))[0]
        row |= {"utility": utilities[i]}
        row |= _columns("drift_pnl", compare(result[i], calm[i])["pnl"], money)
        row |= _columns("forecast_pnl", compare(result[i], forecast)["pnl"], money)
        row |= _columns("forecast_utility", _utility(result[i], forecast), money)
        gap = utilities[bound] - utilities[best]
        row |= {"expert": everyone[best].name, "expert_utility": utilities[best]}
        row |= {"oracle_utility": utilities[bound]}
        row |= {"oracle_risk_aversion": RISK_AVERSIONS[bound - first_oracle]}
        row |= {"share": (utilities[i] - utilities[best]) / gap if gap > 0.0 else float("nan")}
        rows.append(row)
    return rows


def _utility(one: dict[str, PathValues], other: dict[str, PathValues]) -> Interval:
    (value, influence), (rival, rivals) = score(one, "utility"), score(other, "utility")
    return interval(value - rival, influence - rivals)


def _columns(name: str, result: Interval, factor: float) -> dict[str, float]:
    return {f"{name}{end}": factor * value for end, value in zip(("", "_low", "_high"), result, strict=True)}
