"""Feeds of best prices that die, pause, begin late or say something else than the book."""

import numpy as np
import polars as pl
import pytest
from made_market import FORMS, MS, made_market, written
from recording_files import EPOCH_MS, messages

from flowhft.recordings import read_recording, rebuild, top_of_book
from flowhft.recordings.best_prices import FEW, tops_after
from flowhft.recordings.book import (
    clears_book,
    ends_message,
    mid_at,
    rank_levels,
    standing_book,
    top_of_every_message,
)
from flowhft.recordings.formats.npz import write_npz
from flowhft.recordings.formats.read import open_recording
from flowhft.recordings.formats.tick_files import write_ticks
from flowhft.recordings.source import assembled
from flowhft.recordings.ticks import BUY, DEPTH, SELL, SNAPSHOT, TOP, make_events

LOSSES = {"stop": (100, 300), "pause": (100, 160), "begin late": (0, 150), "stop at once": (2, 300)}


def without(tables: dict[str, pl.DataFrame], first: int, last: int) -> dict[str, pl.DataFrame]:
    """A market without the best prices of some of its steps."""
    ms = pl.col("exch_ms") - EPOCH_MS
    return tables | {"bbo": tables["bbo"].filter((ms < 100 * first) | (ms > 100 * last))}


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("form", [*FORMS, "npz", "ticks"])
def test_the_mid_follows_the_book_where_best_prices_are_missing(tmp_path, form, loss):
    sound = made_market()
    (tmp_path / "sound").mkdir()
    true = read_recording(written(form, tmp_path / "sound", sound))
    recording = read_recording(written(form, tmp_path, without(sound, *LOSSES[loss])))
    times = true.events["local_time_ns"][40:]
    for clock in ("local", "exchange"):
        np.testing.assert_array_equal(
            mid_at(top_of_book(recording), times, clock), mid_at(rebuild(true), times, clock)
        )
    assert "missing" not in messages(true)
    if form not in ("npz", "ticks"):  # those hold what was added
        assert "warning: the venue's best prices are missing for" in messages(recording)
        assert ", 1 times; the longest time is" in messages(recording)


@pytest.mark.parametrize("form", ["npz", "ticks"])
def test_files_of_events_whose_best_prices_are_missing(tmp_path, form):
    """As others write them: nothing was added yet."""
    source = open_recording(written("tables", tmp_path, made_market()))
    whole = assembled(source)
    top = whole.events["kind"] == TOP
    late = whole.events["local_time_ns"] > (EPOCH_MS + 10_000) * MS
    spoiled = whole.events[~(top & late)]
    recording = type(whole)(whole.instrument, spoiled)
    if form == "npz":
        write_npz(recording, tmp_path / "spoiled.npz")
        again = read_recording(tmp_path / "spoiled.npz")
    else:
        source = open_recording(written("tables", tmp_path, made_market()))
        chunk = next(iter(source.chunks))
        write_ticks(
            type(source)(source.instrument, source.files, iter([chunk._replace(events=spoiled)])),
            tmp_path / "spoiled.ticks.parquet",
        )
        again = read_recording(tmp_path / "spoiled.ticks.parquet")
    np.testing.assert_array_equal(top_of_book(again).mid_price[-1], rebuild(whole).mid_price[-1])
    assert "the venue's best prices are missing for 2" in messages(again)
    # What was read once is whole: nothing is added again.
    write_npz(again, tmp_path / "again.npz")
    once_more = read_recording(tmp_path / "again.npz")
    np.testing.assert_array_equal(once_more.events, again.events)
    assert "missing" not in messages(once_more)


@pytest.mark.parametrize(
    ("form", "rows"), [("tables", 41), ("stream", 100), ("tardis", 100), ("declared", 13)]
)
@pytest.mark.parametrize("loss", LOSSES)
def test_in_chunks_the_same_is_added(tmp_path, form, rows, loss):
    path = written(form, tmp_path, without(made_market(100), *(max(2, step // 3) for step in LOSSES[loss])))
    whole, source = read_recording(path), open_recording(path, rows=rows)
    events = np.concatenate([chunk.events for chunk in source.chunks])
    np.testing.assert_array_equal(events, whole.events)
    assert [one.message for one in source.findings] == [one.message for one in whole.findings]


@pytest.mark.parametrize("form", FORMS)
def test_a_quiet_market_is_no_dead_feed(tmp_path, form):
    """Best prices that say nothing since nothing changed, and depth that comes later than they do."""
    tables = made_market(200)
    step = (pl.col("exch_ms") - EPOCH_MS) // 100
    for kind in ("depth", "bbo", "trades"):
        tables[kind] = tables[kind].filter(step <= 100)
    tables["depth"] = tables["depth"].with_columns(pl.col("local_ns") + 500 * MS)
    far = tables["depth"].tail(1).with_columns(price=pl.lit(9_000, pl.Int64), side=1, qty=5)
    last, number = tables["depth"]["local_ns"][-1], tables["depth"]["final_id"][-1]
    more = [
        far.with_columns(
            local_ns=pl.lit(last + n * 100 * MS), exch_ms=pl.col("exch_ms") + 100 * n,
            txn_ms=pl.col("txn_ms") + 100 * n, first_id=pl.lit(number + 10 * n - 9),
            final_id=pl.lit(number + 10 * n), prev_id=pl.lit(number + 10 * n - 10), qty=pl.lit(5 + n),
        )
        for n in range(1, 60)
    ]  # fmt: skip
    more = [one.with_columns(pl.col(pl.Int32).cast(pl.Int64)) for one in more]
    tables["depth"] = pl.concat([tables["depth"], *(one.select(tables["depth"].columns) for one in more)])
    recording = read_recording(written(form, tmp_path, tables))
    assert "missing" not in messages(recording)


@pytest.mark.parametrize("form", ["tardis", "declared"])
@pytest.mark.parametrize("rows", [17, 1_000_000])
def test_depth_and_quotes_of_a_feed_are_compared_by_time(tmp_path, form, rows):
    source = open_recording(written(form, tmp_path, made_market()), rows=rows)
    for _ in source.chunks:
        pass
    said = [one.message for one in source.findings]
    assert not [one for one in source.findings if one.severity == "warning"]
    compared = "the rebuilt book has the venue's best prices and quantities after 300 of 300"
    assert any(compared in one for one in said)


@pytest.mark.parametrize("form", ["tardis", "declared"])
def test_quotes_of_another_market_are_warned_of(tmp_path, form):
    """The negative of the test above."""
    tables = made_market() | {"bbo": made_market(seed=1)["bbo"]}
    recording = read_recording(written(form, tmp_path, tables))
    assert "warning: the rebuilt book has the venue's best prices and quantities after" in messages(recording)


@pytest.mark.parametrize("form", ["tardis", "declared"])
def test_several_quotes_between_two_depth_messages_agree(tmp_path, form):
    """Quotes come at every change, some at the time of a depth message but for another update."""
    tables = made_market()
    early = tables["bbo"].with_columns(
        local_ns=pl.col("local_ns") - MS, bid_qty=pl.col("bid_qty") + 1, update_id=pl.col("update_id") - 1
    )
    tables["bbo"] = pl.concat([early, tables["bbo"]]).sort("local_ns", maintain_order=True)
    recording = read_recording(written(form, tmp_path, tables))
    assert "after 300 of 300 depth messages" in messages(recording)


# --- what is followed only where it is asked for is what the whole book is --------------------------------


def changes(seed: int, width: int, messages: int = 400) -> np.ndarray:
    """Return messages of depth over some ticks of range, levels gone and snapshots among them."""
    random = np.random.default_rng(seed)
    sizes = random.integers(1, 6, messages)
    count, message = int(sizes.sum()), np.repeat(np.arange(messages) + 5, sizes)
    kind = np.repeat(np.where(random.random(messages) < 0.02, SNAPSHOT, DEPTH), sizes)
    events = make_events(
        DEPTH,
        BUY,
        1_000 * message,
        1_000 * message + 7,
        random.integers(0, width, count),
        random.integers(0, 3, count) * random.integers(0, 9, count),
        message,
    )
    events["kind"], events["side"] = kind, random.choice([BUY, SELL], count)
    return events


@pytest.mark.parametrize("width", [3, 30, 20_000, 10**9])
def test_the_book_after_some_messages_is_that_of_following_all(width):
    """To the last bit, price of an empty side included; of few stretches, of many, of none."""
    events = changes(0, width)
    before, depth = standing_book(changes(1, width)), events
    before["message"] = 4
    ends = np.flatnonzero(ends_message(depth))
    whole = top_of_every_message(np.concatenate([before, depth]))
    numbers, random = np.arange(len(ends)), np.random.default_rng(2)
    asked = [
        (numbers > 50) & (numbers < 90) | (numbers > 300),
        numbers < 10,
        numbers == len(ends) - 1,
        numbers >= 0,
        numbers < 0,
        random.random(len(ends)) < 0.5,
    ]
    assert np.sum(np.diff(asked[-1].astype(int)) == 1) > FEW
    for wanted in asked:
        found = tops_after(before, depth, ends, wanted)
        for name, column in zip(whole._fields, whole, strict=True):
            np.testing.assert_array_equal(
                getattr(found, name), column[len(column) - len(ends) :][wanted], err_msg=name
            )
    assert np.any(whole.bid_quantity == 0) or width > 3


@pytest.mark.parametrize("width", [3, 30, 20_000, 10**9])
def test_a_standing_book_and_the_ranks_of_prices_are_those_of_sorting(width):
    """The plain way to both: one sort of all prices, the latest first."""
    events = changes(3, width)
    prices, level = rank_levels(events["price"])
    np.testing.assert_array_equal(prices[level], events["price"])
    if width > 4 * len(events):
        met, ranks = np.unique(events["price"], return_inverse=True)
        np.testing.assert_array_equal(prices, met)
        np.testing.assert_array_equal(level, ranks)
    since = np.flatnonzero(clears_book(events))[-1]
    backwards = events[since:][::-1]
    levels = []
    for side in (BUY, SELL):
        own = backwards[backwards["side"] == side]
        latest = own[np.unique(own["price"], return_index=True)[1]]
        levels.append(latest[latest["quantity"] > 0][:: -1 if side == BUY else 1])
    book = standing_book(events)
    for name in ("side", "price", "quantity"):
        np.testing.assert_array_equal(book[name], np.concatenate(levels)[name])
