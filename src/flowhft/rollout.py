"""The one loop: a policy in a market, path by path, as a whole trajectory or as a running account.

Every random number of a path follows from (seed, scenario, path index) alone, and the market's from none
that the policy uses. So policies are paired by construction, and results do not depend on how paths are
cut into chunks or spread over devices.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, PartitionSpec
from jaxtyping import Array, Int, PRNGKeyArray

from flowhft.errors import require
from flowhft.market.market import Market, State, World
from flowhft.measures import PathValues, Tally, begin_tally, measures_of, tally_step
from flowhft.runs import stream
from flowhft.types import Policy, Trajectory

# Paths that are simulated at once: enough to keep every core busy, few enough to bound the memory,
# in which every step of a path takes some 20 bytes.
CHUNK = 8192
CHUNK_STEPS = 2**25


def key_for(seed: int, *names: str | int) -> PRNGKeyArray:
    """Return the key of a named random stream of a run.

    Args:
        seed: the run's.
        names: of the stream, for example "market" and a scenario's name.
    """
    bits = stream(seed, *names)
    return jax.random.wrap_key_data(
        jnp.array([bits >> 32, bits & 0xFFFFFFFF], jnp.uint32), impl="threefry2x32"
    )


def _advance(
    market: Market, policy: Policy, key: PRNGKeyArray, state: State, memory: Any, now: tuple
) -> tuple[State, Any, Trajectory]:
    """Take one step: observe, quote, trade, move. Everything else in this file is bookkeeping."""
    world, index = now
    observation = market.observe(state)
    quote, memory = policy.act(memory, observation, jax.random.fold_in(key, index))
    state, outcome = market.step(state, quote, world)
    record = Trajectory(
        observation, quote, outcome.fill, outcome.spread_pnl, outcome.inventory_pnl, outcome.fee
    )
    return state, memory, record


def one_path(market: Market, policy: Policy, world: World, key: PRNGKeyArray) -> Trajectory:
    """Return the trajectory of one path, arrays of shape (step,).

    Args:
        market: where.
        policy: who quotes.
        world: the market's random numbers.
        key: of the policy's own randomness.
    """

    def step(carry: tuple, now: tuple) -> tuple[tuple, Trajectory]:
        state, memory = carry
        state, memory, record = _advance(market, policy, key, state, memory, now)
        return (state, memory), record

    return jax.lax.scan(step, (market.init(), policy.init()), (world, jnp.arange(market.steps)))[1]


def one_account(market: Market, policy: Policy, world: World, key: PRNGKeyArray) -> Tally:
    """Return the account of one path: the same steps, folded as they happen instead of kept."""

    def step(carry: tuple, now: tuple) -> tuple[tuple, None]:
        state, memory, tally = carry
        state, memory, record = _advance(market, policy, key, state, memory, now)
        return (state, memory, tally_step(tally, record)), None

    start = (market.init(), policy.init(), begin_tally(jnp.zeros(())))
    return jax.lax.scan(step, start, (world, jnp.arange(market.steps)))[0][2]


@eqx.filter_jit
def _many(
    function: Callable,
    market: Market,
    policy: Policy,
    keys: tuple[PRNGKeyArray, PRNGKeyArray],
    paths: Int[Array, " path"],
) -> Any:
    """Run `function` on every path, the paths spread over all devices."""
    arrays, rest = eqx.partition((market, policy), eqx.is_array)

    def shard(arrays: Any, keys: tuple, paths: Int[Array, " path"]) -> Any:
        market, policy = eqx.combine(arrays, rest)

        def path(index: Int[Array, ""]) -> Any:
            market_key, policy_key = (jax.random.fold_in(key, index) for key in keys)
            return function(market, policy, market.draw(market_key), policy_key)

        return jax.vmap(path)(paths)

    devices = jax.make_mesh((jax.device_count(),), ("path",), axis_types=(AxisType.Auto,))
    everywhere, spread = PartitionSpec(), PartitionSpec("path")
    return jax.shard_map(
        shard, mesh=devices, in_specs=(everywhere, everywhere, spread), out_specs=spread, check_vma=False
    )(arrays, keys, paths)


def _keys(seed: int, scenario: str) -> tuple[PRNGKeyArray, PRNGKeyArray]:
    return key_for(seed, "market", scenario), key_for(seed, "policy", scenario)


def _size(paths: int, steps: int) -> int:
    """Return how many paths of so many steps one call simulates: a multiple of the devices."""
    devices = jax.device_count()
    chunk = max(devices, min(CHUNK, CHUNK_STEPS // steps))
    return min(chunk, -(-paths // devices) * devices) // devices * devices


def rollout(
    market: Market, policy: Policy, *, paths: int, seed: int, scenario: str, first: int = 0
) -> Trajectory:
    """Simulate a policy in a market and return every step of every path.

    Args:
        market: from `flowhft.market.market.build`.
        policy: see `flowhft.types.Policy`.
        paths: how many.
        seed: of the run.
        scenario: name of the random streams; the same name and seed give the same market.
        first: index of the first path; disjoint ranges are independent paths.

    Returns:
        A trajectory of numpy arrays of shape (path, step).
    """
    require(paths >= 1, "paths", "be at least 1", paths)
    parts, size = [], _size(paths, market.steps)
    for start in range(0, paths, size):
        part = _many(one_path, market, policy, _keys(seed, scenario), jnp.arange(size) + (first + start))
        parts.append(jax.tree.map(lambda values, left=paths - start: np.asarray(values)[:left], part))
    return jax.tree.map(lambda *arrays: np.concatenate(arrays), *parts)


def judge(
    market: Market, policy: Policy, *, paths: int, seed: int, scenario: str, first: int = 0
) -> dict[str, PathValues]:
    """Simulate a policy in a market and return only its measures, in memory that steps do not grow.

    Args:
        market: as for `rollout`, like all that follow.
        policy: who quotes.
        paths: how many.
        seed: of the run.
        scenario: name of the random streams.
        first: index of the first path.

    Returns:
        What `flowhft.measures.measure` would return for the trajectory of `rollout`: arrays of shape (path,).
    """
    require(paths >= 1, "paths", "be at least 1", paths)
    parts, size = [], _size(paths, market.steps)
    for start in range(0, paths, size):
        tally = _many(one_account, market, policy, _keys(seed, scenario), jnp.arange(size) + (first + start))
        parts.append(jax.tree.map(lambda values, left=paths - start: np.asarray(values)[:left], tally))
    return measures_of(jax.tree.map(lambda *arrays: np.concatenate(arrays), *parts))
