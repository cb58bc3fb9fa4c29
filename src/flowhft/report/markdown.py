"""Blocks as Markdown, as the documents have it: lines of prose are broken, numbers stand to the right."""

import textwrap
from collections.abc import Callable, Iterable, Iterator

from flowhft.report.blocks import Block, Heading, Listing, Page, Sentence, Table, Typed

WIDTH = 118


def markdown(page: Page) -> str:
    """Write a page as a document; figures and details are the report's.

    Args:
        page: it.
    """
    parts = [f"# {page.title}", *_written(page.introduction)]
    for section in page.sections:
        parts += [f"## {section.title}", *_written(section.blocks)]
    return "\n\n".join(parts) + "\n"


def _written(blocks: Iterable[Block]) -> Iterator[str]:
    return (_WRITERS[type(block)](block) for block in blocks if type(block) in _WRITERS)


def _filled(text: str, indent: str = "") -> str:
    """Break the lines of prose as the other documents do."""
    return textwrap.fill(
        text, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def _listing(block: Listing) -> str:
    return "\n".join(_filled(f"- {item}", "  ") for item in block.items)


def _table(block: Table) -> str:
    """Write a table; its first column and those of words are set to the left."""
    words = (block.head[0], *block.words)
    rule = ["---" if title in words else "---:" for title in block.head]
    lines = [[cell.text.replace("|", "\\|") for cell in row] for row in block.rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in (list(block.head), rule, *lines))


_WRITERS: dict[type, Callable[..., str]] = {
    Sentence: lambda block: _filled(block.text),
    Heading: lambda block: f"### {block.text}",
    Listing: _listing,
    Typed: lambda block: "\n".join(f"    {line}" for line in block.lines),
    Table: _table,
}
