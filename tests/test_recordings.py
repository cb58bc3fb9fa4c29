"""The readers: what good files become, event by event."""

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from recording_files import EPOCH_MS, kinds, messages, put, session, write, write_csv, write_lobster

from flowhft.errors import RecordingError
from flowhft.recordings import market_orders, mid_at, read_recording, sample_recording, top_of_book
from flowhft.recordings.checks.summary import agreement
from flowhft.recordings.ticks import BUY, DEPTH, SELL, SNAPSHOT, TOP, TRADE, Recording


@pytest.fixture(scope="module")
def sample() -> Recording:
    return read_recording(sample_recording())


def test_sample_is_what_its_files_say(sample):
    assert (sample.venue, sample.symbol, sample.currency) == ("binance-usdm", "BTCUSDT", "USDT")
    assert (sample.tick_size, sample.lot_size) == (0.1, 0.001)
    assert sample.duration == pytest.approx(479.523, abs=1e-3)
    assert kinds(sample) == {SNAPSHOT: 2_000, DEPTH: 400_668, TRADE: 10_701, TOP: 104_508}
    events = sample.events
    assert np.all(np.diff(events["local_time_ns"]) >= 0)
    assert np.all(events["kind"][:2_000] == SNAPSHOT)
    stored = pl.read_parquet(f"{sample_recording()}_trades.parquet")
    trades = events[events["kind"] == TRADE]
    np.testing.assert_array_equal(trades["price"], stored["price"])
    np.testing.assert_array_equal(trades["quantity"], stored["qty"])
    np.testing.assert_array_equal(trades["side"], stored["aggressor"])
    np.testing.assert_array_equal(trades["exchange_time_ns"], stored["txn_ms"] * 1_000_000)
    np.testing.assert_array_equal(trades["local_time_ns"], stored["local_ns"] + sample.clock_offset_ns)


def test_sample_begins_with_the_first_message_that_the_snapshot_does_not_hold(sample):
    known = pl.read_parquet(f"{sample_recording()}_snapshot.parquet")["last_update_id"][0]
    depth = pl.read_parquet(f"{sample_recording()}_depth.parquet").filter(pl.col("final_id") >= known)
    events = sample.events[sample.events["kind"] == DEPTH]
    np.testing.assert_array_equal(events["message"], depth["final_id"])
    np.testing.assert_array_equal(events["quantity"], depth["qty"])


def test_sample_clock_is_moved_until_the_fastest_message_takes_no_time(sample):
    latency = sample.events["local_time_ns"] - sample.events["exchange_time_ns"]
    assert latency.min() == 0
    assert sample.clock_offset_ns == pytest.approx(1.523786195e9, abs=1)  # the feed's README: about 1.52 s
    assert "note: the local clock ran behind the exchange's: 1,523.786 ms were added" in messages(sample)
    assert "9,018 of 9,018 depth messages (100.00%)" in messages(sample)


@pytest.mark.parametrize(
    "path", [sample_recording(), f"{sample_recording()}_bbo.parquet", sample_recording().parent]
)
def test_prefix_file_and_folder_mean_the_same_session(sample, path):
    recording = read_recording(path)
    np.testing.assert_array_equal(recording.events, sample.events)
    assert [file.name.rsplit("_", 1)[1] for file in recording.files] == [
        "snapshot.parquet", "depth.parquet", "trades.parquet", "bbo.parquet",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "symbol", "volatility"),
    [  # volatility of 10 s mids in USD per root second, from the README of the data (another program's work)
        ("binance_feed_l2/usdm_btcusdt_20240718", "BTCUSDT", 4.2),
        ("binance_feed_l2/usdm_btcusdt_20230404", "BTCUSDT", 1.04),
        ("binance_feed_l2/spot_btcusdt_20240808", "BTCUSDT", 8.1),
        ("binance_feed_l2/usdm_btcusdt_20240808", "BTCUSDT", None),
        ("binance_feed_l2/usdm_ethusdt_20240718", "ETHUSDT", None),
        ("binance_feed_l2/coinm_btcusd_20240808", "BTCUSD", None),
        ("lobster_nasdaq_2012/GOOG", "GOOG", 0.039),
        ("lobster_nasdaq_2012/AAPL", "AAPL", 0.036),
    ],
)
def test_shared_recordings_read_and_rebuild(shared_data, name, symbol, volatility):
    recording = read_recording(shared_data / name)
    assert recording.symbol == symbol
    equal, compared = agreement(recording)
    assert compared > 5_000
    assert equal >= 0.999 * compared
    assert np.all(np.diff(recording.events["local_time_ns"]) >= 0)
    assert np.all(recording.events["exchange_time_ns"] <= recording.events["local_time_ns"])
    assert not any(finding.severity == "error" for finding in recording.findings)
    if volatility is not None:
        times = recording.events["exchange_time_ns"]
        mids = mid_at(top_of_book(recording), np.arange(times.min(), times.max(), 10 * 10**9))
        moves = np.diff(mids[np.isfinite(mids)]) * recording.tick_size
        assert np.sqrt(np.mean(moves**2) / 10) == pytest.approx(volatility, rel=0.05)


def test_insurance_fund_trades_are_left_out_and_said(shared_data):
    recording = read_recording(shared_data / "binance_feed_l2" / "usdm_btcusdt_20230404")
    assert "1 trades of no market order (insurance fund) are left out" in messages(recording)
    assert 3535191080 not in recording.events["message"][recording.events["kind"] == TRADE]


def test_spot_best_prices_stand_between_the_depth_messages_around_them(shared_data):
    recording = read_recording(shared_data / "binance_feed_l2" / "spot_btcusdt_20240808")
    top, depth = (recording.events[recording.events["kind"] == kind] for kind in (TOP, DEPTH))
    assert "best prices carry no exchange time: their arrival less the median latency" in messages(recording)
    assert np.all(top["exchange_time_ns"] <= top["local_time_ns"])
    number, first = np.unique(depth["message"], return_index=True)
    made = np.maximum.accumulate(depth["exchange_time_ns"][first])
    after = np.searchsorted(number, top["message"])
    inside = (after > 0) & (after < len(number))
    assert np.all(top["exchange_time_ns"][inside] <= made[after[inside]])
    late = top["local_time_ns"][inside] >= made[after[inside] - 1]
    assert np.all(top["exchange_time_ns"][inside][late] >= made[after[inside] - 1][late])
    median = np.median((top["local_time_ns"] - top["exchange_time_ns"])[inside]) / 1e6
    assert median == pytest.approx(3.768, abs=0.2)


def test_inverse_contracts_carry_a_warning(shared_data):
    assert "warning: an inverse contract" in messages(
        read_recording(shared_data / "binance_feed_l2" / "coinm_btcusd_20240808")
    )


def test_a_folder_of_many_instruments_is_refused(shared_data):
    wrong = r"of the instrument .*, binance-coinm BTCUSD .* received binance-spot BTCUSDT"
    with pytest.raises(RecordingError, match=wrong):
        read_recording(shared_data / "binance_feed_l2")


def test_small_session_event_by_event(tmp_path):
    recording = read_recording(write(tmp_path, session()))
    ms = (recording.events["local_time_ns"] // 1_000_000 - EPOCH_MS - 3).tolist()
    rows = list(
        zip(
            ms,
            *(recording.events[name].tolist() for name in ("kind", "side", "price", "quantity")),
            strict=True,
        )
    )
    assert rows[:6] == [
        (50, SNAPSHOT, 1, 999, 5), (50, SNAPSHOT, 1, 998, 7), (50, SNAPSHOT, 1, 997, 9),
        (50, SNAPSHOT, -1, 1001, 4), (50, SNAPSHOT, -1, 1002, 8), (50, SNAPSHOT, -1, 1003, 4),
    ]  # fmt: skip
    assert rows[6:15] == [
        (60, TOP, 1, 999, 5), (60, TOP, -1, 1001, 4),
        (100, DEPTH, 1, 998, 7), (100, DEPTH, -1, 1003, 4),
        (120, TRADE, 1, 1001, 2), (120, TRADE, 1, 1002, 1),
        (120, TOP, 1, 999, 5), (120, TOP, -1, 1002, 8),
        (199, TOP, 1, 999, 2),
    ]  # fmt: skip
    assert kinds(recording) == {SNAPSHOT: 6, DEPTH: 6, TRADE: 6, TOP: 10}
    assert recording.clock_offset_ns == 0
    assert agreement(recording) == (4, 4)
    assert [finding.severity for finding in recording.findings] == ["note", "note"]
    assert "note: guessed: currency USDT (the symbol, BTCUSDT)" in messages(recording)


def test_best_prices_may_be_missing(tmp_path):
    tables = session()
    del tables["bbo"]
    recording = read_recording(write(tmp_path, tables))
    assert "note: no `_bbo` file" in messages(recording)
    assert top_of_book(recording).best_ask.tolist() == [1001, 1002, 1002, 1001]


def test_the_last_best_prices_before_the_book_stand_at_its_start(tmp_path):
    tables = session()
    start = tables["snapshot"]["local_ns"][0]
    tables["bbo"] = put(tables["bbo"], 0, local_ns=start - 1, exch_ms=EPOCH_MS + 40, txn_ms=EPOCH_MS + 40)
    recording = read_recording(write(tmp_path, tables))
    top = recording.events[recording.events["kind"] == TOP]
    assert top["local_time_ns"][0] == start
    assert len(top) == 10


@pytest.mark.parametrize("writer", [write_csv, write_lobster])
def test_lobster_tape_event_by_event(tmp_path, writer):
    recording = read_recording(writer(tmp_path))
    assert (recording.venue, recording.symbol, recording.currency) == ("nasdaq", "GOOG", "USD")
    assert (recording.tick_size, recording.lot_size) == (0.01, 1.0)
    events = recording.events
    np.testing.assert_array_equal(events["exchange_time_ns"], events["local_time_ns"])
    second = 1_000_000_000
    times = [
        34200_004_241_176,
        34200_004_241_176,
        34200_100_000_000,
        34201_999_999_999,
        34202 * second,
        34203 * second,
    ]
    rows = [
        (
            times[event["message"]] if event["message"] < 5 else None,
            *event[["message", "kind", "side", "price", "quantity"]],
        )
        for event in events
    ]
    for row, event in zip(rows, events, strict=True):
        assert row[0] in (None, event["local_time_ns"])
    assert [row[1:] for row in rows] == [
        (0, SNAPSHOT, BUY, 58500, 10), (0, SNAPSHOT, BUY, 58490, 7),
        (0, SNAPSHOT, SELL, 58530, 20), (0, SNAPSHOT, SELL, 58540, 5),
        (0, TOP, BUY, 58500, 10), (0, TOP, SELL, 58530, 20),
        (1, TRADE, BUY, 58530, 20), (1, TOP, BUY, 58500, 10), (1, TOP, SELL, 58540, 5),
        (1, DEPTH, SELL, 58530, 0), (1, DEPTH, SELL, 58550, 9),
        (2, TRADE, BUY, 58510, 3),  # hidden, between two ticks: a buy down to the tick
        (3, TOP, BUY, 58510, 4), (3, TOP, SELL, 58540, 5),
        (3, DEPTH, BUY, 58510, 4), (3, DEPTH, BUY, 58490, 0),  # 584.90 has left the window
        (4, TOP, BUY, 58500, 10), (4, TOP, SELL, 58540, 5), (4, DEPTH, BUY, 58510, 0),
        (6, TRADE, SELL, 58501, 2), (6, DEPTH, SELL, 58550, 0),  # and a sell up
    ]  # fmt: skip
    said = messages(recording)
    assert "note: one clock only" in said
    assert "note: 2 of 3 executions met hidden orders; 2 of them between two ticks" in said
    assert "warning: row 5 of" in said
    assert "trading halts, 34203.500 s after midnight" in said
    assert agreement(recording) == (5, 5)


@given(st.integers(0, 86_399 * 10**9), st.integers(0, 9))
@example(34_200_123_456_789, 9)
def test_seconds_become_nanoseconds_without_loss(tmp_path_factory, time_ns, digits):
    time_ns -= time_ns % 10 ** (9 - digits)  # what that many digits can say
    text = f"{time_ns // 10**9}.{time_ns % 10**9:09d}"[: 1 + len(str(time_ns // 10**9)) + digits].rstrip(".")
    folder = tmp_path_factory.mktemp("csv")
    tape = f"{text},1,1,10,5850000,1|5853000,20,5850000,10,5854000,5,5849000,7\n"
    recording = read_recording(write_csv(folder, tape))
    assert set(recording.events["local_time_ns"].tolist()) == {time_ns}


def test_a_float_would_have_lost_nanoseconds():
    """The negative of the test above: this is why the digits are read as text."""
    lost = [
        ns
        for ns in range(34_200_123_456_700, 34_200_123_456_800)
        if int(float(f"{ns / 1e9:.9f}") * 1e9) != ns
    ]
    assert lost


def test_hidden_orders_may_give_better_prices_than_the_mid(tmp_path):
    orders = market_orders(read_recording(write_lobster(tmp_path)))
    # The first order has the time of the first book, before which no mid is known: it is left out.
    assert orders.worst_price.tolist() == [58510, 58501]
    assert orders.mid_before.tolist() == [58520.0, 58520.0]
    assert orders.reach.tolist() == [-10.0, 19.0]
