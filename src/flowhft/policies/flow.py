"""A flow policy as data: the weights of its network, the scales around it, how quotes are drawn from it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float32

from flowhft.errors import UsageError, require
from flowhft.features import NAMES, REGIME, Sensor, sensor_in_units
from flowhft.policies.adapter import IDENTITY
from flowhft.policies.header import numbers, settings_in
from flowhft.policies.plain import PERIODS, REACH
from flowhft.policies.plan import Plan
from flowhft.policies.plans import plan_of, require_sampler
from flowhft.policies.policy import Policy
from flowhft.policies.settings import NetworkSettings, SamplerSettings
from flowhft.scenarios.known import regime_of
from flowhft.scenarios.scenario import Scenario

NORMALISER = ("feature_mean", "feature_std", "action_mean", "action_scale")
TOLD = "told"  # the kind of features that holds the numbers of a market's regime


def weight_shapes(feature: int, sample: int, width: int, block: int) -> dict[str, tuple[int, ...]]:
    """Return the name and shape of every weight of a network, by the lengths of its axes."""
    return {
        "embed.weight_1": (width, 4 * len(PERIODS)),
        "embed.bias_1": (width,),
        "embed.weight_2": (width, width),
        "embed.bias_2": (width,),
        "input.weight_x": (width, sample),
        "input.weight_features": (width, feature),
        "input.bias": (width,),
        "block.modulation_weight": (block, 3 * width, width),
        "block.modulation_bias": (block, 3 * width),
        "block.weight_1": (block, width, width),
        "block.bias_1": (block, width),
        "block.weight_2": (block, width, width),
        "block.bias_2": (block, width),
        "output.modulation_weight": (2 * width, width),
        "output.modulation_bias": (2 * width,),
        "output.weight": (sample, width),
        "output.bias": (sample,),
    }


@dataclass(frozen=True, eq=False)
class Flow:
    """What draws chunks of quotes from a velocity network.

    Attributes:
        weights: by name, see `weight_shapes`; float32.
        normaliser: the arrays of `NORMALISER`, float32: means and deviations of the features, shape
            (feature,); means and scales of what a step of a chunk holds, the half-spreads of bid and ask,
            ticks.
        sensor: the scales against which it senses.
        settings: shape of the network.
        sampler: how a chunk is drawn and how much of it is quoted.
        objective: that trained it.
    """

    weights: Mapping[str, Float32[np.ndarray, "..."]]
    normaliser: Mapping[str, Float32[np.ndarray, "..."]]
    sensor: Sensor
    settings: NetworkSettings
    sampler: SamplerSettings
    objective: str
    kind: ClassVar[str] = "flow"
    family: ClassVar[str] = "learned"
    number: ClassVar[type] = np.float32

    def __post_init__(self) -> None:
        require_sampler(self.sampler, self.settings, self.objective)

    @property
    def draws(self) -> bool:
        """Whether its quotes are drawn with chance."""
        return self.sampler.noise_scale > 0.0

    @property
    def needs_scenario(self) -> bool:
        """Whether it must be told the market that it quotes in: only a control is."""
        return self.settings.features == TOLD

    @property
    def plan(self) -> Plan:
        """Return the evaluations by which a chunk is drawn.

        Raises:
            UsageError: the adaptive solver, which has no fixed number of them.
        """
        return plan_of(self.objective, self.sampler, self.settings.finest)

    def in_market(self, scenario: Scenario | None) -> Policy:
        """Return it as it quotes in a market: as everywhere, or told of it where it is one that is told."""
        if not self.needs_scenario:
            return Policy(self)
        if scenario is None:
            raise UsageError("`scenario` must say which market a policy of kind `told` is in; received none.")
        return Policy(self.knowing(regime_of(scenario)))

    def knowing(self, regime: Float32[np.ndarray, " regime"]) -> "Flow":
        """Return a flow of kind `told` as it quotes in one market: of kind `context`, with what it was told.

        Features enter the network once, through a matrix; those that never change in a market add up to a
        constant, which belongs into the bias.

        Args:
            regime: the numbers of the market, in the order of `flowhft.features.REGIME`.

        Raises:
            UsageError: it is not one that is told.
        """
        if not self.needs_scenario:
            raise UsageError(f"`policy` must be one that is told; received {self.settings.features}.")
        sensed = self.settings.feature_count - len(REGIME)
        scales = self.normaliser
        numbers = np.asarray(regime, np.float32) - scales["feature_mean"][sensed:]
        scaled = np.clip(numbers / scales["feature_std"][sensed:], -REACH, REACH)
        into = self.weights["input.weight_features"]
        privileged = {
            "input.weight_features": into[:, :sensed],
            "input.bias": self.weights["input.bias"] + scaled @ into[:, sensed:].T,
        }
        shorter = {name: scales[name][:sensed] for name in ("feature_mean", "feature_std")}
        return replace(
            self,
            weights={**self.weights, **privileged},
            normaliser={**scales, **shorter},
            settings=replace(self.settings, features="context"),
        )

    def in_units(self, half_spread: float, dt: float, horizon: float) -> "Flow":
        """Return it for a market of other units: it senses and quotes in units of them.

        Args:
            half_spread: unit of distance, ticks: 1 / k.
            dt: time between two decisions, seconds.
            horizon: length of a session, seconds.
        """
        factor = half_spread / self.sensor.half_spread
        actions = {name: self.normaliser[name] * factor for name in ("action_mean", "action_scale")}
        sensor = sensor_in_units(half_spread, dt, horizon)
        return replace(self, normaliser={**self.normaliser, **actions}, sensor=sensor)

    def with_sampler(self, sampler: SamplerSettings) -> "Flow":
        """Return it with its quotes drawn in another way.

        Raises:
            UsageError: the objective does not train such a sampler, or it executes more than a chunk.
        """
        return replace(self, sampler=sampler)

    def with_flow(self, flow: "Flow") -> "Flow":
        """Return it with its chunks drawn by another flow: that one."""
        return flow

    def to_file(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Return what the header of a file says of it, and its arrays."""
        header = {
            "settings": asdict(self.settings),
            "feature_names": NAMES[self.settings.features],
            "sensor": self.sensor._asdict(),
            "objective": self.objective,
            "sampler": asdict(self.sampler),
        }
        arrays = {f"normaliser.{name}": self.normaliser[name] for name in NORMALISER}
        return header, {**self.weights, **arrays}

    @classmethod
    def shapes(cls, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> dict[str, tuple]:
        """Return the name and shape of every array that a file with this header holds."""
        settings = settings_in(NetworkSettings, header["settings"], "settings")
        sampler = settings_in(SamplerSettings, header["sampler"], "sampler")
        require_sampler(sampler, settings, header["objective"])
        feature = settings.feature_count
        sizes = weight_shapes(feature, settings.chunk_size, settings.width, settings.blocks)
        scales: dict[str, tuple] = {f"normaliser.{name}": (feature,) for name in NORMALISER[:2]}
        answers = (len(settings.answers),)
        return sizes | scales | {f"normaliser.{name}": answers for name in NORMALISER[2:]}

    @classmethod
    def from_file(cls, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> "Flow":
        """Return it from the header and the arrays of a file, whose shapes were checked."""
        names = weight_shapes(1, 1, 1, 1)
        for name in ("feature_std", "action_scale"):
            positive = bool(np.all(arrays[f"normaliser.{name}"] > 0.0))
            require(positive, f"normaliser.{name}", "be positive everywhere", "0 or less")
        sensor = numbers(header["sensor"], "sensor")
        for name, value in sensor.items():
            require(value > 0.0, f"sensor.{name}", "be positive", value)
        return cls(
            {name: arrays[name] for name in names},
            {name: arrays[f"normaliser.{name}"] for name in NORMALISER},
            Sensor(**sensor),
            settings_in(NetworkSettings, header["settings"], "settings"),
            settings_in(SamplerSettings, header["sampler"], "sampler"),
            header["objective"],
        )


def flow_in(policy: object) -> Flow | None:
    """Return the flow that a policy is; None for everything else that quotes."""
    return policy.core if isinstance(policy, Policy) and isinstance(policy.core, Flow) else None


def drawn_by(policy: object) -> Flow | None:
    """Return the flow that draws a policy's chunks: itself, or the one that serves each of its sides."""
    if not isinstance(policy, Policy):
        return None
    core: Any = policy.core
    return core if isinstance(core, Flow) else getattr(core, "flow", None)


def has_map(policy: Policy) -> bool:
    """Whether a map stands behind a policy, be it one or a network that works it out."""
    return policy.regime is not None or policy.adapter not in (None, IDENTITY)
