"""The scales against which a policy senses markets of the units of a scenario."""

from flowhft.features import Sensor, sensor_in_units
from flowhft.scenarios.scenario import Scenario


def sensor_for(scenario: Scenario) -> Sensor:
    """Return the scales of a policy that is to sense markets of a scenario's units: 1 / k, dt and horizon.

    Nothing else of the scenario is in them: a policy must sense it.
    """
    return sensor_in_units(1.0 / scenario.fill_decay, scenario.dt, scenario.horizon)
