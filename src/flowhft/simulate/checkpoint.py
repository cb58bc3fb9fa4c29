"""What is finished of a judgement: one file a span, whole or not at all, with its checksum.

A process may be killed at any moment: what was renamed into place is whole, and what was not is not there.
"""

import hashlib
from pathlib import Path
from typing import Protocol

from flowhft.errors import DataError
from flowhft.metrics.moments import Moments, from_bytes, to_bytes
from flowhft.runs.folder import replacing
from flowhft.simulate.spans import Span

DIGEST = 32  # bytes of the sha256 with which a file begins


class Finished(Protocol):
    """Where finished spans are kept: `Checkpoints`, or a dictionary where nobody wants to resume."""

    def __contains__(self, span: object, /) -> bool:
        """Return whether a span is finished."""

    def __getitem__(self, span: Span, /) -> Moments:
        """Return a finished span."""

    def __setitem__(self, span: Span, moments: Moments, /) -> None:
        """Keep a finished span."""


class Checkpoints:
    """The finished spans of one judgement in a folder.

    Args:
        folder: belongs to the judgement; made when the first span is kept.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, span: Span) -> Path:
        """Return the file of a span."""
        return self.folder / f"{span.scenario:04d}-{span.number:04d}.moments"

    def __contains__(self, span: object, /) -> bool:
        """Return whether a span is finished."""
        return isinstance(span, Span) and self.path(span).is_file()

    def __setitem__(self, span: Span, moments: Moments, /) -> None:
        """Keep a finished span."""
        content = to_bytes(moments)
        with replacing(self.path(span)) as temporary:
            temporary.write_bytes(hashlib.sha256(content).digest() + content)

    def __getitem__(self, span: Span, /) -> Moments:
        """Return a finished span.

        Raises:
            DataError: the file is not as it was written.
        """
        path = self.path(span)
        raw = path.read_bytes()
        digest, content = raw[:DIGEST], raw[DIGEST:]
        whole = hashlib.sha256(content).digest() == digest
        moments = from_bytes(content) if whole else None
        if moments is None or moments.paths != span.paths:
            raise DataError(
                f"`{path}` must hold {span.paths:,} judged paths as they were written; it is damaged. "
                "Delete this file and run the same command again: only its paths are judged anew."
            )
        return moments
