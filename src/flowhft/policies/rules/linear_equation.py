"""The exact quotes in continuous time: a linear equation for the value of every inventory.

A maker whose fills come at the rates A exp(-k delta) and whose inventory stays within -Q..Q has, up to a
monotone transform, the value v_q(tau) with tau the time left:

    dv_q / dtau = -(alpha q^2 - beta q) v_q + eta (v_{q-1} + v_{q+1})        v_q = 0 beyond Q
    bid half-spread = base + ln(v_q / v_{q+1}) / k        ask half-spread = base + ln(v_q / v_{q-1}) / k

alpha, beta, eta, base and v_q(0) say what the maker wants, see `exponential_utility` and `mean_quadratic`.

Inventory is counted in orders of z lots. One earns z times as much as a lot, and n of them cost z^2 n^2 phi,
or are feared like n lots by who has z times the risk aversion: in units of z ticks that is the problem of
single lots with phi z or gamma z in the place of phi or gamma.

v spans hundreds of orders of magnitude where inventory is dear, which eigenvectors of a linear algebra
library do not resolve. Two steps keep every component exact to rounding: the lowest eigenvector D by a
recursion of ratios that never subtracts, and then u = v / D, whose equation is that of a Markov chain and
has only positive terms (Doob's transform).

Source: O. Gueant, C.-A. Lehalle, J. Fernandez-Tapia, "Dealing with the inventory risk", Mathematics and
Financial Economics 7(4), 2013, theorem 1 and section 4; A. Cartea, S. Jaimungal, J. Penalva, "Algorithmic
and High-Frequency Trading", 2015, section 10.2, for the quadratic penalty.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from flowhft.types import Estimates, Numeric

# Half-spread, in units of 1 / k, of a side that must not trade: reached once in 10^13 orders.
CLOSED = 30.0


class Equation(NamedTuple):
    """A maker's problem as numbers.

    Attributes:
        alpha: 1 / (second x order^2): what inventory costs, times k.
        beta: 1 / (second x order): what the drift brings, times k.
        eta: 1 / second: what trading brings.
        base: ticks: half-spread of a maker to whom inventory is worth nothing.
        fill_decay: k, 1 / tick.
        log_terminal: ln v_q at the session's end, shape (inventory,), orders from -Q to Q.
    """

    alpha: Numeric
    beta: Numeric
    eta: Numeric
    base: Numeric
    fill_decay: Numeric
    log_terminal: Float[np.ndarray, " inventory"]


def exponential_utility(estimates: Estimates, risk_aversion: Numeric, limit: int) -> Equation:
    """Return the problem of a maker with constant absolute risk aversion: max E[-exp(-gamma W_T)].

    alpha = k gamma sigma^2 / 2, beta = k mu, eta = A (1 + gamma/k)^-(1 + k/gamma), base =
    ln(1 + gamma/k) / gamma, and inventory that is left at the end is worth its mid price.

    Args:
        estimates: of the market.
        risk_aversion: gamma, 1 / (tick x lot), positive.
        limit: Q, orders of `estimates.order_size` lots.
    """
    k, gamma = estimates.fill_decay, estimates.order_size * risk_aversion
    return Equation(
        alpha=0.5 * k * gamma * estimates.volatility**2,
        beta=k * estimates.drift,
        eta=estimates.intensity * np.exp(-(1.0 + k / gamma) * np.log1p(gamma / k) - k * estimates.fill_cost),
        base=np.log1p(gamma / k) / gamma + estimates.fill_cost,
        fill_decay=k,
        log_terminal=np.zeros(2 * limit + 1),
    )


def mean_quadratic(
    estimates: Estimates, penalty: Numeric, limit: int, terminal_penalty: Numeric = 0.0
) -> Equation:
    """Return the problem of a maker who maximises E[W_T - l q_T^2 - phi integral of q^2 dt].

    alpha = k phi, beta = k mu, eta = A / e, base = 1 / k, v_q(0) = exp(-k l q^2); ln(v) / k is then the
    objective itself, in ticks for each lot of an order: times the order size, tick x lot.

    Args:
        estimates: of the market.
        penalty: phi, tick / (second x lot).
        limit: Q, orders of `estimates.order_size` lots.
        terminal_penalty: l, tick / lot.
    """
    k, size = estimates.fill_decay, estimates.order_size
    q = np.arange(-limit, limit + 1.0)
    return Equation(
        alpha=k * penalty * size,
        beta=k * estimates.drift,
        eta=estimates.intensity * np.exp(-1.0 - k * estimates.fill_cost),
        base=1.0 / k + estimates.fill_cost,
        fill_decay=k,
        log_terminal=-k * terminal_penalty * size * q**2,
    )


def stationary_log_values(equation: Equation) -> tuple[Float[np.ndarray, " inventory"], float]:
    """Return the logarithm of the lowest eigenvector, and its eigenvalue in 1 / second.

    Long before the end, v_q(tau) is this vector times exp(-eigenvalue tau). Its ratios follow from both ends
    inwards, v_q / v_{q-1} = eta / (m_q - eigenvalue - eta v_{q+1} / v_q), which are positive throughout.

    Returns:
        ln D_q, largest 0, and the eigenvalue.
    """
    diagonal = _diagonal(equation)
    size = len(diagonal)
    matrix = np.diag(diagonal)
    beside = np.arange(size - 1)
    matrix[beside, beside + 1] = matrix[beside + 1, beside] = -equation.eta
    values, vectors = np.linalg.eigh(matrix)
    lowest, peak = values[0], int(np.argmax(np.abs(vectors[:, 0])))
    log = np.zeros(size)
    ratio, ratios = 0.0, np.zeros(size)
    for q in range(size - 1, peak, -1):  # ratios[q] = v_q / v_{q-1}
        ratio = ratios[q] = equation.eta / (diagonal[q] - lowest - equation.eta * ratio)
    log[peak + 1 :] = np.cumsum(np.log(ratios[peak + 1 :]))
    ratio = 0.0
    for q in range(peak):  # ratios[q] = v_q / v_{q+1}
        ratio = ratios[q] = equation.eta / (diagonal[q] - lowest - equation.eta * ratio)
    log[:peak] = np.cumsum(np.log(ratios[:peak])[::-1])[::-1]
    return log, float(lowest)


def log_values(equation: Equation, times: Float[np.ndarray, " time"]) -> Float[np.ndarray, "time inventory"]:
    """Return ln v_q at times left.

    Args:
        equation: the problem.
        times: seconds left, rising from 0 or more.
    """
    ground, lowest = stationary_log_values(equation)
    beside = np.arange(len(ground) - 1)
    chain = np.zeros((len(ground), len(ground)))  # rates of the Markov chain of u = v / D
    chain[beside, beside + 1] = equation.eta * np.exp(np.diff(ground))
    chain[beside + 1, beside] = equation.eta * np.exp(-np.diff(ground))
    log_u = equation.log_terminal - ground
    results, now, spans = [], 0.0, {}
    for time in times:
        span = float(time - now)
        if span > 0.0:
            key = round(span, 12)  # evenly spaced times differ by rounding
            if key not in spans:
                spans[key] = np.log(np.maximum(_transition(chain, span), np.finfo(float).tiny))
            terms = spans[key] + log_u
            top = terms.max(axis=1)
            log_u = top + np.log(np.sum(np.exp(terms - top[:, None]), axis=1))
        now = float(time)
        results.append(log_u + ground - lowest * now)
    return np.array(results)


def half_spreads(
    equation: Equation, log_value: Float[np.ndarray, "*time inventory"]
) -> Float[np.ndarray, "*time inventory side"]:
    """Return the quotes of values: ticks, bid and ask, at most `CLOSED` / k: what a forbidden side quotes."""
    k = equation.fill_decay
    closed = CLOSED / k
    quotes = np.full((*log_value.shape, 2), closed)
    step = np.diff(log_value, axis=-1) / k
    quotes[..., :-1, 0] = np.minimum(equation.base - step, closed)
    quotes[..., 1:, 1] = np.minimum(equation.base + step, closed)
    return quotes


def _diagonal(equation: Equation) -> Float[np.ndarray, " inventory"]:
    limit = len(equation.log_terminal) // 2
    q = np.arange(-limit, limit + 1.0)
    return equation.alpha * q**2 - equation.beta * q


def _transition(rates: Float[np.ndarray, "n n"], span: float) -> Float[np.ndarray, "n n"]:
    """Return the transition matrix of a Markov chain: all terms positive, so that small ones are exact too.

    The exponential's series over a span so short that no state is left more than half of the time, squared.
    """
    leaving = rates.sum(axis=1)
    doublings = max(0, int(np.ceil(np.log2(max(2.0 * leaving.max() * span, 1.0)))))
    short = span / 2.0**doublings
    most = leaving.max()
    jump = short * (rates + np.diag(most - leaving))  # uniformised: exp(jump - most short), jump >= 0
    total = term = np.eye(len(rates))
    for order in range(1, 20):
        term = term @ jump / order
        total = total + term
    total = total * np.exp(-most * short)
    for _ in range(doublings):
        total = total @ total
        total = total / total.sum(axis=1, keepdims=True)
    return total
