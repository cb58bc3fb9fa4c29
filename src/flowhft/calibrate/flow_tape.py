"""Order flow and imbalance as a tape, of a recording or of the market that a scenario describes."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numba import njit

from flowhft.calibrate.observed import Observed
from flowhft.recordings.book import Integers, TopOfBook, mid_at
from flowhft.recordings.market_orders import taken_together
from flowhft.scenarios.scenario import Scenario

STEP = 0.1  # seconds between two samples
RESPONSE = 0.1  # seconds in which the mid answers an order
FINEST = 0.05  # seconds of a simulated step; responses are over a whole number of them
SAMPLES_A_STEP = round(STEP / FINEST)


class FlowTape(NamedTuple):
    """What imbalance, orders and mid of a market do.

    Attributes:
        imbalance: of the sizes at the touch, standardised, every `STEP` seconds, shape (sample,); NaN where a
            side of the book is empty.
        mid: ticks, shape (sample,).
        time: of the market orders since the first sample, seconds, shape (order,).
        side: 1 where an order bought, -1 where it sold.
        reach: how far from the mid an order reached, ticks, 0 at least.
        response: move of the mid in the order's direction within `RESPONSE`, from before it, ticks.
        order_imbalance: just before the order, standardised.
        deviation: of the imbalance before it was standardised.
    """

    imbalance: Float[np.ndarray, " sample"]
    mid: Float[np.ndarray, " sample"]
    time: Float[np.ndarray, " order"]
    side: Int[np.ndarray, " order"]
    reach: Float[np.ndarray, " order"]
    response: Float[np.ndarray, " order"]
    order_imbalance: Float[np.ndarray, " order"]
    deviation: float = 1.0

    @property
    def seconds(self) -> float:
        """Return how long it lasts."""
        return STEP * len(self.mid)


def tape_of(market: Observed) -> FlowTape:
    """Return the tape of a recording, on the exchange's clock.

    Orders within the order window of each other are one, as in the fit of the Hawkes process; moves and
    samples over a seam between parts of a recording are as `without_gaps` made them.

    Args:
        market: what a calibration rests on.
    """
    top = market.top
    whole = taken_together(market.whole, round(market.order_window * 1e9))
    whole_ns = whole.time_ns
    response = whole.side * (mid_at(top, whole_ns + round(RESPONSE * 1e9)) - whole.mid_before)
    at = market.start_ns + np.arange(0, int(market.seconds / STEP)) * round(STEP * 1e9)
    imbalance = _imbalance_at(top, at)
    mean, deviation = float(np.nanmean(imbalance)), float(np.nanstd(imbalance))
    before = (_imbalance_at(top, whole_ns - 1) - mean) / max(deviation, 1e-12)
    inside = (whole_ns >= market.start_ns) & np.isfinite(response) & np.isfinite(before)
    return FlowTape(
        (imbalance - mean) / max(deviation, 1e-12),
        mid_at(top, at),
        (whole_ns[inside] - market.start_ns) * 1e-9,
        whole.side[inside],
        np.maximum(whole.reach[inside], 0.0),
        response[inside],
        before[inside],
        max(deviation, 1e-12),
    )


def _imbalance_at(top: TopOfBook, times_ns: Integers) -> Float[np.ndarray, " sample"]:
    """Return (bid - ask) / (bid + ask) of the sizes at the touch at or before each exchange time."""
    bid, ask = top.bid_quantity.astype(np.float64), top.ask_quantity.astype(np.float64)
    known = (bid > 0) & (ask > 0)
    values = np.where(known, (bid - ask) / np.maximum(bid + ask, 1.0), np.nan)
    order = np.argsort(top.exchange_time_ns, kind="stable")
    position = np.searchsorted(top.exchange_time_ns[order], times_ns, side="right")
    return np.concatenate([[np.nan], values[order]])[position]


@njit(cache=True)
def _simulate(  # type: ignore[no-untyped-def]
    random, steps, dt, base, own, cross, fade, impulse, reach, decay, loading, noise, left, new, gain,
    slope, calm, kappa, eta, push, sigma,
):  # fmt: skip
    """Return imbalance and mid by step, and the orders: step, side, reach."""
    imbalance, mid = np.empty(steps), np.empty(steps + 1)
    orders = np.empty((64, 3))
    parts = np.array([random.normal(), random.normal()])
    excited, came, count = np.zeros(2), np.zeros(2), 0
    mid[0] = 0.0
    for step in range(steps):
        lean = slope * (loading[0] * parts[0] + loading[1] * parts[1])
        imbalance[step] = loading[0] * parts[0] + loading[1] * parts[1] + noise * random.normal()
        move = gain[0] * parts[0] + gain[1] * parts[1] + sigma * random.normal()
        pushed = 0.0
        for which in range(2):
            sign = 2 * which - 1
            rate = base * np.exp(sign * lean - calm) + excited[which]
            came[which] = random.poisson(rate * dt)
            for _ in range(int(came[which])):
                reached = max(np.log(reach / max(random.random(), 1e-12)) / decay, 0.0)
                move += sign * (kappa + eta * reached)
                pushed += sign * push * reached
                if count == orders.shape[0]:
                    grown = np.empty((2 * count, 3))
                    grown[:count] = orders
                    orders = grown
                orders[count, 0], orders[count, 1], orders[count, 2] = step, sign, reached
                count += 1
        for which in range(2):
            excited[which] = fade * excited[which] + impulse * (own * came[which] + cross * came[1 - which])
        for part in range(2):
            parts[part] = left[part] * parts[part] + new[part] * random.normal()
        parts[0] += pushed
        mid[step + 1] = mid[step] + move
    return imbalance, mid, orders[:count]


def simulated_tape(scenario: Scenario, seconds: float, seed: int) -> FlowTape:
    """Simulate the market of a scenario with an order flow, order by order, and return its tape.

    The law of `flowhft.simulate.market.impact` in steps of 0.05 s, whatever the scenario has, and with
    every order's own reach; written apart from it, in double precision.

    Args:
        scenario: with an order flow, an additive price without memory, jumps and bursts.
        seconds: how long.
        seed: of all that is drawn.
    """
    flow, dt = scenario.order_flow, FINEST
    if flow is None:
        raise ValueError("a tape of order flow needs a scenario with one")
    share, time, drift = (np.array(column) for column in zip(*flow.parts, strict=True))
    faded = scenario.decay * dt
    steps = round(seconds / dt)
    imbalance, mid, every = _simulate(
        np.random.default_rng(seed), steps, dt,
        scenario.base_intensity, scenario.self_excitation, scenario.cross_excitation,
        np.exp(-faded), -np.expm1(-faded) / faded, scenario.reach, scenario.fill_decay, np.sqrt(share),
        np.sqrt(max(1.0 - flow.share, 0.0)), np.exp(-dt / time), np.sqrt(-np.expm1(-2.0 * dt / time)),
        drift * np.sqrt(share) * time * -np.expm1(-dt / time), flow.order_slope,
        0.5 * flow.order_slope**2 * flow.share, flow.order_response, flow.reach_response,
        flow.reach_imbalance * scenario.fill_decay, scenario.volatility * np.sqrt(dt),
    )  # fmt: skip
    orders = every[every[:, 0] + round(RESPONSE / dt) <= steps]
    whole = orders[:, :2].astype(np.int64)
    at, side, reach = whole[:, 0], whole[:, 1], orders[:, 2]
    return FlowTape(
        imbalance[::SAMPLES_A_STEP],
        mid[:-1:SAMPLES_A_STEP],
        at * dt,
        side,
        reach,
        side * (mid[at + round(RESPONSE / dt)] - mid[at]),
        imbalance[at],
    )
