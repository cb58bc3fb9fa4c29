"""Stable-Baselines3 on the simulated market: the public name of `flowhft.rl.gymnasium.stable_baselines`."""

from flowhft.rl.gymnasium.stable_baselines import StableBaselinesEnv, export

__all__ = ["StableBaselinesEnv", "export"]
