"""A calibrated market: parameters with errors, the facts behind them, tables, and how it is stored."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from flowhft.calibrate.adverse_selection import MARKOUT_UNITS
from flowhft.calibrate.fill_curve import FILL_CURVE_UNITS
from flowhft.calibrate.hawkes_fit import RESIDUAL_UNITS
from flowhft.calibrate.hurst import STRUCTURE_UNITS
from flowhft.calibrate.jumps import JUMP_UNITS
from flowhft.calibrate.order_fills import ORDER_FILL_UNITS
from flowhft.calibrate.parameter import Parameter
from flowhft.calibrate.seasonality import SEASONALITY_UNITS
from flowhft.calibrate.volatility import SIGNATURE_UNITS
from flowhft.errors import DataError, require
from flowhft.features.book import NAMES
from flowhft.features.scales import Scales
from flowhft.recordings.instrument import Instrument
from flowhft.recordings.venues import terms_of
from flowhft.runs.files import entry
from flowhft.runs.folder import read_object, write_json, write_table
from flowhft.runs.tables import table_of
from flowhft.runs.tables.kinds import read_known
from flowhft.types import Estimates

FILE = "calibration.json"
UNTOLD_LOTS = 10  # size of our orders where a calibration does not tell any
TABLES = {
    "signature": SIGNATURE_UNITS,
    "structure": STRUCTURE_UNITS,
    "jumps": JUMP_UNITS,
    "seasonality": SEASONALITY_UNITS,
    "fill_curve": FILL_CURVE_UNITS,
    "order_fills": ORDER_FILL_UNITS,
    "markout_curve": MARKOUT_UNITS,
    "hawkes_residuals": RESIDUAL_UNITS,
}


class Facts(NamedTuple):
    """What was calibrated on, and how well the models fit.

    Attributes:
        instrument: of the recording.
        seconds: from the first mid to the last event, without closed time.
        market_orders: both sides, orders within the order window taken together.
        bursts: the same with the response latency.
        market_spread: time-weighted mean, ticks.
        sampling_interval: seconds, of the volatility.
        plain_volatility: at that interval, noise included, ticks per root second.
        order_window: seconds.
        response_latency: seconds.
        fitted_from, fitted_to: distances of the fill curve's fit, ticks.
        fill_curve_r_squared: of the logarithm of the rate.
        likelihood_intensity: A by maximum likelihood over the same distances, per side, 1 / second.
        likelihood_fill_decay: k by maximum likelihood, 1 / tick.
        hawkes_gain: log-likelihood over a Poisson process, nats per order.
        hawkes_ks_statistic: Kolmogorov-Smirnov distance of the residuals from the exponential.
        hawkes_p_value: of that distance.
        poisson_ks_statistic: the distance for a Poisson process.
        has_memory: whether the Hurst exponent is told from 0.5, so that scenarios have it.
        memory_volatility: with it, the volatility of the fractional price over one second, ticks.
        has_jumps: whether jumps are told from none, so that scenarios have them.
        closed_seconds: left out, in which the market did not trade or nothing was recorded.
        order_lots: size of our orders, lots of the recording: a third of its median market order (prints of
            one side at one time are one order) unless it was said; 10 in files that do not tell.
        answered: share of the improvements of the best price that others improved next within a second (see
            `flowhft.calibrate.answers`), which a replay has answered; 0 where there was none, and in files
            that do not tell.
        answered_low, answered_high: ends of its interval; NaN where there is none.
    """

    instrument: Instrument
    seconds: float
    market_orders: int
    bursts: int
    market_spread: float
    sampling_interval: float
    plain_volatility: float
    order_window: float
    response_latency: float
    fitted_from: float
    fitted_to: float
    fill_curve_r_squared: float
    likelihood_intensity: float
    likelihood_fill_decay: float
    hawkes_gain: float
    hawkes_ks_statistic: float
    hawkes_p_value: float
    poisson_ks_statistic: float
    has_memory: bool
    memory_volatility: float
    has_jumps: bool
    closed_seconds: float = 0.0
    order_lots: int = UNTOLD_LOTS
    answered: float = 0.0
    answered_low: float = math.nan
    answered_high: float = math.nan


@dataclass(frozen=True)
class Calibration:
    """A calibrated market.

    Attributes:
        parameters: by name. In ticks, seconds and per side: `volatility`, `drift`, `intensity` (A),
            `fill_decay` (k), both also with `_bid` and `_ask`, `market_order_rate`, `reach` (A over that
            rate), `fill_imbalance` (of the sides at 1 / k), `base_intensity`, `self_excitation`,
            `cross_excitation`, `decay`, `branching_ratio`, `adverse_selection` (of quotes at 1 / k, over
            twice the response latency), `hurst_exponent`, `jump_intensity`, `jump_mean`, `jump_deviation`,
            `jump_share`, `rate_seasonality`, `volatility_seasonality`, `order_fill_ratio`. For people, in
            currency and for both sides together: `volatility_in_currency`, `fill_decay_in_currency`,
            `intensity_both_sides`. What the recording cannot carry is NaN, with the reason as its diagnostic.
        facts: about the recording and the fits.
        warnings: where a model fits poorly or an estimate cannot be trusted, in plain words.
        signature: plain volatility against sampling interval.
        structure: mean squared move against interval, and that of the fractional fit.
        jumps: every jump that was found.
        seasonality: rate and volatility over the session.
        fill_curve: empirical and fitted rates against distance.
        order_fills: how often resting orders were executed, against distance.
        markout_curve: the move of the mid against a fill at 1 / k, against the time since.
        hawkes_residuals: quantiles of the rescaled waiting times against those of the exponential.
        book: scales of the signals of the order book; None where they were not measured, or it has none.
    """

    parameters: dict[str, Parameter]
    facts: Facts
    warnings: tuple[str, ...]
    signature: pl.DataFrame
    structure: pl.DataFrame
    jumps: pl.DataFrame
    seasonality: pl.DataFrame
    fill_curve: pl.DataFrame
    order_fills: pl.DataFrame
    markout_curve: pl.DataFrame
    hawkes_residuals: pl.DataFrame
    book: Scales | None = None

    def estimates(self, horizon: float) -> Estimates:
        """Return what an expert is told about this market.

        The drift is 0 unless its interval excludes 0: over one recording it is nearly always noise, and an
        expert who is told noise takes a position on it.

        Args:
            horizon: length of a session, seconds.
        """
        require(horizon > 0.0, "horizon", "be above 0", f"{horizon} s")
        drift = self.parameters["drift"]
        return Estimates(
            volatility=self.parameters["volatility"].value,
            drift=0.0 if drift.low <= 0.0 <= drift.high else drift.value,
            intensity=self.parameters["intensity"].value,
            fill_decay=self.parameters["fill_decay"].value,
            horizon=horizon,
        )


def save(calibration: Calibration, folder: Path) -> None:
    """Write a calibration as `calibration.json` and one Parquet table each for what `TABLES` names.

    Args:
        calibration: what to write.
        folder: is made if it does not exist.
    """
    for name, units in TABLES.items():
        write_table(folder / f"{name}.parquet", getattr(calibration, name), units)
    others = calibration.facts._asdict()
    del others["instrument"]
    write_json(
        folder / FILE,
        {
            "parameters": calibration.parameters,
            "facts": calibration.facts.instrument.facts | others,
            "warnings": calibration.warnings,
            "book": None if calibration.book is None else _book_written(calibration.book),
        },
    )


def load_calibration(folder: Path) -> Calibration:
    """Read what `save` wrote.

    Args:
        folder: that holds `calibration.json` and its tables.

    Raises:
        DataError: a file is missing, damaged or holds something else.
    """
    path = folder / FILE
    content = read_object(path)
    warnings = tuple(map(str, entry(content, path, "warnings", kind=list)))
    for name, fields in entry(content, path, "parameters", kind=dict).items():
        for key, kind in Parameter.__annotations__.items():
            if key in entry(content, path, "parameters", name, kind=dict):
                entry(fields, path, key, kind=(kind, type(None)))
    for key, kind in Facts.__annotations__.items():
        if key in entry(content, path, "facts", kind=dict):
            entry(content, path, "facts", key, kind=(kind, type(None)))
    try:
        parameters = {name: Parameter(**_with_nan(fields)) for name, fields in content["parameters"].items()}
        facts = _facts_in(content["facts"])
    except (KeyError, TypeError, AttributeError, ValueError) as cause:
        raise DataError(
            f"`{path}` must be a calibration; {type(cause).__name__}: {cause}. Run `flowhft calibrate` again."
        ) from cause
    tables = {name: read_known(folder / f"{name}.parquet", table_of("calibrate", name)) for name in TABLES}
    return Calibration(parameters, facts, warnings, **tables, book=_book_in(content.get("book"), path))


def _book_written(scales: Scales) -> dict[str, Any]:
    """Return the scales of a book as JSON has them: for each signal, what is taken off and its divisor."""
    pairs = zip(NAMES, scales.centre.tolist(), scales.scale.tolist(), strict=True)
    return {"unit": scales.unit, "signals": {name: [centre, scale] for name, centre, scale in pairs}}


def _book_in(content: Any, path: Path) -> Scales | None:
    """Return the scales of a book from JSON; None where it has none, or they are those of other signals.

    Raises:
        DataError: they are no numbers, or not positive.
    """
    if content is None:
        return None
    signals = entry(content, path, "signals", kind=dict)
    if list(signals) != list(NAMES):
        return None
    try:
        centre, scale = np.array(list(signals.values()), np.float64).T
        unit = float(content["unit"])
    except (KeyError, TypeError, ValueError) as cause:
        raise DataError(
            f"`book` of `{path}` must hold numbers; {cause}. Run `flowhft calibrate` again."
        ) from cause
    good = (
        np.all(np.isfinite(centre))
        and np.all(scale > 0.0)
        and np.all(np.isfinite(scale))
        and 0.0 < unit < math.inf
    )
    if not good:
        raise DataError(
            f"`book` of `{path}` must hold finite numbers and positive scales; received others. Run "
            "`flowhft calibrate` again."
        )
    return Scales(centre, scale, unit)


def _facts_in(values: dict[str, Any]) -> Facts:
    """Return the facts that a file holds; what older files lack of the instrument follows from its symbol."""
    terms = terms_of(values["venue"], values["symbol"])
    known = {} if terms is None else terms._asdict()
    known = {name: value for name, value in known.items() if value is not None and name != "currency"}
    known |= {name: value for name, value in values.items() if name in Instrument._fields}
    others = {name: value for name, value in values.items() if name not in Instrument._fields}
    return Facts(Instrument(**known), **_with_nan(others))


def _with_nan(fields: dict[str, Any]) -> dict[str, Any]:
    """Undo what JSON makes of NaN."""
    return {name: math.nan if value is None else value for name, value in fields.items()}
