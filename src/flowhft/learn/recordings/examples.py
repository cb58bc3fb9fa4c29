"""Examples: what a maker saw at its decisions, and what became of every order it could have sent."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from flowhft.features.scales import Scales


class Examples(NamedTuple):
    """Decisions of one recording, in their order.

    Attributes:
        name: of the recording.
        time_ns: of each decision, local clock, shape (step,).
        mid_price: then, as it was known, ticks, likewise.
        signals: as they are observed, shape (step, signal).
        placed: whether an order could be sent, shape (step, side, offset); bids first.
        filled: whether it was filled in time, likewise.
        edge: of its fill, ticks a lot; NaN where there was none.
        scales: of its market, as these decisions show it.
    """

    name: str
    time_ns: Int[np.ndarray, " step"]
    mid_price: Float[np.ndarray, " step"]
    signals: Float[np.ndarray, "step signal"]
    placed: Bool[np.ndarray, "step side offset"]
    filled: Bool[np.ndarray, "step side offset"]
    edge: Float[np.ndarray, "step side offset"]
    scales: Scales

    def between(self, start_ns: int | None, end_ns: int | None) -> "Examples":
        """Return the decisions of [start, end); None for its beginning or end."""
        start = 0 if start_ns is None else int(np.searchsorted(self.time_ns, start_ns))
        end = len(self.time_ns) if end_ns is None else int(np.searchsorted(self.time_ns, end_ns))
        return self.rows(slice(start, end))

    def rows(self, rows: slice | np.ndarray) -> "Examples":
        """Return some of the decisions."""
        return self._replace(
            time_ns=self.time_ns[rows],
            mid_price=self.mid_price[rows],
            signals=self.signals[rows],
            placed=self.placed[rows],
            filled=self.filled[rows],
            edge=self.edge[rows],
        )
