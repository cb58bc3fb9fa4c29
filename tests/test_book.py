"""The order book against a slow book of plain dictionaries, and its parts against the whole."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowhft.errors import UsageError
from flowhft.recordings import market_orders, mid_at, read_recording, rebuild, sample_recording, split, window
from flowhft.recordings.book import TopOfBook, book_at, top_of_book
from flowhft.recordings.checks.summary import agreement
from flowhft.recordings.instrument import Instrument
from flowhft.recordings.ticks import BUY, DEPTH, EVENT, SELL, SNAPSHOT, TOP, TRADE, Recording

MILLISECOND = 1_000_000


@pytest.fixture(scope="module")
def sample() -> Recording:
    return read_recording(sample_recording())


def recording_of(rows) -> Recording:
    """Rows of (kind, side, exchange time, local time, price, quantity, message)."""
    return Recording(
        Instrument("test", "TEST", "USD", 1.0, 1.0), np.array([tuple(row) for row in rows], EVENT)
    )


class SlowBook:
    """A book as one would write it on paper: two dictionaries."""

    def __init__(self) -> None:
        self.sides = {BUY: {}, SELL: {}}
        self.run = None

    def apply(self, event) -> None:
        run = int(event["message"]) if event["kind"] == SNAPSHOT else None
        if run is not None and run != self.run:
            self.sides = {BUY: {}, SELL: {}}
        self.run = run
        levels = self.sides[int(event["side"])]
        levels.pop(int(event["price"]), None)
        if event["quantity"] > 0:
            levels[int(event["price"])] = int(event["quantity"])

    def top(self):
        bids, asks = self.sides[BUY], self.sides[SELL]
        bid, ask = max(bids, default=None), min(asks, default=None)
        return bid, bids.get(bid, 0), ask, asks.get(ask, 0)

    def levels(self):
        return {
            (side, price): size
            for side, side_levels in self.sides.items()
            for price, size in side_levels.items()
        }


def slow_tops(events):
    """Return (message, top) after every book message whose top differs from the one before."""
    book, tops = SlowBook(), []
    changes = [event for event in events if event["kind"] in (DEPTH, SNAPSHOT)]
    for index, event in enumerate(changes):
        book.apply(event)
        follows = changes[index + 1] if index + 1 < len(changes) else None
        if follows is None or (follows["message"], follows["kind"]) != (event["message"], event["kind"]):
            top = book.top()
            if not tops or tops[-1][1] != top:
                tops.append((int(event["message"]), top))
    return tops


def tops_of(top: TopOfBook):
    return [
        (
            int(message),
            (
                int(bid) if bid_quantity else None,
                int(bid_quantity),
                int(ask) if ask_quantity else None,
                int(ask_quantity),
            ),
        )
        for _, _, bid, ask, bid_quantity, ask_quantity, message in zip(*top, strict=True)
    ]


@st.composite
def tapes(draw):
    """Draw a recording: snapshots, depth messages of several levels, trades, prices small to astronomic."""
    scale = draw(st.sampled_from([1, 1_000_003, 2**40]))
    rows, local = [], 0
    for message in range(1, draw(st.integers(1, 25)) + 1):
        local += draw(st.integers(0, 3))
        kind = draw(st.sampled_from([DEPTH, DEPTH, DEPTH, SNAPSHOT, TRADE]))
        size = 1 if kind == TRADE else draw(st.integers(1, 5))
        for _ in range(size):
            quantity = draw(st.integers(1 if kind == TRADE else 0, 3))
            price = draw(st.integers(1, 8)) * scale
            rows.append((kind, draw(st.sampled_from([BUY, SELL])), local, local, price, quantity, message))
    return recording_of(rows)


@given(tapes())
def test_rebuild_is_the_slow_book(recording):
    assert tops_of(rebuild(recording)) == slow_tops(recording.events)


@given(tapes(), st.integers(-1, 80))
def test_book_at_is_the_slow_book(recording, time_ns):
    book = SlowBook()
    for event in recording.events:
        if event["local_time_ns"] < time_ns and event["kind"] in (DEPTH, SNAPSHOT):
            book.apply(event)
    levels = book_at(recording, time_ns)
    assert {(int(e["side"]), int(e["price"])): int(e["quantity"]) for e in levels} == book.levels()
    assert len(levels) == len(book.levels())
    for side in (BUY, SELL):  # best first
        prices = levels["price"][levels["side"] == side]
        assert np.all(np.diff(side * prices) < 0)


def test_a_book_that_forgets_to_clear_is_not_the_slow_book():
    rows = [
        (SNAPSHOT, BUY, 0, 0, 10, 1, 1), (SNAPSHOT, SELL, 0, 0, 12, 1, 1),
        (SNAPSHOT, BUY, 1, 1, 8, 1, 2), (SNAPSHOT, SELL, 1, 1, 12, 1, 2),
    ]  # fmt: skip
    assert rebuild(recording_of(rows)).best_bid.tolist() == [10, 8]
    as_depth = [(DEPTH, *row[1:]) for row in rows]
    assert rebuild(recording_of(as_depth)).best_bid.tolist() == [10]


def test_rebuild_equals_the_slow_book_and_the_venue_on_the_sample(sample):
    part = replace(sample, events=sample.events[:60_000])
    assert tops_of(rebuild(part)) == slow_tops(part.events)
    equal, compared = agreement(sample)
    assert (equal, compared) == (9_018, 9_018)


def test_agreement_notices_a_wrong_level(sample):
    """Move one best level by one lot: the messages until it is next updated disagree."""
    events = sample.events.copy()
    depth = np.flatnonzero(events["kind"] == DEPTH)
    best = np.isin(events["price"][depth], top_of_book(sample).best_bid) & (events["quantity"][depth] > 0)
    events["quantity"][depth[best]] += 1
    equal, compared = agreement(replace(sample, events=events))
    assert compared == 9_018
    assert equal < 0.5 * compared


def test_top_of_book_takes_the_venues_prices_where_there_are_some():
    rows = [
        (SNAPSHOT, BUY, 0, 0, 10, 5, 1), (SNAPSHOT, SELL, 0, 0, 12, 5, 1),
        (TOP, BUY, 4, 5, 10, 7, 2),  # one side alone is not yet a top
        (TOP, BUY, 6, 7, 10, 7, 3), (TOP, SELL, 6, 7, 13, 2, 3),
        (TOP, BUY, 7, 8, 10, 7, 4), (TOP, SELL, 7, 8, 13, 2, 4),  # nothing new
        (TOP, BUY, 8, 9, 11, 1, 5), (TOP, SELL, 8, 9, 13, 2, 5),
    ]  # fmt: skip
    top = top_of_book(recording_of(rows))
    assert top.message.tolist() == [3, 5]
    assert top.mid_price.tolist() == [11.5, 12.0]
    assert top.market_spread.tolist() == [3.0, 2.0]
    without = recording_of([row for row in rows if row[0] != TOP])
    assert top_of_book(without).mid_price.tolist() == [11.0]


def test_a_side_that_is_empty_has_no_mid():
    rows = [(SNAPSHOT, BUY, 0, 0, 10, 5, 1), (DEPTH, SELL, 1, 1, 12, 5, 2), (DEPTH, BUY, 2, 2, 10, 0, 3)]
    top = rebuild(recording_of(rows))
    np.testing.assert_array_equal(top.mid_price, [np.nan, 11.0, np.nan])
    assert top.bid_quantity.tolist() == [5, 5, 0]


@given(
    st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=1, max_size=12),
    st.lists(st.integers(-2, 25), max_size=10),
    st.sampled_from(["exchange", "local"]),
)
def test_mid_at_is_the_last_mid_at_or_before(stamps, times, clock):
    exchange, local = (np.array(values, np.int64) for values in zip(*stamps, strict=True))
    local.sort()
    rows = np.arange(len(stamps), dtype=np.int64)
    one = np.ones(len(stamps), np.int64)
    top = TopOfBook(local, exchange, 100 + rows, 102 + 3 * rows, one, one, rows)
    clock_ns = exchange if clock == "exchange" else local
    expected = []
    for time in times:
        latest = max(
            (stamp, row) for stamp, row in [(-99, -1), *zip(clock_ns, rows, strict=True)] if stamp <= time
        )
        expected.append(np.nan if latest[1] < 0 else top.mid_price[latest[1]])
    np.testing.assert_array_equal(mid_at(top, np.array(times, np.int64), clock), expected)


def test_mid_at_refuses_an_unknown_clock(sample):
    with pytest.raises(UsageError, match="`clock` must be 'exchange' or 'local'; received 'venue'"):
        mid_at(top_of_book(sample), np.array([0]), "venue")  # type: ignore[arg-type]


def test_market_orders_of_a_hand_made_tape():
    ms = MILLISECOND
    rows = [
        (TOP, BUY, 10 * ms, 11 * ms, 100, 5, 1), (TOP, SELL, 10 * ms, 11 * ms, 101, 5, 1),
        # What the next order leaves behind arrives before its own trades, with the same time stamp.
        (TOP, BUY, 20 * ms, 21 * ms, 100, 5, 2), (TOP, SELL, 20 * ms, 21 * ms, 104, 5, 2),
        (TRADE, BUY, 20 * ms, 22 * ms, 101, 5, 10), (TRADE, BUY, 20 * ms, 22 * ms, 103, 2, 11),
        (TRADE, SELL, 20 * ms, 23 * ms, 100, 1, 12),  # the other side: an order of its own
        (TRADE, SELL, 20 * ms + 1, 23 * ms, 99, 4, 13),  # 1 ns later: one more, unless the window is wider
        (TRADE, BUY, 5 * ms, 24 * ms, 101, 9, 14),  # before any mid was known: left out
        (TRADE, SELL, 30 * ms, 31 * ms, 103, 3, 15),  # inside the spread, better than the mid
    ]  # fmt: skip
    orders = market_orders(recording_of(rows))
    assert orders.time_ns.tolist() == [20 * ms, 20 * ms, 20 * ms + 1, 30 * ms]
    assert orders.side.tolist() == [BUY, SELL, SELL, SELL]
    assert orders.quantity.tolist() == [7, 1, 4, 3]
    assert orders.worst_price.tolist() == [103, 100, 99, 103]
    assert orders.mid_before.tolist() == [100.5, 100.5, 102.0, 102.0]
    assert orders.reach.tolist() == [2.5, 0.5, 3.0, -1.0]

    merged = market_orders(recording_of(rows), merge_window_ns=1)
    assert merged.quantity.tolist() == [7, 5, 3]
    assert merged.worst_price.tolist() == [103, 99, 103]
    assert merged.reach.tolist() == [2.5, 1.5, -1.0]


@given(
    st.lists(st.tuples(st.integers(0, 4), st.sampled_from([BUY, SELL]), st.integers(95, 105)), max_size=30),
    st.integers(0, 6),
)
def test_orders_within_a_window_are_those_of_a_loop_over_the_trades(trades, window):
    """One table of orders serves every window: what it makes of them is what the trades alone would."""
    rows = [(TOP, BUY, 8, 8, 99, 5, 1), (TOP, SELL, 8, 8, 102, 5, 1)]
    time, wanted, last = 0, [], None
    for gap, side, price in trades:
        time += gap
        rows.append((TRADE, side, time, time, price, 2, len(rows)))
        if last is not None and time - last[1] <= window and side == last[0]:
            wanted[-1][2] += 2
            wanted[-1][3] = side * max(side * wanted[-1][3], side * price)
        else:
            wanted.append([time, side, 2, price])
        last = (side, time)
    result = market_orders(recording_of(rows), window)
    wanted = [row for row in wanted if row[0] > 8]  # the mid is known strictly before
    assert list(zip(*(values.tolist() for values in result[:4]), strict=True)) == list(map(tuple, wanted))
    assert result.reach.tolist() == [side * (price - 100.5) for _, side, _, price in wanted]


def test_market_orders_without_trades_are_none():
    orders = market_orders(recording_of([(SNAPSHOT, BUY, 0, 0, 10, 5, 1), (SNAPSHOT, SELL, 0, 0, 12, 5, 1)]))
    assert all(len(values) == 0 for values in orders)


def test_market_orders_refuse_a_negative_window(sample):
    with pytest.raises(UsageError, match="`merge_window_ns` must be 0 or more; received -1"):
        market_orders(sample, -1)


def test_market_orders_of_the_sample_take_from_the_book(sample):
    """Each trade belongs to one order; an order never begins better than the spread allows.

    On a perpetual future without hidden orders a buyer pays at least the ask, half a spread above the mid.
    Were the mid taken *after* the order, sweeps would look as if they had traded behind it.
    """
    trades = sample.events[sample.events["kind"] == TRADE]
    orders = market_orders(sample)
    assert orders.quantity.sum() == trades["quantity"].sum()
    assert np.all(np.diff(orders.time_ns) >= 0)
    assert orders.reach.min() >= 0.5
    after = mid_at(top_of_book(sample), orders.time_ns)
    assert (orders.side * (orders.worst_price - after)).min() < -10


@given(tapes(), st.floats(0.01, 0.99))
def test_split_loses_nothing_and_doubles_nothing(recording, fraction):
    if recording.duration == 0.0:
        with pytest.raises(UsageError, match="`window` must hold events"):
            split(recording, fraction)
        return
    first, second = split(recording, fraction)
    opening = len(first.events) + len(second.events) - len(recording.events)
    np.testing.assert_array_equal(np.concatenate([first.events, second.events[opening:]]), recording.events)
    assert np.all(np.isin(second.events["kind"][:opening], (SNAPSHOT, TOP)))
    assert np.all(np.diff(second.events["local_time_ns"]) >= 0)
    # Alone, the second part leads to the same book as the whole.
    end = int(recording.events["local_time_ns"][-1]) + 1
    levels = ["side", "price", "quantity"]
    np.testing.assert_array_equal(book_at(second, end)[levels], book_at(recording, end)[levels])


@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.9])
def test_split_of_the_sample_goes_on_as_the_whole(sample, fraction):
    first, second = split(sample, fraction)
    opening = len(first.events) + len(second.events) - len(sample.events)
    cut = int(second.events["local_time_ns"][0])
    assert first.events["local_time_ns"][-1] < cut
    assert cut - sample.events["local_time_ns"][0] == pytest.approx(fraction * sample.duration * 1e9, abs=1)

    book = SlowBook()
    for event in first.events[np.isin(first.events["kind"], (DEPTH, SNAPSHOT))]:
        book.apply(event)
    snapshot = second.events[:opening][second.events["kind"][:opening] == SNAPSHOT]
    assert {(int(e["side"]), int(e["price"])): int(e["quantity"]) for e in snapshot} == book.levels()

    # Best prices and orders of the second part are those of the whole from the cut on.
    whole, part = top_of_book(sample), top_of_book(second)
    later = whole.local_time_ns >= cut
    np.testing.assert_array_equal(part.mid_price[-later.sum() :], whole.mid_price[later])
    assert agreement(second)[0] == agreement(second)[1] > 0
    orders, late = market_orders(sample), market_orders(second)
    first_of_second = len(market_orders(first).time_ns)
    assert (
        abs(first_of_second + len(late.time_ns) - len(orders.time_ns)) <= 1
    )  # an order may straddle the cut
    np.testing.assert_array_equal(late.reach[1:], orders.reach[-len(late.reach) + 1 :])


def test_windows_tile_the_recording(sample):
    cuts = [0.0, 100.0, 333.25, None]
    parts = [window(sample, start, end) for start, end in itertools.pairwise(cuts)]
    origin = sample.events["local_time_ns"][0]
    seam = 0
    for part, start in zip(parts, cuts, strict=False):
        assert part.events["local_time_ns"][0] == origin + round(start * 1e9)
        assert part.events["kind"][0] == SNAPSHOT
        opening = (
            0 if start == 0.0 else int(np.sum(part.events["kind"] == SNAPSHOT)) + 2
        )  # and a bid and an ask
        own = part.events[opening:]
        np.testing.assert_array_equal(own, sample.events[seam : seam + len(own)])
        seam += len(own)
    assert seam == len(sample.events)


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.5, float("nan")])
def test_split_refuses_a_fraction_out_of_range(sample, fraction):
    with pytest.raises(UsageError, match="`fraction` must lie between 0 and 1"):
        split(sample, fraction)


def test_window_refuses_times_outside(sample):
    with pytest.raises(UsageError, match="`start_seconds` must be 0 or more; received -1"):
        window(sample, -1.0)
    with pytest.raises(UsageError, match=r"`window` must hold events; received none. .* lasts 479.523 s"):
        window(sample, 1e6)
