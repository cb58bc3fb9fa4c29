"""Finds out what a path holds and reads it: the one way into a recording."""

import contextlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from flowhft.errors import RecordingError, UnknownNameError
from flowhft.recordings.binance.reader import BINANCE
from flowhft.recordings.binance.stream import BINANCE_STREAM
from flowhft.recordings.bitstamp.reader import BITSTAMP
from flowhft.recordings.described import InstrumentSettings, beside
from flowhft.recordings.files import CHUNK
from flowhft.recordings.formats.declared import DECLARED, declaration_in, declares, files_of
from flowhft.recordings.formats.lobster import LOBSTER
from flowhft.recordings.formats.npz import NPZ
from flowhft.recordings.formats.tardis import TARDIS
from flowhft.recordings.formats.tick_files import TICKS
from flowhft.recordings.reader import Options, Reader, described
from flowhft.recordings.source import Source, assembled, joined
from flowhft.recordings.ticks import Recording

READERS = {
    reader.name: reader
    for reader in (BINANCE, BINANCE_STREAM, LOBSTER, BITSTAMP, TARDIS, DECLARED, NPZ, TICKS)
}
NOTHING_DECLARED = InstrumentSettings()
KNOWN = f"Known sessions are {described(READERS.values())}."


class Session(NamedTuple):
    """The files of one session share a reader and a prefix."""

    format: str
    prefix: Path


def _readers(format: str | None) -> Iterable[Reader]:
    """Return the readers that may read a path."""
    if format is None:
        return READERS.values()
    if format not in READERS:
        raise UnknownNameError("format", format, READERS)
    return [READERS[format]]


def sessions_in(folder: Path, format: str | None = None) -> list[Session]:
    """Return the sessions whose files lie in a folder, sorted by their names.

    Raises:
        RecordingError: the folder cannot be read.
        UnknownNameError: there is no such format.
    """
    try:
        files = sorted(path for path in folder.iterdir() if path.is_file())
    except OSError as cause:
        raise RecordingError(f"must be a folder that can be read; {cause.strerror}.", folder) from cause
    declared = _declared(files) if format is None else {}
    result = set()
    for path in files:
        if path in declared:
            result.add(Session(DECLARED.name, declared[path]))
            continue
        for reader in _readers(format):
            prefix = reader.session_of(path)
            if prefix is not None:
                result.add(Session(reader.name, prefix))
                break
    if format is None:  # a TOML file that declares nothing describes what has its name, if there is such
        described = {beside(session.prefix) for session in result if session.format != DECLARED.name}
        result = {one for one in result if one.prefix not in described or one.prefix in declared.values()}
    return sorted(result, key=lambda session: (session.prefix.name, session.format))


def _declared(files: Iterable[Path]) -> dict[Path, Path]:
    """Return the files that declarations among them name, themselves too, each with its declaration."""
    results: dict[Path, Path] = {}
    for path in files:
        if path.suffix == ".toml" and declares(path):
            results[path] = path
            with contextlib.suppress(RecordingError):  # it is said when the declaration is opened
                results |= dict.fromkeys(files_of(declaration_in(path)[1]), path)
    return results


def _find(path: Path, format: str | None) -> list[Session]:
    """Return the sessions that a file, a folder or a prefix means."""
    if path.is_file():
        if format is None:
            declared = _declared(sorted(path.parent.iterdir()))
            if path in declared:
                return [Session(DECLARED.name, declared[path])]
            if path.suffix == ".toml":
                of = [one for one in sessions_in(path.parent) if beside(one.prefix) == path]
                return of or [Session(DECLARED.name, path)]
        for reader in _readers(format):
            prefix = reader.session_of(path)
            if prefix is not None or format is not None:
                return [Session(reader.name, path if prefix is None else prefix)]
        raise RecordingError(
            f"must be a file of a known layout; its name is of none. {KNOWN} `--format` overrides names.",
            path,
        )
    if path.is_dir():
        results = sessions_in(path, format)
        where = "must hold the files of a session"
    else:
        folder = path.parent
        inside = sessions_in(folder, format) if folder.is_dir() else []
        results = [one for one in inside if one.prefix.name == path.name]
        where = "must be a session's prefix, one of its files, or a folder of sessions"
    if not results:
        raise RecordingError(f"{where}; received none. {KNOWN}", path)
    return results


def _together(sessions: Iterable[Session]) -> list[list[Session]]:
    """Return sessions in groups that are opened together: files of which each continues the one before."""
    groups: list[list[Session]] = []
    for session in sessions:
        if groups and READERS[session.format].continues and groups[-1][0].format == session.format:
            groups[-1].append(session)
        else:
            groups.append([session])
    return groups


def open_recording(
    paths: Path | str | Sequence[Path | str],
    *,
    repair: bool = False,
    format: str | None = None,
    rows: int = CHUNK,
    instrument: InstrumentSettings = NOTHING_DECLARED,
) -> Source:
    """Open a recording, to look at its chunks one after the other.

    Args:
        paths: as in `read_recording`.
        repair: as in `read_recording`.
        format: as in `read_recording`.
        rows: of each file to hold in memory at a time.
        instrument: as in `read_recording`.

    Returns:
        Its chunks are read, and checked, as they are asked for.

    Raises:
        RecordingError: there is no such session, or a file of it is damaged or breaks a rule.
        UnknownNameError: there is no such format.
    """
    several = [paths] if isinstance(paths, Path | str) else list(paths)
    sessions = [session for path in several for session in _find(Path(path), format)]
    together = _together(sessions)
    options = Options(repair, rows, dated=len(together) > 1, instrument=instrument)
    opened = (
        _open(first, options._replace(more=tuple(one.prefix for one in more)), guessed=format is None)
        for first, *more in together
    )
    return joined(opened, next(opened), several=len(together) > 1)


def _open(session: Session, options: Options, guessed: bool) -> Source:
    """Open a session; where it cannot be, say how its format was guessed, if it was."""
    try:
        return READERS[session.format].open(session.prefix, options)
    except RecordingError as fault:
        if not guessed or fault.row is not None:
            raise
        message = str(fault).partition(f"`{fault.path}`: ")[2] or str(fault)
        raise RecordingError(
            f"{message} By their names the files were taken for {session.format}; `flowhft data check` and "
            "`data convert` take them for another with `--format`.",
            fault.path,
        ) from fault


def read_recording(
    paths: Path | str | Sequence[Path | str],
    *,
    repair: bool = False,
    format: str | None = None,
    instrument: InstrumentSettings = NOTHING_DECLARED,
) -> Recording:
    """Read and check a recording of a real market.

    Args:
        paths: a session's prefix ("data/usdm_btcusdt_20240718"), any one of its files, or a folder. Several
            sessions, in a folder in the order of their names or as a list, must be of one instrument; they
            are joined, and the gaps between them are findings.
        repair: drop or sort what breaks a rule, where that can be done, instead of raising, and say so in
            the findings.
        format: name of the format, a key of `READERS`; None recognises it by the names of the files.
        instrument: what is said of it: tick, lot, currency, terms of the contract, fees. It wins over the
            TOML file beside a session, NAME.toml, which wins over what is found or guessed.

    Returns:
        Events in ticks and lots by corrected local time, with what was found in `findings`.

    Raises:
        RecordingError: there is no such session, or a file of it is damaged or breaks a rule.
        UnknownNameError: there is no such format.

    Example:
        >>> from flowhft.recordings.formats.sample import sample_recording
        >>> recording = read_recording(sample_recording())
        >>> recording.name, recording.tick_size
        ('binance-usdm BTCUSDT', 0.1)
    """
    return assembled(open_recording(paths, repair=repair, format=format, instrument=instrument))
