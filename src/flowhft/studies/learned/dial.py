"""The risk dial: PnL, Sharpe ratio and drawdown of one policy over its settings, beside everybody else."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from flowhft.metrics.table import summarise
from flowhft.policies.names import Named
from flowhft.policies.origin import Origin, origin_of_rule
from flowhft.scenarios.scenario import Scenario
from flowhft.simulate.evaluate import columns
from flowhft.simulate.market.market import build
from flowhft.simulate.quoting import closed_form
from flowhft.simulate.quoting.lab import in_lab
from flowhft.simulate.rollout import evaluate_together
from flowhft.studies.learned.lineup import AS_RAW, OURS, Member, at_home, closed_forms
from flowhft.studies.learned.targets import FINETUNED
from flowhft.studies.learned.wins import THREE, oriented
from flowhft.studies.paper import printed_tables
from flowhft.types import Interval

SETTINGS = 7
SHOWN = (*THREE, "pnl_deviation", "quoting_ratio")
BOUND = "oracle_told"
RISK_AVERSIONS = (1e-4, 1e-3, 1e-2, 3e-2, 0.1, 0.3)  # of the oracle's curve, 1 / (tick x lot)
BESIDE = (AS_RAW, "glft_as_run", "glft_drift_as_run", "glft")


def dials_of(policy: Named, settings: int = SETTINGS) -> list[float]:
    """Return settings of a policy's dial, spread evenly in logarithms over what it was trained for.

    Args:
        policy: one of `flowhft train`; for others there are no settings.
        settings: how many.
    """
    span = getattr(policy.policy, "dial", None)
    return [float(f"{value:.3g}") for value in np.geomspace(span[0], span[1], settings)] if span else []


def dial_in(
    scenario: Scenario,
    market: str,
    settings: Sequence[tuple[float, Named]],
    members: Sequence[Member],
    *,
    paths: int,
    seed: int,
    like: Sequence[Scenario] = (),
) -> list[dict[str, Any]]:
    """Judge a policy at every setting of its dial in one cell, with experts, controls and the oracle's curve.

    Args:
        scenario: the cell.
        market: its preset.
        settings: of the dial, each with the policy that quotes at it.
        members: other policies to show.
        paths: sessions, the same for all.
        seed: of the run; the paths are those of its stream "dial".
        like: scenarios judged beside this one.

    Returns:
        One row per policy and setting: market, scenario, policy, dial (risk aversion for the oracle, null
        for who has none), and each of `SHOWN` with `_low` and `_high`.
    """
    shown = [*members, *closed_forms(BESIDE), at_home()]
    rows: list[tuple[str, Origin, float | None]] = [(OURS, policy.origin, at) for at, policy in settings]
    rows += [(BOUND, origin_of_rule(BOUND), gamma) for gamma in RISK_AVERSIONS]
    rows += [(member.name, member.policy.origin, None) for member in shown]
    policies = [
        *(in_lab(policy, scenario) for _, policy in settings),
        *(closed_form(BOUND, scenario, gamma) for gamma in RISK_AVERSIONS),
        *(in_lab(member.policy, scenario) for member in shown),
    ]
    result = evaluate_together(
        build(scenario, like=list(like) or None),
        policies,
        paths=paths,
        seed=seed,
        scenario=f"dial/{scenario.name}",
    )
    return [
        {"market": market, "scenario": scenario.name, "policy": name, **origin._asdict()}
        | {"dial": value, "paths": paths}
        | columns({metric: summarise(measures)[metric] for metric in SHOWN}, scenario.tick_value)
        for (name, origin, value), measures in zip(rows, result, strict=True)
    ]


def printed_reached(points: pl.DataFrame) -> pl.DataFrame:
    """Say in every cell how much of the printed Finetuned row is reached at which setting of the dial.

    Args:
        points: rows of `dial_in` in the paper's market.

    Returns:
        One row per cell: dial (the setting that is better in most metrics, of those the one whose worst
        relative margin is best), better (how many of the three), worst (that margin), and for each metric
        the printed and our number.
    """
    rows = []
    printed = {
        row["scenario"]: row for row in printed_tables().iter_rows(named=True) if row["policy"] == FINETUNED
    }
    ours = points.filter((pl.col("policy") == OURS) & (pl.col("market") == "paper"))
    for (scenario,), result in ours.group_by("scenario", maintain_order=True):
        target = printed.get(str(scenario))
        if target is None:
            continue
        tried = []
        for row in result.iter_rows(named=True):
            margins = [_margin(metric, row[metric], target[metric]) for metric in THREE]
            tried.append((sum(margin > 0.0 for margin in margins), min(margins), row))
        better, worst, row = max(tried, key=lambda one: one[:2])
        rows.append(
            {"scenario": scenario, "dial": row["dial"], "better": better, "worst": worst}
            | {f"{metric}_printed": target[metric] for metric in THREE}
            | {metric: row[metric] for metric in THREE}
        )
    return pl.DataFrame(rows, infer_schema_length=None)


def _margin(metric: str, ours: float, printed: float) -> float:
    gain = oriented(metric, Interval(*(ours - printed,) * 3)).value
    return gain / abs(printed)
