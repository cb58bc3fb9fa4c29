"""The control: nothing learned within, 1 / k on both sides, for the adapter to stand behind."""

import jax.numpy as jnp

from flowhft.features import Sensor
from flowhft.flow.network import init_network
from flowhft.flow.normaliser import Normaliser
from flowhft.flow.policy import FlowPolicy
from flowhft.policies.settings import NetworkSettings, SamplerSettings


def plain_policy(sensor: Sensor) -> FlowPolicy:
    """Return a flow policy whose network is nothing: it quotes the sensor's unit of distance on both sides.

    Args:
        sensor: the scales against which the adapter behind it senses.
    """
    settings = NetworkSettings(horizon=1, width=2, blocks=1)
    features = settings.feature_count
    return FlowPolicy(
        network=init_network(settings, 0),  # the velocity of an untrained network is 0
        normaliser=Normaliser(
            feature_mean=jnp.zeros(features),
            feature_std=jnp.ones(features),
            action_mean=jnp.full(2, sensor.half_spread, jnp.float32),
            action_scale=jnp.ones(2),
        ),
        sensor=sensor,
        settings=settings,
        sampler=SamplerSettings(steps=1),
        objective="flow_matching",
    )
