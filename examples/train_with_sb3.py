"""Train an agent of Stable-Baselines3 in the paper's market, and judge it by flowhft.

    pip install 'flowhft[rl]'
    python examples/train_with_sb3.py [--steps N] [--scenario NAME]

It writes runs/sb3/policy.safetensors, a policy like any other:

    flowhft evaluate --scenarios T1.LH --market paper --policies runs/sb3/policy.safetensors,glft
"""

import argparse
from pathlib import Path

import torch
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecNormalize

import flowhft
from flowhft.gym import MarketVectorEnv
from flowhft.rl.gymnasium.stable_baselines import StableBaselinesEnv, export

POLICY = Path("runs/sb3/policy.safetensors")

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--scenario", default="T1.LH", help="where to learn")
parser.add_argument("--steps", type=int, default=1_000_000, help="steps of the market in all")
parser.add_argument("--envs", type=int, default=64, help="sessions side by side")
parser.add_argument("--seed", type=int, default=0)
options = parser.parse_args()

torch.set_num_threads(1)  # so small a network is slower on more
market = MarketVectorEnv(options.scenario, market="paper", num_envs=options.envs)
session = market.scenario.steps
model = PPO(
    "MlpPolicy",
    VecNormalize(StableBaselinesEnv(market), norm_obs=False, gamma=1.0),  # rewards of order one
    n_steps=session,  # whole sessions, so that every batch holds every time of day
    batch_size=options.envs * session // 8,
    n_epochs=4,
    gamma=1.0,  # sessions end: nothing needs discounting
    learning_rate=lambda left: 1e-3 * left,
    policy_kwargs={"log_std_init": -0.7},  # explore by half a risk-neutral half-spread
    seed=options.seed,
    device="cpu",
)
model.learn(options.steps)
export(model, POLICY)

print(flowhft.evaluate(f"{POLICY},glft,white_noise", market.scenario, paths=20_000))
