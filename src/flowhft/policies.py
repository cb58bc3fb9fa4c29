"""Policies in the lab: experts and adapters as things that quote in a rollout, and policies by name.

A policy is any object with `init() -> memory` and `act(memory, observation, key) -> (quote, memory)` for
one path (see `flowhft.types.Policy`). Here are the two wrappers that make one from closed forms and from
another policy, and the one place that turns what a user writes (`glft`, `runs/x/policy.safetensors`) into
a policy.
"""

from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from flowhft import experts
from flowhft.adapter import IDENTITY, Adapter, adapt_quote
from flowhft.errors import UnknownNameError
from flowhft.experts import Expert
from flowhft.flow.policy import load_policy
from flowhft.frozen import Frozen, freeze_expert
from flowhft.market.scenario import Scenario
from flowhft.types import Observation, Policy, Quote


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


def closed_form(expert: Expert | str, scenario: Scenario, risk_aversion: float | None = None) -> ClosedForm:
    """Return an expert told what there is to know about a scenario.

    Args:
        expert: it, or its name.
        scenario: where it will quote.
        risk_aversion: gamma, 1 / (tick x lot); the scenario's own if none is given.
    """
    expert = experts.get(expert) if isinstance(expert, str) else expert
    told = scenario.raw_estimates() if expert.as_run else scenario.estimates()
    gamma = scenario.risk_aversion if risk_aversion is None else risk_aversion
    coefficients = expert.coefficients(told, gamma)
    return ClosedForm(type(coefficients)(*(jnp.asarray(c, jnp.float32) for c in coefficients)), expert)


class Named:
    """A policy as a user names it: an expert, to be told each scenario, or a saved policy.

    Attributes:
        name: what tables call it.
        path: the file of a saved policy; None for an expert.
        learned: the saved policy as an object of the lab; None for an expert.
        adapter: the saved policy's adapter.
    """

    def __init__(self, text: str) -> None:
        """Find the policy.

        Args:
            text: an expert's name, a `.safetensors` file, or a run folder that holds `policy.safetensors`;
                `label=path` gives a saved policy a name of its own.

        Raises:
            UnknownNameError: neither an expert nor a file.
            DataError: the file is not a policy.
        """
        label, _, location = text.rpartition("=")
        self.name, self.path, self.learned, self.adapter = location, None, None, IDENTITY
        if location in experts.EXPERTS:
            self.name = label or location
            self.expert = experts.get(location)
            return
        path = Path(location)
        if path.is_dir():
            path = path / "policy.safetensors"
        elif not path.suffix:
            raise UnknownNameError(
                "policy", location, experts.EXPERTS, hint="A saved policy is a .safetensors file or a run folder."
            )
        self.path = path
        self.learned, self.adapter = load_policy(path)
        self.name = label or (path.parent.name if path.stem == "policy" else path.stem)

    def in_market(self, scenario: Scenario) -> Policy:
        """Return the policy as it quotes in a scenario: an expert is told it, a learned policy is not."""
        if self.learned is None:
            return closed_form(self.expert, scenario)
        return Adapted(self.learned, Adapter(*(jnp.asarray(value, jnp.float32) for value in self.adapter)))

    def frozen_for(self, scenario: Scenario) -> Frozen:
        """Return the same policy as plain arrays, for the desk."""
        if self.learned is not None:
            return self.learned.freeze(self.adapter)
        return freeze_expert(self.expert, closed_form_coefficients(self.expert, scenario))


def closed_form_coefficients(expert: Expert, scenario: Scenario) -> tuple:
    """Return an expert's coefficients for a scenario as numpy float64 numbers."""
    told = scenario.raw_estimates() if expert.as_run else scenario.estimates()
    coefficients = expert.coefficients(told, scenario.risk_aversion)
    return type(coefficients)(*(np.float64(c) for c in coefficients))


def find_policies(names: str) -> list[Named]:
    """Return the policies of a comma-separated list, in its order.

    Raises:
        UnknownNameError: a name that is neither an expert nor a file, with a suggestion.
    """
    return [Named(name) for name in (part.strip() for part in names.split(",")) if name]
