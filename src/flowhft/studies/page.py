"""The page of a study: tables and blocks of what stages found, its Markdown and its report.

Such a folder holds a finished folder for every stage, and the page beside them. The page takes seconds and is
written anew whenever a stage is; stages are what is resumed.
"""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from flowhft.runs.files import entry
from flowhft.runs.folder import (
    MANIFEST,
    REPORT,
    UNFINISHED,
    Run,
    manifest_of,
    read_table,
    replacing,
    write_table,
)
from flowhft.stages.folder import begin, require_ours
from flowhft.stages.stage import Listener

if TYPE_CHECKING:
    from flowhft.report.blocks import Page


class StudyResult(NamedTuple):
    """What the stages of a page found.

    Attributes:
        tables: of the page, by name.
        units: of their columns, by table.
        page: what is said of them.
        summary: what else the manifest is to remember.
    """

    tables: Mapping[str, pl.DataFrame]
    units: Mapping[str, Mapping[str, str]]
    page: "Page"
    summary: Mapping[str, Any]


def claim(folder: Path, listener: Listener) -> None:
    """Make a folder ours before the first of its stages is in it.

    Args:
        folder: of the page.
        listener: told where results are.

    Raises:
        DataError: it holds something else.
    """
    require_ours(folder)
    (folder / UNFINISHED).mkdir(parents=True, exist_ok=True)
    listener.where = folder


def settle(folder: Path) -> None:
    """Throw away a page that an interrupted call left half written: it is seconds of work.

    Args:
        folder: of the page.
    """
    shutil.rmtree(folder / UNFINISHED)
    (folder / UNFINISHED).mkdir()


def write_page(
    run: Run, name: str, listener: Listener, find: Callable[[Path], StudyResult], docs: Path | None
) -> None:
    """Write a page with its tables and its report, unless the run is finished.

    Args:
        run: of the page; its parents are its finished stages.
        name: of the page's file.
        listener: told how it goes.
        find: called with the folder of unfinished work.
        docs: where the page is copied to; None for nowhere.
    """
    from flowhft.report import blocks, build
    from flowhft.report.markdown import markdown

    folder = run.folder
    if (folder / MANIFEST).is_file() and not (folder / blocks.PAGE).is_file():  # of a version before
        (folder / UNFINISHED).mkdir(exist_ok=True)
        run.withdraw()
    if work := begin(run, listener):
        run.withdraw()
        result = find(work)
        for table, rows in result.tables.items():
            write_table(work / f"{table}.parquet", rows, dict(result.units.get(table, {})))
        with replacing(work / name) as temporary:
            temporary.write_text(markdown(result.page), encoding="utf-8")
        blocks.write(result.page, work)
        run.finish(tables=list(result.tables), **result.summary)
    if (folder / UNFINISHED).is_dir() and not any((folder / UNFINISHED).iterdir()):
        (folder / UNFINISHED).rmdir()
    if not (folder / REPORT).is_file():
        with listener.stage("write the report"):
            build(folder)
    if docs:
        with replacing(docs) as temporary:
            temporary.write_text((folder / name).read_text(encoding="utf-8"), encoding="utf-8")


def tables_in(folder: Path) -> dict[str, pl.DataFrame]:
    """Return the tables of a finished page, by name."""
    tables = entry(manifest_of(folder), folder / MANIFEST, "summary", "tables", kind=list)
    return {table: read_table(folder / f"{table}.parquet") for table in tables}
