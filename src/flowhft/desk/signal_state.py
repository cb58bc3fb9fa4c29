"""What is remembered of a market for its signals, and how time passes over it (`flowhft.desk.signals`)."""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numba import njit

from flowhft.desk.compiled.compiled import compiled
from flowhft.desk.levels import Levels, clear_levels, open_levels
from flowhft.features.book import DECAYS, VOLATILITY_DECAYS
from flowhft.recordings.market_orders import ORDER_WINDOW

SECOND_NS = 10**9
NEVER = -(2**62)
FAR = 2**62


class SignalState(NamedTuple):
    """What is remembered of a market: arrays, so that compiled functions can change them.

    Attributes:
        published: whether the venue publishes its best prices.
        window_ns: trades of one side closer than this on the venue's clock are one market order.
        whole: whole numbers, see `BEST_BID` and those behind it.
        sums: decayed sums at `CLOCK_NS`, a row each of `FLOW`, `VOLUME`, `RETURN` and `ORDERS`.
        squares: of the moves over whole seconds, ticks^2, and the weight of them; a row a decay.
        levels: of the book.
    """

    published: bool
    window_ns: int
    whole: Int[np.ndarray, " number"]
    sums: Float[np.ndarray, "family decay"]
    squares: Float[np.ndarray, "decay 2"]
    levels: Levels


# What `SignalState.whole` holds. The best prices are those that were known last on both sides.
(
    BEST_BID,
    BEST_ASK,
    BID_LOTS,
    ASK_LOTS,
    TOP_BID,  # what the venue published last
    TOP_ASK,
    TOP_BID_LOTS,
    TOP_ASK_LOTS,
    PENDING,  # whether a message has changed the book since best prices were looked up
    MESSAGE,
    MESSAGE_KIND,
    MESSAGE_NS,
    TRADE_SIDE,
    TRADE_PRICE,
    ORDER_LOTS,  # traded so far by the market order of the last trade
    SECOND_MID,  # twice the mid at `SECOND`
    BAND_LOTS_BID,  # in the wider band and beyond the best prices
    BAND_LOTS_ASK,
    EDGE_BID,  # of the wider band at the last decision, as a key of `levels`; `FAR` before
    EDGE_ASK,
    KNOWN_NS,  # when best prices were first known; `NEVER` before, as all below
    SNAPSHOT_NS,  # when the first snapshot came
    MISSING_NS,  # since when a side is empty
    BEGUN_NS,  # the first event that counts
    CLOCK_NS,  # of the sums
    TRADE_NS,  # of the last trade, on the venue's clock
    SECOND,  # the last whole second of which the mid is known, since 1970
) = range(27)
FLOW, VOLUME, RETURN, ORDERS = range(4)


def open_signals(
    published: bool, order_window: float = ORDER_WINDOW, levels: Levels | None = None
) -> SignalState:
    """Return what is remembered before anything has arrived, with an empty book.

    Args:
        published: whether the venue publishes its best prices; else depth says what they are.
        order_window: trades of one side closer than this are one market order, seconds.
        levels: with room for those that will come; None for room that `Signals` widens.
    """
    state = SignalState(
        published,
        round(order_window * 1e9),
        np.zeros(SECOND + 1, np.int64),
        np.zeros((ORDERS + 1, len(DECAYS))),
        np.zeros((len(VOLATILITY_DECAYS), 2)),
        open_levels() if levels is None else levels,
    )
    restart(state)
    return state


@compiled
def restart(state: SignalState) -> None:
    """Forget everything: between two sessions of a recording, or two connections, nothing was seen."""
    state.whole[:KNOWN_NS] = 0
    state.whole[KNOWN_NS:] = NEVER
    state.whole[EDGE_BID : EDGE_ASK + 1] = FAR
    state.sums[:] = 0.0
    state.squares[:] = 0.0
    clear_levels(state.levels)


@njit
def seconds_passed(whole: np.ndarray, until: int) -> tuple[int, int]:
    """Return how many whole seconds have passed since the last one with a mid, and twice the mid then."""
    if whole[SECOND] == NEVER:
        first = -(-whole[KNOWN_NS] // SECOND_NS)
        return until - first, whole[BEST_BID] + whole[BEST_ASK]
    return until - whole[SECOND], whole[SECOND_MID]


@njit
def squares_after(
    square: float, weight: float, move: float, passed: int, memory: float
) -> tuple[float, float]:
    """Return the decayed sum of squared moves and its weight some seconds later: one move, then none."""
    last, kept = math.exp(-(passed - 1) / memory), math.exp(-passed / memory)
    return kept * square + last * move * move, kept * weight + (1.0 - kept) / (1.0 - math.exp(-1.0 / memory))


@njit
def move_on(state: SignalState, time_ns: int) -> None:
    """Let time pass up to an arrival: sums decay, whole seconds that are over get their mid."""
    whole, sums, squares = state.whole, state.sums, state.squares
    if whole[CLOCK_NS] == NEVER:
        whole[CLOCK_NS] = whole[BEGUN_NS] = time_ns
    elapsed = time_ns - whole[CLOCK_NS]
    if elapsed <= 0:
        return
    until = (time_ns - 1) // SECOND_NS  # what arrives at a whole second counts for it
    if whole[KNOWN_NS] != NEVER:
        passed, twice = seconds_passed(whole, until)
        if passed > 0:
            move = 0.5 * (whole[BEST_BID] + whole[BEST_ASK] - twice)
            for index in range(len(VOLATILITY_DECAYS)):
                squares[index, 0], squares[index, 1] = squares_after(
                    squares[index, 0], squares[index, 1], move, passed, VOLATILITY_DECAYS[index]
                )
        if passed > 0 or (passed == 0 and whole[SECOND] == NEVER):
            whole[SECOND], whole[SECOND_MID] = until, whole[BEST_BID] + whole[BEST_ASK]
    for index in range(len(DECAYS)):
        kept = math.exp(-1e-9 * elapsed / DECAYS[index])
        for family in range(sums.shape[0]):
            sums[family, index] *= kept
    whole[CLOCK_NS] = time_ns
