"""When the venue made best prices that carry no time, as those of Binance's spot market.

They carry an update number u. The depth message with the first final number of u or more holds the update,
and was made no earlier; the one before it does not, and was made no later. In between it is the arrival less
what the other messages usually take.
"""

import numpy as np
import polars as pl
from jaxtyping import Int

Numbers = Int[np.ndarray, " top"]


class UpdateTimes:
    """Remembers the final number and the time of every depth message, two numbers a message."""

    def __init__(self) -> None:
        self._parts: list[tuple[np.ndarray, np.ndarray]] = []

    def feed(self, final_id: pl.Series, told_ns: np.ndarray) -> None:
        """Take the next depth, in the order of its numbers.

        Args:
            final_id: of each row; rows of one number are one message.
            told_ns: when the venue made it; 0 where it does not say so.
        """
        number = final_id.to_numpy()
        last = np.append(number[1:] != number[:-1], len(number) > 0)[: len(number)] & (told_ns > 0)
        self._parts.append((number[last], told_ns[last]))

    def placed(self, update_id: Numbers, guessed_ns: Numbers) -> Numbers:
        """Return guessed times, moved to between those of the depth messages around each update.

        Args:
            update_id: of best prices, in the order of their arrival.
            guessed_ns: when the venue may have made them.
        """
        if not self._parts:
            return guessed_ns
        number, shown = (np.concatenate(part) for part in zip(*self._parts, strict=True))
        if not len(number):
            return guessed_ns
        shown = np.maximum.accumulate(shown)
        after = np.searchsorted(number, update_id)
        latest = np.append(shown, 2**62)[after]
        earliest = np.concatenate([[-(2**62)], shown])[after]
        return np.clip(guessed_ns, earliest, latest)
