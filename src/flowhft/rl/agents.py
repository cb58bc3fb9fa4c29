"""What a training leaves behind, as a policy: one agent for everywhere, or one for each scenario."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from flowhft.errors import require
from flowhft.policies.agent import Agent
from flowhft.policies.members import Members
from flowhft.policies.policy import Policy
from flowhft.simulate.quoting.agent import Actor, Scales


def agent_policy(
    view: str,
    actor: Actor,
    scales: Scales,
    scenario: str = "",
    training: dict[str, Any] | None = None,
) -> Policy:
    """Return an agent as a policy.

    Args:
        view: what it sees, a key of `flowhft.policies.agent.VIEWS`.
        actor: its network.
        scales: between features, network and half-spreads.
        scenario: the only one that it may quote in; empty for everywhere.
        training: how it came about, for people and manifests: what JSON can hold.
    """
    arrays = (
        {f"weight.{n}": weight for n, weight in enumerate(actor.weights)}
        | {f"bias.{n}": bias for n, bias in enumerate(actor.biases)}
        | {"log_std": actor.log_std}
        | {f"scales.{name}": value for name, value in scales._asdict().items()}
    )
    agent = Agent(view, {name: np.asarray(value, np.float32) for name, value in arrays.items()})
    if not scenario:
        return Policy(agent, training=training or {})
    return Policy(Members({scenario: Policy(agent)}), training=training or {})


def merged(policies: Sequence[Policy], training: dict[str, Any]) -> Policy:
    """Return agents of different scenarios as one policy; a single one for everywhere stays what it is.

    Raises:
        UsageError: two of them are for the same scenario, or one of several is for everywhere.
    """
    if len(policies) == 1 and not isinstance(policies[0].core, Members):
        return Policy(policies[0].core, training=training)
    members: dict[str, Policy] = {}
    for policy in policies:
        own = policy.core.policies if isinstance(policy.core, Members) else {"": policy}
        for name, member in own.items():
            require(name != "", "policies", "be for one scenario each where there are several", "everywhere")
            require(name not in members, "scenarios", "differ", f"'{name}' twice")
            members[name] = member
    return Policy(Members(members), training=training)
