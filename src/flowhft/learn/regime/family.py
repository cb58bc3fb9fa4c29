"""The broad random family of markets in which a regime adapter is trained: none of them a test cell."""

import math
from typing import cast

import numpy as np

from flowhft.learn.regime.settings import FamilySettings
from flowhft.runs.folder import stream
from flowhft.scenarios.presets import Preset, scenario_in
from flowhft.scenarios.scenario import Scenario


def draw_family(settings: FamilySettings, count: int, seed: int, name: str) -> list[Scenario]:
    """Draw random scenarios, the presets by turns.

    Args:
        settings: ranges.
        count: how many.
        seed: of the run.
        name: of the family, for example "train": names its random stream and its scenarios.

    Returns:
        Scenarios `name/market/number`; the first ones of a larger family are those of a smaller one.
    """
    return [_draw(settings, seed, name, number) for number in range(count)]


def market_of(scenario: Scenario) -> Preset:
    """Return the preset of a scenario of a family."""
    return cast(Preset, scenario.name.split("/")[1])


def _draw(settings: FamilySettings, seed: int, name: str, number: int) -> Scenario:
    random = np.random.default_rng(stream(seed, "regime", "family", name, number))
    market = cast(Preset, settings.markets[number % len(settings.markets)])

    def uniform(span: tuple[float, ...]) -> float:
        return float(random.uniform(span[0], span[1]))

    without_memory = random.random() < settings.without_memory
    hurst = uniform(settings.hurst_exponent)
    low, high = settings.volatility
    scenario = scenario_in(
        market,
        f"{name}/{market}/{number}",
        volatility=math.exp(uniform((math.log(low), math.log(high)))),
        base_intensity=uniform(settings.base_intensity),
        hurst_exponent=0.5 if without_memory else hurst,
        drift=uniform(settings.drift),
        jump_intensity=uniform(settings.jump_intensity),
        jump_mean=uniform(settings.jump_mean),
        jump_deviation=uniform(settings.jump_deviation),
    )
    strength = uniform(settings.strength)
    return scenario.but(adverse_selection=scenario.adverse_selection * strength)
