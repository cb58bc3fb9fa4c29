"""The desk's executor: policies as data -> plain arrays that quote in microseconds, without the lab."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from flowhft.desk.compiled.book import BOOK_MAKER
from flowhft.desk.compiled.book_flow import BOOK_FLOW, BookSides
from flowhft.desk.compiled.flow import NO_REGIME
from flowhft.desk.compiled.fold import fold, folded
from flowhft.desk.compiled.policy import Frozen, assemble, freeze_actor, freeze_expert
from flowhft.desk.compiled.store import load_folded
from flowhft.errors import UsageError
from flowhft.features import BOOK, IN_TICKS
from flowhft.features.scales import Scales
from flowhft.policies.adapter import IDENTITY, Adapter
from flowhft.policies.agent import Agent
from flowhft.policies.book import BookMaker
from flowhft.policies.book_flow import BookFlow
from flowhft.policies.file import load_policy
from flowhft.policies.flow import Flow
from flowhft.policies.names import FOLDED, FoldedFile, Named
from flowhft.policies.own import OwnPolicy
from flowhft.policies.policy import Policy
from flowhft.policies.regime_adapter import RegimeAdapter
from flowhft.policies.rule import Rule
from flowhft.runs.archive import format_of
from flowhft.scenarios.scenario import Scenario


def _rule(policy: Policy, rule: Rule) -> Frozen:
    return freeze_expert(rule.expert, rule.coefficients, _last(policy))


def _flow(policy: Policy, flow: Flow) -> Frozen:
    regime = policy.regime
    return fold(
        flow.weights,
        sensor=flow.sensor,
        feature_kind=flow.settings.features,
        adapter=_last(policy),
        regime=NO_REGIME if regime is None else RegimeAdapter(*map(np.asarray, regime)),
        **_sampled(flow),
        **flow.normaliser,
    )


def _sampled(flow: Flow) -> dict[str, Any]:
    """Return how the chunks of a flow are drawn, as folding takes it."""
    sampler = flow.sampler
    return {
        "plan": flow.plan,
        "noise_scale": sampler.noise_scale,
        "held": sampler.noise == "held" and sampler.noise_scale > 0.0,
        "execute": sampler.execute,
    }


def _book_flow(policy: Policy, core: BookFlow) -> Frozen:
    flow = core.flow
    drawn: dict[str, Any] = _sampled(flow) | dict(flow.normaliser)
    network = folded(flow.weights, sensor=flow.sensor, feature_kind=BOOK, **drawn)
    return assemble(BOOK_FLOW, BookSides(network, core.arrays, core.limit), _last(policy))


def _agent(policy: Policy, agent: Agent) -> Frozen:
    return freeze_actor(agent.actor, agent.scales, agent.units or IN_TICKS, _last(policy))


def _book(policy: Policy, maker: BookMaker) -> Frozen:
    return assemble(BOOK_MAKER, maker, _last(policy))


def _last(policy: Policy) -> Adapter:
    """Return the map that comes last."""
    return IDENTITY if policy.adapter is None else Adapter(*map(float, policy.adapter))


# Kind of what works out a quote -> what the desk runs. Another network is a row.
EXECUTORS: dict[str, Callable[[Policy, Any], Frozen]] = {
    Rule.kind: _rule,
    Flow.kind: _flow,
    Agent.kind: _agent,
    BookMaker.kind: _book,
    BookFlow.kind: _book_flow,
}


def freeze(
    policy: Policy | OwnPolicy | FoldedFile | Frozen | Named,
    scenario: Scenario | None = None,
    book: Scales | None = None,
) -> Any:
    """Return a policy as it quotes in a scenario, as plain arrays for the desk.

    Args:
        policy: as data, or as a user names it.
        scenario: the market; None for a policy that is the same everywhere.
        book: scales of the signals of its order book; None where it shows none.

    Returns:
        A `Frozen`; a user's own policy, and what is frozen already, as it is.

    Raises:
        UsageError: it must be told a scenario, was not made for this one, is delayed, or has no fixed number
            of evaluations.
    """
    if isinstance(policy, Named):
        if policy.delay:
            raise UsageError(
                f"`delay` must be 0 steps at the desk, whose market has latencies of its own; received "
                f"{policy.delay} for '{policy.name}'. Set the latencies of the replay instead."
            )
        return freeze(policy.policy, scenario, book)
    if isinstance(policy, OwnPolicy | Frozen):
        return policy
    if isinstance(policy, FoldedFile):
        return load_folded(policy.path)
    there = (policy if book is None else policy.in_book(book)).in_market(scenario)
    return EXECUTORS[there.kind](there, there.core)


def load_frozen(path: Path | str) -> Frozen:
    """Read a policy for the desk: of `flowhft freeze`, or any other that need not be told a market.

    Args:
        path: of the file.

    Raises:
        DataError: the file is missing, damaged, or of another kind or version.
        UsageError: the policy must be told a market first.
    """
    path = Path(path)
    frozen: Frozen = load_folded(path) if format_of(path) == FOLDED else freeze(load_policy(path))
    return frozen
