"""The readers on bad files: a fault is named with its file and row, mended on request; nothing crashes."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recording_files import (
    EPOCH_MS,
    NAME,
    PARQUET,
    SCALES,
    TAPE,
    kinds,
    messages,
    parquet_files,
    parquet_recordings,
    put,
    session,
    stream_lines,
    swap,
    usable_or_refused,
    write,
    write_csv,
    write_lobster,
    write_stream,
)

from flowhft.errors import RecordingError
from flowhft.recordings import read_recording, sample_recording
from flowhft.recordings.ticks import DEPTH, SNAPSHOT, TOP, TRADE

# Each fault: its file, what is done to it, the row the message must name, what it must say, and what repair
# says (None: it cannot be repaired).
FAULTS = {
    "null": (
        "trades", lambda t: put(t, 2, price=None), 2,
        "`price` must not be null; received None. Remove", "dropped 1 rows",
    ),
    "negative size": (
        "trades", lambda t: put(t, 3, qty=-3), 3,
        "`qty` must be positive .* received -3", "dropped 1 rows",
    ),
    "negative level": (
        "depth", lambda t: put(t, 4, qty=-1), 4,
        "`qty` must be 0 .* received -1", "left out what follows row 4, up to a snapshot",
    ),
    "negative price": (
        "depth", lambda t: put(t, 3, price=-999), 3,
        "`price` must be positive", "left out what follows row 3, up to a snapshot",
    ),
    "side": (
        "depth", lambda t: put(t, 6, side=0), 6,
        r"`side` must be \+1 or -1; received 0", "left out what follows row 6, up to a snapshot",
    ),
    "aggressor": (
        "trades", lambda t: put(t, 0, aggressor=2), 0,
        "`aggressor` must be .* received 2", "dropped 1 rows",
    ),
    "local time back": (
        "bbo", lambda t: put(t, 3, local_ns=t["local_ns"][1]), 3,
        "`local_ns` must not go back; received 1700000000123000000 after 1700000000202000000. The clock was",
        "held `local_ns` where the clock was set back: 1 times (the first at row 3)",
    ),
    "rows exchanged": (
        "bbo", lambda t: t[[0, 1, 3, 2, 4]], 3,
        "`local_ns` must not go back; received 1700000000202000000 after 1700000000263000000. Sort the file",
        "sorted by `local_ns`: 1 rows",
    ),
    "exchange time back": (
        "trades", lambda t: put(t, 4, txn_ms=EPOCH_MS + 200), 4,
        "`txn_ms` must not go back; received 1700000000200 after 1700000000250", "sorted by `txn_ms`: 1 rows",
    ),
    "seconds for ms": (
        "trades", lambda t: put(t, 1, exch_ms=1_700_000_000), 1,
        "`exch_ms` must be 0 .unknown. or milliseconds", "replaced what cannot be in 1 rows",
    ),
    "microseconds for ns": (
        "bbo", lambda t: put(t, 1, local_ns=EPOCH_MS * 1_000), 1,
        "`local_ns` must be nanoseconds since 1970", "dropped 1 rows",
    ),
    "clock hours off": (
        "bbo", lambda t: put(t, 2, txn_ms=EPOCH_MS + 7_200_199), 2,
        "`txn_ms` must be within an hour of `local_ns`; received 1700007200199",
        "replaced what cannot be in 1 rows",
    ),
    "lost message": (
        "depth", lambda t: t.filter(pl.col("final_id") != 110), 3,
        "`prev_id` must be the `final_id` of the message before: messages are lost; received 110",
        "ended before row 3",
    ),
    "late message": (
        "depth", lambda t: t[[0, 1, 2, 3, 4, 1, 5, 6]].with_columns(local_ns=pl.col("local_ns").sort()), 5,
        "`final_id` must grow .* received 105 after 110", "dropped 1 rows",
    ),
    "snapshot too old": (
        "depth", lambda t: t.filter(pl.col("final_id") > 105), 0,
        "`prev_id` must reach back to the snapshot's `last_update_id`, 100; received 105", None,
    ),
    "crossed by an update": (
        "depth", lambda t: put(t, 5, price=1005, qty=3), 5,
        "`price` must not cross the book", "ended before row 5",
    ),
    "crossed best prices": (
        "bbo", lambda t: put(t, 2, bid_px=1002), 2,
        "`bid_px` must stand below `ask_px`", "dropped 1 rows",
    ),
    "crossed snapshot": (
        "snapshot", lambda t: put(t, 1, price=1001), 1,
        "`price` must not cross the book", None,
    ),
    "two snapshots": (
        "snapshot", lambda t: put(t, 4, last_update_id=104), 4,
        "`last_update_id` must be one for the whole book", None,
    ),
    "level twice": (
        "snapshot", lambda t: put(t, 2, price=998), 2,
        "`price` must be listed once a side", "dropped 1 rows",
    ),
    "trade twice": (
        "trades", lambda t: put(t, 3, trade_id=3), 3,
        "`trade_id` must be unique; received 3", "dropped 1 rows",
    ),
    "lost trades": (
        "trades", lambda t: t.filter(pl.col("trade_id") != 3), 2,
        "`trade_id` must grow by 1: trades are lost; received 4 after 2", "kept 1 rows that break a rule",
    ),
    "trade ids out of order": (
        "trades", lambda t: put(put(t, 2, trade_id=4), 3, trade_id=3), 3,
        "`trade_id` must not go back; received 3 after 4", "sorted by `trade_id`: 1 rows",
    ),
    "update ids out of order": (
        "bbo", lambda t: put(t, 3, update_id=105), 3,
        "`update_id` must not go back", "dropped 1 rows",
    ),
    "missing column": (
        "depth", lambda t: t.drop("prev_id"), None,
        "must have the column `prev_id`; received local_ns", None,
    ),
    "text column": (
        "depth", lambda t: t.cast({"price": pl.String}), None,
        "`price` must hold whole numbers; received String", None,
    ),
    "NaN": (
        "trades", lambda t: put(t.cast({"qty": pl.Float64}), 2, qty=float("nan")), 2,
        "`qty` must hold whole numbers; received Float64 nan", None,
    ),
    "too large": (
        "bbo", lambda t: t.with_columns(bid_qty=pl.lit(2**64 - 1, pl.UInt64)), None,
        "must hold numbers below 2.63", None,
    ),
    "empty": ("trades", lambda t: t.clear(), None, "must hold rows; received 0", None),
    "prices in other units": (
        "trades", lambda t: t.with_columns(pl.col("price") * 10), None,
        "`price` must be in the unit of `usdm_btcusdt_20231114_snapshot.parquet`; received a median of 10,",
        None,
    ),
    "best prices in other units": (
        "bbo", lambda t: t.with_columns(pl.col("bid_px") // 10, pl.col("ask_px") // 10), None,
        "`bid_px` must be in the unit", None,
    ),
    "depth in other units": (
        "depth", lambda t: t.with_columns(pl.col("price") * 100), None,
        "`price` must be in the unit", None,
    ),
    "another session's depth": (
        "depth", lambda t: t.head(1), None, "`final_id` must reach the snapshot's `last_update_id` 100", None,
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named_with_its_file_and_row(tmp_path, fault):
    kind, spoil, row, says, repaired = FAULTS[fault]
    tables = session()
    tables[kind] = spoil(tables[kind])
    prefix = write(tmp_path, tables)
    path = tmp_path / f"{NAME}_{kind}.parquet"
    with pytest.raises(RecordingError, match=says) as caught:
        read_recording(prefix)
    assert (caught.value.path, caught.value.row) == (path, row)
    assert str(caught.value).startswith(f"`{path}`: " if row is None else f"row {row} of `{path}`: ")
    if repaired is None:
        with pytest.raises(RecordingError, match=says):
            read_recording(prefix, repair=True)
        return
    mended = read_recording(prefix, repair=True)
    warnings = [finding.message for finding in mended.findings if finding.severity == "warning"]
    assert repaired in warnings[0]
    assert f"`{path.name}`" in warnings[0]
    assert np.all(np.diff(mended.events["local_time_ns"]) >= 0)


def test_repair_of_a_gap_ends_everything_there(tmp_path):
    tables = session()
    tables["depth"] = tables["depth"].filter(pl.col("final_id") != 110)
    recording = read_recording(write(tmp_path, tables), repair=True)
    assert recording.events["local_time_ns"].max() // 1_000_000 - EPOCH_MS - 3 == 100
    assert kinds(recording) == {SNAPSHOT: 6, DEPTH: 2, TRADE: 0, TOP: 2}


def test_repair_of_a_good_session_changes_nothing(tmp_path):
    prefix = write(tmp_path, session())
    np.testing.assert_array_equal(read_recording(prefix).events, read_recording(prefix, repair=True).events)


def test_spot_links_its_messages_by_the_first_number(tmp_path):
    tables = session()
    tables["depth"] = tables["depth"].with_columns(prev_id=0, txn_ms=0)
    tables["trades"] = tables["trades"].with_columns(txn_ms=0)
    tables["bbo"] = tables["bbo"].with_columns(txn_ms=0, exch_ms=0)
    prefix = write(tmp_path, tables, "spot_btcusdt_20231114")
    assert kinds(read_recording(prefix)) == {SNAPSHOT: 6, DEPTH: 6, TRADE: 6, TOP: 10}
    tables["depth"] = tables["depth"].filter(pl.col("final_id") != 120)
    write(tmp_path, tables, "spot_btcusdt_20231114")
    with pytest.raises(
        RecordingError, match=r"row 5 .*`first_id` must be the `final_id` before plus 1"
    ) as caught:
        read_recording(prefix)
    assert caught.value.row == 5


@pytest.mark.parametrize(("known", "fits"), [(105, True), (104, False)])
def test_spot_messages_must_reach_back_to_the_snapshot(tmp_path, known, fits):
    """The first message kept may begin right after the snapshot's number, 105 -> 106, and no later."""
    tables = session()
    tables["depth"] = tables["depth"].filter(pl.col("final_id") > 105).with_columns(prev_id=0)
    tables["snapshot"] = tables["snapshot"].with_columns(last_update_id=known)
    prefix = write(tmp_path, tables, "spot_btcusdt_20231114")
    if fits:
        assert kinds(read_recording(prefix))[DEPTH] == 4
        return
    with pytest.raises(RecordingError, match=r"`first_id` must reach back .*, 104; received 106") as caught:
        read_recording(prefix, repair=True)
    assert caught.value.row == 0


@pytest.mark.parametrize(
    ("metadata", "says"),
    [
        ({}, "`price_scale` in the schema metadata must be a power of ten .* received None"),
        ({"price_scale": "10"}, "`qty_scale` in the schema metadata must be a power of ten .* received None"),
        ({"price_scale": "25", "qty_scale": "1000"}, "received '25'"),
        ({"price_scale": "-10", "qty_scale": "1000"}, "received '-10'"),
        (
            {**SCALES, "depth": {"price_scale": "100", "qty_scale": "1000"}},
            r"must be those of .* \(10, 1000\)",
        ),
    ],
)
def test_scales_must_be_there_and_agree(tmp_path, metadata, says):
    if "depth" in metadata:
        metadata = {kind: metadata.get(kind, SCALES) for kind in ("snapshot", "depth", "trades", "bbo")}
    with pytest.raises(RecordingError, match=says):
        read_recording(write(tmp_path, session(), metadata=metadata))


@pytest.mark.parametrize("name", ["btcusdt", "dydx_btcusdt_20231114", "usdm_btcxyz_20231114"])
def test_a_prefix_must_say_what_was_traded(tmp_path, name):
    with pytest.raises(RecordingError, match=r"must be MARKET_SYMBOL_DATE|does not tell the currency"):
        read_recording(write(tmp_path, session(), name))


def test_a_missing_file_is_named(tmp_path):
    prefix = write(tmp_path, session())
    (tmp_path / f"{NAME}_trades.parquet").unlink()
    with pytest.raises(RecordingError, match=r"_trades\.parquet`: must exist; it does not"):
        read_recording(prefix)


@pytest.mark.parametrize("name", ["nothing_here", "no/such/folder", "notes.txt", "."])
def test_a_path_that_holds_no_session_is_told_what_does(tmp_path, name):
    (tmp_path / "notes.txt").write_text("not a recording")
    with pytest.raises(RecordingError, match=r"Known sessions are binance: MARKET_"):
        read_recording(tmp_path / name)


LOBSTER_FAULTS = {
    "time back": (
        swap(3, "34201.9", "34100.9"),
        "message",
        3,
        "`time_ns` must not go back; received",
        "sorted by `time_ns`",
    ),
    "size": (
        swap(1, ",20,", ",-20,"),
        "message",
        1,
        "`size` must be positive .* received -20",
        "dropped 1 rows",
    ),
    "type": (
        swap(2, ",5,0,", ",8,0,"),
        "message",
        2,
        "`type` must be one of LOBSTER's types 1 to 7; received 8",
        "dropped",
    ),
    "direction": (
        swap(2, ",-1|", ",0|"),
        "message",
        2,
        r"`side` must be \+1 or -1; received 0",
        "dropped 1 rows",
    ),
    "crossed": (
        swap(4, "5854000", "5849000"),
        "book",
        4,
        "`bid_px_1` must stand below `ask_px_1`",
        "dropped 1 rows",
    ),
    "order of levels": (
        swap(3, "5855000", "5853900"),
        "book",
        3,
        "`ask_px_2` must stand further .* `ask_px_1`",
        "dropped",
    ),
    "off the grid": (
        swap(3, "5855000", "5855001"),
        "book",
        3,
        "`ask_px_2` must be -1 .* multiple of 100",
        "dropped",
    ),
    "level without size": (
        swap(1, ",5,", ",0,"),
        "book",
        1,
        "`ask_sz_1` must be positive .* received 0",
        "dropped",
    ),
}


@pytest.mark.parametrize("writer", [write_csv, write_lobster])
@pytest.mark.parametrize("fault", LOBSTER_FAULTS)
def test_a_lobster_fault_is_named_with_its_file_and_row(tmp_path, writer, fault):
    tape, file, row, says, repaired = LOBSTER_FAULTS[fault]
    prefix = writer(tmp_path, tape)
    with pytest.raises(RecordingError, match=says) as caught:
        read_recording(prefix)
    assert caught.value.row == row
    assert file in caught.value.path.name
    mended = read_recording(prefix, repair=True)
    assert repaired in messages(mended)
    assert np.all(np.diff(mended.events["local_time_ns"]) >= 0)


@pytest.mark.parametrize(
    ("tape", "row", "says"),
    [
        (swap(2, "34200.1", "9:30:00.1"), 2, "`time_ns` must be a number; received '9:30:00.1'"),
        (swap(2, "34200.1", "3.42001e4"), 2, "`time_ns` must be a number; received '3.42001e4'"),
        (swap(1, "20,5853000,-1", "20,abc,-1"), 1, "`price` must be a number; received 'abc'"),
        (swap(3, ",4,5855000", ",4,"), 3, "must not be null|must have four columns"),
        ("".join(TAPE.splitlines(keepends=True)[:3]) + "34201,1,3|5854000,5\n", 3, "`size` must not be null"),
    ],
)
def test_csv_that_is_no_number_is_named(tmp_path, tape, row, says):
    with pytest.raises(RecordingError, match=says) as caught:
        read_recording(write_csv(tmp_path, tape))
    assert caught.value.row == row


def test_lobster_files_of_different_length_are_refused(tmp_path):
    prefix = write_lobster(tmp_path)
    book = pl.read_parquet(tmp_path / "GOOG_book2.parquet")
    book.head(5).write_parquet(tmp_path / "GOOG_book2.parquet")
    with pytest.raises(
        RecordingError, match=r"a row for each of the 7 rows of `GOOG_messages.parquet`; received 5"
    ):
        read_recording(prefix)


def test_the_deepest_book_is_read_and_a_lone_file_refused(tmp_path):
    prefix = write_lobster(tmp_path)
    pl.read_parquet(tmp_path / "GOOG_book2.parquet").select(pl.col("^.*_1$")).write_parquet(
        tmp_path / "GOOG_book1.parquet"
    )
    assert read_recording(prefix).files[1].name == "GOOG_book2.parquet"
    for path in tmp_path.glob("GOOG_book*"):
        path.unlink()
    with pytest.raises(RecordingError, match=r"must have a `book` file beside `GOOG_messages.parquet`"):
        read_recording(prefix)


def test_lobster_message_prices_must_be_in_the_unit_of_the_book(tmp_path):
    prefix = write_lobster(tmp_path)
    path = tmp_path / "GOOG_messages.parquet"
    pl.read_parquet(path).with_columns(pl.col("price") // 100).write_parquet(path)
    with pytest.raises(RecordingError, match=r"`price` must be in the unit of `GOOG_book2.parquet`"):
        read_recording(prefix)


def test_a_copy_of_the_sample_with_a_swapped_message_names_the_row(tmp_path):
    """The checks find one wrong row among 400,859."""
    for path in sample_recording().parent.glob("*.parquet"):
        shutil.copy(path, tmp_path)
    path = tmp_path / f"{sample_recording().name}_depth.parquet"
    depth = pl.read_parquet(path)
    put(depth, 123_456, prev_id=1).write_parquet(path, metadata={"price_scale": "10", "qty_scale": "1000"})
    first_row = int((depth["final_id"] == depth["final_id"][123_456]).arg_true()[0])
    put(depth, first_row, prev_id=1).write_parquet(path, metadata={"price_scale": "10", "qty_scale": "1000"})
    with pytest.raises(
        RecordingError, match="`prev_id` must be the `final_id` of the message before"
    ) as caught:
        read_recording(tmp_path)
    assert caught.value.row == first_row


# fuzz: whatever the bytes, an error of ours or a recording


@pytest.fixture(scope="module")
def scratch(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> dict[str, Path]:
    """Return one good recording of each format of Parquet files: what to read."""
    folder = tmp_path_factory.mktemp("good")
    return parquet_recordings(folder)


@pytest.mark.parametrize("format", PARQUET)
def test_files_cut_short_are_refused(good, format):
    """Parquet ends with what says where everything is: cut anywhere, it cannot be read."""
    for path in parquet_files(good[format]):
        content = path.read_bytes()
        for left in (0, len(content) // 2, len(content) - 1):
            path.write_bytes(content[:left])
            with pytest.raises(RecordingError, match=path.name):
                read_recording(good[format])
        path.write_bytes(content)


FLIP = """
import random, sys
from pathlib import Path
from recording_files import PARQUET, parquet_files, parquet_recordings, usable_or_refused
from flowhft.errors import RecordingError
from flowhft.recordings.files import chunks_of, metadata_of

good, chance = parquet_recordings(Path(sys.argv[1])), random.Random(0)
files = [(good[format], path) for format in PARQUET for path in parquet_files(good[format])]
known = {path: (path.read_bytes(), list(chunks_of(path)), metadata_of(path)) for _, path in files}
for number in range(120):
    recording, path = files[number % len(files)]
    content, kept, said = known[path]
    flipped = bytearray(content)
    for _ in range(chance.randint(1, 8)):
        flipped[chance.randrange(len(content))] = chance.randrange(256)
    path.write_bytes(flipped)
    try:
        changed = not all(a.equals(b) for a, b in zip(chunks_of(path), kept)) or metadata_of(path) != said
    except RecordingError:
        changed = number < 2 * len(files)  # what reads the file is what the readers read it with
    if changed:
        assert usable_or_refused(recording, chance.random() < 0.5)
    path.write_bytes(content)
"""


def test_flipped_bytes_never_raise_anything_else(tmp_path):
    """In a process of its own: a header may ask for so much memory that polars itself ends the process.

    That one end is beyond Python, hence allowed; a traceback is not.
    """
    child = subprocess.run(
        [sys.executable, "-c", FLIP, str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent,
        env=os.environ | {"RUST_BACKTRACE": "0"},  # a panic that is caught need not find its symbols
        timeout=300,
    )
    out_of_memory = child.returncode == -signal.SIGABRT and "memory allocation of" in child.stderr
    assert child.returncode == 0 or out_of_memory, child.stderr[-2000:]


NUMBERS = st.one_of(st.none(), st.integers(-2, 3), st.integers(-(2**63), 2**63 - 1), st.integers(990, 1010))


@settings(max_examples=60)
@given(st.sampled_from(PARQUET), st.data(), st.booleans())
def test_random_values_never_crash(good, format, data, repair):
    """Overwrite some cells, and shuffle or repeat some rows, of one file of an otherwise good recording."""
    path = data.draw(st.sampled_from(parquet_files(good[format])))
    content, table = path.read_bytes(), pl.read_parquet(path)
    metadata = pl.read_parquet_metadata(path)
    rows = data.draw(st.lists(st.integers(0, table.height - 1), min_size=1, max_size=10))
    table = table[rows]
    for _ in range(data.draw(st.integers(0, 4))):
        name = data.draw(st.sampled_from(table.columns))
        number = data.draw(NUMBERS)
        if table.schema[name] != pl.Int64:
            number = None if number is None else number % 100
        table = put(table, data.draw(st.integers(0, len(rows) - 1)), **{name: number})
    table.write_parquet(path, metadata={key: value for key, value in metadata.items() if "ARROW" not in key})
    try:
        assert usable_or_refused(good[format], repair)
    finally:
        path.write_bytes(content)


STREAM = st.one_of(
    NUMBERS, st.sampled_from(["", "0", "-1", "nan", "1e300", "100.15", True, [], {}, [["1", "1"]]])
)


@settings(max_examples=30)
@given(st.integers(0, 15), st.data(), st.booleans())
def test_a_stream_with_a_random_message_never_crashes(scratch, row, data, repair):
    """Change or drop a key of a message, drop or repeat lines, cut one."""
    lines = stream_lines(session())
    stamp, _, text = lines[row].partition(" ")
    message = json.loads(text)
    fields = message.get("data", message)
    key = data.draw(st.sampled_from(sorted(fields)))
    fields[key] = data.draw(STREAM)
    if data.draw(st.booleans()):
        del fields[key]
    lines[row] = f"{stamp} {json.dumps(message)}"[: data.draw(st.integers(10, 1_000))]
    for _ in range(data.draw(st.integers(0, 2))):
        lines.insert(data.draw(st.integers(0, 15)), lines.pop(data.draw(st.integers(0, 15))))
    assert usable_or_refused(write_stream(scratch, lines, "btcusdt_20231114.jsonl"), repair)


@settings(max_examples=20)
@given(st.binary(max_size=300), st.booleans())
def test_csv_of_random_bytes_never_crashes(scratch, content, repair):
    prefix = write_csv(scratch)
    for name in ("message", "orderbook"):
        whole = write_csv(scratch).with_name(f"{prefix.name}_{name}_2.csv")
        whole.write_bytes(content + whole.read_bytes())
        assert usable_or_refused(prefix, repair)


@settings(max_examples=30)
@given(st.integers(0, 6), st.integers(0, 14), NUMBERS, st.booleans())
def test_lobster_with_a_random_value_never_crashes(scratch, row, column, value, repair):
    lines = TAPE.replace("|", ",|,").splitlines()
    cells = lines[row].split(",")
    if cells[column] != "|":
        cells[column] = "" if value is None else str(value)
    lines[row] = ",".join(cells)
    assert usable_or_refused(write_csv(scratch, "\n".join(lines).replace(",|,", "|") + "\n"), repair)
