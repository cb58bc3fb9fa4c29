"""The lab's executor: policies as data -> what jax runs for many paths."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from flowhft.errors import UsageError
from flowhft.features import IN_TICKS
from flowhft.flow.policy import flow_policy
from flowhft.policies.adapter import IDENTITY
from flowhft.policies.agent import Agent
from flowhft.policies.book import BookMaker
from flowhft.policies.book_flow import BookFlow
from flowhft.policies.flow import Flow
from flowhft.policies.names import FoldedFile, Named
from flowhft.policies.own import OwnPolicy
from flowhft.policies.policy import Policy
from flowhft.policies.regime_adapter import RegimeAdapter
from flowhft.policies.rule import Rule
from flowhft.scenarios.scenario import Scenario
from flowhft.simulate.hosted import as_traced
from flowhft.simulate.quoting import agent as agents
from flowhft.simulate.quoting.closed_form import ClosedForm, adapted
from flowhft.simulate.quoting.delayed import delayed
from flowhft.simulate.quoting.regime_adapted import RegimeAdapted
from flowhft.types import Policy as Quoting


def _rule(policy: Policy, rule: Rule) -> Quoting:
    numbers = (jnp.asarray(number, jnp.float32) for number in rule.coefficients)
    return ClosedForm(type(rule.coefficients)(*numbers), rule.expert)


def _flow(policy: Policy, flow: Flow) -> Quoting:
    within = flow_policy(flow)
    if policy.regime is None:
        return within
    regime = RegimeAdapter(*(jnp.asarray(part, jnp.float32) for part in policy.regime))
    return RegimeAdapted(within, regime)


def _agent(policy: Policy, agent: Agent) -> Quoting:
    parts = (agent.actor, agent.scales, agent.units or IN_TICKS)
    return agents.Agent(*jax.tree.map(lambda number: jnp.asarray(number, jnp.float32), parts))


# Kind of what works out a quote -> what jax runs, before the map that comes last. Another network is a row.
EXECUTORS: dict[str, Callable[[Policy, Any], Quoting]] = {
    Rule.kind: _rule,
    Flow.kind: _flow,
    Agent.kind: _agent,
}


def in_lab(policy: Policy | OwnPolicy | FoldedFile | Named, scenario: Scenario | None) -> Any:
    """Return a policy as it quotes in a scenario, for the lab.

    Args:
        policy: as data, or as a user names it: then with its delay.
        scenario: the market; None for a policy that is the same everywhere.

    Returns:
        A `flowhft.types.Policy`; a user's own policy as it is, unless jax has compiled it.

    Raises:
        UsageError: it must be told a scenario, was not made for this one, or can only quote at the desk.
    """
    if isinstance(policy, Named):
        return delayed(in_lab(policy.policy, scenario), policy.delay or 0, policy.late or "quotes")
    there: Any = policy.in_market(scenario)
    if there.kind == OwnPolicy.kind:
        return as_traced(there)
    if there.kind in (BookMaker.kind, BookFlow.kind):
        raise UsageError(
            "`policies` must quote without an order book in the lab, whose markets have none; received a "
            "policy that sees one. Replay it on a recording: flowhft backtest."
        )
    if there.kind not in EXECUTORS:
        raise UsageError("`policies` must not be frozen in the lab. Name the policy that it was frozen from.")
    quoting, last = unmapped_in_lab(there, scenario), there.adapter
    if there.regime is not None:
        return quoting if last in (None, IDENTITY) else adapted(quoting, last)
    # A flow without a map has one that does nothing: then one program serves it with and without.
    last = IDENTITY if last is None and there.kind == Flow.kind else last
    return quoting if last is None else adapted(quoting, last)


def unmapped_in_lab(policy: Policy, scenario: Scenario | None) -> Any:
    """Return a policy as it quotes in a scenario without the map that was fitted to a market.

    Args:
        policy: as data; a regime adapter stays.
        scenario: see `in_lab`.
    """
    there = policy.in_market(scenario)
    return EXECUTORS[there.kind](there, there.core)
