"""What each error of the paper's runs was worth: one thing mended at a time, on the same random numbers.

An effect has two sides, the market and the expert as the paper ran them, and the same with one thing mended.
Both meet the same random numbers, path by path, so that their difference carries a paired interval.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from flowhft.metrics.table import CONFIDENCE, compare, summarise
from flowhft.policies.rules import EXPERTS, Expert, avellaneda_stoikov, glft
from flowhft.scenarios.scenario import Scenario
from flowhft.simulate.market.market import build
from flowhft.simulate.quoting import closed_form
from flowhft.simulate.rollout import evaluate_together
from flowhft.studies.paper import METRICS

# Where they are shown: each volatility with high demand, each memory of the price, and a stated drift.
CELLS = ("T1.HH", "T1.LH", "T2.LH", "T3.HH", "T5.HH")
# The paper's metrics as they are measured here: PnL given the fills has the same mean and less noise.
MEASURED = {metric: "expected_pnl" if metric == "pnl" else metric for metric in METRICS}


@dataclass(frozen=True)
class Effect:
    """One thing that the paper's runs did otherwise than its text or its sources.

    Attributes:
        name: for tables.
        as_run: what the runs did, a few words.
        mended: what stands in its place.
        expert: who quotes as run.
        mended_expert: who quotes where it is mended.
        mend: the market as run -> mended.
        risk_aversion: gamma of the mended expert, 1 / (tick x lot); the scenario's own if none is given.
    """

    name: str
    as_run: str
    mended: str
    expert: Expert
    mended_expert: Expert
    mend: Callable[[Scenario], Scenario] = lambda scenario: scenario
    risk_aversion: float | None = None


def _but(expert: str, coefficients: Callable[..., Any], *, raw: bool) -> Expert:
    """Return an expert as run with other coefficients, or with the same from estimates in price units."""
    as_run = EXPERTS[f"{expert}_as_run"]
    return Expert(as_run.name, as_run.summary, coefficients, as_run.quote, as_run=raw)


_AS, _GLFT = EXPERTS["avellaneda_stoikov_as_run"], EXPERTS["glft_as_run"]
_GLFT_PRICE_UNITS = _but("glft", glft.coefficients_as_run, raw=False)
# Raw volatility makes the price of inventory risk that of a gamma 10,000 times smaller, here 1e-4; with the
# volatility in price units gamma = 1 hardly trades, and a hundredth of it is what a maker might choose.
MODERATE = 0.01
_AS_RIGHT_SIGN = _but("avellaneda_stoikov", avellaneda_stoikov.coefficients, raw=True)


def _compensated(scenario: Scenario) -> Scenario:
    return scenario.but(jumps_compensated=True)


def _excited_by_all(scenario: Scenario) -> Scenario:
    return scenario.but(exciter="arrivals", exact_decay=True)


EFFECTS = (
    Effect("inventory sign", "reversed", "right, still raw units", _AS, _AS_RIGHT_SIGN),
    Effect(
        "units in Avellaneda-Stoikov",
        "raw volatility (right sign)",
        "volatility in price units",
        _AS_RIGHT_SIGN,
        EXPERTS["avellaneda_stoikov"],
    ),
    Effect(
        "units in GLFT",
        "raw volatility",
        "volatility in price units",
        _GLFT,
        _GLFT_PRICE_UNITS,
    ),
    Effect(
        "units in GLFT, moderate",
        "raw volatility",
        f"volatility in price units, risk aversion {MODERATE:g}",
        _GLFT,
        _GLFT_PRICE_UNITS,
        risk_aversion=MODERATE,
    ),
    Effect(
        "intensity in GLFT's root",
        "of the moment",
        "base intensity",
        _GLFT,
        _but("glft", glft.coefficients, raw=True),
    ),
    Effect("hidden drift, GLFT", "jumps not compensated", "jumps compensated", _GLFT, _GLFT, _compensated),
    Effect(
        "hidden drift, GLFT-drift",
        "jumps not compensated",
        "jumps compensated",
        EXPERTS["glft_drift_as_run"],
        EXPERTS["glft_drift_as_run"],
        _compensated,
    ),
    Effect("who excites", "own fills", "all market orders", _GLFT, _GLFT, _excited_by_all),
)


def effects_in(
    scenario: Scenario, *, paths: int, seed: int, confidence: float = CONFIDENCE
) -> list[dict[str, Any]]:
    """Measure every effect in one cell of the paper's market.

    Args:
        scenario: a cell with the preset `paper`.
        paths: sessions of each side.
        seed: of the run; the paths are those of its stream "effects".
        confidence: of the intervals.

    Returns:
        One row per effect: effect, scenario, policy, as_run, mended (words), paths, and for each of the
        paper's metrics `metric_as_run`, `metric_mended` and their difference `metric`, `metric_low`,
        `metric_high` (mended minus as run, paired), in price units; PnL is that given the fills.
    """
    sides = [
        side
        for effect in EFFECTS
        for side in (
            (scenario, effect.expert, None),
            (effect.mend(scenario), effect.mended_expert, effect.risk_aversion),
        )
    ]
    results: list[dict[str, Any]] = [{}] * len(sides)
    for market in dict.fromkeys(where for where, _, _ in sides):
        places = [index for index, (where, _, _) in enumerate(sides) if where == market]
        evaluated = evaluate_together(
            build(market),
            [closed_form(sides[index][1], market, sides[index][2]) for index in places],
            paths=paths,
            seed=seed,
            scenario=f"effects/{scenario.name}",
        )
        for index, measures in zip(places, evaluated, strict=True):
            results[index] = measures

    rows = []
    for effect, before, after in zip(EFFECTS, results[::2], results[1::2], strict=True):
        both = summarise(before, confidence), summarise(after, confidence)
        difference = compare(after, before, confidence)
        row: dict[str, Any] = {
            "effect": effect.name,
            "scenario": scenario.name,
            "policy": effect.expert.name,
            "as_run": effect.as_run,
            "mended": effect.mended,
            "paths": paths,
        }
        for metric, measured in MEASURED.items():
            row[f"{metric}_as_run"], row[f"{metric}_mended"] = (side[measured].value for side in both)
            row[metric], row[f"{metric}_low"], row[f"{metric}_high"] = difference[measured]
        rows.append(row)
    return rows


def cells_of(scenarios: Iterable[Scenario]) -> list[Scenario]:
    """Return those of the cells in which effects are shown; the first of them if none is."""
    chosen = list(scenarios)
    return [scenario for scenario in chosen if scenario.name in CELLS] or chosen[:1]
