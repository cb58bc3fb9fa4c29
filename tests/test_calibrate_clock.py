"""What the clock of a recording takes from its market orders: pieces told one by one, whole seconds."""

from dataclasses import replace

import numpy as np
import pytest

from flowhft.calibrate.calibrate import CalibrationSettings, calibrate
from flowhft.calibrate.order_clock import clock_tick, clock_warnings, window_of_pieces
from flowhft.recordings import read_recording, sample_recording
from flowhft.recordings.market_orders import MarketOrders, market_orders
from flowhft.recordings.ticks import TRADE


def orders_at(seconds, buys):
    order = np.argsort(seconds, kind="stable")
    times = np.round(np.asarray(seconds)[order] * 1e9).astype(np.int64)
    one, side = np.ones(len(times), np.int64), np.where(np.asarray(buys)[order], 1, -1)
    return MarketOrders(times, side, one, one, one.astype(float), one.astype(float))


def in_pieces(rng, count, seconds, apart):
    """Independent orders of both sides, each told of in one to five pieces, `apart` seconds from the last."""
    begins, buys, pieces = (
        rng.uniform(0.0, seconds, count),
        rng.random(count) < 0.5,
        rng.integers(1, 6, count),
    )
    index = np.concatenate([np.arange(n) for n in pieces])
    return orders_at(np.repeat(begins, pieces) + apart * index, np.repeat(buys, pieces))


class TestPieces:
    @pytest.mark.parametrize(("apart", "window"), [(0.03, 0.05), (0.15, 0.2)])
    def test_pieces_told_one_by_one_are_seen(self, apart, window):
        rng = np.random.default_rng(0)
        assert window_of_pieces(in_pieces(rng, 200, 20_000.0, apart)) == window

    def test_orders_of_their_own_are_left_alone(self):
        rng = np.random.default_rng(1)
        # As close, but a third of those that follow are on the other side, as on no slow engine.
        begins, buys = rng.uniform(0.0, 20_000.0, 300), rng.random(300) < 0.5
        answers = begins + rng.uniform(0.02, 0.05, 300)
        turned = buys ^ (rng.random(300) < 0.33)
        both = orders_at(np.concatenate([begins, answers]), np.concatenate([buys, turned]))
        assert window_of_pieces(both) == 0.0
        # Too few to say, and too few among all.
        assert window_of_pieces(in_pieces(rng, 8, 20_000.0, 0.03)) == 0.0
        rare = in_pieces(rng, 20, 20_000.0, 0.03)
        many = np.concatenate([rare.time_ns * 1e-9, np.arange(0.0, 20_000.0, 20.0)])
        assert window_of_pieces(orders_at(many, np.concatenate([rare.side > 0, np.ones(1000, bool)]))) == 0.0

    def test_a_window_that_is_set_is_kept_and_said_to_be_short(self):
        assert clock_warnings(1e-9, 0.0, 0.01, 0.05) == ()
        assert "taken together" in clock_warnings(1e-3, 0.2, 0.2, 0.05)[0]
        assert "Set it to 0.2" in clock_warnings(1e-3, 0.2, 0.01, 0.05)[0]

    def test_bitstamp_tells_of_pieces(self, shared_data):
        """Pieces of an order are 20 to 50 ms apart there; each alone, they look like excitation."""
        recording = read_recording(shared_data / "bitstamp_l3_2015")
        few = {"bootstrap_samples": 100}
        result = calibrate(recording, CalibrationSettings(**few))
        assert result.facts.order_window == 0.2
        assert result.facts.hawkes_p_value > 0.01
        assert result.facts.bursts == result.facts.market_orders
        alone = calibrate(recording, CalibrationSettings(order_window=0.01, **few))
        assert alone.facts.hawkes_p_value < 1e-4
        assert alone.parameters["decay"].value > 100.0 * result.parameters["decay"].value
        assert any("Set it to 0.2" in text for text in alone.warnings)


class TestTick:
    def test_it_is_the_coarsest_that_all_times_keep(self):
        assert clock_tick(np.array([5, 5, 25, 65])) == 20
        assert clock_tick(np.array([3])) == 0

    def test_whole_seconds_are_said_to_hide_what_is_faster(self):
        recording = read_recording(sample_recording())
        events = recording.events.copy()
        trades = events["kind"] == TRADE
        events["exchange_time_ns"][trades] -= events["exchange_time_ns"][trades] % 1_000_000_000
        result = calibrate(replace(recording, events=events))
        assert any("the clock ticks every 1 s" in text for text in result.warnings)
        # Times within a second are drawn at random: no decay faster than a second can be told.
        assert result.parameters["decay"].value <= 1.0 + 1e-9
        # The venue's own clock ticks every millisecond, and nothing is said of that.
        assert clock_tick(market_orders(recording).time_ns) == 1_000_000
