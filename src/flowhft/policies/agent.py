"""An agent as data: the actor network that reinforcement learning left behind, and the scales around it."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float32

from flowhft.errors import UnknownNameError, UsageError, require
from flowhft.features import IN_TICKS, NAMES, STATE, Units
from flowhft.policies.actor import SIDES, Actor, Scales
from flowhft.policies.header import number
from flowhft.policies.policy import Policy
from flowhft.scenarios.known import regime_of
from flowhft.scenarios.scenario import Scenario

ACTIVATION = "tanh"
# View -> the names of its features, in their order.
VIEWS: dict[str, tuple[str, ...]] = {view: NAMES[view] for view in ("state", "regime")}
ACTIONS = (SIDES, 2 * SIDES)  # numbers that a network may end with, see `flowhft.policies.actor.Actor`


def units_in(view: str, scenario: Scenario) -> Units:
    """Return what an agent of a view is told in a scenario: units, and the numbers of `regime_of` if any.

    Raises:
        UnknownNameError: no such view.
    """
    if view not in VIEWS:
        raise UnknownNameError("view", view, VIEWS)
    if view == "state":
        return IN_TICKS
    unit = 1.0 / scenario.fill_decay
    move = scenario.volatility_ticks * scenario.horizon**scenario.hurst_exponent
    return Units(unit, scenario.horizon, move, move, regime_of(scenario))


@dataclass(frozen=True, eq=False)
class Agent:
    """A policy learned by trial and error; deterministic: it quotes the mean of its Gaussian.

    Attributes:
        view: what it sees, a key of `VIEWS`.
        arrays: float32, for layers of sizes n_0, ..., n_L: `weight.i` (n_i, n_i+1), `bias.i` (n_i+1,),
            `log_std` (n_L,), `scales.mean` and `scales.std` (n_0,), `scales.centre`, `scales.scale`,
            `scales.low` and `scales.high` (2,): half-spread = unit (centre + scale min(max(action, low),
            high)).
        units: in a market: what it is told there; None before.
    """

    view: str
    arrays: Mapping[str, Float32[np.ndarray, "..."]]
    units: Units | None = None
    kind: ClassVar[str] = "agent"
    family: ClassVar[str] = "learned"
    draws: ClassVar[bool] = False
    number: ClassVar[type] = np.float32

    def __post_init__(self) -> None:
        require(self.view in VIEWS, "view", f"be one of {', '.join(VIEWS)}", repr(self.view))
        std = np.asarray(self.arrays["scales.std"])
        require(bool((std > 0.0).all()), "scales.std", "be positive", "0 or less")

    @property
    def actor(self) -> Actor:
        """Return its network."""
        layers = range(self.depth)
        return Actor(
            tuple(self.arrays[f"weight.{n}"] for n in layers),
            tuple(self.arrays[f"bias.{n}"] for n in layers),
            self.arrays["log_std"],
        )

    @property
    def scales(self) -> Scales:
        """Return what lies between features, network and half-spreads."""
        return Scales(*(self.arrays[f"scales.{name}"] for name in Scales._fields))

    @property
    def layers(self) -> tuple[int, ...]:
        """Return the sizes of the layers, from features to actions."""
        weights = [self.arrays[f"weight.{n}"] for n in range(self.depth)]
        return (weights[0].shape[0], *(weight.shape[1] for weight in weights))

    @property
    def depth(self) -> int:
        """Return the number of matrices."""
        return sum(name.startswith("weight.") for name in self.arrays)

    @property
    def needs_scenario(self) -> bool:
        """Whether it must be told the market: one that sees the regime, before it was told."""
        return self.view == "regime" and self.units is None

    def in_market(self, scenario: Scenario | None) -> Policy:
        """Return it told what it is told of a market; one that was told before stays as it is."""
        if self.units is not None:
            return Policy(self)
        if scenario is None and self.needs_scenario:
            raise UsageError(
                "`scenario` must say which market an agent that sees its regime is in; received none."
            )
        units = IN_TICKS if scenario is None else units_in(self.view, scenario)
        return Policy(replace(self, units=units))

    def to_file(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Return what the header of a file says of it, and its arrays."""
        header: dict[str, Any] = {"view": self.view, "layers": self.layers, "activation": ACTIVATION}
        arrays = dict(self.arrays)
        if self.units is not None:
            header["units"] = [getattr(self.units, n) for n in ("half_spread", "time", "price", "cash")]
            arrays["units.regime"] = self.units.regime
        return header, arrays

    @classmethod
    def shapes(cls, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> dict[str, tuple]:
        """Return the name and shape of every array that a file with this header holds."""
        layers = [int(size) for size in header["layers"]]
        features = len(VIEWS[header["view"]])
        fits = len(layers) > 1 and min(layers) >= 1 and layers[0] == features and layers[-1] in ACTIONS
        if not fits or header["activation"] != ACTIVATION:
            raise UsageError(
                f"layers must lead from {features} features to 2 actions, or 4 where sides may be pulled, "
                f"{ACTIVATION} between them; received {layers} with {header['activation']!r}."
            )
        shapes: dict[str, tuple] = {"log_std": (layers[-1],)}
        for n, (before, after) in enumerate(itertools.pairwise(layers)):
            shapes |= {f"weight.{n}": (before, after), f"bias.{n}": (after,)}
        for name in Scales._fields:
            shapes[f"scales.{name}"] = (features if name in ("mean", "std") else SIDES,)
        if "units" in header:
            shapes["units.regime"] = (features - len(STATE),)
        return shapes

    @classmethod
    def from_file(cls, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> "Agent":
        """Return it from the header and the arrays of a file, whose shapes were checked."""
        own = dict(arrays)
        regime = own.pop("units.regime", None)
        if regime is None:
            return cls(str(header["view"]), own)
        half_spread, time, price, cash = (number(unit, "units") for unit in header["units"])
        for unit in (half_spread, time, price, cash):
            require(unit > 0.0, "units", "be positive", unit)
        return cls(str(header["view"]), own, Units(half_spread, time, price, cash, regime))
