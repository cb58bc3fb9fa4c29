"""Episodes to learn from: a market with a reward, seen and acted on as an agent does."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from flowhft.features import Units
from flowhft.policies.agent import VIEWS, units_in
from flowhft.scenarios.scenario import Scenario
from flowhft.simulate.market.market import Market, build
from flowhft.simulate.quoting.agent import Scales, first_spread, quote_of
from flowhft.simulate.quoting.agent_view import encode
from flowhft.types import Numeric

# Half-spreads that an action can reach, in units of 1 / k from the risk-neutral one: 4 / k beyond the mid,
# where every order trades, and 20 / k away, where none does.
LOWEST = -5.0
HIGHEST = 20.0


class Episode(NamedTuple):
    """An episode that is about to begin.

    Attributes:
        setting: what stays as it is in an episode.
        state: where it stands.
        world: random numbers, arrays with a leading axis step.
    """

    setting: PyTree
    state: PyTree
    world: PyTree


class Reward(NamedTuple):
    """What a step brought.

    Attributes:
        value: what the agent is to make large.
        gain: for people: what the step earned.
        position: held before the action.
        move: of what is held in the step, which no action can change; see `flowhft.rl.advantage.luck`.
    """

    value: Numeric
    gain: Numeric
    position: Numeric
    move: Numeric


class Environment(Protocol):
    """Episodes of a fixed number of steps, for one path; `vmap` makes many."""

    @property
    def steps(self) -> int:
        """Return the steps of an episode."""

    def draw(self, key: PRNGKeyArray, number: Int[Array, ""]) -> Episode:
        """Draw an episode; its number is for those of several kinds that take turns."""

    def encode(self, setting: PyTree, state: PyTree) -> Float[Array, " feature"]:
        """Return what the agent sees, before its scales."""

    def step(
        self, setting: PyTree, state: PyTree, action: Float[Array, " action"], world: PyTree
    ) -> tuple[PyTree, Reward]:
        """Return the next state and what the step brought."""


class MarketEnvironment(eqx.Module):
    """Sessions in one market or, by turns, in several that share a program.

    The reward of a step is the change of equity less phi inventory^2 dt.

    Attributes:
        markets: their numbers with a leading axis market.
        units: what an agent knows of each, likewise.
        scales: from actions to half-spreads.
        inventory_penalty: phi, ticks / (lot x second).
    """

    markets: Market
    units: Units
    scales: Scales
    inventory_penalty: Numeric

    @property
    def steps(self) -> int:
        """Return the steps of a session."""
        return self.markets.steps

    @property
    def count(self) -> int:
        """Return how many markets take turns."""
        return len(self.markets.dt)

    def draw(self, key: PRNGKeyArray, number: Int[Array, ""]) -> Episode:
        """Draw a session; by its number, every market comes as often as the others."""
        index = 0 if self.count == 1 else number % self.count  # the only one is the same for all paths
        market, known = jax.tree.map(lambda leaf: leaf[index], (self.markets, self.units))
        world = market.draw(key)
        return Episode((market, known), (market.init(world), first_spread(self.scales, known)), world)

    def encode(self, setting: tuple[Market, Units], state: tuple) -> Float[Array, " feature"]:
        """Return what the agent sees."""
        market, known = setting
        return encode(known, market.observe(state[0]), state[1])

    def step(
        self, setting: tuple[Market, Units], state: tuple, action: Float[Array, " side"], world: Any
    ) -> tuple[tuple, Reward]:
        """Quote what the action stands for; the gain is the change of equity."""
        market, known = setting
        quote = quote_of(self.scales, known, action)
        after, outcome = market.step(state[0], quote, world)
        gain = outcome.spread_pnl + outcome.inventory_pnl - outcome.fee
        risk = self.inventory_penalty * after.inventory**2 * market.dt
        reward = Reward(gain - risk, gain, state[0].inventory, world.move)
        return (after, quote.half_spread_bid + quote.half_spread_ask), reward


def environments_of(
    scenarios: Sequence[Scenario], view: str, inventory_penalty: float, like: Sequence[Scenario] = ()
) -> tuple[MarketEnvironment, ...]:
    """Return the environments of scenarios: one for all that share a program.

    The action 0 is the risk-neutral quote 1 / k and an action of 1 is another 1 / k, told or, for an agent
    that is told nothing, of the first scenario.

    Args:
        scenarios: where to learn.
        view: of the agent.
        inventory_penalty: phi, ticks / (lot x second).
        like: scenarios for which agents are trained beside these: see `flowhft.simulate.market.market.build`.
    """
    groups: dict[Any, list[tuple[Market, Units]]] = {}
    for scenario in scenarios:
        family = [other for other in (like or scenarios) if _program(other) == _program(scenario)]
        market = build(scenario, like=family)
        known = jax.tree.map(lambda number: jnp.asarray(number, jnp.float32), units_in(view, scenario))
        shapes = tuple(leaf.shape for leaf in jax.tree.leaves(market))
        groups.setdefault((jax.tree.structure(market), shapes), []).append((market, known))
    unit = 1.0 if view == "regime" else 1.0 / scenarios[0].fill_decay
    side, features = jnp.ones(2, jnp.float32), jnp.ones(len(VIEWS[view]), jnp.float32)
    scales = Scales(0.0 * features, features, unit * side, unit * side, LOWEST * side, HIGHEST * side)
    penalty = jnp.asarray(inventory_penalty, jnp.float32)
    stacked = [jax.tree.map(lambda *leaves: jnp.stack(leaves), *members) for members in groups.values()]
    return tuple(MarketEnvironment(markets, known, scales, penalty) for markets, known in stacked)


def _program(scenario: Scenario) -> tuple:
    """Return what scenarios that share a compiled program agree in."""
    return scenario.price, scenario.exciter, scenario.refill, scenario.steps
