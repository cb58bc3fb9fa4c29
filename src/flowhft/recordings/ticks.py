"""The tick schema: one table of events in integer ticks and lots with two nanosecond clocks.

Every reader produces a `Recording`; calibration and replay read nothing else. Where a venue publishes single
orders, a second table holds what became of each of them.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from flowhft.errors import DataError
from flowhft.recordings.instrument import Instrument

DEPTH = 1  # a price level has a new absolute quantity; 0 = the level is gone
TRADE = 2  # a trade; `side` is the aggressor's
TOP = 3  # best bid or best ask as the venue publishes it (two events a message, one a side)
SNAPSHOT = 4  # a price level of a full book; the first snapshot event of a run clears the book

BUY = 1  # bid side of the book, or a buyer-initiated trade
SELL = -1  # ask side of the book, or a seller-initiated trade

EVENT = np.dtype(
    [
        ("kind", np.int8),
        ("side", np.int8),
        ("exchange_time_ns", np.int64),  # when the venue's engine made it, ns since the epoch (or midnight)
        ("local_time_ns", np.int64),  # when it was received, on the corrected local clock
        ("price", np.int64),  # ticks
        ("quantity", np.int64),  # lots
        ("message", np.int64),  # the venue's own number: events of one kind and one message share it
    ]
)

ADD = 10  # an order joins the back of the queue at its price
CHANGE = 11  # its owner takes back a part of it or all; what remains keeps its place
FILL = 12  # a market order met it

ORDER = np.dtype(
    [
        ("kind", np.int8),
        ("side", np.int8),  # of the resting order
        ("exchange_time_ns", np.int64),
        ("local_time_ns", np.int64),
        ("price", np.int64),  # ticks
        ("quantity", np.int64),  # lots that remain after it; 0 = the order is gone
        ("executed", np.int64),  # lots that it traded
        ("order_id", np.int64),  # the venue's; negative: a lump of orders that were never seen one by one
        ("message", np.int64),  # as in the events
    ]
)


def make_events(
    kind: int,
    side: Int[np.ndarray, " event"] | int,
    exchange_time_ns: Int[np.ndarray, " event"] | int,
    local_time_ns: Int[np.ndarray, " event"] | int,
    price: Int[np.ndarray, " event"],
    quantity: Int[np.ndarray, " event"],
    message: Int[np.ndarray, " event"] | int,
) -> np.ndarray:
    """Return events of one kind as an array of dtype `EVENT`; a single number stands for all of them."""
    events = np.empty(len(price), EVENT)
    events["kind"] = kind
    events["side"] = side
    events["exchange_time_ns"] = exchange_time_ns
    events["local_time_ns"] = local_time_ns
    events["price"] = price
    events["quantity"] = quantity
    events["message"] = message
    return events


@dataclass(frozen=True)
class Finding:
    """Something that reading a recording brought to light.

    Attributes:
        severity: "note" (a fact), "warning" (usable, but know it) or "error" (not usable as it is).
        message: what was found, with the file and row where there is one.
    """

    severity: str
    message: str


class Closed(NamedTuple):
    """A time in which the market did not trade (`flowhft.recordings.closed`), on the corrected local clock.

    Attributes:
        start_ns: when it was open last.
        end_ns: when it is open again.
        why: what told of it: "halt", "gap", "silence" or "no trades", or several of them with commas.
    """

    start_ns: int
    end_ns: int
    why: str


def without_closed(
    sessions: Iterable[tuple[int, int]], closed: Iterable[Closed]
) -> tuple[tuple[int, int], ...]:
    """Return sessions without the time in which the market was closed.

    Args:
        sessions: first and last local time of each, ns.
        closed: within them.
    """
    spans = tuple(sessions)
    for one in closed:
        cut = []
        for start, end in spans:
            parts = (start, min(end, one.start_ns)), (max(start, one.end_ns), end)
            cut += [part for part in parts if part[0] < part[1]] if start < end else [(start, end)]
        spans = tuple(cut)
    return spans


@dataclass(frozen=True)
class Recording:
    """A market as it was recorded.

    Attributes:
        instrument: what was traded where, in which units.
        events: array of dtype `EVENT`, shape (event,), ordered by `local_time_ns`.
        clock_offset_ns: what was added to the local clock so that no message arrives before it was sent.
        files: the files that it was read from.
        findings: what validation brought to light.
        orders: array of dtype `ORDER`, shape (change,), ordered as the events; None where the venue
            publishes levels only. The orders of a level add up to what `events` say that it holds. A negative
            `order_id` is a lump: what a level holds of orders that were never seen one by one.
        sessions: first and last local time of each part that was recorded without a break, ns,
            shape (session, 2). What changed between two of them was not seen.
        closed: when the market did not trade within a session, in order and apart from each other.
    """

    instrument: Instrument
    events: np.ndarray
    clock_offset_ns: int = 0
    files: tuple[Path, ...] = ()
    findings: tuple[Finding, ...] = field(default=())
    orders: np.ndarray | None = None
    sessions: tuple[tuple[int, int], ...] = ()
    closed: tuple[Closed, ...] = ()

    @property
    def name(self) -> str:
        """Return venue and symbol, as reports show them."""
        return self.instrument.name

    @property
    def venue(self) -> str:
        """Return where it was traded."""
        return self.instrument.venue

    @property
    def symbol(self) -> str:
        """Return what was traded."""
        return self.instrument.symbol

    @property
    def currency(self) -> str:
        """Return the unit of prices."""
        return self.instrument.currency

    @property
    def tick_size(self) -> float:
        """Return the price of a tick, in the currency."""
        return self.instrument.tick_size

    @property
    def lot_size(self) -> float:
        """Return the quantity of a lot."""
        return self.instrument.lot_size

    @property
    def duration(self) -> float:
        """Return the seconds from the first event to the last, on the local clock."""
        times = self.events["local_time_ns"]
        return float(times[-1] - times[0]) * 1e-9

    @property
    def open_spans(self) -> tuple[tuple[int, int], ...]:
        """Return first and last local time of every part in which the market was open and recorded, ns."""
        times = self.events["local_time_ns"]
        return without_closed(self.sessions or ((int(times[0]), int(times[-1])),), self.closed)

    @property
    def open_seconds(self) -> float:
        """Return for how long the market was open within its first and last event, seconds."""
        return sum(end - start for start, end in self.open_spans) * 1e-9

    @property
    def warnings(self) -> tuple[str, ...]:
        """Return what reading brought to light that a reader of any result must know, a sentence each."""
        return warnings_in(self.findings)

    @property
    def trades(self) -> int:
        """Return the number of trades."""
        return int(np.count_nonzero(self.events["kind"] == TRADE))


def warnings_in(findings: Iterable[Finding]) -> tuple[str, ...]:
    """Return those findings that a reader of any result must know, a sentence each."""
    return tuple(result.message for result in findings if result.severity != "note")


def require_trades(recording: Recording, purpose: str) -> None:
    """Refuse a recording without trades, for example quotes alone, where they are needed.

    Args:
        recording: any recording.
        purpose: what needs them, as the subject of a sentence: "a replay".

    Raises:
        DataError: it holds no trade.
    """
    if recording.trades == 0:
        raise DataError(
            f"`{recording.name}` must hold trades, {purpose} needs them; received none in "
            f"{len(recording.events):,} events. Record the trades too, or use another recording."
        )
