"""The simulated market for Gymnasium: `gymnasium.make("flowhft.gym:flowhft/Market-v0")`.

The public name of `flowhft.rl.gymnasium`, which says more.
"""

from flowhft.rl.gymnasium import EnvSettings, MarketEnv, MarketVectorEnv

__all__ = ["EnvSettings", "MarketEnv", "MarketVectorEnv"]
