"""What an agent sees: the state of the FlowHFT paper in units of its own, and the regime behind it."""

from typing import NamedTuple

import numpy as np

from flowhft.types import Numeric, Observation

STATE = ("time", "cash", "inventory", "mid_price", "previous_spread")


class Units(NamedTuple):
    """The units in which an agent sees and quotes, and the numbers of the regime, if it is given any.

    Attributes:
        half_spread: unit of half-spreads, ticks.
        time: unit of time, seconds.
        price: unit of the mid price's way since the session began, ticks.
        cash: unit of cash, tick x lot.
        regime: numbers behind the state, shape (regime,); empty for an agent that is given none.
    """

    half_spread: Numeric
    time: Numeric
    price: Numeric
    cash: Numeric
    regime: Numeric


# Everything stays in ticks, seconds and lots.
IN_TICKS = Units(1.0, 1.0, 1.0, 1.0, np.zeros(0, np.float32))


class LastSpread(NamedTuple):
    """All that these features remember: the spread that was quoted last, ticks, full width."""

    previous_spread: Numeric


def state_features(units: Units, memory: LastSpread, observation: Observation) -> tuple[Numeric, ...]:
    """Return the numbers named in `STATE`, in an agent's units; those of the regime come behind them.

    Args:
        units: of the agent.
        memory: anything that remembers a `previous_spread`.
        observation: of one path.
    """
    return (
        observation.time / units.time,
        observation.cash / units.cash,
        observation.inventory,
        observation.mid_price / units.price,
        memory.previous_spread / units.half_spread,
    )
