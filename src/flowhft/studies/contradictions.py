"""Printed numbers that cannot all be right, whatever the parameters of the simulator were.

None of these checks simulates anything: they use the printed numbers and what the paper says about them.

- *Equal PnL.* White noise, Avellaneda-Stoikov and GLFT quote both sides alike and never look at the price,
  and fills do not either. So their mean inventory is zero at every step and independent of the price, and
  their mean PnL is what their fills earn against the mid: no drift, no Hurst exponent and no jump changes
  it, nor, for white noise, the volatility. Cells that differ only in those must print the same PnL, up to
  sampling error.
- *Equal policies.* Without a drift GLFT-drift is GLFT, entry by entry.
- *Different markets.* Two markets that are judged on a million trials do not print the same three numbers.
- *Claims.* The text says that the tuned flow policy surpasses the experts: in how many cells it does.
"""

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import polars as pl

from flowhft.scenarios.presets import paper_test
from flowhft.scenarios.scenario import Scenario
from flowhft.studies.paper import METRICS, ROUNDING, TRIALS

FALSE_ALARM = 0.01  # chance that anything at all is called unequal if all printed numbers were right


@dataclass(frozen=True)
class Check:
    """One thing that printed numbers must satisfy.

    Attributes:
        name: of the check, for tables.
        rule: what must hold, one sentence.
        entries: how many printed numbers or rows it was tried on.
        failures: where it does not hold: scenario, policy, metric ("" for the whole row) and sentence.
    """

    name: str
    rule: str
    entries: int
    failures: tuple[dict[str, str], ...]


def checks_of(printed: pl.DataFrame) -> list[Check]:
    """Run every check on a set of printed tables.

    Args:
        printed: as `flowhft.studies.paper.printed_tables` returns it.
    """
    rows = {(row["scenario"], row["policy"]): row for row in printed.iter_rows(named=True)}
    cells = {name: cell for name, cell in paper_test("paper").items() if (name, "glft") in rows}
    return [
        _equal_pnl(rows, cells),
        _equal_policies(rows, cells),
        _different_markets(rows),
        _tuned_beats_all(rows, cells),
    ]


# What the PnL of a symmetric policy that does not look at the price may depend on.
_DEPENDS: dict[str, Callable[[Scenario], tuple[float, ...]]] = {
    "white_noise": lambda cell: (cell.base_intensity,),
    "avellaneda_stoikov": lambda cell: (cell.base_intensity, cell.volatility),
    "glft": lambda cell: (cell.base_intensity, cell.volatility),
}


def _equal_pnl(rows: dict[tuple[str, str], dict[str, Any]], cells: dict[str, Scenario]) -> Check:
    """Check that the PnL of symmetric policies does not depend on drift and Hurst exponent."""
    failures: list[dict[str, str]] = []
    tried = len(_DEPENDS) * len(cells)
    most = NormalDist().inv_cdf(1.0 - 0.5 * FALSE_ALARM / max(1, tried))
    for policy, depends in _DEPENDS.items():
        for _, names in itertools.groupby(
            sorted(cells, key=lambda name: depends(cells[name])), key=lambda name: depends(cells[name])
        ):
            members = sorted(names)
            result = {name: _mean_and_error(rows[name, policy]) for name in members}
            failures += _outliers(policy, result, most)
    return Check(
        "equal PnL",
        "The PnL of white noise, Avellaneda-Stoikov and GLFT depends on neither drift nor Hurst exponent.",
        tried,
        tuple(failures),
    )


def _mean_and_error(row: dict[str, Any]) -> tuple[float, float]:
    """Return a printed PnL and the largest standard error that its own row allows at a million trials."""
    deviation = (abs(row["pnl"]) + ROUNDING) / max(abs(row["sharpe"]) - ROUNDING, 1e-9)
    return row["pnl"], deviation / TRIALS**0.5


def _outliers(policy: str, results: dict[str, tuple[float, float]], most: float) -> Iterable[dict[str, str]]:
    """Name what lies too far from the others of its class, furthest first, until the rest agree.

    Args:
        policy: whose PnL it is.
        results: PnL and standard error by scenario.
        most: standard errors that are too far.
    """
    left = dict(results)
    while len(left) > 1:
        distances = {name: _distance(left, name) for name in left}
        worst = max(distances, key=lambda name: distances[name][0])
        score, rest, error = distances[worst]
        if score <= most:
            return
        pnl = left.pop(worst)[0]
        yield {
            "scenario": worst,
            "policy": policy,
            "metric": "pnl",
            "says": f"{worst} prints {pnl:.2f} where {', '.join(left)} "
            f"{'print' if len(left) > 1 else 'prints'} {rest:.2f}: {score:.0f} standard errors apart "
            f"(at most {error:.3f} at {TRIALS:,} trials), though no parameter that differs between them "
            "enters.",
        }


def _distance(left: dict[str, tuple[float, float]], name: str) -> tuple[float, float, float]:
    """Return how far an entry is from the mean of the others: standard errors, that mean, that error."""
    value, error = left[name]
    others = np.array([result for other, result in left.items() if other != name])
    weights = 1.0 / others[:, 1] ** 2
    mean = float(np.sum(weights * others[:, 0]) / np.sum(weights))
    both = float(np.hypot(error, np.sum(weights) ** -0.5))
    return max(0.0, abs(value - mean) - 2.0 * ROUNDING) / both, mean, both


def _equal_policies(rows: dict[tuple[str, str], dict[str, Any]], cells: dict[str, Scenario]) -> Check:
    """Check that GLFT-drift is GLFT where there is no drift."""
    flat = [name for name, cell in cells.items() if cell.drift == 0.0 and (name, "glft_drift") in rows]
    failures = [
        {
            "scenario": name,
            "policy": "glft_drift",
            "metric": metric,
            "says": f"{name} has no drift, but GLFT-drift prints {rows[name, 'glft_drift'][metric]:.2f} and "
            f"GLFT {rows[name, 'glft'][metric]:.2f}.",
        }
        for name in flat
        for metric in METRICS
        if rows[name, "glft_drift"][metric] != rows[name, "glft"][metric]
    ]
    return Check(
        "equal policies",
        "Without a drift GLFT-drift is GLFT.",
        len(flat) * len(METRICS),
        tuple(failures),
    )


def _different_markets(rows: dict[tuple[str, str], dict[str, Any]]) -> Check:
    """Check that no policy prints the same row in two markets."""
    seen: dict[tuple[Any, ...], str] = {}
    failures = []
    for (name, policy), row in rows.items():
        key = (policy, *(row[metric] for metric in METRICS))
        if key in seen:
            failures.append(
                {
                    "scenario": name,
                    "policy": policy,
                    "metric": "",
                    "says": f"{name} prints the row of {seen[key]} again: "
                    f"{', '.join(f'{value:.2f}' for value in key[1:])}.",
                }
            )
        seen.setdefault(key, name)
    return Check(
        "different markets",
        "No policy has the same PnL, Sharpe ratio and drawdown in two markets.",
        len(rows),
        tuple(failures),
    )


def _tuned_beats_all(rows: dict[tuple[str, str], dict[str, Any]], cells: dict[str, Scenario]) -> Check:
    """Count where the tuned flow policy beats the best expert on every metric, as the text says it does."""
    experts = ("avellaneda_stoikov", "glft", "glft_drift", "ppo")
    failures = []
    tuned_in = [name for name in cells if (name, "flow_finetuned") in rows]
    for name in tuned_in:
        tuned = rows[name, "flow_finetuned"]
        rivals = [rows[name, expert] for expert in experts if (name, expert) in rows]
        lost = [
            metric
            for metric, best, sign in (
                ("pnl", max(row["pnl"] for row in rivals), 1),
                ("sharpe", max(row["sharpe"] for row in rivals), 1),
                ("max_drawdown", min(row["max_drawdown"] for row in rivals), -1),
            )
            if not sign * tuned[metric] > sign * best
        ]
        if lost:
            failures.append(
                {
                    "scenario": name,
                    "policy": "flow_finetuned",
                    "metric": lost[0] if len(lost) == 1 else "",
                    "says": f"{name}: an expert is as good or better in {' and '.join(map(_word, lost))}.",
                }
            )
    return Check(
        "claims",
        'The tuned flow policy surpasses every expert on every metric (section 5.3: "consistently").',
        len(tuned_in),
        tuple(failures),
    )


def _word(metric: str) -> str:
    return {"pnl": "PnL", "sharpe": "Sharpe ratio", "max_drawdown": "drawdown"}[metric]
