"""Laws of the price: generator, fractional noise, jumps, bursts, and what is expected of a step.

Statistics are held to five standard errors, unless another bound is stated: a sound program fails one
comparison in two million, and the some two hundred here one run in ten thousand; seeds are fixed.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.random import threefry_2x32
from scipy import stats

from flowhft.scenarios.scenario import Scenario
from flowhft.simulate.market.fractional import covariance
from flowhft.simulate.market.market import build
from flowhft.simulate.market.once import once
from flowhft.simulate.market.randomness import PathKey, normal, threefry, uniform

SIGMAS = 5.0
PATHS = 20_000
STEPS = 40
LAGS = (0, 1, 2, 5, 13, 39)

PLAIN = Scenario("plain", price="additive", volatility=2.0, horizon=2.0, dt=0.05)
RELATIVE = Scenario("relative", volatility=0.3, horizon=2.0, dt=0.05)
JUMPY = {"jump_intensity": 0.8, "jump_deviation": 0.06}
BURSTY = {"burst_intensity": 1.5, "burst_duration": 0.3, "burst_factor": 3.0}


@eqx.filter_jit
def _draw(market, keys):
    return jax.vmap(market.draw)(keys)


def worlds(scenario: Scenario, seed: int = 0, paths: int = PATHS):
    world = _draw(build(scenario), jax.random.split(jax.random.key(seed), paths))
    return jax.tree.map(lambda values: np.asarray(values, np.float64), world)


def surprise(samples: np.ndarray, expected: float | np.ndarray) -> float:
    """Return how many standard errors the mean over paths is off, the worst of the columns."""
    error = samples.std(axis=0) / np.sqrt(len(samples))
    return float(np.max(np.abs(samples.mean(axis=0) - expected) / error))


# --- the generator -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("counter", "key", "answer"),
    [  # kat_vectors of Random123, lines "threefry2x32 20"
        ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        ((0xFFFFFFFF,) * 2, (0xFFFFFFFF,) * 2, (0x1CB996FC, 0xBB002BE7)),
        ((0x243F6A88, 0x85A308D3), (0x13198A2E, 0x03707344), (0xC4923A9C, 0x483DF7A0)),
    ],
)
def test_threefry_gives_the_known_answers(counter, key, answer):
    words = threefry(PathKey(*map(jnp.uint32, key)), *map(jnp.uint32, counter))
    assert tuple(map(int, words)) == answer


def test_threefry_is_that_of_jax():
    words = np.random.default_rng(0).integers(0, 2**32, (2, 1000), np.uint32)
    ours = threefry(PathKey(jnp.uint32(17), jnp.uint32(2**31 + 5)), *map(jnp.asarray, words))
    theirs = threefry_2x32(jnp.array([17, 2**31 + 5], jnp.uint32), jnp.asarray(words.ravel()))
    np.testing.assert_array_equal(np.concatenate(ours), theirs)


def test_words_become_uniform_and_normal_numbers():
    count = 400_000
    key = PathKey(jnp.uint32(1), jnp.uint32(2))
    words = jax.jit(threefry)(key, jnp.arange(count).astype("uint32"), jnp.uint32(3))
    flat, bell = (np.asarray(f(word), np.float64) for f, word in zip((uniform, normal), words, strict=True))
    # Kolmogorov-Smirnov at a false-alarm rate of one in a million.
    assert stats.kstest(flat, "uniform").pvalue > 1e-6
    assert stats.kstest(bell, "norm").pvalue > 1e-6
    assert stats.kstest(bell * 1.02, "norm").pvalue < 1e-6  # two parts in a hundred are told apart
    assert surprise((bell**4)[:, None], 3.0) < SIGMAS
    assert abs(np.corrcoef(flat, bell)[0, 1]) < SIGMAS / np.sqrt(count)
    ends = jnp.array([0, 2**31 - 1, 2**31, 2**32 - 1], jnp.uint32)
    assert np.abs(normal(ends)).max() < 5.5
    assert float(uniform(ends).min()) == 0.0
    assert float(uniform(ends).max()) < 1.0


# --- fractional noise --------------------------------------------------------------------------------


def covariance_surprise(increments: np.ndarray, hurst: float) -> float:
    """Return the worst deviation, in standard errors, from the covariance of fractional noise at LAGS.

    At lag 39 one product a path is left, so its law is far from normal; 20,000 paths mend that.
    """
    steps = increments.shape[1]
    products = [(increments[:, lag:] * increments[:, : steps - lag]).mean(axis=1) for lag in LAGS]
    return surprise(np.stack(products, axis=1), covariance(steps, hurst)[list(LAGS)])


def variance_surprise(increments: np.ndarray, hurst: float) -> float:
    """Return the same for the variance of the sum, which is n^2H, after 5, 20 and all steps."""
    ends = np.array([5, 20, increments.shape[1]])
    return surprise(np.cumsum(increments, axis=1)[:, ends - 1] ** 2, ends ** (2.0 * hurst))


@pytest.mark.parametrize("hurst", [0.2, 0.5, 0.8])
def test_the_price_has_the_law_of_an_oracle_by_cholesky(hurst):
    scenario = PLAIN.but(hurst_exponent=hurst)
    drawn = worlds(scenario).move / scenario.step_deviation
    row = covariance(STEPS, hurst)[:STEPS]
    factor = np.linalg.cholesky(row[np.abs(np.subtract.outer(range(STEPS), range(STEPS)))])
    independent = np.random.default_rng(1).standard_normal((PATHS, STEPS))
    for sample in (drawn, independent @ factor.T):
        assert covariance_surprise(sample, hurst) < SIGMAS
        assert variance_surprise(sample, hurst) < SIGMAS
        assert stats.kstest(sample[:, -1], "norm").pvalue > 1e-6
    if hurst != 0.5:  # the laws tell apart increments without memory, ...
        assert covariance_surprise(independent, hurst) > 4 * SIGMAS
        assert variance_surprise(independent, hurst) > 4 * SIGMAS
        # ... and those that scale as sqrt(dt) although their covariance is right.
        wrong = drawn * np.sqrt(scenario.dt) / scenario.dt**hurst
        assert variance_surprise(wrong, hurst) > 4 * SIGMAS


@pytest.mark.parametrize("hurst", [0.2, 0.5, 0.8])
def test_the_logarithm_has_the_stated_variance_at_every_time(hurst):
    log_price = np.log1p(np.cumsum(worlds(RELATIVE.but(hurst_exponent=hurst)).move, axis=1) / 100.0)
    variance = 0.3**2 * (0.05 * np.arange(1, STEPS + 1)) ** (2 * hurst)
    assert surprise((log_price + 0.5 * variance) ** 2, variance) < SIGMAS
    assert surprise(log_price, -0.5 * variance) < SIGMAS


# --- jumps -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hurst", [0.5, 0.7])
def test_jumps_have_their_moments_and_a_stream_of_their_own(hurst):
    calm = PLAIN.but(hurst_exponent=hurst, volatility=1e-4)
    jumpy = calm.but(
        jump_intensity=2.0, jump_mean=0.3, jump_deviation=0.2, jumps_compensated=False, volatility=1e-4
    )
    still, moved = worlds(calm), worlds(jumpy)
    jumps = moved.move - still.move
    total = jumps.sum(axis=1)
    raw = np.array([0.3, 0.3**2 + 0.2**2, 0.3**3 + 3 * 0.3 * 0.2**2])  # moments of a jump
    assert surprise(total[:, None], 4.0 * raw[0]) < SIGMAS  # 2 a second, 2 seconds
    centred = total - 4.0 * raw[0]
    assert surprise(np.stack([centred**2, centred**3], axis=1), 4.0 * raw[1:]) < SIGMAS
    assert (
        surprise((jumps == 0.0) | (np.abs(jumps) < 1e-3), np.exp(-2.0 * 0.05)) < SIGMAS
    )  # no jump in a step
    assert np.array_equal(still.order_flow, moved.order_flow)
    bound = SIGMAS / np.sqrt(jumps.size)
    for other in (moved.order_flow[..., 0], moved.order_flow[..., 1], np.roll(jumps, 1, axis=0)):
        assert abs(np.corrcoef(jumps.ravel(), other.ravel())[0, 1]) < bound
    if hurst != 0.5:  # with memory, diffusion and sizes are drawn apart
        assert abs(np.corrcoef(jumps.ravel(), still.move.ravel())[0, 1]) < bound


# --- streams -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("hurst", [0.5, 0.8])
def test_paths_and_streams_are_independent(hurst):
    world = worlds(PLAIN.but(hurst_exponent=hurst, **BURSTY), seed=7)
    series = [world.move, world.volatility_scale - 1.0, *np.moveaxis(world.order_flow - 0.5, -1, 0)]
    for i, one in enumerate(series):
        # Neighbouring paths, as they come: products of whole paths, which have memory.
        assert surprise((one[1:] * one[:-1]).mean(axis=1)[:, None], one.mean() ** 2) < SIGMAS
        for other in series[:i]:
            assert surprise((one * other).mean(axis=1)[:, None], one.mean() * other.mean()) < SIGMAS
    flow = series[2:]
    assert surprise((flow[0][:, 1:] * flow[0][:, :-1]).mean(axis=1)[:, None], 0.0) < SIGMAS


@pytest.mark.slow
@pytest.mark.parametrize("hurst", [0.5, 0.3])
def test_a_path_is_the_same_to_the_bit_however_many_are_drawn(hurst):
    scenario = RELATIVE.but(hurst_exponent=hurst, **JUMPY, **BURSTY)
    keys = jax.random.split(jax.random.key(0), PATHS)
    many, few = _draw(build(scenario), keys), _draw(build(scenario), keys[64:128])
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a[64:128], b), many, few)


def test_a_key_of_another_path_gives_other_numbers():
    first, second = worlds(PLAIN, seed=1, paths=2_000), worlds(PLAIN, seed=2, paths=2_000)
    assert len(np.unique(np.concatenate([first.move, second.move])[:, 0])) > 3_990
    assert abs(np.corrcoef(first.move.ravel(), second.move.ravel())[0, 1]) < SIGMAS / np.sqrt(80_000)


# --- bursts ------------------------------------------------------------------------------------------


def test_bursts_have_their_share_and_duration_from_the_first_step_on():
    scale = worlds(PLAIN.but(**BURSTY)).volatility_scale
    bursting = scale > 1.0
    assert set(np.unique(scale)) == {1.0, 3.0}
    share = 1.5 / (1.5 + 1 / 0.3)
    assert surprise(bursting[:, [0, 1, 10, 39]], share) < SIGMAS  # stationary
    assert surprise(bursting.mean(axis=1)[:, None], share) < SIGMAS
    left = np.exp(-(1.5 + 1 / 0.3) * 0.05)
    before, after = bursting[:, :-1], bursting[:, 1:]
    assert surprise(after[before][:, None], share + (1 - share) * left) < SIGMAS
    assert surprise(after[~before][:, None], share * (1 - left)) < SIGMAS
    # Lengths of bursts: mean duration as dt -> 0; held over steps, 1 / P(it ends) of them, 0.3 s and dt / 2.
    steps = 1.0 / (1.0 - (share + (1 - share) * left))
    assert 0.3 < steps * 0.05 < 0.3 + 0.05
    # Half of the bursts' covariance after their own time scale is left: no process of independent steps.
    lag = round(np.log(2) / ((1.5 + 1 / 0.3) * 0.05))
    together = (bursting[:, lag:] * bursting[:, :-lag]).mean(axis=1)
    expected = share**2 + share * (1 - share) * left**lag
    assert surprise(together[:, None], expected) < SIGMAS
    assert surprise(together[:, None], share**2) > 4 * SIGMAS


def test_bursts_raise_variance_and_kurtosis_and_leave_other_streams_alone():
    calm, bursty = worlds(PLAIN), worlds(PLAIN.but(**BURSTY))
    assert calm.volatility_scale is None
    np.testing.assert_array_equal(calm.order_flow, bursty.order_flow)
    np.testing.assert_allclose(bursty.move, calm.move * bursty.volatility_scale, rtol=1e-5, atol=1e-6)
    same = worlds(PLAIN.but(burst_duration=0.7, burst_factor=9.0))  # of no bursts
    np.testing.assert_array_equal(calm.move, same.move)
    share = 1.5 / (1.5 + 1 / 0.3)
    square = 1 + share * (3.0**2 - 1)
    moves = bursty.move / PLAIN.step_deviation
    assert surprise((moves**2).mean(axis=1)[:, None], square) < SIGMAS
    fourth = 3.0 * (1 + share * (3.0**4 - 1))
    assert surprise((moves**4).mean(axis=1)[:, None], fourth) < SIGMAS
    assert fourth / square**2 > 4.5  # 3 for a Gaussian


@pytest.mark.parametrize("hurst", [0.3, 0.5, 0.8])
def test_the_variance_given_the_bursts_is_that_of_the_slow_double_sum(hurst):
    scenario = RELATIVE.but(hurst_exponent=hurst, **BURSTY)
    scale = np.where(np.random.default_rng(0).random(STEPS) < 0.4, 3.0, 1.0)
    result = build(scenario).price.variance(jnp.asarray(scale, jnp.float32))
    row = covariance(STEPS, hurst)
    matrix = row[np.abs(np.subtract.outer(range(STEPS), range(STEPS)))] * np.outer(scale, scale)
    slow = [scenario.volatility**2 * 0.05 ** (2 * hurst) * matrix[:n, :n].sum() for n in range(1, STEPS + 1)]
    np.testing.assert_allclose(result, slow, rtol=1e-5)


# --- what is expected of a step ----------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("hurst", [0.3, 0.5, 0.8])
@pytest.mark.parametrize("extra", [{}, JUMPY | {"jump_mean": 0.08}, BURSTY], ids=["plain", "jumps", "bursts"])
@pytest.mark.parametrize("base", [PLAIN, RELATIVE], ids=["additive", "lognormal"])
def test_the_expected_move_is_that_of_simulation(base, extra, hurst):
    for drift, compensated in ((0.0, True), (0.2, False)):
        scenario = base.but(hurst_exponent=hurst, drift=drift, jumps_compensated=compensated, **extra)
        market, moves = build(scenario), worlds(scenario).move
        before = np.cumsum(moves, axis=1) - moves
        start = market.init()
        state = start._replace(time=jnp.arange(STEPS) * 0.05, mid_price=jnp.asarray(before, jnp.float32))
        expected = np.broadcast_to(np.asarray(market.expected_move(state), np.float64), moves.shape)
        rest = moves - expected
        assert surprise(rest.sum(axis=1)[:, None], 0.0) < SIGMAS
        assert surprise(rest[:, [0, 7, 39]], 0.0) < SIGMAS
        if hurst == 0.5:  # a martingale: no bet on the past wins either
            assert surprise((np.tanh(before) * rest).sum(axis=1)[:, None], 0.0) < SIGMAS
        if drift:  # and it is needed
            assert surprise(moves.sum(axis=1)[:, None], 0.0) > SIGMAS
        else:
            assert np.abs(expected).max() < 1e-5


def test_with_memory_a_bet_on_the_past_wins_so_that_the_expectation_is_no_control_for_it():
    for hurst, sign in ((0.3, -1.0), (0.8, 1.0)):
        moves = worlds(PLAIN.but(hurst_exponent=hurst)).move
        before = np.cumsum(moves, axis=1) - moves
        gain = (sign * np.tanh(before) * moves).sum(axis=1)
        assert gain.mean() > 4 * SIGMAS * gain.std() / np.sqrt(PATHS)


# --- computed once -----------------------------------------------------------------------------------


def test_what_is_computed_once_is_what_the_function_returns():
    def function(x, y):
        return x + y, jnp.where(x > y, x, 0.0)

    x = jnp.linspace(-2.0, 2.0, 7)
    wanted = jax.jit(function)(x, 0.5)
    for time in (0.0, 3.0, jnp.float32(1.0)):
        result = jax.jit(lambda x, time: jax.vmap(lambda x: once(function, time, x, 0.5))(x))(x, time)
        jax.tree.map(np.testing.assert_array_equal, result, wanted)
    each = jax.vmap(lambda x, time: once(function, time, x, 0.5))(x, jnp.arange(7.0))  # a time a path
    jax.tree.map(np.testing.assert_array_equal, each, wanted)
    slope = jax.grad(lambda x: once(function, 0.0, x, 0.5)[0])(1.0)
    assert slope == 1.0
