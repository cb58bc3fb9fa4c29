"""The formats beside Binance's and LOBSTER's: read, chunked, joined, converted, fuzzed."""

import errno
import gzip
import json
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import polars as pl
import pytest
from program import flowhft
from recording_files import (
    NAME,
    kinds,
    messages,
    session,
    write,
    write_bitstamp,
    write_csv,
    write_stream,
)

from flowhft.cli.data import Format
from flowhft.cli.main import main
from flowhft.errors import DataError, FlowhftError, RecordingError, UnknownNameError
from flowhft.recordings import book_at, read_recording, sample_recording, split, top_of_book
from flowhft.recordings.checks.clock_checks import ObserverState
from flowhft.recordings.checks.summary import Summary, agreement
from flowhft.recordings.formats.npz import npz_events, write_npz
from flowhft.recordings.formats.read import READERS, open_recording
from flowhft.recordings.formats.tick_files import write_ticks
from flowhft.recordings.orders import level_events
from flowhft.recordings.source import Chunk, assembled
from flowhft.recordings.ticks import (  # fmt: skip
    ADD,
    BUY,
    CHANGE,
    DEPTH,
    EVENT,
    FILL,
    SELL,
    SNAPSHOT,
    TOP,
    TRADE,
    Recording,
    require_trades,
)

US = 1_700_000_000_000_000  # microseconds since 1970
DEPTH_CSV = [  # ms, snapshot, side, price, amount
    (0, "true", "bid", "99.5", "1"), (0, "true", "ask", "100.5", "2.25"), (0, "true", "bid", "99", "3"),
    (100, "false", "ask", "100.5", "0"), (100, "false", "ask", "101", "1.5"),
    (200, "false", "bid", "100", "0.5"),
    (300, "true", "bid", "98", "1e-02"), (300, "true", "ask", "99", "1"),
    (400, "false", "bid", "98.5", "2"),
]  # fmt: skip
TRADES_CSV = [(100, "buy", "100.5", "2.25"), (350, "sell", "98", "0.01")]
TOML = """
[recording]
venue = "here"
symbol = "TEST"
currency = "USD"
tick_size = 0.5
lot_size = 0.01

[quotes]
files = "quotes.csv"
exchange_time = {{ column = "when", unit = "{unit}" }}
bid_price = "bid"
bid_quantity = "bid size"
ask_price = {{ column = "ask", scale = 10 }}
ask_quantity = "ask size"

[trades]
files = "trades.csv"
exchange_time = {{ column = "when", unit = "{unit}" }}
side = {{ column = "taker", buy = "B", sell = "S" }}
price = "price"
quantity = "size"
"""
QUOTES = "when,bid,bid size,ask,ask size\n{0},99.5,1,1005,2\n{1},99.5,1,1005,0.5\n{2},100,0.25,1010,1\n"
TRADES = "when,taker,price,size\n{1},B,100.5,1.5\n{2},S,100,0.1\n"


def write_tardis(folder: Path, depth=DEPTH_CSV, zipped: bool = False) -> Path:
    def lines(head, rows):
        body = [f"{US + 1000 * ms},{US + 1000 * ms + 2500},{','.join(rest)}" for ms, *rest in rows]
        return "\n".join(
            [f"exchange,symbol,timestamp,local_timestamp,{head}", *(f"x,BTCUSDT,{b}" for b in body)]
        )

    files = {
        "incremental_book_L2": lines("is_snapshot,side,price,amount", depth),
        "trades": lines("id,side,price,amount", [(ms, "7", *rest) for ms, *rest in TRADES_CSV]),
    }
    for part, text in files.items():
        path = folder / f"x_{part}_2023-11-14_BTCUSDT.csv"
        if zipped:
            Path(f"{path}.gz").write_bytes(gzip.compress(f"{text}\n".encode()))
        else:
            path.write_text(f"{text}\n")
    return folder / "x_2023-11-14_BTCUSDT"


def write_declared(folder: Path, times=("1700000000.5", "1700000001", "1700000002"), unit="s") -> Path:
    (folder / "quotes.csv").write_text(QUOTES.format(*times))
    (folder / "trades.csv").write_text(TRADES.format(*times))
    (folder / "market.toml").write_text(TOML.format(unit=unit))
    return folder / "market.toml"


def rows_of(recording: Recording, *names: str) -> list[tuple]:
    return list(zip(*(recording.events[name].tolist() for name in names), strict=True))


def test_formats_of_the_command_line_are_those_that_are_read():
    assert get_args(Format) == tuple(READERS)
    with pytest.raises(UnknownNameError, match="unknown format 'tardi'; did you mean 'tardis'"):
        read_recording(sample_recording(), format="tardi")


def test_format_overrides_the_name(tmp_path):
    recording = read_recording(write(tmp_path, session()))
    write_npz(recording, tmp_path / "renamed.npz")
    (tmp_path / "renamed.npz").rename(tmp_path / "renamed.bin")
    with pytest.raises(RecordingError, match="`--format` overrides names"):
        read_recording(tmp_path / "renamed.bin")
    np.testing.assert_array_equal(
        read_recording(tmp_path / "renamed.bin", format="hftbacktest").events, recording.events
    )


@pytest.mark.parametrize("zipped", [False, True])
def test_tardis_event_by_event(tmp_path, zipped):
    recording = read_recording(write_tardis(tmp_path, zipped=zipped))
    assert (recording.venue, recording.symbol, recording.currency) == ("x", "BTCUSDT", "USDT")
    assert (recording.tick_size, recording.lot_size) == (0.1**1, 0.01)
    assert rows_of(recording, "kind", "side", "price", "quantity", "message") == [
        (SNAPSHOT, BUY, 995, 100, 0), (SNAPSHOT, SELL, 1005, 225, 0), (SNAPSHOT, BUY, 990, 300, 0),
        (TRADE, BUY, 1005, 225, 0), (DEPTH, SELL, 1005, 0, 3), (DEPTH, SELL, 1010, 150, 3),
        (DEPTH, BUY, 1000, 50, 5),
        (SNAPSHOT, BUY, 980, 1, 6), (SNAPSHOT, SELL, 990, 100, 6),
        (TRADE, SELL, 980, 1, 1), (DEPTH, BUY, 985, 200, 8),
    ]  # fmt: skip
    latency = recording.events["local_time_ns"] - recording.events["exchange_time_ns"]
    assert set(latency.tolist()) == {2_500_000}
    assert top_of_book(recording).best_bid.tolist() == [995, 995, 1000, 980, 985]


def test_tardis_that_crosses_or_has_no_snapshot_is_refused(tmp_path):
    crossed = [*DEPTH_CSV, (500, "false", "bid", "99.5", "1")]
    with pytest.raises(RecordingError, match="`price` must not cross the book") as caught:
        read_recording(write_tardis(tmp_path, crossed))
    assert caught.value.row == 9
    mended = read_recording(tmp_path, repair=True)
    assert "ended before row 9" in messages(mended)
    bare = [(ms, "false", *rest) for ms, _, *rest in DEPTH_CSV[:6]]
    with pytest.raises(RecordingError, match="must hold a snapshot of the book; received none"):
        read_recording(write_tardis(tmp_path, bare))


def test_declared_columns_event_by_event(tmp_path):
    recording = read_recording(write_declared(tmp_path))
    assert recording.name == "here TEST"
    assert rows_of(recording, "kind", "side", "price", "quantity") == [
        (SNAPSHOT, BUY, 199, 100), (SNAPSHOT, SELL, 201, 200), (TOP, BUY, 199, 100), (TOP, SELL, 201, 200),
        (TRADE, BUY, 201, 150), (TOP, BUY, 199, 100), (TOP, SELL, 201, 50), (DEPTH, SELL, 201, 50),
        (TRADE, SELL, 200, 10), (TOP, BUY, 200, 25), (TOP, SELL, 202, 100), (DEPTH, BUY, 200, 25),
        (DEPTH, BUY, 199, 0), (DEPTH, SELL, 201, 0), (DEPTH, SELL, 202, 100),
    ]  # fmt: skip
    assert recording.events["local_time_ns"][0] == 1_700_000_000_500_000_000
    times = ("2023-11-14 22:13:20.500", "2023-11-14T22:13:21", "2023-11-14 22:13:22Z")
    np.testing.assert_array_equal(
        read_recording(write_declared(tmp_path, times, "iso")).events, recording.events
    )


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("tick_size", "tik_size", "unknown key of .recording. 'tik_size'; did you mean 'tick_size'"),
        ("tick_size = 0.5", "tick_size = -1", "`tick_size` must be a number above 0 .* received -1"),
        ("tick_size = 0.5", "tick_size = 5.0", "row 0 .*`price` must be a multiple of 5, the tick; received"),
        ('"quotes.csv"', '"none*.csv"', "`files` of .quotes. must name files; `none..csv` names none"),
        ('bid_price = "bid"', 'bid_price = "bed"', "must have the column `bed`; received when, bid"),
        ('bid_price = "bid"', "", "must declare bid_price; it does not"),
        ('unit = "s"', 'unit = "h"', "`unit` of `exchange_time` must be one of s, ms, us, ns, iso; received"),
        ('buy = "B"', 'buy = "A"', "row 0 .*`side` must be .1 or -1; received 0"),
        ("[quotes]", "[quotes", "must be TOML"),
    ],
)  # fmt: skip
def test_declarations_that_are_wrong_say_where(tmp_path, old, new, says):
    path = write_declared(tmp_path)
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(RecordingError, match=says):
        read_recording(path)


def test_text_that_is_no_utf8_names_the_row(tmp_path):
    path = write_declared(tmp_path)
    quotes = tmp_path / "quotes.csv"
    quotes.write_bytes(quotes.read_bytes().replace(b"100,0.25", b"\xff100,0.25"))
    with pytest.raises(RecordingError, match=r"row 2 .*must be UTF-8 text; received the byte 0xff"):
        read_recording(path)


def declared_in_docs(number: int, files: str, new: Path) -> Path:
    """Write the declaration that stands in docs/recordings.md, for these files."""
    said = (Path(__file__).parents[1] / "docs" / "recordings.md").read_text().split("```toml\n")[1 + number]
    lines = said.split("```")[0].splitlines()
    assert sum(line.startswith("files = ") for line in lines) == 1
    new.write_text("\n".join(f'files = "{files}"' if line.startswith("files") else line for line in lines))
    return new


def test_five_levels_a_second_as_the_docs_declare_them(shared_data, tmp_path):
    files = shared_data / "btc_1s_lob5" / "btc_1s_lob5.parquet"
    recording = read_recording(declared_in_docs(1, str(files), tmp_path / "btc.toml"))
    raw = pl.read_parquet(files)
    tops = recording.events[recording.events["kind"] == TOP]
    top = top_of_book(recording)
    assert np.all(np.diff(top.local_time_ns) >= 10**9)
    assert recording.duration == raw["second"][-1] - raw["second"][0]
    assert (top.best_bid.min() * 0.1, top.best_ask.max() * 0.1) == pytest.approx(
        (raw["bid1_price"].min(), raw["ask1_price"].max())
    )
    assert np.median(top.market_spread) == 1  # README: 0.1 USD
    last = book_at(recording, int(tops["local_time_ns"][-1]) + 1)
    shown = [(raw[f"{side}{level}_price"][-1], raw[f"{side}{level}_size"][-1])
             for side in ("bid", "ask") for level in range(1, 6)]  # fmt: skip
    np.testing.assert_allclose(np.stack([last["price"] * 0.1, last["quantity"] * 1e-8], axis=1), shown)


def test_three_days_of_quotes_are_one_recording(shared_data, tmp_path):
    files = f"{shared_data}/eurusd_l1_2021/eurusd_l1_*.parquet"
    recording = read_recording(declared_in_docs(0, files, tmp_path / "eurusd.toml"), repair=True)
    rows = sum(len(pl.read_parquet(path)) for path in recording.files[1:])
    assert rows == 112_231 + 126_103 + 137_405  # README
    dropped = [int(m.split("dropped ")[1].split(" ")[0].replace(",", ""))
               for m in messages(recording).splitlines() if "dropped " in m]  # fmt: skip
    assert len(dropped) == 3
    assert 0.02 < sum(dropped) / rows < 0.03  # README: 2 to 3 % are locked or crossed
    assert 2 * 86_400 < recording.duration < 3 * 86_400


def test_quotes_alone_are_read_and_refused_where_trades_are_needed(shared_data, tmp_path):
    files = f"{shared_data}/eurusd_l1_2021/eurusd_l1_20210907.parquet"
    path = declared_in_docs(0, files, tmp_path / "eurusd.toml")
    with pytest.raises(RecordingError, match=r"row 620 .*`bid_price_1` must stand below `ask_price_1`"):
        read_recording(path)
    recording = read_recording(path, repair=True)
    assert "dropped 2,510 rows (the first is row 620)" in messages(recording)  # README: 2 to 3 % of 112,231
    assert "the longest silence lasts 302 s" in messages(recording)  # README: one hole of about 5 min
    spread = top_of_book(recording).market_spread
    assert np.median(spread) == 3
    with pytest.raises(DataError, match="must hold trades, a replay needs them; received none"):
        require_trades(recording, "a replay")


def test_bitstamp_orders_become_a_book(tmp_path):
    recording = read_recording(write_bitstamp(tmp_path))
    changes = [
        tuple(int(order[name]) for name in ("kind", "order_id", "side", "price", "quantity", "executed"))
        for order in recording.orders
    ]
    lump = recording.orders["order_id"][0]
    assert lump < 0  # the snapshot shows 54 where order 10 has 50
    assert changes == [
        (ADD, lump, BUY, 1000, 4, 0), (ADD, 5, BUY, 990, 7, 0), (ADD, 10, BUY, 1000, 50, 0),
        (ADD, 11, SELL, 1010, 30, 0), (ADD, 12, SELL, 1010, 20, 0),
        (FILL, 10, BUY, 1000, 35, 15), (FILL, 11, SELL, 1010, 0, 30), (FILL, 12, SELL, 1010, 0, 20),
        (CHANGE, 5, BUY, 990, 0, 0), (ADD, 21, BUY, 1012, 10, 0),
    ]  # fmt: skip
    trades = recording.events[recording.events["kind"] == TRADE]
    assert trades["side"].tolist() == [SELL, BUY, BUY]
    assert "2 of 2 snapshots (100.00%)" in messages(recording)
    assert not np.any(top_of_book(recording).market_spread <= 0)


def test_bitstamp_book_is_that_of_the_snapshots(shared_data):
    recording = read_recording(shared_data / "bitstamp_l3_2015")
    result = messages(recording)
    share = float(result.split("snapshots (")[1].split("%")[0])
    assert share > 95  # the others were taken between two messages, or late
    assert recording.trades == 574
    assert "546 of 575 trades have the side of the order that they changed" in result
    top = top_of_book(recording)
    times = np.arange(top.local_time_ns[0], top.local_time_ns[-1], 10**10)
    spread = top.market_spread[np.searchsorted(top.local_time_ns, times, side="right") - 1]
    assert np.nanmedian(spread) == pytest.approx(17, abs=1)  # README: 0.17 USD


def last_of_each_level(events: np.ndarray) -> dict[tuple, int]:
    keys = zip(*(events[name].tolist() for name in ("message", "side", "price")), strict=True)
    return dict(zip(keys, events["quantity"].tolist(), strict=True))


def test_lobster_orders_add_up_to_the_levels(tmp_path):
    recording = read_recording(write_csv(tmp_path))
    made = last_of_each_level(level_events(recording.orders))
    shown = recording.events[np.isin(recording.events["kind"], (DEPTH, SNAPSHOT))]
    assert made == last_of_each_level(shown)
    known = recording.orders[recording.orders["order_id"] > 0]
    names = ["kind", "side", "price", "quantity", "executed", "order_id"]
    assert [tuple(int(x) for x in order) for order in known[names]] == [
        (ADD, BUY, 58510, 4, 0, 3), (CHANGE, BUY, 58510, 0, 0, 3),
    ]  # fmt: skip


def test_goog_orders_add_up_to_the_levels_in_both_parts(shared_data):
    whole = read_recording(shared_data / "lobster_nasdaq_2012" / "GOOG")
    assert "147,915 of 147,915 messages the level that they are about" in messages(whole)
    assert (
        whole.orders["executed"].sum()
        == whole.events["quantity"][whole.events["kind"] == TRADE].sum() - 213_616
    )
    for part in (whole, *split(whole, 0.5)):
        made = last_of_each_level(level_events(part.orders))
        shown = part.events[np.isin(part.events["kind"], (DEPTH, SNAPSHOT))]
        wanted = last_of_each_level(shown[shown["local_time_ns"] > part.events["local_time_ns"][0]])
        assert all(made[key] == quantity for key, quantity in wanted.items())


FORMATS = {
    "binance": lambda folder: write(folder, session()),
    "binance-stream": write_stream,
    "lobster": write_csv,
    "tardis": write_tardis,
    "declared": write_declared,
}


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("rows", [1, 3])
def test_chunks_make_the_same_recording(tmp_path, format, rows):
    path = FORMATS[format](tmp_path)
    whole, source = read_recording(path), open_recording(path, rows=rows)
    pieces, summary = [], Summary()
    for chunk in source.chunks:
        pieces.append(chunk)
        summary.feed(chunk.events, chunk.orders)
    assert len(pieces) > 1
    np.testing.assert_array_equal(np.concatenate([piece.events for piece in pieces]), whole.events)
    if whole.orders is not None:
        orders = np.concatenate([piece.orders for piece in pieces])
        np.testing.assert_array_equal(orders["quantity"], whole.orders["quantity"])
        assert last_of_each_level(level_events(orders)) == last_of_each_level(level_events(whole.orders))
    assert [result.message for result in source.findings] == [result.message for result in whole.findings]
    once = Summary()
    once.feed(whole.events, whole.orders)
    pieced, at_once = summary.facts(), once.facts()
    assert pieced.pop("events") == at_once.pop("events")
    assert pieced == pytest.approx(at_once, nan_ok=True)


def test_a_fault_is_found_across_the_border_of_chunks(tmp_path):
    tables = session()
    depth = tables["depth"].filter(pl.col("final_id") != 110)
    tables["depth"] = depth
    with pytest.raises(RecordingError, match="messages are lost") as caught:
        assembled(open_recording(write(tmp_path, tables), rows=3))  # rows 0 to 2, then the gap
    assert caught.value.row == 3
    tables = session()
    tables["trades"] = tables["trades"][[0, 1, 2, 2, 3, 4, 5]]
    with pytest.raises(RecordingError, match="`trade_id` must be unique"):
        assembled(open_recording(write(tmp_path, tables), rows=3))


LONG = """
import resource, sys
from flowhft.recordings.checks.summary import Summary
from flowhft.recordings.formats.read import open_recording

def passed(path):
    source, summary = open_recording(path, rows=20_000), Summary()
    for chunk in source.chunks:
        summary.feed(chunk.events, chunk.orders)
    return summary.total, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

passed(sys.argv[1])
print(*passed(sys.argv[1]), *passed(sys.argv[2]))
"""


@pytest.mark.slow
def test_memory_is_that_of_a_chunk_not_of_the_day(tmp_path):
    """Twenty times the events may not take a quarter of what they weigh (43 MiB a million) in addition."""
    recording = read_recording(sample_recording())
    part = recording.events[:100_000]
    for name, times in (("short", 1), ("long", 20)):
        events = np.tile(part, times)
        span = int(part["local_time_ns"][-1] - part["local_time_ns"][0]) + 1
        shift = np.repeat(np.arange(times) * span, len(part))
        events["local_time_ns"] += shift
        events["exchange_time_ns"] += shift
        source = open_recording(sample_recording())
        chunks = [Chunk(piece) for piece in np.array_split(events, 2 * times)]
        write_ticks(replace(source, chunks=iter(chunks)), tmp_path / f"{name}.ticks.parquet")
    paths = [str(tmp_path / f"{name}.ticks.parquet") for name in ("short", "long")]
    child = subprocess.run([sys.executable, "-c", LONG, *paths], capture_output=True, text=True, timeout=300)
    assert child.returncode == 0, child.stderr
    few, before, many, after = map(int, child.stdout.split())
    assert (few, many) == (100_000, 2_000_000)
    assert after - before < 0.25 * many * EVENT.itemsize / 2**20


def test_npz_goes_out_and_in_exactly_and_is_what_hftbacktest_wants(tmp_path):
    recording = read_recording(sample_recording())
    rows = write_npz(recording, tmp_path / "sample.npz")
    again = read_recording(tmp_path / "sample.npz")
    np.testing.assert_array_equal(again.events, recording.events)
    assert (again.name, again.tick_size, again.lot_size) == (recording.name, 0.1, 0.001)
    hftbacktest = pytest.importorskip("hftbacktest")
    from hftbacktest.data import validate_event_order

    data = np.load(tmp_path / "sample.npz")["data"]
    assert data.dtype == hftbacktest.types.event_dtype
    assert len(data) == rows
    validate_event_order(data)
    at_exchange = data[(data["ev"] & np.uint64(hftbacktest.types.EXCH_EVENT)) > 0]
    assert len(at_exchange) == len(recording.events) + 1  # and the clearing before the snapshot


def test_npz_of_others_needs_a_description(tmp_path):
    recording = read_recording(write(tmp_path, session()))
    data = npz_events(recording)
    data["ival"] = 0
    np.savez_compressed(tmp_path / "others.npz", data=data)
    with pytest.raises(
        RecordingError, match=r"must come with venue, symbol, .* Write them into `others.toml`"
    ):
        read_recording(tmp_path / "others.npz")
    about = "venue='v'\nsymbol='S'\ncurrency='USD'\ntick_size={}\nlot_size=0.001\n"
    (tmp_path / "others.toml").write_text(about.format(0.1))
    read = read_recording(tmp_path / "others.npz")
    for name in ("kind", "side", "price", "quantity", "local_time_ns"):
        np.testing.assert_array_equal(read.events[name], recording.events[name])
    (tmp_path / "others.toml").write_text(about.format(0.3))
    with pytest.raises(RecordingError, match=r"`px` must be a multiple of the tick, 0.3"):
        read_recording(tmp_path / "others.npz")


def test_convert_writes_what_reads_the_same(tmp_path, capsys):
    path, out = write_csv(tmp_path), tmp_path / "goog.ticks.parquet"
    assert main(["data", "convert", str(path), "--to", "parquet", "--out", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] > 20
    recording, again = read_recording(path), read_recording(out)
    np.testing.assert_array_equal(again.events, recording.events)
    np.testing.assert_array_equal(again.orders, recording.orders)
    assert main(["data", "convert", str(path), "--to", "parquet", "--out", str(out)]) == 2
    assert "`out` must be a new file" in capsys.readouterr().err
    assert main(["data", "convert", str(path), "--to", "npz", "--out", str(tmp_path / "goog.txt")]) == 2
    assert main(["data", "check", str(out), "--format", "lobster"]) == 3


def later(days: int) -> dict[str, pl.DataFrame]:
    tables = session()
    for name, table in tables.items():
        moved = {
            column: pl.col(column) + days * 86_400_000 * (10**6 if column.endswith("_ns") else 1)
            for column in ("local_ns", "exch_ms", "txn_ms")
            if column in table.columns
        }
        tables[name] = table.with_columns(**moved)
    return tables


def test_sessions_of_several_days_are_joined_in_order(tmp_path):
    first, second = write(tmp_path, session()), write(tmp_path, later(1), "usdm_btcusdt_20231115")
    recording = read_recording(tmp_path)
    assert len(recording.sessions) == 2
    assert recording.sessions[1][0] - recording.sessions[0][0] == 86_400 * 10**9
    assert f"`{NAME}_snapshot.parquet`: " in messages(recording)
    assert "nothing is known of the 86,399.650 s before this session" in messages(recording)
    assert kinds(recording)[SNAPSHOT] == 12
    assert agreement(recording)[0] >= 4
    with pytest.raises(RecordingError, match="must begin after the session before it has ended"):
        read_recording([second, first])
    late = split(recording, 0.5)[1]
    assert late.sessions == (recording.sessions[1],)


def test_sessions_of_two_instruments_are_not_joined(tmp_path):
    first = write(tmp_path, session())
    other = write(tmp_path, later(1), "usdm_ethusdt_20231115")
    with pytest.raises(RecordingError, match=r"must be of the instrument .*BTCUSDT .* received .*ETHUSDT"):
        read_recording([first, other])
    scaled = {"price_scale": "100", "qty_scale": "1000"}
    other = write(tmp_path, later(1), "usdm_btcusdt_20231115", metadata=scaled)
    with pytest.raises(RecordingError, match=r"ticks of 0.1 .* received .* ticks of 0.01"):
        read_recording([first, other])


def test_lobster_days_are_joined_on_the_calendar_of_new_york(tmp_path):
    for day in ("21", "22"):
        for path in list(write_csv(tmp_path).parent.glob("GOOG_2012-06-21_*")):
            target = path.with_name(path.name.replace("06-21", f"06-{day}"))
            target.write_text(path.read_text())
    recording = read_recording(tmp_path)
    assert len(recording.sessions) == 2
    midnight = 1_340_251_200 * 10**9  # 2012-06-21 00:00 in New York, summer time: 04:00 UTC
    assert recording.events["local_time_ns"][0] == midnight + 34_200_004_241_176
    # The second day begins without the orders of the first, and none of its lumps has a number of theirs.
    begins = recording.sessions[1][0]
    orders, events = recording.orders, recording.events
    made = last_of_each_level(level_events(orders)[orders["local_time_ns"] > begins])
    depth = events[(events["local_time_ns"] > begins) & (events["kind"] == DEPTH)]
    assert made == last_of_each_level(depth)
    lumps = orders[(orders["order_id"] < 0) & (orders["kind"] == ADD)]
    assert len(np.unique(lumps["order_id"])) == len(lumps)


def seconds(*gaps: float, latency_ms: float = 1.0, jump_ms: float = 0.0) -> np.ndarray:
    events = np.zeros(len(gaps), EVENT)
    events["exchange_time_ns"] = np.cumsum(gaps) * 1e9
    later = np.arange(len(gaps)) >= len(gaps) // 2
    events["local_time_ns"] = events["exchange_time_ns"] + (latency_ms + jump_ms * later) * 1e6
    return events


@pytest.mark.parametrize(
    ("events", "says"),
    [
        (seconds(*[1.0] * 100), ""),
        (seconds(*[1.0] * 50, 3_600.0, *[1.0] * 50), "1 times; the longest silence lasts 3,600 s"),
        (seconds(*[1.0] * 200, jump_ms=400), "the local clock seems to have been set by +400 ms"),
        (seconds(*[1.0] * 200, jump_ms=-400), "the local clock seems to have been set by -400 ms"),
        (
            seconds(*[1.0] * 200, jump_ms=100),
            "the fastest message of one minute takes 100 ms more",
        ),
        (seconds(*[1.0] * 200, jump_ms=9), ""),
    ],
)
def test_silences_and_clocks_that_were_set_or_go_apart_are_found(events, says):
    watch = ObserverState()
    for part in np.array_split(events, 7):
        watch.feed(part)
    result = " ".join(finding.message for finding in watch.findings())
    assert says in result if says else not result


def mutated(content: bytes, chance: random.Random) -> bytes:
    """Flip, drop, repeat or cut: bytes of anything, lines of text."""
    what = chance.randrange(5)
    if what == 0:
        return content[: chance.randrange(len(content))]
    if what == 1:
        flipped = bytearray(content)
        for _ in range(chance.randint(1, 5)):
            flipped[chance.randrange(len(flipped))] = chance.randrange(256)
        return bytes(flipped)
    lines = content.split(b"\n")
    row = chance.randrange(len(lines))
    if what == 2:
        del lines[row]
    elif what == 3:
        lines.insert(chance.randrange(len(lines)), lines[row])
    else:
        cells = lines[row].split(b",")
        odd = [b"", b"-1", b"nan", b"inf", b"1e300", b"9" * 30, b"abc", b'"', b"0"]
        cells[chance.randrange(len(cells))] = chance.choice(odd)
        lines[row] = b",".join(cells)
    return b"\n".join(lines)


def write_npz_session(folder: Path) -> Path:
    write_npz(read_recording(write_declared(folder)), folder / "session.npz")
    return folder / "session.npz"


FUZZED = {
    "tardis": (write_tardis, "x_*.csv"),
    "tardis, zipped": (lambda folder: write_tardis(folder, zipped=True), "x_*.csv.gz"),
    "declared": (write_declared, "*.[ct]*"),
    "hftbacktest": (write_npz_session, "*.npz"),
    "lobster": (write_csv, "GOOG*.csv"),
    "stream": (lambda folder: write_stream(folder, name="btcusdt_20231114.jsonl"), "*.jsonl"),
    "stream, zipped": (write_stream, "btcusdt*.gz"),
}


@pytest.mark.parametrize("format", FUZZED)
def test_mutated_files_are_read_or_refused(tmp_path, format):
    writer, pattern = FUZZED[format]
    chance = random.Random(5)
    refused: list[str] = []
    for number in range(20):
        path = writer(tmp_path)
        broken = chance.choice(sorted(tmp_path.glob(pattern)))
        broken.write_bytes(mutated(broken.read_bytes(), chance))
        try:
            recording = read_recording(path, repair=number % 2 == 1)
        except FlowhftError as failure:
            refused.append(str(failure))
            continue
        events = recording.events
        assert np.all(np.diff(events["local_time_ns"]) >= 0)
        assert np.all(events["quantity"] >= 0)
        assert np.all(np.isin(events["side"], (BUY, SELL)))
    assert len(refused) > 5
    assert all(str(tmp_path) in message for message in refused)


@pytest.mark.parametrize(("form", "name"), [("npz", "x.npz"), ("parquet", "x.ticks.parquet")])
def test_a_conversion_that_does_not_fit_leaves_nothing_under_its_name(tmp_path, monkeypatch, form, name):
    path, out = write(tmp_path, session()), tmp_path / "out"
    command = ("data", "convert", path, "--to", form, "--out", out / name, "--quiet")

    def full(file, *rest, **more):
        file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    def sink(*rest, **more):  # so polars tells it
        raise pl.exceptions.ComputeError("io error: No space left on device (os error 28)")

    with monkeypatch.context() as patch:
        patch.setattr(np.lib.format, "write_array", full)
        patch.setattr(pl.LazyFrame, "sink_parquet", sink)
        said = flowhft(*command)
    assert said.code == 3, said.err
    assert f"`{out / name}` must fit on the disk" in said.err
    assert list(out.iterdir()) == []
    assert flowhft(*command).code == 0  # now there is room
    assert [result.name for result in out.iterdir()] == [name]
