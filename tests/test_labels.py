"""Labels of orders that were never sent, against the same orders sent through hftbacktest."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_replay_oracle import LEVEL_MODELS, Market

from flowhft.desk.orders import FILLED, POST_ONLY
from flowhft.desk.replay.events import exchange_events
from flowhft.desk.replay.labels import Labels, LabelSettings, label_orders
from flowhft.desk.replay.latency import order_latencies
from flowhft.desk.replay.settings import QueueModel, ReplaySettings
from flowhft.desk.replay.venue import (
    advance,
    begin_time,
    cancel,
    close_venue,
    look_up,
    open_venue,
    submit,
)
from flowhft.errors import DataError, UsageError
from flowhft.recordings import read_recording, sample_recording
from flowhft.recordings.book import mid_at, top_of_book
from flowhft.recordings.split import window
from flowhft.recordings.ticks import TRADE, Recording

MS = 1_000_000
SETTINGS = ReplaySettings(
    decision_latency_us=1500.0, order_latency_ms=7.0, response_latency_ms=11.0, order_lots=4, fills="whole"
)
LABELS = LabelSettings(offsets=(2, 1, 0, -1, -2), lifetime=0.3, horizons=(0.0, 0.2))


def decisions(recording: Recording, interval_ms: int) -> np.ndarray:
    """Times of decisions from the first event to the last."""
    times = recording.events["local_time_ns"]
    return np.arange(times[0], times[-1], interval_ms * MS)


def sent(
    recording: Recording, time_ns: np.ndarray, settings: ReplaySettings, labels: Labels, lifetime: float
) -> dict:
    """Send the very orders through hftbacktest, where whole fills let them not meet; return the fills."""
    events, latencies = exchange_events(recording), order_latencies(recording, settings)  # read in place
    venue = open_venue(events, settings, latencies)
    late, life = round(1e3 * (settings.decision_latency_us or 0.0)), round(1e9 * lifetime)
    acts: list[tuple[int, int, tuple]] = []
    orders = {number + 1: tuple(at) for number, at in enumerate(np.argwhere(labels.placed).tolist())}
    for number, at in orders.items():
        acts.append((int(time_ns[at[0]]) + late, 1, (number, at)))
        acts.append((int(time_ns[at[0]]) + late + life, 0, (number, at)))
    try:
        begin_time(venue)
        for time, new, (number, at) in sorted(acts):
            advance(venue, time)
            if new:
                submit(venue, at[1] == 0, number, int(labels.price[at]), settings.lots, POST_ONLY)
            else:
                cancel(venue, number)
        advance(venue, int(recording.events["local_time_ns"][-1]) + 10**10)
        known = {at: look_up(venue, number) for number, at in orders.items()}
    finally:
        close_venue(venue)
    return {at: update.exchange_time_ns for at, update in known.items() if update.status == FILLED}


def agree(recording: Recording, settings: ReplaySettings, interval_ms: int, labels: Any = LABELS) -> int:
    """Compare labels with a replay of the same orders; return the number of fills."""
    time_ns = decisions(recording, interval_ms)
    made = label_orders(recording, time_ns, settings, labels)
    filled = sent(recording, time_ns, settings, made, labels.lifetime)
    assert {tuple(at) for at in np.argwhere(made.filled).tolist()} == set(filled)
    arrive = None
    for at, filled_ns in filled.items():
        assert made.filled_lots[at] == settings.lots
        if settings.latency_model == "constant":
            late = round(1e3 * (settings.decision_latency_us or 0.0)) + round(1e6 * settings.order_latency_ms)
            arrive = time_ns[at[0]] + late
            assert made.wait[at] == pytest.approx(1e-9 * (filled_ns - arrive), abs=1e-12)
    top, end = top_of_book(recording), recording.events["exchange_time_ns"].max()
    for at, filled_ns in filled.items():
        for number, horizon in enumerate(labels.horizons):
            later = filled_ns + round(1e9 * horizon)
            mid = float(mid_at(top, np.array([later]))[0]) if later <= end else math.nan
            expected = (1, -1)[at[1]] * (mid - made.price[at])
            np.testing.assert_equal(made.edge[(*at, number)], expected)
    return len(filled)


@pytest.mark.parametrize("model", LEVEL_MODELS)
def test_labels_are_what_a_replay_of_the_same_orders_fills(model: QueueModel) -> None:
    settings = replace(SETTINGS, queue_model=model, queue_power=0.6)
    fills = sum(agree(Market(seed, 400).recording(), settings, 50) for seed in range(4))
    assert fills > 200


def test_labels_of_orders_that_take_as_long_as_the_market_data_took() -> None:
    settings = replace(SETTINGS, latency_model="recorded", order_latency_ms=2.0)
    assert sum(agree(Market(seed, 400).recording(), settings, 50) for seed in range(4)) > 200


def test_labels_of_the_sample_recording_are_what_a_replay_fills() -> None:
    part = window(read_recording(sample_recording()), 60.0, 120.0)
    assert agree(part, replace(SETTINGS, order_lots=1), 100, LabelSettings()) > 100


@pytest.mark.parametrize(
    "path",
    ["lobster_nasdaq_2012/GOOG_messages.parquet", "binance_feed_l2/usdm_btcusdt_20240718"],
)
def test_labels_of_real_sessions_are_what_a_replay_fills(shared_data: Path, path: str) -> None:
    part = window(read_recording(shared_data / path), 100.0, 160.0)
    assert agree(part, replace(SETTINGS, order_lots=10), 100, LabelSettings()) > 100


def test_labels_refuse_what_they_cannot_read() -> None:
    recording = Market(0, 50).recording()
    time_ns = decisions(recording, 50)
    quotes = replace(recording, events=recording.events[recording.events["kind"] != TRADE])
    with pytest.raises(DataError, match=r"must hold trades, a label of an order needs them"):
        label_orders(quotes, time_ns, SETTINGS, LABELS)
    with pytest.raises(UsageError, match=r"`time_ns` must rise"):
        label_orders(recording, time_ns[::-1], SETTINGS, LABELS)
    with pytest.raises(UsageError, match=r"`queue_model` must be one of levels.*received l3_fifo"):
        label_orders(recording, time_ns, replace(SETTINGS, queue_model="l3_fifo"), LABELS)
