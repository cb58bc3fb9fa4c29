"""Named scenarios: the paper's test cells and training grid, and how a preset changes them.

Two presets exist. `paper` is the market as the paper ran it: jumps uncompensated (every cell hides a
drift of about +1.7 per session), intensity excited by the maker's own fills with an Euler step.
`correct` compensates the jumps and lets all market orders excite with exact decay.
"""

import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from flowhft.errors import UnknownNameError
from flowhft.market.scenario import Scenario, read_scenarios

Preset = Literal["paper", "correct"]

# The identified simulator of the paper: jumps in log price, Hawkes kernel, fill decay, gamma.
_PAPER = dict(
    jump_intensity=0.2,
    jump_mean=0.08,
    jump_deviation=0.06,
    self_excitation=2.5,
    cross_excitation=2.5,
    decay=10.0,
    fill_decay=1.5,
    risk_aversion=1.0,
)
_AS_RUN = dict(jumps_compensated=False, exciter="own_fills", exact_decay=False)


def _scenario(name: str, market: Preset, **parameters: float) -> Scenario:
    base = dict(_PAPER) | (_AS_RUN if market == "paper" else {})
    return Scenario(name=name, **(base | parameters))  # type: ignore[arg-type]


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
            cells[name] = _scenario(
                name,
                market,
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
        grid[name] = _scenario(
            name,
            market,
            dt=dt,
            drift=drift,
            volatility=volatility,
            hurst_exponent=hurst,
            jump_intensity=jumps,
            base_intensity=rate,
        )
    return grid


GROUPS = {"paper-test": paper_test, "paper-train": paper_train}


def find_scenarios(names: Iterable[str] | str, market: Preset = "correct") -> list[Scenario]:
    """Return the scenarios of a list of names: cells, groups, or TOML files.

    Args:
        names: names, or one comma-separated string of them.
        market: preset of the named cells and groups; a file says everything itself.

    Raises:
        UnknownNameError: a name that is no cell, no group and no file.
        DataError, UsageError: from the file.
    """
    if isinstance(names, str):
        names = [name for name in (part.strip() for part in names.split(",")) if name]
    cells = paper_test(market)
    found: dict[str, Scenario] = {}
    for name in names:
        if name in cells:
            some: Iterable[Scenario] = [cells[name]]
        elif name in GROUPS:
            some = GROUPS[name](market).values()
        elif name.endswith(".toml"):
            some = read_scenarios(Path(name))
        else:
            raise UnknownNameError(
                "scenario", name, [*cells, *GROUPS], hint="A file of scenarios must end in .toml."
            )
        found.update({scenario.name: scenario for scenario in some})
    return list(found.values())


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
        intensity: factors on the base intensity; every pair with `volatility` is a regime.
        drift: trends, in units of volatility x sqrt(horizon) per session, added to the centre's market; none
            by default, since a trend that an expert is told cannot be sensed within a session, and whoever
            imitates such an expert learns to take positions at random.

    Returns:
        The regimes, the centre itself first.
    """
    grid = [centre.but(name="centre")]
    for v, a in itertools.product(volatility, intensity):
        if (v, a) != (1.0, 1.0):
            grid.append(
                centre.but(
                    name=f"volatility x{v:g}, demand x{a:g}",
                    volatility=centre.volatility * v,
                    adverse_selection=centre.adverse_selection * v,  # in units of a step's move: the same
                    base_intensity=centre.base_intensity * a,
                )
            )
    for d in drift:
        per_second = d * centre.volatility_ticks / centre.horizon**0.5
        grid.append(centre.but(name=f"trend {d:+g} sd", drift=centre.drift + per_second))
    return grid
