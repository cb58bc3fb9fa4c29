"""Settings of the training of a regime adapter. Nothing here imports jax, so that help is shown at once."""

from dataclasses import dataclass
from typing import Annotated

from flowhft.errors import UnknownNameError, require
from flowhft.runs.ranges import Count, CountOrNone, Positive, Range, Several, Share, check_ranges
from flowhft.scenarios.presets import PRESETS


@dataclass(frozen=True)
class FamilySettings:
    """The random markets in which a regime adapter is trained; every range is uniform but the volatility's.

    A third each are as the paper ran them, as they should be, and with informed traders. Drift and mean jump
    lean upwards: a prior, which the trained policy shares.
    """

    scenarios: int = 2_048
    """Random scenarios that are trained on."""
    paths: Annotated[int, Range(2)] = 16
    """Sessions of each."""
    held_out: int = 384
    """Other random scenarios, by which the risk dial is chosen; some of them are scored along the way."""
    held_out_paths: Annotated[int, Range(2)] = 2_000
    """Sessions that are simulated in each of these, by every risk dial and expert."""
    volatility: tuple[float, ...] = (0.01, 0.45)
    """Lowest and highest, log-uniform."""
    base_intensity: tuple[float, ...] = (15.0, 70.0)
    """Market orders a side and session without excitation."""
    hurst_exponent: tuple[float, ...] = (0.155, 0.845)
    """Of the scenarios with memory."""
    without_memory: Share = 0.35
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
    markets: Annotated[tuple[str, ...], Several(name="preset")] = ("paper", "correct", "informed")
    """Presets, each of as many scenarios."""

    def __post_init__(self) -> None:
        check_ranges(self)
        for market in self.markets:
            if market not in PRESETS:
                raise UnknownNameError("market preset", market, PRESETS)
        for name in ("scenarios", "held_out"):
            least = len(self.markets)
            require(getattr(self, name) >= least, name, f"be at least {least}", getattr(self, name))
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

    updates: Count = 1_200
    """Updates of the weights."""
    batch: Count = 40
    """Scenarios an update learns from, each with all its sessions."""
    units: Count = 64
    """Of both hidden layers."""
    learning_rate: Positive = 3e-3
    """Highest learning rate: reached after the warm-up, then a cosine down to 0."""
    warmup: CountOrNone = 40
    """Updates over which the learning rate rises from 0; at most half of `updates` is used."""
    clip: Positive = 1.0
    """Largest norm of a gradient."""
    dial: tuple[float, ...] = (0.02, 1.0)
    """Lowest and highest risk dial that is trained, log-uniform: what risk is worth."""
    softness: Positive = 0.02
    """Of the minimum of both gains: differences far below this are averaged."""
    swing: Share = 0.5
    """Share of the inventory's quadratic variation (a proxy of drawdowns) in the risk; the rest: variance."""
    tell_convention: bool = True
    """Whether it is told of which kind a market is: jumps that are left in the drift, informed traders."""
    settings_shown: Annotated[tuple[float, ...], Several()] = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.6, 0.8)
    """Risk dials of the held-out table, among which the shipped one is chosen."""
    checkpoint_every: Count = 100
    """Updates between two checkpoints, from which an interrupted training resumes exactly."""

    def __post_init__(self) -> None:
        check_ranges(self)
        require(
            len(self.dial) == 2 and 0.0 < self.dial[0] <= self.dial[1],
            "dial",
            "be two positive numbers, the lower one first",
            self.dial,
        )
        require(
            all(self.dial[0] <= value <= self.dial[1] for value in self.settings_shown),
            "settings_shown",
            f"lie within the trained dial, {self.dial[0]:g} to {self.dial[1]:g}",
            self.settings_shown,
        )
