"""The fill curve: how often market orders come through to a quote, against its distance from the mid."""

import math
from typing import NamedTuple

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int
from numba import njit

from flowhft.calibrate.parameter import Parameter, resampled
from flowhft.errors import DataError
from flowhft.recordings.market_orders import MarketOrders
from flowhft.recordings.ticks import BUY
from flowhft.runs import tables
from flowhft.types import Numeric

FEWEST_BURSTS = 30  # that reach the nearest distance of the fit; the error of k is then about a fifth
FEWEST_AT_DISTANCE = 5  # a distance reached less often is left out: the logarithm of its rate says little
FEWEST_DISTANCES = 4
MOST_DISTANCES = 40  # of the fit
MANY_BURSTS = 1_000  # where so many reach too few distances, it is the market and not the recording
NEAREST = 1.0  # tick; nearer than that an order meets the queue at the touch before it meets our quote
RANGE = (0.5, 3.0)  # of the distance that earns most: where quotes live
BLOCKS = 50
SHORTEST_BLOCK = 5.0  # seconds; longer than bursts, so that blocks are nearly independent
SMALLEST_R_SQUARED = 0.95  # below it, a warning says that the curve is not exponential
LARGEST_DISAGREEMENT = 0.25  # between the two estimates of k, as a share
METHOD = "weighted least squares of the log rate"

FILL_CURVE_UNITS = tables.units_of("calibrate", "fill_curve")

Reaches = Float[np.ndarray, " event"]
Counts = Float[np.ndarray, "block distance"]


class Bursts(NamedTuple):
    """Market orders that came too fast for a maker to answer, taken together.

    Attributes:
        time: of the first order, seconds since the recording began.
        buy: whether the aggressor bought, and so came for our ask.
        reach: ticks from the mid before the first order to the worst price of all.
    """

    time: Reaches
    buy: Bool[np.ndarray, " event"]
    reach: Reaches


class Curve(NamedTuple):
    """lambda(delta) = A exp(-k delta), or an array of such curves.

    Attributes:
        intensity: A, 1 / second.
        fill_decay: k, 1 / tick.
        r_squared: of the logarithms, with the weights of the fit; NaN where the fit is not of logarithms.
    """

    intensity: Numeric
    fill_decay: Numeric
    r_squared: Numeric


class FillCurveFit(NamedTuple):
    """The fitted curve of one side on average, of each side, and the table behind them.

    Attributes:
        curve: the average of both sides: A is per side.
        parameters: `intensity` and `fill_decay`, the same with `_bid` and `_ask` (NaN where a side alone has
            too few bursts), `market_order_rate`, `reach` and `fill_imbalance`, with errors.
        table: columns of `FILL_CURVE_UNITS`; `side` is "bid", "ask" (of our quote) or "mean".
        likelihood: the maximum-likelihood curve over the same distances, to compare.
        fitted_from, fitted_to: ticks, the distances of the fit.
        bursts: how many there were, both sides.
        touch: a warning where the market is quoted at the touch only (`flowhft.calibrate.touch`).
    """

    curve: Curve
    parameters: dict[str, Parameter]
    table: pl.DataFrame
    likelihood: Curve
    fitted_from: float
    fitted_to: float
    bursts: int
    touch: str = ""

    @property
    def warnings(self) -> tuple[str, ...]:
        """Return what is not to be trusted, in plain words."""
        if self.touch:
            return (self.touch,)
        messages = []
        where = f"from {self.fitted_from:g} to {self.fitted_to:g} ticks"
        if self.curve.r_squared < SMALLEST_R_SQUARED:
            messages.append(f"fill curve: poor fit, R² {self.curve.r_squared:.3f} {where}.")
        if not abs(self.likelihood.fill_decay / self.curve.fill_decay - 1.0) <= LARGEST_DISAGREEMENT:
            messages.append(
                f"fill curve: not exponential {where}: fill_decay is {self.curve.fill_decay:.3g} / tick by "
                f"least squares, {self.likelihood.fill_decay:.3g} by maximum likelihood, which follows the "
                "near distances."
            )
        differ = self.parameters["fill_imbalance"]
        if differ.low > 0.0 or differ.high < 0.0:
            messages.append(
                f"fill curve: the sides differ: {differ.diagnostic}; the market that is calibrated fills "
                f"both at their mean, and is wrong by {abs(differ.value):.0%} at either."
            )
        bid, ask = self.parameters["fill_decay_bid"], self.parameters["fill_decay_ask"]
        if bid.high < ask.low or ask.high < bid.low:
            # At 1 / k a side of decay x k earns x exp(1 - x) of what it earns at its own 1 / (x k).
            relative = [side.value / float(self.curve.fill_decay) for side in (bid, ask)]
            lost = max(1.0 - x * math.exp(1.0 - x) for x in relative)
            messages.append(
                f"fill curve: the sides differ: 1 / k is {1.0 / bid.value:.3g} ticks at the bid, "
                f"{1.0 / ask.value:.3g} at the ask; the market that is calibrated takes "
                f"{1.0 / self.curve.fill_decay:.3g} for both, where a side earns up to {lost:.0%} less than "
                "at its own."
            )
        return tuple(messages)


@njit(cache=True)
def _begins_burst(times_ns, buy, window_ns):  # type: ignore[no-untyped-def]
    """Return for each order the index of the order of its side that began its burst."""
    first = np.empty(len(times_ns), np.int64)
    latest = np.full(2, -1)
    for order in range(len(times_ns)):
        side = int(buy[order])
        begun = latest[side]
        if begun < 0 or times_ns[order] - times_ns[begun] >= window_ns:
            latest[side] = order
        first[order] = latest[side]
    return first


def bursts_of(orders: MarketOrders, start_ns: int, response_latency: float) -> Bursts:
    """Take together the orders of a side that come before a maker can answer the first.

    A quote is filled once by a burst, at the distance it had from the mid when the burst began: the maker
    who needs `response_latency` to see, decide and move cannot have moved it. The mid itself runs away
    within the burst. Counting every child order from the mid just before it would make near fills too
    many and far ones too few.

    Args:
        orders: market orders in the order of time.
        start_ns: the origin of the times returned.
        response_latency: seconds; 0 leaves every order alone.
    """
    buy = np.asarray(orders.side == BUY)
    first = _begins_burst(orders.time_ns, buy, round(response_latency * 1e9))
    worst = np.full(len(first), -np.inf)
    np.maximum.at(worst, first, orders.side * orders.worst_price)
    begins = np.flatnonzero(first == np.arange(len(first)))
    reach = worst[begins] - (orders.side * orders.mid_before)[begins]
    return Bursts((orders.time_ns[begins] - start_ns) * 1e-9, buy[begins], reach)


def least_squares(distance: Reaches, counts: Float[np.ndarray, "*sample distance"], seconds: float) -> Curve:
    """Fit log rate = log A - k distance, each distance weighted by its count.

    The variance of the logarithm of a count n is about 1 / n, hence the weights. A distance reached fewer
    than `FEWEST_AT_DISTANCE` times has weight 0.

    Args:
        distance: ticks, shape (distance,).
        counts: how many bursts reached each distance; leading axes are fitted one by one.
        seconds: of observation.

    Returns:
        Arrays (or numbers) of the leading shape; NaN where fewer than two distances are left.
    """
    weight = np.where(counts >= FEWEST_AT_DISTANCE, counts, 0.0)
    log_rate = np.log(np.maximum(counts, 1.0) / seconds)
    with np.errstate(invalid="ignore", divide="ignore"):
        total = weight.sum(-1)
        mean_distance = (weight * distance).sum(-1) / total
        mean_log = (weight * log_rate).sum(-1) / total
        apart = distance - mean_distance[..., None]
        spread = (weight * apart**2).sum(-1)
        slope = (weight * apart * (log_rate - mean_log[..., None])).sum(-1) / spread
        slope = np.where(spread > 0.0, slope, np.nan)
        missed = (weight * (log_rate - mean_log[..., None] - slope[..., None] * apart) ** 2).sum(-1)
        varied = (weight * (log_rate - mean_log[..., None]) ** 2).sum(-1)
        return Curve(np.exp(mean_log - slope * mean_distance), -slope, 1.0 - missed / varied)


def maximum_likelihood(reach: Reaches, start: float, end: float, seconds: float) -> Curve:
    """Fit an exponential to the reaches from `start` on, censored at `end`, in steps of one tick.

    The reach of a burst is known to a tick: it came to this price and not to the next. Its excess over
    `start` is then geometric, and the estimate of exp(-k) is the share of ticks that were passed.

    Args:
        reach: ticks, shape (event,).
        start: ticks, the nearest distance.
        end: ticks, the furthest.
        seconds: of observation.
    """
    steps = math.floor(end - start)
    passed = np.minimum(np.floor(reach[reach >= start] - start), steps)
    stopped = int(np.sum(passed < steps))
    if stopped == 0 or passed.sum() == 0:
        return Curve(math.nan, math.nan, math.nan)
    decay = math.log1p(stopped / float(passed.sum()))
    return Curve(len(passed) / seconds * math.exp(decay * start), decay, math.nan)


def where_quotes_live(reach: Reaches) -> tuple[float, float]:
    """Return the distances over which the curve is fitted, ticks.

    A maker without inventory earns distance x rate of fills; quotes live around the distance at which that is
    largest (1 / k on an exponential curve). The fit runs from half to three times that distance. It does
    not begin nearer than a tick from the mid: on a market one tick wide most orders stop at the touch,
    in a queue that a quote only joins at its end.

    Raises:
        DataError: too few bursts go beyond the touch.
    """
    beyond = np.sort(reach[reach >= NEAREST])[::-1]
    if len(beyond) < FEWEST_BURSTS:
        raise DataError(
            f"`fill_decay` must rest on {FEWEST_BURSTS} market orders that reach {NEAREST:g} tick or more "
            f"from the mid; received {len(beyond):,}. Use a longer recording."
        )
    # The r-th largest reach is reached r times: distance x rate without a grid. The first few are noise.
    earned = beyond * np.arange(1, len(beyond) + 1)
    best = float(beyond[FEWEST_AT_DISTANCE:][np.argmax(earned[FEWEST_AT_DISTANCE:])])
    nearest = max(NEAREST, math.floor(2.0 * RANGE[0] * best) / 2.0)
    return nearest, max(math.ceil(RANGE[1] * best), nearest + FEWEST_DISTANCES)


def _reached(reach: Reaches, block: Int[np.ndarray, " event"], blocks: int, distance: Reaches) -> Counts:
    """Count how often each distance was reached in each block of time."""
    furthest = np.searchsorted(distance, reach, side="right")  # distances reached, counted from the nearest
    stops = np.zeros((blocks, len(distance) + 1))
    np.add.at(stops, (block, furthest), 1.0)
    return np.cumsum(stops[:, ::-1], axis=1)[:, ::-1][:, 1:]


def fit_fill_curve(
    bursts: Bursts,
    order_times: Reaches,
    seconds: float,
    seed: int,
    samples: int = 1000,
    confidence: float = 0.95,
    distances: tuple[float, float] | None = None,
) -> FillCurveFit:
    """Fit lambda(delta) = A exp(-k delta) to the rate of bursts that reach delta or further.

    The curve is an approximation, best made where quotes live (`where_quotes_live`). A straight line through
    the logarithms of the empirical rates, weighted by their counts, follows them over all of that range;
    maximum likelihood, the efficient estimator if the curve *were* exponential, follows the nearest
    distances, where most bursts end. The two are compared: far apart, they say that it is not.

    The simulator lets each market order, of rate r per side, come through to delta with probability
    reach x exp(-k delta): `reach` = A / r. Errors come from a bootstrap over blocks of time, since market
    orders cluster; one draw of blocks serves both sides and r. A half-spread between two prices counts as
    rounded away from the mid, as a quote is. Not modelled: the queue ahead of a quote at its price, and
    that a quote inside the spread changes the flow.

    Args:
        bursts: from `bursts_of`.
        order_times: of all market orders of both sides, seconds since the recording began.
        seconds: length of the recording.
        seed: of the bootstrap.
        samples: of the bootstrap.
        confidence: of the intervals.
        distances: ticks, where the fit begins and ends; None chooses.

    Raises:
        DataError: too few bursts of both sides together, or they reach too few distances.
    """
    _require_distances(bursts.reach)
    start, end = where_quotes_live(bursts.reach) if distances is None else distances
    distance = _distances(start, end)
    inside = (distance >= start) & (distance <= end)
    blocks = int(np.clip(seconds // SHORTEST_BLOCK, 2, BLOCKS))
    draws = np.random.default_rng(seed).multinomial(blocks, np.full(blocks, 1.0 / blocks), size=samples)
    block = block_of(bursts.time, seconds, blocks)
    counted = {
        name: _reached(bursts.reach[which], block[which], blocks, distance)
        for name, which in (("bid", ~bursts.buy), ("ask", bursts.buy))
    }
    counted["mean"] = counted["bid"] + counted["ask"]
    parameters: dict[str, Parameter] = {}
    sides: dict[str, tuple[Curve, Curve]] = {}
    tables = []
    for name, counts in counted.items():
        observed = 2.0 * seconds if name == "mean" else seconds  # the mean looks at two sides for so long
        totals, drawn = counts.sum(0), draws @ counts
        if name == "mean":
            _require_enough(totals[inside], start)
        curve = least_squares(distance[inside], totals[inside], observed)
        again = least_squares(distance[inside], drawn[:, inside], observed)
        ending = "" if name == "mean" else f"_{name}"
        for part, unit in (("intensity", "1 / s"), ("fill_decay", "1 / tick")):
            value, sample = getattr(curve, part), getattr(again, part)
            result = resampled(part + ending, value, sample, unit, METHOD, confidence)
            parameters[result.name] = result._replace(diagnostic=_believed(curve, distance, totals, inside))
        sides[name] = (curve, again)
        tables.append(
            pl.DataFrame(
                {
                    "side": [name] * len(distance),
                    "distance": distance,
                    "count": totals.astype(np.int64),
                    "rate": totals / observed,
                    "standard_error": np.std(drawn, axis=0, ddof=1) / observed,
                    "fitted": curve.intensity * np.exp(-curve.fill_decay * distance),
                    "in_fit": inside & (totals >= FEWEST_AT_DISTANCE),
                }
            )
        )
    # The loop ends with the mean of both sides: `curve` and `again` are its own.
    orders = np.bincount(block_of(order_times, seconds, blocks), minlength=blocks)
    rate, rate_again = len(order_times) / (2.0 * seconds), draws @ orders / (2.0 * seconds)
    parameters["market_order_rate"] = resampled(
        "market_order_rate", rate, rate_again, "1 / s", "count", confidence
    )._replace(diagnostic=f"{len(order_times):,} market orders, {len(bursts.reach):,} bursts of them")
    parameters["reach"] = resampled(
        "reach", curve.intensity / rate, again.intensity / rate_again, "1", "intensity / rate", confidence
    )._replace(diagnostic=f"{_believed(curve, distance, totals, inside)}; {rate:.3g} orders / s")
    parameters["fill_imbalance"] = _imbalance(sides, confidence)
    return FillCurveFit(
        Curve(*map(float, curve)),
        parameters,
        pl.concat(tables),
        maximum_likelihood(bursts.reach, start, end, 2.0 * seconds),
        start,
        end,
        len(bursts.reach),
    )


def _believed(curve: Curve, distance: Reaches, counts: Reaches, inside: Bool[np.ndarray, " distance"]) -> str:
    """Say how well a curve follows its rates, or why there is none."""
    used = distance[inside & (counts >= FEWEST_AT_DISTANCE)]
    if not math.isfinite(float(curve.fill_decay)):
        return (
            f"must rest on 2 distances that {FEWEST_AT_DISTANCE} bursts of the side reach; received "
            f"{len(used)}. Use a longer recording."
        )
    reached = float(counts[inside][0])
    return f"R² {curve.r_squared:.3f} from {used[0]:g} to {used[-1]:g} ticks, {reached:,.0f} bursts"


def _imbalance(sides: dict[str, tuple[Curve, Curve]], confidence: float) -> Parameter:
    """Return by how much a bid at 1 / k is filled more often than an ask, as a share of both together."""
    distance = 1.0 / float(sides["mean"][0].fill_decay)
    # The curve of the recording and those of the bootstrap, whose draws serve both sides.
    bids, asks = (
        [curve.intensity * np.exp(-curve.fill_decay * distance) for curve in sides[side]]
        for side in ("bid", "ask")
    )
    share, again = ((bid - ask) / (bid + ask) for bid, ask in zip(bids, asks, strict=True))
    result = resampled("fill_imbalance", share, again, "1", "rates of both sides at 1 / k", confidence)
    if not math.isfinite(result.value):
        return result._replace(diagnostic="must rest on a fill curve of either side; received one or none.")
    message = f"{bids[0]:.3g} / s at the bid, {asks[0]:.3g} / s at the ask, {distance:.3g} ticks away"
    return result._replace(diagnostic=message)


def _distances(start: float, end: float) -> Reaches:
    """Return the distances of the table: those of the fit and as many again around them."""
    step = max(1.0, math.ceil((end - start) / MOST_DISTANCES))
    nearest = start - math.floor((start - 0.5) / step) * step
    return nearest + step * np.arange(math.ceil((2.0 * end - nearest) / step))


def block_of(times: Reaches, seconds: float, blocks: int) -> Int[np.ndarray, " event"]:
    """Return the block of time, of so many equal ones, in which each event falls."""
    return np.clip((times / seconds * blocks).astype(np.int64), 0, blocks - 1)


def _require_distances(reach: Reaches) -> None:
    """Refuse a market whose many orders hardly ever go past the touch: no option makes a curve of it."""
    there = np.sort(reach)[-FEWEST_AT_DISTANCE:][:1] + 0.5  # distances from half a tick on
    if len(reach) >= MANY_BURSTS and there[0] < FEWEST_DISTANCES:
        beyond = int(np.sum(reach >= NEAREST))
        raise DataError(
            f"`fill_decay` must rest on {FEWEST_DISTANCES} distances that {FEWEST_AT_DISTANCE} orders reach; "
            f"received {max(int(there[0]), 0)}: {beyond:,} of {len(reach):,} orders go past the touch: the "
            "tick is so large that distance tells nothing of fills, and no option helps. Without `fit_from` "
            "and `fit_to` a market whose spread is one tick is calibrated at the touch."
        )


def _require_enough(counts: Reaches, start: float) -> None:
    """Refuse bursts of both sides that cannot carry a curve; a side alone that cannot has NaN for it."""
    enough = int(np.sum(counts >= FEWEST_AT_DISTANCE))
    if counts[0] < FEWEST_BURSTS or enough < FEWEST_DISTANCES:
        raise DataError(
            f"`fill_decay` must rest on {FEWEST_BURSTS} market orders that reach {start:g} ticks, "
            f"and on {FEWEST_DISTANCES} distances that {FEWEST_AT_DISTANCE} of them reach; received "
            f"{counts[0]:,.0f} orders and {enough} distances. Use a longer recording, or a nearer `fit_from`."
        )
