"""A session that is open for reading: what is traded, and its events as they arrived, chunk by chunk.

Every reader makes a `Source`. Whoever needs the whole recording in memory puts its chunks together; checks
and conversions look at one chunk after the other, so that a day of any length passes through.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np

from flowhft.errors import RecordingError
from flowhft.recordings.best_prices import BestPrices
from flowhft.recordings.checks.clock_checks import ObserverState
from flowhft.recordings.checks.feeds import Feeds
from flowhft.recordings.closed import ClosedTime, closed_findings
from flowhft.recordings.columns import NEAR
from flowhft.recordings.instrument import Instrument
from flowhft.recordings.long_arrays import Pile
from flowhft.recordings.orders import Handover
from flowhft.recordings.ticks import EVENT, ORDER, Closed, Finding, Recording
from flowhft.recordings.undated import Undated


class Chunk(NamedTuple):
    """Consecutive events of a session, and what became of its orders meanwhile (None: it has no orders)."""

    events: np.ndarray
    orders: np.ndarray | None = None


@dataclass(frozen=True)
class Source:
    """A session that is open.

    Attributes:
        instrument: what is traded where, in which units.
        files: what it is read from.
        chunks: the session, once; by local time within a chunk and from chunk to chunk.
        findings: what was found; complete when the chunks are through.
        clock_offset_ns: what was added to the local clock; of the first session where several are joined.
        best_prices: whether the venue's own best prices are among the events, beside its book.
        sessions: first and last local time of each session that has passed, ns; empty where there is one only
            and nothing joined it to others.
        closed: when the market did not trade; of one session what its format tells of it, of what `joined`
            returned all of it (`flowhft.recordings.closed`). Complete when the chunks are through.
    """

    instrument: Instrument
    files: tuple[Path, ...]
    chunks: Iterator[Chunk]
    findings: list[Finding] = field(default_factory=list)
    clock_offset_ns: int = 0
    best_prices: bool = False
    sessions: list[tuple[int, int]] = field(default_factory=list)
    closed: list[Closed] = field(default_factory=list)


def merged(streams: Sequence[Iterable[np.ndarray]]) -> Iterator[np.ndarray]:
    """Merge streams of events by local time, holding a chunk of each.

    Args:
        streams: each ordered by local time within and between its chunks. At equal times the streams' order
            decides.

    Yields:
        Events of all streams, dtype `EVENT`, ordered by local time.
    """
    sources = [iter(stream) for stream in streams]
    held: list[np.ndarray] = [np.empty(0, EVENT) for _ in sources]
    open_ = [True] * len(sources)
    while any(open_) or any(len(events) for events in held):
        for number, source in enumerate(sources):
            while open_[number] and len(held[number]) == 0:
                following = next(source, None)
                if following is None:
                    open_[number] = False
                else:
                    held[number] = following
        # Whatever comes next in an open stream has at least the time of its last event held.
        bounds = [events["local_time_ns"][-1] for events, more in zip(held, open_, strict=True) if more]
        cuts = [len(events) for events in held]
        if bounds:
            bound = min(bounds)
            cuts = [int(np.searchsorted(events["local_time_ns"], bound)) for events in held]
        ready = np.concatenate([events[:cut] for events, cut in zip(held, cuts, strict=True)])
        held = [events[cut:] for events, cut in zip(held, cuts, strict=True)]
        if len(ready):
            yield ready[np.argsort(ready["local_time_ns"], kind="stable")]
        for number, source in enumerate(sources):  # those that hold others back go on
            if open_[number] and bounds and held[number]["local_time_ns"][-1:] == bound:
                following = next(source, None)
                if following is None:
                    open_[number] = False
                else:
                    held[number] = np.concatenate([held[number], following])


def joined(sources: Iterable[Source], first: Source, several: bool = True) -> Source:
    """Return sessions of one instrument as one source, each after the one before.

    Args:
        sources: the sessions after the first, in the order of time; each is opened when the one before it has
            passed.
        first: the first session.
        several: whether there are any sessions after it.

    Raises:
        RecordingError: (while the chunks pass) a session holds nothing, is of another instrument, or begins
            before the one before it has ended.
    """
    findings: list[Finding] = []
    sessions: list[tuple[int, int]] = []
    closed: list[Closed] = []
    handover = Handover() if several else None
    return replace(
        first,
        chunks=_one_after_the_other(
            chain([first], sources), first.instrument, sessions, closed, findings, handover
        ),
        findings=findings,
        sessions=sessions,
        closed=closed,
    )


def _one_after_the_other(
    sources: Iterable[Source],
    instrument: Instrument,
    sessions: list[tuple[int, int]],
    closed: list[Closed],
    findings: list[Finding],
    handover: Handover | None,
) -> Iterator[Chunk]:
    """Yield the chunks of sessions, and add what only time tells to what was found in each."""
    held: list[tuple[str, list[Finding]]] = []
    undated = Undated()
    for source in sources:
        name = source.files[0].name
        if source.instrument != instrument:
            raise RecordingError(
                f"must be of the instrument of the sessions before it, {instrument}; received "
                f"{source.instrument}. Name the sessions of one instrument.",
                source.files[0],
            )
        watch, feeds, open_time, begin, opens = ObserverState(), Feeds(), ClosedTime(), None, True
        for chunk in _completed(source, undated):
            if begin is None:
                begin = int(chunk.events["local_time_ns"][0])
                if sessions and begin < sessions[-1][1]:
                    raise RecordingError(
                        f"must begin after the session before it has ended, at {sessions[-1][1]} ns; "
                        f"received {begin} ns. Name the sessions in the order of time.",
                        source.files[0],
                    )
                if sessions:
                    gap = (begin - sessions[-1][1]) * 1e-9
                    source.findings.append(
                        Finding("warning", f"nothing is known of the {gap:,.3f} s before this session.")
                    )
            watch.feed(chunk.events)
            open_time.feed(chunk.events)
            feeds.feed(chunk.events)
            yield chunk if handover is None else _handed_over(chunk, handover, opens)
            opens = False
        if undated.waits and begin is None:  # a snapshot of a time that what follows tells
            held.append((name, source.findings))
            continue
        if watch.end is None or begin is None:
            raise RecordingError(
                "must hold events; received none. Record the session again.", source.files[0]
            )
        sessions += source.sessions or [(begin, watch.end)]
        here = open_time.found(source.closed)
        closed += here
        results = [*source.findings, *watch.findings(), *feeds.findings(), *closed_findings(here)]
        held.append((name, results))
    if undated.waits and sessions:
        raise RecordingError(
            "must come before the market that it opens: its snapshot carries no time; it comes last. Name it "
            "first.",
            source.files[0],
        )
    for events in undated.rest():
        yield Chunk(events)
    for name, results in held:
        of = f"`{name}`: " if len(held) > 1 else ""
        findings += [Finding(one.severity, of + one.message) for one in results]


def _completed(source: Source, undated: Undated) -> Iterator[Chunk]:
    """Yield what holds events of a session: snapshots dated, best prices where the venue's are dead."""
    best = BestPrices() if source.best_prices else None
    for chunk in source.chunks:
        events = undated.settled(chunk.events) if chunk.orders is None else chunk.events
        events = events if best is None else best.feed(events)
        if len(events):
            yield Chunk(events, chunk.orders)
    if best is not None:
        events = best.feed(np.empty(0, EVENT), final=True)
        if len(events):
            yield Chunk(events)
        source.findings.extend(best.findings())


def _handed_over(chunk: Chunk, handover: Handover, opens: bool) -> Chunk:
    """Return a chunk of one of several sessions; `opens` says that it is the first of its session."""
    if chunk.orders is None:
        return chunk
    ended = handover.begin(chunk.events[0]) if opens else chunk.orders[:0]
    return Chunk(chunk.events, np.concatenate([ended, handover.take(chunk.orders)]))


def counted_in(source: Source, tick_size: float, lot_size: float) -> Source:
    """Return a source whose events count in units of its files as one that counts in those of its instrument.

    Args:
        source: whose chunks are in other units than its instrument says, or in the same.
        tick_size: what the prices of its chunks are multiples of.
        lot_size: what their quantities are multiples of.
    """
    sizes = source.instrument.tick_size, source.instrument.lot_size
    if sizes == (tick_size, lot_size):
        return source
    factors = {
        "price": (tick_size / sizes[0], sizes[0]),
        "quantity": (lot_size / sizes[1], sizes[1]),
        "executed": (lot_size / sizes[1], sizes[1]),
    }

    def counted(rows: np.ndarray) -> np.ndarray:
        for name in set(factors) & set(rows.dtype.names or ()):
            factor, size = factors[name]
            values = rows[name] * factor
            whole = np.round(values)
            odd = np.abs(values - whole) > NEAR + np.abs(whole) * 4e-16
            if odd.any():
                what = "tick" if name == "price" else "lot"
                received = f"{values[np.argmax(odd)] * size:.12g}"
                raise RecordingError(
                    f"every {name} must be a multiple of the {what} that is said, {size:g}; received "
                    f"{received}. Say another `{what}_size`.",
                    source.files[0],
                )
            rows[name] = whole
        return rows

    def chunks() -> Iterator[Chunk]:
        for chunk in source.chunks:
            orders = None if chunk.orders is None else counted(chunk.orders.copy())
            yield Chunk(counted(chunk.events.copy()), orders)

    return replace(source, chunks=chunks())


def assembled(source: Source) -> Recording:
    """Return what `joined` returned as one recording, of which a long one lies in a file.

    Args:
        source: its chunks are used up.

    Returns:
        Its arrays are mapped from a temporary file where they are long (`flowhft.recordings.long_arrays`).
    """
    events, orders, single = Pile(EVENT), Pile(ORDER), False
    for chunk in source.chunks:
        events.add(chunk.events)
        if chunk.orders is not None:
            single = True
            orders.add(chunk.orders)
    return Recording(
        source.instrument,
        events.array(),
        clock_offset_ns=source.clock_offset_ns,
        files=source.files,
        findings=tuple(source.findings),
        orders=orders.array() if single else None,
        sessions=tuple(source.sessions),
        closed=tuple(source.closed),
    )
