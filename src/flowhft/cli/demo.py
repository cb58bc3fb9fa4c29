"""`flowhft demo`: the whole line, from a recording to a judged policy and a report."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from flowhft.cli.command import Command, Result
from flowhft.cli.terminal import Table, Terminal
from flowhft.runs.folder import REPORT, read_json, read_table
from flowhft.stages.folder import summary_of
from flowhft.stages.folders.freeze import FILE
from flowhft.stages.settings import OF_THIS_RECORDING
from flowhft.studies import demo
from flowhft.types import Interval

NOWHERE = (None, None, None)  # what was measured of a policy that could not be there


@dataclass(frozen=True, kw_only=True)
class Demo(demo.Demo, Command):
    """From a recording of a market to a judged quoting policy, in minutes, with a report to read.

    Calibrates a market on the first part of the recording, lets experts demonstrate in a grid of regimes
    around it, learns from the best of them by flow matching, adapts the shipped policy to the calibrated
    market, learns a maker that sees the order book, and judges all of them: in simulation, whose markets
    show no book, and by replaying the part of the recording that nothing has seen.

    Every stage leaves a finished folder. The same command again resumes after the last of them.
    """

    stage = staticmethod(demo.run)

    def run(self, terminal: Terminal) -> Result:
        """Run the stages, and say how long that took."""
        began = time.monotonic()
        folder = demo.run(self, terminal)
        seconds = time.monotonic() - began
        result = self.result(folder)
        done = f"Done in {seconds:.0f} s. The run folder is {folder}"
        *shown, report = result.shown
        return Result(summary=dict(result.summary) | {"seconds": seconds}, shown=[*shown, done, report])

    def result(self, folder: Path) -> Result:
        """Return the table that a person reads first: every policy, in simulation and on the recording."""
        sentences = summary_of(folder)["verdict"]
        report = folder / REPORT
        inside = read_table(folder / "evaluate" / "results.parquet").filter(pl.col("scenario") == "centre")
        outside = read_table(folder / "backtest" / "results.parquet")
        by_policy = {row["policy"]: row for row in inside.to_dicts()}
        record = read_json(folder / "backtest" / "backtest.json")
        # What is true of every replay stands in the report; here is what this recording is to blame for.
        done = [*read_json(folder / "calibrate" / "calibration.json")["warnings"], *record["warnings"]]
        warnings = [text for text in dict.fromkeys(done) if text.startswith(OF_THIS_RECORDING)]
        currency = inside["currency"][0]
        rows = [
            [
                real["policy"],
                *(_measured(by_policy[real["policy"]]) if real["policy"] in by_policy else NOWHERE),
                *_measured(real),
                real["fills"],
                record["break_even_fee_bps"][real["policy"]],
            ]
            for real in outside.to_dicts()
        ]
        return Result(
            summary={
                "folder": folder,
                "report": report,
                "frozen": folder / "freeze" / FILE,
                "verdict": sentences,
                "simulation": inside.to_dicts(),
                "recording": outside.to_dicts(),
                "backtest": record,
                "warnings": warnings,
            },
            shown=[
                Table(
                    columns=[
                        "policy",
                        f"simulated PnL ({currency})",
                        "Sharpe",
                        "drawdown",
                        f"replayed PnL ({currency})",
                        "Sharpe",
                        "drawdown",
                        "fills",
                        "break-even fee (bps)",
                    ],
                    rows=rows,
                    title=f"Per session of {record['session_seconds']:g} s: in the calibrated market, "
                    f"and on {record['sessions']} unseen sessions of the recording",
                ),
                *([told] if (told := record.get("booked")) else []),
                *sentences,
                *(f"warning: {text}" for text in warnings),
                f"The report is {report}",
            ],
        )


def _measured(row: dict[str, Any]) -> tuple[Any, ...]:
    """Return the PnL with its interval, Sharpe ratio and drawdown of a row of results."""
    return Interval(row["pnl"], row["pnl_low"], row["pnl_high"]), row["sharpe"], row["max_drawdown"]
