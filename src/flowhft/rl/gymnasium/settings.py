"""What an environment is made of: what the agent sees, what it may do, what it is paid. Free of jax."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from gymnasium.spaces import Box

from flowhft.errors import require
from flowhft.runs.ranges import NotNegative, Positive, check_ranges
from flowhft.scenarios.carried import MOST
from flowhft.scenarios.presets import Preset, find_scenarios
from flowhft.scenarios.scenario import Scenario

See = Literal["state", "regime", "context", "raw"]
Act = Literal["offset", "half_spread"]


@dataclass(frozen=True)
class EnvSettings:
    """What an environment offers and pays, beside its market."""

    observation: See = "state"
    """What the agent sees: the paper's `state` (time, cash, inventory, price, previous spread), each of order
    one and cut at 10; `regime`, the same and the numbers of the market; `context`, what a policy can sense
    of its market; or the state `raw`, in seconds, ticks and lots. See docs/gym.md."""
    action: Act = "offset"
    """An action is a pair (bid, ask): offsets a from the risk-neutral quote in units of 1/k, so that a side
    quotes at (1 + a) / k ticks from the mid; or the half-spreads themselves, ticks."""
    largest_offset: Positive = 5.0
    """Largest offset, units of 1/k: 5 allows from 4/k beyond the mid, filled by whatever comes, to 6/k
    away."""
    inventory_penalty: NotNegative = 1.0
    """phi of the reward, change of equity - phi inventory^2 dt, ticks / (lot x second); the paper's
    lambda is phi dt."""

    may_pull: bool = False
    """Whether the agent may leave a side unquoted: two more numbers (bid, ask) from -1 to 1 stand behind the
    action, and a side is not quoted in the step for which its own is below 0."""

    def __post_init__(self) -> None:
        check_ranges(self)
        for name in ("largest_offset", "inventory_penalty"):
            value = getattr(self, name)
            require(value <= MOST, name, f"be at most {MOST:g}: single precision carries no more", value)

    def action_space(self, scenario: Scenario) -> Box:
        """Return the space of one action, (bid, ask), and behind it whether each is quoted."""
        most = np.float32(self.largest_offset)
        low, high = -most, most
        if self.action == "half_spread":
            k = scenario.fill_decay
            low, high = np.float32((1.0 - most) / k), np.float32((1.0 + most) / k)
        if not self.may_pull:
            return Box(low, high, (2,), np.float32)
        return Box(np.array([low, low, -1.0, -1.0], np.float32), np.array([high, high, 1.0, 1.0], np.float32))


def one_scenario(scenario: str | Path | Scenario, market: Preset) -> Scenario:
    """Return the one scenario that a user names.

    Args:
        scenario: it, its name, or a TOML file that holds it alone.
        market: preset of a named scenario; a file or an object says everything itself.

    Raises:
        UnknownNameError: a name that is no scenario.
        UsageError: a name that stands for several.
    """
    if isinstance(scenario, Scenario):
        return scenario
    result = find_scenarios([str(scenario)], market)
    names = ", ".join(one.name for one in result[:3])
    require(
        len(result) == 1,
        "scenario",
        "name one scenario, in which all sessions run",
        f"'{scenario}', which holds {len(result)}: {names} ...",
        "Name one of them.",
    )
    return result[0]
