"""Features: one function in three libraries, estimates that converge, priors that hold until they do."""

import jax
import jax.numpy as jnp
import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import solve_toeplitz

from flowhft import features
from flowhft.features import (
    FUNCTIONS,
    NAMES,
    PACKED,
    Sensor,
    Units,
    note_quote,
    pack,
    remember_nothing,
    sense,
    sensor_in_units,
    unpack,
)
from flowhft.features.fractional import HURST, LEFT_OVER, autocovariance
from flowhft.scenarios.presets import paper_test
from flowhft.scenarios.sensor import sensor_for
from flowhft.types import Observation, Quote

SENSOR = Sensor(
    volatility=2.0, rate=5.0, horizon=60.0, half_spread=1.5, inventory=4.0, memory=10.0, burst=0.5
)
# What stands between an observation and the features of a kind: a sensor, or the units of an agent.
SCALES = {kind: SENSOR for kind in FUNCTIONS} | {"state": Units(0.7, 2.0, 3.0, 4.0, np.zeros(0, np.float32))}
CONTEXT = {name: place for place, name in enumerate(NAMES["context"])}


def see(
    time: float,
    mid: float = 0.0,
    bid: float = 0.0,
    ask: float = 0.0,
    inventory: float = 0.0,
    bought: float = 0.0,
    sold: float = 0.0,
) -> Observation:
    return Observation(time, 60.0 - time, mid, inventory, 3.0, bid, ask, 0.0, 0.0, bought, sold)


def session(
    seed: int, steps: int, dt: float, volatility: float, rates: tuple[float, float], drift: float = 0.0
):
    """Return the observations of a Brownian mid with Poisson arrivals at irregular times."""
    rng = np.random.default_rng(seed)
    gaps = dt * rng.uniform(0.5, 1.5, steps)
    mid = np.cumsum(drift * gaps + volatility * np.sqrt(gaps) * rng.normal(size=steps))
    times = np.cumsum(gaps)
    return [
        see(float(times[i]), float(mid[i]), *(float(rng.poisson(rate * gaps[i])) for rate in rates))
        for i in range(steps)
    ]


def follow(observations: list[Observation], sensor: Sensor = SENSOR):
    """Return the memory after every observation, in plain Python."""
    memory, memories = remember_nothing(sensor), []
    for observation in observations:
        memory = sense(sensor, memory, observation)
        memories.append(memory)
    return memories


@pytest.mark.parametrize("kind", FUNCTIONS)
def test_python_numba_and_jax_make_the_same_features(kind):
    """A session long, the memory carried by each library itself: to 1e-6, in float32 to 1e-4."""
    observations = session(0, 200, 0.1, 2.5, (4.0, 7.0))
    compiled_sense, compiled_note = numba.njit(sense), numba.njit(note_quote)
    compiled = numba.njit(FUNCTIONS[kind])
    packed, unpacked = numba.njit(pack), numba.njit(unpack)

    def lab_step(memory, observation):
        memory = sense(SENSOR, memory, observation)
        result = FUNCTIONS[kind](SCALES[kind], memory, observation)
        return note_quote(memory, Quote(1.0, 0.5 + 0.1 * observation.arrivals_bid)), jnp.stack(result)

    begin = jax.tree.map(jnp.float32, remember_nothing(SENSOR))
    stacked = jax.tree.map(lambda *values: jnp.asarray(values, jnp.float32), *observations)
    in_lab = np.asarray(jax.jit(lambda: jax.lax.scan(lab_step, begin, stacked)[1])())

    memory = remember_nothing(SENSOR)
    desk = memory
    for i, observation in enumerate(observations):
        quote = Quote(1.0, 0.5 + 0.1 * observation.arrivals_bid)
        memory, desk = sense(SENSOR, memory, observation), compiled_sense(SENSOR, desk, observation)
        desk = unpacked(np.array(packed(desk)))
        plain = FUNCTIONS[kind](SCALES[kind], memory, observation)
        np.testing.assert_allclose(compiled(SCALES[kind], desk, observation), plain, rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(in_lab[i], plain, rtol=1e-4, atol=1e-4)
        memory, desk = note_quote(memory, quote), compiled_note(desk, quote)
    assert len(plain) == len(NAMES[kind])
    assert len(pack(memory)) == PACKED
    assert unpack(pack(memory)) == memory


def test_the_first_observation_leaves_every_prior():
    """Whatever has happened before the session, and however late it begins."""
    memory = sense(SENSOR, remember_nothing(SENSOR), see(37.5, 1234.5, 99.0, 99.0))
    prior = remember_nothing(SENSOR)
    same = pack(memory._replace(time=0, mid_price=0))
    assert same == pytest.approx(pack(prior._replace(time=0, mid_price=0)), rel=1e-12)
    result = features.context_features(SENSOR, memory, see(37.5, 1234.5))
    assert result[2:] == pytest.approx([0.0] * (len(result) - 2), abs=1e-9)


@pytest.mark.parametrize("true_volatility", [0.5, 2.0, 8.0])
def test_volatility_rates_and_trend_are_sensed_without_being_told(true_volatility):
    """Averages over 190 memories, standard errors below 2 %; bands are four of them."""
    drift = 0.5 * true_volatility
    memories = follow(session(1, 40_000, 0.05, true_volatility, (2.0, 20.0), drift))[2_000:]
    names = ("variance", "rate_bid", "rate_ask", "burst_bid", "burst_ask", "trend")
    mean = {name: np.mean([getattr(memory, name) for memory in memories]) for name in names}
    assert np.sqrt(mean["variance"]) == pytest.approx(true_volatility, rel=0.02)
    assert mean["rate_bid"] == pytest.approx(2.0, rel=0.08)
    assert mean["rate_ask"] == pytest.approx(20.0, rel=0.03)
    assert mean["burst_bid"] == pytest.approx(2.0, rel=0.08)
    assert mean["burst_ask"] == pytest.approx(20.0, rel=0.03)
    # The mean of a random walk over 2,000 s has a standard error of volatility / sqrt(2,000).
    assert mean["trend"] == pytest.approx(drift, abs=4.0 * true_volatility / np.sqrt(1_900.0))


def test_the_feature_of_the_trend_has_order_one_where_there_is_none():
    """An exponential mean of moves has the variance sigma^2 / (2 memory): the feature divides by that."""
    result = np.array(
        [
            features.context_features(SENSOR, memory, see(0.0))[CONTEXT["trend"]]
            for memory in follow(session(2, 40_000, 0.05, SENSOR.volatility, (5.0, 5.0)))[2_000:]
        ]
    )
    assert np.std(result) == pytest.approx(1.0, rel=0.15)


def test_a_burst_is_noticed_before_it_is_believed():
    quiet = [see(0.1 * i, 0.0, 0.5, 0.5) for i in range(1, 100)]  # 5 / second: the prior
    memory = follow([*quiet, see(10.0, 0.0, 20.0, 0.5)])[-1]
    result = features.context_features(SENSOR, memory, see(10.0))
    assert result[CONTEXT["excitation_bid"]] > 0.7
    assert 0.0 < result[CONTEXT["rate_bid"]] < 0.25
    assert result[CONTEXT["excitation_ask"]] == pytest.approx(0.0, abs=1e-9)  # the other side is left alone
    assert result[CONTEXT["rate_ask"]] == pytest.approx(0.0, abs=1e-9)


def test_estimates_do_not_depend_on_how_time_is_cut():
    """A steady flow and a steady slope, seen every 0.1 s or every 0.5 s, end in the same rates and trend."""
    fine = follow([see(0.1 * i, 0.3 * i, 1.0, 2.0) for i in range(101)])[-1]
    coarse = follow([see(0.5 * i, 1.5 * i, 5.0, 10.0) for i in range(21)])[-1]
    for name in ("rate_bid", "rate_ask", "burst_bid", "burst_ask", "trend"):
        assert getattr(coarse, name) == pytest.approx(getattr(fine, name), rel=1e-9), name


def test_two_observations_at_one_time_change_no_average():
    memory = follow([see(1.0, 5.0), see(2.0, 6.0, 3.0, 1.0)])[-1]
    again = sense(SENSOR, memory, see(2.0, 6.0, 50.0, 50.0))
    assert pack(again._replace(last=memory.last)) == pytest.approx(pack(memory), rel=1e-12)


@given(
    steps=st.lists(
        st.tuples(st.integers(0, 10**11), st.floats(-1e6, 1e6), st.floats(0.0, 1e5)), min_size=1, max_size=20
    )
)
def test_wild_markets_keep_features_finite_and_squashed_ones_bounded(steps):
    now_ns, memory = 0, remember_nothing(SENSOR)
    for gap_ns, mid, arrivals in steps:
        now_ns += gap_ns
        time = now_ns * 1e-9
        memory = sense(SENSOR, memory, see(time, mid, arrivals, 0.0))
        result = features.context_features(SENSOR, memory, see(time, mid))
        assert np.all(np.isfinite(result))
        squashed = result[CONTEXT["volatility"] : CONTEXT["excitation_ask"] + 1]
        assert all(-1.0 <= value <= 1.0 for value in squashed)


def test_features_of_the_paper_are_in_the_order_of_their_names():
    memory = note_quote(follow([see(12.0, 7.0)])[-1], Quote(2.0, 4.0))
    swing = SENSOR.volatility * np.sqrt(SENSOR.horizon)
    result = dict(
        zip(
            NAMES["paper"],
            features.paper_features(SENSOR, memory, see(12.0, 7.0, inventory=-2.0)),
            strict=True,
        )
    )
    assert result["time_left"] == pytest.approx(48.0 / 60.0)
    assert result["cash"] == pytest.approx(3.0 / (4.0 * swing))
    assert result["inventory"] == -0.5
    assert result["mid_price"] == pytest.approx(7.0 / swing)
    assert result["previous_spread"] == pytest.approx(6.0 / 3.0)


@pytest.mark.parametrize("place", range(len(HURST)))
def test_a_few_running_means_forecast_a_fractional_price_almost_as_well_as_all_its_past(place):
    """What is left of the next move's variance, against the exact forecast from 400 moves."""
    covariance = autocovariance(HURST[place], 401)
    weights = solve_toeplitz(covariance[:400], covariance[1:401])
    best = 1.0 - weights @ covariance[1:401]
    assert 1.0 - LEFT_OVER[place] == pytest.approx(1.0 - best, rel=0.003, abs=1e-12)
    assert LEFT_OVER[place] >= best - 1e-12


@pytest.mark.parametrize("hurst", [0.2, 0.5, 0.8])
def test_the_memory_of_a_price_is_sensed_and_its_next_move_forecast(hurst):
    """Sixty sessions of a hundred steps of exact fractional noise: beliefs, and the variance explained."""
    steps, scale = 100, 0.7
    lags = np.abs(np.subtract.outer(np.arange(steps), np.arange(steps)))
    root = np.linalg.cholesky(autocovariance(hurst, steps)[lags])
    moves = scale * (root @ np.random.default_rng(3).normal(size=(steps, 60)))
    sensor = sensor_in_units(half_spread=1.0, dt=0.6, horizon=60.0)
    persistence, forecasts, came = [], [], []
    for path in np.cumsum(moves, axis=0).T:
        memory = remember_nothing(sensor)
        for step in range(steps):
            observation = see(0.6 * (step + 1), float(path[step]))
            memory = sense(sensor, memory, observation)
            if step in range(60, steps - 1):
                result = features.context_features(sensor, memory, observation)
                forecasts.append(result[CONTEXT["forecast_1"]])
                came.append(path[step + 1] - path[step])
        persistence.append(result[CONTEXT["persistence"]])
    assert np.mean(persistence) == pytest.approx(hurst - 0.5, abs=0.05)
    explained = 1.0 - np.mean((np.array(came) - forecasts) ** 2) / np.mean(np.square(came))
    covariance = autocovariance(hurst, 101)
    possible = solve_toeplitz(covariance[:100], covariance[1:101]) @ covariance[1:101]
    assert possible - 0.08 < explained < possible + 0.08


def test_a_jump_says_little_about_the_volatility():
    quiet = session(4, 300, 0.1, 2.0, (5.0, 5.0))
    jump = quiet[-1]._replace(time=quiet[-1].time + 0.1, mid_price=quiet[-1].mid_price + 500.0)
    before, after = follow([*quiet, jump])[-2:]
    assert 1.0 < after.variance / before.variance < 1.0 + 30.0 * 0.1 / SENSOR.memory
    calm = follow([*quiet, jump._replace(mid_price=quiet[-1].mid_price)])[-1]
    assert after.beliefs == pytest.approx(calm.beliefs, abs=0.4)


def test_toxicity_is_the_move_that_comes_with_an_order_of_its_direction():
    """Orders tilted by a = 0.8 standard deviations: the running mean finds a, told nothing."""
    rng, tilt, rate, dt = np.random.default_rng(5), 0.8, 8.0, 0.1
    z = rng.normal(size=20_000)
    seen = []
    for i, move in enumerate(z):
        bid, ask = (rng.poisson(rate * dt * np.exp(sign * tilt * move - 0.5 * tilt**2)) for sign in (-1, 1))
        seen.append(see(dt * (i + 1), float(2.0 * np.sqrt(dt) * z[: i + 1].sum()), float(bid), float(ask)))
    results = [
        features.context_features(SENSOR, memory, seen[0])[CONTEXT["toxicity"]]
        for memory in follow(seen)[500:]
    ]
    assert np.mean(results) == pytest.approx(tilt, rel=0.05)


def test_own_fills_are_told_from_orders_that_others_filled():
    observations = [see(0.1 * i, 0.0, 1.0, 1.0, bought=float(i % 4 == 0), sold=0.0) for i in range(1, 400)]
    memory = follow(observations)[-1]
    assert memory.rate_bid == memory.rate_ask == pytest.approx(10.0, rel=0.01)
    assert memory.fill_rate_bid == pytest.approx(2.5, rel=0.1)
    assert memory.fill_rate_ask < 0.01
    assert [step.filled_bid for step in memory.last] == [0.0, 0.0, 0.0, 1.0]


def test_no_parameter_of_a_market_leaks_into_the_features():
    """All cells of the paper have one sensor; no feature reads the true intensity that experts are shown."""
    cells = [*paper_test("paper").values(), *paper_test("informed").values()]
    assert len({sensor_for(cell) for cell in cells}) == 1
    observations = session(6, 50, 0.1, 2.0, (4.0, 4.0))
    told = [seen._replace(intensity_bid=77.0, intensity_ask=5.0) for seen in observations]
    one, other = follow(observations)[-1], follow(told)[-1]
    assert one == other
    for kind, function in FUNCTIONS.items():
        scales = SCALES[kind]
        assert function(scales, one, observations[-1]) == function(scales, other, told[-1]), kind
