"""`flowhft evaluate`: judge policies in simulated markets on the same random numbers."""

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from flowhft.cli.command import Command, Result
from flowhft.cli.folder import begin, policies_of, run_of, scenarios_of
from flowhft.cli.scenarios import note_losses
from flowhft.cli.select import scores_from
from flowhft.cli.terminal import Table, Terminal
from flowhft.metrics.table import METRICS
from flowhft.runs.folder import read_table
from flowhft.scenarios.presets import Preset
from flowhft.simulate.devices import DeviceName, prepare
from flowhft.stages.settings import require_evaluation
from flowhft.stages.tables import currency_of

SHOWN = (
    "pnl",
    "expected_pnl",
    "sharpe",
    "max_drawdown",
    "spread_pnl",
    "inventory_pnl",
    "fills",
    "rms_inventory",
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
    """Comma-separated experts (glft, or glft@0.01 with a risk aversion), .safetensors files, run folders, or
    your own (mine=my_policy.py:NAME); label=path names one, path[steps=1,execute=4] draws its quotes in
    another way. `no_quote`, who stays at home, is among them whether it is named or not."""
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
        from flowhft.simulate.checkpoint import Checkpoints
        from flowhft.stages.evaluate import evaluate, scenarios_in
        from flowhft.stages.policies import lineup
        from flowhft.work.cluster import cluster
        from flowhft.work.task import do_here

        require_evaluation(self.paths, self.confidence, self.chunk, self.delay)
        scenarios = scenarios_in(self.scenarios, self.market)
        named, files = scenarios_of(self.scenarios)
        taught, scores = {}, None
        if self.teachers:
            taught["teachers"], scores = scores_from(self.teachers)
        compared = lineup(
            self.policies,
            self.reference,
            scenarios=scenarios,
            delay=self.delay,
            late=self.late,
            risk_aversions=scores,
        )
        called, saved = policies_of(compared.policies)
        run = run_of(
            self, "evaluate", files | saved | taught, scenarios=named, policies=called, device=device
        )
        if work := begin(run, terminal):
            note_losses(scenarios, terminal)
            with terminal.stage("judge policies in simulation") as progress, contextlib.ExitStack() as stack:
                found = evaluate(
                    compared,
                    scenarios,
                    self.paths,
                    seed=self.seed,
                    reference=compared.reference,
                    confidence=self.confidence,
                    delay=self.delay,
                    late=self.late,
                    chunk=self.chunk,
                    device=self.device,
                    crew=stack.enter_context(cluster(self.ray, device, prepare)) if self.ray else do_here,
                    finished=Checkpoints(work / "moments"),
                    progress=progress,
                )
            with terminal.stage("draw the course of a session") as progress:
                found.save(work, progress)
            run.finish(
                reference=found.reference,
                scenarios=[scenario.name for scenario in found.scenarios],
                policies=compared.names,
            )
        return result_of(run.folder, compared.reference)


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
