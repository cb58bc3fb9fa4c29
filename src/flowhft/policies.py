"""Policies in the lab: experts and adapters as things that quote in a rollout, and policies by name.

A policy is any object with `init() -> memory` and `act(memory, observation, key) -> (quote, memory)` for
one path (see `flowhft.types.Policy`). Here are the two wrappers that make one from closed forms and from
another policy, and the one place that turns what a user writes (`glft`, `runs/x/policy.safetensors`) into
a policy.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
from jaxtyping import PRNGKeyArray

from flowhft import experts
from flowhft.adapter import IDENTITY, Adapter, adapt_quote
from flowhft.errors import DataError, UnknownNameError, UsageError, require
from flowhft.experts import Expert
from flowhft.flow.archive import format_of
from flowhft.flow.policy import FlowPolicy, load_policy
from flowhft.frozen import Frozen, freeze_expert, load_frozen
from flowhft.frozen.store import FORMAT as FROZEN_FORMAT
from flowhft.market.scenario import Scenario
from flowhft.runs import manifest_of
from flowhft.types import Observation, Policy, Quote

# What run folders call their policy.
SAVED = ("policy.safetensors", "frozen.safetensors")


class ClosedForm(eqx.Module):
    """An expert with its coefficients: quotes from the observation alone, remembers nothing."""

    coefficients: tuple
    expert: Expert = eqx.field(static=True)

    def init(self) -> tuple:
        """Return the empty memory."""
        return ()

    def act(self, memory: tuple, observation: Observation, key: PRNGKeyArray) -> tuple[Quote, tuple]:
        """Return the expert's quote; `key` is the source of its noise, if it has any."""
        noise = jax.random.uniform(key, (2,)) if self.expert.name == "white_noise" else (0.0, 0.0)
        return self.expert.quote(self.coefficients, observation, (noise[0], noise[1])), memory


class Adapted(eqx.Module):
    """Another policy with an adapter behind it; the policy itself does not know."""

    policy: Policy
    adapter: Adapter

    def init(self) -> Any:
        """Return the memory of the policy within."""
        return self.policy.init()

    def act(self, memory: Any, observation: Observation, key: PRNGKeyArray) -> tuple[Quote, Any]:
        """Return the adapted quote."""
        quote, memory = self.policy.act(memory, observation, key)
        return adapt_quote(self.adapter, quote, observation.inventory), memory


def _coefficients(expert: Expert, scenario: Scenario, risk_aversion: float | None) -> tuple:
    """Return an expert's coefficients for a scenario, numpy float64."""
    told = scenario.raw_estimates() if expert.as_run else scenario.estimates()
    gamma = scenario.risk_aversion if risk_aversion is None else risk_aversion
    coefficients = expert.coefficients(told, gamma)
    return type(coefficients)(*map(np.float64, coefficients))


def closed_form(expert: Expert | str, scenario: Scenario, risk_aversion: float | None = None) -> ClosedForm:
    """Return an expert told what there is to know about a scenario.

    Args:
        expert: it, or its name.
        scenario: where it will quote.
        risk_aversion: gamma, 1 / (tick x lot); the scenario's own if none is given.
    """
    expert = experts.get(expert) if isinstance(expert, str) else expert
    coefficients = _coefficients(expert, scenario, risk_aversion)
    return ClosedForm(type(coefficients)(*(jnp.asarray(c, jnp.float32) for c in coefficients)), expert)


@dataclass(frozen=True)
class Named:
    """A policy as a user names it: an expert, to be told each scenario, or a saved policy.

    Attributes:
        name: what tables call it.
        written: how the user wrote it.
        expert: the closed form, or None.
        risk_aversion: of the expert, if the user fixed it.
        risk_aversions: of the expert by scenario, where they were chosen for it (see `tune`).
        path: the file of a saved policy, or None.
        learned: the saved policy, or None.
        adapter: the saved policy's adapter.
        arrays: the saved policy where it is frozen, which only the desk can quote with, or None.
    """

    name: str
    written: str = ""
    expert: Expert | None = None
    risk_aversion: float | None = None
    risk_aversions: Mapping[str, float] = field(default_factory=dict)
    path: Path | None = None
    learned: FlowPolicy | None = None
    adapter: Adapter = IDENTITY
    arrays: Frozen | None = None

    def _risk_aversion(self, scenario: Scenario) -> float:
        chosen = self.risk_aversions.get(scenario.name, scenario.risk_aversion)
        return chosen if self.risk_aversion is None else self.risk_aversion

    def in_market(self, scenario: Scenario) -> Policy:
        """Return the policy as it quotes in a scenario: an expert is told it, a learned policy is not."""
        if self.learned is not None:
            return Adapted(
                self.learned, Adapter(*(jnp.asarray(value, jnp.float32) for value in self.adapter))
            )
        if self.expert is None:
            raise UsageError(f"`policies` must not be frozen in the lab; received '{self.name}'.")
        return closed_form(self.expert, scenario, self._risk_aversion(scenario))

    def frozen(self, scenario: Scenario | None) -> Frozen:
        """Return the same policy as plain arrays, for the desk; only an expert needs the scenario."""
        if self.arrays is not None:
            return self.arrays
        if self.learned is not None:
            return self.learned.freeze(self.adapter)
        if self.expert is None or scenario is None:
            raise UsageError(f"`scenario` must say which market {self.name} is told; received none.")
        return freeze_expert(self.expert, _coefficients(self.expert, scenario, self._risk_aversion(scenario)))


def find_policy(text: str, *, frozen: bool = False) -> Named:
    """Find the policy that a user names.

    Args:
        text: an expert's name, with `@` and a risk aversion in 1 / (tick x lot) if it is to be fixed; a
            `.safetensors` file; or a finished run folder that holds one. `label=` in front gives it
            another name.
        frozen: whether it may be frozen, which the desk can quote with and the lab cannot.

    Raises:
        UnknownNameError: neither an expert nor a file.
        UsageError: a risk aversion that is not a positive number, or a frozen policy where none may be.
        DataError: the file is not a policy, or the run folder is not finished.
    """
    label, _, location = text.rpartition("=")
    name, at, risk = location.partition("@")
    path = Path(location)
    if name in experts.EXPERTS:
        if not at:
            return Named(label or location, text, experts.get(name))
        try:
            risk_aversion = float(risk)
        except ValueError:
            risk_aversion = float("nan")
        require(0.0 < risk_aversion < float("inf"), "policies", "have a positive number after @", f"'{text}'")
        return Named(label or location, text, experts.get(name), risk_aversion)
    if path.is_dir():
        path = _file_in(path)
    elif not path.is_file() and path.suffix != ".safetensors":
        hint = "A saved policy is a .safetensors file or a run folder."
        raise UnknownNameError("policy", name, experts.EXPERTS, hint=hint)
    own_name = path.resolve().parent.name if path.name in SAVED else path.stem
    if format_of(path) == FROZEN_FORMAT:
        fix = "Name the policy that it was frozen from."
        require(frozen, "policies", "not be frozen but for a backtest", f"the frozen `{path}`", fix)
        return Named(label or own_name, text, path=path, arrays=load_frozen(path))
    learned, adapter = load_policy(path)
    return Named(label or own_name, text, path=path, learned=learned, adapter=adapter)


def _file_in(folder: Path) -> Path:
    """Return the policy file of a finished run folder."""
    manifest_of(folder)  # of an unfinished one, the file may be that of an earlier run
    for name in SAVED:
        if (folder / name).is_file():
            return folder / name
    raise DataError(
        f"`{folder}` must hold a policy; it has no {' or '.join(SAVED)}. Name a run folder of "
        "`flowhft imitate`, `adapt` or `freeze`."
    )


def find_policies(names: str, *, frozen: bool = False) -> list[Named]:
    """Return the policies of a comma-separated list, in its order (see `find_policy`).

    Raises:
        UsageError: two policies have the same name, or none is named.
    """
    words = [text for text in (part.strip() for part in names.split(",")) if text]
    policies = [find_policy(text, frozen=frozen) for text in words]
    called = [policy.name for policy in policies]
    require(len(policies) > 0, "policies", "name at least one policy", f"'{names}'")
    require(
        len(set(called)) == len(called), "policies", "have different names", f"'{names}'", "Write label=path."
    )
    return policies


def tune(policies: list[Named], teachers: pl.DataFrame) -> list[Named]:
    """Give every expert, scenario by scenario, the risk aversion that was best for it there.

    Args:
        policies: experts whose risk aversion is not fixed are changed, others are left alone.
        teachers: the table of `flowhft.learn.demonstrate.select_teachers`.
    """
    ranked = teachers.sort("score", descending=True, nulls_last=True)
    best = ranked.unique(["scenario", "expert"], keep="first", maintain_order=True)

    def chosen_for(name: str) -> dict[str, float]:
        return dict(best.filter(pl.col("expert") == name).select("scenario", "risk_aversion").iter_rows())

    return [
        replace(policy, risk_aversions=chosen_for(policy.expert.name)) if policy.expert else policy
        for policy in policies
    ]
