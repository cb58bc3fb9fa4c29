"""The exact optimum against its equations, brute force, exact evaluation, its limits and simulation."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import expm
from scipy.optimize import minimize_scalar

from flowhft.desk.compiled import begin, freeze_expert
from flowhft.desk.compiled import quote as quote_frozen
from flowhft.errors import UsageError
from flowhft.learn.frontier import objective_of
from flowhft.policies import rules as experts
from flowhft.policies.rule import estimates_for
from flowhft.policies.rules import dynamic_program, linear_equation, oracle
from flowhft.scenarios.presets import paper_test
from flowhft.scenarios.scenario import Scenario
from flowhft.scenarios.total_law import total_estimates
from flowhft.simulate.market.market import build
from flowhft.simulate.quoting import closed_form
from flowhft.simulate.rollout import evaluate_one, rollout
from flowhft.types import Estimates, Observation

MILD = Estimates(volatility=2.0, drift=0.0, intensity=50.0, fill_decay=1.5, horizon=1.0)
RISING = MILD._replace(drift=1.5)
WILD = MILD._replace(
    volatility=25.0, intensity=100.0
)  # inventory so dear that v spans 100 orders of magnitude
COSTLY = MILD._replace(drift=-0.7, fill_cost=0.2)
MARKETS = {"mild": MILD, "rising": RISING, "wild": WILD, "costly": COSTLY}
FORMS = {
    "mean_quadratic": lambda e, limit: linear_equation.mean_quadratic(
        e, oracle.inventory_penalty(e, 1.0), limit, 0.3
    ),
    "exponential_utility": lambda e, limit: linear_equation.exponential_utility(e, 1.0, limit),
}
NOISE = (0.0, 0.0)


def see(inventory: float, time_left: float) -> Observation:
    return Observation(0.0, time_left, 0.0, inventory, 0.0, 0.0, 0.0, 1.0, 1.0)


# --- continuous time: the equation, and the control problem behind it --------------------------------------


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("market", MARKETS)
def test_v_solves_its_equation(form, market):
    """By finite differences of ln v, relative to the largest rate; a wrong sign or factor is off by 1."""
    limit, h = 12, 1e-7
    equation = FORMS[form](MARKETS[market], limit)
    q = np.arange(-limit, limit + 1.0)
    for left in (0.003, 0.1, 1.0):
        before, log, after = linear_equation.log_values(equation, np.array([left - h, left, left + h]))
        padded = np.concatenate([[-np.inf], log, [-np.inf]])
        trading = equation.eta * (np.exp(padded[:-2] - log) + np.exp(padded[2:] - log))
        holding = equation.alpha * q**2 - equation.beta * q
        residual = (after - before) / (2.0 * h) - (trading - holding)
        assert np.max(np.abs(residual)) < 2e-5 * np.max(holding + equation.eta)


@pytest.mark.parametrize("market", MARKETS)
def test_quotes_and_value_solve_the_mean_quadratic_control_problem(market):
    """theta = ln(v) / k, with every maximum over half-spreads found by a search that knows no formula."""
    told, limit, h = MARKETS[market], 6, 1e-7
    phi, k, left = oracle.inventory_penalty(told, 1.0), MARKETS[market].fill_decay, 0.05
    equation = linear_equation.mean_quadratic(told, phi, limit)
    values = linear_equation.log_values(equation, np.array([left - h, left, left + h])) / k
    quotes = linear_equation.half_spreads(equation, values[1] * k)
    for q in range(-limit + 1, limit):
        gained = told.drift * q - phi * q**2
        for side, change in enumerate((1, -1)):
            step = values[1][limit + q + change] - values[1][limit + q]

            def loss(delta, step=step):
                return -told.intensity * math.exp(-k * delta) * (delta - told.fill_cost + step)

            best = minimize_scalar(loss, bracket=(-step, -step + 1.0, -step + 3.0), options={"xtol": 1e-10})
            assert quotes[limit + q, side] == pytest.approx(best.x, abs=1e-5)
            gained -= best.fun
        slope = (values[2] - values[0])[limit + q] / (2.0 * h)
        assert slope == pytest.approx(gained, abs=3e-5 * (phi * limit**2 + told.intensity))


def test_quotes_and_value_solve_the_exponential_utility_control_problem():
    """V = -exp(-gamma (x + q s + theta)), theta = ln(v) / k, the maxima found by search."""
    told, limit, gamma, h = RISING, 6, 0.7, 1e-7
    k, left = told.fill_decay, 0.05
    equation = linear_equation.exponential_utility(told, gamma, limit)
    values = linear_equation.log_values(equation, np.array([left - h, left, left + h])) / k
    quotes = linear_equation.half_spreads(equation, values[1] * k)
    for q in range(-limit + 1, limit):
        gained = told.drift * q - 0.5 * gamma * told.volatility**2 * q**2
        for side, change in enumerate((1, -1)):
            step = values[1][limit + q + change] - values[1][limit + q]

            def loss(delta, step=step):
                certainty = -math.expm1(-gamma * (delta + step)) / gamma
                return -told.intensity * math.exp(-k * delta) * certainty

            best = minimize_scalar(loss, bracket=(-step, -step + 1.0, -step + 3.0), options={"xtol": 1e-10})
            assert quotes[limit + q, side] == pytest.approx(best.x, abs=1e-5)
            gained -= best.fun
        assert (values[2] - values[0])[limit + q] / (2.0 * h) == pytest.approx(gained, abs=0.01)


def test_where_a_dense_exponential_can_be_trusted_it_agrees():
    limit = 4
    equation = FORMS["mean_quadratic"](RISING, limit)
    q = np.arange(-limit, limit + 1.0)
    matrix = np.diag(equation.alpha * q**2 - equation.beta * q)
    matrix -= equation.eta * (np.eye(2 * limit + 1, k=1) + np.eye(2 * limit + 1, k=-1))
    times = np.array([0.0, 0.05, 0.3])
    expected = [np.log(expm(-matrix * left) @ np.exp(equation.log_terminal)) for left in times]
    np.testing.assert_allclose(linear_equation.log_values(equation, times), expected, rtol=1e-9, atol=1e-9)


# --- limits ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("expert", ["oracle_continuous", "oracle_stationary", "oracle"])
def test_without_risk_and_drift_the_half_spread_is_one_over_k(expert):
    quiet = MILD._replace(volatility=1e-9, intensity=2.0, dt=0.001 if expert == "oracle" else 0.0)
    result = experts.get(expert)
    quotes = result.quote(result.coefficients(quiet, 1.0), see(2.0, 0.5), NOISE)
    # At a finite dt distance is worth a little more: 1/k + x / (2 k) to first order, x = A dt / e.
    late = 0.5 * quiet.intensity * quiet.dt * math.exp(-1.0) / 1.5
    # Far from the end even a bound of 30 lots is felt, by half of a squared angle of pi / 62.
    rel = 0.01 if expert == "oracle_stationary" else 1e-6
    np.testing.assert_allclose(quotes[:2], 1.0 / 1.5 + late, rtol=rel)


@pytest.mark.parametrize(("drift", "closed"), [(0.0, "glft"), (0.003, "glft_drift"), (-0.003, "glft_drift")])
def test_long_before_the_end_exponential_utility_quotes_as_the_closed_form(drift, closed):
    """GLFT's asymptotics are good to 0.1 % of the half-spread near q = 0 in its authors' market."""
    told = Estimates(volatility=0.3, drift=drift, intensity=0.9, fill_decay=0.3, horizon=600.0)
    exact, near = experts.get("oracle_cara"), experts.get(closed)
    coefficients = exact.coefficients(told, 0.01)
    for q in range(-2, 3):
        result = exact.quote(coefficients, see(q, 600.0), NOISE)
        expected = near.quote(near.coefficients(told, 0.01), see(q, 600.0), NOISE)
        np.testing.assert_allclose(result, expected, rtol=0.001)
    # At the end inventory costs nothing, and drift brings nothing: base on both sides.
    base = math.log1p(0.01 / 0.3) / 0.01
    early, late = (exact.quote(coefficients, see(2, left), NOISE) for left in (600.0, 0.5))
    assert abs(late.half_spread_ask - base) < 0.05 * abs(early.half_spread_ask - base)


@pytest.mark.parametrize("market", MARKETS)
def test_long_before_the_end_quotes_are_the_stationary_ones(market):
    told = MARKETS[market]._replace(horizon=60.0)
    finite, forever = oracle.coefficients_continuous(told, 1.0), oracle.coefficients_stationary(told, 1.0)
    for q in range(-30, 31, 3):
        np.testing.assert_allclose(
            oracle.quote(finite, see(q, 60.0), NOISE), oracle.quote(forever, see(q, 3.0), NOISE), rtol=1e-6
        )


@pytest.mark.parametrize("name", [name for name in experts.EXPERTS if name.startswith("oracle")])
def test_the_quotes_mirror_and_lean_as_they_should(name):
    """Without drift the bid at q is the ask at -q; long sells eagerly; a rising price makes bids eager."""
    expert, told = experts.get(name), MILD._replace(dt=0.01)
    coefficients = expert.coefficients(told, 1.0)
    table = coefficients.table
    np.testing.assert_allclose(table[:, :, 0], table[:, ::-1, 1], rtol=1e-7, atol=1e-7)
    # Within what a session visits; far beyond, quotes stop at the distance at which nothing trades.
    middle = table[1:, 22:39]
    assert (np.diff(middle[:, :, 0], axis=1) >= 0.0).all()
    assert (np.diff(middle[:, :, 1], axis=1) <= 0.0).all()
    rising = expert.quote(expert.coefficients(told._replace(drift=3.0), 1.0), see(0.0, 0.5), NOISE)
    flat = expert.quote(coefficients, see(0.0, 0.5), NOISE)
    assert rising.half_spread_bid < flat.half_spread_bid - 0.1
    assert rising.half_spread_ask > flat.half_spread_ask + 0.1


# --- the market's own steps --------------------------------------------------------------------------------


def fill_chance(told: Estimates, half_spread):
    """The market's rule, written once more: at most one lot, and no more orders than come."""
    rate = np.minimum(
        told.intensity * np.exp(-told.fill_decay * np.maximum(half_spread, -99.0)), told.highest_intensity
    )
    return -np.expm1(-rate * told.dt)


def worth(told: Estimates, phi: float, later: np.ndarray, half_spread_bid, half_spread_ask):
    """The expected value of quoting so at every inventory: the four outcomes of a step, one by one."""
    limit = len(later) // 2
    q = np.arange(-limit, limit + 1.0)
    carried = np.pad(told.dt * (told.drift * q - phi * q**2) + later, 1)
    chance_bid = np.where(q < limit, fill_chance(told, half_spread_bid), 0.0)
    chance_ask = np.where(q > -limit, fill_chance(told, half_spread_ask), 0.0)
    earned = chance_bid * (half_spread_bid - told.fill_cost) + chance_ask * (half_spread_ask - told.fill_cost)
    both, neither = chance_bid * chance_ask, (1.0 - chance_bid) * (1.0 - chance_ask)
    return (
        earned
        + (both + neither) * carried[1:-1]
        + chance_bid * (1.0 - chance_ask) * carried[2:]
        + chance_ask * (1.0 - chance_bid) * carried[:-2]
    )


def value_of(told: Estimates, phi: float, expert: experts.Expert, coefficients: tuple, limit: int = 30):
    """The exact objective of an expert from inventory 0: backwards over the steps, no optimising."""
    q = np.arange(-limit, limit + 1.0)
    steps = round(told.horizon / told.dt)
    value = np.zeros(len(q))
    for i in range(1, steps + 1):
        quotes = [expert.quote(coefficients, see(float(lots), i * told.dt), NOISE) for lots in q]
        value = worth(told, phi, value, *np.array(quotes).T[:2])
    return value[limit]


@pytest.mark.parametrize("market", MARKETS)
@pytest.mark.parametrize("clipped", [False, True])
def test_no_pair_of_quotes_on_a_grid_beats_the_dynamic_programme(market, clipped):
    told = MARKETS[market]._replace(dt=0.02, horizon=0.08)
    told = told._replace(highest_intensity=told.intensity if clipped else math.inf)
    phi, limit = oracle.inventory_penalty(told, 1.0), 2
    best = dynamic_program.solve(told, phi, limit, terminal_penalty=0.1)
    value = -0.1 * np.arange(-limit, limit + 1.0) ** 2
    bid, ask = (grid[..., None] for grid in np.meshgrid(*[np.arange(-4.0, 8.0, 0.04)] * 2))
    for step in range(1, 5):
        value = worth(told, phi, value, bid, ask).max(axis=(0, 1))
        assert (best.values[step] >= value - 1e-12).all()
        np.testing.assert_allclose(best.values[step], value, atol=0.003)
        reached = worth(told, phi, best.values[step - 1], *best.half_spreads[step].T)
        np.testing.assert_allclose(reached, best.values[step], rtol=1e-12, atol=1e-12)


def test_in_ever_shorter_steps_it_becomes_the_continuous_optimum():
    """The value misses by a first order of dt: eight times smaller steps, an eighth of the difference."""
    phi = oracle.inventory_penalty(RISING, 1.0)
    limit = (
        linear_equation.log_values(linear_equation.mean_quadratic(RISING, phi, 30), np.array([1.0]))[0, 30]
        / 1.5
    )
    misses = []
    for dt in (0.008, 0.001):
        value = dynamic_program.solve(RISING._replace(dt=dt), phi, 30).values[-1, 30]
        misses.append(limit - value)
    assert 0.0 < misses[1] < 0.01 * limit
    assert misses[0] / misses[1] == pytest.approx(8.0, rel=0.1)
    fine = oracle.coefficients(RISING._replace(dt=0.0002), 1.0)
    smooth = oracle.coefficients_continuous(RISING, 1.0)
    for q in range(-4, 5):
        np.testing.assert_allclose(
            oracle.quote(fine, see(q, 0.8), NOISE), oracle.quote(smooth, see(q, 0.8), NOISE), atol=0.01
        )


@pytest.mark.parametrize("cell", paper_test())
def test_no_expert_beats_the_oracle_in_any_cell(cell):
    """Exactly, with the cell's mean intensity: the value of every expert by backward recursion."""
    scenario = paper_test()[cell]
    told = scenario.estimates()
    phi = oracle.inventory_penalty(told, scenario.risk_aversion)
    best = dynamic_program.solve(told, phi, 30).values[-1, 30]
    assert best >= 0.0
    names = ["glft_drift", "oracle_told", "oracle_continuous", "avellaneda_stoikov"]
    for name in ["oracle", *(names if cell in ("T1.HH", "T2.LL", "T3.HL", "T5.LH") else names[3:])]:
        expert = experts.get(name)
        coefficients = expert.coefficients(estimates_for(expert, scenario), scenario.risk_aversion)
        value = value_of(told, phi, expert, coefficients)
        if name == "oracle":
            assert value == pytest.approx(best, rel=1e-9, abs=1e-9)
        else:
            assert value < best - 1e-4 * abs(best), name


def test_the_continuous_optimum_is_not_the_best_in_steps():
    """Why the programme is worth its trouble: at 100 orders a second, a dt of 0.01 is far from continuous."""
    told = paper_test()["T1.HH"].estimates()
    phi = oracle.inventory_penalty(told, 1.0)
    smooth = experts.get("oracle_continuous")
    loss = dynamic_program.solve(told, phi, 30).values[-1, 30] - value_of(
        told, phi, smooth, smooth.coefficients(told, 1.0)
    )
    assert loss > 10.0


# --- against simulation ------------------------------------------------------------------------------------


def test_the_value_is_what_simulation_earns():
    """In a market without memory, both exciters; a false alarm in 10,000 for each (3.9 standard errors)."""
    base = Scenario("plain", base_intensity=60.0, volatility=0.05, drift=0.02, exciter="own_fills")
    for scenario in (base, base.but(exciter="arrivals")):
        told = scenario.estimates()
        phi = float(oracle.inventory_penalty(told, 1.0))
        expected = dynamic_program.solve(told, phi, 30).values[-1, 30]
        policy = closed_form("oracle", scenario, 1.0)
        result = evaluate_one(build(scenario), policy, paths=8_000, seed=3, scenario="value")
        objective = objective_of(result, scenario, phi)
        error = np.std(objective) / len(objective) ** 0.5
        assert error < 0.005 * expected
        assert np.mean(objective) == pytest.approx(expected, abs=3.9 * error)


def test_the_continuous_value_is_what_simulation_earns_in_short_steps():
    """ln v_0(0) / k at dt = 0.001, within 3.9 standard errors and the first order of dt, 0.5 % of it."""
    scenario = Scenario(
        "short", dt=0.001, base_intensity=60.0, volatility=0.05, drift=0.02, exciter="own_fills"
    )
    told = scenario.estimates()
    phi = float(oracle.inventory_penalty(told, 1.0))
    equation = linear_equation.mean_quadratic(told, phi, 30)
    expected = linear_equation.log_values(equation, np.array([1.0]))[0, 30] / told.fill_decay
    result = evaluate_one(
        build(scenario),
        closed_form("oracle_continuous", scenario, 1.0),
        paths=3_000,
        seed=4,
        scenario="short",
    )
    objective = objective_of(result, scenario, phi)
    error = np.std(objective) / len(objective) ** 0.5
    assert np.mean(objective) == pytest.approx(expected, abs=3.9 * error + 0.005 * expected)


# --- what it is told ---------------------------------------------------------------------------------------


def test_told_everything_it_knows_the_hidden_drift_and_the_jumps():
    paper, correct = paper_test("paper")["T1.LH"], paper_test("correct")["T1.LH"]
    hidden = total_estimates(paper).drift
    growth = 0.2 * math.expm1(0.08 + 0.06**2 / 2)
    assert paper.estimates().drift == 0.0
    assert hidden == pytest.approx(100.0 * math.expm1(growth))
    assert 1.6 < hidden < 1.8  # PAPER: every cell of the paper hides +1.7 a session
    assert total_estimates(correct).drift == 0.0
    # By simulation: mean and variance of a session's move, each within 5 standard errors. Jumps are rare and
    # big: the kurtosis is 11, and a variance of 20,000 moves has a standard error of 2.2 %.
    moves = rollout(build(paper), closed_form("glft", paper), paths=20_000, seed=1, scenario="total")
    ends = moves.observation.mid_price[:, -1]
    share = 0.99  # of the session that has passed at the last decision
    error = float(np.std(ends)) / len(ends) ** 0.5
    assert np.mean(ends) == pytest.approx(share * hidden, abs=5.0 * error)
    assert np.var(ends) == pytest.approx(share * total_estimates(paper).volatility ** 2, rel=0.11)
    assert np.var(ends) > 5.0 * paper.volatility_ticks**2  # stated volatility alone is far off


def test_told_everything_it_knows_the_orders_that_its_own_fills_excite():
    """Within 2 % of the mean intensity that a maker at 1 / k meets once the excitation has built up."""
    paper = paper_test("paper")["T1.LH"].but(volatility=1e-4, jump_intensity=0.0)
    told = total_estimates(paper)
    assert told.intensity > 1.1 * paper.estimates().intensity
    result = rollout(build(paper), closed_form("glft", paper, 1e-6), paths=500, seed=2, scenario="excited")
    late = np.asarray(result.observation.intensity_bid)[:, 50:]
    assert late.mean() == pytest.approx(told.intensity, rel=0.02)


@pytest.mark.parametrize("branching", [0.25, 0.9])
def test_told_everything_it_knows_own_excitation_also_where_every_order_reaches_one_over_k(branching):
    """A reach above e: as many orders as come fill a quote at 1 / k, or more where they are not clipped."""
    flow = Scenario("wide", exciter="own_fills", self_excitation=10.0 * branching, reach=4.0)
    share = 4.0 * math.exp(-1.0)
    one_lot = total_estimates(flow).intensity / 4.0
    assert one_lot == pytest.approx(50.0 - branching * math.expm1(-one_lot * share * 0.01) / 0.01)
    clipped = total_estimates(flow.but(refill=True, clip_beyond_mid=True)).intensity / 4.0
    assert clipped == pytest.approx(50.0 / (1.0 - branching))  # every order fills and excites
    if branching * share < 1.0:
        refilled = total_estimates(flow.but(refill=True)).intensity / 4.0
        assert refilled == pytest.approx(50.0 / (1.0 - branching * share))
    else:
        with pytest.raises(UsageError, match=r"`reach` must be below e / branching ratio .* received 4 with"):
            total_estimates(flow.but(refill=True))


def test_told_everything_it_knows_bursts_memory_and_costs():
    scenario = Scenario(
        "all",
        price="additive",
        volatility=2.0,
        horizon=4.0,
        hurst_exponent=0.75,
        burst_intensity=1.0,
        burst_duration=1.0,
        burst_factor=3.0,
        jump_intensity=0.5,
        jump_mean=1.0,
        jump_deviation=2.0,
        adverse_selection=0.05,
        maker_fee=0.001,
    )
    told = total_estimates(scenario)
    # Half of the time in bursts of 9 times the variance: 5. Memory: 4^(2 x 0.75 - 1) = 2.
    assert told.volatility**2 == pytest.approx(4.0 * 5.0 * 2.0 + 0.5 * (1.0 + 4.0))
    assert told.fill_cost == pytest.approx(0.05 + 0.1)
    assert scenario.estimates().fill_cost == pytest.approx(0.1)
    assert scenario.but(refill=True).estimates().dt == 0.0


# --- the table ---------------------------------------------------------------------------------------------


def test_the_table_is_looked_up_where_it_should_be():
    told = MILD._replace(dt=0.1)
    coefficients = oracle.coefficients(told, 1.0)
    for row in range(11):
        for q in (-30, -1, 0, 7, 30):
            result = oracle.quote(coefficients, see(float(q), row * 0.1), NOISE)
            np.testing.assert_allclose(result[:2], coefficients.table[row, q + 30], rtol=1e-9)
    half = oracle.quote(coefficients, see(1.0, 0.35), NOISE)
    np.testing.assert_allclose(half[:2], coefficients.table[3:5, 31].mean(axis=0), rtol=1e-9)
    assert oracle.quote(coefficients, see(99.0, 0.5), NOISE) == oracle.quote(
        coefficients, see(30.0, 0.5), NOISE
    )
    assert oracle.quote(coefficients, see(0.0, 7.0), NOISE) == oracle.quote(
        coefficients, see(0.0, 1.0), NOISE
    )
    at_limit = oracle.quote(coefficients, see(30.0, 0.5), NOISE)
    assert at_limit.half_spread_bid == pytest.approx(linear_equation.CLOSED / 1.5)


def test_a_long_session_is_tabulated_closely_enough():
    """Rows at the root of the time left: no quote is off its own step's by a hundredth of 1 / k."""
    told = MILD._replace(dt=0.01, horizon=30.0, intensity=5.0, volatility=0.3)
    best = dynamic_program.solve(told, oracle.inventory_penalty(told, 1.0), 30)
    coefficients = oracle.coefficients(told, 1.0)
    assert coefficients.table.shape == (oracle.ROWS + 2, 61, 2)
    for step in (1, 2, 5, 17, 100, 731, 2_999):
        for q in (-3, 0, 2):
            result = oracle.quote(coefficients, see(float(q), step * 0.01), NOISE)
            np.testing.assert_allclose(result[:2], best.half_spreads[step, q + 30], atol=0.01 / 1.5)


def test_a_programme_that_has_settled_is_the_one_that_went_on():
    """It stops once a step adds the same everywhere; a horizon just before shows that nothing was cut off."""
    told = MILD._replace(dt=0.01, horizon=30.0)
    long, short = (dynamic_program.solve(told._replace(horizon=horizon), 2.0, 5) for horizon in (30.0, 1.0))
    for step in (1, 10, 100):
        np.testing.assert_allclose(long.values[step], short.values[step], rtol=1e-12)
        np.testing.assert_allclose(long.half_spreads[step], short.half_spreads[step], rtol=1e-12)
    assert len(long.values) == len(long.half_spreads) == 3_001
    carried = np.diff(long.values, axis=0)
    np.testing.assert_allclose(carried[-1], carried[200], rtol=1e-9)
    # A drift that saturates every quote from the first step on is not taken for a state that lasts.
    driven = dynamic_program.solve(told._replace(drift=4e3, horizon=0.5, highest_intensity=50.0), 1e2, 25)
    again = worth(
        told._replace(drift=4e3, highest_intensity=50.0), 1e2, driven.values[-2], *driven.half_spreads[-1].T
    )
    np.testing.assert_allclose(driven.values[-1], again, rtol=1e-12)


def test_an_inventory_limit_is_kept_by_the_table():
    coefficients = oracle.coefficients(MILD._replace(dt=0.05, inventory_limit=3.0), 1.0)
    assert coefficients.table.shape[1] == 7
    assert oracle.quote(coefficients, see(3.0, 0.5), NOISE).half_spread_bid == pytest.approx(20.0)


def test_jax_reads_the_same_rows_at_the_times_that_it_counts_up():
    """Times left in single precision, summed step by step, as a rollout has them."""
    scenario = paper_test()["T3.LL"]
    policy = closed_form("oracle", scenario)
    exact = oracle.coefficients(scenario.estimates(), scenario.risk_aversion)
    time = np.cumsum(np.full(100, 0.01, np.float32), dtype=np.float32) - np.float32(0.01)

    def at(left, q):
        return policy.act((), see(q, left), jax.random.key(0))[0]

    for q in (-2.0, 0.0, 3.0):
        result = jax.jit(jax.vmap(at, in_axes=(0, None)))(jnp.asarray(1.0 - time), q)
        expected = exact.table[100:0:-1, int(q) + 30]
        np.testing.assert_allclose(np.stack(result[:2], axis=-1), expected, atol=2e-4)


def test_at_the_desk_a_nan_is_an_error_and_a_table_that_does_not_fit_is_refused():
    coefficients = oracle.coefficients(MILD._replace(dt=0.05), 1.0)
    frozen = freeze_expert(experts.get("oracle"), coefficients)
    memory = begin(frozen, 0)
    for seen in (see(math.nan, 0.5), see(1.0, math.nan), see(math.inf, 0.5)):
        with pytest.raises(UsageError, match=r"`observation` .* must be finite numbers"):
            quote_frozen(frozen, memory, seen)
    for wrong, message in (
        ({"table": coefficients.table[1:]}, "`table` must have the shape"),
        ({"table": coefficients.table[..., :1]}, "`table` must have the shape"),
        ({"table": coefficients.table[:, 1:]}, "`table` must have the shape"),
        ({"rows": 20.5}, "`rows` must be a whole number"),
        ({"limit": math.nan}, "`limit` must be positive"),
        ({"bend": -1.0}, "`bend` must be positive"),
        ({"horizon": 0.0}, "`horizon` must be positive"),
    ):
        changed = coefficients._replace(**wrong)
        with pytest.raises(UsageError, match=message):
            freeze_expert(experts.get("oracle"), changed)
