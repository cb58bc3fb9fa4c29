"""Fills of real orders beside the fill curve: a law with a known answer, and exposure counted by hand."""

import numpy as np
import polars as pl
import pytest

from flowhft.calibrate.order_fills import fit_order_fills, lives_of
from flowhft.recordings.book import TopOfBook
from flowhft.recordings.ticks import ADD, CHANGE, FILL, ORDER

SECOND = 1_000_000_000


def top_of(times, mids):
    times, mids = np.array(times, np.int64), np.array(mids, np.int64)
    one = np.ones(len(mids), np.int64)
    return TopOfBook(times, times, mids - 1, mids + 1, one, one, np.arange(len(mids)))


def orders_of(rows):
    """Rows of (seconds, kind, side, price, remaining, order number), in the order of time."""
    events = np.zeros(len(rows), ORDER)
    for event, (time, kind, side, price, quantity, number) in zip(events, sorted(rows), strict=True):
        event["exchange_time_ns"] = event["local_time_ns"] = round(time * SECOND)
        event["kind"], event["side"], event["price"] = kind, side, price
        event["quantity"], event["order_id"] = quantity, number
    return events


def curve_of(distance, rate):
    return pl.DataFrame({"side": "mean", "distance": distance, "rate": rate, "in_fit": True})


def test_the_true_ratio_lies_within_its_interval():
    """Orders that are filled half as often as the curve says; a 99.99 % interval."""
    rng = np.random.default_rng(0)
    distance = np.arange(2.0, 8.0)
    promised = 0.2 * np.exp(-0.2 * distance)
    rows = []
    for number in range(3000):
        place, side, start = rng.integers(len(distance)), rng.choice([1, -1]), rng.uniform(0.0, 950.0)
        price = 1000 - side * round(distance[place])
        cancelled, filled = rng.exponential(20.0), rng.exponential(2.0 / promised[place])
        rows.append((start, ADD, side, price, 5, number))
        if filled < cancelled:
            rows.append((start + filled, FILL, side, price, 2, number))
        rows.append((start + cancelled, CHANGE, side, price, 0, number))
    result = fit_order_fills(
        orders_of(rows),
        top_of([0, 1100 * SECOND], [1000, 1000]),
        curve_of(distance, promised),
        0,
        1000,
        0.9999,
    )
    ratio = result.order_fill_ratio
    assert ratio.low < 0.5 < ratio.high < 0.7
    assert result.warnings == ()
    np.testing.assert_allclose(result.table["promised"], promised)
    assert result.table["rate"][0] == pytest.approx(0.5 * promised[0], rel=0.3)


def test_distances_follow_the_mid_and_lives_end_with_the_first_execution():
    rows = [
        (1.0, ADD, 1, 997, 5, 1),  # a bid 3 below the mid, then 5, executed there
        (6.0, FILL, 1, 997, 4, 1),
        (9.0, FILL, 1, 997, 0, 1),  # the second execution of the same order is no other fill
        (2.0, ADD, -1, 1005, 5, 2),  # an ask 5 above the mid, then 3, taken back
        (5.0, CHANGE, -1, 1005, 3, 2),
        (7.0, CHANGE, -1, 1005, 0, 2),
        (1.0, ADD, 1, 997, 9, -4),  # a lump of orders that nobody saw
        (2.0, FILL, 1, 997, 8, -4),
        (8.0, ADD, 1, 900, 5, 3),  # far away
    ]
    orders = orders_of(rows)
    lives = lives_of(orders)
    np.testing.assert_array_equal(lives.end_ns, np.array([6, 7, 9]) * SECOND)
    np.testing.assert_array_equal(lives.filled, [1, 0, 0])
    top = top_of([0, 4 * SECOND, 20 * SECOND], [1000, 1002, 1002])
    result = fit_order_fills(orders, top, curve_of(np.array([3.0, 4.0, 5.0]), np.full(3, 0.1)), 0)
    # 3 ticks: the bid from 1 to 4 s, the ask from 4 to 7; 5 ticks: the ask from 2 to 4, the bid from 4 to 6.
    np.testing.assert_allclose(result.table["order_seconds"], [6.0, 0.0, 4.0])
    np.testing.assert_array_equal(result.table["fills"], [0.0, 0.0, 1.0])
    assert np.isnan(result.order_fill_ratio.value)
    assert "must rest on 30 executions of orders that rest 3 to 5 ticks" in result.warnings[0]


def test_levels_alone_are_refused():
    result = fit_order_fills(None, top_of([0], [1000]), curve_of(np.array([3.0, 4.0]), np.ones(2)), 0)
    assert np.isnan(result.order_fill_ratio.value)
    assert "follows single orders; received price levels" in result.order_fill_ratio.diagnostic
    assert result.table.is_empty()


def test_the_error_is_of_the_ratio_and_not_of_how_many_orders_there_were():
    """Few orders, then ten times as many; always half as many fills as promised."""
    rows, number = [], 0
    for block in range(50):
        for order in range(20 if block < 25 else 200):
            start = 20.0 * block + 0.05 * order
            filled = order % 20 == 0  # of 1 s at a rate of 0.1: two are promised among twenty
            rows.append((start, ADD, 1, 997, 5, number))
            rows.append((start + 1.0, FILL if filled else CHANGE, 1, 997, 2 if filled else 0, number))
            number += 1
    curve = curve_of(np.array([3.0, 4.0]), np.full(2, 0.1))
    ratio = fit_order_fills(
        orders_of(rows), top_of([0, 1000 * SECOND], [1000, 1000]), curve, 0
    ).order_fill_ratio
    assert ratio.value == pytest.approx(0.5)
    assert ratio.high - ratio.low < 0.05  # were the seconds held fixed: 0.23
