"""The scales against which a policy senses a market."""

from typing import NamedTuple


class Sensor(NamedTuple):
    """The scales against which a policy senses a market: units, not estimates; saved with the policy.

    Attributes:
        volatility: prior volatility, ticks per root second.
        rate: prior rate of market orders per side, 1 / second.
        horizon: length of a session, seconds.
        half_spread: a typical half-spread, ticks; the unit of forecasts and of the previous spread.
        inventory: a typical inventory, lots.
        memory: time over which volatility, rates and trend are averaged, seconds.
        burst: time over which a burst of arrivals is averaged, seconds; shorter than `memory`.
    """

    volatility: float
    rate: float
    horizon: float
    half_spread: float
    inventory: float
    memory: float
    burst: float


# What a sensor takes for usual before it has seen anything, whatever the market: a move of one unit of
# distance in a step, four market orders a side in ten of them, and five lots.
USUAL_MOVE = 1.0
USUAL_ORDERS = 0.4
USUAL_INVENTORY = 5.0


def sensor_in_units(half_spread: float, dt: float, horizon: float) -> Sensor:
    """Return the scales of a policy for a market of these units; they say nothing else about the market.

    Running means reach over a third of a session, bursts over a thirtieth (never less than a step).

    Args:
        half_spread: unit of distance, ticks: 1 / k.
        dt: time between two decisions, seconds.
        horizon: length of a session, seconds.
    """
    return Sensor(
        volatility=USUAL_MOVE * half_spread / dt**0.5,
        rate=USUAL_ORDERS / dt,
        horizon=horizon,
        half_spread=half_spread,
        inventory=USUAL_INVENTORY,
        memory=max(horizon / 3.0, dt),
        burst=max(horizon / 30.0, dt),
    )


# Of policies that sense against scales of another kind, as those do that see an order book.
NO_SENSOR = Sensor(*[1.0] * len(Sensor._fields))
