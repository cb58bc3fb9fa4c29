"""Laws of the simulated market, each with a wrong form that must fail the same test.

Every statistical test has a fixed seed and allows 5 standard errors: under a right implementation fewer
than one in a million fails.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flowhft.errors import UsageError
from flowhft.market import price
from flowhft.market.market import build
from flowhft.market.presets import find_scenarios, grid_around, paper_test, paper_train
from flowhft.market.scenario import Scenario, read_scenarios, scenarios_to_toml
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


def test_a_path_does_not_depend_on_what_is_judged_beside_it():
    plain, fractional = Scenario("plain"), Scenario("fractional", hurst_exponent=0.7, base_intensity=90.0)
    key = jax.random.key(0)
    alone, beside = build(plain).draw(key), build(plain, like=[plain, fractional]).draw(key)
    np.testing.assert_array_equal(alone.move, beside.move)
    np.testing.assert_array_equal(alone.order_flow, beside.order_flow)


def test_accounts_balance_and_the_inventory_limit_holds():
    scenario = HAWKES.but(maker_fee=0.001, inventory_limit=3.0, volatility=0.3, horizon=1.0)
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


def test_paths_and_streams_are_independent():
    _, world = worlds(Scenario("independent"), 2_000)
    moves = np.asarray(world.move, np.float64)
    uniforms = np.asarray(world.order_flow, np.float64)
    bound = SIGMAS / np.sqrt(moves[1:].size)
    assert abs(np.corrcoef(moves[1:].ravel(), moves[:-1].ravel())[0, 1]) < bound
    assert abs(np.corrcoef(moves.ravel(), uniforms[..., 0].ravel())[0, 1]) < bound
    assert abs(np.corrcoef(uniforms[..., 1].ravel(), uniforms[..., 0].ravel())[0, 1]) < bound


# --- scenarios ---------------------------------------------------------------------------------------


def test_presets_are_those_of_the_paper():
    cells, grid = paper_test("paper"), paper_train()
    assert len(cells) == 24
    assert len(grid) == 486
    hh = cells["T4.LH"]
    assert (hh.hurst_exponent, hh.drift, hh.volatility, hh.base_intensity) == (0.2, 0.02, 0.05, 60.0)
    assert not hh.jumps_compensated
    assert hh.exciter == "own_fills"
    assert paper_test("correct")["T4.LH"].jumps_compensated
    # 486 scenarios x 100 episodes x 1/dt steps is 3.645 million pairs, not what the paper prints.
    assert sum(100 * scenario.steps for scenario in grid.values()) == 3_645_000


def test_grid_around_has_the_centre_first_and_distinct_names():
    centre = Scenario("x", price="additive", volatility=4.0, horizon=30.0, dt=0.1)
    assert len(grid_around(centre)) == 9
    harmed = grid_around(centre.but(adverse_selection=1.5 * centre.step_deviation))
    for scenario in harmed:  # the same in units of a step's move, whatever the volatility
        assert scenario.adverse_selection == pytest.approx(1.5 * scenario.step_deviation)
    grid = grid_around(centre, drift=(-0.5, 0.5))
    assert len({scenario.name for scenario in grid}) == len(grid) == 11
    assert grid[0].name == "centre"
    assert grid[-1].drift * 30.0 == pytest.approx(0.5 * 4.0 * np.sqrt(30.0))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"hurst_exponent": 1.0}, "`hurst_exponent` must lie strictly between 0 and 1; received 1.0"),
        ({"volatility": -0.1}, "`volatility` must be positive and finite; received -0.1"),
        ({"volatility": float("nan")}, "`volatility` must be positive"),
        ({"self_excitation": 9.0, "cross_excitation": 2.0}, "branching ratio is below 1; received 10.0"),
        ({"dt": 2.0}, "`dt` must not exceed the horizon; received dt 2.0 s with horizon 1.0 s"),
        ({"dt": 0.3}, "`horizon` must be a whole number of steps"),
        ({"decay": 200.0, "exact_decay": False}, "below 1 / dt"),
        ({"price": "normal"}, "`price` must be one of lognormal, additive; received 'normal'"),
        (
            {"adverse_selection": 7.0},
            "`adverse_selection` must be at most 3 standard deviations of a step's move, 6",
        ),
        ({"inventory_limit": 0.0}, "`inventory_limit` must be at least 1 lot"),
    ],
)
def test_impossible_parameters_are_refused(change, words):
    with pytest.raises(UsageError, match="scenario 'bad'") as refusal:
        Scenario("bad", **change)
    assert words in str(refusal.value)


def test_scenarios_survive_toml(tmp_path):
    before = [
        *list(paper_test("paper").values())[:2],
        Scenario('a "quoted" name', price="additive", drift=-1.0),
    ]
    path = tmp_path / "s.toml"
    path.write_text(scenarios_to_toml(before))
    assert read_scenarios(path) == before
    assert find_scenarios(str(path)) == before


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('name = "a"\nvolatilty = 0.1', "unknown scenario key 'volatilty'; did you mean 'volatility'?"),
        ('name = "a"\nvolatility = "high"', "`volatility` must be a number; received 'high'"),
        ('name = "a"\njumps_compensated = 1', "`jumps_compensated` must be true or false; received 1"),
        ("volatility = 0.1", "`name` must be given for every scenario"),
        ('[[scenario]]\nname="a"\n[[scenario]]\nname="a"', "`name` must differ between scenarios"),
    ],
)
def test_bad_scenario_files_are_refused(tmp_path, text, words):
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(UsageError) as refusal:
        read_scenarios(path)
    assert words in str(refusal.value)
    assert str(path) in str(refusal.value)


def test_unknown_scenario_gets_a_suggestion():
    with pytest.raises(UsageError, match=r"unknown scenario 'T1.XX'; did you mean 'T1"):
        find_scenarios("T1.XX")


def test_every_parameter_of_a_scenario_changes_the_market():
    """A parameter that is read, checked and then ignored would go unnoticed otherwise."""
    base = Scenario("base", jump_intensity=0.5, jump_mean=0.01, jump_deviation=0.01, self_excitation=1.0)
    other = {
        "horizon": 2.0, "dt": 0.02, "price": "additive", "initial_price": 50.0, "drift": 0.1,
        "volatility": 0.3,
        "hurst_exponent": 0.6, "jump_intensity": 0.6, "jump_mean": 0.02, "jump_deviation": 0.02,
        "jumps_compensated": False, "base_intensity": 20.0, "self_excitation": 2.0, "cross_excitation": 2.0,
        "decay": 20.0, "exciter": "own_fills", "exact_decay": False, "fill_decay": 2.0, "reach": 0.5,
        "adverse_selection": 0.1, "maker_fee": 0.01, "inventory_limit": 5.0,
    }  # fmt: skip
    about_people = {"name", "risk_aversion", "currency", "tick_value", "steps"}
    assert set(other) | about_people == {field.name for field in dataclasses.fields(Scenario)}
    plain = jax.tree.leaves(build(base)), jax.tree.structure(build(base))
    for name, value in other.items():
        changed = build(base.but(**{name: value}))
        same = jax.tree.structure(changed) == plain[1] and all(
            np.array_equal(a, b) for a, b in zip(jax.tree.leaves(changed), plain[0], strict=True)
        )
        assert not same, name
