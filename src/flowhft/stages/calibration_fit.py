"""Whether a calibration fits what is replayed: the same instrument, the same orders, the same fee.

What a calibration was made for, its order size, inventory limit and fee, are the defaults of a replay.
Settings that say other things win, and the difference is said beside the result: policies were told another
market.
"""

import math
from dataclasses import replace
from typing import Any

from flowhft.calibrate.calibrate import Calibration
from flowhft.desk.replay.settings import ReplaySettings
from flowhft.errors import DataError
from flowhft.recordings.instrument import Instrument
from flowhft.scenarios.scenario import Scenario

UNITS = ("currency", "tick_size", "lot_size", "inverse", "contract_value", "settlement")
SAME = 1e-9  # relative; sizes that were read from text
PRICE_APART = 0.25  # share of the mid by which a market may have moved before it is said to be another one


def require_instrument(calibration: Calibration, instrument: Instrument) -> None:
    """Refuse a calibration whose ticks, lots or money are not those of the recording.

    Args:
        calibration: that policies are told.
        instrument: of the recording.

    Raises:
        DataError: naming what differs.
    """
    known = calibration.facts.instrument
    for name in UNITS:
        ours, theirs = getattr(known, name), getattr(instrument, name)
        if ours != theirs and not (
            isinstance(ours, float) and isinstance(theirs, float) and math.isclose(ours, theirs, rel_tol=SAME)
        ):
            raise DataError(
                f"`calibration` must be of the instrument that is replayed, {instrument}; received {known}: "
                f"`{name}` is {ours!r} there and {theirs!r} here. Calibrate on a part of this recording, or "
                "say the same of both with --instrument options."
            )


def order_lots_of(scenario: Scenario, instrument: Instrument) -> int | None:
    """Return the order size that a scenario was made for, in lots of the recording; None if it does not say.

    One lot of a scenario is one order: its `tick_value` is that of the instrument times the order's lots.

    Args:
        scenario: the market.
        instrument: of the recording.
    """
    if scenario.currency != instrument.money:
        return None
    lots = scenario.tick_value / instrument.tick_value(scenario.initial_price)
    whole = round(lots)
    return whole if whole >= 1 and math.isclose(lots, whole, rel_tol=1e-6) else None


def settings_for(
    settings: ReplaySettings, scenario: Scenario, calibration: Calibration | None, instrument: Instrument
) -> ReplaySettings:
    """Return the settings of a replay, with what scenario and calibration say where they leave it open.

    Args:
        settings: of the replay.
        scenario: the market that policies are told: times, order size, inventory limit and fee.
        calibration: behind it: the window within which market orders are one, the share of orders that are
            answered, and the order size where the scenario does not tell it; None where there is none.
        instrument: of the recording.
    """
    timed = settings.in_scenario(scenario.dt, scenario.horizon)
    order_lots = order_lots_of(scenario, instrument)
    if calibration is not None:
        facts = calibration.facts
        timed = timed.counting(facts.order_window).answering(facts.answered)
        order_lots = facts.order_lots if order_lots is None else order_lots
    made_for: dict[str, Any] = {
        "order_lots": order_lots,
        "inventory_limit": _limit_of(scenario),
        "maker_fee_bps": _fee_bps_of(scenario),
    }
    open_ = {name: value for name, value in made_for.items() if getattr(settings, name) is None}
    return replace(timed, **open_).settled()


def unlike_the_calibration(
    settings: ReplaySettings,
    scenario: Scenario,
    calibration: Calibration | None,
    instrument: Instrument,
    first_mid: float,
) -> tuple[str, ...]:
    """Return where a replay differs from what its policies are told, in plain words.

    Args:
        settings: of the replay, with nothing left open.
        scenario: the market that policies are told.
        calibration: behind it; None where there is none.
        instrument: of the recording.
        first_mid: of the recording, ticks.
    """
    messages = []
    if calibration is not None and calibration.facts.instrument.name != instrument.name:
        messages.append(
            f"it is of {calibration.facts.instrument.name}, what is replayed is {instrument.name}."
        )
    for name, shown, unit in (
        ("order_lots", order_lots_of(scenario, instrument), " lots"),
        ("inventory_limit", _limit_of(scenario), " orders"),
        ("maker_fee_bps", _fee_bps_of(scenario), " bps"),
    ):
        ours = getattr(settings, name)
        if shown is not None and not math.isclose(shown, ours, rel_tol=SAME, abs_tol=1e-12):
            messages.append(
                f"it was made for `{name}` {shown:g}{unit}, which policies are told; the replay has {ours:g}."
            )
    if calibration is not None and abs(scenario.initial_price / first_mid - 1.0) > PRICE_APART:
        messages.append(
            f"its market begins at a mid of {scenario.initial_price:,.1f} ticks, the replay at "
            f"{first_mid:,.1f}: distances and volatility in ticks are hardly those of this market."
        )
    return tuple(f"calibration: {one}" for one in messages)


def _limit_of(scenario: Scenario) -> int | None:
    return int(scenario.inventory_limit) if math.isfinite(scenario.inventory_limit) else None


def _fee_bps_of(scenario: Scenario) -> float:
    """Return the fee in basis points as it was written, free of the noise of the factor."""
    return float(f"{1e4 * scenario.maker_fee:.12g}")
