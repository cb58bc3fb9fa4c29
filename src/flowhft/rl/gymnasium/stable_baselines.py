"""Stable-Baselines3: train its algorithms on `MarketVectorEnv`, and export what they learned.

    env = StableBaselinesEnv(MarketVectorEnv("T1.LH", num_envs=64))
    model = PPO("MlpPolicy", env, n_steps=100, batch_size=640, gamma=1.0).learn(1_000_000)
    export(model, Path("runs/sb3/policy.safetensors"))

The file is a policy like any other: `flowhft evaluate --policies runs/sb3/policy.safetensors,glft`.
"""

import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from flowhft.errors import MissingExtraError, UsageError, require
from flowhft.policies.file import save_policy
from flowhft.rl.gymnasium.actor import agents_from
from flowhft.rl.gymnasium.env import MarketEnv
from flowhft.rl.gymnasium.vector import MarketVectorEnv

try:
    import stable_baselines3
    from stable_baselines3.common.base_class import BaseAlgorithm
    from stable_baselines3.common.policies import ActorCriticPolicy
    from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecEnvWrapper
    from torch.nn import Tanh
except ImportError as cause:
    raise MissingExtraError("stable_baselines3", "rl") from cause


class StableBaselinesEnv(VecEnv):
    """A `MarketVectorEnv` in the form in which Stable-Baselines3 steps many environments.

    Infos are empty but at a session's end, where they hold "terminal_observation" and "episode": its return
    and length, which Stable-Baselines3 logs.

    Args:
        env: the environments.
    """

    def __init__(self, env: MarketVectorEnv) -> None:
        self.env = env
        self.scenario, self.settings = env.scenario, env.settings
        self.render_mode = None
        super().__init__(env.num_envs, env.single_observation_space, env.single_action_space)
        self._returns = np.zeros(self.num_envs)
        self._length = 0
        self._began = time.time()
        self._actions = np.zeros((self.num_envs, 2), np.float32)

    def reset(self) -> np.ndarray:
        """Begin a session in every environment; a seed given by `seed` counts from here on."""
        observation, _ = self.env.reset(seed=self._seeds[0], options=self._options[0] or None)
        self._reset_seeds()
        self._reset_options()
        self._returns[:], self._length = 0.0, 0
        return observation

    def step_async(self, actions: np.ndarray) -> None:
        """Keep the actions, shape (num_envs, 2), for `step_wait`."""
        self._actions = actions

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """Return observations, rewards, ends of sessions and infos of the step."""
        observation, reward, terminated, truncated, info = self.env.step(self._actions)
        self._returns += reward
        self._length += 1
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        if terminated.any():
            elapsed = round(time.time() - self._began, 6)
            for one, final, total in zip(infos, info["final_obs"], self._returns, strict=True):
                one["terminal_observation"] = final
                one["TimeLimit.truncated"] = False
                one["episode"] = {"r": float(total), "l": self._length, "t": elapsed}
            self._returns[:], self._length = 0.0, 0
        return observation, reward, terminated | truncated, infos

    def close(self) -> None:
        """Close the environments."""
        self.env.close()

    def get_attr(self, attr_name: str, indices: int | Iterable[int] | None = None) -> list[Any]:
        """Return an attribute, which all environments share."""
        return [getattr(self.env, attr_name)] * len(list(self._get_indices(indices)))

    def set_attr(self, attr_name: str, value: Any, indices: int | Iterable[int] | None = None) -> None:
        """Refuse: environments of one program cannot differ."""
        require(False, "set_attr", "not be called: all sessions share one program", attr_name)

    def env_method(
        self, method_name: str, *method_args: Any, indices: int | Iterable[int] | None = None, **kwargs: Any
    ) -> list[Any]:
        """Refuse: sessions are rows of one program and have no methods of their own."""
        require(False, "env_method", "not be called: all sessions share one program", method_name)
        return []

    def env_is_wrapped(self, wrapper_class: type, indices: int | Iterable[int] | None = None) -> list[bool]:
        """Return that none is wrapped."""
        return [False] * len(list(self._get_indices(indices)))

    def get_images(self) -> Sequence[np.ndarray | None]:
        """Return no images: there is nothing to draw."""
        return [None] * self.num_envs


def export(model: BaseAlgorithm, path: Path, *, everywhere: bool = False) -> None:
    """Write what a model has learned on a `StableBaselinesEnv` as an agent that flowhft judges.

    Args:
        model: PPO or A2C with an `MlpPolicy`, tanh between its layers, on observations that nothing
            normalises behind the environment (rewards may be).
        path: of the file, `.safetensors`.
        everywhere: whether the agent may quote in every scenario, and not only in the one it learned in.

    Raises:
        UsageError: the model is of another kind.
    """
    policy = model.policy
    env = _market_of(model)
    plain = isinstance(policy, ActorCriticPolicy) and not policy.use_sde and not policy.squash_output
    require(plain, "model", "have a plain Gaussian MlpPolicy", type(policy).__name__, "Use PPO or A2C.")
    activation = policy.activation_fn
    require(activation is Tanh, "activation_fn", "be torch.nn.Tanh for an export", activation.__name__)
    normaliser = model.get_vec_normalize_env()
    require(
        normaliser is None or not normaliser.norm_obs,
        "VecNormalize",
        "leave observations alone, which the environment has scaled",
        "norm_obs=True",
        "Pass norm_obs=False.",
    )
    weights = {name: value.detach().cpu().numpy() for name, value in policy.state_dict().items()}
    training: dict[str, Any] = {
        "library": f"stable_baselines3 {stable_baselines3.__version__}",
        "algorithm": type(model).__name__,
        "steps": int(model.num_timesteps),
        "inventory_penalty": env.settings.inventory_penalty,
        "scenario": env.scenario.name,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    save_policy(path, agents_from(weights, env, everywhere=everywhere, training=training))


def _market_of(model: BaseAlgorithm) -> MarketEnv | MarketVectorEnv:
    """Return the environment behind all wrappers."""
    vectors = model.get_env()
    while isinstance(vectors, VecEnvWrapper):
        vectors = vectors.venv
    env = vectors.env if isinstance(vectors, StableBaselinesEnv) else None
    if isinstance(vectors, DummyVecEnv):
        env = vectors.envs[0].unwrapped
    if not isinstance(env, MarketEnv | MarketVectorEnv):
        raise UsageError(f"`model` must have learned on an environment of flowhft; received {vectors}.")
    return env
