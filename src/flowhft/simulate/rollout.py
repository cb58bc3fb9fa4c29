"""The one loop: policies in a market, path by path, as whole trajectories or as running accounts.

Every random number of a path follows from (seed, scenario, path index) alone, and the market's from none
that the policy uses. So policies are paired by construction, several of them share one draw of the market,
and results do not depend on how paths are cut into chunks or spread over devices.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, PartitionSpec
from jaxtyping import Array, Int, PRNGKeyArray

from flowhft.errors import FlowhftError, require
from flowhft.metrics.measures import PathValues, Tally, begin_tally, measures_of, tally_step
from flowhft.policies.own import OwnPolicy
from flowhft.runs.folder import stream
from flowhft.simulate.hosted import as_traced, is_hosted, run_hosted
from flowhft.simulate.market.market import Market, State, World
from flowhft.simulate.market.orders import Orders
from flowhft.types import Policy, Quote, Trajectory

# Paths that are simulated at once: enough to keep every core busy, few enough to bound the memory,
# in which every step of a path takes some 20 bytes.
CHUNK = 8192
CHUNK_STEPS = 2**25
# Paths of a device come in multiples of this, the surplus unused: programs treat what does not fill a vector
# register in another way, to the last bit.
LANES = 16
NOWHERE = 1e9  # ticks from the mid: a quote that no order reaches


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
    after, record = settle(market, state, quote, world, _expected_move(market, policy, state))
    return after, memory, record


def settle(
    market: Market, state: State, quote: Quote, world: World, expected_move: Array
) -> tuple[State, Trajectory]:
    """Trade at a quote and let the mid move.

    Args:
        market: where.
        state: before the step.
        quote: what was decided on the observation of this state.
        world: the random numbers of this step.
        expected_move: of the mid whatever was traded, ticks; NaN where there is no such number.

    Returns:
        The state after the step, and the step as one of a trajectory.
    """
    after, outcome = market.step(state, quote, world)
    record = Trajectory(
        market.observe(state)._replace(book=None),
        quote,
        outcome.fill,
        outcome.spread_pnl,
        outcome.inventory_pnl,
        outcome.fee,
        after.inventory * expected_move,
        after.mid_price,
        outcome.activity,
    )
    return after, record


def _expected_move(market: Market, policy: Policy, state: State) -> Array:
    """Return the expected move of the mid whatever was traded, ticks; NaN where there is no such number.

    With it, inventory x (move - expected move) has mean 0 and can be left out of the PnL. That holds where
    fills do not depend on the coming move, and either the price has no memory (then the expectation is given
    the present mid, and the sum a martingale whatever the policy does) or the policy does not look at the
    price (then inventory and price are independent).
    """
    if market.price.amplitude is not None and getattr(policy, "sees_price", True):
        return jnp.full((), jnp.nan)
    if market.impact is not None:
        return jnp.full((), jnp.nan)
    expected = jnp.asarray(market.expected_move(state))
    return expected if market.tilt is None else jnp.where(market.tilt == 0.0, expected, jnp.nan)


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

    return jax.lax.scan(step, (market.init(world), policy.init()), (world, jnp.arange(market.steps)))[1]


def one_account(market: Market, policy: Policy, world: World, key: PRNGKeyArray) -> Tally:
    """Return the account of one path: the same steps, folded as they happen instead of kept."""

    def step(carry: tuple, now: tuple) -> tuple[tuple, None]:
        state, memory, tally = carry
        state, memory, record = _advance(market, policy, key, state, memory, now)
        return (state, memory, tally_step(tally, record)), None

    start = (market.init(world), policy.init(), begin_tally(jnp.zeros(())))
    return jax.lax.scan(step, start, (world, jnp.arange(market.steps)))[0][2]


def _orders_of_path(market: Market, policy: None, world: World, key: PRNGKeyArray) -> Orders:
    """Return the market orders of one path, whoever quotes: nobody does."""
    nowhere = Quote(jnp.float32(NOWHERE), jnp.float32(NOWHERE))

    def step(state: State, world: World) -> tuple[State, tuple]:
        return market.step(state, nowhere, world)[0], (state.mid_price, *market.orders(state, world))

    last, (mid, count, uniform) = jax.lax.scan(step, market.init(world), world)
    return Orders(jnp.append(mid, last.mid_price), count, uniform)


# Paths are the last axis of a world and the first of what comes of it: a step then finds its own numbers of
# all paths side by side.
_EVERYWHERE, _BY_PATH = PartitionSpec(), PartitionSpec("path")


def _devices() -> Mesh:
    return jax.make_mesh((jax.device_count(),), ("path",), axis_types=(AxisType.Auto,))


@eqx.filter_jit
def _draw(market: Market, key: PRNGKeyArray, paths: Int[Array, " path"]) -> World:
    """Draw the worlds of paths, spread over all devices: arrays of shape (step, ..., path)."""
    arrays, rest = eqx.partition(market, eqx.is_array)

    def shard(arrays: Any, key: PRNGKeyArray, paths: Int[Array, " path"]) -> World:
        market = eqx.combine(arrays, rest)
        return jax.vmap(lambda index: market.draw(jax.random.fold_in(key, index)), out_axes=-1)(paths)

    world = jax.eval_shape(market.draw, key)
    spread = jax.tree.map(lambda leaf: PartitionSpec(*(None,) * leaf.ndim, "path"), world)
    return jax.shard_map(
        shard,
        mesh=_devices(),
        in_specs=(_EVERYWHERE, _EVERYWHERE, _BY_PATH),
        out_specs=spread,
        check_vma=False,
    )(arrays, key, paths)


@eqx.filter_jit
def _live(
    function: Callable,
    market: Market,
    policy: Policy | None,
    worlds: World,
    key: PRNGKeyArray,
    paths: Int[Array, " path"],
) -> Any:
    """Run `function` with a policy on every path, spread over all devices."""
    arrays, rest = eqx.partition((market, policy), eqx.is_array)

    def shard(arrays: Any, worlds: World, key: PRNGKeyArray, paths: Int[Array, " path"]) -> Any:
        market, policy = eqx.combine(arrays, rest)

        def path(world: World, index: Int[Array, ""]) -> Any:
            return function(market, policy, world, jax.random.fold_in(key, index))

        return jax.vmap(path, in_axes=(-1, 0))(worlds, paths)

    spread = jax.tree.map(lambda leaf: PartitionSpec(*(None,) * (leaf.ndim - 1), "path"), worlds)
    return jax.shard_map(
        shard,
        mesh=_devices(),
        in_specs=(_EVERYWHERE, spread, _EVERYWHERE, _BY_PATH),
        out_specs=_BY_PATH,
        check_vma=False,
    )(arrays, worlds, key, paths)


def _chunks(first: int, paths: int, steps: int, chunk: int, room: int) -> Iterator[tuple[Array, int]]:
    """Cut a range of paths: yields indices of one call, and how many of them are wanted."""
    unit = LANES * jax.device_count()
    size = max(1, min(chunk, CHUNK_STEPS // steps, max(paths, room)))
    size = -(-size // unit) * unit
    for start in range(0, paths, size):
        yield jnp.arange(size) + (first + start), min(size, paths - start)


def _run(
    function: Callable,
    market: Market,
    policies: Sequence[Policy | OwnPolicy | None],
    paths: int,
    seed: int,
    scenario: str,
    first: int,
    chunk: int,
    room: int = 0,
) -> list[Any]:
    """Run `function` with every policy on the same paths; returns numpy arrays, the first axis the path."""
    require(paths >= 1, "paths", "be at least 1", paths)
    market_key, policy_key = key_for(seed, "market", scenario), key_for(seed, "policy", scenario)
    parts: list[list[Any]] = [[] for _ in policies]
    policies = [as_traced(policy) for policy in policies]
    for indices, wanted in _chunks(first, paths, market.steps, chunk, room):
        worlds = _draw(market, market_key, indices)
        for policy, part in zip(policies, parts, strict=True):
            if is_hosted(policy):
                keep = function is one_path
                result = run_hosted(settle, market, policy, worlds, indices, wanted, seed, scenario, keep)
            else:
                result = _live(function, market, policy, worlds, policy_key, indices)
            result = jax.tree.map(lambda values, wanted=wanted: np.asarray(values)[:wanted], result)
            require_finite_quotes(policy, result, int(indices[0]), scenario)
            part.append(result)
    return [jax.tree.map(lambda *arrays: np.concatenate(arrays), *part) for part in parts]


def require_finite_quotes(policy: Any, result: Any, first: int, scenario: str) -> None:
    """Refuse what a policy did whose half-spreads are not those of a quote: its network gave no number.

    Infinity is no half-spread; NaN leaves a side unquoted, and only those may say so who know how.

    Args:
        policy: who quoted.
        result: a trajectory or tally, the first axis the path.
        first: index of the first path.
        scenario: name of the random streams.

    Raises:
        FlowhftError: naming the policy and the path.
    """
    while hasattr(policy, "policy"):  # behind adapters and delays
        policy = policy.policy
    always = bool(getattr(policy, "always_quotes", False))
    if isinstance(result, Trajectory):
        sides = np.stack([result.quote.half_spread_bid, result.quote.half_spread_ask])
        wrong = (~np.isfinite(sides) if always else np.isinf(sides)).any(axis=(0, -1))
    elif isinstance(result, Tally):
        wrong = ~np.isfinite(result.half_spread) | ~np.isfinite(
            result.spread_pnl
        )  # infinity x no fill is NaN
        wrong |= always & (np.asarray(result.quoted) < result.steps)
    else:
        return
    for path in np.flatnonzero(wrong)[:1]:
        kind = getattr(policy, "name", type(policy).__name__)
        rule, received = ("be finite", "NaN") if always else ("be finite, or NaN for no quote", "infinity")
        raise FlowhftError(
            f"`half_spread` of the policy {kind} must {rule}; received {received} in path {first + path} of "
            f"'{scenario}'. What its network works out there is no number."
        )


def rollout(
    market: Market, policy: Policy | OwnPolicy, *, paths: int, seed: int, scenario: str, first: int = 0
) -> Trajectory:
    """Simulate a policy in a market and return every step of every path.

    Args:
        market: from `flowhft.simulate.market.market.build`.
        policy: see `flowhft.types.Policy`; or a user's own.
        paths: how many.
        seed: of the run.
        scenario: name of the random streams; the same name and seed give the same market.
        first: index of the first path; disjoint ranges are independent paths.

    Returns:
        A trajectory of numpy arrays of shape (path, step).
    """
    return _run(one_path, market, [policy], paths, seed, scenario, first, CHUNK)[0]


def order_flow(market: Market, *, paths: int, seed: int, scenario: str, first: int = 0) -> Orders:
    """Return the market orders that come in the paths of `rollout`, whoever quotes.

    Args:
        market: as for `rollout`, like all that follow; with `excited_by_arrivals`.
        paths: how many.
        seed: of the run.
        scenario: name of the random streams.
        first: index of the first path.

    Returns:
        Numpy arrays, the first axis the path.
    """
    return _run(_orders_of_path, market, [None], paths, seed, scenario, first, CHUNK)[0]


def evaluate_one(
    market: Market, policy: Policy | OwnPolicy, *, paths: int, seed: int, scenario: str, first: int = 0
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
        What `flowhft.metrics.measures.measure` would return for the trajectory of `rollout`: arrays of shape
        (path,).
    """
    return evaluate_together(market, [policy], paths=paths, seed=seed, scenario=scenario, first=first)[0]


def evaluate_together(
    market: Market,
    policies: Sequence[Policy | OwnPolicy],
    *,
    paths: int,
    seed: int,
    scenario: str,
    first: int = 0,
    chunk: int = CHUNK,
    room: int = 0,
) -> list[dict[str, PathValues]]:
    """Simulate several policies in the same market, whose random numbers are drawn only once.

    Policies of the same kind (that differ in numbers only) share one compiled program.

    Args:
        market: as for `rollout`, like all that follow.
        policies: who quotes, each as if alone.
        paths: how many.
        seed: of the run.
        scenario: name of the random streams.
        first: index of the first path.
        chunk: paths that are simulated at once: bounds the memory, does not change a bit of the result.
        room: paths for which programs are compiled if there are fewer: a short last block then needs no
            programs of its own, which take longer than the paths that it leaves unused.

    Returns:
        For each policy what `evaluate_one` returns.
    """
    require(chunk >= 1, "chunk", "be at least 1", chunk)
    tallies = _run(one_account, market, policies, paths, seed, scenario, first, chunk, room)
    return [measures_of(tally) for tally in tallies]
