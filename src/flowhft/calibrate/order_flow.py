"""Order flow that moves the price, fitted to a recording: imbalance, orders that follow it, responses.

What a recording shows directly (the slope of a move on the imbalance, the response to an order) mixes what
the model keeps apart: an order is followed by others, and the imbalance foretells orders that move the price
as well as the price itself. So the model is simulated with the parameters at hand, measured as the recording
is, and the parameters are moved by the difference, a few times.
"""

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from flowhft.calibrate.flow_statistics import (
    HORIZONS,
    LAGS,
    FlowStatistics,
    ridge,
    statistics_of,
    two_parts,
)
from flowhft.calibrate.flow_tape import FlowTape, simulated_tape
from flowhft.calibrate.parameter import Parameter, refused, signed
from flowhft.errors import DataError
from flowhft.scenarios.order_flow import MOST_SLOPE, OrderFlow
from flowhft.scenarios.scenario import Scenario

PASSES = 6
NEGLIGIBLE_SLOPE = 1e-3
SIMULATED = 40_000.0  # seconds of a pass
BLOCKS = 20  # of time, each left out once for the errors
FEWEST_ORDERS = 100
FEWEST_SAMPLES = 600  # a minute
LEAST_DIFFUSION = 0.05  # share of the variance over ten seconds that is left to the volatility
LONGEST = 0.1  # share of the recording up to which lags are looked at
NAMES = {
    "fast_share": "1", "slow_share": "1", "fast_time": "s", "slow_time": "s", "fast_drift": "ticks / s",
    "slow_drift": "ticks / s", "order_slope": "1", "order_response": "ticks", "reach_response": "1",
    "diffusion": "ticks / sqrt(s)",
}  # fmt: skip
METHODS = {
    "fast_share": "non-negative least squares on the autocorrelation of the imbalance",
    "fast_drift": "least squares on the slopes of moves on the imbalance, matched by simulation",
    "order_slope": "side of an order on the imbalance before it, matched by simulation",
    "order_response": "move within 0.1 s of an order on its reach, matched by simulation",
    "diffusion": "variance of moves over 0.1 to 10 s that nothing else explains",
}
METHODS |= {name: METHODS["fast_share"] for name in ("slow_share", "fast_time", "slow_time")}
METHODS |= {"slow_drift": METHODS["fast_drift"], "reach_response": METHODS["order_response"]}


class OrderFlowFit(NamedTuple):
    """How order flow moves the price of a recording.

    Attributes:
        order_flow: for a scenario; None where the recording cannot carry it.
        volatility: of the mid beside it, ticks per root second.
        parameters: by name, `NAMES`; `diffusion` is that volatility.
        measured, simulated: statistics of the recording and of the market fitted; None where refused.
        warnings: why it was refused, or what the fit leaves.
    """

    order_flow: OrderFlow | None
    volatility: float
    parameters: dict[str, Parameter]
    measured: FlowStatistics | None
    simulated: FlowStatistics | None
    warnings: tuple[str, ...]

    @property
    def comparison(self) -> dict[str, list[float]]:
        """Return what the imbalance foretells, as measured and in the market fitted, by horizon (seconds)."""
        if self.measured is None or self.simulated is None:
            return {}
        columns = {"horizon": HORIZONS}
        for name, of in (("measured", self.measured), ("simulated", self.simulated)):
            columns |= {
                f"move_slope_{name}": of.move_slope,
                f"move_variance_{name}": of.move_variance,
                f"r_squared_{name}": of.r_squared,
            }
        return {name: values.tolist() for name, values in columns.items()}


def fit_order_flow(
    tape: FlowTape,
    scenario: Scenario,
    seed: int = 0,
    confidence: float = 0.95,
    passes: int = PASSES,
    seconds: float = SIMULATED,
) -> OrderFlowFit:
    """Fit how order flow moves the price.

    Shares and times of the imbalance by non-negative least squares on its autocorrelation. The rest by fixed
    point: simulate, measure alike, and move the slope of orders in proportion, the responses by the
    difference, the drifts by least squares on the differences of the slopes over 0.1 to 10 s,
    each in units of the slope measured, and the volatility to what the variances leave. Errors are those of
    what is measured, by leaving out one of 20 blocks of time after the other.

    Args:
        tape: of the recording.
        scenario: the calibrated market: its rates, excitation, reach and fill decay are kept.
        seed: of the simulations.
        confidence: of the intervals.
        passes: simulations.
        seconds: length of each.

    Returns:
        The fit; refused, with the reason, where the recording has too few orders or no imbalance.
    """
    reason = _reason(tape)
    if reason:
        return _refused(reason)
    measured = statistics_of(tape)
    longest = LONGEST * tape.seconds
    shares, times, left = two_parts(measured, longest)
    flow = OrderFlow(
        fast_share=shares[0],
        slow_share=shares[1],
        fast_time=times[0],
        slow_time=times[1],
        order_slope=float(np.clip(measured.order_slope, -MOST_SLOPE, MOST_SLOPE)),
        order_response=max(measured.order_response, 0.0),
        reach_response=max(measured.reach_response, 0.0),
        imbalance_deviation=tape.deviation,
    )
    fitted = base_of(scenario).but(order_flow=flow, volatility=math.sqrt(measured.move_variance[-1] / 10.0))
    simulated = measured
    for number in range(passes):
        simulated = statistics_of(simulated_tape(fitted, seconds, seed))
        if number < passes - 1:
            fitted = _moved(fitted, measured, simulated)
    if fitted.order_flow is None:
        raise DataError("`order_flow` must be there after a fit of it; received none. Report this.")
    parameters = _parameters(tape, fitted, measured, confidence)
    warnings = _left(measured, simulated, left)
    return OrderFlowFit(fitted.order_flow, fitted.volatility, parameters, measured, simulated, warnings)


def base_of(scenario: Scenario) -> Scenario:
    """Return a market as order flow moves it: additive, without memory, jumps, bursts or a tilt.

    Args:
        scenario: a calibrated one.
    """
    plain = dict.fromkeys(("drift", "jump_intensity", "burst_intensity", "adverse_selection"), 0.0)
    return scenario.but(price="additive", hurst_exponent=0.5, refill=False, **plain)


def with_order_flow(scenario: Scenario, fit: OrderFlowFit) -> Scenario:
    """Return a calibrated market whose price order flow moves, as it was fitted.

    What the tilt of a step, jumps and memory stood for is now in the responses and in the imbalance.

    Args:
        scenario: the calibrated one that the fit began from.
        fit: of the same recording.

    Raises:
        DataError: the recording could not carry a fit.
    """
    if fit.order_flow is None:
        raise DataError(f"{fit.warnings[0]} Leave `order_flow` off, or use a longer recording.")
    return base_of(scenario).but(order_flow=fit.order_flow, volatility=fit.volatility)


def _reason(tape: FlowTape) -> str:
    """Return why a tape cannot carry a fit; nothing where it can."""
    known = int(np.sum(np.isfinite(tape.imbalance)))
    if len(tape.side) < FEWEST_ORDERS:
        return f"{len(tape.side)} market orders with a mid and both sides of the book, {FEWEST_ORDERS} needed"
    if known < FEWEST_SAMPLES:
        return f"{known * 0.1:.0f} s in which both sides of the book are known, 60 needed"
    if float(np.nanstd(tape.imbalance)) < 0.5:
        return "an imbalance that does not change"
    if len(np.unique(tape.reach)) < 2:
        return "market orders that all reach equally far"
    return ""


def _refused(reason: str) -> OrderFlowFit:
    parameters = {name: refused(name, unit, METHODS[name], reason) for name, unit in NAMES.items()}
    return OrderFlowFit(None, math.nan, parameters, None, None, (f"order_flow: {reason}: none is fitted.",))


def foretold(flow: OrderFlow) -> Float[np.ndarray, "horizon part"]:
    """Return the move over `HORIZONS` that an imbalance of 1 foretells for a drift of 1 of a part, seconds.

    share tau (1 - exp(-h / tau)).

    Args:
        flow: its shares and times.
    """
    columns = [share * time * -np.expm1(-HORIZONS / time) for share, time, _ in flow.parts]
    return np.stack(columns, axis=-1)


def _moved(scenario: Scenario, measured: FlowStatistics, simulated: FlowStatistics) -> Scenario:
    """Return the scenario with parameters moved by how far simulated statistics are off."""
    flow = scenario.order_flow or OrderFlow()
    slope = flow.order_slope
    if abs(simulated.order_slope) > NEGLIGIBLE_SLOPE:
        slope *= float(np.clip(measured.order_slope / simulated.order_slope, 0.5, 2.0))
    design = foretold(flow)
    drifts = np.array([drift for _, _, drift in flow.parts])
    unit = np.maximum(np.abs(measured.move_slope), 1e-3 * float(np.max(np.abs(measured.move_slope))) + 1e-12)
    wanted = measured.move_slope - simulated.move_slope + design @ drifts
    drifts = ridge(design / unit[:, None], wanted / unit)
    moved = replace(
        flow,
        order_slope=float(np.clip(slope, -MOST_SLOPE, MOST_SLOPE)),
        order_response=max(flow.order_response + measured.order_response - simulated.order_response, 0.0),
        reach_response=max(flow.reach_response + measured.reach_response - simulated.reach_response, 0.0),
        fast_drift=float(drifts[0]),
        slow_drift=float(drifts[1]),
    )
    # What does not come from the diffusion is kept; relative errors over all horizons count alike.
    rest = simulated.move_variance - scenario.volatility**2 * HORIZONS
    per, aim = HORIZONS / measured.move_variance, 1.0 - rest / measured.move_variance
    variance = max(
        float(np.sum(per * aim) / np.sum(per**2)), LEAST_DIFFUSION * float(measured.move_variance[-1]) / 10.0
    )
    return scenario.but(order_flow=moved, volatility=math.sqrt(variance))


def _parameters(
    tape: FlowTape, fitted: Scenario, measured: FlowStatistics, confidence: float
) -> dict[str, Parameter]:
    """Return the parameters with the errors of what each rests on, by leaving out blocks of time."""
    flow = fitted.order_flow or OrderFlow()
    length = tape.seconds / BLOCKS
    rows = []
    for block in range(BLOCKS):
        part = statistics_of(tape, (block * length, (block + 1) * length))
        shares, times, _ = two_parts(part, LONGEST * tape.seconds)
        drifts = np.linalg.lstsq(foretold(flow), part.move_slope, rcond=None)[0]
        variance = float(np.mean(part.move_variance / HORIZONS))
        rows.append((*shares, *times, *drifts, part.order_slope, part.order_response, part.reach_response,
                     math.sqrt(variance)))  # fmt: skip
    spread = np.array(rows)
    errors = np.sqrt((BLOCKS - 1) / BLOCKS * np.sum((spread - spread.mean(axis=0)) ** 2, axis=0))
    values = {name: getattr(flow, name) for name in NAMES if name != "diffusion"}
    values["diffusion"] = fitted.volatility
    return {
        name: signed(name, values[name], float(error), NAMES[name], METHODS[name], confidence)
        for name, error in zip(NAMES, errors, strict=True)
    }


def _left(measured: FlowStatistics, simulated: FlowStatistics, left: float) -> tuple[str, ...]:
    """Return what the market fitted does not reproduce, in plain words."""
    warnings = []
    if left > 0.1:
        warnings.append(
            f"order_flow: the autocorrelation of the imbalance up to {LAGS[-1]:g} s is missed by {left:.2f}: "
            "two exponentials are not enough."
        )
    ratio = simulated.move_variance / measured.move_variance
    if np.max(np.abs(np.log(ratio))) > math.log(2.0):
        worst = int(np.argmax(np.abs(np.log(ratio))))
        warnings.append(
            f"order_flow: moves over {HORIZONS[worst]:g} s have {ratio[worst]:.2f} times the variance "
            "measured: the price answers orders in another way than at once and for good."
        )
    return tuple(warnings)
