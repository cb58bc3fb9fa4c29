"""Fills by hidden executions: trades inside the spread, which no displayed order explains.

They are told from the venue's book and trades alone, whoever the venue of the replay was. A hidden order, or
one that nobody shows yet, met the market there; ours, which would have been seen, may not have been met.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from flowhft.desk.compiled.compiled import compiled
from flowhft.desk.replay.venue_book import (
    BID,
    CHANGED,
    CLEARED,
    TRADED,
    VenueBook,
    VenueEvents,
    clear_book,
    inside_spread,
    open_book,
    set_lots,
)


class VenueTrades(NamedTuple):
    """Trades at the venue.

    Attributes:
        time_ns: never falling.
        sign: 1 of a buyer's, -1 of a seller's.
        price: ticks.
        hidden: whether it lay inside the spread.
    """

    time_ns: Int[np.ndarray, " trade"]
    sign: Int[np.ndarray, " trade"]
    price: Int[np.ndarray, " trade"]
    hidden: Bool[np.ndarray, " trade"]


@compiled
def _mark(events: VenueEvents, book: VenueBook, hidden: np.ndarray) -> None:
    """Write down of every event whether it is a trade inside the spread."""
    for index in range(len(events.time_ns)):
        kind, level = events.kind[index], events.level[index]
        if kind == CLEARED:
            clear_book(book)
        elif kind == CHANGED:
            set_lots(book, events.side[index], level, events.lots[index])
        else:
            hidden[index] = inside_spread(book, level)


def venue_trades(market: VenueEvents) -> VenueTrades:
    """Return the trades among the events of a venue, and which of them lay inside the spread.

    Args:
        market: from `flowhft.desk.replay.venue_book.venue_events`.
    """
    hidden = np.zeros(len(market.time_ns), bool)
    _mark(market, open_book(len(market.prices)), hidden)
    of = market.kind == TRADED
    return VenueTrades(
        market.time_ns[of],
        np.where(market.side[of] == BID, 1, -1),
        market.prices[market.level[of]],
        hidden[of],
    )


def filled_by_hidden(
    trades: VenueTrades,
    time_ns: Int[np.ndarray, " fill"],
    side: Int[np.ndarray, " fill"],
    price: Int[np.ndarray, " fill"],
) -> Bool[np.ndarray, " fill"]:
    """Return which fills only a trade inside the spread explains.

    A fill is one where, at its very time, trades of the other side reached its price, all of them inside the
    spread.

    Args:
        trades: at the venue.
        time_ns: of the fills, at the venue.
        side: 1 of those that we bought, -1.
        price: ticks.
    """
    begins = np.searchsorted(trades.time_ns, time_ns)
    ends = np.searchsorted(trades.time_ns, time_ns, side="right")
    hidden = np.zeros(len(time_ns), bool)
    for fill, (first, last) in enumerate(zip(begins, ends, strict=True)):
        met = trades.sign[first:last] == -side[fill]
        met &= side[fill] * (price[fill] - trades.price[first:last]) >= 0
        hidden[fill] = met.any() and trades.hidden[first:last][met].all()
    return hidden
