"""Experts and adapters as policies: wrappers that make one from closed forms and from another policy."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from flowhft.policies import rules as experts
from flowhft.policies.adapter import Adapter, adapt_quote
from flowhft.policies.rule import coefficients_in
from flowhft.policies.rules import Expert
from flowhft.scenarios.scenario import Scenario
from flowhft.types import Observation, Policy, Quote


class ClosedForm(eqx.Module):
    """An expert with its coefficients: quotes from the observation alone, remembers nothing."""

    coefficients: tuple
    expert: Expert = eqx.field(static=True)

    @property
    def sees_price(self) -> bool:
        """Whether quotes depend on the mid price: an expert's never do."""
        return False

    def init(self) -> tuple:
        """Return the empty memory."""
        return ()

    def act(self, memory: tuple, observation: Observation, key: PRNGKeyArray) -> tuple[Quote, tuple]:
        """Return the expert's quote; `key` is the source of its noise, if it has any."""
        noise = jax.random.uniform(key, (2,)) if self.expert.noisy else (0.0, 0.0)
        return self.expert.quote(self.coefficients, observation, (noise[0], noise[1])), memory


class Adapted(eqx.Module):
    """Another policy with an adapter behind it; the policy itself does not know."""

    policy: Policy
    adapter: Adapter

    @property
    def sees_price(self) -> bool:
        """Whether quotes depend on the mid price: as those of the policy within."""
        return bool(getattr(self.policy, "sees_price", True))

    def init(self) -> Any:
        """Return the memory of the policy within."""
        return self.policy.init()

    def act(self, memory: Any, observation: Observation, key: PRNGKeyArray) -> tuple[Quote, Any]:
        """Return the adapted quote."""
        quote, memory = self.policy.act(memory, observation, key)
        return adapt_quote(self.adapter, quote, observation), memory


def closed_form(expert: Expert | str, scenario: Scenario, risk_aversion: float | None = None) -> ClosedForm:
    """Return an expert told what there is to know about a scenario.

    Args:
        expert: it, or its name.
        scenario: where it will quote.
        risk_aversion: gamma, 1 / (tick x lot); the scenario's own if none is given.
    """
    expert = experts.get(expert) if isinstance(expert, str) else expert
    coefficients = coefficients_in(expert, scenario, risk_aversion)
    return ClosedForm(type(coefficients)(*(jnp.asarray(c, jnp.float32) for c in coefficients)), expert)


def adapted(policy: Policy, adapter: Adapter) -> Adapted:
    """Return a policy with an adapter behind it, the adapter's numbers as leaves in float32."""
    return Adapted(policy, Adapter(*(jnp.asarray(value, jnp.float32) for value in adapter)))
