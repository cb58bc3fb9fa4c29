"""Features of kind `book`: what one side of a market sees of the order book, and what it answers.

A bid sees the book as it is, an ask its mirror image with the position negated, so that one function serves
both sides and a policy of it cannot lean by what it learned. What is answered is a score for each of a few
prices, and one for not quoting; the largest counts.

Plain arithmetic: numpy and numba run it alike.
"""

import numpy as np
from jaxtyping import Float

from flowhft.features.book import MIRROR, NAMES, SIGN
from flowhft.features.scales import FURTHEST

PRICES = 8  # most prices a side, numbered as the policy's offsets are
NONE = PRICES  # the place of "not quoted" behind them

# Signals in deviations, as the side sees them; the position, positive where an order of this side would add
# to it, as a share of the limit; 1 where this side, and the opposite one, may open a position, which the
# gate says; and 1 for the price, if any, at which the side was quoted last.
SIDE = (*NAMES, "inventory", "opens", "opposite_opens", *(f"stands_{k + 1}" for k in range(PRICES)))
CHOICES = (*(f"price_{k + 1}" for k in range(PRICES)), "none")

_COUNT = len(NAMES)
_MIRROR, _SIGN = np.array(MIRROR, np.int64), np.array(SIGN, np.float64)


def standardise_book(
    book: Float[np.ndarray, " signal"],
    centre: Float[np.ndarray, " signal"],
    scale: Float[np.ndarray, " signal"],
    out: Float[np.ndarray, " signal"],
) -> None:
    """Write signals in deviations: none beyond `FURTHEST`, and 0 for one that is not known.

    Args:
        book: in the order of `flowhft.features.book.NAMES`.
        centre: taken off each.
        scale: what it is divided by then, positive.
        out: written.
    """
    for i in range(_COUNT):
        value = (book[i] - centre[i]) / scale[i]
        out[i] = min(max(value, -FURTHEST), FURTHEST) if value == value else 0.0


def see_side(
    standard: Float[np.ndarray, " signal"],
    side: int,
    inventory: float,
    quoted: Float[np.ndarray, " side"],
    place: int,
    out: Float[np.ndarray, " feature"],
) -> None:
    """Write what a side sees, in the order of `SIDE`.

    Args:
        standard: from `standardise_book`.
        side: 0 for the bid, 1 for the ask.
        inventory: held, as a share of the limit.
        quoted: 1 for a side that may open a position, 0 for one that only takes one back; bid, ask.
        place: of the price at which the side was quoted last, `NONE` where there is none.
        out: written.
    """
    for i in range(_COUNT):
        out[i] = standard[i] if side == 0 else _SIGN[i] * standard[_MIRROR[i]]
    out[_COUNT] = inventory if side == 0 else -inventory
    out[_COUNT + 1], out[_COUNT + 2] = quoted[side], quoted[1 - side]
    for k in range(PRICES):
        out[_COUNT + 3 + k] = 1.0 if k == place else 0.0


def place_of(offsets: Float[np.ndarray, " price"], count: int, offset: float) -> int:
    """Return the place of a price; `NONE` for one that is not offered, NaN among them.

    Args:
        offsets: ticks by which each price betters the best of its side.
        count: how many of them there are.
        offset: likewise.
    """
    for k in range(count):
        if offsets[k] == offset:
            return k
    return NONE


def choose(
    scores: Float[np.ndarray, " choice"], offsets: Float[np.ndarray, " price"], count: int, spread: int
) -> int:
    """Return the place of the price with the largest score; `NONE` where not quoting has it.

    Args:
        scores: in the order of `CHOICES`.
        offsets: ticks by which each price betters the best of its side.
        count: how many of them there are.
        spread: of the market, ticks; what would reach the other side's best price is left out.
    """
    best, chosen = scores[NONE], NONE
    for k in range(count):
        if offsets[k] < spread and scores[k] > best:
            best, chosen = scores[k], k
    return chosen
