"""The report: one self-contained page that a run folder's files make, without the lab.

evidence   reads the folder                      (edge)
verdict    tables -> sentences                   (pure)
charts, sections/                                (pure: evidence -> markup and figures)
page       sections -> one HTML document         (pure)
build      writes it                             (edge)
"""

from flowhft.report.build import build
from flowhft.report.evidence import Evidence, gather
from flowhft.report.verdict import headline

__all__ = ["Evidence", "build", "gather", "headline"]
