r"""Pages as data: blocks that a study makes once from its tables, for a file of Markdown and for the report.

flowhft.report.markdown   blocks -> a document of docs/
flowhft.report.html       blocks -> sections of the report
`read` and `write`        blocks <-> `page.json` in the run folder, from which the report takes them

Text is plain but for `**bold**`, `*emphasis*`, `` `code` `` and `[links](of-documents.md)`; `\*` is a star.
"""

import json
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from flowhft.errors import DataError
from flowhft.runs.folder import read_json, replacing

PAGE = "page.json"  # its file in a run folder


@dataclass(frozen=True)
class Sentence:
    """One paragraph.

    Attributes:
        text: with its marks.
    """

    text: str


@dataclass(frozen=True)
class Heading:
    """A title inside a section."""

    text: str


@dataclass(frozen=True)
class Listing:
    """Items one below the other, in no order."""

    items: tuple[str, ...]


@dataclass(frozen=True)
class Typed:
    """Commands as they are typed, a line each."""

    lines: tuple[str, ...]


@dataclass(frozen=True)
class Cell:
    """A cell of a table that is tinted where a page has colours.

    Attributes:
        text: with its marks.
        good: 1 and more: as good as can be; -1 and less: as bad; 0: neither.
        remark: what a pointer over it reads.
    """

    text: str
    good: float = 0.0
    remark: str = ""


@dataclass(frozen=True)
class Table:
    """A table; its first column names its rows.

    Attributes:
        head: titles.
        rows: cells, a row each.
        words: titles of further columns that hold words: they are set to the left, and may be broken.
    """

    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    words: tuple[str, ...] = ()


@dataclass(frozen=True)
class Figures:
    """Figures beside one another; only where a page can draw.

    Attributes:
        plots: each as plotly's JSON.
        caption: what to see, below them.
        small: whether three or four share a line.
        key: policies that buttons above show and hide: name, then the fields of `flowhft.report.theme.Style`.
    """

    plots: tuple[str, ...]
    caption: str = ""
    small: bool = False
    key: tuple[tuple[str, str, str, float, bool], ...] = ()


@dataclass(frozen=True)
class Detail:
    """What is there on demand; only where a page can fold.

    Attributes:
        summary: what is to be opened.
        blocks: in it.
    """

    summary: str
    blocks: tuple["Block", ...]


Block = Sentence | Heading | Listing | Typed | Table | Figures | Detail
KINDS: dict[str, type] = {
    kind.__name__.lower(): kind for kind in (Sentence, Heading, Listing, Typed, Table, Figures, Detail)
}


@dataclass(frozen=True)
class Section:
    """A part of a page.

    Attributes:
        key: its anchor.
        title: what people read.
        blocks: in reading order.
    """

    key: str
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Page:
    """What a study found.

    Attributes:
        key: anchor of its introduction.
        title: of the document.
        headline: what matters most, a sentence each, without marks.
        introduction: how it was made, and what is to be known before.
        sections: in reading order.
    """

    key: str
    title: str
    headline: tuple[str, ...]
    introduction: tuple[Block, ...]
    sections: tuple[Section, ...]


def table(head: Sequence[str], rows: Iterable[Sequence[object]], words: Collection[str] = ()) -> Table:
    """Return a table of whatever can be written.

    Args:
        head: titles.
        rows: of cells, numbers and text.
        words: titles of further columns without numbers.
    """
    cells = (tuple(one if isinstance(one, Cell) else Cell(str(one)) for one in row) for row in rows)
    return Table(tuple(head), tuple(cells), tuple(words))


def figures(
    plots: Iterable[go.Figure], caption: str = "", *, small: bool = False, key: Iterable[Any] = ()
) -> Figures:
    """Return figures beside one another.

    Args:
        plots: of plotly.
        caption: what to see.
        small: whether three or four share a line.
        key: see `Figures`.
    """
    return Figures(tuple(str(plot.to_json(validate=False)) for plot in plots), caption, small, tuple(key))


def listing(items: Iterable[str]) -> list[Block]:
    """Return a list, or nothing where it would be empty."""
    result = tuple(items)
    return [Listing(result)] if result else []


def write(page: Page, folder: Path) -> None:
    """Write a page into a run folder.

    Args:
        page: it.
        folder: of the run.
    """
    text = json.dumps(_plain(page), ensure_ascii=False, allow_nan=False)
    with replacing(folder / PAGE) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read(folder: Path) -> Page | None:
    """Return the page of a run folder; None where it has none.

    Raises:
        DataError: its file is damaged.
    """
    path = folder / PAGE
    if not path.is_file():
        return None
    result = read_json(path)
    try:
        sections = (Section(one["key"], one["title"], _blocks(one["blocks"])) for one in result["sections"])
        introduction = _blocks(result["introduction"])
        head = result["key"], result["title"], tuple(result["headline"])
        return Page(*head, introduction, tuple(sections))
    except (KeyError, TypeError, ValueError) as cause:
        raise DataError(
            f"`{path}` must hold a page of blocks; it is damaged. Run the command that wrote it again, with "
            "another `--out`."
        ) from cause


def _plain(part: Any) -> Any:
    """Return a part of a page as JSON holds it: a block by its kind and fields."""
    if isinstance(part, tuple):
        return [_plain(one) for one in part]
    if not hasattr(part, "__dataclass_fields__"):
        return part
    fields = {name: _plain(getattr(part, name)) for name in part.__dataclass_fields__}
    return ({"kind": type(part).__name__.lower()} | fields) if type(part) in KINDS.values() else fields


def _blocks(results: Iterable[dict[str, Any]]) -> tuple[Block, ...]:
    return tuple(_READ.get(one["kind"], _as_it_is)(one) for one in results)


def _as_it_is(results: dict[str, Any]) -> Block:
    values = {name: value for name, value in results.items() if name != "kind"}
    return KINDS[results["kind"]](**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})


_READ: dict[str, Callable[[dict[str, Any]], Block]] = {
    "table": lambda one: Table(
        tuple(one["head"]),
        tuple(tuple(Cell(**cell) for cell in row) for row in one["rows"]),
        tuple(one["words"]),
    ),
    "figures": lambda one: Figures(
        tuple(one["plots"]), one["caption"], one["small"], tuple(tuple(entry) for entry in one["key"])
    ),
    "detail": lambda one: Detail(one["summary"], _blocks(one["blocks"])),
}
