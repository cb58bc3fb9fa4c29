"""One desk: observer, order rules, risk and account alone; a session in plain Python against the replay."""

import itertools
import math
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from program import flowhft
from test_replay import INSTANT, constant, quiet, random_market

from flowhft.desk import risk
from flowhft.desk.account import LEAVING, ORDER_ID, WORKING, book, note_requests, open_account
from flowhft.desk.compiled import Frozen, begin, freeze_expert, quote
from flowhft.desk.compiled.freeze import freeze
from flowhft.desk.journal import Journal, read_journal, steps_table
from flowhft.desk.limits import RiskSettings
from flowhft.desk.observer import MarketState, Observer, OrderFlow
from flowhft.desk.order_rules import order_rules, prices_of
from flowhft.desk.orders import (
    CANCELED,
    EXPIRED,
    FILLED,
    NEW,
    NO_PRICE,
    NONE,
    PARTIALLY_FILLED,
    OrderCounts,
    OrderUpdate,
    Requests,
    Rules,
    Wanted,
)
from flowhft.desk.replay.engine import Market, Replayed, prepare, rules_of, trade
from flowhft.desk.replay.engine import replay as replay_all
from flowhft.desk.replay.plain import ReplayVenue, play
from flowhft.desk.replay.settings import ReplaySettings
from flowhft.desk.replay.tape import Tape, read_tape
from flowhft.desk.replay.venue import close_venue, open_venue
from flowhft.desk.session import Session
from flowhft.errors import DataError, UsageError
from flowhft.metrics.measures import inventory_after
from flowhft.policies.names import find_policy
from flowhft.policies.rules import EXPERTS
from flowhft.recordings import read_recording, sample_recording
from flowhft.recordings.book import top_of_book
from flowhft.recordings.split import window
from flowhft.recordings.ticks import BUY, SELL, SNAPSHOT, TOP, TRADE, Recording
from flowhft.runs.folder import read_json, write_json
from flowhft.scenarios.scenario import Scenario
from flowhft.stages.journalled import evaluate_journal
from flowhft.types import Estimates, Quote

MS = 1_000_000
SETTINGS = ReplaySettings(decision_latency_us=100.0, fills="whole")  # by hftbacktest
FLOW = OrderFlow(base_intensity=0.5, self_excitation=1.2, cross_excitation=0.4, decay=7.0)
MARKET = Scenario(
    name="bundled", horizon=60.0, dt=0.1, price="additive", initial_price=1e5, volatility=42.0,
    base_intensity=0.8, fill_decay=0.034, risk_aversion=0.0034,
)  # fmt: skip


def glft() -> Frozen:
    told = EXPERTS["glft"].coefficients(Estimates(42.0, 0.0, 0.8, 0.034, 60.0), 0.0034)
    return freeze_expert(EXPERTS["glft"], told)


def shipped() -> Frozen:
    return freeze(find_policy("flowhft"), MARKET)


POLICIES = {"glft": glft, "flowhft": shipped}


@pytest.fixture(scope="module")
def whole() -> Recording:
    return read_recording(sample_recording())


@pytest.fixture(scope="module")
def sample(whole: Recording) -> Recording:
    return window(whole, 170.0, 260.0)


# The observer


def slow_tape(recording: Recording, settings: ReplaySettings, flow: OrderFlow | None) -> Tape:
    """The tape as arrays define it: rows of the top, market orders and sums over them, by their times."""
    events, top = recording.events, top_of_book(recording)
    known = np.isfinite(top.mid_price)
    times = top.local_time_ns[known]
    start = max(events["local_time_ns"][events["kind"] == SNAPSHOT][0], times[0])
    interval = round(settings.interval * 1e9)
    time = start + interval * np.arange((events["local_time_ns"][-1] - start) // interval + 1)
    row = np.searchsorted(times, time, side="right") - 1
    trades = events[events["kind"] == TRADE]
    apart = np.diff(trades["exchange_time_ns"]) > round((settings.order_window or 0.0) * 1e9)
    first = np.append(True, apart | (np.diff(trades["side"]) != 0))
    arrived, came_for = trades["local_time_ns"][first], trades["side"][first] == BUY
    counted = np.stack([np.searchsorted(arrived[came_for == ask], time, "right") for ask in (0, 1)], 1)
    if flow is None:
        intensity = (counted - counted[0] + 1.0) / (1e-9 * (time - start)[:, None] + 1.0)
    else:
        intensity = np.empty((len(time), 2))
        excited, last, i = [0.0, 0.0], int(time[0]), 0
        for step, now in enumerate(time.tolist()):
            while i < len(arrived) and arrived[i] <= now:
                at = int(arrived[i])
                kept = math.exp(-flow.decay * 1e-9 * (at - last)) if any(excited) else 1.0
                for side in (0, 1):
                    own = bool(came_for[i]) == bool(side)
                    jump = flow.self_excitation if own else flow.cross_excitation
                    excited[side] = kept * excited[side] + jump
                last, i = at, i + 1
            kept = math.exp(-flow.decay * 1e-9 * (now - last)) if any(excited) else 1.0
            excited, last = [kept * value for value in excited], now
            intensity[step] = [flow.base_intensity + value for value in excited]
    return Tape(
        time_ns=time,
        best_bid=top.best_bid[known][row],
        best_ask=top.best_ask[known][row],
        arrivals=np.diff(counted, axis=0, prepend=counted[:1]).astype(np.float64),
        intensity=intensity,
        book=np.zeros((len(time), 0)),
    )


def observed(
    recording: Recording, settings: ReplaySettings, flow: OrderFlow | None = None
) -> Iterator[MarketState]:
    """What an observer knows at every decision that is told the events as they arrive, and no later ones."""
    events, published = recording.events, bool(np.any(recording.events["kind"] == TOP))
    observer = Observer(published, flow, settings.order_window or 0.0)
    arrived, taken = events["local_time_ns"], 0
    while not observer.known:  # message by message: all that comes at one time
        upto = int(np.searchsorted(arrived, arrived[taken], "right"))
        observer.take(events[taken:upto])
        taken = upto
    time = int(arrived[taken - 1])
    while time <= arrived[-1]:
        upto = int(np.searchsorted(arrived, time, "right"))
        yield observer.step(events[taken:upto], time)
        time, taken = time + round(settings.interval * 1e9), upto


def assert_tapes_equal(one: Tape, other: Tape) -> None:
    for name, ours, theirs in zip(Tape._fields, one, other, strict=True):
        assert ours.tobytes() == np.asarray(theirs, ours.dtype).tobytes(), name


@pytest.mark.parametrize("published", [True, False])
@pytest.mark.parametrize("flow", [None, FLOW])
def test_what_is_observed_event_by_event_is_the_tape(
    whole: Recording, published: bool, flow: OrderFlow | None
) -> None:
    """To the last bit on the bundled recording, with its published best prices and from its depth alone."""
    recording = whole
    if not published:
        recording = replace(whole, events=whole.events[whole.events["kind"] != TOP])
    settings = replace(SETTINGS, order_window=0.01)
    tape = read_tape(recording, settings, flow)
    assert_tapes_equal(tape, slow_tape(recording, settings, flow))
    rows = list(observed(recording, settings, flow))
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    folded = Tape(*columns[:3], np.stack(columns[3:5], axis=1), np.stack(columns[5:7], axis=1), columns[7])
    assert_tapes_equal(tape, folded)
    assert len(rows) > 4000
    assert len(set(columns[1].tolist())) > 100  # it saw the price move


@pytest.mark.parametrize("seed", range(6))
def test_the_tape_of_random_books_is_that_of_their_arrays(seed: int) -> None:
    recording = random_market(seed, events=300)
    settings = replace(INSTANT, decision_interval=0.02)
    for flow in (None, FLOW):
        assert_tapes_equal(read_tape(recording, settings, flow), slow_tape(recording, settings, flow))


def test_an_empty_side_keeps_the_last_prices_and_a_new_snapshot_clears_the_book() -> None:
    market = quiet()
    for price in range(990, 1000):
        market.depth(BUY, 50, price, 0)
    recording = market.until(350)
    again = np.array(
        [(SNAPSHOT, side, 150 * MS, 150 * MS, price, 5, 77) for side, price in ((BUY, 980), (SELL, 1020))],
        recording.events.dtype,
    )
    events = np.concatenate([recording.events, again])
    recording = replace(recording, events=events[np.argsort(events["local_time_ns"], kind="stable")])
    tape = read_tape(recording, INSTANT)
    assert tape.best_bid.tolist() == [999, 999, 980, 980]
    assert tape.best_ask.tolist() == [1001, 1001, 1020, 1020]


# Order rules and account


RULES = Rules(
    decision_latency_ns=0,
    horizon_ns=10**10,
    order_lots=4,
    limit_lots=12,
    minimum_change=2,
    time_in_force=1,
    maker_fee=1e-4,
    taker_fee=5e-4,
    order_rate_per_ns=1e-9,
    order_burst=3.0,
    reference=0.0,
)


def ask_for(account: Any, bid: int, ask: int, now: int = 0, lots: int = 4) -> Requests:
    """Decide, and remember what is decided, as a session does."""
    before = [array.tobytes() for array in account]
    requests = order_rules(RULES, account, Wanted(bid, lots, ask, lots), now)
    assert [array.tobytes() for array in account] == before  # it decides, and changes nothing
    note_requests(account, requests)
    return requests


def say(account: Any, number: int, status: int, left: int, asked: int = NONE, price: int = 0) -> Any:
    return book(account, RULES, OrderUpdate(number, status, left, 5, asked, price, 1))


def test_order_rules_decide_without_a_venue() -> None:
    account = open_account(RULES)
    first = ask_for(account, 990, 1010)
    assert [(r.cancel, r.number, r.price, r.lots) for r in first[:2]] == [(0, 1, 990, 4), (0, 2, 1010, 4)]
    # Nothing was heard yet: a quote that moves by enough waits, one that moves by less stays.
    waits = ask_for(account, 988, 1011)
    assert [r.number for r in waits[:2]] == [0, 0]
    say(account, 1, NEW, 4)
    say(account, 2, NEW, 4)
    # One order is left in the budget, and a second earns another: the bid takes it, the ask is held back.
    moved = ask_for(account, 980, 1020)
    assert (moved.bid.cancel, moved.bid.number, moved.ask.cancel, moved.ask.number) == (1, 3, 0, 0)
    assert account.slots[0, LEAVING, ORDER_ID] == 1
    later = ask_for(account, 980, 1020, now=10**9)
    assert (later.ask.cancel, later.ask.number) == (2, 4)
    # What must go, goes, budget or not.
    say(account, 4, NEW, 4)
    say(account, 2, CANCELED, 4)
    gone = ask_for(account, 980, NO_PRICE, now=10**9)
    assert (gone.ask.cancel, gone.ask.number) == (4, 0)
    assert OrderCounts(*account.counts.tolist()) == OrderCounts(4, 3, 0, 1, 1, 1, 0)


def test_a_new_order_counts_on_all_that_may_still_fill() -> None:
    account = open_account(RULES)
    ask_for(account, 990, NO_PRICE, lots=8)
    say(account, 1, NEW, 8)
    # The eight that are to go may fill before they do: eight more could make sixteen.
    limited = ask_for(account, 980, NO_PRICE, lots=8)
    assert (limited.bid.cancel, limited.bid.number) == (1, 0)
    assert account.counts[6] == 1


def test_an_account_is_told_and_books_everything_once() -> None:
    account = open_account(RULES)
    ask_for(account, 990, 1010)
    assert say(account, 1, PARTIALLY_FILLED, 3, price=990)[:2] == (1, 1)
    assert say(account, 1, PARTIALLY_FILLED, 3, price=990)[:2] == (1, 0)  # said twice
    assert say(account, 7, FILLED, 0, price=990) == (0, 0, False)  # of somebody else
    assert (account.inventory, account.cash) == (1, -990.0)
    # It was cancelled as it filled: what is left fills, then it is done.
    ask_for(account, NO_PRICE, 1010)
    assert account.slots[0, LEAVING, ORDER_ID] == 1
    assert say(account, 1, FILLED, 0, price=990) == (1, 3, True)
    assert say(account, 1, CANCELED, 0, price=990) == (0, 0, False)
    assert say(account, 2, EXPIRED, 4) == (-1, 0, True)
    assert (account.inventory, account.cash, account.counts[2]) == (4, -3960.0, 1)
    assert account.fee == pytest.approx(1e-4 * 3960.0)
    assert account.whole.tolist()[1:] == [4, 0, 2]
    assert not account.slots[:, WORKING, ORDER_ID].any()


def test_prices_are_off_the_mid_and_off_the_other_side() -> None:
    assert prices_of(RULES, Quote(1.2, 0.7, 1.0, 0.5), 999, 1002) == Wanted(999, 4, 1002, 2)
    assert prices_of(RULES, Quote(-9.0, -9.0, 1.0, 1.0), 999, 1002) == Wanted(1001, 4, 1000, 4)
    out = prices_of(RULES, Quote(math.nan, 3.0, 1.0, 0.0), 999, 1002)
    assert (out.bid, out.ask) == (NO_PRICE, NO_PRICE)


# A session in plain Python


def by_session(
    recording: Recording, settings: ReplaySettings, policy: Frozen, flow: OrderFlow | None = None
) -> tuple[Session, Market]:
    """Let a policy quote event by event: observer, session, and hftbacktest behind the thin interface."""
    market = prepare(recording, settings, flow)
    rules = rules_of(settings, settings.decision_latency_us or 0.0)
    wire = open_venue(market.events, settings)
    venue = ReplayVenue(wire, rules, settings)
    session = Session(rules, venue, room=len(market.tape.time_ns) - 1)
    memory = begin(policy, 0)
    play(session, venue, observed(recording, settings, flow), lambda seen, _: quote(policy, memory, seen))
    close_venue(wire)
    return session, market


def assert_same(session: Session, compiled: Replayed) -> None:
    columns = ["step", "exchange_time_ns", "side", "price", "lots", "maker"]
    fills = pl.DataFrame(session.fills, schema=dict.fromkeys(columns, pl.Int64), orient="row")
    assert fills.equals(compiled.fills.select(columns))
    assert session.counts == compiled.orders
    ours, theirs = steps_table(session.trajectory), steps_table(compiled.trajectory)
    assert ours.columns == theirs.columns
    assert ours.to_numpy().tobytes() == theirs.to_numpy().tobytes()


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(
    "settings",
    [
        replace(SETTINGS, order_window=0.01),
        replace(SETTINGS, order_rate=1.3, order_burst=4, response_latency_ms=130.0, maker_fee_bps=0.5),
    ],
    ids=["as it is", "rationed and late"],
)
def test_a_session_fills_what_the_compiled_replay_fills(
    sample: Recording, settings: ReplaySettings, policy: str
) -> None:
    frozen = POLICIES[policy]()
    settings = replace(settings, order_window=settings.order_window or 0.0)
    session, market = by_session(sample, settings, frozen, FLOW)
    compiled = trade(market, "it", frozen, settings, 0)
    assert len(session.fills) > 5
    assert_same(session, compiled)


@pytest.mark.slow
@pytest.mark.parametrize("policy", POLICIES)
def test_a_session_fills_what_the_compiled_replay_fills_on_the_whole_recording(
    whole: Recording, policy: str
) -> None:
    frozen, settings = POLICIES[policy](), replace(SETTINGS, order_window=0.01)
    session, market = by_session(whole, settings, frozen)
    assert len(session.fills) > 50
    assert_same(session, trade(market, "it", frozen, settings, 0))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "more",
    [{"partial_fills": True}, {"post_only": False, "taker_fee_bps": 4.0}, {"latency_model": "recorded"}],
)
def test_the_replay_in_plain_python_is_the_compiled_one(seed: int, more: dict, tmp_path: Path) -> None:
    """Whatever the venue is set to; a replay with a journal runs in plain Python."""
    recording = random_market(seed, events=500)
    settings = replace(INSTANT, order_latency_ms=3.0, response_latency_ms=4.0, decision_interval=0.05, **more)
    if "latency_model" in more:
        late = recording.events.copy()
        late["local_time_ns"] += np.maximum.accumulate(np.arange(len(late)) % 40) * MS
        recording = replace(recording, events=late)
    market, policy = prepare(recording, settings), constant(0.5, 0.4)
    compiled = trade(market, "it", policy, settings, 0)
    journal = Journal(tmp_path / "it", {"policy": "it"}, every=7)
    plain = trade(market, "it", policy, settings, 0, journal=journal)
    journal.finish()
    assert len(compiled.fills) > 5
    assert plain.fills.equals(compiled.fills)
    assert plain.orders == compiled.orders
    assert steps_table(plain.trajectory).equals(steps_table(compiled.trajectory), null_equal=True)
    # And the journal says the same again.
    result = read_journal(tmp_path / "it")
    assert result.finished
    assert result.counts == compiled.orders
    assert result.fills.equals(compiled.fills.drop("hidden"))
    assert (
        steps_table(result.trajectory).to_numpy().tobytes()
        == steps_table(compiled.trajectory).to_numpy().tobytes()
    )
    sent = result.orders.filter(what="new")
    assert sent["number"].to_list() == list(range(1, compiled.orders.submitted + 1))
    assert set(result.orders["what"]) >= {"new", "cancel", "done"}


# Risk


def limited(recording: Recording, limits: RiskSettings, tmp_path: Path, **more: Any) -> tuple[Replayed, Any]:
    settings = replace(INSTANT, order_latency_ms=2.0, response_latency_ms=3.0, decision_interval=0.05, **more)
    settings = replace(settings, risk=limits)
    compiled = replay_all(recording, {"it": constant(0.0, 0.1)}, settings)["it"]
    journal = Journal(tmp_path / "it", {"policy": "it"})
    plain = trade(prepare(recording, settings), "it", constant(0.0, 0.1), settings, 0, journal=journal)
    journal.finish()
    assert plain.orders == compiled.orders
    return compiled, read_journal(tmp_path / "it")


@pytest.mark.parametrize("seed", range(3))
def test_risk_limits_hold_in_every_step(seed: int, tmp_path: Path) -> None:
    recording = random_market(seed, events=800)
    free, _ = limited(recording, RiskSettings(), tmp_path / "free")
    held = np.abs(inventory_after(free.trajectory)[0])
    assert held.max() == INSTANT.inventory_limit

    result, journal = limited(recording, RiskSettings(max_inventory=2.0), tmp_path / "inventory")
    held = np.abs(np.cumsum(result.fills["side"].to_numpy() * result.fills["lots"].to_numpy()))
    assert held.max() == 2 * INSTANT.order_lots
    assert result.orders.over_inventory > 0
    reducing = journal.steps.filter(risk_state="reducing")
    assert set(reducing["risk_reason"]) == {"inventory"}

    # A position of two orders is worth about 8,000 ticks x lots.
    result, _ = limited(recording, RiskSettings(max_notional=8_200.0), tmp_path / "notional")
    held = np.cumsum(result.fills["side"].to_numpy() * result.fills["lots"].to_numpy())
    assert np.abs(held).max() == 2 * INSTANT.order_lots
    assert result.orders.over_notional > 0

    result, journal = limited(recording, RiskSettings(max_order_rate=5), tmp_path / "rate")
    times = journal.orders.filter(what="new")["time_ns"].to_numpy()
    assert len(times) > 20
    assert np.all(times[5:] - times[:-5] >= 10**9)  # no second holds six
    assert result.orders.over_rate > 0


def test_risk_refuses_what_is_far_from_the_mid(tmp_path: Path) -> None:
    settings = replace(INSTANT, risk=RiskSettings(max_distance=5.0))
    near, far = (
        replay_all(quiet().until(450), {"it": constant(d)}, settings)["it"].orders for d in (5.0, 6.0)
    )
    assert near == OrderCounts(2, 0, 0, 0, 0, 0, 0)
    assert far == OrderCounts(0, 0, 0, 0, 0, 0, 0, over_distance=8)


def test_a_loss_halts_the_desk_for_good(tmp_path: Path) -> None:
    # We buy four lots at 998, and the mid falls to 992.
    market = quiet().trade(SELL, 50, 996, 1)
    for price in range(993, 1000):
        market.depth(BUY, 120, price, 0)
    market.depth(SELL, 130, 993, 5)
    for price in range(994, 1000):
        market.depth(BUY, 330, price, 10)
    market.depth(SELL, 320, 993, 0)
    recording = market.until(750)
    for loss, stays in ((23.0, False), (100.0, True)):
        settings = replace(INSTANT, risk=RiskSettings(max_loss=loss), inventory_limit=3)
        journal = Journal(tmp_path / f"{loss}", {"policy": "it"})
        result = trade(prepare(recording, settings), "it", constant(2.0), settings, 0, journal=journal)
        journal.finish()
        assert result.fills["price"].to_list()[0] == 998
        state = read_journal(tmp_path / f"{loss}").steps["risk_state"].to_list()
        assert (state[-1] == "active") == stays
        assert (result.trajectory.activity.standing_bid[0, -1] == 1.0) == stays
        assert (result.orders.over_loss > 0) == (not stays)


def test_a_desk_that_is_killed_withdraws_everything_until_it_is_resumed() -> None:
    limits = risk.NO_LIMITS
    guard, account = risk.open_guard(limits), open_account(RULES)
    clock = itertools.count(0, 10**10)  # ns: the budget of orders is full again every time

    def decide(bid: int, ask: int) -> Requests:
        now = next(clock)
        asked = order_rules(RULES, account, Wanted(bid, 4, ask, 4), now)
        allowed, state, reason = risk.risk(limits, guard, RULES, account, asked, 1000.0, now)
        note_requests(account, allowed)
        risk.note_sent(limits, guard, allowed, state, reason, now)
        return allowed

    decide(990, 1010)
    for number in (1, 2):
        say(account, number, NEW, 4)
    risk.halt(guard)
    killed = decide(990, 1011)  # the bid would stay, the ask would move by too little: both go
    assert [(r.cancel, r.number) for r in killed[:2]] == [(1, 0), (2, 0)]
    for number in (1, 2):
        say(account, number, CANCELED, 4)
    assert [(r.cancel, r.number) for r in decide(990, 1010)[:2]] == [(0, 0), (0, 0)]
    assert account.counts[list(OrderCounts._fields).index("killed")] == 2
    risk.resume(guard)
    assert [r.number for r in decide(990, 1010)[:2]] == [3, 4]


def test_limits_that_cannot_bind_change_nothing(sample: Recording) -> None:
    wide = RiskSettings(
        max_inventory=1e6, max_notional=1e15, max_order_rate=1000, max_distance=1e9, max_loss=1e15
    )
    frozen = shipped()
    free, far = (
        replay_all(sample, {"it": frozen}, replace(SETTINGS, order_rate=3.0, risk=limits))["it"]
        for limits in (RiskSettings(), wide)
    )
    assert free.fills.equals(far.fills)
    assert free.orders == far.orders
    assert (
        steps_table(free.trajectory).to_numpy().tobytes() == steps_table(far.trajectory).to_numpy().tobytes()
    )


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("max_inventory", 0.0),
        ("max_notional", -1.0),
        ("max_order_rate", 0),
        ("max_distance", math.inf),
        ("max_loss", 0.0),
    ],
)
def test_limits_that_cannot_be(name: str, limit: float) -> None:
    with pytest.raises(UsageError, match=f"`{name}` must .*; received"):
        RiskSettings(**{name: limit})  # type: ignore[arg-type]


# The journal


CODE = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_session import SETTINGS, glft
from flowhft.desk.journal import Journal
from flowhft.desk.replay.engine import prepare, trade
from flowhft.recordings import read_recording, sample_recording
from flowhft.recordings.split import window
market = prepare(window(read_recording(sample_recording()), 170.0, 260.0), SETTINGS)
print("begins", flush=True)
trade(market, "it", glft(), SETTINGS, 0, journal=Journal(Path(sys.argv[1]), {"policy": "it"}, every=3))
"""


def test_a_session_that_is_killed_leaves_a_journal_of_whole_rows(sample: Recording, tmp_path: Path) -> None:
    folder, parts = tmp_path / "it", tmp_path / "it" / "parts"
    process = subprocess.Popen(
        [sys.executable, "-c", CODE, str(folder), str(Path(__file__).parent)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begins\n"
    while process.poll() is None and len(list(parts.glob("*.steps.parquet"))) < 60:
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    result = read_journal(folder)
    assert not result.finished
    whole = trade(prepare(sample, SETTINGS), "it", glft(), SETTINGS, 0)
    steps = result.steps.height
    assert 180 <= steps < 899
    expected = steps_table(whole.trajectory)
    ours = steps_table(result.trajectory).drop("activity.latency_us")
    assert ours.to_numpy().tobytes() == expected.drop("activity.latency_us").head(steps).to_numpy().tobytes()
    assert result.fills.equals(whole.fills.filter(pl.col("step") < steps).drop("hidden"))
    assert result.orders.filter(what="new").height == int(np.sum(whole.trajectory.activity.orders[0, :steps]))


def test_what_was_not_flushed_whole_is_not_there(tmp_path: Path) -> None:
    recording = random_market(5, events=600)
    settings = replace(INSTANT, decision_interval=0.05)
    journal = Journal(tmp_path / "it", {"policy": "it"}, every=10)
    trade(prepare(recording, settings), "it", constant(0.5, 0.4), settings, 0, journal=journal)
    parts = sorted((tmp_path / "it" / "parts").glob("*.steps.parquet"))
    parts[-1].unlink()  # as if it had been killed between fills and steps
    result = read_journal(tmp_path / "it")
    assert result.steps.height == 10 * (len(parts) - 1)
    assert result.fills["step"].max() < result.steps.height
    with pytest.raises(UsageError, match=r"of a journal must be new or empty; .*choose another folder"):
        Journal(tmp_path / "it", {})
    for path in parts[:-1]:
        path.unlink()
    with pytest.raises(DataError, match="must hold a step that is over; it holds none"):
        read_journal(tmp_path / "it")
    with pytest.raises(DataError, match=r"must be the folder of a journal; it has no journal\.json"):
        read_journal(tmp_path)


@pytest.mark.parametrize(
    ("table", "facts", "why"),
    [
        ({}, {}, None),
        ({"spread_pnl": "x"}, {}, "must hold the tables that a session wrote"),
        ({"inventory_pnl": None}, {}, "must hold the tables that a session wrote"),
        ({}, {"tick_value": "nan"}, "`tick_value` of .* must be a number; received a text"),
        ({}, {"settings": []}, "`settings` of .* must be an object; received a list"),
        ({}, {"settings": {"decision_interval": "x"}}, "must be a journal that says what its session was"),
    ],
)
def test_a_journal_that_another_tool_rewrote_is_refused(tmp_path: Path, table, facts, why) -> None:
    recording = random_market(5, events=600)
    settings = replace(INSTANT, decision_interval=0.05, horizon=1.0)
    about = {
        "policy": "it", "family": "own", "rule": "", "currency": "USD", "tick_value": 1.0, "reference": 0.0,
        "settings": settings,
    }  # fmt: skip
    journal = Journal(tmp_path / "it", about)
    trade(prepare(recording, settings), "it", constant(0.5, 0.4), settings, 0, journal=journal)
    journal.finish()
    path = tmp_path / "it" / "steps.parquet"
    steps = pl.read_parquet(path)
    steps.with_columns(**{name: pl.lit(value) for name, value in table.items()}).write_parquet(path)
    write_json(path.with_name("journal.json"), read_json(path.with_name("journal.json")) | facts)
    if why is None:
        assert evaluate_journal(tmp_path / "it").results.height == 1
        return
    with pytest.raises(DataError, match=why):
        evaluate_journal(tmp_path / "it")


def test_a_session_with_a_journal_needs_no_memory_of_all_steps(tmp_path: Path) -> None:
    """Eight steps of room, flushed every five: what is on disk is what a session with room for all has."""
    recording = random_market(8, events=500)
    settings = replace(INSTANT, order_latency_ms=2.0, decision_interval=0.05)
    market, policy = prepare(recording, settings), constant(0.5, 0.4)
    whole = trade(market, "it", policy, settings, 0)
    rules = rules_of(settings, 0.0)
    wire = open_venue(market.events, settings)
    venue = ReplayVenue(wire, rules, settings)
    journal = Journal(tmp_path / "it", {"policy": "it"}, every=5)
    session, memory = Session(rules, venue, journal=journal, room=8), begin(policy, 0)
    play(session, venue, observed(recording, settings), lambda seen, _: quote(policy, memory, seen))
    session.flush()
    close_venue(wire)
    journal.finish()
    result, expected = read_journal(tmp_path / "it"), steps_table(whole.trajectory)
    assert steps_table(result.trajectory).to_numpy().tobytes() == expected.to_numpy().tobytes()
    assert result.steps.height > 50


@pytest.mark.parametrize("killed", [False, True])
def test_a_journal_becomes_a_page(sample: Recording, tmp_path: Path, killed: bool) -> None:
    import flowhft as package

    settings = replace(SETTINGS, horizon=10.0)
    result = package.replay(sample, "glft", scenario=MARKET, settings=settings, journal=tmp_path)
    folder = tmp_path / "glft"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["glft", "no_quote"]
    if killed:
        whole = pl.read_parquet(folder / "steps.parquet")
        (folder / "parts").mkdir()
        for name in ("fills", "orders", "steps"):
            (folder / f"{name}.parquet").rename(folder / "parts" / f"000000.{name}.parquet")
    said = flowhft("report", folder)
    assert said.code == 0, said.err
    page = (folder / "report.html").read_text()
    assert "each trading alone" in page
    assert ("did not come to its end" in page) == killed
    results = pl.read_parquet(folder / "backtest" / "results.parquet")
    expected = result.results.filter(policy="glft")
    for metric in ("pnl", "fills", "max_drawdown", "quoting_ratio"):
        assert results[metric][0] == pytest.approx(expected[metric][0], rel=1e-12), metric
    course = pl.read_parquet(folder / "backtest" / "equity.parquet")
    np.testing.assert_array_equal(course["equity"], result.equity.filter(policy="glft")["equity"])
    if killed:
        assert whole.height == course.height
