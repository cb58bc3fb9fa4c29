"""Cuts a stream of Binance's depth messages into stretches none of which has lost a message.

A receiver that loses messages (its connection broke) asks for the order book again and goes on from there.
What lies between two such breaks is a session of its own, if there is a snapshot that it can begin with.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from flowhft.recordings.checks.validate import CHAINS
from flowhft.recordings.files import ROW


@dataclass
class Stretch:
    """Depth messages that follow one another.

    Attributes:
        row: the first line after the last depth message before it.
        begin: the line of its first message.
        link: what its first message names as the one before it.
        missed: what it should have named; None for the first stretch.
        last: the line of its last message.
        final: `final_id` of its last message.
        messages: how many.
    """

    row: int
    begin: int
    link: int
    missed: int | None
    last: int
    final: int
    messages: int = 0


class Stretches:
    """Follows depth messages by the chain of their numbers.

    Attributes:
        all: the stretches so far.
        snapshots: line and `lastUpdateId` of every snapshot so far.
    """

    def __init__(self) -> None:
        self.all: list[Stretch] = []
        self.snapshots: list[tuple[int, int]] = []
        self._empty: dict[str, int] | None = None  # what the first of some messages without a level names

    def follow(self, market: str, messages: pl.DataFrame, levels_of: pl.Series) -> pl.DataFrame:
        """Take the next messages.

        A message that changes no level makes no row of a table: the one after it takes over what it names as
        the one before, so that the chain of the rows is the chain of the messages.

        Args:
            market: a key of `CHAINS`.
            messages: columns `ROW`, first_id, final_id, prev_id and others.
            levels_of: the numbers of the messages that their levels are of.

        Returns:
            The messages, with what they take over.
        """
        ahead, column = CHAINS[market].ahead, CHAINS[market].column
        some = np.bincount(levels_of.to_numpy(), minlength=messages.height) > 0
        names = {name: messages[name].to_list() for name in ("first_id", "prev_id")}
        links, finals = messages[column].to_list(), messages["final_id"].to_list()
        for n, row in enumerate(messages[ROW].to_list()):
            link, final = links[n], finals[n]
            if not self.all:
                self.all.append(Stretch(0, row, link, None, row, final))
            here = self.all[-1]
            if final > here.final and link != here.final + ahead:
                here = Stretch(here.last + 1, row, link, here.final + ahead, row, final)
                self.all.append(here)
                self._empty = None
            if final >= here.final:
                here.final, here.last, here.messages = final, row, here.messages + 1
            fields = {name: values[n] for name, values in names.items()}
            if not some[n]:
                self._empty = self._empty or fields
            elif self._empty is not None:
                for name, value in self._empty.items():
                    names[name][n] = value
                self._empty = None
        return messages.with_columns(pl.Series(name, values, pl.Int64) for name, values in names.items())

    def opening(self, number: int, market: str) -> tuple[int, int] | None:
        """Return line and `lastUpdateId` of the first snapshot that a stretch can begin with, if any."""
        here, ahead = self.all[number], CHAINS[market].ahead
        fits = (
            (row, known) for row, known in self._within(number) if here.link <= known + ahead <= here.final
        )
        return next(fits, None)

    def _within(self, number: int) -> list[tuple[int, int]]:
        end = self.all[number + 1].row if number + 1 < len(self.all) else float("inf")
        return [one for one in self.snapshots if self.all[number].row <= one[0] < end]

    def end(self, number: int) -> int:
        """Return the first line that no longer belongs to a stretch."""
        return self.all[number + 1].row if number + 1 < len(self.all) else 2**62
