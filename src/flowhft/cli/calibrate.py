"""`flowhft calibrate`: fit a market to a recording."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
from tyro.conf import Positional

from flowhft.calibrate.settings import CalibrationSettings
from flowhft.cli.command import Command, Result
from flowhft.cli.folder import begin, run_of, summary_of
from flowhft.cli.terminal import Table, Terminal
from flowhft.errors import require
from flowhft.recordings.described import InstrumentSettings
from flowhft.runs.folder import read_json, write_json

if TYPE_CHECKING:
    from flowhft.calibrate.calibrate import Calibration
    from flowhft.scenarios.scenario import Scenario

SCENARIOS = "scenarios.toml"
SURE = 2.0  # standard errors by which a half hour must lie outside the scenarios to be said to


@dataclass(frozen=True, kw_only=True)
class Calibrate(Command):
    """Fit a market to a recording, with standard errors and goodness of fit, and build scenarios around it.

    Writes calibration.json, a table each of what the estimates rest on (signature.parquet, structure, jumps,
    seasonality, fill_curve, order_fills, markout_curve, hawkes_residuals), recording.json, and
    scenarios.toml: the calibrated market ("centre") and a grid of regimes around it.
    """

    recording: Positional[Path]
    """Session prefix (.../usdm_btcusdt_20240718), any of its files, or a folder that holds one session."""
    share: float = 1.0
    """Share of the recording's time to learn from, from its start; the rest is not looked at."""
    dt: float | None = None
    """Seconds between two decisions in the scenarios; by default what suits the rate of orders."""
    horizon: float | None = None
    """Length of a session in the scenarios, seconds; by default 300 decisions."""
    order_lots: int = 10
    """Our order size in lots of the recording; one lot of the scenarios."""
    inventory_limit: int = 10
    """Most orders' worth of inventory in the scenarios, long or short."""
    maker_fee_bps: float = 0.0
    """Fee on what is traded, basis points of its value; negative is a rebate."""
    repair: bool = False
    """Mend what can be mended in the recording, and say what was done."""
    calibration: CalibrationSettings = CalibrationSettings()
    instrument: InstrumentSettings = InstrumentSettings()

    def run(self, terminal: Terminal) -> Result:
        """Read, calibrate, write."""
        from flowhft.calibrate.calibrate import calibrate, save
        from flowhft.calibrate.scenario import scenario_of
        from flowhft.cli.recording import facts_of, identity_of_recording, read_parts
        from flowhft.recordings.book import first_mid
        from flowhft.scenarios.files import scenarios_to_toml
        from flowhft.scenarios.presets import grid_around

        self._check()
        with terminal.stage("read the recording"):
            parts = read_parts(self.recording, self.share, self.repair, self.instrument)
            learn = parts.learn
        run = run_of(self, "calibrate", {"recording": identity_of_recording(learn)})
        if work := begin(run, terminal):
            with terminal.stage("calibrate the market") as progress:
                found = calibrate(learn, self.calibration, self.seed, progress)
            centre = scenario_of(
                found,
                first_mid(learn),
                dt=self.dt,
                horizon=self.horizon,
                order_lots=self.order_lots,
                inventory_limit=self.inventory_limit,
                maker_fee_bps=self.maker_fee_bps,
            )
            scenarios = grid_around(centre)
            save(replace(found, warnings=found.warnings + left_out_of(scenarios, found)), work)
            write_json(work / "recording.json", facts_of(parts))
            (work / SCENARIOS).write_text(scenarios_to_toml(scenarios), encoding="utf-8")
            run.finish(
                recording=learn.name,
                dt=centre.dt,
                horizon=centre.horizon,
                adverse_selection=centre.adverse_selection,
            )
        return result_of(run.folder)

    def _check(self) -> None:
        """Refuse what no scenario can be built with before the recording is read."""
        for name in ("dt", "horizon"):
            seconds = getattr(self, name)
            require(seconds is None or 0.0 < seconds < math.inf, name, "be positive and finite", seconds)
        if self.dt is not None and self.horizon is not None:
            received = f"dt {self.dt} s with horizon {self.horizon} s"
            require(self.dt <= self.horizon, "dt", "not exceed the horizon", received, "Lower dt.")
        require(self.order_lots >= 1, "order_lots", "be at least 1 lot", self.order_lots)
        require(self.inventory_limit >= 1, "inventory_limit", "be at least 1 order", self.inventory_limit)
        fee = self.maker_fee_bps
        require(abs(fee) < 10_000.0, "maker_fee_bps", "be below 10,000 in absolute value", fee)


def left_out_of(scenarios: Sequence["Scenario"], found: "Calibration") -> tuple[str, ...]:
    """Return what the scenarios leave out of the calibration, in plain words.

    Args:
        scenarios: the calibrated market, and the regimes around it.
        found: what they were made of.
    """
    centre, said = scenarios[0], []
    measured = found.parameters["adverse_selection"].value
    if measured > centre.adverse_selection:
        said.append(
            f"adverse_selection: the scenarios carry {centre.adverse_selection:.3g} of {measured:.3g} ticks "
            "measured, as much as a step of their price can: simulation flatters every policy."
        )
    for name, key in (("rate", "base_intensity"), ("volatility", "volatility")):
        factors = [getattr(scenario, key) / getattr(centre, key) for scenario in scenarios]
        parts = found.seasonality.select(
            (pl.col(name) - SURE * pl.col(f"{name}_error")).alias("low"),
            (pl.col(name) + SURE * pl.col(f"{name}_error")).alias("high"),
            pl.col(name).fill_nan(None).mean().alias("mean"),
        )
        beyond = (pl.col("low") > max(factors) * pl.col("mean")) | (
            pl.col("high") < min(factors) * pl.col("mean")
        )
        if outside := parts.filter(beyond).height:
            said.append(
                f"{name}: {outside} of {parts.height} half hours lie outside what the scenarios span, "
                f"{min(factors):g} to {max(factors):g} times the mean: policies that learn in them have not "
                "seen such a market."
            )
    return tuple(said)


def result_of(folder: Path) -> Result:
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
            f"In the scenarios: a decision every {summary['dt']:g} s, sessions of {summary['horizon']:g} s, "
            f"{summary['adverse_selection']:.3g} ticks of adverse selection a fill.",
            f"Scenarios: {folder / SCENARIOS}",
        ],
    )
