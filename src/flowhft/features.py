"""The one feature function: what a learned policy makes of its observations.

The simulator, the tick replay and a live session all call `sense` and then `features`, so that
nothing differs between training and use. Both are plain arithmetic on numbers: they run unchanged
under numpy, numba (`numba.njit(sense)`) and jax, and work on one path.

Two kinds of features exist. `paper` is the state of the FlowHFT paper (time, cash, inventory, price,
previous spread), which holds neither volatility nor arrival rate. `context` adds what a market maker
can *sense*: running estimates of volatility, arrival rates and trend, none of them told.
"""

import math
from typing import NamedTuple

from flowhft.types import Numeric, Observation, Quote

PAPER = 0
CONTEXT = 1
KINDS = {"paper": PAPER, "context": CONTEXT}

NAMES = {
    "paper": ("time_left", "cash", "inventory", "mid_price", "previous_spread"),
    "context": (
        "time_left",
        "inventory",
        "volatility",
        "rate_bid",
        "rate_ask",
        "excitation_bid",
        "excitation_ask",
        "last_move",
        "trend",
    ),
}


class Sensor(NamedTuple):
    """The scales against which a policy senses a market: fixed when it is trained, saved with it.

    Attributes:
        volatility: prior volatility, ticks per root second.
        rate: prior rate of market orders per side, 1 / second.
        horizon: length of a session, seconds.
        half_spread: a typical half-spread, ticks; the unit of the previous spread.
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


class Memory(NamedTuple):
    """What a policy remembers between two decisions.

    Attributes:
        time: of the last decision, seconds; -1 before the first.
        mid_price: at the last decision, ticks.
        variance: running mean of squared moves per second, ticks^2 / second.
        rate_bid, rate_ask: running rates of market orders, 1 / second.
        burst_bid, burst_ask: the same over the shorter time `Sensor.burst`.
        last_move: move of the mid over the last step, ticks.
        trend: running mean of the moves per second, ticks / second.
        previous_spread: our full spread at the last decision, ticks.
    """

    time: Numeric
    mid_price: Numeric
    variance: Numeric
    rate_bid: Numeric
    rate_ask: Numeric
    burst_bid: Numeric
    burst_ask: Numeric
    last_move: Numeric
    trend: Numeric
    previous_spread: Numeric


def remember_nothing(sensor: Sensor) -> Memory:
    """Return the memory of a session that has just begun: every running mean at its prior."""
    return Memory(
        time=-1.0,
        mid_price=0.0,
        variance=sensor.volatility * sensor.volatility,
        rate_bid=sensor.rate,
        rate_ask=sensor.rate,
        burst_bid=sensor.rate,
        burst_ask=sensor.rate,
        last_move=0.0,
        trend=0.0,
        previous_spread=2.0 * sensor.half_spread,
    )


def sense(sensor: Sensor, memory: Memory, observation: Observation) -> Memory:
    """Fold one observation into the memory.

    Running means are exponential: m <- w m + (1 - w) x with w = exp(-dt / memory). On the first
    observation of a session dt is taken as 0, which leaves every mean at its prior.
    """
    first = 1.0 * (memory.time < 0.0)
    dt = (observation.time - memory.time) * (1.0 - first)
    move = (observation.mid_price - memory.mid_price) * (1.0 - first)
    keep = math.e ** (-dt / sensor.memory)
    keep_burst = math.e ** (-dt / sensor.burst)
    per_second = 1.0 / (dt + 1.0 * (dt <= 0.0))  # dt = 0 only where the weight 1 - keep is 0
    new_bid = observation.arrivals_bid * per_second
    new_ask = observation.arrivals_ask * per_second
    return Memory(
        time=observation.time,
        mid_price=observation.mid_price,
        variance=keep * memory.variance + (1.0 - keep) * move * move * per_second,
        rate_bid=keep * memory.rate_bid + (1.0 - keep) * new_bid,
        rate_ask=keep * memory.rate_ask + (1.0 - keep) * new_ask,
        burst_bid=keep_burst * memory.burst_bid + (1.0 - keep_burst) * new_bid,
        burst_ask=keep_burst * memory.burst_ask + (1.0 - keep_burst) * new_ask,
        last_move=move,
        trend=keep * memory.trend + (1.0 - keep) * move * per_second,
        previous_spread=memory.previous_spread,
    )


def note_quote(memory: Memory, quote: Quote) -> Memory:
    """Remember the spread that was quoted."""
    return Memory(
        memory.time,
        memory.mid_price,
        memory.variance,
        memory.rate_bid,
        memory.rate_ask,
        memory.burst_bid,
        memory.burst_ask,
        memory.last_move,
        memory.trend,
        quote.half_spread_bid + quote.half_spread_ask,
    )


def context_features(sensor: Sensor, memory: Memory, observation: Observation) -> tuple[Numeric, ...]:
    """Return the nine `context` features, each of order one, in the order of `NAMES["context"]`."""

    # A positive ratio to (-1, 1), 1 to 0; indifferent to outliers. Inside, since numba compiles it only here.
    def squash(ratio: Numeric) -> Numeric:
        return (ratio - 1.0) / (ratio + 1.0)

    return (
        observation.time_left / sensor.horizon,
        observation.inventory / sensor.inventory,
        squash((memory.variance + 1e-12) ** 0.5 / sensor.volatility),
        squash(memory.rate_bid / sensor.rate),
        squash(memory.rate_ask / sensor.rate),
        squash(memory.burst_bid / sensor.rate),
        squash(memory.burst_ask / sensor.rate),
        memory.last_move / (sensor.volatility * sensor.burst**0.5),
        memory.trend * (2.0 * sensor.memory) ** 0.5 / sensor.volatility,
    )


def paper_features(sensor: Sensor, memory: Memory, observation: Observation) -> tuple[Numeric, ...]:
    """Return the five `paper` features, scaled to order one, in the order of `NAMES["paper"]`."""
    swing = sensor.volatility * sensor.horizon**0.5
    return (
        observation.time_left / sensor.horizon,
        observation.cash / (sensor.inventory * swing),
        observation.inventory / sensor.inventory,
        observation.mid_price / swing,
        memory.previous_spread / (2.0 * sensor.half_spread),
    )


FUNCTIONS = {"paper": paper_features, "context": context_features}
