"""Feeds of one recording against each other: one that is lost, one that lags."""

import numpy as np
import polars as pl
import pytest
from made_market import FORMS, MS, made_market, written
from recording_files import messages

from flowhft.recordings import read_recording
from flowhft.recordings.checks.feeds import Feeds
from flowhft.recordings.ticks import DEPTH, EVENT, TOP, TRADE


def market(seconds: int, trades: float = 20.0) -> np.ndarray:
    """Depth and best prices ten times a second, trades at random so many times a second."""
    random = np.random.default_rng(0)
    parts = []
    for kind, times in (
        (DEPTH, np.arange(10 * seconds) * 100 * MS),
        (TOP, np.arange(10 * seconds) * 100 * MS + MS),
        (TRADE, np.sort(random.integers(0, seconds * 1_000 * MS, round(trades * seconds)))),
    ):
        events = np.zeros(len(times), EVENT)
        events["kind"], events["message"] = kind, np.arange(len(times))
        events["exchange_time_ns"], events["local_time_ns"] = times, times + 3 * MS
        parts.append(events)
    events = np.concatenate(parts)
    return events[np.argsort(events["local_time_ns"], kind="stable")]


def said(events: np.ndarray, pieces: int = 7) -> str:
    feeds = Feeds()
    for part in np.array_split(events, pieces):
        feeds.feed(part)
    return " ".join(one.message for one in feeds.findings())


@pytest.mark.parametrize(("name", "kind"), [("depth", DEPTH), ("trades", TRADE), ("best prices", TOP)])
@pytest.mark.parametrize(("first", "last"), [(100, 180), (200, 300), (0, 90)])
def test_a_feed_that_is_lost_is_told_from_a_quiet_market(name, kind, first, last):
    events = market(300)
    assert said(events) == ""
    meanwhile = (events["local_time_ns"] > first * 1_000 * MS) & (events["local_time_ns"] < last * 1_000 * MS)
    result = said(events[~(meanwhile & (events["kind"] == kind))])
    assert result.startswith(f"{name} stop for ")
    length = float(result.split("for ")[1].split(" s")[0])
    assert length == pytest.approx(last - first, abs=1.0)
    assert result == said(events[~(meanwhile & (events["kind"] == kind))], pieces=1)
    assert said(events[~meanwhile]) == ""  # all are quiet: a halt


def test_a_minute_without_a_trade_is_no_loss():
    """The negative: 3 trades a second, none for 50 s."""
    events = market(600, trades=3.0)
    meanwhile = (events["local_time_ns"] > 100_000 * MS) & (events["local_time_ns"] < 150_000 * MS)
    assert said(events[~(meanwhile & (events["kind"] == TRADE))]) == ""


@pytest.mark.parametrize(("name", "kind"), [("depth", "depth"), ("trades", "trades"), ("best prices", "bbo")])
@pytest.mark.parametrize("form", FORMS)
def test_a_feed_that_lags_is_named(tmp_path, form, name, kind):
    tables = made_market()
    tables[kind] = tables[kind].with_columns(pl.col("local_ns") + 5_000 * MS)
    recording = read_recording(written(form, tmp_path, tables))
    # Where best prices are late, those of the book stand in for the first of them.
    assert (f"warning: {name} lag: the fastest of them arrives 5,0" in messages(recording)) == (kind != "bbo")
    assert ("best prices are missing for 5.1 s" in messages(recording)) == (kind == "bbo")
