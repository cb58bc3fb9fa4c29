"""What the commands that take a recording share: read it, take a part of it, say what was found."""

from pathlib import Path
from typing import Any

import numpy as np

from flowhft.errors import require
from flowhft.recordings.book import split, top_of_book
from flowhft.recordings.read import read_recording
from flowhft.recordings.ticks import TRADE, Recording


def learn_and_judge(path: Path, share: float, repair: bool) -> tuple[Recording, Recording | None]:
    """Read a recording and split it in time: the part to learn from, and the part that stays unseen.

    Args:
        path: session prefix, file or folder.
        share: of the recording's time that is learned from; 1 for all of it.
        repair: mend what can be mended.

    Raises:
        UsageError: the share is not between 0 and 1.
        RecordingError: a fault in the files.
    """
    require(
        0.0 < share <= 1.0, "share", "lie above 0 and not above 1", share, "0.6 learns from the first 60 %."
    )
    recording = read_recording(path, repair=repair)
    return (recording, None) if share == 1.0 else split(recording, share)


def identity_of_recording(recording: Recording) -> str:
    """Return what tells the content of a recording from every other."""
    import hashlib

    digest = hashlib.sha256(np.ascontiguousarray(recording.events).data)
    return digest.hexdigest()[:16]


def facts_of(learn: Recording, unseen: Recording | None) -> dict[str, Any]:
    """Return what reports say about a recording and its split."""
    seconds = learn.duration + (unseen.duration if unseen else 0.0)
    parts = [learn.events] + ([unseen.events] if unseen else [])
    return {
        "name": learn.name,
        "symbol": learn.symbol,
        "venue": learn.venue,
        "currency": learn.currency,
        "tick_size": learn.tick_size,
        "lot_size": learn.lot_size,
        "seconds": seconds,
        "events": sum(len(events) for events in parts),
        "trades": int(sum(np.sum(events["kind"] == TRADE) for events in parts)),
        "clock_offset_ms": learn.clock_offset_ns * 1e-6,
        "learn_seconds": learn.duration,
        "unseen_seconds": unseen.duration if unseen else 0.0,
        "findings": [finding.__dict__ for finding in learn.findings],
    }


def first_mid(recording: Recording) -> float:
    """Return the first mid price that a recording knows, ticks."""
    mids = top_of_book(recording).mid_price
    return float(mids[np.isfinite(mids)][0])
