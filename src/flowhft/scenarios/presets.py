"""Named scenarios: the paper's training grid and test cells, levels of liquidity, stress; and their presets.

A preset says in which market a named scenario takes place. `paper` is the market as the paper ran it: jumps
uncompensated (every cell hides a drift of about +1.7 per session), intensity excited by the maker's own
fills with an Euler step. `correct` compensates the jumps and lets all market orders excite with exact decay.
`informed` is `correct` where the mid moves against whoever is filled, as far as it did on recordings.
"""

import difflib
import itertools
import math
from collections.abc import Callable, Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from flowhft.errors import UnknownNameError, UsageError, require
from flowhft.scenarios.files import read_scenarios
from flowhft.scenarios.order_flow import OrderFlow
from flowhft.scenarios.scenario import MOST_CARRIED, Scenario

Preset = Literal["correct", "paper", "informed"]
PRESETS: tuple[Preset, ...] = get_args(Preset)

# The identified simulator of the paper: jumps in log price, Hawkes kernel, fill decay, gamma.
_PAPER: dict[str, float] = dict(
    jump_intensity=0.2,
    jump_mean=0.08,
    jump_deviation=0.06,
    self_excitation=2.5,
    cross_excitation=2.5,
    decay=10.0,
    fill_decay=1.5,
    risk_aversion=1.0,
)
_AS_RUN: dict[str, Any] = dict(jumps_compensated=False, exciter="own_fills", exact_decay=False)
# Expected move of the mid against a fill of a quote at 1 / k, in units of 1 / k: the median over the eight
# recordings of docs/models.md, printed by benchmarks/adverse_selection.py.
INFORMED = 2.1


def scenario_in(market: Preset, name: str, **parameters: Any) -> Scenario:
    """Return a scenario of a preset.

    Args:
        market: preset, which says all that `parameters` do not.
        name: of the scenario.
        parameters: fields of `Scenario`.

    Raises:
        UnknownNameError: there is no such preset.
    """
    if market not in PRESETS:
        raise UnknownNameError("market preset", market, PRESETS)
    known: dict[str, Any] = _PAPER | (_AS_RUN if market == "paper" else {}) | parameters
    made = Scenario(name=name, **known)
    if market != "informed":
        return made
    carried = min(INFORMED / made.fill_decay, MOST_CARRIED * made.step_deviation)
    return made.but(adverse_selection=parameters.get("adverse_selection", carried))


def paper_test(market: Preset = "correct") -> dict[str, Scenario]:
    """Return the 24 test cells T1.HH ... T6.LL: Hurst x drift x (volatility, demand).

    Source: FlowHFT paper, Tables 1-6; first letter volatility, second letter arrival rate.
    """
    cells = {}
    for table, (hurst, drift) in enumerate(itertools.product((0.5, 0.2, 0.8), (0.0, 0.02)), start=1):
        volatility, rate = (
            ({"H": 0.25, "L": 0.02}, {"H": 50.0, "L": 25.0})
            if hurst == 0.5
            else ({"H": 0.2, "L": 0.05}, {"H": 60.0, "L": 30.0})
        )
        for first, second in itertools.product("HL", "HL"):
            name = f"T{table}.{first}{second}"
            cells[name] = scenario_in(
                market,
                name,
                hurst_exponent=hurst,
                drift=drift,
                volatility=volatility[first],
                base_intensity=rate[second],
            )
    return cells


def paper_train(market: Preset = "correct") -> dict[str, Scenario]:
    """Return the 486 training scenarios: 2 x 3^5 (the paper multiplies its own grid wrongly)."""
    grid = {}
    for dt, drift, volatility, hurst, jumps, rate in itertools.product(
        (0.01, 0.02),
        (0.01, 0.05, 0.2),
        (0.1, 0.2, 0.4),
        (0.3, 0.5, 0.7),
        (0.05, 0.1, 0.2),
        (10.0, 20.0, 40.0),
    ):
        name = f"dt{dt:g}.drift{drift:g}.vol{volatility:g}.H{hurst:g}.jumps{jumps:g}.rate{rate:g}"
        grid[name] = scenario_in(
            market,
            name,
            dt=dt,
            drift=drift,
            volatility=volatility,
            hurst_exponent=hurst,
            jump_intensity=jumps,
            base_intensity=rate,
        )
    return grid


# Base intensity of a level. The paper names three levels, set by the rates of arrivals, and gives no numbers:
# these are its largest (tests), its smallest (training), and the one nearest their geometric mean.
LIQUIDITY = {"high": 60.0, "medium": 25.0, "low": 10.0}


def liquidity(level: str, market: Preset = "correct") -> dict[str, Scenario]:
    """Return the six scenarios of a level of liquidity: calm and lively, reverting, without memory, trending.

    Fewer orders come with a thinner book. Spreads are proportional to the volatility between two orders (M.
    Wyart, J.-P. Bouchaud, J. Kockelkoren, M. Potters, M. Vettorazzo, "Relation between bid-ask spread, impact
    and volatility in order-driven markets", Quantitative Finance 8(1), 2008), so 1 / k goes with the root of
    the time between them, and is the paper's at the medium level.

    Args:
        level: "high", "medium" or "low".
        market: preset.
    """
    rate = LIQUIDITY[level]
    fill_decay = _PAPER["fill_decay"] * math.sqrt(rate / LIQUIDITY["medium"])
    return {
        name: scenario_in(
            market,
            name,
            volatility=volatility,
            hurst_exponent=hurst,
            base_intensity=rate,
            fill_decay=fill_decay,
        )
        for volatility, hurst in itertools.product((0.05, 0.2), (0.2, 0.5, 0.8))
        for name in (f"liquidity-{level}.vol{volatility:g}.H{hurst:g}",)
    }


# What is wrong in each stress scenario, beside a calm market of volatility 0.1 and 25 orders a second.
STRESS: dict[str, dict[str, Any]] = {
    # 20 times as many jumps as the paper's and 1.5 times as large, up and down.
    "jump_storm": dict(jump_intensity=4.0, jump_mean=0.0, jump_deviation=0.15),
    # Falls of 15 % that a rising price makes up for on average.
    "crash": dict(jump_intensity=0.5, jump_mean=-0.15, jump_deviation=0.05),
    # A sixth of the time at five times the volatility, in spells of ten steps.
    "volatility_bursts": dict(burst_intensity=2.0, burst_duration=0.1, burst_factor=5.0),
    # A tenth of the orders, which reach half as far.
    "liquidity_drought": dict(base_intensity=2.5, fill_decay=3.0),
    # As many orders as in the calm market, but nine of ten set off by others.
    "avalanches": dict(base_intensity=5.0, self_excitation=7.0, cross_excitation=2.0),
    # Sellers come four times as often as buyers and set each other off: a maker is long all the time.
    "one_sided_flow": dict(
        base_intensity=40.0,
        base_intensity_ask=10.0,
        self_excitation=4.0,
        self_excitation_ask=2.5,
        cross_excitation=1.0,
        cross_excitation_ask=0.5,
    ),
}


def stress(market: Preset = "correct") -> dict[str, Scenario]:
    """Return the stress scenarios, `stress.` and what is wrong in them."""
    calm = dict(volatility=0.1, base_intensity=25.0)
    return {
        f"stress.{wrong}": scenario_in(market, f"stress.{wrong}", **(calm | changes))
        for wrong, changes in STRESS.items()
    }


# Two books whose imbalance foretells and whose orders move the price, rounded from what `flowhft calibrate
# --order-flow` fits: a tight one, of one tick, from USD-M BTCUSDT of 2024-07-18; a wide one, of tens of
# ticks, from GOOG of 2012-06-21. The responses have the place of `adverse_selection`, whatever the preset.
ORDER_FLOWS: dict[str, dict[str, Any]] = {
    "tight": dict(
        horizon=15.0,
        dt=0.05,
        initial_price=640_000.0,
        volatility=10.0,
        base_intensity=0.43,
        self_excitation=0.41,
        cross_excitation=0.04,
        decay=0.52,
        reach=0.08,
        fill_decay=0.04,
        risk_aversion=0.004,
        order_flow=OrderFlow(
            fast_share=0.6,
            slow_share=0.38,
            fast_time=1.5,
            slow_time=20.0,
            fast_drift=22.0,
            order_slope=0.65,
            reach_response=1.1,
        ),
    ),
    "wide": dict(
        horizon=600.0,
        dt=2.0,
        initial_price=57_000.0,
        volatility=3.3,
        base_intensity=0.055,
        self_excitation=0.94,
        cross_excitation=0.18,
        decay=2.7,
        reach=1.45,
        fill_decay=0.14,
        risk_aversion=0.014,
        order_flow=OrderFlow(
            fast_share=0.42,
            slow_share=0.56,
            fast_time=3.0,
            slow_time=15.0,
            fast_drift=0.6,
            slow_drift=-0.25,
            order_slope=0.15,
            order_response=1.9,
            reach_response=0.24,
        ),
    ),
}


def order_flow(market: Preset = "correct") -> dict[str, Scenario]:
    """Return the scenarios in which order flow moves the price, `order-flow.` and the kind of book.

    Args:
        market: preset; they say everything themselves and are alike in all.
    """
    if market not in PRESETS:
        raise UnknownNameError("market preset", market, PRESETS)
    return {
        f"order-flow.{kind}": Scenario(name=f"order-flow.{kind}", price="additive", **parameters)
        for kind, parameters in ORDER_FLOWS.items()
    }


class ScenarioSet(NamedTuple):
    """A named set of scenarios.

    Attributes:
        about: one line for people.
        make: returns the scenarios of a preset by name.
    """

    about: str
    make: Callable[[Preset], dict[str, Scenario]]


SETS = {
    "paper-test": ScenarioSet("test cells T1.HH ... T6.LL of the paper's tables 1 to 6", paper_test),
    "paper-train": ScenarioSet("the paper's training grid, 2 x 3^5", paper_train),
    "liquidity-high": ScenarioSet(
        "many orders, a thick book: six prices", lambda market: liquidity("high", market)
    ),
    "liquidity-medium": ScenarioSet(
        "orders and book between: six prices", lambda market: liquidity("medium", market)
    ),
    "liquidity-low": ScenarioSet(
        "few orders, a thin book: six prices", lambda market: liquidity("low", market)
    ),
    "stress": ScenarioSet("jumps, crashes, bursts, droughts, avalanches, one-sided flow", stress),
    "order-flow": ScenarioSet(
        "books whose imbalance foretells and whose orders move the price: tight, wide", order_flow
    ),
}


def find_scenarios(names: Iterable[str] | str, market: Preset = "correct") -> list[Scenario]:
    """Return the scenarios of a list of names: scenarios, sets, or TOML files.

    Args:
        names: names, or one comma-separated string of them. A scenario that is named twice counts once.
        market: preset of the named scenarios and sets; a file says everything itself.

    Raises:
        UnknownNameError: a name that is no scenario, no set and no file; a preset that does not exist.
        UsageError: two different scenarios of one name, or a preset where there are only files.
        DataError, UsageError: from a file.
    """
    if isinstance(names, str):
        names = [name for name in (part.strip() for part in names.split(",")) if name]
    names = list(names)
    every = {made.name: made for one in SETS.values() for made in one.make(market).values()}
    results: dict[str, tuple[Scenario, str]] = {}
    for name in names:
        origin = f"the preset '{market}'"
        if name in SETS:
            some: Iterable[Scenario] = SETS[name].make(market).values()
        elif name in every:
            some = [every[name]]
        elif name.endswith(".toml"):
            some, origin = read_scenarios(Path(name)), f"`{name}`"
        else:
            raise UnknownNameError(
                "scenario",
                name,
                [*difflib.get_close_matches(name, every, cutoff=0.5), *SETS],
                "`flowhft scenarios` lists the sets; a file of scenarios must end in .toml.",
            )
        for scenario in some:
            earlier, where = results.setdefault(scenario.name, (scenario, origin))
            require(
                earlier == scenario,
                "name",
                "differ between scenarios",
                f"'{scenario.name}' of {where} and of {origin}, "
                f"which differ in {_differences(earlier, scenario)}",
                "Rename one of them or leave one out.",
            )
    if names and all(name.endswith(".toml") for name in names) and market != "correct":
        raise UsageError(
            f"`market` must be left at 'correct' where all scenarios come from files, which say everything "
            f"themselves; received '{market}'. Leave it out; `flowhft scenarios SET --market {market} "
            "--save FILE.toml` writes a file of that preset."
        )
    return [scenario for scenario, _ in results.values()]


def _differences(one: Scenario, other: Scenario) -> str:
    """Return the keys in which two scenarios differ."""
    return ", ".join(
        item.name for item in fields(Scenario) if getattr(one, item.name) != getattr(other, item.name)
    )


def grid_around(
    centre: Scenario,
    volatility: Iterable[float] = (0.5, 1.0, 2.0),
    intensity: Iterable[float] = (0.5, 1.0, 2.0),
    drift: Iterable[float] = (),
) -> list[Scenario]:
    """Return a small family of regimes around one market.

    Args:
        centre: an additive scenario, for example a calibrated one.
        volatility: factors on the volatility.
        intensity: factors on the base intensities; every pair with `volatility` is a regime.
        drift: trends, in units of volatility x sqrt(horizon) per session, added to the centre's market; none
            by default, since a trend that an expert is told cannot be sensed within a session, and whoever
            imitates such an expert learns to take positions at random.

    Returns:
        The regimes, the centre itself first.
    """
    grid = [centre.but(name="centre")]
    ask = centre.base_intensity_ask
    for v, a in itertools.product(volatility, intensity):
        if (v, a) != (1.0, 1.0):
            grid.append(
                centre.but(
                    name=f"volatility x{v:g}, demand x{a:g}",
                    volatility=centre.volatility * v,
                    adverse_selection=centre.adverse_selection * v,  # in units of a step's move: the same
                    base_intensity=centre.base_intensity * a,
                    base_intensity_ask=None if ask is None else ask * a,
                    order_flow=None if centre.order_flow is None else centre.order_flow.in_ticks(v),
                )
            )
    for d in drift:
        per_second = d * centre.volatility_ticks / centre.horizon**0.5
        grid.append(centre.but(name=f"trend {d:+g} sd", drift=centre.drift + per_second))
    return grid
