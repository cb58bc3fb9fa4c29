"""Best prices of the venue that stop, pause or begin late while the book goes on: the book stands in.

A venue publishes its best prices at every change. Where the rebuilt book keeps others for a second than were
last published, and nothing is published, the feed of best prices is dead: recorders lose one of several
subscriptions, and nothing says so.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from flowhft.recordings.book import TopOfBook, ends_message, opening, standing_book, top_of_every_message
from flowhft.recordings.ticks import BUY, DEPTH, EVENT, SELL, SNAPSHOT, TOP, Finding, make_events

FEW = 16  # stretches of messages up to which each is followed alone, from the book before it
REMEMBERED = 2_000_000  # events: until a silence asks what they left behind
DEAD_NS = 10**9  # for which the book must have other best prices while none are published

BEFORE_NS = 5 * 10**9  # before it, since when any difference counts

Indices = Int[np.ndarray, " message"]


class _Messages(NamedTuple):
    """What the book is after each message of depth in some events, beside what was last published."""

    at: Indices  # the last event of each
    book: TopOfBook
    published: np.ndarray  # best bid, best ask, their quantities; -1 before any; shape (message, 4)
    differ: Bool[np.ndarray, " message"]


class BestPrices:
    """Adds best prices of the book to events, chunk by chunk, where the venue's are dead.

    What cannot be told yet is held back: events since the book began to differ, of some seconds at most.
    """

    def __init__(self) -> None:
        self._held: np.ndarray = np.empty(0, EVENT)
        self._given: list[np.ndarray] = []  # lately, from the book before on
        self._latest = -1  # local time of the last best prices given out
        self._dead = False
        self._spans: list[list[int]] = []  # when best prices were dead, local times

    def feed(self, events: np.ndarray, final: bool = False) -> np.ndarray:
        """Take the next events and return those that are settled, best prices of the book among them.

        Args:
            events: by local time.
            final: whether none follow.
        """
        events = np.concatenate([self._held, events]) if len(self._held) else events
        self._held = np.empty(0, EVENT)
        if not len(events):
            return events
        local, tops = events["local_time_ns"], np.flatnonzero(events["kind"] == TOP)
        self._latest = int(local[0]) if self._latest < 0 else self._latest
        borders = np.concatenate([[self._latest], local[tops], [int(local[-1])]])
        quiet = np.flatnonzero(np.diff(borders) >= DEAD_NS)  # number of best prices before the silence
        if self._dead and (not len(quiet) or quiet[0] > 0):
            quiet = np.append(0, quiet)
        if len(quiet) and quiet[0] > 0:  # what came before the first silence is settled
            first = int(tops[quiet[0] - 1]) + 1
            self._give(events[:first])
            self._latest = int(local[first - 1])
            return np.concatenate([events[:first], self.feed(events[first:], final)])
        if len(quiet):
            events = self._filled(events, tops, quiet, final)
        elif not final:  # what comes tells whether the last best prices are followed by others
            stop = int(tops[-1]) + 1 if len(tops) else 0
            events, self._held = events[:stop], events[stop:]
        if len(events):
            self._give(events)
            tops = np.flatnonzero(events["kind"] == TOP)
            self._latest = int(events["local_time_ns"][tops[-1]]) if len(tops) else self._latest
        return events

    def _give(self, events: np.ndarray) -> None:
        """Remember what was given out; of what is long past, what it left behind."""
        self._given.append(events)
        if sum(map(len, self._given)) > REMEMBERED:
            self._given = [opening(np.concatenate(self._given))]

    def _filled(self, events: np.ndarray, tops: np.ndarray, quiet: np.ndarray, final: bool) -> np.ndarray:
        """Return events with what is added to some silences; hold back the last one if it is not settled."""
        silences = sorted({*quiet.tolist(), len(tops)})
        messages, local = self._messages(events, tops, silences), events["local_time_ns"]
        begins = np.searchsorted(messages.at, np.append(-1, tops), side="right")
        ends = np.append(begins[1:], len(messages.at))
        added: list[np.ndarray] = []
        stop = len(events)
        for silence in silences:
            last = silence == len(tops)
            until = int(local[-1]) if last else int(local[tops[silence]])
            of = slice(int(begins[silence]), int(ends[silence]))
            dead_from, undecided = self._dead_from(messages, local, of, until, last and not final, silence)
            if undecided is not None:
                stop = int(messages.at[undecided - 1]) + 1 if undecided > 0 else 0
                stop = max(stop, int(tops[-1]) + 1 if len(tops) else 0)
                if last:
                    self._dead = False
                continue
            if dead_from is None:
                self._dead = self._dead and last and silence == 0
                continue
            added.append(self._new(messages, slice(dead_from, of.stop)))
            self._note(int(local[messages.at[dead_from]]) if dead_from < of.stop else until, until, silence)
            self._dead = last
        rest, self._held = events[:stop], events[stop:]
        if not added or not sum(map(len, added)):
            return rest
        return _with_best_prices(rest, messages, np.concatenate(added))

    def _dead_from(
        self, messages: _Messages, local: np.ndarray, of: slice, until: int, more: bool, silence: int
    ) -> tuple[int | None, int | None]:
        """Return from which message on best prices are dead in a silence, and which waits for more."""
        if self._dead and silence == 0:
            return of.start, None
        here = messages.differ[of]
        if not here.any():
            return None, None
        at = local[messages.at[of]]
        starts = np.flatnonzero(here & np.append(True, ~here[:-1]))
        stops = np.flatnonzero(here & np.append(~here[1:], True)) + 1
        times = np.append(at, until)
        lasts = times[stops] - at[starts]
        if np.any(lasts >= DEAD_NS):
            since = at[starts[np.argmax(lasts >= DEAD_NS)]] - BEFORE_NS
            return of.start + int(np.argmax(here & (at >= since))), None
        since = (at[starts[-1]] if stops[-1] == len(here) else until) - BEFORE_NS
        if more and np.any(here & (at >= since)):
            return None, of.start + int(np.argmax(here & (at >= since)))
        return None, None

    def _messages(self, events: np.ndarray, tops: np.ndarray, silences: list[int]) -> _Messages:
        """Return the messages of depth within some silences."""
        before = opening(np.concatenate(self._given)) if self._given else np.empty(0, EVENT)
        self._given = [before]
        book = before[before["kind"] == SNAPSHOT]
        of_book = np.flatnonzero((events["kind"] == DEPTH) | (events["kind"] == SNAPSHOT))
        depth = events[of_book]
        ends = np.flatnonzero(ends_message(depth))
        at = of_book[ends]
        inside = np.isin(np.searchsorted(tops, at), silences)
        top = tops_after(book, depth, ends, inside)
        at = at[inside]
        published = np.full((len(at), 4), -1)
        made = np.full(len(at), -(2**62))
        known = np.concatenate([before[before["kind"] == TOP], events[tops]])
        row_of = np.concatenate([np.full(len(known) - len(tops), -1), tops])
        for column, side in enumerate((BUY, SELL)):
            own = np.flatnonzero(known["side"] == side)
            latest = np.searchsorted(row_of[own], at, side="right") - 1
            shown = latest >= 0
            row = known[own[latest[shown]]]
            published[shown, column], published[shown, 2 + column] = row["price"], row["quantity"]
            made[shown] = np.maximum(made[shown], row["exchange_time_ns"])
        differ = np.zeros(len(at), bool)
        for column, price, quantity in (
            (0, top.best_bid, top.bid_quantity),
            (1, top.best_ask, top.ask_quantity),
        ):
            differ |= (quantity > 0) & ((published[:, column] != price) | (published[:, 2 + column] <= 0))
        return _Messages(at, top, published, differ & (top.exchange_time_ns >= made))

    def _new(self, messages: _Messages, of: slice) -> np.ndarray:
        """Return the messages, of those in a silence, after which best prices are others than before."""
        book = messages.book
        values = np.stack([book.best_bid, book.best_ask, book.bid_quantity, book.ask_quantity], axis=1)[of]
        before = np.concatenate([messages.published[of][:1], values[:-1]])
        return np.flatnonzero(np.any(values != before, axis=1)) + of.start

    def _note(self, begin: int, end: int, silence: int) -> None:
        if self._dead and silence == 0 and self._spans:
            self._spans[-1][1] = end
        else:
            self._spans.append([begin, end])

    def findings(self) -> list[Finding]:
        """Return what was found."""
        if not self._spans:
            return []
        begin, end = max(self._spans, key=lambda span: span[1] - span[0])
        whole = sum(stop - start for start, stop in self._spans) * 1e-9
        return [
            Finding(
                "warning",
                f"the venue's best prices are missing for {whole:,.1f} s in all while the book goes on, "
                f"{len(self._spans):,} times; the longest time is {(end - begin) * 1e-9:,.1f} s from local "
                f"time {begin:,} ns. The best prices of the book stand in for them.",
            )
        ]


def tops_after(book: np.ndarray, depth: np.ndarray, ends: Indices, wanted: np.ndarray) -> TopOfBook:
    """Return the top of the book after some messages: what lies between is only folded into the book.

    Args:
        book: before the first of them, events of a snapshot.
        depth: events of a book.
        ends: places in `depth` of the last event of every message.
        wanted: whether the top after a message is asked for.
    """
    if not wanted.any():
        return top_of_every_message(depth[:0])
    edges = np.flatnonzero(np.diff(wanted.astype(np.int8), prepend=0, append=0))
    stretches: np.ndarray = edges.reshape(-1, 2)
    if len(stretches) > FEW:
        stretches = np.array([[0, len(ends)]])
    low = min(int(events["price"].min()) for events in (book, depth) if len(events))
    high = max(int(events["price"].max()) for events in (book, depth) if len(events))
    parts, done = [], 0
    for first, stop in stretches.tolist():
        begin, end = int(ends[first - 1]) + 1 if first else 0, int(ends[stop - 1]) + 1
        if begin > done:
            book = standing_book(np.concatenate([book, depth[done:begin]]))
            book["message"] = -1  # no message goes on with it
        events = np.concatenate([book, depth[begin:end]])
        top = top_of_every_message(events)
        of = slice(len(top.message) - (stop - first), None)
        parts.append(TopOfBook(*(column[of][wanted[first:stop]] for column in top)))
        book, done = events, end
    top = TopOfBook(*map(np.concatenate, zip(*parts, strict=True)))
    # A side that is empty is said to be where the lowest and the highest price of all are.
    return top._replace(
        best_bid=np.where(top.bid_quantity > 0, top.best_bid, low),
        best_ask=np.where(top.ask_quantity > 0, top.best_ask, high),
    )


def _with_best_prices(events: np.ndarray, messages: _Messages, chosen: np.ndarray) -> np.ndarray:
    """Return events with the best prices of the book behind some messages of depth."""
    at = messages.at[chosen]
    book = TopOfBook(*(column[chosen] for column in messages.book))
    sides = [
        make_events(TOP, side, book.exchange_time_ns, book.local_time_ns, price, quantity, book.message)
        for side, price, quantity in (
            (BUY, book.best_bid, book.bid_quantity),
            (SELL, book.best_ask, book.ask_quantity),
        )
    ]
    return np.insert(events, np.repeat(at + 1, 2), np.stack(sides, axis=1).reshape(-1))
