"""`flowhft backtest`: judge policies on a recording with queues and costs, once or walking forward."""

from dataclasses import dataclass
from pathlib import Path

from flowhft.cli.command import Command, Result
from flowhft.cli.evaluate import result_of
from flowhft.report.numbers import significant
from flowhft.runs.folder import read_json
from flowhft.stages.folders import backtest
from flowhft.studies.walk_forward import walk


@dataclass(frozen=True, kw_only=True)
class Backtest(backtest.Backtest, Command):
    """Replay a recording, or its unseen part, through hftbacktest: each policy alone on the same events.

    Orders wait in queues, arrive late and pay fees. Metrics are per session of the scenario's horizon, as
    in simulation; intervals are those of few sessions. Writes results.parquet,
    differences.parquet, equity.parquet, inventory.parquet, markouts.parquet, latency.parquet, fills.parquet,
    backtest.json; with a sweep costs.parquet.

    Walking forward, nothing is calibrated before: every window is calibrated on what lies just before it,
    policies are told and adapted, and then they trade it, flat at its beginning and closed at the best price
    at its end. Writes windows.parquet too.
    """

    stage = staticmethod(walk.run)

    def result(self, folder: Path) -> Result:
        """Return the metrics of every policy, its largest drawdown over the whole run, and the warnings."""
        outcome = result_of(folder)
        record = read_json(folder / "backtest.json")
        *shown, where = outcome.shown
        summary = dict(outcome.summary)
        if fallen := record.get("run_drawdown"):  # not in a folder of before
            summary["run_drawdown"] = fallen
            currency = next((row["currency"] for row in summary["results"]), "")
            drawdowns = ", ".join(f"{name} {significant(value)}" for name, value in fallen.items())
            shown.append(f"Largest drawdown over the whole run, {currency}: {drawdowns}")
        warnings = record.get("warnings") or []
        return Result(
            summary={**summary, "warnings": warnings},
            shown=[*shown, *(f"warning: {text}" for text in warnings), where],
        )
