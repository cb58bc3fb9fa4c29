"""What a user gives for policies -> policies by name, which quote in the lab and at the desk.

The one place of the stages that knows how policies are found and what they are.

    "glft,flowhft,mine=my_policy.py:NAME"       as on the command line
    ["glft", "runs/adapt", my_function]         names, files and things that quote
    {"mine": my_function, "calm": "glft@0.01"}  the same with names of their own
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from flowhft.desk.compiled import Frozen
from flowhft.errors import UsageError, require
from flowhft.flow.policy import FlowPolicy, describe_policy
from flowhft.policies.own import OwnPolicy, load_own_policy, own_policy
from flowhft.policies.rules import Expert
from flowhft.scenarios.scenario import Scenario
from flowhft.simulate.hosted import in_lab, is_hosted
from flowhft.simulate.quoting.delayed import Late
from flowhft.simulate.quoting.find import find_policy
from flowhft.simulate.quoting.options import split_list, split_options, with_options
from flowhft.simulate.quoting.source import (
    ExpertSource,
    FrozenSource,
    LearnedSource,
    Named,
    delay_all,
    tune,
)
from flowhft.types import Policy

# Who stays at home, and stands in every table: what every maker has to beat.
NO_QUOTE = "no_quote"
_OWN = re.compile(r"(?P<file>.+\.py):(?P<word>[A-Za-z_]\w*)")

# Whatever names or is one or several policies.
Given = str | Sequence[Any] | Mapping[str, Any]


@dataclass(frozen=True)
class OwnSource:
    """A user's own policy: the same in every market, told nothing of it.

    Attributes:
        own: it.
    """

    own: OwnPolicy
    told = False

    def in_market(self, scenario: Scenario) -> Policy:
        """Return it as the lab runs it: traced where jax can, else as it is."""
        return in_lab(self.own)

    def freeze(self, scenario: Scenario | None) -> Frozen:
        """Return it as it is: the desk runs it."""
        return self.own  # type: ignore[return-value]


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
    def learned(self) -> str | None:
        """The policy that a report is about: the last one that is not told the market; None without one."""
        names = [policy.name for policy in self.policies if not policy.source.told]
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
        found = [load_policy(text, frozen=frozen) for text in split_list(given)]
    elif isinstance(given, Mapping):
        found = [load_policy(thing, str(name), frozen=frozen) for name, thing in given.items()]
    elif isinstance(given, list | tuple) and not hasattr(given, "_fields"):
        found = [load_policy(thing, frozen=frozen) for thing in given]
    else:
        found = [load_policy(given, frozen=frozen)]
    called = [policy.name for policy in found]
    shown = f"'{given}'" if isinstance(given, str) else ", ".join(called) or "none"
    require(len(found) > 0, "policies", "name at least one policy", shown)
    require(len(set(called)) == len(called), "policies", "have different names", shown, "Write label=path.")
    return found


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
        found = _written(str(thing), frozen)
    elif isinstance(thing, Named):
        found = thing
    elif isinstance(thing, Expert):
        found = Named(thing.name, thing.name, ExpertSource(thing))
    elif isinstance(thing, FlowPolicy):
        found = Named(name or "flow", name or "flow", LearnedSource(thing))
    elif isinstance(thing, Frozen):
        require(frozen, "policies", "not be frozen in the lab", name or "a frozen policy")
        found = Named(name or "frozen", name or "frozen", FrozenSource(thing))
    else:
        own = own_policy(thing, name)
        found = Named(own.name, own.name, OwnSource(own))
    return replace(found, name=name) if name else found


def _written(text: str, frozen: bool) -> Named:
    """Return the policy that a user wrote: one of their own by file and name, else as it is found."""
    bare, options = split_options(text)
    label, _, location = bare.rpartition("=")
    own = _OWN.fullmatch(location)
    if own is None:
        return find_policy(text, frozen=frozen)
    path, word = Path(own["file"]), own["word"]
    source = OwnSource(load_own_policy(path, word, label))
    return Named(
        name=label or word + options.written,
        written=text,
        source=with_options(text, source, options),
        path=path,
        delay=options.delay,
        late=options.late,
        options=f":{word}{options.written}",
    )


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
    found = list(given.policies) if isinstance(given, Lineup) else find_policies(given, frozen=frozen)
    if risk_aversions is not None:
        found = tune(found, risk_aversions)
    if not any(_stays_at_home(policy) for policy in found):
        found.append(find_policy(NO_QUOTE))
    found = delay_all(found, delay, late)
    for policy in found:
        require(
            not (policy.delay and isinstance(policy.source, OwnSource) and is_hosted(policy.source.own)),
            "delay",
            "be 0 steps for a policy of your own that jax does not compile",
            f"{policy.delay} for '{policy.name}'",
            "Write it in jax, or name it with [delay=0].",
        )
        for scenario in scenarios if policy.path else ():
            policy.in_market(scenario)
    names = [policy.name for policy in found] + list(besides)
    reference = reference or names[0]
    if reference not in names:
        raise UsageError(f"`reference` must be one of {', '.join(names)}; received '{reference}'.")
    return Lineup(found, reference)


def _stays_at_home(policy: Named) -> bool:
    """Whether it is `no_quote`, or takes its name."""
    return policy.name == NO_QUOTE or (
        isinstance(policy.source, ExpertSource) and policy.source.expert.name == NO_QUOTE
    )


def frozen_in(policies: Iterable[Named], scenario: Scenario | None) -> dict[str, Frozen]:
    """Return policies as the desk runs them, by name, those told the market told this one.

    Raises:
        UsageError: one of them is delayed, or cannot quote at the desk.
    """
    return {policy.name: policy.frozen(scenario) for policy in policies}


def trained(name: str, policy: FlowPolicy, **behind: Any) -> Named:
    """Return a policy that was just trained, under a name, as one that can be evaluated and replayed.

    Args:
        name: what tables call it.
        policy: the flow policy.
        **behind: maps behind it: `adapter`, `behind` (see `LearnedSource`).
    """
    return Named(name, name, LearnedSource(policy, **behind))


def find_saved(given: Any, option: str = "policy") -> tuple[Named, LearnedSource]:
    """Return a flow policy that is to be trained on: a name, a file, a run folder, or one just trained.

    Args:
        given: see `load_policy`.
        option: what the user calls it, for messages.

    Raises:
        UsageError: it is another kind of policy, or delayed.
    """
    found = load_policy(given)
    if not isinstance(found.source, LearnedSource):
        raise UsageError(
            f"`{option}` must be a saved policy; received '{found.written}'. Name a .safetensors file."
        )
    require(not found.delay, option, "be adapted without a delay", f"'{found.written}'")
    return found, found.source


def dial_of(policy: Named) -> tuple[float, ...] | None:
    """Return the lowest and highest risk dial that a saved policy was trained for; None where it has none."""
    if policy.path is None:
        return None
    return (describe_policy(policy.path).get("regime") or {}).get("dial")
