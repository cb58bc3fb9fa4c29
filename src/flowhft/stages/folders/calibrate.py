"""Calibrate: fit a market to a recording, and build scenarios around it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
from tyro.conf import Positional

from flowhft.calibrate.settings import CalibrationSettings
from flowhft.errors import require
from flowhft.recordings.described import InstrumentSettings
from flowhft.runs.folder import stream, write_json, write_table
from flowhft.stages.folder import begin, run_of
from flowhft.stages.stage import Listener, Silent, Stage

if TYPE_CHECKING:
    from flowhft.calibrate.calibrate import Calibration
    from flowhft.recordings.ticks import Recording
    from flowhft.scenarios.scenario import Scenario
    from flowhft.stages.signals import Signals

SCENARIOS = "scenarios.toml"
ORDER_FLOW = "order_flow.json"
SURE = 2.0  # standard errors by which a half hour must lie outside the scenarios to be said to


@dataclass(frozen=True, kw_only=True)
class Calibrate(Stage):
    """Settings of a calibration, and of the scenarios that are made of it."""

    recording: Positional[Path]
    """Session prefix (.../usdm_btcusdt_20240718), any of its files, or a folder that holds one session."""
    share: float = 1.0
    """Share of the recording's time to learn from, from its start; the rest is not looked at."""
    dt: float | None = None
    """Seconds between two decisions in the scenarios; by default what suits the rate of orders."""
    horizon: float | None = None
    """Length of a session in the scenarios, seconds; by default 300 decisions."""
    order_lots: int | None = None
    """Our order size in lots of the recording: one lot of the scenarios, and what is replayed. By default a
    third of the median market order of what is learned from (prints of one side at one time are one)."""
    inventory_limit: int = 10
    """Most orders' worth of inventory in the scenarios, long or short."""
    maker_fee_bps: float = 0.0
    """Fee on what is traded, basis points of its value; negative is a rebate."""
    repair: bool = False
    """Mend what can be mended in the recording, and say what was done."""
    order_flow: bool = field(default=False, metadata={"unwritten": False})
    """Whether order flow moves the price in the scenarios: imbalance foretells, the mid answers orders."""
    calibration: CalibrationSettings = CalibrationSettings()
    instrument: InstrumentSettings = InstrumentSettings()


def run(settings: Calibrate, listener: Listener | None = None) -> Path:
    """Fit a market to a recording, with error bars, and write the scenarios around it."""
    listener = listener or Silent()
    from flowhft.calibrate.calibrate import calibrate, save
    from flowhft.calibrate.flow_tape import tape_of
    from flowhft.calibrate.observed import observed
    from flowhft.calibrate.order_flow import fit_order_flow, with_order_flow
    from flowhft.calibrate.scenario import scenario_of
    from flowhft.recordings.book import first_mid
    from flowhft.scenarios.files import scenarios_to_toml
    from flowhft.scenarios.presets import grid_around
    from flowhft.stages.recording import facts_of, identity_of_recording, read_parts

    _check(settings)
    with listener.stage("read the recording"):
        parts = read_parts(settings.recording, settings.share, settings.repair, settings.instrument)
        learn = parts.learn
    run = run_of(settings, "calibrate", {"recording": identity_of_recording(learn)})
    if work := begin(run, listener):
        with listener.stage("calibrate the market") as progress:
            result = calibrate(learn, settings.calibration, settings.seed, progress)
        if settings.order_lots is not None:
            result = replace(result, facts=result.facts._replace(order_lots=settings.order_lots))
        centre = scenario_of(
            result,
            first_mid(learn),
            dt=settings.dt,
            horizon=settings.horizon,
            inventory_limit=settings.inventory_limit,
            maker_fee_bps=settings.maker_fee_bps,
        )
        if settings.order_flow:
            with listener.stage("fit the order flow"):
                fit = fit_order_flow(
                    tape_of(observed(learn, settings.calibration, settings.seed)),
                    centre,
                    stream(settings.seed, "calibrate", "order flow") % 2**32,
                    settings.calibration.confidence,
                )
                centre = with_order_flow(centre, fit)
            result = replace(
                result, parameters=result.parameters | fit.parameters, warnings=result.warnings + fit.warnings
            )
            write_json(work / ORDER_FLOW, fit.comparison)
        scenarios = grid_around(centre)
        with listener.stage("calibrate the signals of the book"):
            signals = save_signals(learn, settings.calibration.confidence, work)
        no_signals = (f"signals: {signals.reason}",) if signals.reason else ()
        left_out = left_out_of(scenarios, result)
        warnings = result.warnings + left_out + no_signals
        save(replace(result, warnings=warnings, book=signals.scales), work)
        write_json(work / "recording.json", facts_of(parts))
        (work / SCENARIOS).write_text(scenarios_to_toml(scenarios), encoding="utf-8")
        run.finish(
            recording=learn.name,
            dt=centre.dt,
            horizon=centre.horizon,
            adverse_selection=centre.adverse_move,
            order_lots=result.facts.order_lots,
        )
    return run.folder


def save_signals(recording: "Recording", confidence: float, folder: Path) -> "Signals":
    """Write what the signals of a book say as `signals.parquet`, where the recording has any, and return it.

    Args:
        recording: what is learned from.
        confidence: of the intervals.
        folder: exists.
    """
    from flowhft.calibrate.signals import SIGNAL_UNITS
    from flowhft.stages.signals import signals_of

    found = signals_of(recording, confidence)
    if found.skill is not None:
        write_table(folder / "signals.parquet", found.skill, SIGNAL_UNITS)
    return found


def _check(settings: Calibrate) -> None:
    """Refuse what no scenario can be built with before the recording is read."""
    for name in ("dt", "horizon"):
        seconds = getattr(settings, name)
        require(seconds is None or 0.0 < seconds < math.inf, name, "be positive and finite", seconds)
    if settings.dt is not None and settings.horizon is not None:
        received = f"dt {settings.dt} s with horizon {settings.horizon} s"
        require(settings.dt <= settings.horizon, "dt", "not exceed the horizon", received, "Lower dt.")
    lots = settings.order_lots
    require(lots is None or lots >= 1, "order_lots", "be at least 1 lot", lots)
    require(settings.inventory_limit >= 1, "inventory_limit", "be at least 1 order", settings.inventory_limit)
    fee = settings.maker_fee_bps
    require(abs(fee) < 10_000.0, "maker_fee_bps", "be below 10,000 in absolute value", fee)


def left_out_of(scenarios: Sequence["Scenario"], result: "Calibration") -> tuple[str, ...]:
    """Return what the scenarios leave out of the calibration, in plain words.

    Args:
        scenarios: the calibrated market, and the regimes around it.
        result: what they were made of.
    """
    centre, messages = scenarios[0], []
    measured = result.parameters["adverse_selection"].value
    if centre.order_flow is None and measured > centre.adverse_selection:
        messages.append(
            f"adverse_selection: the scenarios carry {centre.adverse_selection:.3g} of {measured:.3g} ticks "
            "measured, as much as a step of their price can: simulation flatters every policy."
        )
    for name, key in (("rate", "base_intensity"), ("volatility", "volatility")):
        factors = [getattr(scenario, key) / getattr(centre, key) for scenario in scenarios]
        parts = result.seasonality.select(
            (pl.col(name) - SURE * pl.col(f"{name}_error")).alias("low"),
            (pl.col(name) + SURE * pl.col(f"{name}_error")).alias("high"),
            pl.col(name).fill_nan(None).mean().alias("mean"),
        )
        beyond = (pl.col("low") > max(factors) * pl.col("mean")) | (
            pl.col("high") < min(factors) * pl.col("mean")
        )
        if outside := parts.filter(beyond).height:
            messages.append(
                f"{name}: {outside} of {parts.height} half hours lie outside what the scenarios span, "
                f"{min(factors):g} to {max(factors):g} times the mean: policies that learn in them have not "
                "seen such a market."
            )
    return tuple(messages)
