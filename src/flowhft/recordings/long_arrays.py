"""Arrays of any length: looked at piece by piece, and kept in a file where they are long.

A day of ticks does not fit into memory, and nothing that is worked out of it event by event does. Such an
array lies in a file of the temporary directory (`TMPDIR`) that has no name, so that it is gone with the array
or with the process, and is mapped into memory: to who reads it it is an array like any other. Its pages are
the file's, which the system writes out and lets go of when memory is short; they are not memory that the
process holds. A temporary directory that itself lies in memory saves nothing.
"""

import mmap
import os
import tempfile
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from typing import IO, Any

import numpy as np
from numpy.typing import DTypeLike

from flowhft.errors import UsageError

PIECE = 1 << 20  # rows that are looked at at a time
LONG = 1 << 24  # bytes from which on an array lies in a file


def pieces(rows: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the rows of an array `PIECE` by `PIECE`, in their order; of an empty one nothing."""
    for start in range(0, len(rows), PIECE):
        yield rows[start : start + PIECE]


def whole_messages(events: np.ndarray, *kinds: int) -> Iterator[np.ndarray]:
    """Yield the events of some kinds piece by piece, no message of which is cut.

    Args:
        events: of a recording.
        kinds: of those that are wanted.
    """
    held = events[:0]
    for start in range(0, len(events), PIECE):
        piece = events[start : start + PIECE]
        kind = piece["kind"]
        wanted = kind == kinds[0]
        for other in kinds[1:]:
            wanted |= kind == other
        own = piece[wanted]
        own = np.concatenate([held, own]) if len(held) else own
        if start + PIECE >= len(events):
            yield own
        elif len(own):
            last = (own["kind"] == own["kind"][-1]) & (own["message"] == own["message"][-1])
            begins = len(own) - int(np.argmin(np.append(last[::-1], False)))
            yield own[:begins]
            held = own[begins:]


def count_before(values: np.ndarray, value: int, *, or_at: bool = False) -> int:
    """Return how many of rising values lie before one: of a column of rows, without a copy of it.

    Args:
        values: rising, shape (row,).
        value: the one.
        or_at: whether those that are equal to it count.
    """
    return (bisect_right if or_at else bisect_left)(values, value)


class Pile:
    """An array that grows: in memory as long as it is short, then in a file.

    Args:
        dtype: of the array.
    """

    def __init__(self, dtype: DTypeLike) -> None:
        self._dtype = np.dtype(dtype)
        self._held: list[np.ndarray] = []
        self._bytes = 0
        self._file: IO[bytes] | None = None

    def add(self, rows: np.ndarray) -> None:
        """Append rows, which must not change afterwards.

        Raises:
            UsageError: the temporary directory has no room for them.
        """
        rows = np.asarray(rows, self._dtype)
        self._bytes += rows.nbytes
        if self._file is None and self._bytes <= LONG:
            self._held.append(rows)
            return
        try:
            self._file = self._file or tempfile.TemporaryFile()  # noqa: SIM115  # until `array`
            for part in (*self._held, rows):
                for piece in pieces(part):
                    self._file.write(np.ascontiguousarray(piece).view(np.uint8).data)
        except OSError as cause:
            where = tempfile.gettempdir()
            raise UsageError(
                f"`TMPDIR` must name a folder with room for what does not fit into memory; received {where}, "
                f"where {self._bytes:,} bytes could not be written: {cause.strerror}. Make room, or name "
                "another disk."
            ) from cause
        self._held = []

    def array(self) -> np.ndarray:
        """Return all rows as one array, shape (row,), after which none may be added."""
        if self._file is None:
            if len(self._held) == 1:
                return self._held[0]
            return np.concatenate([np.zeros(0, self._dtype), *self._held])
        self._file.flush()
        size = os.fstat(self._file.fileno()).st_size
        mapped: Any = mmap.mmap(self._file.fileno(), size)  # holds the file open as long as it lives
        self._file.close()
        return np.frombuffer(mapped, self._dtype)


def piled(parts: Iterable[np.ndarray], dtype: DTypeLike) -> np.ndarray:
    """Return arrays as one, in memory where it is short.

    Args:
        parts: in their order; each is let go of before the next is asked for.
        dtype: of the array.
    """
    pile = Pile(dtype)
    for rows in parts:
        pile.add(rows)
    return pile.array()
