"""A maker that sees the order book, as data: heads for every price, and what a position is worth.

At each decision, for each side: of the prices at some ticks inside, at and behind its own best, the one with
the largest

    P(fill | x) (edge(x) - cost + V(q +- 1) - V(q))

is quoted, and none where that is not positive. x is the book as the side sees it, an ask its mirror image.
The score of the price at which an order of ours stands already counts more: moving costs its place in the
queue.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float

from flowhft.errors import UsageError, require
from flowhft.features.book import MIRROR, NAMES, SIGN
from flowhft.features.scales import FURTHEST, Scales
from flowhft.policies.header import number
from flowhft.policies.policy import Policy
from flowhft.scenarios.scenario import Scenario
from flowhft.types import Observation, Quote

ARRAYS = ("offsets", "centre", "scale", "fill", "edge", "value", "quoted")


@dataclass(frozen=True, eq=False)
class BookMaker:
    """A maker with heads.

    Attributes:
        arrays: float64: `offsets` (offset,), ticks by which an order betters the best price of its side;
            `centre` and `scale` (signal,), which make signals standard; `fill` and `edge` (offset, 1 +
            signal), intercept and weights of the logit of a fill and of its edge; `value` (2 limit + 1,), of
            holding so many orders; `quoted` (2,), 1 for a side that is quoted, 0 for one that only takes
            back a position.
        unit: of edges and values, ticks.
        cost: of a fill, ticks.
        kept: what the score of a price counts at which an order stands.
        like: of a maker for any market like those that it learned in, how wide their spreads were
            (`flowhft.features.scales.Scales.width`): it takes scales and costs from the market that it is in.
            Empty for one that was made for one market, whose scales it keeps.
    """

    arrays: Mapping[str, Float[np.ndarray, "..."]]
    unit: float
    cost: float = 0.0
    kept: float = 2.0
    like: tuple[float, ...] = ()
    kind: ClassVar[str] = "book"
    family: ClassVar[str] = "learned"
    draws: ClassVar[bool] = False
    needs_scenario: ClassVar[bool] = False
    number: ClassVar[type] = np.float64

    def __post_init__(self) -> None:
        require(0.0 < self.unit < math.inf, "unit", "be positive, ticks", self.unit)
        require(math.isfinite(self.cost), "cost", "be finite, ticks", self.cost)
        require(1.0 <= self.kept < math.inf, "kept", "be 1 or more", self.kept)
        require(bool((self.arrays["scale"] > 0.0).all()), "scale", "be positive", "0 or less")
        value = self.arrays["value"]
        require(
            len(value) % 2 == 1 and len(value) >= 3, "value", "be of -Q to Q orders", f"{len(value)} values"
        )

    @property
    def limit(self) -> int:
        """Return the most that it holds, orders."""
        return len(self.arrays["value"]) // 2

    def in_market(self, scenario: Scenario | None) -> Policy:
        """Return it as it quotes in a scenario: as everywhere, or at its fee where it is for any market."""
        if scenario is None or not self.like:
            return Policy(self)
        return Policy(self.costing(float(scenario.estimates().fill_cost)))

    def in_scales(self, scales: Scales) -> "BookMaker":
        """Return it in a market of these scales; one that was made for one market keeps its own."""
        if not self.like:
            return self
        arrays = {**self.arrays, "centre": scales.centre, "scale": scales.scale}
        return replace(self, arrays=arrays, unit=scales.unit)

    def unlike(self, scales: Scales) -> float:
        """Return how far spreads are from those of the nearest market that it learned in, as logarithms."""
        return min((abs(width - scales.width) for width in self.like), default=math.inf)

    def costing(self, cost: float) -> "BookMaker":
        """Return the same maker where a fill costs so much, ticks; its values stay."""
        return replace(self, cost=cost)

    def to_file(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Return what the header of a file says of it, and its arrays."""
        header = {
            "signals": list(NAMES),
            "unit": self.unit,
            "cost": self.cost,
            "kept": self.kept,
            "like": list(self.like),
            "offsets": len(self.arrays["offsets"]),
            "limit": self.limit,
        }
        return header, dict(self.arrays)

    @classmethod
    def shapes(cls, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> dict[str, tuple]:
        """Return the name and shape of every array that a file with this header holds."""
        known = list(header["signals"])
        if known != list(NAMES):
            changed = sorted({*map(str, known)} ^ {*NAMES}) or ["another order"]
            raise UsageError(
                f"signals of the book must be those of this version of flowhft; received others: "
                f"{', '.join(changed)}. Train it again, or use the version that trained it."
            )
        return shapes_of(int(header["offsets"]), int(header["limit"]))

    @classmethod
    def from_file(cls, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> "BookMaker":
        """Return it from the header and the arrays of a file."""
        unit, cost, kept = (number(header[name], name) for name in ("unit", "cost", "kept"))
        like = tuple(number(width, "like") for width in header.get("like", ()))
        return cls({name: np.asarray(arrays[name], np.float64) for name in ARRAYS}, unit, cost, kept, like)


def shapes_of(offsets: int, limit: int) -> dict[str, tuple]:
    """Return the shape of every array of a maker.

    Args:
        offsets: number of prices a side.
        limit: most that it holds, orders.
    """
    signals, heads = len(NAMES), (offsets, 1 + len(NAMES))
    shapes = ((offsets,), (signals,), (signals,), heads, heads, (2 * limit + 1,), (2,))
    return dict(zip(ARRAYS, shapes, strict=True))


def decide(maker: BookMaker, standing: tuple[float, float], seen: Observation) -> tuple[Quote, tuple]:
    """Return the quote for an observation, and where orders of ours will stand: slow, in plain numpy.

    Args:
        maker: it.
        standing: prices at which a bid and an ask of ours stand, ticks as `mid_price`; NaN for none.
        seen: with a book.
    """
    arrays = maker.arrays
    book = np.asarray(seen.book, np.float64)
    spread = round(math.exp(book[NAMES.index("log_spread")])) if np.isfinite(book).any() else 0
    values = np.nan_to_num((book - arrays["centre"]) / arrays["scale"], nan=0.0)
    values = np.clip(values, -FURTHEST, FURTHEST)
    sides = []
    for side, step in enumerate((1, -1)):
        x = values if side == 0 else SIGN * values[MIRROR]
        worth = _value_at(arrays["value"], seen.inventory + step) - _value_at(arrays["value"], seen.inventory)
        inside = -maker.limit <= seen.inventory + step <= maker.limit
        best, chosen = 0.0, math.nan
        if inside and (arrays["quoted"][side] > 0.0 or seen.inventory * step < 0.0):
            for k, offset in enumerate(arrays["offsets"]):
                if offset >= spread:
                    continue
                price = seen.mid_price + step * (offset - 0.5 * spread)
                chance = 1.0 / (1.0 + math.exp(-(arrays["fill"][k, 1:] @ x + arrays["fill"][k, 0])))
                gain = maker.unit * (arrays["edge"][k, 1:] @ x + arrays["edge"][k, 0]) - maker.cost
                score = chance * (gain + maker.unit * worth)
                if price == standing[side]:
                    score *= maker.kept
                if score > best:
                    best, chosen = score, price
        sides.append(chosen)
    bid, ask = sides
    return Quote(seen.mid_price - bid, ask - seen.mid_price), (bid, ask)


def _value_at(value: Float[np.ndarray, " position"], position: float) -> float:
    """Return what a position is worth, between whole numbers of orders on a line."""
    limit = len(value) // 2
    return float(np.interp(position, np.arange(-limit, limit + 1), value))
