"""The scales against which a policy senses markets around a scenario."""

from flowhft.features import Sensor
from flowhft.market.scenario import Scenario


def sensor_for(scenario: Scenario) -> Sensor:
    """Return the scales of a policy that is to sense markets around a scenario.

    Running means reach over a third of a session, bursts over a thirtieth (never less than a step).
    """
    return Sensor(
        volatility=scenario.volatility_ticks,
        rate=scenario.mean_intensity,
        horizon=scenario.horizon,
        half_spread=1.0 / scenario.fill_decay,
        inventory=5.0,
        memory=max(scenario.horizon / 3.0, scenario.dt),
        burst=max(scenario.horizon / 30.0, scenario.dt),
    )
