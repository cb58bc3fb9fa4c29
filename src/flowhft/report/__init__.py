"""The report: one self-contained page that a run folder's files make, without the lab.

evidence   reads the folder                      (edge)
verdict    tables -> sentences                   (pure)
charts, sections/                                (pure: evidence -> markup and figures)
page       sections -> one HTML document         (pure)
build      writes it                             (edge)

The room is called itself: `flowhft.report(folder)` is `flowhft.report.build.build`.
"""

import sys
from pathlib import Path
from types import ModuleType

from flowhft.report.build import build
from flowhft.report.evidence import Evidence, gather
from flowhft.report.verdict import headline

__all__ = ["Evidence", "build", "gather", "headline"]


class _Room(ModuleType):
    """This room, as a function: a name can only stand for one thing, and this is what the room does."""

    def __call__(self, folder: Path | str) -> Path:
        return build(folder)


sys.modules[__name__].__class__ = _Room
