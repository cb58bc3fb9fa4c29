"""A flow policy that sees the order book, as data: one network that serves both sides.

For each side it draws a chunk of choices, step by step a score for every price and one for not quoting, from
the book as that side sees it (`flowhft.features.book_side`). At each step the largest score counts; a price
that would reach the other side's best one is left out. A side stays out where its order would lead beyond
the limit, and where the teacher's gate closed it: then it only takes a position back.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple

import numpy as np
from jaxtyping import Float

from flowhft.errors import require
from flowhft.features.book import NAMES
from flowhft.features.book_side import NONE, PRICES, SIDE, choose, place_of, see_side, standardise_book
from flowhft.policies.flow import Flow
from flowhft.policies.header import number
from flowhft.policies.plain import sample, standardise
from flowhft.policies.policy import Policy
from flowhft.scenarios.scenario import Scenario
from flowhft.types import Observation, Quote

ARRAYS = ("offsets", "centre", "scale", "quoted")
_SPREAD = NAMES.index("log_spread")


@dataclass(frozen=True, eq=False)
class BookFlow:
    """A flow on either side of the book.

    Attributes:
        flow: what draws a side's chunk of choices: features and answers of kind `book`.
        arrays: float32: `offsets` (price,), ticks by which an order betters the best price of its side;
            `centre` and `scale` (signal,), which make signals standard; `quoted` (2,), 1 for a side that is
            quoted, 0 for one that only takes back a position.
        limit: most that it holds, orders.
    """

    flow: Flow
    arrays: Mapping[str, Float[np.ndarray, "..."]]
    limit: int
    kind: ClassVar[str] = "book_flow"
    family: ClassVar[str] = "learned"
    needs_scenario: ClassVar[bool] = False
    number: ClassVar[type] = np.float32

    def __post_init__(self) -> None:
        require(self.flow.settings.features == "book", "features", "be book", self.flow.settings.features)
        count = len(self.arrays["offsets"])
        require(1 <= count <= PRICES, "offsets", f"name 1 to {PRICES} prices", count)
        require(bool((self.arrays["scale"] > 0.0).all()), "scale", "be positive", "0 or less")
        require(self.limit >= 1, "limit", "be 1 order or more", self.limit)

    @property
    def draws(self) -> bool:
        """Whether its quotes are drawn with chance."""
        return self.flow.draws

    def with_flow(self, flow: Flow) -> "BookFlow":
        """Return it with its chunks drawn by another flow."""
        return replace(self, flow=flow)

    def in_market(self, scenario: Scenario | None) -> Policy:
        """Return it as it quotes in a scenario: as everywhere."""
        return Policy(self)

    def to_file(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Return what the header of a file says of it, and its arrays."""
        header, arrays = self.flow.to_file()
        own = {name: np.asarray(self.arrays[name], np.float32) for name in ARRAYS}
        return header | {"prices": len(own["offsets"]), "limit": self.limit}, arrays | own

    @classmethod
    def shapes(cls, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> dict[str, tuple]:
        """Return the name and shape of every array that a file with this header holds."""
        return Flow.shapes(header, arrays) | shapes_of(int(header["prices"]))

    @classmethod
    def from_file(cls, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> "BookFlow":
        """Return it from the header and the arrays of a file, whose shapes were checked."""
        limit = number(header["limit"], "limit")
        require(limit == int(limit), "limit", "be a whole number", limit)
        own = {name: np.asarray(arrays[name], np.float64) for name in ARRAYS}
        return cls(Flow.from_file(header, arrays), own, int(limit))


def shapes_of(prices: int) -> dict[str, tuple]:
    """Return the shape of every array beside the network's.

    Args:
        prices: that a side may be quoted at.
    """
    signals = (len(NAMES),)
    return dict(zip(ARRAYS, ((prices,), signals, signals, (2,)), strict=True))


class SidesMemory(NamedTuple):
    """What it remembers between two decisions of one session.

    Attributes:
        standing: prices at which bid and ask were quoted last, ticks as `mid_price`; NaN for none.
        scores: of the chunks that are being quoted, shape (side, horizon, choice).
        cursor: steps of them that were quoted.
    """

    standing: tuple[float, float]
    scores: Float[np.ndarray, "side horizon choice"]
    cursor: int


def remember_nothing(core: BookFlow) -> SidesMemory:
    """Return the memory of a session that has just begun."""
    settings = core.flow.settings
    scores = np.zeros((2, settings.horizon, len(settings.answers)), np.float32)
    return SidesMemory((math.nan, math.nan), scores, core.flow.sampler.execute)


def decide(core: BookFlow, memory: SidesMemory, seen: Observation) -> tuple[Quote, SidesMemory]:
    """Return the quote for an observation, and the memory for the next one: slow, in plain numpy.

    Args:
        core: it, drawing no chance.
        memory: from `remember_nothing` or the decision before.
        seen: with a book.
    """
    flow, arrays, execute = core.flow, core.arrays, core.flow.sampler.execute
    offsets, prices = arrays["offsets"], len(arrays["offsets"])
    book = np.asarray(seen.book, np.float64)
    if not math.isfinite(book[_SPREAD]):  # nothing is known of the book yet
        nothing = (math.nan, math.nan)
        return Quote(*nothing), memory._replace(standing=nothing, cursor=execute)
    spread = round(math.exp(book[_SPREAD]))
    scores, cursor = memory.scores, memory.cursor
    if cursor >= execute:
        standard, sees = np.zeros(len(NAMES)), np.zeros(len(SIDE))
        standardise_book(book, arrays["centre"], arrays["scale"], standard)
        drawn = []
        for side, step in enumerate((1, -1)):
            offset = step * (memory.standing[side] - seen.mid_price) + 0.5 * spread
            place = place_of(offsets, prices, offset)
            see_side(standard, side, seen.inventory / core.limit, arrays["quoted"], place, sees)
            scales, warm = flow.normaliser, flow.sampler.warm_start
            known = memory.scores[side]
            moved = np.concatenate([known[cursor:], np.repeat(known[-1:], cursor, axis=0)])[: len(known)]
            at = standardise(sees, scales["feature_mean"], scales["feature_std"])
            x = (warm * moved).ravel().astype(np.float32)
            drawn.append(sample(flow.weights, at, x, flow.plan, known.shape[1]))
        scores, cursor = np.array(drawn), 0
    standing = []
    for side, step in enumerate((1, -1)):
        after = seen.inventory + step
        place = NONE
        if -core.limit <= after <= core.limit and (
            arrays["quoted"][side] > 0.0 or seen.inventory * step < 0.0
        ):
            answer = scores[side, cursor] * flow.normaliser["action_scale"] + flow.normaliser["action_mean"]
            place = choose(answer, offsets, prices, spread)
        offset = offsets[place] if place != NONE else math.nan
        standing.append(seen.mid_price + step * (offset - 0.5 * spread))
    bid, ask = standing
    quote = Quote(seen.mid_price - bid, ask - seen.mid_price)
    return quote, SidesMemory((bid, ask), scores, cursor + 1)
