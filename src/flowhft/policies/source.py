"""Sources: what turns a scenario into the policy that quotes there.

An expert is told the market of the scenario; a learned policy is the same everywhere; a frozen one quotes
only at the desk. Everything that judges policies takes them as `Named` sources and asks no further.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import polars as pl

from flowhft.adapter import IDENTITY, Adapter
from flowhft.agents import Agents
from flowhft.errors import UsageError
from flowhft.experts import Expert
from flowhft.flow.policy import FlowPolicy
from flowhft.frozen import Frozen, freeze_expert
from flowhft.market.scenario import Scenario
from flowhft.policies.closed_form import adapted, closed_form, coefficients_in
from flowhft.types import Policy


class Source(Protocol):
    """What every kind of source offers."""

    @property
    def told(self) -> bool:
        """Whether it is told the scenario, as experts are, rather than having to sense it."""

    def in_market(self, scenario: Scenario) -> Policy:
        """Return the policy as it quotes in a scenario."""

    def freeze(self, scenario: Scenario | None) -> Frozen:
        """Return the same policy as plain arrays, for the desk; one that is told needs the scenario."""


@dataclass(frozen=True)
class ExpertSource:
    """A closed form, to be told each scenario.

    Attributes:
        expert: it.
        risk_aversion: gamma, if the user fixed it, 1 / (tick x lot).
        risk_aversions: by scenario, where they were chosen for it (see `tune`).
    """

    expert: Expert
    risk_aversion: float | None = None
    risk_aversions: Mapping[str, float] = field(default_factory=dict)
    told = True

    def risk_aversion_in(self, scenario: Scenario) -> float:
        """Return gamma in a scenario: fixed, chosen for it, or the scenario's own."""
        chosen = self.risk_aversions.get(scenario.name, scenario.risk_aversion)
        return chosen if self.risk_aversion is None else self.risk_aversion

    def in_market(self, scenario: Scenario) -> Policy:
        """Return the expert told the scenario."""
        return closed_form(self.expert, scenario, self.risk_aversion_in(scenario))

    def freeze(self, scenario: Scenario | None) -> Frozen:
        """Return the expert told the scenario, as plain numbers."""
        if scenario is None:
            raise UsageError(f"`scenario` must say which market {self.expert.name} is told; received none.")
        coefficients = coefficients_in(self.expert, scenario, self.risk_aversion_in(scenario))
        return freeze_expert(self.expert, coefficients)


@dataclass(frozen=True)
class LearnedSource:
    """A saved flow policy with its adapter: the same in every market.

    Attributes:
        policy: it.
        adapter: the map behind it.
    """

    policy: FlowPolicy
    adapter: Adapter = IDENTITY
    told = False

    def in_market(self, scenario: Scenario) -> Policy:
        """Return the policy, which is not told the scenario."""
        return adapted(self.policy, self.adapter)

    def freeze(self, scenario: Scenario | None) -> Frozen:
        """Return the policy with its adapter as plain arrays."""
        return self.policy.freeze(self.adapter)


@dataclass(frozen=True)
class AgentSource:
    """Saved agents: one for everywhere, or each scenario's own.

    Attributes:
        agents: they.
    """

    agents: Agents

    @property
    def told(self) -> bool:
        """Whether an agent is told the scenario, be it only which of them is to quote there."""
        return bool(self.agents.scenarios) or self.agents.view == "regime"

    def in_market(self, scenario: Scenario) -> Policy:
        """Return the agent of the scenario."""
        return self.agents.in_market(scenario)

    def freeze(self, scenario: Scenario | None) -> Frozen:
        """Refuse: the desk has no arithmetic for agents."""
        raise UsageError("`policy` must be an expert or a flow policy; agents cannot be frozen yet.")


@dataclass(frozen=True)
class FrozenSource:
    """A policy that is frozen already, which only the desk can quote with."""

    arrays: Frozen
    told = False

    def in_market(self, scenario: Scenario) -> Policy:
        """Refuse: the lab cannot quote with it."""
        raise UsageError("`policies` must not be frozen in the lab. Name the policy that it was frozen from.")

    def freeze(self, scenario: Scenario | None) -> Frozen:
        """Return it as it is."""
        return self.arrays


@dataclass(frozen=True)
class Named:
    """A policy as a user names it.

    Attributes:
        name: what tables call it.
        written: how the user wrote it.
        source: what quotes.
        path: the file of a saved policy, or None.
    """

    name: str
    written: str
    source: Source
    path: Path | None = None

    def in_market(self, scenario: Scenario) -> Policy:
        """Return the policy as it quotes in a scenario."""
        return self.source.in_market(scenario)

    def frozen(self, scenario: Scenario | None) -> Frozen:
        """Return the same policy as plain arrays, for the desk."""
        return self.source.freeze(scenario)


def tune(policies: list[Named], teachers: pl.DataFrame) -> list[Named]:
    """Give every expert, scenario by scenario, the risk aversion that was best for it there.

    Args:
        policies: experts whose risk aversion is not fixed are changed, others are left alone.
        teachers: a table of scores of experts by scenario and risk aversion, columns scenario, expert,
            risk_aversion and score.
    """
    ranked = teachers.sort("score", descending=True, nulls_last=True)
    best = ranked.unique(["scenario", "expert"], keep="first", maintain_order=True)

    def tuned(policy: Named) -> Named:
        if not isinstance(policy.source, ExpertSource):
            return policy
        rows = best.filter(pl.col("expert") == policy.source.expert.name)
        chosen = dict(rows.select("scenario", "risk_aversion").iter_rows())
        return replace(policy, source=replace(policy.source, risk_aversions=chosen))

    return [tuned(policy) for policy in policies]
