"""The exact quotes of a market in steps: dynamic programming over steps left and inventory.

In a step of dt each side is filled by at most one order, with probability 1 - exp(-A exp(-k delta) dt), the
two sides independently, and inventory after the fills bears the step's drift and penalty. With U_q = mu dt q
- phi dt q^2 + V_q(next), a bid that is filled with probability p brings

    p (delta - cost + gain)     gain = (1 - p_ask)(U_{q+1} - U_q) + p_ask (U_q - U_{q-1})

and is best where, with x = A exp(-k delta) dt and r = cost - gain, ln(A dt) - k r = ln x + (exp(x) - 1) / x.
As dt goes to 0 this is delta = 1/k + r, the continuous optimum (`linear_equation`). What differs at
finite dt: a second order in the same step is lost, which makes distance worth more; both sides may be filled
at once, which makes a round trip of them; and where orders are counted one by one no quote trades more
often than all of them.

Both sides' fills are complements (the cross term p_bid p_ask (2 U_q - U_{q+1} - U_{q-1}) is positive): best
responses rise with each other, so that iterating them from nothing and from everything ends in the smallest
and in the largest of the points at which neither side can improve. The better one is taken.

Inventory is counted in orders. One of z lots earns z times as much, and n of them, z n lots, cost
phi z^2 n^2 a second: in units of z ticks that is the problem of single lots with the penalty phi z, whose
value is z times as large.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from flowhft.policies.rules.linear_equation import CLOSED
from flowhft.types import Estimates, Numeric

_SETTLED = 1e-9  # in units of 1 / k: a step that adds the same to every value is followed by equal ones
_RESPONSES = 200  # at most; a handful is needed
# z = y + (exp(e^y) - 1) / e^y, tabulated to be inverted.
_Y = np.linspace(-45.0, 4.0, 20_001)
_Z = _Y + np.expm1(np.exp(_Y)) / np.exp(_Y)


class Optimum(NamedTuple):
    """The best that can be done, by steps left and inventory -Q..Q.

    Attributes:
        values: objective still to come, tick x lot, shape (step + 1, inventory), inventories in orders.
        half_spreads: ticks, shape (step + 1, inventory, side); with no step left as with one.
    """

    values: Float[np.ndarray, "step inventory"]
    half_spreads: Float[np.ndarray, "step inventory side"]


def solve(estimates: Estimates, penalty: Numeric, limit: int, terminal_penalty: Numeric = 0.0) -> Optimum:
    """Maximise E[W_T - l q_T^2 - phi sum of q^2 dt] in a market of steps.

    Args:
        estimates: of the market, `dt` positive.
        penalty: phi, tick / (second x lot).
        limit: Q, orders of `estimates.order_size` lots: no side trades beyond.
        terminal_penalty: l, tick / lot.

    Returns:
        The optimum, exact for fills that are independent of each other and of the price, at a constant
        intensity.
    """
    steps = round(float(estimates.horizon / estimates.dt))
    q, size = np.arange(-limit, limit + 1.0), estimates.order_size
    carried = estimates.dt * (estimates.drift * q - size * penalty * q**2)
    value = -size * terminal_penalty * q**2
    values, quotes = [value], [np.zeros((len(q), 2))]
    for _ in range(steps):
        before, (value, quote) = value, _step(estimates, carried + value)
        values.append(value)
        quotes.append(quote)
        if np.ptp(value - before) * estimates.fill_decay < _SETTLED:
            break
    missing = steps + 1 - len(values)
    growth = np.arange(1, missing + 1)[:, None] * (value - before)
    quotes[0] = quotes[1]
    return Optimum(
        size * np.concatenate([np.array(values), value + growth]),
        np.concatenate([np.array(quotes), np.broadcast_to(quote, (missing, *quote.shape))]),
    )


def _step(
    estimates: Estimates, later: Float[np.ndarray, " inventory"]
) -> tuple[Float[np.ndarray, " inventory"], Float[np.ndarray, "inventory side"]]:
    """Return value and quotes one step earlier, given what every inventory after the fills is worth."""
    up = np.diff(
        later, append=later[-1]
    )  # worth of one lot more; of none at the limit, where it is not asked
    down = np.diff(later[::-1], append=later[0])[::-1]
    may_buy, may_sell = np.ones((2, len(later)))
    may_buy[-1] = may_sell[0] = 0.0
    ask = np.stack([np.zeros_like(later), may_sell])  # chance of a fill: begin with none, and with certainty
    for _ in range(_RESPONSES):
        bid, half_spread_bid = _respond(estimates, (1.0 - ask) * up - ask * down)
        bid = bid * may_buy
        previous, (ask, half_spread_ask) = ask, _respond(estimates, (1.0 - bid) * down - bid * up)
        ask = ask * may_sell
        if np.max(np.abs(ask - previous)) < 1e-13:
            break
    cost = estimates.fill_cost
    worth = (
        later
        + bid * (half_spread_bid - cost + up)
        + ask * (half_spread_ask - cost + down)
        - bid * ask * (up + down)
    )
    better = np.argmax(worth, axis=0), np.arange(len(later))
    closed = CLOSED / estimates.fill_decay
    quote = np.stack(
        [
            np.where(may_buy > 0.0, half_spread_bid[better], closed),
            np.where(may_sell > 0.0, half_spread_ask[better], closed),
        ],
        axis=-1,
    )
    return worth[better], quote


def _respond(estimates: Estimates, gain: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the best chance of a fill and its half-spread where a fill is worth `gain` besides it."""
    k, orders = estimates.fill_decay, np.log(estimates.intensity * estimates.dt)
    y = np.interp(orders - k * (estimates.fill_cost - gain), _Z, _Y)
    exponent = np.exp(y)
    share = np.expm1(exponent) / exponent
    # Newton's step on z(y), whose slope is 1 + exp(x) - share with x = e^y.
    miss = orders - k * (estimates.fill_cost - gain) - y - share
    y = y + miss / (1.0 + np.exp(exponent) - share)
    with np.errstate(divide="ignore"):
        highest = np.log(estimates.highest_intensity * estimates.dt)
    y = np.clip(y, orders - CLOSED, highest)
    return -np.expm1(-np.exp(y)), (orders - y) / k
