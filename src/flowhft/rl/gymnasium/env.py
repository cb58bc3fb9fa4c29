"""One market maker's session as a `gymnasium.Env`."""

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from flowhft.errors import UnknownNameError, require
from flowhft.rl.gymnasium.sessions import Sessions, StepResult, as_actions
from flowhft.rl.gymnasium.settings import EnvSettings, one_scenario
from flowhft.scenarios.presets import Preset
from flowhft.scenarios.scenario import Scenario

LAST_PATH = 2**31 - 1  # paths are counted in int32


class MarketEnv(gymnasium.Env):
    """A market maker's session in one scenario.

    Observation and action are described in `EnvSettings`; the reward of a step is the change of equity less
    a penalty on inventory, tick x lot. A session ends at its horizon and that is a *termination*: the problem
    has a finite horizon, its time is in the observation, and nothing is earned after it, so that no value may
    be bootstrapped there. It is never truncated.

    `info` holds the mid price, cash, inventory, quote, fills and PnL by cause of the step in raw units, and
    the equity since the session began. `reset(seed=s)` begins path 0 of seed s, every later `reset()` the
    next path; `options={"path": n}` begins path n.

    Args:
        scenario: a scenario, its name, or a TOML file that holds one.
        market: preset of a named scenario.
        render_mode: None; there is nothing to draw.
        settings: fields of `EnvSettings`.

    Source: the observation, action and reward of the PPO expert in the FlowHFT paper, scaled.

    Example:
        >>> env = MarketEnv("T1.LH", inventory_penalty=0.0)
        >>> observation, info = env.reset(seed=0)
        >>> observation, reward, terminated, truncated, info = env.step(np.zeros(2, np.float32))
    """

    metadata = {"render_modes": []}  # noqa: RUF012  (Gymnasium's own form)

    def __init__(
        self,
        scenario: str | Path | Scenario = "T1.LH",
        market: Preset = "correct",
        render_mode: None = None,
        **settings: Any,
    ) -> None:
        require(render_mode is None, "render_mode", "be None: there is nothing to draw", repr(render_mode))
        self.render_mode = render_mode
        self.settings = EnvSettings(**settings)
        self.scenario = one_scenario(scenario, market)
        self._sessions = Sessions(self.scenario, self.settings, 1)
        self.observation_space = self._sessions.observation_space
        self.action_space = self._sessions.action_space
        self._path = 0
        self._closed = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin a session.

        Args:
            seed: of the random numbers; none continues with the next path of the last one.
            options: {"path": index of the path}, or nothing.
        """
        require(not self._closed, "env", "be open", "a closed one", "Make a new environment.")
        super().reset(seed=seed)
        self._path = first_path(options, 0 if seed is not None else self._path)
        result = self._sessions.begin(self.np_random_seed, self._path)
        self._path += 1
        return result.observation[0], _own(result)

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Quote for one step.

        Args:
            action: (bid, ask), see `EnvSettings.action`; and what `EnvSettings.may_pull` puts behind it.

        Returns:
            Observation, reward, terminated (the horizon is reached), truncated (never), info.
        """
        require(not self._closed, "env", "be open", "a closed one", "Make a new environment.")
        require(
            self._sessions.running, "step", "follow a reset", "a session that is not running", "Call reset()."
        )
        result = self._sessions.step(as_actions(action, self._sessions.action_space.low.shape)[None])
        return result.observation[0], float(result.reward[0]), not self._sessions.running, False, _own(result)

    def close(self) -> None:
        """Close the environment; it may be closed again, but not used."""
        self._closed = True


def _own(result: StepResult) -> dict[str, Any]:
    return {name: float(values[0]) for name, values in result.info.items()}


def first_path(options: dict[str, Any] | None, otherwise: int) -> int:
    """Return the first path that a reset asks for.

    Raises:
        UsageError: an option that does not exist, or a path that cannot be.
    """
    for name in options or {}:
        if name != "path":
            raise UnknownNameError("option of reset", str(name), ["path"])
    path = (options or {}).get("path", otherwise)
    require(
        isinstance(path, int | np.integer) and 0 <= int(path) <= LAST_PATH,
        "path",
        f"be a whole number from 0 to {LAST_PATH}",
        repr(path),
    )
    return int(path)
