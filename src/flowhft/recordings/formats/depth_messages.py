"""Which rows of a feed's depth are one message: those that arrived together, and the parts of a snapshot."""

import numpy as np
import polars as pl
from jaxtyping import Int

from flowhft.recordings.snapshots import SnapshotBorders

Rows = Int[np.ndarray, " row"]


class DepthMessages:
    """Numbers the messages of depth, chunk by chunk.

    Rows of one local time are one message, made when the last of them was; where the local clock counts
    whole seconds, rows of one local and one exchange time are. A snapshot may come in parts of several times.

    Args:
        by_both: whether it takes both clocks to tell messages apart.
    """

    def __init__(self, by_both: bool) -> None:
        self._by_both = by_both
        self._borders = SnapshotBorders()
        self._in_snapshot = False
        self._number = -1

    def begin_again(self) -> None:
        """Rows were left out: what follows belongs to no message before."""
        self._borders.end()
        self._in_snapshot, self._number = False, -1

    def take(self, held: pl.DataFrame) -> tuple[Rows, Rows]:
        """Return of each row the number of its message, that of its first row, and when it was made, ns.

        Args:
            held: columns number, snapshot, side, price, local_ns, exchange_ns; one row or more, all that are
                of the last local time.
        """
        shown = held["snapshot"].to_numpy() == 1
        local, exchange = held["local_ns"].to_numpy(), held["exchange_ns"].to_numpy()
        turns, later = shown[1:] != shown[:-1], local[1:] != local[:-1]
        apart = later | (exchange[1:] != exchange[:-1])
        begins = np.ones(held.height, bool)
        begins[1:] = turns | np.where(shown[1:] | self._by_both, apart, later)
        begins[0] = True
        if shown.any():
            arrived = np.append(True, later)
            self._join_parts(held, shown, begins, arrived)
        else:
            self._borders.end()
        number = held["number"].to_numpy()
        message = np.maximum.accumulate(np.where(begins, number, self._number))
        self._in_snapshot, self._number = bool(shown[-1]), int(message[-1])
        starts = np.flatnonzero(begins)
        made = np.maximum.reduceat(exchange, starts) if len(starts) else exchange[:0]
        of = np.cumsum(begins) - 1
        return message, np.where(shown | (of < 0), exchange, made[of] if len(made) else exchange)

    def _join_parts(
        self, held: pl.DataFrame, shown: np.ndarray, begins: np.ndarray, arrived: np.ndarray
    ) -> None:
        """Let the parts of a snapshot that do not begin another one go on with it."""
        side, price = held["side"].to_numpy(), held["price"].to_numpy()
        starts = np.flatnonzero(begins)
        for start, stop in zip(starts, np.append(starts[1:], held.height), strict=True):
            if not shown[start]:
                self._borders.end()
                continue
            goes_on = shown[start - 1] if start else self._in_snapshot
            if not goes_on:
                self._borders.end()
            new = self._borders.begins(side[start:stop], price[start:stop], bool(arrived[start]))
            begins[start] = new or not goes_on
