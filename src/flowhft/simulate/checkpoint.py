"""What is finished of an evaluation: one piece a span of paths (see `flowhft.runs.resume`)."""

from pathlib import Path
from typing import TypeAlias

from flowhft.metrics.moments import Moments, from_bytes, to_bytes
from flowhft.runs import resume

# Where finished spans are kept, by span.
Finished: TypeAlias = resume.Finished[Moments]
MOMENTS = resume.Form(".moments", to_bytes, from_bytes)


def checkpoints(folder: Path | None = None) -> Finished:
    """Return the finished spans of one evaluation.

    Args:
        folder: belongs to the evaluation; None to keep them in memory alone.
    """
    return resume.Finished(folder, MOMENTS)
