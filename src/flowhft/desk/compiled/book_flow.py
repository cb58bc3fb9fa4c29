"""Flow policies that see the order book at the desk: one network, asked once a side, compiled."""

import math
from collections.abc import Mapping
from typing import NamedTuple

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
from flowhft.desk.compiled.exact import refuse_nan, require_shape, same_type
from flowhft.desk.compiled.flow import NO_REGIME
from flowhft.desk.compiled.kind import Kind
from flowhft.desk.compiled.network import NO_NETWORK, Network, require_network
from flowhft.desk.compiled.packing import EXECUTE, HALF_TILE, pack, places_in
from flowhft.desk.compiled.sampler import room_at, sample_chunk, standardise
from flowhft.errors import UsageError, require
from flowhft.features.book import NAMES
from flowhft.features.book_side import (
    CHOICES,
    NONE,
    PRICES,
    SIDE,
    choose,
    place_of,
    see_side,
    standardise_book,
)
from flowhft.policies.adapter import Adapter, adapt_quote
from flowhft.policies.book_flow import ARRAYS, shapes_of
from flowhft.types import Observation, Quote

_SIGNALS, _FEATURES = len(NAMES), len(SIDE)
_SPREAD = NAMES.index("log_spread")
# Places in the numbers behind a network's, counted from their end: how many prices, the limit, whether each
# side is quoted, then centre and scale of the signals, then the offsets, room for the most that there may be.
_OFFSETS = PRICES
_SCALE = _OFFSETS + _SIGNALS
_CENTRE = _SCALE + _SIGNALS
_QUOTED = _CENTRE + 2
_LIMIT = _QUOTED + 1
_COUNT = _LIMIT + 1
_BID, _ASK = SENSED, SENSED + 1  # places of the prices at which we quoted last
_numpy_rules = njit(error_model="numpy")
_places_in = _numpy_rules(places_in)
_standardise_book = _numpy_rules(standardise_book)
_see_side = _numpy_rules(see_side)
_place_of = _numpy_rules(place_of)
_choose = _numpy_rules(choose)
_adapt_quote = _numpy_rules(adapt_quote)


class BookSides(NamedTuple):
    """A flow policy that sees the book.

    Attributes:
        network: of either side, with its sampler, folded.
        arrays: those of `flowhft.policies.book_flow.ARRAYS`, float64.
        limit: most that it holds, orders.
    """

    network: Network
    arrays: Mapping[str, np.ndarray]
    limit: int


@njit(error_model="numpy")
def _draw(packed: Packed, memory: Memory, seen: Observation, spread: int) -> None:
    """Draw a chunk for either side, and write its scores to `Memory.chunk`: the bid's steps, the ask's."""
    n, places = packed.numbers, _places_in(packed.numbers)
    end, execute = len(n), int(n[EXECUTE])
    offsets, count = n[end - _OFFSETS :], int(n[end - _COUNT])
    centre, scale = n[end - _CENTRE : end - _SCALE], n[end - _SCALE : end - _OFFSETS]
    quoted = n[end - _QUOTED : end - _CENTRE]
    standard, sees = memory.features[:_SIGNALS], memory.features[_SIGNALS:]
    room = len(memory.vectors) // 2
    _standardise_book(seen.book, centre, scale, standard)
    for side in range(2):
        standing = memory.state[_BID + side]
        offset = (1 - 2 * side) * (standing - seen.mid_price) + 0.5 * spread
        place = _place_of(offsets, count, offset)
        _see_side(standard, side, seen.inventory / n[end - _LIMIT], quoted, place, sees)
        vectors = memory.vectors[side * room : (side + 1) * room]
        chunk = memory.chunk[side * execute : (side + 1) * execute]
        standardise(packed, places, sees, vectors, room_at(places))
        sample_chunk(packed, places, vectors, memory.random, memory.cursor, chunk)
    memory.cursor[0] = 0
    memory.cursor[1] += 1


@njit(error_model="numpy")
def _price(n: np.ndarray, scores: np.ndarray, side: int, spread: int, seen: Observation) -> float:
    """Return the price at which a side is quoted, ticks as the mid; NaN for none."""
    end, step = len(n), 1 - 2 * side
    limit, offsets = n[end - _LIMIT], n[end - _OFFSETS :]
    after = seen.inventory + step
    if not -limit <= after <= limit:
        return math.nan
    if n[end - _QUOTED + side] <= 0.0 and seen.inventory * step >= 0.0:
        return math.nan
    place = _choose(scores, offsets, int(n[end - _COUNT]), spread)
    return math.nan if place == NONE else seen.mid_price + step * (offsets[place] - 0.5 * spread)


def _quote(packed: Packed, memory: Memory, seen: Observation) -> tuple[Quote, int]:
    n, book, state = packed.numbers, seen.book, memory.state
    if len(book) != _SIGNALS:
        return NOWHERE, BOOK
    execute = int(n[EXECUTE])
    if not np.isfinite(book[_SPREAD]):  # nothing is known of the book yet
        state[_BID] = state[_ASK] = math.nan
        memory.cursor[0] = execute
        return Quote(math.nan, math.nan, 1.0, 1.0), NO_FAULT
    spread = round(math.exp(book[_SPREAD]))
    if memory.cursor[0] >= execute:
        _draw(packed, memory, seen, spread)
    step = memory.cursor[0]
    memory.cursor[0] += 1
    for side in range(2):
        scores = memory.chunk[side * execute + step]
        if not np.isfinite(np.sum(scores)):
            return NOWHERE, OUTPUT
        state[_BID + side] = _price(n, scores, side, spread, seen)
    own = Quote(seen.mid_price - state[_BID], state[_ASK] - seen.mid_price, 1.0, 1.0)
    wanted = _adapt_quote(Adapter(n[0], n[1], n[2], n[3], n[4]), own, seen)
    if np.isinf(wanted.half_spread_bid) or np.isinf(wanted.half_spread_ask):
        return NOWHERE, OUTPUT
    return wanted, NO_FAULT


def _checked(parts: BookSides) -> BookSides:
    """Refuse arrays that do not fit together: compiled code would read beyond them."""
    network = same_type(parts.network, NO_NETWORK)
    require_network(network, "book")
    refuse_nan(network)
    arrays = {name: np.array(parts.arrays[name], np.float64, order="C") for name in ARRAYS}
    require(1 <= len(arrays["offsets"]) <= PRICES, "offsets", f"name 1 to {PRICES} prices", arrays["offsets"])
    for name, shape in shapes_of(len(arrays["offsets"])).items():
        require_shape(name, arrays[name], shape)
        if not np.all(np.isfinite(arrays[name])):
            raise UsageError(f"`{name}` must be finite numbers; received others. Train the policy again.")
    return BookSides(network, arrays, int(parts.limit))


def _packed(parts: BookSides, adapter: Adapter) -> Packed:
    packed, arrays = pack(parts.network, NO_REGIME, adapter), parts.arrays
    offsets = np.zeros(PRICES)
    offsets[: len(arrays["offsets"])] = arrays["offsets"]
    sizes = [float(len(arrays["offsets"])), float(parts.limit)]
    own = [sizes, arrays["quoted"], arrays["centre"], arrays["scale"], offsets]
    return packed._replace(numbers=np.concatenate([packed.numbers, *own]))


def _memory(parts: BookSides, packed: Packed, seed: int) -> Memory:
    room = room_at.py_func(places_in(packed.numbers)) + _FEATURES
    room += -room % HALF_TILE  # so that both sides' vectors begin alike
    execute = parts.network.execute
    memory = remember(seed, [math.nan, math.nan], _SIGNALS + _FEATURES, execute, 2 * room)
    return memory._replace(chunk=np.zeros((2 * execute, len(CHOICES))))


def _book_flow() -> Kind:
    """Return the one kind of this file, as another process finds it."""
    return BOOK_FLOW


BOOK_FLOW = Kind(
    name="book_flow",
    decide=Decide("book_flow", lambda: _numpy_rules(_quote)),
    checked=_checked,
    pack=_packed,
    memory=_memory,
    again=(_book_flow, ()),
    sees_book=True,
)
