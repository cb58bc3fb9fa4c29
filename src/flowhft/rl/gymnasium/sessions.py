"""Sessions that run side by side: what both environments are made of.

All sessions begin together and, having equally many steps, end together. A session's random numbers are those
of `flowhft.simulate.rollout` for the same (seed, stream, path), drawn when it begins; a step is then plain
arithmetic in one compiled program, whose shapes never change.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from flowhft.errors import require
from flowhft.policies.actor import pulled
from flowhft.rl.gymnasium.encoding import Encoder, encoder_for, space_for
from flowhft.rl.gymnasium.forked import require_own_jax
from flowhft.rl.gymnasium.settings import Act, EnvSettings
from flowhft.scenarios.scenario import Scenario
from flowhft.simulate.market.market import Market, World, build
from flowhft.simulate.quoting.agent import quote_of
from flowhft.simulate.rollout import key_for
from flowhft.types import Quote

SIDES = ("bid", "ask")
# What a step tells beside observation and reward, in the units of `Trajectory`.
INFO = (
    "mid_price",
    "cash",
    "inventory",
    "half_spread_bid",
    "half_spread_ask",
    "fill_bid",
    "fill_ask",
    "spread_pnl",
    "inventory_pnl",
    "fee",
)
# What it tells besides where a side may be pulled: 1 where it was quoted, 0 where not.
PULLED = ("quoted_bid", "quoted_ask")


class StepResult(NamedTuple):
    """What an environment tells after a reset or a step; all arrays are the caller's own.

    Attributes:
        observation: float32, shape (path, feature).
        reward: tick x lot, float32, shape (path,).
        info: by name, shape (path,): `INFO`, `PULLED` if sides may be pulled, and equity since the session
            began, tick x lot, float64.
    """

    observation: np.ndarray
    reward: np.ndarray
    info: dict[str, np.ndarray]


def _start(market: Market, encoder: Encoder, world: World) -> tuple[tuple, Array]:
    """Return the state and memory with which a session begins, and what is seen there."""
    state = market.init(world)
    seen, memory = encoder.see(encoder.init(), market.observe(state))
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), (state, memory)), seen


def _pack(sessions: PyTree) -> Float[Array, "number path"]:
    """Return the leaves of many sessions, path in front, as the rows of one array."""
    return jnp.concatenate([leaf.reshape(leaf.shape[0], -1).T for leaf in jax.tree.leaves(sessions)])


def _unpack(packed: Float[Array, "number path"], like: PyTree) -> PyTree:
    """Undo `_pack`; `like` is one session, without the axis path."""
    leaves, structure = jax.tree.flatten(like)
    rows = jnp.split(packed, np.cumsum([leaf.size for leaf in leaves])[:-1])
    back = [part.T.reshape(-1, *leaf.shape) for part, leaf in zip(rows, leaves, strict=True)]
    return jax.tree.unflatten(structure, back)


@jax.jit
def _begin(
    market: Market, encoder: Encoder, key: PRNGKeyArray, paths: Int[Array, " path"]
) -> tuple[Float[Array, "number path"], World, Float[Array, "path feature"]]:
    """Draw the sessions of some paths and return their start; a world's leaves have the step in front."""
    worlds = jax.vmap(lambda path: market.draw(jax.random.fold_in(key, path)), out_axes=1)(paths)
    now, seen = jax.vmap(lambda world: _start(market, encoder, world), in_axes=1, axis_size=len(paths))(
        worlds
    )
    return _pack(now), worlds, seen


@partial(jax.jit, static_argnames="action", donate_argnames="now")
def _step(
    action: Act,
    market: Market,
    encoder: Encoder,
    inventory_penalty: Float[Array, ""],
    now: Float[Array, "number path"],
    worlds: World,
    index: Int[Array, ""],
    actions: Float[Array, "path action"],
) -> tuple[Float[Array, "number path"], Float[Array, "path feature"], Float[Array, "number path"]]:
    """Advance every session by one step; return where they stand, what is seen, and reward and info.

    States and memories travel as one array: with few sessions a call costs what its arrays cost. What an
    agent sees of its previous spread is the one that it meant, whether or not it pulled a side.
    """

    def one(now: tuple, world: World, pair: Float[Array, " action"]) -> tuple[tuple, Array, tuple]:
        state, memory = now
        state = state._replace(time=clock)
        meant = Quote(pair[0], pair[1])
        if action == "offset":
            # Worked out once: fused into all that asks for it, one session took twice as long a step.
            meant = jax.lax.optimization_barrier(quote_of(encoder.scales, encoder.units, pair[:2]))
        quote = meant if pair.size == len(SIDES) else pulled(meant, pair[len(SIDES) :], jnp)
        state, outcome = market.step(state, quote, world)
        seen, memory = encoder.see(encoder.note(memory, meant), market.observe(state))
        gain = outcome.spread_pnl + outcome.inventory_pnl - outcome.fee
        reward = gain - inventory_penalty * state.inventory**2 * market.dt
        info = (
            state.mid_price,
            state.cash,
            state.inventory,
            meant.half_spread_bid,
            meant.half_spread_ask,
            outcome.fill.bid,
            outcome.fill.ask,
            outcome.spread_pnl,
            outcome.inventory_pnl,
            outcome.fee,
        )
        infos = () if quote is meant else tuple(1.0 - jnp.isnan(side) for side in quote[: len(SIDES)])
        return (state, memory), seen, (reward, *info, *infos)

    one_world = jax.tree.map(lambda values: values[:, 0], worlds)
    like, _ = jax.eval_shape(_start, market, encoder, one_world)
    world = jax.tree.map(lambda values: values[index], worlds)
    before = _unpack(now, like)
    clock = before[0].time[0]  # one for all sessions, which is what keeps `market.step` fast on a CPU
    after, seen, infos = jax.vmap(one)(before, world, actions)
    return _pack(after), seen, jnp.stack(infos)


class Sessions:
    """Sessions of one scenario, side by side and in step.

    jax runs when the first sessions begin, and not before (see `flowhft.rl.gymnasium.forked`).

    Args:
        scenario: the market.
        settings: what is seen, done and paid.
        count: how many sessions.
    """

    def __init__(self, scenario: Scenario, settings: EnvSettings, count: int) -> None:
        self.scenario, self.settings, self.count = scenario, settings, count
        self.observation_space, self.action_space = space_for(settings), settings.action_space(scenario)
        self._info_names = INFO + PULLED if settings.may_pull else INFO
        self._market: Any = None
        self._now: Any = None
        self._worlds: Any = None
        self._index = scenario.steps

    @property
    def running(self) -> bool:
        """Whether the sessions have begun and not ended."""
        return self._index < self.scenario.steps

    def begin(self, seed: int, first: int) -> StepResult:
        """Begin the sessions of the paths `first` ... `first + count - 1`.

        Args:
            seed: of their stream (see `stream_of`).
            first: index of the first path.
        """
        if self._market is None:
            self._prepare()
        key = key_for(seed, "market", stream_of(self.scenario))
        paths = jnp.arange(self.count) + first
        self._now, self._worlds, seen = _begin(self._market, self._encoder, key, paths)
        self._index = 0
        self._equity = np.zeros(self.count)
        return self._step_result(seen, np.zeros((1 + len(self._info_names), self.count), np.float32))

    def _prepare(self) -> None:
        require_own_jax()
        self._encoder = encoder_for(self.settings, self.scenario)
        self._penalty = jnp.float32(self.settings.inventory_penalty)
        self._indices = [jnp.int32(step) for step in range(self.scenario.steps)]
        self._market = build(self.scenario)

    def step(self, actions: np.ndarray) -> StepResult:
        """Advance all sessions by one step.

        Args:
            actions: float32, shape (path, action), within the action space.

        Raises:
            UsageError: a number that is none or beyond the action space.
        """
        lows, highs = self.action_space.low, self.action_space.high
        fine = (actions >= lows) & (actions <= highs)
        for path, index in np.argwhere(~fine)[:1]:
            fix = "Clip it, for example by gymnasium.wrappers.ClipAction, or raise `largest_offset`."
            rule = f"lie between {lows[index]:g} and {highs[index]:g}"
            require(False, "action", rule, f"{actions[path, index]:g}", fix)
        self._now, seen, infos = _step(
            self.settings.action,
            self._market,
            self._encoder,
            self._penalty,
            self._now,
            self._worlds,
            self._indices[self._index],
            actions,
        )
        self._index += 1
        return self._step_result(seen, np.array(infos))

    def _step_result(self, seen: Float[Array, "path feature"], infos: np.ndarray) -> StepResult:
        reward, *rest = infos
        info = dict(zip(self._info_names, rest, strict=True))
        self._equity = self._equity + info["spread_pnl"] + info["inventory_pnl"] - info["fee"]
        info["equity"] = self._equity.copy()  # what is told is the caller's, who may change it
        return StepResult(np.array(seen), reward, info)


def as_actions(value: object, shape: tuple[int, ...]) -> np.ndarray:
    """Return an action as float32.

    Raises:
        UsageError: it is no numbers, or its shape is another.
    """
    try:
        actions = np.asarray(value, np.float32)
    except (TypeError, ValueError):
        require(False, "action", "be numbers", repr(value))
    axis = "(bid, ask)" if shape[-1] == len(SIDES) else "(bid, ask, quote bid, quote ask)"
    require(actions.shape == shape, "action", f"have shape {shape}, last axis {axis}", actions.shape)
    return actions


def stream_of(scenario: Scenario) -> str:
    """Return the name of the random stream of a scenario's sessions, as `rollout` takes it.

    It is not the one that `flowhft evaluate` judges on, so that no agent is judged on paths that it was
    trained on.
    """
    return f"gym/{scenario.name}"
