"""A scenario: the parameters of one simulated market, in a form that people write, check and share.

Nothing here imports jax: a scenario is read, validated and compared at the edge, and becomes a
`Market` only where paths are simulated. Files of scenarios: `scenario_files`.
"""

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from flowhft.errors import require
from flowhft.runs.labels import require_name
from flowhft.scenarios.carried import require_carried, require_price, require_steps
from flowhft.scenarios.order_flow import OrderFlow, flow_variance, require_order_flow, response_at, signals_of
from flowhft.types import Estimates


class Sides(NamedTuple):
    """One number for each side of the market, by the side of our quote that its orders fill."""

    bid: float
    ask: float


# A key that came later: where it is None, a run is what it was before there was one (`runs.files.plain`).
LATER = {"unwritten": None}


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
    burst_intensity: float = 0.0
    """Bursts of volatility that begin per second of calm; 0 for none."""
    burst_duration: float = 0.1
    """Mean length of a burst, seconds."""
    burst_factor: float = 1.0
    """Volatility within a burst, in units of `volatility`."""

    base_intensity: float = 50.0
    """Market orders per second and side without excitation; of the bid side if the ask has its own."""
    base_intensity_ask: float | None = None
    """The same for orders that fill our ask; none = as the bid side."""
    self_excitation: float = 0.0
    """What an arrival adds to the intensity of its own side, 1 / second."""
    self_excitation_ask: float | None = None
    """The same for the ask side; none = as the bid side."""
    cross_excitation: float = 0.0
    """What an arrival of the other side adds to the intensity of a side, 1 / second."""
    cross_excitation_ask: float | None = None
    """The same for the ask side: what an arrival at the bid adds to it; none = as the bid side."""
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
    refill: bool = False
    """Whether a filled lot is replaced at once, so that one step may fill several lots a side."""
    clip_beyond_mid: bool = False
    """Whether quotes beyond the mid fill no more often than at it also where own fills excite."""
    adverse_selection: float = 0.0
    """Expected move of the mid against us in the step of a fill, ticks; 0 in the paper."""
    order_flow: OrderFlow | None = field(default=None, metadata=LATER)
    """How the book foretells the price and orders move it, a table of its own; none = neither."""
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
        require_name("name", self.name, "[of a scenario]")
        where = f"[scenario '{self.name}']"
        for name, (must, holds) in RULES.items():
            value = getattr(self, name)
            require(value is None or holds(value), name, must, f"{value} {where}", FIXES.get(name, ""))
        for name, allowed in (("price", ("lognormal", "additive")), ("exciter", ("arrivals", "own_fills"))):
            value = getattr(self, name)
            require(value in allowed, name, f"be one of {', '.join(allowed)}", f"'{value}' {where}")
        values = vars(self)
        require_carried(values, where)
        require(
            self.dt <= self.horizon,
            "dt",
            "not exceed the horizon",
            f"dt {self.dt} s with horizon {self.horizon} s {where}",
            "Lower dt.",
        )
        require_steps(self.horizon, self.dt, where)
        steps = round(self.horizon / self.dt)
        require(
            math.isclose(steps * self.dt, self.horizon, rel_tol=1e-6),
            "horizon",
            "be a whole number of steps of dt",
            f"horizon {self.horizon} s with dt {self.dt} s {where}",
        )
        object.__setattr__(self, "steps", steps)
        (own_bid, cross_bid), (cross_ask, own_ask) = self.excitation
        alike = (own_bid, cross_bid) == (own_ask, cross_ask)
        require(
            self.branching_ratio < 1.0,
            "decay",
            f"exceed {'self_excitation + cross_excitation' if alike else 'every eigenvalue of excitation'} "
            "so that the branching ratio is below 1",
            f"{self.decay} with excitation {own_bid} + {cross_bid}"
            + ("" if alike else f" at the bid, {own_ask} + {cross_ask} at the ask")
            + f" {where}",
            "Lower the excitation or raise the decay.",
        )
        require_price(values, where)
        most = MOST_ADVERSE * self.step_deviation
        require(
            self.adverse_selection <= most,
            "adverse_selection",
            f"be at most {MOST_ADVERSE:g} standard deviations of a step's move, {most:g} ticks",
            f"{self.adverse_selection} {where}",
            "Lower it or raise dt.",
        )
        if self.order_flow is not None:
            require_order_flow(self, where)
        require(
            self.exact_decay or self.decay * self.dt < 1.0,
            "decay",
            "be below 1 / dt for an Euler step of the intensity",
            f"{self.decay} with dt {self.dt} {where}",
            "Lower dt or set exact_decay = true.",
        )
        for name, rate in (("market orders", max(self.mean_intensities)), ("jumps", self.jump_intensity)):
            require(
                rate * self.dt <= MOST_IN_STEP,
                "dt",
                f"be so short that no more than {MOST_IN_STEP:g} {name} fall on a step on average",
                f"{self.dt} s, in which {rate * self.dt:.3g} do {where}",
                "Lower dt.",
            )

    @property
    def step_deviation(self) -> float:
        """Return the standard deviation of the diffusion over one step outside bursts, ticks."""
        return self.volatility_ticks * self.dt**self.hurst_exponent

    @property
    def base_intensities(self) -> Sides:
        """Return the market orders per second of either side without excitation."""
        return Sides(self.base_intensity, _given(self.base_intensity_ask, self.base_intensity))

    @property
    def excitation(self) -> tuple[Sides, Sides]:
        """Return what an arrival adds, 1 / second: row the excited side, column the side of the arrival."""
        own = _given(self.self_excitation_ask, self.self_excitation)
        cross = _given(self.cross_excitation_ask, self.cross_excitation)
        return Sides(self.self_excitation, self.cross_excitation), Sides(cross, own)

    @property
    def branching_ratio(self) -> float:
        """Return how many arrivals one arrival causes directly, in the long run: below 1.

        The spectral radius of the matrix excitation / decay; where the sides are alike, (self_excitation +
        cross_excitation) / decay.
        """
        (a, b), (c, d) = self.excitation
        return 0.5 * (a + d + math.sqrt((a - d) ** 2 + 4.0 * b * c)) / self.decay

    @property
    def mean_intensities(self) -> Sides:
        """Return the stationary mean of market orders per second, each side.

        (I - G)^-1 mu with G = excitation / decay where all arrivals excite (Hawkes, 1971); where only own
        fills do, the base intensities, which is what a maker who does not trade would see.
        """
        bid, ask = self.base_intensities
        if self.exciter == "own_fills":
            return Sides(bid, ask)
        (a, b), (c, d) = (Sides(row.bid / self.decay, row.ask / self.decay) for row in self.excitation)
        determinant = (1.0 - a) * (1.0 - d) - b * c
        return Sides(((1.0 - d) * bid + b * ask) / determinant, (c * bid + (1.0 - a) * ask) / determinant)

    @property
    def mean_intensity(self) -> float:
        """Return the stationary mean of market orders per second and side, the average of both sides.

        mu / (1 - branching ratio) where the sides are alike and all arrivals excite.
        """
        return 0.5 * sum(self.mean_intensities)

    def lost_share(self, half_spread: float | None = None) -> float:
        """Return the share of orders that reach a quote and find its one lot of the step already filled.

        m = mean intensity x min(1, reach exp(-k delta)) x dt orders reach the quote in a step, and of them
        1 - exp(-m) lots are filled: lost is 1 - (1 - exp(-m)) / m, both sides together. With adverse
        selection m follows the move of the step, and the lots filled are averaged over a Gaussian move. It is
        what the discretisation takes from a maker who would quote again at once, and 0 with `refill`.
        Clustering of the orders, left out here, adds a little; the inventory limit is no part of it.

        Args:
            half_spread: of the quote on both sides, ticks; 1 / k by default, where a maker without inventory
                earns most.
        """
        if self.refill:
            return 0.0
        distance = 1.0 / self.fill_decay if half_spread is None else half_spread
        share = min(1.0, self.reach * math.exp(-self.fill_decay * distance))
        reaching = [rate * share * self.dt for rate in self.mean_intensities]
        tilt = self.adverse_selection / self.step_deviation
        moves = [0.0] if tilt == 0.0 else [0.125 * i for i in range(-64, 65)]
        weights = [math.exp(-0.5 * z * z) for z in moves]
        factors = [math.exp(tilt * z - 0.5 * tilt * tilt) for z in moves]
        filled = sum(
            -weight * math.expm1(-mean * factor)
            for mean in reaching
            for weight, factor in zip(weights, factors, strict=True)
        )
        total = sum(reaching)
        return 1.0 - filled / (sum(weights) * total) if total > 0.0 else 0.0

    @property
    def volatility_ticks(self) -> float:
        """Return the volatility at the initial price, ticks per root second."""
        return self.volatility * (self.initial_price if self.price == "lognormal" else 1.0)

    @property
    def total_volatility(self) -> float:
        """Return the volatility of a session's move, what order flow adds included, ticks per root second.

        Without an order flow `volatility_ticks`; with one, that of the move of a session whose price has no
        memory of its own: see `flow_variance`.
        """
        if self.order_flow is None:
            return self.volatility_ticks
        return math.sqrt(self.volatility_ticks**2 + flow_variance(self))

    @property
    def adverse_move(self) -> float:
        """Return the expected move of the mid against a fill of a quote at 1 / k, in its step, ticks."""
        if self.order_flow is None:
            return self.adverse_selection
        return response_at(self, 1.0 / self.fill_decay)

    @property
    def drift_ticks(self) -> float:
        """Return the stated drift at the initial price, ticks per second, hidden jump drift left out."""
        return self.drift * (self.initial_price if self.price == "lognormal" else 1.0)

    def estimates(self) -> Estimates:
        """Return what a well-informed expert is told: price units, the mean intensity of fills at the mid."""
        return Estimates(
            volatility=self.total_volatility,
            drift=self.drift_ticks,
            intensity=self.mean_intensity * self.reach,
            fill_decay=self.fill_decay,
            horizon=self.horizon,
            dt=0.0 if self.refill else self.dt,  # several lots a step are as many as in continuous time
            highest_intensity=self.mean_intensity if self.quotes_beyond_mid_clipped else math.inf,
            fill_cost=self.maker_fee * self.initial_price,
            inventory_limit=self.inventory_limit,
            signals=() if self.order_flow is None else signals_of(self),
        )

    @property
    def quotes_beyond_mid_clipped(self) -> bool:
        """Return whether a quote beyond the mid fills no more often than every market order."""
        return self.exciter == "arrivals" or self.clip_beyond_mid

    def raw_estimates(self) -> Estimates:
        """Return what the paper's runs told the experts: raw relative volatility and drift, no fee."""
        return self.estimates()._replace(volatility=self.volatility, drift=self.drift, fill_cost=0.0)

    def but(self, **changes: Any) -> "Scenario":
        """Return the same scenario with some parameters changed, validated again."""
        return dataclasses.replace(self, **changes)


def _given(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value


# Market orders of a side, or jumps, in a step: more are neither drawn exactly in single precision nor told
# apart by a maker who trades one lot a side and step.
MOST_IN_STEP = 20.0
# A Gaussian step carries little more than one or two: beyond, nearly all fills fall into a few wild steps.
MOST_ADVERSE = 3.0
# Standard deviations of a step's move that a market made from a measurement carries at most.
MOST_CARRIED = 1.5
# Share of the orders at 1 / k that may be lost to the discretisation before commands warn.
MOST_LOST = 0.05

Rule = tuple[str, Callable[[float], bool]]
_POSITIVE: Rule = ("be positive and finite", lambda value: 0.0 < value < math.inf)
_NOT_NEGATIVE: Rule = ("not be negative", lambda value: 0.0 <= value < math.inf)
_FINITE: Rule = ("be finite", math.isfinite)
RULES: dict[str, Rule] = {
    "horizon": _POSITIVE,
    "dt": _POSITIVE,
    "initial_price": _POSITIVE,
    "drift": _FINITE,
    "volatility": _POSITIVE,
    "hurst_exponent": ("lie strictly between 0 and 1", lambda value: 0.0 < value < 1.0),
    "jump_intensity": _NOT_NEGATIVE,
    "jump_mean": _FINITE,
    "jump_deviation": _NOT_NEGATIVE,
    "burst_intensity": _NOT_NEGATIVE,
    "burst_duration": _POSITIVE,
    "burst_factor": _POSITIVE,
    "base_intensity": _POSITIVE,
    "base_intensity_ask": _POSITIVE,
    "self_excitation": _NOT_NEGATIVE,
    "self_excitation_ask": _NOT_NEGATIVE,
    "cross_excitation": _NOT_NEGATIVE,
    "cross_excitation_ask": _NOT_NEGATIVE,
    "decay": _POSITIVE,
    "fill_decay": _POSITIVE,
    "reach": _POSITIVE,
    "adverse_selection": _NOT_NEGATIVE,
    "maker_fee": _FINITE,
    "inventory_limit": ("be at least 1 lot", lambda value: value >= 1.0),
    "risk_aversion": _POSITIVE,
    "tick_value": _POSITIVE,
}
FIXES = {"hurst_exponent": "0.5 is a price without memory.", "inventory_limit": "inf is no limit."}
