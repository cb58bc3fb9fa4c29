"""Learn: a maker that sees the order book, from recordings."""

from collections.abc import Sequence
from dataclasses import replace as changed
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from flowhft.desk.replay.labels import LabelSettings, label_orders
from flowhft.desk.replay.latency import as_received
from flowhft.desk.replay.settings import ReplaySettings
from flowhft.desk.replay.signals import read_signals
from flowhft.desk.replay.tape import read_tape
from flowhft.errors import DataError, require
from flowhft.learn.recordings.examples import Examples, scales_of, second_move
from flowhft.learn.recordings.fit import Learned, learn as fitted
from flowhft.learn.recordings.settings import MakerSettings
from flowhft.policies.policy import Policy
from flowhft.recordings.opening import opening_ns
from flowhft.recordings.order_size import small_order
from flowhft.recordings.ticks import Recording, require_trades
from flowhft.types import Progress, no_progress

MAKER, REPLAY = MakerSettings(), ReplaySettings()


def replay_for(settings: MakerSettings, replay: ReplaySettings, recording: Recording) -> ReplaySettings:
    """Return the settings of a replay in which a maker learns and trades.

    Args:
        settings: of the maker.
        replay: latencies, queue, what fills.
        recording: whose market orders say how large an order is, where the settings do not.
    """
    lots = settings.order_lots or small_order(recording)
    return changed(replay, decision_interval=settings.interval, order_lots=lots, inventory_limit=settings.limit)


def examples_of(
    recording: Recording, settings: MakerSettings = MAKER, replay: ReplaySettings = REPLAY
) -> Examples:
    """Return a recording's decisions: what a maker saw, and what became of every order it could have sent.

    Args:
        recording: with a book and trades.
        settings: of the maker.
        replay: by whose rules orders fill; its order size is used where it says one, and its latencies.

    Raises:
        DataError: it has no book, no sizes or no trades.
    """
    require_trades(recording, "learning what orders earn")
    rules = replay_for(settings, replay, recording) if replay.order_lots is None else replay
    rules = changed(rules, decision_interval=settings.interval)
    received = as_received(recording, rules)
    tape = read_tape(received, rules)
    time_ns = tape.time_ns[:-1]
    opened = opening_ns(recording)
    if opened is not None:
        time_ns = time_ns[time_ns >= opened + round(settings.after_opening * 1e9)]
    if len(time_ns) < 2:
        raise DataError(
            f"`{recording.name}` must last longer than the {settings.after_opening:g} s after its exchange's "
            "opening that are left out; received none after them. Use a longer recording."
        )
    signals = read_signals(received, time_ns, rules.order_window)
    labels = label_orders(
        recording,
        time_ns,
        rules,
        LabelSettings(
            offsets=settings.offsets, lifetime=settings.lifetime, horizons=(settings.edge_horizon,)
        ),
    )
    known = np.isin(tape.time_ns, time_ns)
    unit = second_move(time_ns, tape.mid_price[known])
    if not unit > 0.0:
        raise DataError(f"the mid of `{recording.name}` must move; received one that never does.")
    return Examples(
        recording.name,
        time_ns,
        signals,
        labels.placed,
        labels.filled,
        labels.edge[..., 0],
        scales_of(signals, unit),
    )
