"""Makers that see the order book at the desk: heads for every price and values of positions, compiled."""

import math
from dataclasses import replace

import numpy as np
from numba import njit

from flowhft.desk.compiled.decide import (
    BOOK,
    NO_FAULT,
    NOWHERE,
    OUTPUT,
    SENSED,
    Decide,
    Memory,
    Packed,
    remember,
)
from flowhft.desk.compiled.exact import require_shape
from flowhft.desk.compiled.kind import Kind
from flowhft.errors import UsageError
from flowhft.features.book import MIRROR, NAMES, SIGN
from flowhft.features.scales import FURTHEST
from flowhft.policies.adapter import Adapter, adapt_quote
from flowhft.policies.book import ARRAYS, BookMaker, shapes_of
from flowhft.types import Observation, Quote

_SIGNALS = len(NAMES)
_SPREAD = NAMES.index("log_spread")
# Places in the numbers: the adapter; counts of offsets and of orders held at most, unit, cost, kept; arrays.
_OFFSETS = len(Adapter._fields)
_LIMIT, _UNIT, _COST, _KEPT, _ARRAYS = range(_OFFSETS + 1, _OFFSETS + 6)
_BID, _ASK = SENSED, SENSED + 1  # places of the prices at which orders of ours stand
_MIRROR, _SIGN = np.array(MIRROR, np.int64), np.array(SIGN, np.float64)
_adapt_quote = njit(adapt_quote, error_model="numpy")


@njit(error_model="numpy")
def _value_at(numbers: np.ndarray, first: int, limit: int, position: float) -> float:
    """Return what a position is worth, between whole numbers of orders on a line."""
    place = min(max(position + limit, 0.0), 2.0 * limit)
    below = min(int(place), 2 * limit - 1)
    share = place - below
    return (1.0 - share) * numbers[first + below] + share * numbers[first + below + 1]


@njit(error_model="numpy")
def _price(
    n: np.ndarray, features: np.ndarray, side: int, spread: int, seen: Observation, standing: float
) -> float:
    """Return the price at which a side is quoted, ticks as the mid; NaN for none."""
    offsets, limit, unit = int(n[_OFFSETS]), int(n[_LIMIT]), n[_UNIT]
    fill = _ARRAYS + offsets + 2 * _SIGNALS
    edge = fill + offsets * (1 + _SIGNALS)
    value = edge + offsets * (1 + _SIGNALS)
    step = 1 - 2 * side
    after = seen.inventory + step
    best, chosen = 0.0, math.nan
    if not -limit <= after <= limit:
        return chosen
    if n[value + 2 * limit + 1 + side] <= 0.0 and seen.inventory * step >= 0.0:
        return chosen
    worth = _value_at(n, value, limit, after) - _value_at(n, value, limit, seen.inventory)
    for k in range(offsets):
        offset = n[_ARRAYS + k]
        if offset >= spread:
            continue
        logit, gain = n[fill + k * (1 + _SIGNALS)], n[edge + k * (1 + _SIGNALS)]
        fills, gains = fill + k * (1 + _SIGNALS) + 1, edge + k * (1 + _SIGNALS) + 1
        for i in range(_SIGNALS):
            logit += n[fills + i] * features[i]
            gain += n[gains + i] * features[i]
        price = seen.mid_price + step * (offset - 0.5 * spread)
        score = (unit * (gain + worth) - n[_COST]) / (1.0 + math.exp(-logit))
        if price == standing:
            score *= n[_KEPT]
        if score > best:
            best, chosen = score, price
    return chosen


def _quote(packed: Packed, memory: Memory, seen: Observation) -> tuple[Quote, int]:
    n, book, state = packed.numbers, seen.book, memory.state
    if len(book) != _SIGNALS:
        return NOWHERE, BOOK
    if not np.isfinite(book[_SPREAD]):  # nothing is known of the book yet
        state[_BID] = state[_ASK] = math.nan
        return Quote(math.nan, math.nan, 1.0, 1.0), NO_FAULT
    offsets = int(n[_OFFSETS])
    centre = _ARRAYS + offsets
    scale = centre + _SIGNALS
    spread = round(math.exp(book[_SPREAD]))
    bid_sees, ask_sees = memory.features[:_SIGNALS], memory.features[_SIGNALS:]
    for i in range(_SIGNALS):
        value = (book[i] - n[centre + i]) / n[scale + i]
        value = min(max(value, -FURTHEST), FURTHEST) if value == value else 0.0
        bid_sees[i] = value
    for i in range(_SIGNALS):
        ask_sees[i] = _SIGN[i] * bid_sees[_MIRROR[i]]
    state[_BID] = _price(n, bid_sees, 0, spread, seen, state[_BID])
    state[_ASK] = _price(n, ask_sees, 1, spread, seen, state[_ASK])
    own = Quote(seen.mid_price - state[_BID], state[_ASK] - seen.mid_price, 1.0, 1.0)
    wanted = _adapt_quote(Adapter(n[0], n[1], n[2], n[3], n[4]), own, seen)
    if np.isinf(wanted.half_spread_bid) or np.isinf(wanted.half_spread_ask):
        return NOWHERE, OUTPUT
    return wanted, NO_FAULT


def _checked(parts: BookMaker) -> BookMaker:
    """Refuse arrays that do not fit together: compiled code would read beyond them."""
    arrays = {name: np.array(parts.arrays[name], np.float64, order="C") for name in ARRAYS}
    for name, shape in shapes_of(len(arrays["offsets"]), parts.limit).items():
        require_shape(name, arrays[name], shape)
    for name, values in arrays.items():
        if not np.all(np.isfinite(values)):
            raise UsageError(f"`{name}` must be finite numbers; received others. Train the policy again.")
    return replace(parts, arrays=arrays)


def _packed(parts: BookMaker, adapter: Adapter) -> Packed:
    sizes = [len(parts.arrays["offsets"]), parts.limit, parts.unit, parts.cost, parts.kept]
    arrays = [parts.arrays[name].ravel() for name in ARRAYS]
    return Packed(np.concatenate([np.array(adapter), sizes, *arrays]), np.zeros(0, np.float32))


def _memory(parts: BookMaker, packed: Packed, seed: int) -> Memory:
    return remember(seed, [math.nan, math.nan], 2 * _SIGNALS)


def _book() -> Kind:
    """Return the one kind of this file, as another process finds it."""
    return BOOK_MAKER


BOOK_MAKER = Kind(
    name="book",
    decide=Decide("book", lambda: njit(error_model="numpy")(_quote)),
    checked=_checked,
    pack=_packed,
    memory=_memory,
    again=(_book, ()),
    sees_book=True,
)
