"""The exact law of inventory and wealth along a path of the market, without a single sampled fill.

What a policy senses does not depend on its fills, nor does the price; so given the path only the fills are
random, and the inventory is a Markov chain on [-LIMIT, LIMIT]. Along the path three numbers are carried for
every inventory q: its probability p(q), E[W 1{q}] and E[W^2 1{q}] of the wealth W marked to market. In a step

    x_side = intensity x tilt x min(reach exp(-k half_spread_side(q)), most reaching) dt
    P(fill) = 1 - exp(-x_side), independently on both sides
    W' = W + half-spreads of the fills + q dS + (q' - q) dS

The mean of W uses E[dS | past] in place of dS where fills do not see the move (same mean, less noise). The
jumps of the price are left out of dS but for their mean: they come independently of everything, and add
E[q^2] E[jump^2] to the variance. Everything is differentiable in the quotes.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

LIMIT = 24  # lots; whoever stands there is not filled further
# Quotes are given at these inventories, are linear between them and go on straight beyond.
NODES = (-12.0, -4.0, 0.0, 4.0, 12.0)

Quotes = Float[Array, "step node side"]
# Exponent beyond which a fill is certain anyway: gradients of larger powers would not be finite.
SURE = 40.0


class PathLaw(NamedTuple):
    """What happens along one path whatever is quoted, and the constants of its market.

    Attributes:
        intensity: of market orders that do not come from own fills, 1 / second, shape (step, side).
        tilt: factor on it by the coming move (adverse selection), shape (step, side).
        move: of the mid but for what its jumps deviate from their mean, ticks, shape (step,).
        expected_move: the same given the past, ticks, shape (step,).
        move_at_fill: what a fill of this step gains per lot, ticks, shape (step,): `move`, or with adverse
            selection the whole move.
        expected_at_fill: the same given the past where fills do not see the move, else `move_at_fill`.
        jump_variance: what a lot held over a step adds to the variance by jumps, ticks^2, shape ().
        excitation: what an own fill adds to the intensity, 1 / second, shape (side, side); 0 where market
            orders excite, which are in `intensity`.
        fade: of own excitation in a step, shape ().
        reach, most_reaching, fill_decay, dt: see `flowhft.simulate.market.market.Market`, shape ().
        fill_cost: fee of a fill of this step, ticks, shape (step, side); None for no fee.
        inventory_limit: lots beyond which a side is not filled, shape (); None for `LIMIT`.
    """

    intensity: Float[Array, "step side"]
    tilt: Float[Array, "step side"]
    move: Float[Array, " step"]
    expected_move: Float[Array, " step"]
    move_at_fill: Float[Array, " step"]
    expected_at_fill: Float[Array, " step"]
    jump_variance: Float[Array, ""]
    excitation: Float[Array, "side side"]
    fade: Float[Array, ""]
    reach: Float[Array, ""]
    most_reaching: Float[Array, ""]
    fill_decay: Float[Array, ""]
    dt: Float[Array, ""]
    fill_cost: Float[Array, "step side"] | None = None
    inventory_limit: Float[Array, ""] | None = None


class Law(NamedTuple):
    """What is known of the wealth at the session's end given the path, tick x lot.

    Attributes:
        mean: with the moves' conditional expectations.
        realised: E[W | path], jumps but for their mean left out.
        square: E[W^2 | path], likewise.
        jumps: variance that jumps add.
        swing: E sum q^2 (dS^2 + jumps): the quadratic variation of the inventory's part of the wealth.
        fills: expected number.
        square_inventory: E of the mean over the steps of q^2 after their fills, lots^2.
    """

    mean: Float[Array, ""]
    realised: Float[Array, ""]
    square: Float[Array, ""]
    jumps: Float[Array, ""]
    swing: Float[Array, ""]
    fills: Float[Array, ""]
    square_inventory: Float[Array, ""]


def _interpolation() -> np.ndarray:
    """Return the matrix (inventory, node) from values at the nodes to those at every inventory."""
    nodes = np.array(NODES)
    rows = []
    for q in range(-LIMIT, LIMIT + 1):
        left = int(np.clip(np.searchsorted(nodes, q, side="right") - 1, 0, len(nodes) - 2))
        share = (q - nodes[left]) / (nodes[left + 1] - nodes[left])
        row = np.zeros(len(nodes))
        row[left], row[left + 1] = 1.0 - share, share
        rows.append(row)
    return np.array(rows, np.float32)


INVENTORY = np.arange(-LIMIT, LIMIT + 1, dtype=np.float32)
SPREAD_OUT = _interpolation()


def _up(values: Float[Array, " inventory"]) -> Float[Array, " inventory"]:
    """Return what stood at q at q + 1."""
    return jnp.concatenate([jnp.zeros(1), values[:-1]])


def _down(values: Float[Array, " inventory"]) -> Float[Array, " inventory"]:
    """Return what stood at q at q - 1."""
    return jnp.concatenate([values[1:], jnp.zeros(1)])


def law_along(path_law: PathLaw, quotes: Quotes) -> Law:
    """Return the law of the wealth of a maker along one path.

    Args:
        path_law: the path.
        quotes: half-spreads at the inventories `NODES`, ticks.
    """
    inventory = jnp.asarray(INVENTORY)
    limit = LIMIT if path_law.inventory_limit is None else jnp.minimum(path_law.inventory_limit, LIMIT)
    may_buy = jnp.asarray(inventory + 1.0 <= limit, jnp.float32)
    may_sell = jnp.asarray(1.0 - inventory <= limit, jnp.float32)

    def step(carry: tuple, now: tuple) -> tuple[tuple, None]:
        p, first, second, own, sums = carry
        intensity, tilt, move, expected, at_fill, expected_at_fill, cost, quotes = now
        half_spread = SPREAD_OUT @ quotes
        bid, ask = half_spread[:, 0], half_spread[:, 1]
        rate = (intensity + own) * tilt * path_law.dt
        reaching = jnp.minimum(
            path_law.reach * jnp.exp(jnp.minimum(-path_law.fill_decay * half_spread, SURE)),
            path_law.most_reaching,
        )
        filled = 1.0 - jnp.exp(-rate * reaching)
        buy, sell = filled[:, 0] * may_buy, filled[:, 1] * may_sell
        if cost is not None:
            bid, ask = bid - cost[0], ask - cost[1]  # what is earned of them

        # Who ends where: weights of the four outcomes, and the wealth that each brings.
        held = inventory * move
        outcomes = (
            ((1.0 - buy) * (1.0 - sell), held, None),
            (buy * sell, held + bid + ask, None),
            (buy * (1.0 - sell), held + bid + at_fill, _up),
            ((1.0 - buy) * sell, held + ask - at_fill, _down),
        )
        moved_triples = []
        for weight, gain, moved in outcomes:
            triple = (
                weight * p,
                weight * (first + gain * p),
                weight * (second + gain * (2.0 * first + gain * p)),
            )
            moved_triples.append(triple if moved is None else tuple(moved(part) for part in triple))
        after, first, second = (sum(parts) for parts in zip(*moved_triples, strict=True))

        bought, sold = jnp.sum(p * buy), jnp.sum(p * sell)
        mean, jumps, swing, fills, squares = sums
        spread_income = jnp.sum(p * (buy * bid + sell * ask))
        mean = mean + spread_income + jnp.sum(p * inventory) * expected + (bought - sold) * expected_at_fill
        exposure = jnp.sum(after * inventory**2)
        sums = (
            mean,
            jumps + exposure * path_law.jump_variance,
            swing + exposure * (move**2 + path_law.jump_variance),
            fills + bought + sold,
            squares + exposure,
        )
        own = path_law.fade * own + path_law.excitation @ jnp.stack([bought, sold])
        return (after, first, second, own, sums), None

    zero = jnp.zeros(())
    nothing = jnp.zeros(len(INVENTORY))
    start = (nothing.at[LIMIT].set(1.0), nothing, nothing, jnp.zeros(2), (zero, zero, zero, zero, zero))
    now = (
        path_law.intensity,
        path_law.tilt,
        path_law.move,
        path_law.expected_move,
        path_law.move_at_fill,
        path_law.expected_at_fill,
        path_law.fill_cost,
        quotes,
    )
    _, first, second, _, (mean, jumps, swing, fills, squares) = jax.lax.scan(
        jax.checkpoint(step), start, now
    )[0]
    return Law(mean, jnp.sum(first), jnp.sum(second), jumps, swing, fills, squares / quotes.shape[0])
