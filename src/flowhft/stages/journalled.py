"""Journals of sessions: where a backtest writes them, and what one comes to, judged as any replay."""

from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from flowhft.desk.journal import FACTS, Journal, read_journal
from flowhft.desk.limits import RiskSettings
from flowhft.desk.replay.engine import Replayed
from flowhft.desk.replay.latency import Delays
from flowhft.desk.replay.settings import ReplaySettings
from flowhft.errors import DataError
from flowhft.metrics.table import CONFIDENCE
from flowhft.policies.origin import Origin
from flowhft.recordings.book import first_mid
from flowhft.recordings.ticks import Recording
from flowhft.report.build import ODD
from flowhft.runs.files import entry
from flowhft.stages.evaluation import Backtest, Replays, evaluation_of_replays

EVALUATED = "backtest"  # folder within a journal's of the tables that are made of it
UNKNOWN = Delays(*(np.zeros(0) for _ in Delays._fields))


def journals_in(
    folder: Path, recording: Recording, settings: ReplaySettings, origins: Mapping[str, Origin]
) -> Callable[[str], Journal]:
    """Return what opens the journal of a policy in a replay: a folder named after it.

    Args:
        folder: of all of them.
        recording: that is replayed.
        settings: of the replay.
        origins: by policy, where its quotes come from.
    """
    instrument, start = recording.instrument, first_mid(recording)

    def journal(policy: str) -> Journal:
        facts = {
            "policy": policy,
            **origins[policy]._asdict(),
            "venue": recording.venue,
            "symbol": recording.symbol,
            "currency": instrument.money,
            "tick_value": instrument.tick_value(start),
            "reference": instrument.reference(start),
            "settings": settings,
            "warnings": list(recording.warnings),
        }
        return Journal(folder / policy, facts)

    return journal


def evaluate_journal(folder: Path | str, *, seed: int = 0, confidence: float = CONFIDENCE) -> Backtest:
    """Return what a session came to, of its journal alone: metrics per session, course, fills.

    Where the mid went after the fills is not in a journal, nor are the delays between the market and us.

    Args:
        folder: of the journal, of a session that is over or of one that was killed.
        seed: not looked at: intervals draw nothing any more.
        confidence: of every interval, between 0 and 1.

    Raises:
        DataError: it is no journal, or one that is damaged.
        UsageError: it is shorter than two sessions.
    """
    try:
        return _evaluated(folder, seed, confidence)
    except ODD as cause:
        raise DataError(
            f"`{folder}` must hold the tables that a session wrote; {type(cause).__name__}: {cause}. They "
            "are damaged, or another tool has written them: journal the session again."
        ) from cause


def _evaluated(folder: Path | str, seed: int, confidence: float) -> Backtest:
    """Return what a journal came to; see `evaluate_journal`."""
    result = read_journal(folder)
    try:
        policy, currency = str(result.facts["policy"]), str(result.facts["currency"])
        settings = _settings_of(entry(result.facts, Path(folder) / FACTS, "settings", kind=dict))
        tick_value = entry(result.facts, Path(folder) / FACTS, "tick_value", kind=float)
        money = float(tick_value) * settings.lots
        origins = {policy: Origin(str(result.facts["family"]), str(result.facts["rule"]))}
    except (KeyError, TypeError, ValueError) as cause:
        raise DataError(
            f"`{folder}` must be a journal that says what its session was; {type(cause).__name__}: {cause}. "
            "The file journal.json is damaged."
        ) from cause
    for name in ("spread_pnl", "inventory_pnl", "fee"):
        if not np.isfinite(np.asarray(getattr(result.trajectory, name), np.float64)).all():
            raise ValueError(f"`{name}` has a step without a number")
    replayed = Replayed(
        trajectory=result.trajectory,
        fills=result.fills,
        orders=result.counts,
        decision_latency_us=float(settings.decision_latency_us or 0.0),
        measured_latency_us=np.zeros(0),
        delays=UNKNOWN,
    )
    replays = Replays(None, {policy: replayed}, settings, policy, currency, money, pl.DataFrame(), origins)
    evaluated = evaluation_of_replays(replays, confidence=confidence, learned=None)
    if warnings := result.facts.get("warnings"):
        whole = "Closed time is not left out of what a journal comes to."
        evaluated = evaluated.warned([*(f"recording: {warning}" for warning in warnings), whole])
    if result.finished:
        return evaluated
    return evaluated.warned(["The session did not come to its end: its journal goes up to its last flush."])


def _settings_of(written: dict[str, Any]) -> ReplaySettings:
    """Return settings that were written as JSON; those that another version knew are left out.

    A version that did not write how fills are booked booked them whole, and had no order answered.
    """
    given: dict[str, Any] = {"fills": "whole", "answered": 0.0}
    given |= {item.name: written[item.name] for item in fields(ReplaySettings) if item.name in written}
    if "risk" in given:
        given["risk"] = RiskSettings(**given["risk"])
    return ReplaySettings(**given)
