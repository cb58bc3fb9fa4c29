"""Settings of the training of a regime adapter. Nothing here imports jax, so that help is shown at once."""

from dataclasses import dataclass

from flowhft.errors import UnknownNameError, require
from flowhft.scenarios.presets import PRESETS


@dataclass(frozen=True)
class FamilySettings:
    """The random markets in which a regime adapter is trained; every range is uniform but the volatility's.

    A third each are as the paper ran them, as they should be, and with informed traders. Drift and mean jump
    lean upwards: a prior, which the trained policy shares.
    """

    scenarios: int = 2_048
    """Random scenarios that are trained on."""
    paths: int = 16
    """Sessions of each."""
    held_out: int = 384
    """Other random scenarios, by which the risk dial is chosen; some of them are scored along the way."""
    held_out_paths: int = 2_000
    """Sessions that are simulated in each of these, by every risk dial and expert."""
    volatility: tuple[float, ...] = (0.01, 0.45)
    """Lowest and highest, log-uniform."""
    base_intensity: tuple[float, ...] = (15.0, 70.0)
    """Market orders a side and session without excitation."""
    hurst_exponent: tuple[float, ...] = (0.155, 0.845)
    """Of the scenarios with memory."""
    without_memory: float = 0.35
    """Share of scenarios whose Hurst exponent is exactly 0.5."""
    drift: tuple[float, ...] = (-0.01, 0.04)
    """Relative, a session."""
    jump_intensity: tuple[float, ...] = (0.0, 0.4)
    """Jumps a session."""
    jump_mean: tuple[float, ...] = (-0.02, 0.12)
    """Mean jump of the log price."""
    jump_deviation: tuple[float, ...] = (0.02, 0.1)
    """Standard deviation of a jump of the log price."""
    strength: tuple[float, ...] = (0.0, 1.3)
    """Adverse selection among informed traders, in units of the preset's."""
    markets: tuple[str, ...] = ("paper", "correct", "informed")
    """Presets, each of as many scenarios."""

    def __post_init__(self) -> None:
        require(len(self.markets) >= 1, "markets", "name at least one preset", "none")
        for market in self.markets:
            if market not in PRESETS:
                raise UnknownNameError("market preset", market, PRESETS)
        for name in ("scenarios", "paths", "held_out", "held_out_paths"):
            least = 2 if name.endswith("paths") else len(self.markets)
            require(getattr(self, name) >= least, name, f"be at least {least}", getattr(self, name))
        require(0.0 <= self.without_memory <= 1.0, "without_memory", "lie in [0, 1]", self.without_memory)
        for name in (
            "volatility",
            "base_intensity",
            "hurst_exponent",
            "drift",
            "jump_intensity",
            "jump_mean",
            "jump_deviation",
            "strength",
        ):
            span = getattr(self, name)
            require(len(span) == 2 and span[0] <= span[1], name, "be two numbers, the lower one first", span)
        require(self.volatility[0] > 0.0, "volatility", "be positive", self.volatility)


@dataclass(frozen=True)
class RegimeSettings:
    """How the network behind the frozen policy is trained."""

    updates: int = 1_200
    """Updates of the weights."""
    batch: int = 40
    """Scenarios an update learns from, each with all its sessions."""
    units: int = 64
    """Of both hidden layers."""
    learning_rate: float = 3e-3
    """Highest learning rate: reached after the warm-up, then a cosine down to 0."""
    warmup: int = 40
    """Updates over which the learning rate rises from 0; at most half of `updates` is used."""
    clip: float = 1.0
    """Largest norm of a gradient."""
    dial: tuple[float, ...] = (0.02, 1.0)
    """Lowest and highest risk dial that is trained, log-uniform: what risk is worth."""
    softness: float = 0.02
    """Of the minimum of both gains: differences far below this are averaged."""
    swing: float = 0.5
    """Share of the inventory's quadratic variation (a proxy of drawdowns) in the risk; the rest: variance."""
    tell_convention: bool = True
    """Whether it is told of which kind a market is: jumps that are left in the drift, informed traders."""
    settings_shown: tuple[float, ...] = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.6, 0.8)
    """Risk dials of the held-out table, among which the shipped one is chosen."""
    checkpoint_every: int = 100
    """Updates between two checkpoints, from which an interrupted training resumes exactly."""

    def __post_init__(self) -> None:
        require(self.updates >= 1, "updates", "be at least 1", self.updates)
        require(self.batch >= 1, "batch", "be at least 1", self.batch)
        require(self.units >= 1, "units", "be at least 1", self.units)
        require(0.0 < self.learning_rate < float("inf"), "learning_rate", "be positive", self.learning_rate)
        require(self.warmup >= 0, "warmup", "be 0 or more", self.warmup)
        require(self.clip > 0.0, "clip", "be positive", self.clip)
        require(
            len(self.dial) == 2 and 0.0 < self.dial[0] <= self.dial[1],
            "dial",
            "be two positive numbers, the lower one first",
            self.dial,
        )
        require(self.softness > 0.0, "softness", "be positive", self.softness)
        require(0.0 <= self.swing <= 1.0, "swing", "lie in [0, 1]", self.swing)
        require(len(self.settings_shown) >= 1, "settings_shown", "hold at least one number", "none")
        require(
            all(self.dial[0] <= value <= self.dial[1] for value in self.settings_shown),
            "settings_shown",
            f"lie within the trained dial, {self.dial[0]:g} to {self.dial[1]:g}",
            self.settings_shown,
        )
        require(self.checkpoint_every >= 1, "checkpoint_every", "be at least 1", self.checkpoint_every)
