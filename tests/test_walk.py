"""Walking forward: windows, nothing from the future, flat at both ends, costs, and the command."""

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from program import flowhft

from flowhft.errors import DataError, UsageError
from flowhft.metrics import intervals
from flowhft.metrics.estimators import MEAN
from flowhft.recordings import read_recording, sample_recording
from flowhft.recordings.instrument import Instrument
from flowhft.recordings.order_size import small_order
from flowhft.recordings.ticks import TRADE, Recording, make_events
from flowhft.recordings.windowed import InMemory
from flowhft.runs.folder import manifest_of, read_table
from flowhft.stages.settings import SweepSettings, WalkSettings
from flowhft.studies.walk_forward.windows import plan_windows
from flowhft.types import SCALARS, Fill, Observation, Quote, Trajectory

pytest.importorskip("hftbacktest", reason="the replay needs flowhft[replay]")

from flowhft.calibrate.calibrate import CalibrationSettings
from flowhft.desk.replay.settings import ReplaySettings
from flowhft.desk.replay.tape import Tape
from flowhft.stages.calibration_fit import order_lots_of
from flowhft.stages.costs import evaluate_costs
from flowhft.studies.walk_forward.forward import planned, walk_forward
from flowhft.studies.walk_forward.join import join_paths, join_windows
from flowhft.studies.walk_forward.store import steps_table, trajectory_of, windows_in
from flowhft.studies.walk_forward.trade import WalkWork, ended
from flowhft.studies.walk_forward.walk import replayed_by
from flowhft.work.pool import cores_for

SECOND = 1_000_000_000
SETTINGS = ReplaySettings(decision_interval=0.5, horizon=10.0, decision_latency_us=100.0)
PLAIN = WalkSettings(learn=180.0, trade=60.0, adapt="")


# Windows


def test_windows_tile_what_can_be_traded_and_learn_from_what_is_just_before():
    windows = plan_windows([(7 * SECOND, 107 * SECOND)], 40.0, 25.0)
    at = [(one.trade_start_ns // SECOND, one.trade_end_ns // SECOND) for one in windows]
    assert at == [(47, 72), (72, 97), (97, 107)]
    assert [one.learn_end_ns - one.learn_start_ns for one in windows] == [40 * SECOND] * 3
    assert [one.trade_start_ns - one.learn_end_ns for one in windows] == [0] * 3
    assert len(plan_windows([(7 * SECOND, 107 * SECOND)], 40.0, 25.0, least=11.0)) == 2


def test_a_day_opens_on_what_the_evening_before_was_like():
    monday, tuesday = (0, 100 * SECOND), (1000 * SECOND, 1100 * SECOND)
    windows = plan_windows([monday, tuesday], 40.0, 30.0)
    second = [one for one in windows if one.session == 1]
    assert [one.trade_start_ns // SECOND for one in second] == [1000, 1030, 1060, 1090]
    learned = [(one.learn_start_ns // SECOND, one.learn_end_ns // SECOND) for one in second]
    assert learned == [(60, 100), (60, 100), (1020, 1060), (1050, 1090)]
    # An evening that was too short is nothing to learn from: the day begins as the first one did.
    short = plan_windows([(0, 39 * SECOND), tuesday], 40.0, 30.0)
    assert [one.trade_start_ns // SECOND for one in short] == [1040, 1070]


@given(
    lengths=st.lists(st.integers(1, 500), min_size=1, max_size=4),
    gaps=st.lists(st.integers(1, 500), min_size=4, max_size=4),
    learn=st.integers(1, 200),
    trade=st.integers(1, 200),
)
def test_no_window_learns_from_what_it_trades_or_leaves_a_session(lengths, gaps, learn, trade):
    sessions, at = [], 0
    for length, gap in zip(lengths, gaps, strict=False):
        sessions.append((at * SECOND, (at + length) * SECOND))
        at += length + gap
    try:
        windows = plan_windows(sessions, learn, trade)
    except UsageError:
        assert max(lengths) <= learn
        return
    for one in windows:
        start, end = sessions[one.session]
        assert one.learn_end_ns <= one.trade_start_ns < one.trade_end_ns
        assert start <= one.trade_start_ns
        assert one.trade_end_ns <= end
        assert any(first <= one.learn_start_ns and one.learn_end_ns <= last for first, last in sessions)
    ends = [0] + [one.trade_end_ns for one in windows]
    assert all(one.trade_start_ns >= before for one, before in zip(windows, ends, strict=False))


def test_a_session_that_is_too_short_is_refused():
    with pytest.raises(
        UsageError, match=r"`walk.learn` must leave 5 s or more of a session to trade; .*60\.000 s"
    ):
        plan_windows([(0, 60 * SECOND)], 58.0, 10.0, least=5.0)


# One window, on the bundled recording


@pytest.fixture(scope="module")
def recording() -> Recording:
    return read_recording(sample_recording())


@pytest.fixture(scope="module")
def work(recording) -> WalkWork:
    plan = WalkWork(
        paths=(sample_recording(),),
        repair=False,
        policies="white_noise,glft",
        windows=(),
        walk=PLAIN,
        replay=SETTINGS,
        calibration=CalibrationSettings(bootstrap_samples=100),
        sweep=SweepSettings(fees=(0.0, 2.0)),
        seed=3,
    )
    return planned(plan, InMemory(recording))


@pytest.fixture(scope="module")
def second(work, recording):
    """Return what became of the second window: what lies before the first cannot be calibrated."""
    return work.trade(work.prepared_for(InMemory(recording)), work.windows[1])


def disturbed(recording: Recording, since_ns: int) -> Recording:
    """Return a recording whose market is another one from a moment on; when messages come stays the same."""
    events = recording.events.copy()
    after = events["local_time_ns"] >= since_ns
    events["price"][after] += 1000
    events["quantity"][after] *= 3
    traded = after & (events["kind"] == TRADE)
    events["side"][traded] *= -1
    return replace(recording, events=events)


def columns(path: Trajectory, steps: int) -> bytes:
    return np.ascontiguousarray(steps_table(path).head(steps).to_numpy()).tobytes()


def test_nothing_comes_from_the_future(work, recording, second):
    part = work.windows[1]
    middle = (part.trade_start_ns + part.trade_end_ns) // 2
    result = work.trade(work.prepared_for(InMemory(disturbed(recording, middle))), part)
    assert repr(result.record["parameters"]) == repr(second.record["parameters"])
    before = int(0.5 * (part.trade_end_ns - part.trade_start_ns) / SECOND / SETTINGS.interval) - 1
    for name, one in second.replayed.items():
        # What a step earns is known at its end: the last step before the disturbance is left out above.
        assert columns(result.replayed[name].trajectory, before) == columns(one.trajectory, before)
        assert columns(result.replayed[name].trajectory, 10**6) != columns(one.trajectory, 10**6)
    after = work.trade(work.prepared_for(InMemory(disturbed(recording, part.trade_end_ns + SECOND))), part)
    assert repr(after.record) == repr(second.record)
    for name, one in second.replayed.items():
        assert columns(after.replayed[name].trajectory, 10**6) == columns(one.trajectory, 10**6)
    # The past does count: otherwise this test could not fail.
    past = work.trade(
        work.prepared_for(InMemory(disturbed(recording, part.learn_start_ns + 90 * SECOND))), part
    )
    assert repr(past.record.get("parameters")) != repr(second.record["parameters"])


def test_a_window_whose_past_says_too_little_is_not_traded(work, recording):
    refused = work.trade(work.prepared_for(InMemory(recording)), work.windows[0])
    assert not refused.replayed
    assert "`fill_decay` must rest on 30 market orders" in refused.record["refused"]


def test_one_order_size_for_the_walk_and_answers_of_every_window(work, recording, second):
    first, part = work.windows[:2]
    past = InMemory(recording).window(first.learn_start_ns, first.learn_end_ns)
    assert work.replay.order_lots == small_order(past) != small_order(recording)
    result, scenario = work.calibrated(InMemory(recording), part, 3)
    assert second.record["answered"] == result.facts.answered > 0.0
    assert order_lots_of(scenario, recording.instrument) == work.replay.order_lots
    settings = replayed_by(work.replay, [second, second._replace(record={"answered": 0.0})])
    assert settings.answered == 0.5 * result.facts.answered
    assert settings.fills == "capped"
    assert replayed_by(replace(work.replay, answered=0.1), [second]).answered == 0.1
    sides = second.replayed["glft"].fills["lots"]
    assert sides.max() <= work.replay.order_lots


def test_fees_of_the_sweep_are_charged_on_what_is_traded(work, second):
    fills = second.replayed["glft"].fills
    lots_per_order = work.replay.lots
    traded = float((fills["price"] * fills["lots"]).sum()) / lots_per_order
    pnl = {
        fee: table["pnl"].sum()
        for (fee,), table in second.costs.filter(pl.col("policy") == "glft").group_by("maker_fee_bps")
    }
    assert traded > 0.0
    assert pnl[0.0] - pnl[2.0] == pytest.approx(2e-4 * traded, rel=1e-9)


# Both ends of a window


def trajectory(steps: int, bought: dict[int, float], mid: np.ndarray | None = None) -> Trajectory:
    """Return a course that buys so many lots in these steps (sells where negative), and never quotes."""
    fills = np.zeros(steps)
    for step, lots in bought.items():
        fills[step] = lots
    held = np.concatenate([[0.0], np.cumsum(fills)[:-1]])
    zeros = np.zeros(steps)
    observed = {name: zeros for name in SCALARS} | {"inventory": held}
    path = Trajectory(
        observation=Observation(**observed),
        quote=Quote(zeros, zeros, zeros + 1.0, zeros + 1.0),
        fill=Fill(np.maximum(fills, 0.0), np.maximum(-fills, 0.0)),
        spread_pnl=0.25 * np.abs(fills),
        inventory_pnl=np.arange(steps, dtype=float),
        fee=zeros,
    )
    return Trajectory(*(_with_path(values) for values in path))


def _with_path(values):
    if isinstance(values, tuple):
        return type(values)(*map(_with_path, values))
    return None if values is None else values[None, :]


def tape_of(spreads: list[int]) -> Tape:
    """Return what is known each second: a bid of 1,000, and an ask so far above it."""
    bid, nothing = np.full(len(spreads), 1000), np.zeros((len(spreads), 2))
    return Tape(
        SECOND * np.arange(len(spreads)),
        bid,
        bid + np.array(spreads),
        nothing,
        nothing,
        np.zeros((len(spreads), 0)),
    )


def test_what_is_open_at_the_end_is_closed_at_the_best_price():
    settings = ReplaySettings(decision_interval=1.0, horizon=3.0, taker_fee_bps=10.0)
    tape = tape_of([2, 2, 2, 2, 2, 2, 8, 40])
    end = ended(trajectory(8, {1: 2.0, 4: -5.0}), tape, settings, 7.0)
    assert np.shape(end.trajectory.fee) == (1, 6)  # the seventh second is no whole session
    assert end.inventory == -3.0
    # Half of the spread of 8 ticks, and a thousandth of the ask of 1,008, on three lots.
    assert end.fee == pytest.approx(3.0 * (4.0 + 1.008))
    assert end.trajectory.fee[0, -1] == pytest.approx(end.fee)
    assert np.all(end.trajectory.fee[0, :-1] == 0.0)
    flat = ended(trajectory(8, {1: 2.0, 4: -2.0}), tape, settings, 7.0)
    assert flat.fee == flat.inventory == 0.0
    # Inverse, measured at 900: sold at 1,000 where the mid is 1,004, and a thousandth of 900^2 / 1,000.
    coin = ended(trajectory(8, {1: 2.0, 4: -1.0}), tape, settings, 7.0, reference=900.0)
    assert coin.fee == pytest.approx(900.0**2 * (1 / 1000 - 1 / 1004) + 0.81)


def test_the_next_window_begins_flat(second, work, recording):
    joined = join_windows([second, second], InMemory(recording), work.replay, money=0.5)
    steps = np.shape(second.replayed["glft"].trajectory.fee)[-1]
    for name, one in joined.replayed.items():
        inventory = one.trajectory.observation.inventory[0]
        assert inventory[0] == inventory[steps] == 0.0
        alone = second.replayed[name]
        assert one.orders.submitted == 2 * alone.orders.submitted
        assert one.fills["step"].to_list() == (
            alone.fills["step"].to_list() + (alone.fills["step"] + steps).to_list()
        )
        assert np.sum(one.trajectory.fee) == pytest.approx(2 * np.sum(alone.trajectory.fee))
    rows = joined.windows.filter(pl.col("policy") == "glft")
    path = second.replayed["glft"].trajectory
    assert (
        rows["pnl"].to_list()
        == [pytest.approx(0.5 * float(np.sum(path.spread_pnl + path.inventory_pnl - path.fee)))] * 2
    )
    assert joined.time[0] == pytest.approx(second.record["trade_start"] + SETTINGS.interval)


def test_what_one_window_did_not_keep_is_not_in_the_whole():
    path = trajectory(4, {1: 1.0})
    kept = path._replace(mid_after=np.ones((1, 4)))
    assert join_paths([kept, kept]).mid_after.shape == (1, 8)
    assert join_paths([kept, path]).mid_after is None


# Costs


def test_intervals_of_the_sweep_are_those_of_sessions():
    random = np.random.default_rng(5)
    courses = {"a": random.normal(0.3, 1.0, 43), "b": random.normal(0.0, 1.0, 43)}
    table = pl.concat(
        [
            pl.DataFrame(
                {"policy": name, "maker_fee_bps": 1.0, "latency_ms": 5.0, "step": range(43)}
            ).with_columns(pnl=pl.Series(values), fills=pl.lit(1.0))
            for name, values in courses.items()
        ]
    )
    result = evaluate_costs(table, 8, 7, "b", confidence=0.9)
    rows = {row["policy"]: row for row in result.iter_rows(named=True)}
    earned = {name: values[:40].reshape(5, 8).sum(axis=1) for name, values in courses.items()}
    for name, values in earned.items():
        written = [rows[name][f"pnl{end}"] for end in ("", "_low", "_high")]
        assert written == pytest.approx(intervals.single(MEAN, (values,), 0.9))
    paired = intervals.single(MEAN, (earned["a"] - earned["b"],), 0.9)
    assert [rows["a"][f"difference{end}"] for end in ("", "_low", "_high")] == pytest.approx(paired)
    assert rows["b"]["difference"] is None
    assert rows["a"]["fills"] == 8.0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"fees": (1.0, 1.0)}, "`fees` must hold every number once"),
        ({"latencies": (-1.0,)}, "`latencies` must be 0 or more"),
        ({"latencies": (float("nan"),)}, "`latencies` must be 0 or more"),
        (
            {"fees": tuple(range(30)), "latencies": tuple(range(30))},
            "a grid of at most 400 points; received 900",
        ),
    ],
)
def test_costs_that_cannot_be_are_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        SweepSettings(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"learn": 0.0}, "`learn` must be positive and finite"),
        ({"trade": float("inf")}, "`trade` must be positive and finite"),
        ({"teachers": 1}, "`teachers` must be 0, or at least 2"),
        ({"generations": 0}, "`generations` must be at least 1"),
    ],
)
def test_walks_that_cannot_be_are_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        WalkSettings(**settings)


# Kept and gone on with


def test_a_kept_window_comes_back_as_it_was(second, tmp_path):
    finished = windows_in(tmp_path)
    assert "00004" not in finished
    finished["00004"] = second
    assert "00004" in finished
    back = finished["00004"]
    for name, one in second.replayed.items():
        assert columns(back.replayed[name].trajectory, 10**6) == columns(one.trajectory, 10**6)
        assert back.replayed[name].fills.equals(one.fills)
        assert back.replayed[name].orders == one.orders
    assert back.costs.equals(second.costs)
    assert back.record["open_at_end"] == second.record["open_at_end"]


def test_a_trajectory_survives_as_columns():
    path = trajectory(5, {0: 1.0, 3: -1.0})
    back = trajectory_of(steps_table(path))
    assert back.mid_after is None
    assert back.activity is None
    assert columns(back, 5) == columns(path, 5)


def test_an_interrupted_walk_trades_only_what_is_missing(work, second, tmp_path):
    windows = tuple(work.windows[1]._replace(number=number) for number in range(3))
    plan, asked = replace(work, windows=windows), []

    def executor(plan, tasks, progress):
        for task in tasks:
            if task.span.number == 2 and 2 not in asked:
                asked.append(2)
                raise KeyboardInterrupt
            asked.append(task.span.number)
            yield task, second

    kept = windows_in(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        walk_forward(plan, kept, executor)
    result = walk_forward(plan, kept, executor)
    assert asked == [0, 1, 2, 2]
    assert len(result) == 3


def test_a_walk_that_cannot_trade_at_all_says_why(work, second, tmp_path):
    refused = second._replace(record=second.record | {"refused": "too quiet."}, replayed={})
    with pytest.raises(DataError, match=r"could be traded; of the last one: too quiet\. Learn from longer"):
        walk_forward(work, windows_in(None), lambda work, tasks, told: [(task, refused) for task in tasks])


def test_sessions_of_a_recording_built_by_hand():
    seconds = SECOND * np.arange(3)
    events = make_events(TRADE, 1, seconds, seconds, np.full(3, 1000), np.full(3, 5), np.arange(3))
    by_hand = InMemory(Recording(Instrument("test", "X", "USD", 0.01, 1.0), events))
    assert by_hand.sessions == ((0, 2 * SECOND),)
    assert cores_for(8, 3) == 3
    assert cores_for(2, 3) == 2
    assert cores_for(0, 1) == 1


# The command


def test_the_command_walks_and_goes_on_where_it_was(tmp_path):
    arguments = [
        *("backtest", str(sample_recording()), "--walk-forward", "--policies", "glft,white_noise"),
        *("--walk.learn", "240", "--walk.trade", "60", "--walk.adapt", "", "--cores", "1", "--quiet"),
        *("--replay.decision-latency-us", "100", "--replay.horizon", "20", "--sweep.fees", "0,1"),
        *("--replay.decision-interval", "0.5", "--out", str(tmp_path / "walk"), "--json"),
    ]
    code, said, _ = flowhft(*arguments)
    assert code == 0
    result = json.loads(said)
    windows = read_table(tmp_path / "walk" / "windows.parquet")
    assert windows["window"].n_unique() == 4
    assert result["folder"] == str(tmp_path / "walk")
    costs = read_table(tmp_path / "walk" / "costs.parquet")
    assert costs.height == 6  # three policies at two fees, no_quote among them
    at_cost = costs.filter(pl.col("policy") == "glft").sort("maker_fee_bps")["pnl"].to_list()
    results = {
        row["policy"]: row for row in read_table(tmp_path / "walk" / "results.parquet").iter_rows(named=True)
    }
    assert at_cost[0] == pytest.approx(results["glft"]["pnl"])  # the same course, judged twice
    assert at_cost[1] < at_cost[0]
    total = windows.filter(pl.col("policy") == "glft")["pnl"].sum()
    assert total == pytest.approx(results["glft"]["pnl"] * results["glft"]["paths"])
    before = manifest_of(tmp_path / "walk")["started"]
    assert flowhft(*arguments).code == 0
    assert manifest_of(tmp_path / "walk")["started"] == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("", "`calibration` must be given unless walking forward"),
        ("--walk-forward --calibration nowhere", "`calibration` must not be given when walking forward"),
        ("--walk-forward --after 0.5", "`after` must not be given when walking forward"),
        ("--walk-forward --teachers nowhere", "`teachers` must not be given when walking forward"),
        ("--walk-forward --walk.adapt glft", "`walk.adapt` must be a saved policy; received 'glft'"),
        ("--walk-forward --walk.learn 470", "`walk.learn` must leave"),
        (
            "--walk-forward --walk.adapt= --walk.trade 10 --replay.horizon 20",
            "`walk.trade` must hold a session",
        ),
        ("--walk-forward --cores=-1", "`cores` must be 0 or more"),
    ],
)
def test_what_cannot_be_walked_is_refused(options, message, tmp_path):
    code, _, error = flowhft(
        *("backtest", sample_recording(), "--policies", "glft", "--out", tmp_path / "walk"),
        *("--replay.decision-interval", "0.5", "--quiet", *options.split()),
    )
    assert code == 2, error
    assert message in error


@pytest.mark.slow  # processes of their own compile for themselves
@pytest.mark.parametrize("where", [("--cores", "2"), ("--ray", "auto")], ids=["cores", "ray"])
def test_windows_side_by_side_find_the_same(where, tmp_path):
    if where[0] == "--ray":
        pytest.importorskip("ray", reason="needs flowhft[scale]")
    results = []
    for name, how in (("here", ("--cores", "1")), ("there", where)):
        arguments = [
            *("backtest", str(sample_recording()), "--walk-forward", "--policies", "glft,flowhft"),
            *("--walk.learn", "240", "--walk.trade", "120", "--walk.paths", "16", "--walk.generations", "1"),
            *("--replay.decision-latency-us", "100", "--quiet", "--out", str(tmp_path / name), *how),
        ]
        assert flowhft(*arguments).code == 0
        results.append(read_table(tmp_path / name / "windows.parquet"))
    assert "adapted" in results[0]["policy"].to_list()
    assert results[0].equals(results[1])
