"""Sides that are not quoted, and quotes of several lots: the simulated market against a slow loop."""

import functools
import itertools
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flowhft.errors import FlowhftError
from flowhft.metrics.measures import Tally, measure
from flowhft.metrics.table import summarise
from flowhft.scenarios.presets import find_scenarios
from flowhft.simulate.many import evaluate_many
from flowhft.simulate.market.market import build
from flowhft.simulate.market.world import World
from flowhft.simulate.quoting import closed_form
from flowhft.simulate.rollout import evaluate_one, require_finite_quotes, rollout
from flowhft.types import Quote

STEPS = 12
BUSY = find_scenarios("T1.HH", "correct")[0].but(
    name="busy",
    horizon=0.12,
    base_intensity=100.0,
    maker_fee=0.0002,
    self_excitation=0.0,
    cross_excitation=0.0,
)


class Scripted(eqx.Module):
    """Quotes what is written down, step by step."""

    quotes: jax.Array  # (step, number)

    def init(self):
        return jnp.zeros((), jnp.int32)

    def act(self, memory, observation, key):
        return Quote(*self.quotes[memory]), memory + 1


def slow_session(scenario, world: World, script: np.ndarray) -> dict[str, np.ndarray]:
    """Return a session by plain Python, fill by fill and order by order, in double precision.

    Without excitation or adverse selection. The number of orders that reach a quote follows from the same
    uniform number as in the market: inversion of the Poisson law, then of the binomial.
    """
    held = cash = mid = 0.0
    rows = []
    for step in range(scenario.steps):
        row = {"inventory": held, "cash": cash}
        gain = fee = 0.0
        for side, sign in ((0, +1.0), (1, -1.0)):
            half_spread, size = script[step, side], script[step, 2 + side]
            row[f"standing_{side}"] = row[f"filled_{side}"] = 0.0
            if math.isnan(half_spread) or size == 0.0:
                continue
            row[f"standing_{side}"] = float(sign * held + size <= scenario.inventory_limit)
            lots = 0.0
            for _ in range(reached(scenario, float(world.order_flow[step, side]), half_spread)):
                if sign * row["inventory"] + lots + size > scenario.inventory_limit:
                    break
                lots += size
                price = scenario.initial_price + mid - sign * half_spread
                gain += half_spread * size
                fee += scenario.maker_fee * price * size
                cash -= sign * (price - scenario.initial_price) * size
            row[f"filled_{side}"] = lots
        held += row["filled_0"] - row["filled_1"]
        cash -= fee
        move = float(world.move[step])
        mid += move
        rows.append(row | {"spread_pnl": gain, "fee": fee, "inventory_pnl": held * move, "held": held})
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def reached(scenario, uniform: float, half_spread: float) -> int:
    """Return how many market orders fill a quote that is refilled, or 1 at most if it is not."""
    mean = scenario.base_intensity * scenario.dt
    count, below, above = 0, 0.0, math.exp(-mean)
    while uniform >= above:
        count += 1
        below, above = above, above + math.exp(-mean) * mean**count / math.factorial(count)
    left = (uniform - below) / (above - below)
    share = min(1.0, scenario.reach * math.exp(-scenario.fill_decay * half_spread))
    # left < 1 - P(none): the largest n with left < P(n or more reach).
    laws = [math.comb(count, n) * share**n * (1.0 - share) ** (count - n) for n in range(count + 1)]
    most = sum(left < sum(laws[n:]) for n in range(1, count + 1))
    return most if scenario.refill else min(most, 1)


@functools.cache
def draw(seed: int) -> World:
    """Return random numbers of a busy market: the price is the same with every kind of fills and limit."""
    return build(BUSY).draw(jax.random.key(seed))


@eqx.filter_jit
def session(market, script, world):
    """Run a script through a market, step by step."""

    def step(state, now):
        quote, world = now
        after, outcome = market.step(state, Quote(*quote), world)
        return after, (state, after, outcome)

    return jax.lax.scan(step, market.init(), (script, world))[1]


@pytest.mark.parametrize("refill", [False, True])
@pytest.mark.parametrize("limit", [math.inf, 4.0])
def test_sizes_and_sides_that_are_not_quoted_are_those_of_a_slow_loop(refill, limit):
    scenario = BUSY.but(refill=refill, inventory_limit=limit)
    random = np.random.default_rng(5)
    traded = 0.0
    for seed in range(6):
        script = np.concatenate(
            [random.uniform(-0.3, 1.5, (STEPS, 2)), random.choice([0.0, 0.5, 1.0, 2.0, 3.0], (STEPS, 2))], 1
        ).astype(np.float32)
        script[random.random((STEPS, 4)) < [0.2, 0.2, 0.0, 0.0]] = math.nan
        world = draw(seed)
        before, after, outcome = session(build(scenario), jnp.asarray(script), world)
        slow = slow_session(scenario, world, script.astype(np.float64))
        for result, name in (
            (before.inventory, "inventory"),
            (before.cash, "cash"),
            (after.inventory, "held"),
            (outcome.fill.bid, "filled_0"),
            (outcome.fill.ask, "filled_1"),
            (outcome.spread_pnl, "spread_pnl"),
            (outcome.fee, "fee"),
            (outcome.inventory_pnl, "inventory_pnl"),
            (outcome.activity.standing_bid, "standing_0"),
            (outcome.activity.standing_ask, "standing_1"),
        ):
            np.testing.assert_allclose(result, slow[name], rtol=2e-5, atol=2e-3, err_msg=name)
        np.testing.assert_array_equal(outcome.activity.orders, slow["standing_0"] + slow["standing_1"])
        traded += np.sum(outcome.fill.bid) + np.sum(outcome.fill.ask)
    assert traded > 40.0


def test_the_slow_loop_would_tell_a_fill_of_a_single_lot():
    world = draw(0)
    script = np.tile(np.array([0.0, 0.0, 3.0, 3.0]), (STEPS, 1))
    one = slow_session(BUSY, world, script)
    ones = slow_session(BUSY, world, np.where(script == 3.0, 1.0, script))
    assert one["filled_0"].sum() == 3.0 * ones["filled_0"].sum() > 0.0


MARKETS = {refill: build(BUSY.but(refill=refill)) for refill in (False, True)}

# Anything a user may quote: half-spreads, NaN for none, sizes in orders, 0 for none.
half_spreads = st.one_of(st.just(math.nan), st.floats(-2.0, 4.0, width=32))
sizes = st.one_of(st.sampled_from([0.0, 1.0, 2.0]), st.floats(0.015625, 7.0, width=32))


@pytest.mark.parametrize("refill", [False, True])
@settings(max_examples=60, deadline=None)
@given(
    quotes=st.lists(st.tuples(half_spreads, half_spreads, sizes, sizes), min_size=STEPS, max_size=STEPS),
    limit=st.floats(1.0, 9.0, width=32),
    seed=st.integers(0, 50),
)
@example(quotes=[(-2.0, math.nan, 0.1, 0.0)] * STEPS, limit=1.0, seed=0)
def test_limits_hold_and_money_adds_up_whatever_is_quoted(refill, quotes, limit, seed):
    market = MARKETS[refill]
    market = eqx.tree_at(lambda m: m.inventory_limit, market, jnp.float32(limit))
    script = jnp.asarray(np.array(quotes, np.float32))
    _, after, outcome = session(market, script, draw(seed))
    for value in jax.tree.leaves((after, outcome)):
        assert np.isfinite(value).all()
    assert np.all(np.abs(after.inventory) <= limit * (1.0 + 1e-6))
    wealth = np.float64(after.cash) + np.float64(after.inventory) * np.float64(after.mid_price)
    gains = np.float64(outcome.spread_pnl) + np.float64(outcome.inventory_pnl) - np.float64(outcome.fee)
    np.testing.assert_allclose(wealth, np.cumsum(gains), atol=2e-2)
    for side, filled in enumerate((outcome.fill.bid, outcome.fill.ask)):
        silent = np.isnan(script[:, side]) | (script[:, 2 + side] == 0.0)
        assert not np.any(np.asarray(filled)[silent])
        standing = (outcome.activity.standing_bid, outcome.activity.standing_ask)[side]
        assert not np.any(np.asarray(standing)[silent])
        whole = np.asarray(filled)[~silent] / np.asarray(script[:, 2 + side])[~silent]
        np.testing.assert_allclose(whole, np.round(whole), atol=1e-4)


def test_own_fills_excite_by_the_order_and_not_by_the_lot():
    scenario = find_scenarios("T1.HH", "paper")[0].but(name="own", horizon=0.12, base_intensity=100.0)
    scripts = [jnp.tile(jnp.array([0.0, math.nan, size, 1.0]), (STEPS, 1)) for size in (1.0, 5.0)]
    (_, one, single), (_, five, fivefold) = (session(build(scenario), script, draw(3)) for script in scripts)
    assert np.sum(single.fill.bid) > 0.0
    np.testing.assert_array_equal(5.0 * np.asarray(single.fill.bid), fivefold.fill.bid)
    np.testing.assert_array_equal(one.excitation_bid, five.excitation_bid)
    assert np.max(one.excitation_bid) > np.min(one.excitation_bid)


# --- policies and metrics ----------------------------------------------------------------------------------


def test_who_stays_at_home_earns_nothing_and_meets_the_same_market():
    quiet, busy = closed_form("no_quote", BUSY), closed_form("glft", BUSY)
    run = {"paths": 20, "seed": 4, "scenario": "home"}
    home, out = rollout(build(BUSY), quiet, **run), rollout(build(BUSY), busy, **run)
    for name in ("mid_price", "arrivals_bid", "arrivals_ask", "time"):
        np.testing.assert_array_equal(getattr(home.observation, name), getattr(out.observation, name))
    assert np.isnan(home.quote.half_spread_bid).all()
    result = evaluate_one(build(BUSY), quiet, **run)
    metrics = summarise(result)
    for name in ("pnl", "spread_pnl", "fee", "fills", "max_drawdown", "quoting_ratio", "turnover"):
        assert metrics[name] == (0.0, 0.0, 0.0), name
    assert math.isnan(metrics["half_spread"].value)
    assert summarise(evaluate_one(build(BUSY), busy, **run))["quoting_ratio"].value == 1.0
    together = evaluate_many(build(BUSY), [quiet, busy, quiet], **run)
    assert [one["pnl"].any() for one in together] == [False, True, False]


def test_the_half_spread_is_averaged_where_both_sides_are_quoted():
    """A bid at 1 in every step and an ask at 4 in every third."""
    script = np.array([[1.0, 4.0 if step % 3 == 0 else math.nan, 1.0, 1.0] for step in range(STEPS)])
    trajectory = rollout(build(BUSY), Scripted(jnp.asarray(script)), paths=3, seed=0, scenario="thirds")
    for measures in (
        measure(trajectory),
        evaluate_one(build(BUSY), Scripted(jnp.asarray(script)), paths=3, seed=0, scenario="thirds"),
    ):
        result = summarise(measures)
        assert result["half_spread"].value == pytest.approx(2.5)
        assert result["quoting_ratio"].value == pytest.approx(1.0 / 3.0)
    size = np.where(np.isnan(script[:, 1]), 0.0, 1.0)
    no_size = np.stack([script[:, 0], np.full(STEPS, 4.0), np.ones(STEPS), size], axis=1)
    same = evaluate_one(build(BUSY), Scripted(jnp.asarray(no_size)), paths=3, seed=0, scenario="thirds")
    for name, values in evaluate_one(
        build(BUSY), Scripted(jnp.asarray(script)), paths=3, seed=0, scenario="thirds"
    ).items():
        np.testing.assert_array_equal(values, same[name], err_msg=name)


@pytest.mark.parametrize(("bid", "ask"), [(math.inf, 1.0), (math.inf, -math.inf), (math.nan, math.inf)])
def test_an_infinite_half_spread_is_an_error_with_policy_and_path(bid, ask):
    script = np.tile(np.array([1.0, 1.0, 1.0, 1.0], np.float32), (STEPS, 1))
    script[7, :2] = bid, ask
    policy = Scripted(jnp.asarray(script))
    message = r"policy Scripted must be finite, or NaN .* path 40 of 'wild'"
    for function in (rollout, evaluate_one):
        with pytest.raises(FlowhftError, match=message):
            function(build(BUSY), policy, paths=5, seed=0, scenario="wild", first=40)
    with pytest.raises(FlowhftError, match="path 0 of 'wild'"):
        evaluate_many(build(BUSY), [closed_form("glft", BUSY), policy], paths=5, seed=0, scenario="wild")


def test_only_the_path_at_fault_is_named():
    tally = Tally(*(np.zeros(4),) * len(Tally._fields))._replace(
        half_spread=np.array([1.0, 2.0, np.nan, 1.0])
    )
    with pytest.raises(FlowhftError, match="path 12 of"):
        require_finite_quotes(closed_form("glft", BUSY), tally, 10, "x")
    require_finite_quotes(None, tally._replace(half_spread=np.ones(4)), 10, "x")


def test_every_pair_of_sides_can_be_pulled():
    for pulled in itertools.product([False, True], repeat=2):
        script = np.ones((STEPS, 4), np.float32) * [0.0, 0.0, 1.0, 1.0]
        script[:, :2] = np.where(pulled, math.nan, 0.0)
        result = rollout(
            build(BUSY), Scripted(jnp.asarray(script, jnp.float32)), paths=8, seed=1, scenario="p"
        )
        assert [bool(np.any(side)) for side in result.fill] == [not side for side in pulled]
