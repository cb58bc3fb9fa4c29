"""What a fill costs: closed forms and regime-adapted policies quote further out by it, as optima do."""

import dataclasses

import numpy as np
import pytest

from flowhft.policies.adapter import IDENTITY
from flowhft.policies.names import find_policy
from flowhft.policies.reference import Reference
from flowhft.policies.rule import coefficients_in
from flowhft.policies.rules import EXPERTS, linear_equation
from flowhft.policies.rules import glft as glft_rule
from flowhft.scenarios.scenario import Scenario
from flowhft.simulate.market.market import build
from flowhft.simulate.quoting.lab import in_lab
from flowhft.simulate.rollout import evaluate_one
from flowhft.testing import check_policy
from flowhft.types import Estimates, Observation

FREE = Scenario(
    "free",
    price="additive",
    initial_price=50_000.0,
    volatility=2.0,
    base_intensity=2.5,
    fill_decay=0.5,
    horizon=20.0,
    dt=0.1,
    risk_aversion=0.01,
)
COSTLY, REBATE = (
    FREE.but(name="costly", maker_fee=2e-5),
    FREE.but(name="rebate", maker_fee=-1e-5),
)  # ticks: 1
CLOSED_FORMS = ("avellaneda_stoikov", "glft", "glft_drift")
AS_RUN = [name for name, expert in EXPERTS.items() if expert.as_run]
TOLD = Estimates(volatility=0.3, drift=0.002, intensity=0.9, fill_decay=0.3, horizon=600.0)


def see(inventory: float = 0.0, time_left: float = 10.0) -> Observation:
    return Observation(10.0, time_left, 0.0, inventory, 0.0, 0.0, 0.0, 2.5, 2.5)


def quoted(name: str, scenario: Scenario, inventory: float = 0.0) -> np.ndarray:
    expert = EXPERTS[name]
    return np.array(expert.quote(coefficients_in(expert, scenario), see(inventory), (0.5, 0.5))[:2])


@pytest.mark.parametrize("name", CLOSED_FORMS)
@pytest.mark.parametrize(("scenario", "cost"), [(COSTLY, 1.0), (REBATE, -0.5)])
def test_without_inventory_both_sides_move_outwards_by_the_fee(name, scenario, cost):
    moved = quoted(name, scenario) - quoted(name, FREE)
    assert moved == pytest.approx([cost, cost], abs=0.05)


@pytest.mark.parametrize("name", EXPERTS)
def test_without_fee_nothing_changes_to_the_last_digit(name):
    """Coefficients by the formulas as they were printed, which know no cost."""
    known = coefficients_in(EXPERTS[name], FREE)
    for zero in (0.0, -0.0):
        for mine, same in zip(known, coefficients_in(EXPERTS[name], FREE.but(maker_fee=zero)), strict=True):
            np.testing.assert_array_equal(mine, same)
    k, gamma, sigma = FREE.fill_decay, FREE.risk_aversion, FREE.volatility
    base = np.log1p(gamma / k) / gamma
    if name == "avellaneda_stoikov":
        assert tuple(known) == (base, gamma * sigma**2, 1.0)
    if name == "glft":
        power = np.exp((1.0 + k / gamma) * np.log1p(gamma / k))
        assert known.base == base
        assert known.slope == np.sqrt(sigma**2 * gamma / (2.0 * k * FREE.mean_intensity) * power)


@pytest.mark.parametrize("name", AS_RUN)
def test_as_run_forms_stay_as_printed(name):
    assert AS_RUN
    for inventory in (-2.0, 0.0, 3.0):
        np.testing.assert_array_equal(quoted(name, COSTLY, inventory), quoted(name, FREE, inventory))


@pytest.mark.parametrize("cost", [0.0, 2.0, -1.0])
@pytest.mark.parametrize("expert", ["glft", "glft_drift"])
def test_glft_with_a_cost_approximates_the_exact_problem_with_it(expert, cost):
    """The lowest eigenvector of the equation whose rates and base know the cost, far from the end."""
    told = TOLD._replace(fill_cost=cost, drift=TOLD.drift if expert == "glft_drift" else 0.0)
    equation = linear_equation.exponential_utility(told, 0.01, 60)
    exact = linear_equation.half_spreads(equation, linear_equation.stationary_log_values(equation)[0])
    coefficients = EXPERTS[expert].coefficients(told, 0.01)
    for q in range(-2, 3):
        result = glft_rule.quote(coefficients, see(float(q)), (0.0, 0.0))[:2]
        np.testing.assert_allclose(result, exact[60 + q], rtol=0.002)
    if cost:  # negative test: a base that moves alone leaves the slope of a market with more fills
        told_less = EXPERTS[expert].coefficients(told._replace(fill_cost=0.0), 0.01)
        exact_slope = (exact[65, 0] - exact[55, 0]) / 10.0
        assert coefficients.slope == pytest.approx(exact_slope, rel=0.02)
        assert abs(told_less.slope / exact_slope - 1.0) > 0.1


def test_who_knows_the_fee_earns_more_than_who_does_not():
    """Paired, on the same paths of a market that charges a tick; nearly what the exact optimum earns."""
    market = build(COSTLY)
    earned = {
        name: evaluate_one(market, in_lab(find_policy(name).policy, told), paths=400, seed=0, scenario="x")[
            "pnl"
        ]
        for name, told in (("glft", COSTLY), ("oracle", COSTLY))
    }
    blind = evaluate_one(market, in_lab(find_policy("glft").policy, FREE), paths=400, seed=0, scenario="x")[
        "pnl"
    ]
    gain = earned["glft"] - blind
    assert np.mean(gain) > 5.0 * np.std(gain, ddof=1) / 20.0
    assert np.mean(earned["glft"]) > 0.95 * np.mean(earned["oracle"])


def test_the_shipped_policy_quotes_further_out_by_the_fee_in_every_executor():
    policy = find_policy("flowhft[noise_scale=0]").policy
    plain = policy.in_market(FREE)
    assert plain.adapter in (None, IDENTITY)  # without fee it is what it was
    for scenario, cost in ((COSTLY, 1.0), (REBATE, -0.5)):
        moved = policy.in_market(scenario)
        assert moved.adapter == IDENTITY._replace(offset_bid=cost, offset_ask=cost)
        quotes = []
        for told in (plain, moved):
            reference = Reference(told)
            quotes.append(np.array(reference.act(reference.init(), see(2.0))[0][:2]))
        assert quotes[1] - quotes[0] == pytest.approx([cost, cost], abs=1e-9)
    agreed = check_policy("flowhft[noise_scale=0]", COSTLY, steps=40)  # lab and desk quote what it quotes
    assert "the same quotes in" in " ".join(agreed)


def test_a_map_that_was_fitted_to_a_market_is_not_moved_again():
    """It was fitted behind a policy that knew no fee, where the fee was charged: the fee is in it."""
    policy = find_policy("flowhft").policy
    fitted = IDENTITY._replace(offset_bid=0.7)
    assert dataclasses.replace(policy, adapter=fitted).in_market(COSTLY).adapter == fitted
    settled = policy.in_market(FREE)
    assert settled.in_market(COSTLY).adapter == settled.adapter  # told its market before
    assert dataclasses.replace(policy, regime=None).in_market(COSTLY).adapter == policy.adapter
