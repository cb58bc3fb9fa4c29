"""What every page must satisfy: its two renderings say the same."""

import html as parser
import re

from flowhft.report.blocks import Block, Detail, Figures, Heading, Listing, Page, Sentence, Table, Typed
from flowhft.report.html import sections_of
from flowhft.report.markdown import markdown


def bare(text: str) -> str:
    """Return a text as it is read: without marks, broken lines, and kinds of spaces and minus signs."""
    text = re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", text)
    return " ".join(text.replace("\u2212", "-").replace("\\", "").replace("`", "").replace("*", "").split())


def texts_of(blocks: tuple[Block, ...]) -> list[tuple[str, bool]]:
    """Return every text of blocks, and whether it stands in Markdown too."""
    results: list[tuple[str, bool]] = []
    for block in blocks:
        if isinstance(block, Sentence | Heading):
            results.append((block.text, True))
        elif isinstance(block, Listing):
            results += [(item, True) for item in block.items]
        elif isinstance(block, Typed):
            results += [(line, True) for line in block.lines]
        elif isinstance(block, Table):
            results += [(title, True) for title in block.head]
            results += [(cell.text, True) for row in block.rows for cell in row]
        elif isinstance(block, Figures):
            results.append((block.caption, False))
        elif isinstance(block, Detail):
            results += [(text, False) for text, _ in texts_of(block.blocks)]
    return results


def assert_both_say_the_same(page: Page) -> tuple[str, str]:
    """Hold both renderings of a page to what its blocks say, and return them as they are read."""
    document = bare(markdown(page))
    sections = sections_of(page)
    shown = "".join(f"<h2>{title}</h2>{content}" for _, title, content in sections)
    report = bare(
        parser.unescape(re.sub(r"<[^>]+>", " ", re.sub(r"<script.*?</script>", "", shown, flags=re.S)))
    )
    squeezed = report.replace(" ", "")
    parts = [(page.title, True), *texts_of(page.introduction)]
    for section in page.sections:
        parts += [(section.title, True), *texts_of(section.blocks)]
    assert len(parts) > 20
    for text, in_document in parts:
        assert bare(text).replace(" ", "") in squeezed, text
        assert not in_document or bare(text) in document, text
    assert len({key for key, _, _ in sections}) == len(sections)
    return document, report
