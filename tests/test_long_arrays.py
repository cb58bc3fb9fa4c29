"""Long recordings: looked at piece by piece and kept in files, they come to the digits of short ones."""

import errno
import tempfile
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_tick_windows import INSTRUMENT, session

from flowhft.calibrate.calibrate import CalibrationSettings, calibrate
from flowhft.calibrate.sessions import without_gaps
from flowhft.desk.compiled import freeze_expert
from flowhft.desk.replay.engine import Replayed, replay
from flowhft.desk.replay.events import exchange_events, exchange_order
from flowhft.desk.replay.latency import as_received, feed_of
from flowhft.desk.replay.settings import ReplaySettings
from flowhft.desk.replay.signals import read_signals
from flowhft.desk.replay.venue_book import venue_events
from flowhft.errors import DataError, UsageError
from flowhft.policies.rules import EXPERTS
from flowhft.recordings import best_prices, long_arrays, read_recording, sample_recording
from flowhft.recordings.book import first_mid, mid_at, opening, top_of_book, top_of_every_message
from flowhft.recordings.long_arrays import Pile, count_before, pieces, piled
from flowhft.recordings.market_orders import market_orders
from flowhft.recordings.source import Chunk, Source, assembled, joined
from flowhft.recordings.split import between
from flowhft.recordings.ticks import (
    BUY,
    DEPTH,
    EVENT,
    SELL,
    SNAPSHOT,
    TOP,
    TRADE,
    Closed,
    Recording,
    make_events,
)
from flowhft.stages.recording import identity_of_recording
from flowhft.stages.signals import calibrate_signals
from flowhft.types import Estimates

MILLISECOND = 1_000_000


@contextmanager
def short(piece: int, long: int = 0) -> Iterator[None]:
    """Look at arrays in pieces of so many rows, and keep those of more bytes in files."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(long_arrays, "PIECE", piece)
        patch.setattr(long_arrays, "LONG", long)
        yield


def same(one: Any, other: Any) -> None:
    """Assert that two results are equal to the last bit."""
    assert type(one) is type(other)
    if isinstance(one, tuple):
        for mine, its in zip(one, other, strict=True):
            same(mine, its)
    elif isinstance(one, np.ndarray):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    elif hasattr(one, "equals"):
        assert one.equals(other, null_equal=True)
    else:
        assert one == other or (one != one and other != other)


def test_a_pile_is_its_parts_in_memory_and_in_a_file():
    parts = [np.arange(5), np.arange(0), np.arange(7.0), np.arange(3, 90)]
    expected = np.concatenate(parts).astype(np.int64)
    for long in (0, 100, 1 << 24):
        with short(4, long):
            pile = Pile(np.int64)
            for part in parts:
                pile.add(part)
            whole = pile.array()
            same(whole, expected)
            whole[3] = -1  # as every array, it can be written to
            assert whole[3] == -1
    assert len(Pile(EVENT).array()) == 0
    with short(4):
        assert [len(piece) for piece in pieces(expected)] == [4] * 24 + [3]


def test_a_pile_without_room_says_where_there_was_none(monkeypatch):
    class Full:
        def write(self, rows: bytes) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", Full)
    with short(4), pytest.raises(UsageError, match=r"`TMPDIR` must name a folder with room .* No space left"):
        piled([np.arange(9)], np.int64)


def test_counts_before_are_those_of_a_search():
    events = session(3, True)
    times = events["local_time_ns"]
    for time in np.concatenate([times, times + 1, times[:1] - 1]).tolist():
        assert count_before(times, time) == np.searchsorted(times, time)
        assert count_before(times, time, or_at=True) == np.searchsorted(times, time, side="right")


def signals_of(recording: Recording, times: np.ndarray) -> np.ndarray | str:
    """Its signals, or why it has none."""
    try:
        return read_signals(recording, times)
    except DataError as reason:
        return str(reason)


def looked_at(events: np.ndarray) -> tuple:
    """What calibration and replay work out of a recording."""
    recording = Recording(INSTRUMENT, events)
    top, made = top_of_book(recording), exchange_events(recording)
    times = np.arange(events["local_time_ns"][0], events["local_time_ns"][-1], MILLISECOND // 2)
    middle = int(times[len(times) // 2])
    halt = Closed(middle, middle + 20 * MILLISECOND, "halt")
    halted = Recording(INSTRUMENT, events, sessions=((int(times[0]), int(times[-1])),), closed=(halt,))
    return (
        top,
        top_of_every_message(events),
        mid_at(top, times - 7),
        first_mid(recording),
        market_orders(recording),
        made,
        venue_events(made),
        venue_events(made, np.array([990, 1_100])),
        opening(events),
        between(recording, middle, None).events,
        without_gaps(halted).events,
        feed_of(pieces(events)),
        as_received(recording, ReplaySettings(feed_latency_ms=3.0)).events,
        signals_of(recording, times),
        identity_of_recording(recording),
    )


@pytest.mark.parametrize("tops", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_in_pieces_everything_is_what_it_is_at_once(seed, tops):
    events = session(seed, tops)
    whole = looked_at(events)
    for piece in (1, 5, 40):
        with short(piece):
            same(looked_at(events), whole)


def test_the_order_of_the_venue_is_that_of_one_sort():
    for seed in range(5):
        events = session(seed, True)
        time = events["exchange_time_ns"].copy()
        for place in np.flatnonzero(events["kind"] == SNAPSHOT):
            time[place] = events["exchange_time_ns"][place:].min()
        rank = np.where(events["kind"] == SNAPSHOT, 0, np.where(events["kind"] == TRADE, 1, 2))
        expected = np.lexsort((np.arange(len(events)), rank, time))
        for piece in (1, 7, 10_000):
            with short(piece):
                index, made = (np.concatenate(parts) for parts in zip(*exchange_order(events), strict=True))
            np.testing.assert_array_equal(index, expected)
            np.testing.assert_array_equal(made, time[expected])


def replayed(recording: Recording, settings: ReplaySettings) -> Replayed:
    estimates = Estimates(volatility=42.0, drift=0.0, intensity=0.8, fill_decay=0.034, horizon=60.0)
    glft = freeze_expert(EXPERTS["glft"], EXPERTS["glft"].coefficients(estimates, 0.0034))
    return replay(recording, {"glft": glft}, settings)["glft"]


def test_the_bundled_session_in_pieces_is_what_it_is_at_once():
    settings = [
        ReplaySettings(decision_latency_us=100.0, fills=fills, latency_model=latency)
        for fills, latency in (("whole", "constant"), ("capped", "recorded"))
    ]
    few = CalibrationSettings(bootstrap_samples=100)
    whole = read_recording(sample_recording())
    at_once = [replayed(whole, of) for of in settings]
    calibrated, signals = calibrate(whole, few), calibrate_signals(whole)
    with short(10_007, 1 << 12):
        long = read_recording(sample_recording())
        same(long.events, whole.events)
        for one, of in zip(at_once, settings, strict=True):
            same(tuple(replayed(long, of)), tuple(one))
        again = calibrate(long, few)
        same(calibrate_signals(long), signals)
    for name, value in vars(calibrated).items():
        if hasattr(value, "equals"):
            same(getattr(again, name), value)
        else:
            assert repr(getattr(again, name)) == repr(value), name


def made_up(rounds: int, rows: int) -> Iterator[Chunk]:
    """A market that goes on: best prices that walk, depth behind them, a market order now and then."""
    random, mid, start = np.random.default_rng(0), 6_000_000, 1_700_000_000 * 10**9
    away = np.arange(1, 21)
    book = [
        make_events(SNAPSHOT, side, start, start, mid - side * away, np.full(20, 50), 1)
        for side in (BUY, SELL)
    ]
    yield Chunk(np.concatenate(book))
    for first in range(0, rounds, rows // 10):
        count = min(rows // 10, rounds - first)
        walk = mid + np.cumsum(random.choice([-1, 0, 0, 0, 1], count))
        mid = int(walk[-1])
        made = np.zeros((count, 10), EVENT)
        time = (
            start + 10 * MILLISECOND * (1 + first + np.arange(count)) + random.integers(0, MILLISECOND, count)
        )
        made["exchange_time_ns"], made["local_time_ns"] = time[:, None], time[:, None] + 2 * MILLISECOND
        made["message"] = 2 + first + np.arange(count)[:, None]
        made["kind"], made["side"] = (
            [TRADE, TOP, TOP] + [DEPTH] * 7,
            [BUY, BUY, SELL] + [BUY, SELL] * 3 + [BUY],
        )
        made["side"][:, 0] = random.choice([BUY, SELL], count)
        apart = random.integers(1, 20, (count, 10))
        apart[:, 0] = -1 - random.exponential(6.0, count).astype(np.int64)
        apart[:, 1:3] = 1
        made["price"], made["quantity"] = (
            walk[:, None] - made["side"] * apart,
            random.integers(1, 90, (count, 10)),
        )
        kept = np.ones((count, 10), bool)
        kept[:, 0] = random.random(count) < 0.02
        yield Chunk(made[kept])


def peak_of(rounds: int) -> tuple[int, int]:
    """Return the events of a made-up market, and how much memory calibrating and replaying it takes."""
    tracemalloc.start()
    try:
        path = Path("made")
        source = Source(INSTRUMENT, (path,), made_up(rounds, 20_000), best_prices=True)
        recording = assembled(joined([], source, several=False))
        calibrate(recording, CalibrationSettings(bootstrap_samples=100))
        calibrate_signals(recording)
        for fills in ("whole", "capped"):
            replayed(recording, ReplaySettings(decision_latency_us=100.0, fills=fills, decision_interval=1.0))
        return len(recording.events), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def bytes_an_event() -> float:
    """Return by how much the peak grows with the recording."""
    short_events, short_peak = peak_of(15_000)
    long_events, long_peak = peak_of(45_000)
    return (long_peak - short_peak) / (long_events - short_events)


def test_calibrating_and_replaying_takes_little_memory_an_event(monkeypatch):
    """A day of 70 million events is to stay below 2 GB: 23 bytes an event beside what every process takes."""
    monkeypatch.setattr(best_prices, "REMEMBERED", 20_000)
    peak_of(15_000)  # what is compiled is there
    with short(20_000, 1 << 16):
        assert bytes_an_event() < 5.0
    with short(1 << 40, 1 << 40):  # at once and in memory
        assert bytes_an_event() > 60.0
