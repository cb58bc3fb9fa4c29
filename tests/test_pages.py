"""Pages as data: blocks are kept whole, and both renderings say the same."""

import plotly.graph_objects as go
import pytest
from renderings import assert_both_say_the_same

from flowhft.errors import DataError
from flowhft.report import build
from flowhft.report.blocks import (
    PAGE,
    Cell,
    Detail,
    Heading,
    Page,
    Section,
    Sentence,
    Typed,
    figures,
    listing,
    read,
    table,
    write,
)
from flowhft.report.html import html, marked
from flowhft.report.markdown import markdown
from flowhft.runs.folder import write_json

PLOT = go.Figure(go.Scatter(x=[1, 2], y=[2.0, 1.0], name="</script>"), layout={"title": {"text": "Falling"}})
ROWS = [
    ("T1.HH | `glft`", Cell("**1.25**\u00a0(0.5)", 0.5, "beats it"), Cell("-2.00\\*", -2.0), "why *so*"),
    ("T1.LL", 3, "n/a", "see [models](models.md#metrics)"),
]
PARTS = (
    Sentence("word " * 40 + "*end*, at `--paths 2`."),
    Heading("Cells & others"),
    *listing(["first " + "and " * 40 + "last", "second <b>"]),
    table(("cell", "PnL", "loss", "reason"), ROWS, ("reason",)),
    figures([PLOT], "It falls.", small=True, key=[("glft", "#0072B2", "dash", 1.7, False)]),
    Detail("Every policy", (table(("policy",), [("hidden",)]),)),
)
A_PAGE = Page(
    "results",
    "Results",
    ("It wins.",),
    (Sentence("Made by a command:"), Typed(("flowhft demo", "flowhft report"))),
    (Section("cells", "Every cell", PARTS), Section("last", "The end", (Sentence("No more."),))),
)


def test_a_page_is_read_back_as_it_was_written(tmp_path):
    assert read(tmp_path) is None
    write(A_PAGE, tmp_path)
    assert read(tmp_path) == A_PAGE


def test_both_renderings_say_the_same():
    document, report = assert_both_say_the_same(A_PAGE)
    assert "It falls." not in document
    assert "hidden" not in document
    assert "It falls." in report


def test_markdown_breaks_prose_and_keeps_columns_apart():
    text = markdown(A_PAGE)
    assert text.startswith(
        "# Results\n\nMade by a command:\n\n    flowhft demo\n    flowhft report\n\n## Every cell\n"
    )
    assert "\n### Cells & others\n" in text
    assert "\n- first and" in text
    assert "\n  and" in text  # what is broken in a list is set in
    assert "\n- second <b>\n" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert rows[:2] == ["| cell | PnL | loss | reason |", "| --- | ---: | ---: | --- |"]
    assert rows[2].startswith("| T1.HH \\| `glft` | **1.25**\u00a0(0.5) | -2.00\\* |")
    assert max(len(line) for line in text.splitlines() if not line.startswith("|")) <= 118


def test_html_has_what_markdown_cannot_show():
    text = str(html(PARTS))
    assert text.count("</script>") == 1, "a figure cannot end the script that holds it"
    assert 'role="img" aria-label="Falling"' in text
    assert 'data-policy="glft"' in text
    assert "<details><summary>Every policy</summary>" in text
    assert 'title="beats it"' in text
    good, bad = (text.index(mark) for mark in ("rgba(0,114,178", "rgba(213,94,0"))
    assert good < bad
    assert "second &lt;b&gt;" in text
    assert "href" not in text


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("**1.2**\\*", "<b>1.2</b>*"),
        ("*Error*: (ours - printed) / printed", "<em>Error</em>: (ours - printed) / printed"),
        ("`a*b*c` and 2 * 3 * 4", "<code>a*b*c</code> and 2 * 3 * 4"),
        ("in [the presets](models.md#the-presets) too", "in the presets too"),
        ("**`glft`** <i>", "<b><code>glft</code></b> &lt;i&gt;"),
        ("glft_drift_as_run", "glft_drift_as_run"),
    ],
)
def test_marks_of_a_text(written, shown):
    assert marked(written) == shown


@pytest.mark.parametrize(
    "result", [{"title": "x"}, {"sections": [{"key": "a"}]}, {"introduction": [{"kind": "video"}]}]
)
def test_a_damaged_page_is_named(result, tmp_path):
    write_json(tmp_path / PAGE, result)
    with pytest.raises(DataError, match=r"page.json` must hold a page of blocks; it is damaged"):
        read(tmp_path)


def test_a_report_needs_no_more_than_the_page(tmp_path):
    write(A_PAGE, tmp_path)
    text = build(tmp_path).read_text()
    for anchor in ("headline", "results", "cells", "last"):
        assert f'id="{anchor}"' in text
    assert "It wins." in text


def test_a_study_of_before_has_no_page_to_draw(tmp_path):
    manifest = {"command": "reproduce paper", "fingerprint": "0", "config": {}, "summary": {}, "files": {}}
    write_json(tmp_path / "manifest.json", manifest)
    with pytest.raises(
        DataError, match=r"must hold page.json; .* Run the `flowhft reproduce paper` that made it again"
    ):
        build(tmp_path)
