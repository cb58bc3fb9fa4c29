"""What a recording is of, where the names of its files do not tell: said in the file or beside it."""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from flowhft.errors import RecordingError
from flowhft.recordings.files import decoding
from flowhft.recordings.source import Chunk, Source
from flowhft.recordings.ticks import Finding, Recording

LARGEST_UNIT = 1e12  # of a tick or a lot


class About(NamedTuple):
    """What was traded where, and in which units.

    Attributes:
        venue: as in `Recording`, and so are the others.
        symbol: what was traded.
        currency: unit of prices.
        tick_size: price of a tick.
        lot_size: quantity of a lot.
    """

    venue: str
    symbol: str
    currency: str
    tick_size: float
    lot_size: float

    def source(self, path: Path, chunks: Iterator[Chunk], findings: list[Finding], offset: int = 0) -> Source:
        """Return a file as a source; `offset` is what was added to its local clock, ns."""
        return Source(*self, files=(path,), chunks=chunks, findings=findings, clock_offset_ns=offset)


def about_of(recording: Recording | Source) -> dict[str, Any]:
    """Return what a file must say of a recording, ready for JSON."""
    return {name: getattr(recording, name) for name in About._fields}


def about_in(values: Any, path: Path, fix: str) -> About:
    """Return what a file says of itself.

    Args:
        values: what was found, anything.
        path: the file, for messages.
        fix: what to do where it is wrong.

    Raises:
        RecordingError: something is missing, or no such thing.
    """
    good = isinstance(values, dict)
    for name, kind in About.__annotations__.items():
        value: Any = values.get(name) if good else None
        if kind is float:
            good = good and isinstance(value, int | float) and not isinstance(value, bool)
            good = good and 0 < float(value) < LARGEST_UNIT
        else:
            good = good and isinstance(value, str)
    if not good:
        raise RecordingError(f"must come with {', '.join(About._fields)}; received {values}. {fix}", path)
    return About(*(kind(values[name]) for name, kind in About.__annotations__.items()))


def text_of(path: Path) -> Any:
    """Return what a TOML file holds, None where there is no such file.

    Raises:
        RecordingError: it is no TOML.
    """
    if not path.is_file():
        return None
    with decoding(path, "TOML"):
        return tomllib.loads(path.read_text())
