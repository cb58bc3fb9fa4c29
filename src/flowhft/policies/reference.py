"""The reference executor: any policy in plain numpy, one decision at a time, slow and short.

What a researcher would write from the definitions. The lab's executor and the desk's are held to it
(`flowhft.testing.check_policy`); nothing trades with it.
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from flowhft import features
from flowhft.errors import UsageError
from flowhft.policies import actor
from flowhft.policies.actor import IN_TICKS
from flowhft.policies.adapter import adapt_quote
from flowhft.policies.agent import Agent
from flowhft.policies.flow import Flow
from flowhft.policies.plain import REACH, sample, standardise
from flowhft.policies.policy import Policy
from flowhft.policies.regime_adapter import adapter_at
from flowhft.policies.rule import Rule
from flowhft.types import Observation, Quote


class Memory(NamedTuple):
    """What the reference remembers between two decisions of one session.

    Attributes:
        sensed: of a flow, its running estimates; of an agent, the spread quoted last, ticks.
        chunk: of a flow, the scaled half-spreads that are being quoted, shape (horizon, side).
        cursor: steps of the chunk that were quoted.
    """

    sensed: Any
    chunk: Float[np.ndarray, "horizon side"]
    cursor: int


class Reference:
    """A policy in a market, in plain numpy; only one that draws no chance.

    Args:
        policy: as it quotes in a scenario (`Policy.in_market`).

    Raises:
        UsageError: its quotes are drawn with chance.
    """

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        core = policy.core
        noisy = core.expert.noisy if isinstance(core, Rule) else False
        if noisy or (isinstance(core, Flow) and core.sampler.noise_scale > 0.0):
            raise UsageError(
                "`policy` must quote without chance to have a reference; received one that draws."
            )

    def init(self) -> Memory:
        """Return the memory of a session that has just begun."""
        core = self.policy.core
        if isinstance(core, Flow):
            chunk = np.zeros((core.settings.horizon, 2), np.float32)
            return Memory(features.remember_nothing(core.sensor), chunk, core.sampler.execute)
        nothing = np.zeros((0, 2), np.float32)
        if isinstance(core, Agent):
            return Memory(actor.first_spread(core.scales, core.units or IN_TICKS), nothing, 0)
        return Memory(None, nothing, 0)

    def act(self, memory: Memory, observation: Observation, key: Any = None) -> tuple[Quote, Memory]:
        """Return the quote for an observation of plain floats, and the memory for the next one."""
        quote, memory = self._own(memory, observation)
        core, regime = self.policy.core, self.policy.regime
        if regime is not None:
            flow: Any = core
            seen = features.context_features(flow.sensor, memory.sensed, observation)
            quote = adapt_quote(adapter_at(regime, np.array(seen, np.float32)), quote, observation)
        if self.policy.adapter is not None:
            quote = adapt_quote(self.policy.adapter, quote, observation)
        return Quote(*map(float, quote)), memory

    def _own(self, memory: Memory, observation: Observation) -> tuple[Quote, Memory]:
        """Return the quote before any map."""
        core = self.policy.core
        if isinstance(core, Rule):
            return core.expert.quote(core.coefficients, observation, (0.0, 0.0)), memory
        if isinstance(core, Agent):
            units = core.units or IN_TICKS
            seen = actor.look(units, observation, memory.sensed)
            action = actor.forward(
                core.actor.weights, core.actor.biases, actor.scaled(core.scales.mean, core.scales.std, seen)
            )
            quote = actor.quote_of(core.scales, units, action)
            return quote, memory._replace(sensed=quote.half_spread_bid + quote.half_spread_ask)
        if not isinstance(core, Flow):
            raise UsageError(f"`policy` must be of a kind with a reference; received '{self.policy.kind}'.")
        return _flow(core, memory, observation)


def _flow(flow: Flow, memory: Memory, observation: Observation) -> tuple[Quote, Memory]:
    """Return the quote of a flow: its chunk goes on, or a new one is drawn from what it senses now."""
    sensed = features.sense(flow.sensor, memory.sensed, observation)
    chunk, cursor = memory.chunk, memory.cursor
    scales, warm = flow.normaliser, flow.sampler.warm_start
    if cursor >= flow.sampler.execute:
        seen = np.array(features.FUNCTIONS[flow.settings.features](flow.sensor, sensed, observation))
        standard = standardise(seen, scales["feature_mean"], scales["feature_std"])
        moved = np.concatenate([chunk[cursor:], np.repeat(chunk[-1:], cursor, axis=0)])[: len(chunk)]
        known = moved if warm else np.zeros_like(chunk)
        chunk = sample(flow.weights, standard, (warm * known).ravel().astype(np.float32), flow.plan)
        cursor = 0
    scaled = np.clip(chunk[cursor], -REACH, REACH)
    bid, ask = scaled * scales["action_scale"] + scales["action_mean"]
    quote = Quote(float(bid), float(ask))
    return quote, Memory(features.note_quote(sensed, quote), chunk, cursor + 1)
