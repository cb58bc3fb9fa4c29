"""`flowhft calibrate`: fit a market to a recording."""

from dataclasses import dataclass
from pathlib import Path

from flowhft.cli.command import Command, Result
from flowhft.cli.terminal import Table
from flowhft.runs.folder import read_json
from flowhft.stages.folder import summary_of
from flowhft.stages.folders import calibrate
from flowhft.stages.folders.calibrate import SCENARIOS


@dataclass(frozen=True, kw_only=True)
class Calibrate(calibrate.Calibrate, Command):
    """Fit a market to a recording, with standard errors and goodness of fit, and build scenarios around it.

    Writes calibration.json, a table each of what the estimates rest on (signature.parquet, structure, jumps,
    seasonality, fill_curve, order_fills, markout_curve, hawkes_residuals), recording.json, and
    scenarios.toml: the calibrated market ("centre") and a grid of regimes around it.
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
                *(f"warning: {text}" for text in content["warnings"]),
                f"In the scenarios: a decision every {summary['dt']:g} s, sessions of "
                f"{summary['horizon']:g} s, {summary['adverse_selection']:.3g} ticks of adverse selection a "
                "fill.",
                f"Scenarios: {folder / SCENARIOS}",
            ],
        )
