"""From a table of visible books, one row a moment, to events: what opens it, and every level that changes."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int
from numba import njit

from flowhft.recordings.ticks import BUY, DEPTH, SELL, SNAPSHOT, TOP, make_events

EMPTY = -1  # price of a level that holds nothing
SIDES = ((BUY, "bid"), (SELL, "ask"))

Levels = Int[np.ndarray, "row level"]


class Rows(NamedTuple):
    """When and under which number each row of a table of books came.

    Attributes:
        exchange_time_ns: shape (row,).
        local_time_ns: shape (row,).
        message: shape (row,).
    """

    exchange_time_ns: Int[np.ndarray, " row"]
    local_time_ns: Int[np.ndarray, " row"]
    message: Int[np.ndarray, " row"]

    def events(
        self, row: np.ndarray, kind: int, side: np.ndarray | int, price: np.ndarray, quantity: np.ndarray
    ) -> np.ndarray:
        """Return events of one kind with the times and the message of their rows."""
        return make_events(
            kind,
            side,
            self.exchange_time_ns[row],
            self.local_time_ns[row],
            price,
            quantity,
            self.message[row],
        )


@njit(cache=True)
def _level_changes(price, size, further, row_out, price_out, size_out):  # type: ignore[no-untyped-def]
    """Walk old and new levels of one side together, best first; write those that differ, return their number.

    `further` is +1 for asks and -1 for bids: the direction away from the mid. A level that is no longer
    listed, gone or out of sight, gets size 0. Outputs of length 0 make this a count.
    """
    count, levels, write = 0, price.shape[1], len(row_out) > 0
    for row in range(1, len(price)):
        old = new = 0
        while True:
            old_there = old < levels and price[row - 1, old] != EMPTY
            new_there = new < levels and price[row, new] != EMPTY
            if not old_there and not new_there:
                break
            if old_there and new_there and price[row - 1, old] == price[row, new]:
                changed = size[row - 1, old] != size[row, new]
                at, holds = price[row, new], size[row, new]
                old += 1
                new += 1
            elif old_there and (not new_there or further * (price[row - 1, old] - price[row, new]) < 0):
                changed, at, holds = True, price[row - 1, old], 0
                old += 1
            else:
                changed, at, holds = True, price[row, new], size[row, new]
                new += 1
            if changed:
                if write:
                    row_out[count], price_out[count], size_out[count] = row, at, holds
                count += 1
    return count


def side_changes(price: Levels, size: Levels, further: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return row, price and size of every level of one side that differs from the row before.

    Args:
        price: ticks, best first; `EMPTY` where there is no level.
        size: lots.
        further: the direction away from the mid: 1 for asks, -1 for bids.
    """
    nothing = np.zeros(0, np.int64)
    count = _level_changes(price, size, further, nothing, nothing, nothing)
    row, at, holds = (np.empty(count, np.int64) for _ in range(3))
    if count:
        _level_changes(price, size, further, row, at, holds)
    return row, at, holds


def book_events(
    rows: Rows, sides: dict[int, tuple[Levels, Levels]], first: bool
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return the events that a table of books makes, and the row of each.

    Args:
        rows: of the table.
        sides: of `BUY` and `SELL`, prices and sizes.
        first: whether the first row opens the session with a snapshot and a top; else it is only what the
            second is compared with.

    Returns:
        Lists of events and of rows, to be sorted by row: snapshot, then tops, then levels.
    """
    events: list[np.ndarray] = []
    at_row: list[np.ndarray] = []
    if first:
        for side, (price, size) in sides.items():
            there = price[0] != EMPTY
            at_row.append(np.zeros(int(there.sum()), np.int64))
            events.append(rows.events(at_row[-1], SNAPSHOT, side, price[0][there], size[0][there]))
    best = np.stack([values[:, 0] for side in sides.values() for values in side])
    moved = np.flatnonzero(np.concatenate([[first], np.any(best[:, 1:] != best[:, :-1], axis=0)]))
    for side, (price, size) in sides.items():
        at_row.append(moved)
        events.append(rows.events(moved, TOP, side, np.maximum(price[moved, 0], 0), size[moved, 0]))
    for side, (price, size) in sides.items():
        row, at, holds = side_changes(price, size, -side)
        at_row.append(row)
        events.append(rows.events(row, DEPTH, side, at, holds))
    return events, at_row
