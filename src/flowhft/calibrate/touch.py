"""The fill curve of a market that is quoted at the touch only: how often a quote's turn comes in the queue.

Where the spread is one tick nearly always and nearly every market order stops at the best price, distance
tells little of fills; the place in the queue decides. Two rates are left: of a quote that always stands at
the touch and waits for its turn, and of orders that come through to the next price. The curve goes through
both.
"""

import math

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int
from numba import njit

from flowhft.calibrate.fill_curve import (
    BLOCKS,
    MANY_BURSTS,
    SHORTEST_BLOCK,
    Bursts,
    Curve,
    FillCurveFit,
    Reaches,
    block_of,
)
from flowhft.calibrate.parameter import Parameter, resampled
from flowhft.errors import DataError
from flowhft.recordings.book import TopOfBook
from flowhft.recordings.ticks import BUY, SELL

TOUCH = 0.5  # ticks from the mid, where the spread is one tick
BEHIND = TOUCH + 1.0  # the next price
WIDEST_SPREAD = 1.5  # ticks, in the mean of time
MOST_BEYOND = 0.1  # share of the orders that reach the next price
FEWEST_ORDERS = MANY_BURSTS  # of fewer nobody can say that it is the market and not the recording
FEWEST_FILLS = 30
DISTANCES = 4  # of the table
METHOD = "turns in the queue at the touch, and orders that reach the next price"


def is_quoted_at_touch(reach: Reaches, spread: float) -> bool:
    """Return whether nearly all orders of a market stop at its best prices, one tick apart.

    Args:
        reach: of bursts of market orders, ticks.
        spread: the market's, in the mean of time, ticks.
    """
    beyond = float(np.mean(reach >= BEHIND)) if len(reach) else 1.0
    return len(reach) >= FEWEST_ORDERS and spread <= WIDEST_SPREAD and beyond <= MOST_BEYOND


def beside_the_touch(reach: Reaches, spread: float) -> tuple[str, ...]:
    """Return a warning where a fill curve was found in a market that is quoted at the touch.

    Args:
        reach: of bursts of market orders, ticks.
        spread: the market's, in the mean of time, ticks.
    """
    if not is_quoted_at_touch(reach, spread):
        return ()
    return (
        f"fill curve: {float(np.mean(reach < BEHIND)):.1%} of {len(reach):,} orders stop at the touch, and "
        "the curve is that of the others: a quote at the touch waits in a queue, of which it says nothing.",
    )


@njit(cache=True)
def _turns(time, is_trade, price, quantity, side, answer, filled):  # type: ignore[no-untyped-def]
    """Let an order stand at the best price of a side (1 bid, -1 ask), at the back of its queue when it comes.

    Rows are best prices of the side and trades against it, as they came. The order follows the best price
    `answer` later, and comes back as long after a fill. Only trades, and a level that shrinks below what is
    ahead, move it forward; `filled` says at which trades its turn came.
    """
    stands, at, ahead = False, 0, 0
    best, best_quantity, move = 0, 0, 0
    for row in range(len(time)):
        if 0 <= move < time[row] and best_quantity > 0:
            stands, at, ahead, move = True, best, best_quantity, -1
        if is_trade[row]:
            beyond = side * (at - price[row])
            if stands and (beyond > 0 or (beyond == 0 and quantity[row] > ahead)):
                filled[row] = True
                stands, move = False, time[row] + answer
            elif stands and beyond == 0:
                ahead -= quantity[row]
        else:
            best, best_quantity = price[row], quantity[row]
            if stands and best_quantity > 0:
                if best == at:
                    ahead, move = min(ahead, best_quantity), -1
                else:
                    ahead = 0 if side * (at - best) > 0 else ahead  # its level is gone but for the order
                    move = time[row] + answer if move < 0 else move


def turns_at_touch(
    top: TopOfBook, trades: Int[np.ndarray, " event"], side: int, response_latency: float
) -> Bool[np.ndarray, " event"]:
    """Return at which trades a quote is filled that stands at the touch and joins the queue at its back.

    It follows the best price `response_latency` later, and is there again as long after a fill. It is filled
    when trades at its price exceed what stood ahead of it, or a trade goes past it. Cancellations ahead of it
    are not seen but by a level that gets smaller than what was ahead, as in the queue model `risk_adverse` of
    the replay.

    Args:
        top: best prices, in the order of arrival.
        trades: dtype `EVENT`, likewise; at the same time a trade comes first.
        side: of the quote, `BUY` or `SELL`.
        response_latency: seconds.

    Returns:
        Shape (event,).
    """
    against = trades["side"] == -side
    best = (top.best_bid, top.bid_quantity) if side == BUY else (top.best_ask, top.ask_quantity)
    time = np.concatenate([trades["local_time_ns"][against], top.local_time_ns])
    order = np.argsort(time, kind="stable")
    traded = np.arange(len(time))[order] < np.sum(against)
    price = np.concatenate([trades["price"][against], best[0]])[order]
    quantity = np.concatenate([trades["quantity"][against], best[1]])[order]
    filled = np.zeros(len(time), np.bool_)
    _turns(time[order], traded, price, quantity, side, round(response_latency * 1e9), filled)
    turns = np.zeros(len(trades), np.bool_)
    turns[np.flatnonzero(against)[np.arange(len(time))[order][filled]]] = True
    return turns


def fills_at_touch(
    top: TopOfBook, trades: Int[np.ndarray, " event"], start_ns: int, response_latency: float
) -> Bursts:
    """Return the fills of quotes that stand at the touch, a bid and an ask, by exchange time.

    Args:
        top: best prices.
        trades: dtype `EVENT`.
        start_ns: exchange time from which times count.
        response_latency: how long a quote stands where it is, seconds.
    """
    bid, ask = (turns_at_touch(top, trades, side, response_latency) for side in (BUY, SELL))
    filled = trades[bid | ask]
    time = (filled["exchange_time_ns"] - start_ns) * 1e-9
    order = np.argsort(time, kind="stable")
    return Bursts(time[order], ask[bid | ask][order], np.full(len(time), TOUCH))


def fit_touch(
    bursts: Bursts,
    fills: Bursts,
    order_times: Reaches,
    seconds: float,
    seed: int,
    samples: int = 1000,
    confidence: float = 0.95,
) -> FillCurveFit:
    """Put lambda(delta) = A exp(-k delta) through two rates, of turns at the touch and of orders behind it.

    k is the logarithm of their ratio, a tick apart, and A what the curve has at the mid. Nearer than the
    touch there is no quote, and further away hardly a fill: a market with these numbers fills quotes at the
    touch as often as their turn came, and says little of any other distance. Errors come from a bootstrap
    over blocks of time, as those of `fit_fill_curve`. Where no order reached the next price, its rate is that
    of a single one: k is then that at least.

    Args:
        bursts: of market orders, with how far they reach.
        fills: of quotes at the touch, from `fills_at_touch`.
        order_times: of all market orders of both sides, seconds since the recording began.
        seconds: length of the recording.
        seed: of the bootstrap.
        samples: of the bootstrap.
        confidence: of the intervals.

    Raises:
        DataError: too few turns, or no more than orders that reach the next price.
    """
    blocks = int(np.clip(seconds // SHORTEST_BLOCK, 2, BLOCKS))
    draws = np.random.default_rng(seed).multinomial(blocks, np.full(blocks, 1.0 / blocks), size=samples)
    distance = TOUCH + np.arange(float(DISTANCES))
    counted: dict[str, Float[np.ndarray, "block distance"]] = {}
    for name, buy in (("bid", False), ("ask", True)):
        reached = [fills.time[fills.buy == buy]]
        reached += [bursts.time[(bursts.buy == buy) & (bursts.reach >= away)] for away in distance[1:]]
        counted[name] = np.stack(
            [np.bincount(block_of(t, seconds, blocks), minlength=blocks) for t in reached], axis=1
        ).astype(np.float64)
    counted["mean"] = counted["bid"] + counted["ask"]
    turns, behind = counted["mean"].sum(0)[:2]
    if turns < FEWEST_FILLS or turns <= behind:
        raise DataError(
            f"`intensity` must rest on {FEWEST_FILLS} turns of a quote at the touch, and on more than there "
            f"are orders that reach the next price; received {turns:,.0f} and {behind:,.0f} in "
            f"{seconds:,.0f} s. The tick is so large that distance tells nothing of fills: record longer."
        )
    parameters: dict[str, Parameter] = {}
    tables, sides = [], {}
    for name, counts in counted.items():
        observed = 2.0 * seconds if name == "mean" else seconds
        drawn, totals = draws @ counts, counts.sum(0)
        curve, again = _through(totals, observed), _through(drawn, observed)
        for part, unit in (("intensity", "1 / s"), ("fill_decay", "1 / tick")):
            full = part if name == "mean" else f"{part}_{name}"
            value = float(getattr(curve, part))
            parameters[full] = resampled(
                full, value, getattr(again, part), unit, METHOD, confidence
            )._replace(diagnostic=f"{totals[0]:,.0f} turns, {totals[1]:,.0f} orders reach the next price")
        sides[name] = totals[0], drawn[:, 0]
        tables.append(
            pl.DataFrame(
                {
                    "side": [name] * DISTANCES,
                    "distance": distance,
                    "count": totals.astype(np.int64),
                    "rate": totals / observed,
                    "standard_error": np.std(drawn, axis=0, ddof=1) / observed,
                    "fitted": curve.intensity * np.exp(-curve.fill_decay * distance),
                    "in_fit": np.arange(DISTANCES) < 2,
                }
            )
        )
    orders = np.bincount(block_of(order_times, seconds, blocks), minlength=blocks)
    rate, rate_again = len(order_times) / (2.0 * seconds), draws @ orders / (2.0 * seconds)
    parameters["market_order_rate"] = resampled(
        "market_order_rate", rate, rate_again, "1 / s", "count", confidence
    )._replace(diagnostic=f"{len(order_times):,} market orders, {len(bursts.reach):,} bursts of them")
    parameters["reach"] = resampled(
        "reach",
        float(curve.intensity) / rate,
        again.intensity / rate_again,
        "1",
        "intensity / rate",
        confidence,
    )._replace(diagnostic=f"{rate:.3g} orders / s")
    (bids, bids_again), (asks, asks_again) = sides["bid"], sides["ask"]
    with np.errstate(invalid="ignore"):
        again_share = (bids_again - asks_again) / (bids_again + asks_again)
    parameters["fill_imbalance"] = resampled(
        "fill_imbalance", (bids - asks) / (bids + asks), again_share, "1", "turns at the touch", confidence
    )._replace(diagnostic=f"{bids / seconds:.3g} / s at the bid, {asks / seconds:.3g} / s at the ask")
    return FillCurveFit(
        Curve(float(curve.intensity), float(curve.fill_decay), math.nan),
        parameters,
        pl.concat(tables),
        Curve(math.nan, math.nan, math.nan),
        TOUCH,
        BEHIND,
        len(bursts.reach),
        touch=f"fill curve: {float(np.mean(bursts.reach < BEHIND)):.1%} of {len(bursts.reach):,} orders stop "
        f"at the touch, where a quote's turn came {turns / (2.0 * seconds):.3g} times a second and side: the "
        "place in the queue decides, and distance says little. Nearer than the touch there is no quote: a "
        "simulation that has one flatters it.",
    )


def _through(counts: Float[np.ndarray, "*sample distance"], observed: float) -> Curve:
    """Return the curve through the rates at the touch and behind it, of one order where there is none."""
    near, far = counts[..., 0], np.maximum(counts[..., 1], 1.0)
    with np.errstate(divide="ignore"):
        decay = np.log(near / far) / (BEHIND - TOUCH)
        return Curve(near / observed * np.exp(decay * TOUCH), decay, np.full(np.shape(near), np.nan))
