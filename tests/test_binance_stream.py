"""Binance's messages as they came over the wire: the same recording as from tables, gaps, faults, days."""

import json
import re

import numpy as np
import polars as pl
import pytest
from recording_files import SCALES, kinds, messages, session, stream_lines, write, write_stream

from flowhft.errors import RecordingError
from flowhft.recordings import read_recording, sample_recording
from flowhft.recordings.binance import lines as binance_lines
from flowhft.recordings.binance.chain import Stretches
from flowhft.recordings.formats.read import open_recording
from flowhft.recordings.source import assembled
from flowhft.recordings.ticks import DEPTH, SNAPSHOT, TOP, TRADE


def edited(line: str, **values) -> str:
    stamp, _, text = line.partition(" ")
    message = json.loads(text)
    message.get("data", message).update(values)
    return f"{stamp} {json.dumps(message)}"


def at(lines: list[str], what: str, number: int = 0) -> int:
    """Return the line of a kind of message."""
    return [row for row, line in enumerate(lines) if f'"{what}"' in line][number]


def resumed(lost: bool = True) -> list[str]:
    """A stream that loses the message 111-120 and asks for the book again."""
    lines = stream_lines(session())
    gone = at(lines, "depthUpdate", 3)
    assert '"U": 111' in lines[gone]
    book = json.loads(lines[at(lines, "lastUpdateId")].partition(" ")[2]) | {"lastUpdateId": 120}
    later = int(lines[-1].partition(" ")[0]) + 1_000_000
    return [
        *(line for row, line in enumerate(lines) if row != gone or not lost),
        f"{later} {json.dumps(book)}",
    ]


@pytest.mark.parametrize("market", ["spot", "usdm", "coinm"])
@pytest.mark.parametrize("name", ["btcusdt_20231114.gz", "btcusdt_20231114.jsonl"])
def test_a_stream_is_the_recording_of_its_tables(tmp_path, market, name):
    tables = session()
    tables["trades"] = tables["trades"].with_columns(
        kind=pl.Series([0, 0, 0, 0, 0 if market == "spot" else 1, 0])
    )
    if market == "spot":
        tables["depth"] = tables["depth"].with_columns(txn_ms=0, prev_id=0)
        tables["bbo"] = tables["bbo"].with_columns(txn_ms=0, exch_ms=0)
    wanted = read_recording(write(tmp_path, tables, f"{market}_btcusdt_20231114"))
    read = read_recording(write_stream(tmp_path, stream_lines(tables, market), name))
    np.testing.assert_array_equal(read.events, wanted.events)
    assert (read.name, read.currency, read.tick_size, read.lot_size) == (
        wanted.name, "USDT", wanted.tick_size, wanted.lot_size,
    )  # fmt: skip
    assert read.clock_offset_ns == wanted.clock_offset_ns
    said = {line for line in messages(wanted).splitlines() if "guessed" not in line}
    assert said < set(messages(read).splitlines())


@pytest.mark.parametrize("rows", [1, 3])
def test_a_stream_in_chunks_is_the_same_and_leaves_nothing_behind(tmp_path, rows, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    path = write_stream(tmp_path)
    whole = read_recording(path)
    source = open_recording(path, rows=rows)
    assert list(tmp_path.glob("flowhft-*/*.parquet"))
    pieces = assembled(source)
    np.testing.assert_array_equal(pieces.events, whole.events)
    assert messages(pieces) == messages(whole)
    del source
    assert not list(tmp_path.glob("flowhft-*"))


def test_part_of_the_sample_goes_through_json_and_back(tmp_path):
    tables = {
        kind: pl.read_parquet(f"{sample_recording()}_{kind}.parquet")
        for kind in ("snapshot", "depth", "trades", "bbo")
    }
    end = int(tables["depth"]["local_ns"][0]) + 3 * 10**9
    tables = {kind: table.filter(pl.col("local_ns") < end) for kind, table in tables.items()}
    wanted = read_recording(write(tmp_path, tables, "usdm_btcusdt_20240718", metadata=SCALES))
    read = read_recording(write_stream(tmp_path, stream_lines(tables), "btcusdt_20240718.jsonl"))
    assert len(read.events) > 3_000
    np.testing.assert_array_equal(read.events, wanted.events)
    assert (read.tick_size, read.lot_size, read.clock_offset_ns) == (0.1, 0.001, wanted.clock_offset_ns)


def test_lost_messages_that_a_snapshot_heals_make_two_sessions(tmp_path):
    recording = read_recording(write_stream(tmp_path, resumed()))
    assert len(recording.sessions) == 2
    assert kinds(recording)[SNAPSHOT] == 12
    depth = recording.events[recording.events["kind"] == DEPTH]
    assert depth["message"].tolist() == [105, 105, 110, 110, 130]
    assert (
        "messages are lost (`prev_id` must be the `final_id` of the message before, 110; received 120)"
        in messages(recording)
    )
    assert "part 2 of 2: " in messages(recording)
    trades = recording.events[recording.events["kind"] == TRADE]["local_time_ns"]
    (_, first_end), (second_begin, _) = recording.sessions
    assert not np.any((trades > first_end) & (trades < second_begin))


def test_an_order_book_without_levels_is_an_error(tmp_path):
    lines = stream_lines(session())
    row = at(lines, "lastUpdateId")
    lines[row] = edited(lines[row], bids=[], asks=[])
    with pytest.raises(RecordingError, match="an order book must have levels") as caught:
        read_recording(write_stream(tmp_path, lines))
    assert caught.value.row == row


def test_lost_messages_that_nothing_heals_are_an_error(tmp_path):
    lines = resumed()[:-1]
    with pytest.raises(
        RecordingError, match=r"`prev_id` must be .* messages are lost, and no snapshot"
    ) as caught:
        read_recording(write_stream(tmp_path, lines))
    assert caught.value.row == at(lines, "depthUpdate", 3)
    mended = read_recording(tmp_path, repair=True)
    assert "1 depth messages from row" in messages(mended)
    assert mended.events["message"][mended.events["kind"] == DEPTH].max() == 110


def test_a_snapshot_of_a_known_book_is_left_out(tmp_path):
    recording = read_recording(write_stream(tmp_path, resumed(lost=False)))
    assert "1 further snapshots are left out" in messages(recording)
    np.testing.assert_array_equal(recording.events, read_recording(write_stream(tmp_path)).events)


def test_a_message_without_levels_keeps_the_chain(tmp_path):
    lines = stream_lines(session())
    row = at(lines, "depthUpdate", 2)
    lines[row] = edited(lines[row], b=[], a=[])
    read = read_recording(write_stream(tmp_path, lines))
    assert read.events["message"][read.events["kind"] == DEPTH].tolist() == [105, 105, 120, 130]
    assert len(read.sessions) == 1


@pytest.mark.parametrize(
    ("market", "first", "known", "fits"),
    [  # the first message that was received, and the snapshot's number
        ("spot", {"U": 101, "u": 105}, 100, True),  # U = known + 1: nothing between them
        ("spot", {"U": 102, "u": 105}, 100, False),
        ("spot", {"U": 96, "u": 105}, 105, False),  # u <= known: the snapshot holds it
        ("usdm", {"U": 98, "u": 105, "pu": 95}, 100, True),  # U <= known <= u
        ("usdm", {"U": 98, "u": 105, "pu": 95}, 105, True),  # known = u: applied once more
        ("usdm", {"U": 103, "u": 105, "pu": 100}, 100, True),  # known = pu: nothing between them either
        ("usdm", {"U": 103, "u": 105, "pu": 101}, 100, False),
        ("coinm", {"U": 98, "u": 105, "pu": 95}, 106, False),
    ],
)  # fmt: skip
def test_which_snapshot_a_stretch_begins_with(market, first, known, fits):
    """The venue's rules at their borders; docs/recordings.md says where they come from."""
    stretches = Stretches()
    row = {"row": 7, "first_id": first["U"], "final_id": first["u"], "prev_id": first.get("pu", 0)}
    stretches.follow(market, pl.DataFrame([row]), pl.Series([0]))
    stretches.snapshots = [(3, known)]
    assert stretches.opening(0, market) == ((3, known) if fits else None)


def test_days_are_one_stream(tmp_path):
    lines = stream_lines(session())
    cut = at(lines, "depthUpdate", 3)
    write_stream(tmp_path, lines[:cut])
    second = write_stream(tmp_path, lines[cut:], "btcusdt_20231115.gz")
    both = read_recording(tmp_path)
    np.testing.assert_array_equal(
        both.events,
        read_recording(write_stream(tmp_path, lines, "btcusdt_1.jsonl"), format="binance-stream").events,
    )
    assert (len(both.files), len(both.sessions)) == (2, 1)
    with pytest.raises(RecordingError, match="must hold a snapshot of the order book"):
        read_recording(second)
    foreign = edited(lines[at(lines, "lastUpdateId")], lastUpdateId=50)
    with pytest.raises(
        RecordingError, match=r"`prev_id` must reach back to the snapshot's .* 50; received 89"
    ):
        read_recording(
            write_stream(
                tmp_path,
                [foreign, *(one for one in lines if "lastUpdateId" not in one)],
                "btcusdt_20231116.gz",
            )
        )
    (tmp_path / "btcusdt_20231116.gz").unlink()
    broken = at(lines[cut:], "trade", 0)
    later = lines[cut:]
    later[broken] = edited(later[broken], q="-1")
    write_stream(tmp_path, later, "btcusdt_20231115.gz")
    with pytest.raises(RecordingError, match="`qty` must be positive") as caught:
        read_recording([tmp_path / "btcusdt_20231114.gz", second])
    assert (caught.value.path, caught.value.row) == (second, broken)


def swapped(what: str, number: int = 0, **values):
    return lambda lines: lines.__setitem__(
        at(lines, what, number), edited(lines[at(lines, what, number)], **values)
    )


@pytest.mark.parametrize(
    ("spoil", "row", "says"),
    [
        (lambda lines: lines.__setitem__(4, lines[4][:40]), 4, "must be the local time in ns, a blank"),
        (lambda lines: lines.__setitem__(4, lines[4].partition(" ")[2]), 4, "must be the local time in ns"),
        (swapped("depthUpdate", 3, U=None), None, "must be the local time .*`U` must be a whole number"),
        (swapped("depthUpdate", 3, U=111.5), None, 'numbers must be whole, .* received "U": 111.'),
        (swapped("depthUpdate", 3, T=None), None, 'numbers must be whole, .* received "T": null'),
        (swapped("depthUpdate", 3, a=[["1001.5", 1]]), None, 'quoted; received ", 1]'),
        (swapped("depthUpdate", 3, a=[[1001.5, "1"]]), None, "quoted; received .1"),
        (swapped("trade", 2, q=0.002), None, 'quoted; received "q": 0'),
        (swapped("bookTicker", 2, B=0.002), None, 'quoted; received "B": 0'),
        (lambda lines: lines.__setitem__(4, lines[4][:-1] + ',"z":[{}'), 4, "must be the local time"),
        (lambda lines: lines.__setitem__(4, f"{lines[4]},{lines[5].partition(' ')[2]}"), 4, "Extra data"),
        (swapped("depthUpdate", 3, a=None), None, "`b` and `a` must be lists"),
        (swapped("depthUpdate", 3, b=[["abc", "1"]]), None, "must be the local time"),
        (swapped("depthUpdate", 3, a=[["1001.5"]]), None, "must be the local time"),
        (swapped("trade", 2, p="nan"), None, "must be the local time .*decimal numbers"),
        (swapped("trade", 2, m="yes"), None, "must be the local time"),
        (swapped("trade", 2, s="ETHUSDT"), None, "`s` must be BTCUSDT, as in the lines before"),
        (swapped("trade", 5, t=9), None, "`trade_id` must grow by 1"),
        (swapped("bookTicker", 2, b="100.2", a="100.1"), None, "`bid_px` must stand below `ask_px`"),
    ],
)  # fmt: skip
def test_a_fault_names_its_line(tmp_path, spoil, row, says):
    good, lines = stream_lines(session()), stream_lines(session())
    spoil(lines)
    changed = [number for number, (one, other) in enumerate(zip(good, lines, strict=True)) if one != other]
    with pytest.raises(RecordingError, match=says) as caught:
        read_recording(write_stream(tmp_path, lines))
    assert caught.value.row == (changed[0] if row is None else row)
    assert "dropped" in messages(mended := read_recording(tmp_path, repair=True)) or "kept" in messages(
        mended
    )


def test_many_wrong_lines_are_dropped_without_trying_each(tmp_path, monkeypatch):
    """Two symbols in one file, and a lot of noise: halves alone would read every wrong line a dozen times."""
    lines = stream_lines(session())
    foreign = [edited(line, s="ETHUSDT") for line in lines if "lastUpdateId" not in line]
    noise = ["", "abc", "1700000000003000000 {", '17 {"s": "BTCUSDT", "e": "trade"}x'] * 100
    calls = []
    read = binance_lines.read_messages
    monkeypatch.setattr(binance_lines, "read_messages", lambda *given: calls.append(1) or read(*given))
    path = write_stream(tmp_path, [*lines, *foreign * 20, *noise, *foreign])
    with pytest.raises(RecordingError, match="`s` must be BTCUSDT") as caught:
        read_recording(path)
    assert caught.value.row == len(lines)
    calls.clear()
    mended = read_recording(path, repair=True)
    assert len(calls) < 20
    assert f"dropped {21 * len(foreign) + 300:,} lines" in messages(mended)
    np.testing.assert_array_equal(mended.events, read_recording(write_stream(tmp_path, lines)).events)


def test_a_compressed_file_that_is_cut_short_gives_what_it_holds(tmp_path):
    whole = read_recording(write_stream(tmp_path))
    path = tmp_path / "btcusdt_20231114.gz"
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(RecordingError, match="a compressed file that ends early"):
        read_recording(path)
    mended = read_recording(path, repair=True)
    assert "the compressed file is cut short" in messages(mended)
    assert 0.7 * len(whole.events) < len(mended.events) <= len(whole.events)


def test_other_messages_and_aggregated_trades(tmp_path):
    lines = stream_lines(session())
    extra = [
        '{"result": null, "id": 1}',
        '{"stream": "btcusdt@markPrice", "data": {"e": "markPriceUpdate", "s": "BTCUSDT"}}',
        '{"id": "51", "status": 200, "result": {"lastUpdateId": 1, "bids": [], "asks": []}}',
        '{"stream": "btcusdt@depth5", "data": {"lastUpdateId": 7, "bids": [], "asks": []}}',
    ]
    stamp = lines[0].partition(" ")[0]
    aggregated = [
        edited(line, e="aggTrade", a=json.loads(line.partition(" ")[2])["data"]["t"])
        if '"trade"' in line
        else line
        for line in lines
    ]
    wanted = read_recording(write_stream(tmp_path, lines)).events
    for made in (lines, aggregated):
        read = read_recording(write_stream(tmp_path, [*(f"{stamp} {one}" for one in extra), *made]))
        np.testing.assert_array_equal(read.events, wanted)
    assert "1 messages of other kinds (markPriceUpdate)" in messages(read)
    others = [row for row in messages(read).splitlines() if "of other kinds" in row]
    assert [row.partition("(")[2].partition(")")[0] for row in others] == [
        "answer to a request", "markPriceUpdate", "partial depth",
    ]  # fmt: skip
    both = read_recording(
        write_stream(tmp_path, sorted([*lines, *(a for a in aggregated if "aggTrade" in a)]))
    )
    assert "aggregated trades (aggTrade) are left out" in messages(both)
    assert kinds(both)[TRADE] == 6
    few = [line for line in lines if '"trade"' not in line and '"bookTicker"' not in line]
    bare = read_recording(write_stream(tmp_path, few))
    assert kinds(bare) == {SNAPSHOT: 6, DEPTH: 6, TRADE: 0, TOP: 0}
    assert "warning: no trades" in messages(bare)


def test_a_third_entry_of_a_level_is_left_out(tmp_path):
    lines = stream_lines(session())
    wanted = read_recording(write_stream(tmp_path, lines)).events
    old = [re.sub(r'(\["[\d.]+", "[\d.]+")\]', r"\1, []]", line) for line in lines]
    assert old != lines
    np.testing.assert_array_equal(read_recording(write_stream(tmp_path, old)).events, wanted)


def test_a_description_beside_the_stream_says_the_tick(tmp_path):
    path = write_stream(tmp_path)
    about = "venue='v'\nsymbol='S'\ncurrency='USD'\ntick_size={}\nlot_size=0.001\n"
    (tmp_path / "btcusdt_20231114.toml").write_text(about.format(0.05))
    read = read_recording(tmp_path)  # the folder: the description is no recording of its own
    assert (read.name, read.tick_size) == ("v S", 0.05)
    assert read.events["price"][0] == 2 * 999
    (tmp_path / "btcusdt_20231114.toml").write_text(about.format(0.3))
    with pytest.raises(RecordingError, match=r"`price` must be a multiple of 0.3, the tick"):
        read_recording(path)


def test_a_stream_without_depth_is_refused(tmp_path):
    lines = [line for line in stream_lines(session()) if "depthUpdate" not in line]
    with pytest.raises(RecordingError, match="must hold depth messages"):
        read_recording(write_stream(tmp_path, lines))
