"""Build the report of a run folder: the one function that reads and writes."""

from pathlib import Path

import polars as pl

from flowhft import __version__
from flowhft.errors import DataError
from flowhft.report.evidence import Evidence, gather
from flowhft.report.html import sections_of
from flowhft.report.markup import section
from flowhft.report.page import page
from flowhft.report.sections import SECTIONS
from flowhft.report.theme import styles_of
from flowhft.runs import folder as runs

# What tables bring about that passed for those of the list, and hold what no command writes.
ODD = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
    pl.exceptions.PolarsError,
)


def render(evidence: Evidence) -> str:
    """Return the page that shows what was found, each section only if there is something to show."""
    styles = styles_of(evidence.origins, evidence.learned)
    shown = []
    for part in SECTIONS:
        content = part.content(evidence, styles)
        if content:
            shown.append((part.key, part.title, section(part.key, part.title, content)))
        if part is SECTIONS[0] and evidence.page:  # what a study found comes before what it is made of
            of_page = sections_of(evidence.page)
            shown += [(key, title, section(key, title, content)) for key, title, content in of_page]
    recording = evidence.record("recording/recording")
    about = " on ".join(
        filter(None, (recording.get("symbol") or recording.get("name"), recording.get("venue")))
    )
    return page(
        title=f"flowhft report{f': {about}' if about else ''}",
        subtitle="Quoting policies for a market maker: measured, learned, judged.",
        sections=shown,
        footer=f"Made by flowhft {__version__} from the files of this run folder alone.",
    )


def build(folder: Path | str) -> Path:
    """Write `report.html` into a run folder, whole or not at all, and return its path.

    Args:
        folder: of a whole demonstration, with one folder a stage, or of a single command.

    Raises:
        DataError: the folder is missing, holds nothing to show, or a file of it is damaged.
    """
    folder = Path(folder)
    evidence = gather(folder)
    try:
        document = render(evidence)
    except ODD as cause:
        if changed := _changed(folder):
            received = f"{type(cause).__name__}: {cause}"
            raise DataError(
                f"`{changed}` must be as its command wrote it; it was changed: {received}. Make it again."
            ) from cause
        raise
    path = folder / runs.REPORT
    with runs.replacing(path) as temporary:
        temporary.write_text(document, encoding="utf-8")
    return path


def _changed(folder: Path) -> Path | None:
    """Return a file of a run folder or its stages that is not as its manifest says; None if all are.

    A folder in which nothing vouches for its files is one itself.
    """
    manifests = sorted(folder.rglob(runs.MANIFEST))
    if not manifests:
        return folder
    for manifest in manifests:
        for name, digest in runs.read_manifest(manifest)["files"].items():
            path = manifest.parent / name
            if path.is_file() and runs.sha256_of(path) != digest:
                return path
    return None
