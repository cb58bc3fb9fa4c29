"""`flowhft backtest`: judge policies on a recording with queues and costs, once or walking forward."""

from dataclasses import dataclass
from pathlib import Path

from flowhft.cli.command import Command, Result
from flowhft.cli.evaluate import result_of
from flowhft.cli.terminal import Table
from flowhft.report.numbers import significant
from flowhft.runs.folder import read_json, read_table
from flowhft.stages.folders import backtest
from flowhft.studies.walk_forward import walk
from flowhft.types import Interval


@dataclass(frozen=True, kw_only=True)
class Backtest(backtest.Backtest, Command):
    """Replay a recording, or its unseen part: each policy alone on the same events.

    Orders wait in queues, arrive late and pay fees. Metrics are per session of the scenario's horizon, as
    in simulation; intervals are those of few sessions. Writes results.parquet,
    differences.parquet, equity.parquet, inventory.parquet, markouts.parquet, latency.parquet, fills.parquet,
    backtest.json; with a sweep costs.parquet and bookings.parquet.

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
        if told := record.get("booked"):  # likewise
            shown.append(told)
            summary["booked"] = told
        shown += booking_table(folder)
        warnings = record.get("warnings") or []
        return Result(
            summary={**summary, "warnings": warnings},
            shown=[*shown, *(f"warning: {text}" for text in warnings), where],
        )


def booking_table(folder: Path) -> list[Table]:
    """Return the PnL of every policy by how fills were booked; none where that was not asked for."""
    if not (folder / "bookings.parquet").exists():
        return []
    rows = read_table(folder / "bookings.parquet")
    names = rows["booking"].unique(maintain_order=True).to_list()
    lines = []
    for (policy,), own in rows.group_by("policy", maintain_order=True):
        by_name = {row["booking"]: row for row in own.to_dicts()}
        values = (by_name[name] for name in names)
        lines.append([policy, *(Interval(row["pnl"], row["pnl_low"], row["pnl_high"]) for row in values)])
    return [Table(columns=["policy", *names], rows=lines, title="PnL a session by how fills are booked")]
