"""Markdown as the documents have it: lines of prose are broken, numbers stand to the right."""

import textwrap
from collections.abc import Collection, Iterable, Sequence

WIDTH = 118
NOTHING = "–"


def filled(part: str) -> str:
    """Break the lines of prose as the other documents do; tables, headings and commands keep theirs."""
    if part.startswith(("|", "#", "    ")):
        return part

    def fill(text: str, indent: str = "") -> str:
        return textwrap.fill(
            text, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
        )

    return "\n".join(fill(item, "  ") for item in part.split("\n")) if part.startswith("- ") else fill(part)


def table(head: Sequence[str], rows: Iterable[Sequence[object]], words: Collection[str] = ()) -> str:
    """Return a Markdown table; its first column and those of words are set to the left.

    Args:
        head: titles.
        rows: cells.
        words: titles of further columns without numbers.
    """
    rule = ["---" if place == 0 or title in words else "---:" for place, title in enumerate(head)]
    lines = [[str(cell).replace("|", "\\|") for cell in line] for line in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in (list(head), rule, *lines))
