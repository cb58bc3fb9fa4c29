"""The exact optimum where an order is several lots: its problem written down lot by lot."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

from flowhft.errors import UsageError
from flowhft.learn.frontier import objective_of
from flowhft.policies import rules as experts
from flowhft.policies.rules import dynamic_program, linear_equation, oracle
from flowhft.scenarios.scenario import Scenario
from flowhft.simulate.market.market import build
from flowhft.simulate.quoting.closed_form import ClosedForm
from flowhft.simulate.rollout import evaluate_one, rollout
from flowhft.types import Estimates, Observation

TOLD = Estimates(
    volatility=2.0,
    drift=0.4,
    intensity=50.0,
    fill_decay=1.5,
    horizon=0.08,
    dt=0.02,
    fill_cost=0.1,
    inventory_limit=5.0,
)
PHI, TERMINAL = 2.0, 0.1


def see(inventory: float, time_left: float) -> Observation:
    return Observation(0.0, time_left, 0.0, inventory, 0.0, 0.0, 0.0, 1.0, 1.0)


def chance(half_spread: float) -> float:
    """Return the probability that one order at least reaches a quote in a step."""
    return -math.expm1(-TOLD.intensity * math.exp(-TOLD.fill_decay * half_spread) * TOLD.dt)


def worth(later: dict[float, float], size: float, lots: float, bid: float, ask: float) -> float:
    """Return what quoting so is worth: the four outcomes of a step, in lots."""
    buys = chance(bid) if lots + size <= TOLD.inventory_limit else 0.0
    sells = chance(ask) if size - lots <= TOLD.inventory_limit else 0.0
    total = 0.0
    for bought, chance_bought in ((0, 1.0 - buys), (1, buys)):
        for sold, chance_sold in ((0, 1.0 - sells), (1, sells)):
            if chance_bought * chance_sold == 0.0:
                continue
            held = lots + size * (bought - sold)
            earned = size * (bought * (bid - TOLD.fill_cost) + sold * (ask - TOLD.fill_cost))
            carried = TOLD.dt * (TOLD.drift * held - PHI * held**2)
            total += chance_bought * chance_sold * (earned + carried + later[held])
    return total


@pytest.mark.parametrize(("size", "orders"), [(1.0, 5), (2.0, 2), (2.5, 2)])
def test_no_pair_of_quotes_beats_the_programme_lot_by_lot(size, orders):
    told = TOLD._replace(order_size=size)
    best = dynamic_program.solve(told, PHI, orders, TERMINAL)
    held = [size * n for n in range(-orders, orders + 1)]
    grid = np.arange(-2.0, 6.0, 0.2)
    value = {lots: -TERMINAL * lots**2 for lots in held}
    for step in range(1, 5):
        reached, result = {}, {}
        for n, lots in enumerate(held):
            own = best.half_spreads[step, n]
            reached[lots] = worth(value, size, lots, *own)
            result[lots] = max(worth(value, size, lots, bid, ask) for bid in grid for ask in grid)
            assert reached[lots] >= result[lots] - 1e-12
            assert reached[lots] == pytest.approx(result[lots], abs=0.05 * size)
        np.testing.assert_allclose(best.values[step], list(reached.values()), rtol=1e-12)
        value = reached


def test_an_order_of_two_lots_is_not_two_orders_of_one():
    one, two = (
        dynamic_program.solve(TOLD._replace(order_size=size), PHI, 2).half_spreads[-1, 2]
        for size in (1.0, 2.0)
    )
    assert np.all(two > one + 0.01)  # twice the inventory at once is four times as dear


def test_the_table_is_looked_up_by_whole_orders_and_quotes_their_size():
    told = TOLD._replace(order_size=2.0)
    coefficients = oracle.coefficients(told, 1.0)
    assert (coefficients.limit, coefficients.table.shape[1]) == (4.0, 5)
    for column, lots in enumerate((-4.0, -2.0, 0.0, 2.0, 4.0)):
        for row in (1, 4):
            quote = oracle.quote(coefficients, see(lots, row * TOLD.dt), (0.0, 0.0))
            np.testing.assert_allclose(quote[:2], coefficients.table[row, column], rtol=1e-9)
            assert quote[2:] == (2.0, 2.0)
    beyond = oracle.quote(coefficients, see(9.0, 0.04), (0.0, 0.0))
    assert beyond == oracle.quote(coefficients, see(4.0, 0.04), (0.0, 0.0))
    assert oracle.coefficients(TOLD._replace(order_size=0.1), 1.0).table.shape[1] == 2 * oracle.LIMIT + 1


@pytest.mark.parametrize("size", [0.0, -1.0, 5.5, math.nan])
def test_an_order_that_cannot_be_is_refused(size):
    with pytest.raises(UsageError, match="`order_size` must lie between 0 and the inventory limit of 5 lots"):
        oracle.coefficients(TOLD._replace(order_size=size), 1.0)


def test_in_short_steps_it_is_the_continuous_optimum_of_the_same_orders():
    told = TOLD._replace(order_size=2.0, horizon=1.0, dt=0.0005, inventory_limit=20.0)
    fine, smooth = oracle.coefficients(told, 1.0), oracle.coefficients_continuous(told, 1.0)
    for lots in (-4.0, 0.0, 2.0):
        np.testing.assert_allclose(
            oracle.quote(fine, see(lots, 0.8), (0.0, 0.0)),
            oracle.quote(smooth, see(lots, 0.8), (0.0, 0.0)),
            atol=0.02,
        )


def test_exponential_utility_of_two_lots_solves_its_equation_in_lots():
    """theta' = mu q - gamma sigma^2 q^2 / 2 + both sides' best A exp(-k d) (1 - exp(-gamma gain)) / gamma."""
    size, gamma, k = 2.0, 0.3, TOLD.fill_decay
    told = TOLD._replace(order_size=size)
    equation = linear_equation.exponential_utility(told, gamma, 6)
    h = 1e-5
    before, now, after = (
        size * line / k for line in linear_equation.log_values(equation, np.array([0.05 - h, 0.05, 0.05 + h]))
    )
    grid = np.linspace(-2.0, 12.0, 200_001)
    rate = TOLD.intensity * np.exp(-k * grid)
    for n in range(1, 12):
        lots = size * (n - 6)
        risk = 0.5 * gamma * TOLD.volatility**2 * lots**2
        gains = [size * (grid - TOLD.fill_cost) + now[n + step] - now[n] for step in (1, -1)]
        trading = sum(np.max(rate * -np.expm1(-gamma * gain) / gamma) for gain in gains)
        rise = (after[n] - before[n]) / (2.0 * h)
        assert rise == pytest.approx(TOLD.drift * lots - risk + trading, rel=1e-5)


def test_simulated_orders_of_two_lots_earn_what_the_programme_says():
    """A false alarm in 10,000 (3.9 standard errors); the limit of 7 lots lets three orders through."""
    scenario = Scenario("pairs", horizon=0.5, base_intensity=60.0, volatility=0.03, inventory_limit=7.0)
    told = scenario.estimates()._replace(order_size=2.0)
    expert = experts.get("oracle")
    numbers = expert.coefficients(told, 1.0)
    policy = ClosedForm(type(numbers)(*(jnp.asarray(value, jnp.float32) for value in numbers)), expert)
    phi = float(oracle.inventory_penalty(told, 1.0))
    expected = dynamic_program.solve(told, phi, 3).values[-1, 3]
    result = evaluate_one(build(scenario), policy, paths=4_000, seed=3, scenario="pairs")
    objective = objective_of(result, scenario, phi)
    error = np.std(objective) / len(objective) ** 0.5
    assert error < 0.01 * expected
    assert np.mean(objective) == pytest.approx(expected, abs=3.9 * error)
    assert np.max(result["max_inventory"]) == 6.0
    shown = rollout(build(scenario), policy, paths=8, seed=3, scenario="pairs")
    assert set(np.unique(shown.fill.bid)) == {0.0, 2.0}
