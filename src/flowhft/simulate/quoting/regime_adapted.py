"""The policy that senses its market: a flow policy with a regime adapter behind it, in a market's units."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from flowhft.features import context_features
from flowhft.flow.policy import FlowPolicy
from flowhft.policies.adapter import adapt_quote
from flowhft.policies.regime_adapter import RegimeAdapter, adapter_at
from flowhft.types import Observation, Quote


class RegimeAdapted(eqx.Module):
    """A flow policy with a regime adapter behind it: a `flowhft.types.Policy` for one path.

    Attributes:
        policy: the flow policy, whose sensed features the adapter uses too.
        regime: the adapter's network, arrays as leaves.
    """

    policy: FlowPolicy
    regime: RegimeAdapter

    def init(self) -> Any:
        """Return the memory of the policy within."""
        return self.policy.init()

    def act(self, memory: Any, observation: Observation, key: PRNGKeyArray) -> tuple[Quote, Any]:
        """Return the quote of the policy within, moved by the map for this moment."""
        quote, memory = self.policy.act(memory, observation, key)
        seen = context_features(self.policy.sensor, memory.sensed, observation)
        features = jnp.stack([jnp.asarray(number, jnp.float32) for number in seen])
        return adapt_quote(adapter_at(self.regime, features), quote, observation), memory
