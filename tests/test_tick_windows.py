"""Windows of a file in the tick schema: exactly those of the same recording in memory, however it is cut."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from flowhft.desk.replay.latency import feed_of
from flowhft.desk.replay.markout import markout_in
from flowhft.errors import UsageError
from flowhft.recordings import read_recording, sample_recording
from flowhft.recordings.formats.read import open_recording
from flowhft.recordings.formats.tick_files import write_ticks
from flowhft.recordings.formats.tick_windows import TickFile, open_windows, tick_file_in
from flowhft.recordings.instrument import Instrument
from flowhft.recordings.source import Chunk, Source
from flowhft.recordings.ticks import BUY, DEPTH, EVENT, SELL, SNAPSHOT, TOP, TRADE, Closed, Recording
from flowhft.recordings.windowed import InMemory
from flowhft.stages.recording import facts_of_windows, identity_of_windows

START = 1_700_000_000_000_000_000
INSTRUMENT = Instrument("made-up", "ANYUSDT", "USDT", 0.1, 0.001)


def session(seed: int, tops: bool) -> np.ndarray:
    """Messages that overtake each other, snapshots in between, levels that go, silences of some events."""
    random = np.random.default_rng(seed)
    rows, time = [], START
    for message in range(1, 101):
        kind = int(random.choice([DEPTH, DEPTH, TOP, TRADE, SNAPSHOT], p=[0.4, 0.2, 0.2, 0.17, 0.03]))
        kind = SNAPSHOT if message == 1 else DEPTH if kind == TOP and not tops else kind
        time += int(random.integers(0, 3)) * 1_000_000
        made = time - int(random.integers(0, 4_000_000))
        mid = 1_000 + int(random.integers(-3, 4))
        number = message if random.random() < 0.9 else message - 1  # a snapshot of the last change's number
        if kind in (SNAPSHOT, DEPTH, TOP):
            for side in (BUY, SELL):
                for away in range(1, 2 if kind == TOP else 4):
                    quantity = int(random.integers(0 if kind == DEPTH else 1, 9))
                    rows.append((kind, side, made, time, mid - side * away, quantity, number))
        else:
            rows.append((kind, int(random.choice([BUY, SELL])), made, time, mid, 2, number))
    return np.array(rows, EVENT)


def both(folder: Path, events: np.ndarray, rows: int) -> tuple[TickFile, InMemory]:
    path = folder / "made.ticks.parquet"
    write_ticks(Source(INSTRUMENT, (path,), iter([Chunk(events)])), path)
    result = open_windows(path, rows=rows)
    assert result is not None
    return result, InMemory(read_recording(path))


def assert_same(one: Recording, other: Recording) -> None:
    np.testing.assert_array_equal(one.events, other.events)
    assert (one.sessions, one.instrument) == (other.sessions, other.instrument)


@pytest.mark.parametrize("tops", [True, False])
@pytest.mark.parametrize(("rows", "seed"), [(5, 0), (50, 0), (50, 1), (10_000, 0), (10_000, 1)])
def test_windows_are_those_of_the_recording_in_memory(tmp_path, seed, rows, tops):
    file, memory = both(tmp_path, session(seed, tops), rows)
    random = np.random.default_rng(seed)
    times = memory.recording.events["local_time_ns"]
    for _ in range(12):
        start, end = np.sort(random.choice(times, 2) + random.integers(-1, 2, 2)).tolist()
        try:
            expected = memory.window(start, end)
        except UsageError:
            with pytest.raises(UsageError, match="`window` must hold events"):
                file.window(start, end)
            continue
        assert_same(file.window(start, end), expected)
        assert file.following(end) == memory.following(end)
    stamps = np.unique(memory.recording.events["exchange_time_ns"])
    asked = random.permutation(np.concatenate([stamps, stamps - 1, [0, START * 2]]))
    np.testing.assert_array_equal(file.mids_at(asked), memory.mids_at(asked))
    assert (file.first_mid(), file.events, file.trades) == (
        memory.first_mid(),
        memory.events,
        memory.trades,
    )
    assert file.sessions == memory.sessions
    assert file.ends_ns().tolist() == memory.ends_ns().tolist()
    assert identity_of_windows(file) == identity_of_windows(memory)
    for name, values in feed_of(memory.pieces())._asdict().items():
        np.testing.assert_array_equal(getattr(feed_of(file.pieces()), name), values)


def test_closed_time_and_what_it_cuts_are_those_of_the_recording_in_memory(tmp_path):
    events, hour = session(0, True), 3_600_000_000_000
    middle = int(events["local_time_ns"][len(events) // 2])
    late = events["local_time_ns"] > middle
    for name in ("exchange_time_ns", "local_time_ns"):
        events[name][late] += hour
    path = tmp_path / "made.ticks.parquet"
    halt = [Closed(middle, middle + hour, "halt")]
    write_ticks(Source(INSTRUMENT, (path,), iter([Chunk(events)]), closed=halt), path)
    file, memory = open_windows(path, rows=50), InMemory(read_recording(path))
    assert file is not None
    assert tuple(file.closed) == tuple(memory.closed)
    assert [one.why for one in file.closed] == ["halt, silence"]
    assert file.ends_ns().tolist() == memory.ends_ns().tolist()
    assert len(file.ends_ns()) == 2
    start, end = middle - 10_000_000, middle + hour + 10_000_000
    assert file.window(start, end).closed == memory.window(start, end).closed != ()
    assert facts_of_windows(file) == facts_of_windows(memory)
    assert facts_of_windows(file)["closed_seconds"] == pytest.approx(3_600.0, abs=1.0)
    assert identity_of_windows(file) == identity_of_windows(memory)


def test_a_file_whose_clock_is_corrected_is_looked_at_whole(tmp_path):
    events = session(0, True)
    events["local_time_ns"] -= 3_000_000  # now some arrive before they were sent
    path = tmp_path / "made.ticks.parquet"
    write_ticks(Source(INSTRUMENT, (path,), iter([Chunk(events)])), path)
    assert open_windows(path, rows=50) is None


def test_the_bundled_session_by_windows_is_what_it_is_in_memory(tmp_path):
    path = tmp_path / "sample.ticks.parquet"
    write_ticks(open_recording(sample_recording()), path)
    file, memory = open_windows(path, rows=4_000), InMemory(read_recording(path))
    assert file is not None
    assert len(file.index) > 5
    (start, end), *_ = memory.sessions
    for share in (0.0, 0.31, 0.77):
        begin = start + int(share * (end - start))
        assert_same(file.window(begin, begin + 20_000_000_000), memory.window(begin, begin + 20_000_000_000))
    assert facts_of_windows(file) == facts_of_windows(memory)
    time = np.linspace(start, end, 40).astype(np.int64)
    filled = pl.DataFrame({"exchange_time_ns": time, "time": 1e-9 * (time - start)}).with_columns(
        side=pl.Series([1, -1] * 20), price=600_000, mid_price=600_000.5
    )
    fills = {"a": filled, "b": filled.head(0)}
    assert markout_in(fills, file).equals(markout_in(fills, memory))
    assert file.findings == memory.findings


def test_only_one_file_in_the_tick_schema_is_read_by_windows(tmp_path):
    path = tmp_path / "one.ticks.parquet"
    path.write_bytes(b"")
    assert tick_file_in([path]) == path
    assert tick_file_in([path, path]) is None
    assert tick_file_in([tmp_path / "other.parquet"]) is None
    assert tick_file_in([tmp_path]) is None


def test_a_file_of_single_orders_is_looked_at_whole(tmp_path):
    from flowhft.recordings.ticks import ADD, ORDER

    events = session(0, tops=True)[:6]
    orders = np.zeros(1, ORDER)
    orders["kind"], orders["side"], orders["quantity"], orders["price"] = ADD, BUY, 1, 999
    orders["local_time_ns"] = orders["exchange_time_ns"] = START
    path = tmp_path / "orders.ticks.parquet"
    write_ticks(Source(INSTRUMENT, (path,), iter([Chunk(events, orders)])), path)
    assert open_windows(path) is None
