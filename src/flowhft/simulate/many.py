"""A contest: many policies in one market, every path drawn once and met by all of them.

Policies that differ only in numbers (one expert at several risk aversions, one network behind several
adapters) become one vmapped policy, so that a contest compiles one loop a kind and not one a candidate.
"""

from collections.abc import Hashable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, PartitionSpec
from jaxtyping import Array, Int, PRNGKeyArray

from flowhft.errors import require
from flowhft.metrics.measures import PathValues, Tally, measures_of
from flowhft.simulate.market.market import Market
from flowhft.simulate.rollout import LANES, key_for, one_account, require_finite_quotes
from flowhft.types import Policy

# Accounts (paths x candidates) that one call keeps: what fits into the caches of a core is fastest.
ACCOUNTS = 2**14


def evaluate_many(
    market: Market, policies: Sequence[Policy], *, paths: int, seed: int, scenario: str
) -> list[dict[str, PathValues]]:
    """Run many policies through the same paths of a market.

    Args:
        market: where.
        policies: who quotes, in any order.
        paths: sessions; path i is the same market for every policy, and the one that
            `flowhft.simulate.rollout.evaluate_one` gives for the same seed and name.
        seed: of the run.
        scenario: name of the random streams.

    Returns:
        For every policy, in the order given, its measures (see `flowhft.metrics.measures.measure`): arrays of
        shape (path,).
    """
    require(paths >= 1, "paths", "be at least 1", paths)
    require(len(policies) >= 1, "policies", "hold at least one policy", 0)
    groups = _alike(policies)
    stacks = tuple(stack([policies[i] for i in members]) for members in groups)
    counts = tuple(map(len, groups))
    keys = key_for(seed, "market", scenario), key_for(seed, "policy", scenario)
    unit = LANES * jax.device_count()
    most = max(1, ACCOUNTS // len(policies)) * jax.device_count()
    size = -(-min(most, paths) // unit) * unit
    parts = []
    for start in range(0, paths, size):
        tallies = _meet(market, stacks, counts, keys, jnp.arange(size) + start)
        parts.append(jax.tree.map(lambda values, left=paths - start: np.asarray(values)[:left], tallies))
    results: dict[int, dict[str, PathValues]] = {}
    for members, tallies in zip(groups, zip(*parts, strict=True), strict=True):
        whole = jax.tree.map(lambda *arrays: np.concatenate(arrays), *tallies)
        for column, i in enumerate(members):
            tally = Tally(*(np.asarray(values)[:, column] for values in whole))
            require_finite_quotes(policies[i], tally, 0, scenario)
            results[i] = measures_of(tally)
    return [results[i] for i in range(len(policies))]


def _alike(policies: Sequence[Policy]) -> list[list[int]]:
    """Return the positions of the policies that differ only in numbers, kind by kind."""
    kinds: dict[Hashable, list[int]] = {}
    for i, policy in enumerate(policies):
        leaves, structure = jax.tree.flatten(policy)
        kinds.setdefault((structure, tuple(np.shape(leaf) for leaf in leaves)), []).append(i)
    return list(kinds.values())


def stack(policies: Sequence[Policy]) -> tuple[Policy, Policy]:
    """Return one policy of many that differ only in numbers: what differs, with a leading axis, and the rest.

    What is the same array in all of them, a network behind several adapters, is not copied.

    Args:
        policies: of one kind.

    Returns:
        Two trees of the policies' structure, numbers in one of them and None in the other; a lone policy's
        numbers have the axis too.
    """

    def together(*leaves: Any) -> Any:
        return leaves[0] if _shared(leaves) else jnp.stack([jnp.asarray(leaf) for leaf in leaves])

    def varied(*leaves: Any) -> bool:
        return not _shared(leaves)

    return eqx.partition(jax.tree.map(together, *policies), jax.tree.map(varied, *policies))


def _shared(leaves: Sequence[Any]) -> bool:
    return len(leaves) > 1 and all(leaf is leaves[0] for leaf in leaves)


@eqx.filter_jit
def _meet(
    market: Market,
    stacks: tuple[tuple[Policy, Policy], ...],
    counts: tuple[int, ...],
    keys: tuple[PRNGKeyArray, PRNGKeyArray],
    paths: Int[Array, " path"],
) -> tuple[Tally, ...]:
    """Return the accounts of every kind of policy, (path, policy) each, paths spread over all devices."""
    arrays, rest = eqx.partition((market, stacks), eqx.is_array)

    def shard(arrays: Any, keys: tuple, paths: Int[Array, " path"]) -> tuple[Tally, ...]:
        market, stacks = eqx.combine(arrays, rest)

        def path(index: Int[Array, ""]) -> tuple[Tally, ...]:
            market_key, policy_key = (jax.random.fold_in(key, index) for key in keys)
            world = market.draw(market_key)

            def account(varied: Policy, fixed: Policy) -> Tally:
                return one_account(market, eqx.combine(varied, fixed), world, policy_key)

            return tuple(
                jax.vmap(account, in_axes=(0, None), axis_size=count)(
                    *stack
                )  # who has no numbers has no axis
                for stack, count in zip(stacks, counts, strict=True)
            )

        return jax.vmap(path)(paths)

    devices = jax.make_mesh((jax.device_count(),), ("path",), axis_types=(AxisType.Auto,))
    everywhere, spread = PartitionSpec(), PartitionSpec("path")
    return jax.shard_map(
        shard, mesh=devices, in_specs=(everywhere, everywhere, spread), out_specs=spread, check_vma=False
    )(arrays, keys, paths)
