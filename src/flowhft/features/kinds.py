"""The kinds of features: what a policy sees of its memory and of an observation, in numbers of order one."""

from collections.abc import Callable
from typing import Any

from flowhft.features.book_side import CHOICES, SIDE
from flowhft.features.fractional import HURST, WEIGHTS
from flowhft.features.memory import LAST, REACHING, Memory
from flowhft.features.sensor import Sensor
from flowhft.features.state import STATE, state_features
from flowhft.types import Numeric, Observation

PAPER = 0
CONTEXT = 1
BOOK = 2  # what each side sees for itself: no function of an observation as a whole
KINDS = {"paper": PAPER, "context": CONTEXT}

_STEP = ("move", "filled_bid", "filled_ask", "arrivals_bid", "arrivals_ask")
# The numbers of a market's regime, which nobody can see: a policy of kind `told` is told them.
REGIME = (
    "volatility",
    "demand",
    "demand_in_step",
    "drift",
    "hurst_exponent",
    "branching_ratio",
    "jump_intensity",
    "adverse_selection",
)
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
        "fill_rate_bid",
        "fill_rate_ask",
        "trend",
        "toxicity",
        "persistence",
        "forecast_1",
        "forecast_5",
        "forecast_20",
        *(f"{name}_{ago}" for ago in range(1, LAST + 1) for name in _STEP),
    ),
}
NAMES["told"] = (*NAMES["context"], *(f"told_{name}" for name in REGIME))
NAMES |= {"state": STATE, "regime": STATE + REGIME}  # of agents
NAMES["book"] = SIDE
# What one step of a chunk holds, by the kind of features: half-spreads, where nothing else is said.
HALF_SPREADS = ("bid", "ask")
ANSWERS = {"book": CHOICES}
_ONE, _FIVE, _TWENTY = WEIGHTS


def context_features(sensor: Sensor, memory: Memory, observation: Observation) -> tuple[Numeric, ...]:
    """Return the `context` features, each of order one, in the order of `NAMES["context"]`.

    - time_left as a share of the session; inventory in typical lots.
    - volatility, rates, bursts (`excitation`) and own fill rates as ratios to the sensor's, squashed to
      (-1, 1).
    - trend in its own standard deviations; toxicity: the move in standard deviations with which an order of
      its own direction comes, on average.
    - persistence: the mean Hurst exponent less 1/2; forecasts of the move over the next 1, 5 and 20 steps
      under the beliefs about it, in typical half-spreads, softly cut at 3.
    - the last steps, latest first: moves in typical half-spreads, softly cut at 3; fills and orders as
      n / (1 + n).
    """

    # Inside, since numba compiles them only here. A positive ratio to (-1, 1), 1 to 0; outliers hardly count.
    def squash(ratio: Numeric) -> Numeric:
        return (ratio - 1.0) / (ratio + 1.0)

    def soft(move: Numeric) -> Numeric:
        distance = move / sensor.half_spread
        return distance / (1.0 + distance * distance / 9.0) ** 0.5

    def share(count: Numeric) -> Numeric:
        return count / (1.0 + count)

    m, b = memory.means, memory.beliefs

    def under(w: tuple[Numeric, ...], belief: Numeric) -> Numeric:
        return belief * (w[0] * m[0] + w[1] * m[1] + w[2] * m[2] + w[3] * m[3] + w[4] * m[4])

    def forecast(w: tuple[tuple[Numeric, ...], ...]) -> Numeric:
        reverting = under(w[0], b[0]) + under(w[1], b[1]) + under(w[2], b[2]) + under(w[3], b[3])
        return reverting + under(w[4], b[4]) + under(w[5], b[5]) + under(w[6], b[6])

    hurst = (
        HURST[0] * b[0] + HURST[1] * b[1] + HURST[2] * b[2] + HURST[3] * b[3] + HURST[4] * b[4]
        + HURST[5] * b[5] + HURST[6] * b[6]
    )  # fmt: skip
    deviation = (memory.variance + 1e-30) ** 0.5
    last = memory.last
    return (
        observation.time_left / sensor.horizon,
        observation.inventory / sensor.inventory,
        squash(deviation / sensor.volatility),
        squash(memory.rate_bid / sensor.rate),
        squash(memory.rate_ask / sensor.rate),
        squash(memory.burst_bid / sensor.rate),
        squash(memory.burst_ask / sensor.rate),
        squash(memory.fill_rate_bid / (REACHING * sensor.rate)),
        squash(memory.fill_rate_ask / (REACHING * sensor.rate)),
        memory.trend * (2.0 * sensor.memory) ** 0.5 / deviation,
        memory.flow / (memory.rate_bid + memory.rate_ask + 1e-30),
        hurst - 0.5,
        soft(forecast(_ONE)),
        soft(forecast(_FIVE)),
        soft(forecast(_TWENTY)),
        soft(last[0].move),
        share(last[0].filled_bid),
        share(last[0].filled_ask),
        share(last[0].arrivals_bid),
        share(last[0].arrivals_ask),
        soft(last[1].move),
        share(last[1].filled_bid),
        share(last[1].filled_ask),
        share(last[1].arrivals_bid),
        share(last[1].arrivals_ask),
        soft(last[2].move),
        share(last[2].filled_bid),
        share(last[2].filled_ask),
        share(last[2].arrivals_bid),
        share(last[2].arrivals_ask),
        soft(last[3].move),
        share(last[3].filled_bid),
        share(last[3].filled_ask),
        share(last[3].arrivals_bid),
        share(last[3].arrivals_ask),
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


# Kind -> (sensor or units, memory, observation) -> features. `told` and `regime` are `context` and `state`
# with the numbers of `REGIME` behind them, which nobody can sense.
FUNCTIONS: dict[str, Callable[[Any, Any, Observation], tuple[Numeric, ...]]] = {
    "paper": paper_features,
    "context": context_features,
    "state": state_features,
}
