"""`flowhft backtest`: judge policies on a recording with queues and costs, once or walking forward."""

from dataclasses import dataclass, replace
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
        """Return the metrics of every policy, and the largest drawdown of each over the whole run."""
        found = result_of(folder)
        fallen = read_json(folder / "backtest.json").get("run_drawdown")  # not in a folder of before
        if not fallen:
            return found
        currency = next((row["currency"] for row in found.summary["results"]), "")
        told = ", ".join(f"{name} {significant(value)}" for name, value in fallen.items())
        line = f"Largest drawdown over the whole run, {currency}: {told}"
        return replace(
            found,
            summary={**found.summary, "run_drawdown": fallen},
            shown=[*found.shown[:-1], line, found.shown[-1]],
        )
