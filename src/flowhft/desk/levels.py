"""The levels of a book, kept one by one as events arrive: bids and asks by price, the best always at hand."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int
from numba import njit

FIRST_ROOM = 1024  # levels a side that there is room for at first


class Levels(NamedTuple):
    """A book: bids by price, asks by -price, both rising. A level that is gone stays, with quantity 0.

    Attributes:
        keys, quantities: of every level, the first `held` of each side.
        held: how many there are; bids, asks.
        best: which is the last that holds anything, -1 for none; likewise.
    """

    keys: Int[np.ndarray, "side level"]
    quantities: Int[np.ndarray, "side level"]
    held: Int[np.ndarray, " side"]
    best: Int[np.ndarray, " side"]


def open_levels(room: int = FIRST_ROOM, prices: Int[np.ndarray, " level"] | None = None) -> Levels:
    """Return an empty book.

    Args:
        room: for so many levels a side.
        prices: of levels that will come, rising: room for these is enough, and they are found faster.
    """
    if prices is not None:
        keys = np.stack([prices, -prices[::-1]])
        return Levels(keys, np.zeros_like(keys), np.full(2, len(prices)), np.full(2, -1))
    empty = np.zeros((2, room), np.int64)
    return Levels(empty, empty.copy(), np.zeros(2, np.int64), np.full(2, -1))


def with_room(levels: Levels, more: int) -> Levels:
    """Return the book with room for more levels; where there was not enough, without those that are gone."""
    if int(levels.held.max()) + more <= levels.keys.shape[1]:
        return levels
    filled = [levels.quantities[side, : levels.held[side]] > 0 for side in range(2)]
    held = np.array([np.count_nonzero(of) for of in filled])
    wider = open_levels(2 * int(held.max()) + more)
    for side, of in enumerate(filled):
        for new, old in ((wider.keys, levels.keys), (wider.quantities, levels.quantities)):
            new[side, : held[side]] = old[side, : levels.held[side]][of]
    return wider._replace(held=held, best=held - 1)


@njit
def clear_levels(levels: Levels) -> None:
    """Empty the book."""
    levels.quantities[:] = 0
    levels.best[:] = -1


@njit
def find_level(keys: Int[np.ndarray, " level"], held: int, key: int) -> int:
    """Return the first of the `held` levels of a side whose key is not below this one, `held` for none."""
    low, high = 0, held
    while low < high:
        middle = (low + high) // 2
        if keys[middle] < key:
            low = middle + 1
        else:
            high = middle
    return low


@njit
def lots_at(levels: Levels, side: int, key: int) -> int:
    """Return the lots of a level, 0 where there is none."""
    at = find_level(levels.keys[side], levels.held[side], key)
    there = at < levels.held[side] and levels.keys[side, at] == key
    return levels.quantities[side, at] if there else 0


@njit
def set_level(levels: Levels, side: int, key: int, quantity: int) -> None:
    """Set the quantity of a level; 0 takes it away. There must be room for one more.

    Args:
        levels: of a book.
        side: 0 for bids, 1 for asks.
        key: price of a bid, -price of an ask, ticks.
        quantity: lots.
    """
    keys, quantities, held = levels.keys[side], levels.quantities[side], levels.held[side]
    low = find_level(keys, held, key)
    if low == held or keys[low] != key:
        if quantity <= 0:
            return
        for index in range(held, low, -1):
            keys[index], quantities[index] = keys[index - 1], quantities[index - 1]
        keys[low] = key
        levels.held[side] = held + 1
        if levels.best[side] >= low:
            levels.best[side] += 1
    quantities[low] = quantity
    if quantity > 0:
        levels.best[side] = max(levels.best[side], low)
    elif low == levels.best[side]:
        while low >= 0 and quantities[low] <= 0:
            low -= 1
        levels.best[side] = low
