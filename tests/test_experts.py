"""Experts against closed forms, an eigenvector of their own equation, a published table, and each library."""

import inspect
import math

import jax
import jax.numpy as jnp
import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import eigh_tridiagonal

from flowhft.errors import UnknownNameError
from flowhft.policies.adapter import IDENTITY, Adapter, adapt_quote
from flowhft.policies.rules import EXPERTS, Expert, get
from flowhft.types import Estimates, Observation, Quote

# The market of Gueant, Lehalle and Fernandez-Tapia's figures: ticks, seconds.
GLFT_MARKET = Estimates(volatility=0.3, drift=0.0, intensity=0.9, fill_decay=0.3, horizon=600.0)
GLFT_AVERSION = 0.01
# The market of Avellaneda and Stoikov's tables.
AS_MARKET = Estimates(volatility=2.0, drift=0.0, intensity=140.0, fill_decay=1.5, horizon=1.0)
AS_AVERSION = 0.1

NOISE = (0.25, 0.75)

positive = st.floats(1e-3, 1e3)
lots = st.floats(-50.0, 50.0)


def see(
    inventory: float = 0.0, time_left: float = 0.5, intensity: tuple[float, float] = (5.0, 7.0)
) -> Observation:
    """Return an observation with what experts look at."""
    return Observation(0.0, time_left, 0.0, inventory, 0.0, 0.0, 0.0, *intensity)


def quote_of(expert: str, estimates: Estimates, aversion: float, observation: Observation) -> Quote:
    result = EXPERTS[expert]
    return result.quote(result.coefficients(estimates, aversion), observation, NOISE)


# --- one function, three libraries ------------------------------------------------------------------------


@pytest.mark.parametrize("expert", EXPERTS.values(), ids=EXPERTS)
def test_python_numba_and_jax_quote_alike(expert: Expert):
    estimates = Estimates(volatility=1.7, drift=0.3, intensity=12.0, fill_decay=0.8, horizon=30.0)
    coefficients = type(expert.coefficients(estimates, 0.05))(
        *(np.float64(value) for value in expert.coefficients(estimates, 0.05))
    )
    compiled = numba.njit(expert.quote)
    traced = jax.jit(jax.vmap(expert.quote, in_axes=(None, 0, None)))
    inventories = [-3.0, 0.0, 4.0]
    book = np.array([0.3]) if expert.sees_book else None
    seen = [see(q, 12.5)._replace(book=book) for q in inventories]
    plain = [expert.quote(coefficients, one, NOISE) for one in seen]
    batch = jax.tree.map(lambda *values: jnp.asarray(values), *seen)
    for i, (one, expected) in enumerate(zip(seen, plain, strict=True)):
        np.testing.assert_allclose(compiled(coefficients, one, NOISE), expected, rtol=1e-12)
        results = [side[i] if jnp.ndim(side) else side for side in traced(coefficients, batch, NOISE)]
        np.testing.assert_allclose(results, expected, rtol=1e-5)


# --- limits and identities --------------------------------------------------------------------------------


@given(volatility=st.floats(0.01, 10.0), intensity=positive, fill_decay=st.floats(0.01, 10.0), inventory=lots)
def test_without_fear_of_inventory_everyone_quotes_one_over_k(volatility, intensity, fill_decay, inventory):
    """A risk-neutral maker maximises delta exp(-k delta): the half-spread 1 / k at any inventory."""
    estimates = Estimates(volatility, 0.0, intensity, fill_decay, 1.0)
    for expert in ("avellaneda_stoikov", "glft", "glft_drift"):
        quote = quote_of(expert, estimates, 1e-13 * fill_decay, see(inventory))
        np.testing.assert_allclose(quote[:2], 1.0 / fill_decay, rtol=1e-3, err_msg=expert)


@given(
    aversion=st.floats(1e-4, 10.0),
    volatility=st.floats(0.01, 10.0),
    fill_decay=positive,
    q=lots,
    tau=st.floats(0.0, 9.0),
)
def test_avellaneda_stoikov_is_a_reservation_price_and_a_spread(aversion, volatility, fill_decay, q, tau):
    """Around s - q gamma sigma^2 tau, as wide as gamma sigma^2 tau + (2 / gamma) ln(1 + gamma / k)."""
    estimates = Estimates(volatility, 0.0, 1.0, fill_decay, 9.0)
    bid, ask, *_ = quote_of("avellaneda_stoikov", estimates, aversion, see(q, tau))
    reservation = ((100.0 + ask) + (100.0 - bid)) / 2.0
    risk = aversion * volatility**2 * tau
    assert reservation == pytest.approx(
        100.0 - q * risk, rel=1e-9, abs=1e-9 * (1.0 + abs(q) * risk + 1 / fill_decay)
    )
    assert bid + ask == pytest.approx(
        risk + 2.0 / aversion * math.log1p(aversion / fill_decay), rel=1e-9, abs=1e-9 * abs(q * risk)
    )


def test_avellaneda_stoikov_earns_what_its_authors_printed():
    """Their table for gamma = 0.1, of 1,000 sessions: profit, its deviation, that of the final inventory.

    Bands: four standard errors of their simulation and ours, and half of their last digit.
    """
    for strategy, profit, deviation, final in (("inventory", 65.0, 6.6, 2.9), ("symmetric", 68.4, 12.7, 8.4)):
        rng = np.random.default_rng(0)
        paths, steps, dt = 4_000, 200, 0.005
        expert = EXPERTS["avellaneda_stoikov"]
        coefficients = expert.coefficients(AS_MARKET, AS_AVERSION)
        mid, cash, inventory = np.full(paths, 100.0), np.zeros(paths), np.zeros(paths)
        for i in range(steps):
            seen = inventory if strategy == "inventory" else np.zeros(paths)
            bid, ask, *_ = expert.quote(coefficients, see(seen, 1.0 - i * dt), NOISE)
            chance = [AS_MARKET.intensity * np.exp(-AS_MARKET.fill_decay * side) * dt for side in (bid, ask)]
            bought, sold = (rng.random(paths) < share for share in chance)
            cash += sold * (mid + ask) - bought * (mid - bid)
            inventory = inventory + bought - sold
            mid = mid + AS_MARKET.volatility * np.sqrt(dt) * rng.choice([-1.0, 1.0], paths)
        wealth = cash + inventory * mid
        sampling = np.sqrt(1 / 1_000 + 1 / paths)
        assert np.mean(wealth) == pytest.approx(profit, abs=4 * deviation * sampling)
        assert np.std(wealth) == pytest.approx(deviation, rel=4 * sampling / np.sqrt(2) + 0.05 / deviation)
        assert np.std(inventory) == pytest.approx(final, rel=4 * sampling / np.sqrt(2) + 0.05 / final)


# --- GLFT against the equation that it approximates -------------------------------------------------------


def stationary_quotes(estimates: Estimates, aversion: float, limit: int = 60) -> dict[int, Quote]:
    """Return the quotes of the exact problem with |q| <= limit, long before its end, inside the limits.

    v' = M v, with M tridiagonal: alpha q^2 - beta q on the diagonal and -eta beside it. Far from the end v
    is the eigenvector of the lowest eigenvalue (Gueant, Lehalle, Fernandez-Tapia 2013).
    """
    k, ratio = estimates.fill_decay, aversion / estimates.fill_decay
    q = np.arange(-limit, limit + 1)
    alpha = 0.5 * k * aversion * estimates.volatility**2
    eta = estimates.intensity * (1.0 + ratio) ** -(1.0 + 1.0 / ratio)
    _, vectors = eigh_tridiagonal(
        alpha * q**2 - k * estimates.drift * q, np.full(2 * limit, -eta), select="i", select_range=(0, 0)
    )
    level = np.log(np.abs(vectors[:, 0])) / k
    base = np.log1p(ratio) / aversion
    return {
        int(q[i]): Quote(base + level[i] - level[i + 1], base + level[i] - level[i - 1])
        for i in range(1, 2 * limit)
    }


@pytest.mark.parametrize(
    ("expert", "drift"), [("glft", 0.0), ("glft_drift", 0.0), ("glft_drift", 0.003), ("glft_drift", -0.003)]
)
def test_glft_approximates_the_eigenvector_of_its_equation(expert, drift):
    """Within 0.1 % of the half-spread near q = 0, and the skew (the expert's whole point) within 1 %."""
    estimates = GLFT_MARKET._replace(drift=drift)
    exact = stationary_quotes(estimates, GLFT_AVERSION)
    result = {q: quote_of(expert, estimates, GLFT_AVERSION, see(q)) for q in range(-5, 6)}
    for q in range(-2, 3):
        np.testing.assert_allclose(result[q], exact[q], rtol=0.001)
    for side in range(2):
        slope_found, slope_exact = ((quotes[5][side] - quotes[-5][side]) / 10.0 for quotes in (result, exact))
        assert slope_found == pytest.approx(slope_exact, rel=0.01)


def test_the_eigenvector_would_tell_a_wrong_formula():
    """Negative tests: every wrong form is off by far more than the test above allows."""
    estimates = GLFT_MARKET
    exact = stationary_quotes(estimates, GLFT_AVERSION)
    slope_exact = (exact[5].half_spread_bid - exact[-5].half_spread_bid) / 10.0

    def slope(expert: str, estimates: Estimates, aversion: float) -> float:
        high, low = (quote_of(expert, estimates, aversion, see(q)).half_spread_bid for q in (5.0, -5.0))
        return (high - low) / 10.0

    wrong = {
        "current intensity": slope("glft_as_run", estimates, GLFT_AVERSION),
        "reversed": -slope("glft", estimates, GLFT_AVERSION),
        "gamma missing": slope("glft", estimates, GLFT_AVERSION) / np.sqrt(GLFT_AVERSION),
        "raw volatility": slope("glft", estimates._replace(volatility=0.3 / 100.0), GLFT_AVERSION),
        "another exponent": slope("glft", estimates, GLFT_AVERSION) * np.exp(-0.5),
    }
    assert all(abs(value / slope_exact - 1.0) > 0.2 for value in wrong.values()), wrong


@given(aversion=st.floats(1e-3, 1.0), drift=st.floats(-1.0, 1.0), q=st.floats(-9.0, 9.0))
def test_a_drift_shifts_the_inventory_that_is_wanted(aversion, drift, q):
    """Told a drift mu, the maker quotes at q as one without it does at q - mu / (gamma sigma^2)."""
    estimates = GLFT_MARKET._replace(drift=drift)
    wanted = drift / (aversion * estimates.volatility**2)
    np.testing.assert_allclose(
        quote_of("glft_drift", estimates, aversion, see(q)),
        quote_of("glft", estimates, aversion, see(q - wanted)),
        rtol=1e-9,
        atol=1e-9,
    )


def test_the_signs_are_those_of_a_maker_who_fears_inventory():
    """Long: sell eagerly. Price rising: buy eagerly. As the paper ran AS, the first is reversed."""
    for expert in ("avellaneda_stoikov", "glft", "glft_drift", "glft_as_run", "glft_drift_as_run"):
        long = quote_of(expert, GLFT_MARKET, GLFT_AVERSION, see(3.0))
        flat = quote_of(expert, GLFT_MARKET, GLFT_AVERSION, see(0.0))
        assert (
            long.half_spread_ask
            < flat.half_spread_ask
            < flat.half_spread_bid + 1e-9
            < long.half_spread_bid + 1e-9
        )
    rising = quote_of(
        "glft_drift", GLFT_MARKET._replace(drift=0.01), GLFT_AVERSION, see(0.0, intensity=(5.0, 5.0))
    )
    assert rising.half_spread_bid < rising.half_spread_ask
    right = quote_of("avellaneda_stoikov", AS_MARKET, AS_AVERSION, see(3.0))
    run = quote_of("avellaneda_stoikov_as_run", AS_MARKET, AS_AVERSION, see(3.0))
    mirrored = quote_of("avellaneda_stoikov", AS_MARKET, AS_AVERSION, see(-3.0))
    assert run == mirrored != right


def test_as_run_follows_the_current_intensity_of_each_side():
    """At the intensity that plain GLFT was told, both agree; four times as many orders halve the skew."""
    plain = quote_of("glft", GLFT_MARKET, GLFT_AVERSION, see(2.0))
    same = quote_of("glft_as_run", GLFT_MARKET, GLFT_AVERSION, see(2.0, intensity=(0.9, 0.9)))
    np.testing.assert_allclose(same, plain, rtol=1e-12)
    busy_bid = quote_of("glft_as_run", GLFT_MARKET, GLFT_AVERSION, see(2.0, intensity=(3.6, 0.9)))
    base = math.log1p(GLFT_AVERSION / 0.3) / GLFT_AVERSION
    assert busy_bid.half_spread_bid - base == pytest.approx((plain.half_spread_bid - base) / 2.0, rel=1e-9)
    assert busy_bid.half_spread_ask == pytest.approx(plain.half_spread_ask, rel=1e-12)


def test_white_noise_covers_every_distance_at_which_fills_happen():
    expert = EXPERTS["white_noise"]
    coefficients = expert.coefficients(Estimates(1.0, 0.0, 1.0, 1.5, 1.0), 1.0)
    assert coefficients.widest == pytest.approx(20.0)  # the paper's range at k = 1.5
    assert math.exp(-1.5 * coefficients.widest) < 1e-12
    assert expert.quote(coefficients, see(), (0.0, 0.5)) == Quote(0.0, 10.0)


# --- the table, and the adapter behind a quote ------------------------------------------------------------


def test_an_unknown_expert_is_named_with_its_nearest():
    assert get("glft") is EXPERTS["glft"]
    with pytest.raises(
        UnknownNameError, match=r"unknown expert 'avellanda'; did you mean 'avellaneda_stoikov'\?"
    ):
        get("avellanda")


def test_every_expert_describes_itself():
    for expert in EXPERTS.values():
        assert expert.summary
        assert inspect.getdoc(expert.quote)
        assert expert.as_run == expert.name.endswith(("_as_run", "_raw"))


@given(bid=lots, ask=lots, q=lots, scale=st.floats(0.1, 3.0), skew=st.floats(-2.0, 2.0))
def test_an_adapter_scales_shifts_and_leans(bid, ask, q, scale, skew):
    quote, seen = Quote(bid, ask), see(q)
    assert adapt_quote(IDENTITY, quote, seen) == quote
    adapted = adapt_quote(Adapter(scale, 0.25, -0.5, skew), quote, seen)
    spread = adapted.half_spread_bid + adapted.half_spread_ask
    assert spread == pytest.approx(
        scale * (bid + ask) - 0.25, abs=1e-9
    )  # a skew moves the quote, never widens it
    centre = adapted.half_spread_ask - adapted.half_spread_bid
    assert centre == pytest.approx(scale * (ask - bid) - 0.75 - 2.0 * skew * q, abs=1e-9)


def test_a_skew_makes_glft_of_a_maker_blind_to_inventory():
    """GLFT at q is GLFT at 0 with the skew C: the term that a scale cannot imitate."""
    slope = EXPERTS["glft"].coefficients(GLFT_MARKET, GLFT_AVERSION).slope
    blind = quote_of("glft", GLFT_MARKET, GLFT_AVERSION, see(0.0))
    np.testing.assert_allclose(
        adapt_quote(IDENTITY._replace(skew=slope), blind, see(4.0)),
        quote_of("glft", GLFT_MARKET, GLFT_AVERSION, see(4.0)),
        rtol=1e-12,
    )


@pytest.mark.parametrize("time_left", [0.0, 0.4, 9.0])
def test_a_slope_makes_avellaneda_stoikov_of_a_maker_blind_to_inventory(time_left):
    """Its skew is gamma sigma^2 time_left: the term that ends with the session."""
    told, gamma = GLFT_MARKET, GLFT_AVERSION
    blind = quote_of("avellaneda_stoikov", told, gamma, see(0.0, time_left))
    np.testing.assert_allclose(
        adapt_quote(IDENTITY._replace(slope=gamma * told.volatility**2), blind, see(-3.0, time_left)),
        quote_of("avellaneda_stoikov", told, gamma, see(-3.0, time_left)),
        rtol=1e-12,
    )
