"""What a recording holds, counted while it passes by in chunks: prices, market orders, agreement.

Each chunk is looked at together with the book and the best prices that the chunks before it left behind, so
that the numbers are those of the whole recording and memory is that of a chunk.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from flowhft.recordings.book import TopOfBook, opening, standing_book, top_of_book, top_of_every_message
from flowhft.recordings.instrument import Instrument
from flowhft.recordings.market_orders import market_orders
from flowhft.recordings.ticks import DEPTH, EVENT, SNAPSHOT, TOP, TRADE, Finding, Recording

KINDS = {"snapshot levels": SNAPSHOT, "depth updates": DEPTH, "top-of-book updates": TOP, "trades": TRADE}
TRUSTED_AGREEMENT = 0.99  # share of messages below which the rebuilt book earns a warning
UNNAMED = Instrument("", "", "", 1.0, 1.0)
MOST_AT_ONCE = 64  # tops of one time that are looked at
COMPARED = ("best_bid", "best_ask", "bid_quantity", "ask_quantity")


def _plain(events: np.ndarray) -> Recording:
    """Return events as a recording of no name, for the functions that read one."""
    return Recording(UNNAMED, events)


class Agreement:
    """Compares the rebuilt book with the best prices that the venue published, at equal update numbers.

    A depth message is compared with the venue's last top numbered no higher; messages before its first top
    are left out. Where files number their rows each on its own, messages are compared by the time at which
    the venue made them: with the last top made before, and with those made at the same time, of which one
    must be equal.

    Args:
        by: "number" or "time".

    Attributes:
        equal: messages after which best prices and quantities were equal.
        compared: messages compared.
    """

    def __init__(self, by: Literal["number", "time"] = "number") -> None:
        self.equal = 0
        self.compared = 0
        self._key = "message" if by == "number" else "exchange_time_ns"
        self._depth = np.empty(0, EVENT)  # of the chunk before, from the book that it began with
        self._tops = np.empty(0, EVENT)
        self._rebuilt: TopOfBook | None = None  # messages that a later top may still explain
        self._published: TopOfBook | None = None  # from the last one that may still explain a message

    def feed(self, events: np.ndarray) -> None:
        """Take the next events, in the order of arrival."""
        kinds = events["kind"]
        depth = events[(kinds == DEPTH) | (kinds == SNAPSHOT)]
        if len(depth):
            before = standing_book(self._depth)
            self._depth = np.concatenate([before, depth])
            rebuilt = top_of_every_message(self._depth)
            if len(before):
                rebuilt = TopOfBook(*(column[1:] for column in rebuilt))  # the first is the book before
            self._rebuilt = _joined(self._rebuilt, rebuilt)
        tops = np.concatenate([self._tops, events[kinds == TOP]])
        if len(tops):
            published = top_of_book(_plain(tops))
            published = _joined(self._published, published)
            key = getattr(published, self._key)
            if np.any(key[1:] < key[:-1]):
                order = np.argsort(key, kind="stable")
                published = TopOfBook(*(column[order] for column in published))
            self._published = published
            self._tops = opening(tops)
        self._settle(final=False)

    def result(self) -> tuple[int, int]:
        """Return (messages equal, messages compared) of everything that was fed."""
        self._settle(final=True)
        return self.equal, self.compared

    def _settle(self, final: bool) -> None:
        rebuilt, published = self._rebuilt, self._published
        if rebuilt is None or published is None or not len(published.message):
            return
        # A message is settled when a top of a higher number is known: no later one can come before it.
        wanted, shown = getattr(rebuilt, self._key), getattr(published, self._key)
        ready = np.full(len(wanted), True) if final else wanted < shown[-1]
        position = np.searchsorted(shown, wanted, side="right") - 1
        known = ready & (position >= 0)
        at, equal = position[known], np.zeros(int(known.sum()), bool)
        candidate = np.ones(len(equal), bool)
        for _ in range(1 if self._key == "message" else MOST_AT_ONCE):
            same = candidate.copy()
            for name in COMPARED:
                same &= getattr(published, name)[at] == getattr(rebuilt, name)[known]
            equal |= same
            candidate &= ~same & (at > 0) & (shown[at] == wanted[known])
            if not candidate.any():
                break
            at = np.maximum(at - 1, 0)
        self.equal += int(equal.sum())
        self.compared += len(equal)
        self._rebuilt = TopOfBook(*(column[~ready] for column in rebuilt))
        since = max(0, int(position[~ready].min())) if (~ready).any() else len(shown) - 1
        since = max(0, int(np.searchsorted(shown, shown[since])) - 1)
        self._published = TopOfBook(*(column[since:] for column in published))


def _joined(first: TopOfBook | None, second: TopOfBook) -> TopOfBook:
    if first is None:
        return second
    return TopOfBook(*(np.concatenate(pair) for pair in zip(first, second, strict=True)))


def agreement(recording: Recording) -> tuple[int, int]:
    """Return (depth messages after which the book is the venue's, messages compared); see `Agreement`."""
    compared = Agreement()
    compared.feed(recording.events)
    return compared.result()


def agreement_finding(compared: Agreement) -> Finding:
    """Return how often the rebuilt book agreed with the venue's best prices, for people."""
    equal, messages = compared.result()
    share = equal / messages if messages else 1.0
    return Finding(
        "note" if share >= TRUSTED_AGREEMENT else "warning",
        f"the rebuilt book has the venue's best prices and quantities after {equal:,} of {messages:,} depth "
        f"messages ({share:.2%}).",
    )


@dataclass
class Summary:
    """What is in a recording, in numbers that add up over its chunks."""

    begin_ns: int | None = None
    end_ns: int = 0
    total: int = 0
    orders: int = 0
    market_orders: int = 0
    spread_seconds: float = 0.0
    known_seconds: float = 0.0

    def __post_init__(self) -> None:
        self._events = dict.fromkeys(KINDS, 0)
        self._before = np.empty(0, EVENT)
        self._trade: np.ndarray = np.empty(0, EVENT)

    def feed(self, events: np.ndarray, orders: np.ndarray | None = None) -> None:
        """Take the next events, in the order of arrival."""
        self.begin_ns = int(events["local_time_ns"][0]) if self.begin_ns is None else self.begin_ns
        self.end_ns = int(events["local_time_ns"][-1])
        self.total += len(events)
        self.orders += 0 if orders is None else len(orders)
        for name, kind in KINDS.items():
            self._events[name] += int(np.count_nonzero(events["kind"] == kind))
        whole = np.concatenate([opening(self._before), events])
        recording = _plain(whole)
        top = top_of_book(recording)
        held = np.diff(top.local_time_ns).astype(np.float64) * 1e-9
        spread = top.market_spread[:-1]
        known = ~np.isnan(spread) & (held > 0)
        self.spread_seconds += float(np.sum(spread[known] * held[known]))
        self.known_seconds += float(np.sum(held[known]))
        self.market_orders += len(market_orders(recording).time_ns)
        trades = events[events["kind"] == TRADE]
        if len(trades):
            first, before = trades[0], self._trade
            if len(before) and all(before[0][name] == first[name] for name in ("side", "exchange_time_ns")):
                self.market_orders -= 1  # goes on where the chunk before ended
            self._trade = trades[-1:]
        self._before = whole

    @property
    def seconds(self) -> float:
        """Return the seconds from the first event to the last, on the local clock."""
        return 0.0 if self.begin_ns is None else (self.end_ns - self.begin_ns) * 1e-9

    def facts(self, closed: float = 0.0) -> dict[str, Any]:
        """Return everything as plain numbers.

        Args:
            closed: seconds in which the market did not trade, or nothing was recorded: no part of a rate.
        """
        seconds, trading = self.seconds, self.seconds - closed
        return {
            "seconds": seconds,
            "events": dict(self._events),
            "order_changes": self.orders,
            "market_orders": self.market_orders,
            "market_orders_per_second": self.market_orders / trading if trading > 0 else float("nan"),
            "market_spread_mean": self.spread_seconds / self.known_seconds
            if self.known_seconds > 0
            else float("nan"),
        }
