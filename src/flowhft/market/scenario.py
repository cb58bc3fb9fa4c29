"""A scenario: the parameters of one simulated market, in a form that people write, check and share.

Nothing here imports jax: a scenario is read, validated and compared at the edge, and becomes a
`Market` only where paths are simulated.
"""

import dataclasses
import math
import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from flowhft.errors import DataError, UnknownNameError, UsageError, require
from flowhft.types import Estimates


@dataclass(frozen=True)
class Scenario:
    """The parameters of one market and one session in it.

    Prices are in ticks and times in seconds. In the paper's dimensionless scenarios a tick is one
    price unit and a second is the unit of its horizon.
    """

    name: str
    """What tables and files call it."""
    horizon: float = 1.0
    """Length of a session, seconds."""
    dt: float = 0.01
    """Time between two decisions, seconds; the horizon is a whole number of them."""

    price: Literal["lognormal", "additive"] = "lognormal"
    """Whether drift, volatility and jumps are relative to the price or in ticks."""
    initial_price: float = 100.0
    """Mid price at the session's start, ticks."""
    drift: float = 0.0
    """Per second: relative if lognormal, ticks if additive."""
    volatility: float = 0.2
    """Of the mid over one second: relative if lognormal, ticks if additive; grows as time^H."""
    hurst_exponent: float = 0.5
    """Memory of the price: 0.5 none, below it reverts, above it trends."""
    jump_intensity: float = 0.0
    """Jumps per second."""
    jump_mean: float = 0.0
    """Mean jump: of the log price if lognormal, in ticks if additive."""
    jump_deviation: float = 0.0
    """Standard deviation of a jump, same unit."""
    jumps_compensated: bool = True
    """Whether the mean effect of jumps is taken off the drift. The paper's runs did not."""

    base_intensity: float = 50.0
    """Market orders per second and side without excitation."""
    self_excitation: float = 0.0
    """What an arrival adds to the intensity of its own side, 1 / second."""
    cross_excitation: float = 0.0
    """What an arrival adds to the intensity of the other side, 1 / second."""
    decay: float = 10.0
    """How fast excitation fades, 1 / second."""
    exciter: Literal["arrivals", "own_fills"] = "arrivals"
    """Who excites: all market orders (the model of the text), or the maker's own fills (as the paper ran)."""
    exact_decay: bool = True
    """Excitation fades by exp(-decay dt), or by the Euler step 1 - decay dt as the paper ran it."""

    fill_decay: float = 1.5
    """k: how fast fills thin out with distance from the mid, 1 / tick."""
    reach: float = 1.0
    """Probability that a market order reaches a quote at the mid; above 1 it is capped at the quote."""
    adverse_selection: float = 0.0
    """Expected move of the mid against us in the step of a fill, ticks; 0 in the paper."""
    maker_fee: float = 0.0
    """Share of the traded value paid per fill; negative for a rebate."""
    inventory_limit: float = math.inf
    """Lots beyond which a side is not filled."""

    risk_aversion: float = 1.0
    """gamma of the experts, 1 / (tick x lot)."""
    currency: str = "price units"
    """Unit of money in tables."""
    tick_value: float = 1.0
    """Money of one tick x lot, in `currency`."""

    steps: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        where = f"[scenario '{self.name}']"
        for name in POSITIVE:
            value = getattr(self, name)
            require(value > 0 and math.isfinite(value), name, "be positive and finite", f"{value} {where}")
        for name in NOT_NEGATIVE:
            value = getattr(self, name)
            require(value >= 0 and math.isfinite(value), name, "not be negative", f"{value} {where}")
        for name in ("drift", "jump_mean", "maker_fee"):
            require(math.isfinite(getattr(self, name)), name, "be finite", f"{getattr(self, name)} {where}")
        require(
            self.inventory_limit >= 1,
            "inventory_limit",
            "be at least 1 lot",
            f"{self.inventory_limit} {where}",
        )
        require(
            0.0 < self.hurst_exponent < 1.0,
            "hurst_exponent",
            "lie strictly between 0 and 1",
            f"{self.hurst_exponent} {where}",
            "0.5 is a price without memory.",
        )
        require(
            self.dt <= self.horizon,
            "dt",
            "not exceed the horizon",
            f"dt {self.dt} s with horizon {self.horizon} s {where}",
            "Lower dt.",
        )
        steps = round(self.horizon / self.dt)
        require(
            math.isclose(steps * self.dt, self.horizon, rel_tol=1e-6),
            "horizon",
            "be a whole number of steps of dt",
            f"horizon {self.horizon} s with dt {self.dt} s {where}",
        )
        object.__setattr__(self, "steps", steps)
        require(
            self.branching_ratio < 1.0,
            "decay",
            "exceed self_excitation + cross_excitation so that the branching ratio is below 1",
            f"{self.decay} with excitation {self.self_excitation} + {self.cross_excitation} {where}",
            "Lower the excitation or raise the decay.",
        )
        most = MOST_ADVERSE * self.step_deviation
        require(
            self.adverse_selection <= most,
            "adverse_selection",
            f"be at most {MOST_ADVERSE:g} standard deviations of a step's move, {most:g} ticks",
            f"{self.adverse_selection} {where}",
            "Lower it or raise dt.",
        )
        require(
            self.exact_decay or self.decay * self.dt < 1.0,
            "decay",
            "be below 1 / dt for an Euler step of the intensity",
            f"{self.decay} with dt {self.dt} {where}",
            "Lower dt or set exact_decay = true.",
        )
        for name, rate in (("market orders", self.mean_intensity), ("jumps", self.jump_intensity)):
            require(
                rate * self.dt <= MOST_IN_STEP,
                "dt",
                f"be so short that no more than {MOST_IN_STEP:g} {name} fall on a step on average",
                f"{self.dt} s, in which {rate * self.dt:.3g} do {where}",
                "Lower dt.",
            )
        for name, allowed in (("price", ("lognormal", "additive")), ("exciter", ("arrivals", "own_fills"))):
            value = getattr(self, name)
            require(value in allowed, name, f"be one of {', '.join(allowed)}", f"'{value}' {where}")

    @property
    def step_deviation(self) -> float:
        """Return the standard deviation of the diffusion over one step, ticks."""
        return self.volatility_ticks * self.dt**self.hurst_exponent

    @property
    def branching_ratio(self) -> float:
        """Return how many arrivals one arrival causes directly, on both sides; below 1."""
        return (self.self_excitation + self.cross_excitation) / self.decay

    @property
    def mean_intensity(self) -> float:
        """Return the stationary mean of market orders per second and side.

        mu / (1 - branching ratio) where all arrivals excite; where only own fills do, the base
        intensity, which is what a maker who does not trade would see.
        """
        if self.exciter == "own_fills":
            return self.base_intensity
        return self.base_intensity / (1.0 - self.branching_ratio)

    @property
    def volatility_ticks(self) -> float:
        """Return the volatility at the initial price, ticks per root second."""
        return self.volatility * (self.initial_price if self.price == "lognormal" else 1.0)

    @property
    def drift_ticks(self) -> float:
        """Return the stated drift at the initial price, ticks per second, hidden jump drift left out."""
        return self.drift * (self.initial_price if self.price == "lognormal" else 1.0)

    def estimates(self) -> Estimates:
        """Return what a well-informed expert is told: price units, the mean intensity of fills at the mid."""
        return Estimates(
            volatility=self.volatility_ticks,
            drift=self.drift_ticks,
            intensity=self.mean_intensity * self.reach,
            fill_decay=self.fill_decay,
            horizon=self.horizon,
        )

    def raw_estimates(self) -> Estimates:
        """Return what the paper's runs told the experts: volatility and drift as raw relative numbers."""
        return self.estimates()._replace(volatility=self.volatility, drift=self.drift)

    def but(self, **changes: Any) -> "Scenario":
        """Return the same scenario with some parameters changed, validated again."""
        return dataclasses.replace(self, **changes)


# Market orders of a side, or jumps, in a step: more are neither drawn exactly in single precision nor told
# apart by a maker who trades one lot a side and step.
MOST_IN_STEP = 20.0
# A Gaussian step carries little more than one or two: beyond, nearly all fills fall into a few wild steps.
MOST_ADVERSE = 3.0
POSITIVE = (
    "horizon",
    "dt",
    "initial_price",
    "volatility",
    "base_intensity",
    "decay",
    "fill_decay",
    "reach",
    "risk_aversion",
    "tick_value",
)
NOT_NEGATIVE = (
    "jump_intensity",
    "jump_deviation",
    "self_excitation",
    "cross_excitation",
    "adverse_selection",
)
_TYPES = {item.name: item.type for item in fields(Scenario) if item.init}


def scenario_from_table(table: dict[str, Any], where: str) -> Scenario:
    """Make a scenario from the keys of a TOML table.

    Args:
        table: field names of `Scenario` and their values; `name` is required.
        where: the file, for messages.

    Raises:
        UsageError: an unknown key (with a suggestion), a wrong type, an impossible parameter.
    """
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in _TYPES:
            raise UnknownNameError("scenario key", key, _TYPES, hint=f"[`{where}`]")
        kind = _TYPES[key]
        if kind is float:
            good = isinstance(value, int | float) and not isinstance(value, bool)
            value = float(value) if good else value
        else:
            good = isinstance(value, bool if kind is bool else str)
        wanted = "a number" if kind is float else "true or false" if kind is bool else "a string"
        require(good, key, f"be {wanted}", f"{value!r} [`{where}`]")
        values[key] = value
    require("name" in values, "name", "be given for every scenario", f"none [`{where}`]")
    return Scenario(**values)


def read_scenarios(path: Path) -> list[Scenario]:
    """Read scenarios from a TOML file: one at the top level, or several as `[[scenario]]` tables.

    Raises:
        DataError: the file is missing or is not TOML.
        UsageError: a key or a value cannot be.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"`scenarios` must name presets or a TOML file; `{path}` does not exist.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as cause:
        raise DataError(f"`{path}` must be TOML; {cause}.") from cause
    tables = content.get("scenario", [content])
    nested = isinstance(tables, list) and all(isinstance(table, dict) for table in tables)
    if not nested or (len(content) > 1 and "scenario" in content):
        raise UsageError(f"`{path}` must hold one scenario at the top level or only [[scenario]] tables.")
    scenarios = [scenario_from_table(table, str(path)) for table in tables]
    names = [scenario.name for scenario in scenarios]
    require(len(set(names)) == len(names), "name", "differ between scenarios", f"{names} [`{path}`]")
    return scenarios


def scenarios_to_toml(scenarios: list[Scenario]) -> str:
    """Write scenarios as TOML that `read_scenarios` reads back to equal ones."""
    lines = []
    for scenario in scenarios:
        lines.append("[[scenario]]")
        for name in _TYPES:
            value = getattr(scenario, name)
            if isinstance(value, bool):
                text = str(value).lower()
            elif isinstance(value, str):
                text = '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
            else:
                text = repr(float(value))
            lines.append(f"{name} = {text}")
        lines.append("")
    return "\n".join(lines)
