"""The line-up: who is judged, and what each policy is there for."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from flowhft.learn.regime.baselines import BASELINES
from flowhft.policies.names import Named, find_policy
from flowhft.policies.policy import Policy
from flowhft.policies.rules.no_quote import NO_QUOTE

Role = Literal["learned", "expert", "fitted", "oracle", "baseline"]

OURS = "flowhft"
PRETRAINED = "pretrained"
PLAIN = "plain_network"
TUNED = "tuned"
PPO = "ppo"
ORACLE = "oracle_told"

AS_RAW = "avellaneda_stoikov_raw"
# The experts that the targets name.
WRITTEN = ("avellaneda_stoikov", "glft_as_run", "glft_drift_as_run")
CLOSED_FORMS = (*BASELINES, "avellaneda_stoikov_as_run", "glft")


@dataclass(frozen=True)
class Member:
    """A policy of the line-up.

    Attributes:
        policy: it, with the name that tables show.
        role: learned (from demonstrations or by adaptation), expert (closed form, told the market), fitted
            (to each cell: tuned experts and PPO agents), oracle (a bound), or baseline (who stays at home).
    """

    policy: Named
    role: Role

    @property
    def name(self) -> str:
        """What tables call it."""
        return self.policy.name

    @property
    def row(self) -> dict[str, str]:
        """How a row of a table says who it is of."""
        return {"policy": self.name, **self.policy.origin._asdict(), "role": self.role}


def closed_forms(names: Sequence[str] = CLOSED_FORMS) -> list[Member]:
    """Return experts of the line-up by name."""
    return [Member(find_policy(name), "expert") for name in names]


def oracle() -> Member:
    """Return the oracle that is told everything but the memory of the price."""
    return Member(find_policy(ORACLE), "oracle")


def at_home() -> Member:
    """Return who stays at home: beside everybody, and nobody's rival."""
    return Member(find_policy(NO_QUOTE), "baseline")


def saved(name: str, where: str, role: Role = "learned") -> Member:
    """Return a saved policy, or one known by name, as a member of the line-up.

    Args:
        name: what tables call it.
        where: what `flowhft.policies.names.find_policy` takes.
        role: see `Member`.
    """
    return Member(find_policy(f"{name}={where}"), role)


def base_of(member: Member) -> Member | None:
    """Return the flow policy that a regime adapter stands behind, alone; None for other policies.

    Args:
        member: a saved policy.
    """
    policy = member.policy.policy
    if not isinstance(policy, Policy) or policy.regime is None:
        return None
    return Member(replace(member.policy, name=PRETRAINED, policy=Policy(policy.core)), "learned")


def sees_premium(member: Member) -> bool:
    """Whether a policy is told of which kind a market is: if jumps are left in the drift, traders informed.

    Args:
        member: of the line-up.
    """
    policy = member.policy.policy
    if not isinstance(policy, Policy) or policy.regime is None:
        return False
    return bool(np.any(policy.regime.weight_told[:, 1:]))  # all but the dial; 0: not told
