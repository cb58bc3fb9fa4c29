"""Backtest policies on a recording: each alone on the same events, through queues, latency and fees."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace as changed
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from flowhft.calibrate.calibrate import Calibration, CalibrationSettings, load_calibration
from flowhft.desk.replay import engine
from flowhft.desk.replay.settings import ReplaySettings
from flowhft.desk.replay.tape import OrderFlow
from flowhft.errors import UsageError, require
from flowhft.features.scales import Scales
from flowhft.learn.recordings.training_set import DAY_NS
from flowhft.metrics.table import CONFIDENCE
from flowhft.policies.names import Named
from flowhft.policies.policy import Policy
from flowhft.recordings.book import first_mid
from flowhft.recordings.formats.read import read_recording
from flowhft.recordings.instrument import Instrument
from flowhft.recordings.split import split
from flowhft.recordings.ticks import Recording, require_trades
from flowhft.recordings.windowed import InMemory
from flowhft.scenarios.scenario import Scenario
from flowhft.stages.booked import bookings_of, order_in_words
from flowhft.stages.calibrated import calibrate, scenario_of
from flowhft.stages.calibration_fit import require_instrument, settings_for, unlike_the_calibration
from flowhft.stages.costs import slowest, sweep_costs
from flowhft.stages.evaluation import Backtest, Replays, evaluation_of_replays
from flowhft.stages.journalled import journals_in
from flowhft.stages.policies import Given, Lineup, frozen_in, lineup, makers_in
from flowhft.stages.settings import SweepSettings
from flowhft.types import Progress, no_progress

# What a maker learned with, by its name in `Policy.training`.
_SAID = {"interval": "a decision every {:g} s", "order_lots": "orders of {:,} lots"}
UNLIKE = 1.0  # of `makers_in`, from which on a market is unlike all that a maker learned in
REPLAY, SWEEP, CALIBRATION = ReplaySettings(), SweepSettings(), CalibrationSettings()


class ReplayedMarket(NamedTuple):
    """What policies are told of the market that they are replayed in.

    Attributes:
        scenario: the market.
        flow: how its market orders make intensities.
        settings: of the replay, with the times, the order size and the fee of the scenario where none were
            set.
        warnings: where the replay differs from what policies are told, a sentence each.
        book: scales of the signals of its order book; None where no calibration measured them.
    """

    scenario: Scenario
    flow: OrderFlow
    settings: ReplaySettings
    warnings: tuple[str, ...]
    book: Scales | None = None


def replay(
    recording: Recording | Path | str,
    policies: Given | Lineup,
    *,
    scenario: Scenario | None = None,
    calibration: Calibration | Path | str | None = None,
    settings: ReplaySettings = REPLAY,
    sweep: SweepSettings = SWEEP,
    seed: int = 0,
    reference: str | None = None,
    confidence: float = CONFIDENCE,
    journal: Path | str | None = None,
    progress: Progress = no_progress,
) -> Backtest:
    """Replay a recording: every policy quotes into it, alone.

    Orders wait in queues, arrive late and pay fees. Where the settings leave it open, an order is a third of
    the calibration's median market order, fills are capped at what was traded, and as many of the orders that
    improve the best price are answered as the calibration measured; `ReplaySettings(order_lots=10,
    fills="whole", answered=0.0)` books as hftbacktest does. Metrics are per session of the scenario's
    horizon, as in simulation; their intervals are those of few sessions (`flowhft.metrics.intervals`).
    `no_quote`, who stays at home, is among the policies whether it is named or not.

    Args:
        recording: it, or where it is (`flowhft.read_recording`).
        policies: names, files, functions or objects (`flowhft.stages.policies`).
        scenario: the market that experts are told, and the times of decisions and sessions; None for that of
            the calibration.
        calibration: of what came before this recording, or its run folder; None calibrates on the recording
            itself, which is in sample: its warnings say so. Not needed beside a scenario.
        settings: of the replay: times, latencies, fees, queues, order size and limits.
        sweep: fees and latencies at which everything is replayed once more, and ways to book fills.
        seed: of policies that draw, and of a calibration.
        reference: policy that paired differences are taken against; None for the first.
        confidence: of every interval, between 0 and 1.
        journal: folder in which every policy gets one with all that it did (`flowhft.desk.journal`), and the
            replay runs in plain Python; None for none.
        progress: told before every policy.

    Raises:
        UsageError: a name, a number or a policy that cannot be.
        DataError: the recording is too short, or lacks what a replay needs.
    """
    require(0.0 < confidence < 1.0, "confidence", "lie between 0 and 1", confidence)
    recording = _read(recording)
    compared = lineup(policies, reference, frozen=True)
    inside = scenario is None and calibration is None
    if inside:
        progress(0.0, "calibrating")
        calibration = calibrate(recording, CALIBRATION, seed)
    market = replayed_market(recording, scenario, calibration, settings)
    quoting = frozen_in(compared.policies, market.scenario, market.book)
    instrument, start = recording.instrument, first_mid(recording)
    least, order = instrument.minimum_notional, instrument.notional(start, market.settings.lots)
    require(
        least is None or order >= least,
        "order_lots",
        f"make orders of {least} {instrument.currency} or more, the least that the venue takes",
        f"{market.settings.lots}, {order:.6g} {instrument.currency}",
        "Send more lots.",
    )
    if sweep.bookings:
        bookings_of(market.settings)  # refuses now what cannot be booked in every way
    share = 0.5 if sweep.asked else 0.9
    replayed = engine.replay(
        recording,
        quoting,
        market.settings,
        seed,
        part_of(progress, 0.0, share),
        flow=market.flow,
        reference=instrument.reference(start),
        tick_value=instrument.tick_value(start),
        journal=None
        if journal is None
        else journals_in(Path(journal), recording, market.settings, compared.origins),
    )
    costs = pl.DataFrame()
    if sweep.asked:
        costs = sweep_costs(
            recording,
            quoting,
            changed(market.settings, decision_latency_us=slowest(replayed, market.settings)),
            sweep,
            seed,
            market.flow,
            progress=part_of(progress, share, 0.9),
            reference=instrument.reference(start),
            tick_value=instrument.tick_value(start),
        )
    progress(0.9, "measuring")
    makers = makers_in(compared.policies, market.book)
    result = evaluation_of_replays(
        Replays(
            InMemory(recording),
            replayed,
            market.settings,
            compared.reference,
            instrument.money,
            instrument.tick_value(start) * market.settings.lots,
            costs,
            compared.origins,
            order=order_in_words(instrument, start, market.settings.lots),
        ),
        confidence=confidence,
        learned=compared.learned,
        more={"makers": makers},
    )
    about = [f"recording: {warning}" for warning in recording.warnings]
    about += market.warnings
    about += unlike_the_venue(instrument, market.settings)
    about += learned_for_others(compared.policies, market.settings)
    about += learned_from_this(makers, recording)
    about += [
        f"calibration: `{name}` learned in no market like this one: its spread, in moves of the mid in a "
        f"second, is off by a factor of {math.exp(maker['unlike']):.2g} from the most alike."
        for name, maker in makers.items()
        if maker.get("unlike", 0.0) > UNLIKE
    ]
    if market.settings.partial_fills:
        about.append("`partial_fills` is the former name of `fills capped`: fills are booked so.")
    result = result.warned(about) if about else result
    if inside:
        warning = "The market was calibrated on the very recording that was replayed: it is in sample."
        result = result.warned([warning])
    return result


def backtest(
    recording: Recording | Path | str,
    policies: Given | Lineup,
    *,
    after: float = 0.6,
    calibrate_by: CalibrationSettings = CALIBRATION,
    settings: ReplaySettings = REPLAY,
    sweep: SweepSettings = SWEEP,
    seed: int = 0,
    reference: str | None = None,
    confidence: float = CONFIDENCE,
    progress: Progress = no_progress,
) -> Backtest:
    """Calibrate a market on the first part of a recording, and replay the rest, which nothing has seen.

    Args:
        recording: it, or where it is.
        policies: as for `replay`.
        after: share of the recording's time, from its start, that is calibrated on, between 0 and 1.
        calibrate_by: settings of the calibration.
        settings: of the replay.
        sweep: as for `replay`, like all that follow.
        seed: of calibration and replay.
        reference: policy that paired differences are taken against; None for the first.
        confidence: of every interval, between 0 and 1.
        progress: told before every policy.

    Raises:
        UsageError: a name, a number or a policy that cannot be.
        DataError: the recording cannot carry a calibration, or lacks what a replay needs.
    """
    compared = lineup(policies, reference, frozen=True)
    learn, unseen = split(_read(recording), after)
    progress(0.0, "calibrating")
    return replay(
        unseen,
        compared,
        scenario=None,
        calibration=calibrate(learn, calibrate_by, seed, part_of(progress, 0.0, 0.3)),
        settings=settings,
        sweep=sweep,
        seed=seed,
        reference=compared.reference,
        confidence=confidence,
        progress=part_of(progress, 0.3, 1.0),
    )


def replayed_market(
    recording: Recording,
    scenario: Scenario | None,
    calibration: Calibration | Path | str | None,
    settings: ReplaySettings,
) -> ReplayedMarket:
    """Return what policies are told of the market of a replay.

    Args:
        recording: that is replayed.
        scenario: the market; None for that of the calibration, our orders and fees as in the settings.
        calibration: it, or its run folder; with none the flow of orders is the scenario's.
        settings: of the replay; what they leave open comes from scenario and calibration.

    Raises:
        UsageError: sessions do not fit twice into the recording.
        DataError: it has no trades, or the calibration is of another instrument.
    """
    require_trades(recording, "a replay")
    if isinstance(calibration, Path | str):
        calibration = load_calibration(Path(calibration))
    instrument = recording.instrument
    if calibration is not None:
        require_instrument(calibration, instrument)
    if scenario is None:
        if calibration is None:
            raise UsageError(
                "`scenario` must say which market is replayed where no calibration does; received none. Give "
                "one of the two."
            )
        scenario = scenario_of(calibration, recording, settings)
    settings = settings_for(settings, scenario, calibration, instrument)
    if calibration is None:
        flow = OrderFlow(*(getattr(scenario, name) for name in OrderFlow._fields))
    else:
        flow = OrderFlow(*(calibration.parameters[name].value for name in OrderFlow._fields))
    require(
        recording.open_seconds >= 2.0 * settings.session,
        "horizon",
        "fit at least twice into the recording that is judged",
        f"{settings.session:g} s, with {recording.open_seconds:.3g} s to judge",
        "Shorten the sessions with --replay.horizon, or judge a longer part.",
    )
    warnings = unlike_the_calibration(settings, scenario, calibration, instrument, first_mid(recording))
    book = None if calibration is None else calibration.book
    return ReplayedMarket(scenario, flow, settings, warnings, book)


def unlike_the_venue(instrument: Instrument, settings: ReplaySettings) -> list[str]:
    """Return where a replay charges other fees than the venue is said to, in plain words.

    Args:
        instrument: that is replayed.
        settings: of the replay.
    """
    return [
        f"`{name}` of the replay is {charged:g}; the venue's is said to be {known:g}."
        for name, charged in (("maker_fee_bps", settings.fee_bps), ("taker_fee_bps", settings.taking_fee_bps))
        if (known := getattr(instrument, name)) is not None and known != charged
    ]


def learned_for_others(policies: Iterable[Named], settings: ReplaySettings) -> list[str]:
    """Return which makers learned from recordings with other decisions or orders than a replay has.

    Args:
        policies: that are replayed.
        settings: of the replay, with nothing left open.
    """
    messages = []
    for named in policies:
        training = named.policy.training if isinstance(named.policy, Policy) else {}
        ours = {"interval": settings.interval, "order_lots": settings.lots}
        others = [name for name, value in ours.items() if training.get(name, value) != value]
        if others:
            learned = " and ".join(_SAID[name].format(training[name]) for name in others)
            here = " and ".join(_SAID[name].format(ours[name]) for name in others)
            messages.append(f"`{named.name}` learned with {learned}; the replay has {here}.")
    return messages


def learned_from_this(makers: Mapping[str, Mapping[str, Any]], recording: Recording) -> list[str]:
    """Return which makers learned from a time of this market that is replayed: their rows are in sample.

    Args:
        makers: see `flowhft.stages.policies.makers_in`.
        recording: that is replayed. Where its times count from midnight, any day may be meant.
    """
    first, last = (int(recording.events["local_time_ns"][end]) for end in (0, -1))
    maybe = "may have" if last < DAY_NS else "has"
    return [
        f"in sample: {name} {maybe} learned from {recording.name} at this time; its row proves nothing."
        for name, maker in makers.items()
        if any(
            known == recording.name and first <= end and begin <= last
            for known, begin, end in maker.get("spans", ())
        )
    ]


def part_of(progress: Progress, start: float, end: float) -> Progress:
    """Return what tells the progress of a part as that of the whole.

    Args:
        progress: of the whole.
        start: share of the whole that is done when the part begins.
        end: when it is done.
    """
    return lambda done, now: progress(start + (end - start) * done, now)


def _read(recording: Recording | Path | str) -> Recording:
    return recording if isinstance(recording, Recording) else read_recording(recording)
