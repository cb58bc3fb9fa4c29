"""Finds the message after which a book that is rebuilt from depth stands crossed."""

from pathlib import Path

import numpy as np
import polars as pl

from flowhft.recordings.book import standing_book, top_of_every_message
from flowhft.recordings.checks.rules import Check, Keeper
from flowhft.recordings.ticks import EVENT, Finding

CROSSED = (
    Check(
        "price", "not cross the book: best bid below best ask after each message", pl.col("crossed"), "cut"
    ),
)


class Uncrossed:
    """Holds depth, chunk by chunk, to a book whose best bid stays below its best ask.

    Args:
        path: the file, for messages.
        repair: end the depth before the message that crosses the book instead of raising.
        book: what stands before the first chunk, dtype `EVENT`.
    """

    def __init__(self, path: Path, repair: bool, book: np.ndarray | None = None) -> None:
        self._keeper = Keeper(CROSSED, path, repair)
        self._opening = np.empty(0, EVENT) if book is None else book
        self._events: np.ndarray | None = None  # of the chunk before, from the book that it began with

    @property
    def ended(self) -> bool:
        """Whether a repair has ended the depth."""
        return self._keeper.ended

    def hold(self, table: pl.DataFrame, events: np.ndarray) -> pl.DataFrame:
        """Return the rows of a chunk that leave the book uncrossed.

        Args:
            table: with the column `ROW`; whole messages.
            events: one a row of it, dtype `EVENT`.

        Raises:
            RecordingError: the book is crossed and repair is off.
        """
        book = self._opening if self._events is None else standing_book(self._events)
        self._events = np.concatenate([book, events])
        top = top_of_every_message(self._events)
        since = min(len(book), 1)  # the first message is the book before
        wrong = top.message[since:][top.market_spread[since:] <= 0]
        flagged = table.with_columns(pl.Series("crossed", np.isin(events["message"], wrong)))
        return self._keeper.hold(flagged)

    def findings(self) -> list[Finding]:
        """Return what a repair did."""
        return self._keeper.findings()
