"""What the gradient is worked out on: paths of a market, and a policy's quotes there at nodes of inventory.

The frozen policy is run through every path by the one market; before each step it is asked what it would
quote at the inventories of `flowhft.learn.regime.law.NODES`. For a policy that senses its own fills, its cash
or its last spread, what it senses is that of its own run, whatever the candidate would have done: an
approximation, which is why candidates are judged by simulation and not by the law.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from flowhft.errors import require
from flowhft.learn.regime.law import NODES, PathLaw
from flowhft.scenarios.scenario import Scenario
from flowhft.simulate.market.market import Market, State
from flowhft.simulate.market.world import World
from flowhft.simulate.rollout import key_for
from flowhft.types import Observation, Policy, Quote


class Moment(NamedTuple):
    """What a policy knew before a step, in its own run: leading axes (path, step)."""

    memory: Any
    observation: Observation
    key: PRNGKeyArray


class Record(NamedTuple):
    """Paths of one market, every array with a leading axis path.

    Attributes:
        path_law: what happens along a path whatever is quoted.
        moment: what the policy knew before every step.
        base: its half-spreads at the nodes, ticks, shape (path, step, node, side).
    """

    path_law: PathLaw
    moment: Moment
    base: Float[Array, "path step node side"]


def require_known_law(scenario: Scenario) -> None:
    """Require a market for which the law of inventory is known.

    Raises:
        UsageError: a step may fill several lots a side, or order flow moves the price.
    """
    require(
        scenario.order_flow is None,
        "order_flow",
        "be left out where the law of inventory is to be known: fills must tell nothing about the order flow",
        f"a table [scenario '{scenario.name}']",
        "Use --method state.",
    )
    require(
        not scenario.refill,
        "refill",
        "be off where the law of inventory is to be known: one lot a side and step",
        f"true [scenario '{scenario.name}']",
        "Use --method state.",
    )


def quotes_at_nodes(policy: Policy, moment: Moment) -> Float[Array, "node side"]:
    """Return what a policy would quote at one moment if it held each of `NODES`, ticks."""

    def ask(inventory: Float[Array, ""]) -> Float[Array, " side"]:
        seen = moment.observation._replace(inventory=inventory)
        return jnp.stack(policy.act(moment.memory, seen, moment.key)[0][:2])

    return jax.vmap(ask)(jnp.asarray(NODES, jnp.float32))


def record_paths(market: Market, policy: Policy, *, paths: int, seed: int, scenario: str) -> Record:
    """Run a policy through paths of a market and keep what the law needs.

    Args:
        market: one lot a side and step.
        policy: who quotes.
        paths: how many; path i is that of `flowhft.simulate.rollout.evaluate_one` for the same seed and name.
        seed: of the run.
        scenario: name of the random streams.
    """
    keys = key_for(seed, "market", scenario), key_for(seed, "policy", scenario)
    return _record(market, policy, keys, jnp.arange(paths))


@eqx.filter_jit
def _record(
    market: Market, policy: Policy, keys: tuple[PRNGKeyArray, PRNGKeyArray], paths: Int[Array, " path"]
) -> Record:
    def path(index: Int[Array, ""]) -> Record:
        market_key, policy_key = (jax.random.fold_in(key, index) for key in keys)
        world = market.draw(market_key)
        return record_path(market, policy, world, policy_key)

    return jax.vmap(path)(paths)


def record_path(market: Market, policy: Policy, world: World, key: PRNGKeyArray) -> Record:
    """Run a policy through one path and keep what the law needs.

    Args:
        market: where.
        policy: who quotes.
        world: the market's random numbers.
        key: of the policy's own randomness.
    """
    martingale = market.price.amplitude is None and market.tilt is None

    def step(carry: tuple[State, Any], now: tuple) -> tuple[tuple[State, Any], tuple]:
        (state, memory), (world, index) = carry, now
        moment = Moment(memory, market.observe(state), jax.random.fold_in(key, index))
        quote, memory = policy.act(*moment)
        tilt = jnp.stack([jnp.asarray(factor, jnp.float32) for factor in market.tilts(state, world)])
        excited = jnp.stack([state.excitation_bid, state.excitation_ask])
        intensity = market.base_intensity + (excited if market.excited_by_arrivals else 0.0)
        expected = market.expected_move(state) if martingale else world.move
        fee = market.maker_fee * (market.price.initial_price + state.mid_price)
        out = (
            intensity,
            tilt * jnp.ones(2),
            world.move,
            jnp.asarray(expected, jnp.float32) * jnp.ones(()),
            fee * jnp.ones(2),
            moment,
            quotes_at_nodes(policy, moment),
        )
        return (market.step(state, Quote(*quote), world)[0], memory), out

    start = (market.init(world), policy.init())
    now = (world, jnp.arange(market.steps))
    intensity, tilt, move, expected, fee, moment, base = jax.lax.scan(step, start, now)[1]
    own = not market.excited_by_arrivals
    path_law = PathLaw(
        intensity=intensity,
        tilt=tilt,
        move=move,
        expected_move=expected,
        move_at_fill=move,
        expected_at_fill=expected,
        jump_variance=jnp.zeros(()),
        excitation=market.impulse * market.excitation * (1.0 if own else 0.0),
        fade=jnp.asarray(market.fade),
        reach=jnp.asarray(market.reach),
        most_reaching=jnp.asarray(market.most_reaching),
        fill_decay=jnp.asarray(market.fill_decay),
        dt=jnp.asarray(market.dt),
        fill_cost=fee,
        inventory_limit=jnp.asarray(market.inventory_limit),
    )
    return Record(path_law, moment, base)
