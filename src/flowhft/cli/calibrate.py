"""`flowhft calibrate`: fit a market to a recording."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from flowhft.cli.command import Command, Result
from flowhft.cli.terminal import Table
from flowhft.report.numbers import counted
from flowhft.runs.folder import read_json, read_table
from flowhft.stages.folder import summary_of
from flowhft.stages.folders import calibrate
from flowhft.stages.folders.calibrate import SCENARIOS

SHOWN_HORIZON, MOST_SHOWN = 1.0, 8  # seconds; signals


@dataclass(frozen=True, kw_only=True)
class Calibrate(calibrate.Calibrate, Command):
    """Fit a market to a recording, with standard errors and goodness of fit, and build scenarios around it.

    Writes calibration.json, a table each of what the estimates rest on (signature.parquet, structure, jumps,
    seasonality, fill_curve, order_fills, markout_curve, hawkes_residuals), signals.parquet where there is a
    book (what its signals say of the mid), recording.json, and scenarios.toml: the calibrated market
    ("centre") and a grid of regimes around it.
    """

    stage = staticmethod(calibrate.run)

    def result(self, folder: Path) -> Result:
        """Return what a finished calibration found, read back from its folder."""
        content = read_json(folder / "calibration.json")
        summary = summary_of(folder)
        rows = [
            [name, p["value"], p["standard_error"], p["low"], p["high"], p["unit"]]
            for name, p in content["parameters"].items()
        ]
        return Result(
            summary={"folder": folder, **summary, **content},
            shown=[
                Table(
                    columns=["parameter", "value", "standard error", "low", "high", "unit"],
                    rows=rows,
                    title=f"{summary['recording']}: {content['facts']['seconds']:.0f} s, "
                    f"{content['facts']['market_orders']:,} market orders",
                ),
                *signal_table(folder),
                *(f"warning: {text}" for text in content["warnings"]),
                f"In the scenarios: a decision every {summary['dt']:g} s, sessions of "
                f"{summary['horizon']:g} s, {summary['adverse_selection']:.3g} ticks of adverse selection a "
                "fill.",
                *_orders(content["facts"]),
                f"Scenarios: {folder / SCENARIOS}",
            ],
        )


def _orders(facts: Mapping[str, Any]) -> list[str]:
    """Return what scenario and backtest take by default: the size of an order, and how many are answered."""
    if "order_lots" not in facts:  # a folder of before
        return []
    lots = facts["order_lots"]
    size = f"{counted(lots, 'lot')}, {lots * facts['lot_size']:.6g} of {facts['symbol']}"
    share, low, high = (facts[name] for name in ("answered", "answered_low", "answered_high"))
    known = "" if None in (low, high) else f" [{100.0 * low:.0f}, {100.0 * high:.0f}]"
    return [
        f"An order is of {size}; of the orders that improve the best price {100.0 * share:.0f} %{known} are "
        "answered (the defaults of a backtest)."
    ]


def signal_table(folder: Path) -> list[Table]:
    """Return what the signals of the book say of the mid a second later, best first; none without a book."""
    if not (folder / "signals.parquet").exists():
        return []
    known = read_table(folder / "signals.parquet").filter(
        pl.col("horizon") == SHOWN_HORIZON, pl.col("verdict").is_not_null()
    )
    names = ("slope", "slope_low", "slope_high", "r_squared", "r_squared_low", "r_squared_high", "verdict")
    rows = known.sort("r_squared", descending=True).head(MOST_SHOWN).select("signal", *names).rows()
    head = ["signal", "slope", "low", "high", "R² unseen", "low", "high", "verdict"]
    title = f"the mid {SHOWN_HORIZON:g} s later: ticks a deviation of a signal, and R²; the best {len(rows)}"
    return [Table(columns=head, rows=[list(row) for row in rows], title=title)] if rows else []
