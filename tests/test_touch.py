"""Markets that are quoted at the touch only: turns in the queue, the curve through two rates, all of it."""

import numpy as np
import pytest
from numba import njit
from program import flowhft

import flowhft as api
from flowhft.calibrate.calibrate import CalibrationSettings, calibrate, load_calibration, save
from flowhft.calibrate.fill_curve import Bursts
from flowhft.calibrate.scenario import scenario_of
from flowhft.calibrate.touch import (
    TOUCH,
    beside_the_touch,
    fills_at_touch,
    fit_touch,
    is_quoted_at_touch,
    turns_at_touch,
)
from flowhft.desk.replay import engine
from flowhft.desk.replay.settings import ReplaySettings
from flowhft.errors import DataError
from flowhft.recordings.book import TopOfBook, top_of_book
from flowhft.recordings.instrument import Instrument
from flowhft.recordings.split import window
from flowhft.recordings.ticks import BUY, DEPTH, SELL, SNAPSHOT, TOP, TRADE, Recording, make_events
from flowhft.stages.policies import frozen_in, lineup

MS = 10**6
FEW_DRAWS = CalibrationSettings(bootstrap_samples=100)


def top_rows(rows: list[tuple[int, int, int]]) -> TopOfBook:
    """Return best bids of (ms, price, quantity), with an ask a tick above."""
    ms, bid, quantity = (np.array(column, np.int64) for column in zip(*rows, strict=True))
    return TopOfBook(ms * MS, ms * MS, bid, bid + 1, quantity, np.full(len(ms), 9), np.arange(len(ms)))


def sells(rows: list[tuple[int, int, int]]) -> np.ndarray:
    """Return trades of sellers of (ms, price, quantity)."""
    ms, price, quantity = (np.array(column, np.int64) for column in zip(*rows, strict=True))
    return make_events(TRADE, SELL, ms * MS, ms * MS, price, quantity, ms)


@pytest.mark.parametrize(
    ("best", "trades", "turns"),
    [
        # Five stand ahead: four and one are traded, the next lot is ours.
        ([(0, 100, 5)], [(10, 100, 4), (20, 100, 1), (30, 100, 1)], [False, False, True]),
        # A trade that goes past the price takes us, whatever stood ahead.
        ([(0, 100, 5)], [(10, 99, 1)], [True]),
        # Others leave: what is ahead is no more than the level.
        ([(0, 100, 5), (5, 100, 1)], [(10, 100, 2)], [True]),
        # Others come behind us: they do not put us back.
        ([(0, 100, 5), (5, 100, 50)], [(10, 100, 6)], [True]),
        # The price rises: we stand at the new one 50 ms later, at the back, and at the old one until then.
        ([(0, 100, 5), (20, 101, 7)], [(40, 101, 9), (80, 101, 7), (90, 101, 1)], [False, False, True]),
        ([(0, 100, 5), (20, 101, 7)], [(40, 100, 6)], [True]),
        # It falls: for 50 ms we are alone at ours, then we join the queue below.
        ([(0, 100, 5), (20, 99, 7)], [(40, 99, 1)], [True]),
        ([(0, 100, 5), (20, 99, 7)], [(80, 99, 7), (90, 99, 1)], [False, True]),
        # After a fill we are back as long after, behind what stands there.
        ([(0, 100, 1), (11, 100, 3)], [(10, 100, 2), (20, 100, 9), (70, 100, 3), (80, 100, 1)],
         [True, False, False, True]),
    ],
)  # fmt: skip
def test_a_quotes_turn_comes_when_what_is_ahead_of_it_is_gone(best, trades, turns):
    known, told = top_rows(best), sells(trades)
    assert turns_at_touch(known, told, BUY, 0.05).tolist() == turns
    # The same market upside down: asks, and buyers.
    mirror = TopOfBook(
        *known[:2], -known.best_ask, -known.best_bid, known.ask_quantity, known.bid_quantity, known[6]
    )
    told["price"], told["side"] = -told["price"], BUY
    assert turns_at_touch(mirror, told, SELL, 0.05).tolist() == turns


def test_fills_are_those_of_both_sides_in_the_order_of_time():
    bought = sells([(40, 101, 10)])
    bought["side"] = BUY
    result = fills_at_touch(top_rows([(0, 100, 5)]), np.concatenate([bought, sells([(20, 99, 1)])]), 0, 0.05)
    np.testing.assert_allclose(result.time, [0.02, 0.04])
    assert result.buy.tolist() == [False, True]
    assert result.reach.tolist() == [TOUCH] * 2


def poisson(rate: float, seconds: float, rng: np.random.Generator, reach: float) -> Bursts:
    count = rng.poisson(2.0 * rate * seconds)
    return Bursts(np.sort(rng.uniform(0.0, seconds, count)), rng.random(count) < 0.5, np.full(count, reach))


def joined(*parts: Bursts) -> Bursts:
    return Bursts(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def test_the_curve_goes_through_the_rates_of_turns_and_of_orders_behind():
    """Twenty recordings with 95 % intervals: Binomial(40, 0.05) misses; P(more than 7) = 0.1 %."""
    turns, behind, seconds = 0.05, 0.005, 20_000.0
    decay = np.log(turns / behind)
    truth = {"fill_decay": decay, "intensity": turns * np.exp(TOUCH * decay)}
    missed = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        bursts = joined(poisson(0.4, seconds, rng, 0.5), poisson(behind, seconds, rng, 1.5))
        fit = fit_touch(bursts, poisson(turns, seconds, rng, TOUCH), bursts.time, seconds, seed, 200)
        missed += sum(
            not fit.parameters[name].low < value < fit.parameters[name].high for name, value in truth.items()
        )
    assert missed <= 7
    rate = fit.parameters["market_order_rate"].value
    assert fit.parameters["reach"].value * rate == pytest.approx(fit.parameters["intensity"].value)
    mean = fit.table.filter(fit.table["side"] == "mean")
    np.testing.assert_allclose(mean["fitted"][:2], mean["rate"][:2])  # through both, exactly
    (said,) = fit.warnings
    assert "98.8% of" in said or "98.7% of" in said
    assert "the place in the queue decides" in said


def test_what_no_order_reached_counts_one_and_too_few_turns_are_refused():
    rng = np.random.default_rng(2)
    bursts, fills = poisson(0.4, 1e4, rng, 0.5), poisson(0.05, 1e4, rng, TOUCH)
    fit = fit_touch(bursts, fills, bursts.time, 1e4, 0, 100)
    assert fit.curve.fill_decay == pytest.approx(np.log(len(fills.time)))
    few = Bursts(*(column[:20] for column in fills))
    with pytest.raises(
        DataError, match=r"`intensity` must rest on 30 turns .* received 20 and 0 in 10,000 s"
    ):
        fit_touch(bursts, few, bursts.time, 1e4, 0, 100)
    beyond = joined(bursts, poisson(0.06, 1e4, rng, 1.5))
    with pytest.raises(DataError, match="on more than there are orders that reach the next price"):
        fit_touch(beyond, fills, beyond.time, 1e4, 0, 100)


@pytest.mark.parametrize(
    ("spread", "beyond", "orders", "touch"),
    [(1.0, 0.01, 1000, True), (1.6, 0.01, 1000, False), (1.0, 0.2, 1000, False), (1.0, 0.01, 900, False)],
)
def test_which_markets_are_quoted_at_the_touch(spread, beyond, orders, touch):
    reach = np.where(np.arange(orders) < beyond * orders, 1.5, 0.5)
    assert is_quoted_at_touch(reach, spread) is touch
    assert ["stop at the touch" in text for text in beside_the_touch(reach, spread)] == [True] * touch


def one_tick_market(seconds: float = 4_000.0, seed: int = 0) -> Recording:
    """Return a market with a spread of one tick, deep queues, and a price that seldom moves."""
    rng = np.random.default_rng(seed)
    count = rng.poisson(1.0 * seconds)
    times = np.sort(rng.uniform(0.0, seconds, count))
    queue, bid, parts = {BUY: 40, SELL: 40}, 1_000, []

    def tell(kind, side, ns, price, quantity, number):
        parts.append(make_events(kind, side, ns, ns, np.array([price]), np.array([quantity]), number))

    for side, price in ((BUY, bid), (SELL, bid + 1)):
        for away in range(5):
            tell(SNAPSHOT, side, 10**9, price - side * away, 40, 0)
        tell(TOP, side, 10**9, price, 40, 0)
    for number, time in enumerate(times, 1):
        ns = 2 * 10**9 + round(time * 1e9)
        side = BUY if rng.random() < 0.5 else SELL  # of the queue that is met
        lots = min(int(rng.geometric(0.1)), queue[side])
        price = bid if side == BUY else bid + 1
        tell(TRADE, -side, ns, price, lots, number)
        queue[side] += int(rng.integers(0, 20)) - lots
        if queue[side] <= 0 or rng.random() < 0.02:
            tell(DEPTH, side, ns, price, 0, number)
            bid += 1 if side == SELL else -1
            tell(DEPTH, -side, ns, price, 40, number)
            queue = {BUY: 40, SELL: 40}
            tell(DEPTH, side, ns, price - side, 40, number)
        queue = {key: min(max(lots, 1), 80) for key, lots in queue.items()}
        for key, at in ((BUY, bid), (SELL, bid + 1)):
            tell(TOP, key, ns, at, queue[key], number)
    return Recording(Instrument("venue", "ONE", "USD", 0.01, 1.0), np.concatenate(parts))


@pytest.fixture(scope="module")
def market() -> Recording:
    return one_tick_market()


def test_a_one_tick_market_is_calibrated_simulated_and_replayed(market, tmp_path):
    result = calibrate(market, FEW_DRAWS)
    trades = market.events[market.events["kind"] == TRADE]
    turns = len(fills_at_touch(top_of_book(market), trades, 0, 0.05).time)
    parameters = {name: parameter.value for name, parameter in result.parameters.items()}
    rate = parameters["intensity"] * np.exp(-TOUCH * parameters["fill_decay"])
    assert rate == pytest.approx(turns / (2.0 * result.facts.seconds), rel=1e-6)
    assert rate < 0.5 * parameters["market_order_rate"]  # a quote waits for its turn
    assert any("distance says little" in text for text in result.warnings)
    assert (result.facts.fitted_from, result.facts.fitted_to) == (0.5, 1.5)
    save(result, tmp_path)
    again = load_calibration(tmp_path)
    assert again.parameters == result.parameters or np.isnan(parameters["hurst_exponent"])
    scenario = scenario_of(result, 1_000.5)
    assert api.evaluate("glft", scenario, paths=8).results.height >= 1
    settings = ReplaySettings(decision_latency_us=10.0, order_latency_ms=0.0, response_latency_ms=0.0)
    judged = api.replay(window(market, 0.0, 800.0), "glft", calibration=result, settings=settings)
    assert judged.results["fills"][0] > 0.0
    # Distances that are asked for are refused as before, with the way out.
    with pytest.raises(
        DataError, match="`fit_to` a market whose spread is one tick is calibrated at the touch"
    ):
        calibrate(market, CalibrationSettings(fit_from=0.5, fit_to=3.0))


@njit
def at_touch(seen):
    return 0.5, 0.5


def test_the_turns_are_those_of_the_replay(market):
    """A maker who always quotes half a tick from the mid is filled as often, within a quarter."""
    settings = ReplaySettings(
        decision_interval=0.05, horizon=100.0, decision_latency_us=1.0, order_latency_ms=0.0,
        response_latency_ms=0.0, order_lots=1, inventory_limit=100_000,
    )  # fmt: skip
    scenario = scenario_of(calibrate(market, FEW_DRAWS), 1_000.5)
    quoting = frozen_in(lineup({"touch": at_touch}, None, frozen=True).policies, scenario)
    fills = engine.replay(market, quoting, settings)["touch"].fills
    trades = market.events[market.events["kind"] == TRADE]
    turns = len(fills_at_touch(top_of_book(market), trades, 0, 0.05).time)
    assert fills.height == pytest.approx(turns, rel=0.25)


def test_the_command_says_it(market, tmp_path):
    from flowhft.recordings.formats.tick_files import write_ticks
    from flowhft.recordings.source import Chunk, Source

    path = tmp_path / "one.ticks.parquet"
    write_ticks(Source(market.instrument, (path,), iter([Chunk(market.events)])), path)
    call = ("calibrate", path, "--calibration.bootstrap-samples", "100", "--out", tmp_path / "run")
    assert "warning: fill curve: " in flowhft(*call).out
    assert flowhft("report", tmp_path / "run").code == 0
