"""The policy as data: what works out a quote, the maps behind it, and what it is told. Numpy only.

A policy is the same thing wherever it quotes. Two executors read it: `flowhft.simulate.quoting.lab` makes of
it what jax runs for many paths, `flowhft.desk.compiled.freeze` what numba runs for one decision.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

import numpy as np

from flowhft.errors import UsageError
from flowhft.features.scales import Scales
from flowhft.policies.adapter import IDENTITY, Adapter, compose
from flowhft.policies.regime_adapter import RegimeAdapter
from flowhft.scenarios.known import informed_in, premium_in, units_of
from flowhft.scenarios.scenario import Scenario

# What a row of a table is: a rule of a maker without privileged knowledge, a policy that learned, a bound by
# what nobody can know, something to compare with that nobody would trade, or a user's own.
Family = Literal["rule", "learned", "bound", "baseline", "own"]


class Core(Protocol):
    """What works out a quote before any map: a rule, a network, or a choice among policies by scenario.

    Every kind is a file of this folder and a row of `flowhft.policies.file.KINDS`.
    """

    @property
    def kind(self) -> str:
        """Its name in files."""

    @property
    def family(self) -> str:
        """What it is, a `Family`."""

    @property
    def needs_scenario(self) -> bool:
        """Whether it must be told the scenario that it quotes in, as rules are."""

    @property
    def draws(self) -> bool:
        """Whether its quotes are drawn with chance."""

    def in_market(self, scenario: Scenario | None) -> "Policy":
        """Return it as it quotes in a scenario.

        Raises:
            UsageError: it must be told one and is not, or does not know this one.
        """

    def to_file(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Return what the header of a file says of it, and its arrays by name."""


@dataclass(frozen=True, eq=False)
class Policy:
    """A policy as data.

    Attributes:
        core: what works out a quote.
        regime: the network that works out a map for every moment, or None.
        adapter: the map that comes last, in ticks, or None.
        dial: lowest and highest risk dial that `regime` was trained for, or None.
        training: how it came about, for people and manifests: what JSON can hold.
        settled: whether it was told its market already, and stays as it is in every other.
        seeing: policies of which one takes its place where the market shows an order book: that which learned
            in markets most like it. Not part of its file.
    """

    core: Core
    regime: RegimeAdapter | None = None
    adapter: Adapter | None = None
    dial: tuple[float, ...] | None = None
    training: Mapping[str, Any] = field(default_factory=dict)
    settled: bool = False
    seeing: tuple["Policy", ...] = ()

    @property
    def kind(self) -> str:
        """Return the kind of what works out its quotes, a row of `flowhft.policies.file.KINDS`."""
        return self.core.kind

    @property
    def family(self) -> str:
        """Return what a row of a table is that shows it: see `Family`."""
        return self.core.family

    @property
    def draws(self) -> bool:
        """Whether its quotes are drawn with chance."""
        return self.core.draws

    @property
    def needs_scenario(self) -> bool:
        """Whether it must be told the scenario that it quotes in, rather than having to sense it."""
        return self.core.needs_scenario and not self.settled

    def in_market(self, scenario: Scenario | None) -> "Policy":
        """Return it as it quotes in a scenario, told what it is told there; executors take nothing else.

        A rule has its coefficients then, a set of members is one of them, and a policy with a regime adapter
        senses and quotes in the market's units and knows of which kind it is and what a fill costs, no
        more. It was trained where fills cost nothing: both sides are quoted further out by the fee, unless a
        map was fitted to a market behind it. One that is settled stays as it is.

        Args:
            scenario: the market; None where it is the same everywhere.

        Raises:
            UsageError: it must be told a scenario and is not, or was not made for this one.
        """
        if self.settled:
            return self
        there = self.core.in_market(scenario)
        regime, core = self.regime, there.core
        if regime is not None and scenario is not None:
            half_spread, dt, horizon = units_of(scenario)
            core = core.in_units(half_spread, dt, horizon)  # type: ignore[attr-defined]
            privileged = np.array(regime.told, np.float32)
            privileged[1:] = premium_in(scenario), informed_in(scenario)
            regime = regime._replace(told=privileged, half_spread=np.float32(half_spread))
        adapter = self.adapter
        if there.adapter is not None:
            adapter = there.adapter if adapter is None else compose(adapter, there.adapter)
        if adapter in (None, IDENTITY) and regime is not None and scenario is not None:
            cost = float(scenario.estimates().fill_cost)
            adapter = IDENTITY._replace(offset_bid=cost, offset_ask=cost) if cost else adapter
        return replace(self, core=core, regime=regime, adapter=adapter, settled=True)

    def in_book(self, scales: Scales) -> "Policy":
        """Return what quotes in a market that shows an order book, in the scales of that market.

        Args:
            scales: of its signals.
        """
        if self.seeing:
            nearest = min(self.seeing, key=lambda one: one.core.unlike(scales))  # type: ignore[attr-defined]
            return nearest.in_book(scales)
        scaled = getattr(self.core, "in_scales", None)
        return self if scaled is None else replace(self, core=scaled(scales))

    def blind(self) -> "Policy":
        """Return the same policy as it quotes without an order book, wherever it is."""
        return replace(self, seeing=())

    def at_dial(self, dial: float) -> "Policy":
        """Return the same policy at another risk dial; only one with a regime adapter has one.

        At a dial it never sees an order book.

        Args:
            dial: c, positive.

        Raises:
            UsageError: it has no dial.
        """
        if self.regime is None:
            raise UsageError(
                "`@` must stand behind a policy with a risk dial, like flowhft@0.3; this one has none. "
                "Leave it out."
            )
        privileged = np.array(self.regime.told, np.float32)
        privileged[0] = math.log(dial)
        return replace(self, regime=self.regime._replace(told=privileged), seeing=())

    def without_map(self) -> "Policy":
        """Return the same policy without the map that was fitted to a market; a regime adapter stays."""
        return replace(self, adapter=None)
