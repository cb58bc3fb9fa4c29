"""A tape: mids and market orders as a maker meets them step by step, from a recording or from the simulator.

Both are cut into the same steps and looked at by the same functions (`stylised`), so that what differs is
the market and not the measurement.
"""

from collections.abc import Iterator
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from flowhft.calibrate.hawkes import spread_ties
from flowhft.calibrate.sessions import span_ns, without_gaps
from flowhft.errors import DataError
from flowhft.recordings.book import TopOfBook, mid_at, top_of_book
from flowhft.recordings.market_orders import published_orders, taken_together
from flowhft.recordings.ticks import BUY, Recording
from flowhft.runs.folder import stream
from flowhft.scenarios.scenario import Scenario
from flowhft.simulate.market.market import Market, State, World, build
from flowhft.types import Quote

FEWEST_STEPS = 200
BATCH = 32  # paths simulated at once, by one program whatever their number
OUT_OF_REACH = 1e6  # ticks; a quote that nobody comes to


class Tape(NamedTuple):
    """A market as a maker meets it who decides every `dt`.

    Attributes:
        dt: seconds of a step.
        mids: ticks, at the start of each step and at the end of the last, shape (step + 1,).
        times: of the market orders, seconds since the start, increasing, shape (event,).
        buys: whether their aggressor bought, shape (event,).
        reach: of the order that reached furthest in each step, ticks from the mid at the step's start, for
            orders that come for bids and for asks, shape (2, step); -inf where none came.
    """

    dt: float
    mids: Float[np.ndarray, " sample"]
    times: Float[np.ndarray, " event"]
    buys: Bool[np.ndarray, " event"]
    reach: Float[np.ndarray, "side step"]

    @property
    def steps(self) -> int:
        """Return how many steps there are."""
        return len(self.mids) - 1


def recorded_tape(recording: Recording, dt: float, order_window: float, seed: int) -> Tape:
    """Cut a recording into steps.

    Args:
        recording: with trades and best prices or depth; the gaps between its sessions are closed, as in a
            calibration.
        dt: seconds of a step.
        order_window: market orders of a side closer than this count as one, seconds; for how far they reach
            each counts alone.
        seed: of the times within one tick of a coarse clock.

    Raises:
        DataError: fewer than 200 steps.
    """
    recording = without_gaps(recording)
    top = top_of_book(recording)
    known = np.isfinite(top.mid_price)
    first, last = span_ns(recording, TopOfBook(*(rows[known] for rows in top))) if np.any(known) else (0, 0)
    steps = int((last - first) * 1e-9 / dt)
    if steps < FEWEST_STEPS:
        raise DataError(
            f"`recording` must last {FEWEST_STEPS} steps of {dt:g} s to be compared with a simulation; "
            f"received {steps}. Use a longer recording."
        )
    starts = first + np.round(np.arange(steps + 1) * dt * 1e9).astype(np.int64)
    mids = mid_at(top, starts)
    seen = np.isfinite(mids)  # the exchange may have made the first mid a moment after the clocks begin
    mids = mids[np.maximum.accumulate(np.where(seen, np.arange(steps + 1), np.argmax(seen)))]
    single_orders = published_orders(recording.events, top)
    orders = taken_together(single_orders, round(order_window * 1e9))
    inside = (orders.time_ns >= first) & (orders.time_ns < starts[-1])
    times = spread_ties(orders.time_ns[inside], first, seed)
    pieces = taken_together(single_orders, 0)
    step = np.searchsorted(starts, pieces.time_ns, side="right") - 1
    here = (step >= 0) & (step < steps)
    reach = np.full((2, steps), -np.inf)
    away = pieces.side[here] * (pieces.worst_price[here] - mids[step[here]])
    np.maximum.at(reach, ((pieces.side[here] == BUY).astype(np.int64), step[here]), away)
    return Tape(dt, mids, times, orders.side[inside] == BUY, reach)


@eqx.filter_jit
def _draw(market: Market, keys: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return moves (path, step) and market orders for bids and for asks (path, step), nobody quoting."""
    nobody = Quote(jnp.asarray(OUT_OF_REACH), jnp.asarray(OUT_OF_REACH))

    def path(key: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        world = market.draw(key)

        def step(state: State, now: World) -> tuple[State, tuple]:
            after, _ = market.step(state, nobody, now)
            return after, (after.arrivals_bid, after.arrivals_ask)

        sells, buys = jax.lax.scan(step, market.init(world), world)[1]
        return world.move, sells, buys

    return jax.vmap(path)(keys)


def simulated_tapes(
    scenario: Scenario, steps: int, paths: int, seed: int, order_window: float = 0.0
) -> Iterator[Tape]:
    """Simulate a market that nobody quotes in, and write it down as tapes.

    Orders of a step are placed at random times within it, since the simulator does not say more; how far
    each reaches follows from the probability min(1, reach exp(-k delta)) that it reaches a quote at delta.

    Args:
        scenario: the market; its own horizon does not matter, orders excite.
        steps: of its dt, length of each tape.
        paths: how many tapes.
        seed: of all that is drawn.
        order_window: orders of a side closer than this are one, seconds, as an observer would count them.

    Yields:
        One tape a path.
    """
    long = scenario.but(horizon=steps * scenario.dt, exciter="arrivals")
    market, key = build(long), jax.random.key(stream(seed, "resemblance", "market") >> 33)
    random = np.random.default_rng(stream(seed, "resemblance", "orders"))
    for index in range(paths):
        if index % BATCH == 0:
            keys = jax.vmap(lambda path: jax.random.fold_in(key, path))(jnp.arange(index, index + BATCH))
            moves, sells, buys = (np.asarray(values) for values in _draw(market, keys))
        counts = np.stack([sells[index % BATCH], buys[index % BATCH]]).astype(np.int64)
        side, step = (np.repeat(place, counts.ravel()) for place in np.indices(counts.shape).reshape(2, -1))
        times = (step + random.random(len(step))) * scenario.dt
        away = (np.log(scenario.reach) + random.exponential(size=len(step))) / scenario.fill_decay
        reach = np.full(counts.shape, -np.inf)
        np.maximum.at(reach, (side, step), away)
        order = np.argsort(times)
        times, side = times[order], side[order]
        begins = np.ones(len(times), bool)
        begins[1:] = (np.diff(times) > order_window) | (np.diff(side) != 0)
        mids = np.concatenate([[0.0], np.cumsum(moves[index % BATCH], dtype=np.float64)])
        yield Tape(scenario.dt, mids, times[begins], side[begins] == 1, reach)
