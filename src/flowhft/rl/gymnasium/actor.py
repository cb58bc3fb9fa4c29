"""From the weights of a Stable-Baselines3 actor to an agent of ours; needs no Stable-Baselines3.

An agent that saw `state` or `regime` and offered offsets is one of `flowhft.simulate.quoting.agent` already:
a multilayer perceptron with tanh between its layers, and the environment's scales around it. Its file is
judged by `flowhft evaluate` like any other policy.
"""

import itertools
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp

from flowhft.errors import require
from flowhft.policies.policy import Policy
from flowhft.rl.agents import agent_policy
from flowhft.rl.gymnasium.encoding import scales_for
from flowhft.rl.gymnasium.env import MarketEnv
from flowhft.rl.gymnasium.vector import MarketVectorEnv
from flowhft.simulate.quoting.agent import Actor

# Names in the state of Stable-Baselines3's ActorCriticPolicy: layers of the actor at even places, what lies
# between them at odd ones; then the mean of the Gaussian.
_HIDDEN = "mlp_extractor.policy_net"
_MEAN = "action_net"


def actor_from(weights: Mapping[str, Any]) -> Actor:
    """Return the actor in the state of a Stable-Baselines3 `MlpPolicy` (`policy.state_dict()`).

    Args:
        weights: arrays by name; matrices have shape (out, in), as PyTorch stores them.

    Raises:
        UsageError: an array is missing, or the layers do not fit.
    """
    hidden = sum(name.startswith(_HIDDEN) and name.endswith(".weight") for name in weights)
    layers = [f"{_HIDDEN}.{2 * n}" for n in range(hidden)] + [_MEAN]
    needed = [f"{layer}.{part}" for layer in layers for part in ("weight", "bias")] + ["log_std"]
    for name in needed:
        fix = "Export an MlpPolicy of PPO or A2C with a Gaussian action."
        require(name in weights, "weights", f"hold '{name}'", f"{', '.join(weights) or 'nothing'}", fix)
    matrices = tuple(jnp.asarray(weights[f"{layer}.weight"], jnp.float32).T for layer in layers)
    biases = tuple(jnp.asarray(weights[f"{layer}.bias"], jnp.float32) for layer in layers)
    for before, after in itertools.pairwise(matrices):
        shapes = [matrix.shape for matrix in matrices]
        require(before.shape[1] == after.shape[0], "weights", "fit from layer to layer", shapes)
    return Actor(matrices, biases, jnp.asarray(weights["log_std"], jnp.float32))


def agents_from(
    weights: Mapping[str, Any],
    env: MarketEnv | MarketVectorEnv,
    *,
    everywhere: bool = False,
    training: dict[str, Any] | None = None,
) -> Policy:
    """Return the agent that has learned these weights in an environment.

    Args:
        weights: of a Stable-Baselines3 `MlpPolicy` with tanh between its layers, see `actor_from`.
        env: where it learned; its settings say what the agent saw and what its actions meant.
        everywhere: whether it may quote in every scenario, and not only in the one it learned in.
        training: how it came about, for people and manifests: what JSON can hold.

    Returns:
        A policy that quotes the mean action, cut to the action space; where sides may be pulled, one is not
        quoted while the mean of its own number is below 0.

    Raises:
        UsageError: the environment's observation or action is one that `flowhft.simulate.quoting.agent` does
            not have.
    """
    settings, scenario = env.settings, env.scenario
    view = settings.observation
    require(view in ("state", "regime"), "observation", "be state or regime for an export", repr(view))
    require(settings.action == "offset", "action", "be offset for an export", repr(settings.action))
    actor = actor_from(weights)
    scales = scales_for(view, settings.largest_offset, scenario)
    sizes = (actor.weights[0].shape[0], actor.weights[-1].shape[1])
    wanted = (len(scales.mean), *settings.action_space(scenario).shape)
    require(sizes == wanted, "weights", f"lead from {wanted[0]} features to {wanted[1]} actions", sizes)
    return agent_policy(view, actor, scales, "" if everywhere else scenario.name, training)
