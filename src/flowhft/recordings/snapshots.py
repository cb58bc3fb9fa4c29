"""Where one snapshot of a book ends and the next begins, in rows that say only that they are of one."""

import numpy as np
from jaxtyping import Int

from flowhft.recordings.ticks import BUY, SELL

UNORDERED = 0  # the listing of a side that does not go one way


class SnapshotBorders:
    """Tells snapshots that follow one another without a change between them apart.

    A snapshot may arrive in parts. A part is of another snapshot where a price comes again, where the listing
    of a side goes back, where a side begins again closer to the mid, or where both together would be crossed.
    """

    def __init__(self) -> None:
        self.end()

    def end(self) -> None:
        """A change has come: what follows is another snapshot."""
        self._prices: dict[int, set[int]] = {BUY: set(), SELL: set()}
        self._way: dict[int, int | None] = {BUY: None, SELL: None}  # +1 rising, -1 falling, `UNORDERED`
        self._latest = {BUY: 0, SELL: 0}
        self._left: set[int] = set()  # sides behind which the other one came
        self._side = 0

    def begins(self, side: Int[np.ndarray, " level"], price: Int[np.ndarray, " level"], later: bool) -> bool:
        """Take the next part and return whether it begins another snapshot.

        Args:
            side: of its levels.
            price: of its levels, ticks.
            later: whether it arrived later than the part before; else only a price that comes again tells.
        """
        new = any(self._comes_again(one, price[side == one], later) for one in (BUY, SELL))
        if new:
            self.end()
        for one in (BUY, SELL):
            self._take(one, price[side == one])
        turns = side[np.flatnonzero(np.diff(side, prepend=self._side))].tolist()
        for one in turns:
            if self._side:
                self._left.add(self._side)
            self._side = one
        return new

    def _comes_again(self, one: int, price: np.ndarray, later: bool) -> bool:
        held, other = self._prices[one], self._prices[-one]
        if not len(price):
            return False
        if later and other and (price.max() >= min(other) if one == BUY else price.min() <= max(other)):
            return True
        if not held or not later:
            return not held.isdisjoint(price.tolist())
        if not held.isdisjoint(price.tolist()):
            return True
        way = self._way[one]
        if way is not None and UNORDERED not in self._way.values():
            return way * (int(price[0]) - self._latest[one]) < 0
        furthest = max(-one * level for level in held)
        return one in self._left and bool(np.any(-one * price <= furthest))

    def _take(self, one: int, price: np.ndarray) -> None:
        if not len(price):
            return
        listed = price if not self._prices[one] else np.concatenate([[self._latest[one]], price])
        for way in np.unique(np.sign(np.diff(listed))).tolist():
            self._way[one] = way if self._way[one] in (None, way) else UNORDERED
        self._prices[one].update(price.tolist())
        self._latest[one] = int(price[-1])
