"""Two experts who quote differently in the same state: what a policy of several modes has to keep apart."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np

from flowhft.features import Sensor
from flowhft.learn.demonstrations.dataset import Demonstrations
from flowhft.learn.imitation.imitate import imitate
from flowhft.learn.settings import TrainingSettings
from flowhft.policies.settings import NetworkSettings

SENSOR = Sensor(
    volatility=0.5, rate=20.0, horizon=1.0, half_spread=0.7, inventory=3.0, memory=0.3, burst=0.05
)
NETWORK = NetworkSettings(features="paper", horizon=2, width=48, blocks=2, finest=8)


def two_experts(paths=2000, steps=4):
    """One expert quotes 0.3 ticks, the other 0.9; the first in 0.8 or 0.3 of the sessions, by the feature."""
    rng = np.random.default_rng(0)
    often = rng.integers(0, 2, paths)
    tight = rng.uniform(size=paths) < np.where(often == 1, 0.8, 0.3)
    features = np.zeros((paths, steps, 5), np.float32)
    features[:, :, 0] = (2 * often - 1)[:, None]
    quotes = np.where(tight, 0.3, 0.9)[:, None, None] + rng.normal(0.0, 0.02, (paths, steps, 2))
    return Demonstrations(features, quotes.astype(np.float32))


def draw(policy, sign, samples=2000):
    """Draw first chunks, ticks, where the first expert quotes often (1) or rarely (-1)."""
    raw = jnp.array([sign, 0.0, 0.0, 0.0, 0.0])
    return np.asarray(
        jax.jit(jax.vmap(policy.draw, (None, 0)))(raw, jax.random.split(jax.random.key(0), samples))
    )


@cache
def trained(objective):
    """Return a policy that learned from both, and its curve."""
    settings = TrainingSettings(
        objective=objective,
        updates=2000,
        batch=256,
        learning_rate=2e-3,
        warmup=100,
        ema=0.995,
        held_out=0.05,
        quiet_share=0.0,  # asked at full noise only
    )
    return imitate(two_experts(), SENSOR, NETWORK, settings, seed=0)
