"""What the stages that take a recording share: read it, take a part of it, say what was found."""

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from flowhft.errors import require
from flowhft.recordings.described import InstrumentSettings
from flowhft.recordings.formats.read import read_recording
from flowhft.recordings.instrument import Instrument
from flowhft.recordings.split import split
from flowhft.recordings.ticks import Recording, without_closed
from flowhft.recordings.venues import Terms, terms_of
from flowhft.recordings.windowed import InMemory, Windowed


class Parts(NamedTuple):
    """A recording, split in time.

    Attributes:
        whole: all of it.
        learn: the part to learn from.
        unseen: the part that stays unseen until the judgement, or None.
    """

    whole: Recording
    learn: Recording
    unseen: Recording | None


def read_parts(path: Path, share: float, repair: bool, instrument: InstrumentSettings) -> Parts:
    """Read a recording and split it in time.

    Args:
        path: session prefix, file or folder.
        share: of the recording's time that is learned from; 1 for all of it.
        repair: mend what can be mended.
        instrument: what is said of it.

    Raises:
        UsageError: the share is not between 0 and 1.
        RecordingError: a fault in the files.
    """
    require(
        0.0 < share <= 1.0, "share", "lie above 0 and not above 1", share, "0.6 learns from the first 60 %."
    )
    whole = read_recording(list(paths_in(path)), repair=repair, instrument=instrument)
    return Parts(whole, whole, None) if share == 1.0 else Parts(whole, *split(whole, share))


def paths_in(path: Path) -> tuple[Path, ...]:
    """Return the paths that a user named as one: itself, or several with commas between.

    Args:
        path: of a session, or several, "monday,tuesday".
    """
    words = [word.strip() for word in str(path).split(",")]
    return (path,) if path.exists() or len(words) == 1 else tuple(Path(word) for word in words if word)


def identity_of_recording(recording: Recording) -> str:
    """Return what tells the content of a recording from every other."""
    return identity_of_windows(InMemory(recording))


def identity_of_windows(recording: Windowed) -> str:
    """Return what tells the content of a recording from every other, its events piece by piece."""
    of = recording.instrument
    about = (of.name, of.currency, of.tick_size, of.lot_size)
    # What the venue and the symbol tell adds nothing: only terms that were said tell recordings apart.
    known = terms_of(of.venue, of.symbol) or Terms(of.currency)
    terms = of.facts.items() - Instrument(*of[:5])._replace(**known._asdict()).facts.items()
    digest = hashlib.sha256(repr(about + tuple(sorted(terms))).encode())
    for events in recording.pieces():
        digest.update(np.ascontiguousarray(events).data)
    if recording.closed:  # told by the format, it may be of the same events
        digest.update(repr(tuple(map(tuple, recording.closed))).encode())
    return digest.hexdigest()[:16]


def facts_of(parts: Parts) -> dict[str, Any]:
    """Return what reports say about a recording and its split."""
    unseen = parts.unseen.duration if parts.unseen else 0.0
    return facts_of_windows(InMemory(parts.whole), parts.learn.duration, unseen)


def facts_of_windows(whole: Windowed, learn: float | None = None, unseen: float = 0.0) -> dict[str, Any]:
    """Return what reports say about a recording and its split.

    Args:
        whole: the recording.
        learn: seconds that are learned from; None for all.
        unseen: seconds that stay unseen until the judgement.
    """
    seconds = (whole.sessions[-1][1] - whole.sessions[0][0]) * 1e-9
    open_seconds = sum(end - start for start, end in without_closed(whole.sessions, whole.closed)) * 1e-9
    return {
        "name": whole.instrument.name,
        **whole.instrument.facts,
        "seconds": seconds,
        **({"closed_seconds": seconds - open_seconds} if whole.closed else {}),
        "events": whole.events,
        "trades": whole.trades,
        "clock_offset_ms": whole.clock_offset_ns * 1e-6,
        "learn_seconds": seconds if learn is None else learn,
        "unseen_seconds": unseen,
        "findings": [{"severity": f.severity, "message": f.message} for f in whole.findings],
    }
