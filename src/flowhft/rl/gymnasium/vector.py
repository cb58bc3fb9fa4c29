"""Many sessions in one program as a `gymnasium.vector.VectorEnv`."""

from pathlib import Path
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from flowhft.errors import require
from flowhft.rl.gymnasium.env import first_path
from flowhft.rl.gymnasium.sessions import Sessions, as_actions
from flowhft.rl.gymnasium.settings import EnvSettings, one_scenario
from flowhft.scenarios.presets import Preset
from flowhft.scenarios.scenario import Scenario


class MarketVectorEnv(VectorEnv):
    """Many sessions of one scenario, stepped together by one compiled program.

    Like `MarketEnv` in all but number. Sessions have equally many steps, hence all end in the same step, and
    the next ones begin within it (`AutoresetMode.SAME_STEP`, which wastes no step and is what
    Stable-Baselines3 expects): that step's observations are those of the new sessions, and `info` holds
    "final_obs" and "final_info" of the old ones. An agent that learns from pieces of sessions should take
    pieces of whole sessions, since all environments are at the same time of theirs.

    `reset(seed=s)` begins paths 0 ... num_envs - 1 of seed s, later sessions take the paths that follow.

    Args:
        scenario: a scenario, its name, or a TOML file that holds one.
        market: preset of a named scenario.
        num_envs: how many sessions run side by side.
        render_mode: None; there is nothing to draw.
        settings: fields of `EnvSettings`.
    """

    metadata = {"render_modes": [], "autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012

    def __init__(
        self,
        scenario: str | Path | Scenario = "T1.LH",
        market: Preset = "correct",
        num_envs: int = 64,
        render_mode: None = None,
        **settings: Any,
    ) -> None:
        require(render_mode is None, "render_mode", "be None: there is nothing to draw", repr(render_mode))
        require(isinstance(num_envs, int) and num_envs >= 1, "num_envs", "be at least 1", num_envs)
        self.settings = EnvSettings(**settings)
        self.scenario = one_scenario(scenario, market)
        self.num_envs = num_envs
        self._sessions = Sessions(self.scenario, self.settings, num_envs)
        self.single_observation_space = self._sessions.observation_space
        self.single_action_space = self._sessions.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._path = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin a session in every environment.

        Args:
            seed: of the random numbers; none continues with the next paths of the last one.
            options: {"path": index of the first path}, or nothing.
        """
        require(not self.closed, "env", "be open", "a closed one", "Make a new environment.")
        require(
            "reset_mask" not in (options or {}),
            "reset_mask",
            "not be given: all sessions begin and end together",
            "one",
        )
        super().reset(seed=seed)
        self._path = first_path(options, 0 if seed is not None else self._path)
        return self._begin()

    def _begin(self) -> tuple[np.ndarray, dict[str, Any]]:
        result = self._sessions.begin(self.np_random_seed or 0, self._path)
        self._path += self.num_envs
        return result.observation, result.info

    def step(
        self, actions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Quote for one step in every environment.

        Args:
            actions: float32, shape (num_envs, 2), see `EnvSettings.action`; or 4, see `EnvSettings.may_pull`.

        Returns:
            Observations (num_envs, feature), rewards, terminated, truncated (never), info; arrays of shape
            (num_envs,).
        """
        require(not self.closed, "env", "be open", "a closed one", "Make a new environment.")
        require(self._sessions.running, "step", "follow a reset", "no session", "Call reset().")
        result = self._sessions.step(
            as_actions(actions, (self.num_envs, *self._sessions.action_space.low.shape))
        )
        observation: np.ndarray = result.observation
        info: dict[str, Any] = result.info
        ended = not self._sessions.running
        if ended:
            # Gymnasium's own vector environments keep final observations as an array of objects.
            final = np.empty(self.num_envs, object)
            final[:] = list(observation)
            everyone = np.ones(self.num_envs, bool)
            last = {"final_obs": final, "_final_obs": everyone, "final_info": info, "_final_info": everyone}
            observation, info = self._begin()
            info = info | last
        flags = np.full(self.num_envs, ended)
        return observation, result.reward, flags, np.zeros(self.num_envs, bool), info
