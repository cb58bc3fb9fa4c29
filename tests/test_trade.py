"""The trade: its metrics by hand, simulated sessions as recordings, and the same policy on both.

False alarms: every simulation has a fixed seed, so a test that passes once always passes. Bands of z standard
errors would be left by one seed in 15,000 (z = 4).
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flowhft.desk.compiled.freeze import freeze
from flowhft.desk.replay.markout import simulated_markout
from flowhft.errors import UsageError
from flowhft.metrics import estimators
from flowhft.metrics.estimators import interval
from flowhft.metrics.measures import inventory_distribution, measure
from flowhft.metrics.table import METRICS, summarise
from flowhft.policies.names import find_policy
from flowhft.recordings import read_recording
from flowhft.recordings.book import mid_at, top_of_book
from flowhft.recordings.formats.npz import write_npz
from flowhft.recordings.ticks import BUY, SELL, TRADE
from flowhft.scenarios.scenario import Scenario
from flowhft.simulate.market.market import build
from flowhft.simulate.market.orders import Orders, deepest_reach
from flowhft.simulate.market.tick_settings import TickSettings
from flowhft.simulate.market.ticks import on_grid, recording_of
from flowhft.simulate.quoting import closed_form
from flowhft.simulate.quoting.lab import in_lab
from flowhft.simulate.rollout import order_flow, rollout
from flowhft.types import SCALARS, Activity, Fill, Observation, Quote, Trajectory

# Ticks are fine beside quotes, which lie about 1 / k = 5 of them away, and prices of 1,000 keep single
# precision well below a tick.
TICKS = Scenario(
    "ticks",
    dt=0.1,
    horizon=10.0,
    price="additive",
    initial_price=1_000.0,
    volatility=3.0,
    base_intensity=6.0,
    self_excitation=2.0,
    fill_decay=0.2,
    risk_aversion=0.01,
)
PATHS = 32
ALONE = TickSettings(gap=200, levels=2)  # whoever quotes is alone at its price


# --- the metrics of the trade, by hand ----------------------------------------------------------------------


def one_session(**changes: Any) -> Trajectory:
    """Three steps: a lot bought 1 under a mid that falls by 2, one sold 3 above one that falls by 1."""
    zero = np.zeros((1, 3))
    first = Trajectory(
        observation=Observation(
            zero, zero, np.array([[0.0, -2.0, -3.0]]), np.array([[0.0, 1.0, 0.0]]), *(zero,) * 7
        ),
        quote=Quote(np.array([[1.5, 1.0, 1.0]]), np.array([[2.0, 3.0, 1.0]]), *np.ones((2, 1, 3))),
        fill=Fill(np.array([[1.0, 0.0, 0.0]]), np.array([[0.0, 1.0, 0.0]])),
        spread_pnl=np.array([[1.0, 3.0, 0.0]]),
        inventory_pnl=np.array([[-2.0, 0.0, 0.0]]),
        fee=zero,
        mid_after=np.array([[-2.0, -3.0, -3.0]]),
        activity=Activity(
            standing_bid=np.array([[1.0, 1.0, 0.0]]),
            standing_ask=np.array([[1.0, 1.0, 1.0]]),
            orders=np.array([[2.0, 1.0, 1.0]]),
            cancellations=np.array([[0.0, 1.0, 1.0]]),
            turnover=np.array([[99.0, 101.0, 0.0]]),
            latency_us=np.array([[100.0, 300.0, np.nan]]),
        ),
    )
    return first._replace(**changes)


def test_metrics_of_the_trade_by_hand():
    result = {name: value.value for name, value in summarise(measure(one_session())).items()}
    assert result["effective_spread"] == pytest.approx((1.0 + 3.0) / 2)
    # The mid fell by 2 after we bought, and by 1 after we sold: against us, then for us.
    assert result["adverse_selection"] == pytest.approx((2.0 - 1.0) / 2)
    assert result["realised_spread"] == pytest.approx((-1.0 + 4.0) / 2)
    assert result["slippage"] == pytest.approx((1.5 - 1.0) / 2)  # the bid asked for 1.5 and got 1
    assert result["turnover"] == 200.0
    assert result["fill_ratio"] == pytest.approx(2 / 4)
    assert result["order_to_trade"] == pytest.approx((4 + 2) / 2)
    assert result["quoting_ratio"] == pytest.approx(2 / 3)
    assert result["mean_inventory"] == pytest.approx(1 / 3)
    assert result["pnl_to_map"] == pytest.approx(2.0 / (1 / 3))
    assert result["latency_p50"] == 200.0
    assert result["latency_p99"] == pytest.approx(298.0)


def test_sessions_in_which_nothing_was_sent_have_no_latency():
    once, quiet = one_session(), one_session()
    quiet = quiet._replace(activity=quiet.activity._replace(latency_us=np.full((1, 3), np.nan)))
    both = Trajectory(*jax.tree.map(lambda a, b: np.concatenate([a, b]), tuple(once), tuple(quiet)))
    result = {name: value.value for name, value in summarise(measure(both)).items()}
    assert (result["latency_p50"], result["latency_p99"]) == (200.0, pytest.approx(298.0))
    alone = {name: value.value for name, value in summarise(measure(quiet)).items()}
    assert np.isnan(alone["latency_p50"])


@pytest.mark.parametrize("stopped", [np.nan, np.inf])
def test_a_fill_of_an_order_that_was_on_its_way_out_has_not_slipped(stopped):
    quote = Quote(np.array([[stopped, 1.0, 1.0]]), np.array([[2.0, 3.5, 1.0]]))
    result = summarise(measure(one_session(quote=quote)))
    assert result["slippage"].value == pytest.approx(0.5 / 2)  # of the ask alone: asked for 3.5, got 3


def test_what_nobody_kept_is_not_defined_and_harms_nothing_else():
    result = summarise(measure(one_session(mid_after=None, activity=None)))
    unknown = {name for name, value in result.items() if np.isnan(value.value)}
    assert unknown == {
        "expected_pnl", "sharpe", "sortino", "pnl_deviation", "adverse_selection", "realised_spread",
            "slippage", "turnover",
        "fill_ratio", "order_to_trade", "quoting_ratio", "latency_p50", "latency_p99",
    }  # fmt: skip


def test_a_policy_without_fills_has_no_metrics_of_a_fill(recwarn):
    none = np.zeros((1, 3))
    result = summarise(measure(one_session(fill=Fill(none, none), spread_pnl=none)))
    for name in ("effective_spread", "realised_spread", "adverse_selection", "slippage", "order_to_trade"):
        assert np.isnan(result[name].value), name
    assert result["fill_ratio"].value == 0.0
    assert not recwarn.list


def test_markouts_of_simulated_fills_by_hand():
    table = simulated_markout("a", one_session(), dt=0.5, steps=(1, 2, 3, 4))
    assert table["horizon"].to_list() == [0.5, 1.0, 1.5]
    assert table["fills"].to_list() == [2, 2, 1]  # the second fill has two steps left, not three
    np.testing.assert_allclose(table["capture"], [2.0, 2.0, 1.0])
    # Bought under a mid of 0 that goes to -2, -3, -3; sold above a mid of -2 that goes to -3, -3.
    np.testing.assert_allclose(table["markout"], [(-2 + 1) / 2, (-3 + 1) / 2, -3.0])
    np.testing.assert_allclose(table["realised"], table["capture"] + table["markout"])
    assert table["markout_error"].is_nan().all()  # one session


def test_the_distribution_of_inventory_by_hand():
    result = inventory_distribution(one_session())  # 1, 0, 0
    assert result["mean"] == pytest.approx(1 / 3)
    assert result["deviation"] == pytest.approx(np.sqrt(2) / 3)
    assert result["skewness"] == pytest.approx(1 / np.sqrt(2))
    assert (result["p01"], result["p50"]) == (0.0, 0.0)
    assert result["p99"] == pytest.approx(0.98)
    none = np.zeros((1, 3))
    flat = one_session(fill=Fill(none, none), observation=Observation(*(none,) * 11))
    assert np.isnan(inventory_distribution(flat)["skewness"])


def test_a_ratio_covers_the_truth_as_often_as_it_says():
    """1,000 experiments at 90 %: 900 +- 9.5 cover; 862 to 938 allows 4 of these. A mean of ratios fails."""
    random = np.random.default_rng(0)
    covered = naive = 0
    for _ in range(1_000):
        below = random.gamma(3.0, 2.0, 400)
        above = 0.5 * below + random.normal(1.0, 1.0, 400)  # mean 4 over mean 6
        _, low, high = interval(*estimators.RATIO(above, below), 0.9)
        covered += low <= 4.0 / 6.0 <= high
        _, low, high = interval(*estimators.MEAN(above / below), 0.9)
        naive += low <= 4.0 / 6.0 <= high
    assert 862 <= covered <= 938
    assert naive < 500


def test_a_ratio_has_the_influence_of_leaving_a_path_out():
    random = np.random.default_rng(1)
    below = random.gamma(3.0, 2.0, 2_000)
    above = below + random.normal(0.0, 1.0, 2_000)
    value, influence = estimators.RATIO(above, below)
    without = [estimators.RATIO(np.delete(above, i), np.delete(below, i))[0] for i in range(200)]
    jackknife = (len(below) - 1) * (value - np.array(without))
    np.testing.assert_allclose(jackknife, influence[:200], atol=0.01 * np.std(influence))


# --- market orders, whoever quotes --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def simulated() -> tuple[Orders, Trajectory]:
    """Market orders of sessions with adverse selection, and what a maker did in them."""
    scenario = TICKS.but(adverse_selection=0.8)
    market, where = build(scenario), {"paths": PATHS, "seed": 3, "scenario": "orders"}
    return order_flow(market, **where), rollout(market, closed_form("glft", scenario), **where)


def test_orders_are_those_of_the_rollout_and_fill_what_they_reach(simulated):
    orders, path = simulated
    np.testing.assert_allclose(orders.mid_price[:, :-1], path.observation.mid_price, atol=1e-3)
    np.testing.assert_allclose(orders.mid_price[:, 1:], path.mid_after, atol=1e-3)
    for side, name in enumerate(("bid", "ask")):
        arrivals = getattr(path.observation, f"arrivals_{name}")
        np.testing.assert_array_equal(orders.arrivals[:, :-1, side], arrivals[:, 1:])
        reach = deepest_reach(TICKS, orders.arrivals[..., side], orders.uniform[..., side])
        wanted = getattr(path.quote, f"half_spread_{name}") <= reach
        filled = getattr(path.fill, name) > 0
        assert np.mean(filled) > 0.1
        # Single precision leaves one comparison in 100,000 open.
        assert np.sum(wanted != filled) <= 1


def test_adverse_selection_is_what_the_market_was_made_with(simulated):
    """Step by step the expected move against a fill, given quote and intensity, by integrating its law.

    What was found less what was expected is a sum of martingale differences: 4 standard errors over paths.
    """
    _, path = simulated
    deviation, toxicity = TICKS.step_deviation, 0.8 / TICKS.step_deviation
    move = np.linspace(-6.0, 6.0, 241)
    weight = np.exp(-0.5 * move**2) / np.sum(np.exp(-0.5 * move**2))
    surge = np.exp(-toxicity * move - 0.5 * toxicity**2)  # of orders that come for bids
    expected = 0.0
    for name in ("bid", "ask"):
        reaching = np.exp(-TICKS.fill_decay * getattr(path.quote, f"half_spread_{name}"))
        mean = TICKS.dt * getattr(path.observation, f"intensity_{name}") * reaching
        filled = -np.expm1(-mean[..., None] * surge)
        expected = expected - deviation * np.sum(weight * move * filled, axis=-1)
    measures = measure(path)
    difference = measures["adverse_move"] - np.sum(expected, axis=-1)
    assert abs(np.mean(difference)) < 4.0 * np.std(difference) / PATHS**0.5
    assert np.mean(measures["adverse_move"]) > 20.0 * np.std(difference) / PATHS**0.5  # far from none
    result = summarise(measures)
    assert 0.5 < result["adverse_selection"].value < 0.8  # one lot a step: the wildest moves fill no more
    difference = result["effective_spread"].value - result["adverse_selection"].value
    assert result["realised_spread"].value == pytest.approx(difference)
    assert result["quoting_ratio"].value == 1.0
    assert result["fill_ratio"].value == pytest.approx(result["fills"].value / (2 * TICKS.steps))
    assert np.isnan(result["slippage"].value)
    value = np.sum(path.fill.bid + path.fill.ask) * TICKS.initial_price / PATHS
    assert result["turnover"].value == pytest.approx(value, rel=0.02)


def test_a_finer_grid_is_the_same_market():
    """Experts quote ten times as many ticks of a tenth of the size, and money is what it was."""
    for price in ("additive", "lognormal"):
        coarse = TICKS.but(
            price=price, volatility=3.0 if price == "additive" else 0.003, adverse_selection=0.1
        )
        fine = on_grid(coarse, 10)
        assert fine.volatility_ticks == pytest.approx(10 * coarse.volatility_ticks)
        seen = Observation(*(1.0,) * len(SCALARS))
        quotes = [
            closed_form("glft", scenario).act((), seen, jax.random.key(0))[0] for scenario in (coarse, fine)
        ]
        np.testing.assert_allclose(10 * np.array(quotes[0])[:2], quotes[1][:2], rtol=1e-5)
        assert fine.tick_value * 10 == coarse.tick_value


# --- simulated sessions as recordings -----------------------------------------------------------------------


@pytest.mark.parametrize("settings", [TickSettings(), TickSettings(grid=3, gap=2, levels=4, depth=7)])
def test_a_recording_shows_the_mid_and_the_orders_of_its_session(simulated, settings, tmp_path):
    orders, path = simulated[0], 0
    recording = recording_of(TICKS, orders, path, settings, seed=1)
    # The mid, to half a tick of the recording, at every decision.
    at = (1e9 * TICKS.dt * np.arange(TICKS.steps + 1)).astype(np.int64)
    mid = settings.grid * (TICKS.initial_price + orders.mid_price[path].astype(np.float64))
    np.testing.assert_array_equal(mid_at(top_of_book(recording), at), np.round(2 * mid) / 2)
    # As many orders as came, and the deepest of a step as deep as it reached.
    trades = recording.events[recording.events["kind"] == TRADE]
    step = trades["exchange_time_ns"] // round(1e9 * TICKS.dt)
    for side, aggressor in enumerate((SELL, BUY)):
        reach = deepest_reach(TICKS, orders.arrivals[path, :, side], orders.uniform[path, :, side])
        for i in range(TICKS.steps):
            here = trades[(trades["side"] == aggressor) & (step == i)]
            assert len(np.unique(here["exchange_time_ns"])) == orders.arrivals[path, i, side]
            if len(here) == 0:
                continue
            prices = here["price"]
            worst = prices.min() if aggressor == SELL else prices.max()
            beyond = mid[i] + aggressor * settings.grid * reach[i]
            if aggressor * (beyond - mid[i]) > settings.gap + 1:  # it reached the book
                assert worst == (np.ceil(beyond) if aggressor == SELL else np.floor(beyond))
    # And it is a file like any other.
    write_npz(recording, tmp_path / "session.npz")
    back = read_recording(tmp_path / "session.npz")
    np.testing.assert_array_equal(back.events, recording.events)
    assert not [finding for finding in back.findings if finding.severity == "error"]


def test_sessions_whose_orders_depend_on_who_quotes_are_refused(simulated):
    scenario = TICKS.but(exciter="own_fills")
    with pytest.raises(UsageError, match="`exciter` must be 'arrivals' for an export"):
        recording_of(scenario, simulated[0], 0, ALONE, 0)
    with pytest.raises(UsageError, match="`levels` must leave every price of the book above 0"):
        recording_of(TICKS, simulated[0], 0, TickSettings(levels=2_000), 0)
    with pytest.raises(UsageError, match="`grid` must be at least 1; received 0"):
        TickSettings(grid=0)


# --- the same policy in the simulator and in the replay of the same session ---------------------------------


class OnGrid(eqx.Module):
    """A policy whose quotes are prices on the tick grid around the mid that a recording shows."""

    inner: Any

    def init(self) -> Any:
        return self.inner.init()

    def act(self, memory: Any, observation: Observation, key: Any) -> tuple[Quote, Any]:
        mid = TICKS.initial_price + observation.mid_price
        shown = 0.5 * jnp.round(2.0 * mid)
        wanted, memory = self.inner.act(memory, observation, key)
        bid, ask = jnp.floor(shown - wanted.half_spread_bid), jnp.ceil(shown + wanted.half_spread_ask)
        return Quote(mid - bid, ask - mid), memory


def replayed(orders: Orders, settings: TickSettings, policy: str = "glft") -> Any:
    """Replay the first session with quotes that take no time."""
    pytest.importorskip("hftbacktest", reason="the replay needs flowhft[replay]")
    from flowhft.desk.replay.engine import replay
    from flowhft.desk.replay.settings import ReplaySettings

    recording = recording_of(TICKS, orders, 0, settings, seed=1)
    at_once = ReplaySettings(
        order_window=0.0,
        order_latency_ms=0.0,
        response_latency_ms=0.0,
        decision_latency_us=0.0,
        inventory_limit=1_000,
        fills="whole",  # as the simulator fills
    ).in_scenario(TICKS.dt, TICKS.horizon)
    return replay(recording, {policy: freeze(find_policy(policy), TICKS)}, at_once)[policy]


@pytest.fixture(scope="module")
def session() -> Orders:
    return order_flow(build(TICKS), paths=1, seed=5, scenario="session")


def test_alone_at_its_price_a_policy_fills_in_the_replay_when_it_does_in_the_simulator(session):
    """Fill by fill: what decides them is the same. Money differs by the mid's rounding to half a tick."""
    result = replayed(session, ALONE).trajectory
    policy = OnGrid(closed_form("glft", TICKS))
    expected = rollout(build(TICKS), policy, paths=1, seed=5, scenario="session")
    assert 20 < np.sum(expected.fill.bid) < TICKS.steps
    for side in ("bid", "ask"):
        np.testing.assert_array_equal(getattr(result.fill, side), getattr(expected.fill, side), err_msg=side)
    np.testing.assert_array_equal(result.observation.inventory, expected.observation.inventory)
    np.testing.assert_allclose(result.observation.cash, expected.observation.cash, atol=0.05)
    for name in ("arrivals_bid", "arrivals_ask"):
        np.testing.assert_array_equal(getattr(result.observation, name), getattr(expected.observation, name))
    np.testing.assert_allclose(result.mid_after, expected.mid_after, atol=0.2501)
    assert np.max(np.abs(result.mid_after - expected.mid_after)) > 0.1
    activity, sent = result.activity, expected.activity
    np.testing.assert_allclose(activity.turnover, sent.turnover, rtol=1e-5)
    np.testing.assert_array_equal(activity.standing_bid, sent.standing_bid)
    assert np.all(activity.orders <= sent.orders)  # one that is where it should be stays


def test_a_queue_costs_no_more_than_the_quotes_own_price(session):
    """Behind others at its price: filled by all that went through it, perhaps by what ended there."""
    result = replayed(session, TickSettings(levels=60, depth=300)).trajectory
    mid = TICKS.initial_price + session.mid_price[0, :-1].astype(np.float64)
    shown = np.round(2 * mid) / 2
    waited = 0
    for side, sign in enumerate((1, -1)):
        quote, fill = result.quote[side][0], result.fill[side][0]
        price = sign * np.floor(sign * shown - quote)  # of the bid rounded down, of the ask up
        touch = np.ceil(sign * shown) - 1  # the best price that does not cross, mirrored for asks
        price = sign * np.minimum(sign * price, touch)
        reach = deepest_reach(TICKS, session.arrivals[0, :, side], session.uniform[0, :, side])
        last = np.ceil(sign * mid - reach)  # the worst price traded, mirrored for asks
        through, there = sign * price > last, sign * price >= last
        assert np.all(fill >= through)
        assert np.all(fill <= there)
        waited += np.sum(there & (fill == 0))
    assert waited > 0
    alone = replayed(session, ALONE).trajectory
    assert np.sum(result.fill) < np.sum(alone.fill)


@pytest.mark.parametrize("name", ["glft", "avellaneda_stoikov", "flowhft"])
def test_the_lab_quotes_what_the_replay_quoted(session, name):
    """On the replay's own observations; in single precision where the replay has double."""
    result = replayed(session, ALONE, name).trajectory
    policy = in_lab(find_policy(name), TICKS)
    seen = jax.tree.map(lambda values: jnp.asarray(values[0], jnp.float32), result.observation)

    @jax.jit
    def quotes(seen: Observation) -> Quote:
        def step(memory: Any, observation: Observation) -> tuple[Any, Quote]:
            quote, memory = policy.act(memory, observation, jax.random.key(0))
            return memory, quote

        return jax.lax.scan(step, policy.init(), seen)[1]

    np.testing.assert_allclose(quotes(seen)[:2], [side[0] for side in result.quote[:2]], atol=2e-3)


def test_every_metric_is_defined_somewhere(session, simulated):
    """In the replay or in the simulator: none is a column of nothing."""
    there = summarise(measure(replayed(session, ALONE).trajectory))
    here = summarise(measure(simulated[1]))
    for name in METRICS.keys() - {"expected_pnl", "sharpe", "sortino", "pnl_deviation"}:
        assert np.isfinite(here[name].value) or np.isfinite(there[name].value), name
    assert there["slippage"].value < 0.0  # prices are rounded away from the mid
