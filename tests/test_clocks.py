"""The receiver's clock against the venue's: one message with a wrong time is no clock."""

import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_market import FORMS, made_market, written
from recording_files import EPOCH_MS, messages, session, stream_lines, write, write_stream

from flowhft.errors import RecordingError
from flowhft.recordings import read_recording
from flowhft.recordings.checks.clock import LocalClock
from flowhft.recordings.formats.npz import write_npz
from flowhft.recordings.formats.read import open_recording
from flowhft.recordings.formats.tick_files import write_ticks
from flowhft.recordings.source import Chunk, Source
from flowhft.recordings.ticks import DEPTH, SNAPSHOT, TOP, TRADE, Recording

MS = 1_000_000


@given(
    st.integers(1_000, 6_000), st.integers(-2_000, 2_000), st.floats(0.1, 5.0), st.integers(0, 5),
    st.integers(100, 30_000), st.integers(0, 2**31), st.integers(1, 7),
)  # fmt: skip
def test_the_fastest_message_decides_but_for_one_in_a_thousand(
    count, behind_ms, jitter_ms, strays, ahead_ms, seed, pieces
):
    random = np.random.default_rng(seed)
    latency = -behind_ms * MS + np.round(random.exponential(jitter_ms * MS, count)).astype(np.int64)
    strays = min(strays, count // 1_000)
    wrong = latency.copy()
    at = random.choice(count, strays, replace=False)
    wrong[at] = latency[at] - ahead_ms * MS - 60 * MS
    clean = np.delete(latency, at)
    clock = LocalClock()
    for piece in np.array_split(wrong, pieces):
        clock.feed(piece)
    assert clock.offset_ns == max(0, -int(clean.min()))
    assert clock.strays == strays


def test_more_than_one_in_a_thousand_are_the_clock():
    """The negative of the test above: what so many say is believed."""
    clock = LocalClock()
    clock.feed(np.concatenate([np.full(990, 3 * MS), np.full(10, -400 * MS)]))
    assert (clock.offset_ns, clock.strays) == (400 * MS, 0)


def test_nothing_was_received():
    clock = LocalClock()
    clock.feed(np.empty(0, np.int64))
    assert (clock.offset_ns, clock.strays, clock.findings("x")) == (0, 0, [])


def many_best_prices(stray_ms: int) -> dict[str, pl.DataFrame]:
    """1,500 best prices, a tenth of a second apart and 3 ms late; one carries a time so far ahead."""
    tables = session()
    ms = EPOCH_MS + 500 + 100 * np.arange(1_500)
    told = ms.copy()
    told[700] += stray_ms
    more = pl.DataFrame(
        {
            "local_ns": (ms + 3) * MS, "exch_ms": told, "txn_ms": told, "update_id": 200 + np.arange(1_500),
            "bid_px": 998 - np.arange(1_500) % 2, "bid_qty": 7, "ask_px": 1001, "ask_qty": 6,
        }
    )  # fmt: skip
    more = more.with_columns(pl.col(pl.Int32).cast(pl.Int64))
    tables["bbo"] = pl.concat([tables["bbo"], more.select(tables["bbo"].columns)])
    return tables


@pytest.mark.parametrize("stray_ms", [400, 30_000, -400, -30_000])
@pytest.mark.parametrize("form", ["tables", "stream", "feed"])
def test_one_message_with_a_wrong_time_moves_no_clock(tmp_path: Path, form: str, stray_ms: int):
    clean, wrong = (read_as(form, tmp_path / str(ms), ms) for ms in (0, stray_ms))
    assert clean.clock_offset_ns == wrong.clock_offset_ns == 0
    np.testing.assert_array_equal(clean.events["local_time_ns"], wrong.events["local_time_ns"])
    assert (wrong.events["exchange_time_ns"] <= wrong.events["local_time_ns"]).all()
    np.testing.assert_array_equal(clean.events["exchange_time_ns"], wrong.events["exchange_time_ns"])
    assert "1 messages carry a time of the venue" in messages(wrong)
    assert "messages carry a time of the venue" not in messages(clean)


def read_as(form: str, folder: Path, stray_ms: int):
    folder.mkdir()
    return read_recording(written_as(form, folder, many_best_prices(stray_ms)))


def written_as(form: str, folder: Path, tables: dict[str, pl.DataFrame]) -> Path:
    if form == "tables":
        return write(folder, tables)
    if form == "stream":
        return write_stream(folder, stream_lines(tables))
    tables["bbo"].write_parquet(folder / "bbo.parquet")
    (folder / "feed.toml").write_text(FEED)
    return folder / "feed.toml"


FEED = """
[recording]
venue = "x"
symbol = "S"
currency = "USD"
tick_size = 1.0
lot_size = 1.0

[quotes]
files = "bbo.parquet"
local_time = { column = "local_ns", unit = "ns" }
exchange_time = { column = "exch_ms", unit = "ms" }
bid_price = "bid_px"
bid_quantity = "bid_qty"
ask_price = "ask_px"
ask_quantity = "ask_qty"
"""


@pytest.mark.parametrize("form", ["tables", "feed"])
@pytest.mark.parametrize("rows", [100, 1_000_000])
def test_a_clock_that_is_set_back_is_held_and_nothing_is_sorted(tmp_path: Path, form: str, rows: int):
    """From the 800th best price on the receiver's clock is 250 ms behind where it was."""
    tables = many_best_prices(0)
    bbo = tables["bbo"].with_row_index("n")
    bbo = bbo.with_columns(pl.col("local_ns") - pl.when(pl.col("n") >= 800).then(250 * MS).otherwise(0))
    tables["bbo"] = bbo.drop("n")
    path = written_as(form, tmp_path, tables)
    with pytest.raises(
        RecordingError, match=r"row \d+.* of .*`local_ns` must not go back; .* The clock was set back"
    ):
        list(open_recording(path, rows=rows).chunks)
    plain = read_as(form, tmp_path / "plain", 0)
    source = open_recording(path, rows=rows, repair=True)
    events = np.concatenate([chunk.events for chunk in source.chunks])
    assert any(
        "held `local_ns` where the clock was set back: 1 times" in one.message for one in source.findings
    )
    tops, wanted = (e[e["kind"] == TOP] for e in (events, plain.events))
    for name in ("message", "price", "quantity", "exchange_time_ns"):
        np.testing.assert_array_equal(tops[name], wanted[name])
    assert (np.diff(events["local_time_ns"]) >= 0).all()
    assert (tops["local_time_ns"] >= tops["exchange_time_ns"]).all()


START_NS = EPOCH_MS * MS


def a_minute(seconds: float, seed: int = 0, floor_ms: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    """Arrivals every 20 ms on a clock that is right, and their latencies: 3 ms and an exponential rest."""
    random = np.random.default_rng(seed)
    sent = START_NS + np.arange(round(50 * seconds)) * 20 * MS
    latency = np.round((floor_ms + random.exponential(2.0, len(sent))) * MS).astype(np.int64)
    return np.maximum.accumulate(sent + latency), latency


@given(
    st.sampled_from([-900.0, -150.0, -60.0, 60.0, 150.0, 900.0]), st.floats(0.25, 0.75),
    st.integers(0, 2**31), st.integers(1, 5), st.sampled_from([0.0, -1_500.0, 40.0]),
)  # fmt: skip
@settings(max_examples=25, deadline=None)
def test_a_clock_that_is_set_is_corrected_on_both_sides(step_ms, where, seed, pieces, behind_ms):
    true, latency = a_minute(60, seed)
    set_at = true[round(where * len(true))]
    wrong = true + round(behind_ms * MS) + np.where(true >= set_at, round(step_ms * MS), 0)
    wrong = np.maximum.accumulate(wrong)  # what a repair holds
    clock = LocalClock()
    for local, sent in zip(
        np.array_split(wrong, pieces), np.array_split(true - latency, pieces), strict=True
    ):
        clock.feed(local - sent, local)
    now = clock.correction
    assert len(now.starts_ns) == 2
    right = now.at(wrong)
    assert np.all(np.diff(right) >= 0)
    far = np.abs(true - set_at) > (1_000 + abs(step_ms)) * MS
    # Where no stretch tells how far the clock is from right, all of them run as the fastest message says.
    off = (right - true)[far]
    assert np.ptp(off) < 3 * MS
    fastest = (right - (true - latency))[far].min()
    assert -MS <= fastest <= 44 * MS
    said = " ".join(one.message for one in clock.findings("x"))
    assert f"the local clock was set by {step_ms:+,.0f} ms" in said or "set by" in said
    assert "the median is" in said


@pytest.mark.parametrize(("step_ms", "at"), [(-30, 0.5), (-12, 0.4), (-150, 0.93), (150, 0.06), (-60, 0.07)])
def test_what_arrives_before_it_was_sent_tells_small_and_late_steps(step_ms, at):
    """Behind by 12 ms, or for four seconds only, at the beginning or the end."""
    true, latency = a_minute(60)
    after = true >= true[round(at * len(true))]
    wrong = np.maximum.accumulate(true + np.where(after == (step_ms < 0), -abs(step_ms) * MS, 0))
    clock = LocalClock()
    clock.feed(wrong - (true - latency), wrong)
    right = clock.correction.at(wrong)
    assert len(clock.correction.starts_ns) == 2
    assert np.mean(np.abs(right - true) < 2 * MS) > 0.97
    set_by = float(re.search(r"was set by ([-+0-9]+) ms", clock.findings("x")[0].message)[1])
    assert set_by == pytest.approx(step_ms, abs=1)


def test_a_load_on_the_network_is_no_step():
    """The negative: latencies of a venue under load rise to 400 ms for 20 s and fall again."""
    local, latency = a_minute(120)
    seconds = (local - local[0]) / 1e9
    load = np.clip(np.minimum(seconds - 40, 80 - seconds) / 20, 0, 1) * 400 * MS
    random = np.random.default_rng(1)
    more = np.round(load * random.uniform(0.6, 1.0, len(load))).astype(np.int64)
    clock = LocalClock()
    clock.feed(latency + more, local + more)
    assert clock.correction.starts_ns == (0,)
    assert clock.offset_ns == 0


@pytest.mark.parametrize("rate_us", [-200.0, 50.0, 0.0])
def test_a_clock_that_drifts_is_corrected_along_a_line(rate_us):
    true, latency = a_minute(900)
    wrong = true + np.round(rate_us * 1e-6 * (true - true[0])).astype(np.int64)
    clock = LocalClock()
    clock.feed(wrong - (true - latency), wrong)
    right = clock.correction.at(wrong)
    if rate_us == 0.0:
        np.testing.assert_array_equal(right, true)
        return
    assert np.ptp(right - true) < 2 * MS
    assert (right - (true - latency)).min() > -MS
    said = clock.findings("x")[0].message
    rate = float(re.search(r"the local clock drifts by ([-+0-9.]+) us a second", said)[1])
    assert rate == pytest.approx(rate_us, rel=0.02)


def test_a_clock_that_is_hours_ahead_is_brought_back():
    local, latency = a_minute(60)
    clock = LocalClock()
    clock.feed(latency + 3_600 * 1_000 * MS, local + 3_600 * 1_000 * MS)
    np.testing.assert_array_equal(
        clock.correction.at(local + 3_600 * 1_000 * MS) - local, -int(latency.min())
    )
    said = " ".join(one.message for one in clock.findings("x"))
    assert "ran ahead of the venue's" in said
    assert "one of them is in another time zone" in said


def stepped(form: str, folder: Path, step_ms: int) -> Path:
    """A market whose receiver's clock is set at step 150."""
    tables = made_market()
    later = (EPOCH_MS + 15_000) * MS
    if form == "stream":  # whose lines stand as they came, whatever the clock says
        lines = [line.split(" ", 1) for line in stream_lines(tables)]
        lines = [f"{int(at) + (step_ms * MS if int(at) > later else 0)} {said}" for at, said in lines]
        return write_stream(folder, lines)
    for kind, table in tables.items():
        tables[kind] = table.with_columns(
            pl.col("local_ns") + pl.when(pl.col("local_ns") > later).then(step_ms * MS).otherwise(0)
        )
    return written(form, folder, tables)


@pytest.mark.parametrize("step_ms", [-2_000, -150, 150, 2_000])
@pytest.mark.parametrize("form", FORMS)
def test_every_reader_corrects_a_step(tmp_path, form, step_ms):
    path = stepped(form, tmp_path, step_ms)
    if step_ms < 0:
        with pytest.raises(RecordingError, match="The clock was set back"):
            read_recording(path)
    recording = read_recording(path, repair=step_ms < 0)
    events = recording.events
    assert (np.diff(events["local_time_ns"]) >= 0).all()
    depth = events[events["kind"] == DEPTH]
    assert len(np.unique(depth["message"])) == 300
    latency = (events["local_time_ns"] - events["exchange_time_ns"])[events["kind"] != SNAPSHOT]
    assert latency.min() >= 0
    assert np.mean(np.abs(latency - 3 * MS) < 1_000) > 0.9
    assert f"the local clock was set by {step_ms:+,.0f} ms" in messages(recording)


@pytest.mark.parametrize("form", ["npz", "ticks"])
@pytest.mark.parametrize("behind_ms", [0, 40])
def test_events_of_others_do_not_arrive_before_they_were_sent(tmp_path, form, behind_ms):
    source = open_recording(written("tables", tmp_path, made_market()))
    events = next(iter(source.chunks)).events
    events["local_time_ns"] -= behind_ms * MS
    if form == "npz":
        path = tmp_path / "others.npz"
        write_npz(Recording(source.instrument, events), path)
    else:
        path = tmp_path / "others.ticks.parquet"
        write_ticks(Source(source.instrument, source.files, iter([Chunk(events)])), path)
    recording = read_recording(path)
    events = recording.events[recording.events["kind"] != SNAPSHOT]
    latency = events["local_time_ns"] - events["exchange_time_ns"]
    assert set(latency.tolist()) == ({3 * MS} if behind_ms == 0 else {0})
    assert recording.clock_offset_ns == (0 if behind_ms == 0 else (behind_ms - 3) * MS)
    assert ("37.000 ms were added" in messages(recording)) == (behind_ms > 0)


@pytest.mark.parametrize("kind", ["depth", "trades", "bbo"])
@pytest.mark.parametrize("off_ms", [-20_000, -300, 300, 20_000])
@pytest.mark.parametrize("form", FORMS)
def test_a_wrong_time_in_any_table_is_the_arrival_less_the_usual_latency(tmp_path, form, kind, off_ms):
    sound = made_market()
    number = {"depth": "final_id", "trades": "trade_id", "bbo": "update_id"}[kind]
    at = sound[kind][number] == sound[kind][number][150 if kind != "depth" else 700]
    off = pl.when(at).then(off_ms).otherwise(0)
    tables = dict(sound)
    tables[kind] = tables[kind].with_columns(pl.col("exch_ms") + off, pl.col("txn_ms") + off)
    for name, of in (("sound", sound), ("wrong", tables)):
        (tmp_path / name).mkdir()
        written(form, tmp_path / name, of)
    true, recording = (read_recording(tmp_path / name) for name in ("sound", "wrong"))
    np.testing.assert_array_equal(true.events, recording.events)
    assert "1 messages carry a time of the venue" in messages(recording)
    assert recording.clock_offset_ns == 0


@pytest.mark.parametrize("off_ms", [-400, 400])
@pytest.mark.parametrize("kind", [DEPTH, TRADE, TOP])
def test_a_wrong_time_in_events_of_others(tmp_path, kind, off_ms):
    true = read_recording(written("tables", tmp_path, made_market()))
    events = true.events.copy()
    message = events["message"][events["kind"] == kind][400 if kind != TRADE else 150]
    wrong = (events["kind"] == kind) & (events["message"] == message)
    events["exchange_time_ns"] += off_ms * MS * wrong
    write_npz(Recording(true.instrument, events), tmp_path / "wrong.npz")
    recording = read_recording(tmp_path / "wrong.npz")
    np.testing.assert_array_equal(recording.events, true.events)
    assert "1 messages carry a time of the venue" in messages(recording)


@pytest.mark.parametrize("kind", ["depth", "trades", "bbo"])
@pytest.mark.parametrize("form", ["tables", "tardis", "declared"])
def test_one_wrong_time_of_arrival_does_not_hold_the_clock(tmp_path, form, kind):
    tables = made_market()
    sound = dict(tables)
    at = tables[kind]["local_ns"] == tables[kind]["local_ns"][150]
    off = pl.when(at).then(10_000 * MS).otherwise(0)
    tables[kind] = tables[kind].with_columns(pl.col("local_ns") + off)
    for name, of in (("sound", sound), ("wrong", tables)):
        (tmp_path / name).mkdir()
        written(form, tmp_path / name, of)
    with pytest.raises(RecordingError, match="must lie between those of its neighbours"):
        read_recording(tmp_path / "wrong")
    true, recording = (read_recording(tmp_path / name, repair=True) for name in ("sound", "wrong"))
    odd = true.events["local_time_ns"] != recording.events["local_time_ns"]
    assert 0 < len(np.unique(true.events["local_time_ns"][odd])) <= 2
    assert "replaced what cannot be in" in messages(recording)


FAR_MS = 250


def spot_like(folder: Path, form: str) -> Path:
    """A market whose best prices carry no time of the venue, and whose feed takes 250 ms."""
    tables = made_market()
    for kind in tables:
        tables[kind] = tables[kind].with_columns(pl.col("local_ns") + (FAR_MS - 3) * MS)
    if form == "declared":
        path = written(form, folder, tables)
        text = path.read_text()
        head, quotes = text.split("[quotes]")
        path.write_text(head + "[quotes]" + "".join(
            f"{line}\n" for line in quotes.splitlines() if not line.startswith("exchange_time")
        ))  # fmt: skip
        return path
    tables["bbo"] = tables["bbo"].with_columns(exch_ms=pl.lit(0, pl.Int64), txn_ms=pl.lit(0, pl.Int64))
    return written(form, folder, tables)


@pytest.mark.parametrize("form", ["tables", "declared"])
def test_best_prices_without_a_time_were_made_when_the_others_were(tmp_path, form):
    recording = read_recording(spot_like(tmp_path, form))
    tops, trades = (recording.events[recording.events["kind"] == kind] for kind in (TOP, TRADE))
    for events in (tops, trades):
        assert set((events["local_time_ns"] - events["exchange_time_ns"]).tolist()) == {FAR_MS * MS}
    assert "by the median latency of" in messages(recording) or "less the median" in messages(recording)


def test_best_prices_that_are_late_stand_before_the_depth_that_holds_them(tmp_path):
    tables = made_market()
    n = pl.int_range(pl.len())
    slow = pl.when((n >= 100) & (n < 105)).then((105 - n) * 100 * MS).otherwise(0)
    tables["bbo"] = tables["bbo"].with_columns(
        pl.col("local_ns") + slow, exch_ms=pl.lit(0, pl.Int64), txn_ms=pl.lit(0, pl.Int64)
    )
    recording = read_recording(written("tables", tmp_path, tables))
    tops = recording.events[recording.events["kind"] == TOP]
    made = EPOCH_MS * MS + (tops["message"] - 1_000) // 10 * 100 * MS
    assert np.all(tops["exchange_time_ns"] <= made)
    np.testing.assert_array_equal(tops["exchange_time_ns"][:200], made[:200])
