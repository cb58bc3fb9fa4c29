"""The simulated market as Gymnasium environments, one (`MarketEnv`) or many at once (`MarketVectorEnv`).

The dynamics are those of `flowhft.simulate.rollout`: the same market, and the same random numbers for the
same seed, stream and path. What Gymnasium asks for, and a market alone does not have, is added here: an
observation as a vector, an action as a vector, a reward, and a session that ends.

Importing this package makes the environment known to Gymnasium as `flowhft/Market-v0`; by name alone,
`gymnasium.make("flowhft.gym:flowhft/Market-v0")` imports it first.
"""

from flowhft.errors import MissingExtraError

try:
    import gymnasium
except ImportError as cause:
    raise MissingExtraError("gymnasium", "rl") from cause

from flowhft.rl.gymnasium.env import MarketEnv
from flowhft.rl.gymnasium.settings import EnvSettings
from flowhft.rl.gymnasium.vector import MarketVectorEnv

__all__ = ["EnvSettings", "MarketEnv", "MarketVectorEnv"]

gymnasium.register(
    "flowhft/Market-v0",
    entry_point="flowhft.rl.gymnasium:MarketEnv",
    vector_entry_point="flowhft.rl.gymnasium:MarketVectorEnv",
)
