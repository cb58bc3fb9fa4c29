"""Measures: what a trajectory comes to, one number per path for each.

The account of a path is kept step by step in constant memory (`Tally`), with the same arithmetic in the lab,
where a rollout folds steps as they happen, and here, where `measure` folds those of a trajectory.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from flowhft.runs import tables
from flowhft.types import Activity, Numeric, Trajectory

PathValues = Float[np.ndarray, " path"]

_LATENCIES = {"latency_p50": 50.0, "latency_p99": 99.0}  # measure -> percentile over the steps of a session
_QUANTILES = {"p01": 0.01, "p05": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95, "p99": 0.99}
INVENTORY_UNITS = tables.units_of("evaluate", "inventory")
DELAYED = ("slippage", *_LATENCIES, "sent")  # measures of what delay does; NaN where none passes


def equity(trajectory: Trajectory) -> Float[np.ndarray, "path step"]:
    """Return the equity after every step, tick x lot, summed in float64; 0 before the first step."""
    gain = np.asarray(trajectory.spread_pnl, np.float64) + np.asarray(trajectory.inventory_pnl, np.float64)
    return np.cumsum(gain - np.asarray(trajectory.fee, np.float64), axis=-1)


def drawdown(equity: Float[np.ndarray, "path step"]) -> Float[np.ndarray, "path step"]:
    """Return how far equity stands below its running maximum, which begins at 0; never negative."""
    highest = np.maximum.accumulate(np.maximum(equity, 0.0), axis=-1)
    return highest - equity


def inventory_distribution(trajectory: Trajectory) -> dict[str, float]:
    """Return how the inventory after the fills is distributed over paths and steps, lots.

    Args:
        trajectory: arrays of shape (path, step).

    Returns:
        Mean, standard deviation, skewness (NaN where it never moved) and quantiles, by `INVENTORY_UNITS`.
    """
    held = np.asarray(inventory_after(trajectory), np.float64)
    mean, deviation = float(np.mean(held)), float(np.std(held))
    skewness = float(np.mean(((held - mean) / deviation) ** 3)) if deviation > 0.0 else float("nan")
    quantiles = np.quantile(held, tuple(_QUANTILES.values())).tolist()
    return {
        "mean": mean,
        "deviation": deviation,
        "skewness": skewness,
        **dict(zip(_QUANTILES, quantiles, strict=True)),
    }


def inventory_after(trajectory: Trajectory) -> Float[np.ndarray, "path step"]:
    """Return the inventory after the fills of every step, lots."""
    return np.asarray(trajectory.observation.inventory) + (
        np.asarray(trajectory.fill.bid) - np.asarray(trajectory.fill.ask)
    )


def is_quoted(half_spread: Numeric, size: Numeric) -> Any:
    """Whether a side is quoted: its half-spread is not NaN and its size not 0 (see `Quote`).

    Args:
        half_spread: ticks, a number or array of any library.
        size: orders, likewise.
    """
    return (half_spread == half_spread) & (size > 0.0)


class Tally(NamedTuple):
    """The running account of a path, from which its measures follow: constant memory, any number of steps.

    Money is summed with Kahan's compensation (`lost_*` hold what rounding lost), which keeps the sums of
    float32 increments as exact as float64 would.
    """

    steps: Numeric
    spread_pnl: Numeric
    lost_spread: Numeric
    inventory_pnl: Numeric
    lost_inventory: Numeric
    fee: Numeric
    lost_fee: Numeric
    expected_inventory_pnl: Numeric
    lost_expected: Numeric
    highest: Numeric
    max_drawdown: Numeric
    fills: Numeric
    square_inventory: Numeric
    absolute_inventory: Numeric
    max_inventory: Numeric
    half_spread: Numeric
    quoted: Numeric
    adverse_move: Numeric
    inventory: Numeric
    standing: Numeric
    orders: Numeric
    cancellations: Numeric
    turnover: Numeric


def begin_tally(zero: Numeric) -> Tally:
    """Return the account of a session that has not begun.

    Args:
        zero: 0 of the wanted array library, dtype and shape.
    """
    return Tally(*(zero,) * len(Tally._fields))


def _add(total: Numeric, lost: Numeric, amount: Numeric) -> tuple[Numeric, Numeric]:
    """Add with compensation for rounding (Kahan, 1965)."""
    mended = amount - lost
    new = total + mended
    return new, (new - total) - mended


def tally_step(tally: Tally, step: Trajectory) -> Tally:
    """Fold one step of a trajectory into the account, with the arithmetic of its own array library.

    Args:
        tally: the account so far.
        step: the fields of `Trajectory` at one step, each of the same shape as the tally's.
    """
    spread_pnl, lost_spread = _add(tally.spread_pnl, tally.lost_spread, step.spread_pnl)
    inventory_pnl, lost_inventory = _add(tally.inventory_pnl, tally.lost_inventory, step.inventory_pnl)
    fee, lost_fee = _add(tally.fee, tally.lost_fee, step.fee)
    unknown = step.expected_inventory_pnl is None
    given_fills = step.fee * float("nan") if unknown else step.expected_inventory_pnl
    expected, lost_expected = _add(tally.expected_inventory_pnl, tally.lost_expected, given_fills)
    equity = spread_pnl + inventory_pnl - fee
    library = equity.__array_namespace__()
    highest = library.maximum(tally.highest, equity)
    change = step.fill.bid - step.fill.ask
    inventory = step.observation.inventory + change
    size = abs(inventory)
    nothing = step.fee * float("nan")
    move = nothing if step.mid_after is None else step.mid_after - step.observation.mid_price
    activity = step.activity
    if activity is None:
        activity = Activity(nothing, nothing, nothing, nothing, nothing)
    # Half the spread of a step, where there is one: asked of the sum, so that no term has another use
    # and compilers go on fusing them.
    half_spread = 0.5 * (step.quote.half_spread_bid + step.quote.half_spread_ask)
    quoted = is_quoted(half_spread, step.quote.size_bid) & (step.quote.size_ask > 0.0)
    return Tally(
        steps=tally.steps + 1,
        spread_pnl=spread_pnl,
        lost_spread=lost_spread,
        inventory_pnl=inventory_pnl,
        lost_inventory=lost_inventory,
        fee=fee,
        lost_fee=lost_fee,
        expected_inventory_pnl=expected,
        lost_expected=lost_expected,
        highest=highest,
        max_drawdown=library.maximum(tally.max_drawdown, highest - equity),
        fills=tally.fills + step.fill.bid + step.fill.ask,
        square_inventory=tally.square_inventory + inventory * inventory,
        absolute_inventory=tally.absolute_inventory + size,
        max_inventory=library.maximum(tally.max_inventory, size),
        half_spread=tally.half_spread + library.where(quoted, half_spread, 0.0),
        quoted=tally.quoted + 1.0 * quoted,
        adverse_move=tally.adverse_move - change * move,
        inventory=tally.inventory + inventory,
        standing=tally.standing + library.minimum(activity.standing_bid, activity.standing_ask),
        orders=tally.orders + activity.orders,
        cancellations=tally.cancellations + activity.cancellations,
        turnover=tally.turnover + activity.turnover,
    )


def measures_of(tally: Tally) -> dict[str, PathValues]:
    """Return one number per path for every measure: what `Metric.of` names, float64, money in tick x lot.

    Args:
        tally: of finished paths, fields of shape (path,).
    """
    account = Tally(*(np.asarray(value, np.float64) for value in tally))
    pnl = account.spread_pnl + account.inventory_pnl - account.fee
    return {
        "pnl": pnl,
        "expected_pnl": account.spread_pnl + account.expected_inventory_pnl - account.fee,
        "spread_pnl": account.spread_pnl,
        "inventory_pnl": account.inventory_pnl,
        "fee": account.fee,
        "max_drawdown": account.max_drawdown,
        "fills": account.fills,
        "mean_square_inventory": account.square_inventory / account.steps,
        "max_inventory": account.max_inventory,
        "half_spread": account.half_spread / account.steps,
        "quoted": account.quoted / account.steps,
        "adverse_move": account.adverse_move,
        "realised_pnl": account.spread_pnl - account.adverse_move,
        "absolute_inventory": account.absolute_inventory / account.steps,
        "inventory": account.inventory / account.steps,
        "standing": account.standing / account.steps,
        "orders": account.orders,
        "messages": account.orders + account.cancellations,
        "turnover": account.turnover,
        **{name: np.full(np.shape(pnl), np.nan) for name in DELAYED},
    }


def measure(trajectory: Trajectory) -> dict[str, PathValues]:
    """Return one number per path for every measure of a whole trajectory.

    Args:
        trajectory: arrays of shape (path, step).

    Returns:
        Arrays of shape (path,), float64; money in tick x lot.
    """

    def at(values: Numeric, step: int) -> Numeric:
        return np.asarray(values, np.float64)[:, step]

    paths, steps = np.shape(trajectory.fee)
    tally = begin_tally(np.zeros(paths))
    for i in range(steps):
        tally = tally_step(tally, each(lambda values, i=i: at(values, i), trajectory))  # type: ignore[misc]
    return measures_of(tally) | _delayed(trajectory)


def _delayed(trajectory: Trajectory) -> dict[str, PathValues]:
    """Return the measures of what delay does, of a trajectory in which time passes until orders arrive."""
    if trajectory.activity is None or trajectory.activity.latency_us is None:
        return {}
    earned = np.asarray(trajectory.spread_pnl, np.float64)
    asked = np.zeros(np.shape(earned))
    half_spreads = trajectory.quote.half_spread_bid, trajectory.quote.half_spread_ask
    for half_spread, filled in zip(half_spreads, trajectory.fill, strict=True):
        asked += np.where(np.asarray(filled) > 0.0, half_spread, 0.0) * filled
    # An order may fill on its way out, when its policy quotes no more (NaN, infinity): nothing slipped.
    slipped = np.where(np.isfinite(asked), asked - earned, 0.0)
    latency = np.asarray(trajectory.activity.latency_us, np.float64)
    # A path in which nothing was sent has no latency, and counts for none.
    percentiles = map(np.nan_to_num, known_percentiles(latency, tuple(_LATENCIES.values())))
    sent = np.isfinite(latency).any(axis=-1).astype(np.float64)
    slippage = np.sum(slipped, axis=-1)
    return {"slippage": slippage, **dict(zip(_LATENCIES, percentiles, strict=True)), "sent": sent}


def known_percentiles(
    values: Float[np.ndarray, "path step"], percentiles: Sequence[float]
) -> list[Float[np.ndarray, " path"]]:
    """Return percentiles of every row, linear between neighbours, NaN left out: of a row of NaN it is NaN.

    `numpy.nanpercentile` does the same row by row in Python, far more slowly.

    Args:
        values: finite or NaN, shape (path, step).
        percentiles: 0 to 100.
    """
    rising = np.sort(values, axis=-1)  # NaN last
    last = np.count_nonzero(np.isfinite(values), axis=-1) - 1
    results = []
    for percentile in percentiles:
        position = np.maximum(last, 0) * (0.01 * percentile)
        below = np.floor(position).astype(np.int64)
        low, high = (
            np.take_along_axis(rising, at[:, None], axis=-1)[:, 0]
            for at in (below, np.minimum(below + 1, np.maximum(last, 0)))
        )
        results.append(low + (high - low) * (position - below))
    return results


def each(function: Callable[[Numeric], Numeric], trajectory: Trajectory) -> Trajectory:
    """Return a trajectory of what a function makes of every array; numbers and what nobody kept stay.

    Args:
        function: of one array of shape (path, step).
        trajectory: of such arrays.
    """

    def of(values: Any) -> Any:
        if values is None:
            return None
        if isinstance(values, tuple):
            return type(values)(*map(of, values))
        return function(values) if np.ndim(values) else values

    return of(trajectory)
