"""A user's own policy in simulated markets: traced with them, or called path by path between their steps.

What jax compiles is traced into the loop of `flowhft.simulate.rollout` as every policy of the lab. Plain
Python and what numba compiles cannot be: there the market takes a step of all paths, the policy is asked for
every path, and so on. The market, its random numbers and the account are the same, so that results differ by
the rounding of single precision only.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeGuard

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from flowhft.errors import FlowhftError, UsageError
from flowhft.metrics.measures import Tally, begin_tally, tally_step
from flowhft.policies.own import OwnPolicy, checked_quote
from flowhft.runs.folder import stream
from flowhft.simulate.market.market import Market, State
from flowhft.simulate.market.world import World
from flowhft.types import SCALARS, Observation, Quote, Trajectory

# (market, state, quote, world, expected move of the mid) -> state after the step, what is kept of it
Settle = Callable[[Market, State, Quote, World, Any], tuple[State, Trajectory]]
_PAIR, _WHOLE = 2, 4  # numbers of what a user's policy returns: half-spreads, and sizes behind them


class Traced(eqx.Module):
    """A user's policy that jax can trace, as a policy of the lab.

    Attributes:
        given: the user's function or object.
        name: for messages.
        remembers: whether it is an object with `init` and `act`.
    """

    given: Any
    name: str = eqx.field(static=True)
    remembers: bool = eqx.field(static=True)

    def init(self) -> Any:
        """Return the memory of a session that has just begun."""
        return jax.tree.map(jnp.asarray, self.given.init()) if self.remembers else ()

    def act(self, memory: Any, observation: Observation, key: Any) -> tuple[Quote, Any]:
        """Return the quote for this observation and the memory for the next one."""
        if self.remembers:
            result, memory = self.given.act(memory, observation, key)
        else:
            result = self.given(observation)
        numbers = tuple(result)
        if len(numbers) not in (_PAIR, _WHOLE):
            raise UsageError(
                f"the policy {self.name} must return 2 or 4 numbers; received {len(numbers)}. Return a "
                "Quote, or half-spreads in ticks as (bid, ask)."
            )
        return Quote(*(jnp.asarray(number, jnp.float32) for number in numbers)), memory


def as_traced(policy: Any) -> Any:
    """Return a policy as the lab runs it: a user's own that jax can trace as one that is traced.

    Args:
        policy: any; all but a user's own are returned as they are.
    """
    if isinstance(policy, OwnPolicy) and policy.runs == "jax":
        return Traced(policy.given, policy.name, policy.remembers)
    return policy


def is_hosted(policy: Any) -> TypeGuard[OwnPolicy]:
    """Whether a policy is called between the steps of a market, since no compiled loop can hold it."""
    return isinstance(policy, OwnPolicy) and policy.runs != "jax"


@eqx.filter_jit
def _step(
    settle: Settle,
    keep: bool,
    market: Market,
    state: State,
    tally: Tally,
    quotes: Float[Array, "number path"],
    worlds: World,
    index: Int[Array, ""],
) -> tuple[State, Tally, Float[Array, "field path"], Trajectory | None]:
    """Take one step of all paths: the state after it, the account, what is seen then, what is kept."""
    world = jax.tree.map(lambda values: values[index], worlds)

    def path(state: State, quote: Quote, world: World) -> tuple[State, Trajectory]:
        return settle(market, state, quote, world, jnp.nan)

    after, record = jax.vmap(path, in_axes=(0, 0, -1))(state, Quote(*quotes), world)
    tally = jax.vmap(tally_step)(tally, record)
    return after, tally, _seen(market, after), record if keep else None


def _seen(market: Market, state: State) -> Float[Array, "field path"]:
    shape = state.mid_price.shape
    return jnp.stack([jnp.broadcast_to(value, shape) for value in market.observe(state).scalars])


@eqx.filter_jit
def _begin(
    market: Market, worlds: World, paths: Int[Array, " path"]
) -> tuple[State, Float[Array, "field path"]]:
    state = jax.vmap(lambda _, world: market.init(world), in_axes=(0, -1))(paths, worlds)
    return state, _seen(market, state)


def run_hosted(
    settle: Settle,
    market: Market,
    policy: OwnPolicy,
    worlds: World,
    paths: Int[Array, " path"],
    wanted: int,
    seed: int,
    scenario: str,
    keep: bool,
) -> Any:
    """Run a user's policy on paths whose random numbers are drawn.

    A path's policy draws from a `numpy.random.Generator` that follows from seed, name and path alone.

    Args:
        settle: takes one step of one path (`flowhft.simulate.rollout.settle`).
        market: where.
        policy: who quotes, in plain Python or numba.
        worlds: the market's random numbers, arrays of shape (step, ..., path).
        paths: their indices.
        wanted: how many of them count; the others fill a vector register, and nobody quotes there.
        seed: of the run.
        scenario: name of the random streams.
        keep: whether every step is kept, rather than the account alone.

    Returns:
        A trajectory, arrays of shape (path, step), or a tally, of shape (path,).

    Raises:
        UsageError: what the policy raised or returned, with its step and path.
    """
    state, seen = _begin(market, worlds, paths)
    first = int(paths[0])
    ask = _asker(policy, seed, scenario, range(first, first + wanted))
    tally = jax.vmap(lambda _: begin_tally(jnp.zeros(())))(paths)
    kept = []
    for index in range(market.steps):
        quotes = np.full((_WHOLE, len(paths)), np.nan, np.float32)
        quotes[:, :wanted] = ask(index, np.asarray(seen, np.float64)[:, :wanted].T).T
        state, tally, seen, record = _step(
            settle, keep, market, state, tally, jnp.asarray(quotes), worlds, jnp.asarray(index)
        )
        if record is not None:
            kept.append(jax.tree.map(np.asarray, record))
    return jax.tree.map(lambda *steps: np.stack(steps, axis=1), *kept) if keep else tally


def quotes_at(policy: OwnPolicy, observations: Float[np.ndarray, "row field"]) -> Float[np.ndarray, "row 4"]:
    """Return what a user's policy quotes at observations, each that of a session's start.

    Args:
        policy: in plain Python or numba.
        observations: columns as the fields of `Observation`.
    """
    return _asker(policy, 0, "", range(len(observations)))(0, observations)


def _asker(
    policy: OwnPolicy, seed: int, scenario: str, paths: Sequence[int]
) -> Callable[[int, Float[np.ndarray, "path field"]], Float[np.ndarray, "path 4"]]:
    """Return what asks a policy for the quotes of all paths: (step, observations) -> half-spreads, sizes."""
    if policy.runs == "numba" and not policy.remembers:
        return functools.partial(_ask_compiled, policy, paths)
    word = stream(seed, "policy", scenario)
    keys = [np.random.default_rng([word, path]) if policy.remembers else None for path in paths]
    memories = [_named(policy, -1, path, policy.init) for path in paths]

    def ask(step: int, observations: np.ndarray) -> np.ndarray:
        quotes = np.empty((len(paths), _WHOLE))
        for i, row in enumerate(observations.tolist()):
            quotes[i], memories[i] = _named(
                policy, step, paths[i], policy.act, memories[i], Observation(*row), keys[i]
            )
        return quotes

    return ask


def _named(policy: OwnPolicy, step: int, path: int, function: Callable[..., Any], *arguments: Any) -> Any:
    """Call the user's code; what it raises comes out with the policy, the step and the path named."""
    try:
        return function(*arguments)
    except FlowhftError as cause:
        raise type(cause)(f"{cause} [step {step}, path {path}]") from cause
    except Exception as cause:
        when = f"at step {step} of path {path}" if step >= 0 else f"when path {path} began"
        raise UsageError(
            f"the policy {policy.name} must quote whatever it sees; {when} it raised "
            f"{type(cause).__name__}: {cause}. Mend it, or return NaN where it should not quote."
        ) from cause


def _ask_compiled(
    policy: OwnPolicy, paths: Sequence[int], step: int, observations: Float[np.ndarray, "path field"]
) -> Float[np.ndarray, "path 4"]:
    """Ask a function that numba has compiled, in a loop that it compiles too."""
    first = _named(policy, step, paths[0], policy.given, Observation(*observations[0].tolist()))
    _named(policy, step, paths[0], checked_quote, policy.name, first)
    quotes = np.ones((len(observations), _WHOLE))
    loop = _loop(policy.given, len(first))
    _named(policy, step, paths[0], loop, np.ascontiguousarray(observations), quotes)
    wrong = np.isinf(quotes[:, :_PAIR]).any(axis=1) | ~(quotes[:, _PAIR:] >= 0.0).all(axis=1)
    wrong |= np.isinf(quotes[:, _PAIR:]).any(axis=1)
    for i in np.flatnonzero(wrong)[:1]:
        _named(policy, step, paths[i], checked_quote, policy.name, quotes[i])
    return quotes


@functools.lru_cache(maxsize=64)
def _loop(given: Any, numbers: int) -> Callable[[np.ndarray, np.ndarray], None]:
    """Return a compiled loop that asks a compiled function for every row."""
    import numba
    from numba.np.unsafe import ndarray

    to_fixed_tuple: Any = ndarray.to_fixed_tuple
    fields = len(SCALARS)

    @numba.njit
    def half_spreads(seen: np.ndarray, quotes: np.ndarray) -> None:
        for i in range(len(seen)):
            quote = given(Observation(*to_fixed_tuple(seen[i], fields)))
            quotes[i, 0], quotes[i, 1] = quote[0], quote[1]

    @numba.njit
    def whole(seen: np.ndarray, quotes: np.ndarray) -> None:
        for i in range(len(seen)):
            quote = given(Observation(*to_fixed_tuple(seen[i], fields)))
            quotes[i, 0], quotes[i, 1], quotes[i, 2], quotes[i, 3] = quote[0], quote[1], quote[2], quote[3]

    return whole if numbers == _WHOLE else half_spreads
