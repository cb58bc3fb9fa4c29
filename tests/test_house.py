"""The house's own venue against hftbacktest: booked whole, the same fills, times, prices and money."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from test_replay_oracle import BASE, LATE, LEVEL_MODELS, Market, constant, market

from flowhft.desk.compiled import Frozen, freeze_expert
from flowhft.desk.replay import engine
from flowhft.desk.replay.engine import Replayed, prepare, trade
from flowhft.desk.replay.house_wire import close_wire, open_wire
from flowhft.desk.replay.queue import rule_of
from flowhft.desk.replay.settings import QueueModel, ReplaySettings
from flowhft.desk.replay.venue_book import venue_events
from flowhft.errors import UsageError
from flowhft.policies.rules import Expert
from flowhft.recordings import read_recording, sample_recording
from flowhft.recordings.split import window
from flowhft.recordings.ticks import Recording
from flowhft.types import Observation, Quote


class Narrow(NamedTuple):
    half_spread: float


def improving(coefficients: Narrow, observation: Observation, noise: tuple) -> Quote:
    """The same half-spread whatever happens: inside the market's where that is wide."""
    return Quote(coefficients.half_spread, coefficients.half_spread, 1.0, 1.0)


def restless(coefficients: Narrow, observation: Observation, noise: tuple) -> Quote:
    """Half-spreads that jump about, as if drawn."""
    draw = math.floor(71.3 * observation.mid_price + 33.1 * observation.time_left) % 7
    return Quote(coefficients.half_spread + draw, coefficients.half_spread + (3 * draw) % 5, 1.0, 1.0)


IMPROVING, RESTLESS = (
    freeze_expert(Expert(name, "of a test", lambda estimates, gamma: Narrow(1.0), rule), Narrow(0.5))
    for name, rule in (("improving", improving), ("restless", restless))
)


def by_house(recording: Recording, policy: Frozen, settings: ReplaySettings) -> Replayed:
    """Replay with the house's venue where hftbacktest would have been asked."""

    def opened(events: Any, of: ReplaySettings, latencies: Any = None) -> Any:
        return open_wire(venue_events(events), rule_of(of, 0), of, latencies)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "open_venue", opened)
        patch.setattr(engine, "close_venue", close_wire)
        return trade(prepare(recording, settings), "it", policy, settings, 0)


def same(recording: Recording, policy: Frozen, settings: ReplaySettings) -> int:
    """Compare both venues to the last digit; return the number of fills."""
    theirs = trade(prepare(recording, settings), "it", policy, settings, 0)
    ours = by_house(recording, policy, settings)
    assert ours.fills.equals(theirs.fills)
    assert ours.orders == theirs.orders
    np.testing.assert_array_equal(ours.trajectory.observation.scalars, theirs.trajectory.observation.scalars)
    for one, other in zip(ours.trajectory[1:], theirs.trajectory[1:], strict=True):
        np.testing.assert_array_equal(one, other)
    return len(theirs.fills)


@pytest.mark.parametrize("model", LEVEL_MODELS)
@pytest.mark.parametrize(
    ("settings", "half_spread"),
    [
        (BASE, 0.5),
        (LATE, 0.5),
        (replace(LATE, post_only=False), -1.5),
        (replace(LATE, latency_model="recorded", order_latency_ms=2.0), 0.5),
    ],
    ids=["instant", "late", "taking", "recorded"],
)
def test_random_markets(settings: ReplaySettings, half_spread: float, model: QueueModel) -> None:
    settings = replace(settings, queue_model=model)
    fills = 0
    for seed in range(6):
        recording, of, offset, skew = market(seed, settings, half_spread)
        fills += same(recording, constant(offset, skew), of)
    assert fills > 30


@pytest.mark.parametrize(
    "policy", [constant(3.0, 0.5), IMPROVING, RESTLESS], ids=["glft", "improving", "restless"]
)
def test_the_sample_recording(policy: Frozen) -> None:
    part = window(read_recording(sample_recording()), 100.0, 250.0)
    assert same(part, policy, ReplaySettings(decision_latency_us=100.0, fills="whole")) > 20


@pytest.mark.parametrize(
    ("path", "lots", "start", "end"),
    [
        ("lobster_nasdaq_2012/GOOG", 100, 3600.0, 7200.0),
        ("lobster_nasdaq_2012/AAPL", 100, 3600.0, 5400.0),
        ("binance_feed_l2/usdm_btcusdt_20240808", 10, 60.0, 240.0),
        ("binance_feed_l2/coinm_btcusd_20240808", 10, 60.0, 240.0),
        ("binance_feed_l2/spot_btcusdt_20240808", 10, 60.0, 240.0),
    ],
)
def test_parts_of_real_sessions(shared_data: Path, path: str, lots: int, start: float, end: float) -> None:
    part = window(read_recording(shared_data / path), start, end)
    settings = ReplaySettings(
        decision_latency_us=100.0, decision_interval=0.2, order_lots=lots, fills="whole"
    )
    for policy in (constant(4.0, 0.5), IMPROVING, RESTLESS):
        assert same(part, policy, settings) > 20


def _lots(recording: Recording, settings: ReplaySettings) -> int:
    replayed = engine.replay(recording, {"it": IMPROVING}, settings)["it"]
    return int(replayed.fills["lots"].sum())


def test_every_reason_to_doubt_takes_fills_away() -> None:
    """On books whose spread is wide enough to improve: capped, answered, without hidden executions."""
    settings = replace(LATE, order_lots=20)
    markets = [Market(seed, 200, wide=True).recording() for seed in range(6)]
    doubts: dict[str, Callable[[ReplaySettings], ReplaySettings]] = {
        "whole": lambda of: of,
        "capped": lambda of: replace(of, fills="capped"),
        "answered": lambda of: replace(of, answered=1.0),
        "seen": lambda of: replace(of, hidden=False),
    }
    lots = {name: sum(_lots(one, doubt(settings)) for one in markets) for name, doubt in doubts.items()}
    assert lots["whole"] > max(lots["capped"], lots["answered"], lots["seen"])
    assert min(lots.values()) > 0
    some = sum(_lots(one, replace(settings, answered=0.5)) for one in markets)
    assert lots["answered"] < some < lots["whole"]


def test_what_no_venue_does() -> None:
    for wrong in ({"fills": "capped"}, {"answered": 0.1}, {"hidden": False}):
        with pytest.raises(UsageError, match=r"`queue_model` must be one of levels .*; received l3_fifo"):
            ReplaySettings(queue_model="l3_fifo", **wrong)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"`fills` must be whole where orders may take; received capped"):
        ReplaySettings(fills="capped", post_only=False, taker_fee_bps=4.0)
    with pytest.raises(UsageError, match=r"`taker_fee_bps` must be said where orders may take; received no"):
        ReplaySettings(post_only=False)
    with pytest.raises(UsageError, match=r"`answered` must .*; received 1.5"):
        ReplaySettings(answered=1.5)


def test_the_former_name_of_capped_fills() -> None:
    assert ReplaySettings(partial_fills=True).capped
    assert ReplaySettings(partial_fills=True, fills="whole").capped
    taking = {"post_only": False, "taker_fee_bps": 1.0}
    with pytest.raises(UsageError, match=r"`fills` must be whole where orders may take; received capped"):
        ReplaySettings(partial_fills=True, **taking)  # type: ignore[arg-type]


def test_fills_are_capped_where_that_is_known_and_nothing_else_is_said() -> None:
    assert ReplaySettings().capped
    assert ReplaySettings().own_venue
    assert not ReplaySettings(fills="whole").capped
    for other in ({"post_only": False, "taker_fee_bps": 1.0}, {"queue_model": "l3_fifo"}):
        settings = ReplaySettings(**other)  # type: ignore[arg-type]
        assert not settings.capped
        assert not settings.own_venue
        assert settings.settled().fills == "whole"


def test_a_measured_share_is_answered_where_nothing_else_is_said() -> None:
    assert ReplaySettings().answering(0.3).answered_share == 0.3
    assert ReplaySettings(answered=0.0).answering(0.3).answered_share == 0.0
    assert ReplaySettings(queue_model="l3_fifo").answering(0.3).answered_share == 0.0
    settled = ReplaySettings().settled()
    assert (settled.fills, settled.answered, settled.order_lots) == ("capped", 0.0, 10)


def test_fills_by_hidden_executions_are_counted_apart() -> None:
    """What the table calls hidden goes where hidden executions do not count."""
    markets = [Market(seed, 200, wide=True).recording() for seed in range(6)]
    fills = [engine.replay(one, {"it": IMPROVING}, LATE)["it"].fills for one in markets]
    assert sum(int(one["hidden"].sum()) for one in fills) > 10
    without = replace(LATE, hidden=False)
    seen = [engine.replay(one, {"it": IMPROVING}, without)["it"].fills for one in markets]
    assert sum(len(one) for one in seen) > 10
    assert all(int(one["hidden"].sum()) == 0 for one in seen)
    single = Market(0, 200, singles=True).recording()
    told = engine.replay(single, {"it": constant(0.5, 0.0)}, replace(LATE, queue_model="l3_fifo"))["it"].fills
    assert told["hidden"].null_count() == len(told) > 0
