"""The bank: what a policy senses along random paths, what its base quotes, what happens to its orders.

A reference maker is run through every path by the one loop and the one market, and its observations are kept;
where own fills excite the order flow, the rates that are sensed are those of its fills. Everything but
inventory is then the same for every maker, or nearly so.
"""

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from flowhft import features
from flowhft.features import NAMES, Sensor
from flowhft.learn.regime.baselines import EXPERTS, by_utility, makers
from flowhft.learn.regime.family import market_of
from flowhft.learn.regime.law import NODES, Law, PathLaw, law_along
from flowhft.learn.regime.score import SMALL, risk_of
from flowhft.learn.regime.worlds import draw_worlds
from flowhft.metrics.estimators import RISK_WEIGHT
from flowhft.policies import rules as experts
from flowhft.policies.regime_adapter import SEES
from flowhft.policies.rule import coefficients_in
from flowhft.runs.folder import stream
from flowhft.scenarios.known import informed_in, premium_in
from flowhft.scenarios.scenario import Scenario
from flowhft.simulate.market.market import FURTHEST_MOVE, Market, build
from flowhft.simulate.market.world import World
from flowhft.simulate.rollout import one_path
from flowhft.types import Observation, Policy, Progress, Quote, no_progress

CHUNK = 32  # scenarios that are run at once
_SEEN = np.array([NAMES["context"].index(name) for name in SEES])


class Bank(NamedTuple):
    """Paths of many scenarios; every array has leading axes (scenario, path), constants only (scenario,).

    Attributes:
        seen: features of `flowhft.policies.regime_adapter.SEES` before every step, shape (scenario, path,
            step, seen).
        base: half-spreads of the frozen policy at the inventories `NODES`, ticks, shape (scenario, path,
            step, node, side); None where it is 1 / k on both sides.
        path_law: see `flowhft.learn.regime.law.Way`.
        premium: share of the jumps' mean effect that the market leaves in the drift, shape (scenario,).
        informed: 1 where traders are informed, else 0, shape (scenario,).
        half_spread: 1 / k, ticks, shape (scenario,).
        bar_mean: mean of the expert that earns most, tick x lot, shape (scenario,); with adverse selection,
            where only utility counts, that of the expert of the best utility.
        bar_risk: logarithm of the risk of the calmest expert, shape (scenario,); likewise.
        bar_utility: best mean less `RISK_WEIGHT` standard deviations of an expert, tick x lot, shape
            (scenario,).
        by_utility: 1 where only utility counts, with adverse selection, else 0, shape (scenario,).
        scale: below which a mean is no longer judged by its ratio, tick x lot, shape (scenario,).
    """

    seen: Float[Array, "scenario path step seen"]
    base: Float[Array, "scenario path step node side"] | None
    path_law: PathLaw
    premium: Float[Array, " scenario"]
    informed: Float[Array, " scenario"]
    half_spread: Float[Array, " scenario"]
    bar_mean: Float[Array, " scenario"]
    bar_risk: Float[Array, " scenario"]
    bar_utility: Float[Array, " scenario"]
    by_utility: Float[Array, " scenario"]
    scale: Float[Array, " scenario"]


class Constant(eqx.Module):
    """The reference maker: the same half-spread on both sides, whatever it sees."""

    half_spread: Array

    def init(self) -> tuple:
        """Return the empty memory."""
        return ()

    def act(self, memory: tuple, observation: Observation, key: Array) -> tuple[Quote, tuple]:
        """Return the quote."""
        return Quote(self.half_spread, self.half_spread), memory


class Watched(NamedTuple):
    """What the reference maker saw along the paths of some scenarios, leading axes (scenario, path, step)."""

    observation: Observation
    seen: Array
    base: Array | None


@eqx.filter_jit
def _watch(
    markets: Market, worlds: World, half_spread: Array, sensor: Sensor, base: Policy | None
) -> Watched:
    """Run the reference maker through every path, and ask the base policy what it would quote there."""
    nodes = jnp.asarray(NODES, jnp.float32)
    key = jax.random.key(0)  # of a policy that quotes deterministically: never used

    def sensed(memory: Any, observation: Observation) -> tuple[Any, Array]:
        memory = features.sense(sensor, memory, observation)
        row = features.FUNCTIONS["context"](sensor, memory, observation)
        return memory, jnp.stack([jnp.asarray(row[column], jnp.float32) for column in _SEEN])

    def quoted(base: Policy, memory: Any, observation: Observation) -> tuple[Any, Array]:
        def at(inventory: Array) -> Array:
            return jnp.stack(base.act(memory, observation._replace(inventory=inventory), key)[0][:2])

        return base.act(memory, observation, key)[1], jax.vmap(at)(nodes)

    def path(market: Market, world: World, half_spread: Array) -> Watched:
        observation = one_path(market, Constant(half_spread), world, key).observation
        start = jax.tree.map(jnp.float32, features.remember_nothing(sensor))
        seen = jax.lax.scan(sensed, start, observation)[1]
        quotes = None if base is None else jax.lax.scan(partial(quoted, base), base.init(), observation)[1]
        return Watched(observation, seen, quotes)

    return jax.vmap(jax.vmap(path, in_axes=(None, 0, None)))(markets, worlds, half_spread)


@jax.jit
def _laws(path_law: PathLaw, quotes: Array) -> Law:
    """Return laws (scenario, expert, path) of quotes of that shape on ways (scenario, path)."""
    over_paths = jax.vmap(law_along)
    return jax.vmap(jax.vmap(over_paths, in_axes=(None, 0)))(path_law, quotes)


def _without_memory(market: Market) -> Market:
    """Return the market for prices that are given: markets with and without memory are then alike."""
    price = dataclasses.replace(market.price, amplitude=None, memory=None)
    return dataclasses.replace(market, price=price)


def _extremes(family: Sequence[Scenario]) -> list[Scenario]:
    """Return the scenarios that decide how much a program shared by all must be able to simulate."""

    def surge(scenario: Scenario) -> float:
        tilt = scenario.adverse_selection / scenario.step_deviation
        return max(scenario.mean_intensities) * float(np.exp(2.5 * tilt - 0.5 * tilt**2))

    return [max(family, key=surge), max(family, key=lambda s: max(s.mean_intensities))]


def quotes_of_expert(name: str, scenario: Scenario, observation: Observation) -> np.ndarray:
    """Return an expert's half-spreads at the inventories `NODES`, shape (path, step, node, side).

    Args:
        name: of the expert.
        scenario: that it is told.
        observation: of the reference maker, numpy arrays of shape (path, step).
    """
    expert = experts.get(name)
    at = Observation(*(np.asarray(values)[..., None] for values in observation.scalars))
    quote = expert.quote(
        coefficients_in(expert, scenario), at._replace(inventory=np.array(NODES)), (0.0, 0.0)
    )
    shape = (*np.shape(observation.time), len(NODES))
    sides = quote.half_spread_bid, quote.half_spread_ask
    return np.stack([np.broadcast_to(side, shape) for side in sides], axis=-1).astype(np.float32)


def make_bank(
    family: Sequence[Scenario],
    paths: int,
    seed: int,
    sensor: Sensor,
    base: Policy | None,
    swing: float,
    progress: Progress = no_progress,
    chunk: int = CHUNK,
) -> Bank:
    """Make the bank of a family of scenarios.

    Args:
        family: from `flowhft.learn.regime.family.draw_family`.
        paths: sessions of each.
        seed: of the run; every scenario has a random stream named after it.
        sensor: the scales against which the policy senses.
        base: the frozen policy, which must quote deterministically; None for 1 / k on both sides.
        swing: share of the quadratic variation in the risk of the experts, see `RegimeSettings`.
        progress: told after every chunk of scenarios.
        chunk: scenarios that are run at once.

    Returns:
        Numpy arrays, scenarios in the family's order.
    """
    parts: list[tuple[int, Bank]] = []
    markets = sorted({market_of(scenario) for scenario in family})
    for market in markets:
        places = [i for i, scenario in enumerate(family) if market_of(scenario) == market]
        like = _extremes([family[i] for i in places])
        for begin in range(0, len(places), chunk):
            wanted = places[begin : begin + chunk]
            progress(len(parts) / len(family), f"{len(parts)} of {len(family)} random scenarios")
            filled = wanted + wanted[:1] * (chunk - len(wanted))  # one shape, one program
            result = _chunk([family[i] for i in filled], like, paths, seed, sensor, base, swing, market)
            parts += [(column, jax.tree.map(lambda a, n=n: a[n], result)) for n, column in enumerate(wanted)]
    parts.sort(key=lambda part: part[0])
    return jax.tree.map(lambda *rows: np.stack(rows), *(bank for _, bank in parts))


def _chunk(
    scenarios: list[Scenario],
    like: list[Scenario],
    paths: int,
    seed: int,
    sensor: Sensor,
    base: Policy | None,
    swing: float,
    market: str,
) -> Bank:
    """Return the bank of a few scenarios of one preset."""
    built = [_without_memory(build(scenario, like=like)) for scenario in scenarios]
    markets = jax.tree.map(lambda *leaves: np.stack(leaves), *built)
    drawn = [
        draw_worlds(scenario, paths, np.random.default_rng(stream(seed, "regime", "paths", scenario.name)))
        for scenario in scenarios
    ]
    move, smooth, expected = (
        np.stack([getattr(one, name) for one in drawn]) for name in ("move", "smooth", "expected")
    )
    flow: Any = np.stack([one.order_flow for one in drawn]).astype(np.float32)
    move_32: Any = move.astype(np.float32)
    half_spread: Any = np.array([1.0 / scenario.fill_decay for scenario in scenarios], np.float32)
    watched = _watch(markets, World(move_32, flow), half_spread, sensor, base)
    watched = jax.tree.map(np.asarray, watched)
    observation = watched.observation

    strength = np.array([s.adverse_selection / s.step_deviation for s in scenarios])[:, None, None]
    step_deviation = np.asarray(markets.price.deviation)[:, None, None]
    price = np.asarray(markets.price.initial_price)[:, None, None] + observation.mid_price
    standard = np.clip(move / (step_deviation * price), -FURTHEST_MOVE, FURTHEST_MOVE)
    tilt = np.exp(np.stack([-strength * standard, strength * standard], -1) - 0.5 * strength[..., None] ** 2)
    intensity = np.stack([observation.intensity_bid, observation.intensity_ask], -1)
    own = not markets.excited_by_arrivals
    if own:
        intensity = np.broadcast_to(np.asarray(markets.base_intensity)[:, None, None, :], intensity.shape)
    informed = strength > 0.0

    def constant(values: Any) -> np.ndarray:
        """Give every path its market's constant."""
        values = np.asarray(values, np.float32)
        return np.broadcast_to(values[:, None], (len(scenarios), paths, *values.shape[1:]))

    excitation = np.asarray(markets.impulse)[:, None, None] * np.asarray(markets.excitation)
    along: dict[str, Any] = dict(
        intensity=intensity,
        tilt=tilt,
        move=smooth,
        expected_move=expected,
        move_at_fill=np.where(informed, move, smooth),
        expected_at_fill=np.where(informed, move, expected),
        jump_variance=constant([one.jump_variance for one in drawn]),
        excitation=constant(excitation * own),
        fade=constant(markets.fade),
        reach=constant(markets.reach),
        most_reaching=constant(markets.most_reaching),
        fill_decay=constant(markets.fill_decay),
        dt=constant(markets.dt),
    )
    path_law = jax.tree.map(lambda values: np.ascontiguousarray(values, np.float32), PathLaw(**along))
    quotes = np.stack(
        [
            np.stack(
                [
                    quotes_of_expert(name, scenario, jax.tree.map(lambda a, n=n: a[n], observation))
                    for name in EXPERTS[market]
                ]
            )
            for n, scenario in enumerate(scenarios)
        ]
    )
    laws = jax.tree.map(np.asarray, _laws(path_law, quotes))
    mean = np.asarray(laws.mean).mean(axis=-1)
    risk, variance = (np.asarray(risk_of(laws, share)) for share in (swing, 0.0))
    utility = mean - RISK_WEIGHT * np.exp(0.5 * variance)
    best = np.argmax(utility, axis=-1)[:, None]
    if by_utility(market):
        bar_mean, bar_risk = (np.take_along_axis(values, best, -1)[:, 0] for values in (mean, risk))
    else:
        bar_mean, bar_risk = mean.max(axis=-1), np.where(makers(mean), risk, np.inf).min(axis=-1)
    # What quotes of 1 / k on both sides would earn without risk: two sides x intensity x 1 / e x 1 / k x
    # horizon.
    income = np.array([2.0 * s.mean_intensity * s.reach * s.horizon / s.fill_decay / np.e for s in scenarios])
    results: dict[str, Any] = dict(
        seen=watched.seen,
        base=watched.base,
        path_law=path_law,
        premium=np.array([premium_in(s) for s in scenarios], np.float32),
        informed=np.array([informed_in(s) for s in scenarios], np.float32),
        half_spread=half_spread,
        bar_mean=bar_mean.astype(np.float32),
        bar_risk=bar_risk.astype(np.float32),
        bar_utility=utility.max(axis=-1).astype(np.float32),
        by_utility=np.full(len(scenarios), float(by_utility(market)), np.float32),
        scale=(SMALL * income).astype(np.float32),
    )
    return Bank(**results)
