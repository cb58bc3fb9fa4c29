"""`flowhft evaluate`: judge policies in simulated markets on the same random numbers."""

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import polars as pl

from flowhft.cli.command import Command, Result
from flowhft.cli.folder import begin, policies_of, run_of, scenarios_of
from flowhft.cli.scenarios import note_losses
from flowhft.cli.select import scores_from
from flowhft.cli.terminal import Table, Terminal
from flowhft.errors import UsageError, require
from flowhft.metrics.table import METRICS
from flowhft.runs.folder import finite, read_table, write_table
from flowhft.scenarios.presets import Preset
from flowhft.simulate.devices import DeviceName, prepare

MOST_PATHS = 1_000_000_000  # indices of paths are 32 bits
FINGERPRINT_UNITS = {
    "inventory": "lots",
    "time_left": "s",
    "half_spread_bid": "ticks",
    "half_spread_ask": "ticks",
}
COURSE_PATHS = 500  # sessions behind the curves of equity and inventory
SHOWN = (
    "pnl",
    "expected_pnl",
    "sharpe",
    "max_drawdown",
    "spread_pnl",
    "inventory_pnl",
    "fills",
    "rms_inventory",
    "quoting_ratio",
)


@dataclass(frozen=True, kw_only=True)
class Evaluate(Command):
    """Judge policies in simulated markets: every policy in every scenario on the same random numbers.

    Writes results.parquet, differences.parquet (paired, against the reference), equity.parquet,
    inventory.parquet, markouts.parquet and fingerprint.parquet (these of the first scenario).
    """

    scenarios: str
    """Comma-separated names (T1.HH, paper-test, stress: see `flowhft scenarios`) or TOML files."""
    policies: str
    """Comma-separated experts (glft, or glft@0.01 with a risk aversion), .safetensors files or run folders;
    label=path names one, path[steps=1,execute=4] draws its quotes in another way."""
    market: Preset = "correct"
    """Preset of the named scenarios: as they should be, as the paper ran them, or with informed traders."""
    paths: int = 10_000
    """Sessions simulated per policy and scenario."""
    delay: int = 0
    """Steps from a decision to the market, of every policy without one in its brackets (glft[delay=1])."""
    late: Literal["quotes", "prices"] = "quotes"
    """What a delay makes late: the quotes around the mid, or their prices, which are picked off then."""
    reference: str = ""
    """Policy that paired differences are taken against; the first one if none is named."""
    teachers: Path | None = None
    """A demonstrate or select run: experts quote with the risk aversion that was best for them in each."""
    confidence: float = 0.99
    """Of every interval."""
    chunk: int = 8_192
    """Sessions simulated at once: bounds the memory and changes no result."""
    device: DeviceName = "auto"
    """Where to simulate: on every core of the processor, or on a GPU; auto takes a GPU if there is one."""
    ray: str = ""
    """Judge on a Ray cluster: its address (host:port), or auto to join the one here or start one."""

    def run(self, terminal: Terminal) -> Result:
        """Judge span by span of paths; finished ones are kept and not judged again."""
        device = prepare(self.device)
        from flowhft.policies.names import delay_all, find_policies, tune
        from flowhft.scenarios.presets import find_scenarios
        from flowhft.simulate.checkpoint import Checkpoints
        from flowhft.simulate.drive import judge_all
        from flowhft.simulate.evaluate import judgement_of
        from flowhft.simulate.job import Job
        from flowhft.simulate.quoting.lab import in_lab
        from flowhft.work.cluster import cluster
        from flowhft.work.task import do_here

        require(2 <= self.paths <= MOST_PATHS, "paths", f"lie between 2 and {MOST_PATHS:,}", self.paths)
        require(0.0 < self.confidence < 1.0, "confidence", "lie between 0 and 1", self.confidence)
        require(self.chunk >= 1, "chunk", "be at least 1", self.chunk)
        require(self.delay >= 0, "delay", "be 0 steps or more", self.delay)
        scenarios = find_scenarios(self.scenarios, self.market)
        require(len(scenarios) > 0, "scenarios", "name at least one scenario", f"'{self.scenarios}'")
        named, files = scenarios_of(self.scenarios)
        found = find_policies(self.policies)
        taught = {}
        if self.teachers:
            taught["teachers"], scores = scores_from(self.teachers)
            found = tune(found, scores)
        found = delay_all(found, self.delay, self.late)
        # A saved policy may be for certain scenarios only: better said now than hours later.
        for policy in found:
            for scenario in scenarios if policy.path else ():
                in_lab(policy, scenario)
        policies = {policy.name: policy for policy in found}
        reference = self.reference or next(iter(policies))
        if reference not in policies:
            raise UsageError(f"`reference` must be one of {', '.join(policies)}; received '{reference}'.")

        called, saved = policies_of(found)
        run = run_of(
            self, "evaluate", files | saved | taught, scenarios=named, policies=called, device=device
        )
        if work := begin(run, terminal):
            note_losses(scenarios, terminal)
            results: list[dict[str, Any]] = []
            differences: list[dict[str, Any]] = []
            job = Job(
                scenarios,
                {name: partial(in_lab, policy) for name, policy in policies.items()},
                self.paths,
                self.seed,
                chunk=self.chunk,
            )
            finished = Checkpoints(work / "moments")
            with terminal.stage("judge policies in simulation") as progress, contextlib.ExitStack() as stack:
                crew = stack.enter_context(cluster(self.ray, device, prepare)) if self.ray else do_here
                judge_all(job, finished, crew=crew, progress=progress)
            for i in range(len(scenarios)):
                judgement = judgement_of(job, finished, i, reference, self.confidence)
                results += finite(judgement.results)
                differences += finite(judgement.differences)
            self._write_courses(work, scenarios[0], policies, terminal)
            units = units_of_metrics(currency_of(scenario.currency for scenario in scenarios))
            for name, rows in (("results", results), ("differences", differences)):
                write_table(work / f"{name}.parquet", table_of(rows), units)
            run.finish(reference=reference, scenarios=[s.name for s in scenarios], policies=list(policies))
        return result_of(run.folder, reference)

    def _write_courses(
        self, folder: Path, scenario: Any, policies: dict[str, Any], terminal: Terminal
    ) -> None:
        """Write the course of a session and the fingerprint of every policy in one scenario."""
        from flowhft.desk.replay.markout import MARKOUT_UNITS, simulated_markout
        from flowhft.metrics.measures import INVENTORY_UNITS, inventory_distribution
        from flowhft.simulate.evaluate import equity_table, fingerprint, sessions_of
        from flowhft.simulate.quoting.lab import in_lab

        paths = min(self.paths, COURSE_PATHS)
        reach = min(5, int(min(scenario.inventory_limit, 5)))
        inventories = [float(q) for q in range(-reach, reach + 1)]
        courses, prints, held, marked = [], [], [], []
        with terminal.stage("draw the course of a session") as progress:
            for i, (name, policy) in enumerate(policies.items()):
                progress(i / len(policies), name)
                quoting = in_lab(policy, scenario)
                sessions = sessions_of(scenario, quoting, paths=paths, seed=self.seed)
                courses.append(equity_table(scenario, name, sessions))
                held.append({"policy": name, **inventory_distribution(sessions)})
                marked.append(simulated_markout(name, sessions, scenario.dt))
                prints.append(fingerprint(scenario, name, quoting, inventories, (1.0, 0.5, 0.1)))
        write_table(folder / "equity.parquet", pl.concat(courses), course_units(scenario.currency))
        write_table(folder / "fingerprint.parquet", pl.concat(prints), FINGERPRINT_UNITS)
        write_table(folder / "inventory.parquet", pl.DataFrame(held), INVENTORY_UNITS)
        write_table(folder / "markouts.parquet", pl.concat(marked), MARKOUT_UNITS)


def table_of(rows: list[dict[str, Any]]) -> pl.DataFrame:
    """Return rows of metrics as a table; a metric without a single value is still a column of numbers."""
    numbers = {f"{name}{end}": pl.Float64 for name in METRICS for end in ("", "_low", "_high")}
    if not rows:
        return pl.DataFrame(schema={"scenario": pl.String, "policy": pl.String, "reference": pl.String})
    return pl.DataFrame(rows, schema_overrides=numbers, infer_schema_length=None)


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
    shown = [name for name in SHOWN if any(row[name] is not None for row in results)]
    rows, above = [], None
    for row in results:
        paired = by_pair.get((row["scenario"], row["policy"]))
        against = (
            f"{paired['pnl']:+.3g} [{paired['pnl_low']:+.3g}, {paired['pnl_high']:+.3g}]"
            if paired
            else "reference"
        )
        where = "" if row["scenario"] == above else row["scenario"]  # a scenario is named once
        rows.append([where, row["policy"], *(row[name] for name in shown), against])
        above = row["scenario"]
    currency = currency_of(row["currency"] for row in results)
    table = Table(
        columns=["scenario", "policy", *map(_heading, shown), f"PnL against {reference}"],
        rows=rows,
        title=f"Per session; money in {'the currency of the scenario' if currency == 'money' else currency}",
    )
    return Result(
        summary={"folder": folder, "reference": reference, "results": results, "differences": differences},
        shown=[table, f"Results are in {folder}"],
    )


def _heading(name: str) -> str:
    metric = METRICS[name]
    title = metric.title.removesuffix(" (per session)")
    return title if metric.unit in ("ratio", "money") else f"{title} ({metric.unit})"
