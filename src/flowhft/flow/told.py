"""A policy that is told the regime of its market, as a policy that needs no telling."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from flowhft.errors import require
from flowhft.features import REGIME
from flowhft.flow.network import Input
from flowhft.flow.normaliser import Normaliser, scale_features
from flowhft.flow.policy import FlowPolicy


def tell(policy: FlowPolicy, regime: Float[Array, " regime"] | np.ndarray) -> FlowPolicy:
    """Return a policy of kind `told` as it quotes in one market: of kind `context`, with what it was told.

    Features enter the network once, through a matrix; those that never change in a market add up to a
    constant, which belongs into the bias.

    Args:
        policy: trained on features of kind `told`.
        regime: the numbers of the market, in the order of `flowhft.features.REGIME`.
    """
    require(policy.settings.features == "told", "policy", "be one that is told", policy.settings.features)
    sensed = policy.settings.feature_count - len(REGIME)
    scales, into = policy.normaliser, policy.network.input
    numbers = jnp.concatenate([scales.feature_mean[:sensed], jnp.asarray(regime, jnp.float32)])
    constant = scale_features(scales, numbers)[sensed:] @ into.weight_features[:, sensed:].T
    told_input = Input(into.weight_x, into.weight_features[:, :sensed], into.bias + constant)
    network = replace(policy.network, input=told_input)
    normaliser = Normaliser(
        scales.feature_mean[:sensed], scales.feature_std[:sensed], scales.action_mean, scales.action_scale
    )
    settings = replace(policy.settings, features="context")
    return replace(policy, network=network, normaliser=normaliser, settings=settings)
