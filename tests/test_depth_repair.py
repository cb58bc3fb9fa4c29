"""Depth of feeds: what is a message, what is a snapshot, what a repair makes of a crossed book."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from made_market import MS, depth_rows, made_market, write_tardis_market, written
from recording_files import messages, write

from flowhft.errors import RecordingError
from flowhft.recordings import book_at, read_recording, rebuild
from flowhft.recordings.formats.npz import npz_events, write_npz
from flowhft.recordings.formats.read import open_recording
from flowhft.recordings.snapshots import SnapshotBorders
from flowhft.recordings.ticks import DEPTH, SNAPSHOT, TRADE


def depth_messages(recording) -> int:
    return len(np.unique(recording.events["message"][recording.events["kind"] == DEPTH]))


def spread(recording) -> float:
    return float(np.nanmin(rebuild(recording).market_spread))


def late_removals(every: int, lost: bool) -> tuple[dict[str, pl.DataFrame], pl.DataFrame, int]:
    """A market whose asks are removed a message late, or never, where a bid takes their place."""
    tables = made_market()
    rows = depth_rows(tables)
    new_bids = rows.filter((pl.col("side") == 1) & (pl.col("qty") > 0) & (pl.col("shown") == "false"))
    met = rows.filter((pl.col("side") == -1) & (pl.col("qty") == 0)).join(
        new_bids, on=["local_us", "price"], how="semi"
    )
    chosen = met.gather_every(every)
    later = pl.lit(0 if lost else 100_000)
    moved = chosen.with_columns(pl.col("local_us") + later, pl.col("exch_us") + later)
    kept = rows.join(chosen, on=["local_us", "side", "price"], how="anti")
    spoiled = kept if lost else pl.concat([moved, kept])
    return tables, spoiled.sort("local_us", maintain_order=True), chosen.height


@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.parametrize("rows", [50, 1_000_000])
def test_a_level_that_a_newer_one_contradicts_is_taken_as_gone(tmp_path, lost, rows):
    tables, spoiled, count = late_removals(40, lost)
    del tables["bbo"]
    assert 0 < count < 4
    path = write_tardis_market(tmp_path, tables, spoiled)
    with pytest.raises(
        RecordingError, match=r"`price` must not cross the book.*take the older of two levels"
    ):
        read_recording(path)
    source = open_recording(path, repair=True, rows=rows)
    events = np.concatenate([chunk.events for chunk in source.chunks])
    (tmp_path / "sound").mkdir()
    true = read_recording(written("tables", tmp_path / "sound", {k: v for k, v in tables.items()}))
    recording = type(true)(source.instrument, events)
    assert depth_messages(recording) == 300
    assert spread(recording) >= 1
    assert any(f"took {count} levels as gone" in one.message for one in source.findings)
    end = int(events["local_time_ns"][-1]) + 1
    for name in ("side", "price", "quantity"):
        np.testing.assert_array_equal(book_at(recording, end)[name], book_at(true, end)[name])


def test_where_so_many_levels_are_contradicted_it_is_the_format(tmp_path):
    tables, spoiled, count = late_removals(1, False)
    assert count > 10
    path = write_tardis_market(tmp_path, {k: v for k, v in tables.items() if k != "bbo"}, spoiled)
    with pytest.raises(RecordingError, match=r"messages break it .*: it is the format, not the rows"):
        read_recording(path, repair=True)


@pytest.mark.parametrize("spoil", ["far bid", "no quantity"])
@pytest.mark.parametrize("snapshot", [False, True])
def test_a_book_that_can_be_right_no_more_is_left_out_up_to_a_snapshot(tmp_path, spoil, snapshot):
    """A bid beyond all asks at step 100, or a row that cannot be used; a snapshot at step 200, or none."""
    tables = made_market()
    del tables["bbo"]
    rows = depth_rows(tables)
    start = rows["local_us"][0]
    at = start + 100 * 100_000
    last = rows["local_us"].to_list().index(at + 100_000) - 1
    hit = pl.int_range(pl.len()) == last
    far = pl.when(hit)
    spoiled = (
        rows.with_columns(far.then(1).otherwise("side").alias("side"), far.then(20_000).otherwise("price")
                          .alias("price"), far.then(7).otherwise("qty").alias("qty"))
        if spoil == "far bid"
        else rows.with_columns(far.then(-1).otherwise("qty").alias("qty"))
    )  # fmt: skip
    true = read_recording(write(tmp_path, made_market()))
    again = start + 200 * 100_000
    if snapshot:
        book = book_at(true, (again + 1) * 1000)
        shown = pl.DataFrame({
            "local_us": again, "exch_us": again - 3_000, "shown": "true",
            "side": book["side"].astype(np.int64), "price": book["price"], "qty": book["quantity"],
        })  # fmt: skip
        before, after = (
            spoiled.filter(pl.col("local_us") <= again),
            spoiled.filter(pl.col("local_us") > again),
        )
        spoiled = pl.concat([before, shown.select(before.columns).cast(before.schema), after])
    path = write_tardis_market(tmp_path, tables, spoiled)
    with pytest.raises(RecordingError):
        read_recording(path)
    recording = read_recording(path, repair=True)
    assert spread(recording) >= 1
    assert depth_messages(recording) == (199 if snapshot else 99)
    assert "the book is not known from local time" in messages(recording)
    assert len(recording.sessions) == (2 if snapshot else 1)
    hidden = recording.events["local_time_ns"]
    assert not np.any((hidden >= at * 1000) & (hidden < again * 1000))
    assert np.sum(recording.events["kind"] == TRADE) == (200 if snapshot else 99)
    if snapshot:
        ends = [book_at(one, int(hidden[-1]) + 1) for one in (recording, true)]
        np.testing.assert_array_equal(ends[0]["price"], ends[1]["price"])
        np.testing.assert_array_equal(ends[0]["quantity"], ends[1]["quantity"])


def test_a_locked_message_of_a_chain_does_not_end_the_session(tmp_path):
    """One new bid at the price of the best ask, among messages that lost nothing."""
    tables = made_market()
    local = tables["depth"]["local_ns"][0]
    book = book_at(read_recording(write(tmp_path, tables)), local + 1)
    ask = int(book["price"][book["side"] == -1].min())
    first = tables["depth"].head(1).with_columns(side=pl.lit(1), price=pl.lit(ask), qty=pl.lit(3))
    first = first.cast(tables["depth"].schema)
    at = tables["depth"]["final_id"] == tables["depth"]["final_id"][0]
    tables["depth"] = pl.concat([tables["depth"].filter(at), first, tables["depth"].filter(~at)])
    del tables["bbo"]
    (tmp_path / "locked").mkdir()
    path = write(tmp_path / "locked", tables)
    with pytest.raises(RecordingError, match="must not cross the book"):
        read_recording(path)
    recording = read_recording(path, repair=True)
    assert depth_messages(recording) == 300
    assert spread(recording) >= 1
    assert "took 1 levels as gone that newer ones of the other side contradict" in messages(recording)


@pytest.mark.parametrize("rows", [20, 1_000_000])
def test_what_arrives_together_is_one_message(tmp_path, rows):
    """The asks of each message carry a time 1 us after its bids."""
    tables = made_market()
    later = (pl.col("shown") == "false") & (pl.col("side") == -1)
    spoiled = depth_rows(tables).with_columns(pl.col("exch_us") + later.cast(pl.Int64))
    source = open_recording(write_tardis_market(tmp_path, tables, spoiled), rows=rows)
    events = np.concatenate([chunk.events for chunk in source.chunks])
    recording = read_recording(tmp_path)
    np.testing.assert_array_equal(recording.events, events)
    assert depth_messages(recording) == 300
    assert spread(recording) >= 1
    depth = events[events["kind"] == DEPTH]
    for message in np.unique(depth["message"]):
        assert len(np.unique(depth["exchange_time_ns"][depth["message"] == message])) == 1


def test_what_arrives_together_is_one_message_of_an_npz_file_too(tmp_path):
    recording = read_recording(write(tmp_path, made_market()))
    asks = (recording.events["kind"] == DEPTH) & (recording.events["side"] == -1)
    recording.events["exchange_time_ns"] += 1_000 * asks
    data = npz_events(recording)
    data["ival"] = 0
    np.savez_compressed(tmp_path / "others.npz", data=data)
    about = "venue='v'\nsymbol='S'\ncurrency='USD'\ntick_size=0.1\nlot_size=0.001\n"
    (tmp_path / "others.toml").write_text(about)
    again = read_recording(tmp_path / "others.npz")
    assert depth_messages(again) == 300
    assert spread(again) >= 1


ABOUT = "venue='v'\nsymbol='S'\ncurrency='USD'\ntick_size=0.1\nlot_size=0.001\n"
SPOILED = {  # rows 500 to 559 of an npz file: field, value, what repair says, whether all rows are kept
    "no time of the venue": ("exch_ts", 0, "60 events carry no time of the venue", True),
    "no time of arrival": ("local_ts", 0, "60 times that cannot be are replaced", True),
    "a time of the venue beyond all": ("exch_ts", 2**62, "60 times that cannot be are replaced", True),
    "no quantity": ("qty", -1.0, "ended before row", False),
}


@pytest.mark.parametrize("spoil", SPOILED)
@pytest.mark.parametrize("rows", [100, 1_000_000])
def test_rows_of_an_npz_file_that_cannot_be_used(tmp_path, spoil, rows):
    field, value, says, kept = SPOILED[spoil]
    true = read_recording(write(tmp_path, made_market()))
    data = npz_events(true)
    data["ival"] = 0
    data[field][500:560] = value
    np.savez_compressed(tmp_path / "spoiled.npz", data=data)
    (tmp_path / "spoiled.toml").write_text(ABOUT)
    source = open_recording(tmp_path / "spoiled.npz", repair=True, rows=rows)
    events = np.concatenate([chunk.events for chunk in source.chunks])
    assert any(says in one.message for one in source.findings)
    assert np.all(events["exchange_time_ns"] <= events["local_time_ns"])
    assert np.all(np.diff(events["local_time_ns"]) >= 0)
    assert (len(events) == len(true.events)) == kept
    known = true.events[: len(events)]
    for name in ("kind", "price", "quantity"):
        np.testing.assert_array_equal(events[name], known[name])
    if field == "exch_ts":
        dated = known["kind"] != SNAPSHOT
        np.testing.assert_array_equal(events["exchange_time_ns"][dated], known["exchange_time_ns"][dated])


@pytest.mark.parametrize(("kind", "ends"), [(DEPTH, True), (TRADE, False)])
def test_a_row_of_a_tick_file_that_cannot_be_used(tmp_path, kind, ends):
    path = written("ticks", tmp_path, made_market())
    true = read_recording(path)
    row = int(np.flatnonzero(true.events["kind"] == kind)[60])
    table = pl.read_parquet(path).with_columns(
        pl.when(pl.int_range(pl.len()) == row).then(-1).otherwise("quantity").alias("quantity")
    )
    table.write_parquet(path, metadata=pl.read_parquet_metadata(path))
    with pytest.raises(RecordingError, match="`quantity` must be 0 or more"):
        read_recording(path)
    recording = read_recording(path, repair=True)
    assert len(recording.events) == (row if ends else len(true.events) - 1)
    assert (f"ended before row {row}" if ends else "dropped 1 rows") in messages(recording).replace(",", "")


def test_clearings_that_no_snapshot_follows_are_warned_of(tmp_path):
    recording = read_recording(write(tmp_path, made_market()))
    data = npz_events(recording)
    lone = data[100:101].copy()
    lone["ev"] = (lone["ev"] & ~np.uint64(0xFF)) | np.uint64(3)
    for name, rows in (("sound", data), ("lone", np.insert(data, 100, lone))):
        np.savez_compressed(tmp_path / f"{name}.npz", data=rows)
        (tmp_path / f"{name}.toml").write_text(ABOUT)
        said = messages(read_recording(tmp_path / f"{name}.npz"))
        assert ("1 clearings of the book that no snapshot follows" in said) == (name == "lone")


BUY_SIDE, SELL_SIDE = 1, -1


def parts_of(*parts: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """Parts of snapshots: "b99 b98 a101" is two bids and an ask."""
    levels = [[(BUY_SIDE if one[0] == "b" else SELL_SIDE, int(one[1:])) for one in p.split()] for p in parts]
    return [(np.array([s for s, _ in part]), np.array([p for _, p in part])) for part in levels]


@pytest.mark.parametrize(
    ("parts", "new"),
    [
        (("b99 b98 a101 a102", "b99 b98 a101 a102"), 1),  # the same book again
        (("b99 b98", "b97 b96", "a101 a102", "a103"), 0),  # one book in four parts
        (("b99 b98 a101 a102", "b97 b96 a103 a104"), 0),  # further levels of both sides
        (("b99 a101 b98 a102", "b97 a103 b96 a104"), 0),  # side by side
        (("b99 b98", "a105 a104", "a103 a102"), 0),  # listed from the far end
        (("b95 b97 b96 a104 a102", "b91 b92 a107 a105"), 0),  # in no order
        (("b99 b98 a101 a102", "b129 b128 a131 a132"), 1),  # moved up
        (("b99 b98 a101 a102", "b69 b68 a71 a72"), 1),  # moved down
        (("b99 b98 a101 a102", "b97 b96 a99 a100"), 1),  # moved down by as much as it is wide
        (("b99 b98", "b129 b128 a131 a132"), 1),  # the first was cut off
        (("a101 a102 b99 b98", "a99 a100 b97 b96", "a103 a104"), 1),
    ],
)  # fmt: skip
def test_where_a_snapshot_begins(parts, new):
    borders = SnapshotBorders()
    results = [borders.begins(side, price, later=True) for side, price in parts_of(*parts)]
    assert sum(results) == new
    borders.end()
    assert not borders.begins(*parts_of(parts[0])[0], later=True)


@pytest.mark.parametrize("moved", [0, 3, -40])
@pytest.mark.parametrize(("pieces", "rows"), [(1, 1_000_000), (3, 1_000_000), (3, 90)])
def test_a_second_snapshot_replaces_the_first(tmp_path, moved, pieces, rows):
    """At step 100 comes an old book, 20 ms later the right one, each in parts some microseconds apart."""
    tables = made_market()
    del tables["bbo"]
    true = read_recording(write(tmp_path, tables))
    (tmp_path / "twice").mkdir()
    rows_ = depth_rows(tables)
    at = rows_["local_us"][0] + 100 * 100_000
    shots = []
    for shift, later in ((moved, 20_000), (0, 40_000)):
        book = book_at(true, (at + 1) * 1000)
        part = np.arange(len(book)) * pieces // len(book)
        shots.append(pl.DataFrame({
            "local_us": at + later + part, "exch_us": at + later - 3_000, "shown": "true",
            "side": book["side"].astype(np.int64), "price": book["price"] + shift,
            "qty": book["quantity"],
        }).cast(rows_.schema))  # fmt: skip
    spoiled = pl.concat(
        [rows_.filter(pl.col("local_us") <= at), *shots, rows_.filter(pl.col("local_us") > at)]
    )
    source = open_recording(write_tardis_market(tmp_path / "twice", tables, spoiled), rows=rows)
    events = np.concatenate([chunk.events for chunk in source.chunks])
    assert len(np.unique(events["message"][events["kind"] == SNAPSHOT])) == 3
    recording = type(true)(source.instrument, events)
    end = int(events["local_time_ns"][-1]) + 1
    for name in ("price", "quantity"):
        np.testing.assert_array_equal(book_at(recording, end)[name], book_at(true, end)[name])


def undated(folder: Path, apart: bool) -> list[Path]:
    """A market as hftbacktest's tools make it: its snapshot carries the time 0."""
    recording = read_recording(write(folder, made_market()))
    shown = recording.events["kind"] == SNAPSHOT
    for name in ("exchange_time_ns", "local_time_ns"):
        recording.events[name][shown] = 0
    parts = [shown, ~shown] if apart else [shown | ~shown]
    paths = [folder / f"made_{number}.npz" for number in range(len(parts))]
    for path, part in zip(paths, parts, strict=True):
        write_npz(type(recording)(recording.instrument, recording.events[part]), path)
    return paths


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("rows", [7, 1_000_000])
def test_a_snapshot_of_time_0_stands_at_what_follows(tmp_path, apart, rows):
    source = open_recording(undated(tmp_path, apart), rows=rows)
    events = np.concatenate([chunk.events for chunk in source.chunks])
    shown = events["kind"] == SNAPSHOT
    first = events[~shown][0]
    assert np.all(shown[: int(shown.sum())])
    for name in ("exchange_time_ns", "local_time_ns"):
        assert set(events[name][shown].tolist()) == {int(first[name])}
    assert len(source.sessions) == 1
    assert (events["local_time_ns"][-1] - events["local_time_ns"][0]) // MS < 31_000


def test_a_snapshot_of_time_0_must_come_first(tmp_path):
    with pytest.raises(RecordingError, match="must come before the market that it opens"):
        read_recording(undated(tmp_path, True)[::-1])


def test_a_snapshot_of_time_0_alone_is_read(tmp_path):
    recording = read_recording(undated(tmp_path, True)[0])
    assert set(recording.events["kind"].tolist()) == {SNAPSHOT}


@pytest.mark.parametrize(
    ("column", "spoil"),
    [
        ("exch_us", pl.col("exch_us") - 5 * 3_600 * 10**6),  # a time zone
        ("exch_us", pl.col("exch_us") // 1000),  # a unit
        ("side", pl.lit(0)),
    ],
)
@pytest.mark.parametrize("repair", [False, True])
def test_what_most_rows_break_is_the_format(tmp_path, column, spoil, repair):
    tables = made_market()
    spoiled = depth_rows(tables).with_columns(spoil.alias(column))
    path = written("declared", tmp_path, tables)
    spoiled.write_parquet(tmp_path / "depth.parquet")
    with pytest.raises(RecordingError, match=r"rows break this rule: it is the format, not the rows\. .+"):
        read_recording(path, repair=repair)


@pytest.mark.parametrize("column", ["bid_qty", "ask_qty"])
def test_a_quote_with_a_price_and_no_quantity(tmp_path, column):
    tables = made_market()
    hit = pl.int_range(pl.len()) == 50
    tables["bbo"] = tables["bbo"].with_columns(pl.when(~hit).then(pl.col(column)))
    path = written("declared", tmp_path, tables)
    with pytest.raises(RecordingError, match="must be there where a price is") as caught:
        read_recording(path)
    assert caught.value.row == 50
    recording = read_recording(path, repair=True)
    assert "dropped 1 rows" in messages(recording)
    assert recording.events["quantity"].min() >= 0


def test_unusable_rows_are_found_in_any_chunk(tmp_path):
    tables = made_market()
    hit = pl.int_range(pl.len()) == 900
    tables["depth"] = tables["depth"].with_columns(pl.when(~hit).then(pl.col("qty")))
    for form in ("tables", "declared"):
        (tmp_path / form).mkdir()
        path = written(form, tmp_path / form, tables)
        events = [
            np.concatenate([chunk.events for chunk in open_recording(path, repair=True, rows=rows).chunks])
            for rows in (37, 1_000_000)
        ]
        np.testing.assert_array_equal(*events)
        assert 0 < depth_messages(type(read_recording(write(tmp_path, made_market())))(
            open_recording(path, repair=True).instrument, events[0])) < 300  # fmt: skip


def test_rows_in_no_order_are_not_sorted(tmp_path):
    tables = made_market()
    tables["bbo"] = tables["bbo"].reverse()
    with pytest.raises(RecordingError, match="299 of 300 rows break this rule: it is the format"):
        read_recording(write(tmp_path, tables), repair=True)
