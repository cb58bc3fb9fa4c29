"""The policy that senses its market: a flow policy with a regime adapter behind it, in a market's units."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from flowhft.features import context_features
from flowhft.flow.policy import FlowPolicy
from flowhft.policies.adapter import adapt_quote
from flowhft.policies.regime_adapter import RegimeAdapter, adapter_at
from flowhft.scenarios.scenario import Scenario
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


def premium_in(scenario: Scenario) -> float:
    """Return the share of the jumps' mean effect that the market's convention leaves in the drift: 0 or 1."""
    return 0.0 if scenario.jumps_compensated or scenario.jump_intensity == 0.0 else 1.0


def informed_in(scenario: Scenario) -> float:
    """Return whether traders are informed in a market: 1 if so, however well, else 0."""
    return float(scenario.adverse_selection > 0.0)


def units_of(scenario: Scenario) -> tuple[float, float, float]:
    """Return the units of a market: distance 1 / k (ticks), time between decisions and session (seconds)."""
    return 1.0 / scenario.fill_decay, scenario.dt, scenario.horizon


def regime_in(
    policy: FlowPolicy, regime: RegimeAdapter, scenario: Scenario | None
) -> tuple[FlowPolicy, RegimeAdapter]:
    """Return a policy and its regime adapter in a market: told its units and of which kind it is, no more.

    Args:
        policy: the flow policy within.
        regime: behind it.
        scenario: the market; None to leave the units as they are.
    """
    if scenario is None:
        return policy, regime
    half_spread, dt, horizon = units_of(scenario)
    kind = jnp.asarray([premium_in(scenario), informed_in(scenario)], jnp.float32)
    told = jnp.asarray(regime.told, jnp.float32).at[1:].set(kind)
    there = regime._replace(told=told, half_spread=jnp.asarray(half_spread, jnp.float32))
    return policy.in_units(half_spread, dt, horizon), there


def regime_adapted(policy: FlowPolicy, regime: RegimeAdapter, scenario: Scenario) -> RegimeAdapted:
    """Return a flow policy with a regime adapter behind it, as it quotes in a market."""
    return RegimeAdapted(*regime_in(policy, regime, scenario))
