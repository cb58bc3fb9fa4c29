"""What a policy remembers of a market: running estimates, beliefs about the price, the last few steps."""

import math
from typing import NamedTuple

from flowhft.features.fractional import KEEPS, LEFT_OVER, PRIOR, WEIGHTS
from flowhft.features.sensor import Sensor
from flowhft.types import Numeric, Observation, Quote

LAST = 4  # steps that are remembered one by one

# What the prior counts for at first, in units of all that a running mean remembers: soon outweighed.
PRIOR_MASS = 0.05
# A jump tells nothing of the volatility: a squared move beyond this many variances counts for hardly more.
FURTHEST_SQUARE = 25.0
# Share of the beliefs about the price's memory that returns to the prior in a step: no market stays as it is.
FORGOTTEN = 1e-3
BARELY = 1e-12  # keeps ratios within single precision
REACHING = math.exp(-1.0)  # share of the orders that reach a quote at one unit of distance
_NEXT, _LEFT_OVER = WEIGHTS[0], LEFT_OVER
_EVEN = PRIOR.index(max(PRIOR))  # place of the price without memory


class Step(NamedTuple):
    """What one step brought: the move of the mid, ticks; own fills, lots; market orders, counts."""

    move: Numeric
    filled_bid: Numeric
    filled_ask: Numeric
    arrivals_bid: Numeric
    arrivals_ask: Numeric


class Memory(NamedTuple):
    """What a policy remembers between two decisions.

    Attributes:
        time: of the last decision, seconds; -1 before the first.
        mid_price: at the last decision, ticks.
        mass: how much the estimates rest on what was seen, from `PRIOR_MASS` to 1.
        variance: running mean of squared moves per second, jumps cut, ticks^2 / second.
        rate_bid, rate_ask: running rates of market orders, 1 / second.
        fill_rate_bid, fill_rate_ask: running rates of own fills, 1 / second.
        burst_bid, burst_ask: those of market orders over the shorter time `Sensor.burst`.
        trend: running mean of the moves per second, ticks / second.
        flow: running mean of orders for our ask less those for our bid, per second, each times its step's
            move in standard deviations: how far order flow and moves go together.
        previous_spread: our full spread at the last decision, ticks.
        means: running means of the moves, jumps cut, ticks: see `flowhft.features.fractional.KEEPS`.
        beliefs: probability of each Hurst exponent of `flowhft.features.fractional.HURST`.
        last: the last steps, the latest first.
    """

    time: Numeric
    mid_price: Numeric
    mass: Numeric
    variance: Numeric
    rate_bid: Numeric
    rate_ask: Numeric
    fill_rate_bid: Numeric
    fill_rate_ask: Numeric
    burst_bid: Numeric
    burst_ask: Numeric
    trend: Numeric
    flow: Numeric
    previous_spread: Numeric
    means: tuple[Numeric, ...]
    beliefs: tuple[Numeric, ...]
    last: tuple[Step, ...]


def remember_nothing(sensor: Sensor) -> Memory:
    """Return the memory of a session that has just begun: every running mean at its prior."""
    return Memory(
        time=-1.0,
        mid_price=0.0,
        mass=PRIOR_MASS,
        variance=sensor.volatility * sensor.volatility,
        rate_bid=sensor.rate,
        rate_ask=sensor.rate,
        fill_rate_bid=REACHING * sensor.rate,
        fill_rate_ask=REACHING * sensor.rate,
        burst_bid=sensor.rate,
        burst_ask=sensor.rate,
        trend=0.0,
        flow=0.0,
        previous_spread=2.0 * sensor.half_spread,
        means=(0.0,) * len(KEEPS),
        beliefs=PRIOR,
        last=(Step(0.0, 0.0, 0.0, 0.0, 0.0),) * LAST,
    )


def sense(sensor: Sensor, memory: Memory, observation: Observation) -> Memory:
    """Fold one observation into the memory.

    Running means are exponential: m <- w m + (1 - w) x with w = exp(-dt / memory), for bursts and the trend;
    the estimates begin with a prior of little mass p: p' = w p + 1 - w, m <- (w p m + (1 - w) x) / p'. On the
    first observation of a session, and where no time has passed, no running mean changes.

    The beliefs follow Bayes' rule: under each Hurst exponent the next move is Gaussian around a forecast from
    the running means of moves, with a share of the estimated variance.
    """
    first = 1.0 * (memory.time < 0.0)
    dt = (observation.time - memory.time) * (1.0 - first)
    passed = 1.0 * (dt > 0.0)
    move = (observation.mid_price - memory.mid_price) * (1.0 - first)
    keep = math.e ** (-dt / sensor.memory)
    keep_burst = math.e ** (-dt / sensor.burst)
    per_second = 1.0 / (dt + 1.0 * (dt <= 0.0))  # dt = 0 only where the weight 1 - keep is 0
    mass = keep * memory.mass + 1.0 - keep
    past = keep * memory.mass / mass
    new_bid = observation.arrivals_bid * per_second
    new_ask = observation.arrivals_ask * per_second

    expected = memory.variance / per_second
    ratio = move * move / (expected + BARELY * move * move + 1e-30)
    square = move * move / (1.0 + (ratio / FURTHEST_SQUARE) ** 2) ** 0.5
    variance = past * memory.variance + (1.0 - past) * square * per_second
    step_variance = variance / per_second + 1e-30
    # A jump is no evidence of how the diffusion goes on.
    ratio = move * move / (step_variance + BARELY * move * move)
    calm = move / (1.0 + (ratio / FURTHEST_SQUARE) ** 2) ** 0.25
    standard = calm / step_variance**0.5

    def running(index: int) -> Numeric:
        kept = 1.0 - (1.0 - KEEPS[index]) * passed
        return kept * memory.means[index] + (1.0 - kept) * calm

    def surprise(index: int) -> Numeric:
        w, m = _NEXT[index], memory.means
        error = calm - (w[0] * m[0] + w[1] * m[1] + w[2] * m[2] + w[3] * m[3] + w[4] * m[4])
        square = error * error
        return square / (step_variance * _LEFT_OVER[index] + BARELY * square)

    even = surprise(_EVEN)

    def likely(index: int) -> Numeric:
        lead = even - surprise(index)
        lead = lead / (1.0 + (lead / FURTHEST_SQUARE) ** 2) ** 0.5  # no single step decides
        relative = (_LEFT_OVER[_EVEN] / _LEFT_OVER[index]) ** 0.5 * math.e ** (0.5 * lead)
        return memory.beliefs[index] * (1.0 + passed * (relative - 1.0)) + passed * FORGOTTEN * PRIOR[index]

    b = (likely(0), likely(1), likely(2), likely(3), likely(4), likely(5), likely(6))
    total = b[0] + b[1] + b[2] + b[3] + b[4] + b[5] + b[6]

    latest = Step(
        move,
        observation.filled_bid * passed,
        observation.filled_ask * passed,
        observation.arrivals_bid * passed,
        observation.arrivals_ask * passed,
    )
    return Memory(
        time=observation.time,
        mid_price=observation.mid_price,
        mass=mass,
        variance=variance,
        rate_bid=past * memory.rate_bid + (1.0 - past) * new_bid,
        rate_ask=past * memory.rate_ask + (1.0 - past) * new_ask,
        fill_rate_bid=past * memory.fill_rate_bid + (1.0 - past) * observation.filled_bid * per_second,
        fill_rate_ask=past * memory.fill_rate_ask + (1.0 - past) * observation.filled_ask * per_second,
        burst_bid=keep_burst * memory.burst_bid + (1.0 - keep_burst) * new_bid,
        burst_ask=keep_burst * memory.burst_ask + (1.0 - keep_burst) * new_ask,
        trend=keep * memory.trend + (1.0 - keep) * move * per_second,
        flow=past * memory.flow + (1.0 - past) * (new_ask - new_bid) * standard,
        previous_spread=memory.previous_spread,
        means=(running(0), running(1), running(2), running(3), running(4)),
        beliefs=(
            b[0] / total,
            b[1] / total,
            b[2] / total,
            b[3] / total,
            b[4] / total,
            b[5] / total,
            b[6] / total,
        ),
        last=(latest, memory.last[0], memory.last[1], memory.last[2]),
    )


def note_quote(memory: Memory, quote: Quote) -> Memory:
    """Remember the spread that was quoted."""
    return Memory(
        memory.time,
        memory.mid_price,
        memory.mass,
        memory.variance,
        memory.rate_bid,
        memory.rate_ask,
        memory.fill_rate_bid,
        memory.fill_rate_ask,
        memory.burst_bid,
        memory.burst_ask,
        memory.trend,
        memory.flow,
        quote.half_spread_bid + quote.half_spread_ask,
        memory.means,
        memory.beliefs,
        memory.last,
    )


PACKED = 13 + len(KEEPS) + len(PRIOR) + 5 * LAST


def pack(memory: Memory) -> tuple[Numeric, ...]:
    """Return the `PACKED` numbers of a memory in a row, as a desk keeps them between two calls."""
    return (
        memory.time,
        memory.mid_price,
        memory.mass,
        memory.variance,
        memory.rate_bid,
        memory.rate_ask,
        memory.fill_rate_bid,
        memory.fill_rate_ask,
        memory.burst_bid,
        memory.burst_ask,
        memory.trend,
        memory.flow,
        memory.previous_spread,
        memory.means[0],
        memory.means[1],
        memory.means[2],
        memory.means[3],
        memory.means[4],
        memory.beliefs[0],
        memory.beliefs[1],
        memory.beliefs[2],
        memory.beliefs[3],
        memory.beliefs[4],
        memory.beliefs[5],
        memory.beliefs[6],
        memory.last[0].move,
        memory.last[0].filled_bid,
        memory.last[0].filled_ask,
        memory.last[0].arrivals_bid,
        memory.last[0].arrivals_ask,
        memory.last[1].move,
        memory.last[1].filled_bid,
        memory.last[1].filled_ask,
        memory.last[1].arrivals_bid,
        memory.last[1].arrivals_ask,
        memory.last[2].move,
        memory.last[2].filled_bid,
        memory.last[2].filled_ask,
        memory.last[2].arrivals_bid,
        memory.last[2].arrivals_ask,
        memory.last[3].move,
        memory.last[3].filled_bid,
        memory.last[3].filled_ask,
        memory.last[3].arrivals_bid,
        memory.last[3].arrivals_ask,
    )


def unpack(m: tuple[Numeric, ...]) -> Memory:
    """Return the memory of which `pack` returned these numbers; an array of them serves as well."""

    def step(at: int) -> Step:
        return Step(m[at], m[at + 1], m[at + 2], m[at + 3], m[at + 4])

    return Memory(
        m[0],
        m[1],
        m[2],
        m[3],
        m[4],
        m[5],
        m[6],
        m[7],
        m[8],
        m[9],
        m[10],
        m[11],
        m[12],
        (m[13], m[14], m[15], m[16], m[17]),
        (m[18], m[19], m[20], m[21], m[22], m[23], m[24]),
        (step(25), step(30), step(35), step(40)),
    )
