"""The grid that decimal numbers lie on: the tick of prices, the lot of quantities, where nobody says them."""

from pathlib import Path

import numpy as np
import polars as pl

from flowhft.errors import RecordingError
from flowhft.recordings.described import Guess

MOST_DECIMALS = 15
NOISE = 1e-12  # of a value: what floating point may have added to it, as in 59999.800000001
SAMPLE = (
    100_000  # values from the beginning that are looked at: nothing is guessed from what comes much later
)
FEWEST = 100  # different values that make a grid coarser than their last decimal believable
ENOUGH = 1_000  # different values of the book that need no more: what comes later decides nothing
AT_ONCE = 500  # values that are looked at before it is asked whether there are enough


class Grid:
    """Collects values from the beginning of a recording: those of its book, and others until there are any.

    A trade may be printed off the grid; the book says what the grid is, where it holds a hundred values.

    Args:
        what: they are, for messages: "price".
    """

    def __init__(self, what: str) -> None:
        self.what = what
        self._left = SAMPLE
        self._book: np.ndarray = np.empty(0)
        self._others: np.ndarray = np.empty(0)

    def feed(self, values: pl.Series, of_book: bool = True) -> None:
        """Take the next values, decimal text or numbers; what is no number is left out.

        Args:
            values: in the order of their time.
            of_book: whether they are levels of the book or best prices, and no trades.
        """
        if self._left <= 0:
            return
        result = values.head(self._left).cast(pl.Float64, strict=False).drop_nulls().to_numpy()
        self._left -= len(values)
        result = np.abs(result[np.isfinite(result)])
        if not of_book:
            self._others = np.unique(np.concatenate([self._others, result]))
        for first in range(0, len(result) if of_book else 0, AT_ONCE):
            if len(self._book) >= ENOUGH:
                break
            self._book = np.unique(np.concatenate([self._book, result[first : first + AT_ONCE]]))

    def unit(self, path: Path) -> Guess:
        """Return the largest unit that all values are multiples of, up to the noise of floating point.

        The last decimal of any value, told by the values and not by their text, so that 0.30000000000000004
        has one; or a coarser grid, where a hundred different values or more lie on it.

        Args:
            path: the file, for messages.

        Raises:
            RecordingError: they have more than 15 decimals.
        """
        values = self._book
        if len(values) < FEWEST:
            values = np.unique(np.concatenate([values, self._others]))
        for decimals in range(MOST_DECIMALS + 1):
            units = values * 10.0**decimals
            nearest = np.round(units)
            if np.all(np.abs(units - nearest) <= NOISE * units):
                break
        else:
            raise RecordingError(
                f"a {self.what} must have at most {MOST_DECIMALS} decimals; one has more.", path
            )
        whole = nearest[(nearest >= 1.0) & (nearest < 2.0**62)].astype(np.int64)
        step = int(np.gcd.reduce(whole)) if len(whole) >= FEWEST else 1
        how = "a grid" if step > 1 else "the last decimals"
        return Guess(step / 10**decimals, f"{how} of the first {self.what} values")
