"""A frozen policy: any policy, rule or network, as plain numbers and arrays, ready to quote."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from flowhft.desk.compiled.actor import ACTOR, Acting
from flowhft.desk.compiled.book import BOOK_MAKER
from flowhft.desk.compiled.book_flow import BOOK_FLOW
from flowhft.desk.compiled.decide import Decide, Packed
from flowhft.desk.compiled.exact import refuse_nan
from flowhft.desk.compiled.flow import FLOW
from flowhft.desk.compiled.kind import Kind
from flowhft.desk.compiled.network import Network
from flowhft.desk.compiled.rule import Rule, flat, kind_of_rule
from flowhft.errors import UsageError, require
from flowhft.features import IN_TICKS, Units
from flowhft.policies.actor import Actor, Scales
from flowhft.policies.adapter import IDENTITY, Adapter
from flowhft.policies.regime_adapter import RegimeAdapter
from flowhft.policies.rules import EXPERTS, Expert, get

# Kinds that are no rules: their networks are arithmetic of the desk's own.
NETWORKS = {kind.name: kind for kind in (FLOW, ACTOR, BOOK_MAKER, BOOK_FLOW)}


def kind_of(name: str) -> Kind:
    """Return the kind of this name: a network's, or a rule's of the table of experts.

    Raises:
        UnknownNameError: there is none.
    """
    return NETWORKS[name] if name in NETWORKS else kind_of_rule(get(name))


class Frozen(NamedTuple):
    """A policy as plain numbers and arrays.

    Attributes:
        kind: how it decides.
        parts: what it is made of: a `Rule`, a `Flow` or an `Acting`.
        adapter: what is done to every quote last.
        packed: all of this in two arrays, which compiled code reads.
        decide: the kind's compiled decision.
    """

    kind: Kind
    parts: Any
    adapter: Adapter
    packed: Packed
    decide: Decide

    @property
    def needs_scenario(self) -> bool:
        """Whether it must be told a market: it was told before."""
        return False

    @property
    def family(self) -> str:
        """Return what it is taken for, see `flowhft.policies.policy.Family`."""
        return "learned"

    @property
    def draws(self) -> bool:
        """Whether its quotes may be drawn with chance: nobody knows."""
        return True

    def in_market(self, scenario: Any) -> "Frozen":
        """Return it as it is: it was told before."""
        return self

    @property
    def has_network(self) -> bool:
        """Whether it asks a network, rather than being arithmetic."""
        return self.kind.name in NETWORKS

    @property
    def network(self) -> Network:
        """The network of a flow policy; no other has this one."""
        return self.parts.network

    @property
    def regime(self) -> RegimeAdapter:
        """The regime adapter of a flow policy; `NO_REGIME` where it has none."""
        return self.parts.regime

    @property
    def coefficients(self) -> Float[np.ndarray, " coefficient"]:
        """All numbers that a rule was told, tables included, flat."""
        return self.parts.coefficients

    def __reduce__(self) -> tuple[Any, tuple]:
        """Let another process assemble it again: compiled functions do not travel."""
        return assemble, (self.kind, self.parts, self.adapter)


def assemble(kind: Kind, parts: Any, adapter: Adapter = IDENTITY) -> Frozen:
    """Return a frozen policy after checking all that compiled code takes on trust.

    Args:
        kind: how it decides.
        parts: what it is made of.
        adapter: what is done to every quote last.

    Raises:
        UsageError: a number or a shape that cannot be.
    """
    adapter = Adapter(*map(float, adapter))
    refuse_nan(adapter, "adapter.")
    parts = kind.checked(parts)
    return Frozen(kind, parts, adapter, kind.pack(parts, adapter), kind.decide)


def freeze_expert(expert: Expert, coefficients: tuple, adapter: Adapter = IDENTITY) -> Frozen:
    """Freeze an expert with its coefficients.

    Args:
        expert: a row of `flowhft.policies.rules.EXPERTS`, or any other like them.
        coefficients: what `expert.coefficients(estimates, risk_aversion)` returned.
        adapter: what is done to every quote last.

    Raises:
        UsageError: coefficients of another expert, or a rule that says nothing of its own.
    """
    kind = kind_of_rule(expert)
    known = EXPERTS.get(expert.name, expert).quote is expert.quote and expert.name not in NETWORKS
    require(known, "expert", "have a name that no other kind of policy has", f"'{expert.name}'")
    form: Any = expert.form
    if len(coefficients) != len(form._fields):
        shape = (len(form._fields),)
        raise UsageError(f"`coefficients` must have the shape {shape}; received {np.shape(coefficients)}.")
    if expert.check is not None:
        expert.check(form(*coefficients))
    return assemble(kind, Rule(expert, flat(coefficients)), adapter)


def freeze_actor(
    actor: Actor, scales: Scales, units: Units = IN_TICKS, adapter: Adapter = IDENTITY
) -> Frozen:
    """Freeze an agent: its network of any number and width of layers, its scales and its units.

    Args:
        actor: the network, arrays of any library.
        scales: between features, network and half-spreads.
        units: in which it sees and quotes, and the numbers of the regime that it is given.
        adapter: what is done to every quote last; the spread that it remembers is that of its own quote.

    Raises:
        UsageError: arrays that do not fit together, or NaN among them.
    """
    return assemble(ACTOR, Acting(actor, scales, units), adapter)
