"""Sources: what turns a scenario into the policy that quotes there.

An expert is told the market of the scenario; a learned policy is the same everywhere; a frozen one quotes
only at the desk. Everything that judges policies takes them as `Named` sources and asks no further.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import jax.numpy as jnp
import polars as pl

from flowhft.desk.compiled import Frozen, freeze_actor, freeze_expert
from flowhft.errors import UsageError
from flowhft.flow.policy import FlowPolicy
from flowhft.flow.told import tell
from flowhft.policies.adapter import IDENTITY, Adapter
from flowhft.policies.regime_adapter import RegimeAdapter
from flowhft.policies.rules import Expert
from flowhft.scenarios.scenario import Scenario
from flowhft.simulate.quoting.agent_view import regime_of
from flowhft.simulate.quoting.agents_file import Agents
from flowhft.simulate.quoting.closed_form import adapted, closed_form, coefficients_in
from flowhft.simulate.quoting.delayed import Late, delayed
from flowhft.simulate.quoting.regime_adapted import regime_adapted, regime_in
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
    """A saved flow policy with its adapter: the same in every market, unless it was trained to be told.

    Attributes:
        policy: it.
        adapter: the map behind it, or the network that works it out.
        behind: a map after that network, in ticks of the market that it was fitted to.
    """

    policy: FlowPolicy
    adapter: Adapter | RegimeAdapter = IDENTITY
    behind: Adapter = IDENTITY

    @property
    def told(self) -> bool:
        """Whether it is told the scenario: only one that was trained to be, as a control."""
        return self.policy.settings.features == "told"

    def in_market(self, scenario: Scenario) -> Policy:
        """Return the policy as it quotes in a scenario: as everywhere, or told where it is."""
        if not isinstance(self.adapter, RegimeAdapter):
            return adapted(self.unadapted(scenario), self.adapter)
        sensing = self.unadapted(scenario)
        return sensing if self.behind == IDENTITY else adapted(sensing, self.behind)

    def unadapted(self, scenario: Scenario) -> Policy:
        """Return the policy as it quotes in a scenario without a map that was fitted to a market."""
        if isinstance(self.adapter, RegimeAdapter):
            return regime_adapted(self._knowing(scenario), self.adapter, scenario)
        return self._knowing(scenario)

    def freeze(self, scenario: Scenario | None) -> Frozen:
        """Return the policy with its adapter as plain arrays."""
        policy = self._knowing(scenario)
        if isinstance(self.adapter, RegimeAdapter):
            policy, regime = regime_in(policy, self.adapter, scenario)
            return policy.freeze(regime, self.behind)
        return policy.freeze(self.adapter)

    def at_dial(self, dial: float) -> "LearnedSource":
        """Return the same policy at another risk dial; only one with a regime adapter has one.

        Args:
            dial: c, positive.
        """
        if not isinstance(self.adapter, RegimeAdapter):
            raise UsageError(
                "`@` must stand behind a policy with a risk dial, like flowhft@0.3; this one has none. "
                "Leave it out."
            )
        told = jnp.asarray(self.adapter.told, jnp.float32).at[0].set(math.log(dial))
        return replace(self, adapter=self.adapter._replace(told=told))

    def _knowing(self, scenario: Scenario | None) -> FlowPolicy:
        """Return the policy with what it is told of a scenario, if anything."""
        if not self.told:
            return self.policy
        if scenario is None:
            raise UsageError("`scenario` must say which market a policy of kind `told` is in; received none.")
        return tell(self.policy, regime_of(scenario))


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
        """Return the agent of the scenario as plain arrays; one for everywhere needs none."""
        if scenario is None and self.told:
            raise UsageError("`scenario` must say which market these agents are told; received none.")
        agent = self.agents.anywhere() if scenario is None else self.agents.in_market(scenario)
        return freeze_actor(agent.actor, agent.scales, agent.told)


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
        delay: steps from a decision to the market, or None where the user did not say.
        late: what is late (see `flowhft.simulate.quoting.delayed`), or None where the user did not say.
        options: what was written behind the name: the risk dial of a saved policy, and what stands in
            brackets (see `flowhft.simulate.quoting.options`).
    """

    name: str
    written: str
    source: Source
    path: Path | None = None
    delay: int | None = None
    late: Late | None = None
    options: str = ""

    @property
    def remembered(self) -> str:
        """How a run remembers it beside its file: what a label hides must not be forgotten."""
        if self.path is None:
            return self.written
        return self.name if self.name.endswith(self.options) else self.name + self.options

    def in_market(self, scenario: Scenario) -> Policy:
        """Return the policy as it quotes in a scenario, its decisions delayed."""
        return delayed(self.source.in_market(scenario), self.delay or 0, self.late or "quotes")

    def frozen(self, scenario: Scenario | None) -> Frozen:
        """Return the same policy as plain arrays, for the desk.

        Raises:
            UsageError: it is delayed, or cannot be frozen.
        """
        if self.delay:
            raise UsageError(
                f"`delay` must be 0 steps at the desk, whose market has latencies of its own; received "
                f"{self.delay} for '{self.name}'. Set the latencies of the replay instead."
            )
        return self.source.freeze(scenario)


def delay_all(policies: list[Named], steps: int, late: Late = "quotes") -> list[Named]:
    """Delay the decisions of every policy of which the user did not say how late they are, or what is late.

    Args:
        policies: as they were found.
        steps: from a decision to the market.
        late: what is late.
    """
    return [
        replace(policy, delay=steps if policy.delay is None else policy.delay, late=policy.late or late)
        for policy in policies
    ]


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
