"""Order flow that moves the price: an imbalance that foretells orders, and orders that move the mid.

See `flowhft.scenarios.order_flow.OrderFlow` for the law. All arrivals excite and none of them depends on the
maker, nor does what they move the mid by, so orders and moves of a whole path are drawn before anybody
quotes.
"""

from typing import NamedTuple, Protocol

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from flowhft.features.book import NAMES
from flowhft.scenarios.scenario import Scenario
from flowhft.simulate.market.once import once
from flowhft.simulate.market.price import leaf, poisson
from flowhft.simulate.market.randomness import (
    IMBALANCE,
    ORDER_FLOW,
    PARTS,
    Words,
    normal,
    pair,
    path_key,
    uniform,
)
from flowhft.types import Numeric

TOUCH = NAMES.index("touch_imbalance")
# Share of the orders below which reaches are not told apart: a uniform number has 24 bits.
RAREST = 2.0**-25


class Arrivals(Protocol):
    """What a `Market` says of its market orders; names as there."""

    dt: Numeric
    base_intensity: Float[Array, " side"]
    excitation: Float[Array, "side side"]
    fade: Numeric
    impulse: Numeric
    initial_excitation: Float[Array, " side"]
    reach: Numeric
    fill_decay: Numeric
    steps: int
    arrival_terms: int


class Flow(NamedTuple):
    """The order flow of one path, none of which depends on the maker.

    Attributes:
        arrivals: market orders that came for bids and for asks in every step, (step, side).
        uniform: what is left of the uniform numbers: it decides how far the deepest of a step's orders
            reaches, (step, side).
        move: of the mid that order flow and imbalance bring in every step, ticks, (step,).
        imbalance: of the book at every step's start, in its standard deviations, (step,).
        imbalance_after: at every step's end, (step,).
    """

    arrivals: Float[Array, "step side"]
    uniform: Float[Array, "step side"]
    move: Float[Array, " step"]
    imbalance: Float[Array, " step"]
    imbalance_after: Float[Array, " step"]


class _Step(NamedTuple):
    """What one step brings."""

    arrivals_bid: Numeric
    arrivals_ask: Numeric
    uniform_bid: Numeric
    uniform_ask: Numeric
    move: Numeric
    parts: tuple[Numeric, Numeric]
    imbalance_after: Numeric


class Impact(eqx.Module):
    """How order flow moves the price of one market: parameters of `OrderFlow` as a step needs them.

    Discretisation: the rates of orders are held over a step at their value at its start. The parts of the
    imbalance take exact steps of an Ornstein-Uhlenbeck process, and their drift moves the mid by what is
    expected over the step given where they stand. The mid moves at the step's end, by the responses to all
    its orders: the deepest, which alone decides whether we are filled, by its own reach, the others by their
    mean reach given that they reach no further. So the mean of a step's move is exact, and of its variance is
    left out what the others' reach varies by: nothing where a step has one order of a side.

    Attributes:
        loading: square roots of the shares of fast and slow part, shape (part,).
        noise: standard deviation of what says nothing.
        fade: what is left of a part after a step, shape (part,).
        innovation: standard deviation of what is new in a part after a step, shape (part,).
        gain: expected move in a step of a part of one standard deviation, ticks, shape (part,).
        slope: of the logarithm of the rates on the imbalance that says something.
        calm: half the variance of that logarithm: rates keep their mean.
        order_response, reach_response: see `OrderFlow`.
        push: of an order on the fast part for every tick that it reaches, 1 / tick.
        deviation: of the imbalance that a maker sees.
    """

    loading: Float[Array, " part"]
    noise: Numeric
    fade: Float[Array, " part"]
    innovation: Float[Array, " part"]
    gain: Float[Array, " part"]
    slope: Numeric
    calm: Numeric
    order_response: Numeric
    reach_response: Numeric
    push: Numeric
    deviation: Numeric

    def shown(self, imbalance: Numeric) -> Float[Array, " signal"]:
        """Return what the book shows of an imbalance: nothing else is known of it.

        Args:
            imbalance: standardised.
        """
        return jnp.full(len(NAMES), jnp.nan).at[TOUCH].set(self.deviation * imbalance)

    def draw(self, market: Arrivals, key: PRNGKeyArray) -> Flow:
        """Draw the order flow of one path; parts of the imbalance begin in their stationary law.

        Args:
            market: whose rates, reach and excitation they are.
            key: of the path.
        """
        words = path_key(key)

        def noise_at(index: Int[Array, ""]) -> Numeric:
            return self.noise * normal(pair(words, IMBALANCE, index)[0])

        def step(carry: tuple, index: Int[Array, ""]) -> tuple[tuple, tuple]:
            parts, imbalance, excitation = carry
            now = once(
                lambda *given: self._step(market, *given),
                index,
                parts,
                excitation,
                *pair(words, ORDER_FLOW, index),
                *pair(words, PARTS, index),
                pair(words, IMBALANCE, index)[0],
            )
            bid, ask = now.arrivals_bid, now.arrivals_ask
            excited = tuple(
                market.fade * excitation[side]
                + market.impulse * (market.excitation[side, 0] * bid + market.excitation[side, 1] * ask)
                for side in range(2)
            )
            told = (bid, ask, now.uniform_bid, now.uniform_ask, now.move, imbalance, now.imbalance_after)
            return (now.parts, now.imbalance_after, excited), told

        first, second = pair(words, PARTS, jnp.asarray(market.steps))
        parts = (normal(first), normal(second))
        start = self.loading[0] * parts[0] + self.loading[1] * parts[1] + noise_at(jnp.asarray(market.steps))
        excitation = (market.initial_excitation[0], market.initial_excitation[1])
        told = jax.lax.scan(step, (parts, start, excitation), jnp.arange(market.steps))[1]
        # Stacked after the loop, as in `draw_world`.
        return Flow(jnp.stack(told[:2], axis=-1), jnp.stack(told[2:4], axis=-1), *told[4:])

    def _step(
        self,
        market: Arrivals,
        parts: tuple[Numeric, Numeric],
        excitation: tuple[Numeric, Numeric],
        order_bid: Words,
        order_ask: Words,
        fast: Words,
        slow: Words,
        noise: Words,
    ) -> _Step:
        """Return what one step brings, from the imbalance and the excitation before it."""
        lean = self.slope * (self.loading[0] * parts[0] + self.loading[1] * parts[1])
        move: Numeric = self.gain[0] * parts[0] + self.gain[1] * parts[1]
        push: Numeric = 0.0
        told: list[Numeric] = []
        for side, words, direction in ((0, order_bid, -1.0), (1, order_ask, 1.0)):
            rate = market.base_intensity[side] * jnp.exp(direction * lean - self.calm) + excitation[side]
            count, left = poisson(uniform(words), rate * market.dt, market.arrival_terms)
            reached = total_reach(market.reach, market.fill_decay, count, left)
            move = move + direction * (self.order_response * count + self.reach_response * reached)
            push = push + direction * self.push * reached
            told += [count, left]
        after = (
            self.fade[0] * parts[0] + self.innovation[0] * normal(fast) + push,
            self.fade[1] * parts[1] + self.innovation[1] * normal(slow),
        )
        seen = self.loading[0] * after[0] + self.loading[1] * after[1] + self.noise * normal(noise)
        return _Step(told[0], told[2], told[1], told[3], move, after, seen)


def total_reach(reach: Numeric, fill_decay: Numeric, count: Numeric, left: Numeric) -> Numeric:
    """Return how far a step's orders of a side reach together, ticks: all but the deepest on average.

    An order reaches d or further with probability p(d) = min(1, reach exp(-k d)), and the deepest of n as far
    as the M at which 1 - (1 - p(M))^n is what is left of the uniform number, see
    `flowhft.simulate.market.orders`; one that would not reach a quote at the mid counts as 0. Given M each of
    the others has the mean (integral of p from 0 to M - M p(M)) / (1 - p(M)).

    Args:
        reach: probability that an order reaches a quote at the mid; above 1 capped at the quote.
        fill_decay: k, 1 / tick.
        count: of the orders, n.
        left: of the uniform number.
    """
    share = -jnp.expm1(jnp.log1p(-jnp.minimum(left, 1.0 - 1e-7)) / jnp.maximum(count, 1.0))  # p(M)
    share = jnp.maximum(share, RAREST)
    deepest = jnp.log(reach / share) / fill_decay
    nearest = jnp.maximum(jnp.log(reach) / fill_decay, 0.0)
    passed = nearest + (jnp.minimum(reach, 1.0) - share) / fill_decay
    others = (passed - deepest * share) / jnp.maximum(1.0 - share, 1e-6)
    together = deepest + (count - 1.0) * jnp.clip(others, 0.0, deepest)
    return jnp.where((count > 0.0) & (deepest > 0.0), together, 0.0)


def build_impact(scenario: Scenario) -> Impact | None:
    """Build the impact of a scenario, or None where its order flow moves nothing.

    Args:
        scenario: its parameters.
    """
    flow = scenario.order_flow
    if flow is None:
        return None
    share, time, drift = (np.array(column) for column in zip(*flow.parts, strict=True))
    fade = np.exp(-scenario.dt / time)
    return Impact(
        loading=leaf(np.sqrt(share)),
        noise=leaf(np.sqrt(max(1.0 - flow.share, 0.0))),
        fade=leaf(fade),
        innovation=leaf(np.sqrt(-np.expm1(-2.0 * scenario.dt / time))),
        gain=leaf(drift * np.sqrt(share) * time * -np.expm1(-scenario.dt / time)),
        slope=leaf(flow.order_slope),
        calm=leaf(0.5 * flow.order_slope**2 * flow.share),
        order_response=leaf(flow.order_response),
        reach_response=leaf(flow.reach_response),
        push=leaf(flow.reach_imbalance * scenario.fill_decay),
        deviation=leaf(flow.imbalance_deviation),
    )
