"""The few pieces of HTML that the report is made of. Plain text is escaped on its way in, always."""

import html
import json
import re
from collections.abc import Iterable, Sequence

import plotly.graph_objects as go


class Markup(str):
    """Text that is HTML already: only the functions of this file make it from other text."""


def text(value: object) -> Markup:
    """Escape plain text, with a true minus and no break before a per cent; let markup pass as it is."""
    if isinstance(value, Markup):
        return value
    signed = re.sub(r"(?<![\w-])-(?=\.?\d)", "−", html.escape(str(value)))
    return Markup(re.sub(r"(?<=\d) (?=%)", "\u00a0", signed))


def join(parts: Iterable[object], separator: str = "") -> Markup:
    """Put pieces after one another."""
    return Markup(separator.join(text(part) for part in parts))


def element(name: str, *content: object, **attributes: str) -> Markup:
    """Write one element; an attribute `class_` is `class`, and `data_x` is `data-x`."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(value)}"'
        for key, value in attributes.items()
        if value
    )
    return Markup(f"<{name}{written}>{join(content)}</{name}>")


def paragraph(*content: object, class_: str = "") -> Markup:
    """Write a paragraph."""
    return element("p", *content, class_=class_)


def listing(items: Iterable[object], class_: str = "") -> Markup:
    """Write a list without order."""
    return element("ul", *(element("li", item) for item in items), class_=class_)


def table(head: Sequence[object], rows: Iterable[Sequence[object]], class_: str = "") -> Markup:
    """Write a table whose first column names its rows; a wide one scrolls in its own frame.

    Args:
        head: one title a column.
        rows: cells, plain text or a whole `<td>` from `cell`.
        class_: of the table, for the style sheet.
    """
    titles = element("tr", *(element("th", title, scope="col") for title in head))
    body = (
        element("tr", element("th", row[0], scope="row"), *(_as_cell(value) for value in row[1:]))
        for row in rows
    )
    whole = element("table", element("thead", titles), element("tbody", *body), class_=class_)
    return element("div", whole, class_="scroll", tabindex="0")


def cell(*content: object, class_: str = "", style: str = "", title: str = "") -> Markup:
    """Write one cell with a class, a style or a tip of its own."""
    return element("td", *content, class_=class_, style=style, title=title)


def _as_cell(value: object) -> Markup:
    return value if isinstance(value, Markup) and value.startswith("<td") else element("td", value)


def facts(pairs: Iterable[tuple[object, object]]) -> Markup:
    """Write names with their values, as many in a line as fit."""
    return element(
        "dl", *(element("div", element("dt", name), element("dd", value)) for name, value in pairs)
    )


def figure(plot: go.Figure, caption: str) -> Markup:
    """Write a figure: its data as JSON, which the page's script draws, and a caption: what to see."""
    return drawn(str(plot.to_json(validate=False)), caption)


def drawn(plot: str, caption: str = "") -> Markup:
    """Write a figure that is JSON already.

    Args:
        plot: as plotly writes it.
        caption: what to see.
    """
    data = Markup(plot.replace("<", "\\u003c"))  # it cannot end the script
    layout = json.loads(plot)["layout"]
    height = layout.get("height") or 360
    title = (layout.get("title") or {}).get("text")
    return element(
        "figure",
        element(
            "div",
            class_="plot",
            style=f"height:{height}px",
            role="img",
            aria_label=caption or str(title),
        ),
        element("script", data, type="application/json"),
        element("figcaption", caption) if caption else "",
    )


def row(*figures: Markup, small: bool = False) -> Markup:
    """Put figures beside one another where the page is wide enough; small ones three or four in a row."""
    return element("div", *figures, class_="row small" if small else "row")


def folded(summary: object, *content: object) -> Markup:
    """Write something that opens on demand."""
    return element("details", element("summary", summary), *content)


def section(key: str, title: str, *content: object) -> Markup:
    """Write a section of the page; `key` is its anchor."""
    return element("section", element("h2", title), *content, id=key)


def subtitle(title: object) -> Markup:
    """Write a title inside a section."""
    return element("h3", title)


def note(*content: object) -> Markup:
    """Write a remark that belongs to what stands above it."""
    return paragraph(*content, class_="note")
