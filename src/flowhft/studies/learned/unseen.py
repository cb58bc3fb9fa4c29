"""Markets never seen: stress scenarios, and prices of more memory than any in training."""

from collections.abc import Sequence
from typing import Any

from flowhft.learn.regime.baselines import BASELINES
from flowhft.metrics.table import compare, summarise
from flowhft.scenarios.presets import Preset, scenario_in, stress
from flowhft.scenarios.scenario import Scenario
from flowhft.simulate.evaluate import columns
from flowhft.simulate.market.market import build
from flowhft.simulate.quoting.lab import in_lab
from flowhft.simulate.rollout import evaluate_together
from flowhft.studies.learned.lineup import Member, at_home, closed_forms, oracle
from flowhft.studies.learned.wins import THREE, makers_of, oriented

STRESSED = ("stress.jump_storm", "stress.volatility_bursts")
HURST_EXPONENTS = (0.1, 0.9)
SHOWN = (*THREE, "pnl_deviation", "spread_pnl", "inventory_pnl", "rms_inventory", "quoting_ratio")


def unseen_markets(market: Preset) -> list[Scenario]:
    """Return the scenarios: a storm of jumps, bursts of volatility, and Hurst exponents of 0.1 and 0.9.

    Args:
        market: preset.
    """
    named = stress(market)
    rough = [
        scenario_in(market, f"H{hurst:g}", hurst_exponent=hurst, volatility=0.1, base_intensity=25.0)
        for hurst in HURST_EXPONENTS
    ]
    return [*(named[name] for name in STRESSED), *rough]


def unseen_in(
    scenario: Scenario,
    market: str,
    members: Sequence[Member],
    *,
    paths: int,
    seed: int,
    like: Sequence[Scenario] = (),
) -> list[dict[str, Any]]:
    """Judge learned policies and experts in one of them.

    Args:
        scenario: it.
        market: its preset.
        members: learned policies.
        paths: sessions, the same for all.
        seed: of the run; the paths are those of its stream "unseen".
        like: scenarios judged beside this one.

    Returns:
        One row per policy: each of `SHOWN` with `_low` and `_high`, and for the paper's three metrics and
        every learned policy `M_gain` (`_low`, `_high`): over the best expert, paired, positive where better.
    """
    everyone = [*members, *closed_forms(BASELINES), oracle(), at_home()]
    result = evaluate_together(
        build(scenario, like=list(like) or None),
        [in_lab(member.policy, scenario) for member in everyone],
        paths=paths,
        seed=seed,
        scenario=f"unseen/{scenario.name}",
    )
    summaries = [summarise(measures) for measures in result]
    experts = [i for i, member in enumerate(everyone) if member.role == "expert"]
    names = makers_of({everyone[i].name: summaries[i]["pnl"].value for i in experts})
    makers = [i for i in experts if everyone[i].name in names]
    rows = []
    for i, member in enumerate(everyone):
        row: dict[str, Any] = {"market": market, "scenario": scenario.name, **member.row, "paths": paths}
        row |= columns({metric: summaries[i][metric] for metric in SHOWN}, scenario.tick_value)
        for metric in THREE if member.role == "learned" else ():
            paired = [oriented(metric, compare(result[i], result[j])[metric]) for j in makers]
            gain = min(paired, key=lambda one: one.value)
            row |= {
                f"{metric}_gain{end}": part for end, part in zip(("", "_low", "_high"), gain, strict=True)
            }
        rows.append(row)
    return rows
