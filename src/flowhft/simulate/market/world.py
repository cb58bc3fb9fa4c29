"""The random numbers of one path, drawn at once and before anybody quotes.

None of them depends on the maker: two policies in the same world meet the same moves of the mid and the same
uniform numbers by construction, and a market's `step` is plain, deterministic arithmetic.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from flowhft.simulate.market.impact import Flow
from flowhft.simulate.market.price import Price
from flowhft.simulate.market.randomness import ORDER_FLOW, pair, path_key, uniform


class World(NamedTuple):
    """The random numbers of one path, none of which depends on the maker.

    Attributes:
        move: of the mid in every step, ticks, shape (step,).
        order_flow: uniform numbers that decide how many market orders come for each side, and whether one
            of them reaches our quote there, shape (step, side).
        volatility_scale: standard deviation of each step's diffusion in units of that of a calm step, shape
            (step,); None where volatility has no bursts.
        flow: market orders and imbalance; None where order flow does not move the price. Its moves are in
            `move`, and what it leaves of the uniform numbers stands in `order_flow`.
    """

    move: Float[Array, " step"]
    order_flow: Float[Array, "step side"]
    volatility_scale: Float[Array, " step"] | None = None
    flow: Flow | None = None


def draw_world(price: Price, key: PRNGKeyArray) -> World:
    """Draw the random numbers of one path.

    Args:
        price: the law of the mid.
        key: of the path; used once.
    """
    words = path_key(key)

    def step(nothing: None, index: Int[Array, ""]) -> tuple[None, tuple]:
        bid, ask = pair(words, ORDER_FLOW, index)
        return None, (uniform(bid), uniform(ask))

    # Stacked after the loop: within it the stack would be written number by number, at four times the cost.
    order_flow = jnp.stack(jax.lax.scan(step, None, jnp.arange(price.steps))[1], axis=-1)
    move, scale = price.draw(key)
    return World(move=move, order_flow=order_flow, volatility_scale=scale)
