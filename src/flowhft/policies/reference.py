"""The reference executor: any policy in plain numpy, one decision at a time, slow and short.

What a researcher would write from the definitions. The lab's executor and the desk's are held to it
(`flowhft.testing.check_policy`); nothing trades with it.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from flowhft import features
from flowhft.errors import UsageError
from flowhft.policies import actor
from flowhft.policies.adapter import adapt_quote
from flowhft.policies.agent import Agent
from flowhft.policies.book import BookMaker
from flowhft.policies.book import decide as decide_by_book
from flowhft.policies.book_flow import BookFlow, remember_nothing
from flowhft.policies.book_flow import decide as decide_by_book_flow
from flowhft.policies.flow import Flow
from flowhft.policies.plain import REACH, sample, standardise
from flowhft.policies.policy import Policy
from flowhft.policies.regime_adapter import adapter_at
from flowhft.policies.rule import Rule
from flowhft.types import Observation, Quote


class Reference:
    """A policy in a market, in plain numpy; only one that draws no chance.

    Args:
        policy: as it quotes in a scenario (`Policy.in_market`).

    Raises:
        UsageError: its quotes are drawn with chance, or it is of a kind that has no reference.
    """

    def __init__(self, policy: Policy) -> None:
        if policy.draws or policy.kind not in EXECUTORS:
            raise UsageError(
                f"`policy` must quote without chance and be of a kind with a reference; received kind "
                f"'{policy.kind}'{', which draws' if policy.draws else ''}."
            )
        self.policy = policy
        self._begin, self._decide = EXECUTORS[policy.kind]

    def init(self) -> Any:
        """Return the memory of a session that has just begun."""
        return self._begin(self.policy.core)

    def act(self, memory: Any, observation: Observation, key: Any = None) -> tuple[Quote, Any]:
        """Return the quote for an observation of plain floats, and the memory for the next one."""
        quote, memory = self._decide(self.policy.core, memory, observation)
        core: Any = self.policy.core
        if self.policy.regime is not None:
            seen = features.context_features(core.sensor, memory.sensed, observation)
            result = adapter_at(self.policy.regime, np.array(seen, np.float32))
            quote = adapt_quote(result, quote, observation)
        if self.policy.adapter is not None:
            quote = adapt_quote(self.policy.adapter, quote, observation)
        return Quote(*map(float, quote)), memory


def _rule(rule: Rule, memory: None, observation: Observation) -> tuple[Quote, None]:
    """Return the quote of a rule."""
    return rule.expert.quote(rule.coefficients, observation, (0.0, 0.0)), None


def _agent(agent: Agent, memory: float, observation: Observation) -> tuple[Quote, float]:
    """Return the quote of an agent, which remembers the spread that it quoted last, ticks."""
    units, scales = agent.units or features.IN_TICKS, agent.scales
    seen = actor.scaled(scales.mean, scales.std, actor.encode(units, observation, memory))
    return actor.decided(scales, units, actor.forward(agent.actor.weights, agent.actor.biases, seen))


def _book(
    maker: BookMaker, standing: tuple[float, float], observation: Observation
) -> tuple[Quote, tuple[float, float]]:
    """Return the quote of a maker that sees the book, which remembers where orders of its own stand."""
    return decide_by_book(maker, standing, observation)


class Chunk(NamedTuple):
    """What a flow remembers between two decisions of one session.

    Attributes:
        sensed: its running estimates.
        chunk: scaled half-spreads that are being quoted, shape (horizon, side).
        cursor: steps of the chunk that were quoted.
    """

    sensed: features.Memory
    chunk: Float[np.ndarray, "horizon side"]
    cursor: int


def _flow(flow: Flow, memory: Chunk, observation: Observation) -> tuple[Quote, Chunk]:
    """Return the quote of a flow: its chunk goes on, or a new one is drawn from what it senses now."""
    sensed = features.sense(flow.sensor, memory.sensed, observation)
    chunk, cursor = memory.chunk, memory.cursor
    scales, warm = flow.normaliser, flow.sampler.warm_start
    if cursor >= flow.sampler.execute:
        seen = np.array(features.FUNCTIONS[flow.settings.features](flow.sensor, sensed, observation))
        standard = standardise(seen, scales["feature_mean"], scales["feature_std"])
        moved = np.concatenate([chunk[cursor:], np.repeat(chunk[-1:], cursor, axis=0)])[: len(chunk)]
        chunk = sample(flow.weights, standard, (warm * moved).ravel().astype(np.float32), flow.plan)
        cursor = 0
    scaled = np.clip(chunk[cursor], -REACH, REACH)
    bid, ask = scaled * scales["action_scale"] + scales["action_mean"]
    quote = Quote(float(bid), float(ask))
    return quote, Chunk(features.note_quote(sensed, quote), chunk, cursor + 1)


# Kind of what works out a quote -> how a session begins, and how it decides.
EXECUTORS: dict[str, tuple[Callable[[Any], Any], Callable[..., tuple[Quote, Any]]]] = {
    Rule.kind: (lambda rule: None, _rule),
    BookMaker.kind: (lambda maker: (np.nan, np.nan), _book),
    BookFlow.kind: (remember_nothing, decide_by_book_flow),
    Agent.kind: (lambda agent: actor.first_spread(agent.scales, agent.units or features.IN_TICKS), _agent),
    Flow.kind: (
        lambda flow: Chunk(
            features.remember_nothing(flow.sensor),
            np.zeros((flow.settings.horizon, 2), np.float32),
            flow.sampler.execute,
        ),
        _flow,
    ),
}
