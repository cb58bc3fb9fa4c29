"""Finds out what a path holds and reads it: the one way into a recording."""

import re
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from flowhft.errors import RecordingError
from flowhft.recordings.binance import read_binance
from flowhft.recordings.lobster import read_lobster
from flowhft.recordings.ticks import Recording

# Layout -> how its files are called: the session's prefix, which of its files, and how many book levels.
LAYOUTS = {
    "binance": re.compile(r"(?P<prefix>.+)_(?P<part>snapshot|depth|trades|bbo)\.parquet"),
    "lobster": re.compile(r"(?P<prefix>.+)_(?P<part>messages|book)(?P<levels>\d*)\.parquet"),
    "lobster_csv": re.compile(r"(?P<prefix>.+)_(?P<part>message|orderbook)_(?P<levels>\d+)\.csv"),
}
KNOWN = (
    "Known sessions are PREFIX_{snapshot,depth,trades,bbo}.parquet (Binance), SYMBOL_messages.parquet with "
    "SYMBOL_book<LEVELS>.parquet, and ..._message_<LEVELS>.csv with ..._orderbook_<LEVELS>.csv (LOBSTER)."
)


class Session(NamedTuple):
    """The files of one session share a layout and a prefix."""

    layout: str
    prefix: Path


def _session_of(path: Path) -> Session | None:
    """Return the session that a file belongs to by its name, None if to none."""
    for layout, pattern in LAYOUTS.items():
        match = pattern.fullmatch(path.name)
        if match is not None:
            return Session(layout, path.with_name(match["prefix"]))
    return None


def sessions_in(folder: Path) -> list[Session]:
    """Return the sessions whose files lie in a folder, sorted."""
    try:
        found = {_session_of(path) for path in folder.iterdir() if path.is_file()}
    except OSError as cause:
        raise RecordingError(f"must be a folder that can be read; {cause.strerror}.", folder) from cause
    return sorted(session for session in found if session is not None)


def _find(path: Path) -> Session:
    """Return the one session that a file, a folder or a prefix means."""
    if path.is_file():
        session = _session_of(path)
        if session is None:
            raise RecordingError(f"must be a file of a known layout; its name is of none. {KNOWN}", path)
        return session
    if path.is_dir():
        found = sessions_in(path)
        where = "must hold the files of one session"
    else:
        folder = path.parent
        found = (
            [one for one in sessions_in(folder) if one.prefix.name == path.name] if folder.is_dir() else []
        )
        where = "must be a session's prefix, one of its files, or a folder with one session"
    if not found:
        raise RecordingError(f"{where}; received none. {KNOWN}", path)
    if len(found) > 1:
        prefixes = ", ".join(sorted(session.prefix.name for session in found))
        raise RecordingError(f"{where}; received {len(found)}: {prefixes}. Name one prefix.", path)
    return found[0]


def _lobster_files(session: Session) -> tuple[Path, Path]:
    """Return the message and the book file; of several depths the deepest."""
    by_part: dict[str, dict[int, Path]] = defaultdict(dict)
    for path in session.prefix.parent.iterdir():
        match = LAYOUTS[session.layout].fullmatch(path.name)
        if match is not None and match["prefix"] == session.prefix.name and path.is_file():
            by_part[match["part"]][int(match["levels"] or 0)] = path
    first, second = ("message", "orderbook") if session.layout == "lobster_csv" else ("messages", "book")
    for missing, there in ((first, second), (second, first)):
        if not by_part[missing]:
            name = next(iter(by_part[there].values())).name
            raise RecordingError(
                f"must have a `{missing}` file beside `{name}`; there is none. Put both into one folder.",
                session.prefix,
            )
    levels = max(by_part[second])
    messages = by_part[first]
    return messages.get(levels, messages[max(messages)]), by_part[second][levels]


def read_recording(path: Path | str, *, repair: bool = False) -> Recording:
    """Read and check a recording of a real market.

    Args:
        path: a session's prefix ("data/usdm_btcusdt_20240718"), any one of its files, or a folder that holds
            exactly one session.
        repair: drop or sort what breaks a rule, where that can be done, instead of raising, and say so in
            the findings.

    Returns:
        Events in ticks and lots by corrected local time, with what was found in `findings`.

    Raises:
        RecordingError: there is no such session, or a file of it is damaged or breaks a rule.

    Example:
        >>> from flowhft.recordings.sample import sample_recording
        >>> recording = read_recording(sample_recording())
        >>> recording.name, recording.tick_size
        ('binance-usdm BTCUSDT', 0.1)
    """
    session = _find(Path(path))
    if session.layout == "binance":
        return read_binance(session.prefix, repair=repair)
    messages, book = _lobster_files(session)
    return read_lobster(messages, book, session.prefix.name.split("_")[0], repair=repair)
