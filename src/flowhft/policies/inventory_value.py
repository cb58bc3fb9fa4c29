"""What a position is worth to a maker who will go on quoting: value iteration over inventory.

A maker holds q orders, -Q..Q. At each decision it may have one order a side at one of several prices: order k
of a side fills before the next decision with probability P_k and then earns an edge e_k, the move of the mid
until it is judged less what was paid. What it meets is drawn from a sample x of decisions:

    V(q) + rho = E_x sum over sides max(0, max_k P_k (e_k - cost + V(q +- 1) - V(q))) + V(q) - risk q^2

the equation of average reward of a birth-death chain whose steps the maker chooses. It is solved by policy
iteration: for given choices V is the solution of a linear system of 2 Q + 1 equations, for given V the
choices are those that are best, and both are done in turn until nothing changes.

Source: Howard, Dynamic Programming and Markov Processes (1960), ch. 4; the running penalty is that of Gueant,
Lehalle, Fernandez-Tapia (2013), gamma sigma^2 q^2 / 2. Deviation: x is drawn anew at every decision, so that
how long a state of the book lasts is left out.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from flowhft.errors import FlowhftError, require

# Probability with which a position that no order ever closes is closed all the same: it makes the equations
# have one solution, and is far below what any head can tell from none.
LEAST = 1e-9
MOST_ROUNDS = 200


class InventoryValue(NamedTuple):
    """The solution.

    Attributes:
        value: of holding -Q..Q orders, relative to none, in the unit of the edges, shape (2 Q + 1,).
        rate: what a decision earns on average, rho, likewise.
    """

    value: Float[np.ndarray, " position"]
    rate: float


def inventory_value(
    chance: Float[np.ndarray, "sample side offset"],
    edge: Float[np.ndarray, "sample side offset"],
    limit: int,
    risk: float,
    cost: float = 0.0,
    quoted: tuple[bool, bool] = (True, True),
) -> InventoryValue:
    """Return what positions are worth.

    Args:
        chance: probability that an order fills before the next decision, in [0, 1]; 0 where none can be. Bids
            first.
        edge: that is expected of its fill, in any unit.
        limit: Q, orders, 1 or more.
        risk: of holding one order for one decision, gamma sigma^2 dt / 2, in the unit of the edges.
        cost: of a fill, likewise.
        quoted: whether bids and asks may be quoted while that takes no position back; an order that does may
            always be.

    Returns:
        The values and the rate.

    Source: see the head of this file.
    """
    require(limit >= 1, "limit", "be at least 1 order", limit)
    require(risk >= 0.0, "risk", "be 0 or more", risk)
    require(len(chance) > 0, "chance", "hold at least one decision", "none")
    positions = np.arange(-limit, limit + 1)
    value: np.ndarray = np.zeros(len(positions))
    rate = np.inf
    for _ in range(MOST_ROUNDS):
        equations, earned = _chosen(chance, edge - cost, value, positions, quoted)
        equations[:, limit] = 1.0  # V(0) = 0, and rho stands in its place
        solved = np.linalg.solve(equations, earned - risk * positions.astype(np.float64) ** 2)
        before, rate = rate, float(solved[limit])
        value = np.where(positions == 0, 0.0, solved)
        if np.isfinite(before) and abs(rate - before) <= 1e-12 * max(1.0, abs(rate)):
            return InventoryValue(value, rate)
    raise FlowhftError("the values of positions must settle; they did not. Report it with the heads' sample.")


def _chosen(
    chance: Float[np.ndarray, "sample side offset"],
    gain: Float[np.ndarray, "sample side offset"],
    value: Float[np.ndarray, " position"],
    positions: np.ndarray,
    quoted: tuple[bool, bool],
) -> tuple[Float[np.ndarray, "position position"], Float[np.ndarray, " position"]]:
    """Return the equations of the best choices for these values: exits of a position, and what it earns."""
    count = len(positions)
    equations, earned = np.zeros((count, count)), np.zeros(count)
    for row, position in enumerate(positions):
        for side, step in enumerate((1, -1)):
            to = row + step
            if not 0 <= to < count:
                continue
            closes = position * step < 0
            moved = float(LEAST) if closes else 0.0
            if closes or quoted[side]:
                score = chance[:, side] * (gain[:, side] + (value[to] - value[row]))
                best = np.argmax(score, axis=1)[:, None]
                taken = np.take_along_axis(score, best, 1)[:, 0] > 0.0
                moves = np.take_along_axis(chance[:, side], best, 1)[:, 0] * taken
                moved += float(moves.mean())
                earned[row] += float((moves * np.take_along_axis(gain[:, side], best, 1)[:, 0]).mean())
            equations[row, row] += moved
            equations[row, to] -= moved
    return equations, earned
