"""The receiver's clock against the venue's: one message with a wrong time is no clock."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recording_files import EPOCH_MS, messages, session, stream_lines, write, write_stream

from flowhft.errors import RecordingError
from flowhft.recordings import read_recording
from flowhft.recordings.checks.clock import LocalClock
from flowhft.recordings.formats.read import open_recording
from flowhft.recordings.ticks import TOP

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
