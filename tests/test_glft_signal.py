"""GLFT with a reverting signal against the exact stationary optimum of its problem, solved on a grid."""

import jax
import numba
import numpy as np
import pytest
from scipy.sparse import coo_array, csc_array, identity
from scipy.sparse.linalg import splu

import flowhft as public
from flowhft.desk.compiled import begin, freeze
from flowhft.desk.compiled import quote as quote_frozen
from flowhft.desk.replay.engine import book_for
from flowhft.features.book import NAMES
from flowhft.policies import rules
from flowhft.policies.policy import Policy
from flowhft.policies.rule import Rule, coefficients_in
from flowhft.policies.rules import glft, glft_signal
from flowhft.policies.rules.glft_signal import Signal
from flowhft.scenarios.order_flow import OrderFlow, foretold_drifts
from flowhft.scenarios.presets import find_scenarios
from flowhft.types import Estimates, Observation

# A market in which the signal matters: where it fades slowly, it is worth a sixth of all that is earned.
MARKET = Estimates(volatility=1.0, drift=0.0, intensity=2.0, fill_decay=0.5, horizon=1e6)
AVERSION = 0.01
DEVIATION = 0.35  # of alpha, ticks per second
LIMIT, NODES, WIDEST = 40, 61, 4.0  # lots; nodes of alpha within so many deviations
AT = Observation(0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


def quote_at(coefficients, inventory, signal):
    return glft_signal.quote(coefficients, AT._replace(inventory=inventory, book=[signal]), (0.0, 0.0))


class Problem:
    """Mean PnL a second less (gamma / 2) sigma^2 q^2: a chain over (inventory, alpha), solved exactly.

    alpha moves on a grid by a birth-death chain that has the drift and the variance of the Ornstein-Uhlenbeck
    process, so that nothing but the grid of alpha is an approximation, the same for every quoter.
    """

    def __init__(self, reversion: float, grid: int = NODES):
        self.alpha = np.linspace(-WIDEST, WIDEST, grid) * DEVIATION
        step = self.alpha[1] - self.alpha[0]
        diffusion = reversion * DEVIATION**2 / step**2  # half of 2 kappa s^2 / step^2
        pull = 0.5 * reversion * self.alpha / step
        up, down = np.maximum(diffusion - pull, 0.0), np.maximum(diffusion + pull, 0.0)
        up[-1], down[0] = 0.0, 0.0
        self.up, self.down = up, down
        self.q = np.arange(-LIMIT, LIMIT + 1)
        self.shape = (len(self.q), grid)
        self.gain = (
            self.q[:, None] * self.alpha - 0.5 * AVERSION * MARKET.volatility**2 * self.q[:, None] ** 2.0
        )

    def solve(self, bid: np.ndarray, ask: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the mean gain a second of half-spreads by (inventory, alpha), and the relative values."""
        rate_bid = MARKET.intensity * np.exp(-MARKET.fill_decay * bid)
        rate_ask = MARKET.intensity * np.exp(-MARKET.fill_decay * ask)
        rate_bid[-1], rate_ask[0] = 0.0, 0.0
        gain = self.gain + rate_bid * bid + rate_ask * ask
        number = np.arange(gain.size).reshape(self.shape)
        moves = [
            (number[:-1], number[1:], rate_bid[:-1]),
            (number[1:], number[:-1], rate_ask[1:]),
            (number[:, :-1], number[:, 1:], np.broadcast_to(self.up[:-1], number[:, :-1].shape)),
            (number[:, 1:], number[:, :-1], np.broadcast_to(self.down[1:], number[:, 1:].shape)),
        ]
        rows, columns, rates = (np.concatenate([np.ravel(move[i]) for move in moves]) for i in range(3))
        jumps = csc_array(coo_array((rates, (rows, columns)), shape=(gain.size, gain.size)))
        generator = csc_array(jumps - identity(gain.size, format="csc").multiply(jumps.sum(axis=1)[:, None]))
        # gain + Q v = rho, v = 0 at the middle: rho takes the place of that unknown.
        middle = int(number[LIMIT, self.shape[1] // 2])
        system = generator.tolil()
        system[:, [middle]] = -1.0
        solution = splu(csc_array(system)).solve(-gain.ravel())
        rho, solution[middle] = solution[middle], 0.0
        return float(rho), solution.reshape(self.shape)

    def optimum(self) -> float:
        """Return the largest mean gain a second there is, by policy iteration."""
        bid = ask = np.full(self.shape, 1.0 / MARKET.fill_decay)
        best = -np.inf
        while True:
            rho, value = self.solve(bid, ask)
            if rho < best + 1e-9:
                return rho
            best = rho
            # A fill earns delta and changes the value; delta exp(-k delta) is best 1 / k above the loss.
            bid, ask = (np.full(self.shape, 1.0 / MARKET.fill_decay) for _ in range(2))
            bid[:-1] -= value[1:] - value[:-1]
            ask[1:] -= value[:-1] - value[1:]

    def earned(self, coefficients: glft_signal.Coefficients) -> float:
        """Return the mean gain a second of the closed form."""
        quote = quote_at(coefficients, self.q[:, None], self.alpha)
        bid, ask = (np.array(np.broadcast_to(side, self.shape)) for side in quote[:2])
        return self.solve(bid, ask)[0]


def told(*signals: Signal) -> glft_signal.Coefficients:
    return glft_signal.coefficients(MARKET, AVERSION, signals)


@pytest.fixture(scope="module", params=[0.2, 0.5, 2.0], ids=lambda reversion: f"reversion {reversion}")
def solved(request):
    problem = Problem(request.param)
    return request.param, problem, problem.optimum()


def test_it_earns_the_exact_optimum_within_a_thousandth(solved):
    reversion, problem, best = solved
    assert best * 0.999 < problem.earned(told(Signal(1.0, reversion))) <= best * (1.0 + 1e-9)


def test_the_optimum_would_tell_a_wrong_formula(solved):
    """Negative tests: blind, the other sign, a signal that is taken to stay, half or twice the lean."""
    reversion, problem, best = solved
    right = told(Signal(1.0, reversion))
    lost = best - problem.earned(right)
    stays = told(Signal(1.0, 0.0))
    for wrong in (right._replace(lean=0.0), right._replace(lean=-right.lean), stays):
        assert problem.earned(wrong) < best * 0.999, wrong
    for factor in (0.5, 2.0):
        assert best - problem.earned(right._replace(lean=factor * right.lean)) > 10.0 * lost, factor


def test_the_grid_of_the_signal_is_fine_enough():
    coarse, fine = Problem(0.5, 31).optimum(), Problem(0.5).optimum()
    assert coarse == pytest.approx(fine, rel=2e-3)


def test_without_a_signal_it_is_glft_and_one_that_stays_is_glft_with_drift():
    seen = Observation(0.0, 1.0, 0.0, 3.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    for fill_cost in (0.0, 0.4):
        market = MARKET._replace(fill_cost=fill_cost)
        plain = glft.quote(glft.coefficients(market, AVERSION), seen, (0.0, 0.0))
        blind = quote_at(glft_signal.coefficients(market, AVERSION, ()), 3.0, 7.0)
        np.testing.assert_allclose(blind, plain)
        drifting = market._replace(drift=0.02)
        small = 1e-6  # the leans agree in the limit of small gamma, where both are mu / (2 D P)
        expected = glft.coefficients_with_drift(drifting, small)
        lean = glft_signal.coefficients(market, small, (Signal(0.02, 0.0),)).lean
        assert lean == pytest.approx(expected.lean * expected.slope, rel=1e-4)


FLOW = OrderFlow(
    fast_share=0.3,
    slow_share=0.2,
    fast_time=0.2,
    slow_time=4.0,
    fast_drift=0.5,
    slow_drift=0.2,
    order_slope=0.4,
    order_response=0.05,
    reach_response=0.3,
    imbalance_deviation=0.6,
)


def test_the_row_is_told_what_the_imbalance_foretells_and_sees_it():
    market = find_scenarios("order-flow")[0].but(order_flow=FLOW)
    (fast, kappa), (slow, other) = market.estimates().signals
    assert (kappa, other) == (5.0, 0.25)
    by_orders = foretold_drifts(market)[0] - FLOW.fast_drift
    assert by_orders > 0.0
    assert fast == pytest.approx(0.3 * (0.5 + by_orders) / 0.6)
    assert slow == pytest.approx(0.2 * (0.2 + by_orders) / 0.6)
    rule = rules.get("glft_signal")
    own = coefficients_in(rule, market)
    seen = Observation(0.0, 1.0, 0.0, 3.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    plain = glft.quote(coefficients_in(rules.get("glft"), market), seen, (0.0, 0.0))
    np.testing.assert_allclose(rule.quote(own, seen, (0.0, 0.0)), plain)  # no book: as glft
    book = np.full(len(NAMES), np.nan)
    assert np.isnan(rule.quote(own, seen._replace(book=book), (0.0, 0.0)).half_spread_bid)
    book[NAMES.index("touch_imbalance")] = 0.5
    leaned = rule.quote(own, seen._replace(book=book), (0.0, 0.0))
    assert leaned.half_spread_bid == pytest.approx(plain.half_spread_bid - 0.5 * own.lean)
    frozen = freeze(Policy(Rule(rule)), market)
    compiled = quote_frozen(frozen, begin(frozen, 0), seen._replace(book=book))
    np.testing.assert_allclose(compiled, leaned)
    assert book_for([frozen]) == "shown"


def test_where_order_flow_moves_the_price_the_row_earns_more_than_the_blind_one():
    result = public.evaluate("glft,glft_signal", "order-flow.tight", paths=300, seed=3, reference="glft")
    row = result.differences.filter(policy="glft_signal").row(0, named=True)
    assert row["pnl_low"] > 0.0


def test_signals_add_and_a_faster_one_counts_less():
    slow, fast = Signal(1.0, 0.1), Signal(1.0, 5.0)
    assert told(slow, fast).lean == pytest.approx(told(slow).lean + told(fast).lean)
    assert 0.0 < told(fast).lean < told(slow).lean


def test_a_rising_price_moves_both_quotes_up_in_every_library():
    coefficients = told(Signal(1.0, 0.5))
    flat, rising = (quote_at(coefficients, 0.0, signal) for signal in (0.0, 1.0))
    assert rising.half_spread_bid < flat.half_spread_bid == flat.half_spread_ask < rising.half_spread_ask
    numbers = glft_signal.Coefficients(*map(float, coefficients))
    seen, quote = AT._replace(book=np.array([1.0])), glft_signal.quote
    np.testing.assert_allclose(numba.njit(quote)(numbers, seen, (0.0, 0.0)), rising)
    np.testing.assert_allclose(jax.jit(quote)(numbers, seen, (0.0, 0.0)), rising, rtol=1e-6)
