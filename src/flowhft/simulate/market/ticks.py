"""Simulated sessions as recordings: the same market orders, told as a venue would publish them.

What fills a quote is how far market orders reach, and that is drawn before anybody quotes
(`flowhft.simulate.market.orders`). So a simulated session *is* a tape of market orders, and a replay of it
meets the same fills, but for the tick grid, the queue at the quote's own price, and latency.
"""

import numpy as np
from jaxtyping import Float, Int

from flowhft.errors import require
from flowhft.recordings.instrument import Instrument
from flowhft.recordings.ticks import BUY, DEPTH, EVENT, SELL, SNAPSHOT, TRADE, Recording
from flowhft.scenarios.scenario import Scenario
from flowhft.simulate.market.orders import Orders, deepest_reach, require_free_orders
from flowhft.simulate.market.tick_settings import TickSettings

ORDER_LOTS = 10  # lots of the recording in one of the simulator's: what a replay sends by default
# Share of a step before its first market order: quotes with less latency meet all, as in the simulator.
QUIET = 0.1
BEFORE_NS = 1_000  # by which the book moves before the decision that sees it


def on_grid(scenario: Scenario, grid: int) -> Scenario:
    """Return the same market in ticks that are `grid` times finer; money stays what it is.

    Args:
        scenario: any.
        grid: new ticks in one of its ticks, 1 or more.
    """
    fine = {"initial_price": grid, "adverse_selection": grid}
    if scenario.price == "additive":
        fine |= dict.fromkeys(("volatility", "drift", "jump_mean", "jump_deviation"), grid)
    flow = scenario.order_flow
    if flow is not None:
        flow = flow.in_ticks(grid, reach=1.0)
    coarse = ("fill_decay", "risk_aversion", "tick_value")
    return scenario.but(
        order_flow=flow,
        **{name: getattr(scenario, name) * factor for name, factor in fine.items()},
        **{name: getattr(scenario, name) / grid for name in coarse},
    )


def recording_of(
    scenario: Scenario, orders: Orders, path: int, settings: TickSettings, seed: int
) -> Recording:
    """Return one simulated session as a recording.

    The book shows `levels` prices a side around the mid, rounded to half a tick, and moves just before each
    decision. Market orders come in the rest of the step, each at a time of its own; it takes what the book
    shows down to its reach, level by level, and the book is restored at once. One that does not reach the
    book trades within it, with an order that nobody saw. Which of a step's orders is the deepest, how far the
    others reach, when they come and how much they take at their last price is drawn here.

    Args:
        scenario: of the session; market orders must excite (`exciter = "arrivals"`).
        orders: from `flowhft.simulate.rollout.order_flow`.
        path: which of them.
        settings: of the book.
        seed: of what is drawn here.

    Raises:
        UsageError: the market orders of the scenario depend on who quotes.
    """
    require_free_orders(scenario)
    random = np.random.default_rng(seed)
    mid = settings.grid * (scenario.initial_price + np.asarray(orders.mid_price[path], np.float64))
    lowest = settings.levels + settings.gap + 2
    require(
        bool(np.min(mid) > lowest),
        "levels",
        f"leave every price of the book above 0: the mid falls to {np.min(mid):.4g} ticks",
        settings.levels,
        "Show fewer levels, or take a finer --ticks.grid.",
    )
    step_ns = round(scenario.dt * 1e9)
    count = np.asarray(orders.arrivals[path], np.float64)
    reach = settings.grid * deepest_reach(scenario, count, np.asarray(orders.uniform[path], np.float64))
    best = _best_prices(mid, settings.gap)
    rows: list[tuple[int, ...]] = []
    book = _book(best[0], settings)
    rows += [(SNAPSHOT, side, 0, price, settings.depth, 0) for side, price in book]
    for step in range(len(count)):
        start = step * step_ns
        for time, side, depth in _arrivals(scenario, settings, reach[step], count[step], random):
            mark = start + round(step_ns * time)
            trades = _trades(mid[step], best[step], side, depth, settings, random)
            rows += [(TRADE, side, mark, price, lots, len(rows)) for price, lots in trades]
        end = start + step_ns - BEFORE_NS
        last, book = book, _book(best[step + 1], settings)
        message = len(rows)
        rows += [(DEPTH, side, end, price, 0, message) for side, price in last - book]
        rows += [(DEPTH, side, end, price, settings.depth, message) for side, price in book - last]
    # One more event, so that the recording lasts to the end of the last step.
    side, price = max(book)
    rows.append((DEPTH, side, len(count) * step_ns, price, settings.depth, len(rows)))

    table = np.array(rows, np.int64)
    events = np.empty(len(table), EVENT)
    for name, column in zip(
        ("kind", "side", "exchange_time_ns", "price", "quantity", "message"), table.T, strict=True
    ):
        events[name] = column
    events["local_time_ns"] = events["exchange_time_ns"]
    lot_size = scenario.tick_value / ORDER_LOTS
    return Recording(
        Instrument("flowhft", scenario.name, scenario.currency, 1.0 / settings.grid, lot_size), events
    )


def _best_prices(mid: Float[np.ndarray, " row"], gap: int) -> Int[np.ndarray, "row 2"]:
    """Return best bid and ask: as near as they can be around a mid on half ticks, and the gap."""
    halves = np.round(2.0 * mid).astype(np.int64)
    bid = (halves - 1) // 2  # below the mid, whether that is a whole tick or not
    return np.stack([bid - gap, halves - bid + gap], axis=-1)


def _book(best: Int[np.ndarray, " 2"], settings: TickSettings) -> set[tuple[int, int]]:
    """Return the levels that are shown: side and price."""
    bid, ask = int(best[0]), int(best[1])
    bids = {(BUY, bid - level) for level in range(settings.levels)}
    return bids | {(SELL, ask + level) for level in range(settings.levels)}


def _arrivals(
    scenario: Scenario,
    settings: TickSettings,
    reach: Float[np.ndarray, " side"],
    count: Float[np.ndarray, " side"],
    random: np.random.Generator,
) -> list[tuple[float, int, float]]:
    """Return the market orders of one step in time: share of the step, aggressor, reach in ticks.

    Given the deepest reach M the others are independent of each other, each as any order that reaches no
    further: p(D) is uniform above p(M).
    """
    results = []
    for side, aggressor in enumerate((SELL, BUY)):
        number = int(count[side])
        if number == 0:
            continue
        decay = scenario.fill_decay / settings.grid
        share = min(1.0, scenario.reach * float(np.exp(-decay * reach[side])))
        shares = share + (1.0 - share) * random.random(number)
        reaches = np.log(scenario.reach / shares) / decay
        reaches[random.integers(number)] = reach[side]
        results += [
            (float(time), aggressor, float(depth))
            for time, depth in zip(random.random(number), reaches, strict=True)
        ]
    return sorted((QUIET + (0.99 - QUIET) * time, side, depth) for time, side, depth in results)


def _trades(
    mid: float,
    best: Int[np.ndarray, " 2"],
    aggressor: int,
    reach: float,
    settings: TickSettings,
    random: np.random.Generator,
) -> list[tuple[int, int]]:
    """Return what one market order trades: price and lots, from the best price to the one it reaches."""
    sign = -aggressor  # of the side that it comes for: bids lie below the mid
    own = int(best[0] if aggressor == SELL else best[1])
    other = int(best[1] if aggressor == SELL else best[0])
    # The last price on the grid that is no further from the mid than the reach.
    last = int(np.ceil(mid - reach)) if aggressor == SELL else int(np.floor(mid + reach))
    last = max(last, 1)
    lots = int(random.integers(1, settings.depth + 1))
    if sign * (last - own) > 0:  # it does not reach the book
        return [(min(last, other) if aggressor == SELL else max(last, other), lots)]
    shown = [own - sign * level for level in range(min(settings.levels, sign * (own - last)))]
    return [(price, settings.depth) for price in shown] + [(last, lots)]
