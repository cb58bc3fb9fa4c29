"""Oracles: the exact optimum of a maker who knows the market, tabulated by time left and inventory.

They bound what a policy without more information can reach on their own objective, and none of them has a
formula: the optimum is worked out beforehand (`dynamic_program` in the market's own steps,
`linear_equation` in continuous time) and looked up. All but `coefficients_exponential` maximise

    E[W_T - phi integral of q^2 dt]        phi = gamma sigma^2 / 2

that is mean minus gamma / 2 times the variance that inventory brings, with sigma in ticks. They
quote `Estimates.order_size` lots on either side: inventory moves by whole orders, a column of the table each.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from flowhft.errors import require
from flowhft.policies.rules import dynamic_program, linear_equation
from flowhft.types import Estimates, Numeric, Observation, Quote

LIMIT = 30  # orders: inventories beyond quote as this one, which only sheds; a table must end somewhere
ROWS = 128  # at most; sessions of fewer steps have one row a step
_BEND = 0.5  # longer ones have rows evenly spaced in the root of the time left: most near the end


class Coefficients(NamedTuple):
    """A table of quotes and where to look in it.

    Attributes:
        horizon: seconds of the first row from the end.
        bend: rows are evenly spaced in (time left / horizon)^bend.
        rows: number of the row at `horizon`; row 0 is the end.
        limit: lots: the largest inventory of the table. Divided by the columns on either side of the middle
            one, it is the size of an order.
        table: half-spreads in ticks, shape (rows + 2, 2 orders + 1, 2): time left, inventory, side; the last
            row stands twice, so that between two rows there is always a next one.
    """

    horizon: Numeric
    bend: Numeric
    rows: Numeric
    limit: Numeric
    table: Float[np.ndarray, "time inventory side"]


def inventory_penalty(estimates: Estimates, risk_aversion: Numeric) -> Numeric:
    """Return phi = gamma sigma^2 / 2, tick / (second x lot): the price of a squared lot held for a second."""
    return 0.5 * risk_aversion * estimates.volatility**2


def coefficients(estimates: Estimates, risk_aversion: Numeric) -> Coefficients:
    """Return the optimum of mean less quadratic penalty in the market's own steps of `estimates.dt`.

    Where `dt` is 0 the market is taken for continuous, as by `coefficients_continuous`.

    Args:
        estimates: of the market; all fields are used.
        risk_aversion: gamma, 1 / (tick x lot), 0 or more.
    """
    if not estimates.dt:
        return coefficients_continuous(estimates, risk_aversion)
    best = dynamic_program.solve(estimates, inventory_penalty(estimates, risk_aversion), _limit(estimates))
    times, bend = _rows(estimates)
    position = np.minimum(times / estimates.dt, len(best.half_spreads) - 1)
    row = np.minimum(position.astype(int), len(best.half_spreads) - 2)
    ahead = (position - row)[:, None, None]
    return _tabulated(
        estimates,
        (1.0 - ahead) * best.half_spreads[row] + ahead * best.half_spreads[row + 1],
        bend,
    )


def coefficients_continuous(estimates: Estimates, risk_aversion: Numeric) -> Coefficients:
    """Return the optimum of mean less quadratic penalty in continuous time; else as `coefficients`."""
    phi = inventory_penalty(estimates, risk_aversion)
    return _from_equation(estimates, linear_equation.mean_quadratic(estimates, phi, _limit(estimates)))


def coefficients_exponential(estimates: Estimates, risk_aversion: Numeric) -> Coefficients:
    """Return the optimum of exponential utility in continuous time: exact GLFT quotes until the end."""
    equation = linear_equation.exponential_utility(estimates, risk_aversion, _limit(estimates))
    return _from_equation(estimates, equation)


def coefficients_stationary(estimates: Estimates, risk_aversion: Numeric) -> Coefficients:
    """Return the optimum of mean less quadratic penalty in continuous time, long before the end."""
    phi = inventory_penalty(estimates, risk_aversion)
    equation = linear_equation.mean_quadratic(estimates, phi, _limit(estimates))
    log_value, _ = linear_equation.stationary_log_values(equation)
    always = linear_equation.half_spreads(equation, np.stack([log_value, log_value]))
    return _tabulated(estimates, always, 1.0)


def quote(coefficients: Coefficients, observation: Observation, noise: tuple[Numeric, Numeric]) -> Quote:
    """Return the half-spreads of the table: interpolated in time, at the nearest whole number of orders.

    Args:
        coefficients: from one of the `coefficients` functions.
        observation: `time_left` in seconds and `inventory` in lots are used.
        noise: not used.
    """
    # |x| - |x - 1| + 1 over 2 holds x between 0 and 1: arithmetic that numpy, numba and jax all have.
    left = observation.time_left / coefficients.horizon
    share = 0.5 * (abs(left) - abs(left - 1.0) + 1.0)
    table, limit = coefficients.table, coefficients.limit
    orders = table.shape[1] // 2
    size = limit / orders
    held = 0.5 * (abs(observation.inventory + limit) - abs(observation.inventory - limit))
    position = coefficients.rows * share**coefficients.bend
    row, column = round(position - 0.5), round(held / size + orders)
    ahead = position - row
    return Quote(
        (1.0 - ahead) * table[row, column, 0] + ahead * table[row + 1, column, 0],
        (1.0 - ahead) * table[row, column, 1] + ahead * table[row + 1, column, 1],
        size,
        size,
    )


def unpack(numbers: Float[np.ndarray, " number"]) -> Coefficients:
    """Return the coefficients from all their numbers in one flat array, those of the table last."""
    rows = numbers[2]
    return Coefficients(numbers[0], numbers[1], rows, numbers[3], numbers[4:].reshape((int(rows) + 2, -1, 2)))


def check(coefficients: Coefficients) -> None:
    """Refuse a table that `quote` would read beyond its end.

    Raises:
        UsageError: a number or a shape that cannot be.
    """
    rows = float(coefficients.rows)
    require(rows >= 1.0 and rows.is_integer(), "rows", "be a whole number from 1 up", rows)
    for name in ("horizon", "bend", "limit"):
        value = float(getattr(coefficients, name))
        require(0.0 < value < np.inf, name, "be positive and finite", value)
    shape = np.shape(coefficients.table)
    columns = shape[1] if len(shape) == 3 else 0
    fits = columns >= 3 and columns % 2 == 1 and shape == (int(rows) + 2, columns, 2)
    require(fits, "table", f"have the shape ({int(rows) + 2}, an odd number from 3 up, 2)", shape)


def _limit(estimates: Estimates) -> int:
    """Return the most orders that may be held."""
    size, most = estimates.order_size, estimates.inventory_limit
    require(0.0 < size <= most, "order_size", f"lie between 0 and the inventory limit of {most:g} lots", size)
    return int(min(LIMIT, most / size))


def _rows(estimates: Estimates) -> tuple[Float[np.ndarray, " time"], float]:
    """Return the times left of a table's rows in seconds, from 0 up, and its bend."""
    steps = round(float(estimates.horizon / estimates.dt)) if estimates.dt else ROWS + 1
    if steps <= ROWS:
        return np.arange(steps + 1) * estimates.dt, 1.0
    return estimates.horizon * (np.arange(ROWS + 1) / ROWS) ** (1.0 / _BEND), _BEND


def _from_equation(estimates: Estimates, equation: linear_equation.Equation) -> Coefficients:
    times, bend = _rows(estimates)
    values = linear_equation.log_values(equation, times)
    return _tabulated(estimates, linear_equation.half_spreads(equation, values), bend)


def _tabulated(
    estimates: Estimates, half_spreads: Float[np.ndarray, "time inventory side"], bend: float
) -> Coefficients:
    return Coefficients(
        horizon=float(estimates.horizon),
        bend=bend,
        rows=float(len(half_spreads) - 1),
        limit=float(half_spreads.shape[1] // 2 * estimates.order_size),
        table=np.concatenate([half_spreads, half_spreads[-1:]]),
    )
