"""Closed time: what is found of it, and that no rate, volatility or session is made of it."""

from dataclasses import replace

import numpy as np
import pytest
from program import flowhft
from recording_files import messages
from test_recordings import write_csv

import flowhft as api
from flowhft.calibrate.calibrate import CalibrationSettings, calibrate
from flowhft.calibrate.sessions import seams_ns, without_gaps
from flowhft.desk.replay.settings import ReplaySettings
from flowhft.desk.replay.tape import closed_steps
from flowhft.errors import DataError, RecordingError, UsageError
from flowhft.recordings import read_recording, sample_recording, split, top_of_book
from flowhft.recordings.closed import ClosedTime, halts_told, merged_closed
from flowhft.recordings.formats.npz import write_npz
from flowhft.recordings.formats.read import open_recording
from flowhft.recordings.formats.tick_files import write_ticks
from flowhft.recordings.source import Chunk, Source, assembled, joined
from flowhft.recordings.split import window
from flowhft.recordings.ticks import DEPTH, EVENT, SNAPSHOT, TOP, TRADE, Closed, Recording
from flowhft.runs.folder import read_json
from flowhft.stages.open_sessions import open_sessions
from flowhft.stages.recording import identity_of_recording
from flowhft.studies.walk_forward.forward import sessions_of

SECOND = 10**9
FEW_DRAWS = CalibrationSettings(bootstrap_samples=100)


def arriving(times, kind=DEPTH, late=0.001, stall=()) -> np.ndarray:
    """Return events of these exchange times, seconds; what was made in a stall arrives at its end."""
    times = np.asarray(times)
    events = np.zeros(len(times), EVENT)
    events["kind"] = kind
    events["exchange_time_ns"] = np.round(times * 1e9)
    local = times + late
    for start, end in stall:
        local = np.where((times >= start) & (times < end), end, local)
    events["local_time_ns"] = np.round(local * 1e9)
    return events


def closed_in(events: np.ndarray, parts: int = 7, told=()) -> list[tuple[float, float, str]]:
    """Return closed time in seconds, the events looked at in so many parts."""
    results = []
    for pieces in (1, parts):
        watch = ClosedTime()
        for part in np.array_split(events, pieces):
            watch.feed(part)
        results.append(watch.found(told))
    assert results[0] == results[1]
    return [(round(one.start_ns / 1e9, 2), round(one.end_ns / 1e9, 2), one.why) for one in results[0]]


def late_first(times: np.ndarray) -> np.ndarray:
    events = arriving(times)
    at = int(np.argmax(np.diff(times))) + 1
    events["exchange_time_ns"][at] = events["exchange_time_ns"][at - 1]
    return events


BUSY = np.arange(0.0, 200.0, 0.1)


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        (arriving(BUSY), []),
        (arriving(np.concatenate([BUSY, BUSY + 800.0])), [(199.9, 800.0, "silence")]),
        (  # two, of which one is short
            arriving(np.concatenate([BUSY, BUSY + 240.0, BUSY + 1040.0])),
            [(199.9, 240.0, "silence"), (439.9, 1040.0, "silence")],
        ),
        (arriving(np.concatenate([BUSY, BUSY + 220.0])), []),  # 20 s: a network that stalled
        # The receiver slept for ten minutes in which the venue went on.
        (arriving(np.arange(0.0, 2_000.0, 0.1), stall=[(500.0, 1_100.0)]), []),
        # The first message behind a halt tells of what was before it.
        (late_first(np.concatenate([BUSY, BUSY + 800.0])), [(199.9, 800.0, "silence")]),
        # A market that says something every 20 s in the mean is not closed for 2 minutes.
        (arriving(np.cumsum(np.random.default_rng(1).exponential(20.0, 2_000))), []),
        (arriving(np.array([0.0, 1.0, 4_000.0])), []),  # too few to say what is usual
    ],
)
def test_silence_is_told_from_a_quiet_market_and_from_a_receiver_that_slept(events, expected):
    assert closed_in(events) == expected


def test_a_market_whose_quotes_go_on_while_nobody_trades_is_closed():
    quotes = arriving(np.arange(0.0, 1_000.0, 0.05), TOP)
    trades = np.concatenate([np.arange(100.0, 300.0, 0.5), np.arange(700.0, 900.0, 0.5)])
    both = np.concatenate([quotes, arriving(trades, TRADE)])
    both = both[np.argsort(both["local_time_ns"], kind="stable")]
    first, halt, last = closed_in(both)
    assert first == (0.0, 100.0, "no trades")
    assert halt == (299.5, 700.0, "no trades")
    assert last == (899.5, 999.95, "no trades")
    assert closed_in(quotes) == []  # a market of which no trade was recorded says nothing


def test_what_the_venue_tells_is_joined_to_what_is_seen():
    events = arriving(np.concatenate([BUSY, BUSY + 800.0]))
    closed = halts_told([(150 * SECOND, False), (810 * SECOND, True), (950 * SECOND, False)])
    assert closed_in(events, told=closed) == [(150.0, 810.0, "halt, silence"), (950.0, 999.9, "halt")]
    assert halts_told([(5, True)]) == [Closed(0, 5, "halt")]  # it was halted before
    assert halts_told([]) == []


def test_intervals_that_meet_are_one():
    result = merged_closed([Closed(5, 9, "halt"), Closed(1, 5, "gap"), Closed(20, 21, "gap")])
    assert result == (Closed(1, 9, "gap, halt"), Closed(20, 21, "gap"))


@pytest.fixture(scope="module")
def whole() -> Recording:
    return window(read_recording(sample_recording()), 0.0, 240.0)


def open_source(recording: Recording) -> Source:
    source = Source(recording.instrument, recording.files[:1], iter([Chunk(recording.events)]))
    return joined([], replace(source, closed=list(recording.closed)), several=False)


def halted(recording: Recording, after: float, seconds: float, jump: int = 0) -> Recording:
    """Return a recording in which nothing happens for some time, and that goes on a few ticks higher."""
    events = recording.events.copy()
    at = int(events["local_time_ns"][0]) + round(after * 1e9)
    later = events["local_time_ns"] >= at
    for name in ("local_time_ns", "exchange_time_ns"):
        events[name][later] += round(seconds * 1e9)
    events["price"][later] += jump
    return assembled(open_source(replace(recording, events=events)))


@pytest.mark.parametrize("jump", [0, 300])
def test_a_calibration_is_that_of_the_open_time(whole, jump):
    result = calibrate(halted(whole, 120.0, 600.0, jump), FEW_DRAWS)
    expected = calibrate(whole, FEW_DRAWS)
    assert result.facts.seconds == pytest.approx(expected.facts.seconds, abs=1.5)  # until it has best prices
    assert result.facts.closed_seconds == pytest.approx(600.0, abs=1.5)
    assert result.facts.market_spread == pytest.approx(expected.facts.market_spread, rel=0.01)
    for name in ("volatility", "market_order_rate", "branching_ratio", "intensity", "fill_decay"):
        ours, theirs = result.parameters[name].value, expected.parameters[name].value
        assert ours == pytest.approx(theirs, rel=0.03), name
    low, high = expected.parameters["adverse_selection"][3:5]
    assert low < result.parameters["adverse_selection"].value < high
    assert any(
        text.startswith("recording: closed time: 600 s in which nothing arrived") for text in result.warnings
    )
    # What it was before: the halt counted as time in which nobody traded.
    counted = calibrate(replace(halted(whole, 120.0, 600.0, jump), closed=()), FEW_DRAWS)
    assert (
        counted.parameters["market_order_rate"].value < 0.4 * expected.parameters["market_order_rate"].value
    )


def test_the_book_of_depth_alone_goes_on_where_the_market_opens(whole):
    """No snapshot comes behind a halt: levels from before it stand, moved as all that follows."""
    depth = replace(whole, events=whole.events[whole.events["kind"] != TOP])
    jumped = replace(halted(depth, 120.0, 600.0), orders=None)
    one = without_gaps(jumped)
    mids = top_of_book(one).mid_price
    assert np.nanmax(np.abs(np.diff(mids))) <= np.nanmax(np.abs(np.diff(top_of_book(depth).mid_price)))
    assert top_of_book(one).market_spread.min() > 0
    assert int(np.sum(one.events["kind"] == SNAPSHOT)) > int(np.sum(depth.events["kind"] == SNAPSHOT))
    assert len(seams_ns(jumped)) == 1


def test_closed_time_at_the_ends_is_no_time_of_the_market(whole):
    start, end = (int(whole.events["local_time_ns"][place]) for place in (0, -1))
    closed = (Closed(start, start + 60 * SECOND, "halt"), Closed(end - 60 * SECOND, end, "halt"))
    part = replace(whole, closed=closed)
    assert part.open_seconds == pytest.approx(whole.duration - 120.0)
    assert without_gaps(part).duration == pytest.approx(whole.duration - 120.0, abs=1.0)
    assert split(part, 0.5)[1].closed == closed[1:]
    nothing = replace(whole, closed=(Closed(start, end, "halt"),))
    assert nothing.open_spans == ()
    assert without_gaps(nothing) is nothing
    with pytest.raises(DataError, match="must be open for some time to be calibrated; received 240 s"):
        calibrate(nothing, FEW_DRAWS)
    assert identity_of_recording(part) != identity_of_recording(whole)  # old runs do not stand for it


def test_the_halts_of_lobster_are_closed_time(tmp_path):
    message = [(34_200 + second, 1, second, 10, 5_850_000, 1) for second in range(120)]
    message[40] = (34_240, 7, 0, 0, -1, -1)
    message[50] = (34_250, 7, 0, 0, 0, -1)
    message[60] = (34_260, 7, 0, 0, 1, -1)
    books = (f"5853000,{20 + row % 2},5850000,10,5854000,5,5849000,7\n" for row in range(120))
    tape = "".join(",".join(map(str, row)) + f"|{book}" for row, book in zip(message, books, strict=True))
    recording = read_recording(write_csv(tmp_path, tape))
    assert recording.closed == (Closed(34_240 * SECOND, 34_260 * SECOND, "halt"),)
    assert "closed time: 20 s in which the venue halted trading, once from" in messages(recording)


def test_files_that_are_written_keep_what_was_closed(whole, tmp_path):
    recording = halted(whole, 60.0, 300.0)
    closed = replace(recording, closed=(*recording.closed, Closed(*recording.open_spans[1], "halt")))
    ticks, npz = tmp_path / "one.ticks.parquet", tmp_path / "one.npz"
    source = open_source(closed)
    write_ticks(source, ticks)
    write_npz(closed, npz)
    spans = [(one.start_ns, one.end_ns) for one in merged_closed(closed.closed)]
    for path in (ticks, npz):
        assert [(one.start_ns, one.end_ns) for one in read_recording(path).closed] == spans
    # The gap between two sessions stays one where they become one file.
    later = whole.events.copy()
    for name in ("local_time_ns", "exchange_time_ns"):
        later[name] += 245 * SECOND  # 5 s behind the first
    spans = [(int(e["local_time_ns"][0]), int(e["local_time_ns"][-1])) for e in (whole.events, later)]
    two = replace(whole, events=np.concatenate([whole.events, later]), sessions=tuple(spans))
    write_npz(two, npz)
    (gap,) = read_recording(npz).closed
    assert gap == Closed(spans[0][1], spans[1][0], "gap")


def test_a_file_whose_closed_time_is_none_is_refused(whole, tmp_path):
    path = tmp_path / "one.npz"
    write_npz(replace(whole, closed=(Closed(5, 1, "halt"),)), path)
    with pytest.raises(RecordingError, match=r"closed time must be \[start ns, end ns, why\]; received"):
        read_recording(path)


def test_no_session_of_a_replay_is_made_of_a_halt(whole):
    """The metrics are those of the sessions in which the market was open; the others are said."""
    recording = halted(whole, 120.0, 600.0)
    settings = ReplaySettings(decision_interval=0.5, horizon=30.0, decision_latency_us=10.0)
    result = api.replay(recording, "glft@0.1", calibration=calibrate(whole, FEW_DRAWS), settings=settings)
    record, row = result.record, result.results.row(0, named=True)
    assert record["sessions"] == row["paths"] == 5  # 27 of 30 s, of which the halt touches 22
    assert record["closed_sessions"] == 22
    total, left = record["total_pnl"]["glft@0.1"], record["closed_pnl"]["glft@0.1"]
    assert 5 * row["pnl"] + left == pytest.approx(total, rel=0.2, abs=1.0)
    assert sum(text.startswith("closed time: it touches 22 of 27") for text in record["warnings"]) == 1
    assert any(text.startswith("recording: closed time: 600 s") for text in record["warnings"])
    assert "\nwarning: recording: closed time: 600 s" in repr(result)
    known = result.markouts.filter(result.markouts["horizon"] == 60.0)["fills"].to_list()
    assert max(known) < max(result.markouts.filter(result.markouts["horizon"] == 0.0)["fills"].to_list())
    with pytest.raises(UsageError, match=r"`horizon` must fit at least twice into the time in which the m"):
        api.replay(
            recording,
            "glft@0.1",
            calibration=calibrate(whole, FEW_DRAWS),
            settings=replace(settings, horizon=100.0),
        )


def test_steps_and_sessions_that_closed_time_touches(whole):
    recording = replace(whole, closed=(Closed(25, 41, "halt"), Closed(60, 61, "gap")))
    time_ns = np.arange(0, 110, 10)
    closed = closed_steps(recording, time_ns)
    assert np.flatnonzero(closed).tolist() == [2, 3, 4, 6]
    result = open_sessions(closed, 2)
    assert result.steps.tolist() == [0, 1, 8, 9]
    assert (result.left_out, result.of) == (3, 5)
    assert open_sessions(None, 2).steps is None
    assert open_sessions(np.zeros(10, bool), 2).steps is None


def test_a_walk_begins_anew_behind_closed_time(whole):
    recording = halted(whole, 120.0, 600.0)
    first, second = sessions_of(recording)
    assert second[0] - first[1] > 599 * SECOND
    assert first[1] - first[0] == pytest.approx(120 * SECOND, rel=0.01)


def test_what_reading_warned_of_stands_beside_every_result(whole, tmp_path):
    path, run = tmp_path / "usdm.ticks.parquet", tmp_path / "run"
    write_ticks(open_source(halted(whole, 120.0, 600.0)), path)
    check = flowhft("data", "check", path)
    assert "closed" in check.out
    assert flowhft("data", "check", path, "--json").json["closed"][0][2] == "silence"
    call = ("calibrate", path, "--calibration.bootstrap-samples", "100", "--out", run)
    said = flowhft(*call)
    assert "warning: recording: closed time: 600 s" in said.out
    assert any("closed time" in text for text in flowhft(*call, "--json").json["warnings"])
    assert read_json(run / "recording.json")["closed_seconds"] == pytest.approx(600.0, abs=0.1)
    call = ("backtest", path, "--calibration", run, "--policies", "glft", "--replay.horizon", "20")
    call += (
        "--replay.decision-interval",
        "0.5",
        "--replay.decision-latency-us",
        "10",
        "--out",
        tmp_path / "b",
    )
    said = flowhft(*call)
    assert "warning: recording: closed time: 600 s" in said.out, said.err
    assert "warning: closed time: it touches" in said.out
    assert any("closed time" in text for text in flowhft(*call, "--json").json["warnings"])
    page = (tmp_path / "b" / "report.html") if flowhft("report", tmp_path / "b").code == 0 else None
    assert page.read_text(encoding="utf-8").count("closed time: 600 s") >= 1


def test_old_files_have_no_closed_time(tmp_path):
    assert read_recording(sample_recording()).closed == ()
    source = open_recording(sample_recording())
    write_ticks(source, tmp_path / "one.ticks.parquet")
    assert read_recording(tmp_path / "one.ticks.parquet").closed == ()
