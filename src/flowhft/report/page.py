"""The page: one self-contained file, plotly.js inlined once, and a policy that forbids it any network."""

from importlib import resources

from plotly.offline import get_plotlyjs

from flowhft.report.markup import Markup, element, join, listing, text

# Enforced by the browser: nothing is loaded from anywhere, nothing is sent anywhere.
_POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"


def page(title: str, subtitle: str, sections: list[tuple[str, str, Markup]], footer: str) -> str:
    """Return the whole HTML document.

    Args:
        title: of the document.
        subtitle: one line below the title.
        sections: (anchor, title, markup) in reading order.
        footer: one line at the end.
    """
    package = resources.files("flowhft.report")
    style = Markup(package.joinpath("page.css").read_text(encoding="utf-8"))
    script = Markup(package.joinpath("page.js").read_text(encoding="utf-8"))
    first, *rest = sections
    contents = element(
        "nav", listing(element("a", name, href=f"#{key}") for key, name, _ in rest), aria_label="Contents"
    )
    head = join(
        [
            Markup('<meta charset="utf-8">'),
            Markup('<meta name="viewport" content="width=device-width, initial-scale=1">'),
            Markup(f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'),
            element("title", title),
            element("style", style),
        ],
        "\n",
    )
    body = join(
        [
            element(
                "header", element("h1", title), element("p", subtitle, class_="subtitle"), first[2], contents
            ),
            element(
                "noscript",
                element("p", "The figures of this page are drawn by JavaScript; its tables are not."),
            ),
            element("main", *(markup for _, _, markup in rest)),
            element("footer", text(footer)),
            element("script", Markup(get_plotlyjs())),
            element("script", script),
        ],
        "\n",
    )
    return f'<!doctype html>\n<html lang="en">\n<head>\n{head}\n</head>\n<body>\n{body}\n</body>\n</html>\n'
