"""Finds the message after which a book that is rebuilt from depth stands crossed, and what it contradicts."""

from pathlib import Path

import numpy as np
import polars as pl
from numba import njit

from flowhft.errors import RecordingError
from flowhft.recordings.book import (
    clears_book,
    ends_message,
    rank_levels,
    standing_book,
    top_of_every_message,
)
from flowhft.recordings.checks.rules import FORMAT_ROWS, FORMAT_SHARE, Check, Keeper
from flowhft.recordings.files import ROW
from flowhft.recordings.ticks import BUY, EVENT, SELL, SNAPSHOT, Finding

CROSSED = (
    Check(
        "price",
        "not cross the book: best bid below best ask after each message",
        pl.col("crossed"),
        "contradict",
    ),
)
MOST_STALE = 10  # levels that one message may contradict: beyond it the message is what is wrong


@njit(cache=True)
def _contradicted(clears, snapshot, side, level, quantity, ends, levels, most, touching, out):  # type: ignore[no-untyped-def]
    """Follow a book; where it stands crossed, take the older of the two best levels as gone.

    `out` is room for (event, side, level). Returns how many were taken, and the first event of the message
    that cannot be mended so, or how many events there are.
    """
    held = np.zeros((2, levels), np.int64)  # asks, bids
    since = np.zeros((2, levels), np.int64)
    standing = np.zeros(2, np.int64)
    best_bid, best_ask, count, begin = -1, levels, 0, 0
    for event in range(len(level)):
        if clears[event]:
            held[:] = 0
            standing[:] = 0
            best_bid, best_ask = -1, levels
        own, here = (1 if side[event] > 0 else 0), level[event]
        standing[own] += int(quantity[event] > 0) - int(held[own, here] > 0)
        held[own, here] = quantity[event]
        since[own, here] = event
        if quantity[event] > 0:
            if own == 1:
                best_bid = max(best_bid, here)
            else:
                best_ask = min(best_ask, here)
        if not ends[event]:
            continue
        before = count
        while True:
            while best_bid >= 0 and held[1, best_bid] == 0:
                best_bid -= 1
            while best_ask < levels and held[0, best_ask] == 0:
                best_ask += 1
            if best_bid < 0 or best_ask >= levels or best_bid < best_ask:
                break
            older = 1 if since[1, best_bid] < since[0, best_ask] else 0
            gone = best_bid if older == 1 else best_ask
            wide = touching and best_bid > best_ask
            full = count - before == most or count == len(out)
            if snapshot[event] or wide or full or standing[older] == 1:
                return before, begin
            out[count, 0], out[count, 1], out[count, 2] = event, older, gone
            held[older, gone] = 0
            standing[older] -= 1
            count += 1
        begin = event + 1
    return count, len(level)


class Uncrossed:
    """Holds depth, chunk by chunk, to a book whose best bid stays below its best ask.

    With repair a level that a newer one of the other side contradicts is taken as gone, a few of them a
    message: its removal is late, or lost. The depth ends before a message that contradicts more, or all of a
    side, and before a crossed snapshot.

    Args:
        path: the file, for messages.
        repair: do so instead of raising.
        quantity: the column of quantities.
        book: what stands before the first chunk, dtype `EVENT`.
        chained: messages are linked, so that no removal can be lost: only a level at the very price of a
            newer one is taken as gone.
    """

    def __init__(
        self,
        path: Path,
        repair: bool,
        quantity: str,
        book: np.ndarray | None = None,
        chained: bool = False,
    ) -> None:
        self._keeper = Keeper(CROSSED, path, repair)
        self._path, self._repair, self._quantity, self._chained = path, repair, quantity, chained
        self._opening = np.empty(0, EVENT) if book is None else book
        self._events: np.ndarray | None = None  # of the chunk before, from the book that it began with
        self._messages = self._gone = 0
        self._mended: list[int] = []  # rows of the first messages that contradict a level
        self._count = 0

    def begin_again(self) -> None:
        """Forget the book: a snapshot follows."""
        self._events = self._opening = np.empty(0, EVENT)

    def hold(self, table: pl.DataFrame, events: np.ndarray) -> tuple[pl.DataFrame, np.ndarray, int | None]:
        """Return what leaves the book uncrossed of a chunk, and the row before which the depth ends, if any.

        Levels that are taken as gone are rows and events of quantity 0 at the end of the message that
        contradicts them.

        Args:
            table: with the columns `ROW`, side and price; whole messages.
            events: one a row of it, dtype `EVENT`.

        Raises:
            RecordingError: the book is crossed and repair is off.
        """
        book = self._opening if self._events is None else standing_book(self._events)
        whole = np.concatenate([book, events])
        top = top_of_every_message(whole)
        since = min(len(book), 1)  # the first message is the book before
        self._messages += len(top.message) - since
        crossed = top.market_spread[since:] <= 0
        ended = None
        if crossed.any():
            wrong = np.isin(events["message"], top.message[since:][crossed])
            if not self._repair:
                self._keeper.hold(table.with_columns(pl.Series("crossed", wrong)))  # raises
            table, events, ended = self._mend(table, events, book)
            whole = np.concatenate([book, events])
        self._events = whole
        return table, events, ended

    def _mend(
        self, table: pl.DataFrame, events: np.ndarray, book: np.ndarray
    ) -> tuple[pl.DataFrame, np.ndarray, int | None]:
        whole = np.concatenate([book, events])
        prices, level = rank_levels(whole["price"])
        room: np.ndarray = np.empty((len(whole) + 1, 3), np.int64)
        count, stop = _contradicted(
            clears_book(whole), whole["kind"] == SNAPSHOT, np.ascontiguousarray(whole["side"]), level,
            np.ascontiguousarray(whole["quantity"]), ends_message(whole), len(prices),
            1 if self._chained else MOST_STALE, self._chained, room,
        )  # fmt: skip
        stop = max(stop - len(book), 0)
        ended = stop if stop < len(events) else None
        if ended is not None:
            self._keeper.count(int(table[ROW][stop]))
            table, events = table.head(stop), events[:stop]
        at, gone_side, gone = room[:count].T
        at = at - len(book)
        self._count += count
        rows = np.unique(at)
        self._gone += len(rows)
        if len(rows) and not self._mended:
            self._mended.append(int(table[ROW][int(rows[0])]))
        order = np.argsort(np.concatenate([np.arange(len(events)), at]), kind="stable")
        source = np.concatenate([np.arange(len(events)), at])[order]
        added = order >= len(events)
        which = order[added] - len(events)
        events = events[source].copy()
        table = table[source]
        message = {
            "side": np.where(gone_side[which] == 1, BUY, SELL),
            "price": prices[gone[which]],
            "quantity": np.zeros(len(which), np.int64),
        }
        columns = []
        for name, values in message.items():
            column = self._quantity if name == "quantity" else name
            events[name][added] = values
            changed = table[column].to_numpy().copy()
            changed[added] = values
            columns.append(pl.Series(column, changed))
        return table.with_columns(columns), events, ended

    def findings(self) -> list[Finding]:
        """Return what a repair did.

        Raises:
            RecordingError: so many messages contradict the book that rows cannot be at fault.
        """
        if self._gone >= FORMAT_ROWS and self._gone > FORMAT_SHARE * self._messages:
            raise RecordingError(
                f"`price` must {CROSSED[0].must}; {self._gone:,} of {self._messages:,} messages break it "
                f"(the first at row {self._mended[0]:,}): it is the format, not the rows. Its sides may be "
                "named the wrong way round, or what makes a message is another: convert or declare it again.",
                self._path,
            )
        result = self._keeper.findings()
        if self._gone:
            result.insert(
                0,
                Finding(
                    "warning",
                    f"`{self._path.name}`: took {self._count:,} levels as gone that newer ones of the other "
                    f"side contradict, after {self._gone:,} messages (the first at row "
                    f"{self._mended[0]:,}); `price` must {CROSSED[0].must}.",
                ),
            )
        return result
