"""Laws of the market in which order flow moves the price, each with a wrong form that must fail.

Fixed seeds and 5 standard errors, as in `test_market`.
"""

import dataclasses
import math
from functools import cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flowhft.errors import UsageError
from flowhft.runs.files import plain
from flowhft.scenarios.files import read_scenarios, scenarios_to_toml
from flowhft.scenarios.known import regime_of
from flowhft.scenarios.order_flow import OrderFlow, flow_variance, reach_moments, response_at
from flowhft.scenarios.presets import grid_around, order_flow
from flowhft.scenarios.scenario import Scenario
from flowhft.scenarios.total_law import total_estimates
from flowhft.simulate.market.impact import total_reach
from flowhft.simulate.market.market import build
from flowhft.simulate.market.orders import deepest_reach
from flowhft.simulate.market.ticks import on_grid
from flowhft.simulate.quoting import closed_form
from flowhft.simulate.rollout import evaluate_together, rollout

SIGMAS = 5.0
PATHS = 8_000
PARTS = OrderFlow(fast_share=0.5, slow_share=0.3, fast_time=0.2, slow_time=2.0)
FLOW = dataclasses.replace(
    PARTS,
    fast_drift=2.0,
    slow_drift=1.0,
    order_slope=0.5,
    order_response=0.3,
    reach_response=1.1,
)
PLAIN = Scenario(
    "flow",
    horizon=2.0,
    dt=0.02,
    price="additive",
    volatility=1.0,
    base_intensity=3.0,
    fill_decay=0.4,
    reach=0.8,
    risk_aversion=0.01,
)


def but(**changes: float) -> Scenario:
    return PLAIN.but(order_flow=dataclasses.replace(PARTS, **changes))


@eqx.filter_jit
def worlds_of(market, keys):
    return jax.vmap(market.draw)(keys)


@cache
def drawn(scenario: Scenario, seed: int = 0):
    """Return the worlds of a scenario, the first axis the path, of one compiled program where it can be."""
    keys = jax.random.split(jax.random.key(seed), PATHS)
    busy = PLAIN.but(order_flow=FLOW, base_intensity=6.0)
    return jax.tree.map(np.asarray, worlds_of(build(scenario, like=[scenario, busy]), keys))


def away(samples: np.ndarray, expected: float) -> float:
    """Return by how many of its standard errors the mean of independent samples is off."""
    return float(abs(samples.mean() - expected) / (samples.std() / math.sqrt(len(samples))))


# Imbalance


@pytest.mark.parametrize("lag", [0, 5, 50, 99])
def test_imbalance_is_stationary_and_fades_as_its_two_parts_do(lag):
    flow = drawn(but()).flow
    x = flow.imbalance.astype(np.float64)
    products = (x[:, lag:] * x[:, : x.shape[1] - lag]).mean(axis=1)
    time = lag * PLAIN.dt
    expected = 0.5 * math.exp(-time / 0.2) + 0.3 * math.exp(-time / 2.0) + (0.2 if lag == 0 else 0.0)
    assert away(products, expected) < SIGMAS
    single = 0.8 * math.exp(-time / 0.9)  # one part of the mean time is told apart
    assert lag in (0, 99) or away(products, single) > 2.0 * SIGMAS
    assert away(x[:, 0] ** 2, 1.0) < SIGMAS  # from the start
    np.testing.assert_array_equal(flow.imbalance[:, 1:], flow.imbalance_after[:, :-1])


# Orders


def test_orders_follow_the_imbalance_and_keep_their_mean():
    whole = but(fast_share=0.7, slow_share=0.3, order_slope=0.5)  # nothing of the imbalance is noise
    flow = drawn(whole).flow
    x, mean = flow.imbalance.astype(np.float64), 3.0 * PLAIN.dt
    for side, sign in ((0, -1.0), (1, 1.0)):
        count = flow.arrivals[..., side]
        assert away(count.mean(axis=1), mean) < SIGMAS
        assert away(count[:, -1], mean) < SIGMAS
        for slope, holds in ((0.5, True), (0.4, False), (-0.5, False)):
            leaning = (count * np.exp(-sign * slope * x + 0.5 * slope**2)).mean(axis=1)
            assert (away(leaning, mean) < SIGMAS) == holds, slope


def test_orders_that_excite_each_other_keep_their_mean_too():
    excited = PLAIN.but(self_excitation=4.0, cross_excitation=2.0, order_flow=FLOW)
    count = drawn(excited).flow.arrivals
    for side in range(2):
        assert away(count[..., side].mean(axis=1), excited.mean_intensity * PLAIN.dt) < SIGMAS
    assert away(count[..., 0].mean(axis=1), excited.base_intensity * PLAIN.dt) > 2.0 * SIGMAS


# Responses


@pytest.mark.parametrize("reach", [0.6, 1.0, 1.5])
def test_a_step_moves_the_mid_by_what_its_orders_reach(reach):
    """Alone in a step, by kappa + eta R exactly, with R from the tape of orders; of several, on average."""
    scenario = but(order_response=0.3, reach_response=1.1).but(reach=reach, volatility=1e-6)
    world = drawn(scenario)
    count = world.flow.arrivals.astype(np.float64)
    deepest = deepest_reach(scenario, count, world.flow.uniform.astype(np.float64))
    for side, sign in ((0, -1.0), (1, 1.0)):
        alone = (count[..., side] == 1) & (count[..., 1 - side] == 0)
        reached = np.maximum(deepest[..., side][alone], 0.0)
        np.testing.assert_allclose(sign * world.move[alone], 0.3 + 1.1 * reached, atol=2e-3)
    uniform = (np.arange(400_000) + 0.5) / 400_000
    for number in (1, 2, 5):
        total = total_reach(jnp.float32(reach), 0.4, float(number), jnp.asarray(uniform, jnp.float32))
        assert float(np.mean(total)) == pytest.approx(number * reach_moments(scenario)[0], rel=2e-3)


@pytest.mark.parametrize("reach", [0.6, 1.5])
def test_the_other_orders_of_a_step_reach_as_far_as_given_the_deepest(reach):
    """Against single orders drawn by numpy; the mean that a reach has anyway is told apart."""
    random = np.random.default_rng(1)
    share = random.random((400_000, 3))
    reaches = np.maximum(np.log(reach / share) / 0.4, 0.0)
    deepest, p = reaches.max(axis=1), share.min(axis=1)
    left = 1.0 - (1.0 - p) ** 3
    model = np.asarray(total_reach(jnp.float32(reach), 0.4, 3.0, jnp.asarray(left, jnp.float32)))
    for low, high in ((0.5, 2.0), (2.0, 4.0), (4.0, 8.0)):
        here = (deepest > low) & (deepest <= high)
        assert away(reaches.sum(axis=1)[here] - model[here], 0.0) < SIGMAS
        careless = deepest[here] + 2.0 * float(reaches.mean())
        assert away(reaches.sum(axis=1)[here] - careless, 0.0) > 2.0 * SIGMAS


def test_a_quote_is_filled_by_the_deepest_order_and_the_mid_moves_by_what_it_reached():
    rare = but(order_response=0.3, reach_response=1.1).but(base_intensity=0.5)
    path = rollout(build(rare), closed_form("glft", rare), paths=8_000, seed=3, scenario="fills")
    filled = (path.fill.bid > 0) & (path.fill.ask == 0)
    move = (path.mid_after - path.observation.mid_price)[filled]
    half = np.broadcast_to(path.quote.half_spread_bid, path.fill.bid.shape)[filled]
    expected = np.array([response_at(rare, float(d)) for d in half])
    assert abs((move + expected).mean()) < 0.05 * expected.mean()  # a second order in 1 % of the steps
    assert abs((move + 0.3 + 1.1 * half).mean()) > 0.2 * expected.mean()  # orders that stop at the quote
    assert response_at(rare, 1.0 / rare.fill_decay) == pytest.approx(rare.adverse_move)


# Drift


@pytest.mark.parametrize("steps", [1, 10, 80])
def test_the_imbalance_foretells_the_mid_as_its_parts_fade(steps):
    scenario = but(fast_drift=5.0, slow_drift=2.0)
    world = drawn(scenario)
    x = world.flow.imbalance[:, 0].astype(np.float64)
    move = world.move[:, :steps].astype(np.float64).sum(axis=1)
    time = steps * PLAIN.dt
    parts = ((0.5, 0.2, 5.0), (0.3, 2.0, 2.0))
    slope = sum(a * tau * g * -math.expm1(-time / tau) for a, tau, g in parts)
    assert away(x * (move - slope * x), 0.0) < SIGMAS
    forever = sum(a * g * time for a, _, g in parts)  # a drift that stays is told apart
    assert steps == 1 or away(x * (move - forever * x), 0.0) > 2.0 * SIGMAS


def test_a_sweep_that_pushes_the_imbalance_drifts_on():
    scenario = but(fast_drift=5.0, reach_imbalance=2.0).but(volatility=0.1)
    world = drawn(scenario)
    count = world.flow.arrivals[:, 0].astype(np.float64)
    reached = np.maximum(deepest_reach(scenario, count, world.flow.uniform[:, 0].astype(np.float64)), 0.0)
    signed = (reached * (count == 1)) @ np.array([-1.0, 1.0])
    later = world.move[:, 1:51].astype(np.float64).sum(axis=1)
    # Of a push, what the first step leaves: z1 moves at its end.
    slope = 2.0 * 0.4 * math.sqrt(0.5) * 5.0 * 0.2 * -math.expm1(-1.0 / 0.2)
    assert away(signed * (later - slope * signed), 0.0) < SIGMAS
    assert away(signed * later, 0.0) > 1.5 * SIGMAS


# Sums


@pytest.mark.parametrize(
    ("changes", "about"),
    [
        ({"order_response": 0.3, "reach_response": 1.1}, "orders alone"),
        ({"fast_drift": 5.0, "slow_drift": 2.0}, "drift alone"),
        ({"order_slope": 0.3, "order_response": 0.5, "slow_drift": 1.0}, "orders that follow the imbalance"),
    ],
)
@pytest.mark.parametrize("excitation", [0.0, 3.0])
def test_variances_add_to_that_of_the_whole_move(changes, about, excitation):
    """Within 3 %: excitation that has not faded at the end and the others' reach are left out of the sum."""
    scenario = but(**changes).but(self_excitation=excitation, cross_excitation=excitation / 3.0, decay=20.0)
    total = drawn(scenario).move.astype(np.float64).sum(axis=1)
    expected = scenario.volatility**2 + flow_variance(scenario)
    assert total.var() / PLAIN.horizon == pytest.approx(expected, rel=0.03 + SIGMAS * math.sqrt(2 / PATHS))
    assert scenario.total_volatility == pytest.approx(math.sqrt(expected))
    assert abs(total.var() / PLAIN.horizon / scenario.volatility**2 - 1.0) > 0.3  # the diffusion alone


# The market as a whole


def test_without_order_flow_nothing_is_drawn_and_nothing_written():
    """Runs, files and fingerprints of today's markets stay as they are."""
    market = build(PLAIN)
    world = market.draw(jax.random.key(0))
    assert (market.impact, world.flow, market.init(world).imbalance) == (None, None, None)
    assert "order_flow" not in plain(PLAIN)
    assert "order_flow" not in scenarios_to_toml([PLAIN])
    assert plain(but())["order_flow"]["fast_share"] == 0.5


def test_an_order_flow_of_zeros_is_todays_market():
    still = PLAIN.but(self_excitation=3.0, cross_excitation=1.0, order_flow=OrderFlow())
    today = still.but(order_flow=None)
    one, other = (
        rollout(build(each), closed_form("glft", each), paths=256, seed=1, scenario="zeros")
        for each in (still, today)
    )
    for now, before in zip(jax.tree.leaves(one.fill), jax.tree.leaves(other.fill), strict=True):
        np.testing.assert_array_equal(now, before)
    np.testing.assert_array_equal(one.mid_after, other.mid_after)
    np.testing.assert_array_equal(one.observation.arrivals_bid, other.observation.arrivals_bid)
    np.testing.assert_allclose(one.observation.intensity_ask, other.observation.intensity_ask, rtol=1e-5)
    assert still.estimates() == today.estimates()
    assert total_estimates(still) == total_estimates(today)._replace(
        fill_cost=total_estimates(still).fill_cost
    )


def test_policies_are_paired_and_accounts_balance():
    """Nobody's quotes change the mid, the orders or the imbalance."""
    scenario = PLAIN.but(order_flow=FLOW, self_excitation=2.0, maker_fee=1e-4, inventory_limit=3.0)
    market = build(scenario)
    near, far = (
        rollout(market, closed_form("glft", scenario, gamma), paths=64, seed=1, scenario="pairs")
        for gamma in (0.01, 1.0)
    )
    assert not np.array_equal(near.fill.bid, far.fill.bid)
    np.testing.assert_array_equal(near.mid_after, far.mid_after)
    np.testing.assert_array_equal(near.observation.arrivals_ask, far.observation.arrivals_ask)
    seen = near.observation
    equity = seen.cash + seen.inventory * seen.mid_price
    gained = near.spread_pnl + near.inventory_pnl - near.fee
    np.testing.assert_allclose(np.diff(equity), gained[:, :-1], atol=2e-4)
    assert np.abs(seen.inventory).max() == 3.0


def test_a_path_begins_and_goes_on_with_the_imbalance_that_was_drawn():
    market = build(PLAIN.but(order_flow=FLOW))
    world = market.draw(jax.random.key(4))
    state, seen = market.init(world), []
    policy = closed_form("glft", PLAIN)

    def step(state, now):
        quote, _ = policy.act(policy.init(), market.observe(state), jax.random.key(0))
        return market.step(state, quote, now)[0], state.imbalance

    seen = jax.lax.scan(step, state, world)[1]
    np.testing.assert_array_equal(seen, world.flow.imbalance)
    assert market.init().imbalance == 0.0


def test_the_same_quotes_earn_where_orders_move_nothing_and_lose_where_they_sweep():
    swept = PLAIN.but(order_flow=FLOW)
    calm = swept.but(order_flow=None, volatility=swept.total_volatility)
    assert swept.estimates()._replace(signals=()) == calm.estimates()
    measures = [
        evaluate_together(build(each), [closed_form("glft", each)], paths=2_000, seed=1, scenario="x")[0]
        for each in (calm, swept)
    ]
    earned, lost = (measure["pnl"] for measure in measures)
    for pnl, sign in ((earned, 1.0), (lost, -1.0)):
        assert away(pnl, 0.0) > SIGMAS
        assert sign * pnl.mean() > 0.0


def test_a_finer_grid_is_the_same_market():
    scenario = PLAIN.but(order_flow=FLOW)
    fine = on_grid(scenario, 10)
    coarse, moved = drawn(scenario), drawn(fine)
    np.testing.assert_array_equal(moved.flow.arrivals, coarse.flow.arrivals)
    np.testing.assert_allclose(moved.move, 10.0 * coarse.move, rtol=1e-4, atol=1e-2)


def test_who_is_told_everything_knows_what_order_flow_adds():
    scenario = PLAIN.but(order_flow=FLOW)
    told = total_estimates(scenario)
    assert told.volatility == pytest.approx(scenario.total_volatility)
    assert told.fill_cost == pytest.approx(0.3 + 1.1 * 2.0 / 0.4)
    assert regime_of(scenario)[0] == pytest.approx(math.log(scenario.total_volatility * 2.0**0.5 * 0.4))
    assert regime_of(scenario)[-1] == pytest.approx(told.fill_cost * 0.4)


def test_regimes_around_a_market_scale_what_moves_its_price():
    centre = PLAIN.but(order_flow=FLOW)
    wild = next(s for s in grid_around(centre) if s.name == "volatility x2, demand x1")
    assert wild.total_volatility == pytest.approx(2.0 * centre.total_volatility)
    assert wild.adverse_move == pytest.approx(2.0 * centre.adverse_move)


@pytest.mark.parametrize(
    "name", [pytest.param("order-flow.tight", marks=pytest.mark.slow), "order-flow.wide"]
)
def test_makers_who_do_not_look_lose_in_the_named_books(name):
    """As on the recordings that they are made after; today's market of the same volatility pays."""
    scenario = order_flow()[name]
    calm = scenario.but(order_flow=None, volatility=scenario.total_volatility)
    lost, earned = (
        evaluate_together(build(each), [closed_form("glft", each)], paths=400, seed=1, scenario="x")[0]["pnl"]
        for each in (scenario, calm)
    )
    assert lost.mean() < 0.3 * earned.mean()
    assert away(earned, 0.0) > SIGMAS


# Scenarios and files


def test_order_flow_survives_toml(tmp_path):
    before = [PLAIN.but(name="one", order_flow=FLOW), PLAIN, *order_flow().values()]
    path = tmp_path / "flow.toml"
    path.write_text(scenarios_to_toml(before))
    assert read_scenarios(path) == before


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("order_flow = 3", "`order_flow` must be a table; received 3"),
        (
            "order_flow = {fast_shar = 0.1}",
            "unknown key of `order_flow` 'fast_shar'; did you mean 'fast_share'",
        ),
        ("order_flow = {fast_share = true}", "`fast_share` must be a number; received True"),
        ("order_flow = {fast_share = -0.1}", "`fast_share` must not be negative; received -0.1"),
    ],
)
def test_bad_tables_are_refused(tmp_path, text, words):
    path = tmp_path / "bad.toml"
    path.write_text(f'name = "a"\nprice = "additive"\n{text}\n')
    with pytest.raises(UsageError) as refusal:
        read_scenarios(path)
    assert words in str(refusal.value)
    assert str(path) in str(refusal.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"adverse_selection": 0.1}, "`adverse_selection` must be 0 where order flow moves the price"),
        ({"price": "lognormal", "volatility": 0.1}, "`price` must be 'additive' where"),
        ({"exciter": "own_fills"}, "`exciter` must be 'arrivals' where"),
        ({"refill": True}, "`refill` must be false where"),
        ({"base_intensity_ask": 2.0}, "`base_intensity_ask` must be left out where"),
        (
            {"order_flow": dataclasses.replace(FLOW, reach_imbalance=9.0)},
            "`reach_imbalance` must be so small that",
        ),
    ],
)
def test_markets_that_cannot_be_are_refused(changes, words):
    with pytest.raises(UsageError) as refusal:
        PLAIN.but(**({"order_flow": FLOW} | changes))
    assert words in str(refusal.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"fast_share": 0.8}, "`slow_share` must leave the sum of both shares at 1 at most; received 0.3"),
        ({"fast_time": 3.0}, "`fast_time` must be positive and below `slow_time`; received 3.0 s with 2.0 s"),
        ({"order_slope": 3.0}, "`order_slope` must be at most 2 in size; received 3.0"),
        ({"slow_drift": math.inf}, "`slow_drift` must be finite; received inf"),
    ],
)
def test_order_flows_that_cannot_be_are_refused(changes, words):
    with pytest.raises(UsageError) as refusal:
        dataclasses.replace(PARTS, **changes)
    assert words in str(refusal.value)
