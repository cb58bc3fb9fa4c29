"""Fills of real orders: how often those that rest are executed, beside what the fill curve says."""

from typing import NamedTuple

import numpy as np
import polars as pl
from jaxtyping import Float, Int
from numba import njit

from flowhft.calibrate.parameter import Parameter, refused, resampled
from flowhft.recordings.book import TopOfBook, mid_at
from flowhft.recordings.ticks import ADD, FILL
from flowhft.runs import tables

FEWEST_FILLS = 30
BLOCKS = 50
METHOD = "fills of resting orders over those promised"

ORDER_FILL_UNITS = tables.units_of("calibrate", "order_fills")


class OrderFillFit(NamedTuple):
    """How often real orders are filled beside what the fill curve says.

    Attributes:
        order_fill_ratio: executions that resting orders got, over those that the fill curve promises them;
            NaN where the recording does not follow orders.
        table: one row a distance, columns of `ORDER_FILL_UNITS`.
        warnings: why it was refused, where orders are followed but are too few.
    """

    order_fill_ratio: Parameter
    table: pl.DataFrame
    warnings: tuple[str, ...]


class Lives(NamedTuple):
    """Orders from their arrival to their first execution, or to their end without one.

    Attributes:
        start_ns, end_ns: exchange times.
        price: ticks.
        side: of the order.
        filled: whether the end is an execution.
    """

    start_ns: Int[np.ndarray, " order"]
    end_ns: Int[np.ndarray, " order"]
    price: Int[np.ndarray, " order"]
    side: Int[np.ndarray, " order"]
    filled: Int[np.ndarray, " order"]


def lives_of(orders: np.ndarray) -> Lives:
    """Return the life of every order whose arrival was seen, until it is first executed or gone.

    Args:
        orders: dtype `ORDER`; lumps of unknown orders, of negative number, are left out.
    """
    orders = orders[orders["order_id"] >= 0]
    orders = orders[np.argsort(orders["order_id"], kind="stable")]
    added = np.flatnonzero(orders["kind"] == ADD)
    last_ns = int(np.max(orders["exchange_time_ns"])) if len(orders) else 0
    ends = np.flatnonzero((orders["kind"] == FILL) | (orders["quantity"] == 0))
    index = np.searchsorted(ends, added)
    known = index < len(ends)
    end = ends[np.minimum(index, len(ends) - 1)] if len(ends) else np.zeros(len(added), np.int64)
    known &= orders["order_id"][end] == orders["order_id"][added] if len(ends) else False
    first = orders[added]
    return Lives(
        first["exchange_time_ns"].copy(),
        np.where(known, orders["exchange_time_ns"][end], last_ns),
        first["price"].copy(),
        first["side"].astype(np.int64),
        (known & (orders["kind"][end] == FILL)).astype(np.int64),
    )


@njit(cache=True)
def _exposure(start, end, price, side, times, mids, nearest, step, first, length, result):  # type: ignore[no-untyped-def]
    """Add to `found` (block, distance) the seconds that orders rested at each distance from the mid."""
    blocks, distances = result.shape
    for order in range(len(start)):
        here = np.searchsorted(times, start[order], side="right") - 1
        now = start[order]
        while now < end[order]:
            until = end[order]
            if here + 1 < len(times) and times[here + 1] < until:
                until = times[here + 1]
            if here >= 0 and np.isfinite(mids[here]):
                away = side[order] * (mids[here] - price[order])
                index = int(np.floor((away - nearest) / step + 0.5))
                if 0 <= index < distances:
                    block = min(max((now - first) // length, 0), blocks - 1)
                    result[block, index] += (until - now) * 1e-9
            now = until
            here += 1


def fit_order_fills(
    orders: np.ndarray | None,
    top: TopOfBook,
    fill_curve: pl.DataFrame,
    seed: int,
    samples: int = 1000,
    confidence: float = 0.95,
) -> OrderFillFit:
    """Estimate how many of the fills that the fill curve promises real orders get.

    The fill curve counts market orders that come to a price, for an order that is first in its queue and
    changes nothing. Real orders wait behind others, which makes the ratio smaller than 1; but orders within
    a wide spread are met by market orders that would else have gone to the touch, which makes it larger. The
    rate of real orders at a distance is the number of first executions there over the seconds that orders
    rested there, the distance following the mid; the ratio is the sum of executions over the distances of the
    curve's fit, over what the curve promises for the same seconds. Orders that their makers pull before a
    sweep are not filled by it: a quote that stays may get more, at worse moments.

    Args:
        orders: dtype `ORDER`, or None where the recording does not follow orders, or not through its gaps.
        top: best prices of the same recording.
        fill_curve: table of `fit_fill_curve`.
        seed: of the bootstrap over blocks of time.
        samples: of the bootstrap.
        confidence: of the interval.
    """
    nothing = pl.DataFrame(schema=dict.fromkeys(ORDER_FILL_UNITS, pl.Float64))
    if orders is None:
        reason = "must rest on one session that follows single orders; received price levels, or several."
        return OrderFillFit(refused("order_fill_ratio", "1", METHOD, reason), nothing, ())
    curve = fill_curve.filter((pl.col("side") == "mean") & pl.col("in_fit"))
    distance, promised = curve["distance"].to_numpy(), curve["rate"].to_numpy()
    step = float(distance[1] - distance[0])
    lives = lives_of(orders)
    ordered = np.argsort(top.exchange_time_ns, kind="stable")
    times, mids = top.exchange_time_ns[ordered], top.mid_price[ordered]
    first, length = int(times[0]), max(1, int(times[-1] - times[0]) // BLOCKS)
    exposed = np.zeros((BLOCKS, len(distance)))
    resting = (lives.start_ns, lives.end_ns, lives.price, lives.side)
    _exposure(*resting, times, mids, distance[0], step, first, length, exposed)
    done = lives.filled == 1
    away = lives.side[done] * (mid_at(top, lives.end_ns[done] - 1) - lives.price[done])
    block = np.clip((lives.end_ns[done] - first) // length, 0, BLOCKS - 1)
    index = np.floor((np.nan_to_num(away, nan=-np.inf) - distance[0]) / step + 0.5)
    inside = (index >= 0) & (index < len(distance))
    fills = np.zeros((BLOCKS, len(distance)))
    np.add.at(fills, (block[inside], index[inside].astype(np.int64)), 1.0)
    table = _table(distance, fills.sum(0), exposed.sum(0), promised)
    total, expected = fills.sum(1), exposed @ promised
    if total.sum() < FEWEST_FILLS:
        reason = (
            f"must rest on {FEWEST_FILLS} executions of orders that rest {distance[0]:g} to {distance[-1]:g} "
            f"ticks from the mid; received {total.sum():.0f}. Use a longer recording."
        )
        return OrderFillFit(
            refused("order_fill_ratio", "1", METHOD, reason), table, (f"`order_fill_ratio` {reason}",)
        )
    draws = np.random.default_rng(seed).multinomial(BLOCKS, np.full(BLOCKS, 1.0 / BLOCKS), size=samples)
    again = (draws @ total) / (draws @ expected)
    share = resampled("order_fill_ratio", total.sum() / expected.sum(), again, "1", METHOD, confidence)
    message = (
        f"{total.sum():,.0f} executions in {exposed.sum():,.0f} order seconds, {len(lives.price):,} orders"
    )
    return OrderFillFit(share._replace(diagnostic=message), table, ())


def _table(
    distance: Float[np.ndarray, " distance"],
    fills: Float[np.ndarray, " distance"],
    exposed: Float[np.ndarray, " distance"],
    promised: Float[np.ndarray, " distance"],
) -> pl.DataFrame:
    rate = fills / np.where(exposed > 0.0, exposed, np.nan)
    columns = (distance, fills, exposed, rate, promised)
    return pl.DataFrame(dict(zip(ORDER_FILL_UNITS, columns, strict=True)))
