"""From what became of orders to a maker: heads, values of positions, the gate."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from flowhft.features.scales import Scales
from flowhft.learn.recordings.examples import Examples
from flowhft.learn.recordings.gate import Gate, gate_of
from flowhft.learn.recordings.heads import Fitted, fit_heads
from flowhft.policies.book import BookMaker
from flowhft.policies.inventory_value import InventoryValue, inventory_value


class Aims(NamedTuple):
    """What a maker is made for.

    Attributes:
        offsets: ticks by which its orders may better the best price of their side, the labels' own.
        interval: between two decisions, seconds.
        lifetime: after which an order of the labels was withdrawn, seconds.
        risk_aversion: gamma u, in units of the deviation u of a second's move: holding q orders costs
            gamma u^2 q^2 / 2 a second.
        limit: most that it holds, orders.
        block_seconds: of time that counts as one independent part, for the errors of the gate.
    """

    offsets: tuple[int, ...]
    interval: float
    lifetime: float
    risk_aversion: float = 0.002
    limit: int = 3
    block_seconds: float = 300.0

    @property
    def share(self) -> float:
        """Return the share of the labels' fills that falls into one decision's time."""
        return min(1.0, self.interval / self.lifetime)


class Learned(NamedTuple):
    """A maker, and how it came about.

    Attributes:
        maker: it.
        value: of positions, units, without the gate.
        gates: of bids and asks, in units.
        strengths: of the ridges of the heads of fill and edge.
    """

    maker: BookMaker
    value: InventoryValue
    gates: tuple[Gate, Gate]
    strengths: tuple[float, float]


def maker_of(
    fitted: Fitted,
    examples: Sequence[Examples],
    like: Sequence[int],
    scales: Scales,
    aims: Aims,
    cost: float = 0.0,
    gated: bool = True,
) -> Learned:
    """Make a maker for a market of heads that were fitted on recordings.

    Args:
        fitted: the heads.
        examples: that they were fitted on.
        like: which of them are like the market: positions are valued in their books, and the gate is theirs.
        scales: of the market.
        aims: see `Aims`.
        cost: of a fill there, ticks.
        gated: whether a side that did not earn is not quoted.

    Returns:
        The maker, and how it came about.
    """
    chance = np.concatenate([fitted.chance[i] for i in like]) * aims.share
    gain = np.concatenate([fitted.gain[i] for i in like])
    risk = 0.5 * aims.risk_aversion * aims.interval
    fee = cost / scales.unit
    value = inventory_value(chance, gain, aims.limit, risk, fee)
    gates = _gates(fitted, examples, like, value, aims, fee)
    quoted = (True, True) if not gated else (gates[0].quoted, gates[1].quoted)
    used = value if quoted == (True, True) else inventory_value(chance, gain, aims.limit, risk, fee, quoted)
    arrays = {
        "offsets": np.asarray(aims.offsets, np.float64),
        "centre": scales.centre,
        "scale": scales.scale,
        "fill": fitted.heads.fill,
        "edge": fitted.heads.edge,
        "value": used.value,
        "quoted": np.asarray(quoted, np.float64),
    }
    return Learned(BookMaker(arrays, scales.unit, cost), value, gates, fitted.strengths)


def _gates(
    fitted: Fitted,
    examples: Sequence[Examples],
    like: Sequence[int],
    value: InventoryValue,
    aims: Aims,
    fee: float,
) -> tuple[Gate, Gate]:
    """Return the gates of both sides, in units of each recording's moves."""
    together, origin = [], 0
    for i in like:
        one = examples[i]
        start = origin - int(one.time_ns[0])
        together.append(
            one._replace(
                time_ns=one.time_ns + start,
                edge=one.edge / one.scales.unit,
                scales=one.scales._replace(unit=1.0),
            )
        )
        block = round(aims.block_seconds * 1e9)
        origin = (int(together[-1].time_ns[-1]) // block + 1) * block
    pooled = together[0]._replace(
        **{
            name: np.concatenate([getattr(one, name) for one in together])
            for name in ("time_ns", "mid_price", "signals", "placed", "filled", "edge")
        }
    )
    chance = np.concatenate([fitted.chance[i] for i in like])
    gain = np.concatenate([fitted.gain[i] for i in like])
    return gate_of(pooled, chance, gain, value.value, aims.block_seconds, fee)


def learn(
    examples: Sequence[Examples], like: Sequence[int], scales: Scales, aims: Aims, cost: float = 0.0
) -> Learned:
    """Fit heads on recordings, and make a maker for a market of them; arguments as those of `maker_of`."""
    return maker_of(fit_heads(examples), examples, like, scales, aims, cost)
