"""Laws of the simulated market, each with a wrong form that must fail the same test.

Every statistical test has a fixed seed and allows 5 standard errors: under a right implementation fewer
than one in a million fails.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from flowhft.scenarios.scenario import Scenario
from flowhft.simulate.market import price
from flowhft.simulate.market.fills import any_reaches, how_many_reach
from flowhft.simulate.market.market import State, build
from flowhft.simulate.market.world import World
from flowhft.types import Quote

SIGMAS = 5.0
STEPS = 64
PATHS = 20_000


def noise(hurst: float, paths: int = PATHS, seed: int = 0) -> np.ndarray:
    amplitude = jnp.asarray(price.spectrum(STEPS, hurst), jnp.float32)
    keys = jax.random.split(jax.random.key(seed), paths)
    return np.asarray(jax.jit(jax.vmap(lambda key: price.fractional_noise(key, amplitude)))(keys), np.float64)


def covariance(lag: int, hurst: float) -> float:
    return 0.5 * (abs(lag + 1) ** (2 * hurst) - 2 * abs(lag) ** (2 * hurst) + abs(lag - 1) ** (2 * hurst))


@pytest.fixture(scope="module")
def noises() -> dict[float, np.ndarray]:
    return {hurst: noise(hurst) for hurst in (0.2, 0.5, 0.8)}


@pytest.mark.parametrize("hurst", [0.2, 0.5, 0.8])
def test_fractional_noise_has_its_covariance_at_every_lag(noises, hurst):
    x = noises[hurst]
    for lag in (0, 1, 2, 7, 31, 63):
        products = x[:, lag:] * x[:, : STEPS - lag]
        per_path = products.mean(axis=1)
        error = per_path.std() / np.sqrt(PATHS)
        assert abs(per_path.mean() - covariance(lag, hurst)) < SIGMAS * error + 1e-4, lag


@pytest.mark.parametrize("hurst", [0.2, 0.8])
def test_variance_grows_as_time_to_the_2h_and_not_as_time(noises, hurst):
    total = noises[hurst].sum(axis=1)
    variance, error = total.var(), total.var() * np.sqrt(2 / PATHS)
    assert abs(variance - STEPS ** (2 * hurst)) < SIGMAS * error
    assert abs(variance - STEPS) > 20 * error  # increments that scale as sqrt(dt) are told apart


def test_fractional_noise_equals_a_cholesky_oracle_in_law(noises):
    """The spectrum reproduces the Toeplitz matrix that a Cholesky factor would use."""
    for hurst in (0.2, 0.8):
        amplitude = price.spectrum(STEPS, hurst)
        modes = np.concatenate([amplitude, amplitude[-2:0:-1]]) ** 2 / (2 * STEPS)
        embedded = np.fft.ifft(modes).real[:STEPS]
        np.testing.assert_allclose(embedded, [covariance(k, hurst) for k in range(STEPS)], atol=1e-12)
        toeplitz = embedded[np.abs(np.subtract.outer(range(STEPS), range(STEPS)))]
        assert np.linalg.eigvalsh(toeplitz).min() > 0


@pytest.mark.parametrize("mean", [0.01, 0.7, 3.0])
def test_poisson_counts_by_inversion(mean):
    uniform = (np.arange(200_000) + 0.5) / 200_000
    counts, rest = map(np.asarray, price.poisson(jnp.asarray(uniform, jnp.float32), jnp.asarray(mean), 20))
    assert abs(counts.mean() - mean) < 2e-3 * max(mean, 0.1)
    assert abs(counts.var() - mean) < 5e-3 * max(mean, 0.1)
    for count in range(3):  # what is left is uniform whatever the count
        left = rest[counts == count]
        if len(left) > 1_000:
            assert abs(left.mean() - 0.5) < 2e-3
            assert abs(left.var() - 1 / 12) < 2e-3


def worlds(scenario: Scenario, paths: int = PATHS, seed: int = 3):
    market = build(scenario)
    keys = jax.random.split(jax.random.key(seed), paths)
    return market, jax.jit(jax.vmap(market.draw))(keys)


@pytest.mark.parametrize("hurst", [0.5, 0.7])
def test_jumps_have_their_moments(hurst):
    scenario = Scenario(
        "jumps", price="additive", volatility=0.5, hurst_exponent=hurst, jump_intensity=3.0, jump_mean=0.3,
        jump_deviation=0.2, jumps_compensated=False, dt=0.02,
    )  # fmt: skip
    _, world = worlds(scenario)
    total = np.asarray(world.move, np.float64).sum(axis=1)
    mean, variance = 3.0 * 0.3, 0.5**2 + 3.0 * (0.3**2 + 0.2**2)
    assert abs(total.mean() - mean) < SIGMAS * np.sqrt(variance / PATHS)
    assert abs(total.var() - variance) < SIGMAS * variance * np.sqrt(3 / PATHS)
    third = np.mean((total - total.mean()) ** 3)  # 3 (mean^3 + 3 mean deviation^2): a Gaussian has none
    assert abs(third - 3.0 * (0.3**3 + 3 * 0.3 * 0.2**2)) < 0.06


LOGNORMAL = Scenario(
    "lognormal", jump_intensity=0.8, jump_mean=0.08, jump_deviation=0.06, volatility=0.2, dt=0.02
)


@pytest.mark.slow
@pytest.mark.parametrize("hurst", [0.3, 0.5, 0.7])
def test_compensated_price_is_a_fair_game_and_uncompensated_is_not(hurst):
    scenario = LOGNORMAL.but(hurst_exponent=hurst)
    for compensated in (True, False):
        _, world = worlds(scenario.but(jumps_compensated=compensated))
        final = np.asarray(world.move, np.float64).sum(axis=1)
        error = final.std() / np.sqrt(PATHS)
        hidden = 100 * (np.exp(0.8 * np.expm1(0.08 + 0.06**2 / 2)) - 1)
        assert abs(final.mean() - (0.0 if compensated else hidden)) < SIGMAS * error
        assert hidden > 20 * error


def test_lognormal_variance_of_the_logarithm():
    for hurst in (0.3, 0.5, 0.7):
        _, world = worlds(Scenario("plain", volatility=0.2, hurst_exponent=hurst, dt=0.02))
        log_price = np.log1p(np.asarray(world.move, np.float64).sum(axis=1) / 100)
        assert abs(log_price.var() - 0.04) < SIGMAS * 0.04 * np.sqrt(2 / PATHS)


def test_additive_drift_and_volatility():
    scenario = Scenario("additive", price="additive", volatility=3.0, drift=2.0, horizon=2.0, dt=0.05)
    _, world = worlds(scenario)
    final = np.asarray(world.move, np.float64).sum(axis=1)
    assert abs(final.mean() - 4.0) < SIGMAS * 3.0 * np.sqrt(2 / PATHS)
    assert abs(final.var() - 18.0) < SIGMAS * 18.0 * np.sqrt(2 / PATHS)


def arrivals(scenario: Scenario, half_spread: float, paths: int = 4_000):
    """Run a constant quote and return arrivals and fills, shape (path, step, side), and the moves."""
    market, world = worlds(scenario, paths)

    def path(world):
        def step(state, now):
            after, outcome = market.step(state, Quote(half_spread, half_spread), now)
            return after, (jnp.stack([after.arrivals_bid, after.arrivals_ask]), jnp.stack(outcome.fill))

        return jax.lax.scan(step, market.init(), world)[1]

    counts, fills = jax.jit(jax.vmap(path))(world)
    return np.asarray(counts, np.float64), np.asarray(fills, np.float64), np.asarray(world.move, np.float64)


HAWKES = Scenario(
    "hawkes", base_intensity=8.0, self_excitation=3.0, cross_excitation=2.0, decay=10.0, horizon=4.0, dt=0.01
)


def test_hawkes_rate_is_stationary_at_its_theoretical_mean_for_every_dt():
    """mu / (1 - branching) = 16 per second and side, first step to last, also for coarse steps."""
    for dt in (0.01, 0.1):
        counts, _, _ = arrivals(HAWKES.but(dt=dt), 1.0)
        rate = counts.sum(axis=(1, 2)) / (2 * HAWKES.horizon)
        assert abs(rate.mean() - 16.0) < SIGMAS * rate.std() / np.sqrt(len(rate))
        late = counts[:, -round(0.5 / dt) :].sum(axis=(1, 2)) / (2 * 0.5)
        assert abs(late.mean() - 16.0) < SIGMAS * late.std() / np.sqrt(len(late))


def test_hawkes_counts_are_overdispersed_as_the_branching_ratio_says():
    """Over long windows Var(N) / E(N) of both sides together tends to 1 / (1 - n)^2 = 4."""
    counts, _, _ = arrivals(HAWKES.but(horizon=12.0, dt=0.005), 1.0, paths=1_000)
    window = counts[:, 800:].sum(axis=(1, 2))
    fano = window.var() / window.mean()
    # Finite windows lie below the limit by about the correlation time over the window: 1/5 s in 8 s.
    assert 3.3 < fano < 4.6
    counts, _, _ = arrivals(HAWKES.but(self_excitation=0.0, cross_excitation=0.0), 1.0, paths=1_000)
    window = counts.sum(axis=(1, 2))
    assert abs(window.var() / window.mean() - 1.0) < SIGMAS * np.sqrt(2 / 1_000)


LOPSIDED = Scenario(
    "lopsided", base_intensity=8.0, base_intensity_ask=3.0, self_excitation=8.0, cross_excitation=2.0,
    self_excitation_ask=3.0, cross_excitation_ask=10.0, decay=20.0, horizon=24.0, dt=0.02,
)  # fmt: skip


def covariance_rate(scenario: Scenario) -> np.ndarray:
    """Return the covariance of the counts of both sides per second of a long window.

    (I - G)^-1 diag(mean intensity) (I - G)^-T, G = excitation / decay: E. Bacry, J. F. Muzy, "First- and
    second-order statistics characterization of Hawkes processes", IEEE Trans. Inf. Theory 62(4), 2016. It
    holds for the discretised process too: counts are Poisson given the past, and an arrival adds G orders
    to the expected ones after it whatever dt is.
    """
    through = np.linalg.inv(np.eye(2) - np.array(scenario.excitation) / scenario.decay)
    return through @ np.diag(through @ np.array(scenario.base_intensities)) @ through.T


@pytest.fixture(scope="module")
def lopsided_counts() -> np.ndarray:
    """Counts of both sides over 24 s: memory is shorter than 0.11 s, which biases moments by under 1 %."""
    return arrivals(LOPSIDED, 1.0, paths=3_000)[0].sum(axis=1)


def test_each_side_has_its_own_stationary_mean(lopsided_counts):
    rate = lopsided_counts.mean(axis=0) / 24.0
    error = lopsided_counts.std(axis=0) / np.sqrt(len(lopsided_counts)) / 24.0
    np.testing.assert_array_less(np.abs(rate - LOPSIDED.mean_intensities), SIGMAS * error)
    swapped = LOPSIDED.but(cross_excitation=10.0, cross_excitation_ask=2.0)  # rows for columns
    symmetric = LOPSIDED.but(
        base_intensity_ask=None, self_excitation_ask=None, cross_excitation_ask=None, base_intensity=5.5
    )
    for wrong in (swapped, symmetric):
        assert (np.abs(rate - wrong.mean_intensities) > 10 * error).all()


def test_counts_of_both_sides_vary_together_as_the_excitation_matrix_says(lopsided_counts):
    result, theory = np.cov(lopsided_counts.T) / 24.0, covariance_rate(LOPSIDED)
    product = np.outer(np.diag(theory), np.diag(theory))
    error = np.sqrt((product + theory**2) / len(lopsided_counts))  # of a covariance of nearly Gaussian counts
    np.testing.assert_array_less(np.abs(result - theory), SIGMAS * error)
    poisson = np.diag(LOPSIDED.mean_intensities)
    assert (np.abs(result - poisson) > 10 * error).all()
    swapped = covariance_rate(LOPSIDED.but(cross_excitation=10.0, cross_excitation_ask=2.0))
    assert (np.abs(result - swapped) > 10 * error).any()


@pytest.mark.parametrize("exciter", ["arrivals", "own_fills"])
@pytest.mark.parametrize("side", [0, 1])
def test_an_arrival_excites_by_its_column_of_the_matrix(exciter, side):
    """One order, on one side only, in a market at rest: what is added to either side is read off."""
    market = build(LOPSIDED.but(exciter=exciter, dt=0.01, horizon=1.0))
    rest = State(*(jnp.zeros(()) for _ in State._fields))
    count = 1.0 if exciter == "own_fills" else stats.poisson.cdf(0, market.base_intensity * 0.01) + 1e-3
    uniform = np.where(np.arange(2) == side, 0.0 if exciter == "own_fills" else count, 0.99999)
    if exciter == "arrivals":
        uniform = np.where(np.arange(2) == side, count, 0.0)
    after, _ = market.step(rest, Quote(0.0, 0.0), World(jnp.zeros(()), jnp.asarray(uniform)))
    assert (float(after.arrivals_bid), float(after.arrivals_ask)) == (1.0 - side, side)
    left = -np.expm1(-20.0 * 0.01) / (20.0 * 0.01)
    np.testing.assert_allclose(
        [after.excitation_bid, after.excitation_ask],
        left * np.array([[8.0, 2.0], [10.0, 3.0]])[:, side],
        rtol=1e-5,
    )


@pytest.mark.parametrize("exciter", ["arrivals", "own_fills"])
def test_fill_probability_is_that_of_the_model(exciter):
    """Without excitation a step fills with probability 1 - exp(-lambda exp(-k delta) dt)."""
    for half_spread in (0.2, 1.0):
        scenario = Scenario(
            "fills", base_intensity=40.0, exciter=exciter, self_excitation=0.0, cross_excitation=0.0
        )
        _, fills, _ = arrivals(scenario, half_spread, paths=2_000)
        expected = -np.expm1(-40.0 * np.exp(-1.5 * half_spread) * 0.01)
        error = np.sqrt(expected * (1 - expected) / fills.size)
        assert abs(fills.mean() - expected) < SIGMAS * error
        wrong = 40.0 * np.exp(-1.5 * half_spread) * 0.01  # a probability linear in dt is told apart
        assert half_spread > 0.5 or abs(fills.mean() - wrong) > SIGMAS * error


def test_number_of_orders_that_reach_a_quote_is_binomial():
    uniform = (np.arange(20_000) + 0.5) / 20_000
    for orders in (0, 1, 3, 12):
        for reaching in (0.02, 0.4, 0.5, 0.9, 1.0):
            drawn = np.asarray(how_many_reach(jnp.asarray(uniform), orders * 1.0, jnp.asarray(reaching), 12))
            share = np.bincount(drawn.astype(int), minlength=orders + 1) / len(uniform)
            np.testing.assert_allclose(
                share, stats.binom.pmf(np.arange(orders + 1), orders, reaching), atol=1e-4
            )
            one = np.asarray(any_reaches(jnp.asarray(uniform), orders * 1.0, jnp.asarray(reaching)))
            assert np.sum((drawn > 0) != (one > 0)) <= 1  # of 20,000: they may round differently


@pytest.mark.slow
@pytest.mark.parametrize("exciter", ["arrivals", "own_fills"])
def test_fills_a_second_tend_to_the_fill_curve_as_steps_shrink_and_with_refill_equal_it(exciter):
    """One lot a step loses `lost_share`, half as much for half the step; with refill nothing is lost."""
    curve = 30.0 * np.exp(-1.0)
    loss = {}
    for dt in (0.08, 0.04):
        scenario = Scenario("flow", base_intensity=30.0, exciter=exciter, horizon=1.6, dt=dt)
        for refill in (False, True):
            _, fills, _ = arrivals(scenario.but(refill=refill), 1.0 / scenario.fill_decay)
            per_path = fills.sum(axis=1).ravel() / scenario.horizon
            error = per_path.std() / np.sqrt(len(per_path))
            share = scenario.but(refill=refill).lost_share()
            assert abs(per_path.mean() - curve * (1.0 - share)) < SIGMAS * error
            assert refill == (share == 0.0)
            if not refill:
                loss[dt] = 1.0 - per_path.mean() / curve
                assert loss[dt] > 20 * error / curve
    assert loss[0.08] == pytest.approx(2.0 * loss[0.04], rel=0.25)  # first order, and a little less


def test_lost_share_grows_with_adverse_selection_as_orders_crowd_into_wild_steps():
    calm = Scenario("calm", price="additive", volatility=2.0, base_intensity=20.0, horizon=2.0, dt=0.05)
    crowded = calm.but(adverse_selection=1.5 * calm.step_deviation)
    _, fills, _ = arrivals(crowded, 1.0 / 1.5)
    per_path = fills.mean(axis=(1, 2)) / (20.0 * np.exp(-1.0) * 0.05)
    error = per_path.std() / np.sqrt(len(per_path))
    # Counts beyond the cut-off are not simulated, but fill no second lot either.
    assert abs(per_path.mean() - (1.0 - crowded.lost_share())) < SIGMAS * error
    assert crowded.lost_share() - calm.lost_share() > 20 * error


def test_lost_share_is_weighted_by_side_and_small_means_are_exact():
    """At m = 1e-9 orders a step half of m is lost, which 1 - (1 - exp(-m)) / m gives only with care."""
    rare = Scenario("rare", base_intensity=1e-7)
    assert rare.lost_share(0.0) == pytest.approx(0.5e-9, rel=1e-3, abs=1e-15)
    sided = Scenario("sided", base_intensity=80.0, base_intensity_ask=20.0)
    means = np.array([80.0, 20.0]) * np.exp(-1.5 * 0.3) * 0.01
    assert sided.lost_share(0.3) == pytest.approx(1 - (1 - np.exp(-means)).sum() / means.sum(), rel=1e-9)
    assert sided.but(reach=50.0).lost_share(0.3) == sided.but(reach=5.0).lost_share(0.3)  # capped at 1


@pytest.mark.parametrize("clip", [False, True])
def test_quotes_beyond_the_mid_fill_ever_faster_unless_clipped(clip):
    scenario = Scenario("beyond", base_intensity=40.0, exciter="own_fills", clip_beyond_mid=clip)
    _, fills, _ = arrivals(scenario, -0.5, paths=1_000)
    probability = {
        beyond: -np.expm1(-0.4 * factor) for beyond, factor in ((True, 1.0), (False, np.exp(0.75)))
    }
    error = np.sqrt(0.25 / fills.size)
    assert abs(fills.mean() - probability[clip]) < SIGMAS * error
    assert abs(fills.mean() - probability[not clip]) > 20 * error


def test_adverse_selection_moves_the_mid_against_fills_and_keeps_their_rate():
    calm = Scenario("calm", price="additive", volatility=2.0, base_intensity=5.0, dt=0.04, horizon=2.0)
    harmed = calm.but(adverse_selection=0.3)
    _, fills, _ = arrivals(calm, 0.5)
    _, hurt, moves = arrivals(harmed, 0.5)
    assert abs(hurt.mean() - fills.mean()) < SIGMAS * np.sqrt(2 * fills.mean() / fills.size)
    for side, sign in ((0, -1.0), (1, 1.0)):
        after = moves[hurt[..., side] > 0]
        error = 2.0 * np.sqrt(0.04) / np.sqrt(len(after))
        # A fill needs at least one arrival; for rare arrivals the expected move is the parameter.
        assert abs(after.mean() - sign * 0.3) < SIGMAS * error + 0.03
        assert abs(after.mean()) > 10 * error


def test_strong_adverse_selection_loses_no_arrivals():
    """At 1.5 standard deviations wild steps bring many orders: the mean rate still holds, to the cut-off."""
    calm = Scenario("calm", price="additive", volatility=2.0, base_intensity=5.0, dt=0.04, horizon=2.0)
    counts, _, _ = arrivals(calm.but(adverse_selection=1.5 * calm.step_deviation), 0.5, paths=8_000)
    per_path = counts.mean(axis=(1, 2)) / 0.04
    assert abs(per_path.mean() - 5.0) < SIGMAS * per_path.std() / np.sqrt(len(per_path)) + 0.05


def test_with_refill_every_lot_bears_the_whole_adverse_selection():
    """Lots are then proportional to the tilt: E[lots x move] / E[lots] is the parameter, however many.

    One lot a step bears less of it, since orders that crowd into the same wild step fill one.
    """
    flow = Scenario("flow", price="additive", volatility=2.0, base_intensity=25.0, dt=0.04, horizon=2.0)
    result = {}
    for refill in (True, False):
        _, fills, moves = arrivals(flow.but(adverse_selection=0.3, refill=refill), 0.2)
        against = fills[..., 1] * moves - fills[..., 0] * moves
        result[refill] = against.sum() / fills.sum()
        error = against.sum(axis=1).std() / np.sqrt(len(fills)) / fills.sum(axis=(1, 2)).mean()
    assert abs(result[True] - 0.3) < SIGMAS * error
    assert 0.3 - result[False] > 10 * error


def test_adverse_selection_is_in_units_of_the_present_price():
    """A lognormal price that has doubled moves twice as far: orders still come at their mean rate."""
    wild = Scenario("wild", volatility=0.6, base_intensity=20.0, horizon=1.0, dt=0.01)
    counts, _, moves = arrivals(wild.but(adverse_selection=1.2 * wild.step_deviation), 0.5)
    late = counts[:, 50:].mean(axis=(1, 2)) / 0.01
    # A step of 6 % is not quite Gaussian: half a per cent of the orders.
    assert abs(late.mean() - 20.0) < SIGMAS * late.std() / np.sqrt(len(late)) + 0.1
    price_then = 1.0 + moves[:, :75].sum(axis=1) / 100.0
    absolute = np.exp(0.5 * 1.2**2 * (price_then**2 - 1.0)).mean()  # of the rate, were it in absolute ticks
    assert absolute > 1.5


def test_a_jump_far_beyond_the_diffusion_keeps_the_order_flow_finite():
    """A jump of 400 standard deviations of a step: its side sees as many orders as are simulated, no more."""
    calm = Scenario("calm", volatility=0.02, jump_intensity=5.0, jump_mean=0.5, dt=0.01, base_intensity=25.0)
    harmed = calm.but(adverse_selection=1.5 * calm.step_deviation)
    counts, _, moves = arrivals(harmed, 0.5, paths=500)
    jumped = moves > 10.0
    assert jumped.sum() > 500
    assert np.isfinite(counts).all()
    assert (counts[jumped][:, 1] >= 0.9 * build(harmed).arrival_terms).all()
    assert (counts[jumped][:, 0] == 0.0).all()


def test_a_path_does_not_depend_on_what_is_judged_beside_it():
    plain, fractional = Scenario("plain"), Scenario("fractional", hurst_exponent=0.7, base_intensity=90.0)
    key = jax.random.key(0)
    alone, beside = build(plain).draw(key), build(plain, like=[plain, fractional]).draw(key)
    np.testing.assert_array_equal(alone.move, beside.move)
    np.testing.assert_array_equal(alone.order_flow, beside.order_flow)


@pytest.mark.parametrize("refill", [False, True])
def test_accounts_balance_and_the_inventory_limit_holds(refill):
    scenario = HAWKES.but(
        maker_fee=0.001, inventory_limit=3.0, volatility=0.3, horizon=1.0, dt=0.05, refill=refill
    )
    market, world = worlds(scenario, 300)

    def path(world):
        def step(state, now):
            after, outcome = market.step(state, Quote(0.1, 0.3), now)
            return after, (after, outcome)

        return jax.lax.scan(step, market.init(), world)[1]

    states, outcomes = jax.jit(jax.vmap(path))(world)
    wealth = np.asarray(states.cash + states.inventory * states.mid_price, np.float64)
    gains = np.cumsum(
        np.asarray(outcomes.spread_pnl + outcomes.inventory_pnl - outcomes.fee, np.float64), axis=1
    )
    # Cash holds the fee on absolute prices, in ticks relative to the first mid: the identity is exact.
    np.testing.assert_allclose(wealth, gains, atol=2e-3)
    assert np.abs(np.asarray(states.inventory)).max() == 3.0
    assert np.asarray(outcomes.fee).sum() > 0
    assert (np.asarray(outcomes.fill.bid).max() > 1.0) == refill


def test_paths_and_streams_are_independent():
    _, world = worlds(Scenario("independent"), 2_000)
    moves = np.asarray(world.move, np.float64)
    uniforms = np.asarray(world.order_flow, np.float64)
    bound = SIGMAS / np.sqrt(moves[1:].size)
    assert abs(np.corrcoef(moves[1:].ravel(), moves[:-1].ravel())[0, 1]) < bound
    assert abs(np.corrcoef(moves.ravel(), uniforms[..., 0].ravel())[0, 1]) < bound
    assert abs(np.corrcoef(uniforms[..., 1].ravel(), uniforms[..., 0].ravel())[0, 1]) < bound


def test_every_parameter_of_a_scenario_changes_the_market():
    """A parameter that is read, checked and then ignored would go unnoticed otherwise."""
    base = Scenario(
        "base", jump_intensity=0.5, jump_mean=0.01, jump_deviation=0.01, self_excitation=1.0,
        exciter="own_fills", burst_intensity=1.0, burst_factor=2.0,
    )  # fmt: skip
    other = {
        "horizon": 2.0, "dt": 0.02, "price": "additive", "initial_price": 50.0, "drift": 0.1,
        "volatility": 0.3,
        "hurst_exponent": 0.6, "jump_intensity": 0.6, "jump_mean": 0.02, "jump_deviation": 0.02,
        "jumps_compensated": False, "burst_intensity": 2.0, "burst_duration": 0.2, "burst_factor": 3.0,
        "base_intensity": 20.0, "base_intensity_ask": 20.0, "self_excitation": 2.0,
        "self_excitation_ask": 2.0, "cross_excitation": 2.0, "cross_excitation_ask": 2.0,
        "decay": 20.0, "exciter": "arrivals", "exact_decay": False, "fill_decay": 2.0, "reach": 0.5,
        "refill": True, "clip_beyond_mid": True, "adverse_selection": 0.1, "maker_fee": 0.01,
        "inventory_limit": 5.0,
    }  # fmt: skip
    # Where order flow moves the price much else cannot be: see tests/test_order_flow.py.
    about_people = {"name", "risk_aversion", "currency", "tick_value", "steps"}
    elsewhere = {"order_flow"}
    assert set(other) | about_people | elsewhere == {field.name for field in dataclasses.fields(Scenario)}
    plain = jax.tree.leaves(build(base)), jax.tree.structure(build(base))
    for name, value in other.items():
        changed = build(base.but(**{name: value}))
        same = jax.tree.structure(changed) == plain[1] and all(
            np.array_equal(a, b) for a, b in zip(jax.tree.leaves(changed), plain[0], strict=True)
        )
        assert not same, name
