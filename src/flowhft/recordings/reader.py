"""What a reader is: a format's name, how its files are called, and how a session of it is opened."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from flowhft.recordings.described import InstrumentSettings
from flowhft.recordings.files import CHUNK
from flowhft.recordings.source import Source


class Options(NamedTuple):
    """How a session is read.

    Attributes:
        repair: mend what can be mended, and say so in the findings.
        rows: of a file to hold in memory at a time.
        dated: whether times must count from 1970, since several sessions are joined.
        more: files that go on with the one that is opened, where the format has such.
        instrument: what is said of it, which wins over what is said beside the files and found in them.
    """

    repair: bool = False
    rows: int = CHUNK
    dated: bool = False
    more: tuple[Path, ...] = ()
    instrument: InstrumentSettings = InstrumentSettings()


class Reader(NamedTuple):
    """A format that recordings come in.

    Attributes:
        name: what `--format` calls it.
        files: how the files of a session are called, for people.
        about: what it is, in a few words.
        session_of: the session that a file belongs to by its name, None if to none: the path of the file, or
            what the names of its files begin with where they are several.
        open: open a session. It raises `RecordingError` where the session is damaged or breaks a rule.
        continues: whether a file goes on where the one before it ends, so that several are opened together.
    """

    name: str
    files: str
    about: str
    session_of: Callable[[Path], Path | None]
    open: Callable[[Path, Options], Source]
    continues: bool = False


def described(readers: Iterable[Reader]) -> str:
    """Return the formats and how their files are called, as one sentence."""
    return "; ".join(f"{reader.name}: {reader.files}" for reader in readers)
