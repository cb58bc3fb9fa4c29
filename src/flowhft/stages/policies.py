"""What a user gives for policies -> policies by name, which quote in the lab and at the desk.

The one place of the stages that knows how policies are found and what they are.

    "glft,flowhft,mine=my_policy.py:NAME"       as on the command line
    ["glft", "runs/adapt", my_function]         names, files and things that quote
    {"mine": my_function, "calm": "glft@0.01"}  the same with names of their own
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from flowhft.desk.compiled import Frozen
from flowhft.desk.compiled.freeze import freeze
from flowhft.errors import UsageError, require
from flowhft.features.scales import Scales
from flowhft.flow.policy import FlowPolicy, as_data
from flowhft.policies.book import BookMaker
from flowhft.policies.flow import flow_in
from flowhft.policies.names import Named, delay_all, find_policy, tune
from flowhft.policies.options import Late, split_list
from flowhft.policies.origin import Origin
from flowhft.policies.own import OwnPolicy, own_policy
from flowhft.policies.policy import Policy
from flowhft.policies.rule import Rule
from flowhft.policies.rules import Expert
from flowhft.policies.rules.no_quote import NO_QUOTE
from flowhft.runs.labels import require_name
from flowhft.scenarios.scenario import Scenario

# Whatever names or is one or several policies.
Given = str | Sequence[Any] | Mapping[str, Any]


class Lineup(NamedTuple):
    """Who is compared with whom.

    Attributes:
        policies: in the order of the tables.
        reference: name of the one that differences are taken against.
    """

    policies: list[Named]
    reference: str

    @property
    def names(self) -> list[str]:
        """The names of the policies."""
        return [policy.name for policy in self.policies]

    @property
    def origins(self) -> dict[str, Origin]:
        """Where the quotes of each come from, by name."""
        return {policy.name: policy.origin for policy in self.policies}

    @property
    def learned(self) -> str | None:
        """The policy that a report is about: the last one that is not told the market; None without one."""
        names = [policy.name for policy in self.policies if not policy.needs_scenario]
        return names[-1] if names else None


def find_policies(given: Given, *, frozen: bool = False) -> list[Named]:
    """Return the policies that a user gives, in their order.

    Args:
        given: a comma-separated string as the command line takes it; or names, files, experts, functions,
            objects and loaded policies in a list, or by a name of your own in a dict.
        frozen: whether a frozen policy may be among them, which quotes at the desk only.

    Raises:
        UnknownNameError: neither an expert nor a file.
        UsageError: two have the same name, or there is none.
    """
    if isinstance(given, str):
        results = [load_policy(text, frozen=frozen) for text in split_list(given)]
    elif isinstance(given, Mapping):
        results = [load_policy(thing, str(name), frozen=frozen) for name, thing in given.items()]
    elif isinstance(given, list | tuple) and not hasattr(given, "_fields"):
        results = [load_policy(thing, frozen=frozen) for thing in given]
    else:
        results = [load_policy(given, frozen=frozen)]
    called = [policy.name for policy in results]
    shown = f"'{given}'" if isinstance(given, str) else ", ".join(called) or "none"
    require(len(results) > 0, "policies", "name at least one policy", shown)
    require(len(set(called)) == len(called), "policies", "have different names", shown, "Write label=path.")
    return results


def load_policy(thing: Any, name: str = "", *, frozen: bool = False) -> Named:
    """Return one thing that a user gives as a policy.

    Args:
        thing: a name or file as the command line takes it, an expert, a loaded or trained policy, or a
            function or object of the user's own (`flowhft.policies.own`).
        name: what tables call it; by default what it is called itself.
        frozen: whether it may be frozen.

    Raises:
        UsageError: it is nothing that quotes.
    """
    if isinstance(thing, str | Path):
        result = find_policy(str(thing), frozen=frozen)
    elif isinstance(thing, Named):
        result = thing
    elif isinstance(thing, Expert):
        result = Named(thing.name, thing.name, Policy(Rule(thing)))
    elif isinstance(thing, Policy):
        result = Named(name or thing.kind, name or thing.kind, thing)
    elif isinstance(thing, FlowPolicy):
        result = Named(name or "flow", name or "flow", as_data(thing))
    elif isinstance(thing, Frozen):
        require(frozen, "policies", "not be frozen in the lab", name or "a frozen policy")
        result = Named(name or "frozen", name or "frozen", thing)
    else:
        own = own_policy(thing, name)
        result = Named(own.name, own.name, own)
    if not name:
        return result
    require_name("label", name, "[of a policy]", "Give it another name.", path=True)
    return replace(result, name=name)


def lineup(
    given: Given | Lineup,
    reference: str | None = None,
    *,
    scenarios: Iterable[Scenario] = (),
    delay: int = 0,
    late: Late = "quotes",
    frozen: bool = False,
    risk_aversions: pl.DataFrame | None = None,
    besides: Iterable[str] = (),
) -> Lineup:
    """Return who is compared: what the user gives, and `no_quote` behind where it is not among them.

    Args:
        given: see `find_policies`; a line-up is completed, not changed.
        reference: that differences are taken against; None or empty for the first policy.
        scenarios: where saved policies must be able to quote: better said now than hours later.
        delay: steps from a decision to the market, of every policy that says nothing of it.
        late: what is late, likewise.
        frozen: whether they may be frozen.
        risk_aversions: scores of experts by scenario and risk aversion, from which each takes its best.
        besides: names of policies that are made on the way and may be the reference too.

    Raises:
        UsageError: the reference is not among them; see also `find_policies`.
    """
    results = list(given.policies) if isinstance(given, Lineup) else find_policies(given, frozen=frozen)
    if risk_aversions is not None:
        results = tune(results, risk_aversions)
    if not any(_stays_at_home(policy) for policy in results):
        results.append(find_policy(NO_QUOTE))
    results = delay_all(results, delay, late)
    for policy in results:
        for scenario in scenarios if policy.path else ():
            policy.in_market(scenario)
    names = [policy.name for policy in results] + list(besides)
    reference = reference or names[0]
    if reference not in names:
        raise UsageError(f"`reference` must be one of {', '.join(names)}; received '{reference}'.")
    return Lineup(results, reference)


def _stays_at_home(named: Named) -> bool:
    """Whether it is `no_quote`, or takes its name."""
    return NO_QUOTE in (named.name, named.origin.rule)


def frozen_in(
    policies: Iterable[Named], scenario: Scenario | None, book: Scales | None = None
) -> dict[str, Frozen | OwnPolicy]:
    """Return policies as the desk runs them, by name, those told the market told this one.

    Args:
        policies: they.
        scenario: the market.
        book: scales of the signals of its order book; None where it shows none.

    Raises:
        UsageError: one of them is delayed, or cannot quote at the desk.
    """
    return {policy.name: freeze(policy, scenario, book) for policy in policies}


def makers_in(policies: Iterable[Named], book: Scales | None) -> dict[str, dict[str, Any]]:
    """Return what is known of the policies that see the order book of a market, by name.

    Args:
        policies: they.
        book: scales of the signals of the market's order book; None where it shows none.

    Returns:
        Of each, what its training wrote down of itself: `learned_from`, decisions by recording; `spans`,
        name, first and last time of each, ns; `gate`, what became of orders that it would have sent, by side;
        and of one that is for any market `unlike`, the logarithm of the factor by which the spread, in units
        of each one's moves, is off from that of the most alike market that it learned in.
    """
    if book is None:
        return {}
    found = {named.name: named.policy.in_book(book) for named in policies if isinstance(named.policy, Policy)}
    return {
        name: {
            key: policy.training[key] for key in ("learned_from", "spans", "gate") if key in policy.training
        }
        | ({"unlike": policy.core.unlike(book)} if policy.core.like else {})
        for name, policy in found.items()
        if isinstance(policy.core, BookMaker)
    }


def find_saved(given: Any, option: str = "policy") -> Named:
    """Return a flow policy that is to be trained on: a name, a file, a run folder, or one just trained.

    Args:
        given: see `load_policy`.
        option: what the user calls it, for messages.

    Raises:
        UsageError: it is another kind of policy, or delayed.
    """
    result = load_policy(given)
    if flow_in(result.policy) is None:
        raise UsageError(
            f"`{option}` must be a saved policy; received '{result.written}'. Name a .safetensors file."
        )
    require(not result.delay, option, "be adapted without a delay", f"'{result.written}'")
    return replace(result, policy=result.policy.blind())
