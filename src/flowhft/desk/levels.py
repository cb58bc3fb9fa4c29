"""The levels of a book, kept one by one as events arrive: bids and asks by price, the best always at hand."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int
from numba import njit

FIRST_ROOM = 1024  # levels a side that there is room for at first


class Levels(NamedTuple):
    """A book by price: bids by price, asks by -price, both rising, so that the best stands last.

    Attributes:
        keys, quantities: of every level, the first `held` of each side.
        held: how many there are; bids, asks.
    """

    keys: Int[np.ndarray, "side level"]
    quantities: Int[np.ndarray, "side level"]
    held: Int[np.ndarray, " side"]


def open_levels(room: int = FIRST_ROOM) -> Levels:
    """Return a book without a level, with room for as many a side."""
    return Levels(np.zeros((2, room), np.int64), np.zeros((2, room), np.int64), np.zeros(2, np.int64))


def with_room(levels: Levels, more: int) -> Levels:
    """Return the same levels with room for more of them, in new arrays where there was not enough."""
    needed, room = int(levels.held.max()) + more, levels.keys.shape[1]
    if needed <= room:
        return levels
    wider = ((0, 0), (0, max(needed, 2 * room) - room))
    return Levels(np.pad(levels.keys, wider), np.pad(levels.quantities, wider), levels.held)


@njit
def set_level(levels: Levels, side: int, key: int, quantity: int) -> None:
    """Set the quantity of a level; 0 takes it away. There must be room for one more.

    Args:
        levels: of a book.
        side: 0 for bids, 1 for asks.
        key: price of a bid, -price of an ask, ticks.
        quantity: lots.
    """
    keys, quantities, count = levels.keys[side], levels.quantities[side], levels.held[side]
    low, high = 0, count
    while low < high:
        middle = (low + high) // 2
        if keys[middle] < key:
            low = middle + 1
        else:
            high = middle
    there = low < count and keys[low] == key
    if quantity > 0 and not there:
        for place in range(count, low, -1):
            keys[place], quantities[place] = keys[place - 1], quantities[place - 1]
        keys[low] = key
        levels.held[side] = count + 1
    if quantity > 0:
        quantities[low] = quantity
    elif there:
        for place in range(low, count - 1):
            keys[place], quantities[place] = keys[place + 1], quantities[place + 1]
        levels.held[side] = count - 1
