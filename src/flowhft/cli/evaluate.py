"""`flowhft evaluate`: judge policies in simulated markets on the same random numbers."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import polars as pl

from flowhft.cli.command import Command, Result
from flowhft.cli.folder import begin, identity_of_run, policies_of, run_of, scenarios_of
from flowhft.cli.terminal import Table, Terminal
from flowhft.errors import UsageError, require
from flowhft.metrics import METRICS
from flowhft.runs import read_json, read_table, write_json, write_table

MOST_PATHS = 10_000_000  # whose measures still fit in memory, for a dozen policies
FINGERPRINT_UNITS = {
    "inventory": "lots",
    "time_left": "s",
    "half_spread_bid": "ticks",
    "half_spread_ask": "ticks",
}
COURSE_PATHS = 500  # sessions behind the curves of equity and inventory
SHOWN = ("pnl", "sharpe", "max_drawdown", "spread_pnl", "inventory_pnl", "fills", "rms_inventory")


@dataclass(frozen=True, kw_only=True)
class Evaluate(Command):
    """Judge policies in simulated markets: every policy in every scenario on the same random numbers.

    Writes results.parquet, differences.parquet (paired, against the reference), equity.parquet and
    fingerprint.parquet (both of the first scenario).
    """

    scenarios: str
    """Comma-separated names (T1.HH ... T6.LL, paper-test, paper-train) or TOML files of scenarios."""
    policies: str
    """Comma-separated experts (glft, or glft@0.01 with a risk aversion), .safetensors files or run folders;
    label=path names one."""
    market: Literal["correct", "paper"] = "correct"
    """Preset of the named scenarios: as they should be, or as the paper ran them."""
    paths: int = 10_000
    """Sessions simulated per policy and scenario."""
    reference: str = ""
    """Policy that paired differences are taken against; the first one if none is named."""
    teachers: Path | None = None
    """A demonstrate run: experts then quote with the risk aversion that was best for them in each."""
    confidence: float = 0.99
    """Of every interval."""

    def run(self, terminal: Terminal) -> Result:
        """Judge scenario by scenario; finished ones are kept and not judged again."""
        from flowhft.devices import prepare

        prepare()
        from flowhft.evaluate import judge_scenario
        from flowhft.market.presets import find_scenarios
        from flowhft.policies import find_policies, tune

        require(2 <= self.paths <= MOST_PATHS, "paths", f"lie between 2 and {MOST_PATHS:,}", self.paths)
        require(0.0 < self.confidence < 1.0, "confidence", "lie between 0 and 1", self.confidence)
        scenarios = find_scenarios(self.scenarios, self.market)
        require(len(scenarios) > 0, "scenarios", "name at least one scenario", f"'{self.scenarios}'")
        named, files = scenarios_of(self.scenarios)
        found = find_policies(self.policies)
        taught = {}
        if self.teachers:
            taught["teachers"] = identity_of_run(self.teachers, "teachers", "demonstrate")
            found = tune(found, read_table(self.teachers / "teachers.parquet"))
        policies = {policy.name: policy for policy in found}
        reference = self.reference or next(iter(policies))
        if reference not in policies:
            raise UsageError(f"`reference` must be one of {', '.join(policies)}; received '{reference}'.")

        called, saved = policies_of(found)
        run = run_of(self, "evaluate", files | saved | taught, scenarios=named, policies=called)
        if work := begin(run, terminal):
            results: list[dict[str, Any]] = []
            differences: list[dict[str, Any]] = []
            with terminal.stage("judge policies in simulation") as progress:
                for i, scenario in enumerate(scenarios):
                    part = work / "parts" / f"{i:04d}.json"
                    if not part.is_file():
                        judgement = judge_scenario(
                            scenario,
                            {name: policy.in_market for name, policy in policies.items()},
                            paths=self.paths,
                            seed=self.seed,
                            reference=reference,
                            like=alike(scenario, scenarios),
                            confidence=self.confidence,
                            progress=lambda share, now, i=i: progress((i + share) / len(scenarios), now),  # type: ignore[misc]
                        )
                        write_json(part, judgement)
                    judged = read_json(part)
                    results += judged["results"]
                    differences += judged["differences"]
            self._write_courses(work, scenarios[0], policies, terminal)
            units = units_of_metrics(currency_of(scenario.currency for scenario in scenarios))
            write_table(work / "results.parquet", pl.DataFrame(results, infer_schema_length=None), units)
            schema = None if differences else {"scenario": str, "policy": str, "reference": str}
            write_table(
                work / "differences.parquet",
                pl.DataFrame(differences, schema=schema, infer_schema_length=None),
                units,
            )
            run.finish(reference=reference, scenarios=[s.name for s in scenarios], policies=list(policies))
        return result_of(run.folder, reference)

    def _write_courses(
        self, folder: Path, scenario: Any, policies: dict[str, Any], terminal: Terminal
    ) -> None:
        """Write the course of a session and the fingerprint of every policy in one scenario."""
        from flowhft.evaluate import fingerprint, session_course

        paths = min(self.paths, COURSE_PATHS)
        reach = min(5, int(min(scenario.inventory_limit, 5)))
        inventories = [float(q) for q in range(-reach, reach + 1)]
        courses, prints = [], []
        with terminal.stage("draw the course of a session") as progress:
            for i, (name, policy) in enumerate(policies.items()):
                progress(i / len(policies), name)
                quoting = policy.in_market(scenario)
                courses.append(session_course(scenario, name, quoting, paths=paths, seed=self.seed))
                prints.append(fingerprint(scenario, name, quoting, inventories, (1.0, 0.5, 0.1)))
        write_table(folder / "equity.parquet", pl.concat(courses), course_units(scenario.currency))
        write_table(folder / "fingerprint.parquet", pl.concat(prints), FINGERPRINT_UNITS)


def alike(scenario: Any, scenarios: list[Any]) -> list[Any]:
    """Return the scenarios that can share a compiled program with this one."""
    same = ("price", "exciter", "steps")
    return [s for s in scenarios if all(getattr(s, name) == getattr(scenario, name) for name in same)]


def currency_of(currencies: Iterable[str]) -> str:
    """Return the one currency of all rows; where they differ, every row has its own."""
    different = set(currencies)
    return different.pop() if len(different) == 1 else "money"


def course_units(currency: str) -> dict[str, str]:
    """Return the unit of every column of the course of a session."""
    money = ("equity", "drawdown", "spread_pnl", "inventory_pnl", "fee")
    ends = ("", "_low", "_high")
    units = {f"{name}{end}": currency for name in money for end in ends}
    inventory = ("inventory", "inventory_low", "inventory_median", "inventory_high")
    return units | dict.fromkeys(inventory, "lots") | {"time": "s"}


def units_of_metrics(currency: str) -> dict[str, str]:
    """Return the unit of every metric, money in this currency."""
    return {m.name: m.unit.replace("money", currency) for m in METRICS.values()}


def result_of(folder: Path, reference: str) -> Result:
    """Return what a finished evaluation or backtest found, read back from its folder."""
    results = read_table(folder / "results.parquet").to_dicts()
    differences = read_table(folder / "differences.parquet").to_dicts()
    by_pair = {(row["scenario"], row["policy"]): row for row in differences}
    rows = []
    for row in results:
        paired = by_pair.get((row["scenario"], row["policy"]))
        against = (
            f"{paired['pnl']:+.3g} [{paired['pnl_low']:+.3g}, {paired['pnl_high']:+.3g}]"
            if paired
            else "reference"
        )
        rows.append([row["scenario"], row["policy"], *(row[name] for name in SHOWN), against])
    currency = currency_of(row["currency"] for row in results)
    table = Table(
        columns=[
            "scenario",
            "policy",
            *(_title(name, currency) for name in SHOWN),
            f"PnL against {reference}",
        ],
        rows=rows,
    )
    return Result(
        summary={"folder": folder, "reference": reference, "results": results, "differences": differences},
        shown=[table, f"Results are in {folder}"],
    )


def _title(name: str, currency: str) -> str:
    metric = METRICS[name]
    unit = metric.unit.replace("money", currency)
    return metric.title if unit == "ratio" else f"{metric.title} ({unit})"
