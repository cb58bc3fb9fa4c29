"""What can be known of a scenario: its units, the kind of its market, and the numbers of its regime."""

import numpy as np
from jaxtyping import Float

from flowhft.scenarios.scenario import Scenario


def premium_in(scenario: Scenario) -> float:
    """Return the share of the jumps' mean effect that the market's convention leaves in the drift: 0 or 1."""
    return 0.0 if scenario.jumps_compensated or scenario.jump_intensity == 0.0 else 1.0


def informed_in(scenario: Scenario) -> float:
    """Return whether traders are informed in a market: 1 if so, however well, else 0."""
    return float(scenario.adverse_move > 0.0)


def units_of(scenario: Scenario) -> tuple[float, float, float]:
    """Return the units of a market: distance 1 / k (ticks), time between decisions and session (seconds)."""
    return 1.0 / scenario.fill_decay, scenario.dt, scenario.horizon


def regime_of(scenario: Scenario) -> Float[np.ndarray, " regime"]:
    """Return the numbers of a scenario's regime, dimensionless, in the order of `REGIME`.

    The logarithm of a session's move in half-spreads (volatility), of the market orders a side in a
    session and in a step (demand), the mean move over the session in half-spreads, hidden jump drift
    included (drift), the Hurst exponent less 1/2, the branching ratio, jumps a session and the adverse
    selection in half-spreads. A half-spread is 1 / k.
    """
    unit = 1.0 / scenario.fill_decay
    move = scenario.total_volatility * scenario.horizon**scenario.hurst_exponent
    regime = (
        np.log(move / unit),
        np.log(scenario.mean_intensity * scenario.reach * scenario.horizon),
        np.log(scenario.mean_intensity * scenario.reach * scenario.dt),
        (scenario.drift_ticks + hidden_drift(scenario)) * scenario.horizon / unit,
        scenario.hurst_exponent - 0.5,
        scenario.branching_ratio,
        scenario.jump_intensity * scenario.horizon,
        scenario.adverse_move / unit,
    )
    return np.array(regime, np.float32)


def hidden_drift(scenario: Scenario) -> float:
    """Return the drift that jumps add where they are not compensated, ticks per second."""
    if scenario.jumps_compensated:
        return 0.0
    if scenario.price == "lognormal":
        mean_jump = np.expm1(scenario.jump_mean + 0.5 * scenario.jump_deviation**2) * scenario.initial_price
    else:
        mean_jump = scenario.jump_mean
    return float(scenario.jump_intensity * mean_jump)
