"""The gate: a side is quoted only where the orders that would have been sent did earn, whatever heads say.

The best of several prices by a noisy head promises more than it keeps (a winner's curse). So what counts is
what really became of the orders that heads chose which had not seen them: the mean edge of their fills, less
the fee, must exceed zero by one standard error over blocks of time.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from flowhft.learn.recordings.examples import Examples

ERRORS = 1.0  # standard errors by which the mean edge must exceed zero


class Gate(NamedTuple):
    """What became of the orders of a side.

    Attributes:
        fills: of orders that were chosen.
        promised: mean edge of them by the heads that chose, as the examples count edges, less the fee.
        edge: mean edge that they had, likewise; NaN without fills.
        error: its standard error over blocks.
        quoted: whether the side is quoted.
    """

    fills: int
    promised: float
    edge: float
    error: float
    quoted: bool


def gate_of(
    examples: Examples,
    chance: Float[np.ndarray, "step side offset"],
    gain: Float[np.ndarray, "step side offset"],
    value: Float[np.ndarray, " position"],
    block_seconds: float,
    cost: float = 0.0,
) -> tuple[Gate, Gate]:
    """Return what became of the orders that a maker without a position would have sent, bids and asks.

    Args:
        examples: that the heads behind `chance` and `gain` had not seen.
        chance: of a fill before the next decision.
        gain: edge that is expected of a fill, units.
        value: of positions, units, see `flowhft.policies.inventory_value`.
        block_seconds: length of the blocks.
        cost: of a fill, ticks.
    """
    unit, flat = examples.scales.unit, len(value) // 2
    blocks = (examples.time_ns - examples.time_ns[0]) // round(block_seconds * 1e9)
    gates = []
    for side, step in enumerate((1, -1)):
        score = chance[:, side] * (gain[:, side] - cost / unit + value[flat + step] - value[flat])
        best = np.argmax(score, axis=1)
        rows = np.arange(len(best))
        sent = (score[rows, best] > 0.0) & examples.filled[rows, side, best]
        edge = examples.edge[rows, side, best]
        sent &= np.isfinite(edge)
        count = int(sent.sum())
        if count == 0:
            gates.append(Gate(0, np.nan, np.nan, np.nan, False))
            continue
        earned = edge[sent] - cost
        mean = float(earned.mean())
        sums = np.bincount(blocks[sent].astype(np.int64), earned - mean, int(blocks[-1]) + 1)
        among = len(sums)
        error = float(np.sqrt(among / max(among - 1, 1) * np.sum(sums**2)) / count)
        promised = float((gain[rows, side, best][sent] * unit).mean()) - cost
        quoted = len(np.unique(blocks[sent])) > 1 and mean > ERRORS * error
        gates.append(Gate(count, promised, mean, error, quoted))
    return gates[0], gates[1]
