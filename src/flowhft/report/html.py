"""Blocks as sections of the report: the same words and numbers, with figures, tints and what unfolds."""

import re
from collections.abc import Callable, Iterable

from flowhft.report import theme
from flowhft.report.blocks import (
    Block,
    Cell,
    Detail,
    Figures,
    Heading,
    Listing,
    Page,
    Sentence,
    Table,
    Typed,
)
from flowhft.report.markup import (
    Markup,
    cell,
    drawn,
    element,
    folded,
    join,
    listing,
    note,
    paragraph,
    row,
    subtitle,
    table,
    text,
)
from flowhft.report.sections.comparison import key_of
from flowhft.report.theme import Style

_DEEPEST = 0.45  # opacity of the strongest tint
_LONG = 24  # characters from which words in a cell are broken
# What may stand inside a text, and how it is written; what is in code has no marks.
_MARKS = re.compile(
    r"`([^`]+)`|\*\*(.+?)\*\*|(?<![\\*])\*([^*\s][^*]*?)(?<!\\)\*(?!\*)|\[([^\]]+)\]\([^)]+\)|\\\*"
)


def sections_of(page: Page) -> list[tuple[str, str, Markup]]:
    """Return the sections of a page: anchor, title and markup of each, the introduction first.

    Args:
        page: it.
    """
    first = (page.key, page.title, html(page.introduction))
    return [first, *((part.key, part.title, html(part.blocks)) for part in page.sections)]


def html(blocks: Iterable[Block]) -> Markup:
    """Write blocks, one after another."""
    return join(_WRITERS[type(block)](block) for block in blocks)


def marked(words: str) -> Markup:
    r"""Write a text with its marks; a link is its words, since the report stands alone.

    Example:
        >>> marked("**1.2**\\* of `a_b`, see [models](models.md#x)")
        '<b>1.2</b>* of <code>a_b</code>, see models'
    """
    return Markup(_MARKS.sub(_mark, text(words)))


def _mark(result: re.Match[str]) -> str:
    code, bold, emphasis, link = result.groups()
    if code is not None:
        return f"<code>{code}</code>"
    if bold is not None:
        return f"<b>{_MARKS.sub(_mark, bold)}</b>"
    if emphasis is not None:
        return f"<em>{_MARKS.sub(_mark, emphasis)}</em>"
    return link if link is not None else "*"


def _table(block: Table) -> Markup:
    wordy = {index for index, title in enumerate(block.head) if title in block.words}
    rows = [
        [marked(line[0].text), *(_cell(one, at in wordy) for at, one in enumerate(line[1:], 1))]
        for line in block.rows
    ]
    tinted = any(one.good for line in block.rows for one in line)
    return table([marked(title) for title in block.head], rows, class_="map" if tinted else "")


def _cell(one: Cell, wordy: bool) -> Markup:
    styles = ["text-align:left" if wordy else "white-space:nowrap"]
    if wordy and len(one.text) > _LONG:
        styles.append("white-space:normal;min-width:24ch")
    if one.good:
        depth = _DEEPEST * min(1.0, abs(one.good))
        styles.append(f"background:{theme.faint(theme.BLUE if one.good > 0.0 else theme.VERMILION, depth)}")
    return cell(marked(one.text), style=";".join(styles), title=one.remark)


def _figures(block: Figures) -> Markup:
    styles = {name: Style(colour, dash, width, ours) for name, colour, dash, width, ours in block.key}
    return join(
        [
            key_of(list(styles), styles) if styles else "",
            row(*(drawn(plot) for plot in block.plots), small=block.small),
            note(marked(block.caption)) if block.caption else "",
        ]
    )


_WRITERS: dict[type, Callable[..., Markup]] = {
    Sentence: lambda block: paragraph(marked(block.text)),
    Heading: lambda block: subtitle(marked(block.text)),
    Listing: lambda block: listing(map(marked, block.items)),
    Typed: lambda block: element("pre", "\n".join(block.lines)),
    Table: _table,
    Figures: _figures,
    Detail: lambda block: folded(block.summary, html(block.blocks)),
}
